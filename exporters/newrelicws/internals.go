package newrelicws

import (
	"reflect"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// dataQueue returns the channel on which the agent's End sends, which New Relic's
// API does not give, or an invalid value where the agent is not what it was in
// version 3.45. It is only asked for its length.
func dataQueue(app *newrelic.Application) reflect.Value {
	private := reflect.ValueOf(app.Private)
	if private.Kind() != reflect.Pointer || private.IsNil() || private.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	queue := private.Elem().FieldByName("dataChan")
	if !queue.IsValid() || queue.Kind() != reflect.Chan {
		return reflect.Value{}
	}
	return queue
}
