package hour

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestEnd: an hour before that of the simulation's clock is refused by a sentence.
func TestEnd(t *testing.T) {
	for given, want := range map[time.Time]string{
		{}: defaultEnd,
		time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC):                           "2001-01-01T00:00:00Z",
		time.Date(2030, 6, 1, 14, 0, 0, 1, time.FixedZone("summer", 2*60*60)): "2030-06-01T12:00:00Z",
	} {
		if end, err := (Options{End: given}).end(); err != nil || end.Format(time.RFC3339Nano) != want {
			t.Errorf("%v: %v, %v, want %s", given, end, err, want)
		}
	}
	for _, given := range []time.Time{
		time.Date(2000, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, 0),
	} {
		if end, err := (Options{End: given}).end(); err == nil || !strings.Contains(err.Error(), "none that ends before 2001 can") {
			t.Errorf("%v: %v, %v", given, end, err)
		}
	}
}

// TestShielded: what the caller's environment says of agents changes nothing.
func TestShielded(t *testing.T) {
	for name, value := range map[string]string{
		"ELASTIC_APM_TRANSACTION_SAMPLE_RATE": "0",
		"ELASTIC_APM_GLOBAL_LABELS":           "of=theirs",
		"ELASTIC_APM_RECORDING":               "false",
		"ELASTIC_APM_SERVICE_NAME":            "theirs",
		"ELASTIC_APM_DISABLE_METRICS":         "*",
		"ELASTIC_APM_IGNORE_URLS":             "*",
	} {
		t.Setenv(name, value)
	}
	configure(t)
	back := newBackEnd(time.Now().Add(hour))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // an agent that does not record waits for ever
	defer cancel()
	back.during(func() {
		tracer, err := back.tracer(t, nodeSpecs()[0])
		if err != nil {
			t.Error(err)
			return
		}
		tracer.StartTransaction("one", "test").End()
		tracer.SendMetrics(ctx.Done())
		tracer.Flush(ctx.Done())
		tracer.Close()
	})
	kinds := map[string]int{}
	for _, d := range back.intake.Documents() {
		kinds[d.Text("processor.event")]++
		if d.Text("service.name") != "chat" || d.Text("labels.of") != "" {
			t.Errorf("the environment is in %v", d)
		}
		if d.Text("processor.event") == "transaction" && d["transaction.sampled"] != true {
			t.Errorf("the transaction is not sampled: %v", d)
		}
	}
	if kinds["transaction"] != 1 || kinds["metric"] == 0 || back.failed != nil {
		t.Errorf("there are %v, %v", kinds, back.failed)
	}
}

// TestFirstError: what is told is what has failed first.
func TestFirstError(t *testing.T) {
	first := errors.New("first")
	back := &backEnd{requests: make([]Request, 3)}
	back.keep(0, nil, nil)
	back.keep(1, nil, first)
	back.keep(2, nil, errors.New("second"))
	if !errors.Is(back.failed, first) {
		t.Errorf("it is told that %v", back.failed)
	}
}
