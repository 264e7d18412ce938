package routers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

// patience bounds every wait; it is only ever reached by a test that fails.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode) // else it prints its routes
	os.Exit(m.Run())
}

// logLines is what the agent has logged.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logLines) contain(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.buf.Bytes(), []byte(text))
}

// of returns the lines of an action.
func (l *logLines) of(t *testing.T, action string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []map[string]any
	scanner := bufio.NewScanner(bytes.NewReader(l.buf.Bytes()))
	for scanner.Scan() {
		var line map[string]any
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", scanner.Text(), err)
		}
		if line["event.action"] == action {
			lines = append(lines, line)
		}
	}
	return lines
}

// watched is a server with a router, its agent and the agent's log.
type watched struct {
	url   string
	agent *apmws.Agent
	log   *logLines
}

func watch(t *testing.T, router func(*apmws.Agent) http.Handler) watched {
	t.Helper()
	log := new(logLines)
	logger := zerolog.New(log)
	agent := apmws.New(apmws.Options{Logger: &logger})
	server := httptest.NewServer(router(agent))
	t.Cleanup(server.Close)
	return watched{url: server.URL, agent: agent, log: log}
}

// guest is a connection to a room.
type guest struct {
	*websocket.Conn
	path, id string
}

// visit enters all the rooms, says hello in each, and leaves them. A connection
// is used when the router has served others since.
func (s watched) visit(t *testing.T, rooms ...[2]string) {
	t.Helper()
	var guests []guest
	for _, room := range rooms {
		conn, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.url, "http")+room[0], nil)
		if err != nil {
			t.Fatalf("%s: %v (%v)", room[0], err, res)
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(patience))
		guests = append(guests, guest{conn, room[0], room[1]})
	}
	for _, g := range guests {
		if err := g.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, answer, err := g.ReadMessage(); err != nil || string(answer) != g.id+": hello" {
			t.Fatalf("%s answers %q (%v), want %q", g.path, answer, err, g.id+": hello")
		}
	}
	for _, g := range guests {
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		if err := g.WriteMessage(websocket.CloseMessage, bye); err != nil {
			t.Fatal(err)
		}
		if _, _, err := g.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			t.Fatalf("the close of %s is answered by %v", g.path, err)
		}
	}
}

// routes are the routes that the agent has reported, and their connections.
func (s watched) routes() []string {
	var routes []string
	for _, r := range s.agent.Stats().Routes {
		routes = append(routes, fmt.Sprintf("%s: %d opened, %d active", r.Route, r.ConnectionsOpened, r.ConnectionsActive))
	}
	slices.Sort(routes)
	return routes
}

// The router's own template is the route, at each level, whatever the path.
func TestRoutes(t *testing.T) {
	for _, test := range []struct {
		name    string
		router  func(*apmws.Agent) http.Handler
		room    string
		grouped string
	}{
		{"ServeMux", ServeMux, "/rooms/{id}", "/v2/rooms/{id}"},
		{"Chi", Chi, "/rooms/{id}", "/v2/rooms/{id}"},
		{"Mux", Mux, "/rooms/{id}", "/v2/rooms/{id}"},
		{"Gin", Gin, "/rooms/:id", "/v2/rooms/:id"},
		{"Echo", Echo, "/rooms/:id", "/v2/rooms/:id"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := watch(t, test.router)
			s.visit(t,
				[2]string{"/rooms/41?token=secret", "41"}, [2]string{"/v2/rooms/42?token=secret", "42"},
				[2]string{"/rooms/43", "43"}, [2]string{"/v2/rooms/44", "44"})

			want := []string{test.room + ": 2 opened, 0 active", test.grouped + ": 2 opened, 0 active"}
			eventually(t, "every connection has ended under its template", func() string {
				if got := s.routes(); !slices.Equal(got, want) {
					return fmt.Sprintf("routes are %q, want %q", got, want)
				}
				return ""
			})
			s.checkArrivals(t, [][2]string{
				{test.room, "/rooms/41"},
				{test.grouped, "/v2/rooms/42"},
				{test.room, "/rooms/43"},
				{test.grouped, "/v2/rooms/44"},
			})
		})
	}
}

// checkArrivals compares the arrival lines with routes and paths.
func (s watched) checkArrivals(t *testing.T, want [][2]string) {
	t.Helper()
	var got [][2]string
	for _, line := range s.log.of(t, "websocket-handshake") {
		got = append(got, [2]string{fmt.Sprint(line["labels.http_route"]), fmt.Sprint(line["url.path"])})
	}
	if !slices.Equal(got, want) {
		t.Errorf("arrivals (route, path) are %q, want %q", got, want)
	}
	eventually(t, "every connection has its lines", func() string {
		for _, action := range []string{"websocket-connected", "websocket-disconnected"} {
			if n := len(s.log.of(t, action)); n != len(want) {
				return fmt.Sprintf("%d lines %s, want %d", n, action, len(want))
			}
		}
		return ""
	})
	if s.log.contain("secret") {
		t.Error("the query is in the log")
	}
	if refused := s.log.of(t, "websocket-refused"); len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
}

// Around a router with its own middleware and handlers, the Hijacker reaches
// them through the router's ResponseWriter.
func TestOutermost(t *testing.T) {
	for name, router := range map[string]func() http.Handler{"Gin": GinAlone, "Echo": EchoAlone} {
		t.Run(name, func(t *testing.T) {
			s := watch(t, func(agent *apmws.Agent) http.Handler { return Outermost(agent, router()) })
			s.visit(t, [2]string{"/rooms/42", "42"}, [2]string{"/rooms/43", "43"})
			eventually(t, "every connection has ended under its template", func() string {
				if got, want := s.routes(), []string{"/rooms/{id}: 2 opened, 0 active"}; !slices.Equal(got, want) {
					return fmt.Sprintf("routes are %q, want %q", got, want)
				}
				return ""
			})
			s.checkArrivals(t, [][2]string{{"/rooms/{id}", "/rooms/42"}, {"/rooms/{id}", "/rooms/43"}})
		})
	}
}

// What is no handshake, or has no route, is answered by the router as ever and
// makes no route.
func TestOtherRequests(t *testing.T) {
	for name, router := range map[string]func(*apmws.Agent) http.Handler{
		"ServeMux": ServeMux, "Chi": Chi, "Mux": Mux, "Gin": Gin, "Echo": Echo,
		"Outermost Gin":  func(agent *apmws.Agent) http.Handler { return Outermost(agent, GinAlone()) },
		"Outermost Echo": func(agent *apmws.Agent) http.Handler { return Outermost(agent, EchoAlone()) },
	} {
		t.Run(name, func(t *testing.T) {
			s := watch(t, router)
			for path, want := range map[string]int{
				"/rooms/42": http.StatusBadRequest, // by gorilla's Upgrade
				"/none/42":  http.StatusNotFound,
			} {
				if got := status(t, s.url+path); got != want {
					t.Errorf("%s is answered by %d, want %d", path, got, want)
				}
			}
			_, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.url, "http")+"/none/42", nil)
			if err == nil || res == nil || res.StatusCode != http.StatusNotFound {
				t.Errorf("a handshake for no route is answered by %v (%v)", res, err)
			}
			if routes := s.routes(); len(routes) > 0 {
				t.Errorf("routes came of nothing: %q", routes)
			}
		})
	}
}

// A refusal has the template too.
func TestRefusal(t *testing.T) {
	for name, router := range map[string]func(*apmws.Agent) http.Handler{
		"/rooms/{id} of ServeMux": ServeMux, "/rooms/{id} of Chi": Chi, "/rooms/{id} of Mux": Mux,
		"/rooms/:id of Gin": Gin, "/rooms/:id of Echo": Echo,
	} {
		t.Run(name, func(t *testing.T) {
			want, _, _ := strings.Cut(name, " ")
			s := watch(t, router)
			header := http.Header{"Origin": {"https://evil.example"}}
			_, res, err := websocket.DefaultDialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(s.url, "http")+"/rooms/42", header)
			if err == nil || res == nil || res.StatusCode != http.StatusForbidden {
				t.Fatalf("another site's page is answered by %v (%v)", res, err)
			}
			eventually(t, "the refusal is in the log", func() string {
				refused := s.log.of(t, "websocket-refused")
				if len(refused) != 1 || refused[0]["labels.http_route"] != want || refused[0]["http.response.status_code"] != float64(http.StatusForbidden) {
					return fmt.Sprintf("refusals are %v, want one of %s", refused, want)
				}
				return ""
			})
		})
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// eventually waits until problem returns none.
func eventually(t *testing.T, what string, problem func() string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		found := problem()
		if found == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s: %s", what, found)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
