#!/usr/bin/env python3
"""Holds the tree to what ARCHITECTURE.md and STYLE.md promise and no compiler checks.

    tidy.py CHECK... [--tree DIR] [--build DIR]

Each check is one function below that yields findings "path:line: what, and what to do about it".
The exit status says whether there were any. `symbols` reads the archives of a build directory; the
others read text. tidy_test.py shows each check failing on a small tree made for it.
"""
import argparse
import pathlib
import re
import subprocess
import sys

# ---- what is forbidden where ----

ALL = "bits base wire sys linux hub store lang guard rules serve app".split()
SEAM = "linux app"  # the rooms that may ask the operating system

BANS = [
    # calls, rooms where they are fine, why
    ("strcpy strcat stpcpy sprintf vsprintf gets", "", "it writes without a bound: td_put_*, td_buf_*"),
    ("strtok atoi atol atoll atof", "", "it cannot fail: parse a td_slice"),
    ("alloca", "", "the stack has a bound: td_arena"),
    ("malloc calloc realloc reallocarray aligned_alloc posix_memalign strdup strndup", "base linux app",
     "memory comes from td_alloc, td_arena, td_buf"),
    ("free td_alloc td_realloc td_strdup", "base sys linux hub store lang guard rules serve app",
     "this room owns no memory: the caller lends it"),
    ("time gettimeofday clock clock_gettime ftime localtime gmtime mktime", SEAM,
     "time is a parameter: td_mono now, td_wall"),
    ("sleep usleep nanosleep", SEAM, "wait for a deadline"),
    ("rand srand random srandom drand48 getrandom arc4random", SEAM,
     "randomness comes from the seam, or a td_rng with a seed"),
    ("socket bind listen accept accept4 connect send sendto sendmsg recv recvfrom recvmsg select poll"
     " epoll_wait epoll_ctl", SEAM, "streams come from struct td_sys"),
    ("open openat creat close read write pread pwrite readv writev fsync fdatasync ftruncate rename"
     " unlink mkdir opendir fopen fread fclose", SEAM, "files come from struct td_sys"),
    ("pthread_create pthread_mutex_lock pthread_mutex_unlock pthread_cond_wait fork", SEAM,
     "one thread owns this room's data; slow work is a struct td_work"),
    ("printf fprintf vprintf vfprintf puts fputs putchar fwrite perror", "base linux app",
     "rooms give errors to their caller; only app talks to people"),
    ("exit abort _exit quick_exit", "base linux app", "give an error, or td_assert a programmer's mistake"),
    ("setlocale strcoll strerror", "app", "it depends on the machine: td_err_text"),
    ("strtod strtof", "base app", "it depends on the locale: td_json_number"),
]

# System headers by room; what is not listed for a room is not for it.
HEADERS_FREE = set("stdalign.h stdbool.h stddef.h stdint.h stdnoreturn.h limits.h string.h inttypes.h".split())
HEADERS_HOSTED = HEADERS_FREE | set("stdarg.h stdio.h stdlib.h math.h float.h errno.h assert.h".split())
HEADERS = {
    "bits": HEADERS_FREE | {"nmmintrin.h", "immintrin.h", "emmintrin.h"},
    "base": HEADERS_HOSTED | {"stdatomic.h"},
    "serve": HEADERS_HOSTED | {"stdatomic.h"},
    "wire": HEADERS_FREE | {"math.h"},
    "store": HEADERS_HOSTED | {"sqlite3.h", "zstd.h", "stdatomic.h"},
    "guard": HEADERS_HOSTED | {"argon2.h", "openssl/crypto.h", "openssl/evp.h",
                               "openssl/hmac.h", "openssl/bio.h", "openssl/ecdsa.h", "openssl/err.h",
                               "openssl/pem.h"},
    "linux": None,  # everything
    "app": None,
}

DOORS_MANY = {"bits", "base"}  # toolboxes: each header is a door
# Doors beside that of their folder: what stands on a machine without being part of it.
DOORS_BESIDE = {"wire/mqtt/window.h", "wire/mqtt/client.h"}


# ---- reading ----

def files_of(tree, *suffixes, under=("src", "tests", "bench", "device", "examples", "web", "scripts")):
    for top in under:
        base = tree / top
        if base.exists():
            for path in sorted(base.rglob("*")):
                if path.is_file() and path.suffix in suffixes and "node_modules" not in path.parts:
                    yield path


def code_only(text):
    """The text with comments and literals blanked, line numbers kept."""
    def blank(match):
        kept = match.group(0)
        if kept.startswith(("'", '"')):
            return kept[0] + " " * (len(kept) - 2) + kept[-1]
        return re.sub(r"[^\n]", " ", kept)
    pattern = r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
    return re.sub(pattern, blank, text, flags=re.S)


def read_rooms(tree):
    """room -> rooms it may include, in the order of src/ROOMS."""
    rooms = {}
    for line in (tree / "src/ROOMS").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, allowed = line.partition(":")
            rooms[name.strip()] = allowed.split()
    return rooms


def room_of(tree, path):
    return path.relative_to(tree / "src").parts[0]


def show(tree, path, line):
    return f"{path.relative_to(tree)}:{line}"


# ---- the checks ----

def check_rooms(tree, _build):
    """Includes follow src/ROOMS: downward only, through doors, no circles."""
    rooms = read_rooms(tree)
    above = set()
    for name, allowed in rooms.items():
        for lower in allowed:
            if lower not in above:
                yield f"src/ROOMS: {name} may include {lower}, which does not stand above it: a circle"
        above.add(name)
    for path in files_of(tree, ".c", ".h", under=("src",)):
        if path.parent == tree / "src":
            yield f"{show(tree, path, 1)}: a file outside every room; move it into one"
            continue
        room = room_of(tree, path)
        if room not in rooms:
            yield f"{show(tree, path, 1)}: room {room} has no line in src/ROOMS"
            continue
        # The raw line holds the name, the blanked one says whether it is code.
        text = path.read_text()
        pairs = zip(text.splitlines(), code_only(text).splitlines())
        for number, (raw, blanked) in enumerate(pairs, 1):
            if not re.match(r"\s*#\s*include\b", blanked):
                continue
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', raw)
            if found is None:
                yield f"{show(tree, path, number)}: an include that names no file"
                continue
            kind, name = found.groups()
            if kind == "<":
                headers = HEADERS.get(room, HEADERS_HOSTED)
                if headers is not None and name not in headers:
                    yield (f"{show(tree, path, number)}: room {room} includes <{name}>; what it offers comes"
                           f" from the seam, or is not for this room")
                continue
            parts = pathlib.PurePosixPath(name).parts
            if len(parts) < 2 or parts[0] == "..":
                yield f'{show(tree, path, number)}: "{name}" is not named from the src root'
                continue
            other = parts[0]
            if other == room:
                continue
            if other not in rooms:
                yield f'{show(tree, path, number)}: "{name}" is in no room of src/ROOMS'
            elif other not in rooms[room]:
                yield (f'{show(tree, path, number)}: room {room} includes "{name}" upward; it may include:'
                       f' {" ".join(rooms[room]) or "nothing"}')
            elif other not in DOORS_MANY and name not in DOORS_BESIDE and path_stem(parts) != parts[-2]:
                yield f'{show(tree, path, number)}: "{name}" is private to {other}; come in by its door'


def path_stem(parts):
    return pathlib.PurePosixPath(parts[-1]).stem


def check_bans(tree, _build):
    """Calls that a room must not make."""
    patterns = []
    for words, fine, why in BANS:
        pattern = re.compile(r"(?<![\w.>])(?:%s)\s*\(" % "|".join(words.split()))
        patterns.append((pattern, set(fine.split()), why))
    for path in files_of(tree, ".c", ".h", under=("src", "device", "bench")):
        in_src = path.is_relative_to(tree / "src")
        room = room_of(tree, path) if in_src else "app"
        code = code_only(path.read_text())
        own = set(re.findall(r"^static\b[^;={}]*?\b(\w+)\(", code, re.M))
        for number, line in enumerate(code.splitlines(), 1):
            for pattern, fine, why in patterns:
                for call in pattern.finditer(line):
                    name = call.group(0).rstrip("( ")
                    if room not in fine and name not in own:
                        yield f"{show(tree, path, number)}: {name}() in {room}: {why}"


def check_opening(tree, _build):
    """A file opens with its idea; no line is longer than 100."""
    starts = {".c": ("/*",), ".h": ("/*",), ".def": ("/*",), ".py": ('"""', "#"), ".js": ("/*", "//"),
              ".mjs": ("/*", "//"), ".cjs": ("/*", "//"), ".ts": ("/*", "//"), ".css": ("/*",)}
    for path in files_of(tree, *starts):
        text = path.read_text()
        if text.startswith("#!"):
            text = text.partition("\n")[2]
        if not text.startswith(starts[path.suffix]):
            yield f"{show(tree, path, 1)}: opens without a comment that says what the file is for"
        if path.suffix in (".c", ".h"):
            for number, line in enumerate(text.splitlines(), 1):
                if len(line) > 100:
                    yield f"{show(tree, path, number)}: {len(line)} columns; 100 fit"


def check_headers(tree, _build):
    """What a header declares is explained: each paragraph with a prototype has a comment."""
    prototype = re.compile(r"^(?!static|typedef|#|\s|\})[\w *]+\b\w+\([^;{]*\)[^;{]*;", re.M | re.S)
    for path in files_of(tree, ".h", under=("src", "device")):
        text = path.read_text()
        guard = "TD_" + path.stem.upper()
        if not re.search(r"^#ifndef %s\w*_H\b|^#ifndef TD_\w+_H\b" % guard, text, re.M):
            yield f"{show(tree, path, 1)}: no include guard TD_..._H"
        number = 1
        for paragraph in re.split(r"(\n\s*\n)", text):
            if prototype.search(paragraph) and "/*" not in paragraph:
                yield (f"{show(tree, path, number)}: a function without a comment: what it needs, gives,"
                       f" keeps, and its errors")
            number += paragraph.count("\n")


def slug(heading):
    heading = re.sub(r"[`*_]|\[|\]\([^)]*\)", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


def check_links(tree, _build):
    """Links between documents lead somewhere."""
    documents = sorted(tree.glob("*.md")) + list(files_of(
        tree, ".md", under=("docs", "src", "tests", "bench", "device", "examples", "web", "packaging")))
    for path in documents:
        fenced = re.sub(r"^```.*?^```", lambda m: "\n" * m.group(0).count("\n"), path.read_text(),
                        flags=re.M | re.S)
        for number, line in enumerate(fenced.splitlines(), 1):
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                name, _, anchor = target.partition("#")
                where = (path.parent / name) if name else path
                if not where.exists():
                    yield f"{show(tree, path, number)}: link to {target}: no such file"
                elif anchor and where.suffix == ".md":
                    titles = re.findall(r"^#+ +(.*)$", where.read_text(), re.M)
                    if anchor not in {slug(title) for title in titles}:
                        yield f"{show(tree, path, number)}: link to {target}: no such heading"


def check_words(tree, _build):
    """No notes to oneself, and nothing that ties the tree to one machine or one registry."""
    notes = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b")
    machine = re.compile(r"/ho" r"me/\w+/|/wo" r"rk/|/tmp/w" r"t/")
    names = list(files_of(tree, ".c", ".h", ".def", ".py", ".js", ".mjs", ".cjs", ".ts", ".css", ".html",
                          ".sh", ".td", ".toml", ".md", ".txt", "", ".json",
                          under=("src", "tests", "bench", "device", "examples", "web", "scripts", "docs",
                                 "packaging", ".ci"))) + sorted(tree.glob("[!.]*.*"))
    for path in names:
        if "corpus" in path.parts or not path.is_file():
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if notes.search(line) and path.suffix != ".json":
                yield f"{show(tree, path, number)}: a note to oneself; make it an issue, or do it"
            if machine.search(line):
                yield f"{show(tree, path, number)}: a path of one machine"
            if path.name == "package-lock.json" and '"resolved": "http' in line:
                yield (f"{show(tree, path, number)}: the lock names a registry; write it with"
                       f" npm install --omit-lockfile-registry-resolved")


IMPURE = set(" ".join(words for words, fine, _ in BANS if fine != "base").split())
PURE_ONLY = re.compile(r"^(?:mem\w+|strlen|td_\w+|__cpu_\w+|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|"
                       r"__builtin_\w+|l?l?round\w*|trunc|floor|ldexp|nan)$")


def check_symbols(tree, build):
    """What the linker sees: names say their room, and pure rooms need nothing from outside."""
    rooms = read_rooms(tree)
    for room in rooms:
        archive = build / f"libtd_{room}.a"
        if not archive.exists():
            continue
        declared = set()
        for path in (tree / "src" / room).rglob("*.h"):
            declared |= set(re.findall(r"\b(td_\w+)", code_only(path.read_text())))
        listing = subprocess.run(["nm", "-A", "-g", str(archive)], check=True, capture_output=True,
                                 text=True).stdout
        for line in listing.splitlines():
            where, _, rest = line.rpartition(":")
            fields = rest.split()
            kind, name = fields[-2], fields[-1]
            member = where.rpartition(":")[2]
            if kind == "U":
                bare = name.removeprefix("__").removesuffix("_chk")
                if room in ("bits", "wire") and not PURE_ONLY.match(name):
                    yield f"{room}/{member}: needs {name}; this room runs on a microcontroller"
                elif room not in SEAM.split() + ["base", "sys"] and bare in IMPURE - MEMORY:
                    yield f"{room}/{member}: needs {name}; it comes from struct td_sys"
            elif not name.startswith("td_"):
                yield f"{room}/{member}: {name} is external; make it static or call it td_{room}_..."
            elif name not in declared and room != "app" and name != "td_assert_fail":
                yield f"{room}/{member}: {name} is external but in no header of {room}; make it static"


MEMORY = set("free malloc calloc realloc td_alloc td_realloc td_strdup abort exit".split())

CHECKS = {name.removeprefix("check_"): function
          for name, function in list(globals().items()) if name.startswith("check_")}


def main():
    parser = argparse.ArgumentParser(description="checks of form and architecture")
    parser.add_argument("check", nargs="+", choices=sorted(CHECKS))
    parser.add_argument("--tree", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("."))
    options = parser.parse_args()
    found = 0
    for name in options.check:
        for finding in CHECKS[name](options.tree, options.build):
            print(f"{name}: {finding}")
            found += 1
    if found:
        print(f"{found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
