package internal

import (
	_ "github.com/apmws/go-apmws/apmws/semconv"
	_ "github.com/apmws/go-apmws/exporters/wire/intake"
	_ "github.com/apmws/go-apmws/exporters/wire"
	_ "github.com/apmws/go-apmws/dashboards"
	_ "github.com/chromedp/cdproto/page"
	_ "github.com/chromedp/chromedp"
	_ "github.com/newrelic/newrelic-client-go/v2/pkg/dashboards"
	_ "go.uber.org/goleak"
	_ "gopkg.in/yaml.v3"
)
