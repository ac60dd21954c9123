"""The servers under test: each is started in its own directory on a free port of 127.0.0.1, pinned to
one core, and stopped by its process id."""
import os
import pathlib
import resource
import shutil
import socket
import subprocess
import time

STARTED_WITHIN = 10  # seconds

MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_inflight_messages 1000
max_queued_messages 0
persistence false
log_dest none
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cores():
    """The servers' core and the generator's."""
    own = sorted(os.sched_getaffinity(0))
    return own[0], own[-1]


def many_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server:
    """A running server. `first_ms` is the time from the start of the process to the first accepted
    connection, in a new directory; `start_ms` the same for restart()."""

    def __init__(self, name, root, core, words=()):
        self.name, self.core, self.words = name, core, words
        self.port = free_port()
        self.dir = pathlib.Path(root) / f"{name}-{self.port}"
        self.dir.mkdir(parents=True)
        self.log = open(self.dir / "log.txt", "w")
        self.first_ms = self._start()
        self.start_ms = None

    def _start(self):
        began = time.monotonic()
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, preexec_fn=self._before)
        try:
            return self._wait(began)
        except BaseException:
            self.stop()
            raise

    def restart(self):
        """As after a reboot: the same directory and port."""
        self._end()
        self.start_ms = self._start()

    def _before(self):
        os.sched_setaffinity(0, {self.core})
        many_files()

    def _wait(self, began):
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                break
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - began > STARTED_WITHIN:
                raise SystemExit(f"bench: {self.name} did not start:\n{(self.dir / 'log.txt').read_text()}")
            time.sleep(0.0005)
        return (time.monotonic() - began) * 1000

    @property
    def pid(self):
        return self.process.pid

    def _end(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self):
        self._end()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Mosquitto(Server):
    def command(self):
        config = self.dir / "mosquitto.conf"
        config.write_text(MOSQUITTO.format(port=self.port))
        return [self.program(), "-c", str(config)]

    @staticmethod
    def program():
        return shutil.which("mosquitto") or "/usr/sbin/mosquitto"


class Aedes(Server):
    """npm's broker, in the node that is there."""
    modules = None

    def command(self):
        return ["env", f"NODE_PATH={self.modules}", "node", str(pathlib.Path(__file__).parent / "aedes.cjs"),
                str(self.port)]


class Relay(Server):
    binary = None

    def command(self):
        return [self.binary, str(self.port), *self.words]


class Tandem(Server):
    """As it is without configuration, but for the ports and the directory."""
    binary = None
    rules = []

    def command(self):
        return [self.binary, "serve", "--data", str(self.dir / "data"), "--mqtt",
                f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{free_port()}", *self.rules]


class TandemWithRule(Tandem):
    rules = ["--rules", str(pathlib.Path(__file__).parent / "answer.td")]
