#!/usr/bin/env python3
"""Shows each check of tidy.py failing on a small tree that breaks its rule, and passing on one that
keeps it. A check that finds nothing proves nothing until it has been seen to find something."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tidy  # noqa: E402

ROOMS = "# rooms\nbits:\nbase: bits\nwire: bits\nhub: bits base\nserve: bits base wire hub\n"
DOOR = "/* hub: a room. */\n#ifndef TD_HUB_H\n#define TD_HUB_H\n\n/* Says hello. */\nvoid td_hub_hello(void);\n\n#endif\n"


class Tree(unittest.TestCase):
    def findings(self, check, files, build=None):
        with tempfile.TemporaryDirectory() as name:
            tree = pathlib.Path(name)
            for path, text in ({"src/ROOMS": ROOMS} | files).items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_text(text)
            if build:
                build(tree)
            return list(tidy.CHECKS[check](tree, tree / "build"))

    def finds(self, check, files, *words, **more):
        found = self.findings(check, files, **more)
        self.assertEqual(1, len(found), found)
        for word in words:
            self.assertIn(word, found[0])

    def passes(self, check, files, **more):
        self.assertEqual([], self.findings(check, files, **more))

    # rooms

    def test_an_include_downward_passes(self):
        self.passes("rooms", {"src/serve/a.c": '/* a */\n#include "hub/hub.h"\n', "src/hub/hub.h": DOOR})

    def test_an_include_upward_is_named_with_place_and_allowed_rooms(self):
        self.finds("rooms", {"src/hub/a.c": '/* a */\n\n#include "serve/serve.h"\n'},
                   "src/hub/a.c:3", "upward", "bits base")

    def test_an_include_sideways_is_upward_too(self):
        self.finds("rooms", {"src/wire/a.c": '/* a */\n#include "hub/hub.h"\n'}, "src/wire/a.c:2")

    def test_a_private_header_is_not_a_door(self):
        self.finds("rooms", {"src/serve/a.c": '/* a */\n#include "hub/tree.h"\n'}, "private to hub")

    def test_an_include_by_a_path_outside_the_root_is_named(self):
        self.finds("rooms", {"src/hub/a.c": '/* a */\n#include "../serve/serve.h"\n'}, "src root")

    def test_a_commented_include_does_not_count(self):
        self.passes("rooms", {"src/hub/a.c": '/* a\n#include "serve/serve.h"\n*/\n'})

    def test_a_system_header_outside_the_seam_is_named(self):
        self.finds("rooms", {"src/hub/a.c": "/* a */\n#include <sys/socket.h>\n"}, "sys/socket.h")

    def test_a_circle_in_the_list_is_named(self):
        self.finds("rooms", {"src/ROOMS": "bits: base\nbase:\n"}, "circle")

    def test_a_room_without_a_line_is_named(self):
        self.finds("rooms", {"src/attic/a.c": "/* a */\n"}, "attic")

    # bans

    def test_an_unbounded_copy_is_named(self):
        self.finds("bans", {"src/hub/a.c": "/* a */\nvoid f(char *p)\n{\n    strcpy(p, q);\n}\n"},
                   "src/hub/a.c:4", "strcpy")

    def test_the_clock_is_banned_outside_the_seam(self):
        self.finds("bans", {"src/hub/a.c": "/* a */\nint x = time(NULL);\n"}, "time()", "parameter")

    def test_the_heap_is_banned_in_wire(self):
        self.finds("bans", {"src/wire/a.c": "/* a */\nvoid *x = td_alloc(4);\n"}, "td_alloc", "lends")

    def test_a_member_a_comment_a_string_and_an_own_function_are_no_calls(self):
        self.passes("bans", {"src/hub/a.c": '/* time(0) */\nstatic int open(int a);\nint x = s->read(s);\n'
                                            'const char *t = "socket()";\nint y = open(4);\n'})

    # opening, headers

    def test_a_file_without_its_idea_is_named(self):
        self.finds("opening", {"src/hub/a.c": "int x;\n"}, "src/hub/a.c:1")

    def test_a_long_line_is_named(self):
        self.finds("opening", {"src/hub/a.c": "/* a */\n/* " + "x" * 100 + " */\n"}, "src/hub/a.c:2", "106")

    def test_a_bare_prototype_is_named(self):
        self.finds("headers", {"src/hub/hub.h": DOOR.replace("/* Says hello. */\n", "")}, "src/hub/hub.h:5")

    def test_an_explained_prototype_passes(self):
        self.passes("headers", {"src/hub/hub.h": DOOR})

    # documents

    def test_a_dead_link_is_named(self):
        self.finds("links", {"README.md": "see [a](docs/a.md)\n"}, "README.md:1", "docs/a.md")

    def test_a_dead_heading_is_named(self):
        self.finds("links", {"README.md": "# One\nsee [a](#two)\n"}, "#two")

    def test_living_links_pass(self):
        self.passes("links", {"README.md": "# The one!\n[a](#the-one) [b](docs/b.md) [c](https://c.example)\n",
                              "docs/b.md": "# B\n"})

    # words

    def test_a_note_to_oneself_is_named(self):
        self.finds("words", {"src/hub/a.c": "/* TO" "DO: later */\n"}, "issue")

    def test_a_lock_that_names_a_registry_is_named(self):
        self.finds("words", {"web/package-lock.json": '{\n"resolved": "https://r.example/x.tgz"\n}\n'},
                   "registry")

    # symbols

    def archive(self, room, source):
        def build(tree):
            (tree / "build").mkdir()
            (tree / "a.c").write_text(source)
            subprocess.run(["cc", "-c", "-o", tree / "build/a.o", tree / "a.c"], check=True)
            subprocess.run(["ar", "rc", tree / f"build/libtd_{room}.a", tree / "build/a.o"], check=True)
        return build

    def test_an_external_name_without_its_room_is_named(self):
        self.finds("symbols", {"src/hub/hub.h": DOOR}, "helper",
                   build=self.archive("hub", "int helper(void) { return 1; }\n"))

    def test_an_external_name_in_no_header_is_named(self):
        self.finds("symbols", {"src/hub/hub.h": DOOR}, "td_hub_other",
                   build=self.archive("hub", "int td_hub_other(void) { return 1; }\n"))

    def test_a_pure_room_that_needs_libc_is_named(self):
        self.finds("symbols", {"src/wire/wire.h": DOOR.replace("hub", "wire")}, "getenv",
                   build=self.archive("wire", "char *getenv(const char *); void td_wire_hello(void) "
                                              "{ (void)getenv(\"A\"); }\n"))

    def test_a_room_that_asks_the_clock_is_named(self):
        self.finds("symbols", {"src/hub/hub.h": DOOR}, "needs time",
                   build=self.archive("hub", "long time(long *); void td_hub_hello(void) "
                                             "{ (void)time((long *)0); }\n"))


if __name__ == "__main__":
    unittest.main()
