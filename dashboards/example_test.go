package dashboards_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/apmws/go-apmws/dashboards"
)

// A service that imports its dashboards when it is deployed.
func ExampleImportKibana() {
	report, err := dashboards.ImportKibana(context.Background(), "https://kibana.example.com", dashboards.KibanaOptions{
		APIKey: os.Getenv("KIBANA_API_KEY"),
		Space:  "team",
	})
	switch {
	case errors.Is(err, dashboards.ErrUnavailable), errors.Is(err, dashboards.ErrUnreachable):
		fmt.Println("later:", err)
		return
	case err != nil:
		fmt.Println(err)
		return
	}
	for _, o := range report.Objects {
		if o.URL != "" {
			fmt.Println(o.Title, o.URL)
		}
	}
}

// What an error tells.
func ExampleImportError() {
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"version":{"number":"8.11.4"},"status":{"overall":{"level":"available"}}}`)
	}))
	defer old.Close()
	_, err := dashboards.ImportKibana(context.Background(), old.URL, dashboards.KibanaOptions{})
	var failure *dashboards.ImportError
	if errors.As(err, &failure) {
		fmt.Println(errors.Is(err, dashboards.ErrVersion), failure.Status)
	}
	// Output: true 200
}
