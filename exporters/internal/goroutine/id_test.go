package goroutine

import "testing"

// TestID: the same on a goroutine, another on each other one, never 0.
func TestID(t *testing.T) {
	seen := map[uint64]bool{0: true}
	ids := make(chan [2]uint64)
	for range 100 {
		go func() { ids <- [2]uint64{ID(), ID()} }()
	}
	for range 100 {
		id := <-ids
		if id[0] != id[1] || seen[id[0]] {
			t.Fatalf("a goroutine is %d and %d", id[0], id[1])
		}
		seen[id[0]] = true
	}
	if seen[ID()] {
		t.Error("this goroutine is one of the others")
	}
}

func BenchmarkID(b *testing.B) {
	for b.Loop() {
		ID()
	}
}
