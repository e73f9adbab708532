# SPDX-License-Identifier: BSD-3-Clause
"""limit, answers: one worker on a capture that never ends, so that no NIC, wire or client is in the way."""

import os
import re
import shutil
import signal
import subprocess
import time

from bench.common import BenchError, CORES, NAMES, figure, need, need_two_cores, rig, say, shown, table
from bench.processes import Noise, thread_seconds
from bench.servers import Pollux, Running, UPSTREAM, wait_until_loaded
from bench.questions import COOKIE, FLAG_RD, edns, question, service_address, write_capture
from bench.zonefiles import sign_zone, write_dump, write_names, write_rules, write_zone

CAPTURE_FRAMES = 4096
CAPTURE_DEVICE = "net_pcap{},rx_pcap={},infinite_rx=1"
# What is asked: the outcome, the zone, the name of question i, its type, EDNS (None, or the DO bit); then what is special about it:
# over which protocol, a client's cookie, access lists.
OUTCOMES = (
    ("exact A", "plain", "h{}", 1, None),
    ("exact A, EDNS", "plain", "h{}", 1, False),
    ("exact A, cookie", "plain", "h{}", 1, False, "cookie"),
    ("exact A, IPv6", "plain", "h{}", 1, None, "IPv6"),
    ("exact A, VLAN", "plain", "h{}", 1, None, "VLAN"),
    ("exact A, access lists", "plain", "h{}", 1, None, "access"),
    ("NXDOMAIN", "plain", "none{}", 1, None),
    ("NODATA", "plain", "h{}", 15, None),
    ("referral with glue", "plain", "www.d{}", 1, None),
    ("wildcard", "plain", "any{}.w", 1, None),
    ("CNAME in the zone", "plain", "c{}", 1, None),
    ("exact A among rules", "plain", "h{}", 1, None),
    ("rule of a name", "rules", "h{}", 1, None),
    ("rule of a pattern", "octets", "workstation{}", 1, None),
    ("rule of a suffix: NXDOMAIN", "rules", "www.ads{}", 1, None),
    ("cached exact A", "cached", "h{}", 1, None),
    ("cached NXDOMAIN", "cached", "none{}", 1, None),
    ("exact A, signed", "nsec", "h{}", 1, True),
    ("NXDOMAIN, NSEC", "nsec", "none{}", 1, True),
    ("NXDOMAIN, NSEC3", "nsec3", "none{}", 1, True),
)
SIGNED_NAMES = 1000
NOT_ZONES = ("plain", "rules", "octets", "cached")  # of names below all but the first, no zone is signed
ACCESS_LISTS = 'access: {query: ["!198.18.0.128/25", "!2001:db8:66::/48", any]}\n'


def make_captures(directory, outcomes, names, write_plain):
    """The zones and, for each outcome, a capture of questions."""
    write_plain(directory / "plain.example.zone", names)
    write_rules(directory / "rules", names)
    signed = {zone for _, zone, *_ in outcomes} - set(NOT_ZONES)
    for zone in signed:
        write_zone(directory / f"{zone}.to-sign", SIGNED_NAMES)
        sign_zone(directory, f"{zone}.example", directory / f"{zone}.to-sign", *(["-3", "-", "-H", "0"] if zone == "nsec3" else []))
    for number, (_, zone, form, rrtype, do, *special) in enumerate(outcomes):
        count = {"plain": names, "cached": names, "rules": names // 2, "octets": 256}.get(zone, SIGNED_NAMES)
        questions = []
        for i in range(CAPTURE_FRAMES):
            payload = question(form.format(i * 7919 % count) + f".{zone}.example", rrtype, i, FLAG_RD if zone == "cached" else 0)
            questions.append(payload if do is None else edns(payload, do, COOKIE if "cookie" in special else b""))
        over = next((one for one in special if one in ("IPv6", "VLAN")), "IPv4")
        write_capture(directory / f"{number}.pcap", questions, over=over)
    return {f"{zone}.example": directory / f"{zone}.example.zone" for zone in {"plain", *signed}}


def spent(before, after, workers=1):
    """By the busiest threads."""
    return sum(sorted(seconds - before.get(thread, 0) for thread, seconds in after.items())[-workers:])


class CapturePollux(Pollux):
    """Control once, and a dataplane for each capture."""
    idle_sleep = "0"
    mbufs = 32768

    def start(self):
        super_commands = self.commands
        self.commands = lambda: super_commands()[:1]
        super().start()

    def answers(self, captures, seconds):
        """Of one worker for each capture, on a port of its own; the first one on the last core, the next on the one before."""
        captures = captures if isinstance(captures, list) else [captures]
        config = self.directory / "capture.yaml"
        text = (self.directory / "pollux.yaml").read_text().replace(self.device, CAPTURE_DEVICE.format(0, captures[0]))
        more = "".join(f"  - {{device: \"{CAPTURE_DEVICE.format(port, captures[port])}\", addresses: [{service_address(port)}/24]}}\n"
                       for port in range(1, len(captures)))
        text = text.replace("log: ", f"{more}log: ", 1)
        lcores = ", ".join(str(CORES - 1 - port) for port in range(len(captures)))
        config.write_text(text.replace(f"lcores: [{CORES - 1}]", f"mbufs: {self.mbufs}, lcores: [{lcores}]"))
        log = open(self.directory / "log", "ab")
        child = subprocess.Popen(["ip", "netns", "exec", self.network.box, rig.binary("pollux-dataplane"), "--config", str(config)],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        log.close()
        self.children.append(child)
        try:
            return self.rate(child, seconds, len(captures))
        finally:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            self.children.remove(child)

    def use(self, more):
        """Rules, access lists; these lines of the configuration and no others of the kind. They lie in shared memory, like zones."""
        config = self.directory / "pollux.yaml"
        text = re.sub(r"(overrides-file|access): .*\n", "", config.read_text())
        config.write_text(text + more)
        self.ctl("config", "reload")

    def counts(self):
        stats = self.ctl("stats")
        if not stats["dataplane"]["alive"]:
            return {"received": 0, "answered": 0}
        return {key: sum(worker["sums"][key] for worker in stats["workers"]) for key in ("received", "answered")}

    def rate(self, child, seconds, workers):
        deadline = time.monotonic() + 20
        while self.counts()["answered"] == 0:
            self.check_alive()
            if time.monotonic() > deadline:
                raise BenchError(f"the dataplane answers nothing: {self.ctl('stats')['sums']}")
            time.sleep(0.05)
        time.sleep(0.3)
        before, cpu_before, began = self.counts(), thread_seconds(child.pid), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, ended = self.counts(), thread_seconds(child.pid), time.monotonic()
        answered, received = (after[key] - before[key] for key in ("answered", "received"))
        if answered < 0.99 * received:
            raise BenchError(f"only {answered} of {received} questions were answered")
        return {"cpu_ns": spent(cpu_before, cpu_after, workers) / answered * 1e9, "per_s": answered / (ended - began)}


class InHugePages:
    """Shared memory in huge pages: a tmpfs of its own that gives them."""

    def prepare(self):
        super().prepare()
        self.memory = self.directory / "memory"
        self.memory.mkdir()
        rig.run("mount", "-t", "tmpfs", "-o", "size=95%,huge=always", "pollux-bench", str(self.memory))
        path = self.directory / "pollux.yaml"
        path.write_text(path.read_text().replace("shared-memory: auto", f"shared-memory: {self.memory}"))

    def stop(self):
        super().stop()
        rig.run("umount", "-l", str(self.memory), check=False)


class CachingPollux(CapturePollux):
    more = f"forward: {{servers: [{UPSTREAM}], via: management}}\ncache: {{size: 256MiB, negative-max-ttl: 1d}}\n"

    def prepare(self):
        super().prepare()
        with open(self.directory / "pollux.yaml", "a", encoding="ascii") as out:
            out.write(self.more)

    def load_cache(self, path, entries):
        loaded = self.ctl("cache", "load", str(path))
        if loaded["loaded"] != entries:
            raise BenchError(f"the cache took {loaded}")


class HugeCachingPollux(InHugePages, CachingPollux):
    title = "Pollux huge"


def testpmd_rate(directory, capture, seconds):
    """The limit: the same frames, addresses and ports swapped, sent back."""
    prefix = f"bench-{os.getpid()}"
    child = subprocess.Popen(
        ["dpdk-testpmd", "--no-huge", "-m", "512", "--no-pci", f"--file-prefix={prefix}", "-l", f"0,{CORES - 1}", "--main-lcore=0",
         "--vdev=" + CAPTURE_DEVICE.format(0, capture), "--", "--forward-mode=5tswap", "--nb-cores=1", "--total-num-mbufs=32768",
         "--stats-period=1", "--no-mlockall"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=open(directory / "testpmd.log", "wb"), text=True, start_new_session=True)
    points = []
    try:
        for line in child.stdout:
            found = re.search(r"RX-packets:\s*(\d+)", line)
            if found and int(found[1]):
                points.append((int(found[1]), thread_seconds(child.pid), time.monotonic()))
            if len(points) > max(1, seconds) + 1:
                break
    finally:
        child.send_signal(signal.SIGINT)
        try:
            child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
        shutil.rmtree(rig.DPDK_STATE / prefix, ignore_errors=True)
    if len(points) < 3:
        raise BenchError("testpmd said nothing:\n" + (directory / "testpmd.log").read_text(errors="replace")[-600:])
    (first, cpu_first, began), (last, cpu_last, ended) = points[1], points[-1]
    return {"cpu_ns": spent(cpu_first, cpu_last) / (last - first) * 1e9, "per_s": (last - first) / (ended - began)}


SMALL_PAGES = "exact A, regions in pages of 4 KiB"  # everything else: in huge pages, as an operator would have them


def bench_answers(options, directory):
    need_two_cores()
    need("dpdk-testpmd")
    outcomes = OUTCOMES[:1] if options.name == "limit" else OUTCOMES
    zones, noise = make_captures(directory, outcomes, NAMES, write_names if options.name == "limit" else write_zone), Noise()
    runs = {title: [] for title in ("testpmd 5tswap", *(outcome[0] for outcome in outcomes), SMALL_PAGES)}
    running, running_small = Running(HugeCachingPollux, directory, zones), Running(CachingPollux, directory, {"plain.example": zones["plain.example"]})
    with noise, running as server, running_small as small:
        wait_until_loaded(server, running, options.timeout)
        wait_until_loaded(small, running_small, options.timeout)
        if any(zone == "cached" for _, zone, *_ in outcomes):
            write_dump(directory / "dump", NAMES)
            server.load_cache(directory / "dump", 2 * NAMES)
        for number in range(options.rounds):
            runs["testpmd 5tswap"].append(testpmd_rate(directory, directory / "0.pcap", options.seconds))
            for at, outcome in enumerate(outcomes):
                server.use(f"overrides-file: {directory}/rules\n" if "rule" in outcome[0] else ACCESS_LISTS if "access" in outcome[5:] else "")
                runs[outcome[0]].append(server.answers(directory / f"{at}.pcap", options.seconds))
            runs[SMALL_PAGES].append(small.answers(directory / "0.pcap", options.seconds))
            say(f"round {number + 1} of {options.rounds}: " + ", ".join(f"{title} {one[-1]['cpu_ns']:.0f} ns" for title, one in runs.items()))
    limit, exact = runs["testpmd 5tswap"], runs[outcomes[0][0]]
    return {"names": NAMES, "kinds": 1 if options.name == "limit" else 4, "rounds": options.rounds, "rows": {title: {
        **{key: figure([run[key] for run in one], 1) for key in one[0]},
        "of_testpmd": figure([a["cpu_ns"] / b["cpu_ns"] for a, b in zip(limit, one)], 3),
        "times_exact": figure([b["cpu_ns"] / a["cpu_ns"] for a, b in zip(exact, one)], 2)} for title, one in runs.items()},
        "noise": noise.result(), "verdict": noise.verdict()}


def print_answers(found):
    print(f"\nOne worker on net_pcap with infinite_rx, {found['names']:,} names{' of each of four kinds' if found.get('kinds') == 4 else ''}, shared memory on a tmpfs with huge=always, {found['rounds']} rounds: "
          "median (least-greatest)\n")
    table(["what", "CPU per packet, ns", "of testpmd's rate", "times an exact hit", "million/s on the clock"],
          [[title, shown(one["cpu_ns"], 1, 0), shown(one["of_testpmd"]), shown(one["times_exact"]), shown(one["per_s"], 1e-6)]
           for title, one in found["rows"].items()])
    print(f"\n{found['verdict']}")
