# SPDX-License-Identifier: BSD-3-Clause
"""Name servers under test: their files, their processes, what they cost."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from bench.common import BenchError, CORES, need, rig
from bench.processes import cpu_seconds, kilobytes, tree_of

SAMPLE_EVERY_S = 0.02
NAME_MOST = 17  # octets of 32 that an instance's name may have, behind "bench" and a process number
CLIENT_4 = "198.18.0.1"
UPSTREAM = "198.18.0.2"


class Network:
    """Two namespaces and a veth pair, as the rig makes them; one for each server and round."""

    def __init__(self, name):
        self.rig = rig.Rig(f"bench-{os.getpid()}-{name}")

    def __enter__(self):
        rig.make_network(self.rig)
        return self.rig

    def __exit__(self, *_):
        rig.tear_down(self.rig)


class Server:
    """One name server under test: its files, its processes, what they cost."""
    title = ""

    def __init__(self, network, directory, zones):
        self.network, self.directory, self.zones, self.children = network, directory, zones, []

    def prepare(self):
        """Writes the configuration."""

    def commands(self):
        """Command lines; the first process is the one that loads."""
        raise NotImplementedError

    def join(self):
        """For a server above the kernel: the address on the link, and ARP as usual."""
        box = self.network.box
        rig.run("ip", "netns", "exec", box, "sysctl", "-qw", "net.ipv4.conf.px0.arp_ignore=0")
        rig.run("ip", "-n", box, "address", "add", f"{rig.SERVICE_4}/24", "dev", "px0")

    def start(self):
        """In one session with the bench: where each session has its share of the cores (sched_autogroup), a server's processes are to
        share theirs like those of one service."""
        log = open(self.directory / "log", "ab")
        for command in self.commands():
            self.children.append(subprocess.Popen(["ip", "netns", "exec", self.network.box, *map(str, command)],
                                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0))
        log.close()

    def settle(self, link):
        """Called once it answers over the link, before it is loaded."""

    def check_alive(self):
        for child in self.children:
            if child.poll() is not None:
                tail = (self.directory / "log").read_text(errors="replace").splitlines()[-12:]
                raise BenchError(f"{self.title} ended with status {child.returncode}:\n" + "\n".join(tail))

    def loaders(self):
        return tree_of(self.children[0].pid)

    def cpu_s(self):
        return cpu_seconds(self.loaders())

    def resident_bytes(self):
        """Pages that several processes of one server share count once."""
        return sum(kilobytes(pid, "smaps_rollup", "Pss") for pid in self.loaders()) * 1024

    def sample_bytes(self):
        """What resident_bytes() says, as far as it can be had while the server works."""
        return max((kilobytes(pid, "status", "VmHWM") for pid in self.loaders()), default=0) * 1024

    def stop(self):
        for sign, patience_s in ((signal.SIGTERM, 20), (signal.SIGKILL, 20)):
            for child in self.children:
                if child.poll() is None:
                    child.send_signal(sign)
            deadline = time.monotonic() + patience_s
            for child in self.children:
                try:
                    child.wait(max(0.01, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    pass


class Pollux(Server):
    title = "Pollux"
    device = rig.port_device("af_packet")
    idle_sleep = "100us"

    def join(self):
        pass  # the dataplane has the address

    def prepare(self):
        (self.directory / "run").mkdir()
        name = self.network.name
        self.socket = self.directory / "run" / "control.sock"
        zones = "".join(f"  - {{name: {origin}, file: {path}}}\n" for origin, path in self.zones.items()) \
            if isinstance(self.zones, dict) else ""
        lcore = CORES - 1
        (self.directory / "pollux.yaml").write_text(
            f"name: {name}\nruntime-dir: {self.directory}/run\ncontrol-socket: {self.socket}\nshared-memory: auto\n"
            f"dataplane: {{lcores: [{lcore}], main-lcore: 0, idle-sleep: {self.idle_sleep}}}\n"
            f"ports:\n  - {{device: \"{self.device}\", addresses: [{rig.SERVICE_4}/24, \"{rig.SERVICE_6}/64\"]}}\n"
            f"log: {{target: stderr}}\n" + (f"zones:\n{zones}" if zones else f"zone-list: {self.zones}\n"))

    def commands(self):
        config = self.directory / "pollux.yaml"
        return [[rig.binary("pollux-control"), "--config", config], [rig.binary("pollux-dataplane"), "--config", config]]

    def region_bytes(self):
        return sum(path.stat().st_blocks * 512 for directory in rig.region_directories(self.network)
                   for path in directory.glob("zones*"))

    def resident_bytes(self):
        pid = self.children[0].pid
        return (kilobytes(pid, "status", "RssAnon") + kilobytes(pid, "status", "RssFile")) * 1024 + self.region_bytes()

    sample_bytes = resident_bytes

    def ctl(self, *words):
        done = subprocess.run([rig.binary("polluxctl"), "--socket", str(self.socket), "--json", *words],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise BenchError(f"polluxctl {' '.join(words)}: {done.stderr.strip()}")
        return json.loads(done.stdout)


class Knot(Server):
    title = "Knot"

    def prepare(self):
        (self.directory / "db").mkdir()
        zones = "".join(f"  - domain: {origin}\n    file: {path}\n" for origin, path in pairs_of(self.zones))
        (self.directory / "knot.conf").write_text(
            f"server:\n  rundir: {self.directory}\n  user: root\n  listen: {rig.SERVICE_4}@53\n"
            f"log:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: {self.directory}/db\n"
            "template:\n  - id: default\n    zonefile-sync: -1\n    zonefile-load: whole\n    journal-content: none\n"
            f"    semantic-checks: off\nzone:\n{zones}")

    def commands(self):
        return [["knotd", "-c", self.directory / "knot.conf"]]


class Nsd(Server):
    title = "NSD"

    def prepare(self):
        zones = "".join(f'zone:\n  name: {origin}\n  zonefile: "{path}"\n' for origin, path in pairs_of(self.zones))
        (self.directory / "nsd.conf").write_text(
            f'server:\n  ip-address: {rig.SERVICE_4}\n  username: ""\n  chroot: ""\n  database: ""\n'
            f'  zonesdir: "{self.directory}"\n  pidfile: "{self.directory}/pid"\n  xfrdfile: "{self.directory}/xfrd"\n'
            f'  zonelistfile: "{self.directory}/zones"\n  xfrdir: "{self.directory}"\n  server-count: 1\n'
            f"remote-control:\n  control-enable: no\n{zones}")

    def commands(self):
        return [["nsd", "-d", "-c", self.directory / "nsd.conf"]]


class Bind(Server):
    title = "BIND"

    def prepare(self):
        zones = "".join(f'zone "{origin}" {{ type primary; file "{path}"; check-names ignore; }};\n'
                        for origin, path in pairs_of(self.zones))
        (self.directory / "named.conf").write_text(
            f'options {{ directory "{self.directory}"; pid-file "{self.directory}/pid"; listen-on {{ {rig.SERVICE_4}; }};\n'
            f'  listen-on-v6 {{ none; }}; recursion no; session-keyfile "{self.directory}/key"; notify no; }};\n'
            f"controls {{ }};\n{zones}")

    def commands(self):
        return [["named", "-f", "-c", self.directory / "named.conf"]]


PEERS = {"pollux": Pollux, "knot": Knot, "nsd": Nsd, "bind": Bind}


def pairs_of(zones):
    """Origins and files, from a dictionary or a zone list."""
    if isinstance(zones, dict):
        return zones.items()
    return (line.rstrip("\n").split("\t") for line in open(zones, encoding="ascii"))


class Sampler(threading.Thread):
    """The greatest memory of a server while it loads."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.greatest, self.over = server, 0, threading.Event()

    def run(self):
        while not self.over.wait(SAMPLE_EVERY_S):
            self.greatest = max(self.greatest, self.server.sample_bytes())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.greatest = max(self.greatest, self.server.sample_bytes())


class Running:
    """A server in a network of its own, from the start to the last trace."""

    def __init__(self, kind, directory, zones):
        self.kind, self.zones = kind, zones
        name = re.sub("[^a-z0-9]+", "-", kind.title.lower())[:NAME_MOST].strip("-")
        self.place = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=directory))
        self.network = Network(name)

    def __enter__(self):
        self.server = self.kind(self.network.__enter__(), self.place, self.zones)
        try:
            self.server.prepare()
            self.server.join()
            self.began = time.monotonic()
            self.server.start()
        except BaseException:
            self.__exit__()
            raise
        return self.server

    def __exit__(self, *_):
        try:
            self.server.stop()
        finally:
            self.network.__exit__()
            shutil.rmtree(self.place, ignore_errors=True)


def wait_until_loaded(server, running, timeout_s):
    while True:
        server.check_alive()
        if server.socket.exists():
            try:
                if server.ctl("status")["zones"]["complete"]:
                    return
            except BenchError:
                pass  # it does not listen yet
        if time.monotonic() - running.began > timeout_s:
            raise BenchError(f"Pollux has not loaded its zones within {timeout_s} s")
        time.sleep(0.02)


def chosen(options):
    kinds = [PEERS[name] for name in options.servers.split(",")]
    for kind, program in ((Knot, "knotd"), (Nsd, "nsd"), (Bind, "named")):
        if kind in kinds:
            need(program)
    return kinds
