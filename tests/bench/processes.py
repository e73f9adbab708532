# SPDX-License-Identifier: BSD-3-Clause
"""What processes cost, and what others on the machine use meanwhile."""

import contextlib
import os
import re
import statistics
import time
from pathlib import Path

from bench.common import CORES, figure, shown

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KERNEL_THREAD = 0x00200000  # PF_KTHREAD of linux/sched.h
# Of the machine's cores, by others: with more, times on the clock say nothing; with still more, CPU times do not, either, as caches and
# memory are shared. (An exact hit took 72 ns with others at 57 %, 75 ns with them at 75 %; bursts over a veth pair bear less.)
CLOCK_NOISE_MOST, CPU_NOISE_MOST = 0.05, 0.30


def tree_of(pid):
    """A process and all below it."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                todo += map(int, path.read_text().split())
            except OSError:
                pass
    return found


def cpu_seconds(pids):
    """User and system time, that of children waited for included."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / TICKS_PER_S


def user_seconds(pids):
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
        except OSError:
            continue
    return total / TICKS_PER_S


def thread_seconds(pid):
    """CPU seconds of each thread of a process."""
    found = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            found[path.parent.name] = int(path.read_text().split()[0]) / 1e9
        except OSError:
            pass
    return found


def run_seconds(pids):
    return sum(sum(thread_seconds(pid).values()) for pid in pids)


def kilobytes(pid, file, key):
    try:
        found = re.search(rf"^{key}:\s*(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.M)
    except OSError:
        return 0
    return int(found[1]) if found else 0


@contextlib.contextmanager
def off_the_servers_core():
    """The bench, and what it starts meanwhile, leaves the last core to the server: who waits for an answer there waits for the core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(range(CORES - 1)) or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def keep_on_the_servers_core(children):
    """Every thread of these and of what they started; one may end meanwhile."""
    for pid in {pid for child in children for pid in tree_of(child.pid)}:
        for path in Path(f"/proc/{pid}/task").glob("[0-9]*"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(path.name), {CORES - 1})


def all_processes():
    """Pid -> its parent, whether it is a thread of the kernel's, its CPU seconds with those of children waited for."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        found[int(path.parent.name)] = int(fields[1]), bool(int(fields[6]) & KERNEL_THREAD), sum(map(int, fields[11:15])) / TICKS_PER_S
    return found


def others_seconds(processes, own):
    """CPU seconds of those that neither are nor come from `own`. Threads of the kernel are nobody: they work for whoever uses network,
    memory or disk, here mostly the bench."""
    def is_ours(pid):
        while pid in processes and pid != own:
            pid = processes[pid][0]
        return pid == own
    return sum(seconds for pid, (_, of_kernel, seconds) in processes.items() if not of_kernel and not is_ours(pid))


def stolen_seconds():
    """What the host gave to others while we had something to do."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / TICKS_PER_S


class Noise:
    """How much of the machine others used during a round: all processes less the bench and its children, and what the host took. A
    process that ended is counted with its parent. Others that a container does not show are not seen."""

    def __init__(self, by_clock=False):
        self.by_clock, self.shares = by_clock, []

    @staticmethod
    def _now():
        return time.monotonic(), others_seconds(all_processes(), os.getpid()) + stolen_seconds()

    def __enter__(self):
        self.began = self._now()
        return self

    def __exit__(self, *_):
        elapsed, others = (b - a for a, b in zip(self.began, self._now()))
        self.shares.append(max(0.0, others) / (elapsed * (os.cpu_count() or 1)))

    def result(self):
        share = statistics.median(self.shares) if self.shares else 0.0
        return {"others_share_of_cores": figure(self.shares, 3), "noisy": share > (CLOCK_NOISE_MOST if self.by_clock else CPU_NOISE_MOST)}

    def verdict(self):
        shares = self.result()["others_share_of_cores"]
        share = shares["median"] or 0.0
        return f"Others used {shown(shares, 100, 0)} % of the machine's cores meanwhile: " + (
            "quiet." if share <= CLOCK_NOISE_MOST else "CPU times hold, times on the clock are too long." if share <= CPU_NOISE_MOST else
            "too noisy to tell.")
