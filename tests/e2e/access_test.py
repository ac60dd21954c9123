#!/usr/bin/env python3
"""Who may come and what they may do, with stock clients: mosquitto_pub and Paho. Users and grants
are files that `tandem user` and this program write; SIGHUP makes the hub read them again."""
import base64
import hashlib
import hmac
import http.server
import json
import pathlib
import queue
import signal
import socket
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

import harness
from harness import PATIENCE_S, wait_for

options = None
V311, V5 = mqtt.MQTTv311, mqtt.MQTTv5
NOT_AUTHORIZED, BAD_PASSWORD, BAD_ID = 0x87, 0x86, 0x85

GRANTS = """
# who            verdict  actions    pattern
role:watcher     allow    receive    things/#
role:watcher     deny     read       things/+/secret
role:operator    allow    all        things/#
*                allow    receive    public/#
anonymous        allow    send       public/%c/#
"""


class Hub(harness.Broker):
    """A hub with users and grants."""

    def __init__(self, more=""):
        super().__init__(options)
        self.users = self.home / "users"
        self.grants = self.home / "grants"
        self.config = self.home / "tandem.toml"
        self.grants.write_text(GRANTS)
        self.config.write_text(f'[access]\nusers = "{self.users}"\ngrants = "{self.grants}"\n{more}\n')
        self.arguments = ["-c", str(self.config)]

    def user(self, *words, password=None):
        command = [options.tandem, "user", *words, "-f", str(self.users)]
        done = subprocess.run(command, input=password and password + "\n", capture_output=True, text=True,
                              timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def add(self, *users):
        for name, *roles in users:
            self.user("add", name, *[word for role in roles for word in ("-r", role)],
                      password="pw-" + name)
        return self

    def reload(self):
        """Gives when it was asked for."""
        before = self.log.read_text().count("reloaded")
        self.process.send_signal(signal.SIGHUP)
        asked = time.monotonic()
        wait_for("the reload", lambda: self.log.read_text().count("reloaded") > before)
        return asked


class Peer:
    def __init__(self, hub, name=None, client_id="", version=V5, password=None, clean=True, will=None,
                 expiry=None):
        self.version, self.clean, self.expiry = version, clean, expiry
        more = {} if version == V5 else {"clean_session": clean}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version,
                                  reconnect_on_failure=False, **more)
        if name is not None:
            self.client.username_pw_set(name, "pw-" + name if password is None else password)
        if will is not None:
            self.client.will_set(*will)
        self.connected, self.messages, self.acks, self.gone = (queue.Queue() for _ in range(4))
        self.client.on_connect = lambda c, u, flags, reason, p: self.connected.put((flags, reason))
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.gone.put(time.monotonic())
        self.client.on_message = lambda c, u, m: self.messages.put(m)
        for action in ("on_subscribe", "on_publish"):
            setattr(self.client, action, lambda c, u, mid, reason, p: self.acks.put((mid, reason)))
        more = {}
        if version == V5:
            p = Properties(PacketTypes.CONNECT)
            if expiry is not None:
                p.SessionExpiryInterval = expiry
            more = {"clean_start": clean, "properties": p}
        self.client.connect("127.0.0.1", hub.port, 60, **more)
        self.client.loop_start()
        flags, self.reason = self.connected.get(timeout=PATIENCE_S)
        self.present = flags.session_present
        self.code = self.reason.value

    def ack(self, mid):
        while True:
            got, reason = self.acks.get(timeout=PATIENCE_S)
            if got == mid:
                return reason

    def subscribe(self, topic, qos=1):
        """Gives the code of the SUBACK."""
        if self.version == V5:
            _, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos))
        else:
            _, mid = self.client.subscribe(topic, qos)
        return self.ack(mid)[0].value

    def publish(self, topic, payload="x", qos=1, retain=False):
        return self.ack(self.client.publish(topic, payload, qos, retain).mid).value

    def heard(self, marker="end"):
        """The topics up to the marker."""
        topics = []
        while True:
            m = self.messages.get(timeout=PATIENCE_S)
            if m.payload == marker.encode():
                return topics
            topics.append(m.topic)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
        return self

    def drop(self):
        self.client.socket().shutdown(2)
        self.client.loop_stop()


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.hub = Hub("anonymous = true").add(
            ("pump7",), ("pump8",), ("anna", "admin"), ("wim", "watcher"), ("otto", "operator"),
            ("gone1", "operator"), ("gone2", "operator"))
        cls.hub.start()

    @classmethod
    def tearDownClass(cls):
        cls.hub.stop()

    def setUp(self):
        self.peers = []

    def tearDown(self):
        for p in self.peers:
            p.close()

    def peer(self, *args, **more):
        p = Peer(self.hub, *args, **more)
        self.peers.append(p)
        return p


class Credentials(Case):
    def mosquitto_pub(self, *words, topic="things/pump7/rpm"):
        return subprocess.run(["mosquitto_pub", "-p", str(self.hub.port), "-t", topic, "-m", "1", "-q", "1",
                               *words], capture_output=True, text=True, timeout=PATIENCE_S)

    def test_mosquitto_pub(self):
        for version in ("311", "5"):
            with self.subTest(version=version):
                good = self.mosquitto_pub("-V", version, "-u", "pump7", "-P", "pw-pump7")
                self.assertEqual((0, ""), (good.returncode, good.stderr))
                for words in (("-u", "pump7", "-P", "wrong"), ("-u", "nobody", "-P", "pw-nobody"),
                              ("-u", "pump7")):
                    self.assertNotEqual(0, self.mosquitto_pub("-V", version, *words).returncode, words)

    def test_codes(self):
        for version, bad in ((V5, BAD_PASSWORD), (V311, BAD_PASSWORD)):
            self.assertEqual(0, self.peer("pump7", version=version).code)
            self.assertEqual(bad, self.peer("pump7", version=version, password="no").code)
            self.assertEqual(bad, self.peer("local", version=version, password="").code)

    def test_anonymous_is_a_principal_with_its_own_grants(self):
        p = self.peer(client_id="visitor")
        self.assertEqual(0, p.code)
        self.assertEqual(0x10, p.publish("public/visitor/x"))
        self.assertEqual(NOT_AUTHORIZED, p.publish("public/other/x"))
        self.assertEqual(NOT_AUTHORIZED, p.publish("things/pump7/x"))

    def test_what_was_said_before_the_password_was_looked_at_is_not_lost(self):
        self.hub.user("password", "pump8", password="fresh")
        self.hub.reload()
        self.hub.user("password", "pump8", password="pw-pump8")
        self.hub.reload()
        connect = b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01q\x00\x05pump8\x00\x08pw-pump8"
        subscribe = b"\x00\x01\x00\x0ethings/pump8/#\x00"
        publish = b"\x00\x0ethings/pump8/ahi"
        with socket.create_connection(("127.0.0.1", self.hub.port)) as s:
            s.settimeout(PATIENCE_S)
            s.sendall(b"".join(bytes((head, len(body))) + body for head, body in
                               ((0x10, connect), (0x82, subscribe), (0x30, publish))))
            want = b"\x20\x02\x00\x00" + b"\x90\x03\x00\x01\x00" + bytes((0x30, len(publish))) + publish
            got = b""
            while len(got) < len(want):
                got += s.recv(1000)
            self.assertEqual(want, got)


def rawpeer(hub, client_id, name, password, version=4):
    texts = b"".join(len(t).to_bytes(2, "big") + t.encode() for t in (client_id, name, password))
    body = b"\x00\x04MQTT" + bytes((version, 0xC2, 0, 60)) + (b"\0" if version == 5 else b"") + texts
    s = socket.create_connection(("127.0.0.1", hub.port))
    s.settimeout(PATIENCE_S)
    s.sendall(bytes((0x10, len(body))) + body)
    return s


def answer(s):
    with s:
        return s.recv(4)[3]


class Guessing(Case):
    def test_more_at_once_than_are_looked_at_at_a_time(self):
        """Each gets its answer; and who guessed has to wait by then, or to come again."""
        clients = [rawpeer(self.hub, f"many{i}", "pump8", "wrong") for i in range(30)]
        answers = {answer(s) for s in clients}
        self.assertIn(4, answers)
        self.assertLessEqual(answers, {3, 4})  # 3: come again, from the time on when it is a guess
        begun = time.monotonic()
        self.assertIn(answer(rawpeer(self.hub, "next", "pump8", "wrong")), (3, 4))
        self.assertGreater(time.monotonic() - begun, 0.5)


class Rights(Case):
    def test_a_device_speaks_below_its_own_name(self):
        for version in (V5, V311):
            p = self.peer("pump7", version=version)
            refused = NOT_AUTHORIZED if version == V5 else 0x80
            self.assertEqual(1, p.subscribe("things/pump7/#"))
            self.assertEqual(1, p.subscribe("$share/g/things/pump7/#"))
            for topic in ("#", "things/#", "things/+/rpm", "things/pump8/#", "$SYS/#", "$share/g/things/#"):
                self.assertEqual(refused, p.subscribe(topic), topic)
            self.assertEqual(NOT_AUTHORIZED if version == V5 else 0, p.publish("things/pump8/rpm"))
            p.publish("things/pump8/rpm", qos=2)
            p.publish("things/pump7/rpm")
            p.close()

    def test_what_is_refused_reaches_nobody(self):
        otto = self.peer("otto")
        otto.subscribe("things/#")
        for version in (V5, V311):
            p = self.peer("pump7", version=version)
            for qos in (0, 1, 2):
                p.client.publish("things/pump8/forged", "x", qos)
                p.client.publish("things/pump8/forged", "x", qos, retain=True)
            p.publish("things/pump7/fine")
            p.publish("things/pump7/m", "end")
            self.assertEqual(["things/pump7/fine"], otto.heard())

    def test_deliveries_are_checked_one_by_one(self):
        wim = self.peer("wim")
        self.assertEqual(1, wim.subscribe("things/#"))
        otto = self.peer("otto")
        for retain in (False, True):
            otto.publish("things/a/secret", retain=retain)
            otto.publish("things/a/plain", retain=retain)
        otto.publish("things/a/m", "end")
        self.assertEqual(["things/a/plain"] * 2, wim.heard())
        late = self.peer("wim")
        late.subscribe("things/a/#")
        otto.publish("things/a/m", "end")
        self.assertEqual(["things/a/plain"], late.heard())
        for topic in ("things/a/secret", "things/a/plain"):
            otto.publish(topic, "", retain=True)

    def test_a_member_of_a_group_may_read_all_that_the_group_gets(self):
        wim = self.peer("wim")
        self.assertEqual(1, wim.subscribe("things/#"))
        self.assertEqual(NOT_AUTHORIZED, wim.subscribe("$share/g/things/#"))
        self.assertEqual(1, wim.subscribe("$share/g/things/a/b/c"))

    def test_a_will_is_checked_at_connect(self):
        self.assertEqual(NOT_AUTHORIZED, self.peer("pump7", will=("things/pump8/x", "w")).code)
        self.assertEqual(NOT_AUTHORIZED, self.peer("pump7", version=V311, will=("things/pump8/x", "w")).code)
        self.assertEqual(0, self.peer("pump7", will=("things/pump7/x", "w")).code)

    def test_a_will_is_checked_again_when_it_is_sent(self):
        anna = self.peer("anna")
        anna.subscribe("#")
        otto = self.peer("otto", will=("things/a/will", "w"))
        self.hub.grants.write_text(GRANTS + "otto deny publish things/a/#\n")
        self.hub.reload()
        otto.drop()
        self.hub.grants.write_text(GRANTS)
        time.sleep(0.2)
        anna.publish("m", "end")
        self.assertEqual([], anna.heard())
        self.hub.reload()

    def test_a_right_that_goes_takes_its_subscription_along(self):
        wim = self.peer("wim", client_id="w", clean=False, expiry=1000)
        self.assertEqual(1, wim.subscribe("things/#"))
        self.assertEqual(1, wim.subscribe("public/#"))
        self.hub.grants.write_text("* allow receive public/#\nrole:operator allow all #\n")
        self.hub.reload()
        otto = self.peer("otto")
        otto.publish("things/a/x")
        otto.publish("public/end", "end")
        self.assertEqual([], wim.heard())
        self.hub.grants.write_text(GRANTS)
        self.hub.reload()
        otto.publish("things/a/x")
        wim.close()

    def test_a_right_that_went_while_the_hub_was_down_is_gone_as_well(self):
        wim = self.peer("wim", client_id="w3", clean=False, expiry=1000)
        self.assertEqual([1, 1], [wim.subscribe(f) for f in ("things/#", "public/#")])
        wim.close()
        self.hub.kill()
        self.hub.grants.write_text("* allow receive public/#\nwim allow read #\nrole:operator allow all #\n")
        self.hub.start()
        otto = self.peer("otto")
        otto.publish("things/a/x")
        otto.publish("public/end", "end")
        back = self.peer("wim", client_id="w3", clean=False, expiry=0)
        self.assertEqual((True, []), (back.present, back.heard()))
        self.hub.grants.write_text(GRANTS)
        self.hub.reload()

    def test_what_waits_is_checked_when_the_client_comes_back(self):
        self.peer("wim", client_id="w2", clean=False, expiry=1000).subscribe("things/#")
        self.peers.pop().close()
        otto = self.peer("otto")
        otto.publish("things/a/plain", qos=2)
        otto.publish("things/b/plain")
        otto.publish("things/b/m", "end")
        self.hub.grants.write_text(GRANTS + "wim deny read things/a/#\n")
        self.hub.reload()
        back = self.peer("wim", client_id="w2", clean=False, expiry=0)
        self.assertTrue(back.present)
        self.assertEqual(["things/b/plain"], back.heard())
        self.hub.grants.write_text(GRANTS)
        self.hub.reload()


class Sessions(Case):
    def test_a_client_id_of_another_principal_is_another_session(self):
        """Whatever the second one does, the first one's session and queue are untouched."""
        for clean in (True, False):
            for version in (V5, V311):
                with self.subTest(clean=clean, version=version):
                    owner = self.peer("pump7", client_id="shared", clean=False, expiry=1000)
                    owner.subscribe("things/pump7/#")
                    thief = self.peer("pump8", client_id="shared", version=version, clean=clean)
                    self.assertEqual((0, False), (thief.code, thief.present and not clean))
                    self.assertIn(thief.subscribe("things/pump7/#"), (0x80, NOT_AUTHORIZED))
                    owner.publish("things/pump7/m", "end")
                    self.assertEqual([], owner.heard())  # still connected
                    owner.close()
                    otto = self.peer("otto")
                    otto.publish("things/pump7/queued")
                    thief.close()
                    again = self.peer("pump8", client_id="shared", version=version, clean=True)
                    otto.publish("things/pump7/m", "end")
                    back = self.peer("pump7", client_id="shared", clean=False, expiry=0)
                    self.assertTrue(back.present)
                    self.assertEqual(["things/pump7/queued"], back.heard())
                    back.close()
                    again.close()

    def test_the_same_principal_takes_over(self):
        one = self.peer("pump7", client_id="same")
        two = self.peer("pump7", client_id="same")
        self.assertEqual(0, two.code)
        one.gone.get(timeout=PATIENCE_S)

    def test_sessions_come_back_after_a_restart(self):
        for name in ("pump7", "pump8"):
            self.peer(name, client_id="keep", clean=False, expiry=1000).subscribe(f"things/{name}/#")
            self.peers.pop().close()
        self.hub.kill()
        self.hub.start()
        otto = self.peer("otto")
        for name in ("pump7", "pump8"):
            otto.publish(f"things/{name}/x")
            otto.publish(f"things/{name}/m", "end")
            back = self.peer(name, client_id="keep", clean=False, expiry=0)
            self.assertTrue(back.present)
            self.assertEqual([f"things/{name}/x"], back.heard())


class HubWide(unittest.TestCase):
    def test_a_client_id_belongs_to_one(self):
        hub = Hub("client_ids_hub_wide = true").add(("a",), ("b",)).start()
        try:
            one = Peer(hub, "a", client_id="x")
            self.assertEqual(BAD_ID, Peer(hub, "b", client_id="x").code)
            self.assertEqual(0, Peer(hub, "b", client_id="y").code)
            self.assertEqual(0, Peer(hub, "a", client_id="x").code)
            one.close()
            self.assertEqual(NOT_AUTHORIZED, Peer(hub, client_id="z").code)  # no anonymous here
        finally:
            hub.stop()


class Revocation(Case):
    def test_everything_of_a_principal_is_gone_within_a_second(self):
        hub = self.hub
        anna = self.peer("anna")
        anna.subscribe("things/#")
        anna.subscribe("end")
        victim = self.peer("gone1", client_id="v", clean=False, expiry=1000,
                           will=("things/will/of/gone1", "w"))
        victim.subscribe("things/#")
        self.peer("gone1", client_id="away", clean=False, expiry=1000).subscribe("things/#")
        self.peers.pop().close()
        self.peer("wim", client_id="waits", clean=False, expiry=1000).subscribe("things/#")
        self.peers.pop().close()
        victim.publish("things/kept/by/gone1", "k", retain=True)
        self.peer("otto").publish("things/kept/by/otto", "k", retain=True)
        for topic in ("things/kept/by/gone1", "things/kept/by/otto"):
            self.assertEqual(topic, anna.messages.get(timeout=PATIENCE_S).topic)

        raw = rawpeer(hub, "r", "gone1", "pw-gone1", version=5)
        self.assertEqual(0, raw.recv(100)[3])
        hub.user("remove", "gone1")
        asked = hub.reload()
        self.assertLess(victim.gone.get(timeout=PATIENCE_S) - asked, 1.0)
        self.assertEqual(b"\xe0\x01\x87", raw.recv(100))  # Paho does not look at so short a word
        self.assertLess(time.monotonic() - asked, 1.0)
        raw.close()

        fresh = self.peer("anna")
        fresh.subscribe("things/#")
        anna.publish("things/m", "end")
        self.assertEqual(["things/kept/by/otto"], fresh.heard())  # retained
        self.assertEqual([], anna.heard())  # no will
        waits = self.peer("wim", client_id="waits", clean=False, expiry=0)
        self.assertEqual(["things/kept/by/otto"], waits.heard())  # queued by it for others
        self.assertEqual(BAD_PASSWORD, self.peer("gone1", client_id="v").code)

        hub.add(("gone1", "operator"))  # the name comes back: nothing of the old one does
        hub.reload()
        for client_id in ("v", "away"):
            again = self.peer("gone1", client_id=client_id, clean=False, expiry=0)
            self.assertEqual((0, False), (again.code, again.present))
        anna.publish("things/kept/by/otto", "", retain=True)

    def test_who_was_removed_while_the_hub_was_down_has_nothing_either(self):
        self.peer("gone2", client_id="v", clean=False, expiry=1000,
                  will=("things/will/of/gone2", "w")).subscribe("things/#")
        self.peers[-1].publish("things/kept/by/gone2", "k", retain=True)
        self.peer("wim", client_id="waits2", clean=False, expiry=1000).subscribe("things/#")
        self.peers[0].publish("things/from/gone2")
        self.peers.pop().close()
        self.hub.kill()
        self.hub.user("remove", "gone2")
        self.hub.start()
        anna = self.peer("anna")
        anna.subscribe("things/#")
        anna.publish("things/m", "end")
        self.assertEqual([], anna.heard())
        self.assertEqual(BAD_PASSWORD, self.peer("gone2").code)

    def test_a_new_password_ends_the_connections_of_the_old_one(self):
        p = self.peer("pump8", client_id="p", clean=False, expiry=1000)
        self.hub.user("password", "pump8", password="other")
        asked = self.hub.reload()
        self.assertLess(p.gone.get(timeout=PATIENCE_S) - asked, 1.0)
        self.assertEqual(BAD_PASSWORD, self.peer("pump8").code)
        back = self.peer("pump8", client_id="p", password="other", clean=False, expiry=0)
        self.assertEqual((0, True), (back.code, back.present))
        self.hub.user("password", "pump8", password="pw-pump8")
        self.hub.reload()

    def test_a_broken_file_changes_nothing(self):
        self.hub.grants.write_text(GRANTS + "otto permit all #\n")
        self.hub.reload()
        self.assertIn("behind who stands allow or deny", self.hub.log_text())
        p = self.peer("otto")
        self.assertEqual(1, p.subscribe("things/#"))
        self.hub.grants.write_text(GRANTS)
        self.hub.reload()


class Http(Case):
    def ask(self, path, user=None, token=None, body=None, password=None):
        """Gives status, body, fields."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.hub.http_port}{path}")
        if user is not None:
            pair = f"{user}:{password or 'pw-' + user}".encode()
            request.add_header("Authorization", "Basic " + base64.b64encode(pair).decode())
        if token is not None:
            request.add_header("Authorization", "Bearer " + token)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as e:
            return e.code, e.read(), e.headers

    def test_who_asks_is_known(self):
        self.assertEqual(200, self.ask("/health")[0])
        status, _, fields = self.ask("/metrics")
        self.assertEqual((401, True), (status, fields["WWW-Authenticate"].startswith("Basic realm=")))
        self.assertEqual(401, self.ask("/api/v1/system", "anna", password="no")[0])
        self.assertEqual(401, self.ask("/api/v1/system", token="no")[0])
        self.assertEqual(200, self.ask("/api/v1/system", "anna")[0])
        token = self.hub.user("token", "anna")
        self.hub.reload()
        for path in ("/metrics", "/api/v1/rules", "/api/v1/clients", "/"):
            self.assertEqual(200, self.ask(path, token=token)[0], path)
        for path in ("/metrics", "/api/v1/rules", "/api/v1/clients", "/api/v1/query?sql=SELECT+1",
                     "/api/v1/explain?topic=a"):
            self.assertEqual(403, self.ask(path, "pump7")[0], path)
        self.assertEqual(200, self.ask("/", "pump7")[0])
        done = subprocess.run([options.tandem, "clients", "--http", f"127.0.0.1:{self.hub.http_port}"],
                              capture_output=True, text=True, timeout=PATIENCE_S,
                              env={"TANDEM_TOKEN": token})
        self.assertEqual(0, done.returncode, done.stderr)

    def test_each_sees_and_says_what_he_may(self):
        for name in ("pump7", "pump8"):
            status = self.ask("/api/v1/messages", name,
                              body={"topic": f"things/{name}/rpm", "payload": "42", "qos": 1})[0]
            self.assertEqual(200, status)
        for body in ({"topic": "things/pump8/rpm", "payload": "0"}, {"topic": "x", "payload": "0"},
                     {"topic": "things/pump8/rpm", "payload": "0", "retain": True}):
            self.assertEqual(403, self.ask("/api/v1/messages", "pump7", body=body)[0])
        series = {}
        for name in ("pump7", "pump8", "otto"):
            things = json.loads(self.ask("/api/v1/things", name)[1])["things"]
            series[name] = {s["topic"]: s["id"] for t in things for s in t["series"]}
        self.assertIn("things/pump7/rpm", series["pump7"])
        self.assertEqual([], [t for t in series["pump7"] if not t.startswith("things/pump7/")])
        self.assertLessEqual({"things/pump7/rpm", "things/pump8/rpm"}, set(series["otto"]))
        self.assertEqual([], json.loads(self.ask("/api/v1/things")[1])["things"])
        other = series["pump8"]["things/pump8/rpm"]
        self.assertEqual(404, self.ask(f"/api/v1/series?id={other}", "pump7")[0])
        self.assertEqual(200, self.ask(f"/api/v1/series?id={other}", "pump8")[0])

    def test_a_live_feed_gives_what_its_reader_may_read_and_ends_with_him(self):
        with socket.create_connection(("127.0.0.1", self.hub.http_port)) as s:
            s.settimeout(PATIENCE_S)
            pair = base64.b64encode(b"pump7:pw-pump7").decode()
            s.sendall(f"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                      f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Basic {pair}\r\n"
                      f"Sec-WebSocket-Protocol: tandem.live.1\r\n\r\n".encode())
            wish = b'{"watch":["*"]}'
            s.sendall(bytes((0x81, 0x80 | len(wish), 0, 0, 0, 0)) + wish)
            otto = self.peer("otto")
            for name in ("pump8", "pump7"):
                otto.publish(f"things/{name}/live", "1")
            got = b""
            while b"things/pump7/live" not in got:
                got += s.recv(65536)
            self.assertTrue(got.startswith(b"HTTP/1.1 101 "), got[:100])
            self.assertNotIn(b"pump8", got)
            self.hub.user("password", "pump7", password="other")
            asked = self.hub.reload()
            while s.recv(65536):
                pass
            self.assertLess(time.monotonic() - asked, 1.0)
        self.hub.user("password", "pump7", password="pw-pump7")
        self.hub.reload()


class Scram(Case):
    """MQTT 5.0's enhanced authentication, by a client made of hashlib."""

    def packet(self, head, body):
        return bytes((head, len(body))) + body

    def read(self, s):
        """Type, body."""
        head = s.recv(2, socket.MSG_WAITALL)
        return head[0], s.recv(head[1], socket.MSG_WAITALL) if head[1] else b""

    def properties(self, data, method=b"SCRAM-SHA-256"):
        p = b"\x15" + len(method).to_bytes(2, "big") + method
        p += b"\x16" + len(data).to_bytes(2, "big") + data
        return bytes((len(p),)) + p

    def data(self, properties):
        at = properties.index(b"\x16", properties.index(b"SCRAM-SHA-256"))
        return properties[at + 3:at + 3 + int.from_bytes(properties[at + 1:at + 3], "big")]

    def connect(self, first, client_id=b"s", method=b"SCRAM-SHA-256"):
        s = socket.create_connection(("127.0.0.1", self.hub.port))
        s.settimeout(PATIENCE_S)
        body = b"\0\4MQTT\5\2\0\x3c" + self.properties(first, method) + b"\0\1" + client_id
        s.sendall(self.packet(0x10, body))
        return s

    def final(self, name, password, server_first, bare):
        fields = dict(f.split(b"=", 1) for f in server_first.split(b","))
        salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
        sign = lambda key, text: hmac.digest(key, text, "sha256")
        client_key = sign(salted, b"Client Key")
        without = b"c=biws,r=" + fields[b"r"]
        said = bare + b"," + server_first + b"," + without
        mask = sign(hashlib.sha256(client_key).digest(), said)
        proof = bytes(a ^ b for a, b in zip(client_key, mask))
        signature = base64.b64encode(sign(sign(salted, b"Server Key"), said))
        return without + b",p=" + base64.b64encode(proof), b"v=" + signature

    def log_in(self, s, name, password, bare):
        kind, body = self.read(s)
        self.assertEqual((0xF0, 0x18), (kind, body[0]))
        final, signature = self.final(name, password, self.data(body), bare)
        s.sendall(self.packet(0xF0, b"\x18" + self.properties(final)))
        return signature

    def test_logging_in_and_once_more(self):
        self.hub.user("add", "scram1", "--scram", password="pencil")
        self.hub.reload()
        bare = b"n=scram1,r=abcdefgh"
        s = self.connect(b"n,," + bare)
        signature = self.log_in(s, b"scram1", b"pencil", bare)
        kind, body = self.read(s)
        self.assertEqual((0x20, 0), (kind, body[1]))
        self.assertEqual(signature, self.data(body))
        again = b"n=scram1,r=another"
        s.sendall(self.packet(0xF0, b"\x19" + self.properties(b"n,," + again)))
        signature = self.log_in(s, b"scram1", b"pencil", again)
        kind, body = self.read(s)
        self.assertEqual((0xF0, 0, signature), (kind, body[0], self.data(body)))
        s.sendall(self.packet(0x32, b"\0\x0fthings/scram1/x\0\1\0"))
        self.assertEqual((0x40, b"\0\1\x10"), self.read(s))
        s.sendall(self.packet(0xF0, b"\x19" + self.properties(b"n,,n=scram1,r=x")))
        self.log_in(s, b"scram1", b"wrong", b"n=scram1,r=x")
        self.assertEqual((0xE0, b"\x87"), self.read(s))
        s.close()
        self.assertEqual(0, self.peer("scram1", password="pencil").code)  # the password does as well

    def test_what_is_refused(self):
        self.hub.user("add", "scram2", "--scram", password="pencil")
        self.hub.reload()
        for name, password in ((b"scram2", b"wrong"), (b"nobody", b"pencil"), (b"pump7", b"pw-pump7")):
            bare = b"n=" + name + b",r=abcdefgh"
            s = self.connect(b"n,," + bare)
            self.log_in(s, name, password, bare)
            kind, body = self.read(s)
            self.assertEqual((0x20, 0x87), (kind, body[1]), name)
            s.close()
        for first, method, code in ((b"p=tls-exporter,,n=scram2,r=a", b"SCRAM-SHA-256", 0x87),
                                    (b"", b"SCRAM-SHA-256", 0x87),
                                    (b"n,,n=scram2,r=a", b"SCRAM-SHA-1", 0x8C)):
            s = self.connect(first, method=method)
            kind, body = self.read(s)
            self.assertEqual((0x20, code), (kind, body[1]), first)
            s.close()
        s = self.connect(b"n,,n=scram2,r=a")
        self.read(s)
        s.sendall(self.packet(0xF0, b"\x18" + self.properties(b"c=biws,r=a,p=", b"SCRAM-SHA-1")))
        kind, body = self.read(s)
        self.assertEqual((0x20, 0x82), (kind, body[1]))  # MQTT-4.12.0-5
        s.close()
        s = self.connect(b"n,,n=scram2,r=a")
        self.read(s)
        s.sendall(b"\xc0\0")  # not before CONNACK
        kind, body = self.read(s)
        self.assertEqual((0x20, 0x82), (kind, body[1]))
        s.close()
        s = self.connect(b"n,,n=scram2,r=a")
        self.read(s)
        s.sendall(b"\xe0\0")  # it may go
        self.assertEqual(b"", s.recv(10))
        s.close()


class Tokens(unittest.TestCase):
    """Tokens of an issuer, signed by the openssl program."""

    def token(self, claims, key=None):
        part = lambda raw: base64.urlsafe_b64encode(raw).rstrip(b"=")
        text = part(b'{"alg":"EdDSA"}') + b"." + part(json.dumps(claims).encode())
        (self.home / "text").write_bytes(text)
        done = subprocess.run(["openssl", "pkeyutl", "-sign", "-inkey", str(key or self.key), "-rawin",
                               "-in", str(self.home / "text")], capture_output=True, check=True)
        return (text + b"." + part(done.stdout)).decode()

    def test_a_token_is_a_password_or_a_bearer(self):
        hub = Hub().add(("pump7",), ("anna", "admin"))
        self.home = hub.home
        self.key, other = hub.home / "key.pem", hub.home / "other.pem"
        for key in (self.key, other):
            subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)], check=True)
        subprocess.run(["openssl", "pkey", "-in", str(self.key), "-pubout", "-out", str(hub.home / "pub.pem")],
                       check=True)
        hub.config.write_text(hub.config.read_text() + f'jwt_keys = "{hub.home}/pub.pem"\n'
                              'jwt_audience = "hub"\njwt_issuer = "iss"\njwt_algorithms = ["EdDSA"]\n')
        hub.start()
        try:
            good = {"sub": "pump7", "aud": "hub", "iss": "iss", "exp": int(time.time()) + 100}
            token = self.token(good)
            p = Peer(hub, "pump7", password=token)
            self.assertEqual((0, 1), (p.code, p.subscribe("things/pump7/#")))
            p.close()
            self.assertEqual(0, Peer(hub, "pump7", password=token, version=V311).close().code)
            done = subprocess.run(["mosquitto_pub", "-p", str(hub.port), "-t", "things/pump7/x", "-m", "1",
                                   "-u", "pump7", "-P", token], timeout=PATIENCE_S)
            self.assertEqual(0, done.returncode)
            for claims, key in (({**good, "exp": int(time.time()) - 100}, None), ({**good, "aud": "x"}, None),
                                (good, other), ({**good, "sub": "nobody"}, None)):
                self.assertEqual(BAD_PASSWORD, Peer(hub, "pump7", password=self.token(claims, key)).code)
            self.assertEqual(BAD_PASSWORD, Peer(hub, "anna", password=token).code)  # not her token
            for claims, status in (({**good, "sub": "anna"}, 200), (good, 403), ({**good, "iss": "x"}, 401)):
                request = urllib.request.Request(f"http://127.0.0.1:{hub.http_port}/metrics")
                request.add_header("Authorization", "Bearer " + self.token(claims))
                try:
                    code = urllib.request.urlopen(request, timeout=PATIENCE_S).status
                except urllib.error.HTTPError as e:
                    code = e.code
                self.assertEqual(status, code)
        finally:
            hub.stop()


class Handshakes(unittest.TestCase):
    """Certificates and pre-shared keys, by mosquitto_pub."""

    def setUp(self):
        self.hub = hub = Hub()
        self.certs = harness.make_certificates(hub.home / "certs")
        (hub.home / "keys").write_text("lamp:000102030405060708090a0b0c0d0e0f\nnobody:" + 32 * "a" + "\n")
        self.tls, self.psk = harness.free_port(), harness.free_port()
        self.socket = hub.home / "sock"
        c = self.certs
        hub.config.write_text(hub.config.read_text() + f"""
[[listener]]
address = "127.0.0.1:{self.tls}"
certificate = "{c}/server.pem"
key = "{c}/server.key"
client_certificate = "optional"
client_ca = "{c}/ca.pem"
[[listener]]
address = "127.0.0.1:{self.psk}"
psk = "{hub.home}/keys"
[[listener]]
address = "unix:{self.socket}"
authenticate = ["local"]
""")
        hub.add(("anna", "admin"))
        hub.user("add", "lamp", "--no-password")
        self.addCleanup(hub.stop)

    def pub(self, topic, *words):
        """Whether it came in and was allowed to."""
        done = subprocess.run(["mosquitto_pub", "-V", "5", "-t", topic, "-m", "b", "-q", "1", *map(str, words)],
                              capture_output=True, text=True, timeout=PATIENCE_S)
        return done.returncode == 0 and "not authori" not in (done.stdout + done.stderr).lower()

    def cert(self, name):
        return ["-h", "localhost", "-p", self.tls, "--cafile", self.certs / "ca.pem",
                "--cert", self.certs / f"{name}.pem", "--key", self.certs / f"{name}.key"]

    def subject(self, name):
        done = subprocess.run(["openssl", "x509", "-in", str(self.certs / f"{name}.pem"), "-noout", "-subject",
                               "-nameopt", "multiline"], capture_output=True, text=True, check=True)
        return [line.split("=")[1].strip() for line in done.stdout.splitlines() if "commonName" in line][0]

    def test_a_certificate_means_its_user(self):
        hub, name = self.hub, self.subject("client")
        hub.start()
        self.assertFalse(self.pub(f"things/{name}/x", *self.cert("client")))  # vouched for, but no user
        hub.user("add", name, "--no-password")
        hub.reload()
        self.assertTrue(self.pub(f"things/{name}/x", *self.cert("client")))
        self.assertFalse(self.pub("things/lamp/x", *self.cert("client")))
        anna = ["-u", "anna", "-P", "pw-anna"]
        self.assertFalse(self.pub("a", *self.cert("client"), *anna))  # two principals
        self.assertTrue(self.pub("a", *self.cert("client")[:6], *anna))  # no certificate
        self.assertFalse(self.pub("a", *self.cert("client")[:6]))
        hub.user("remove", name)
        hub.reload()
        self.assertFalse(self.pub(f"things/{name}/x", *self.cert("client")))

    def test_a_pinned_key_goes_before_the_name(self):
        hub = self.hub
        der = subprocess.run(f"openssl x509 -in {self.certs}/client.pem -noout -pubkey |"
                             " openssl pkey -pubin -outform der", shell=True, capture_output=True, check=True)
        hub.user("add", "pinned", "--key", hashlib.sha256(der.stdout).hexdigest())
        hub.user("add", self.subject("client"), "--no-password")
        hub.start()
        self.assertTrue(self.pub("things/pinned/x", *self.cert("client")))
        self.assertFalse(self.pub(f"things/{self.subject('client')}/x", *self.cert("client")))

    def test_a_pre_shared_key_means_its_user(self):
        self.hub.start()
        lamp = ["-p", self.psk, "--psk", "000102030405060708090a0b0c0d0e0f", "--psk-identity", "lamp"]
        self.assertTrue(self.pub("things/lamp/x", *lamp))
        self.assertFalse(self.pub("things/other/x", *lamp))
        self.assertFalse(self.pub("things/nobody/x", "-p", self.psk, "--psk", 32 * "a", "--psk-identity",
                                  "nobody"))

    def test_a_listener_may_take_everybody_who_reaches_it(self):
        self.hub.start()
        body = b"\0\4MQTT\4\2\0\x3c\0\1u"
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.socket))
            s.sendall(bytes((0x10, len(body))) + body)
            self.assertEqual(b"\x20\2\0\0", s.recv(4))
            s.sendall(b"\x82\6\0\1\0\1#\0")
            self.assertEqual(b"\x90\3\0\1\0", s.recv(5))
        texts = b"\0\1u\0\4anna\0\7pw-anna"
        body = b"\0\4MQTT\4\xc2\0\x3c" + texts
        with socket.socket(socket.AF_UNIX) as s:  # but no passwords
            s.connect(str(self.socket))
            s.sendall(bytes((0x10, len(body))) + body)
            self.assertEqual(b"\x20\2\0\5", s.recv(4))


class Judge(unittest.TestCase):
    """Passwords that another program judges."""

    def test_it_is_asked_each_time(self):
        asked, verdict = [], {}

        class Program(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append((self.path, question["user"], question["password"], question["address"]))
                self.send_response(verdict.get((question["user"], question["password"]), 403))
                self.end_headers()

            def log_message(self, *_):
                pass

        program = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Program)
        threading.Thread(target=program.serve_forever, daemon=True).start()
        hub = Hub().add(("otto", "operator"))
        hub.user("add", "anna", "--http", "-r", "admin")
        without = subprocess.run([options.tandem, "serve", "--data", str(hub.data), "-c", str(hub.config)],
                                 capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertIn("no password_url", without.stderr)
        hub.config.write_text(hub.config.read_text() +
                              f'password_url = "http://127.0.0.1:{program.server_port}/login"\n')
        hub.start()
        try:
            self.assertEqual(BAD_PASSWORD, Peer(hub, "anna", password='"s\u00e4').code)
            self.assertEqual(("/login", "anna", '"s\u00e4', "127.0.0.1"), asked[-1])
            verdict["anna", "yes"] = 200
            for n in range(2):
                self.assertEqual(0, Peer(hub, "anna", password="yes").close().code)
            self.assertEqual(3, len(asked))
            self.assertEqual(0, Peer(hub, "otto").close().code)  # his hash is here
            self.assertEqual(BAD_PASSWORD, Peer(hub, "nobody", password="yes").code)
            self.assertEqual(3, len(asked))
            program.shutdown()
            program.server_close()
            self.assertEqual(BAD_PASSWORD, Peer(hub, "anna", password="yes").code)
        finally:
            hub.stop()


class Files(unittest.TestCase):
    def fails(self, users, grants, *says):
        hub = Hub()
        for path, text in ((hub.users, users), (hub.grants, grants)):
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
        done = subprocess.run([options.tandem, "serve", "--data", str(hub.data), "-c", str(hub.config),
                               "--mqtt", "127.0.0.1:0", "--http", "off"], capture_output=True, text=True,
                              timeout=PATIENCE_S)
        self.assertNotEqual(0, done.returncode)
        for word in says:
            self.assertIn(word, done.stderr)

    def test_a_missing_or_bad_file_is_no_start(self):
        self.fails(None, "", "users: No such file", "give the path of a file")
        self.fails("a::\n", None, "grants: No such file")
        self.fails("a::\nb::plain\n", "", "users:2:", "no credential", "tandem user password")
        self.fails("a::\n", "a allow publish x/#/y\n", "grants:1:", "# is the last level")

    def test_grants_test_says_why(self):
        hub = Hub().add(("pump7",), ("wim", "watcher"))
        for words, code, says in (
                (("pump7", "publish", "things/pump7/x"), 0, "yes\n  allow for role device"),
                (("pump7", "publish", "things/pump8/x"), 1, "no\n  no grant"),
                (("wim", "read", "things/a/secret"), 1, "no\n  deny for role watcher: 'things/+/secret'"),
                (("nobody", "read", "x"), 1, "no: there is no such principal"),
                (("wim", "eat", "x"), 2, "")):
            done = subprocess.run([options.tandem, "grants", "test", *words, "-u", str(hub.users),
                                   "-g", str(hub.grants)], capture_output=True, text=True, timeout=PATIENCE_S)
            self.assertEqual(code, done.returncode, done.stderr)
            self.assertTrue(done.stdout.startswith(says), done.stdout)


if __name__ == "__main__":
    options, rest = harness.parser(__doc__).parse_known_args()
    options.tandem = str(pathlib.Path(options.tandem).resolve())
    unittest.main(argv=["access_test.py"] + rest)
