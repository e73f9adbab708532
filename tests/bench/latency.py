# SPDX-License-Identifier: BSD-3-Clause
"""latency: how long single questions wait beside a load."""

import contextlib
import os
import time

from bench.common import by_turns, figure, need, need_two_cores, quantile, say, shown, table
from bench.processes import Noise
from bench.questions import answer_times
from bench.link import MARGIN_S, VETH_SERVERS, among, shooting, veth_server, veth_zones
from bench.veth import sustained

LATENCY_SHARES = (0.3, 0.6, 0.9)
QUANTILES = (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999))
PROBE_PORT = 1900   # kxdpgun's own begin at 2000; what comes to others it leaves to the kernel
PROBE_PAUSE_S = 0.0005
ENOUGH_ANSWERS = 500
SEARCH_S = 1       # of each load while the highest rate is sought


def favour(link):
    """What measures must not wait for what makes the load: both live on the client's core."""
    for pid in link.threads.values():
        os.setpriority(os.PRIO_PROCESS, pid, -15)


@contextlib.contextmanager
def urgent():
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


def latency_at(link, queries, per_s, seconds):
    """Single questions beside a load of this rate. Lost ones wait for nothing; when nearly all are lost, a round says nothing."""
    number = int(seconds / PROBE_PAUSE_S)
    with shooting(link, queries, per_s, seconds + 2 * MARGIN_S), urgent():
        time.sleep(MARGIN_S)
        waited = answer_times(link.network, "plain.example", PROBE_PAUSE_S, number, PROBE_PORT, seconds)
    if len(waited) < ENOUGH_ANSWERS:
        say(f"{link.server.title}: at {per_s:,.0f} a second only {len(waited)} of the single questions were answered")
        return {key: None for key, _ in QUANTILES}
    return {key: quantile(waited, share) * 1e6 for key, share in QUANTILES}


def bench_latency(options, directory):
    need_two_cores()
    need("kxdpgun")
    kinds, noise, top = among(options, VETH_SERVERS), Noise(by_clock=True), {}
    zones, queries = veth_zones(directory), directory / "questions"
    for kind in kinds:
        with noise, veth_server(kind, directory, zones, options) as link:
            top[kind] = sustained(link, queries, SEARCH_S)["answered_per_s"]
        say(f"{kind.title}: {top[kind]:,.0f} answers a second")

    def measure(kind):
        with veth_server(kind, directory, zones, options) as link:
            favour(link)
            found = {"sustained_per_s": top[kind]}
            for share in LATENCY_SHARES:
                found.update({f"{share:.0%} {key}": value for key, value in latency_at(link, queries, share * top[kind], options.seconds).items()})
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
