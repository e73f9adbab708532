# SPDX-License-Identifier: BSD-3-Clause
"""A veth pair with server and client on a core each: who is loaded there, and what loads them."""

import contextlib
import json
import math
import os
import re
import subprocess
import time
from pathlib import Path

from bench.common import BenchError, CORES, NAMES, need, rig
from bench.servers import Knot, Nsd, Pollux, Running, run_seconds, tree_of, user_seconds
from bench.questions import Asker, write_questions
from bench.zonefiles import write_names


class XdpPollux(Pollux):
    title = "Pollux, AF_XDP"
    device = rig.port_device("af_xdp")

    def commands(self):
        """Control off the worker's core, on which it would wait for slices of time."""
        control, dataplane = super().commands()
        return [["taskset", "-c", f"0-{CORES - 2}", *control], dataplane]


class NappingPollux(XdpPollux):
    """Lets packets gather while it naps: larger bursts, of which each costs the kernel one call."""
    title = "Pollux, AF_XDP, naps"
    idle_sleep = "100us, idle-after: 0"


class PacketPollux(XdpPollux):
    title = "Pollux, AF_PACKET"
    device = Pollux.device


class PinnedKnot(Knot):
    title = "Knot, sockets"
    more = ""

    def prepare(self):
        super().prepare()
        path = self.directory / "knot.conf"
        path.write_text(path.read_text().replace("server:\n", "server:\n  udp-workers: 1\n  tcp-workers: 1\n", 1) + self.more)

    def commands(self):
        return [["taskset", "-c", str(CORES - 1), *super(PinnedKnot, self).commands()[0]]]


class XdpKnot(PinnedKnot):
    title = "Knot, XDP"
    more = "xdp:\n  listen: px0\n"


class PinnedNsd(Nsd):
    title = "NSD, sockets"

    def commands(self):
        return [["taskset", "-c", str(CORES - 1), *super().commands()[0]]]


VETH_SERVERS = {"pollux-xdp": XdpPollux, "pollux-xdp-naps": NappingPollux, "pollux-packet": PacketPollux, "knot-xdp": XdpKnot, "knot": PinnedKnot, "nsd": PinnedNsd}


def among(options, servers):
    names = options.servers.split(",")
    for name in names:
        if name not in servers:
            raise BenchError(f"no server '{name}'; there are {', '.join(servers)}")
    for name, program in (("knot", "knotd"), ("nsd", "nsd")):
        if any(name in one for one in names):
            need(program)
    return [servers[name] for name in names]


def receive_in_threads(network):
    """Each end of the link receives in a kernel thread of its own, off the server's core; the one of the server's end, or None. What
    the kernel does for a server to receive is counted with its own time, whoever's core it happens on."""
    found = None
    for namespace, device in ((network.box, "px0"), (network.client, "px1")):
        inside = ["ip", "netns", "exec", namespace]
        subprocess.run([*inside, "ethtool", "-K", device, "gro", "on"], capture_output=True)
        subprocess.run([*inside, "sh", "-c", f"echo 1 > /sys/class/net/{device}/threaded"], capture_output=True)
        for path in Path("/proc").glob("[0-9]*/comm"):
            try:
                if not path.read_text().startswith(f"napi/{device}-"):
                    continue
                pid = int(path.parent.name)
                os.sched_setaffinity(pid, set(range(CORES - 1)))
                os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0))
                found = pid if device == "px0" else found
            except OSError:
                pass
    return found


def frames_sent(network):
    """By the server's end of the link: what it answered, whatever the client has ears for."""
    done = rig.run("ip", "-n", network.box, "-s", "-j", "link", "show", "px0")
    return json.loads(done.stdout)[0]["stats64"]["tx"]["packets"]


def read_kxdpgun(text):
    """How many questions it sent and answers it heard; None when it sent none."""
    sent, heard = (re.search(rf"^total {what}:\s*(\d+)", text, re.M) for what in ("queries", "replies"))
    return {"sent": int(sent[1]), "heard": int(heard[1])} if sent and heard and int(sent[1]) else None


def read_dnsperf(text):
    """What it counted; None when it did not come that far."""
    found = {key: re.search(rf"^\s*{words}:\s*([\d.]+)", text, re.M) for key, words in (
        ("sent", "Queries sent"), ("completed", "Queries completed"), ("lost", "Queries lost"), ("run_s", r"Run time \(s\)"),
        ("per_s", "Queries per second"))}
    if not all(found[key] for key in ("sent", "completed", "per_s")):
        return None
    return {key: float(match[1]) if match else 0.0 for key, match in found.items()}


def from_client(network, *command):
    return ["ip", "netns", "exec", network.client, "taskset", "-c", "0", *map(str, command)]


def shooting(network, command):
    """kxdpgun, when answers to it have begun to flow; it needs about a second for that. The kernel may still clear away the socket
    of the run before."""
    patience = time.monotonic() + 10
    while True:
        before, began = frames_sent(network), time.monotonic()
        gun = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while gun.poll() is None and time.monotonic() < began + 3 and frames_sent(network) < before + 1000:
            time.sleep(0.02)
        if gun.poll() is None:
            time.sleep(0.2)
            return gun
        said = gun.stdout.read()
        gun.stdout.close()
        if "busy" not in said or time.monotonic() > patience:
            raise BenchError(f"kxdpgun ended: {said}")
        time.sleep(0.1)


def fire(server, queries, per_s, seconds, napi):
    """One load on a warm cache, looked at in its middle: answers, and the CPU seconds of the server for them."""
    pids = [*(pid for child in server.children for pid in tree_of(child.pid)), *([napi] if napi else [])]
    now = lambda: (time.monotonic(), frames_sent(server.network), run_seconds(pids), run_seconds([napi] if napi else []), user_seconds(pids))
    command = ["ip", "netns", "exec", server.network.client, "kxdpgun", "-t", str(math.ceil(seconds) + 1), "-Q", str(per_s), "-i", str(queries),
               "-I", "px1", "-F", "0s1", rig.SERVICE_4]
    sent_before = frames_sent(server.network)
    gun = shooting(server.network, command)
    before = now()
    time.sleep(seconds)
    elapsed, answered, cpu_s, napi_s, user_s = (b - a for a, b in zip(before, now()))
    said = gun.communicate(timeout=30)[0]
    shot = read_kxdpgun(said)
    if not shot or not answered:
        raise BenchError(f"{server.title}: kxdpgun got nothing: {said}")
    left_out = 1 - (frames_sent(server.network) - sent_before) / shot["sent"]  # by the server, not by the client's ears
    return {"sent_per_s": shot["sent"] / (math.ceil(seconds) + 1), "answered_per_s": answered / elapsed,
            "lost": 1 - shot["heard"] / shot["sent"], "unanswered": max(0.0, left_out),
            "cpu_share": cpu_s / elapsed, "receiving_share": napi_s / elapsed, "user_us": user_s / answered * 1e6, "cpu_us": cpu_s / answered * 1e6, "per_cpu_s": answered / cpu_s}


@contextlib.contextmanager
def veth_server(kind, directory, zones, options):
    """On a core of its own, with the kernel's receiving threads on another; it answers already."""
    running = Running(kind, directory, zones)
    with running as server:
        napi = receive_in_threads(server.network)
        with Asker(server.network, next(iter(zones))) as asker:
            while asker.serial(0.05) is None:
                server.check_alive()
                if time.monotonic() - running.began > options.timeout:
                    raise BenchError(f"{kind.title} did not answer within {options.timeout} s")
        yield server, napi


def veth_zones(directory):
    write_names(directory / "plain.example.zone", NAMES)
    write_questions(directory / "questions", NAMES, "plain.example")
    return {"plain.example": directory / "plain.example.zone"}
