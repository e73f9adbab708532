# SPDX-License-Identifier: BSD-3-Clause
"""forward: what a question to others costs control."""

import json
import os
import subprocess
import time

from bench.common import BenchError, CORES, figure, helper, rig, say, shown, table
from bench.processes import Noise, run_seconds
from bench.servers import Running
from bench.questions import FLAG_RD, TYPE_A, question, write_capture
from bench.capture import CAPTURE_FRAMES, CapturePollux

FORWARD_OPEN = (64, 256, 1024)
FORWARD_PORT = 5300


def forward_alone(open_now, seconds):
    """The chain without a dataplane: what one question costs control."""
    done = subprocess.run([helper("forward_bench"), str(seconds), str(open_now)], capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"forward_bench: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


class ForwardingPollux(CapturePollux):
    """Every question is a miss, and every miss is forwarded to a name server on the same machine."""
    mbufs = 65536

    def prepare(self):
        super().prepare()
        path = self.directory / "pollux.yaml"
        text = path.read_text().replace(f"zone-list: {self.zones}\n", "")
        path.write_text(text +
                        f"chain: [forwarders]\nforward: {{servers: [127.0.0.1@{FORWARD_PORT}], via: management}}\n"
                        "clients: {max-misses: 65535}\n")

    def start(self):
        rig.run("ip", "-n", self.network.box, "link", "set", "lo", "up")
        super().start()
        self.children.append(subprocess.Popen(["ip", "netns", "exec", self.network.box, helper("forward_bench"), "serve", str(FORWARD_PORT)],
                                              stdin=subprocess.DEVNULL, start_new_session=True))
        deadline = time.monotonic() + 20
        while not self.socket.exists() and time.monotonic() < deadline:
            self.check_alive()
            time.sleep(0.05)

    def counts(self):
        return {"answered": self.ctl("stats")["resolver"]["upstream_replies"]}

    def rate(self, child, seconds, workers):
        deadline = time.monotonic() + 20
        while self.counts()["answered"] == 0:
            self.check_alive()
            if time.monotonic() > deadline:
                raise BenchError("nothing is forwarded")
            time.sleep(0.05)
        control = self.loaders()
        time.sleep(0.3)
        before, cpu_before, began = self.counts(), run_seconds(control), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, ended = self.counts(), run_seconds(control), time.monotonic()
        answered = after["answered"] - before["answered"]
        return {"cpu_us": (cpu_after - cpu_before) / answered * 1e6, "per_s": answered / (ended - began),
                "per_cpu_s": answered / (cpu_after - cpu_before)}


def bench_forward(options, directory):
    noise = Noise()
    capture = directory / "misses.pcap"
    stem = f"{os.getpid():x}"
    write_capture(capture, (question(f"m{i}.{stem}.example.net", TYPE_A, i, FLAG_RD) for i in range(CAPTURE_FRAMES * 4)))
    alone = {number: [] for number in FORWARD_OPEN}
    whole = []
    for number in range(options.rounds):
        with noise:
            for count in FORWARD_OPEN:
                alone[count].append(forward_alone(count, options.seconds))
            if CORES > 1:
                with Running(ForwardingPollux, directory, {}) as server:
                    whole.append(server.answers(capture, options.seconds))
        say(f"round {number + 1} of {options.rounds}: " + ", ".join(
            [f"{count} open {runs[-1]['cpu_us']:.2f} us" for count, runs in alone.items()] +
            [f"with the dataplane {run['cpu_us']:.2f} us" for run in whole[-1:]]))
    rows = {f"the chain alone, {count} questions open": runs for count, runs in alone.items()}
    if whole:
        rows["misses of a flooded worker"] = whole
    return {"rounds": options.rounds, "rows": {title: {
        "cpu_us": figure([run["cpu_us"] for run in runs]), "per_cpu_s": figure([run["per_cpu_s"] for run in runs], 0),
        "per_s": figure([run["per_s"] for run in runs], 0)} for title, runs in rows.items()},
        "noise": noise.result(), "verdict": noise.verdict()}


def print_forward(found):
    print(f"\nQuestions forwarded over UDP to a name server on the same machine, {found['rounds']} rounds: median (least-greatest)\n")
    table(["what", "CPU of control per question, us", "thousand per CPU second", "thousand/s on the clock"],
          [[title, shown(row["cpu_us"]), shown(row["per_cpu_s"], 1e-3, 0), shown(row["per_s"], 1e-3, 0)]
           for title, row in found["rows"].items()])
    print(f"\n{found['verdict']}")
