package dashboards

import (
	"errors"
	"strings"
)

// The kinds of failures, for errors.Is.
var (
	// ErrOptions: the address or the options cannot be used.
	ErrOptions = errors.New("dashboards: unusable address or options")
	// ErrUnreachable: no answer came, or the context ended, whose error is wrapped.
	ErrUnreachable = errors.New("dashboards: Kibana cannot be reached")
	// ErrUnavailable: Kibana is starting, overloaded or broken.
	ErrUnavailable = errors.New("dashboards: Kibana is unavailable")
	// ErrAnswer: what answered is not a Kibana, or not as Kibana does.
	ErrAnswer = errors.New("dashboards: not an answer of Kibana's")
	// ErrAuth: Kibana does not know the credentials, or they lack rights.
	ErrAuth = errors.New("dashboards: not permitted")
	// ErrVersion: Kibana is too old for the file.
	ErrVersion = errors.New("dashboards: Kibana is too old")
	// ErrSpace: the space does not exist.
	ErrSpace = errors.New("dashboards: no such space")
	// ErrConflict: objects that exist stand in the way.
	ErrConflict = errors.New("dashboards: conflict")
	// ErrMissingReferences: an object refers to one that is neither in the file
	// nor in Kibana.
	ErrMissingReferences = errors.New("dashboards: missing references")
	// ErrRefused: Kibana did not take the file, or some of its objects.
	ErrRefused = errors.New("dashboards: refused")
	// ErrNotStored: Kibana said that it had imported objects, and does not have
	// them.
	ErrNotStored = errors.New("dashboards: not stored")
)

// ImportError says why an import failed.
type ImportError struct {
	// Kind is one of the Err variables of this package.
	Kind error
	// Text says what happened, in a sentence without a full stop.
	Text string
	// Status is the HTTP status that Kibana answered with, 0 without an answer.
	// Kibana answers many a failed import with 200.
	Status int
	// Objects are those of which Kibana said something.
	Objects []ObjectProblem
	// Err is what is below, such as an error of package net or the context's.
	Err error
}

// Error returns the text and what is said of each object.
func (e *ImportError) Error() string {
	var b strings.Builder
	b.WriteString("dashboards: ")
	b.WriteString(e.Text)
	for i := range e.Objects {
		b.WriteString("; ")
		b.WriteString(e.Objects[i].String())
	}
	return b.String()
}

// Unwrap returns Kind and Err.
func (e *ImportError) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// ObjectProblem is what Kibana says of an object that it did not import.
type ObjectProblem struct {
	// Type and ID are those in the file; Title is for people.
	Type, ID, Title string
	// Reason is Kibana's word: conflict, ambiguous_conflict, missing_references,
	// unsupported_type or unknown; or not_found, for an object that Kibana said it
	// had imported and does not have.
	Reason string
	// Message is Kibana's explanation, empty for most reasons.
	Message string
	// Related are the objects that are missing, or in the way, as type:id.
	Related []string
}

// String explains the problem in plain words, without a full stop.
func (p ObjectProblem) String() string {
	name := p.Type + " " + p.ID
	if p.Title != "" {
		name += " (" + p.Title + ")"
	}
	related := strings.Join(p.Related, ", ")
	switch p.Reason {
	case "conflict":
		if related != "" {
			return name + " exists already as " + related
		}
		return name + " exists already, or was changed at the same moment"
	case "ambiguous_conflict":
		return name + " could overwrite any of " + related
	case "missing_references":
		return name + " refers to what is neither in the file nor in Kibana: " + related
	case "unsupported_type":
		return name + " is of a type that this Kibana does not import"
	case "not_found":
		return name + " was imported, says Kibana, but is not there"
	default:
		if p.Message == "" {
			return name + " was refused without a reason (" + p.Reason + ")"
		}
		return name + " was refused: " + p.Message
	}
}
