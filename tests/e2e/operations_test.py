#!/usr/bin/env python3
"""Operations: what the hub says of itself and of its clients, and what it does under load."""
import unittest

import harness
import rawmqtt
from harness import wait_for

broker = None
FAST = "[mqtt]\nsys_interval = 1\n"


def hub(test, config=FAST):
    """A hub of a test's own."""
    options, _ = harness.parser("").parse_known_args()
    options.port = options.mosquitto = None
    own = harness.Broker(options)
    file = own.home / "tandem.toml"
    file.write_text(config)
    own.arguments = ["--config", str(file)]
    test.addCleanup(own.forget)
    return own.start()


def client(test, own, name, version=5, **more):
    raw = rawmqtt.Raw(own.port, version)
    test.addCleanup(raw.close)
    raw.connect(name, **more)
    return raw


class Sys(unittest.TestCase):
    """$SYS/#: mosquitto's names and ours."""

    def retained(self, own, filter_, name="asker"):
        """Topic -> payload of what is retained below a filter."""
        asker = client(self, own, name)
        asker.subscribe((filter_, 0))
        asker.send(rawmqtt.packet(rawmqtt.PINGREQ, 0, b""))
        seen = {}
        while True:
            got = asker.next()
            if got.type == rawmqtt.PINGRESP:
                asker.disconnect()
                return seen
            if got.type == rawmqtt.PUBLISH:
                p = asker.parse_publish(got)
                self.assertTrue(p.retain)
                seen[p.topic] = p.payload.decode()

    def test_a_dashboard_made_for_mosquitto_finds_its_topics(self):
        own = hub(self)
        wait_for("$SYS", lambda: self.retained(own, "$SYS/broker/uptime"))
        seen = self.retained(own, "$SYS/#")
        for name in ("version", "uptime", "clients/connected", "clients/total", "clients/maximum",
                     "clients/inactive", "messages/received", "messages/sent", "messages/stored",
                     "bytes/received", "bytes/sent", "subscriptions/count", "retained messages/count",
                     "publish/messages/received", "publish/messages/sent", "publish/messages/dropped",
                     "publish/bytes/received", "publish/bytes/sent", "store/messages/count",
                     "load/messages/received/1min", "load/messages/sent/15min", "load/connections/5min",
                     "load/sockets/1min", "load/bytes/received/1min", "load/publish/dropped/15min"):
            self.assertIn("$SYS/broker/" + name, seen)
        self.assertRegex(seen["$SYS/broker/version"], r"^tandem version \d")
        self.assertRegex(seen["$SYS/broker/uptime"], r"^\d+ seconds$")
        self.assertRegex(seen["$SYS/broker/load/bytes/sent/1min"], r"^\d+\.\d\d$")
        self.assertIn("$SYS/tandem/store/commits", seen)

    def test_it_tells_what_has_changed(self):
        own = hub(self)
        ear = client(self, own, "ear")
        ear.subscribe(("$SYS/broker/clients/connected", 0))
        client(self, own, "second")
        while ear.next_publish().payload != b"2":
            pass
        self.assertEqual("2", self.retained(own, "$SYS/broker/clients/maximum").get(
            "$SYS/broker/clients/maximum", "2")[:1])

    def test_a_wildcard_at_the_first_level_does_not_see_it(self):
        own = hub(self)
        wait_for("$SYS", lambda: self.retained(own, "$SYS/broker/uptime"))
        self.assertEqual({}, self.retained(own, "#"))
        self.assertEqual({}, self.retained(own, "+/broker/uptime"))

    def test_nobody_else_speaks_there(self):
        own = hub(self)
        c = client(self, own, "liar")
        self.assertEqual(0x87, c.publish("$SYS/broker/version", b"evil", qos=1, retain=True))
        w = rawmqtt.Raw(own.port)
        self.addCleanup(w.close)
        self.assertEqual(0x87, w.connect("w", will=("$SYS/broker/uptime", b"evil", 0, True, ()))[1])

    def test_it_is_of_this_life_only(self):
        own = hub(self)
        wait_for("$SYS", lambda: self.retained(own, "$SYS/broker/uptime"))
        own.stop()
        (own.home / "tandem.toml").write_text("[mqtt]\nsys_interval = 0\n")
        own.start()
        self.assertEqual({}, self.retained(own, "$SYS/#"))


if __name__ == "__main__":
    harness.run_unittest(globals(), __doc__)
