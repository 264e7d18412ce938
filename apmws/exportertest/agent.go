package exportertest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/apmws/go-apmws/apmws"
)

// agentRules are those for which a real agent drives the exporter.
func agentRules() []rule {
	return []rule{
		{
			"agent-life",
			"connections that an agent has watched are recorded as a Recorder beside the exporter records them",
			checkAgentLife,
		},
		{
			"agent-secrets",
			"no payload, query, cookie, credential, referrer, token, or value of a context reaches the back end; the texts of errors do",
			checkAgentSecrets,
		},
	}
}

// starts reports whether spans can be started below the exporter's handles. It
// records a connection to find out.
func (s *session) startsSpans() bool {
	c := s.openConn()
	m := c.message(apmws.MessageStart{})
	spans := canSpan(m.span)
	m.end(apmws.MessageEnd{})
	c.closed(apmws.ConnEnd{})
	return spans
}

// watched runs the script under an agent with the exporters, shuts that down, and
// returns what a Recorder beside them has recorded.
func (k *kit) watched(l *life, opts apmws.Options) []Transaction {
	reference := NewRecorder()
	opts.Exporters = append([]apmws.Exporter{reference}, opts.Exporters...)
	s := k.serve(l, opts)
	defer s.close()
	l.run(s)
	ctx, cancel := context.WithTimeout(context.Background(), k.patience)
	defer cancel()
	if err := s.agent.Shutdown(ctx); err != nil {
		k.errorf("Shutdown of the agent: %v", err)
	}
	told, _ := reference.Sent() // never fails
	return told.Transactions
}

func checkAgentLife(k *kit) {
	s := k.session()
	spans := s.startsSpans()
	reference := k.watched(newLife(), apmws.Options{Exporters: []apmws.Exporter{s.Exporter}})
	s.sent().wantSame(reference, spans)
}

func checkAgentSecrets(k *kit) {
	s := k.session()
	l := newLife()
	reference := k.watched(l, apmws.Options{Exporters: []apmws.Exporter{s.Exporter}})
	g := s.sent()
	for _, t := range reference {
		for _, e := range t.Errors {
			if !strings.Contains(g.Raw, e.Message) {
				g.errorf("Raw does not contain the text of an error, %q: it cannot be all that was sent", e.Message)
			}
		}
	}
	// Whatever Sent has made of it, too.
	all := strings.ToLower(g.Raw + fmt.Sprintf("%+v", g.Transactions))
	for where, secret := range l.secrets {
		for _, spelling := range []string{
			secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)),
		} {
			if strings.Contains(all, strings.ToLower(spelling)) {
				g.errorf("the back end has got the secret of the %s", where)
				break
			}
		}
	}
}
