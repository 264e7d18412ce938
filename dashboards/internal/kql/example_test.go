package kql_test

import (
	"fmt"

	"github.com/apmws/go-apmws/dashboards/internal/kql"
)

func ExampleParse() {
	q, err := kql.Parse(`processor.event: transaction and labels.websocket_close_code: (1006 or "1011")`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(q.Match(map[string]any{"processor.event": "transaction", "labels.websocket_close_code": "1011"}))
	fmt.Println(q.Match(map[string]any{"processor.event": "transaction", "labels.websocket_close_code": "1000"}))
	// Output:
	// true
	// false
}

func ExampleParse_error() {
	_, err := kql.Parse("processor.event: transaction and (labels.http_route: *")
	fmt.Println(err)
	// Output: kql: character 55: the parenthesis of character 34 is not closed, the query ends
}

func ExampleQuery_Fields() {
	q, err := kql.Parse("processor.event: metric and labels.*: x and websocket.connections.active > 0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(q.Fields())
	// Output: [processor.event labels.* websocket.connections.active]
}

func ExampleQuery_String() {
	q, err := kql.Parse("event.outcome:(failure OR   unknown) and not transaction.name: _OTHER")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(q)
	// Output: (event.outcome: failure or event.outcome: unknown) and not transaction.name: _OTHER
}
