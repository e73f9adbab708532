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
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
NOISY_SHARE = 0.05
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


def ratios(found, base, key):
    """Pollux' figure over theirs, round by round."""
    own = found.get(base)
    return {title: figure([a[key] / b[key] for a, b in zip(own, runs)] if own else [], 2) for title, runs in found.items()}


def table(head, rows):
    """Markdown, so that the README can take it as it is."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    line = lambda row: "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
    print("\n".join([line(head), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, rows)]), flush=True)


class Noise:
    """How much of the machine others used during a round: busy time of all cores, less that of our children."""

    def __init__(self):
        self.shares = []

    @staticmethod
    def _now():
        fields = [int(f) for f in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        busy = (sum(fields) - fields[3] - fields[4]) / TICKS_PER_S  # neither idle nor iowait
        return time.monotonic(), busy, sum(os.times()[:4])

    def __enter__(self):
        self.began = self._now()
        return self

    def __exit__(self, *_):
        elapsed, busy, own = (b - a for a, b in zip(self.began, self._now()))
        self.shares.append(max(0.0, busy - own) / (elapsed * (os.cpu_count() or 1)))

    def result(self):
        share = statistics.median(self.shares) if self.shares else 0.0
        return {"others_share_of_cores": figure(self.shares, 3), "noisy": share > NOISY_SHARE}

    def verdict(self):
        found = self.result()
        text = f"Others used {shown(found['others_share_of_cores'], 100, 0)} % of the machine's cores meanwhile"
        return text + (": too noisy to tell times on the clock; trust the CPU times." if found["noisy"] else ": quiet.")


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


def by_turns(kinds, rounds, measure, noise):
    """Everybody once per round; who begins changes from round to round."""
    found = {kind.title: [] for kind in kinds}
    for number in range(rounds):
        for kind in kinds[number % len(kinds):] + kinds[:number % len(kinds)]:
            with noise:
                found[kind.title].append(measure(kind))
            say(f"round {number + 1} of {rounds}: {kind.title}: " +
                ", ".join(f"{key} {value:.3f}" if value < 1e5 else f"{key} {value:,.0f}" for key, value in found[kind.title][-1].items()))
    return found
