package dashboards

import (
	"context"
	"net/http"
)

// KibanaOptions say how ImportKibana imports. The zero value imports the
// dashboards of this package into the default space of a Kibana without security.
type KibanaOptions struct {
	// APIKey is a key of Elasticsearch's in the form that it calls encoded. It
	// needs the right to write dashboards, data views and Discover's searches in
	// the space, and Saved Objects Management. It excludes User.
	APIKey string
	// User and Password are sent by HTTP basic authentication.
	User, Password string
	// Space is the id of a Kibana space, as its addresses have it after /s/.
	// Default: the default space.
	Space string
	// File is what is imported, saved objects as Kibana exports them. It is read,
	// not kept. Default: Kibana().
	File []byte
	// Client sends the requests; its timeout is that of one request. Redirects
	// are not followed whatever it says, since they could carry the credentials
	// elsewhere. Default: a client that gives each request a minute and honours
	// HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
	Client *http.Client
}

// Report is what an import did. Beside an error it is what an import that failed
// has left in Kibana.
type Report struct {
	// Version is that of the Kibana.
	Version string
	// Objects are those of the file that were imported, in its order: all of them,
	// unless there is an error.
	Objects []Object
	// Warnings are Kibana's, and what could not be confirmed after the import.
	Warnings []string
}

// Object is a saved object that has been imported.
type Object struct {
	// Type and ID are those in the file; Title is for people.
	Type, ID, Title string
	// StoredAs is the id in Kibana. It differs from ID where an object of that id
	// exists in another space: ids are unique among all spaces.
	StoredAs string
	// Overwritten says that the object was there before.
	Overwritten bool
	// URL opens the dashboard in a browser; empty for other types.
	URL string
}

// ImportKibana imports dashboards into the Kibana at an address such as
// https://kibana.example.com or http://localhost:5601/base. It asks for the
// version first and for the space, overwrites what an earlier import left, and
// confirms by an export that Kibana has every object and all that they refer to.
// An import can be repeated safely.
//
// Every error is an *[ImportError], of one of the kinds of this package. The report
// beside it is nil, unless Kibana says that it has stored objects: where the import
// failed for the others, where Kibana does not have all objects or all that they
// refer to, and where the context ended before that was confirmed. What is in the
// report can be used, and is overwritten when the import is repeated.
//
// No error and no report holds a credential. ImportKibana is safe for concurrent
// use.
//
// Kibana's API: https://www.elastic.co/docs/api/doc/kibana/group/endpoint-saved-objects
func ImportKibana(ctx context.Context, address string, options KibanaOptions) (*Report, error) {
	file := options.File
	if file == nil {
		file = Kibana()
	}
	k, err := newKibana(address, options)
	if err != nil {
		return nil, err
	}
	objects := savedObjects(file)
	if len(objects) == 0 {
		return nil, &ImportError{Kind: ErrRefused, Text: "the file holds no saved object"}
	}
	if err := k.checkVersion(ctx); err != nil {
		return nil, err
	}
	if err := k.checkSpace(ctx); err != nil {
		return nil, err
	}
	report, err := k.upload(ctx, file, objects)
	if err != nil {
		return report, err
	}
	return report, k.confirm(ctx, report)
}
