package newrelicws

import (
	"net"
	"strings"

	"github.com/newrelic/go-agent/v3/newrelic"

	"github.com/apmws/go-apmws/apmws"
)

// segment is one of New Relic's segments.
type segment interface {
	attributeSetter
	End()
	start() *newrelic.SegmentStartTime
}

type (
	basicSegment     struct{ newrelic.Segment }
	datastoreSegment struct{ newrelic.DatastoreSegment }
	externalSegment  struct{ newrelic.ExternalSegment }
	producerSegment  struct {
		newrelic.MessageProducerSegment
	}
)

func (s *basicSegment) start() *newrelic.SegmentStartTime     { return &s.StartTime }
func (s *datastoreSegment) start() *newrelic.SegmentStartTime { return &s.StartTime }
func (s *externalSegment) start() *newrelic.SegmentStartTime  { return &s.StartTime }
func (s *producerSegment) start() *newrelic.SegmentStartTime  { return &s.StartTime }

// startSegment starts a segment: of a datastore, a message broker or an external
// service when the span has a destination, else a plain one. The span's name is the
// last part of its name in New Relic, whatever the kind.
func startSegment(on *newrelic.Transaction, start *apmws.SpanStart) segment {
	family, rest, _ := strings.Cut(start.Type, ".")
	product, _, _ := strings.Cut(rest, ".")
	now := on.StartSegmentNow()
	switch {
	case start.Destination == "":
		return &basicSegment{newrelic.Segment{StartTime: now, Name: start.Name}}
	case family == "db":
		s := &datastoreSegment{newrelic.DatastoreSegment{
			StartTime: now, Product: newrelic.DatastoreProduct(productName(product)), Operation: start.Name,
		}}
		// The agent reports an instance only with a port.
		if host, port, err := net.SplitHostPort(start.Destination); err == nil {
			s.Host, s.PortPathOrID = host, port
		}
		return s
	case family == "messaging":
		return &producerSegment{newrelic.MessageProducerSegment{
			StartTime: now, Library: productName(product), DestinationType: newrelic.MessageTopic, DestinationName: start.Name,
		}}
	default:
		library := product
		if library == "" {
			library = family
		}
		return &externalSegment{newrelic.ExternalSegment{
			StartTime: now, Host: start.Destination, Procedure: start.Name, Library: library,
		}}
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
