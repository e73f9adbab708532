# SPDX-License-Identifier: BSD-3-Clause
"""cache: learned answers, on a capture beside those from a zone, and over a veth pair beside other caches."""

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

from bench.common import BenchError, CORES, NAMES, by_turns, figure, need, need_two_cores, rig, say, shown, table
from bench.processes import Noise, off_the_servers_core
from bench.servers import Knot, Pollux, Running, Server, UPSTREAM, wait_until_loaded
from bench.questions import FLAG_RD, TYPE_A, edns, question, write_capture
from bench.zonefiles import write_dump, write_zone
from bench.capture import CAPTURE_FRAMES, CachingPollux
from bench.link import Link, fire

CACHED_NAMES = 10000
# Offered one after the other, so that each server is seen at the rate that suits it best: who polls needs much to do, who
# sleeps in the kernel drowns in too much.
OFFERED_PER_S = (200000, 400000, 700000, 1000000)
# What is asked, with EDNS or not; what begins with "cached" is compared with the same from a zone.
CACHED_OUTCOMES = (
    ("exact A", "h{}.plain.example", False), ("exact A, EDNS", "h{}.plain.example", True), ("NXDOMAIN", "none{}.plain.example", False),
    ("cached exact A", "h{}.cached.example", False), ("cached exact A, EDNS", "h{}.cached.example", True),
    ("cached NXDOMAIN", "none{}.cached.example", False),
)


def bench_capture_cache(options, directory, noise):
    """Answers from the cache beside answers from a zone: one worker, no wire."""
    write_zone(directory / "plain.example.zone", NAMES)
    write_dump(directory / "dump", NAMES)
    captures = {}
    for number, (title, form, with_edns) in enumerate(CACHED_OUTCOMES):
        payloads = (question(form.format(i * 7919 % NAMES), TYPE_A, i, FLAG_RD) for i in range(CAPTURE_FRAMES))
        captures[title] = directory / f"cache{number}.pcap"
        write_capture(captures[title], (edns(payload, False) if with_edns else payload for payload in payloads))
    runs = {title: [] for title in captures}
    running = Running(CachingPollux, directory, {"plain.example": directory / "plain.example.zone"})
    with noise, running as server:
        wait_until_loaded(server, running, options.timeout)
        server.load_cache(directory / "dump", 2 * NAMES)
        for number in range(options.rounds):
            for title, path in captures.items():
                runs[title].append(server.answers(path, options.seconds))
            say(f"round {number + 1} of {options.rounds}: " + ", ".join(f"{title} {one[-1]['cpu_ns']:.0f} ns" for title, one in runs.items()))
    return {title: {**{key: figure([run[key] for run in one], 1) for key in one[0]},
                    "of_zone_rate": figure([a["cpu_ns"] / b["cpu_ns"] for a, b in zip(runs[title.removeprefix("cached ")], one)], 3)}
            for title, one in runs.items()}


class VethPollux(Pollux):
    device = rig.port_device("af_xdp")

    def prepare(self):
        super().prepare()
        with open(self.directory / "pollux.yaml", "a", encoding="ascii") as out:
            out.write(f"forward: {{servers: [{UPSTREAM}]}}\n")


class VethPort(Server):
    """No server at all: what the port itself costs, frames sent back with their addresses swapped."""
    title = "testpmd 5tswap"
    device = VethPollux.device

    def join(self):
        found = rig.run("ip", "-n", self.network.box, "-j", "link", "show", "px0")
        rig.run("ip", "-n", self.network.client, "neighbour", "replace", rig.SERVICE_4, "lladdr", json.loads(found.stdout)[0]["address"],
                "dev", "px1")

    def commands(self):
        return [["dpdk-testpmd", "--no-huge", "-m", "512", "--no-pci", f"--file-prefix={self.network.name}", "-l", f"0,{CORES - 1}",
                 "--main-lcore=0", "--vdev", self.device, "--", "--forward-mode=5tswap", "--nb-cores=1",
                 "--total-num-mbufs=32768", "--no-mlockall", "--stats-period=3600"]]


class Dnsdist(Server):
    title = "dnsdist"

    def prepare(self):
        # Without the last line it would ask its makers whether it is secure.
        (self.directory / "dnsdist.conf").write_text(
            f'setLocal("{rig.SERVICE_4}:53")\nsetACL("198.18.0.0/15")\nnewServer("{UPSTREAM}:53")\n'
            f'getPool(""):setCache(newPacketCache({20 * CACHED_NAMES}, {{maxTTL=86400}}))\nsetSecurityPollSuffix("")\n')

    def commands(self):
        return [["taskset", "-c", str(CORES - 1), "dnsdist", "--supervised", "--disable-syslog", "-C", self.directory / "dnsdist.conf"]]


class Unbound(Server):
    title = "unbound"

    def prepare(self):
        (self.directory / "unbound.conf").write_text(
            f'server:\n  interface: {rig.SERVICE_4}\n  access-control: 198.18.0.0/15 allow\n  num-threads: 1\n  do-daemonize: no\n'
            f'  username: ""\n  chroot: ""\n  directory: "{self.directory}"\n  pidfile: ""\n  use-syslog: no\n  logfile: ""\n'
            f'  module-config: "iterator"\n  msg-cache-size: 128m\n  rrset-cache-size: 128m\n  minimal-responses: yes\n'
            f'remote-control:\n  control-enable: no\nforward-zone:\n  name: "."\n  forward-addr: {UPSTREAM}\n')

    def commands(self):
        return [["taskset", "-c", str(CORES - 1), "unbound", "-d", "-c", self.directory / "unbound.conf"]]


CACHES = {"pollux": VethPollux, "dnsdist": Dnsdist, "unbound": Unbound, "testpmd": VethPort}


class Upstream(Knot):
    """What the caches learn from, in the client's namespace."""

    def prepare(self):
        super().prepare()
        path = self.directory / "knot.conf"
        path.write_text(path.read_text().replace(rig.SERVICE_4, UPSTREAM))

    def start(self):
        box, self.network.box = self.network.box, self.network.client
        try:
            super().start()
        finally:
            self.network.box = box


def warm(server, queries, timeout_s):
    """Every question once and again until none is lost; a server that has just started may take its time."""
    deadline = time.monotonic() + timeout_s
    while True:
        server.check_alive()
        done = subprocess.run(["ip", "netns", "exec", server.network.client, "dnsperf", "-s", rig.SERVICE_4, "-d", str(queries), "-n", "1",
                               "-q", "20", "-t", "1"], capture_output=True, text=True)
        completed = re.search(r"Queries completed:\s*(\d+)", done.stdout)
        good = re.search(r"NOERROR (\d+)", done.stdout)
        if completed and good and int(completed[1]) == int(good[1]) == CACHED_NAMES:
            return
        if time.monotonic() > deadline:
            raise BenchError(f"{server.title} does not answer all questions:\n{done.stdout}{done.stderr}")
        time.sleep(0.3)


def measure_cache(kind, directory, zones, queries, options):
    """A server with everything in its cache, at its best load."""
    running = Running(kind, directory, {"own.example": directory / "own.example.zone"})
    with running as server, Link(server) as link, off_the_servers_core():
        place = Path(tempfile.mkdtemp(prefix="upstream-", dir=directory))
        upstream = Upstream(server.network, place, zones)
        upstream.prepare()
        upstream.start()
        try:
            if kind is VethPort:
                time.sleep(2)
            else:
                warm(server, queries, 60)
                warm(server, queries, 60)
            loads = [fire(link, queries, per_s, options.seconds) for per_s in OFFERED_PER_S]
        finally:
            upstream.stop()
    for one in loads:
        say(f"{kind.title}: " + ", ".join(f"{key} {value:,.2f}" for key, value in one.items()))
    return {**max(loads, key=lambda one: one["per_cpu_s"]), "receiving_counted": "px0" in link.threads}


def bench_veth_cache(options, directory, noise):
    write_zone(directory / "cached.example.zone", CACHED_NAMES)
    write_zone(directory / "own.example.zone", 1)
    queries = directory / "queries"
    queries.write_text("".join(f"h{i * 7919 % CACHED_NAMES}.cached.example A\n" for i in range(CACHED_NAMES)))
    kinds = [CACHES[name] for name in options.servers.split(",")]
    need("kxdpgun", "dnsperf", "knotd", "dnsdist", "unbound", "dpdk-testpmd")
    zones = {"cached.example": directory / "cached.example.zone"}
    found = by_turns(kinds, options.rounds, lambda kind: measure_cache(kind, directory, zones, queries, options), noise)
    own = found.get("Pollux")
    return {title: {**{key: figure([run[key] for run in runs], 4) for key in runs[0]},
                    "pollux_times": figure([a["per_cpu_s"] / b["per_cpu_s"] for a, b in zip(own, runs)] if own else [], 2)}
            for title, runs in found.items()}


def bench_cache(options, directory):
    need_two_cores()
    noise = Noise()
    capture = bench_capture_cache(options, directory, noise) if not options.only or options.only == "capture" else {}
    veth = bench_veth_cache(options, directory, noise) if not options.only or options.only == "veth" else {}
    return {"names": NAMES, "cached_names": CACHED_NAMES, "rounds": options.rounds, "capture": capture, "veth": veth,
            "noise": noise.result(), "verdict": noise.verdict()}


def print_cache(found):
    if found["capture"]:
        print(f"\nOne worker on net_pcap with infinite_rx, {found['names']:,} names, {found['rounds']} rounds: median (least-greatest)\n")
        table(["what", "CPU per packet, ns", "of its rate from a zone", "million/s on the clock"],
              [[title, shown(one["cpu_ns"], 1, 0), shown(one["of_zone_rate"]), shown(one["per_s"], 1e-6)]
               for title, one in found["capture"].items()])
    if found["veth"]:
        print(f"\n{found['cached_names']:,} cached names over one veth pair, each server at the best of "
              f"{len(OFFERED_PER_S)} loads, {found['rounds']} rounds: median (least-greatest)\n")
        table(["server", "thousand answers per CPU second", "Pollux' times that", "us per answer", "of these outside of the kernel", "offered, thousand/s"],
              [[title, shown(one["per_cpu_s"], 1e-3, 0), shown(one["pollux_times"]), shown(one["cpu_us"]), shown(one["user_us"]),
                shown(one["sent_per_s"], 1e-3, 0)] for title, one in found["veth"].items()])
    print(f"\n{found['verdict']}")
