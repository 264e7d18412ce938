package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestElastic runs the chat as its users do, with a stand-in for Elastic, and
// looks at all that leaves it.
func TestElastic(t *testing.T) {
	in := startIntake(t)
	p := startProcess(t, []string{"-debug"}, []string{
		"ELASTIC_APM_SERVER_URL=" + in.URL, "ELASTIC_APM_API_REQUEST_TIME=100ms",
		"ELASTIC_APM_SERVICE_NAME=my-chat", "CHAT_JWT_SECRET=jwt-secret-jwt-secret-jwt-secret",
	})
	token := signIn(t, p.url, "Ada")
	conn, _, err := dial(t, wsURL(p.url)+"?access=query-secret", http.Header{
		"Sec-Websocket-Protocol": {"bearer, " + token},
		"Cookie":                 {"session=cookie-secret"},
		"Referer":                {p.url + "?from=referer-secret"},
		"Origin":                 {strings.TrimSuffix(p.url, "/")},
		"User-Agent":             {"the-agent"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ada := &peer{conn, t}

	// CONNECT is there while the connection is open: nothing was sent yet.
	connect := in.wait(t, "transaction", "CONNECT /ws")
	if connect.Type != "Connection" || connect.Result != "HTTP 1xx" || connect.Outcome != "success" || connect.Context.User.ID != "Ada" {
		t.Errorf("CONNECT is %+v", connect)
	}

	received, sent := 0, 0 // bytes
	exchange := func(message string, want map[string]string) {
		t.Helper()
		ada.send(message)
		received += len(message)
		_, answer, err := ada.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		sent += len(answer)
		var got map[string]string
		if json.Unmarshal(answer, &got) != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s is answered by %s", message, answer)
		}
	}
	exchange(`{"type":"chat.join","room":"tea"}`, map[string]string{"type": "chat.joined", "room": "tea"})
	exchange(`{"type":"chat.say","room":"tea","text":"text-secret"}`, sayings("tea", "Ada", "text-secret"))
	exchange(`{"type":"chat.say","room":"tea","text":"text-secret"}`, sayings("tea", "Ada", "text-secret"))
	exchange(`{"type":"billing.status"}`, map[string]string{"type": "billing.status", "plan": "free", "state": "active"})
	exchange(`{"type":"type-secret"}`, map[string]string{"type": "error", "error": "unknown type of message"})

	// The other ways in.
	request(t, "GET", p.url+"?q=query-secret", "", map[string]string{"Referer": p.url + "?from=referer-secret"})
	request(t, "GET", p.url+"nowhere?q=query-secret", "", map[string]string{"Cookie": "session=cookie-secret"})
	if _, res, err := dial(t, wsURL(p.url)+"?q=query-secret", http.Header{"Authorization": {"Bearer header-secret"}}); err == nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a bad token is answered by %v (%v)", res, err)
	}
	live := liveData(t, p.url)

	closeFrame := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "bye")
	if err := ada.WriteControl(websocket.CloseMessage, closeFrame, time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	disconnect := in.wait(t, "transaction", "DISCONNECT /ws")
	p.signal(t, syscall.SIGTERM)
	if code := p.waitExit(t); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, p.stdout, p.stderr)
	}

	// One Message for each message, linked to CONNECT.
	for name, n := range map[string]int{"chat.join": 1, "chat.say": 2, "billing.status": 1, "_OTHER": 1} {
		found, _ := in.all("transaction", name)
		if len(found) != n {
			t.Errorf("%d transactions %s, want %d", len(found), name, n)
		}
		for _, e := range found {
			if e.Type != "Message" || e.Result != "ok" || e.Outcome != "success" || e.Context.User.ID != "Ada" {
				t.Errorf("%s is %+v", name, e)
			}
			if len(e.Links) != 1 || e.Links[0].TraceID != connect.TraceID || e.Links[0].SpanID != connect.ID || e.TraceID == connect.TraceID {
				t.Errorf("%s is not a trace of its own with a link to CONNECT: %+v", name, e)
			}
		}
	}
	transactions, _ := in.all("transaction", "")
	if want := 5 + 2 + 2 + 1; len(transactions) != want { // messages, broadcasts, two handshakes, one end
		t.Errorf("%d transactions, want %d", len(transactions), want)
	}
	if found, _ := in.all("error", ""); len(found) > 0 {
		t.Errorf("errors: %+v", found)
	}

	// What the messages did is below them.
	for _, want := range []struct {
		name, below, typ, destination string
		n                             int
	}{
		{"PUBLISH", "chat.say", "messaging redis publish", "redis", 2},
		{"GET billing", "billing.status", "external http ", "billing:80", 1},
		{"send chat.joined", "chat.join", "websocket send ", "", 1},
		{"send billing.status", "billing.status", "websocket send ", "", 1},
		{"send error", "_OTHER", "websocket send ", "", 1},
		{"authenticate", "CONNECT /ws", "app  ", "", 2},
		{"upgrade", "CONNECT /ws", "websocket upgrade ", "", 1},
	} {
		above := map[string]bool{}
		found, _ := in.all("transaction", want.below)
		for _, e := range found {
			above[e.ID] = true
		}
		spans, _ := in.all("span", want.name)
		if len(spans) != want.n {
			t.Errorf("%d spans %s, want %d", len(spans), want.name, want.n)
		}
		for _, span := range spans {
			typ := span.Type + " " + span.Subtype + " " + span.Action
			if !above[span.ParentID] || !above[span.TransactionID] || typ != want.typ || span.Context.Destination.Service.Resource != want.destination {
				t.Errorf("the span %s below %s is %+v", want.name, want.below, span)
			}
			delete(above, span.TransactionID) // one each
		}
	}

	// DISCONNECT has counted exactly.
	for label, want := range map[string]any{
		"websocket_messages_received": 5.0, "websocket_messages_sent": 5.0,
		"websocket_bytes_received": float64(received), "websocket_bytes_sent": float64(sent),
		"websocket_close_code": "1000", "websocket_close_initiator": "client", "websocket_close_cause": "normal",
		"websocket_close_reason": "bye",
	} {
		if got := disconnect.Context.Tags[label]; got != want {
			t.Errorf("%s of DISCONNECT is %v, want %v", label, got, want)
		}
	}
	if disconnect.Type != "Disconnection" || disconnect.Result != "normal" {
		t.Errorf("DISCONNECT is %+v", disconnect)
	}

	// The log and Elastic meet in their ids.
	joined, _ := in.all("transaction", "chat.join")
	if found, _ := p.stdout.all(func(l logLine) bool { return l["transaction.id"] == joined[0].ID && l["trace.id"] == joined[0].TraceID }); len(found) == 0 {
		t.Error("no log line has the ids of chat.join")
	}

	places := map[string]string{"Elastic": in.sent(), "standard output": p.stdout.String(), "standard error": p.stderr.String(), "the live page": live}
	for where, text := range places {
		if where != "standard error" && !strings.Contains(text, "/ws") {
			t.Errorf("nothing to look at in %s:\n%s", where, text)
		}
		secrets := append(strings.Split(token, "."), token, "text-secret", "query-secret", "cookie-secret",
			"referer-secret", "header-secret", "jwt-secret", "type-secret", "access=")
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", where, secret)
			}
		}
	}
}

// The agent's other variable for its server switches Elastic on too; the log
// says where it is, and no password.
func TestElasticServerURLs(t *testing.T) {
	in := startIntake(t)
	url := strings.Replace(in.URL, "http://", "http://user:pass-word@", 1)
	p := startProcess(t, nil, []string{"ELASTIC_APM_SERVER_URLS=" + url, "ELASTIC_APM_API_REQUEST_TIME=100ms"})
	if line := p.stdout.wait(t, "of Elastic", 1, message("Elastic is on"))[0]; line["url.full"] != in.URL {
		t.Errorf("Elastic is announced as %v", line)
	}
	join(t, p.url, "Ada", "tea")
	in.wait(t, "transaction", "CONNECT /ws")
	if strings.Contains(p.stdout.String(), "pass-word") {
		t.Errorf("the log shows the password:\n%s", p.stdout)
	}
}

// What is not yet with Elastic when the server is told to end is sent then, the
// ends of the connections included.
func TestElasticIsFlushed(t *testing.T) {
	in := startIntake(t)
	p := startProcess(t, nil, []string{"ELASTIC_APM_SERVER_URL=" + in.URL, "ELASTIC_APM_API_REQUEST_TIME=60m"})
	ada := join(t, p.url, "Ada", "tea")
	p.signal(t, syscall.SIGTERM)
	ada.expectClose(websocket.CloseGoingAway)
	if code := p.waitExit(t); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, p.stdout, p.stderr)
	}
	for _, name := range []string{"CONNECT /ws", "chat.join", "DISCONNECT /ws"} {
		if found, _ := in.all("transaction", name); len(found) != 1 {
			t.Errorf("%d transactions %s in\n%s", len(found), name, in.sent())
		}
	}
	if found, _ := in.all("transaction", "DISCONNECT /ws"); len(found) == 1 && found[0].Result != "drain" {
		t.Errorf("DISCONNECT is %+v", found[0])
	}
}

// liveData returns what the live page shows, as JSON.
func liveData(t *testing.T, url string) string {
	t.Helper()
	res, body := request(t, "GET", url+"debug/ws/data.json", "", nil)
	if res.StatusCode != http.StatusOK || !json.Valid([]byte(body)) {
		t.Fatalf("the live page's data: %s %s", res.Status, body)
	}
	return body
}

// Without the variable nothing is sent anywhere, whatever the agent's other
// variables say.
func TestElasticIsOffByDefault(t *testing.T) {
	n := startNode(t, nil)
	n.log.wait(t, "of Elastic", 1, func(l logLine) bool { return strings.HasPrefix(l.str("message"), "Elastic is off") })
	if n.tracer != nil {
		t.Error("there is an Elastic tracer")
	}
}

// An Elastic that does not answer holds up neither the chat nor, for as long as -drain
// would let it, the exit.
func TestElasticIsAway(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	gate := make(chan struct{})
	away := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		<-gate
	}))
	defer away.Close()
	defer close(gate)
	p := startProcess(t, unhurried, []string{"ELASTIC_APM_SERVER_URL=" + away.URL, "ELASTIC_APM_API_REQUEST_TIME=100ms"})
	chatRoundTrip(t, p.url, p.url)
	p.signal(t, syscall.SIGTERM)
	if code := p.waitExit(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, p.stdout)
	}
	if asked.Load() == 0 {
		t.Error("nothing was sent to Elastic")
	}
}
