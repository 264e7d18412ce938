package newrelicws

import (
	"net/http"
	"testing"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

// failed is what the agent says of posts that failed.
func failed(agent *apmws.Agent) int64 {
	for _, d := range agent.Stats().Dropped {
		if d.Exporter == "newrelicws" && d.Reason == "requests" {
			return d.Count
		}
	}
	return 0
}

// TestCountRequests: posts of data that were not taken are counted, and those that
// connect are not.
func TestCountRequests(t *testing.T) {
	for name, fall := range map[string]func(*collector){
		"away":    func(c *collector) { c.away = true },
		"refused": func(c *collector) { c.restart = true },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector()
			log := &logs{expected: []string{"harvest failure", "application connect failure"}}
			app := startApp(t, c, log, CountRequests)
			connect(t, app)
			e := New(app)
			agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{e}})
			openConn(t, e)
			if err := agent.Shutdown(soon(t)); err != nil {
				t.Fatal(err)
			}
			if n := failed(agent); n != 0 {
				t.Errorf("%d before any has failed", n)
			}
			c.set(fall)
			app.Shutdown(10 * time.Second)
			if n := failed(agent); n < 1 {
				t.Errorf("%d failed posts are counted", n)
			}
		})
	}
	t.Run("never connected", func(t *testing.T) {
		c := newCollector()
		c.away = true
		log := &logs{expected: []string{"application connect failure"}}
		agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{New(startApp(t, c, log, CountRequests))}})
		poll(t, "a failure to connect", func() bool { return log.count() > 0 })
		if n := failed(agent); n != 0 {
			t.Errorf("%d", n)
		}
	})
	t.Run("taken", func(t *testing.T) {
		c := newCollector()
		app := newApp(t, c, CountRequests)
		e := New(app)
		agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{e}})
		openConn(t, e)
		if err := agent.Shutdown(soon(t)); err != nil {
			t.Fatal(err)
		}
		if h := c.harvest(t, app); len(h.transactions) == 0 || failed(agent) != 0 {
			t.Errorf("transactions %v, %d failed posts", names(h.transactions), failed(agent))
		}
	})
}

// TestCountRequestsByDefault: where the application has no transport of its own the
// agent's is replaced by one like it.
func TestCountRequestsByDefault(t *testing.T) {
	var cfg newrelic.Config
	CountRequests(&cfg)
	next, ok := cfg.Transport.(*requestCounter).next.(*http.Transport)
	if !ok || next.Proxy == nil || next.DialContext == nil || !next.ForceAttemptHTTP2 || next.MaxIdleConnsPerHost != 100 {
		t.Errorf("%+v", cfg.Transport)
	}
}
