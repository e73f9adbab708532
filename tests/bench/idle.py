# SPDX-License-Identifier: BSD-3-Clause
"""idle: what an appliance costs that nobody asks, and what the first question after silence waits for."""

import time
from pathlib import Path

from bench.common import BenchError, figure, quantile, say, shown, table
from bench.processes import Noise, off_the_servers_core, run_seconds, tree_of
from bench.servers import Pollux, Running, wait_until_loaded
from bench.questions import Asker, answer_times
from bench.zonefiles import write_names
from bench.link import Counters

IDLE_SLEEPS = ("100us", "0")  # the default, and never
SILENCE_S = 0.05
LONG_SILENCE_S = 1.2          # from a second on, naps are longer
BEFORE_S, SILENCE_TRIES = 1.5, 10


def shares_in_silence(network, pids, seconds):
    """Of a core, by process, while no frame comes and none has come for a while. The client's kernel asks for routers now and then."""
    with Counters(network) as counters:
        for _ in range(SILENCE_TRIES):
            heard, since = None, time.monotonic()
            while time.monotonic() < since + BEFORE_S:
                if counters.read() != heard:
                    heard, since = counters.read(), time.monotonic()
                time.sleep(0.05)
            before, began = {pid: run_seconds([pid]) for pid in pids}, time.monotonic()
            time.sleep(seconds)
            elapsed = time.monotonic() - began
            if counters.read() == heard:
                return {pid: (run_seconds([pid]) - before[pid]) / elapsed for pid in pids}
    raise BenchError("somebody sends frames all the time")


def measure_idle(server, running, options):
    wait_until_loaded(server, running, options.timeout)
    with Asker(server.network, "plain.example") as asker:
        while asker.serial() is None:
            server.check_alive()
    pids = [pid for child in server.children for pid in tree_of(child.pid)]
    names = {pid: Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids}
    shares = shares_in_silence(server.network, pids, options.seconds)
    wake = answer_times(server.network, "plain.example", SILENCE_S, 100)
    deep = answer_times(server.network, "plain.example", LONG_SILENCE_S, 4)
    busy = answer_times(server.network, "plain.example", 0.0005, 400)
    if not wake or not deep or not busy:
        raise BenchError("no answers after silence")
    part = lambda word: sum(share for pid, share in shares.items() if word in names[pid])
    return {"share": sum(shares.values()), "dataplane_share": part("dataplan"), "control_share": part("control"),
            "busy_p50_us": quantile(busy, 0.5) * 1e6, "wake_p50_us": quantile(wake, 0.5) * 1e6, "wake_p99_us": quantile(wake, 0.99) * 1e6,
            "deep_p50_us": quantile(deep, 0.5) * 1e6}


def bench_idle(options, directory):
    zone, noise, runs = directory / "plain.example.zone", Noise(), {sleep: [] for sleep in IDLE_SLEEPS}
    write_names(zone, 1000)
    for number in range(options.rounds):
        for sleep, one in runs.items():
            running = Running(type("IdlePollux", (Pollux,), {"idle_sleep": sleep}), directory, {"plain.example": zone})
            with noise, running as server, off_the_servers_core():
                one.append(measure_idle(server, running, options))
            say(f"round {number + 1} of {options.rounds}: idle-sleep {sleep}: " + ", ".join(f"{key} {value:.3f}" for key, value in one[-1].items()))
    return {"rounds": options.rounds, "rows": {sleep: {key: figure([run[key] for run in one], 4) for key in one[0]} for sleep, one in runs.items()},
            "noise": noise.result(), "verdict": noise.verdict()}


def print_idle(found):
    print(f"\nAn appliance that nobody asks, net_af_packet on veth, {found['rounds']} rounds: median (least-greatest); then single questions, us\n")
    table(["idle-sleep", "% of a core", "dataplane", "control", "2,000 a second, median", f"after {SILENCE_S * 1e3:.0f} ms of silence",
           "99 of 100 within", f"after {LONG_SILENCE_S} s"],
          [[sleep, *(shown(row[key], 100, 1) for key in ("share", "dataplane_share", "control_share")),
            *(shown(row[key], 1, 0) for key in ("busy_p50_us", "wake_p50_us", "wake_p99_us", "deep_p50_us"))]
           for sleep, row in found["rows"].items()])
    print(f"\n{found['verdict']}")
