package wire

import (
	"testing"

	"github.com/apmws/go-apmws/exporters/wire/life"
)

// TestClientAddresses: the address of each client is in both back ends and in the
// log, that of one behind a trusted proxy included.
func TestClientAddresses(t *testing.T) {
	r := recorded(t, setup{})
	byID := map[string]*life.Connection{}
	addresses := map[string]bool{}
	for _, c := range r.Story.Connections {
		byID[c.ID] = c
		addresses[c.Client] = true
	}
	if len(addresses) < 2 {
		t.Errorf("all clients come from %v", addresses)
	}
	told := map[string]map[string]int{}
	check := func(where, id, got string) {
		c := byID[id]
		if c == nil {
			return // refused
		}
		if got != c.Client {
			t.Errorf("%s: %s comes from %q, want %q", where, c.Name, got, c.Client)
		}
		if told[where] == nil {
			told[where] = map[string]int{}
		}
		told[where][id]++
	}
	for _, d := range r.Documents {
		if d.Text("transaction.type") == "Connection" && d.Text("processor.event") == "transaction" {
			check("Elastic", d.Text("labels.websocket_connection_id"), d.Text("client.ip"))
		}
	}
	for _, tx := range r.Harvest.Transactions {
		if tx.User["websocket.event"] == "connect" {
			check("New Relic", text(tx.User["websocket.connection.id"]), text(tx.User["client.address"]))
		}
	}
	for _, line := range r.Story.Lines {
		switch action := line.Str("event.action"); action {
		case "websocket-handshake", "websocket-connected", "websocket-disconnected":
			check(action, line.Str("labels.websocket_connection_id"), line.Str("client.address"))
		}
	}
	for _, where := range []string{"Elastic", "New Relic", "websocket-handshake", "websocket-connected", "websocket-disconnected"} {
		if len(told[where]) != len(byID) {
			t.Errorf("%s tells of %d connections, want %d", where, len(told[where]), len(byID))
		}
	}
}
