package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

// config is all that may be set.
type config struct {
	chat        []*url.URL    // the base URLs of the chat's nodes, by http or https, all by the same
	connections int           // that are open at a time
	rate        float64       // messages per second of each connection
	churn       float64       // connections that are replaced per minute
	duration    time.Duration // 0: until interrupted
	seed        uint64        // of all that is left to chance

	progress             time.Duration // between two lines
	firstDelay, maxDelay time.Duration // while the chat is away, see apmws.DialerOptions
}

const usage = `Usage of load:
  -url URL         where the chat is: http, https, ws or wss (default http://127.0.0.1:8080);
                   several nodes of one chat are divided by commas, or told by several
                   -url. Who loses one goes to the next. For TLS and in the Host header
                   all are called as the first one is
  -connections N   open at a time, each of one user (default 20)
  -rate R          messages per second of each connection (default 0.5); the chat
                   takes no more than 10
  -churn R         connections that are replaced per minute (default 12)
  -for duration    how long, such as 10m (default 0: until interrupted)
  -seed N          of all that is left to chance (default 1)
`

const (
	maxConnections = 20_000
	maxRate        = 1_000
	maxChurn       = 60_000
)

// configFrom reads the command line. What is wrong with it is written to
// complaints.
func configFrom(args []string, complaints io.Writer) (config, error) {
	cfg := config{progress: 5 * time.Second, firstDelay: 500 * time.Millisecond, maxDelay: 15 * time.Second}
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // all is said below
	var where []string
	flags.Func("url", "", func(list string) error {
		where = append(where, strings.Split(list, ",")...)
		return nil // an error of this function would show what may be a password
	})
	flags.IntVar(&cfg.connections, "connections", 20, "")
	flags.Float64Var(&cfg.rate, "rate", 0.5, "")
	flags.Float64Var(&cfg.churn, "churn", 12, "")
	flags.DurationVar(&cfg.duration, "for", 0, "")
	flags.Uint64Var(&cfg.seed, "seed", 1, "")
	err := flags.Parse(args)
	if err == nil {
		err = cfg.check(flags.Args(), where)
	}
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(complaints, err)
		}
		fmt.Fprint(complaints, usage)
		return config{}, err
	}
	return cfg, nil
}

func (cfg *config) check(rest, where []string) (err error) {
	cfg.chat, err = baseURLs(where)
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case err != nil:
		return err
	case cfg.connections < 1 || cfg.connections > maxConnections:
		return fmt.Errorf("-connections is 1 to %d", maxConnections)
	// Written so that what is no number at all is wrong, too.
	case !(cfg.rate > 0 && cfg.rate <= maxRate):
		return fmt.Errorf("-rate is above 0 and up to %d", maxRate)
	case !(cfg.churn >= 0 && cfg.churn <= maxChurn):
		return fmt.Errorf("-churn is 0 to %d", maxChurn)
	case cfg.duration < 0:
		return errors.New("-for is not negative")
	}
	return nil
}

// baseURLs returns the URLs of the nodes.
func baseURLs(where []string) (all []*url.URL, err error) {
	if len(where) == 0 {
		where = []string{"http://127.0.0.1:8080"}
	}
	for _, text := range where {
		base, err := baseURL(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		if len(all) > 0 && (base.Scheme != all[0].Scheme || base.Path != all[0].Path) {
			return nil, errors.New("the -url of one chat's nodes differ in host and port alone")
		}
		all = append(all, base)
	}
	return all, nil
}

// baseURL returns a URL of the chat by http or https, without what follows the
// path's last slash.
func baseURL(where string) (*url.URL, error) {
	u, err := url.Parse(where)
	if err != nil || u.Host == "" {
		return nil, errors.New("-url is such as http://127.0.0.1:8080")
	}
	switch u.Scheme {
	case "http", "ws":
		u.Scheme = "http"
	case "https", "wss":
		u.Scheme = "https"
	default:
		return nil, errors.New("-url is by http, https, ws or wss")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("-url has no user, query or fragment")
	}
	return u, nil
}
