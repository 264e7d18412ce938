// Package livews is a live view of a process's WebSocket traffic, embedded in
// the process itself: one page with the open connections, the outbound calls
// by whose they are, the latest transactions with their spans, and the totals. It
// needs no back end and no external asset.
//
//	live := livews.New(livews.Options{})
//	agent := apmws.New(apmws.Options{Exporters: []apmws.Exporter{live}})
//	mux.Handle("/debug/ws/", live)
//
// It works under any prefix, with or without http.StripPrefix.
//
// # Who may see it
//
// The view asks nobody for a password. It is read-only and holds no payload, no
// query string, no cookie and no token, but it shows who is connected from
// where. Serve it on a loopback address or behind the application's
// authentication. A loopback address alone does not keep out a web page that
// rebinds its DNS name to it: on a developer's machine check the Host header
// too where that matters.
//
// # What is kept
//
// Memory is bounded whatever the traffic: the latest transactions, with older
// failures for a while after they have left; a limited number of spans and
// attributes in each; strings are cut. Nothing is sampled, so on a busy server
// the latest transactions are those of the last moments. The totals and the
// counts of outbound calls are the agent's exact counters since its start; what
// the last minute had the page reckons itself, from the answers that it has got.
//
// Spans are those of apmws: apmws.StartSpan and the sends of Conn.Write. What a
// vendor's integration records goes to that vendor alone.
//
// # data.json
//
// The page polls one JSON document once a second while it is visible; nothing
// is held open, so that http.Server's timeouts and Shutdown need not care. The
// document may be used by other programs: fields are added, never changed.
// GET data.json?since=N leaves out the transactions that have not changed since
// the document whose seq was N. See [Document].
package livews
