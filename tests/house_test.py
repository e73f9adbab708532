#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-3-Clause
"""The house check finds each kind of breach in a small house made for it, and nothing in a clean one."""

import subprocess
import sys
import tempfile
from pathlib import Path

CHECK = Path(__file__).resolve().parent.parent / "tools" / "check_houses.py"
SPDX = "// SPDX-License-Identifier: BSD-3-Clause\n"
CLEAN = {
    "include/pollux/door.h": SPDX + "#pragma once\n",
    "zones/name.c": SPDX + '#include <string.h>\n#include <pollux/door.h>\n#include "own.h"\n// free(x) in prose\n',
    "zones/own.h": SPDX + "#pragma once\n",
    "dataplane/worker.c": SPDX + "#include <rte_ring.h>\n",
    "HOUSE.md": "include/pollux/door.h  a door\nzones/*.[ch]  knowledge\nzones/name.c  names\nzones/own.h  own\n"
                "dataplane/worker.c  a core\n",
}
BREACHES = {
    "a header of another room": ("zones/name.c", SPDX + '#include "../dataplane/worker.h"\n', "leaves the room"),
    "a door that does not exist": ("zones/name.c", SPDX + "#include <pollux/window.h>\n", "is no door"),
    "DPDK outside the dataplane": ("zones/name.c", SPDX + "#include <rte_mbuf.h>\n", "must not see <rte_mbuf.h>"),
    "sockets in zones": ("zones/name.c", SPDX + "#include <sys/socket.h>\n", "must not see <sys/socket.h>"),
    "an allocation on the packet path": ("zones/name.c", SPDX + "void *f(void) { return malloc(1); }\n", "allocates"),
    "an unbounded call": ("dataplane/worker.c", SPDX + "void f(char *a) { strcpy(a, a); }\n", "strcpy("),
    "a missing licence": ("dataplane/worker.c", "int x;\n", "lacks SPDX"),
    "a file HOUSE.md does not name": ("control/main.c", SPDX, "is not named in HOUSE.md"),
    "a file only HOUSE.md knows": ("HOUSE.md", CLEAN["HOUSE.md"] + "control/gone.c  gone\n", "does not exist"),
}


def check(house):
    with tempfile.TemporaryDirectory() as directory:
        for name, text in house.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return subprocess.run([CHECK, directory], capture_output=True, text=True)


failed = 0
done = check(CLEAN)
if done.returncode != 0:
    print(f"a clean house is refused:\n{done.stdout}{done.stderr}")
    failed += 1
for what, (name, text, expected) in BREACHES.items():
    done = check({**CLEAN, name: text})
    if done.returncode != 1 or expected not in done.stdout:
        print(f"not found: {what}\n{done.stdout}{done.stderr}")
        failed += 1
sys.exit(1 if failed else 0)
