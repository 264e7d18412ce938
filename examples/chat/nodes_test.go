package main

import (
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// startNodes starts two nodes with one Redis, in processes of their own.
func startNodes(t *testing.T) (mini *miniredis.Miniredis, a, b *process) {
	t.Helper()
	mini = miniredis.RunT(t)
	env := []string{"REDIS_URL=redis://" + mini.Addr() + "?read_timeout=1m", "CHAT_JWT_SECRET=" + crowdSecret}
	return mini, startProcess(t, []string{"-debug"}, env), startProcess(t, []string{"-debug"}, env)
}

// mostBack is the promise: from the loss of a node to being connected to another.
const mostBack = 5 * time.Second

// One of two nodes is killed while 200 people talk there, and 40 at the other: the
// first are back at the other within 5 seconds, spread over the time and not all at
// once, at the first attempt or the next, and the second notice nothing.
func TestNodeKilled(t *testing.T) {
	_, a, b := startNodes(t)
	at, settled := gather(t, 200, a, b), gather(t, 40, b)
	at.all(t, "has been heard", func(p *talker) bool { return p.echoes(0) })
	settled.all(t, "has been heard", func(p *talker) bool { return p.echoes(0) })

	killed := time.Now()
	a.signal(t, syscall.SIGKILL)
	at.all(t, "is back, and has been heard", func(p *talker) bool { return p.echoes(1) })
	at.disperse()
	settled.disperse()

	if last := checkBack(t, at); last > mostBack {
		t.Errorf("the last is back after %v only", last)
	}
	for _, p := range settled.people {
		if n := p.connections.Load(); n != 1 {
			t.Errorf("%s at the other node has connected %d times", p.name, n)
		}
	}
	// What the node that is left has seen of it.
	seen := 0
	for _, line := range b.stdout.wait(t, "connections", 240, action("websocket-connected")) {
		when, err := time.Parse(time.RFC3339, line.str("@timestamp"))
		if err != nil {
			t.Fatal(err)
		}
		if !when.After(killed) {
			continue
		}
		seen++
		if after := when.Sub(killed); after > mostBack {
			t.Errorf("somebody is back %v after the node was killed", after)
		}
	}
	if seen != len(at.people) {
		t.Errorf("%d of %d have connected to the other node since", seen, len(at.people))
	}
	if refused, _ := b.stdout.all(action("websocket-refused")); len(refused) > 0 {
		t.Errorf("%d handshakes were refused", len(refused))
	}
}

// checkBack holds a crowd that has lost its node, once, to the promise: they do not come
// all at once, since they are told to wait for different times, and wait. It returns
// when the last was back.
func checkBack(t *testing.T, c *crowd) time.Duration {
	t.Helper()
	var all []time.Duration
	attempts := 0
	fifths := make([]int, 5) // of the half second in which the first wait ends
	for _, p := range c.people {
		p.mu.Lock()
		if len(p.errors) > 0 {
			t.Errorf("the chat has complained to %s: %q", p.name, p.errors)
		}
		if len(p.back) != 1 || len(p.waits) == 0 {
			t.Fatalf("%s has come back %d times after %d waits", p.name, len(p.back), len(p.waits))
		}
		all = append(all, p.back...)
		waited := time.Duration(0)
		for _, wait := range p.waits {
			waited += wait
		}
		if p.back[0] < waited {
			t.Errorf("%s was told to wait for %v, and is back after %v", p.name, p.waits, p.back[0])
		}
		fifths[min(int(p.waits[0]/(100*time.Millisecond)), 4)]++
		p.mu.Unlock()
		if n := int(p.attempts.Load()); n > 4 {
			t.Errorf("%s has made %d attempts", p.name, n)
		}
		attempts += int(p.attempts.Load()) - 1
	}
	slices.Sort(all)
	t.Logf("%d are back after p50 %v, p99 %v, max %v, with %d attempts; their first waits by tenths of a second: %v",
		len(all), all[len(all)/2], all[len(all)*99/100], all[len(all)-1], attempts, fifths)
	if attempts > len(c.people)*3/2 {
		t.Errorf("%d attempts of %d people", attempts, len(c.people))
	}
	// A fifth each, on average; that it is a third by chance is as good as impossible.
	for _, n := range fifths {
		if n > len(c.people)/3 {
			t.Errorf("the first waits are not spread: %v", fifths)
		}
	}
	return all[len(all)-1]
}

// A node leaves while 200 people talk there. All that it had read is out: for each of
// them what Redis got is what the node has handled, and what those at the other node
// have heard, and the beginning of what was said; so what is missing came after the
// node's goodbye, or not at all. All are back at the other node.
func TestNodeDrained(t *testing.T) {
	mini, a, b := startNodes(t)
	redisGot := listenToRedis(t, mini)
	const people = 200
	othersGot := listenAt(t, a, people/perRoom)
	c := gather(t, people, b, a)
	c.all(t, "has been heard", func(p *talker) bool { return p.echoes(0) })

	b.signal(t, syscall.SIGTERM)
	if code := b.waitExit(t); code != 0 || b.stderr.Len() > 0 {
		t.Errorf("exit code %d, standard error %q", code, b.stderr)
	}
	c.all(t, "is back, and has been heard", func(p *talker) bool { return p.echoes(1) })
	c.disperse()
	checkBack(t, c)

	handled, total := map[string]int{}, 0
	lines, _ := b.stdout.all(action("websocket-message"))
	for _, line := range lines {
		if line["labels.websocket_message_name"] != typeSay {
			continue
		}
		if line["event.outcome"] != "success" {
			t.Errorf("a message has failed: %v", line)
		}
		handled[line.str("user.id")]++
		total++
	}
	published, heard := redisGot.wait(total), othersGot.wait(total)
	said, out, acknowledged := 0, 0, 0
	for _, p := range c.people {
		mine, all := p.said[0], published[p.name]
		if got := len(all); got != handled[p.name] || got > len(mine) || !slices.Equal(all, mine[:got]) {
			t.Errorf("%s said %q, of which the node has handled %d and published %q", p.name, mine, handled[p.name], all)
		}
		if others := heard[p.name]; !slices.Equal(others, all) {
			t.Errorf("of %s the node has published %q, and the others have heard %q", p.name, all, others)
		}
		for _, text := range mine {
			if p.heard[text] {
				acknowledged++
				if !slices.Contains(all, text) {
					t.Errorf("%s has heard %q, which was not published", p.name, text)
				}
			}
		}
		said += len(mine)
		out += len(all)
	}
	// What crosses the close frame on its way is no part of the conversation any more:
	// the node counts it, and gives it to nobody.
	received := -len(c.people) // who have gone to their rooms
	ends, _ := b.stdout.all(action("websocket-disconnected"))
	for _, end := range ends {
		if n, ok := end["websocket.messages.received"].(float64); ok {
			received += int(n)
		}
	}
	if len(ends) != len(c.people) || received < total || received > said {
		t.Errorf("%d connections have ended; of %d messages sent %d came, and %d were handled", len(ends), said, received, total)
	}
	t.Logf("%d said at the node that has left, of which it has read, handled and published %d, and %d came after its close frame was written; "+
		"%d have come back to the speaker in time", said, out, received-total, acknowledged)
	if out == 0 || out != total || acknowledged == 0 {
		t.Errorf("of %d messages %d were published", total, out)
	}
}

// sayingsOf collects what was said at the node that leaves, by user and in order.
type sayingsOf struct {
	mu sync.Mutex
	by map[string][]string
}

func (s *sayingsOf) add(raw []byte) {
	var got said
	if json.Unmarshal(raw, &got) != nil || len(got.Text) < 5 || got.Text[len(got.Text)-5:] != " at 0" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by[got.User] = append(s.by[got.User], got.Text)
}

// wait waits until there are n, and returns what there is then.
func (s *sayingsOf) wait(n int) map[string][]string {
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		got := 0
		for _, all := range s.by {
			got += len(all)
		}
		if got >= n || time.Now().After(deadline) {
			defer s.mu.Unlock()
			return maps.Clone(s.by)
		}
		s.mu.Unlock()
	}
}

// listenToRedis collects what the nodes publish.
func listenToRedis(t *testing.T, mini *miniredis.Miniredis) *sayingsOf {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: mini.Addr()})
	subscription := client.Subscribe(t.Context(), channel)
	if _, err := subscription.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &sayingsOf{by: map[string][]string{}}
	var reading sync.WaitGroup
	messages := subscription.Channel(redis.WithChannelSize(1 << 14))
	reading.Go(func() {
		for m := range messages {
			s.add([]byte(m.Payload))
		}
	})
	t.Cleanup(func() {
		subscription.Close()
		client.Close()
		reading.Wait()
	})
	return s
}

// listenAt collects what is heard in all rooms at a node.
func listenAt(t *testing.T, p *process, rooms int) *sayingsOf {
	t.Helper()
	s := &sayingsOf{by: map[string][]string{}}
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait) // after those below
	for first := 0; first < rooms; first += maxRooms {
		ear := connect(t, p.url, signIn(t, p.url, "Listener"))
		for n := first; n < min(first+maxRooms, rooms); n++ {
			ear.send(`{"type":"chat.join","room":"` + roomName(n) + `"}`)
			ear.expect(map[string]string{"type": typeJoined, "room": roomName(n)})
		}
		t.Cleanup(func() { ear.Close() })
		reading.Go(func() {
			for {
				_, raw, err := ear.ReadMessage()
				if err != nil {
					return
				}
				s.add(raw)
			}
		})
	}
	return s
}
