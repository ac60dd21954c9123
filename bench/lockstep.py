#!/usr/bin/env python3
"""Sense, decide, act in lockstep, with stock Paho clients and nothing tuned at their end.

A device publishes a reading on bench/in/0 and waits for the command that it causes on bench/out/0;
then comes the next reading. Who decides is either a rule inside the server (--by rule) or a second
Paho client (--by client). Readings and commands carry a number, so a lost or repeated one is found.

All with QoS 1, and Paho leaves Nagle's algorithm on: a client that acknowledges a message and sends
one writes two small packets, and the second waits until the server's kernel has acknowledged the
first. A server that lets it delay that costs 40 ms a loop.

Prints one line of JSON: {"loops_per_s": ..., "p50_us": ..., "p99_us": ...}
"""
import argparse
import json
import queue
import subprocess
import sys
import time

import paho.mqtt.client as mqtt

READING, COMMAND = "bench/in/0", "bench/out/0"
PATIENCE = 10


def client(name, port, topic, hear):
    """A connected, subscribed client whose network thread runs."""
    ready = queue.Queue()
    c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name)
    c.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
    c.on_subscribe = lambda *_: ready.put(True)
    c.on_message = lambda c, _, message: hear(c, message.payload)
    c.connect("127.0.0.1", port)
    c.loop_start()
    ready.get(timeout=PATIENCE)
    return c


def decider(port):
    """Answers each reading until stdin ends."""
    client("bench-decider", port, READING, lambda c, payload: c.publish(COMMAND, payload, qos=1))
    print("ready", flush=True)
    sys.stdin.read()


def device(port, seconds):
    heard = queue.SimpleQueue()
    c = client("bench-device", port, COMMAND, lambda _, payload: heard.put(payload))
    spans, number, end = [], 0, time.monotonic() + seconds + 0.3
    while (start := time.monotonic()) < end:
        number += 1
        c.publish(READING, json.dumps({"s": number}), qos=1)
        try:
            got = json.loads(heard.get(timeout=PATIENCE))["s"]
        except queue.Empty:
            sys.exit(f"lockstep: no command came for reading {number} in {PATIENCE} s")
        if got != number:
            sys.exit(f"lockstep: command {got} came for reading {number}")
        if end - start < seconds:  # the first 0.3 s warm up
            spans.append(time.monotonic() - start)
    c.loop_stop()
    spans.sort()
    at = lambda part: round(spans[int(part * (len(spans) - 1))] * 1e6, 1)
    return {"loops_per_s": round(len(spans) / sum(spans), 1), "p50_us": at(0.5), "p99_us": at(0.99)}


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--port", type=int, required=True)
    p.add_argument("--by", choices=["rule", "client"], default="client")
    p.add_argument("--seconds", type=float, default=1.5)
    p.add_argument("--decider", action="store_true", help="be the second client")
    a = p.parse_args()
    if a.decider:
        decider(a.port)
        return
    second = None
    if a.by == "client":
        second = subprocess.Popen([sys.executable, __file__, "--port", str(a.port), "--decider"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        second.stdout.readline()
    try:
        print(json.dumps(device(a.port, a.seconds)))
    finally:
        if second:
            second.stdin.close()
            second.wait(timeout=PATIENCE)


if __name__ == "__main__":
    main()
