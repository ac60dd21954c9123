#!/usr/bin/env python3
"""Hostile load: clients that want the hub's memory, its sockets, its time. Beside them a calm pair
goes on exchanging 200 messages a second; what it sees is compared with what it saw before.

    hostile.py --tandem build/tandem [--sockets 15000] [--limit-mb 256] [--only NAME] [--latency]

Each attack prints the hub's highest resident memory and the pair's latency. The program fails when
memory passes the bound by more than 5 %, a silent socket is open after 10 s (and 2 for a busy
machine), the pair loses a message, or, with --latency, its 99 % grows to more than twice that of
the same machine without the attack. The generator takes a core, so --latency wants two idle ones.
"""
import argparse
import json
import multiprocessing
import os
import pathlib
import resource
import select
import socket
import struct
import sys
import threading
import time

import harness
import rawmqtt

RATE = 200
CLOSE_S = 12


class Bad(Exception):
    """The hub did what it must not do."""


# ---- the calm pair, a process of its own ----

def calm(port, pipe):
    """Measures between the words `begin` and `end`; answers with latencies in ms and losses."""
    ear, mouth = rawmqtt.Raw(port), rawmqtt.Raw(port)
    ear.connect("calm-ear")
    mouth.connect("calm-mouth")
    ear.subscribe(("calm/t", 0))
    at, sent, spans, measuring = time.monotonic(), 0, [], False
    heard = 0
    while True:
        while pipe.poll():
            word = pipe.recv()
            if word == "begin":
                spans, measuring = [], True
            elif word == "end":
                pipe.send((sorted(spans), sent - heard))
                measuring = False
            else:
                return
        now = time.monotonic()
        if now >= at:
            mouth.send(mouth.publish_bytes("calm/t", struct.pack(">dI", time.monotonic(), sent)))
            sent += 1
            at = max(at + 1 / RATE, now - 0.1)
        if select.select([ear.socket], [], [], max(0, at - time.monotonic()))[0]:
            ear.buffer += ear.socket.recv(65536)
            while (got := ear.take()) is not None:
                when, number = struct.unpack(">dI", ear.parse_publish(got).payload)
                if number != heard:
                    raise Bad(f"the calm pair lost messages: {number} came for {heard}")
                heard += 1
                if measuring:
                    spans.append((time.monotonic() - when) * 1000)


def at(spans, part):
    return spans[min(len(spans) - 1, int(len(spans) * part))] if spans else 0.0


# ---- attacks: each gives what is worth telling ----

def silent(hub, options):
    """Sockets that say nothing, or a byte a second of a CONNECT that never ends."""
    count = options.sockets
    begin = time.monotonic()
    epoll, open_, most, longest = select.epoll(), {}, 0, 0.0
    head = rawmqtt.Raw.connect_bytes(type("V", (), {"version": 4, "props": lambda s, p: b""})(), "x" * 60)
    trickle = begin

    def reap(wait):
        nonlocal longest
        for fd, _ in epoll.poll(wait):
            if fd in open_:
                s, since, _ = open_.pop(fd)
                epoll.unregister(fd)
                s.close()
                longest = max(longest, time.monotonic() - since)

    def slow():
        nonlocal trickle
        if time.monotonic() < trickle:
            return
        trickle = time.monotonic() + 1
        for fd, (s, since, done) in list(open_.items()):
            if fd % 2 and done < len(head) - 1:
                try:
                    s.send(head[done:done + 1])
                except OSError:
                    pass
                open_[fd] = (s, since, done + 1)
    for _ in range(count):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", hub.port))
        open_[s.fileno()] = (s, time.monotonic(), 0)
        epoll.register(s.fileno(), select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP)
        most = max(most, len(open_))
        if len(open_) % 256 == 0:
            reap(0)
            slow()
    while open_ and time.monotonic() < begin + 60:
        reap(0.1)
        slow()
    if open_ or longest > CLOSE_S:
        raise Bad(f"{len(open_)} of {count} silent sockets are open, the longest for {longest:.1f} s")
    return f"{count} sockets, {most} at a time, the last closed after {longest:.1f} s"


def connect(hub, name, **more):
    raw = rawmqtt.Raw(hub.port, patience_s=10)
    raw.connect(name, **more)
    return raw


def push(raw, data):
    """Sends what goes; False: the hub closed."""
    try:
        raw.send(data)
        return True
    except OSError:
        return False


def ended(raws):
    """How many of them the hub closes within a while; closes all."""
    gone = 0
    for raw in raws:
        raw.socket.settimeout(0.2)
        try:
            while raw.socket.recv(65536):
                pass
            gone += 1
        except TimeoutError:
            pass
        except OSError:
            gone += 1
        raw.close()
    return gone


def announced(hub, options):
    """50 clients announce 200 MB each; 50 announce what is allowed, send most of it, and stop."""
    far = [connect(hub, f"far{i}") for i in range(50)]
    for raw in far:
        push(raw, bytes([0x30]) + rawmqtt.varint(200 << 20) + rawmqtt.text("t") + b"\0" + b"x" * (1 << 20))
    gone = ended(far)
    if gone != 50:
        raise Bad(f"only {gone} of 50 clients that announce 200 MB were closed")
    near = [connect(hub, f"near{i}") for i in range(50)]
    taken = 0
    for raw in near:
        raw.socket.settimeout(2)
        taken += push(raw, bytes([0x30]) + rawmqtt.varint(8 << 20) + rawmqtt.text("t") + b"\0" +
                      b"x" * (7 << 20))
    return f"50 of 50 closed at the header; of 50 x 7 MB {taken} were read, then {ended(near)} closed"


def retained(hub, options):
    """300,000 retained topics by one client, then it asks for all of them, often, and never reads."""
    raw, wipe = connect(hub, "keeper"), connect(hub, "wiper")
    for first in range(0, 300000, 1000):
        raw.send(b"".join(raw.publish_bytes(f"flood/{i}/v", b"x" * 64, retain=True)
                          for i in range(first, first + 1000)))
        raw.send(rawmqtt.packet(rawmqtt.PINGREQ, 0, b""))
        raw.next(rawmqtt.PINGRESP)
    refused = raw.publish("flood/one/more", b"x", qos=1, retain=True)
    kept = metrics(hub)["hub"]["retained"]
    raw.socket.settimeout(0.5)
    asked = 0
    for _ in range(40):
        body = struct.pack(">H", raw.next_id()) + b"\0" + b"".join(
            rawmqtt.text(f) + b"\0" for f in ("flood/#", "#", "flood/+/v", "+/+/v", "+/#"))
        asked += push(raw, rawmqtt.packet(rawmqtt.SUBSCRIBE, 2, body))
    time.sleep(2)
    raw.close()
    for first in range(0, 300000, 1000):
        wipe.send(b"".join(wipe.publish_bytes(f"flood/{i}/v", b"", retain=True)
                           for i in range(first, first + 1000)))
        wipe.send(rawmqtt.packet(rawmqtt.PINGREQ, 0, b""))
        wipe.next(rawmqtt.PINGRESP)
    wipe.close()
    if refused != 0x97:
        raise Bad(f"the quota was not said: {refused:#x}")
    return f"{kept} of 300000 retained, then 0x97; asked for all 5 x {asked} times without reading"


def deep(hub, options):
    """Topics and filters of very many levels, wildcards on all of them."""
    raw = connect(hub, "deep")
    seen = {}
    for n in (128, 129, 1000, 30000):
        reason = raw.publish("/".join("a" * n), b"x", qos=1)
        seen[n] = reason
        filters = [("/".join("+" * n), 0)]
        seen[-n] = raw.subscribe(*filters)[0]
    for i in range(200):
        wild = ["+" if i >> b & 1 else "a" for b in range(128)]
        raw.subscribe(("/".join(wild), 0))
    for _ in range(200):
        raw.publish("/".join("a" * 128), b"x", qos=1)
    raw.close()
    if seen[129] < 0x80 or seen[-129] < 0x80 or seen[128] >= 0x80:
        raise Bad(f"levels: {seen}")
    return "128 levels are taken, 129 not; 200 filters of 128 levels, 200 publishes through them"


def properties(hub, options):
    """PUBLISHes with tens of thousands of user properties, CONNECTs full of them."""
    closed, longest = 0, 0.0
    for i in range(50):
        raw = connect(hub, f"props{i}")
        pairs = rawmqtt.properties([(0x26, ("k", "v"))] * 60000)
        push(raw, rawmqtt.packet(rawmqtt.PUBLISH, 0, rawmqtt.text("t") + pairs + b"x"))
        begin = time.monotonic()
        closed += ended([raw])
        longest = max(longest, time.monotonic() - begin)
    for i in range(50):
        raw = rawmqtt.Raw(hub.port, patience_s=10)
        push(raw, raw.connect_bytes("c", pairs=[(0x26, ("k", "v"))] * 60000))
        closed += ended([raw])
    if closed != 100:
        raise Bad(f"{closed} of 100 floods of properties were ended")
    return f"100 of 100 refused, the slowest within {longest * 1000:.0f} ms"


def aliases(hub, options):
    """Topic aliases out of range, and very long topics behind many of them."""
    closed = 0
    for alias in (0, 65, 65535):
        raw = connect(hub, "alias")
        push(raw, raw.publish_bytes("t", b"x", pairs=((0x23, alias),)))
        closed += ended([raw])
    for i in range(100):
        raw = connect(hub, f"alias{i}")
        for n in range(1, 65):
            if not push(raw, raw.publish_bytes(f"{n}" + "x" * 60000, b"", pairs=((0x23, n),))):
                break
        closed += ended([raw])
    if closed != 103:
        raise Bad(f"{closed} of 103 abuses of aliases were ended")
    return "103 of 103 ended"


def packet_ids(hub, options):
    """QoS 2 that is never released, acknowledgements for nothing, more than the receive maximum."""
    closed = 0
    for i in range(50):
        raw = connect(hub, f"ids{i}", clean=False, pairs=((0x11, 60),))
        push(raw, b"".join(raw.publish_bytes("t", b"x", qos=2, pid=n) for n in range(1, 3000)))
        closed += ended([raw])
    for i in range(50):
        raw = connect(hub, f"acks{i}")
        push(raw, b"".join(rawmqtt.packet(k, 2 if k == rawmqtt.PUBREL else 0, struct.pack(">H", n))
                           for n in range(1, 5000)
                           for k in (rawmqtt.PUBREL, rawmqtt.PUBACK, rawmqtt.PUBREC, rawmqtt.PUBCOMP)))
        raw.close()
    if closed != 50:
        raise Bad(f"{closed} of 50 clients over the receive maximum were ended")
    return "50 of 50 over the receive maximum ended; a million acknowledgements of nothing"


def deaf(hub, options):
    """20 subscribers that never read, and 300 MB for each of them."""
    ears = [connect(hub, f"deaf{i}") for i in range(20)]
    for e in ears:
        e.subscribe(("deaf/#", 0))
    raw = connect(hub, "loud")
    data = b"".join(raw.publish_bytes("deaf/t", b"x" * 8000) for _ in range(128))
    sent = sum(push(raw, data) for _ in range(300))
    raw.close()
    for e in ears:
        e.close()
    dropped = metrics(hub)["mqtt"]["dropped_slow"]
    return f"{sent} MB sent, {dropped} messages dropped, counted"


ATTACKS = [silent, announced, retained, deep, properties, aliases, packet_ids, deaf]


# ---- the hub, watched ----

def metrics(hub):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", hub.http_port, timeout=30)
    c.request("GET", "/api/v1/system")
    body = json.loads(c.getresponse().read())
    c.close()
    return body


class Watch(threading.Thread):
    """The highest resident memory of the hub, looked at every 10 ms."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path = pathlib.Path(f"/proc/{pid}/statm")
        self.most, self.over = 0, False

    def run(self):
        page = os.sysconf("SC_PAGESIZE")
        while not self.over:
            try:
                self.most = max(self.most, int(self.path.read_text().split()[1]) * page)
            except (OSError, IndexError):
                return  # it has ended
            time.sleep(0.01)

    def end(self):
        self.over = True
        self.join()
        return self.most / (1 << 20)


def measure(pipe, what):
    pipe.send("begin")
    told = what()
    time.sleep(0.2)
    pipe.send("end")
    if not pipe.poll(30):
        raise Bad("the calm pair has ended")
    spans, _ = pipe.recv()
    return told, spans


def run(options):
    hub = harness.Broker(options)
    file = hub.home / "tandem.toml"
    file.write_text(f'[limits]\nmemory = "{options.limit_mb} MB"\n')
    hub.arguments = ["--config", str(file)]
    hub.start()
    pipe, other = multiprocessing.Pipe()
    pair = multiprocessing.Process(target=calm, args=(hub.port, other), daemon=True)
    pair.start()
    time.sleep(1)
    _, spans = measure(pipe, lambda: time.sleep(options.calm_s))
    base = at(spans, 0.99)
    print(f"{'alone':12} p50 {at(spans, .5):6.2f} p99 {base:6.2f} max {spans[-1]:7.2f} ms", flush=True)
    bad = []
    for attack in ATTACKS:
        if options.only and attack.__name__ != options.only:
            continue
        watch = Watch(hub.process.pid)
        watch.start()
        try:
            told, spans = measure(pipe, lambda: attack(hub, options))
        except (Bad, OSError, rawmqtt.Closed) as error:
            told, spans = f"BAD: {error!r}", []
            bad.append(f"{attack.__name__}: {error!r}")
            if pair.is_alive():
                pipe.send("end")
                pipe.poll(30) and pipe.recv()
        most, p99 = watch.end(), at(spans, 0.99)
        print(f"{attack.__name__:12} p50 {at(spans, .5):6.2f} p99 {p99:6.2f} max "
              f"{spans[-1] if spans else 0:7.2f} ms  RSS {most:6.1f} MB  {told}", flush=True)
        if most > options.limit_mb * 1.05:
            bad.append(f"{attack.__name__}: {most:.1f} MB of memory, the bound is {options.limit_mb} MB")
        if options.latency and p99 > 2 * max(base, 0.5):
            bad.append(f"{attack.__name__}: 99 % of the calm pair within {p99:.2f} ms, alone {base:.2f}")
        if not hub.alive() or not pair.is_alive():
            bad.append(f"{attack.__name__}: the hub or the calm pair has ended\n{hub.log_text()}")
            break
    if hub.alive():
        pipe.send("stop")
        pair.join(10)
        hub.stop()
    for what in bad:
        print("hostile:", what)
    return 1 if bad else 0


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tandem", default=str(harness.TREE / "build/tandem"))
    p.add_argument("--sockets", type=int, default=15000)
    p.add_argument("--limit-mb", type=int, default=256)
    p.add_argument("--calm-s", type=float, default=5)
    p.add_argument("--only", choices=[a.__name__ for a in ATTACKS])
    p.add_argument("--latency", action="store_true")
    options = p.parse_args()
    options.mosquitto, options.port, options.over = False, None, "tcp"
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    sys.exit(run(options))


if __name__ == "__main__":
    main()
