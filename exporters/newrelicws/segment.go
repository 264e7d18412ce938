package newrelicws

import (
	"net"
	"net/http"
	"strings"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

// segment is one of New Relic's segments.
type segment interface {
	attributeSetter
	End()
}

// startSegment starts a segment: of a datastore, a message broker or an external
// service when the span has a destination, else a plain one. The span's name is the
// last part of its name in New Relic, whatever the kind, but for HTTP.
func startSegment(on *newrelic.Transaction, start *apmws.SpanStart) segment {
	family, rest, _ := strings.Cut(start.Type, ".")
	product, _, _ := strings.Cut(rest, ".")
	now := on.StartSegmentNow()
	switch {
	case start.Destination == "":
		return &newrelic.Segment{StartTime: now, Name: start.Name}
	case family == "db":
		s := &newrelic.DatastoreSegment{
			StartTime: now, Product: newrelic.DatastoreProduct(productName(product)), Operation: start.Name,
		}
		// The agent reports an instance only with a port.
		if host, port, err := net.SplitHostPort(start.Destination); err == nil {
			s.Host, s.PortPathOrID = host, port
		}
		return s
	case family == "messaging":
		return &newrelic.MessageProducerSegment{
			StartTime: now, Library: productName(product), DestinationType: newrelic.MessageTopic, DestinationName: start.Name,
		}
	default:
		library := product
		if library == "" {
			library = family
		}
		return &newrelic.ExternalSegment{
			StartTime: now, Host: start.Destination, Procedure: procedure(library, start.Name), Library: library,
		}
	}
}

// procedure returns what an external segment is named for: the span's name, but of
// HTTP, which is the agent's default, only the method that the name begins with. The
// agent sends it as http.method, and it would be nonsense there.
func procedure(library, name string) string {
	if library != "" && library != "http" {
		return name
	}
	switch method, _, _ := strings.Cut(name, " "); method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	default:
		return ""
	}
}

// productName spells a product as New Relic does, which draws its maps by it.
func productName(product string) string {
	switch product {
	case "":
		return "Unknown"
	case "cassandra":
		return string(newrelic.DatastoreCassandra)
	case "dynamodb":
		return string(newrelic.DatastoreDynamoDB)
	case "elasticsearch":
		return string(newrelic.DatastoreElasticsearch)
	case "kafka":
		return "Kafka"
	case "memcached":
		return string(newrelic.DatastoreMemcached)
	case "mongodb":
		return string(newrelic.DatastoreMongoDB)
	case "mssql", "sqlserver":
		return string(newrelic.DatastoreMSSQL)
	case "mysql":
		return string(newrelic.DatastoreMySQL)
	case "nats":
		return "NATS"
	case "oracle":
		return string(newrelic.DatastoreOracle)
	case "postgresql", "postgres":
		return string(newrelic.DatastorePostgres)
	case "rabbitmq":
		return "RabbitMQ"
	case "redis":
		return string(newrelic.DatastoreRedis)
	case "sqlite":
		return string(newrelic.DatastoreSQLite)
	default:
		return product
	}
}
