#!/usr/bin/env python3
"""Listeners: what each kind lets in, what it refuses, and in which words. That clients work the same
over all of them is shown by the suites of paho and MQTT.js, which run over each (--over)."""
import base64
import http.client
import os
import pathlib
import signal
import socket
import ssl
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
        self.failed = False
        self.process = subprocess.Popen(
            [options.tandem, "serve", "-c", str(self.file), "--data", str(self.home / "data")],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        case.addCleanup(self.end, case)
        self.ready = self.process.stdout.readline()
        if not self.ready.startswith("ready"):
            self.failed = True
            raise AssertionError(self.process.stderr.read())

    def end(self, case):
        self.process.send_signal(signal.SIGTERM)
        case.assertEqual(self.process.wait(PATIENCE_S), 1 if self.failed else 0)
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


class Tls(unittest.TestCase):
    """TLS, by mosquitto's tools and by Python's ssl, which can do more."""

    def setUp(self):
        home = tempfile.TemporaryDirectory(prefix="tandem-e2e-")
        self.addCleanup(home.cleanup)
        self.certs = harness.make_certificates(pathlib.Path(home.name) / "certs")
        self.port = free_port()

    def hub(self, **more):
        """A hub with one listener; a certificate of its own unless it is said otherwise."""
        c = {"address": f"127.0.0.1:{self.port}", "certificate": "server.pem", "key": "server.key", **more}
        files = ("certificate", "key", "client_ca", "client_crl", "psk")
        return Hub(self, '[http]\nlisten = "off"\n[[listener]]\n' + "".join(
            f'{k} = "{self.certs / v if k in files else v}"\n' for k, v in c.items() if v))

    def pub(self, *words, fine=True, version="5"):
        done = subprocess.run(["mosquitto_pub", "-p", str(self.port), "-V", version, "-t", "a", "-m", "b", "-q", "1",
                               *map(str, words)], capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(done.returncode == 0, fine, (words, done.stderr))

    def connect(self, say=CONNECT, session=None, **more):
        """(socket, the first bytes that came back)"""
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        for name, value in more.items():
            setattr(context, name, value)
        tls = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), PATIENCE_S),
                                  server_hostname="localhost", session=session)
        self.addCleanup(tls.close)
        tls.sendall(say)
        return tls, tls.recv(1000)

    def test_mosquitto_believes_the_hub_for_its_certificate(self):
        self.hub()
        self.pub("--cafile", self.certs / "ca.pem", "-h", "localhost")
        self.pub("--cafile", self.certs / "ca.pem", "-h", "127.0.0.1")
        self.pub("--cafile", self.certs / "other-ca.pem", "-h", "localhost", fine=False)
        self.pub("-h", "localhost", fine=False)  # no TLS

    def test_a_message_goes_from_client_to_client(self):
        self.hub()
        tls = ["-h", "localhost", "-p", str(self.port), "--cafile", str(self.certs / "ca.pem")]
        text = "x" * 300000
        with subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *tls, "-t", "a", "-C", "1", "-d"], stdout=subprocess.PIPE,
                              text=True) as sub:
            while not sub.stdout.readline().startswith("Subscribed"):
                pass
            subprocess.run(["mosquitto_pub", *tls, "-t", "a", "-s", "-q", "2"], input=text, text=True, check=True,
                           timeout=PATIENCE_S)
            self.assertIn(text, sub.stdout.read())

    def test_clients_show_certificates(self):
        self.hub(client_certificate="required", client_ca="ca.pem", client_crl="ca.crl")
        ca = ["-h", "localhost", "--cafile", self.certs / "ca.pem"]
        for name, fine in (("client", True), ("other", False), ("revoked", False), ("expired", False)):
            self.pub(*ca, "--cert", self.certs / f"{name}.pem", "--key", self.certs / f"{name}.key", fine=fine)
        self.pub(*ca, fine=False)

    def test_clients_come_with_a_key(self):
        key = "000102030405060708090a0b0c0d0e0f"
        (self.certs / "keys").write_text(f"lamp:{key}\n")
        for certificate in (None, "server.pem"):
            with self.subTest(certificate=certificate):
                hub = self.hub(certificate=certificate, key=certificate and "server.key", psk="keys")
                for version in ("tlsv1.2", "tlsv1.3"):
                    words = ["--psk-identity", "lamp", "--tls-version", version]
                    self.pub("--psk", key, *words)
                    self.pub("--psk", key[:-1] + "0", *words, fine=False)
                # With a certificate at hand this client takes that instead; it is nobody then.
                self.pub("--psk", key, "--psk-identity", "heater", fine=certificate is not None)
                hub.process.send_signal(signal.SIGTERM)
                hub.process.wait(PATIENCE_S)

    def test_only_what_is_safe_is_spoken(self):
        self.hub()
        tls, connack = self.connect()
        self.assertEqual((tls.version(), connack[0]), ("TLSv1.3", 0x20))
        tls, connack = self.connect(maximum_version=ssl.TLSVersion.TLSv1_2)
        self.assertEqual((tls.version(), connack[0]), ("TLSv1.2", 0x20))
        self.assertRegex(tls.cipher()[0], "^ECDHE-.*(GCM|POLY1305)")
        for words in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
                      ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"]):
            done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *words], input="",
                                  capture_output=True, text=True, timeout=PATIENCE_S)
            self.assertIn("Cipher is (NONE)", done.stdout, words)

    def test_1_3_alone_when_that_is_said(self):
        self.hub(tls_version="1.3")
        self.assertEqual(self.connect()[0].version(), "TLSv1.3")
        with self.assertRaises((ssl.SSLError, OSError)):
            self.connect(maximum_version=ssl.TLSVersion.TLSv1_2)

    def test_who_comes_back_resumes_its_session(self):
        self.hub(client_certificate="optional", client_ca="ca.pem")
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        context.load_cert_chain(self.certs / "client.pem", self.certs / "client.key")
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context.maximum_version = version
            session = None
            for n in range(3):
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as s, \
                        context.wrap_socket(s, server_hostname="localhost", session=session) as tls:
                    tls.sendall(CONNECT)
                    self.assertEqual(tls.recv(1000)[0], 0x20)
                    self.assertEqual(tls.session_reused, n > 0)
                    session = tls.session

    def test_the_page_and_secure_websockets(self):
        self.hub(kind="http")
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        asked = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=PATIENCE_S)
        asked.request("GET", "/")
        answer = asked.getresponse()
        self.assertEqual((answer.status, answer.headers["Content-Type"][:9]), (200, "text/html"))
        answer.read()
        asked.request("GET", "/health")
        self.assertEqual(asked.getresponse().status, 200)
        asked.close()

    def test_who_says_nothing_or_nonsense_is_closed(self):
        hub = self.hub()
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as silent, \
                socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01")
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as wrong:
                wrong.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while wrong.recv(1000):  # an alert, then the end
                    pass
            used = [float(x) for x in pathlib.Path(f"/proc/{hub.process.pid}/stat").read_text().split()[13:15]]
            self.assertEqual((silent.recv(1), half.recv(1)), (b"", b""))
            now = [float(x) for x in pathlib.Path(f"/proc/{hub.process.pid}/stat").read_text().split()[13:15]]
            self.assertLess(sum(now) - sum(used), 100, "half a record keeps it busy")

    def test_our_own_tools_speak_it(self):
        key = "000102030405060708090a0b0c0d0e0f"
        (self.certs / "keys").write_text(f"lamp:{key}\n")
        self.hub(client_certificate="optional", client_ca="ca.pem", psk="keys")
        ca = ["--cafile", self.certs / "ca.pem"]
        cases = (("localhost", ca, None), ("127.0.0.1", ca, None),
                 ("localhost", ["--cafile", self.certs / "other-ca.pem"], "certificate"),
                 ("localhost", [*ca, "--cert", self.certs / "client.pem", "--key", self.certs / "client.key"], None),
                 ("localhost", [*ca, "--cert", self.certs / "other.pem", "--key", self.certs / "other.key"], "ca"),
                 ("127.0.0.1", ["--psk", key, "--psk-identity", "lamp"], None),
                 ("127.0.0.1", ["--psk", key, "--psk-identity", "heater"], "certificate"),
                 ("127.0.0.1", ["--psk", key], "--psk and --psk-identity go together"),
                 ("127.0.0.1", ["--cafile", "/none"], "the CA '/none' cannot be used: there is no such file"))
        for host, words, why in cases:
            with self.subTest(host=host, words=words):
                done = subprocess.run([options.tandem, "pub", "-h", host, "-p", str(self.port), "-t", "a", "-m", "b",
                                       "-q", "1", *map(str, words)], capture_output=True, text=True,
                                      timeout=PATIENCE_S)
                self.assertEqual(done.returncode == 0, why is None, done.stderr)
                self.assertIn(why or "", done.stderr)

    def reload(self, hub, said):
        """SIGHUP; waits for the line of the log."""
        hub.process.send_signal(signal.SIGHUP)
        while True:
            line = hub.process.stderr.readline()
            self.assertTrue(line, "it has ended")
            if said in line:
                return line

    def shown(self):
        return self.connect()[0].getpeercert(binary_form=True)

    def test_a_reload_takes_new_certificates_and_drops_nobody(self):
        hub = self.hub()
        old = self.shown()
        first, _ = self.connect()
        for name in ("pem", "key"):
            os.replace(self.certs / f"server2.{name}", self.certs / f"server.{name}")
        self.reload(hub, " reloaded ")
        self.assertNotEqual(self.shown(), old)
        (self.certs / "server.pem").write_text("nonsense")
        new = self.shown()
        self.assertIn("server.pem' cannot be used", self.reload(hub, " not_reloaded "))
        self.assertEqual(self.shown(), new)
        first.sendall(b"\xc0\x00")  # PINGREQ
        self.assertEqual(first.recv(100), b"\xd0\x00")

    def test_a_reload_drops_whose_certificate_is_withdrawn(self):
        hub = self.hub(client_certificate="required", client_ca="ca.pem", client_crl="empty.crl")
        context = ssl.create_default_context(cafile=str(self.certs / "ca.pem"))
        peers, sessions = {}, {}
        for name in ("client", "revoked"):
            context.load_cert_chain(self.certs / f"{name}.pem", self.certs / f"{name}.key")
            peers[name] = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), PATIENCE_S),
                                              server_hostname="localhost")
            self.addCleanup(peers[name].close)
            peers[name].sendall(CONNECT)
            self.assertEqual(peers[name].recv(100)[0], 0x20)
            sessions[name] = peers[name].session
        os.replace(self.certs / "ca.crl", self.certs / "empty.crl")
        self.reload(hub, " reloaded ")
        self.assertEqual(peers["revoked"].recv(100)[:3:2], b"\xe0\x87")  # DISCONNECT, not authorized
        self.assertEqual(peers["revoked"].recv(100), b"")
        peers["client"].sendall(b"\xc0\x00")
        self.assertEqual(peers["client"].recv(100), b"\xd0\x00")
        with self.assertRaises((ssl.SSLError, OSError, IndexError)):  # not by its old ticket either
            tls = context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), PATIENCE_S),
                                      server_hostname="localhost", session=sessions["revoked"])
            self.addCleanup(tls.close)
            tls.sendall(CONNECT)
            tls.recv(100)[0]

    def test_a_file_that_cannot_be_used_is_no_start(self):
        for more, want in (({"certificate": "none.pem"}, "none.pem' cannot be used: there is no such file"),
                           ({"key": "client.key"}, "client.key' cannot be used: key values mismatch"),
                           ({"client_ca": "ca.key", "client_certificate": "required"}, "ca.key' cannot be used"),
                           ({"client_certificate": "required"}, "go together"),
                           ({"client_ca": "ca.pem"}, "go together"),
                           ({"certificate": None}, "need a certificate")):
            with self.assertRaises(AssertionError) as refused:
                self.hub(**more)
            self.assertIn(want, str(refused.exception))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + words)
