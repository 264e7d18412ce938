package apmws

import "bytes"

// SocketIO returns a NameFunc for Socket.IO, protocol version 5
// (https://github.com/socketio/socket.io-protocol, Packet encoding), over the
// WebSocket transport of Engine.IO, protocol version 4
// (https://github.com/socketio/engine.io-protocol, Packet encoding).
//
// A Socket.IO EVENT or BINARY_EVENT is named by its event, "chat message". The
// other packets are "connect", "disconnect", "connect_error" and "ack", with or
// without attachments; a binary message, which is an attachment, is "binary".
// Engine.IO's own are "open", "close", "ping", "pong", "upgrade" and "noop". An
// event that is called like one of these shares its name. Namespaces are no
// part of a name: the same event in two of them is one name.
//
// There is no name where the event is not a string, or where the packet is
// malformed: an unknown type, no number of attachments where there must be one,
// no number of the event in an ack, a payload that is not of its packet's kind.
// In an event what follows its name is not looked at. Engine.IO messages that
// hold no Socket.IO packet of the default parser have no name either.
//
// The function does not allocate unless the name outgrows dst, neither changes
// nor keeps the payload, and may be called from several goroutines at once.
// Register the events with SocketIONames.
func SocketIO() NameFunc { return appendSocketIO }

// SocketIONames returns the names to register for SocketIO: those of packets,
// and the events. The slice is the caller's.
func SocketIONames(events ...string) []string {
	return append([]string{
		"open", "close", "ping", "pong", "upgrade", "noop",
		"connect", "disconnect", "connect_error", "ack", "binary",
	}, events...)
}

// appendSocketIO reads an Engine.IO packet.
func appendSocketIO(dst []byte, typ MessageType, payload []byte) []byte {
	if typ == BinaryMessage {
		return append(dst, "binary"...)
	}
	if len(payload) == 0 {
		return dst
	}
	data := payload[1:]
	switch payload[0] {
	case '0':
		return appendIf(isJSON(data, '{'), dst, "open")
	case '1':
		return appendIf(len(data) == 0, dst, "close")
	case '2':
		return appendIf(len(data) == 0 || string(data) == "probe", dst, "ping")
	case '3':
		return appendIf(len(data) == 0 || string(data) == "probe", dst, "pong")
	case '4':
		return appendSocketIOPacket(dst, data)
	case '5':
		return appendIf(len(data) == 0, dst, "upgrade")
	case '6':
		return appendIf(len(data) == 0, dst, "noop")
	default:
		return dst
	}
}

// appendSocketIOPacket reads a Socket.IO packet: its type, a number of
// attachments and a hyphen where the type has any, a namespace and a comma
// unless it is the main one, perhaps the event's number, and JSON.
func appendSocketIOPacket(dst, packet []byte) []byte {
	if len(packet) == 0 {
		return dst
	}
	kind, data := packet[0], packet[1:]
	if kind == '5' || kind == '6' {
		var count []byte
		if count, data = cutDigits(data); len(count) == 0 || len(data) == 0 || data[0] != '-' {
			return dst
		}
		data = data[1:]
	}
	if len(data) > 0 && data[0] == '/' {
		if comma := bytes.IndexByte(data, ','); comma >= 0 {
			data = data[comma+1:]
		} else {
			data = nil
		}
	}
	id, data := cutDigits(data)
	switch kind {
	case '0':
		return appendIf(len(id) == 0 && (len(data) == 0 || isJSON(data, '{')), dst, "connect")
	case '1':
		return appendIf(len(id) == 0 && len(data) == 0, dst, "disconnect")
	case '2', '5':
		return appendSocketIOEvent(dst, data)
	case '3', '6':
		return appendIf(len(id) > 0 && isJSON(data, '['), dst, "ack")
	case '4':
		return appendIf(len(id) == 0 && isJSON(data, '{'), dst, "connect_error")
	default:
		return dst
	}
}

// appendSocketIOEvent appends the first element of an array.
func appendSocketIOEvent(dst, data []byte) []byte {
	s := jsonScanner{data: data}
	if s.next() == '[' {
		if event, ok := s.stringValue(']'); ok {
			return event.appendTo(dst)
		}
	}
	return dst
}

// isJSON reports whether data is one JSON object or array.
func isJSON(data []byte, opener byte) bool {
	s := jsonScanner{data: data}
	return s.peek() == opener && s.skip(0) && s.end()
}

// cutDigits cuts the digits off that b begins with.
func cutDigits(b []byte) (digits, rest []byte) {
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return b[:n], b[n:]
}

func appendIf(named bool, dst []byte, name string) []byte {
	if named {
		return append(dst, name...)
	}
	return dst
}
