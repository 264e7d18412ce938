//go:build !race

package hour

import (
	"reflect"
	"testing"
)

// TestSameEachTime: what is driven in does not depend on how goroutines are
// scheduled, but for the news, where the library leaves some to chance. Little traffic
// still has everything.
func TestSameEachTime(t *testing.T) {
	first, second := Simulate(t, Options{Scale: 0.05}), Simulate(t, Options{Scale: 0.05})
	checkEverything(t, first)
	a, b := reflect.ValueOf(*first.Driven), reflect.ValueOf(*second.Driven)
	for i := range a.NumField() {
		x, y := withoutNews(a.Field(i)), withoutNews(b.Field(i))
		if ofNews := a.Type().Field(i).Name == "Queued" || a.Type().Field(i).Name == "Broadcasts"; ofNews {
			continue
		}
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

// withoutNews returns the elements of a slice that are of other routes.
func withoutNews(all reflect.Value) reflect.Value {
	others := reflect.MakeSlice(all.Type(), 0, all.Len())
	for i := range all.Len() {
		if x := reflect.Indirect(all.Index(i)); x.FieldByName("Route").String() != routeNews {
			others = reflect.Append(others, all.Index(i))
		}
	}
	return others
}
