# SPDX-License-Identifier: BSD-3-Clause
"""load, zones, reload: from zone files to answers."""

import json
import mmap
import re
import subprocess
import threading
import time

from bench.common import BenchError, CORES, by_turns, figure, helper, rig, say, shown, table
from bench.processes import Noise
from bench.servers import Pollux, Running, Sampler, chosen, wait_until_loaded
from bench.questions import Asker

MADV_POPULATE_WRITE = 23  # Linux 5.14
BYTES_PER_RECORD = 400    # of memory, at most, that a server needs for one


def warm_memory(bytes_):
    """A virtual machine may give free pages back to its host within seconds, and then the first touch of each costs ten
    times as much (1.9 s per GiB instead of 0.13): so memory is touched shortly before somebody's time is taken."""
    with mmap.mmap(-1, bytes_, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        try:
            memory.madvise(MADV_POPULATE_WRITE)
        except OSError:
            memory[::mmap.PAGESIZE] = bytes(len(range(0, bytes_, mmap.PAGESIZE)))


def bench_load(options, directory):
    kinds = chosen(options)
    zone = directory / "load.zone"
    with open(zone, "wb") as out:
        subprocess.run([helper("zone_maker"), "large", str(options.records)], stdout=out, check=True)
    say(f"{options.records} records in {zone.stat().st_size / 2**20:.0f} MiB")
    parts, noise = [], Noise(by_clock=True)
    for _ in range(options.rounds):
        with noise:
            def run_helper(what, *threads):
                warm_memory(options.records * BYTES_PER_RECORD)
                return json.loads(subprocess.run([helper("load_bench"), what, "load.example", str(zone), *threads],
                                                 check=True, capture_output=True, text=True).stdout)
            together = run_helper("load", str(CORES))
            parts.append({**run_helper("load"), **run_helper("parse"), "together_s": together["all_clock_s"],
                          "read_together_s": together["read_clock_s"]})
    servers = by_turns(kinds, options.rounds, lambda kind: time_to_answer(
        kind, directory, {"load.example": zone}, "load.example", options.timeout, options.records * BYTES_PER_RECORD), noise)
    return {"records": options.records, "file_bytes": zone.stat().st_size, "rounds": options.rounds,
            "parts": {key: figure([part[key] for part in parts], 4) for key in parts[0]},
            "servers": {title: {key: figure([one[key] for one in runs], 3) for key in runs[0]} for title, runs in servers.items()},
            "noise": noise.result(), "verdict": noise.verdict()}


def time_to_answer(kind, directory, zones, name, timeout_s, warm_bytes=0):
    """One start: seconds to the first answer for `name`, CPU seconds and octets of memory by then."""
    if warm_bytes:
        warm_memory(warm_bytes)
    running = Running(kind, directory, zones)
    with running as server, Asker(server.network, name) as asker, Sampler(server) as sampler:
        while asker.serial() is None:
            server.check_alive()
            if time.monotonic() - running.began > timeout_s:
                raise BenchError(f"{kind.title} did not answer for {name} within {timeout_s} s")
        answer_s, cpu_s = time.monotonic() - running.began, server.cpu_s()
        time.sleep(1.0)  # what was needed for loading only is given back by now
        resident = server.resident_bytes()
        found = {"answer_s": answer_s, "cpu_s": cpu_s, "resident_bytes": resident}
    found["peak_bytes"] = max(sampler.greatest, resident)
    return found


def print_load(found):
    records, servers, parts = found["records"], found["servers"], found["parts"]
    print(f"\nOne zone of {records:,} records ({found['file_bytes'] / 2**20:.0f} MiB of text), {found['rounds']} rounds: median (least-greatest)\n")
    base = servers.get("Pollux", {}).get("answer_s", {}).get("median")
    image = parts["image_bytes"]["median"]
    table(["server", "first answer, s", "times Pollux", "CPU, s", "resident, octets per RR", "peak, MiB", "peak / image"],
          [[title, shown(one["answer_s"]), f"{one['answer_s']['median'] / base:.1f}" if base else "-", shown(one["cpu_s"]),
            shown(one["resident_bytes"], 1 / records, 0), shown(one["peak_bytes"], 2**-20, 0),
            f"{one['peak_bytes']['median'] / image:.2f}" if title == "Pollux" else "-"] for title, one in servers.items()])
    print("\nPollux alone, one thread, CPU time:\n")
    rate = lambda key: f"{records / parts[key]['median'] / 1e6:.1f}" if parts[key]["median"] else "-"
    table(["part", "s", "million RR/s"],
          [[text, shown(parts[key], 1, 3), rate(key)] for text, key in (
              ("parse, records forgotten", "parse_s"), ("read: parse and keep", "read_s"), ("check the zone, lay out its image", "check_s"),
              ("write the image", "write_s"), (f"reading by {CORES} threads, on the clock", "read_together_s"),
              (f"all by {CORES} threads, on the clock", "together_s"))])
    print(f"\nImage {image / 2**20:.0f} MiB, {image / records:.0f} octets per RR. {found['verdict']}")


def bench_zones(options, directory):
    subprocess.run([helper("zone_maker"), "small", str(options.count), str(directory)], check=True)
    zones, noise = directory / "list", Noise(by_clock=True)
    last = f"z{options.count - 1}.many.example"
    say(f"{options.count} zones written")

    def measure(kind):
        if kind is Pollux:
            return load_zones(directory, zones, options)
        return time_to_answer(kind, directory, zones, last, options.timeout)

    servers = by_turns(chosen(options), options.rounds, measure, noise)
    return {"zones": options.count, "rounds": options.rounds, "servers": {
        title: {key: figure([one[key] for one in runs], 3) for key in runs[0]} for title, runs in servers.items()},
        "noise": noise.result(), "verdict": noise.verdict()}


def load_zones(directory, zones, options):
    """Until every zone is served, not only the last one of the list."""
    running = Running(Pollux, directory, zones)
    with running as server, Sampler(server) as sampler:
        wait_until_loaded(server, running, options.timeout)
        found = {"answer_s": time.monotonic() - running.began, "cpu_s": server.cpu_s()}
        with Asker(server.network, f"z{options.count - 1}.many.example") as asker:
            if all(asker.serial(0.1) is None for _ in range(20)):
                raise BenchError("the last zone is not answered for")
        time.sleep(1.0)
        found["resident_bytes"] = server.resident_bytes()
    return {**found, "peak_bytes": max(sampler.greatest, found["resident_bytes"])}


def print_zones(found):
    print(f"\n{found['zones']:,} zones of 5 records, {found['rounds']} rounds: median (least-greatest). Pollux: until all "
          "are served; peers: until the last one of the list is\n")
    table(["server", "loaded, s", "CPU, s", "resident, MiB", "octets per zone", "peak, MiB"],
          [[title, shown(one["answer_s"]), shown(one["cpu_s"]), shown(one["resident_bytes"], 2**-20, 0),
            shown(one["resident_bytes"], 1 / found["zones"], 0), shown(one["peak_bytes"], 2**-20, 0)]
           for title, one in found["servers"].items()])
    print(f"\n{found['verdict']}")


def bench_reload(options, directory):
    subprocess.run([helper("zone_maker"), "small", str(options.zones), str(directory)], check=True)
    noise, seen, returned = Noise(by_clock=True), [], []
    noise.__enter__()  # over all rounds: one is shorter than the kernel's tick
    running = Running(Pollux, directory, directory / "list")
    with running as server:
        wait_until_loaded(server, running, options.timeout)
        say(f"{options.zones} zones are served")
        for number in range(options.rounds):
            one = reload_one(server, directory, number * (options.zones // options.rounds), options.zones)
            seen.append(one[0])
            returned.append(one[1])
    noise.__exit__()
    return {"zones": options.zones, "rounds": options.rounds, "seen_ms": figure(seen, 2), "returned_ms": figure(returned, 2),
            "noise": noise.result(), "verdict": noise.verdict()}


def reload_one(server, directory, index, count):
    """Milliseconds from the start of `polluxctl zone reload` to the new serial on the wire, and to its return."""
    index = min(index, count - 1)
    path, name = directory / str(index // 1000) / f"z{index}", f"z{index}.many.example"
    with Asker(server.network, name) as asker:
        serial = asker.serial(0.5)
        if serial is None:
            raise BenchError(f"{name} is not answered for")
        fresh = path.with_suffix(".new")
        fresh.write_text(re.sub(r"(hostmaster\S+) \d+", rf"\g<1> {serial + 1}", path.read_text()))
        fresh.rename(path)
        began = time.monotonic()
        command = subprocess.Popen([rig.binary("polluxctl"), "--socket", str(server.socket), "zone", "reload", name],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        ended = []
        waiter = threading.Thread(target=lambda: (command.wait(), ended.append(time.monotonic())))
        waiter.start()
        while asker.serial(0.0005) != serial + 1:
            if time.monotonic() - began > 60:
                raise BenchError(f"{name}: the new serial never came: {command.stderr.read().decode()}")
        seen = time.monotonic()
        waiter.join()
        command.stderr.close()
        if command.returncode != 0:
            raise BenchError(f"zone reload {name} failed")
        return (seen - began) * 1000, (ended[0] - began) * 1000


def print_reload(found):
    print(f"\nOne zone reloaded among {found['zones']:,}, {found['rounds']} rounds: median (least-greatest), ms\n")
    table(["from the command to", "ms"], [["the new serial on the wire", shown(found["seen_ms"], 1, 1)],
                                          ["the command's return", shown(found["returned_ms"], 1, 1)]])
    print(f"\n{found['verdict']}")
