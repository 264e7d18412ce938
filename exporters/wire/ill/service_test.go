package ill

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/livews"
)

// What each message that is called load carries to the back end, as attributes of its
// transaction and of a span. No two carry the same. Others carry a hundredth.
const (
	ownAttributes  = 16
	spanAttributes = 4
	attributeBytes = 1000 // New Relic cuts them, and keeps what it has cut from
	messageBytes   = (ownAttributes + spanAttributes) * attributeBytes
)

// service is a program that serves WebSockets: an echo.
type service struct {
	agent  *apmws.Agent
	server *httptest.Server
}

func newService(t testing.TB, exporters ...apmws.Exporter) *service {
	t.Helper()
	view := livews.New(livews.Options{Transactions: 20})
	agent := apmws.New(apmws.Options{
		Exporters: append(exporters, view),
		Messages: apmws.MessageOptions{
			Name: func(dst []byte, _ apmws.MessageType, payload []byte) []byte {
				name, _, _ := bytes.Cut(payload, []byte(" "))
				return append(dst, name...)
			},
			Names: []string{"load", "probe", "after"},
		},
	})
	mux := http.NewServeMux()
	for _, route := range []string{"/load", "/after"} {
		opts := apmws.EndpointOptions{Message: echo}
		opts.Heartbeat.Interval = -1 // the peers read nothing but answers
		mux.Handle(route, agent.Endpoint(route, opts))
	}
	mux.Handle("/live/", view)
	s := &service{agent: agent, server: httptest.NewServer(mux)}
	t.Cleanup(s.server.Close)
	return s
}

// echo answers a message, which is a name and where its content begins.
func echo(ctx context.Context, m apmws.Message) error {
	conn := apmws.FromContext(ctx)
	name, number, _ := strings.Cut(string(m.Data), " ")
	at, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	size := attributeBytes
	if name != "load" {
		size /= 100
	}
	content := strings.Clone(random()[at : at+(ownAttributes+spanAttributes)*size])
	attrs := make([]slog.Attr, 0, ownAttributes+spanAttributes)
	for i := range cap(attrs) {
		attrs = append(attrs, slog.String(fmt.Sprint("content.", i), content[i*size:(i+1)*size]))
	}
	conn.SetAttrs(attrs[:ownAttributes]...)
	_, span := apmws.StartSpan(ctx, "SET", apmws.SpanOptions{
		Type: "db.redis.query", Destination: "redis", Attrs: attrs[ownAttributes:],
	})
	span.End(nil)
	return conn.Write(ctx, m.Type, m.Data)
}

// peers are open connections to a route.
type peers struct {
	t       testing.TB
	service *service
	conns   []*websocket.Conn
}

func (s *service) dial(t testing.TB, route string, n int) *peers {
	t.Helper()
	p := &peers{t: t, service: s}
	for range n {
		conn, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(s.server.URL, "http")+route, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.conns = append(p.conns, conn)
	}
	return p
}

// random is text that does not become shorter by compression.
var random = sync.OnceValue(func() string {
	raw := make([]byte, 1<<20)
	r := rand.New(rand.NewSource(1))
	for i := range raw {
		raw[i] = byte(r.Int())
	}
	return base64.StdEncoding.EncodeToString(raw)
})

// latency is how long messages took.
type latency struct{ median, mean, longest time.Duration }

// say sends messages of that name on each connection, one after the other, and
// waits for the answer to each.
func (p *peers) say(name string, each int) (l latency) {
	p.t.Helper()
	took := make([]time.Duration, each*len(p.conns))
	var all sync.WaitGroup
	for i, conn := range p.conns {
		all.Go(func() {
			for n := i * each; n < (i+1)*each; n++ {
				start := time.Now()
				if err := echoed(conn, fmt.Sprint(name, " ", n*messageBytes%(len(random())-messageBytes))); err != nil {
					p.t.Errorf("message %d: %v", n, err)
					return
				}
				took[n] = time.Since(start)
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	for _, d := range took {
		l.mean += d / time.Duration(len(took))
	}
	l.median, l.longest = took[len(took)/2], took[len(took)-1]
	return l
}

func echoed(conn *websocket.Conn, message string) error {
	if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	_, answer, err := conn.ReadMessage()
	if err == nil && string(answer) != message {
		return fmt.Errorf("answered %q, want %q", answer, message)
	}
	return err
}

// hangUp closes the connections in good order, and waits until the service has
// noticed.
func (p *peers) hangUp() {
	p.t.Helper()
	before := len(p.service.agent.Connections())
	for _, conn := range p.conns {
		frame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		if err := conn.WriteControl(websocket.CloseMessage, frame, time.Now().Add(time.Minute)); err != nil {
			p.t.Error(err)
		}
		_, _, _ = conn.ReadMessage() // the answer
		conn.Close()
	}
	poll(p.t, time.Minute, "the connections to end", func() bool {
		return len(p.service.agent.Connections()) <= before-len(p.conns)
	})
}

// counted returns what the agent says was given up, by reason.
func (s *service) counted(exporter string) map[string]int64 {
	reasons := make(map[string]int64)
	for _, d := range s.agent.Stats().Dropped {
		if d.Exporter == exporter && d.Count > 0 {
			reasons[d.Reason] = d.Count
		}
	}
	return reasons
}

// shown returns what the live page says was given up, by reason.
func (s *service) shown(t testing.TB, exporter string) map[string]int64 {
	t.Helper()
	resp, err := http.Get(s.server.URL + "/live/data.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var page livews.Document
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		t.Fatal(err)
	}
	reasons := make(map[string]int64)
	for _, d := range page.Totals.DroppedBy {
		if d.Exporter == exporter && d.Count > 0 {
			reasons[d.Reason] = d.Count
		}
	}
	return reasons
}

// poll waits until something holds.
func poll(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
