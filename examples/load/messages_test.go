package main

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// The mix has everything that the dashboards show, most of it harmless, and is
// the same for the same seed.
func TestMix(t *testing.T) {
	shares := 0
	for _, kind := range mix {
		shares += kind.share
	}
	people := 0
	for _, share := range manners {
		people += share
	}
	if shares != 1000 || people != 100 {
		t.Fatalf("the shares are of %d and %d", shares, people)
	}

	talks := func(seed uint64) (types map[string]int, all string) {
		types = map[string]int{}
		var said strings.Builder
		talk := talk{rng: rand.New(rand.NewPCG(seed, 1)), rooms: []string{"room 1", "room 2"}, room: "room 1"}
		for range 5000 {
			u := talk.next()
			var m message
			switch err := json.Unmarshal(u.raw, &m); {
			case err != nil:
				types["no JSON"]++
			case u.unknown:
				types["unknown"]++
			case len(u.raw) > 64<<10:
				types["too long"]++
			case m.Text == " ":
				types["nothing"]++
			default:
				types[m.Type]++
			}
			if u.echoes != (m.Type == typeSay && m.Text != " " && len(u.raw) < 64<<10) {
				t.Fatalf("whether it comes back is wrong for %.80s", u.raw)
			}
			said.Write(u.raw[:min(len(u.raw), 40)])
		}
		return types, said.String()
	}
	types, all := talks(7)
	for _, name := range []string{"no JSON", "unknown", "too long", "nothing", typeJoin, typeSay, typeBilling} {
		if types[name] == 0 {
			t.Errorf("nothing of the kind %q in %v", name, types)
		}
	}
	if types[typeSay] < 4000 {
		t.Errorf("too little is said: %v", types)
	}
	if _, again := talks(7); again != all {
		t.Error("the same seed says something else")
	}
	if _, other := talks(8); other == all {
		t.Error("another seed says the same")
	}
}

// What is never answered costs no memory, and an echo counts once.
func TestEchoes(t *testing.T) {
	var e echoes
	begin := time.Now()
	for seq := uint64(1); seq <= waiting; seq++ {
		if !e.expect(seq, begin) {
			t.Fatalf("%d has no room", seq)
		}
	}
	if e.expect(waiting+1, begin) {
		t.Error("one more needed no room")
	}
	if _, ok := e.arrived("1 hello", begin); ok {
		t.Error("the one that was given up has arrived")
	}
	if took, ok := e.arrived("2 hello", begin.Add(time.Second)); !ok || took != time.Second {
		t.Errorf("it took %s, %v", took, ok)
	}
	for _, text := range []string{"2 hello", "", "0", "hello", "-3", "99999 x"} {
		if _, ok := e.arrived(text, begin); ok {
			t.Errorf("%q has arrived", text)
		}
	}
	if n := e.missing(); n != waiting-1 {
		t.Errorf("%d are missing", n)
	}
}
