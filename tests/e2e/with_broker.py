#!/usr/bin/env python3
"""Starts a broker, runs a command with MQTT_PORT (and HTTP_PORT) in its environment, ends the broker.

    with_broker.py [--tandem FILE | --mosquitto | --port N] -- COMMAND...
"""
import os
import subprocess
import sys

import harness


def main():
    at = sys.argv.index("--")
    options = harness.parser(__doc__).parse_args(sys.argv[1:at])
    broker = harness.Broker(options).start()
    environment = os.environ | {"MQTT_PORT": str(broker.port), "HTTP_PORT": str(broker.http_port or 0),
                                "MQTT_PROTOCOL": {"tcp": "mqtt", "tls": "mqtts", "wss": "wss"}.get(broker.over, "ws"),
                                "NODE_EXTRA_CA_CERTS": str(broker.home / "certs/ca.pem"),
                                "MQTT_OVER_PORT": str(broker.over_port),
                                "BROKER": "mosquitto" if options.mosquitto else "tandem"}
    status = subprocess.run(sys.argv[at + 1:], env=environment).returncode
    if not broker.alive():
        print(f"the broker died\n{broker.log_text()}")
        return 1
    broker.stop()
    if status:
        print("the broker's log:\n" + broker.log_text())
    return status


if __name__ == "__main__":
    sys.exit(main())
