#!/usr/bin/env python3
"""What was published is in the history: asked of the hub, of its directory after a kill, and read by a
second program that knows the formats only from docs/format.md."""
import csv
import io
import json
import pathlib
import subprocess
import sys
import unittest

import harness
from harness import PATIENCE_S, Broker

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "spec"))
import history_reader  # noqa: E402

options, words = harness.parser(__doc__).parse_known_args()

ROWS = 12000
SQL = "SELECT stream, field, ts, value FROM points"


def value_of(i):
    """Something of each type and shape."""
    return {"n": i, "t": round(20 + i % 70 / 10, 1), "f": i / 7, "ok": i % 3 == 0,
            "state": ("idle", "busy", "")[i % 3], **({"rare": {"x": [i]}} if i % 5 == 0 else {})}


def published():
    out = {}
    for i in range(ROWS):
        for field, value in value_of(i).items():
            field, value = ("rare.x.0", value["x"][0]) if field == "rare" else (field, value)
            out.setdefault(field, []).append(value)
    return out


class History(unittest.TestCase):
    def query(self, *arguments, sql=SQL):
        done = subprocess.run([options.tandem, "query", sql, *arguments], capture_output=True,
                              text=True, timeout=PATIENCE_S)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def points(self, text):
        return {(row["stream"], row["field"], int(row["ts"])): row["value"]
                for row in csv.DictReader(io.StringIO(text))}

    def test_hub_directory_and_a_second_reader_agree(self):
        broker = Broker(options)
        config = broker.home / "tandem.toml"
        # So small a ring that heads are sealed and segments used again while we publish.
        config.write_text('[data]\nsegment = "64 KB"\nsegments = 6\n')
        broker.arguments = ["-c", str(config)]
        broker.start()
        lines = "".join(json.dumps(value_of(i)) + "\n" for i in range(ROWS))
        subprocess.run([options.tandem, "pub", "-p", str(broker.port), "-t", "plant/line1", "-q", "1", "-l"],
                       input=lines, text=True, check=True, timeout=4 * PATIENCE_S)
        hub = f"127.0.0.1:{broker.http_port}"
        asked = self.points(self.query("--http", hub, "--csv"))
        self.assertEqual(self.query("--http", hub, "--json", sql="SELECT count(*) AS n FROM points "
                                    "WHERE field = 'n'"), '[\n{"n":%d}\n]\n' % ROWS)
        broker.kill()
        read = self.points(self.query("--data", str(broker.data), "--csv"))
        self.assertEqual(asked, read)
        second = history_reader.points(broker.data)
        self.assertEqual(set(read), set(second))
        self.assertGreater(len(list((broker.data / "hist").glob("raw-*.0.db"))), 0)
        for field, values in published().items():
            there = [second[key] for key in sorted(second, key=lambda key: key[2]) if key[1] == field]
            self.assertEqual(there, values, field)
        checked = subprocess.run([options.tandem, "doctor", "--data", str(broker.data)],
                                 capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        self.assertIn("sound", checked.stdout)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]] + words)
