package wire

import (
	"errors"
	"strings"
	"sync"
	"testing"
)

// TestRecordEnvironment: nothing is asked of the network.
func TestRecordEnvironment(t *testing.T) {
	t.Setenv("ELASTIC_APM_CLOUD_PROVIDER", "auto")
	if _, err := Record(t.Context()); !errors.Is(err, ErrEnvironment) {
		t.Errorf("Record returns %v", err)
	}
}

// TestRecordAtTheSameTime: what is recorded of one life holds nothing of another.
func TestRecordAtTheSameTime(t *testing.T) {
	var recordings [2]*Recording
	var both sync.WaitGroup
	for i := range recordings {
		both.Go(func() {
			var err error
			if recordings[i], err = Record(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	both.Wait()
	for _, r := range recordings {
		if r == nil {
			continue // which was said
		}
		for vendor, transactions := range map[string]map[[2]string]identified{
			"Elastic": r.elasticTransactions(), "New Relic": r.newRelicTransactions(),
		} {
			if len(transactions) < len(r.Story.Connections)*2 {
				t.Errorf("%s has %d transactions", vendor, len(transactions))
			}
			for _, tx := range transactions {
				if r.Story.NameOf(tx.connection) == "" && !(tx.connection == "" && strings.HasPrefix(tx.name, "broadcast ")) {
					t.Errorf("%s has a transaction of another life: %+v", vendor, tx)
				}
			}
		}
	}
}
