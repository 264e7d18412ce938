// Package exportertest checks whether an apmws.Exporter keeps the promises of the
// seam, by what its back end has really got. It is to exporters what
// testing/slogtest is to handlers, and needs the standard library and apmws alone.
//
// A test makes a Backend and runs the rules:
//
//	func TestConformance(t *testing.T) {
//		exportertest.Run(t, func(t testing.TB) exportertest.Backend {
//			server := startFakeServer(t) // speaks the back end's protocol
//			exporter := myexporter.New(server.URL)
//			return exportertest.Backend{
//				Exporter: exporter,
//				Sent: func() (exportertest.Telemetry, error) {
//					err := exporter.Flush(t.Context())
//					return server.Telemetry(), err
//				},
//				Stall:  server.Stall, // it answers nothing until resumed
//				Limits: exportertest.Limits{NoLinks: true},
//			}
//		})
//	}
//
// Run tells the exporter by hand what an agent would, and lets a real agent drive
// it over a loopback connection. RunTogether checks several exporters of one agent,
// among them bad ones. Each rule is a subtest; go test -run 'TestConformance/links'
// runs those with that in their names, and Rules lists them. An exporter need not
// have the optional interfaces of the seam (apmws.SpanStarter, apmws.Flusher, …):
// a rule about one that it does not have is met.
//
// # What Sent must do
//
// Sent makes everything be sent and returns it as it arrived: decoded from the
// requests of the vendor's library, from the file, from the page. To read it from
// the exporter's memory would prove little, since attributes vanish and outcomes are
// overridden on the way. It puts what it finds into the words of the seam:
//
//   - A Transaction has the Type Connection, Message or Disconnection, and the name
//     that the event had. What the back end puts before or behind it is taken away.
//   - Ids are lower-case hexadecimal digits. The SpanID of a transaction is what the
//     spans directly below it have as their ParentID. The ParentID of a transaction
//     is empty when that is the root of its trace.
//   - Start, Duration, Weight, Result, Outcome and User are taken from the field that
//     the back end has for them, or from the attribute that stands in for it.
//   - Attrs have the names as the back end spells them, see Limits.Spelling, and
//     numbers as float64. What the back end has moved to a field of its own, such as
//     http.response.status_code, is put back.
//   - Spans and Errors are with their transaction, whatever the order in which they
//     came.
//   - Raw is all that was sent, as text and decompressed. Secrets are looked for in
//     it.
//
// A transaction that has not ended, and a span that has not, may be left out.
//
// The exporter has to be set up so that nothing is sampled away: no rule records
// more than 500 transactions with 500 spans and 50 errors, a few kilobytes each and
// all at once, but for two that record 3,000 messages and do not look for them.
//
// # Limits
//
// A back end that cannot do something says so in Limits, and the rules then demand
// the substitute that is described there: the ids of CONNECT as attributes where
// there are no links, for example. There is no limit for what every back end can do.
//
// # Reading a failure
//
// A failure says what was found, and the sentence of the rule:
//
//	--- FAIL: TestConformance/user (0.01s)
//	    rules.go:56: a message whose user was set late has the user "", want "ada"
//	        	rule: a transaction has the user of its end, also when that was set after the start
//
// Where a rule cannot go on, as when a transaction is not found at all, it names
// what there is instead. "0 transactions of the type Connection with the
// connection's id, want 1" means the attribute websocket.connection.id, by which
// transactions are told apart; messages of one connection are told apart by
// kit.number. When many rules fail at once, look at attributes first.
//
// Times are compared to the millisecond, durations to 10 µs, or to 50 ms where an
// agent runs, since the machine's clock may be set in between.
//
// A call that does not return fails its rule after 40 seconds, with the stack of
// where it is, and the rules after that are not checked. A panic on a goroutine that the exporter has
// started ends the process, as it would end the program.
//
// # Recorder
//
// A Recorder is an exporter in memory that meets every rule. It is of use in tests
// of programs that apmws watches, and is what RunTogether compares others with.
package exportertest
