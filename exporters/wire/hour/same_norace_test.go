//go:build !race

package hour

import (
	"reflect"
	"testing"
)

// TestSameEachTime: what is driven in does not depend on how goroutines are
// scheduled. Little traffic still has everything.
func TestSameEachTime(t *testing.T) {
	first, second := Simulate(t, Options{Scale: 0.05}), Simulate(t, Options{Scale: 0.05})
	checkEverything(t, first)
	a, b := reflect.ValueOf(*first.Driven), reflect.ValueOf(*second.Driven)
	for i := range a.NumField() {
		x, y := a.Field(i), b.Field(i)
		if x.Len() == 0 || x.Len() != y.Len() {
			t.Errorf("%s: %d, then %d", a.Type().Field(i).Name, x.Len(), y.Len())
			continue
		}
		for j := range x.Len() {
			if !reflect.DeepEqual(x.Index(j).Interface(), y.Index(j).Interface()) {
				t.Errorf("%s: %+v, then %+v", a.Type().Field(i).Name, x.Index(j), y.Index(j))
				break
			}
		}
	}
}
