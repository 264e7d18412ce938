package main

import (
	"encoding/json"
	"testing"
)

// An error says of which message it is the answer, where that has a number.
func TestErrorsAreNumbered(t *testing.T) {
	n := startNode(t, nil)
	ada := connect(t, n.url, signIn(t, n.url, "Ada"))
	for _, c := range []struct{ name, sent, id string }{
		{"a number", `{"type":"chat.say","id":7,"room":"tea","text":"hi"}`, "7"},
		{"the largest", `{"type":"chat.say","id":18446744073709551615,"room":"tea","text":"hi"}`, "18446744073709551615"},
		{"a type that is not known", `{"type":"chat.dance","id":8}`, "8"},
		{"none", `{"type":"chat.say","room":"tea","text":"hi"}`, "0"},
		{"no number", `{"type":"chat.say","id":"<b>","room":"tea","text":"hi"}`, "0"},
		{"too large", `{"type":"chat.say","id":18446744073709551616,"room":"tea","text":"hi"}`, "0"},
		{"no JSON", `{"id":9`, "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ada.send(c.sent)
			var got struct {
				Type string
				ID   json.Number
			}
			got.ID = "0"
			if err := ada.ReadJSON(&got); err != nil || got.Type != "error" || got.ID.String() != c.id {
				t.Errorf("answered by %+v, %v; want the number %s", got, err, c.id)
			}
		})
	}
}
