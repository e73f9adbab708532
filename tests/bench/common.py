# SPDX-License-Identifier: BSD-3-Clause
"""What every bench stands on: figures of rounds, tables, and how noisy the machine was."""

import math
import os
import re
import shutil
import statistics
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
rig = SourceFileLoader("rig", str(ROOT / "tools" / "rig")).load_module()
BUILD = Path(os.environ.get("POLLUX_BUILD") or ROOT / "build")
CORES = len(os.sched_getaffinity(0))
NAMES = 100000      # of the zone that most questions are for


class BenchError(Exception):
    """What went wrong, in words for the person at the terminal."""


def say(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def figure(values, digits=2):
    """Median, least and greatest of the rounds."""
    values = [v for v in values if v is not None]
    if not values:
        return {"median": None, "min": None, "max": None, "rounds": []}
    return {"median": round(statistics.median(values), digits), "min": round(min(values), digits),
            "max": round(max(values), digits), "rounds": [round(v, digits) for v in values]}


def shown(fig, factor=1.0, digits=2):
    if fig["median"] is None:
        return "-"
    values = [f"{fig[key] * factor:.{digits}f}" for key in ("median", "min", "max")]
    return values[0] if len(fig["rounds"]) < 2 else f"{values[0]} ({values[1]}-{values[2]})"


def quantile(values, share):
    """The least value that is not exceeded by this share of all."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def ratio(one, other):
    return one / other if one is not None and other else None


def ratios(found, base, key):
    """Pollux' figure over theirs, round by round."""
    own = found.get(base)
    return {title: figure([ratio(a[key], b[key]) for a, b in zip(own, runs)] if own else [], 2) for title, runs in found.items()}


def table(head, rows):
    """Markdown, so that the README can take it as it is."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    line = lambda row: "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
    print("\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)]), flush=True)


def machine():
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    memory_kb = int(re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.M)[1])
    return {"cpu": model[1] if model else os.uname().machine, "cores": CORES, "memory_gib": round(memory_kb / 2**20, 1),
            "kernel": os.uname().release, "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "load_average": os.getloadavg()[0]}


def helper(name):
    path = BUILD / "tests" / "bench" / name
    if not path.is_file():
        raise BenchError(f"no {path} (build it with: meson setup build && ninja -C build)")
    return str(path)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise BenchError(f"no {program} (install it with: tools/packages install bench)")


def need_two_cores():
    if CORES < 2:
        raise BenchError("needs two cores")


def short(value):
    return "-" if value is None else f"{value:.3f}" if value < 1e5 else f"{value:,.0f}"


def by_turns(kinds, rounds, measure, noise):
    """Everybody once per round; who begins changes from round to round."""
    found = {kind.title: [] for kind in kinds}
    for number in range(rounds):
        for kind in kinds[number % len(kinds):] + kinds[:number % len(kinds)]:
            with noise:
                found[kind.title].append(measure(kind))
            say(f"round {number + 1} of {rounds}: {kind.title}: " +
                ", ".join(f"{key} {short(value)}" for key, value in found[kind.title][-1].items()))
    return found
