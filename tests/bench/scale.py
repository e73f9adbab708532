# SPDX-License-Identifier: BSD-3-Clause
"""scale, workers: the same capture bench with more names, and with more workers."""

import contextlib

from bench.common import CORES, NAMES, figure, need_two_cores, rig, say, shown, table
from bench.processes import Noise, kilobytes
from bench.servers import Running, wait_until_loaded
from bench.questions import SCALE_QUESTIONS, random_questions, write_capture
from bench.zonefiles import write_names
from bench.capture import CAPTURE_FRAMES, CapturePollux, InHugePages

SCALE_NAMES = (1000, 100000, 1000000, 10000000)


class ScalePollux(CapturePollux):
    mbufs = 4 * SCALE_QUESTIONS

    def region_files(self):
        return [path for directory in rig.region_directories(self.network) for path in directory.glob("zones*")]


class HugeScalePollux(InHugePages, ScalePollux):
    title = "Pollux huge"


def huge_octets(pid):
    """How much of the regions this process has mapped by huge pages."""
    return kilobytes(pid, "smaps_rollup", "ShmemPmdMapped") * 1024


def bench_scale(options, directory):
    need_two_cores()
    sizes = [size for size in SCALE_NAMES if size <= options.names]
    zones, captures = {}, {}
    for size in sizes:
        origin = f"n{size}.example"
        zones[origin], captures[size] = directory / origin, directory / f"{size}.pcap"
        write_names(zones[origin], size)
        write_capture(captures[size], random_questions(size, origin))
    say(f"zones of {', '.join(f'{size:,}' for size in sizes)} names written")
    kinds = {"small": ScalePollux, "huge": HugeScalePollux}
    runs, noise, mapped = {}, Noise(), {}
    with contextlib.ExitStack() as stack:
        servers = {}
        for pages in options.pages.split(","):
            running = Running(kinds[pages], directory, zones)
            servers[pages] = stack.enter_context(running)
            wait_until_loaded(servers[pages], running, options.timeout)
            mapped[pages] = huge_octets(servers[pages].loaders()[-1])
        for number in range(options.rounds):
            with noise:
                for size in sizes:
                    for pages, server in servers.items():
                        runs.setdefault((pages, size), []).append(server.answers(captures[size], options.seconds))
            say(f"round {number + 1} of {options.rounds}: " + ", ".join(
                f"{size:,} names, {pages} pages {one[-1]['cpu_ns']:.0f} ns" for (pages, size), one in runs.items()))
    return {"rounds": options.rounds, "questions": SCALE_QUESTIONS, "huge_bytes": mapped, "rows": [{
        "pages": pages, "names": size, **{key: figure([run[key] for run in one], 1) for key in one[0]},
        "times_least": figure([b["cpu_ns"] / a["cpu_ns"] for a, b in zip(runs[pages, sizes[0]], one)], 2)}
        for (pages, size), one in sorted(runs.items(), key=lambda item: (item[0][0] == "huge", item[0][1]))],
        "noise": noise.result(), "verdict": noise.verdict()}


def print_scale(found):
    print(f"\nOne worker on net_pcap with infinite_rx, {found['questions']:,} questions drawn from all names, {found['rounds']} rounds: "
          "median (least-greatest)\n")
    table(["names", "pages of shared memory", "CPU per packet, ns", f"times {found['rows'][0]['names']:,} names", "million/s on the clock"],
          [[f"{row['names']:,}", row["pages"], shown(row["cpu_ns"], 1, 0), shown(row["times_least"]), shown(row["per_s"], 1e-6)]
           for row in found["rows"]])
    print("\nSmall: /dev/shm as it is; huge: a tmpfs mounted with huge=always, as \"mount -o remount,huge=always /dev/shm\" makes that one. In huge pages: " +
          ", ".join(f"{pages} {size / 2**20:.0f} MiB" for pages, size in found["huge_bytes"].items()) + f". {found['verdict']}")


def bench_workers(options, directory):
    need_two_cores()
    zone, captures = directory / "plain.example.zone", [directory / "0.pcap", directory / "1.pcap"]
    write_names(zone, NAMES)
    for port, path in enumerate(captures):
        write_capture(path, random_questions(NAMES, "plain.example", CAPTURE_FRAMES), port)
    runs, noise = {1: [], 2: []}, Noise()
    running = Running(CapturePollux, directory, {"plain.example": zone})
    with running as server:
        wait_until_loaded(server, running, options.timeout)
        for number in range(options.rounds):
            with noise:
                for count, one in runs.items():
                    one.append(server.answers(captures[:count], options.seconds))
            say(f"round {number + 1} of {options.rounds}: " + ", ".join(
                f"{count} worker{'s' * (count > 1)} {one[-1]['cpu_ns']:.0f} ns, {one[-1]['per_s']:,.0f}/s" for count, one in runs.items()))
    return {"names": NAMES, "rounds": options.rounds, "rows": {str(count): {
        **{key: figure([run[key] for run in one], 1) for key in one[0]},
        "times_rate": figure([b["per_s"] / a["per_s"] for a, b in zip(runs[1], one)], 2),
        "times_per_cpu": figure([count * a["cpu_ns"] / b["cpu_ns"] for a, b in zip(runs[1], one)], 2)} for count, one in runs.items()},
        "noise": noise.result(), "verdict": noise.verdict()}


def print_workers(found):
    print(f"\nWorkers with a port each, net_pcap with infinite_rx, {found['names']:,} names, {found['rounds']} rounds: median (least-greatest)\n")
    table(["workers", "CPU per packet, ns", "million/s on the clock", "times one worker", "the same, from CPU times"],
          [[count, shown(row["cpu_ns"], 1, 0), shown(row["per_s"], 1e-6), shown(row["times_rate"]), shown(row["times_per_cpu"])]
           for count, row in found["rows"].items()])
    print(f"\nThe cores: {CORES}; a worker that shares its core with control and all else has less of the clock. {found['verdict']}")
