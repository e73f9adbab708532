# SPDX-License-Identifier: BSD-3-Clause
"""all: each bench as a process of its own, and a closing table."""

import contextlib
import json
import subprocess
import sys
import time

from bench.common import ROOT, say, table
from bench.targets import judge, noisy

# What is run, in this order, with these arguments; and with --quick.
ALL = (
    ("limit", ["--rounds", "5", "--seconds", "1"], ["--rounds", "1", "--seconds", "1"]),
    ("answers", ["--rounds", "5", "--seconds", "1"], ["--rounds", "1", "--seconds", "0.3"]),
    ("scale", ["--rounds", "5", "--seconds", "1"], ["--rounds", "1", "--seconds", "0.3", "--names", "1000000"]),
    ("workers", ["--rounds", "5", "--seconds", "1"], ["--rounds", "1", "--seconds", "1"]),
    ("cache", ["--rounds", "2", "--seconds", "1"], ["--rounds", "1", "--seconds", "0.3", "--only", "capture"]),
    ("forward", ["--rounds", "3", "--seconds", "1"], ["--rounds", "1", "--seconds", "0.5"]),
    ("veth", ["--rounds", "1"], ["--rounds", "1", "--servers", "pollux-xdp,knot-xdp"]),
    ("latency", ["--rounds", "1"], None),
    ("tcp", ["--rounds", "3"], ["--rounds", "1", "--seconds", "1"]),
    ("idle", ["--rounds", "2"], ["--rounds", "1", "--seconds", "2"]),
    ("load", ["--rounds", "1"], ["--rounds", "1", "--records", "500000", "--servers", "pollux,knot"]),
    ("reload", ["--rounds", "10"], None),
)
ALL_MINUTES, QUICK_MINUTES, ALL_MOST_S = 18, 4, 1800


def bench_all(options, directory):
    """Each bench as a process of its own: what one of them lacks or meets is in its place of the figures and stops no other."""
    parts, began = {}, time.monotonic()
    say(f"about {QUICK_MINUTES if options.quick else ALL_MINUTES} minutes")
    for name, whole, quick in ALL:
        words = quick if options.quick else whole
        left_s = ALL_MOST_S - (time.monotonic() - began)
        if words is None:
            continue
        path = directory / f"{name}.json"
        say(f"{name}, after {(time.monotonic() - began) / 60:.1f} minutes")
        child = subprocess.Popen([sys.executable, "-I", str(ROOT / "tools" / "bench"), name, *words, "--json", str(path), "--directory", str(directory)])
        try:
            child.wait(max(1, left_s))
        except subprocess.TimeoutExpired:
            pass
        finally:
            if child.poll() is None:
                child.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(60)
                child.kill()
                child.wait()
        parts[name] = json.loads(path.read_text()) if path.exists() else {"failed": f"status {child.returncode}"}
    return {"quick": options.quick, "seconds": round(time.monotonic() - began), "targets": judge(parts), "parts": parts}


def without_figures(found):
    return [name for name, part in found.get("parts", {}).items() if "failed" in part]


def print_all(found):
    print()
    table(["target", "bound", "measured", "verdict"], found["targets"])
    notes = {"without figures": without_figures(found), "on a noisy machine": [name for name, part in found["parts"].items() if noisy(part)]}
    print(f"\n{len(found['parts'])} benches in {found['seconds'] / 60:.1f} minutes" +
          "".join(f"; {what}: {', '.join(names)}" for what, names in notes.items() if names))
