package hour

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/apmws/go-apmws/exporters/wire/intake"
)

// Modes of what Save writes, for everybody to read.
const readable, traversable = 0o644, 0o755

// saved are the names of the files that Save writes, as patterns of path.Match.
var saved = []string{"intake-*.ndjson", "bulk-*.ndjson", "hour.json"}

// Save writes what can be loaded into a real stack to a directory, which it makes if
// need be; what it has written there before it removes.
//
//   - intake-00001.ndjson and so on: each of Requests, for the path
//     /intake/v2/events of an APM Server, with the content type
//     application/x-ndjson.
//   - bulk-STREAM.ndjson: Logs, and Aggregates by their data stream, each for the
//     path /STREAM/_bulk of Elasticsearch. An APM Server that gets the requests
//     makes aggregates of its own, but of the time at which it gets them.
//   - hour.json: start and end of the hour, in RFC 3339, and the names of the
//     environments.
//
// To load it twice makes everything double.
func (r *Recording) Save(dir string) error {
	if err := os.MkdirAll(dir, traversable); err != nil {
		return err
	}
	if err := removeSaved(dir); err != nil {
		return err
	}
	for i, request := range r.Requests {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("intake-%05d.ndjson", i+1)), request.Body, readable); err != nil {
			return err
		}
	}
	streams, environments := map[string][]intake.Document{}, map[string]bool{}
	for _, documents := range [][]intake.Document{r.Logs, r.Aggregates} {
		for _, d := range documents {
			streams[d.Stream()] = append(streams[d.Stream()], d)
			environments[d.Text("service.environment")] = true
		}
	}
	for stream, documents := range streams {
		if err := writeBulk(filepath.Join(dir, "bulk-"+stream+".ndjson"), documents); err != nil {
			return err
		}
	}
	about, err := json.Marshal(map[string]any{
		"start": r.Start.Format(time.RFC3339Nano), "end": r.End.Format(time.RFC3339Nano),
		"environments": slices.Sorted(maps.Keys(environments)),
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "hour.json"), append(about, '\n'), readable)
}

// removeSaved removes what an earlier Save has written: there may be more of it.
func removeSaved(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		for _, pattern := range saved {
			ours, err := path.Match(pattern, entry.Name())
			if err == nil && ours {
				err = os.Remove(filepath.Join(dir, entry.Name()))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// writeBulk writes documents in Elasticsearch's bulk format.
func writeBulk(name string, documents []intake.Document) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	lines := json.NewEncoder(w)
	action := map[string]any{"create": map[string]any{}}
	for _, d := range documents {
		err = errors.Join(err, lines.Encode(action), lines.Encode(d))
	}
	return errors.Join(err, w.Flush(), f.Close())
}
