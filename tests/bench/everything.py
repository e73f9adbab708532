# SPDX-License-Identifier: BSD-3-Clause
"""all: each bench as a process of its own, and a closing table."""

import contextlib
import json
import subprocess
import sys
import time
from typing import NamedTuple

from bench.common import ROOT, say, table
from bench.targets import judge, noisy


class Part(NamedTuple):
    """A bench with its arguments, and how long that takes; then both for --quick, where some have none."""
    name: str
    words: str
    seconds: int
    quick_words: str | None = None
    quick_seconds: int = 0


ALL = (
    Part("limit", "--rounds 5 --seconds 1", 30, "--rounds 1 --seconds 1", 10),
    Part("answers", "--rounds 5 --seconds 1", 170, "--rounds 1 --seconds 0.3", 25),
    Part("scale", "--rounds 5 --seconds 1", 100, "--rounds 1 --seconds 0.3 --names 1000000", 15),
    Part("workers", "--rounds 5 --seconds 1", 15, "--rounds 1 --seconds 1", 5),
    Part("cache", "--rounds 5 --seconds 1", 270, "--rounds 1 --seconds 0.3 --only capture", 10),
    Part("forward", "--rounds 5 --seconds 1", 25, "--rounds 1 --seconds 0.5", 5),
    Part("veth", "--rounds 5", 640, "--rounds 1 --servers pollux-xdp-naps-one-core,knot-xdp-one-core", 40),
    Part("latency", "--rounds 5", 210),
    Part("tcp", "--rounds 5 --seconds 2", 130, "--rounds 1 --seconds 1", 15),
    Part("idle", "--rounds 5 --seconds 3", 150, "--rounds 1 --seconds 2", 25),
    Part("load", "--rounds 3", 160, "--rounds 1 --records 500000 --servers pollux,knot", 15),  # five rounds would take two minutes more
    Part("reload", "--rounds 20", 10),
)
ALL_MINUTES, QUICK_MINUTES = (round(sum(getattr(part, key) for part in ALL) / 60) for key in ("seconds", "quick_seconds"))


def patience_s(expected_s):
    """For one part: a machine may be slow, but a part that hangs must not cost the others their time."""
    return 60 + 2 * expected_s


def ended(child, patience):
    """How a part ended: None when it ended well. Who takes too long is asked to stop, then stopped; it clears away what it made."""
    try:
        status = child.wait(patience)
        return f"status {status}" if status else None
    except subprocess.TimeoutExpired:
        return f"took more than {patience:.0f} s"
    finally:
        if child.poll() is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(60)
            child.kill()
            child.wait()


def bench_all(options, directory):
    """Each bench as a process of its own: what one of them lacks or meets is in its place of the figures and stops no other."""
    chosen = [(part.name, words.split(), seconds) for part in ALL
              for words, seconds in [(part.quick_words, part.quick_seconds) if options.quick else (part.words, part.seconds)] if words]
    parts, began = {}, time.monotonic()
    for number, (name, words, expected_s) in enumerate(chosen):
        left_s = sum(seconds for *_, seconds in chosen[number:])
        say(f"{name}, {number + 1} of {len(chosen)}, after {(time.monotonic() - began) / 60:.1f} minutes; about {left_s / 60:.0f} minutes left")
        path = directory / f"{name}.json"
        trouble = ended(subprocess.Popen([sys.executable, "-I", str(ROOT / "tools" / "bench"), name, *words, "--json", str(path),
                                          "--directory", str(directory)]), patience_s(expected_s))
        parts[name] = json.loads(path.read_text()) if path.exists() else {"failed": trouble or "no figures"}
    return {"quick": options.quick, "seconds": round(time.monotonic() - began), "targets": judge(parts), "parts": parts}


def without_figures(found):
    return [name for name, part in found.get("parts", {}).items() if "failed" in part]


def print_all(found):
    print()
    table(["target", "bound", "measured", "verdict"], found["targets"])
    notes = {"without figures": without_figures(found), "on a noisy machine": [name for name, part in found["parts"].items() if noisy(part)]}
    print(f"\n{len(found['parts'])} benches in {found['seconds'] / 60:.1f} minutes" +
          "".join(f"; {what}: {', '.join(names)}" for what, names in notes.items() if names))
