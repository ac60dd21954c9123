#!/usr/bin/env python3
"""What the hub answers to packets that break the rules: the last word, byte by byte, and the end of
the connection. A case names the rule it breaks, as the 5.0 specification numbers it."""
import re
import socket
import unittest

import harness
from harness import PATIENCE_S, unless_mosquitto

broker = None


def raw(written):
    """Bytes as hexadecimal digits with blanks; 'text' between quotes stands for itself; <n> at the
    start of a packet is its remaining length, counted here."""
    def bytes_of(part):
        return b"".join(w[1:-1].encode() if w[0] == "'" else bytes.fromhex(w)
                        for w in re.findall(r"'[^']*'|[0-9A-Fa-f]+", part))
    out = b""
    for packet in written.split("|"):
        first, counted, rest = packet.partition("<n>")
        body = bytes_of(rest)
        out += bytes_of(first) + (bytes([len(body)]) if counted else b"") + body
    return out


CONNECT = {
    "31": "10 <n> 0006 'MQIsdp' 03 02 003C 0006 'strict'",
    "311": "10 <n> 0004 'MQTT' 04 02 003C 0000",
    "5": "10 <n> 0004 'MQTT' 05 02 003C 00 0000",
}

# Before CONNECT: rule, bytes, last word.
FIRST = (
    ("3.1.0-1", "C0 00", ""),
    ("3.1.0-1", "30 <n> 0001 'a' 00", ""),
    ("3.1.2-1", "10 <n> 0004 'MQTX' 05 02 003C 00 0000", ""),
    ("3.1.2-2", "10 <n> 0004 'MQTT' 06 02 003C 00 0000", "20 03 00 84 00"),
    ("3.1.2-2", "10 <n> 0004 'MQTT' 02 02 003C 0000", "20 02 00 01"),
    ("3.1.2-2", "10 <n> 0004 'MQTT' 84 02 003C 0000", "20 02 00 01"),
    ("3.1.2-3", "10 <n> 0004 'MQTT' 05 03 003C 00 0000", "20 03 00 81 00"),
    ("3.1.2-3", "10 <n> 0004 'MQTT' 04 03 003C 0000", ""),
    ("3.1.2-11", "10 <n> 0004 'MQTT' 05 0A 003C 00 0000", "20 03 00 81 00"),
    ("3.1.2-12", "10 <n> 0004 'MQTT' 05 1E 003C 00 0000 00 0001 'w' 0000", "20 03 00 81 00"),
    ("3.1.3-8 of 3.1.1", "10 <n> 0004 'MQTT' 04 00 003C 0000", "20 02 00 02"),
    ("3.1.2-22 of 3.1.1", "10 <n> 0004 'MQTT' 04 42 003C 0000 0001 'p'", ""),
    ("1.5.4-1", "10 <n> 0004 'MQTT' 05 02 003C 00 0003 EDA080", "20 03 00 81 00"),
    ("1.5.4-2", "10 <n> 0004 'MQTT' 05 02 003C 00 0001 00", "20 03 00 81 00"),
    ("3.3.2-2", "10 <n> 0004 'MQTT' 05 06 003C 00 0000 00 0001 '#' 0000", "20 03 00 90 00"),
    ("2.2.2.2", "10 <n> 0004 'MQTT' 05 02 003C 02 24 01 0000", "20 03 00 81 00"),
    ("2.2.2.2", "10 <n> 0004 'MQTT' 05 02 003C 06 21 0001 21 0001 0000", "20 03 00 82 00"),
    ("2.2.2.2", "10 <n> 0004 'MQTT' 05 02 003C 03 21 0000 0000", "20 03 00 82 00"),
    ("4.12.0-1", "10 <n> 0004 'MQTT' 05 02 003C 06 15 0003 'tok' 0000", "20 03 00 8C 00"),
    ("1.5.5-1", "10 FF FF FF FF 01", ""),
    ("3.1.2-24", "10 FF FF FF 7F", ""),
)

# In 5.0 after CONNACK: rule, bytes, the reason of the DISCONNECT. In 3.x the same bytes (where they
# mean the same) end the connection without a word.
LATER = (
    ("3.1.0-2", CONNECT["5"], 0x82),
    ("2.1.2", "00 00", 0x81),
    ("2.1.2", "20 03 00 00 00", 0x82),
    ("2.1.2", "90 04 0001 00 00", 0x82),
    ("2.1.2", "D0 00", 0x82),
    ("4.12.0-6", "F0 00", 0x82),
    ("3.3.1-4", "36 <n> 0001 'a' 0001 00", 0x81),
    ("3.3.1-2", "38 <n> 0001 'a' 00", 0x81),
    ("2.2.1-3", "32 <n> 0001 'a' 0000 00", 0x82),
    ("3.3.2-2", "30 <n> 0003 'a/+' 00", 0x81),
    ("3.3.2-1", "30 <n> 0003 'a' C0 80 00", 0x81),
    ("4.7.3-1", "30 <n> 0000 00", 0x82),
    ("3.3.2-8", "30 <n> 0001 'a' 03 23 0000", 0x94),
    ("3.3.2-9", "30 <n> 0001 'a' 03 23 FFFF", 0x94),
    ("3.3.2.3.4", "30 <n> 0000 03 23 0001", 0x82),
    ("3.3.4-6", "30 <n> 0001 'a' 02 0B 01", 0x82),
    ("3.3.2-14", "30 <n> 0001 'a' 04 08 0001 '#'", 0x82),
    ("2.2.2", "30 <n> 0001 'a' 05 01", 0x81),
    ("2.2.2.2", "30 <n> 0001 'a' 02 01 02", 0x82),
    ("3.4.2-1", "40 <n> 0001 92", 0x82),
    ("3.6.1-1", "60 02 0001", 0x81),
    ("3.8.1-1", "80 <n> 0001 00 0001 'a' 00", 0x81),
    ("3.8.3-2", "82 <n> 0001 00", 0x82),
    ("3.8.3-4", "82 <n> 0001 00 000A '$share/g/x' 04", 0x82),
    ("3.8.3-5", "82 <n> 0001 00 0001 'a' 40", 0x81),
    ("3.8.3-5", "82 <n> 0001 00 0001 'a' 03", 0x81),
    ("4.7.1-1", "82 <n> 0001 00 0003 'a#b' 00", 0x81),
    ("4.8.2-1", "82 <n> 0001 00 0008 '$share//' 00", 0x81),
    ("3.10.3-2", "A2 <n> 0001 00", 0x82),
    ("3.12.1", "C0 01 00", 0x81),
    ("1.5.5-1", "30 FF FF FF FF 01", 0x81),
    ("3.1.2-24", "30 FF FF FF 7F", 0x95),
    ("3.14.2-1", "E0 01 8B", 0x82),
    ("3.14.2-2", "E0 <n> 00 05 11 00000001", 0x82),
)

IN_3X = (
    ("3.1.0-2", CONNECT["311"]),
    ("2.1.2", "20 02 00 00"),
    ("3.3.1-4", "36 <n> 0001 'a' 0001"),
    ("3.3.1-2", "38 <n> 0001 'a'"),
    ("2.2.1-3", "32 <n> 0001 'a' 0000"),
    ("3.3.2-2", "30 <n> 0003 'a/+'"),
    ("4.7.3-1", "30 <n> 0000 00"),
    ("3.6.1-1", "60 02 0001"),
    ("3.8.3-2", "82 <n> 0001"),
    ("3.8.3-4", "82 <n> 0001 0001 'a' 03"),
    ("4.7.1-1", "82 <n> 0001 0003 'a#b' 00"),
    ("3.15", "F0 00"),
    ("3.14.1-1", "E1 00"),
)


class Line:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", broker.port), PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def say(self, data):
        self.socket.sendall(data)

    def hear(self, n):
        got = b""
        while len(got) < n:
            more = self.socket.recv(n - len(got))
            if not more:
                break
            got += more
        return got

    def rest(self):
        """All that comes until the hub ends the connection. A reset would show as an error: the
        last word must not be lost by it."""
        return self.hear(1 << 20)

    def connect(self, version):
        self.say(raw(CONNECT[version]))
        head = self.hear(2)
        body = self.hear(head[1])
        assert head[0] == 0x20 and body[1] == 0, (head, body)


@unless_mosquitto("says other last words")
class Strict(unittest.TestCase):
    def test_what_comes_before_connect(self):
        for rule, said, word in FIRST:
            with self.subTest(rule=rule, said=said), Line() as line:
                line.say(raw(said))
                self.assertEqual(raw(word).hex(), line.rest().hex())

    def test_what_comes_later_in_5_0(self):
        for rule, said, reason in LATER:
            with self.subTest(rule=rule, said=said), Line() as line:
                line.connect("5")
                line.say(raw(said))
                self.assertEqual(bytes((0xE0, 1, reason)).hex(), line.rest().hex())

    def test_what_comes_later_in_3_x(self):
        for rule, said in IN_3X:
            with self.subTest(rule=rule, said=said), Line() as line:
                line.connect("311")
                line.say(raw(said))
                self.assertEqual("", line.rest().hex())

    def test_input_behind_an_error_does_not_eat_the_last_word(self):
        with Line() as line:
            line.connect("5")
            line.say(raw("30 <n> 0003 'a/+' 00") + raw("C0 00") * 5000)
            self.assertEqual("e00181", line.rest().hex())

    def test_one_byte_at_a_time_is_as_good_as_all_at_once(self):
        with Line() as line:
            line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in raw(CONNECT["5"] + "|C0 00"):
                line.say(bytes([byte]))
            head = line.hear(2)
            line.hear(head[1])
            self.assertEqual("d000", line.hear(2).hex())

    def test_3_1_may_set_dup_where_later_versions_may_not(self):
        with Line() as line:
            line.connect("31")
            line.say(raw("8A <n> 0001 0001 'a' 00"))
            self.assertEqual("9003000100", line.hear(5).hex())

    def test_names_of_the_greatest_length_are_kept(self):
        with Line() as line:
            line.say(raw("10 <n> 0004 'MQTT' 05 00 003C 05 11 00000009 0004 'long'"))
            line.hear(line.hear(2)[1])
            line.say(raw("82 858004 0001 00 FFFF") + b"f" * 65535 + b"\x01")
            self.assertEqual("900400010001", line.hear(6).hex())
            line.say(raw("10 00"))  # ends it

    def test_the_receive_maximum_holds(self):
        with Line() as line:
            line.connect("5")
            burst = b"".join(raw(f"34 <n> 0006 'strict' {i + 1:04X} 00") for i in range(1200))
            line.say(burst)
            answers = line.rest()
            self.assertEqual("e00193", answers[-3:].hex())
            self.assertEqual(b"\x50", answers[:1])


if __name__ == "__main__":
    harness.run_unittest(globals(), __doc__)
