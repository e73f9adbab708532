#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-3-Clause
"""The parts of tools/bench that need no server. usage: bench_test.py BENCH"""

import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
from importlib.machinery import SourceFileLoader
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(sys.argv[1]).resolve().parents[1] / "tests"))
from bench import common, everything, link, processes, questions, targets, veth

BENCHES = SourceFileLoader("command_line", sys.argv[1]).load_module().BENCHES


def a_figure_is_the_median_with_the_least_and_the_greatest():
    found = common.figure([3.0, 1.0, None, 2.0])
    assert (found["median"], found["min"], found["max"]) == (2.0, 1.0, 3.0), found
    assert found["rounds"] == [3.0, 1.0, 2.0], found
    assert common.shown(found, 10, 1) == "20.0 (10.0-30.0)", common.shown(found, 10, 1)
    assert common.shown(common.figure([4]), 1, 0) == "4"
    assert common.shown(common.figure([])) == "-"


def quantiles_are_values_that_occurred():
    values = list(range(1000, 0, -1))
    assert [common.quantile(values, share) for share in (0.5, 0.99, 0.999, 1)] == [500, 990, 999, 1000]
    assert common.quantile([7], 0.999) == 7
    assert common.quantile([], 0.5) is None


def ratios_compare_round_with_round():
    found = common.ratios({"own": [{"x": 2.0}, {"x": 9.0}], "peer": [{"x": 1.0}, {"x": 3.0}]}, "own", "x")
    assert found["peer"]["rounds"] == [2.0, 3.0] and found["own"]["median"] == 1.0, found
    assert common.ratios({"peer": [{"x": 1.0}]}, "own", "x")["peer"]["median"] is None
    assert common.ratios({"own": [{"x": 2.0}, {"x": 2.0}], "peer": [{"x": None}, {"x": 1.0}]}, "own", "x")["peer"]["rounds"] == [2.0]


def targets_are_met_missed_or_not_measured():
    figure = lambda value: {"median": value}
    parts = {"limit": {"rows": {"exact A": {"of_testpmd": figure(0.51)}}}, "answers": {"rows": {"NXDOMAIN, NSEC": {"times_exact": figure(2.6)}}},
             "scale": {"rows": [{"pages": "huge", "names": 10000000, "times_least": figure(3)},
                                {"pages": "small", "names": 10000000, "times_least": figure(1.7)}]},
             "veth": {"failed": "status 1"}}
    verdicts = {name: (value, verdict) for name, _, value, verdict in targets.judge(parts)}
    assert verdicts["exact hit: of testpmd's rate"] == ("0.51", "met"), verdicts
    assert verdicts["10 million names: times the cost of a thousand"] == ("1.7", "met"), verdicts
    assert verdicts["NXDOMAIN, NSEC: times an exact hit"] == ("2.6", "missed"), verdicts
    assert verdicts["AF_XDP on veth, one core: times the rate of Knot"] == ("-", "not measured"), verdicts


def figures_of_a_noisy_machine_are_not_judged():
    rate, cost = "AF_XDP on veth, one core: times the rate of Knot", "AF_XDP on veth, one core: CPU per answer, of Knot's"
    figures = lambda per_s, cpu_us: {"answered_per_s": {"median": per_s}, "cpu_us": {"median": cpu_us}}
    rows = {link.OneCoreNappingPollux.title: figures(600000, 1.0), link.OneCoreKnot.title: figures(250000, 3.0)}
    for share, verdicts in ((0.02, ["met", "met"]), (0.1, ["too noisy to tell", "met"]), (0.5, ["too noisy to tell"] * 2)):
        found = targets.judge({"veth": {"rows": rows, "noise": {"others_share_of_cores": {"median": share}}}})
        assert [row[3] for row in found if row[0] in (rate, cost)] == verdicts, found


def every_target_is_shown_by_a_bench_that_all_runs():
    assert {bench for _, bench, *_ in targets.TARGETS} <= {part.name for part in everything.ALL}


def show(text):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        return subprocess.run([sys.executable, "-I", sys.argv[1], "show", file.name], capture_output=True, text=True)


def figures_of_a_file_become_tables_again():
    one = common.figure([1.0])
    workers = {"names": 1000, "rounds": 1, "rows": {"1": {key: one for key in ("cpu_ns", "per_s", "times_rate", "times_per_cpu")}},
               "noise": {"noisy": False}, "verdict": "quiet"}
    machine = {"cpu": "a CPU", "cores": 2, "memory_gib": 1, "kernel": "6", "date": "today"}
    found = show(json.dumps({"bench": "all", "machine": machine, "seconds": 60, "parts": {"workers": workers, "veth": {"failed": "status 1"}}}))
    assert found.returncode == 0, found.stderr
    for words in ("| 1       | 1 ", "veth: status 1", "| not measured |", "without figures: veth", "a CPU, 2 cores"):
        assert words in found.stdout, (words, found.stdout)
    assert [part.name for part in everything.ALL if part.name not in {bench.name for bench in BENCHES}] == []


def a_file_without_figures_is_refused():
    for text in ("", "[]", "{}", '{"bench": "limit"}'):
        found = show(text)
        assert found.returncode != 0 and "no figures of this bench" in found.stderr and "Traceback" not in found.stderr, (text, found.stderr)


def server_that_bears(most, asked, client_sends=10**9):
    def load(rate):
        asked.append(rate)
        sent = min(rate, client_sends)
        return {"offered_per_s": rate, "sent_per_s": sent, "unanswered": 0.0 if sent <= most else 0.5}
    return load


def the_highest_rate_is_found_from_below_and_from_above():
    for most in (9, 66, 99, 100, 149, 151, 400, 999):
        asked = []
        found = veth.highest(server_that_bears(most, asked), 100, 100000, **veth.WIDE)["offered_per_s"]
        assert found <= most < found * 1.2, (most, found)
        assert all(rate <= max(100, most * veth.WIDE["step"]) for rate in asked), asked
    assert veth.highest(server_that_bears(0, []), 100, 1000, **veth.WIDE) is None


def near_a_known_rate_few_loads_are_enough():
    for most in (905, 950, 1000, 1050, 1100, 1119):
        asked = []
        found = veth.highest(server_that_bears(most, asked), 1000, 10**6, **veth.NEAR)["offered_per_s"]
        assert found <= most < found * 1.08 and len(asked) <= 3, (most, found, asked)


def a_search_near_a_rate_that_is_no_longer_true_finds_the_new_one():
    for most in (100, 300, 3000, 7000):
        asked = []
        found = veth.highest(server_that_bears(most, asked), 1000, 10**6, **veth.NEAR)["offered_per_s"]
        assert found <= most < found * 1.08 and len(asked) <= 12, (most, found, asked)


def the_search_ends_where_the_client_ends():
    asked = []
    assert veth.highest(server_that_bears(10**9, asked), 100, 500, **veth.WIDE)["offered_per_s"] <= 500 and max(asked) <= 500, asked
    asked = []
    found = veth.highest(server_that_bears(10**9, asked, 220), 100, 10**6, **veth.WIDE)
    assert found["sent_per_s"] == 220 and max(asked) < 500, asked


def a_single_accident_is_forgiven():
    runs = itertools.chain([0.0, 0.02, 0.0], itertools.repeat(0.5))
    found = veth.highest(lambda rate: {"offered_per_s": rate, "sent_per_s": rate, "unanswered": next(runs)}, 100, 1000, **veth.WIDE)
    assert found["offered_per_s"] == 150, found


def the_counts_of_an_interface_are_read():
    text = ("Inter-|   Receive                                                |  Transmit\n"
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
            "    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n"
            "   px0:  123456     901    0   17    0     0          0         0   654321     880    0    4    0     0       0          0\n")
    assert link.interface_counts(text, "px0") == {"received": 901, "receive_drops": 17, "sent": 880, "send_drops": 4}


def the_words_of_dnsperf_are_understood():
    text = ("Statistics:\n\n  Queries sent:         1000\n  Queries completed:    990 (99.00%)\n  Queries lost:         10 (1.00%)\n\n"
            "  Run time (s):         2.5\n  Queries per second:   396.25\n")
    assert link.read_dnsperf(text) == {"sent": 1000, "completed": 990, "lost": 10, "run_s": 2.5, "per_s": 396.25}
    assert link.read_dnsperf("Error: cannot connect\n") is None


def others_are_neither_the_bench_nor_its_children_nor_the_kernel():
    found = {1: (0, False, 10.0), 2: (0, True, 5.0), 30: (2, True, 7.0), 40: (1, False, 3.0), 50: (40, False, 2.0), 51: (50, False, 4.0),
             60: (40, False, 0.5), 70: (99, False, 0.25)}
    assert processes.others_seconds(found, 50) == 13.75, processes.others_seconds(found, 50)
    assert processes.others_seconds(found, 40) == 10.25


def processes_are_known_with_their_parents():
    child = subprocess.Popen(["sleep", "60"])
    try:
        found = processes.all_processes()
    finally:
        child.kill()
        child.wait()
    assert found[child.pid][:2] == (os.getpid(), False), found[child.pid]
    assert found[os.getpid()][2] > 0
    assert not [pid for pid, (parent, of_kernel, _) in found.items() if parent == 2 and not of_kernel]


def noise_of(share, by_clock):
    noise = processes.Noise(by_clock)
    noise.shares = [share, share, 1.0, 0.0, share]
    return noise.result()["noisy"], noise.verdict()


def times_on_the_clock_want_a_quieter_machine_than_cpu_times():
    assert noise_of(0.01, True) == (False, "Others used 1 (0-100) % of the machine's cores meanwhile: quiet.")
    assert [noise_of(share, True)[0] for share in (0.04, 0.06, 0.5)] == [False, True, True]
    assert [noise_of(share, False)[0] for share in (0.04, 0.06, 0.5)] == [False, False, True]
    assert "CPU times hold" in noise_of(0.06, False)[1] and "too noisy to tell" in noise_of(0.5, False)[1]


def frames_carry_what_they_should_with_good_checksums():
    payload = questions.question("www.example", questions.TYPE_A, 7)
    for over, type_at, kind, ip_bytes in (("IPv4", 12, 0x0800, 20), ("IPv6", 12, 0x86dd, 40), ("VLAN", 16, 0x0800, 20)):
        data = questions.frame(7, payload, 0, over)
        assert struct.unpack_from("!H", data, type_at)[0] == kind, over
        ip = data[type_at + 2:type_at + 2 + ip_bytes]
        udp = data[type_at + 2 + ip_bytes:]
        addresses = ip[8:] if over == "IPv6" else ip[12:]
        assert over == "IPv6" or questions.ones_sum(ip) == 0xffff, over
        assert questions.ones_sum(addresses + struct.pack("!2H", 17, len(udp)) + udp) == 0xffff, over
        assert udp[8:] == payload, over


def help_names_every_command():
    text = subprocess.run([sys.executable, "-I", sys.argv[1], "--help"], capture_output=True, text=True)
    assert text.returncode == 0, text.stderr
    for name in [part.name for part in everything.ALL] + ["zones", "all"]:
        assert f"\n    {name} " in text.stdout, name
        one = subprocess.run([sys.executable, "-I", sys.argv[1], name, "--help"], capture_output=True, text=True)
        assert one.returncode == 0 and "--json" in one.stdout, one.stderr


def what_all_gives_its_parts_are_arguments_of_theirs():
    flags = {bench.name: {"--rounds", *(flag for flag, _ in bench.arguments)} for bench in BENCHES}
    for part in everything.ALL:
        for words in (part.words, part.quick_words or ""):
            assert {word for word in words.split() if word.startswith("--")} <= flags[part.name], part


def a_part_that_hangs_is_ended_and_said_so():
    run = lambda patience, *command: everything.ended(subprocess.Popen(command), patience)
    assert run(10, "true") is None
    assert run(10, "sh", "-c", "exit 3") == "status 3"
    assert run(0.2, "sleep", "60") == "took more than 0 s"


def main():
    tests = [test for name, test in globals().items() if callable(test) and "_" in name and getattr(test, "__module__", "") == "__main__"
             and test.__code__.co_argcount == 0]
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        try:
            test()
            verdict = "ok"
        except Exception as error:
            verdict, failed = "not ok", failed + 1
            print("# " + f"{type(error).__name__}: {error}".replace("\n", "\n# "))
        print(f"{verdict} {number} - {test.__name__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
