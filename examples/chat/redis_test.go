package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	redisserver "github.com/alicebob/miniredis/v2/server"
	"github.com/gorilla/websocket"
	"github.com/redis/go-redis/v9"
)

// realRedis is a redis-server on a loopback port.
type realRedis struct {
	url    string
	freeze func() // it keeps its connections and answers no more
	stop   func() // idempotent
}

const redisPassword = "redis-password"

func startRedis(t *testing.T) *realRedis {
	t.Helper()
	for range 5 { // somebody else may take the port between the look and the start
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln.Close()
		if r := startRedisOn(t, ln.Addr().(*net.TCPAddr).Port); r != nil {
			return r
		}
	}
	t.Fatal("redis-server does not start")
	return nil
}

// startRedisOn returns nil when the server ends by itself.
func startRedisOn(t *testing.T, port int) *realRedis {
	t.Helper()
	cmd := exec.Command("redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(port),
		"--save", "", "--appendonly", "no", "--requirepass", redisPassword)
	cmd.Dir = t.TempDir()
	if err := cmd.Start(); err != nil {
		t.Fatalf("redis-server: %v (make setup installs it)", err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // killed below
		close(ended)
	}()
	r := &realRedis{
		url:    fmt.Sprintf("redis://:%s@127.0.0.1:%d/0", redisPassword, port),
		freeze: func() { _ = cmd.Process.Signal(syscall.SIGSTOP) },
		stop: func() {
			_ = cmd.Process.Kill()
			<-ended
		},
	}
	t.Cleanup(r.stop)
	if !redisAnswers(t, r.url, ended) {
		return nil
	}
	return r
}

func redisAnswers(t *testing.T, url string, ended <-chan struct{}) bool {
	t.Helper()
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer client.Close()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if client.Ping(t.Context()).Err() == nil {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	return false
}

func TestTwoNodesShareRedis(t *testing.T) {
	r := startRedis(t)
	sameSecret := func(cfg *config) { cfg.redisURL, cfg.secret = r.url, []byte("0123456789abcdef") }
	a, b := startNode(t, sameSecret), startNode(t, sameSecret)
	chatRoundTrip(t, a.url, b.url)
	// A token of one node is good on the other.
	connect(t, b.url, signIn(t, a.url, "Ada")).send(`{}`)
	if log := a.log.String() + b.log.String(); strings.Contains(log, redisPassword) {
		t.Error("the log shows the password of Redis")
	}
}

func TestTwoNodesShareMiniredis(t *testing.T) {
	mini := miniredis.RunT(t)
	shared := func(cfg *config) { cfg.redisURL = "redis://" + mini.Addr() }
	a, b := startNode(t, shared), startNode(t, shared)
	chatRoundTrip(t, a.url, b.url)
}

// A Redis that fails is told to the speaker, recorded as the message's failure,
// and ends nothing; when it is back the chat goes on.
func TestRedisFails(t *testing.T) {
	mini := miniredis.RunT(t)
	n := startNode(t, func(cfg *config) { cfg.redisURL = "redis://" + mini.Addr() })
	ada := join(t, n.url, "Ada", "tea")
	mini.SetError("LOADING the dataset")
	ada.say("tea", "lost-text")
	ada.expectError("was not sent")
	line := n.log.wait(t, "failed message", 1, func(l logLine) bool {
		return l["event.action"] == "websocket-message" && l["event.outcome"] == "failure"
	})[0]
	if line["labels.websocket_message_name"] != "chat.say" || line["log.level"] != "error" || !strings.Contains(line.str("error.message"), "LOADING") {
		t.Errorf("the failure is logged as %v", line)
	}
	if strings.Contains(n.log.String(), "lost-text") {
		t.Error("the log shows what was said")
	}
	mini.SetError("")
	ada.say("tea", "found")
	ada.expect(sayings("tea", "Ada", "found"))
}

// A Redis that takes connections and never answers does not hold up the start.
func TestRedisIsSilent(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// The bound is the server's own.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := start(ctx, config{addr: "127.0.0.1:0", redisURL: "redis://" + silent.Addr().String()})
	if err == nil {
		s.shutdown(t.Context())
		t.Fatal("started with a Redis that is silent")
	}
	if ctx.Err() != nil {
		t.Errorf("it has waited for as long as it was let: %v", err)
	}
}

// What Redis takes, and does not answer in time, is told to the speaker, and is not
// published again: it would be said twice.
func TestRedisAnswersLate(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	n := startNode(t, func(cfg *config) { cfg.redisURL = "redis://" + mini.Addr() })
	ada := join(t, n.url, "Ada", "tea")
	var published atomic.Int64
	late := make(chan struct{})
	mini.Server().SetPreHook(func(_ *redisserver.Peer, cmd string, _ ...string) bool {
		if strings.EqualFold(cmd, "publish") {
			published.Add(1)
			<-late
		}
		return false
	})
	ada.say("tea", "once")
	ada.expectError("was not sent")
	close(late)
	ada.expect(sayings("tea", "Ada", "once"))
	if n := published.Load(); n != 1 {
		t.Errorf("it was published %d times", n)
	}
}

// What sets a connection to Redis up is no work of the message that needs it.
func TestRedisSpans(t *testing.T) {
	r := startRedis(t)
	n := startNode(t, func(cfg *config) { cfg.redisURL = strings.TrimSuffix(r.url, "0") + "1" })
	ada := join(t, n.url, "Ada", "tea")
	ada.say("tea", "hello")
	ada.expect(sayings("tea", "Ada", "hello"))
	n.log.wait(t, "message", 2, action("websocket-message"))
	live := liveData(t, n.url)
	if !strings.Contains(live, `"PUBLISH"`) {
		t.Errorf("no span of the command in %s", live)
	}
	for _, name := range []string{"HELLO", "AUTH", "SELECT", "CLIENT"} {
		if strings.Contains(live, `"`+name+`"`) {
			t.Errorf("a span %s in %s", name, live)
		}
	}
}

// TestRedisFreezes: a Redis that answers no more holds up neither other messages
// for ever nor the shutdown.
func TestRedisFreezes(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	away, err := net.Listen("tcp", "127.0.0.1:0") // an Elastic that does not answer either
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	p := startProcess(t, unhurried, []string{"REDIS_URL=" + r.url, "ELASTIC_APM_SERVER_URL=http://" + away.Addr().String()})
	ada := join(t, p.url, "Ada", "tea")
	r.freeze()
	ada.say("tea", "lost")
	ada.expectError("was not sent")
	ada.say("tea", "in hand during the shutdown")
	p.signal(t, syscall.SIGTERM)
	ada.expectClose(websocket.CloseGoingAway)
	if code := p.waitExit(t); code != 0 {
		t.Errorf("exit code %d\n%s%s", code, p.stdout, p.stderr)
	}
}

// When Redis has died and come back, so has the chat, and all that its client
// has to say about it is in the log, as lines like the others.
func TestRedisRestarts(t *testing.T) {
	t.Parallel()
	r := startRedis(t)
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	// Its place stays, whoever takes its port.
	place := startProxy(t, r.url)
	p := startProcess(t, nil, []string{"REDIS_URL=" + strings.Replace(r.url, u.Host, place.addr, 1)})
	ada := join(t, p.url, "Ada", "tea")
	r.stop()
	ada.say("tea", "lost")
	ada.expectError("was not sent")
	place.lead(t, startRedis(t).url)
	// What is said until the subscription is renewed is lost, as in any pub/sub.
	heard := make(chan error, 1)
	go func() {
		var got said
		var err error
		for got.Type != "chat.said" && err == nil {
			err = ada.ReadJSON(&got)
		}
		heard <- err
	}()
	for again := true; again; {
		ada.say("tea", "found")
		select {
		case err := <-heard:
			if err != nil {
				t.Fatal(err)
			}
			again = false
		case <-time.After(50 * time.Millisecond):
		}
	}
	p.signal(t, syscall.SIGTERM)
	if code := p.waitExit(t); code != 0 || p.stderr.Len() > 0 {
		t.Errorf("exit code %d, standard error %s", code, p.stderr)
	}
	lines, _ := p.stdout.all(func(l logLine) bool {
		return l.str("@timestamp") == "" || strings.Contains(fmt.Sprint(l), redisPassword)
	})
	if len(lines) > 0 {
		t.Errorf("strange lines: %v", lines)
	}
}

func TestForeignRedisMessages(t *testing.T) {
	mini := miniredis.RunT(t)
	n := startNode(t, func(cfg *config) { cfg.redisURL = "redis://" + mini.Addr() })
	ada := join(t, n.url, "Ada", "tea")
	mini.Publish(channel, "no JSON, secret-payload")
	mini.Publish(channel, `{"type":"evil","room":"tea","user":"Bob","text":"hello","more":"x"}`)
	ada.expect(sayings("tea", "Bob", "hello"))
	n.log.wait(t, "foreign message", 1, action("redis-message"))
	if strings.Contains(n.log.String(), "secret-payload") {
		t.Error("the log shows the payload")
	}
}

func TestRedisURL(t *testing.T) {
	for _, url := range []string{"http://user:pass-word@127.0.0.1:1", "redis://user:pass-word@127.0.0.1:1/%zz", "redis://:pass-word@127.0.0.1:1/0"} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		s, err := start(ctx, config{addr: "127.0.0.1:0", redisURL: url})
		cancel()
		if err == nil {
			s.shutdown(t.Context())
			t.Fatalf("started with the Redis %s", url)
		}
		if strings.Contains(err.Error(), "pass-word") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}
