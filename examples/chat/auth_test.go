package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestLogin(t *testing.T) {
	n := startNode(t, nil)
	long := strings.Repeat("n", 33)
	for _, c := range []struct {
		name, method, contentType, body string
		status                          int
	}{
		{"good", "POST", "application/json", `{"user":"u1"}`, 200},
		{"charset", "POST", "application/json; charset=utf-8", `{"user":"u1"}`, 200},
		{"longest", "POST", "application/json", `{"user":"` + long[1:] + `"}`, 200},
		{"other scripts", "POST", "application/json", `{"user":"Łucja 王 O'Neill"}`, 200},
		{"no type", "POST", "", `{"user":"u1"}`, 200},
		{"a form", "POST", "application/x-www-form-urlencoded", `user=u1`, 400},
		{"too large", "POST", "application/json", `{"user":"u1","pad":"` + strings.Repeat("x", 1<<10) + `"}`, 413},
		{"cut off", "POST", "application/json", `{"user":"u1"`, 400},
		{"trailing", "POST", "application/json", `{"user":"u1"}{}`, 400},
		{"no user", "POST", "application/json", `{}`, 400},
		{"a number", "POST", "application/json", `{"user":1}`, 400},
		{"empty", "POST", "application/json", `{"user":""}`, 400},
		{"blank", "POST", "application/json", `{"user":" "}`, 400},
		{"too long", "POST", "application/json", `{"user":"` + long + `"}`, 400},
		{"markup", "POST", "application/json", `{"user":"<img src=x>"}`, 400},
		{"control", "POST", "application/json", `{"user":"a\u0000b"}`, 400},
		{"direction", "POST", "application/json", `{"user":"a\u202eb"}`, 400},
		{"nothing to see", "POST", "application/json", `{"user":"\u3164"}`, 400},
		{"nothing to see in between", "POST", "application/json", `{"user":"a\u115fb"}`, 400},
		{"a mark without a shape", "POST", "application/json", `{"user":"a\u034fb"}`, 400},
		{"a variation selector", "POST", "application/json", `{"user":"a\ufe0fb"}`, 400},
		{"method", "GET", "", ``, 405},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, body := request(t, c.method, n.url+"login", c.body, map[string]string{"Content-Type": c.contentType})
			if res.StatusCode != c.status {
				t.Fatalf("%s %s, want %d", res.Status, body, c.status)
			}
			if c.status == 405 {
				if res.Header.Get("Allow") != "POST" {
					t.Errorf("Allow: %q", res.Header.Get("Allow"))
				}
				return
			}
			var answer map[string]any
			if err := json.Unmarshal([]byte(body), &answer); err != nil || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" {
				t.Fatalf("not a JSON answer: %v %s", res.Header, body)
			}
			if c.status != 200 {
				if text, _ := answer["error"].(string); len(answer) != 1 || text == "" {
					t.Errorf("the answer is %s, want an error alone", body)
				}
			} else if token, _ := answer["token"].(string); len(answer) != 2 || token == "" || answer["expires_in"] != 12*time.Hour.Seconds() {
				t.Errorf("the answer is %s, want a token and for how long it is good", body)
			}
		})
	}
}

// sign makes a token as somebody else might.
func sign(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestHandshakeAuthentication(t *testing.T) {
	secret := []byte("0123456789abcdef")
	n := startNode(t, func(cfg *config) { cfg.secret = secret })
	good := signIn(t, n.url, "Ada")
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		all := jwt.MapClaims{"iss": issuer, "aud": defaultAudience, "sub": "Ada", "exp": in(time.Hour)}
		if change != nil {
			change(all)
		}
		return all
	}
	hs := jwt.SigningMethodHS256
	bearerOf := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	pair := func(values ...string) http.Header {
		return http.Header{"Sec-Websocket-Protocol": {strings.Join(values, ", ")}}
	}
	exp := func(d time.Duration) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c["exp"] = in(d) } }
	set := func(name string, value any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[name] = value } }
	without := func(name string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, name) } }
	ours := func(change func(jwt.MapClaims)) http.Header { return bearerOf(sign(t, hs, secret, claims(change))) }
	parts := strings.Split(good, ".")
	for _, c := range []struct {
		name     string
		header   http.Header
		reason   string // of the refusal; empty: it is accepted
		protocol string
	}{
		{"header", bearerOf(good), "", ""},
		{"header in another case", http.Header{"Authorization": {"bEARER " + good}}, "", ""},
		{"subprotocol pair", pair("bearer", good), "", "bearer"},
		{"header and subprotocol", http.Header{"Authorization": {"Bearer " + good}, "Sec-Websocket-Protocol": {"bearer"}}, "", "bearer"},
		{"made as ours", ours(nil), "", ""},
		{"for others too", ours(set("aud", []string{"another", defaultAudience})), "", ""},

		{"nothing", nil, tokenMissing, ""},
		{"no token after bearer", pair("bearer"), tokenMissing, ""},
		{"token before bearer", pair(good, "bearer"), tokenMissing, ""},
		{"token alone", pair(good), tokenMissing, ""},
		{"basic", http.Header{"Authorization": {"Basic " + good}}, tokenMissing, ""},
		{"empty bearer", bearerOf(""), tokenMissing, ""},

		{"garbage", bearerOf("garbage"), tokenMalformed, ""},
		{"three parts of garbage", bearerOf("a.b.c"), tokenMalformed, ""},
		{"a part too many", bearerOf(good + ".more"), tokenMalformed, ""},
		{"claims that are no object", bearerOf(parts[0] + ".W10." + parts[2]), tokenMalformed, ""},
		{"an expiry that is no number", ours(set("exp", "soon")), tokenMalformed, ""},
		{"the header counts", http.Header{"Authorization": {"Bearer garbage"}, "Sec-Websocket-Protocol": {"bearer, " + good}}, tokenMalformed, ""},

		{"expired", ours(exp(-time.Minute)), tokenExpired, ""},
		{"expires now", ours(exp(0)), tokenExpired, ""},

		{"for another", ours(set("aud", "another")), tokenAudience, ""},
		{"for nobody", ours(without("aud")), tokenAudience, ""},
		{"for several others", ours(set("aud", []string{"another", "third"})), tokenAudience, ""},
		{"for another, and expired", ours(func(c jwt.MapClaims) { c["aud"], c["exp"] = "another", in(-time.Minute) }), tokenAudience, ""},

		{"tampered", bearerOf(good[:len(good)-4] + "AAAA"), tokenInvalid, ""},
		{"other claims", bearerOf(parts[0] + "." + strings.Split(sign(t, hs, secret, claims(set("sub", "Eve"))), ".")[1] + "." + parts[2]), tokenInvalid, ""},
		{"other secret", bearerOf(sign(t, hs, []byte("another"), claims(nil))), tokenInvalid, ""},
		{"other secret, and expired", bearerOf(sign(t, hs, []byte("another"), claims(exp(-time.Minute)))), tokenInvalid, ""},
		{"unsigned", bearerOf(sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil))), tokenInvalid, ""},
		{"other method", bearerOf(sign(t, jwt.SigningMethodHS512, secret, claims(nil))), tokenInvalid, ""},
		{"for ever", ours(without("exp")), tokenInvalid, ""},
		{"not yet", ours(set("nbf", in(time.Hour))), tokenInvalid, ""},
		{"other issuer", ours(set("iss", "other")), tokenInvalid, ""},
		{"other issuer, and expired", ours(func(c jwt.MapClaims) { c["iss"], c["exp"] = "other", in(-time.Minute) }), tokenInvalid, ""},
		{"no issuer", ours(without("iss")), tokenInvalid, ""},
		{"hostile name", ours(set("sub", "<script>")), tokenInvalid, ""},
		{"nobody", ours(without("sub")), tokenInvalid, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			refusals, _ := n.log.all(action("websocket-refused"))
			conn, res, err := dial(t, wsURL(n.url), c.header)
			if c.reason == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if got := conn.Subprotocol(); got != c.protocol {
					t.Errorf("subprotocol %q, want %q", got, c.protocol)
				}
				conn.Close()
				return
			}
			if err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
				t.Fatalf("not refused with 401: %v %v", res, err)
			}
			// The client is not told what exactly is wrong.
			wantText, wantChallenge := badSignIn, `Bearer realm="chat", error="invalid_token"`
			if c.reason == tokenMissing {
				wantText, wantChallenge = "sign in first", `Bearer realm="chat"`
			}
			body, err := io.ReadAll(res.Body)
			var answer map[string]string
			if err != nil || json.Unmarshal(body, &answer) != nil || len(answer) != 1 || answer["error"] != wantText || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("the answer is %s", body)
			}
			if challenge := res.Header.Get("WWW-Authenticate"); challenge != wantChallenge {
				t.Errorf("WWW-Authenticate: %s", challenge)
			}
			line := n.log.wait(t, "refused", len(refusals)+1, action("websocket-refused"))[len(refusals)]
			if line["labels.websocket_refusal_reason"] != c.reason || line["http.response.status_code"] != 401.0 {
				t.Errorf("the refusal is logged as %v, want the reason %s", line, c.reason)
			}
		})
	}
}

// Pages of other sites are refused, whatever token they have.
func TestOrigin(t *testing.T) {
	n := startNode(t, nil)
	header := http.Header{"Authorization": {"Bearer " + signIn(t, n.url, "Ada")}, "Origin": {"https://evil.example"}}
	if _, res, err := dial(t, wsURL(n.url), header); err == nil || res.StatusCode != http.StatusForbidden {
		t.Fatalf("not refused with 403: %v %v", res, err)
	}
	line := n.log.wait(t, "refused", 1, action("websocket-refused"))[0]
	if line["labels.websocket_refusal_reason"] != "origin" {
		t.Errorf("the refusal is logged as %v", line)
	}
	header.Set("Origin", strings.TrimSuffix(n.url, "/"))
	if _, _, err := dial(t, wsURL(n.url), header); err != nil {
		t.Errorf("our own page is refused: %v", err)
	}
}

// A page whose name was made to resolve to this machine is one site with the
// server to a browser; only the Host tells.
func TestRebinding(t *testing.T) {
	n := startNode(t, nil)
	token := signIn(t, n.url, "Ada")
	_, port, err := net.SplitHostPort(strings.Trim(strings.TrimPrefix(n.url, "http:"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	for host, ok := range map[string]bool{
		"evil.example": false, "127.0.0.1.evil.example": false, "localhost": true, "LOCALHOST": true, "127.0.0.1": true, "[::1]": true,
	} {
		host += ":" + port
		res, body := request(t, "POST", n.url+"login", `{"user":"Ada"}`, map[string]string{"Host": host})
		if want := map[bool]int{true: 200, false: 403}[ok]; res.StatusCode != want || !json.Valid([]byte(body)) {
			t.Errorf("login at %s: %s %s", host, res.Status, body)
		}
		conn, res, err := dial(t, wsURL(n.url), http.Header{
			"Host": {host}, "Origin": {"http://" + host}, "Sec-Websocket-Protocol": {"bearer, " + token},
		})
		switch {
		case ok && err != nil:
			t.Errorf("handshake at %s: %v", host, err)
		case ok:
			conn.Close()
		case err == nil || res.StatusCode != http.StatusForbidden || res.Header.Get("Content-Type") != "application/json":
			t.Errorf("handshake at %s: %v %v", host, err, res)
		}
	}
	for _, line := range n.log.wait(t, "refused", 2, action("websocket-refused")) {
		if line["labels.websocket_refusal_reason"] != "origin" {
			t.Errorf("the refusal is logged as %v", line)
		}
	}
	// A server that others reach cannot know its names.
	n = startNode(t, func(cfg *config) { cfg.addr = "0.0.0.0:0" })
	if res, body := request(t, "POST", n.url+"login", `{"user":"Ada"}`, map[string]string{"Host": "chat.example"}); res.StatusCode != http.StatusOK {
		t.Errorf("login at a server for all: %s %s", res.Status, body)
	}
}

// A body that is promised and does not come holds neither the answer back nor
// the connection for ever.
func TestMissingBody(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	addr := strings.Trim(strings.TrimPrefix(n.url, "http:"), "/")
	conns := map[string]net.Conn{}
	for _, line := range []string{"GET /", "POST /nowhere", "POST /login", "GET /ws", "GET /debug/ws/"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 10\r\n\r\n", line, addr); err != nil {
			t.Fatal(err)
		}
		conns[line] = conn
	}
	for line, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn) // to the end of the connection
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 ") {
			t.Errorf("%s is answered by %q (%v)", line, answer, err)
		}
	}
}

// The line of a handshake's arrival is out before authentication, however slow,
// has returned.
func TestArrivalBeforeAuthentication(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	n := startNode(t, func(cfg *config) {
		cfg.verify = func(context.Context, string) (identity, error) {
			close(entered)
			<-leave
			return identity{user: "Ada"}, nil
		}
	})
	dialled := make(chan error, 1)
	go func() {
		_, _, err := dial(t, wsURL(n.url), http.Header{"Authorization": {"Bearer slow"}})
		dialled <- err
	}()
	<-entered
	if found, _ := n.log.all(action("websocket-handshake")); len(found) != 1 {
		t.Errorf("%d arrival lines while authentication runs:\n%s", len(found), n.log)
	}
	if found, _ := n.log.all(action("websocket-connected")); len(found) != 0 {
		t.Errorf("connected before it was authenticated:\n%s", n.log)
	}
	close(leave)
	if err := <-dialled; err != nil {
		t.Fatal(err)
	}
	if line := n.log.wait(t, "connected", 1, action("websocket-connected"))[0]; line["user.id"] != "Ada" {
		t.Errorf("connected as %v", line)
	}
}

// A handshake that is held up over the server's end is refused, not left over.
func TestHandshakeWhileShuttingDown(t *testing.T) {
	entered := make(chan struct{})
	n := startNode(t, func(cfg *config) {
		cfg.drain = time.Second // for which the handshake is waited for
		cfg.verify = func(ctx context.Context, _ string) (identity, error) {
			close(entered)
			<-ctx.Done()
			return identity{user: "Ada"}, nil
		}
	})
	type answer struct {
		res *http.Response
		err error
	}
	dialled := make(chan answer, 1)
	go func() {
		_, res, err := dial(t, wsURL(n.url), http.Header{"Authorization": {"Bearer slow"}})
		dialled <- answer{res, err}
	}()
	<-entered
	n.stop()
	if got := <-dialled; got.err == nil || got.res != nil && got.res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the handshake is answered by %v (%v)", got.res, got.err)
	}
	line := n.log.wait(t, "refused", 1, action("websocket-refused"))[0]
	if line["labels.websocket_refusal_reason"] != "draining" {
		t.Errorf("the refusal is logged as %v", line)
	}
}

// Who asks for no upgrade is told to.
func TestPlainRequestsToTheSocket(t *testing.T) {
	n := startNode(t, nil)
	token := map[string]string{"Authorization": "Bearer " + signIn(t, n.url, "Ada")}
	for _, c := range []struct {
		method string
		header map[string]string
	}{
		{"GET", nil}, {"GET", token}, {"POST", token},
	} {
		res, body := request(t, c.method, n.url+"ws", "", c.header)
		if res.StatusCode != http.StatusUpgradeRequired || res.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%s %v is answered by %s %v %s", c.method, c.header != nil, res.Status, res.Header, body)
		}
	}
	// No handshakes, so not counted as such, but in the access log.
	n.log.wait(t, "requests", 4, action("http-request"))
	for _, route := range n.agent.Stats().Routes {
		if route.ConnectionsOpened != 0 || len(route.Refused) != 0 {
			t.Errorf("counted as handshakes: %+v", route)
		}
	}
}

// What is no proper handshake is refused in the chat's own words.
func TestImproperHandshakes(t *testing.T) {
	n := startNode(t, nil)
	good := map[string]string{
		"Authorization": "Bearer " + signIn(t, n.url, "Ada"), "Connection": "Upgrade", "Upgrade": "websocket",
		"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	}
	for i, c := range []struct {
		method, field, value string
		status               int
		answer, want         string // a header of the answer, and its value
	}{
		{"POST", "", "", 405, "Allow", "GET"},
		{"GET", "Sec-WebSocket-Version", "8", 400, "Sec-WebSocket-Version", "13"},
		{"GET", "Sec-WebSocket-Key", "short", 400, "Content-Type", "application/json"},
	} {
		header := maps.Clone(good)
		header[c.field] = c.value
		if c.field == "" {
			delete(header, "")
		}
		res, body := request(t, c.method, n.url+"ws", "", header)
		if res.StatusCode != c.status || res.Header.Get(c.answer) != c.want || !json.Valid([]byte(body)) {
			t.Errorf("%s, %s %s is answered by %s %v %s", c.method, c.field, c.value, res.Status, res.Header, body)
		}
		line := n.log.wait(t, "refused", i+1, action("websocket-refused"))[i]
		if line["labels.websocket_refusal_reason"] != "bad_handshake" || line["user.id"] != nil { // nobody has looked at the token
			t.Errorf("the refusal is logged as %v", line)
		}
	}
}
