package interop

import (
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

// server is a net/http server with its ErrorLog.
type server struct {
	*httptest.Server
	errors *logLines
}

// start serves h over TCP or TLS. It ends with the test.
func start(t *testing.T, h http.Handler, withTLS bool, configure ...func(*http.Server)) *server {
	t.Helper()
	s := &server{httptest.NewUnstartedServer(h), &logLines{}}
	s.Config.ErrorLog = log.New(s.errors, "", 0)
	for _, f := range configure {
		f(s.Config)
	}
	if withTLS {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		s.Client().CloseIdleConnections()
		s.Close()
	})
	return s
}

// startOn serves h over TCP on a listener that wrap has changed.
func startOn(t *testing.T, h http.Handler, wrap func(net.Listener) net.Listener) *server {
	t.Helper()
	s := &server{httptest.NewUnstartedServer(h), &logLines{}}
	s.Config.ErrorLog = log.New(s.errors, "", 0)
	s.Listener = wrap(s.Listener)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// clientTLS returns a configuration that trusts the server, nil without TLS.
func (s *server) clientTLS() *tls.Config {
	if s.TLS == nil {
		return nil
	}
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "example.com" // in the certificate of httptest
	return config
}

// route is the template under which the tests report.
const route = "/rooms/{id}"

// watch is an agent with all that it tells.
type watch struct {
	agent *apmws.Agent
	rec   *recorder
	log   *logLines
}

func newWatch(opts apmws.Options) *watch {
	w := &watch{rec: &recorder{}, log: &logLines{}}
	logger := zerolog.New(w.log)
	opts.Logger = &logger
	opts.Exporters = append(opts.Exporters, w.rec)
	w.agent = apmws.New(opts)
	return w
}

// stats returns the counters of the route.
func (w *watch) stats(t *testing.T) apmws.RouteStats {
	t.Helper()
	for _, r := range w.agent.Stats().Routes {
		if r.Route == route {
			return r
		}
	}
	t.Fatal("no statistics of ", route)
	panic("unreachable")
}

// end waits for the only connection's end, on all channels.
func (w *watch) end(t *testing.T) endEvent {
	t.Helper()
	eventually(t, "an exported and a logged end", func() bool {
		return len(w.rec.ends()) == 1 && len(w.log.lines("websocket-disconnected")) == 1
	})
	if strays := w.rec.strays(); len(strays) > 0 {
		t.Error("strays:", strays)
	}
	return w.rec.ends()[0]
}

// idle waits until no connection is open.
func (w *watch) idle(t *testing.T) {
	t.Helper()
	eventually(t, "no open connection", func() bool {
		return len(w.agent.Connections()) == 0 && w.stats(t).ConnectionsActive == 0
	})
}

// briefly is a deadline that is met on purpose.
func briefly() time.Time { return time.Now().Add(20 * time.Millisecond) }
