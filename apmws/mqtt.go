package apmws

// mqttPackets are the types of control packets by their numbers (MQTT 5.0,
// section 2.1.2; MQTT 3.1.1, section 2.2.1, where 15 is reserved). 0 is reserved.
var mqttPackets = [...]string{
	1: "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
	"UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// MQTT returns a NameFunc for MQTT 5.0 and 3.1.1 over WebSocket
// (https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html, section 6): a
// message is named by the type of the control packet that it begins with, such
// as "PUBLISH". Topics are no part of a name, since they hold the ids of devices
// and users.
//
// Clients mostly send one control packet in each message. The specification
// allows several, and parts of one: the first names the message, and the name of
// a message that carries on with a packet is no more than a guess from its first
// bytes.
//
// There is no name where the message is text or empty, the packet's type is
// reserved, its flags are not those of its type (MQTT 5.0, section 2.1.3;
// PUBLISH: section 3.3.1), or the length that follows has more than four bytes
// (section 2.1.4). A length that the message cuts short is let pass.
//
// The function does not allocate unless the name outgrows dst, neither changes
// nor keeps the payload, and may be called from several goroutines at once.
// Register its names with MQTTNames.
func MQTT() NameFunc { return appendMQTT }

// MQTTNames returns the names to register for MQTT: the fifteen types of control
// packets. The slice is the caller's.
func MQTTNames() []string { return append([]string(nil), mqttPackets[1:]...) }

func appendMQTT(dst []byte, typ MessageType, payload []byte) []byte {
	if typ != BinaryMessage || len(payload) == 0 {
		return dst
	}
	packet := mqttPackets[payload[0]>>4]
	if packet == "" || !validMQTTFlags(packet, payload[0]&0x0f) || !validMQTTLength(payload[1:]) {
		return dst
	}
	return append(dst, packet...)
}

func validMQTTFlags(packet string, flags byte) bool {
	switch packet {
	case "PUBLISH":
		const dup, retain = 0b1000, 0b0001
		// Quality of service 0 is never sent again; there is no 3.
		qos := flags &^ (dup | retain) >> 1
		return qos == 1 || qos == 2 || qos == 0 && flags&dup == 0
	case "PUBREL", "SUBSCRIBE", "UNSUBSCRIBE":
		return flags == 0b0010
	default:
		return flags == 0
	}
}

// validMQTTLength reports whether b begins with a variable byte integer, or with
// as much of one as it holds.
func validMQTTLength(b []byte) bool {
	const more = 0x80
	for _, c := range b[:min(4, len(b))] {
		if c&more == 0 {
			return true
		}
	}
	return len(b) < 4
}
