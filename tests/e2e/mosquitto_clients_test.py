#!/usr/bin/env python3
"""Debian's mosquitto_pub, mosquitto_sub and mosquitto_rr against the hub: what a person at a shell
does first. Each case runs in both versions of the protocol where it is about both."""
import itertools
import os
import signal
import subprocess
import unittest

import harness
from harness import PATIENCE_S

broker = None
VERSIONS = ("311", "5")
names = (f"m{os.getpid()}-{n}" for n in itertools.count())


class Sub:
    """A mosquitto_sub that has its subscriptions before the constructor returns."""

    def __init__(self, *words, version="5", filters=1):
        command = ["stdbuf", "-oL", "mosquitto_sub", "-p", str(broker.port), "-V", version, "-d", "-W",
                   str(PATIENCE_S), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.printed = []
        while True:
            line = self.process.stdout.readline()
            if not line:  # a resumed session may serve it before it has subscribed again
                break
            self.printed.append(line)
            if line.startswith("Subscribed"):
                break

    def lines(self):
        """What it printed when it ended (by -C), without its own notes."""
        # Not communicate(): it reads past what readline has buffered.
        rest = self.process.stdout.read()
        self.process.wait()
        self.process.stdout.close()
        everything = "".join(self.printed) + rest
        notes = ("Client ", "Subscribed ", "Timed out")
        return [line for line in everything.splitlines() if line and not line.startswith(notes)]

    def die(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


def pub(*words, version="5", text=None):
    done = subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-V", version, *words], input=text,
                          capture_output=True, text=True, timeout=PATIENCE_S)
    if done.returncode != 0:
        raise AssertionError(f"mosquitto_pub {words}: {done.returncode} {done.stderr}")
    return done.stdout + done.stderr


def both_versions(case):
    def run(self):
        for version in VERSIONS:
            with self.subTest(version=version):
                self.topic = "e2e-shell/" + next(names)
                case(self, version)
    return run


class MosquittoClients(unittest.TestCase):
    def setUp(self):
        self.topic = "e2e-shell/" + next(names)

    @both_versions
    def test_every_qos_from_pub_to_sub(self, version):
        for qos in "012":
            sub = Sub("-t", self.topic, "-q", qos, "-C", "1", "-F", "%t %q %r %p", version=version)
            pub("-t", self.topic, "-q", qos, "-m", f"hello {qos}", version=version)
            self.assertEqual([f"{self.topic} {qos} 0 hello {qos}"], sub.lines())

    def test_versions_understand_each_other(self):
        for listener, speaker in (("311", "5"), ("5", "311")):
            sub = Sub("-t", self.topic, "-C", "1", version=listener)
            pub("-t", self.topic, "-m", "x", version=speaker)
            self.assertEqual(["x"], sub.lines())

    @both_versions
    def test_lines_from_standard_input_are_messages(self, version):
        sub = Sub("-t", self.topic, "-q", "2", "-C", "200", version=version)
        pub("-t", self.topic, "-q", "2", "-l", text="".join(f"{i}\n" for i in range(200)), version=version)
        self.assertEqual([str(i) for i in range(200)], sub.lines())

    @both_versions
    def test_retained(self, version):
        pub("-t", self.topic, "-q", "1", "-r", "-m", "kept", version=version)
        sub = Sub("-t", self.topic + "/#", "-C", "1", "-F", "%r %p", version=version)
        self.assertEqual(["1 kept"], sub.lines())
        pub("-t", self.topic, "-q", "1", "-r", "-n", version=version)
        sub = Sub("-t", self.topic + "/#", "-C", "1", "-F", "%r %p", version=version)
        pub("-t", self.topic, "-m", "live", version=version)
        self.assertEqual(["0 live"], sub.lines())

    @both_versions
    def test_a_killed_client_leaves_its_will(self, version):
        watcher = Sub("-t", self.topic, "-q", "1", "-C", "1", version=version)
        Sub("-t", "x", "--will-topic", self.topic, "--will-payload", "killed", "--will-qos", "1",
            version=version).die()
        self.assertEqual(["killed"], watcher.lines())

    @both_versions
    def test_a_session_is_kept_for_an_absent_client(self, version):
        words = ("-t", self.topic, "-q", "1", "-i", next(names), "-c")
        words += ("-x", "3600") if version == "5" else ()
        Sub(*words, version=version).die()
        pub("-t", self.topic, "-q", "1", "-m", "while away", version=version)
        again = Sub(*words, "-C", "1", version=version)
        self.assertEqual(["while away"], again.lines())

    def test_shared_subscriptions(self):
        subs = [Sub("-t", f"$share/g/{self.topic}", "-q", "1", "-C", "1") for _ in range(2)]
        for word in ("a", "b"):
            pub("-t", self.topic, "-q", "1", "-m", word)
        self.assertEqual(["a", "b"], sorted(line for s in subs for line in s.lines()))

    def test_user_properties_are_shown(self):
        sub = Sub("-t", self.topic, "-C", "1", "-F", "%P|%C|%p")
        pub("-t", self.topic, "-m", "21", "-D", "publish", "user-property", "unit", "celsius",
            "-D", "publish", "content-type", "text/plain")
        self.assertEqual(["unit:celsius|text/plain|21"], sub.lines())

    def test_request_and_response(self):
        server = Sub("-t", f"{self.topic}/ask", "-C", "1", "-F", "%R|%D|%p")
        client = subprocess.Popen(
            ["mosquitto_rr", "-p", str(broker.port), "-V", "5", "-t", f"{self.topic}/ask", "-e",
             f"{self.topic}/answer", "-m", "2+2", "-W", str(PATIENCE_S)], stdout=subprocess.PIPE, text=True)
        where, _, question = server.lines()[0].split("|")
        self.assertEqual("2+2", question)
        pub("-t", where, "-m", "4")
        self.assertEqual("4\n", client.communicate(timeout=PATIENCE_S)[0])

    def test_a_big_file_arrives_whole(self):
        path = broker.home / "big"
        path.write_bytes(os.urandom(150_000))
        sub = subprocess.Popen(["mosquitto_sub", "-p", str(broker.port), "-t", self.topic, "-C", "1", "-N", "-W",
                                str(PATIENCE_S), "-q", "1"], stdout=subprocess.PIPE)
        # Retained, so it does not matter which of the two is there first.
        pub("-t", self.topic, "-q", "1", "-r", "-f", str(path))
        self.assertEqual(path.read_bytes(), sub.communicate(timeout=PATIENCE_S)[0])


if __name__ == "__main__":
    harness.run_unittest(globals(), __doc__)
