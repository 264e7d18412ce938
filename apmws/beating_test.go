package apmws

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"
)

// beating is a server with an endpoint and a heartbeat.
type beating struct {
	*httptest.Server
	agent  *Agent
	rec    *recorder
	logs   *lockedBuffer
	closed chan error // of the Close hook
}

// lines returns the log's lines with that message.
func (b *beating) lines(t *testing.T, msg string) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(b.logs.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if m["message"] == msg {
			found = append(found, m)
		}
	}
	return found
}

func newBeating(t *testing.T, withTLS bool, opts EndpointOptions) *beating {
	t.Helper()
	b := &beating{rec: newRecorder(), logs: new(lockedBuffer), closed: make(chan error, 1000)}
	logger := zerolog.New(b.logs)
	b.agent = New(Options{Exporters: []Exporter{b.rec}, Logger: &logger})
	if opts.Message == nil {
		opts.Message = func(ctx context.Context, m Message) error { return FromContext(ctx).Write(ctx, m.Type, m.Data) }
	}
	opts.Close = func(_ context.Context, c *Conn, err error) {
		c.SetAttrs(slog.Bool("hook", true))
		b.closed <- err
	}
	b.Server = httptest.NewUnstartedServer(b.agent.Endpoint("/ws", opts))
	if withTLS {
		b.StartTLS()
	} else {
		b.Start()
	}
	t.Cleanup(b.Close)
	return b
}

// dial connects a client, through a proxy where addr is one's.
func (b *beating) dial(t *testing.T, addr string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		NetDial: func(network, addr string) (net.Conn, error) {
			conn, err := net.Dial(network, addr)
			if err == nil {
				err = conn.(*net.TCPConn).SetReadBuffer(16 << 10) // so that little is in flight to who does not read
			}
			return conn, err
		},
	}
	scheme := "ws://"
	if b.TLS != nil {
		scheme = "wss://"
	}
	if addr == "" {
		addr = b.Listener.Addr().String()
	}
	conn, _, err := d.Dial(scheme+addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func (b *beating) route() RouteStats { return b.agent.Stats().Routes[0] }

// reads makes a client read, and so answer pings.
func reads(conn *websocket.Conn) {
	go func() {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
}
