#!/usr/bin/env python3
"""What Tandem adds to MQTT's topics (docs/mqtt.md), with Paho as the client and the program's own commands."""
import http.client
import json
import pathlib
import queue
import signal
import subprocess
import time
import unittest
import urllib.parse

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import harness
from harness import PATIENCE_S, wait_for

options = None
V311, V5 = mqtt.MQTTv311, mqtt.MQTTv5


def hub(test, config=""):
    """A hub of a test's own."""
    own = harness.Broker(options)
    file = own.home / "tandem.toml"
    file.write_text(config)
    own.arguments = ["--config", str(file)]
    test.addCleanup(own.forget)
    return own.start()


def ask(own, method, path, token=None, said=None, **query):
    """Gives (status, JSON)."""
    c = http.client.HTTPConnection("127.0.0.1", own.http_port, timeout=PATIENCE_S)
    c.request(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), said and json.dumps(said),
              {"Content-Type": "application/json", "Authorization": "Bearer " + token} if token else {})
    answer = c.getresponse()
    body = json.loads(answer.read())
    c.close()
    return answer.status, body


def tandem(own, *words):
    """Gives (exit status, output, errors) of a command that asks the hub."""
    done = subprocess.run([options.tandem, *words, "--http", f"127.0.0.1:{own.http_port}"],
                          capture_output=True, text=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


class Peer:
    """A Paho client whose messages end in a queue."""

    def __init__(self, test, own, name, version=V5, user=None):
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=version,
                                  reconnect_on_failure=False)
        if user is not None:
            self.client.username_pw_set(user, user)
        self.came, self.messages, self.acks = queue.Queue(), queue.Queue(), queue.Queue()
        self.client.on_connect = lambda c, u, flags, reason, p: self.came.put(reason)
        self.client.on_message = lambda c, u, m: self.messages.put(m)
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.acks.put(reasons[0].value)
        self.client.on_publish = lambda c, u, mid, reason, p: self.acks.put(reason.value)
        self.client.connect("127.0.0.1", own.port)
        self.client.loop_start()
        test.addCleanup(self.close)
        self.came.get(timeout=PATIENCE_S)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def subscribe(self, topic, qos=1):
        self.client.subscribe(topic, qos)
        return self.acks.get(timeout=PATIENCE_S)

    def publish(self, topic, payload, qos=1, retain=False, user=(), **more):
        """Gives the reason code of the acknowledgement."""
        properties = None
        if user or more:
            properties = Properties(PacketTypes.PUBLISH)
            for key, value in more.items():
                setattr(properties, key, value)
            if user:
                properties.UserProperty = list(user)
        self.client.publish(topic, payload, qos, retain, properties)
        return self.acks.get(timeout=PATIENCE_S)

    def next(self):
        return self.messages.get(timeout=PATIENCE_S)


class Retained(unittest.TestCase):
    """Looked through page by page, deleted for good and without a word."""

    def fill(self, own, *topics):
        p = Peer(self, own, "filler")
        for topic in topics:
            self.assertIn(p.publish(topic, "is " + topic, retain=True), (0, 0x10))
        return p

    def topics(self, own, filter_, limit=100):
        seen, after = [], {}
        while True:
            status, page = ask(own, "GET", "/api/v1/retained", filter=filter_, limit=limit, **after)
            self.assertEqual(200, status, page)
            seen += [m["topic"] for m in page["retained"]]
            if page["next"] is None:
                return seen
            after = {"after": page["next"]}

    def test_pages_show_each_one_once_and_in_order(self):
        own = hub(self)
        topics = [f"a/{n}" for n in range(25)] + ["b", "ü/x"]
        self.fill(own, *topics)
        self.assertEqual(sorted(topics, key=str.encode), self.topics(own, "#", limit=4))
        self.assertEqual(["a/3"], self.topics(own, "+/3"))
        page = ask(own, "GET", "/api/v1/retained", filter="b")[1]["retained"][0]
        self.assertEqual(("is b", 4, 1, None, "local"), tuple(
            page[k] for k in ("payload", "bytes", "qos", "expires_s", "principal")))

    def test_a_payload_that_is_no_text_comes_in_base64(self):
        own = hub(self)
        self.fill(own).publish("bin", bytes([255, 0]), retain=True)
        self.assertEqual("/wA=", ask(own, "GET", "/api/v1/retained")[1]["retained"][0]["base64"])

    def test_what_is_deleted_stays_deleted_and_nobody_hears_of_it(self):
        own = hub(self)
        p = self.fill(own, "a/1", "a/2", "b")
        p.subscribe("a/#")
        self.assertEqual({"a/1", "a/2"}, {p.next().topic, p.next().topic})
        self.assertEqual((200, {"deleted": 2, "more": False}), ask(own, "DELETE", "/api/v1/retained", filter="a/#"))
        p.publish("a/marker", "x")
        self.assertEqual("a/marker", p.next().topic)
        own.kill()
        own.start()
        self.assertEqual(["b"], self.topics(own, "#"))

    def test_the_command_lists_and_deletes(self):
        own = hub(self)
        self.fill(own, *[f"a/{n}" for n in range(12)])
        status, out, _ = tandem(own, "retained", "list", "a/#", "-n", "11")
        self.assertEqual((0, 11), (status, len(out.splitlines())))
        self.assertRegex(out.splitlines()[0], r"^\d{4}-\d\d-\d\dT\S+Z   1        6  a/0  is a/0$")
        self.assertEqual((0, "deleted 12\n"), tandem(own, "retained", "delete", "a/#")[:2])
        self.assertEqual((0, ""), tandem(own, "retained", "list", "#")[:2])
        status, _, errors = tandem(own, "retained", "list", "a/#/b")
        self.assertEqual(1, status)
        self.assertIn("'a/#/b': a topic filter", errors)
        self.assertEqual(2, tandem(own, "retained", "lst", "a")[0])

    def test_an_expired_one_leaves_by_itself(self):
        own = hub(self)
        p = self.fill(own, "stays")
        p.publish("goes", "soon", retain=True, MessageExpiryInterval=1)
        self.assertEqual(["goes", "stays"], self.topics(own, "#"))
        wait_for("its end", lambda: self.topics(own, "#") == ["stays"])
        self.assertEqual(1, ask(own, "GET", "/api/v1/system")[1]["hub"]["retained_expired"])

    def test_each_sees_and_deletes_what_it_may(self):
        own = harness.Broker(options)
        self.addCleanup(own.forget)
        users, grants = own.home / "users", own.home / "grants"
        grants.write_text("role:boss allow all #\nrole:guest allow read a/#\nrole:guest allow write a/own\n")
        (own.home / "tandem.toml").write_text(f'[access]\nusers = "{users}"\ngrants = "{grants}"\n')
        own.arguments = ["--config", str(own.home / "tandem.toml")]
        for name in ("boss", "guest"):
            subprocess.run([options.tandem, "user", "add", name, "-r", name, "-f", users], input=name + "\n",
                           text=True, check=True, capture_output=True)
        tokens = {name: subprocess.run([options.tandem, "user", "token", name, "-f", users], text=True, check=True,
                                       capture_output=True).stdout.strip() for name in ("boss", "guest")}
        own.start()

        def seen(name):
            return [m["topic"] for m in ask(own, "GET", "/api/v1/retained", tokens[name])[1]["retained"]]

        for topic in ("a/own", "a/other", "b"):
            said = {"topic": topic, "payload": "1", "retain": True}
            self.assertEqual(200, ask(own, "POST", "/api/v1/messages", tokens["boss"], said)[0])
        self.assertEqual(["a/other", "a/own"], seen("guest"))
        self.assertEqual({"deleted": 1, "more": False},
                         ask(own, "DELETE", "/api/v1/retained", tokens["guest"], filter="#")[1])
        self.assertEqual(["a/other", "b"], seen("boss"))


class Delayed(unittest.TestCase):
    """Published later, whatever happens meanwhile."""

    def waiting(self, own):
        status, page = ask(own, "GET", "/api/v1/delayed")
        self.assertEqual(200, status, page)
        return page["delayed"]

    def test_stock_clients_of_both_versions_can_say_it(self):
        own = hub(self)
        old, new = Peer(self, own, "old", V311), Peer(self, own, "new", V5)
        old.subscribe("a/#")
        begun = time.monotonic()
        self.assertEqual(0, old.publish("$delayed/2/a/topic", "1"))
        self.assertEqual(0, new.publish("a/property", "2", qos=2, user=[("delay", "1")], ContentType="text/plain"))
        self.assertEqual(["a/property", "a/topic"], [old.next().topic, old.next().topic])
        self.assertGreater(time.monotonic() - begun, 2)

    def test_properties_and_retain_go_with_it(self):
        own = hub(self)
        p = Peer(self, own, "p")
        p.publish("a", "x", retain=True, user=[("delay", "1"), ("k", "v")], ContentType="text/plain")
        wait_for("its time", lambda: not self.waiting(own))
        p.subscribe("a")
        got = p.next()
        self.assertTrue(got.retain)
        self.assertEqual("text/plain", got.properties.ContentType)
        self.assertEqual([("delay", "1"), ("k", "v")], got.properties.UserProperty)

    def test_it_is_listed_and_cancelled(self):
        own = hub(self)
        p = Peer(self, own, "p")
        p.publish("$delayed/60/a/b", "1234")
        p.publish("$delayed/90/c", "1", qos=2, retain=True)
        first, second = self.waiting(own)
        self.assertEqual(("a/b", 4, 1, False, "p", "local"), tuple(
            first[k] for k in ("topic", "bytes", "qos", "retain", "client", "principal")))
        self.assertLess(first["due"], second["due"])
        self.assertEqual((200, {"cancelled": 1}), ask(own, "DELETE", f"/api/v1/delayed/{first['id']}"))
        self.assertEqual(404, ask(own, "DELETE", f"/api/v1/delayed/{first['id']}")[0])
        own.kill()
        own.start()
        self.assertEqual([second], self.waiting(own))
        counters = ask(own, "GET", "/api/v1/system")[1]["mqtt"]
        self.assertEqual((1, 0), (counters["delayed"], counters["delayed_accepted"]))

    def test_kill_9_does_not_take_it(self):
        own = hub(self)
        p = Peer(self, own, "p")
        for n in range(20):
            p.publish(f"$delayed/{1 + n % 3}/a/{n}", str(n))
        p.publish("a/last", "x", user=[("delay", "6")])
        own.kill()
        own.start()
        ear = Peer(self, own, "ear")
        ear.subscribe("a/last")
        self.assertEqual("a/last", ear.next().topic)
        self.assertEqual([], self.waiting(own))

    def test_too_many_and_nonsense_are_refused(self):
        own = hub(self, "[mqtt]\ndelayed_messages_max = 1\n")
        p = Peer(self, own, "p")
        self.assertEqual(0x90, p.publish("$delayed/soon/a", "1"))
        self.assertEqual(0x83, p.publish("a", "1", user=[("delay", "soon")]))
        self.assertEqual(0, p.publish("$delayed/60/a", "1"))
        self.assertEqual(0x97, p.publish("$delayed/60/a", "1"))
        self.assertEqual(0, Peer(self, own, "old", V311).publish("$delayed/60/a", "1"))  # dropped, has no code
        counters = ask(own, "GET", "/api/v1/system")[1]["mqtt"]
        self.assertEqual((1, 1, 2), tuple(counters["delayed" + k] for k in ("", "_accepted", "_refused")))

    def test_rights_are_asked_now_and_then(self):
        own = harness.Broker(options)
        self.addCleanup(own.forget)
        users, grants = own.home / "users", own.home / "grants"
        grants.write_text("role:a allow all a/#\n*  allow receive a/#\n")
        (own.home / "tandem.toml").write_text(f'[access]\nusers = "{users}"\ngrants = "{grants}"\n')
        own.arguments = ["--config", str(own.home / "tandem.toml")]
        for name in ("ann", "bob"):
            subprocess.run([options.tandem, "user", "add", name, "-r", "a", "-f", users], input=name + "\n",
                           text=True, check=True, capture_output=True)
        own.start()
        ann, bob = (Peer(self, own, name, user=name) for name in ("ann", "bob"))
        bob.subscribe("a/#")
        self.assertEqual(0x87, ann.publish("$delayed/1/b", "1"))
        self.assertEqual(0, ann.publish("$delayed/3/a/ann", "1"))
        self.assertEqual(0, bob.publish("$delayed/4/a/bob", "1"))
        subprocess.run([options.tandem, "user", "remove", "ann", "-f", users], check=True, capture_output=True)
        own.process.send_signal(signal.SIGHUP)
        self.assertEqual("a/bob", bob.next().topic)


if __name__ == "__main__":
    options, rest = harness.parser(__doc__).parse_known_args()
    options.tandem = str(pathlib.Path(options.tandem).resolve())
    unittest.main(argv=["topics_test.py", *rest])
