#!/usr/bin/env python3
"""The configuration file: what it sets is set, what is wrong in it keeps the hub from starting."""
import http.client
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

import harness
from harness import PATIENCE_S, free_port

options, words = harness.parser(__doc__).parse_known_args()


class Case(unittest.TestCase):
    def setUp(self):
        home = tempfile.TemporaryDirectory(prefix="tandem-e2e-")
        self.addCleanup(home.cleanup)
        self.home = pathlib.Path(home.name)
        self.file = self.home / "tandem.toml"

    def command(self, text, *more):
        self.file.write_text(text)
        return [options.tandem, "serve", "-c", str(self.file), "--data", str(self.home / "data"), *more]

    def refused(self, text, *more):
        """Gives what the hub says on its way out."""
        done = subprocess.run(self.command(text, *more), capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        self.assertFalse((self.home / "data").exists(), "it has begun to work")
        return done.stderr

    def test_a_mistake_is_shown_with_its_place_and_what_was_meant(self):
        said = self.refused('[mqtt]\nlisten = "127.0.0.1:1"\npaket_max = 5\n')
        self.assertIn("tandem.toml:3:1: 'paket_max' is not known here; did you mean 'packet_max'?", said)
        self.assertIn("    paket_max = 5\n    ^\n", said)
        self.assertIn("tandem.toml:2:1: receive_max: 0 is outside 1 to 65535",
                      self.refused("[mqtt]\nreceive_max = 0\n"))
        self.assertIn("tandem.toml:1:6: ] must close it", self.refused("[mqtt\n"))

    def test_a_network_is_listened_on_only_when_that_is_said_in_so_many_words(self):
        for text, more in (('[mqtt]\nlisten = "0.0.0.0:1"\n', ()), ('[http]\nlisten = "[::]:1"\n', ()),
                           ('[http]\nlisten = "0.0.0.0:1"\ninsecure = true\n', ()),
                           ("", ("--mqtt", "0.0.0.0:1")), ("", ("--http", "192.168.0.1:1"))):
            said = self.refused(text, *more)
            self.assertIn("plaintext = true in section", said)

    def test_what_a_file_sets_is_set(self):
        mqtt, web = free_port(), free_port()
        text = (f'[mqtt]\nlisten = "127.0.0.1:{mqtt}"\n[http]\nlisten = "127.0.0.1:1"\n'
                'hosts = ["hub.example"]\nbody_max = 2000\n')
        command = self.command(text, "--http", f"127.0.0.1:{web}")  # the command line goes over the file
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as hub:
            try:
                self.assertIn(f"mqtt=127.0.0.1:{mqtt} http=127.0.0.1:{web}", hub.stdout.readline())
                for host, body, status in (("hub.example", "{}", 400), ("other.example", "{}", 421),
                                           ("hub.example", " " * 2001, 413)):
                    asked = http.client.HTTPConnection("127.0.0.1", web, timeout=PATIENCE_S)
                    asked.request("POST", "/api/v1/query", body,
                                  {"Host": host, "Content-Type": "application/json"})
                    self.assertEqual(asked.getresponse().status, status)
                    asked.close()
            finally:
                hub.send_signal(signal.SIGTERM)
            self.assertEqual(hub.wait(PATIENCE_S), 0)

    def test_it_listens_on_all_that_is_said_and_unix_sockets_have_their_mode(self):
        one, two, path = free_port(), free_port(), self.home / "mqtt.sock"
        text = (f'[http]\nlisten = "off"\n[mqtt]\nlisten = ["127.0.0.1:{one}", "127.0.0.1:{two}"]\n'
                f'[[listener]]\naddress = "unix:{path}"\nmode = "0660"\n')
        with socket.socket(socket.AF_UNIX) as dead:  # what a dead process left behind is replaced
            dead.bind(str(path))
        with subprocess.Popen(self.command(text), stdout=subprocess.PIPE, text=True) as hub:
            try:
                self.assertIn(f"mqtt=127.0.0.1:{one},127.0.0.1:{two},unix:{path} http= ", hub.stdout.readline())
                self.assertEqual(path.stat().st_mode & 0o777, 0o660)
                for where in (["-p", str(one)], ["-p", str(two)], ["--unix", str(path)]):
                    done = subprocess.run(["mosquitto_pub", *where, "-t", "a", "-m", "b", "-q", "1"],
                                          capture_output=True, text=True, timeout=PATIENCE_S)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                self.assertIn(f"unix:{path} is in use by another program",
                              self.other_hub(f'[[listener]]\naddress = "unix:{path}"\n'))
            finally:
                hub.send_signal(signal.SIGTERM)
            self.assertEqual(hub.wait(PATIENCE_S), 0)
        self.assertFalse(path.exists(), "a clean end takes the socket's file along")
        path.write_text("precious")
        self.assertIn("is in use by another program",
                      self.other_hub(f'[[listener]]\naddress = "unix:{path}"\n'))
        self.assertEqual(path.read_text(), "precious")

    def other_hub(self, text):
        """Gives what a second hub, which cannot start, says."""
        command = self.command(text, "--data", str(self.home / "other"), "--http", "off")
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        return done.stderr


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + words)
