#!/usr/bin/env python3
"""The HTTP API over the whole hub: each row of api.def, its refusals, the live feed."""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import re
import socket
import struct
import time
import unittest
import urllib.parse

import harness
from harness import PATIENCE_S, wait_for

broker = None
TREE = pathlib.Path(__file__).resolve().parents[2]
JSON = {"Content-Type": "application/json"}


def ask(method, path, body=None, headers=None):
    """Gives (status, headers, body as bytes)."""
    connection = http.client.HTTPConnection("127.0.0.1", broker.http_port, timeout=PATIENCE_S)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, answer.headers, data


def get(path):
    status, _, data = ask("GET", path)
    assert status == 200, (path, status, data)
    return json.loads(data)


def publish(topic, payload, **more):
    status, _, data = ask("POST", "/api/v1/messages",
                          json.dumps({"topic": topic, "payload": payload, **more}), JSON)
    assert status == 200, data


def series_of(topic, field="value"):
    for thing in get("/api/v1/things")["things"]:
        for series in thing["series"]:
            if series["topic"] == topic and series["field"] == field:
                return dict(series, thing=thing["thing"])
    return None


class Rows(unittest.TestCase):
    def rows(self):
        text = (TREE / "src/serve/http/api.def").read_text()
        return re.findall(r'^ROUTE\("(\w+)", "([^"]+)"', text, re.M)

    def test_each_row_is_documented_with_an_example(self):
        text = (TREE / "docs/api.md").read_text()
        for method, path in self.rows():
            section = re.search(rf"^## {method} {re.escape(path)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
            self.assertTrue(section, f"{method} {path} is not in docs/api.md")
            self.assertIn("```sh", section.group(1), f"{method} {path} has no example")

    def test_what_is_documented_is_there(self):
        text = (TREE / "docs/api.md").read_text()
        self.assertEqual(sorted(re.findall(r"^## (\w+) (/\S+)$", text, re.M)), sorted(self.rows()))

    def test_each_row_knows_its_methods_and_no_others(self):
        paths = {path for _, path in self.rows()}
        for path in paths:
            known = {m for m, p in self.rows() if p == path}
            for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - known:
                status, headers, data = ask(method, path)
                self.assertEqual(status, 405, (method, path, data))
                self.assertEqual(set(headers["Allow"].split(", ")), known)
                self.assertEqual(headers["Content-Type"], "application/problem+json")

    def test_each_row_refuses_what_it_does_not_know(self):
        for method, path in self.rows():
            status, _, data = ask(method, path + "?nonsense=1", "{}" if method == "POST" else None, JSON)
            self.assertEqual(status, 400, (method, path, data))
            self.assertIn("nonsense", json.loads(data)["detail"])

    def test_each_post_wants_json_of_its_size(self):
        for path in (p for m, p in self.rows() if m == "POST"):
            self.assertEqual(ask("POST", path, "{}")[0], 415)
            self.assertEqual(ask("POST", path, "a=b", {"Content-Type": "text/plain"})[0], 415)
            self.assertEqual(ask("POST", path, "{", JSON)[0], 400)
            self.assertEqual(ask("POST", path, "", {"Content-Length": "2000000", **JSON})[0], 413)

    def test_unknown_paths_are_not_found(self):
        for path in ("/nothing", "/api/v1/nothing", "/api/v1/things/x", "/..%2f..%2fetc/passwd"):
            status, headers, data = ask("GET", path)
            self.assertEqual(status, 404)
            self.assertEqual(json.loads(data)["status"], 404)

    def test_every_answer_carries_its_guards(self):
        for path in ("/", "/health", "/nothing", "/metrics", "/api/v1/live"):
            _, headers, _ = ask("GET", path)
            self.assertEqual(headers["Content-Security-Policy"],
                             "default-src 'self'; frame-ancestors 'none'")
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertIsNone(headers["Access-Control-Allow-Origin"])

    def test_strangers_names_and_origins_are_refused(self):
        self.assertEqual(ask("GET", "/health", headers={"Host": "evil.example"})[0], 421)
        self.assertEqual(ask("GET", "/health", headers={"Host": f"localhost:{broker.http_port}"})[0], 200)
        evil = {"Origin": "http://evil.example", **JSON}
        self.assertEqual(ask("POST", "/api/v1/messages", '{"topic":"a"}', evil)[0], 403)
        own = {"Origin": f"http://127.0.0.1:{broker.http_port}", **JSON}
        self.assertEqual(ask("POST", "/api/v1/messages", '{"topic":"own"}', own)[0], 200)


class Data(unittest.TestCase):
    def test_health_and_system_and_metrics(self):
        self.assertEqual(get("/health")["status"], "ok")
        before = get("/api/v1/system")["hub"]["published"]
        publish("sys/a", "1")
        self.assertGreater(get("/api/v1/system")["hub"]["published"], before)
        text = ask("GET", "/metrics")[2].decode()
        samples = dict(line.split(" ") for line in text.splitlines()
                       if not line.startswith("#") and "{" not in line)
        self.assertGreater(float(samples["tandem_hub_published_total"]), 0)
        for name in samples:
            self.assertIn(f"# HELP {name} ", text)
            self.assertRegex(text, rf"# TYPE {name} (counter|gauge)\n")

    def test_a_message_becomes_a_value_and_a_point(self):
        publish("api/v1/meter", {"power": 12.5, "on": True, "who": "é<b>"})
        power = wait_for("the value", lambda: series_of("api/v1/meter", "power"))
        self.assertEqual((power["value"], power["type"], power["thing"]), (12.5, "float", "api/v1"))
        self.assertIs(series_of("api/v1/meter", "on")["value"], True)
        self.assertEqual(series_of("api/v1/meter", "who")["value"], "é<b>")
        publish("api/v1/meter", {"power": 13})
        points = get(f"/api/v1/series?id={power['id']}&from=-1m&to=now")
        self.assertEqual((points["topic"], points["field"]), ("api/v1/meter", "power"))
        self.assertEqual(points["v"], [12.5, 13])
        self.assertLess(abs(points["t"][1] / 1000 - time.time()), 60)

    def test_sql_by_address_and_by_body(self):
        publish("sql/a", "7")
        sql = "SELECT value FROM points WHERE stream = 'sql/a'"
        by_get = get("/api/v1/query?" + urllib.parse.urlencode({"sql": sql}))
        self.assertEqual(by_get, {"columns": ["value"], "rows": [[7]], "truncated": False, "damaged": 0})
        status, _, data = ask("POST", "/api/v1/query", json.dumps({"sql": sql}), JSON)
        self.assertEqual((status, json.loads(data)), (200, by_get))
        for bad in ("SELEC", "DELETE FROM points", "SELECT 1; SELECT 2", "ATTACH 'x' AS y", ""):
            status, _, data = ask("POST", "/api/v1/query", json.dumps({"sql": bad}), JSON)
            self.assertEqual(status, 400, (bad, data))

    def test_bad_parameters_name_the_remedy(self):
        cases = ["id=x", "id=1&px=0", "id=1&px=4001", "id=1&from=soon", "id=1&from=now&to=-1h", "", "id=-1",
                 "id=1&from=2026-13-01", "id=%zz"]
        for case in cases:
            status, _, data = ask("GET", "/api/v1/series?" + case)
            self.assertEqual(status, 400, (case, data))
            self.assertIn(";", json.loads(data)["detail"])
        self.assertEqual(ask("GET", "/api/v1/series?id=4000000000")[0], 404)

    def test_bad_messages_are_refused(self):
        for bad in ('{}', '{"topic":""}', '{"topic":"a/#"}', '{"topic":"$SYS/x"}', '{"topic":1}', '[]',
                    '{"topic":"a","qos":3}', '{"topic":"a","qos":"1"}', '{"topic":"a","retain":1}',
                    '{"topic":"a","topic":"b"}', '{"topic":"a","more":1}', '{"topic":"a"} x', 'null'):
            status, _, data = ask("POST", "/api/v1/messages", bad, JSON)
            self.assertEqual(status, 400, (bad, data))

    def test_what_was_acknowledged_survives_a_kill(self):
        for i in range(5):
            publish("kill/a", str(i), retain=True)
        broker.kill()
        broker.start()
        rows = get("/api/v1/query?" + urllib.parse.urlencode(
            {"sql": "SELECT value FROM points WHERE stream = 'kill/a' ORDER BY ts"}))["rows"]
        self.assertEqual(rows, [[0], [1], [2], [3], [4]])

    def test_the_page_is_there(self):
        status, headers, data = ask("GET", "/")
        self.assertEqual(status, 200)
        self.assertTrue(headers["Content-Type"].startswith("text/html"))
        again = ask("GET", "/", headers={"If-None-Match": headers["ETag"]})
        self.assertEqual((again[0], again[2]), (304, b""))
        head = ask("HEAD", "/")
        self.assertEqual((head[0], head[2], head[1]["Content-Length"]), (200, b"", str(len(data))))


class Feed:
    """A client of the live feed, by hand, so that every byte is looked at."""

    def __init__(self, **headers):
        self.socket = socket.create_connection(("127.0.0.1", broker.http_port), PATIENCE_S)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = {"Host": f"127.0.0.1:{broker.http_port}", "Connection": "Upgrade", "Upgrade": "websocket",
                 "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key,
                 "Sec-WebSocket-Protocol": "tandem.live.1", **headers}
        request = "GET /api/v1/live HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.socket.sendall(request.encode() + b"\r\n")
        self.stream = self.socket.makefile("rb")
        self.status = int(self.stream.readline().split()[1])
        self.headers = http.client.parse_headers(self.stream)
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.accepted = self.headers["Sec-WebSocket-Accept"] == base64.b64encode(digest).decode()
        self.names, self.values, self.events, self.snapshots, self.seq = {}, {}, [], 0, None

    def send(self, text, opcode=1):
        data, mask = text.encode(), os.urandom(4)
        assert len(data) < 126
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(data)]) + mask + masked)

    def frame(self):
        head = self.stream.read(2)
        length = head[1]
        if length == 126:
            length, = struct.unpack(">H", self.stream.read(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.stream.read(8))
        return head[0] & 15, self.stream.read(length)

    def read(self):
        """Takes one frame of the feed into names, values, events."""
        opcode, data = self.frame()
        assert opcode == 2, (opcode, data)
        kind, seq, _ = struct.unpack_from("<BIq", data)
        assert self.seq is None or seq == self.seq + 1
        self.seq = seq
        self.data, self.at = data, 13
        if kind == 4:
            self.snapshots += 1
            self.names.clear()
        elif kind == 3:
            self.events.append(json.loads(data[13:]))
        while kind in (1, 2) and self.at < len(data):
            series = self.varint()
            if kind == 2:
                self.names[series] = (self.lump().decode(), self.lump().decode())
                self.take(1)
            else:
                bits = self.take(1)[0]
                self.varint()
                self.values[self.names[series]] = self.value(bits & 15)

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def lump(self):
        return self.take(self.varint())

    def value(self, form):
        return [lambda: None, lambda: struct.unpack("<d", self.take(8))[0], None,
                lambda: struct.unpack("<q", self.take(8))[0], lambda: self.take(1) == b"\1",
                lambda: self.lump().decode()][form]()

    def until(self, what):
        while not what():
            self.read()

    def close(self):
        self.stream.close()
        self.socket.close()


class Live(unittest.TestCase):
    def test_a_page_sees_what_is_and_what_changes(self):
        publish("live/a", {"n": 1, "text": "x", "on": False})
        feed = Feed(Origin=f"http://127.0.0.1:{broker.http_port}")
        self.assertEqual(feed.status, 101)
        self.assertTrue(feed.accepted)
        feed.send('{"watch":["live/* *"]}')
        feed.until(lambda: ("live/a", "on") in feed.values)
        self.assertEqual(feed.values, {("live/a", "n"): 1, ("live/a", "text"): "x", ("live/a", "on"): False})
        for i in range(30):
            publish("live/a", {"n": i}, qos=0)
            publish("other/a", str(i), qos=0)
        publish("live/b", "2.5")
        feed.until(lambda: feed.values.get(("live/b", "value")) == 2.5)
        self.assertEqual(feed.values[("live/a", "n")], 29)
        self.assertNotIn(("other/a", "value"), feed.values)
        feed.send('{"watch":["other/a value"]}')
        feed.until(lambda: ("other/a", "value") in feed.values)
        self.assertEqual(feed.snapshots, 2)
        feed.close()

    def test_an_idle_feed_shows_that_the_hub_is_there(self):
        feed = Feed()
        feed.send('{"watch":["nothing"]}')
        start = time.monotonic()
        feed.read()
        feed.read()
        self.assertLess(time.monotonic() - start, 10)
        feed.send("hello", 9)
        while True:
            opcode, data = feed.frame()
            if opcode == 10:
                break
        self.assertEqual(data, b"hello")
        feed.send("\x03\x10x", 8)
        self.assertEqual(feed.frame()[0], 8)
        self.assertEqual(feed.stream.read(1), b"")
        feed.close()

    def test_who_may_not_open_a_feed(self):
        self.assertEqual(ask("GET", "/api/v1/live")[0], 426)
        for headers, status in (({"Origin": "http://evil.example"}, 403), ({"Host": "evil.example"}, 421),
                                ({"Sec-WebSocket-Version": "8"}, 426), ({"Sec-WebSocket-Key": "x"}, 400),
                                ({"Sec-WebSocket-Protocol": "mqtt"}, 400)):
            feed = Feed(**headers)
            self.assertEqual(feed.status, status, headers)
            feed.close()

    def test_a_feed_comes_back_after_a_kill(self):
        publish("killed/a", "5")
        feed = Feed()
        feed.send('{"watch":["*"]}')
        feed.until(lambda: ("killed/a", "value") in feed.values)
        broker.kill()
        self.assertEqual(feed.stream.read(1), b"")
        feed.close()
        broker.start()
        feed = Feed()
        feed.send('{"watch":["killed/a *"]}')
        feed.until(lambda: ("killed/a", "value") in feed.values)
        self.assertEqual(feed.values[("killed/a", "value")], 5)
        feed.close()


if __name__ == "__main__":
    harness.run_unittest(globals(), __doc__)
