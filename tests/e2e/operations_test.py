#!/usr/bin/env python3
"""Operations: what the hub says of itself and of its clients, and what it does under load."""
import http.client
import json
import os
import pathlib
import socket
import subprocess
import time
import unittest
import urllib.parse

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


def ask(own, method, path):
    """Gives (status, JSON)."""
    c = http.client.HTTPConnection("127.0.0.1", own.http_port, timeout=harness.PATIENCE_S)
    c.request(method, path)
    answer = c.getresponse()
    body = json.loads(answer.read())
    c.close()
    return answer.status, body


def tandem(own, *words):
    """Gives (exit status, output, errors) of a command that asks the hub."""
    done = subprocess.run([own.options.tandem, *words, "--http", f"127.0.0.1:{own.http_port}"],
                          capture_output=True, text=True, timeout=harness.PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


class Clients(unittest.TestCase):
    """Who they are, what each has sent, got, not got."""

    def one(self, own, name):
        status, body = ask(own, "GET", "/api/v1/clients?client=" + urllib.parse.quote(name))
        self.assertEqual(200, status, body)
        return body["clients"][0]

    def test_what_came_and_went_is_counted_for_each(self):
        own = hub(self)
        talker, ear = client(self, own, "talker"), client(self, own, "ear/1 ü", 4)
        ear.subscribe(("a/+", 1))
        talker.publish("a/b", b"1234", qos=1)
        got = ear.next_publish()
        ear.acknowledge(rawmqtt.PUBACK, got.id)
        row = wait_for("the acknowledgement", lambda: (r := self.one(own, "ear/1 ü"))["ack_us"] and r)
        self.assertEqual((1, 0, 1, 0), tuple(row[k] for k in ("messages_out", "messages_in",
                                                             "subscriptions", "window")))
        self.assertEqual((True, 4, "local"), (row["connected"], row["version"], row["principal"]))
        self.assertRegex(row["address"], r"^127\.0\.0\.1:\d+$")
        row = self.one(own, "talker")
        self.assertEqual((1, 0, 5), (row["messages_in"], row["messages_out"], row["version"]))
        self.assertGreater(row["bytes_in"], 10)
        self.assertGreater(row["bytes_out"], 0)

    def test_drops_are_told_by_reason(self):
        own = hub(self, FAST + "queue_messages_max = 2\n")
        away = client(self, own, "away", clean=False, pairs=((0x11, 600),))
        away.subscribe(("a", 1), ("zero", 0))
        away.disconnect()
        wait_for("its going", lambda: not self.one(own, "away")["connected"])
        talker = client(self, own, "talker")
        for i in range(5):
            talker.publish("a", b"%d" % i, qos=1)
        talker.publish("zero", b"")
        row = wait_for("the drops", lambda: (r := self.one(own, "away"))["dropped"] == 4 and r)
        self.assertEqual({"queue_full": 3, "offline": 1}, row["drops"])
        self.assertEqual((2, None), (row["queued"], row["address"]))
        status, out, err = tandem(own, "clients", "--sort", "drops", "--limit", "1")
        self.assertEqual((0, ""), (status, err))
        self.assertIn("queue_full 3, offline 1", out)
        self.assertNotIn("talker", out)

    def test_the_greatest_come_first(self):
        own = hub(self)
        for n in (3, 5, 1, 4, 2):
            c = client(self, own, f"c{n}")
            for _ in range(n):
                c.publish("x", b"", qos=1)
        for limit in (2, 5, 100):
            _, body = ask(own, "GET", f"/api/v1/clients?sort=in&limit={limit}")
            self.assertEqual(["c5", "c4", "c3", "c2", "c1"][:limit],
                             [c["client"] for c in body["clients"]])
            self.assertEqual(5, body["sessions"])
        status, body = ask(own, "GET", "/api/v1/clients?sort=luck")
        self.assertEqual((400, True), (status, "'luck'" in body["detail"]))

    def test_a_client_can_be_closed(self):
        own = hub(self)
        ear = client(self, own, "ear")
        ear.subscribe(("will", 0))
        bad = client(self, own, "a/b c", will=("will", b"closed", 0, False, ()))
        status, body = ask(own, "DELETE", "/api/v1/clients/" + urllib.parse.quote("a/b c", safe=""))
        self.assertEqual((200, {"closed": 1}), (status, body))
        self.assertEqual(0x98, bad.reason_of(bad.closed()[-1]))
        self.assertEqual(b"closed", ear.next_publish().payload)
        self.assertEqual(404, ask(own, "DELETE", "/api/v1/clients/a%2Fb%20c")[0])
        self.assertEqual(404, ask(own, "DELETE", "/api/v1/clients/ear?principal=other")[0])
        self.assertEqual(1, tandem(own, "clients", "--close", "nobody")[0])
        self.assertEqual(0, tandem(own, "clients", "--close", "ear")[0])
        self.assertEqual(0x98, ear.reason_of(ear.closed()[-1]))


class Explain(unittest.TestCase):
    """Why did I not get it?"""

    def why(self, own, topic, name=None):
        more = "&client=" + urllib.parse.quote(name) if name else ""
        status, body = ask(own, "GET", "/api/v1/explain?topic=" + urllib.parse.quote(topic) + more)
        self.assertEqual(200, status, body)
        return body

    def test_each_subscription_says_where_it_fails(self):
        own = hub(self)
        c = client(self, own, "c")
        c.subscribe(("home/+/temp", 1), ("home/kitchen/#", 2), ("home/kitchen", 0), ("#", 4),
                    ("home/kitchen/temp/x", 0), ("+/broker", 0))
        by = {s["filter"]: s for s in self.why(own, "home/kitchen/temp", "c")["client"]["subscriptions"]}
        self.assertEqual({"home/+/temp", "home/kitchen/#", "#"},
                         {f for f, s in by.items() if s["matches"]})
        self.assertEqual("level 3: the filter has ended, the topic has 'temp'", by["home/kitchen"]["why"])
        self.assertEqual("level 4: the filter wants 'x', the topic has ended",
                         by["home/kitchen/temp/x"]["why"])
        self.assertEqual((2, "level 2: the filter wants 'broker', the topic has 'kitchen'"),
                         (by["+/broker"]["level"], by["+/broker"]["why"]))
        by = {s["filter"]: s for s in self.why(own, "$SYS/broker", "c")["client"]["subscriptions"]}
        self.assertIn("begins with $", by["#"]["why"])
        status, out, err = tandem(own, "explain", "home/garden/hum", "--client", "c")
        self.assertEqual((0, ""), (status, err))
        self.assertIn("home/+/temp does not: level 3: the filter wants 'temp', the topic has 'hum'", out)

    def test_the_verdict_is_one_sentence(self):
        own = hub(self)
        ear = client(self, own, "ear", clean=False, pairs=((0x11, 600),))
        self.assertIn("no session", self.why(own, "t", "nobody")["client"]["verdict"])
        ear.subscribe(("local", 4 | 1), ("q1", 1), ("q0", 0), ("$share/g/s", 1))
        self.assertIn("none of its 4 subscriptions matches", self.why(own, "t", "ear")["client"]["verdict"])
        self.assertIn("No Local", self.why(own, "local", "ear")["client"]["verdict"])
        self.assertIn("gets it, with QoS 1", self.why(own, "q1", "ear")["client"]["verdict"])
        self.assertIn("group chooses", self.why(own, "s", "ear")["client"]["verdict"])
        ear.disconnect()
        talker = client(self, own, "talker")
        wait_for("its going", lambda: "QoS 0" in self.why(own, "q0", "ear")["client"]["verdict"])
        talker.publish("local", b"", qos=1)
        talker.publish("q1", b"", qos=1)
        self.assertIn("1 wait in its queue, the first of them as number 2 of 2",
                      self.why(own, "q1", "ear")["client"]["verdict"])

    def test_what_happened_lately_is_told(self):
        own = hub(self)
        ear = client(self, own, "ear", clean=False, pairs=((0x11, 600),))
        ear.subscribe(("t", 0))
        ear.disconnect()
        a, b = client(self, own, "a"), client(self, own, "b")
        a.subscribe(("$share/g/t", 0))
        b.subscribe(("$share/g/t", 0))
        wait_for("its going", lambda: not self.why(own, "t", "ear")["client"]["connected"])
        talker = client(self, own, "talker")
        talker.publish("t", b"1", qos=1)
        said = self.why(own, "t")
        self.assertEqual(3, said["hearers"])
        kinds = {row["kind"]: row for row in said["recent"]}
        self.assertEqual(("talker", 2, 1), tuple(kinds["publish"][k] for k in ("from", "reached", "qos")))
        self.assertIn(kinds["shared"]["member"], ("a", "b"))
        self.assertEqual(("ear", "offline"), (kinds["drop"]["client"], kinds["drop"]["why"]))
        status, out, err = tandem(own, "explain", "t")
        self.assertEqual((0, ""), (status, err))
        self.assertIn("ms ago: published by talker with QoS 1, reached 2 sessions", out)
        self.assertIn("ms ago: dropped for ear: offline", out)
        self.assertIn("3 clients hear it.", out)
        self.assertEqual(1, tandem(own, "explain", "a/#")[0])


def metrics(own):
    return ask(own, "GET", "/api/v1/system")[1]["mqtt"]


class Limits(unittest.TestCase):
    """What one client may do, and how many may come."""

    def test_over_its_rate_a_client_waits_and_nothing_is_lost(self):
        own = hub(self, "[limits]\nclient_messages = 100\nburst = 1\n")
        ear, talker = client(self, own, "ear"), client(self, own, "talker")
        ear.subscribe(("t", 0))
        begin = time.monotonic()
        talker.send(b"".join(talker.publish_bytes("t", b"%d" % i) for i in range(250)))
        got = [int(ear.next_publish().payload) for _ in range(250)]
        self.assertEqual(list(range(250)), got)
        self.assertGreater(time.monotonic() - begin, 1.3)
        self.assertGreater(metrics(own)["rate_waits"], 0)
        other = client(self, own, "other")  # whom that does not concern
        begin = time.monotonic()
        other.publish("x", b"", qos=1)
        self.assertLess(time.monotonic() - begin, 0.5)

    def test_over_its_rate_a_client_can_be_refused_or_closed(self):
        own = hub(self, '[limits]\nclient_messages = 5\nburst = 1\nover = "refuse"\n')
        c = client(self, own, "c")
        seen = [c.publish("t", b"", qos=q) for q in (1, 2, 1, 2, 1, 2, 1, 2)]
        self.assertEqual(({0x10}, 0x97), (set(seen[:5]), seen[-1]))
        row = ask(own, "GET", "/api/v1/clients?client=c")[1]["clients"][0]
        self.assertEqual({"rate": seen.count(0x97)}, row["drops"])
        old = client(self, own, "old", 4)
        for _ in range(8):
            old.publish("t", b"", qos=1)  # acknowledged, dropped, counted
        own = hub(self, '[limits]\nclient_bytes = "1 KB"\nburst = 1\nover = "close"\n')
        c = client(self, own, "c")
        c.send(c.publish_bytes("t", b"x" * 3000))
        self.assertEqual(0x96, c.reason_of(c.closed()[-1]))

    def test_all_clients_of_a_principal_share_its_rate(self):
        own = hub(self, '[limits]\nprincipal_messages = 6\nburst = 1\nover = "refuse"\n')
        a, b = client(self, own, "a"), client(self, own, "b")
        seen = [c.publish("t", b"", qos=1) for _ in range(5) for c in (a, b)]
        self.assertGreaterEqual(seen.count(0x97), 3)

    def test_new_topics_have_a_rate_of_their_own(self):
        own = hub(self, "[limits]\nclient_topics = 20\nburst = 1\n")
        c = client(self, own, "c")
        begin = time.monotonic()
        for i in range(50):
            c.publish(f"new/{i}", b"1", qos=1)
        self.assertGreater(time.monotonic() - begin, 1)
        begin = time.monotonic()
        time.sleep(1)
        for i in range(50):
            c.publish(f"new/{i}", b"2", qos=1)
        self.assertLess(time.monotonic() - begin, 2)

    def test_retained_messages_of_a_client_have_a_quota(self):
        own = hub(self, "[hub]\nclient_retained_max = 3\n")
        c, other = client(self, own, "c"), client(self, own, "other")
        ear = client(self, own, "ear")
        ear.subscribe(("r/#", 0))
        seen = [c.publish(f"r/{i}", b"x", qos=1, retain=True) for i in range(5)]
        self.assertEqual([0, 0, 0, 0x97, 0x97], seen)
        self.assertEqual(5, len([ear.next_publish() for _ in range(5)]))  # delivered all the same
        self.assertEqual(0, c.publish("r/0", b"y", qos=1, retain=True))
        self.assertEqual(0, other.publish("r/4", b"x", qos=1, retain=True))
        self.assertEqual(0, c.publish("r/0", b"", qos=1, retain=True))
        self.assertEqual(0, c.publish("r/3", b"x", qos=1, retain=True))
        self.assertEqual(0x97, c.publish("r/1x", b"x", qos=1, retain=True))
        own.stop()
        own.start()
        c = client(self, own, "c")  # the quota holds over a restart and a new session
        self.assertEqual(0x97, c.publish("r/1x", b"x", qos=1, retain=True))

    def test_more_clients_than_the_rate_are_told_to_come_later(self):
        own = hub(self, "[limits]\nconnects = 5\n")
        reasons = []
        for i in range(10):
            raw = rawmqtt.Raw(own.port, 5 if i % 2 else 4)
            self.addCleanup(raw.close)
            reasons.append(raw.connect(f"c{i}")[1])
        self.assertEqual([0] * 5, reasons[:5])
        self.assertTrue(set(reasons[6:]) <= {0x9F, 3}, reasons)
        self.assertGreater(metrics(own)["connects_refused"], 0)

    def test_who_says_nothing_is_not_kept_by_the_hundred(self):
        own = hub(self, "[limits]\nhalf_open_address_max = 8\nhalf_open_max = 40\n")
        quiet = [socket.create_connection(("127.0.0.1", own.port)) for _ in range(60)]
        for s in quiet:
            self.addCleanup(s.close)
        wait_for("the oldest to go", lambda: metrics(own)["half_open"] <= 40)
        self.assertEqual(b"", quiet[0].recv(1))
        wait_for("all but a few to go", lambda: metrics(own)["half_open"] == 8)
        client(self, own, "friend").publish("t", b"", qos=1)
        wait_for("the last to go", lambda: metrics(own)["half_open"] == 0)

    @unittest.skipIf(os.environ.get("TANDEM_SANITIZE"), "a sanitizer's process keeps what was freed")
    def test_memory_has_a_bound_and_who_holds_most_gives_way(self):
        own = hub(self, '[limits]\nmemory = "96 MB"\n')
        friend, ear = client(self, own, "friend"), client(self, own, "ear")
        ear.subscribe(("f", 1))
        hogs = [client(self, own, f"hog{i}") for i in range(30)]
        for hog in hogs:  # each announces 8 MB and sends 7
            hog.socket.setblocking(True)
            head = bytes([0x30]) + rawmqtt.varint(8 << 20) + rawmqtt.text("t") + b"\0"
            try:
                hog.send(head + b"x" * (7 << 20))
            except OSError:
                pass
        statm = pathlib.Path(f"/proc/{own.process.pid}/statm").read_text()
        self.assertLess(int(statm.split()[1]) * 4096, 101 << 20)
        self.assertGreater(metrics(own)["memory_closed"], 0)
        friend.publish("f", b"still", qos=1)
        self.assertEqual(b"still", ear.next_publish().payload)
        for hog in hogs:
            hog.close()
        wait_for("calm", lambda: metrics(own)["memory_level"] == 0)
        client(self, own, "late")


class Audit(unittest.TestCase):
    """Who came, who did what; and that nobody can change what was written."""

    def shown(self, own):
        done = subprocess.run([own.options.tandem, "audit", "show", "--data", str(own.data)],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def verify(self, own):
        done = subprocess.run([own.options.tandem, "audit", "verify", "--data", str(own.data)],
                              capture_output=True, text=True, timeout=harness.PATIENCE_S)
        return done.returncode, done.stdout + done.stderr

    def test_what_happened_is_recorded_and_the_chain_is_whole(self):
        own = hub(self)
        c = client(self, own, "c1")
        ask(own, "DELETE", "/api/v1/clients/c1")
        c.closed()
        connection = http.client.HTTPConnection("127.0.0.1", own.http_port)
        connection.request("POST", "/api/v1/messages", '{"topic":"a/b"}', {"Content-Type": "application/json"})
        self.assertEqual(200, connection.getresponse().status)
        connection.close()
        ask(own, "DELETE", "/api/v1/retained?filter=old/%23")
        status, out, err = tandem(own, "audit", "show")
        self.assertEqual((0, ""), (status, err))
        self.assertEqual([json.loads(line)["action"] for line in out.splitlines()],
                         ["start", "login", "close", "publish", "erase"])
        own.stop()
        seen = [(r["n"], r["action"], r["object"], r["principal"]) for r in self.shown(own)]
        self.assertEqual(seen[1:], [(2, "login", "c1", "local"), (3, "close", "c1", "local"),
                                    (4, "publish", "a/b", "local"), (5, "erase", "old/#", "local"),
                                    (6, "stop", seen[0][2], "")])
        self.assertRegex(self.shown(own)[1]["from"], r"^127\.0\.0\.1:\d+$")
        own.start()
        own.kill()
        own.start()
        own.stop()
        status, said = self.verify(own)
        self.assertEqual(0, status, said)
        self.assertRegex(said, r"records 1 to \d+: the chain is whole, its end is [0-9a-f]{64}")

    def test_a_flood_is_folded_into_counts(self):
        own = hub(self)
        for _ in range(30):
            client(self, own, "again").disconnect()
        own.stop()
        logins = [r for r in self.shown(own) if r["action"] == "login"]
        self.assertEqual([1], [r["count"] for r in logins][:1])
        self.assertLessEqual(len(logins), 3)

    def test_a_changed_or_missing_record_is_found(self):
        import sqlite3
        own = hub(self, '[data]\nsegment = "64 KB"\nsegments = 4\n')
        c = client(self, own, "c")
        own.stop()
        for _ in range(3):
            own.start()
            own.stop()
        own.start()
        c = client(self, own, "c")
        for i in range(100):  # so that the log goes round, and what it held stands in the table
            c.publish(f"r/{i % 3}", b"x" * 8000, qos=1, retain=True)
        own.stop()
        def table(sql, *values):
            db = sqlite3.connect(own.data / "tandem.db")
            rows = db.execute(sql, values).fetchall()
            db.commit()
            db.close()
            return rows
        rows = table("SELECT key, value FROM state WHERE kind = 26 ORDER BY key")
        self.assertGreater(len(rows), 4)
        good = self.verify(own)
        self.assertEqual(0, good[0], good)
        table("UPDATE state SET value = ? WHERE kind = 26 AND key = ?",
              rows[1][1].replace(b"done", b"gone"), rows[1][0])
        status, said = self.verify(own)
        self.assertEqual((1, True), (status, "one of the two was changed" in said), said)
        table("DELETE FROM state WHERE kind = 26 AND key = ?", rows[1][0])
        status, said = self.verify(own)
        self.assertEqual((1, True), (status, "record 2: it is missing" in said), said)


if __name__ == "__main__":
    harness.run_unittest(globals(), __doc__)
