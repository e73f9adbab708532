# SPDX-License-Identifier: BSD-3-Clause
"""tcp: answers over kept connections, and over one for each question."""

import json
import math
import subprocess

from bench.common import BenchError, CORES, NAMES, by_turns, figure, helper, need, need_two_cores, ratios, rig, shown, table
from bench.processes import Noise
from bench.link import PacketPollux, PinnedKnot, PinnedNsd, XdpPollux, among, dnsperf, from_client, measured, veth_server, veth_zones

TCP_CLIENTS = 16
TCP_IN_FLIGHT = 16      # of a kept connection
TCP_FIXED_PER_S = 50000 # what all of them bear


class TcpPollux(XdpPollux):
    """All of it on the server's core, like the others: a worker and control make room for each other there."""

    def commands(self):
        control, dataplane = super(XdpPollux, self).commands()
        return [["taskset", "-c", str(CORES - 1), *control], dataplane]


class TcpPacketPollux(TcpPollux):
    title = PacketPollux.title
    device = PacketPollux.device


TCP_SERVERS = {"pollux": TcpPollux, "pollux-packet": TcpPacketPollux, "knot": PinnedKnot, "nsd": PinnedNsd}


def ask_kept(link, queries, seconds, *more):
    return dnsperf(link, queries, seconds, "-m", "tcp", "-c", TCP_CLIENTS, "-q", TCP_CLIENTS * TCP_IN_FLIGHT, "-t", 2, *more)


def ask_steadily(link, queries, seconds):
    return ask_kept(link, queries, seconds, "-Q", TCP_FIXED_PER_S)


def ask_fresh(link, _, seconds):
    """dnsperf opens one connection after the other."""
    done = subprocess.run(from_client(link.network, helper("tcp_client"), rig.SERVICE_4, math.ceil(seconds), TCP_CLIENTS, NAMES, "plain.example",
                                      *(f"198.18.0.{1 + i}" for i in range(rig.CLIENT_ADDRESSES))), capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"{link.server.title}: tcp_client: {done.stderr.strip()}")
    told = json.loads(done.stdout)
    return told["answered"], told["answered"] / told["seconds"], told["failed"] / max(1, told["answered"] + told["failed"])


TCP_WAYS = (("kept", "kept connections", ask_kept), ("steady", f"the same, {TCP_FIXED_PER_S:,} a second", ask_steadily),
            ("fresh", "a connection for each question", ask_fresh))


def reuse_ports(network):
    """A client that opens thousands of connections a second."""
    rig.run("ip", "netns", "exec", network.client, "sysctl", "-qw", "net.ipv4.tcp_tw_reuse=1", "net.ipv4.ip_local_port_range=1024 65535")


def bench_tcp(options, directory):
    need_two_cores()
    need("dnsperf")
    kinds, noise = among(options, TCP_SERVERS), Noise(by_clock=True)
    zones, queries = veth_zones(directory), directory / "questions"

    def measure(kind):
        with veth_server(kind, directory, zones, options) as link:
            reuse_ports(link.network)
            found = {}
            for way, _, ask in TCP_WAYS:
                told = measured(link, lambda: ask(link, queries, options.seconds))
                found.update({f"{way}_{key}": value for key, value in told.items()})
            return found

    found = by_turns(kinds, options.rounds, measure, noise)
    times = lambda title, way, what: ratios(found, TcpPollux.title, f"{way}_{what}")[title]
    return {"rounds": options.rounds, "rows": {title: {
        **{key: figure([run[key] for run in runs], 4) for key in runs[0]},
        **{f"{way}_pollux_times": times(title, way, "per_s") for way, *_ in TCP_WAYS},
        **{f"{way}_pollux_times_cpu": times(title, way, "cpu_us") for way, *_ in TCP_WAYS}}
        for title, runs in found.items()}, "noise": noise.result(), "verdict": noise.verdict()}


def print_tcp(found):
    print(f"\nTCP over one veth pair, server and client on a core each, {TCP_CLIENTS} clients (dnsperf; connections for each question: our own), "
          f"{found['rounds']} rounds: median (least-greatest)\n")
    table(["server", "way", "thousand answers/s", "Pollux' times that", "CPU per answer, us", "Pollux' times that", "of these receiving", "lost, %"],
          [[title, text, shown(row[f"{way}_per_s"], 1e-3, 1), shown(row[f"{way}_pollux_times"]), shown(row[f"{way}_cpu_us"]),
            shown(row[f"{way}_pollux_times_cpu"]), shown(row[f"{way}_receiving_us"]), shown(row[f"{way}_lost"], 100, 1)]
           for way, text, _ in TCP_WAYS for title, row in found["rows"].items()])
    print(f"\nCPU of the servers' processes and of the kernel's receiving thread, which is on the client's core. Pollux' worker polls, whatever "
          f"there is to do. {found['verdict']}")
