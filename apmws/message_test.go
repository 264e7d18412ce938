package apmws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/gorilla/websocket"
)

// TestLateUse: contexts, spans and transactions that outlive their message.
func TestLateUse(t *testing.T) {
	rec := newRecorder()
	contexts := make(chan context.Context, 1)
	spans := make(chan *Span, 1)
	_, conn, _ := serveMessages(t, Options{Exporters: []Exporter{rec}, Messages: testMessages}, func(ctx context.Context, _ Message) error {
		inner, span := StartSpan(ctx, "open", SpanOptions{})
		contexts <- inner
		spans <- span
		return nil
	})
	send(t, conn, `{"type":"chat.say"}`)
	rec.wait(t, "message-end", 1)
	ctx, span := <-contexts, <-spans
	if FromContext(ctx) == nil {
		t.Error("the connection is lost")
	}
	span.End(nil)
	span.End(nil)
	if tx := vendorOf(ctx); tx != nil {
		t.Errorf("after the end the context carries %+v", tx)
	}
	if _, late := StartSpan(ctx, "late", SpanOptions{}); late != nil {
		t.Error("a span started below an ended message")
	}
	if n := len(rec.all("span-end")); n != 1 {
		t.Errorf("the span ended %d times", n)
	}
}

func TestStartMessage(t *testing.T) {
	rec := newRecorder()
	done := make(chan struct{})
	agent := New(Options{Exporters: []Exporter{rec}, Messages: MessageOptions{Names: []string{"chat.say"}, RecordRawNames: true}})
	conn := dial(t, serveWS(t, agent.Handler("/ws", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		ctx, tx := StartMessage(r.Context(), MessageInfo{Name: "chat.say", Size: 12, Type: BinaryMessage})
		if vendorOf(ctx) == nil {
			t.Error("the context carries no transaction")
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { tx.End(errors.New("once")) })
		}
		wg.Wait()
		tx.End(nil)
		if vendorOf(ctx) != nil {
			t.Error("the context still carries the transaction")
		}
		_, tx = StartMessage(r.Context(), MessageInfo{Name: strings.Repeat("名", 80)})
		tx.End(nil)
		func() {
			defer func() {
				if recover() != "boom" {
					t.Error("the panic was not raised again")
				}
			}()
			_, tx := StartMessage(r.Context(), MessageInfo{Name: "chat.say"})
			defer tx.EndOnPanic()
			panic("boom")
		}()
		func() {
			_, tx := StartMessage(r.Context(), MessageInfo{Name: "chat.say"})
			defer tx.EndOnPanic()
			tx.End(nil)
		}()
	}))), nil)
	<-done
	conn.Close()
	ends := rec.wait(t, "message-end", 4)
	if len(ends) != 4 {
		t.Fatalf("%d ends", len(ends))
	}
	if e := ends[0]; e.name != "chat.say" || e.result != "error" || e.attrs["websocket.message.length"] != int64(12) || e.attrs["websocket.message.type"] != "binary" {
		t.Errorf("first: %+v", e)
	}
	raw, _ := ends[1].attrs["websocket.message.raw_name"].(string)
	if ends[1].name != "_OTHER" || raw != strings.Repeat("名", 64) {
		t.Errorf("second: %+v, raw name %q", ends[1], raw)
	}
	if ends[2].result != "panic" || ends[2].failure.Panic != "boom" || ends[3].result != "ok" {
		t.Errorf("third %+v, fourth %+v", ends[2], ends[3])
	}
}

// TestErrorType: the innermost error's type, of several the first one's.
func TestErrorType(t *testing.T) {
	inner := &os.PathError{Op: "open", Path: "x", Err: io.EOF}
	for _, test := range []struct {
		err  error
		want string
	}{
		{io.EOF, "*errors.errorString"},
		{&CloseError{}, "*apmws.CloseError"},
		{fmt.Errorf("outer: %w", &CloseError{}), "*apmws.CloseError"},
		{fmt.Errorf("%w: %w", &CloseError{}, inner), "*apmws.CloseError"},
		{fmt.Errorf("outer: %w", errors.Join(&CloseError{}, inner)), "*apmws.CloseError"},
		{fmt.Errorf("%w", inner), "*errors.errorString"},
	} {
		if got := errorType(test.err); got != test.want {
			t.Errorf("%v has the type %s, want %s", test.err, got, test.want)
		}
	}
}
