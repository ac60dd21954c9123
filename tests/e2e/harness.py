"""What the end-to-end tests share: a broker that each test program starts for itself.

    test_program.py --tandem build/tandem      start this hub, with a data directory of its own
    test_program.py --mosquitto                start Debian's mosquitto instead: it proves the tests
    test_program.py --port 1883                use a broker that runs already
    test_program.py --over ws                  what clients go over: a WebSocket listener, or the page's

Nothing here waits for a time to pass when it can wait for an event: "nothing arrives" is shown by a
marker that is sent afterwards and arrives first.
"""
import argparse
import atexit
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

PATIENCE_S = 30  # how long an event may take on a machine that is busy with other things
TREE = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    """A port on loopback that nobody listens on, outside the range the kernel hands out itself."""
    while True:
        port = random.randrange(27000, 28000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def wait_for(what, happened, patience_s=PATIENCE_S):
    """Polls until `happened()` gives something true, and gives that."""
    end = time.monotonic() + patience_s
    while True:
        value = happened()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience_s} s for {what}")
        time.sleep(0.005)


def make_certificates(where):
    """See tests/certs for what there is then."""
    if not (where / "server.pem").exists():
        subprocess.run([TREE / "tests/certs", where], check=True)
    return where


class Broker:
    """One server process on loopback. `start`, `stop`, `kill` may be repeated; the data stays."""

    def __init__(self, options, arguments=()):
        self.options = options
        self.arguments = list(arguments)
        self.process = None
        self.ready = {}
        self.http_port = None
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="tandem-e2e-"))
        self.data = self.home / "data"
        self.log = self.home / "log"
        self.port = options.port or free_port()  # plain TCP
        self.over = options.over
        self.over_port = self.port  # where the client under test goes
        atexit.register(self.forget)

    def start(self):
        if self.options.port:
            return self
        if self.options.mosquitto:
            self.start_mosquitto()
        else:
            self.start_tandem()
        return self

    def start_tandem(self):
        self.http_port = self.http_port or free_port()
        command = [self.options.tandem, "serve", "--data", str(self.data),
                   "--mqtt", f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http_port}"]
        command += self.over_arguments()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command + self.arguments, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready"):
            raise AssertionError(f"the hub did not get ready: {line!r}\n{self.log_text()}")
        self.ready = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)

    def over_arguments(self):
        """The listener that clients go over, as a configuration file."""
        if self.over == "tcp":
            return []
        if self.over == "page":
            self.over_port = self.http_port
            return []
        if self.over_port == self.port:
            self.over_port = free_port()
        text = f'[[listener]]\naddress = "127.0.0.1:{self.over_port}"\n'
        if self.over in ("ws", "wss"):
            text += "websocket = true\n"
        if self.over in ("tls", "wss"):
            self.certificates = make_certificates(self.home / "certs")
            text += (f'certificate = "{self.certificates}/server.pem"\n'
                     f'key = "{self.certificates}/server.key"\n')
        file = self.home / "over.toml"
        file.write_text(text)
        return ["-c", str(file)]

    def start_mosquitto(self):
        conf = self.home / "mosquitto.conf"
        conf.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
                        "set_tcp_nodelay true\nconnection_messages false\n")
        with open(self.log, "ab") as log:
            program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
            self.process = subprocess.Popen([program, "-c", str(conf)], stdout=log, stderr=log)

        def listens():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) == 0
        wait_for("mosquitto to listen", listens)

    def stop(self):
        """Ends it as a service manager would; it must end cleanly."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        self.process.stdout and self.process.stdout.close()
        self.process = None
        if status != 0:
            raise AssertionError(f"the broker ended with {status}\n{self.log_text()}")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout and self.process.stdout.close()
        self.process = None

    def alive(self):
        return self.process is None or self.process.poll() is None

    def log_text(self):
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def forget(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


def unless_mosquitto(why):
    """Skips a case where Debian's mosquitto is known to differ from the specification."""
    return unittest.skipIf("--mosquitto" in sys.argv, "mosquitto " + why)


def parser(description):
    p = argparse.ArgumentParser(description=description)
    which = p.add_mutually_exclusive_group()
    which.add_argument("--tandem", default=str(TREE / "build/tandem"), help="the hub to start")
    which.add_argument("--mosquitto", action="store_true", help="start Debian's mosquitto instead")
    which.add_argument("--port", type=int, help="use a broker that listens here")
    p.add_argument("--over", choices=("tcp", "ws", "page", "tls", "wss"), default="tcp", help="what clients go over")
    return p


def run_unittest(module_globals, description):
    """A test program's main: sets `broker` in its module, leaves the other words to unittest."""
    options, rest = parser(description).parse_known_args()
    broker = Broker(options).start()
    module_globals["broker"] = broker
    program = unittest.main(argv=[sys.argv[0]] + rest, exit=False)
    good = program.result.wasSuccessful()
    if not broker.alive():
        print(f"the broker died\n{broker.log_text()}")
        good = False
    elif options.port is None:
        try:
            broker.stop()
        except AssertionError as error:
            print(error)
            good = False
    if not good:
        print("the broker's log:\n" + broker.log_text())
    sys.stdout.flush()
    os._exit(0 if good else 1)  # threads of a client library must not keep a failed run alive
