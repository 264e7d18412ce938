package interop

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-redis/redis/v8"
	"go.elastic.co/apm/module/apmgoredisv8/v2"
	"go.elastic.co/apm/module/apmhttp/v2"
	"go.elastic.co/apm/v2/apmtest"
	"go.elastic.co/apm/v2/model"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/apmws/semconv"
	"github.com/apmws/go-apmws/exporters/elasticws"
)

// elastic is an agent that exports to Elastic, and what a handler calls through
// Elastic's integrations.
type elastic struct {
	*watch
	tracer *apmtest.RecordingTracer
	redis  *redis.Client
	http   *http.Client
	url    string
}

func newElastic(t *testing.T, opts apmws.Options) *elastic {
	t.Helper()
	e := &elastic{tracer: apmtest.NewRecordingTracer()}
	t.Cleanup(e.tracer.Close)
	opts.Exporters = []apmws.Exporter{elasticws.New(e.tracer.Tracer)}
	e.watch = newWatch(opts)
	t.Cleanup(func() {
		if err := e.agent.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})

	store := miniredis.RunT(t)
	e.redis = redis.NewClient(&redis.Options{Addr: store.Addr()})
	e.redis.AddHook(apmgoredisv8.NewHook())
	t.Cleanup(func() { _ = e.redis.Close() })

	billing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		put(w, "paid")
	}))
	t.Cleanup(billing.Close)
	e.http = apmhttp.WrapClient(billing.Client())
	e.url = billing.URL
	return e
}

// host is what the outbound request's span is named after.
func (e *elastic) host() string { return strings.TrimPrefix(e.url, "http://") }

// get makes an outbound request.
func (e *elastic) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/status", http.NoBody)
	if err != nil {
		return err
	}
	res, err := e.http.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close() // which ends the span
}

// sent returns what has reached the back end so far.
func (e *elastic) sent() payloads {
	e.tracer.Flush(nil)
	p := e.tracer.Payloads()
	return payloads{p.Transactions, p.Spans}
}

type payloads struct {
	transactions []model.Transaction
	spans        []model.Span
}

// ofType returns the transactions of a type.
func (p payloads) ofType(typ string) (found []model.Transaction) {
	for _, tx := range p.transactions {
		if tx.Type == typ {
			found = append(found, tx)
		}
	}
	return found
}

// of returns the names of a transaction's spans, and how many each stands for.
func (p payloads) of(tx model.Transaction) map[string]int {
	names := make(map[string]int)
	for _, s := range p.spans {
		if s.TransactionID == tx.ID {
			n := 1
			if s.Composite != nil {
				n = s.Composite.Count
			}
			names[s.Name] += n
		}
	}
	return names
}

// connect waits for the CONNECT transaction.
func (e *elastic) connect(t *testing.T) model.Transaction {
	t.Helper()
	var found []model.Transaction
	eventually(t, "the CONNECT transaction", func() bool {
		found = e.sent().ofType(semconv.TypeConnection)
		return len(found) > 0
	})
	if len(found) != 1 {
		t.Fatalf("%d CONNECT transactions", len(found))
	}
	return found[0]
}
