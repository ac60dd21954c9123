#!/usr/bin/env python3
"""kill -9 under load, again and again: what the hub has acknowledged must be there afterwards.

    kill9.py --tandem build/tandem -n 500 [--seed S]

Each round: clients connect and load; after a random 0..200 ms the hub is killed; it is started again
on the same data; the clients come back to their sessions, send again what was not acknowledged, as
MQTT demands, and all is compared with what the clients know.

    publishers   three at QoS 1, three at QoS 2, with few packet ids, so that these are soon used again
    retainer     a counter as a retained value, QoS 1
    recorder     numbers as JSON, QoS 1: they become points of the history
    subscribers  one that listens all the time, one that is absent while there is load; both durable

    id           a QoS 2 id that a subscriber has not released yet, used for another message
    lost         an acknowledged message that a durable subscriber never gets
    doubled      a QoS 2 message that a subscriber gets twice
    order        a publisher's messages of one QoS first seen in another order than they were sent
    session      a session that the hub had confirmed and does not know any more
    retained     a retained value older than the last acknowledged one
    point        an acknowledged number that a query does not find

The judge is the clients' own list of acknowledgements: no code is shared with the hub. Run with
--mosquitto it must find losses, since Debian's mosquitto keeps its sessions in memory by default.
"""
import collections
import json
import random
import selectors
import struct
import sys
import time
import urllib.parse
import urllib.request

import harness
import rawmqtt
from rawmqtt import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL

WINDOW = 16
EXPIRY = 0x11  # session expiry interval
RECEIVE_MAXIMUM = 0x21


class Client:
    """A session that comes back. What is to be sent waits in `out`; what came goes to `handle`."""

    def __init__(self, world, name):
        self.world = world
        self.name = name
        self.known = False  # the hub has confirmed the session once
        self.link = None
        self.out = bytearray()

    def connect(self):
        self.out.clear()
        self.link = rawmqtt.Raw(self.world.broker.port, patience_s=harness.PATIENCE_S)
        present, reason, pairs = self.link.connect(self.name, clean=False, pairs=[(EXPIRY, 86400)])
        if reason != 0:
            raise AssertionError(f"{self.name}: connection refused with {reason:#x}")
        if self.known and not present:
            self.world.violation("session", f"{self.name} is not known any more")
        self.known = True
        self.window = min(WINDOW, pairs.get(RECEIVE_MAXIMUM, 65535))
        self.resume()
        self.link.socket.setblocking(False)
        self.pump_packets()  # what came in one piece with the CONNACK

    def resume(self):
        pass

    def idle(self):
        """Gets a chance to send more."""

    def pump_out(self):
        if self.out and self.link is not None:
            try:
                n = self.link.socket.send(self.out)
                del self.out[:n]
            except BlockingIOError:
                pass
            except OSError:
                self.gone()

    def pump_in(self):
        try:
            chunk = self.link.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.gone()
            return
        self.link.buffer += chunk
        self.pump_packets()

    def pump_packets(self):
        while self.link is not None:
            got = self.link.take()
            if got is None:
                return
            self.handle(got)

    def handle(self, got):
        raise AssertionError(f"{self.name}: unexpected packet type {got.type}")

    def gone(self):
        if self.link is not None:
            self.link.close()
            self.link = None


class Publisher(Client):
    """Numbers its messages; knows which were acknowledged. Ids 1..32 only."""

    def __init__(self, world, name, qos, topic=None, retain=False, payload=None):
        super().__init__(world, name)
        self.qos, self.retain = qos, retain
        self.topic = topic or f"kill/{qos}/{name}"
        self.payload = payload or self.padded
        self.serial = 0
        self.acknowledged = 0  # how many
        self.acknowledged_last = 0
        self.outstanding = collections.OrderedDict()  # id -> (serial, payload, released)
        self.free = collections.deque(range(1, 33))
        self.loading = False

    def padded(self, serial):
        return b"%s %d %s" % (self.name.encode(), serial, b"." * self.world.random.randrange(300))

    def resume(self):
        for pid, (serial, payload, released) in self.outstanding.items():
            if released:
                self.release(pid)
            else:
                self.out += self.link.publish_bytes(self.topic, payload, self.qos, self.retain, True, pid)

    def release(self, pid):
        self.out += rawmqtt.packet(PUBREL, 2, struct.pack(">H", pid))

    def idle(self):
        while self.loading and self.link is not None and len(self.outstanding) < self.window:
            self.serial += 1
            pid = self.free.popleft()
            payload = self.payload(self.serial)
            self.outstanding[pid] = (self.serial, payload, False)
            self.out += self.link.publish_bytes(self.topic, payload, self.qos, self.retain, False, pid)

    def handle(self, got):
        pid = struct.unpack_from(">H", got.body)[0]
        reason = self.link.reason_of(got)
        # The hub may have finished an id without our hearing of it: "not an error during recovery".
        if reason >= 0x80 and not (got.type == PUBCOMP and reason == 0x92):
            raise AssertionError(f"{self.name}: refused with {reason:#x}")
        serial, payload, released = self.outstanding[pid]
        if got.type == PUBREC and self.qos == 2:
            if not released:
                self.done(serial)
            self.outstanding[pid] = (serial, payload, True)
            self.release(pid)
        elif got.type == (PUBACK if self.qos == 1 else PUBCOMP):
            if self.qos == 1:
                self.done(serial)
            del self.outstanding[pid]
            self.free.append(pid)
        else:
            super().handle(got)

    def done(self, serial):
        self.acknowledged += 1
        self.acknowledged_last = max(self.acknowledged_last, serial)
        self.world.acknowledged(self, serial)


class Subscriber(Client):
    """Durable, QoS 2. Keeps what it has seen, and what of QoS 2 is not released."""

    def __init__(self, world, name):
        super().__init__(world, name)
        self.ids = {}  # QoS 2 that is not released: id -> the beginning of its payload
        self.seen = collections.defaultdict(set)     # (publisher, qos) -> serials
        self.last = collections.defaultdict(int)

    def subscribe(self):
        self.connect()
        self.link.socket.setblocking(True)
        granted = self.link.subscribe(("kill/#", 2))
        self.link.socket.setblocking(False)
        assert granted == [2], granted

    def handle(self, got):
        if got.type == PUBREL:
            pid = struct.unpack_from(">H", got.body)[0]
            self.ids.pop(pid, None)
            self.out += rawmqtt.packet(PUBCOMP, 0, struct.pack(">H", pid))
            return
        if got.type != PUBLISH:
            super().handle(got)
        message = self.link.parse_publish(got)
        if message.qos == 2:
            known = self.ids.get(message.id)
            fresh = known is None
            self.ids[message.id] = message.payload[:20]
            if not fresh and known != message.payload[:20]:
                self.world.violation("id", f"{self.name}: id {message.id} of {known} not released,"
                                     f" yet used (dup {message.dup}) for {message.payload[:20]}")
            self.out += rawmqtt.packet(PUBREC, 0, struct.pack(">H", message.id))
        else:
            fresh = True
            if message.qos == 1:
                self.out += rawmqtt.packet(PUBACK, 0, struct.pack(">H", message.id))
        if fresh:
            self.take(message)

    def take(self, message):
        name, serial = message.payload.split(b" ", 2)[:2]
        key, serial = (name.decode(), message.qos), int(serial)
        seen = self.seen[key]
        if serial in seen:
            if message.qos == 2:
                self.world.violation("doubled", f"{self.name} got {key[0]} {serial} of QoS 2 twice")
            return
        if serial < self.last[key]:
            self.world.violation("order", f"{self.name} got {key[0]} {serial} after {self.last[key]}")
        seen.add(serial)
        self.last[key] = max(self.last[key], serial)


class World:
    def __init__(self, broker, seed):
        self.broker = broker
        self.random = random.Random(seed)
        self.violations = []
        self.round = 0
        self.start_max_s = 0.0
        self.publishers = [Publisher(self, f"p{qos}{letter}", qos) for qos in (1, 2) for letter in "abc"]
        self.retainer = Publisher(self, "retainer", 1, "kept/counter", retain=True,
                                  payload=lambda n: b"%d" % n)
        self.recorder = Publisher(self, "recorder", 1, "killpoints/sensor", payload=lambda n: b'{"n":%d}' % n)
        self.points = set()  # acknowledged, not yet looked up
        self.present, self.absent = Subscriber(self, "present"), Subscriber(self, "absent")
        self.senders = self.publishers + [self.retainer, self.recorder]
        self.expected = collections.defaultdict(set)  # (publisher, qos) -> serials of this round

    def violation(self, kind, what):
        self.violations.append((kind, f"round {self.round}: {what}"))
        if len(self.violations) <= 20:
            print(f"VIOLATION {kind}: round {self.round}: {what}", flush=True)

    def acknowledged(self, sender, serial):
        if sender is self.recorder:
            self.points.add(serial)
        elif sender is not self.retainer:
            self.expected[(sender.name, sender.qos)].add(serial)

    # ---- the loop over all clients ----

    def pump(self, clients, until, patience_s=harness.PATIENCE_S):
        """Moves bytes until `until()`, or all connections are gone; False when patience ends."""
        end = time.monotonic() + patience_s
        while not until():
            living = [c for c in clients if c.link is not None]
            if not living:
                return True
            with selectors.DefaultSelector() as selector:
                for c in living:
                    c.idle()
                    c.pump_out()
                    if c.link is not None:
                        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if c.out else 0)
                        selector.register(c.link.socket, interest, c)
                if selector.get_map():
                    for key, _ in selector.select(0.01):
                        key.data.pump_in()
            if time.monotonic() > end:
                return False
        return True

    # ---- a round ----

    def start(self):
        began = time.monotonic()
        self.broker.start()
        self.start_max_s = max(self.start_max_s, time.monotonic() - began)

    def load_and_kill(self):
        clients = self.senders + [self.present]
        for c in self.senders:
            c.loading = True
        end = time.monotonic() + self.random.uniform(0, 0.2)
        self.pump(clients, lambda: time.monotonic() >= end)
        self.broker.kill()
        for c in self.senders:
            c.loading = False
        # What had reached our sockets before the end counts as acknowledged.
        self.pump(clients, lambda: False)

    def come_back(self):
        clients = self.senders + [self.present, self.absent]
        for c in clients:
            c.connect()

        def settled():
            return not any(c.outstanding for c in self.senders) and not self.missing()
        if not self.pump(clients, settled):
            for c in self.senders:
                if c.outstanding:
                    self.violation("stuck", f"{c.name}: no answer for {list(c.outstanding.items())[:2]}")
            for name, key, serials in self.missing():
                self.violation("lost", f"{name} misses {len(serials)} of {key}: {sorted(serials)[:5]}")
        self.expected.clear()

    def missing(self):
        out = []
        for s in (self.present, self.absent):
            for key, serials in self.expected.items():
                if not serials <= s.seen[key]:
                    out.append((s.name, key, serials - s.seen[key]))
        return out

    def look(self):
        """Retained value and points, as a stranger sees them."""
        if self.retainer.acknowledged_last:
            link = rawmqtt.Raw(self.broker.port)
            link.connect("looker")
            link.subscribe((self.retainer.topic, 1), wait=False)
            got = link.next()
            while got.type not in (PUBLISH, rawmqtt.SUBACK):
                got = link.next()
            if got.type != PUBLISH:
                link.send(rawmqtt.packet(rawmqtt.PINGREQ, 0, b""))
                got = link.next()
            value = int(link.parse_publish(got).payload) if got.type == PUBLISH else 0
            if value < self.retainer.acknowledged_last:
                self.violation("retained", f"{value} is older than {self.retainer.acknowledged_last}")
            link.disconnect()
        if self.points and self.broker.http_port:
            sql = (f"SELECT value FROM points WHERE stream = '{self.recorder.topic}' AND field = 'n'"
                   f" AND value >= {min(self.points)}")
            url = f"http://127.0.0.1:{self.broker.http_port}/api/v1/query?" + urllib.parse.urlencode({"sql": sql})
            with urllib.request.urlopen(url, timeout=harness.PATIENCE_S) as answer:
                rows = json.load(answer)["rows"]
            lost = self.points - {int(row[0]) for row in rows}
            if lost:
                self.violation("point", f"{len(lost)} of {len(self.points)} lost: {sorted(lost)[:5]}")
            self.points.clear()

    def run(self, rounds):
        self.start()
        for s in (self.present, self.absent):
            s.subscribe()
        self.absent.gone()
        for c in self.senders:
            c.connect()
        for self.round in range(1, rounds + 1):
            self.load_and_kill()
            self.start()
            self.come_back()
            self.look()
            self.absent.gone()
            if len(self.violations) > 100:
                break


def main():
    parser = harness.parser("kill -9 under load; nothing acknowledged may be missing")
    parser.add_argument("-n", type=int, default=60, help="rounds")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--segment", default="256 KB", help="of the log's ring; small: it wraps often")
    parser.add_argument("--segments", type=int, default=8)
    options = parser.parse_args()
    broker = harness.Broker(options)
    config = broker.home / "tandem.toml"
    config.write_text(f'[data]\nsegment = "{options.segment}"\nsegments = {options.segments}\n')
    broker.arguments = ["-c", str(config)]
    world = World(broker, options.seed)
    try:
        world.run(options.n)
    except BaseException:
        print(f"seed {options.seed}, round {world.round}, data {broker.data}\n{broker.log_text()}", flush=True)
        raise
    if broker.alive() and broker.process:
        broker.stop()
    sent = collections.Counter()
    for p in world.senders:
        sent[p.qos] += p.acknowledged
    kinds = collections.Counter(kind for kind, _ in world.violations)
    print(f"{world.round} kills, seed {options.seed}: acknowledged {sent[1]} of QoS 1, {sent[2]} of QoS 2;"
          f" lost {kinds['lost']}, doubled {kinds['doubled']}, other {sum(kinds.values()) - kinds['lost'] - kinds['doubled']};"
          f" longest start {world.start_max_s * 1000:.0f} ms")
    return 1 if world.violations else 0


if __name__ == "__main__":
    sys.exit(main())
