# SPDX-License-Identifier: BSD-3-Clause
"""A veth pair with server and client on a core each: who is loaded there, and what loads them."""

import contextlib
import math
import os
import re
import subprocess
import time
from pathlib import Path

from bench.common import BenchError, CORES, NAMES, need, rig
from bench.processes import keep_on_the_servers_core, off_the_servers_core, run_seconds, tree_of, user_seconds
from bench.servers import Knot, Nsd, Pollux, Running
from bench.questions import Asker, write_questions
from bench.zonefiles import write_names

MARGIN_S = 0.1  # at both ends of a load


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

    def settle(self, link):
        """Its workers choose cores themselves, the first one that of the client."""
        keep_on_the_servers_core(self.children)


class XdpKnot(PinnedKnot):
    title = "Knot, XDP"
    more = "xdp:\n  listen: px0\n"


class PinnedNsd(Nsd):
    title = "NSD, sockets"

    def commands(self):
        return [["taskset", "-c", str(CORES - 1), *super().commands()[0]]]


class OneCore:
    """Put before a server: the kernel's thread that receives for it works on its core, too, and nothing of it on the client's."""

    def settle(self, link):
        super().settle(link)
        if "px0" not in link.threads:
            raise BenchError(f"{self.title}: this kernel has no threads that receive for a veth pair; leave it out with --servers")
        os.sched_setaffinity(link.threads["px0"], {CORES - 1})


class OneCorePollux(OneCore, XdpPollux):
    title = XdpPollux.title + ", one core"


class OneCoreNappingPollux(OneCore, NappingPollux):
    title = NappingPollux.title + ", one core"


class OneCoreKnot(OneCore, XdpKnot):
    title = XdpKnot.title + ", one core"


VETH_SERVERS = {"pollux-xdp": XdpPollux, "pollux-xdp-naps": NappingPollux, "pollux-packet": PacketPollux, "knot-xdp": XdpKnot, "knot": PinnedKnot,
                "nsd": PinnedNsd}
ONE_CORE_SERVERS = {"pollux-xdp-one-core": OneCorePollux, "pollux-xdp-naps-one-core": OneCoreNappingPollux, "knot-xdp-one-core": OneCoreKnot}


def among(options, servers):
    names = options.servers.split(",")
    for name in names:
        if name not in servers:
            raise BenchError(f"no server '{name}'; there are {', '.join(servers)}")
    for name, program in (("knot", "knotd"), ("nsd", "nsd")):
        if any(name in one for one in names):
            need(program)
    return [servers[name] for name in names]


def receiving_threads():
    """Kernel threads that receive for the ends of veth pairs: pid and interface."""
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            found = re.match("napi/(px[01])-", path.read_text())
            if found:
                yield int(path.parent.name), found[1]


def receive_in_threads(network):
    """Each end of the link receives in a kernel thread of its own, on the client's core: interface -> pid."""
    of_others = {pid for pid, _ in receiving_threads()}
    for namespace, device in ((network.box, "px0"), (network.client, "px1")):
        inside = ["ip", "netns", "exec", namespace]
        subprocess.run([*inside, "ethtool", "-K", device, "gro", "on"], capture_output=True)
        subprocess.run([*inside, "sh", "-c", f"echo 1 > /sys/class/net/{device}/threaded"], capture_output=True)
    found = {device: pid for pid, device in receiving_threads() if pid not in of_others}
    for pid in found.values():
        os.sched_setaffinity(pid, set(range(CORES - 1)))
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, 0))
    return found


def interface_counts(text, device):
    """A line of /proc/net/dev: frames received, sent, and dropped on either way."""
    fields = re.search(rf"^\s*{device}:(.*)$", text, re.M)[1].split()
    return {"received": int(fields[1]), "receive_drops": int(fields[3]), "sent": int(fields[9]), "send_drops": int(fields[11])}


class Counters:
    """What comes and goes at the server's end of the veth pair, kept open: to look there costs no process."""

    def __init__(self, network):
        with rig.inside(network.box):
            self.file = open("/proc/thread-self/net/dev", encoding="ascii")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def read(self):
        self.file.seek(0)
        return interface_counts(self.file.read(), "px0")


class Link:
    """A server at its end of the veth pair: what comes and goes there, and what it costs. What the kernel does for it to receive is
    counted with its own time, on whoever's core it happens."""

    def __init__(self, server):
        self.server, self.network = server, server.network
        self.threads = receive_in_threads(self.network)
        self.counters = Counters(self.network)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.counters.__exit__()

    def frames(self):
        """Those that came, and those that the server sent, whether or not the client had room for them."""
        counts = self.counters.read()
        return counts["received"], counts["sent"] + counts["send_drops"]

    def spent(self):
        """CPU seconds of the server by now: all, of these for receiving, and outside of the kernel."""
        pids = [pid for child in self.server.children for pid in tree_of(child.pid)]
        receiving = run_seconds([self.threads["px0"]]) if "px0" in self.threads else 0.0
        return run_seconds(pids) + receiving, receiving, user_seconds(pids)


def since(before, after):
    return [b - a for a, b in zip(before, after)]


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


def dnsperf(link, queries, seconds, *more):
    """Answers, answers a second, and the share that was lost. It waits for answers, and so finds its rate by itself."""
    done = subprocess.run(from_client(link.network, "dnsperf", "-s", rig.SERVICE_4, "-d", queries, "-l", math.ceil(seconds), *more),
                          capture_output=True, text=True)
    told = read_dnsperf(done.stdout)
    if not told:
        raise BenchError(f"{link.server.title}: dnsperf got nothing:\n{done.stdout[-600:]}{done.stderr[-600:]}")
    return told["completed"], told["per_s"], 1 - told["completed"] / max(1, told["sent"])


def measured(link, ask):
    """What ask() was told, and what the server spent for it."""
    before = link.spent()
    answered, per_s, lost = ask()
    cpu_s, receiving_s, _ = since(before, link.spent())
    if not answered:
        raise BenchError(f"{link.server.title} answers nothing")
    return {"per_s": per_s, "cpu_us": cpu_s / answered * 1e6, "receiving_us": receiving_s / answered * 1e6, "lost": lost}


@contextlib.contextmanager
def shooting(link, queries, per_s, seconds):
    """kxdpgun fires for so long, and answers have begun to flow; it needs about a second for that, and another one at its end that
    nobody waits for here. The kernel may still clear away the socket of the run before."""
    command = ["ip", "netns", "exec", link.network.client, "kxdpgun", "-t", f"{seconds:.2f}", "-Q", str(int(per_s)), "-i", str(queries),
               "-I", "px1", "-F", "0s1", rig.SERVICE_4]
    patience = time.monotonic() + 10
    while True:
        (_, before), began = link.frames(), time.monotonic()
        gun = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            while gun.poll() is None and time.monotonic() < began + 3 and link.frames()[1] < before + 1000:
                time.sleep(0.01)
            if gun.poll() is None:
                yield
                return
        finally:
            gun.kill()
            said = gun.communicate()[0]
            # It would go on catching what comes for others.
            rig.run("ip", "-n", link.network.client, "link", "set", "px1", "xdp", "off", check=False)
        if "busy" not in said or time.monotonic() > patience:
            raise BenchError(f"{link.server.title}: kxdpgun ended: {said}")
        time.sleep(0.1)


def fire(link, queries, per_s, seconds):
    """One load, looked at in its middle for what it costs, and as a whole for what is not answered."""
    whole = link.frames()
    now = lambda: (time.monotonic(), *link.frames(), *link.spent())
    with shooting(link, queries, per_s, seconds + 2 * MARGIN_S):
        time.sleep(MARGIN_S)
        before = now()
        time.sleep(seconds)
        elapsed, asked, answered, cpu_s, receiving_s, user_s = since(before, now())
        last, patience = None, time.monotonic() + 2
        while last != link.frames() and time.monotonic() < patience:
            last = link.frames()
            time.sleep(2 * MARGIN_S / 3)
    all_asked, all_answered = since(whole, link.frames())
    if not answered:
        raise BenchError(f"{link.server.title}: no answers at {per_s:,} questions a second")
    return {"offered_per_s": per_s, "sent_per_s": asked / elapsed, "answered_per_s": answered / elapsed,
            "unanswered": max(0.0, 1 - all_answered / all_asked), "cpu_share": cpu_s / elapsed, "cpu_us": cpu_s / answered * 1e6,
            "receiving_us": receiving_s / answered * 1e6, "user_us": user_s / answered * 1e6, "per_cpu_s": answered / cpu_s}


@contextlib.contextmanager
def veth_server(kind, directory, zones, options):
    """The link to one on a core of its own, with the kernel's receiving threads on another; it answers already."""
    running = Running(kind, directory, zones)
    with running as server, Link(server) as link, off_the_servers_core():
        with Asker(server.network, next(iter(zones))) as asker:
            while asker.serial(0.05) is None:
                server.check_alive()
                if time.monotonic() - running.began > options.timeout:
                    raise BenchError(f"{kind.title} did not answer within {options.timeout} s")
        server.settle(link)
        yield link


def veth_zones(directory):
    write_names(directory / "plain.example.zone", NAMES)
    write_questions(directory / "questions", NAMES, "plain.example")
    return {"plain.example": directory / "plain.example.zone"}
