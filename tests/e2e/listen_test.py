#!/usr/bin/env python3
"""Listeners: what each kind lets in, what it refuses, and in which words. That clients work the same
over all of them is shown by the suites of paho and MQTT.js, which run over each (--over)."""
import base64
import http.client
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

import harness
from harness import PATIENCE_S, free_port

options, words = harness.parser(__doc__).parse_known_args()
CONNECT = bytes.fromhex("100d00044d515454050200000000 00".replace(" ", ""))  # 5.0, clean, no id


class Hub:
    """A hub with this configuration; its directory may be used by the configuration."""

    def __init__(self, case, text):
        home = tempfile.TemporaryDirectory(prefix="tandem-e2e-")
        case.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        self.file = self.home / "tandem.toml"
        self.file.write_text(text)
        self.process = subprocess.Popen(
            [options.tandem, "serve", "-c", str(self.file), "--data", str(self.home / "data")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        case.addCleanup(self.end, case)
        self.ready = self.process.stdout.readline()
        if not self.ready.startswith("ready"):
            raise AssertionError(self.process.stderr.read())

    def end(self, case):
        self.process.send_signal(signal.SIGTERM)
        case.assertEqual(self.process.wait(PATIENCE_S), 0)
        self.process.stdout.close()
        self.process.stderr.close()


class WebSocket:
    """A client that can do what clients must not."""

    def __init__(self, port, path="/mqtt", **fields):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        head = {"Host": f"127.0.0.1:{port}", "Upgrade": "websocket", "Connection": "Upgrade",
                "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
                "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "mqtt", **fields}
        self.socket.sendall((f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items() if v)
                             + "\r\n").encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.fields = http.client.parse_headers(self.file)

    def send(self, opcode, payload, last=True):
        key = os.urandom(4)
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
        self.socket.sendall(bytes([(0x80 if last else 0) | opcode]) + length + key
                            + bytes(b ^ key[i % 4] for i, b in enumerate(payload)))

    def frame(self):
        """(opcode, payload) of the next frame; None: the end."""
        head = self.file.read(2)
        if len(head) < 2:
            return None
        n = head[1]
        if n == 126:
            n = struct.unpack(">H", self.file.read(2))[0]
        return head[0] & 15, self.file.read(n)

    def close(self):
        self.file.close()
        self.socket.close()


class Sockets(unittest.TestCase):
    """MQTT over WebSocket, on a listener of its own and on the page's."""

    def setUp(self):
        self.own, self.page = free_port(), free_port()
        self.hub = Hub(self, f'[http]\nlisten = "off"\n'
                             f'[[listener]]\naddress = "127.0.0.1:{self.own}"\nwebsocket = true\n'
                             f'origins = ["https://app.example"]\n'
                             f'[[listener]]\naddress = "127.0.0.1:{self.page}"\nkind = "http"\n'
                             f'origins = ["https://app.example"]\n')

    def both(self, **fields):
        for port in (self.own, self.page):
            with self.subTest(port="own" if port == self.own else "page"):
                ws = WebSocket(port, **fields)
                yield ws
                ws.close()

    def test_packets_come_in_any_frames(self):
        for ws in self.both():
            self.assertEqual((ws.status, ws.fields["Sec-WebSocket-Protocol"]), (101, "mqtt"))
            ws.send(2, CONNECT[:3], last=False)
            ws.send(9, b"are you there")
            ws.send(0, CONNECT[3:9], last=False)
            ws.send(0, b"", last=False)
            ws.send(0, CONNECT[9:] + b"\xc0\x00\xc0", last=True)  # two PINGREQ, the second one cut
            ws.send(2, b"\x00")
            self.assertEqual(ws.frame(), (10, b"are you there"))
            opcode, connack = ws.frame()
            while not connack.endswith(b"\xd0\x00\xd0\x00"):  # the turns decide how it is framed
                opcode, more = ws.frame()
                self.assertEqual(opcode, 2)
                connack += more
            self.assertEqual((connack[0], connack[3]), (0x20, 0))
            ws.send(2, b"\xe0\x00")  # DISCONNECT
            self.assertEqual(ws.frame(), (8, struct.pack(">H", 1000)))
            self.assertIsNone(ws.frame())

    def test_text_and_broken_frames_are_closed_with_their_code(self):
        for opcode, last, code in ((1, True, 1003), (0, True, 1002), (3, True, 1002), (9, False, 1002)):
            for ws in self.both():
                ws.send(2, CONNECT)
                self.assertEqual(ws.frame()[0], 2)
                ws.send(opcode, b"x", last)
                self.assertEqual(ws.frame(), (8, struct.pack(">H", code)))
                self.assertIsNone(ws.frame())

    def test_a_close_is_answered(self):
        for ws in self.both():
            ws.send(8, struct.pack(">H", 1001) + b"leaving")
            self.assertEqual(ws.frame(), (8, struct.pack(">H", 1001)))
            self.assertIsNone(ws.frame())

    def test_a_page_of_another_site_must_be_listed(self):
        for origin, status in (("https://app.example", 101), ("https://APP.example", 101),
                               ("https://evil.example", 403), ("null", 403), ("https://app.example.evil", 403)):
            for ws in self.both(Origin=origin):
                self.assertEqual(ws.status, status, origin)
        for port in (self.own, self.page):  # our own, and a name that is not ours
            for name, statuses in ((f"127.0.0.1:{port}", {101}), (f"evil.example:{port}", {403, 421})):
                ws = WebSocket(port, Host=name, Origin=f"http://{name}")
                self.assertIn(ws.status, statuses)
                ws.close()
        ws = WebSocket(self.page, path="/api/v1/live", Origin="https://app.example",
                       **{"Sec-WebSocket-Protocol": "tandem.live.1"})
        self.assertEqual(ws.status, 403, "the list is for MQTT only")
        ws.close()

    def test_what_is_no_handshake_is_refused(self):
        for fields, status in (({"Sec-WebSocket-Protocol": "chat"}, 400), ({"Sec-WebSocket-Protocol": ""}, 400),
                               ({"Sec-WebSocket-Version": "8"}, 426), ({"Upgrade": ""}, 426),
                               ({"Sec-WebSocket-Key": "short"}, 400)):
            for ws in self.both(**fields):
                self.assertEqual(ws.status, status, fields)

    def test_a_head_that_does_not_come_is_not_waited_for(self):
        with socket.create_connection(("127.0.0.1", self.own), PATIENCE_S) as s:
            s.sendall(b"GET / HTTP/1.1\r\n")
            self.assertEqual(s.recv(1), b"")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + words)
