package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/newrelic/go-agent/v3/newrelic"
	"github.com/rs/zerolog"

	"github.com/apmws/go-apmws/apmws"
)

// config is all that may be set. Only addr is required.
type config struct {
	addr              string
	tls               bool
	certFile, keyFile string // both empty: a certificate made in memory
	pretty, debug     bool
	exposeLive        bool
	exposeMetrics     bool
	trustedProxies    []netip.Prefix // whose X-Forwarded-For is believed
	incident          string         // incidentOff, incidentBug or incidentFixed
	incidentPause     time.Duration  // of its visitors; 0: 1 s

	service, environment string        // of log lines, and of Elastic's documents
	elastic              string        // where to report to, as its agent reads it; empty: nowhere
	newRelic             string        // the licence key; empty: nothing goes there
	redisURL             string        // empty: an embedded Redis
	secret               []byte        // signs tokens; empty: one is made up
	audience             string        // of tokens; those for another are refused; empty: apmws-chat
	tokenLifetime        time.Duration // of those that are issued; 0: 12 h

	log zerolog.Logger // the zero value writes nothing

	// verify returns whom a token was issued to. Nil: tokens are the JWTs that
	// /login issues.
	verify func(ctx context.Context, token string) (identity, error)

	heartbeat apmws.Heartbeat // the zero value: pings every 30 s
	maxAge    time.Duration   // of a connection; 0: none
	drain     time.Duration   // for the connections and the exporters, at the end; 0: 20 s

	newRelicOption newrelic.ConfigOption // applied after those of the environment; nil: none
}

const usage = `Usage of chat:
  -addr host:port   address to listen on (default 127.0.0.1:8080); on a loopback
                    address the chat answers to local names alone
  -tls              serve https and wss, with a certificate made in memory
  -cert, -key file  serve https and wss with this certificate and key (PEM)
  -pretty           log for people, not as ECS JSON
  -debug            log each message, and requests of no interest
  -expose-live      serve the live page to every address, not to this machine alone
  -expose-metrics   likewise /metrics, for a Prometheus elsewhere
  -trusted-proxies networks
                    believe the X-Forwarded-For of proxies in these networks, divided
                    by commas: 10.0.0.0/8,2001:db8::/32
  -max-age 1h       how long a connection may last, its clients come back then; 0: for ever
  -drain 20s        how long to wait at the end for messages in hand; a second signal
                    ends it
  -incident         play an incident: five visitors connect to /incident/ws again and
                    again, and each time the billing API is asked, since the session
                    that has its answer is lost; -incident=fixed saves it before the upgrade
Environment:
  ELASTIC_APM_SERVER_URL (or _URLS) and the Elastic agent's other variables: report to Elastic
  NEW_RELIC_LICENSE_KEY and the New Relic agent's other variables, such as
  NEW_RELIC_APP_NAME (default: the service's name) and NEW_RELIC_HOST: report to
  New Relic, alone or beside Elastic
  REDIS_URL         such as redis://127.0.0.1:6379/0 (default: an embedded Redis)
  CHAT_JWT_SECRET   signs tokens, 32 bytes or more (default: a random one for each start)
  CHAT_JWT_AUDIENCE the service that tokens are for (default: apmws-chat)
`

// configFrom reads the command line and the environment. What is wrong with
// them is written to complaints.
func configFrom(args []string, getenv func(string) string, complaints io.Writer) (config, error) {
	cfg := config{
		service:     validService(or(getenv("ELASTIC_APM_SERVICE_NAME"), "apmws-chat")),
		environment: or(getenv("ELASTIC_APM_ENVIRONMENT"), "development"),
		elastic:     or(getenv("ELASTIC_APM_SERVER_URLS"), getenv("ELASTIC_APM_SERVER_URL")), // as the agent does
		newRelic:    getenv("NEW_RELIC_LICENSE_KEY"),
		redisURL:    getenv("REDIS_URL"),
		secret:      []byte(getenv("CHAT_JWT_SECRET")),
		audience:    getenv("CHAT_JWT_AUDIENCE"),
	}
	flags := flag.NewFlagSet("chat", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // all is said below
	flags.StringVar(&cfg.addr, "addr", "127.0.0.1:8080", "")
	flags.BoolVar(&cfg.tls, "tls", false, "")
	flags.StringVar(&cfg.certFile, "cert", "", "")
	flags.StringVar(&cfg.keyFile, "key", "", "")
	flags.BoolVar(&cfg.pretty, "pretty", false, "")
	flags.BoolVar(&cfg.debug, "debug", false, "")
	flags.BoolVar(&cfg.exposeLive, "expose-live", false, "")
	flags.BoolVar(&cfg.exposeMetrics, "expose-metrics", false, "")
	flags.DurationVar(&cfg.maxAge, "max-age", time.Hour, "")
	flags.DurationVar(&cfg.drain, "drain", drainGrace, "")
	flags.Func("trusted-proxies", "", func(list string) (err error) {
		cfg.trustedProxies, err = networks(list)
		return err
	})
	flags.BoolFunc("incident", "", func(value string) error {
		switch value {
		case "true": // without a value
			cfg.incident = incidentBug
		case incidentFixed:
			cfg.incident = incidentFixed
		default:
			return errors.New("write -incident or -incident=fixed")
		}
		return nil
	})
	err := flags.Parse(args)
	switch {
	case err != nil:
	case flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case (cfg.certFile == "") != (cfg.keyFile == ""):
		err = errors.New("-cert and -key belong together")
	case len(cfg.secret) > 0 && len(cfg.secret) < minSecret:
		err = fmt.Errorf("CHAT_JWT_SECRET has at least %d bytes", minSecret)
	case cfg.drain <= 0 || cfg.maxAge < 0:
		err = errors.New("-drain is above 0, and -max-age is not negative")
	case cfg.incident != incidentOff && (cfg.tls || cfg.certFile != ""):
		err = errors.New("-incident is played over http")
	}
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(complaints, err)
		}
		fmt.Fprint(complaints, usage)
		return config{}, err
	}
	if cfg.certFile != "" {
		cfg.tls = true
	}
	return cfg, nil
}

// networks reads a list of CIDR prefixes and addresses, divided by commas.
func networks(list string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for field := range strings.SplitSeq(list, ",") {
		field = strings.TrimSpace(field)
		network, err := netip.ParsePrefix(field)
		if err != nil {
			addr, errAddr := netip.ParseAddr(field)
			if errAddr != nil {
				return nil, fmt.Errorf("%q is no network", field)
			}
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		all = append(all, network)
	}
	return all, nil
}

// validService changes a name as Elastic's agent changes one that it takes from
// the environment itself.
func validService(name string) string {
	return regexp.MustCompile(`[^a-zA-Z0-9 _-]`).ReplaceAllString(name, "_")
}

// withoutSecrets returns a list of URLs, divided by commas, without the parts
// that may hold secrets.
func withoutSecrets(urls string) string {
	var shown []string
	for field := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(strings.TrimSpace(field))
		if err != nil {
			continue // the agent has said so
		}
		shown = append(shown, (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String())
	}
	return strings.Join(shown, ",")
}

func or(value, fallback string) string {
	if value == "" {
		return fallback
	}
	return value
}
