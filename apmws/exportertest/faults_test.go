package exportertest

import (
	"slices"
)

// tooMany is more attributes than a back end takes.
const tooMany = 64

// faults are what exporters get wrong.
func faults() []fault {
	return slices.Concat(
		timeFaults(), attributeFaults(), contextFaults(), mappingFaults(), failureFaults(), linkFaults(), samplingFaults(),
		spanFaults(), lateFaults(), sharingFaults(), identityFaults(), lifecycleFaults(), agentFaults(), togetherFaults(), broadcastFaults(),
	)
}

// editEach edits the transactions of that type, or all.
func editEach(typ string, edit func(*Transaction)) func(*Telemetry) {
	return func(telemetry *Telemetry) {
		for i := range telemetry.Transactions {
			if t := &telemetry.Transactions[i]; typ == "" || t.Type == typ {
				edit(t)
			}
		}
	}
}

// editSpans edits all spans.
func editSpans(edit func(*Transaction, *Span)) func(*Telemetry) {
	return editEach("", func(t *Transaction) {
		for i := range t.Spans {
			edit(t, &t.Spans[i])
		}
	})
}

// remove keeps the transactions that do not match.
func remove(gone func(*Transaction) bool) func(*Telemetry) {
	return func(telemetry *Telemetry) {
		telemetry.Transactions = slices.DeleteFunc(telemetry.Transactions, func(t Transaction) bool { return gone(&t) })
	}
}

// always are hooks without a state.
func always(h hooks) func() hooks { return func() hooks { return h } }
