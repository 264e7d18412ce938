package apmws

// The names of JSON-RPC messages that have no method.
const (
	jsonRPCBatch         = "batch"
	jsonRPCResponse      = "response"
	jsonRPCErrorResponse = "error response"
)

// JSONRPC returns a NameFunc for JSON-RPC 2.0
// (https://www.jsonrpc.org/specification). A request or notification (sections
// 4 and 4.1) is named by its method, a response (section 5) "response" or, when
// it has an error object, "error response", and a batch of any of them (section
// 6) "batch". A method that is called like one of these shares its name.
//
// The first of the members method, result and error decides, except for an
// error that is not an object; the version in the member jsonrpc is not looked
// at. There is no name where the method is not a string, or where the message
// is an empty batch, is neither an object nor an array, or is malformed up to
// the end of the member that decides; a batch is read to its end.
//
// The function does not allocate unless the name outgrows dst, neither changes
// nor keeps the payload, and may be called from several goroutines at once.
// Register the methods with JSONRPCNames.
func JSONRPC() NameFunc { return appendJSONRPC }

// JSONRPCNames returns the names to register for JSONRPC: those of responses and
// batches, and the methods. The slice is the caller's.
func JSONRPCNames(methods ...string) []string {
	return append([]string{jsonRPCBatch, jsonRPCResponse, jsonRPCErrorResponse}, methods...)
}

func appendJSONRPC(dst []byte, _ MessageType, payload []byte) []byte {
	s := jsonScanner{data: payload}
	switch s.next() {
	case '{':
		return s.appendJSONRPC(dst)
	case '[':
		if s.peek() == ']' {
			return dst
		}
		s.pos = 0
		if s.skip(0) && s.end() {
			return append(dst, jsonRPCBatch...)
		}
	}
	return dst
}

// appendJSONRPC reads the object that has been opened up to the end of the
// member that names it.
func (s *jsonScanner) appendJSONRPC(dst []byte) []byte {
	for {
		key, ok := s.key()
		if !ok {
			return dst
		}
		name := ""
		switch {
		case key.equal("method"):
			if method, ok := s.stringValue('}'); ok {
				return method.appendTo(dst)
			}
			return dst
		case key.equal("result"):
			name = jsonRPCResponse
		case key.equal("error") && s.peek() == '{':
			name = jsonRPCErrorResponse
		}
		if !s.skip(1) {
			return dst
		}
		switch c := s.next(); {
		case name != "" && (c == ',' || c == '}'):
			return append(dst, name...)
		case c != ',':
			return dst
		}
	}
}
