#!/usr/bin/env python3
"""`tandem pub`, `tandem sub` and `tandem simulate` against the hub, as a person at a shell uses them.
With --mosquitto the same against Debian's mosquitto: the tools speak MQTT, not Tandem."""
import itertools
import json
import os
import signal
import subprocess
import unittest

import harness
from harness import PATIENCE_S

broker = None
VERSIONS = ("31", "311", "5")
names = (f"t{os.getpid()}-{n}" for n in itertools.count())


def tandem(*words):
    return [broker.options.tandem, *words]


class Sub:
    """A `tandem sub` that has its subscriptions, or `noted` something else, before the constructor
    returns."""

    def __init__(self, *words, noted="subscribed"):
        command = tandem("sub", "-p", str(broker.port), "-d", *words)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.noted(noted)

    def noted(self, word):
        while True:
            line = self.process.stderr.readline().decode()
            if line.startswith(word):
                return line
            if not line:
                raise AssertionError(f"tandem sub ended before it was {word}")

    def line(self):
        return self.process.stdout.readline().decode().rstrip("\n")

    def output(self):
        """All it printed, once it has ended."""
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        return out

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode


def pub(*words, text=None, status=0):
    done = subprocess.run(tandem("pub", "-p", str(broker.port), *words), input=text,
                          capture_output=True, timeout=PATIENCE_S)
    if done.returncode != status:
        raise AssertionError(f"tandem pub {words}: {done.returncode} {done.stderr}")
    return done.stderr.decode()


class Tools(unittest.TestCase):
    def setUp(self):
        self.topic = "e2e-tools/" + next(names)

    def test_every_qos_in_every_version(self):
        for version, qos in itertools.product(VERSIONS, "012"):
            sub = Sub("-t", self.topic, "-q", qos, "-V", version, "-C", "1", "-F", "%t %q %r %l %p")
            pub("-t", self.topic, "-q", qos, "-V", version, "-m", "hello")
            self.assertEqual(f"{self.topic} {qos} 0 5 hello\n".encode(), sub.output())

    def test_lines_of_standard_input_arrive_in_order(self):
        lines = "".join(f"{i}\n" for i in range(5000)).encode()
        for qos in "012":
            sub = Sub("-t", self.topic, "-q", qos, "-C", "5000")
            pub("-t", self.topic, "-q", qos, "-l", text=lines)
            self.assertEqual(lines, sub.output())

    def test_a_file_arrives_byte_by_byte(self):
        data = os.urandom(1_000_000)
        path = broker.home / "bytes"
        path.write_bytes(data)
        for source in (("-f", str(path)), ("-s",)):
            sub = Sub("-t", self.topic, "-q", "1", "-C", "1", "-N")
            pub("-t", self.topic, "-q", "1", *source, text=data)
            self.assertEqual(data, sub.output())

    def test_repetition(self):
        sub = Sub("-t", self.topic, "-C", "3")
        pub("-t", self.topic, "-m", "x", "--repeat", "3", "--repeat-delay", "0.05")
        self.assertEqual(b"x\nx\nx\n", sub.output())

    def test_retained_messages_are_told_apart_and_removed(self):
        pub("-t", self.topic + "/a", "-q", "1", "-r", "-m", "kept")
        sub = Sub("-t", self.topic + "/#", "-R", "-C", "1", "-F", "%r %p")
        pub("-t", self.topic + "/b", "-m", "live")
        self.assertEqual(b"0 live\n", sub.output())
        sub = Sub("-t", self.topic + "/#", "--retained-only", "-C", "1", "-F", "%r %p")
        self.assertEqual(b"1 kept\n", sub.output())
        sub = Sub("-t", self.topic + "/#", "--remove-retained", "-C", "2", "-F", "%l")
        self.assertEqual(b"4\n0\n", sub.output())  # the message, and the empty one that removed it
        sub = Sub("-t", self.topic + "/#", "-C", "1", "-F", "%p")
        pub("-t", self.topic + "/b", "-m", "nothing before")
        self.assertEqual(b"nothing before\n", sub.output())

    def test_filters_left_out(self):
        sub = Sub("-t", self.topic + "/#", "-T", self.topic + "/+/no", "-C", "1", "-v")
        pub("-t", self.topic + "/a/no", "-m", "1")
        pub("-t", self.topic + "/a/yes", "-m", "2")
        self.assertEqual(f"{self.topic}/a/yes 2\n".encode(), sub.output())

    def test_properties(self):
        sub = Sub("-t", self.topic, "-C", "1", "-F", "%C|%R|%D|%P|%S", "-D", "subscribe",
                  "subscription-identifier", "300")
        pub("-t", self.topic, "-m", "x", "-D", "publish", "content-type", "text/plain", "-D", "publish",
            "response-topic", "r/t", "-D", "publish", "correlation-data", "42", "-D", "publish",
            "user-property", "unit", "K")
        self.assertEqual(b"text/plain|r/t|42|unit:K|300\n", sub.output())

    def test_json(self):
        sub = Sub("-t", self.topic, "-C", "1", "-F", "%J")
        pub("-t", self.topic, "-m", '{"a":[1,2]}')
        self.assertEqual({"a": [1, 2]}, json.loads(sub.output())["payload"])

    def test_a_killed_client_leaves_its_will_and_an_ended_one_does_not(self):
        watcher = Sub("-t", self.topic, "-C", "1")
        will = ("--will-topic", self.topic, "--will-payload")
        self.assertEqual(0, Sub("-t", "x", *will, "ended").end())
        Sub("-t", "x", *will, "killed").end(signal.SIGKILL)
        self.assertEqual(b"killed\n", watcher.output())

    def test_a_session_is_kept(self):
        words = ("-t", self.topic, "-q", "1", "-i", next(names), "-c")
        self.assertEqual(0, Sub(*words).end())
        pub("-t", self.topic, "-q", "1", "-m", "while away")
        self.assertEqual(b"while away\n", Sub(*words, "-C", "1", noted="connected").output())

    def test_time_is_up(self):
        sub = Sub("-t", self.topic, "-C", "1", "-W", "1")
        self.assertEqual(b"", sub.output())
        self.assertEqual(1, sub.process.returncode)

    def test_mistakes_are_named(self):
        for words, status, wanted in (
                (("-m", "x"), 2, "-t TOPIC is missing"),
                (("-t", "a/#", "-m", "x"), 2, "no + or #"),
                (("-t", "a"), 2, "say what to publish"),
                (("-t", "a", "-m", "x", "-V", "6"), 2, "5, 311 and 31"),
                (("-t", "a", "-m", "x", "-D", "publish", "topic-alias", "x"), 2, "not a number"),
                (("-t", "a", "-m", "x", "-c"), 2, "-i"),
                (("-t", "a", "-m", "x", "-h", "no-such-host.invalid"), 1, "no host"),
                (("-t", "a", "-m", "x", "-p", str(harness.free_port())), 1, "nobody answers")):
            with self.subTest(words=words):
                self.assertIn(wanted, pub(*words, status=status))

    @unittest.skipIf(broker is not None and broker.options.port, "the broker is not ours")
    def test_sub_comes_back_when_the_broker_does(self):
        sub = Sub("-t", self.topic, "-q", "1", "-C", "1")
        broker.stop()
        sub.noted("gone")
        broker.start()
        sub.noted("subscribed")
        pub("-t", self.topic, "-q", "1", "-m", "again")
        self.assertEqual(b"again\n", sub.output())


class Town(unittest.TestCase):
    def simulate(self, device):
        process = subprocess.Popen(tandem("simulate", device, "--mqtt", f"127.0.0.1:{broker.port}"),
                                   stderr=subprocess.PIPE)
        def end():
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE_S)
            self.assertEqual(0, process.returncode)
        self.addCleanup(end)

    def test_the_depot_confirms_an_order_and_the_machine_is_filled(self):
        sub = Sub("-t", "vend/v1/cola", "-t", "reply/v1/cola", "-v")
        self.simulate("vending")
        first = json.loads(sub.line().split(" ", 1)[1])
        self.assertEqual({"stock", "sold"}, set(first))
        order = json.dumps({"vm": "v1", "sku": "cola", "qty": 5, "id": next(names)})
        for _ in range(2):  # the second is a repeat: confirmed, not delivered
            pub("-t", "orders", "-q", "1", "-m", order)
        delivered, replies, stock = 0, 0, first["stock"] + first["sold"]
        while delivered == 0 or replies < 2:
            topic, payload = sub.line().split(" ", 1)
            if topic.startswith("reply"):
                replies += 1
                self.assertEqual({"eta": 5}, json.loads(payload))
            else:
                now = json.loads(payload)
                delivered = now["stock"] + now["sold"] - stock
        self.assertEqual(5, delivered)
        sub.end()

    def test_the_crossing_obeys_and_refuses_what_is_not_safe(self):
        sub = Sub("-t", "city/main/state")
        self.simulate("crossing")
        self.assertEqual({"ns": "F", "ew": "F"}, json.loads(sub.line()))
        for command, shown in (({"ns": "G", "ew": "R"}, None), ({"ns": "G", "ew": "G"}, {"ns": "F", "ew": "F"}),
                               ({"ns": "R", "ew": "Y"}, None), ("nonsense", {"ns": "F", "ew": "F"})):
            pub("-t", "city/main/set", "-m", json.dumps(command))
            self.assertEqual(shown or command, json.loads(sub.line()))
        sub.end()

    def test_the_room_cools_while_its_window_is_open(self):
        sub = Sub("-t", "home/living/temp")
        self.simulate("thermostat")
        before = json.loads(sub.line())["value"]
        pub("-t", "home/living/win/south", "-m", '{"open":true}')
        while json.loads(sub.line())["value"] > before - 0.5:
            pass
        sub.end()


if __name__ == "__main__":
    harness.run_unittest(globals(), __doc__)
