#!/usr/bin/env python3
"""Eclipse Paho (Python), stock options, against the hub: what MQTT 3.1.1 and 5.0 promise a client.

The cases of `Both` run once for each version. Each case has topics of its own, below its name.
"""
import itertools
import queue
import socket
import time
import unittest

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

import harness
import rawmqtt
from harness import PATIENCE_S, wait_for

broker = None
names = (f"c{n}" for n in itertools.count())
V311, V5 = mqtt.MQTTv311, mqtt.MQTTv5


def props(packet, **values):
    p = Properties(packet)
    for key, value in values.items():
        setattr(p, key, value)
    return p


class Peer:
    """A Paho client whose callbacks end in queues."""

    def __init__(self, version=V5, client_id=None, clean=True, will=None, manual_ack=False):
        self.version = version
        self.id = next(names) if client_id is None else client_id
        self.clean = clean
        more = {} if version == V5 else {"clean_session": clean}
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=self.id, protocol=version,
                                  transport="tcp" if broker.over in ("tcp", "tls") else "websockets",
                                  manual_ack=manual_ack, reconnect_on_failure=False, **more)
        if broker.over in ("tls", "wss"):
            self.client.tls_set(str(broker.certificates / "ca.pem"))
        self.connected, self.messages, self.acks, self.gone = (queue.Queue() for _ in range(4))
        self.client.on_connect = lambda c, u, flags, reason, p: self.connected.put((flags, reason, p))
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.gone.put((flags, reason))
        self.client.on_message = lambda c, u, m: self.messages.put(m)
        for name in ("on_subscribe", "on_unsubscribe", "on_publish"):
            setattr(self.client, name, lambda c, u, mid, reason, p: self.acks.put((mid, reason)))
        if will is not None:
            self.client.will_set(*will[:4], properties=will[4] if len(will) > 4 else None)

    def connect(self, keepalive=60, **properties):
        """Gives (session present, properties of the CONNACK)."""
        more = {}
        if self.version == V5:
            more = {"clean_start": self.clean, "properties": props(PacketTypes.CONNECT, **properties)}
        self.client.connect("127.0.0.1", broker.over_port, keepalive, **more)
        self.client.loop_start()
        flags, self.reason, p = self.connected.get(timeout=PATIENCE_S)
        return flags.session_present, p

    def up(self, **properties):
        present, _ = self.connect(**properties)
        assert not self.reason.is_failure, self.reason
        self.present = present
        return self

    def wait_ack(self, mid):
        while True:
            got, reason = self.acks.get(timeout=PATIENCE_S)
            if got == mid:
                return reason

    def subscribe(self, topic, qos=0, properties=None, **options):
        if self.version == V5:
            _, mid = self.client.subscribe(topic, options=SubscribeOptions(qos=qos, **options),
                                           properties=properties)
        else:
            _, mid = self.client.subscribe(topic, qos)
        return self.wait_ack(mid)[0]

    def unsubscribe(self, topic):
        _, mid = self.client.unsubscribe(topic)
        return self.wait_ack(mid)

    def publish(self, topic, payload=b"", qos=0, retain=False, **properties):
        """Returns when the broker has acknowledged (QoS 1, 2) or the bytes are out (0)."""
        p = props(PacketTypes.PUBLISH, **properties) if self.version == V5 else None
        info = self.client.publish(topic, payload, qos, retain, properties=p)
        return self.wait_ack(info.mid)

    def message(self):
        return self.messages.get(timeout=PATIENCE_S)

    def payloads(self, n):
        return [self.message().payload for _ in range(n)]

    def until(self, marker):
        """The payloads before the marker's."""
        seen = []
        while True:
            payload = self.message().payload
            if payload == marker:
                return seen
            seen.append(payload)

    def disconnect(self, reason=None, **properties):
        more = {}
        if self.version == V5:
            more = {"reasoncode": reason, "properties": props(PacketTypes.DISCONNECT, **properties)}
        self.client.disconnect(**more)
        self.client.loop_stop()

    def drop(self):
        """The network goes away: no DISCONNECT is sent."""
        # Only a shutdown is seen by the peer while the client's thread still holds the socket.
        held = self.client.socket()
        getattr(held, "_socket", held).shutdown(socket.SHUT_RDWR)  # below its WebSocket, if it has one
        self.client.loop_stop()


class Case(unittest.TestCase):
    version = V5

    def setUp(self):
        self.peers = []
        self.topic = "e2e/" + self.id().split(".", 1)[1].replace(".", "/")

    def tearDown(self):
        for peer in self.peers:
            peer.client.disconnect()
            peer.client.loop_stop()

    def peer(self, *args, **more):
        more.setdefault("version", self.version)
        peer = Peer(*args, **more)
        self.peers.append(peer)
        return peer

    def durable(self, client_id, version=None, **more):
        """A client whose session outlives its connection."""
        version = version or self.version
        peer = self.peer(client_id=client_id, clean=False, version=version)
        if version == V5:
            more.setdefault("SessionExpiryInterval", 3600)
        return peer.up(**more)


class Both:
    """Cases for each version."""

    def test_every_qos_is_delivered_at_the_lower_of_both(self):
        for granted in range(3):
            subscriber = self.peer().up()
            self.assertEqual(granted, subscriber.subscribe(f"{self.topic}/{granted}", granted).value)
            publisher = self.peer().up()
            for qos in range(3):
                publisher.publish(f"{self.topic}/{granted}", f"{qos}", qos)
                got = subscriber.message()
                self.assertEqual((f"{qos}".encode(), min(qos, granted), False),
                                 (got.payload, got.qos, got.retain))

    def test_payloads_of_every_length_class_arrive_whole(self):
        a = self.peer().up()
        a.subscribe(self.topic, 1)
        for n in (0, 1, 100, 127, 128, 16383, 16384, 200_000):
            payload = bytes(i * 7 % 256 for i in range(n))
            a.publish(self.topic, payload, 1)
            self.assertEqual(payload, a.message().payload)

    def test_order_is_kept_within_a_topic(self):
        a, b = self.peer().up(), self.peer().up()
        for qos in range(3):
            a.subscribe(f"{self.topic}/{qos}", 2)
            infos = [b.client.publish(f"{self.topic}/{qos}", f"{i}", qos) for i in range(300)]
            infos[-1].wait_for_publish(PATIENCE_S)
            self.assertEqual([f"{i}".encode() for i in range(300)], a.payloads(300))

    def test_topics_in_any_script(self):
        a = self.peer().up()
        topic = f"{self.topic}/Größe/温度/🌡"
        a.subscribe(topic, 1)
        a.publish(topic, "18 °C".encode(), 1)
        got = a.message()
        self.assertEqual((topic, "18 °C"), (got.topic, got.payload.decode()))

    def test_wildcards_match_levels(self):
        a = self.peer().up()
        t = self.topic
        cases = {f"{t}/+/x": ["a/x", "/x"], f"{t}/#": ["", "a", "a/x", "a/x/y", "/x"], f"{t}/a": ["a"],
                 f"{t}/+": ["a"], f"{t}/+/+/y": ["a/x/y"], f"{t}/a/#": ["a", "a/x", "a/x/y"]}
        for name, wanted in cases.items():
            a.subscribe(name, 1)
            for level in ("", "a", "a/x", "a/x/y", "/x"):
                a.publish(f"{t}/{level}" if level else t, level, 1)
            a.publish(f"{t}/a/x/y", "end", 1)   # seen by no filter but the widest: a marker of its own
            a.subscribe(f"{t}!", 1)
            a.publish(f"{t}!", "marker", 1)
            seen = [p.decode() for p in a.until(b"marker") if p != b"end"]
            self.assertEqual(sorted(wanted), sorted(seen), name)
            a.unsubscribe(name)

    def test_a_wildcard_at_the_front_does_not_see_dollar_topics(self):
        a = self.peer().up()
        a.subscribe("+/e2e-dollar", 1)
        a.publish("$e2e/e2e-dollar", "hidden", 0)
        a.publish("x/e2e-dollar", "seen", 1)
        self.assertEqual(b"seen", a.message().payload)

    def test_unsubscribed_is_not_delivered(self):
        a = self.peer().up()
        a.subscribe(f"{self.topic}/+", 1)
        a.unsubscribe(f"{self.topic}/+")
        a.subscribe(f"{self.topic}/end", 1)
        a.publish(f"{self.topic}/x", "x", 1)
        a.publish(f"{self.topic}/end", "end", 1)
        self.assertEqual([], a.until(b"end"))

    def test_retained_is_kept_replaced_and_removed(self):
        a, b = self.peer().up(), self.peer().up()
        b.subscribe(self.topic, 1)
        for value in ("1", "2"):
            a.publish(self.topic, value, 1, retain=True)
            got = b.message()
            self.assertEqual((value.encode(), False), (got.payload, got.retain))
        late = self.peer().up()
        late.subscribe(f"{self.topic}/#", 1)
        got = late.message()
        self.assertEqual((b"2", True), (got.payload, got.retain))
        a.publish(self.topic, b"", 1, retain=True)
        self.assertEqual(b"", b.message().payload)
        none = self.peer().up()
        none.subscribe(f"{self.topic}/#", 1)
        a.publish(self.topic, "now", 1)
        self.assertEqual(b"now", none.message().payload)

    def test_a_will_is_published_when_the_network_goes(self):
        watcher = self.peer().up()
        watcher.subscribe(self.topic, 2)
        for qos in range(3):
            self.peer(will=(self.topic, f"gone {qos}", qos, False)).up().drop()
            got = watcher.message()
            self.assertEqual((f"gone {qos}".encode(), qos), (got.payload, got.qos))

    def test_a_will_is_forgotten_by_a_clean_end(self):
        watcher = self.peer().up()
        watcher.subscribe(self.topic, 1)
        self.peer(will=(self.topic, "gone", 1, False)).up().disconnect()
        self.peer(will=(self.topic, "marker", 1, False)).up().drop()
        self.assertEqual([], watcher.until(b"marker"))

    def test_a_retained_will_stays(self):
        watcher = self.peer().up()
        watcher.subscribe(self.topic, 1)
        self.peer(will=(self.topic, "off", 1, True)).up().drop()
        self.assertEqual(b"off", watcher.message().payload)
        late = self.peer().up()
        late.subscribe(self.topic, 1)
        got = late.message()
        self.assertEqual((b"off", True), (got.payload, got.retain))

    def test_a_session_keeps_what_came_while_it_was_away(self):
        name = next(names) + "-durable"
        a = self.durable(name)
        self.assertFalse(a.present)
        a.subscribe(self.topic, 2)
        a.disconnect()
        b = self.peer().up()
        for i in range(50):
            b.publish(self.topic, f"{i}", 1 + i % 2)
        again = self.durable(name)
        self.assertTrue(again.present)
        got = [again.message() for _ in range(50)]
        for qos in (1, 2):  # a QoS 2 message is handed over when it is released, so each has its own order
            self.assertEqual([f"{i}".encode() for i in range(50) if 1 + i % 2 == qos],
                             [m.payload for m in got if m.qos == qos])
        b.publish(self.topic, "live", 2)
        self.assertEqual(b"live", again.message().payload)

    def test_a_session_survives_a_lost_network(self):
        name = next(names) + "-lost"
        a = self.durable(name)
        a.subscribe(self.topic, 1)
        a.drop()
        self.peer().up().publish(self.topic, "kept", 1)
        again = self.durable(name)
        self.assertTrue(again.present)
        self.assertEqual(b"kept", again.message().payload)

    def test_a_clean_start_forgets_the_session(self):
        name = next(names) + "-clean"
        a = self.durable(name)
        a.subscribe(self.topic, 1)
        a.disconnect()
        fresh = self.peer(client_id=name, clean=True).up()
        self.assertFalse(fresh.present)
        fresh.subscribe(self.topic + "/end", 1)
        b = self.peer().up()
        b.publish(self.topic, "forgotten", 1)
        b.publish(self.topic + "/end", "end", 1)
        self.assertEqual([], fresh.until(b"end"))

    def test_a_second_client_of_the_same_name_takes_over(self):
        name = next(names) + "-twin"
        first = self.durable(name)
        first.subscribe(self.topic, 1)
        second = self.durable(name)
        self.assertTrue(second.present)
        first.gone.get(timeout=PATIENCE_S)
        self.peer().up().publish(self.topic, "to the second", 1)
        self.assertEqual(b"to the second", second.message().payload)

    def test_silence_ends_a_connection_and_publishes_its_will(self):
        watcher = self.peer().up()
        watcher.subscribe(self.topic, 1)
        raw = rawmqtt.Raw(broker.port, 5 if self.version == V5 else 4)
        raw.connect(next(names), keep_alive=1, will=(self.topic, b"silent", 1, False, ()))
        self.assertEqual(b"silent", watcher.message().payload)
        seen = raw.closed()
        raw.close()
        if self.version == V5 and not broker.options.mosquitto:  # which closes without a word
            self.assertEqual([0x8D], [raw.reason_of(p) for p in seen])

    def test_pings_keep_a_connection(self):
        a = self.peer()
        a.connect(keepalive=1)
        pings = queue.Queue()
        a.client.on_log = lambda c, u, level, text: "PINGRESP" in text and pings.put(text)
        for _ in range(3):
            pings.get(timeout=PATIENCE_S)
        self.assertTrue(a.gone.empty())

    def test_a_shared_subscription_serves_each_message_to_one(self):
        members = [self.peer().up() for _ in range(3)]
        everyone = self.peer().up()
        everyone.subscribe(self.topic, 1)
        for m in members:
            m.subscribe(f"$share/crew/{self.topic}", 1)
        b = self.peer().up()
        for i in range(60):
            b.publish(self.topic, f"{i}", 1)
        want = sorted(f"{i}".encode() for i in range(60))
        self.assertEqual(want, sorted(everyone.payloads(60)))
        wait_for("all shares", lambda: sum(m.messages.qsize() for m in members) == 60)
        self.assertEqual(want, sorted(p for m in members for p in m.payloads(m.messages.qsize())))

    def test_a_share_goes_on_when_a_member_leaves(self):
        stays, leaves = self.peer().up(), self.peer().up()
        for m in (stays, leaves):
            m.subscribe(f"$share/crew/{self.topic}", 1)
        leaves.drop()
        b = self.peer().up()

        def all_reach_the_one():
            b.publish(self.topic, "x", 1)
            return stays.messages.qsize() >= 20
        wait_for("messages to reach the one that stays", all_reach_the_one)

    def test_a_hundred_subscribers_hear_one_message(self):
        crowd = [self.peer().up() for _ in range(100)]
        for c in crowd:
            c.subscribe(self.topic, 1)
        self.peer().up().publish(self.topic, "all", 1)
        for c in crowd:
            self.assertEqual(b"all", c.message().payload)


class Version311(Both, Case):
    version = V311

    def test_an_empty_name_needs_a_clean_session(self):
        raw = rawmqtt.Raw(broker.port, 4)
        _, reason, _ = raw.connect("", clean=False)
        self.assertEqual(2, reason)
        raw.close()

    def test_a_session_goes_on_in_the_other_version(self):
        name = next(names) + "-grows-up"
        a = self.durable(name, version=V311)
        a.subscribe(self.topic, 1)
        a.disconnect()
        self.peer().up().publish(self.topic, "kept", 1)
        again = self.durable(name, version=V5)
        self.assertTrue(again.present)
        self.assertEqual(b"kept", again.message().payload)


class Version5(Both, Case):
    version = V5

    def test_a_name_is_assigned(self):
        _, p = self.peer(client_id="").connect()
        self.assertTrue(p.AssignedClientIdentifier)

    def test_properties_of_a_message_arrive_as_they_were(self):
        a, b = self.peer().up(), self.peer().up()
        a.subscribe(self.topic, 2)
        pairs = [("unit", "°C"), ("unit", "again"), ("", "empty")]
        b.publish(self.topic, "21", 2, retain=True, PayloadFormatIndicator=1, ContentType="text/plain",
                  ResponseTopic="answer/here", CorrelationData=b"\x00\x01\xff", UserProperty=pairs)
        late = self.peer().up()
        late.subscribe(self.topic, 2)
        for m in (a.message(), late.message()):
            p = m.properties
            self.assertEqual((1, "text/plain", "answer/here", b"\x00\x01\xff", pairs),
                             (p.PayloadFormatIndicator, p.ContentType, p.ResponseTopic, p.CorrelationData,
                              p.UserProperty))

    def test_a_request_finds_its_answer(self):
        server, client = self.peer().up(), self.peer().up()
        server.subscribe(f"{self.topic}/ask", 1)
        client.subscribe(f"{self.topic}/answer/{client.id}", 1)
        client.publish(f"{self.topic}/ask", "2+2", 1, ResponseTopic=f"{self.topic}/answer/{client.id}",
                       CorrelationData=b"q1")
        ask = server.message()
        server.publish(ask.properties.ResponseTopic, "4", 1, CorrelationData=ask.properties.CorrelationData)
        answer = client.message()
        self.assertEqual((b"4", b"q1"), (answer.payload, answer.properties.CorrelationData))

    def test_a_message_that_expires_in_a_queue_is_not_delivered(self):
        name = next(names) + "-late"
        a = self.durable(name)
        a.subscribe(self.topic, 1)
        a.disconnect()
        b = self.peer().up()
        b.publish(self.topic, "soon stale", 1, MessageExpiryInterval=1)
        b.publish(self.topic, "lasting", 1, MessageExpiryInterval=1000)
        # Its end is seen from outside by a retained twin that expires after it.
        b.publish(self.topic + "/twin", "stale", 1, retain=True, MessageExpiryInterval=2)

        def twin_is_gone():
            c = self.peer().up()
            c.subscribe(self.topic + "/twin", 1)
            c.subscribe(self.topic + "/end", 1)
            c.publish(self.topic + "/end", "end", 1)
            gone = c.until(b"end") == []
            c.disconnect()
            return gone
        wait_for("the retained twin to expire", twin_is_gone)
        got = self.durable(name).message()
        self.assertEqual(b"lasting", got.payload)
        self.assertTrue(900 < got.properties.MessageExpiryInterval <= 1000)

    def test_a_session_expires(self):
        name = next(names) + "-brief"
        a = self.durable(name, SessionExpiryInterval=1)
        a.subscribe(self.topic, 1)
        a.drop()

        def forgotten():
            # 0 makes the probe's own connection end the session, so wait before each look.
            time.sleep(2.5)
            return not self.durable(name, SessionExpiryInterval=1).present
        wait_for("the session to expire", forgotten)

    def test_a_disconnect_may_end_the_session(self):
        name = next(names) + "-ends"
        self.durable(name).disconnect(SessionExpiryInterval=0)
        self.assertFalse(self.durable(name).present)

    def test_a_session_without_an_interval_ends_with_its_connection(self):
        name = next(names) + "-default"
        self.peer(client_id=name, clean=False).up().disconnect()
        self.assertFalse(self.durable(name).present)

    def test_a_delayed_will_waits_and_is_called_off_by_a_return(self):
        watcher = self.peer().up()
        watcher.subscribe(f"{self.topic}/#", 1)
        delay = props(PacketTypes.WILLMESSAGE, WillDelayInterval=2)
        name = next(names) + "-back"

        def owner(word):
            peer = self.peer(client_id=name, clean=False, will=(self.topic, word, 1, False, delay))
            return peer.up(SessionExpiryInterval=3600)
        owner("called off").drop()
        owner("comes").drop()
        self.peer(will=(self.topic, "at once", 1, False)).up().drop()
        self.assertEqual([b"at once", b"comes"], watcher.payloads(2))

    @harness.unless_mosquitto("2.0.11 waits for the whole delay")
    def test_a_delayed_will_comes_at_the_latest_when_the_session_ends(self):
        watcher = self.peer().up()
        watcher.subscribe(self.topic, 1)
        delay = props(PacketTypes.WILLMESSAGE, WillDelayInterval=3600)
        self.peer(will=(self.topic, "session over", 1, False, delay)).up(SessionExpiryInterval=0).drop()
        self.assertEqual(b"session over", watcher.message().payload)

    def test_disconnect_with_will_publishes_it(self):
        from paho.mqtt.reasoncodes import ReasonCode
        watcher = self.peer().up()
        watcher.subscribe(self.topic, 1)
        leaver = self.peer(will=(self.topic, "as I wished", 1, False)).up()
        leaver.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"))
        self.assertEqual(b"as I wished", watcher.message().payload)

    def test_a_will_carries_its_properties(self):
        watcher = self.peer().up()
        watcher.subscribe(self.topic, 1)
        more = props(PacketTypes.WILLMESSAGE, ContentType="text/plain", UserProperty=("why", "power"))
        self.peer(will=(self.topic, "gone", 1, False, more)).up().drop()
        p = watcher.message().properties
        self.assertEqual(("text/plain", [("why", "power")]), (p.ContentType, p.UserProperty))

    def test_no_more_is_sent_than_the_client_can_receive(self):
        slow = self.peer(manual_ack=True).up(ReceiveMaximum=2)
        slow.subscribe(f"{self.topic}/acked", 1)
        slow.subscribe(f"{self.topic}/marker", 0)
        b = self.peer().up()
        for i in range(10):
            b.publish(f"{self.topic}/acked", f"{i}", 1)
        b.publish(f"{self.topic}/marker", "marker", 0)
        first = slow.message(), slow.message()
        self.assertEqual([b"0", b"1"], [m.payload for m in first])
        self.assertEqual(b"marker", slow.message().payload)
        for m in first:
            slow.client.ack(m.mid, m.qos)
        for i in range(2, 10):
            m = slow.message()
            self.assertEqual(f"{i}".encode(), m.payload)
            slow.client.ack(m.mid, m.qos)

    def test_a_packet_too_large_for_the_client_is_left_out(self):
        small = self.peer().up(MaximumPacketSize=200)
        small.subscribe(self.topic, 1)
        b = self.peer().up()
        b.publish(self.topic, b"x" * 1000, 1)
        b.publish(self.topic, "fits", 1)
        self.assertEqual(b"fits", small.message().payload)

    def test_a_topic_alias_stands_for_a_topic(self):
        a = self.peer().up()
        a.subscribe(f"{self.topic}/#", 1)
        b = self.peer()
        _, p = b.connect()
        self.assertGreater(p.TopicAliasMaximum, 1)
        b.publish(f"{self.topic}/1", "first", 1, TopicAlias=1)
        b.publish(f"{self.topic}/2", "second", 1, TopicAlias=2)
        b.publish("", "by alias 1", 1, TopicAlias=1)
        b.publish("", "by alias 2", 1, TopicAlias=2)
        b.publish(f"{self.topic}/3", "alias 1 moves", 1, TopicAlias=1)
        b.publish("", "by alias 1", 1, TopicAlias=1)
        seen = [a.message() for _ in range(6)]
        self.assertEqual(["1", "2", "1", "2", "3", "3"], [m.topic.rsplit("/", 1)[1] for m in seen])

    def test_no_local_keeps_own_messages_away(self):
        a, b = self.peer().up(), self.peer().up()
        a.subscribe(self.topic, 1, noLocal=True)
        a.publish(self.topic, "own", 1)
        b.publish(self.topic, "other's", 1)
        self.assertEqual(b"other's", a.message().payload)

    def test_retain_as_published_keeps_the_flag(self):
        a, b = self.peer().up(), self.peer().up()
        a.subscribe(self.topic, 1, retainAsPublished=True)
        b.subscribe(self.topic, 1, retainAsPublished=False)
        a.publish(self.topic, "x", 1, retain=True)
        self.assertEqual((True, False), (a.message().retain, b.message().retain))

    def test_retain_handling_says_when_retained_is_sent(self):
        a = self.peer().up()
        a.publish(self.topic, "kept", 1, retain=True)
        a.subscribe(f"{self.topic}/end", 1)
        wanted = {0: [[b"kept"], [b"kept"]], 1: [[b"kept"], []], 2: [[], []]}
        for handling, both in wanted.items():
            seen = []
            for _ in range(2):
                a.subscribe(self.topic, 1, retainHandling=handling)
                a.publish(f"{self.topic}/end", "end", 1)
                seen.append(a.until(b"end"))
            self.assertEqual(both, seen, handling)
            a.unsubscribe(self.topic)

    def test_subscription_identifiers_come_with_each_message(self):
        a = self.peer().up()
        a.subscribe(self.topic, 1, properties=props(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=7))
        a.subscribe(f"{self.topic}/#", 1,
                    properties=props(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=300))
        a.publish(self.topic, "both", 1)
        a.publish(f"{self.topic}/x", "one", 1)
        seen = {}
        while b"one" not in seen:
            m = a.message()
            seen.setdefault(m.payload, []).extend(m.properties.SubscriptionIdentifier)
        self.assertEqual({b"both": [7, 300], b"one": [300]}, {k: sorted(v) for k, v in seen.items()})

    def test_reasons_are_told(self):
        a = self.peer().up()
        self.assertEqual(0x10, a.publish(f"{self.topic}/nobody", "x", 1).value)
        a.subscribe(self.topic, 1)
        self.assertEqual([0, 0x11], [a.unsubscribe(self.topic)[0].value, a.unsubscribe(self.topic)[0].value])

    @harness.unless_mosquitto("2.0.11 closes without a word")
    def test_a_takeover_tells_the_first_why(self):
        name = next(names) + "-taken"
        first = rawmqtt.Raw(broker.port)
        first.connect(name)
        self.peer(client_id=name).up()
        self.assertEqual([(rawmqtt.DISCONNECT, 0x8E)], [(p.type, first.reason_of(p)) for p in first.closed()])
        first.close()

    def test_a_takeover_publishes_a_will_without_delay(self):
        name = next(names) + "-usurped"
        watcher = self.peer().up()
        watcher.subscribe(self.topic, 1)
        first = self.peer(client_id=name, will=(self.topic, "usurped", 1, False)).up()
        self.peer(client_id=name).up()
        first.gone.get(timeout=PATIENCE_S)
        self.assertEqual(b"usurped", watcher.message().payload)


if __name__ == "__main__":
    harness.run_unittest(globals(), __doc__)
