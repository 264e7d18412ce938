package apmws_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/apmws/go-apmws/apmws"
)

// Messages that are JSON objects carry their sender's trace context in two members,
// which the message's transaction is linked to.
func ExampleJSONTraceContext() {
	agent := apmws.New(apmws.Options{Messages: apmws.MessageOptions{
		Name:         apmws.JSONField("type"),
		Names:        []string{"chat.say"},
		TraceContext: apmws.JSONTraceContext,
	}})
	_ = agent

	message := []byte(`{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","type":"chat.say"}`)
	sender, err := apmws.ParseTraceParent(apmws.JSONTraceContext(apmws.TextMessage, message))
	fmt.Println(sender.TraceIDString(), sender.SpanIDString(), err)
	// Output: 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 <nil>
}

// What goes to other processes through a broker takes the trace context of the
// sending along.
func ExampleAppendJSONTraceContext() {
	publish := func(ctx context.Context, what any) (message []byte, err error) {
		ctx, span := apmws.StartSpan(ctx, "PUBLISH", apmws.SpanOptions{Type: "messaging.redis.publish", Destination: "redis"})
		defer func() { span.End(err) }()
		if message, err = json.Marshal(what); err != nil {
			return nil, err
		}
		return apmws.AppendJSONTraceContext(nil, message, apmws.SpanContextFromContext(ctx))
	}
	// No transaction is under way here, so there is nothing to send along.
	message, err := publish(context.Background(), map[string]string{"text": "hello"})
	fmt.Println(string(message), err)

	sc := apmws.SpanContext{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1, State: "es=s:1"}
	message, err = apmws.AppendJSONTraceContext(nil, message, sc)
	fmt.Println(string(message), err)
	// Output:
	// {"text":"hello"} <nil>
	// {"traceparent":"00-01000000000000000000000000000000-0200000000000000-01","tracestate":"es=s:1","text":"hello"} <nil>
}
