#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that the rooms keep to the plan: who includes whom, which words a room may not use, licence
lines, and that HOUSE.md names every source file and no other.

usage: check_houses.py [SOURCE DIRECTORY]     exit 0: all well, 1: each breach as file:line: text"""

import fnmatch
import re
import sys
from pathlib import Path

ROOMS = ("include", "zones", "config", "dataplane", "control", "tools", "tests")
DPDK = r"rte_\w+\.h"
SOCKETS = r"sys/socket\.h|netdb\.h|sys/un\.h|net/if\.h|sys/epoll\.h|poll\.h|event2/.*|openssl/.*"
PARSERS = r"jansson\.h|yaml\.h|histedit\.h|unbound\.h"

# What a room must not see: system headers, by pattern. Its own files and include/ are always open to it.
CLOSED_HEADERS = {
    "include": f"{DPDK}|{PARSERS}|event2/.*(?<!event2/event\\.h)",
    "zones": f"{DPDK}|{SOCKETS}|{PARSERS}",
    "config": f"{DPDK}|{SOCKETS.replace('sys/socket', 'sys/none')}|jansson\\.h|histedit\\.h|unbound\\.h",
    "dataplane": f"{SOCKETS.replace('net/if', 'net/none').replace('sys/socket', 'sys/none')}|{PARSERS}",
    "control": DPDK,
    "tools": DPDK,
    "tests": "(?!)",
}

# Words that a room may not use, and why.
EVERYWHERE = [
    (r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca|rand|srand|random)\s*\(",
     "unbounded, unchecked or predictable; libbsd has the better call"),
    (r"\btypedef\s+(struct|enum|union)\s+(\w+\s*)?(\{|\w+\s*;)", "types go without typedef"),
    (r"\b(TODO|FIXME|XXX|HACK)\b", "unfinished work does not live in comments"),
    (r"#include\s+<limits/", "hides libc's limits.h"),
]
NO_SOCKETS = [
    (r"\b(socket|connect|sendto|recvfrom|sendmsg|recvmsg)\s*\(", "this room opens no sockets"),
]
# A turn neither allocates, locks, logs, calls the kernel nor waits.
PACKET_PATH = [
    (r"\b(malloc|calloc|realloc|free|strdup|asprintf|rte_malloc|rte_zmalloc|rte_free)\s*\(", "allocates on the packet path"),
    (r"\b(log_(error|warning|info|debug|line)|f?printf|syslog|RTE_LOG)\s*\(", "logs on the packet path"),
    (r"\b(pthread_(mutex|rwlock|cond)\w*|rte_spinlock\w*|rte_rwlock\w*)\s*\(", "locks on the packet path"),
    (r"\b(usleep|nanosleep|sleep|poll|read|write|clock_gettime|gettimeofday|time)\s*\(", "calls the kernel on the packet path"),
]
PACKET_PATH_FILES = ("dataplane/pipeline.c", "dataplane/pipeline.h", "dataplane/frame.c", "dataplane/frame.h",
                     "zones/answer.c", "zones/query.c", "zones/name.c")

SOURCE_SUFFIXES = (".c", ".h", ".def", ".py", ".sh")
LICENCE = "SPDX-License-Identifier: BSD-3-Clause"


def is_script(path):
    with path.open("rb") as file:
        return file.read(2) == b"#!"


def source_files(root):
    """Every file somebody wrote: by suffix, and scripts by their first line."""
    for room in (*ROOMS, ".ci"):
        for path in sorted((root / room).rglob("*")):
            inside = path.relative_to(root).parts
            if "__pycache__" in inside or not path.is_file():
                continue
            if path.suffix in SOURCE_SUFFIXES or (path.suffix == "" and is_script(path)):
                yield path


def without_comments(text):
    """The same lines with comments and string contents blanked, so that prose is not taken for code."""
    def blank(match):
        kept = match[0][0] if match[0][0] in "\"'" else ""
        return kept + re.sub(r"[^\n]", " ", match[0][len(kept):len(match[0]) - len(kept)]) + kept
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_includes(root, path, room, lines):
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s+([<"])([^">]+)[">]', line)
        if not match or room == "tests":
            continue
        bracket, name = match.groups()
        if bracket == '"':
            here = [(path.parent / name).resolve(), (root / room / name).resolve()]
            found = next((p for p in here if p.is_file()), None)
            if ".." in name or (found and not found.is_relative_to(root / room)):
                yield number, f'"{name}" leaves the room {room}/: doors are <pollux/...>'
            elif not found and not name.endswith(".def.h"):
                yield number, f'"{name}" is not in {room}/'
        elif name.startswith("pollux/"):
            if not (root / "include" / name).is_file():
                yield number, f"<{name}> is no door"
        elif re.fullmatch(CLOSED_HEADERS[room], name):
            yield number, f"{room}/ must not see <{name}>"


def check_words(root, path, room, text):
    relative = str(path.relative_to(root))
    rules = list(EVERYWHERE)
    if room in ("zones", "config"):
        rules += NO_SOCKETS
    if relative in PACKET_PATH_FILES:
        rules += PACKET_PATH
    code = without_comments(text).splitlines()
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, why in rules:
            in_prose = "TODO" in pattern
            match = re.search(pattern, line if in_prose else code[number - 1])
            if match:
                yield number, f"{match[0].strip()}: {why}"


def check_licence(lines):
    if not any(LICENCE in line for line in lines[:2]):
        yield 1, f"the first line lacks {LICENCE}"


def check_plan(root, files):
    """HOUSE.md has one line per file, `path  what it is`; a path may hold * for a family of files."""
    plan = root / "HOUSE.md"
    if not plan.is_file():
        yield f"{plan.name}:1: is missing"
        return
    named = {}
    for number, line in enumerate(plan.read_text().splitlines(), 1):
        match = re.match(r"\s*[-|]?\s*`?((?:%s)/[\w./*+-]+)`?(?:\s{2,}|\t|\s*[|:]\s*)\S" % "|".join((*ROOMS, r"\.ci")), line)
        if match and not match[1].endswith("/"):
            named[match[1]] = number
    unnamed = {str(path.relative_to(root)) for path in files}
    for name, number in named.items():
        found = fnmatch.filter(unnamed, name)
        if not found and not list(root.glob(name)):
            yield f"{plan.name}:{number}: {name} does not exist"
        unnamed.difference_update(found)
    for name in sorted(unnamed):
        yield f"{name}:1: is not named in {plan.name} (add a line: {name}  what it is)"


def main():
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    root = Path(sys.argv[1] if len(sys.argv) == 2 else Path(__file__).parent.parent).resolve()
    files = list(source_files(root))
    if not files:
        print(f"{root}: no source files here")
        return 1
    breaches = []
    for path in files:
        room = path.relative_to(root).parts[0]
        text = path.read_text(errors="replace")
        found = []
        if path.suffix in (".c", ".h", ".def"):
            found += check_includes(root, path, room, text.splitlines())
            found += check_words(root, path, room, text)
        if path.suffix != ".def":
            found += check_licence(text.splitlines())
        breaches += [f"{path.relative_to(root)}:{number}: {what}" for number, what in found]
    breaches += check_plan(root, files)
    for breach in breaches:
        print(breach)
    print(f"{len(files)} files checked, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
