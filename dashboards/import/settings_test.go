package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards"
)

// TestCA: a certificate of an authority that the system does not know.
func TestCA(t *testing.T) {
	s := unstarted()
	var server *httptest.Server
	s.start(t, func(h http.Handler) *httptest.Server {
		server = httptest.NewUnstartedServer(h)
		server.EnableHTTP2 = true
		server.StartTLS()
		return server
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, withKey, "-kibana", s.url).has(t, 1, "the certificate of "+s.url+" cannot be trusted", "-ca")
	if got := s.seen(); got != nil {
		t.Errorf("without trust arrived %q", got)
	}
	command(t, withKey, "-kibana", s.url, "-ca", ca).has(t, 0, "Imported into Kibana 8.12.0: ", s.url+"/app/dashboards#/view/")
	command(t, withKey, "-kibana", s.url, "-ca", written(t, []byte("no certificate"))).has(t, 1, "holds no certificate")
	command(t, withKey, "-kibana", s.url, "-ca", ca+"?").has(t, 1, "the CA's certificate cannot be read")
	command(t, withKey, "-kibana", strings.Replace(s.url, "https:", "http:", 1)).has(t, 1, "there is no Kibana at", "HTTPS server")
	command(t, withKey, "-kibana", strings.Replace(newStandIn(t).url, "http:", "https:", 1)).has(t, 1, "cannot be reached", "http or https must be as")
}

// TestUsage: command lines that are wrong, and help.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args   []string
		env    map[string]string
		phrase string
	}{
		{nil, nil, "-kibana is needed"},
		{[]string{"-kibanna", "x"}, nil, "-kibanna"},
		{[]string{"-kibana", "http://x", apiKey}, nil, "everything is given by flags"},
		{[]string{"-print", "-file", filepath.Join(t.TempDir(), "none")}, nil, "-print and -file exclude each other"},
		{[]string{"-kibana", "http://x", "-timeout", "0s"}, nil, "-timeout must be positive"},
		{[]string{"-kibana", "http://x", "-timeout", "soon"}, nil, "-timeout"},
		{[]string{"-kibana", "http://x", "-api-key", apiKey, "-user", user}, nil, "exclude each other"},
		{[]string{"-kibana", "http://x"}, map[string]string{"KIBANA_API_KEY": apiKey, "KIBANA_USER": user}, "exclude each other"},
		{[]string{"-kibana", "http://x", "-user", user}, nil, "KIBANA_PASSWORD"},
		{[]string{"-kibana", "http://x", "-user", ":" + password}, nil, "a name and a password"},
		{[]string{"-kibana", "localhost:5601"}, nil, "must start with http://"},
		{[]string{"-kibana", "ftp://x"}, nil, "must start with http://"},
		{[]string{"-kibana", "https://"}, nil, "must start with http://"},
		{[]string{"-kibana", "https://" + user + ":pa55word@x"}, nil, "must be given apart"},
		{[]string{"-kibana", "https://" + user + ":pa55word@x y%"}, nil, "is not a URL"},
		{[]string{"-kibana", "https://x/?token=" + apiKey}, nil, "before any ? or #"},
		{[]string{"-kibana", "https://x/app/home#/" + apiKey}, nil, "before any ? or #"},
		{[]string{"-kibana", "https://x/base/app/home"}, nil, "before /app/"},
		{[]string{"-kibana", "https://x/s/team"}, nil, "before /s/"},
		{[]string{"-kibana", "https://x", "-api-key", apiKey + "\nX: y"}, nil, "control character"},
	} {
		o := command(t, c.env, c.args...)
		o.has(t, statusUsage, c.phrase, "import -h")
		if t.Failed() {
			t.Fatalf("%q", c.args)
		}
	}
	o := command(t, withKey, "-h")
	o.has(t, 0, "-kibana URL", "Other users of the machine can see a command line", "64 wrong command line", "go run makes 1 of each", "go build -o import-dashboards ./dashboards/import\n")
	command(t, withKey, "-kibana", "http://x", "-file", filepath.Join(t.TempDir(), "none")).has(t, 1, "the file cannot be read")
}

// TestEnvironment: an address of the environment, and a key with the line break
// that files end with.
func TestEnvironment(t *testing.T) {
	s := newStandIn(t)
	command(t, map[string]string{"KIBANA_URL": s.url + "/", "KIBANA_API_KEY": apiKey + "\n"}).has(t, 0, s.url+"/app/dashboards#/view/")
}

// TestPrint: the file, and nothing else.
func TestPrint(t *testing.T) {
	o := command(t, nil, "-print")
	if o.status != 0 || o.err != "" || o.out != string(dashboards.Kibana()) {
		t.Errorf("exit status %d, %d bytes, %q", o.status, len(o.out), o.err)
	}
}
