// Package backends has the exporters of this module with stand-ins for their back
// ends, as apmws/exportertest wants them: each is read back from what the vendor's
// own agent has sent over the wire. It is for tests.
package backends
