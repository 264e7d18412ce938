package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// expectExpiry reads until the connection ends with its token.
func (p *peer) expectExpiry() {
	p.t.Helper()
	p.expectClose(closeTokenExpired)
}

func renewal(token string) string { return fmt.Sprintf(`{"type":"auth.renew","token":%q}`, token) }

// A connection ends with its token.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(cfg *config) { cfg.tokenLifetime = 5 * time.Second })
	ada := connect(t, n.url, signIn(t, n.url, "Ada"))
	ada.expectExpiry()
	line := n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))[0]
	for field, want := range map[string]any{
		"labels.websocket_close_code": "4401", "labels.websocket_close_initiator": "server",
		"labels.websocket_close_reason": "token expired", "event.reason": "application", "event.outcome": "success",
	} {
		if line[field] != want {
			t.Errorf("%s of the end is %v, want %v: %v", field, line[field], want, line)
		}
	}
}

// A connection lives on with a new token for the same user, and only with that.
func TestRenewal(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef")
	n := startNode(t, func(cfg *config) { cfg.secret = secret })
	until := func(user string, expires time.Time) string {
		return sign(t, jwt.SigningMethodHS256, secret, jwt.MapClaims{
			"iss": issuer, "aud": defaultAudience, "sub": user, "exp": expires.Unix(),
		})
	}
	start := time.Now().Truncate(time.Second)
	soon, later := start.Add(12*time.Second), start.Add(time.Hour)

	ada, bob := connect(t, n.url, until("Ada", soon)), connect(t, n.url, until("Bob", soon))
	for _, c := range []struct{ name, send, want string }{
		{"of somebody else", renewal(until("Eve", later)), "somebody else's"},
		{"expired", renewal(until("Bob", start.Add(-time.Minute))), badSignIn},
		{"forged", renewal(sign(t, jwt.SigningMethodHS256, []byte("another"), jwt.MapClaims{"iss": issuer, "aud": defaultAudience, "sub": "Bob", "exp": later.Unix()})), badSignIn},
		{"garbage", renewal("garbage"), badSignIn},
		{"none", `{"type":"auth.renew"}`, badSignIn},
		{"a number", `{"type":"auth.renew","token":1}`, badSignIn},
	} {
		bob.send(c.send)
		bob.expectError(c.want)
	}
	ada.send(renewal(until("Ada", later)))
	ada.expect(map[string]string{"type": "auth.renewed", "expires": later.UTC().Format(time.RFC3339)})
	bob.expectExpiry() // which was not put off by what was not good
	if now := time.Now(); now.Before(soon) {
		t.Errorf("closed at %v, before %v", now, soon)
	}
	// By the same time Ada's old one has expired, too.
	ada.send(`{"type":"billing.status"}`)
	ada.expect(map[string]string{"type": "billing.status", "plan": "free", "state": "active"})

	// What is wrong with a renewal is the client's mistake, and no failure.
	for _, line := range n.log.wait(t, "renewals", 7, named("auth.renew")) {
		if line["event.outcome"] != "success" {
			t.Errorf("a renewal is logged as %v", line)
		}
	}
	// A token with less time is taken by its word.
	ada.send(renewal(until("Ada", time.Now().Add(5*time.Second))))
	if got := ada.receive(); got["type"] != "auth.renewed" {
		t.Fatalf("received %v", got)
	}
	ada.expectExpiry()
}

func named(name string) func(logLine) bool {
	return func(l logLine) bool {
		return l["event.action"] == "websocket-message" && l["labels.websocket_message_name"] == name
	}
}

// TestTokensStaySecret: whatever is wrong with a token, each back end has its
// reason, and none has anything of the token.
func TestTokensStaySecret(t *testing.T) {
	b := startBoth(t)
	secret := []byte("jwt-secret-jwt-secret")
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	token := func(key []byte, aud, sub string, exp int64) string {
		return sign(t, jwt.SigningMethodHS256, key, jwt.MapClaims{"iss": issuer, "aud": aud, "sub": sub, "exp": exp, "jti": "claim-secret"})
	}
	bad := map[string]string{
		tokenMalformed: "malformed-token-secret",
		tokenExpired:   token(secret, defaultAudience, "Ada", in(-time.Hour)),
		tokenAudience:  token(secret, "audience-secret", "Ada", in(time.Hour)),
		tokenInvalid:   token([]byte("another-secret"), defaultAudience, "Ada", in(time.Hour)),
	}
	first := token(secret, defaultAudience, "Ada", in(time.Hour))
	second := token(secret, defaultAudience, "Ada", in(2*time.Hour))
	secrets := []string{"jwt-secret", "audience-secret", "claim-secret"}
	for _, token := range append([]string{first, second}, values(bad)...) {
		secrets = append(append(secrets, token), strings.Split(token, ".")...)
	}

	for reason, token := range bad {
		// By both ways in.
		b.visit(t, reason, http.StatusUnauthorized, token, http.Header{})
		b.visit(t, reason, http.StatusUnauthorized, "beside-the-header", http.Header{"Authorization": {"Bearer " + token}})
	}
	conn, res, err := dial(t, wsURL(b.url), http.Header{"Sec-Websocket-Protocol": {"bearer"}})
	if err == nil || res == nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("without a token: %v %v %v", conn, res, err)
	}
	bad[tokenMissing] = ""
	ada := connect(t, b.url, first)
	for _, token := range bad {
		ada.send(renewal(token))
		ada.expectError(badSignIn)
	}
	ada.send(renewal(second))
	if got := ada.receive(); got["type"] != "auth.renewed" {
		t.Errorf("received %v", got)
	}
	ada.Close()
	b.log.wait(t, "disconnected", 1, action("websocket-disconnected"))
	_, metrics := request(t, "GET", b.url+"metrics", "", nil)
	live := liveData(t, b.url)
	b.stop() // sends all

	for reason := range bad {
		want := 2
		if reason == tokenMissing {
			want = 1
		}
		found, _ := b.intake.all("transaction", "CONNECT /ws")
		elastic := 0
		for _, e := range found {
			if e.Context.Tags["websocket_refusal_reason"] == reason && e.Result == "HTTP 4xx" {
				elastic++
			}
		}
		newRelic := 0
		for _, e := range b.collector.all(nrTransaction, "Connection/CONNECT /ws") {
			if e.user["websocket.refusal.reason"] == reason {
				newRelic++
			}
		}
		lines, _ := b.log.all(func(l logLine) bool { return l["labels.websocket_refusal_reason"] == reason })
		if elastic != want || newRelic != want || len(lines) != want {
			t.Errorf("%s: Elastic has %d, New Relic %d and the log %d, want %d", reason, elastic, newRelic, len(lines), want)
		}
		if !strings.Contains(metrics, fmt.Sprintf("websocket_refusal_reason=%q} %d\n", reason, want)) {
			t.Errorf("%s is not among the metrics", reason)
		}
		if got := b.collector.metrics["Custom/WebSocket/Connections/Refused/"+reason]; got.total != float64(want) {
			t.Errorf("%s: New Relic's metric is %+v, want %d", reason, got, want)
		}
	}
	for where, text := range map[string]string{
		"Elastic": b.intake.sent(), "New Relic": b.collector.sent(), "the log": b.log.String(), "the live page": live, "the metrics": metrics,
	} {
		if !strings.Contains(text, tokenExpired) && where != "the live page" {
			t.Errorf("nothing to look at in %s", where)
		}
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q", where, secret)
			}
		}
	}
}

func values(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	slices.Sort(all)
	return all
}

// A server takes tokens for itself alone, also from one that has the same secret.
func TestAudience(t *testing.T) {
	server := func(audience string) *node {
		return startNode(t, func(cfg *config) { cfg.secret, cfg.audience = []byte("0123456789abcdef"), audience })
	}
	ours, theirs := server("ours"), server("theirs")
	connect(t, ours.url, signIn(t, ours.url, "Ada"))
	if _, res, err := dial(t, wsURL(ours.url), http.Header{"Authorization": {"Bearer " + signIn(t, theirs.url, "Ada")}}); err == nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a token for another server is answered by %v %v", res, err)
	}
	line := ours.log.wait(t, "refused", 1, action("websocket-refused"))[0]
	if line["labels.websocket_refusal_reason"] != tokenAudience {
		t.Errorf("the refusal is logged as %v", line)
	}
}

// A check of tokens of another kind needs no reasons of its own.
func TestOtherTokens(t *testing.T) {
	n := startNode(t, func(cfg *config) {
		cfg.verify = func(_ context.Context, token string) (identity, error) {
			if token == "good" {
				return identity{user: "Ada"}, nil
			}
			return identity{}, errors.New("no such session")
		}
	})
	if _, res, err := dial(t, wsURL(n.url), http.Header{"Authorization": {"Bearer other"}}); err == nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("not refused with 401: %v %v", res, err)
	}
	line := n.log.wait(t, "refused", 1, action("websocket-refused"))[0]
	if line["labels.websocket_refusal_reason"] != tokenInvalid || !strings.Contains(line.str("error.message"), "no such session") {
		t.Errorf("the refusal is logged as %v", line)
	}
	ada := connect(t, n.url, "good") // for ever
	ada.send(renewal("good"))
	ada.expect(map[string]string{"type": "auth.renewed"})
}

// The page renews its token in time, and when it cannot it comes back with another.
func TestBrowserRenews(t *testing.T) {
	t.Parallel()
	// A connection lives on for longer than its token: a page may be slow here.
	const lifetime, leeway = 3 * time.Second, 6 * time.Second
	var refuse atomic.Bool
	secret := []byte("0123456789abcdef")
	n := startNode(t, func(cfg *config) {
		cfg.secret, cfg.tokenLifetime = secret, lifetime
		cfg.verify = func(ctx context.Context, token string) (identity, error) {
			if refuse.Load() {
				return identity{}, errors.New("not now")
			}
			who, err := tokens{secret: secret, audience: defaultAudience}.verify(ctx, token)
			who.expires = who.expires.Add(leeway)
			return who, err
		}
	})
	ada := startBrowser(t, n.url)
	ada.enter("Ada", "tea")
	ada.untilConnected("Ada")
	first := n.agent.Connections()[0]
	n.log.wait(t, "renewals", 2, named("auth.renew"))
	// Until its first token has been of no use for a while.
	for over := false; !over; time.Sleep(20 * time.Millisecond) {
		over = time.Since(first.Opened) > lifetime+leeway+time.Second
		if open := n.agent.Connections(); len(open) != 1 || open[0].ID != first.ID {
			t.Fatalf("the connection %+v did not stay: %+v", first, open)
		}
	}
	refuse.Store(true)
	line := n.log.wait(t, "disconnected", 1, action("websocket-disconnected"))[0]
	if line["labels.websocket_close_code"] != "4401" {
		t.Errorf("the end is logged as %v", line)
	}
	ada.until(`document.querySelector("#log").textContent.includes("Your sign-in has expired")`)
	refuse.Store(false)
	ada.untilConnected("Ada")
	ada.say("back again")
	ada.untilSaid("You", "back again")
}
