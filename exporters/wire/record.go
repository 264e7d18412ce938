package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"
	"go.elastic.co/apm/v2"

	"github.com/apmws/go-apmws/apmws"
	"github.com/apmws/go-apmws/exporters/elasticws"
	"github.com/apmws/go-apmws/exporters/livews"
	"github.com/apmws/go-apmws/exporters/newrelicws"
	"github.com/apmws/go-apmws/exporters/wire/collector"
	"github.com/apmws/go-apmws/exporters/wire/intake"
	"github.com/apmws/go-apmws/exporters/wire/life"
)

// Recording is all that became of one life of a server. It is the caller's.
type Recording struct {
	// Story is what was driven in, with the log's lines and the agents' final
	// counters.
	Story *life.Story

	// Documents are what Elasticsearch would index of what Elastic's agent has sent,
	// in order of arrival, and Aggregates what the APM Server derives from them.
	// Counters came twice: halfway, while two connections to /shop were open, and at
	// the end.
	Documents, Aggregates []intake.Document
	// Rejected is why the APM Server did not take something: there is nothing.
	Rejected []error

	// Harvest is what New Relic's agent has sent.
	Harvest collector.Harvest
	// Problems is what New Relic would refuse: there is nothing.
	Problems []error

	// LivePages is the data of the live page at the end, in JSON: that of the
	// application's agent, and that of the one that samples.
	LivePages []string

	// ElasticSent and NewRelicSent are all bodies of requests, decompressed.
	ElasticSent, NewRelicSent string
}

// ErrEnvironment is returned where Elastic's agent would ask the network in which
// cloud it is: the environment variable ELASTIC_APM_CLOUD_PROVIDER must be none.
var ErrEnvironment = errors.New("wire: ELASTIC_APM_CLOUD_PROVIDER is not none")

// ErrBlocked is returned where the core has taken an exporter for blocked and left it
// out, as happens on a machine that is far too busy: the recording would not be whole.
var ErrBlocked = errors.New("wire: the core has taken an exporter for blocked")

// Record lets a server live, as package life has it, that reports to stand-ins of
// Elastic and New Relic and to the live page, in this order of Options.Exporters.
// Nothing is sampled away but by the one agent that has Options.Sampling. It takes a
// few seconds, and may be called several times, at the same time too.
//
// Lives differ in ids, times, ports, and in how many of the messages with the fate
// life.ByChance were recorded. Everything else is the same in all of them.
func Record(ctx context.Context) (*Recording, error) {
	return setup{}.record(ctx)
}

// setup is how a life is recorded. The zero value is that of Record.
type setup struct {
	// exporters are those of one agent. Nil: Elastic, New Relic, the live page.
	exporters func(to *backends) []apmws.Exporter
	// unsampled makes both vendors' samplers leave everything out.
	unsampled bool
}

// backends are the vendors' agents and the stand-ins that they report to.
type backends struct {
	intake    *intake.Server
	tracer    *apm.Tracer
	collector *collector.Collector
	app       *newrelic.Application
	views     []*livews.View
}

func (b *backends) elastic() apmws.Exporter  { return elasticws.New(b.tracer) }
func (b *backends) newRelic() apmws.Exporter { return newrelicws.New(b.app) }

func (b *backends) view() apmws.Exporter {
	b.views = append(b.views, livews.New(livews.Options{}))
	return b.views[len(b.views)-1]
}

// maxWait bounds what waits for the vendors' agents beside a life.
const maxWait = 30 * time.Second

func (s setup) record(ctx context.Context) (*Recording, error) {
	if os.Getenv("ELASTIC_APM_CLOUD_PROVIDER") != "none" {
		return nil, ErrEnvironment
	}
	b := &backends{intake: intake.New(), collector: collector.New()}
	server := httptest.NewServer(b.intake)
	defer server.Close()
	var err error
	if b.tracer, err = intake.NewTracer(server.URL, "shop"); err != nil {
		return nil, err
	}
	defer b.tracer.Close()
	b.tracer.SetMetricsInterval(0) // reports when they are asked for, however long a life lasts
	if s.unsampled {
		b.tracer.SetSampler(apm.NewRatioSampler(0))
		b.collector.SamplingTarget = -1
	}
	if b.app, err = newrelic.NewApplication(b.collector.Configure); err != nil {
		return nil, err
	}
	defer b.app.Shutdown(maxWait) // a second time where all goes well, which does nothing
	if err := b.app.WaitForConnection(maxWait); err != nil {
		return nil, err
	}

	r := &Recording{}
	opts := life.Options{
		Exporters: func() []apmws.Exporter { return []apmws.Exporter{b.elastic(), b.newRelic(), b.view()} },
		Halfway:   b.report,
		AtTheEnd:  func(context.Context, []*apmws.Agent) error { return r.look(b.views) },
	}
	if s.exporters != nil {
		opts.Exporters = func() []apmws.Exporter { return s.exporters(b) }
		opts.Halfway = nil
	}
	if r.Story, err = life.Live(ctx, opts); err != nil {
		return nil, err
	}
	if wasBlocked(r.Story) {
		return nil, ErrBlocked
	}
	b.app.Shutdown(maxWait) // it sends all
	r.Documents, r.Aggregates, r.Rejected = b.intake.Documents(), b.intake.Aggregates(), b.intake.Rejected()
	r.Harvest, r.Problems = b.collector.Harvest(), b.collector.Problems()
	r.ElasticSent, r.NewRelicSent = b.intake.Sent(), b.collector.Sent()
	return r, nil
}

func wasBlocked(story *life.Story) bool {
	return slices.ContainsFunc(story.Stats, func(s apmws.Stats) bool {
		return slices.ContainsFunc(s.Dropped, func(d apmws.Dropped) bool { return d.Reason == "blocked" && d.Count > 0 })
	})
}

// report makes both back ends get the counters.
func (b *backends) report(ctx context.Context, agents []*apmws.Agent) error {
	for _, agent := range agents {
		if err := agent.Flush(ctx); err != nil { // New Relic's are reported by this
			return err
		}
	}
	// Elastic's agent does not report anew while it does so already, which may have
	// begun too early.
	for range maxReports {
		b.tracer.SendMetrics(ctx.Done())
		if err := agents[0].Flush(ctx); err != nil {
			return err
		}
		if slices.ContainsFunc(b.intake.Documents(), func(d intake.Document) bool {
			return d.Number("websocket.connections.active") == 2
		}) {
			return nil
		}
	}
	return errHalfway
}

// maxReports bounds how often Elastic's agent is asked for a report.
const maxReports = 50

var errHalfway = errors.New("wire: Elastic is not told of the two connections that are open halfway")

// look keeps what the live pages show.
func (r *Recording) look(views []*livews.View) error {
	for _, view := range views {
		answer := httptest.NewRecorder()
		view.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/data.json", http.NoBody))
		if answer.Code != http.StatusOK {
			return fmt.Errorf("wire: the live page answers %d", answer.Code)
		}
		r.LivePages = append(r.LivePages, answer.Body.String())
	}
	return nil
}
