package interop

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gorilla/sessions"
	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// sessionLibrary is a library that keeps sessions on the server.
type sessionLibrary struct {
	// around is the middleware that loads the session.
	around func(http.Handler) http.Handler
	// change sets a value of the session and commits it.
	change func(w http.ResponseWriter, r *http.Request, key, value string) error
	// find reads a value of the session whose cookie came with the request, from
	// the store.
	find func(r *http.Request, key string) (string, error)
}

const sessionCookie = "session"

// newSCS returns what scs.New does, with a store that starts no goroutine.
func newSCS() *scs.SessionManager {
	return &scs.SessionManager{
		Store:    memstore.NewWithCleanupInterval(0),
		Codec:    scs.GobCodec{},
		Lifetime: time.Hour,
		Cookie:   scs.SessionCookie{Name: sessionCookie, Path: "/", HttpOnly: true, Persist: true},
	}
}

func withSCS(*testing.T) sessionLibrary {
	m := newSCS()
	return sessionLibrary{
		around: m.LoadAndSave,
		change: func(w http.ResponseWriter, r *http.Request, key, value string) error {
			ctx := r.Context()
			m.Put(ctx, key, value)
			token, expiry, err := m.Commit(ctx)
			if err == nil {
				m.WriteSessionCookie(ctx, w, token, expiry)
			}
			return err
		},
		find: func(r *http.Request, key string) (string, error) {
			cookie, err := r.Cookie(sessionCookie)
			if err != nil {
				return "", err
			}
			ctx, err := m.Load(context.Background(), cookie.Value)
			if err != nil {
				return "", err
			}
			return m.GetString(ctx, key), nil
		},
	}
}

func withGorillaSessions(t *testing.T) sessionLibrary {
	store := sessions.NewFilesystemStore(t.TempDir(), slices.Repeat([]byte("k"), 32))
	return sessionLibrary{
		around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := store.Get(r, sessionCookie); err != nil {
					http.Error(w, "no session", http.StatusInternalServerError)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		change: func(w http.ResponseWriter, r *http.Request, key, value string) error {
			session, err := store.Get(r, sessionCookie)
			if err != nil {
				return err
			}
			session.Values[key] = value
			return session.Save(r, w)
		},
		find: func(r *http.Request, key string) (string, error) {
			session, err := store.Get(r, sessionCookie)
			if err != nil {
				return "", err
			}
			value, _ := session.Values[key].(string)
			return value, nil
		},
	}
}

// waits upgrades with gorilla and returns when the connection ends, as most
// handlers do.
func waits(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// sessionHandlers commit a change before the upgrade, on each level.
func sessionHandlers(w *watch, change func(http.ResponseWriter, *http.Request) error) map[string]http.Handler {
	return map[string]http.Handler{
		"by hand": http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if err := change(rw, r); err != nil {
				http.Error(rw, "no", http.StatusInternalServerError)
				return
			}
			waits(rw, r)
		}),
		"Endpoint": w.agent.Endpoint(route, apmws.EndpointOptions{
			BeforeUpgrade: change,
			Message:       func(context.Context, apmws.Message) error { return nil },
		}),
	}
}

// TestSessions: a session that is changed before the upgrade is in the store when
// the client reads the 101, and its cookie is in that; wherever the agent is.
func TestSessions(t *testing.T) {
	t.Parallel()
	for libraryName, library := range map[string]func(*testing.T) sessionLibrary{"scs": withSCS, "gorilla": withGorillaSessions} {
		for _, level := range []string{"by hand", "Endpoint"} {
			for placeName, place := range map[string]func(*watch, sessionLibrary, http.Handler) http.Handler{
				"agent outside": func(w *watch, l sessionLibrary, h http.Handler) http.Handler {
					return w.agent.Handler(route, l.around(h))
				},
				"agent on both sides": func(w *watch, l sessionLibrary, h http.Handler) http.Handler {
					return w.agent.Handler(route, hidesHijacker(l.around(w.agent.Handler("/inner", h))))
				},
				"agent inside": func(w *watch, l sessionLibrary, h http.Handler) http.Handler {
					return l.around(w.agent.Handler(route, h))
				},
			} {
				t.Run(libraryName+"/"+level+"/"+placeName, func(t *testing.T) {
					t.Parallel()
					w, l := newWatch(apmws.Options{}), library(t)
					h := sessionHandlers(w, func(rw http.ResponseWriter, r *http.Request) error {
						return l.change(rw, r, "billing", "checked")
					})[level]
					returned := make(chan struct{})
					placed := place(w, l, h)
					srv := start(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
						defer close(returned)
						placed.ServeHTTP(rw, r)
					}), false)
					conn, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http"), nil)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					cookies := res.Cookies()
					if len(cookies) != 1 || cookies[0].Name != sessionCookie {
						t.Fatalf("the 101 has the cookies %v", cookies)
					}
					asked := httptest.NewRequest(http.MethodGet, "/", nil)
					asked.AddCookie(cookies[0])
					if value, err := l.find(asked, "billing"); value != "checked" || err != nil {
						t.Errorf("the store has %q (%v)", value, err)
					}
					conn.Close()
					w.end(t)
					receive(t, "the handler's end", returned)
					if s := w.stats(t); s.ConnectionsOpened != 1 || len(s.Refused) != 0 || len(w.agent.Stats().Routes) > 2 {
						t.Errorf("counted %+v", w.agent.Stats().Routes)
					}
					// scs sets its cookie again when the handler returns: the same.
					if lost := w.log.lines("websocket-cookie-lost"); len(lost) > 0 {
						t.Errorf("a cookie is lost: %v", lost)
					}
				})
			}
		}
	}
}

// TestSessionRefused: BeforeUpgrade refuses by an error, by an answer of its own
// and by a panic, and what it has set is in the answer.
func TestSessionRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		hook   func(http.ResponseWriter) error
		status int
		reason string
		body   string
	}{
		"an error":  {func(http.ResponseWriter) error { return errors.New("the store is down") }, 500, "upgrade_failed", "Internal Server Error\n"},
		"Refuse":    {func(http.ResponseWriter) error { return apmws.Refuse(503, "draining") }, 503, "draining", "Service Unavailable\n"},
		"an answer": {func(w http.ResponseWriter) error { http.Error(w, "later", http.StatusServiceUnavailable); return nil }, 503, "_OTHER", "later\n"},
		"a panic":   {func(http.ResponseWriter) error { panic("the store is nil") }, 500, "upgrade_failed", "Internal Server Error\n"},
		"a redirection": {func(w http.ResponseWriter) error {
			w.Header().Set("Location", "/login")
			w.WriteHeader(http.StatusSeeOther)
			return nil
		}, 303, "_OTHER", ""},
	} {
		for placeName, around := range map[string]func(*watch, http.Handler) http.Handler{
			"alone":         func(_ *watch, h http.Handler) http.Handler { return h },
			"inside of scs": func(_ *watch, h http.Handler) http.Handler { return newSCS().LoadAndSave(h) },
			"on both sides": func(w *watch, h http.Handler) http.Handler {
				return w.agent.Handler(route, newSCS().LoadAndSave(h))
			},
		} {
			t.Run(name+"/"+placeName, func(t *testing.T) {
				t.Parallel()
				w := newWatch(apmws.Options{})
				h := w.agent.Endpoint(route, apmws.EndpointOptions{
					BeforeUpgrade: func(rw http.ResponseWriter, _ *http.Request) error {
						http.SetCookie(rw, &http.Cookie{Name: "a", Value: "1"})
						return test.hook(rw)
					},
					Message: func(context.Context, apmws.Message) error { t.Error("a message"); return nil },
				})
				p := start(t, around(w, h), false).connect(t)
				res := p.ask(handshake())
				defer res.Body.Close()
				body := make([]byte, 100)
				n, _ := res.Body.Read(body)
				if res.StatusCode != test.status || string(body[:n]) != test.body || len(res.Cookies()) != 1 {
					t.Errorf("%s, %q, %v", res.Status, body[:n], res.Cookies())
				}
				eventually(t, "the line", func() bool { return len(w.log.lines("websocket-refused")) == 1 })
				if line := w.log.lines("websocket-refused")[0]; line["labels.websocket_refusal_reason"] != test.reason {
					t.Errorf("the line is %v", line)
				}
				if s := w.stats(t); len(s.Refused) != 1 || s.Refused[0].Status != test.status || s.ConnectionsOpened != 0 {
					t.Errorf("counted %+v", s)
				}
			})
		}
	}
}

// TestBeforeUpgradeContext: the hook gets what Authenticate has put into the
// context, and is inside CONNECT.
func TestBeforeUpgradeContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	w := newWatch(apmws.Options{})
	order := make(chan string, 3)
	h := w.agent.Endpoint(route, apmws.EndpointOptions{
		Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
			order <- "Authenticate"
			return context.WithValue(ctx, key{}, "ana"), nil
		},
		BeforeUpgrade: func(_ http.ResponseWriter, r *http.Request) error {
			user, _ := r.Context().Value(key{}).(string)
			apmws.FromContext(r.Context()).SetUser(user)
			if opens := len(w.rec.opens()); opens != 0 {
				t.Errorf("CONNECT has ended: %d", opens)
			}
			order <- "BeforeUpgrade"
			return nil
		},
		Connect: func(ctx context.Context, _ *apmws.Conn) (context.Context, error) {
			order <- "Connect"
			return ctx, nil
		},
		Message: func(context.Context, apmws.Message) error { return nil },
	})
	p := start(t, h, false).upgrade(t)
	closed(1000)(p)
	w.end(t)
	for _, want := range []string{"Authenticate", "BeforeUpgrade", "Connect"} {
		if got := receive(t, want, order); got != want {
			t.Errorf("%s before %s", got, want)
		}
	}
	if user := w.log.lines("websocket-connected")[0]["user.id"]; user != "ana" {
		t.Errorf("the user is %v", user)
	}
}

// TestSignOut: scs saves the session when the handler returns. A usual handler
// returns when its connection ends, and so signs a user in again who has signed
// out meanwhile. Endpoint's returns at once.
func TestSignOut(t *testing.T) {
	t.Parallel()
	for level, signedInAgain := range map[string]bool{"by hand": true, "Endpoint": false} {
		for name, place := range map[string]func(w *watch, around func(http.Handler) http.Handler, h http.Handler) http.Handler{
			"agent outside": func(w *watch, around func(http.Handler) http.Handler, h http.Handler) http.Handler {
				return w.agent.Handler(route, around(w.agent.Handler(route, h)))
			},
			"agent inside": func(w *watch, around func(http.Handler) http.Handler, h http.Handler) http.Handler {
				return around(w.agent.Handler(route, h))
			},
			"no agent": func(_ *watch, around func(http.Handler) http.Handler, h http.Handler) http.Handler {
				return around(h)
			},
		} {
			if level == "Endpoint" && name == "no agent" {
				continue // it is an agent's
			}
			t.Run(level+"/"+name, func(t *testing.T) {
				t.Parallel()
				w, m := newWatch(apmws.Options{}), newSCS()
				socket := place(w, m.LoadAndSave, sessionHandlers(w, func(rw http.ResponseWriter, r *http.Request) error {
					ctx := r.Context()
					m.Put(ctx, "billing", "checked")
					token, expiry, err := m.Commit(ctx)
					m.WriteSessionCookie(ctx, rw, token, expiry)
					return err
				})[level])
				returned := make(chan struct{})
				mux := http.NewServeMux()
				mux.HandleFunc("/socket", func(rw http.ResponseWriter, r *http.Request) {
					defer close(returned)
					socket.ServeHTTP(rw, r)
				})
				for path, act := range map[string]func(http.ResponseWriter, *http.Request){
					"/in":  func(_ http.ResponseWriter, r *http.Request) { m.Put(r.Context(), "user", "ana") },
					"/who": func(rw http.ResponseWriter, r *http.Request) { put(rw, m.GetString(r.Context(), "user")) },
					"/out": func(rw http.ResponseWriter, r *http.Request) {
						if err := m.Destroy(r.Context()); err != nil {
							http.Error(rw, err.Error(), http.StatusInternalServerError)
						}
					},
				} {
					mux.Handle(path, m.LoadAndSave(http.HandlerFunc(act)))
				}
				srv := start(t, mux, false)
				cookie := "" // of the first answer, sent ever since
				get := func(path string) string {
					t.Helper()
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, http.NoBody)
					if err != nil {
						t.Fatal(err)
					}
					if cookie != "" {
						req.Header.Set("Cookie", cookie)
					}
					res, err := srv.Client().Do(req)
					if err != nil {
						t.Fatal(err)
					}
					defer res.Body.Close()
					if cookie == "" {
						cookie, _, _ = strings.Cut(res.Header.Get("Set-Cookie"), ";")
					}
					b := make([]byte, 100)
					n, _ := res.Body.Read(b)
					return string(b[:n])
				}
				get("/in")
				conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(srv.URL, "http")+"/socket", http.Header{"Cookie": {cookie}})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if level == "Endpoint" {
					receive(t, "the handler's end", returned)
				}
				if who := get("/who"); who != "ana" {
					t.Errorf("with the socket open it is %q", who)
				}
				get("/out")
				if who := get("/who"); who != "" {
					t.Errorf("signed out, it is %q", who)
				}
				conn.Close()
				if level != "Endpoint" {
					receive(t, "the handler's end", returned)
				} else {
					w.end(t)
				}
				if who := get("/who"); (who == "ana") != signedInAgain {
					t.Errorf("when the socket has been closed it is %q", who)
				}
			})
		}
	}
}

// TestLostCookie: middleware inside of the agent that sets a cookie when the
// handler has returned is warned of, with every library and on every level; one
// that has set it before is not.
func TestLostCookie(t *testing.T) {
	t.Parallel()
	after := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			http.SetCookie(rw, &http.Cookie{Name: "early", Value: "1"})
			next.ServeHTTP(rw, r)
			http.SetCookie(rw, &http.Cookie{Name: "late", Value: "a-secret"})
		})
	}
	check := func(t *testing.T, w *watch, h http.Handler) {
		returned := make(chan struct{})
		placed := w.agent.Handler(route, after(h))
		p := start(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			defer close(returned)
			placed.ServeHTTP(rw, r)
		}), false).upgrade(t)
		closed(1000)(p)
		w.end(t)
		receive(t, "the handler's end", returned)
		lost := w.log.lines("websocket-cookie-lost")
		if len(lost) != 1 || lost[0]["labels.websocket_cookie_names"] != "late" || lost[0]["level"] != "warn" {
			t.Errorf("the lines are %v", lost)
		}
		if strings.Contains(w.log.String(), "a-secret") {
			t.Error("the log has the cookie's value")
		}
	}
	eachLibrary(t, func(t *testing.T, l library) {
		check(t, newWatch(apmws.Options{}), l.serve(upgrading{}, echo))
	})
	t.Run("Endpoint", func(t *testing.T) {
		t.Parallel()
		w := newWatch(apmws.Options{})
		check(t, w, w.agent.Endpoint("/inner", apmws.EndpointOptions{Message: func(context.Context, apmws.Message) error { return nil }}))
	})
	// scs without a commit before the upgrade: its cookie is the one that is lost.
	t.Run("scs", func(t *testing.T) {
		t.Parallel()
		w, m := newWatch(apmws.Options{}), newSCS()
		h := w.agent.Handler(route, m.LoadAndSave(w.agent.Endpoint(route, apmws.EndpointOptions{
			Authenticate: func(ctx context.Context, _ *http.Request) (context.Context, error) {
				m.Put(ctx, "user", "ana")
				return ctx, nil
			},
			Message: func(context.Context, apmws.Message) error { return nil },
		})))
		p := start(t, h, false).upgrade(t)
		closed(1000)(p)
		eventually(t, "the line", func() bool { return len(w.log.lines("websocket-cookie-lost")) == 1 })
		if line := w.log.lines("websocket-cookie-lost")[0]; line["labels.websocket_cookie_names"] != sessionCookie {
			t.Errorf("the line is %v", line)
		}
		w.end(t)
	})
}
