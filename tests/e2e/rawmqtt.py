"""A small MQTT client on a bare socket, blocking, that shares no code with the hub or with any
library: for what a well-behaved client would never do, and for load whose every acknowledgement is
to be seen. It knows 3.1.1 and 5.0 and takes packets apart as far as the tests need.
"""
import collections
import socket
import struct

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, \
    UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(1, 16)

Packet = collections.namedtuple("Packet", "type flags body")
Publish = collections.namedtuple("Publish", "topic payload qos retain dup id properties")

# How the value of a property is written, by its identifier (MQTT 5.0, table 2-4).
BYTE, TWO, FOUR, VARINT, DATA, TEXT, PAIR = range(7)
PROPERTY = {
    0x01: BYTE, 0x02: FOUR, 0x03: TEXT, 0x08: TEXT, 0x09: DATA, 0x0B: VARINT, 0x11: FOUR, 0x12: TEXT,
    0x13: TWO, 0x15: TEXT, 0x16: DATA, 0x17: BYTE, 0x18: FOUR, 0x19: BYTE, 0x1A: TEXT, 0x1C: TEXT,
    0x1F: TEXT, 0x21: TWO, 0x22: TWO, 0x23: TWO, 0x24: BYTE, 0x25: BYTE, 0x26: PAIR, 0x27: FOUR,
    0x28: BYTE, 0x29: BYTE, 0x2A: BYTE,
}


class Closed(Exception):
    """The broker closed the connection."""


def varint(n):
    out = bytearray()
    while True:
        out.append(n & 0x7F | (0x80 if n > 0x7F else 0))
        n >>= 7
        if n == 0:
            return bytes(out)


def text(s):
    raw = s if isinstance(s, bytes) else s.encode()
    return struct.pack(">H", len(raw)) + raw


def properties(pairs):
    """[(identifier, value), ...] with their length in front."""
    out = bytearray()
    for key, value in pairs:
        out.append(key)
        kind = PROPERTY[key]
        if kind == BYTE:
            out.append(value)
        elif kind == TWO:
            out += struct.pack(">H", value)
        elif kind == FOUR:
            out += struct.pack(">I", value)
        elif kind == VARINT:
            out += varint(value)
        elif kind == PAIR:
            out += text(value[0]) + text(value[1])
        else:
            out += text(value)
    return varint(len(out)) + bytes(out)


def read_varint(body, at):
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def read_text(body, at):
    n = struct.unpack_from(">H", body, at)[0]
    return body[at + 2:at + 2 + n], at + 2 + n


def read_properties(body, at):
    """([(identifier, value), ...], index behind them)"""
    n, at = read_varint(body, at)
    end, out = at + n, []
    while at < end:
        key = body[at]
        at += 1
        kind = PROPERTY[key]
        if kind == BYTE:
            value, at = body[at], at + 1
        elif kind == TWO:
            value, at = struct.unpack_from(">H", body, at)[0], at + 2
        elif kind == FOUR:
            value, at = struct.unpack_from(">I", body, at)[0], at + 4
        elif kind == VARINT:
            value, at = read_varint(body, at)
        elif kind == PAIR:
            name, at = read_text(body, at)
            word, at = read_text(body, at)
            value = (name.decode(), word.decode())
        else:
            value, at = read_text(body, at)
            value = value if kind == DATA else value.decode()
        out.append((key, value))
    return out, at


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


class Raw:
    """One connection. Methods named after packets send them; `next` gives what comes."""

    def __init__(self, port, version=5, patience_s=30):
        self.version = version
        self.buffer = bytearray()
        self.ids = 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def send(self, raw):
        self.socket.sendall(raw)

    def props(self, pairs):
        return properties(pairs) if self.version == 5 else b""

    def next_id(self):
        self.ids = self.ids % 65535 + 1
        return self.ids

    # ---- what is sent ----

    def connect_bytes(self, client_id, clean=True, keep_alive=0, pairs=(), will=None, version=None):
        """will = (topic, payload, qos, retain, properties)"""
        flags = 2 if clean else 0
        rest = b""
        if will is not None:
            topic, payload, qos, retain, will_pairs = will
            flags |= 4 | qos << 3 | (0x20 if retain else 0)
            rest = self.props(will_pairs) + text(topic) + text(payload)
        level = version if version is not None else self.version
        body = text("MQTT") + bytes([level, flags]) + struct.pack(">H", keep_alive)
        return packet(CONNECT, 0, body + self.props(pairs) + text(client_id) + rest)

    def connect(self, client_id, **more):
        """Gives (session present, reason, properties)."""
        self.send(self.connect_bytes(client_id, **more))
        return self.connack()

    def connack(self):
        got = self.next(CONNACK)
        pairs = read_properties(got.body, 2)[0] if self.version == 5 else []
        return bool(got.body[0] & 1), got.body[1], dict(pairs)

    def publish_bytes(self, topic, payload, qos=0, retain=False, dup=False, pid=0, pairs=()):
        body = text(topic) + (struct.pack(">H", pid) if qos else b"") + self.props(pairs) + payload
        return packet(PUBLISH, qos << 1 | (1 if retain else 0) | (8 if dup else 0), body)

    def publish(self, topic, payload, qos=0, pid=None, **more):
        """Sends, and waits until it is acknowledged; other packets are kept out of the way."""
        pid = pid or (self.next_id() if qos else 0)
        self.send(self.publish_bytes(topic, payload, qos, pid=pid, **more))
        if qos == 1:
            return self.reason_of(self.next(PUBACK))
        if qos == 2:
            reason = self.reason_of(self.next(PUBREC))
            if reason < 0x80:
                self.acknowledge(PUBREL, pid)
                self.next(PUBCOMP)
            return reason
        return 0

    def acknowledge(self, kind, pid):
        self.send(packet(kind, 2 if kind == PUBREL else 0, struct.pack(">H", pid)))

    def subscribe(self, *filters, pairs=(), wait=True):
        """filters: (filter, options byte); gives the reason codes."""
        body = struct.pack(">H", self.next_id()) + self.props(pairs)
        for name, options in filters:
            body += text(name) + bytes([options])
        self.send(packet(SUBSCRIBE, 2, body))
        if not wait:
            return None
        got = self.next(SUBACK)
        at = 2
        if self.version == 5:
            at = read_properties(got.body, 2)[1]
        return list(got.body[at:])

    def disconnect(self, reason=0, pairs=()):
        body = b"" if self.version != 5 or (reason == 0 and not pairs) else \
            bytes([reason]) + properties(pairs)
        self.send(packet(DISCONNECT, 0, body))
        self.close()

    # ---- what comes ----

    def next(self, kind=None):
        """The next packet, or the next of one kind; those before it are dropped."""
        while True:
            got = self.take()
            if got is None:
                chunk = self.socket.recv(65536)
                if not chunk:
                    raise Closed()
                self.buffer += chunk
            elif kind is None or got.type == kind:
                return got

    def take(self):
        """A packet that is wholly in the buffer, or None."""
        if len(self.buffer) < 2:
            return None
        n = shift = 0
        at = 1
        while True:
            if at >= len(self.buffer):
                return None
            byte = self.buffer[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        if len(self.buffer) < at + n:
            return None
        first = self.buffer[0]
        body = bytes(self.buffer[at:at + n])
        del self.buffer[:at + n]
        return Packet(first >> 4, first & 15, body)

    def next_publish(self):
        return self.parse_publish(self.next(PUBLISH))

    def parse_publish(self, got):
        qos = got.flags >> 1 & 3
        topic, at = read_text(got.body, 0)
        pid = 0
        if qos:
            pid = struct.unpack_from(">H", got.body, at)[0]
            at += 2
        pairs = []
        if self.version == 5:
            pairs, at = read_properties(got.body, at)
        return Publish(topic.decode(), got.body[at:], qos, bool(got.flags & 1), bool(got.flags & 8), pid,
                       pairs)

    @staticmethod
    def reason_of(got):
        """Of an acknowledgement or a DISCONNECT."""
        at = 0 if got.type == DISCONNECT else 2
        return got.body[at] if len(got.body) > at else 0

    def closed(self):
        """Reads on until the broker closes; gives the packets that came."""
        seen = []
        try:
            while True:
                seen.append(self.next())
        except (Closed, ConnectionError):
            return seen
