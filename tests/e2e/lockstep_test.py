#!/usr/bin/env python3
"""Sense, decide, act: a stock Paho client publishes readings and waits for the commands that rules
send. Whether it is right is checked here, how fast it is in bench/lockstep.py."""
import json
import queue
import sys
import tempfile

import paho.mqtt.client as mqtt

import harness
from harness import PATIENCE_S

RULES = """
STREAM reading FROM 'step/+p/reading' (n INT);
STREAM level FROM 'step/+p/level' (cm INT);

RULE answer PER p WHEN reading ARRIVES SEND 'step/+p/command' {n: reading.n} QOS 1;

-- Once when it falls below, and not again before it has risen.
RULE refill PER p WHEN level.cm < 10 ONCE UNTIL level.cm RISES SEND 'step/+p/refill' {cm: level.cm} QOS 1;
"""


class Device:
    def __init__(self, port, name):
        self.name = name
        self.heard = queue.Queue()
        ready = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"device-{name}")
        self.client.on_subscribe = lambda *_: ready.put(True)
        self.client.on_message = lambda c, u, m: self.heard.put((m.topic.rsplit("/", 1)[1],
                                                                 json.loads(m.payload)))
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe([(f"step/{name}/command", 1), (f"step/{name}/refill", 1)])
        ready.get(timeout=PATIENCE_S)

    def says(self, what, **fields):
        self.client.publish(f"step/{self.name}/{what}", json.dumps(fields), qos=1)

    def hears(self):
        return self.heard.get(timeout=PATIENCE_S)

    def end(self):
        self.client.disconnect()
        self.client.loop_stop()


def expect(what, wanted, got):
    if wanted != got:
        raise AssertionError(f"{what}: wanted {wanted}, got {got}")


def each_reading_is_answered_once_and_in_order(devices):
    for n in range(1, 301):
        for device in devices:
            device.says("reading", n=n)
        for device in devices:
            expect(f"{device.name} {n}", ("command", {"n": n}), device.hears())


def an_order_is_sent_once_until_the_level_has_risen(device, levels, wanted):
    """The reading behind the levels is the marker: its answer comes after all that they caused."""
    for cm in levels:
        device.says("level", cm=cm)
    device.says("reading", n=-1)
    got = []
    while not got or got[-1] != ("command", {"n": -1}):
        got.append(device.hears())
    expect(f"refills after {levels}", [("refill", {"cm": cm}) for cm in wanted], got[:-1])


def main():
    options = harness.parser(__doc__).parse_args()
    with tempfile.NamedTemporaryFile("w", suffix=".td") as rules:
        rules.write(RULES)
        rules.flush()
        broker = harness.Broker(options, ["--rules", rules.name]).start()
        devices = [Device(broker.port, name) for name in ("a", "b")]
        each_reading_is_answered_once_and_in_order(devices)
        once = an_order_is_sent_once_until_the_level_has_risen
        once(devices[0], [50, 12, 9, 8, 3], [9])
        once(devices[1], [9, 8], [9])
        once(devices[0], [60, 5, 4], [5])
        for device in devices:
            device.end()
        # What a rule remembers survives a kill: the order is not repeated.
        broker.kill()
        broker.start()
        device = Device(broker.port, "a")
        once(device, [3, 2], [])
        once(device, [70, 6], [6])
        device.end()
        broker.stop()
    print("600 readings answered, orders sent once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
