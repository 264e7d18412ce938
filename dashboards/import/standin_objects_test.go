package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// importedObject is a line of a file.
type importedObject struct {
	Type                 string         `json:"type"`
	ID                   string         `json:"id"`
	Attributes           map[string]any `json:"attributes"`
	References           []refersTo     `json:"references"`
	TypeMigrationVersion string         `json:"typeMigrationVersion,omitempty"`
	ExportedCount        *int           `json:"exportedCount,omitempty"`
	destination          string
	origin               string
	overwrite            bool
}

type refersTo struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

func (o *importedObject) key() objectKey { return objectKey{o.Type, o.ID} }

func (o *importedObject) meta() map[string]any { return map[string]any{"title": o.Attributes["title"]} }

// importFile is POST _import.
func (s *standIn) importFile(w http.ResponseWriter, r *http.Request, space string) {
	overwrite, copies := r.URL.Query().Get("overwrite") == "true", r.URL.Query().Get("createNewCopies") == "true"
	compatible := r.URL.Query().Get("compatibilityMode") == "true"
	switch {
	case overwrite && copies:
		refuse(w, http.StatusBadRequest, "[request query]: cannot use [overwrite] with [createNewCopies]")
		return
	case copies && compatible:
		refuse(w, http.StatusBadRequest, "[request query]: cannot use [createNewCopies] with [compatibilityMode]")
		return
	}
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		refuse(w, http.StatusUnsupportedMediaType, "Unsupported Media Type")
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, s.maxPayload+1))
	if err != nil {
		return
	}
	if int64(len(body)) > s.maxPayload {
		_, _ = io.Copy(io.Discard, r.Body)
		reply(w, http.StatusRequestEntityTooLarge, map[string]any{
			"statusCode": 413, "error": "Request Entity Too Large",
			"message": "Payload content length greater than maximum allowed: " + strconv.FormatInt(s.maxPayload, 10),
		})
		return
	}
	name, file, err := filePart(multipart.NewReader(bytes.NewReader(body), parameters["boundary"]))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if extension := strings.ToLower(filepath.Ext(name)); extension != ".ndjson" {
		refuse(w, http.StatusBadRequest, "Invalid file extension "+extension)
		return
	}
	objects, err := readLines(file)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	if !s.may(space) {
		refuse(w, http.StatusForbidden, "Unable to bulk_create dashboard,index-pattern")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = append(s.files, file)
	s.importObjects(w, objects, space, overwrite)
}

// filePart finds the field named file.
func filePart(form *multipart.Reader) (name string, file []byte, err error) {
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return "", nil, errors.New("[request body.file]: expected value of type [Stream] but got [undefined]")
		}
		if err != nil {
			return "", nil, errors.New("Invalid multipart payload format")
		}
		if part.FormName() == "file" {
			file, err := io.ReadAll(part)
			return part.FileName(), file, err
		}
	}
}

func readLines(file []byte) ([]*importedObject, error) {
	var objects []*importedObject
	for line := range bytes.Lines(file) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		o := new(importedObject)
		if err := json.Unmarshal(line, o); err != nil {
			return nil, errors.New("Unexpected token in JSON at position 0")
		}
		if o.ExportedCount == nil {
			objects = append(objects, o)
		}
	}
	return objects, nil
}

// importObjects is the import of the objects of one file, in Kibana's order: what is
// wrong with the file as a whole; what can be resolved by the user, after which
// nothing is created; then the creation, whose errors are per object.
func (s *standIn) importObjects(w http.ResponseWriter, objects []*importedObject, space string, overwrite bool) {
	if len(objects) > s.maxObjects {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("Can't import more than %d objects", s.maxObjects))
		return
	}
	failures := []map[string]any{}
	fail := func(o *importedObject, why map[string]any) {
		failures = append(failures, map[string]any{"type": o.Type, "id": o.ID, "meta": o.meta(), "error": why})
	}
	inFile := map[objectKey]*importedObject{}
	var double []string
	for _, o := range objects {
		if inFile[o.key()] != nil {
			double = append(double, o.Type+":"+o.ID)
		}
		inFile[o.key()] = o
	}
	if double != nil {
		refuse(w, http.StatusBadRequest, "Non-unique import objects detected: ["+strings.Join(double, ",")+"]")
		return
	}
	resolvable := false
	var creating []*importedObject
	for _, o := range objects {
		if s.types[o.Type] == "" {
			fail(o, map[string]any{"type": "unsupported_type"})
			continue
		}
		missing := s.missing(o, inFile, space)
		why := s.conflict(o, inFile, space, overwrite)
		if missing != nil {
			fail(o, map[string]any{"type": "missing_references", "references": missing})
		}
		if why != nil {
			fail(o, why)
		}
		if missing == nil && why == nil {
			creating = append(creating, o)
		} else {
			resolvable = true
		}
	}
	results := []map[string]any{}
	for _, o := range creating {
		if why := s.create(o, inFile, space, resolvable); why != nil {
			if why["statusCode"] == http.StatusUnprocessableEntity {
				refuse(w, http.StatusUnprocessableEntity, why["message"].(string))
				return
			}
			fail(o, why)
			continue
		}
		result := map[string]any{"type": o.Type, "id": o.ID, "meta": o.meta(), "managed": false}
		if o.overwrite {
			result["overwrite"] = true
		}
		if o.destination != "" {
			result["destinationId"] = o.destination
		}
		results = append(results, result)
	}
	answer := map[string]any{"successCount": len(results), "success": len(failures) == 0}
	warnings := []map[string]any{}
	for _, text := range s.warnings {
		warnings = append(warnings, map[string]any{"type": "simple", "message": text})
	}
	answer["warnings"] = warnings
	if len(results) > 0 {
		answer["successResults"] = results
	}
	if len(failures) > 0 {
		answer["errors"] = failures
	}
	reply(w, http.StatusOK, answer)
}

// missing returns the references to data views and searches that lead nowhere.
func (s *standIn) missing(o *importedObject, inFile map[objectKey]*importedObject, space string) (missing []refersTo) {
	for _, r := range o.References {
		if r.Type != "index-pattern" && r.Type != "search" {
			continue
		}
		key := objectKey{r.Type, r.ID}
		stored := s.store[key]
		if inFile[key] == nil && (stored == nil || stored.space != space) {
			missing = append(missing, refersTo{Type: r.Type, ID: r.ID})
		}
	}
	return missing
}

// conflict decides under which id an object will be stored.
func (s *standIn) conflict(o *importedObject, inFile map[objectKey]*importedObject, space string, overwrite bool) map[string]any {
	if stored := s.store[o.key()]; stored != nil && stored.space == space {
		o.overwrite = true
		if !overwrite {
			return map[string]any{"type": "conflict"}
		}
		return nil
	} else if stored != nil {
		s.ids++
		o.destination = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.ids)
		o.origin = o.ID
	}
	var destinations []map[string]any
	for key, stored := range s.store {
		if key.Type == o.Type && stored.space == space && stored.origin == o.ID && inFile[key] == nil {
			destinations = append(destinations, map[string]any{"id": key.ID, "title": stored.line.Attributes["title"]})
		}
	}
	slices.SortFunc(destinations, func(a, b map[string]any) int {
		return strings.Compare(a["id"].(string), b["id"].(string))
	})
	switch {
	case len(destinations) > 1:
		return map[string]any{"type": "ambiguous_conflict", "destinations": destinations}
	case len(destinations) == 1:
		o.destination, o.origin, o.overwrite = destinations[0]["id"].(string), o.ID, true
		if !overwrite {
			return map[string]any{"type": "conflict", "destinationId": o.destination}
		}
	}
	return nil
}

// create stores an object, unless this is only to be said.
func (s *standIn) create(o *importedObject, inFile map[objectKey]*importedObject, space string, onlySay bool) map[string]any {
	if onlySay {
		return nil
	}
	if newer(o.TypeMigrationVersion, s.types[o.Type]) {
		return map[string]any{"statusCode": http.StatusUnprocessableEntity, "message": fmt.Sprintf(
			"Document %q belongs to a more recent version of Kibana [%s] when the last known version is [%s].",
			o.ID, o.TypeMigrationVersion, s.types[o.Type])}
	}
	if slices.Contains(s.changing, o.ID) {
		return map[string]any{"type": "conflict"}
	}
	if title, _ := o.Attributes["title"].(string); title == "" {
		return map[string]any{
			"type": "unknown", "statusCode": 400, "error": "Bad Request",
			"message": "[attributes.title]: expected value of type [string] but got [undefined]",
		}
	}
	if slices.Contains(s.forgotten, o.ID) {
		return nil
	}
	stored := &storedObject{line: *o, space: space, origin: o.origin}
	if o.destination != "" {
		stored.line.ID = o.destination
	}
	stored.line.References = nil
	for _, r := range o.References {
		if to := inFile[objectKey{r.Type, r.ID}]; to != nil && to.destination != "" {
			r.ID = to.destination
		}
		stored.line.References = append(stored.line.References, r)
	}
	s.store[stored.line.key()] = stored
	return nil
}

// newer compares versions such as 8.9.0 and 10.2.0.
func newer(a, b string) bool {
	number := func(version string) (n int) {
		for part := range strings.SplitSeq(version, ".") {
			i, _ := strconv.Atoi(part)
			n = n*1000 + i
		}
		return n
	}
	return number(a) > number(b)
}

// export is POST _export.
func (s *standIn) export(w http.ResponseWriter, r *http.Request, space string) {
	var query struct {
		Objects []refersTo
		Deep    bool `json:"includeReferencesDeep"`
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	switch err := decoder.Decode(&query); {
	case err != nil:
		refuse(w, http.StatusBadRequest, "[request body]: "+err.Error())
		return
	case len(query.Objects) == 0:
		refuse(w, http.StatusBadRequest, "Either `type` or `objects` are required.")
		return
	case r.Header.Get("Content-Type") != "application/json":
		refuse(w, http.StatusUnsupportedMediaType, "Unsupported Media Type")
		return
	case s.noExport || !s.may(space):
		refuse(w, http.StatusForbidden, "Unable to bulk_get dashboard,index-pattern")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := []map[string]any{}
	missing := []refersTo{}
	done := map[objectKey]bool{}
	var lines []string
	for i := 0; i < len(query.Objects); i++ { // grows in the loop
		o := query.Objects[i]
		key := objectKey{o.Type, o.ID}
		if done[key] {
			continue
		}
		done[key] = true
		stored := s.store[key]
		if stored == nil || stored.space != space {
			// The name marks what was found as a reference.
			if o.Name != "" {
				missing = append(missing, refersTo{Type: o.Type, ID: o.ID})
				continue
			}
			gone = append(gone, map[string]any{"type": o.Type, "id": o.ID, "error": map[string]any{
				"statusCode": 404, "error": "Not Found", "message": "Saved object [" + o.Type + "/" + o.ID + "] not found",
			}})
			continue
		}
		if query.Deep {
			query.Objects = append(query.Objects, stored.line.References...)
		}
		line, err := json.Marshal(stored.line)
		if err != nil {
			panic(err)
		}
		lines = append(lines, string(line))
	}
	if len(gone) > 0 {
		reply(w, http.StatusBadRequest, map[string]any{
			"statusCode": 400, "error": "Bad Request", "message": "Error fetching objects to export",
			"attributes": map[string]any{"objects": gone},
		})
		return
	}
	end, err := json.Marshal(map[string]any{
		"exportedCount": len(lines), "missingRefCount": len(missing), "missingReferences": missing,
		"excludedObjects": []any{}, "excludedObjectsCount": 0,
	})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/ndjson")
	_, _ = io.WriteString(w, strings.Join(append(lines, string(end)), "\n"))
}
