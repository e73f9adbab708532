# SPDX-License-Identifier: BSD-3-Clause
"""latency: how long single questions wait beside a load."""

import contextlib
import math
import os
import re
import time
from pathlib import Path

from bench.common import BenchError, CORES, Noise, by_turns, figure, need, need_two_cores, quantile, rig, shown, table
from bench.questions import answer_times
from bench.link import VETH_SERVERS, among, read_kxdpgun, shooting, veth_server, veth_zones
from bench.veth import sustained

LATENCY_SHARES = (0.3, 0.6, 0.9)
QUANTILES = (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999))
PROBE_PORT = 1900   # kxdpgun's own begin at 2000; what comes to others it leaves to the kernel
PROBE_PAUSE_S = 0.0005


def favour(network):
    """What measures must not wait for what makes the load: both live on the client's core."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if re.match("napi/px[01]-", path.read_text()) and os.sched_getaffinity(int(path.parent.name)) == set(range(CORES - 1)):
                os.setpriority(os.PRIO_PROCESS, int(path.parent.name), -15)
        except OSError:
            pass


@contextlib.contextmanager
def urgent():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def latency_at(server, queries, per_s, seconds):
    """Single questions beside a load of this rate."""
    gun = shooting(server.network, ["ip", "netns", "exec", server.network.client, "kxdpgun", "-t", str(math.ceil(seconds) + 1), "-Q", str(int(per_s)), "-i",
                    str(queries), "-I", "px1", "-F", "0s1", rig.SERVICE_4])
    try:
        number = int(seconds / (2 * PROBE_PAUSE_S))
        with urgent():
            waited = answer_times(server.network, "plain.example", PROBE_PAUSE_S, number, PROBE_PORT, seconds)
    finally:
        said = gun.communicate(timeout=30)[0]
    if not read_kxdpgun(said) or len(waited) < 100:
        raise BenchError(f"{server.title}: {len(waited)} of {number} answers came: {said}")
    return {key: quantile(waited, share) * 1e6 for key, share in QUANTILES}


def bench_latency(options, directory):
    need_two_cores()
    need("kxdpgun")
    kinds, noise = among(options, VETH_SERVERS), Noise()
    zones, queries = veth_zones(directory), directory / "questions"

    def measure(kind):
        with veth_server(kind, directory, zones, options) as (server, napi):
            top = sustained(server, queries, napi, options)["answered_per_s"]
            favour(server.network)
            time.sleep(0.5)
            found = {"sustained_per_s": top}
            for share in LATENCY_SHARES:
                found.update({f"{share:.0%} {key}": value for key, value in latency_at(server, queries, share * top, options.seconds).items()})
            return found

    found = by_turns(kinds, options.rounds, measure, noise)
    return {"rounds": options.rounds, "rows": {title: {key: figure([run[key] for run in runs], 1) for key in runs[0]}
                                               for title, runs in found.items()}, "noise": noise.result(), "verdict": noise.verdict()}


def print_latency(found):
    print(f"\nSingle questions beside a load over one veth pair, from send() to recv(), us; {found['rounds']} rounds: median (least-greatest)\n")
    table(["server", "load", "thousand/s", *("half within", "99 % within", "99.9 % within")],
          [[title, f"{share:.0%}", shown(row["sustained_per_s"], share * 1e-3, 0), *(shown(row[f"{share:.0%} {key}"], 1, 0) for key, _ in QUANTILES)]
           for title, row in found["rows"].items() for share in LATENCY_SHARES])
    print(f"\nThe client, its load and the kernel's receiving threads share a core: most of the waiting is there. {found['verdict']}")
