package apmws

// graphQLSubscribe is the type of a message that requests an operation.
const graphQLSubscribe = "subscribe"

// graphQLTypes are the types of messages of the subprotocol
// graphql-transport-ws.
var graphQLTypes = [...]string{
	"connection_init", "connection_ack", "ping", "pong", graphQLSubscribe, "next", "error", "complete",
}

// GraphQLWS returns a NameFunc for GraphQL over WebSocket, the subprotocol
// graphql-transport-ws (https://github.com/enisdenjo/graphql-ws, PROTOCOL.md,
// Message types). A message is named by its type, and one that requests an
// operation by the operation's name as well, "subscribe GetUser". The name is
// the payload's operationName; the query is not looked at, so an operation that
// is named there alone is as anonymous as any other: "subscribe".
//
// There is no name where the type is missing or not one of the protocol's, or
// where the message is malformed up to the end of the type; what follows is not
// looked at but for the name of an operation. The older subprotocol graphql-ws
// has other types.
//
// The function does not allocate unless the name outgrows dst, neither changes
// nor keeps the payload, and may be called from several goroutines at once.
// Register the operations with GraphQLWSNames: clients choose the names of
// theirs.
func GraphQLWS() NameFunc { return appendGraphQLWS }

// GraphQLWSNames returns the names to register for GraphQLWS: the protocol's
// types of messages, and "subscribe" with each of the operations. The slice is
// the caller's.
func GraphQLWSNames(operations ...string) []string {
	list := append(make([]string, 0, len(graphQLTypes)+len(operations)), graphQLTypes[:]...)
	for _, operation := range operations {
		list = append(list, graphQLSubscribe+" "+operation)
	}
	return list
}

func appendGraphQLWS(dst []byte, _ MessageType, payload []byte) []byte {
	s := jsonScanner{data: payload}
	if !s.enter("type", 1) {
		return dst
	}
	typ, ok := s.stringValue('}')
	if !ok {
		return dst
	}
	for _, known := range graphQLTypes {
		if !typ.equal(known) {
			continue
		}
		dst = append(dst, known...)
		if known == graphQLSubscribe {
			dst = appendGraphQLOperation(dst, payload)
		}
		break
	}
	return dst
}

// appendGraphQLOperation appends a space and the operation's name, if any. It
// begins anew, since the payload may come before the type.
func appendGraphQLOperation(dst, payload []byte) []byte {
	s := jsonScanner{data: payload}
	if !s.enter("payload", 1) || !s.enter("operationName", 2) {
		return dst
	}
	operation, ok := s.stringValue('}')
	if !ok || len(operation.raw) == 0 {
		return dst
	}
	return operation.appendTo(append(dst, ' '))
}
