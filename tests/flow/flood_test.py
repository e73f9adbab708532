#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A flood of misses from one client: ten times what the resolver behind us takes. Others must not notice."""

import heapq
import random
import select

from flow import *

DELAY_S = 0.05  # of the upstream
IN_FLIGHT = 50  # so many questions at it: a thousand a second
FLOOD_QPS = 10 * IN_FLIGHT / DELAY_S
SECONDS = 4
SLOW = Spec(config=f"""
zones: [{{name: test.example, file: "{{zones}}/test.example.zone"}}]
forward: {{servers: [198.18.0.3], timeout: 1s, deadline: 2s}}
clients: {{max-in-flight: {IN_FLIGHT}}}
""")
CACHED = "kept.example.net"


class Helper:
    """A process of its own in this namespace, so that it takes no time from the one that measures."""

    def __init__(self, rig, work):
        self.pid = os.fork()
        if not self.pid:
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.alarm(0)
                work()
            finally:
                os._exit(0)
        rig.helpers.append(self)
        self.rig = rig

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        os.waitpid(self.pid, 0)
        if self in self.rig.helpers:
            self.rig.helpers.remove(self)


def slow_upstream():
    """Every question is answered after the same time, as by somebody far away."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind(("198.18.0.3", 53))
    waiting = []
    while True:
        pause = waiting[0][0] - time.monotonic() if waiting else 1
        if pause > 0 and select.select([sock], [], [], pause)[0]:
            wire, client = sock.recvfrom(4096)
            end = wire.index(0, 12) + 5
            reply = wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + wire[12:end] + b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc6\x12\7\1"
            heapq.heappush(waiting, (time.monotonic() + DELAY_S, reply, client))
        while waiting and waiting[0][0] <= time.monotonic():
            _, reply, client = heapq.heappop(waiting)
            sock.sendto(reply, client)


def flood():
    """Names that nobody has heard of, as fast as the bound says."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("198.18.0.2", 0))
    sock.connect((SERVICE_4, 53))
    sock.setblocking(False)
    stem, began, sent = f"{random.getrandbits(40):x}", time.monotonic(), 0
    while True:
        due = int((time.monotonic() - began) * FLOOD_QPS)
        for _ in range(min(due - sent, 500)):
            try:
                sock.send(query_wire(f"f{sent}.{stem}.example.net", ident=sent & 0xffff))
            except (BlockingIOError, ConnectionRefusedError):
                pass
            sent += 1
        try:
            while True:
                sock.recv(4096)
        except (BlockingIOError, ConnectionRefusedError):
            time.sleep(0.002)


class Quiet:
    """A client that asks steadily and measures: zone, cache, and names that must be looked for."""

    RATE = {"zone": 500, "cache": 500, "miss": 100}

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("198.18.0.5", 0))
        self.sock.connect((SERVICE_4, 53))
        self.stem = f"{random.getrandbits(40):x}"
        self.sent, self.number, self.took = {}, 0, {kind: [] for kind in self.RATE}
        self.asked = dict.fromkeys(self.RATE, 0)

    def ask(self, kind):
        name = {"zone": "host.test.example", "cache": CACHED}.get(kind, f"q{self.number}.{self.stem}.example.net")
        self.number += 1
        self.asked[kind] += 1
        self.sent[self.number & 0xffff] = (kind, time.monotonic())
        self.sock.send(query_wire(name, ident=self.number & 0xffff))

    def hear(self, pause):
        while select.select([self.sock], [], [], max(pause, 0))[0]:
            wire = self.sock.recv(4096)
            kind, began = self.sent.pop(struct.unpack("!H", wire[:2])[0], (None, 0))
            if kind and wire[3] & 15 == 0 and wire[6:8] == b"\0\1":
                self.took[kind].append(time.monotonic() - began)
            pause = 0

    def run(self, seconds):
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            for kind, rate in self.RATE.items():
                while self.asked[kind] < now * rate:
                    self.ask(kind)
            self.hear(0.001)
        deadline = time.monotonic() + 2
        while self.sent and time.monotonic() < deadline:
            self.hear(0.05)
        self.sock.close()
        return self

    def lost(self, kind):
        return 1 - len(self.took[kind]) / self.asked[kind]

    def p99_ms(self, kind):
        return sorted(self.took[kind])[int(len(self.took[kind]) * 0.99)] * 1000

    def __str__(self):
        return ", ".join(f"{kind}: {self.asked[kind]} asked, {self.lost(kind):.2%} lost, p99 {self.p99_ms(kind):.1f} ms"
                         for kind in self.RATE)


@test(SLOW)
def a_flood_of_misses_from_one_client_leaves_the_others_alone(rig):
    upstream = Helper(rig, slow_upstream)
    wait_until(lambda: rig.ask(CACHED, timeout=3).answer, "the upstream answers", 10)
    before = Quiet().run(SECONDS)
    comment(f"without the flood: {before}")
    dropped = rig.counter("drop-client-limit") + rig.counter("drop-ring-full")
    flooding = Helper(rig, flood)
    try:
        wait_until(lambda: rig.ctl_json("stats")["resolver"]["turns_waiting"] > IN_FLIGHT, "the flood waits in line", 10)
        missed = rig.counter("rx")
        began = time.monotonic()
        during = Quiet().run(SECONDS)
        rate = (rig.counter("rx") - missed) / (time.monotonic() - began)
        facts = rig.ctl_json("stats")["resolver"]
    finally:
        flooding.stop()
    comment(f"with the flood: {during}")
    comment(f"{rate:.0f} packets a second came in; {facts['turns_waiting']} questions of {facts['turns_clients']} clients wait")
    check(rate > FLOOD_QPS * 0.5, f"only {rate:.0f} packets a second: no flood")
    check(rig.counter("drop-client-limit") + rig.counter("drop-ring-full") > dropped, "the flood was not limited")
    for kind in ("zone", "cache"):
        check(during.lost(kind) < 0.001, f"{kind}: {during}")
    check(during.lost("miss") < 0.01, str(during))
    check(during.p99_ms("miss") < 2 * before.p99_ms("miss"), f"p99 of misses: {before.p99_ms('miss'):.1f} ms became {during.p99_ms('miss'):.1f} ms")
    upstream.stop()


if __name__ == "__main__":
    main()
