"""Reads all points of a data directory, written from docs/format.md alone: a second opinion.

    python3 history_reader.py DIR      prints stream,field,ts,value as CSV, in order
"""
import csv
import pathlib
import sqlite3
import struct
import sys

MASK = (1 << 64) - 1


def crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


CRC = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def signed(v):
    v &= MASK
    return v - (1 << 64) if v >> 63 else v


def double(bits):
    return struct.unpack("<d", struct.pack("<Q", bits & MASK))[0]


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def more(self):
        return self.at < len(self.data)

    def take(self, n):
        if self.at + n > len(self.data):
            raise ValueError("it ends early")
        self.at += n
        return self.data[self.at - n:self.at]

    def u8(self):
        return self.take(1)[0]

    def le(self, n):
        return int.from_bytes(self.take(n), "little")

    def be(self, n):
        return int.from_bytes(self.take(n), "big")

    def varint(self):
        v = shift = 0
        while True:
            byte = self.u8()
            v |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return v

    def zz(self):
        v = self.varint()
        return (v >> 1) ^ -(v & 1)

    def lump(self):
        return self.take(self.varint())

    def value(self):
        tag = self.u8()
        kind = tag & 7
        if kind == 0:
            return None
        if kind in (1, 2):
            return kind == 2
        if kind == 3:
            return self.zz()
        if kind == 4:
            return self.zz() / 10 ** (tag >> 3)
        if kind == 5:
            return double(self.le(8))
        return self.lump().decode()


# ---- the log ----

def head_of(data):
    for at in (0, 256):
        r = Reader(data[at:at + 256])
        if r.take(6) == b"TDLOG\0" and r.be(2) == 1:
            head = {name: r.be(n) for name, n in
                    (("number", 8), ("first_lsn", 8), ("prev_end", 8), ("keep", 8), ("bytes", 4))}
            if crc32c(data[at:at + r.at]) == r.be(4):
                return head
    return None


def records(data, head, end):
    """(kind, lsn, lsn behind it, payload) while they are good."""
    at = 512
    while at + 16 <= end:
        r = Reader(data[at:at + 16])
        crc, length, kind, lsn = r.be(4), r.be(3), r.be(1), r.be(8)
        if lsn != head["first_lsn"] + at or at + 16 + length > end:
            return
        if crc32c(head["number"].to_bytes(8, "big") + data[at + 4:at + 16 + length]) != crc:
            return
        yield kind, lsn, lsn + 16 + length, data[at + 16:at + 16 + length]
        at += 16 + length


def log_records(directory):
    segments = []
    for path in directory.glob("*.tlog"):
        data = path.read_bytes()
        head = head_of(data)
        if head:
            segments.append((head["number"], head, data))
    segments.sort(key=lambda s: s[0])
    if not segments:
        return
    keep = segments[-1][1]["keep"]
    segments = [s for s in segments if s[0] >= keep]
    for i, (_, head, data) in enumerate(segments):
        follows = i + 1 < len(segments)
        end = segments[i + 1][1]["prev_end"] - head["first_lsn"] if follows else len(data)
        yield from records(data, head, end)


def rows(payload):
    """(stream, ts, {column: value}, bytes read so far)."""
    r = Reader(payload)
    stream = ts = 0
    while r.more():
        head = r.varint()
        step = head >> 3
        stream += (step >> 1) ^ -(step & 1)
        ts += r.zz() * (1, 10**3, 10**6, 10**9)[head & 3]
        cells = {}
        for i in range(r.varint()):
            column = i if head & 4 else r.varint()
            cells[column] = r.value()
        yield stream, ts, cells, r.at


# ---- chunks ----

def column_values(kind, codec, n, data):
    r = Reader(data)
    out = []
    if codec == 1:
        out = [r.le(8)] * n
    elif codec == 2:
        bits = r.take((n + 7) // 8)
        out = [bits[i // 8] >> (i % 8) & 1 for i in range(n)]
    elif codec == 3:
        v = 0
        for _ in range(n):
            v = (v + r.zz()) & MASK
            out.append(v)
    elif codec == 4:
        out = [r.le(8) for _ in range(n)]
    elif codec == 5:
        v = 0
        for _ in range(n):
            head = r.u8()
            lead, count = head >> 4, head & 15
            if count:
                v ^= r.le(count) << (8 * (8 - lead - count))
            out.append(v)
    elif codec == 6:
        e = r.u8()
        k = 0
        for _ in range(n):
            k += r.zz()
            out.append(k / 10**e)
        return out
    elif codec == 7:
        for _ in range(n):
            length = r.varint()
            out.append(out[-1] if length == 0 else r.take(length - 1).decode())
        return out
    elif codec == 8:
        return [r.value() for _ in range(n)]
    convert = {1: bool, 2: signed, 3: double}[kind]
    return [convert(v) for v in out]


def chunk_rows(n, head, data):
    """[(ts, {column: value})]."""
    if crc32c(head[:-4]) != int.from_bytes(head[-4:], "little"):
        raise ValueError("the head is damaged")
    r = Reader(head)
    version, flags, k, crc, exponent, ts_bytes = r.le(1), r.le(1), r.le(2), r.le(4), r.le(1), r.le(4)
    if version != 1 or crc32c(data) != crc:
        raise ValueError("the data is damaged")
    times = Reader(data[:ts_bytes])
    out, t, step = [], 0, 0
    for i in range(n):
        delta = step + times.zz()
        t += delta
        step = delta if i else 0
        out.append((t * 10**exponent, {}))
    for _ in range(k):
        column, kind, codec, offset, length, present = (r.le(2), r.le(1), r.le(1), r.le(4), r.le(4),
                                                        r.le(2))
        if flags & 1:
            r.take(48)
        body = data[offset:offset + length]
        there = list(range(n))
        if present < n:
            bits, body = body[:(n + 7) // 8], body[(n + 7) // 8:]
            there = [i for i in range(n) if bits[i // 8] >> (i % 8) & 1]
        for i, v in zip(there, column_values(kind, codec, present, body)):
            out[i][1][column] = v
    return out


# ---- all together ----

def points(directory):
    """{(stream name, field, ts): value}."""
    directory = pathlib.Path(directory)
    names = {}

    def define(key, value):
        r = Reader(value)
        name = r.lump().decode()
        names[int.from_bytes(key, "big")] = (name, [r.lump().decode() for _ in range(r.varint())])

    base = sqlite3.connect(directory / "tandem.db")
    for key, value in base.execute("SELECT key, value FROM state WHERE kind = 2"):
        define(key, value)
    span = 1
    found = {}  # (stream, ts): (order, cells)
    sealed = {}  # (stream, day): seq
    for path in sorted((directory / "hist").glob("raw-*.0.db")):
        part = sqlite3.connect(path)
        span = int(part.execute("SELECT value FROM meta WHERE key = 'span_days'").fetchone()[0])
        for stream, n, seq, head, data in part.execute("SELECT stream, n, seq, head, data FROM chunk"):
            for ts, cells in chunk_rows(n, head, data):
                day = ts // (span * 86400 * 10**9)
                sealed[stream, day] = max(sealed.get((stream, day), 0), seq)
                if (stream, ts) not in found or found[stream, ts][0] < seq:
                    found[stream, ts] = (seq, cells)
    for kind, lsn, end, payload in log_records(directory / "log"):
        if kind == 16:
            r = Reader(payload)
            while r.more():
                op = r.varint()
                key = r.lump()
                value = b"" if op & 1 else r.lump()
                if op == 2 << 1:
                    define(key, value)
        elif kind in (1, 4):
            for stream, ts, cells, at in rows(payload):
                order = end if kind == 4 else lsn + 16 + at
                if order > sealed.get((stream, ts // (span * 86400 * 10**9)), 0):
                    found[stream, ts] = (order, cells)
    return {(names[stream][0], names[stream][1][column], ts): value
            for (stream, ts), (_, cells) in found.items() for column, value in cells.items()
            if value is not None}


if __name__ == "__main__":
    out = csv.writer(sys.stdout)
    for (stream, field, ts), value in sorted(points(sys.argv[1]).items()):
        out.writerow((stream, field, ts, value))
