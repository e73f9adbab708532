#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-3-Clause
"""The parts of tools/bench that need no server. usage: bench_test.py BENCH"""

import json
import struct
import subprocess
import sys
import tempfile
from importlib.machinery import SourceFileLoader

sys.dont_write_bytecode = True
bench = SourceFileLoader("bench", sys.argv[1]).load_module()


def a_figure_is_the_median_with_the_least_and_the_greatest():
    found = bench.figure([3.0, 1.0, None, 2.0])
    assert (found["median"], found["min"], found["max"]) == (2.0, 1.0, 3.0), found
    assert found["rounds"] == [3.0, 1.0, 2.0], found
    assert bench.shown(found, 10, 1) == "20.0 (10.0-30.0)", bench.shown(found, 10, 1)
    assert bench.shown(bench.figure([4]), 1, 0) == "4"
    assert bench.shown(bench.figure([])) == "-"


def quantiles_are_values_that_occurred():
    values = list(range(1000, 0, -1))
    assert [bench.quantile(values, share) for share in (0.5, 0.99, 0.999, 1)] == [500, 990, 999, 1000]
    assert bench.quantile([7], 0.999) == 7
    assert bench.quantile([], 0.5) is None


def ratios_compare_round_with_round():
    found = bench.ratios({"own": [{"x": 2.0}, {"x": 9.0}], "peer": [{"x": 1.0}, {"x": 3.0}]}, "own", "x")
    assert found["peer"]["rounds"] == [2.0, 3.0] and found["own"]["median"] == 1.0, found
    assert bench.ratios({"peer": [{"x": 1.0}]}, "own", "x")["peer"]["median"] is None


def targets_are_met_missed_or_not_measured():
    figure = lambda value: {"median": value}
    parts = {"answers": {"rows": {"exact A": {"of_testpmd": figure(0.51)}, "NXDOMAIN, NSEC": {"times_exact": figure(2.6)}}},
             "scale": {"rows": [{"pages": "huge", "names": 10000000, "times_least": figure(3)},
                                {"pages": "small", "names": 10000000, "times_least": figure(1.7)}]},
             "veth": {"failed": "status 1"}}
    verdicts = {name: (value, verdict) for name, _, value, verdict in bench.judge(parts)}
    assert verdicts["exact hit: of testpmd's rate"] == ("0.51", "met"), verdicts
    assert verdicts["10 million names: times the cost of a thousand"] == ("1.7", "met"), verdicts
    assert verdicts["NXDOMAIN, NSEC: times an exact hit"] == ("2.6", "missed"), verdicts
    assert verdicts["AF_XDP on veth: times the rate of Knot"] == ("-", "not measured"), verdicts


def rates_on_a_noisy_machine_are_not_judged():
    name, value = "TCP, kept connections: times the answers of Knot", {"median": 1.6}
    rows = {bench.TcpPollux.title: {"kept_per_s": value}, bench.PinnedKnot.title: {"kept_per_s": {"median": 1.0}}}
    for noisy, verdict in ((False, "met"), (True, "too noisy to tell")):
        found = bench.judge({"tcp": {"rows": rows, "noise": {"noisy": noisy}}})
        assert [row[3] for row in found if row[0] == name] == [verdict], found
    assert set(bench.BY_THE_CLOCK) <= {target[0] for target in bench.TARGETS}


def show(text):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        return subprocess.run([sys.executable, "-I", sys.argv[1], "show", file.name], capture_output=True, text=True)


def figures_of_a_file_become_tables_again():
    one = bench.figure([1.0])
    workers = {"names": 1000, "rounds": 1, "rows": {"1": {key: one for key in ("cpu_ns", "per_s", "times_rate", "times_per_cpu")}},
               "noise": {"noisy": False}, "verdict": "quiet"}
    machine = {"cpu": "a CPU", "cores": 2, "memory_gib": 1, "kernel": "6", "date": "today"}
    found = show(json.dumps({"bench": "all", "machine": machine, "seconds": 60, "parts": {"workers": workers, "veth": {"failed": "status 1"}}}))
    assert found.returncode == 0, found.stderr
    for words in ("| 1       | 1 ", "veth: status 1", "| not measured |", "without figures: veth", "a CPU, 2 cores"):
        assert words in found.stdout, (words, found.stdout)
    assert [name for name, *_ in bench.ALL if name not in bench.PRINTERS] == []


def a_file_without_figures_is_refused():
    for text in ("", "[]", "{}", '{"bench": "limit"}'):
        found = show(text)
        assert found.returncode != 0 and "no figures of this bench" in found.stderr and "Traceback" not in found.stderr, (text, found.stderr)


def server_that_bears(most, asked):
    def load(rate):
        asked.append(rate)
        return {"rate": rate, "unanswered": 0.0 if rate <= most else 0.5}
    return load


def the_highest_rate_is_found_from_below():
    for most in (100, 149, 151, 400, 999):
        asked = []
        found = bench.highest(server_that_bears(most, asked), 100, 100000)
        assert found["rate"] <= most < found["rate"] * 1.2, (most, found)
        assert all(rate <= most * bench.VETH_STEP for rate in asked), asked


def a_slow_server_is_searched_for_downwards():
    found = bench.highest(server_that_bears(9, []), 100, 1000)
    assert 9 / 1.2 < found["rate"] <= 9, found
    assert bench.highest(server_that_bears(0, []), 100, 1000) is None


def the_search_ends_where_the_client_ends():
    asked = []
    assert bench.highest(server_that_bears(10**9, asked), 100, 500)["rate"] <= 500 and max(asked) <= 500, asked


def a_single_accident_is_forgiven():
    runs = iter([0.0, 0.02, 0.0, 0.5, 0.5, 0.5])
    found = bench.highest(lambda rate: {"rate": rate, "unanswered": next(runs)}, 100, 1000)
    assert found["rate"] == 150, found


def the_words_of_kxdpgun_are_understood():
    text = "using interface px1, XDP threads 1\n" "total queries:     300000 (300000 pps)\n" "total replies:     299001 (299000 pps) (99%)\n"
    assert bench.read_kxdpgun(text) == {"sent": 300000, "heard": 299001}
    assert bench.read_kxdpgun("kxdpgun: failed to initialize XDP socket#0 (busy)\n") is None
    assert bench.read_kxdpgun("total queries: 0 (0 pps)\ntotal replies: 0\n") is None


def the_words_of_dnsperf_are_understood():
    text = ("Statistics:\n\n  Queries sent:         1000\n  Queries completed:    990 (99.00%)\n  Queries lost:         10 (1.00%)\n\n"
            "  Run time (s):         2.5\n  Queries per second:   396.25\n")
    assert bench.read_dnsperf(text) == {"sent": 1000, "completed": 990, "lost": 10, "run_s": 2.5, "per_s": 396.25}
    assert bench.read_dnsperf("Error: cannot connect\n") is None


def frames_carry_what_they_should_with_good_checksums():
    payload = bench.question("www.example", bench.TYPE_A, 7)
    for over, type_at, kind, ip_bytes in (("IPv4", 12, 0x0800, 20), ("IPv6", 12, 0x86dd, 40), ("VLAN", 16, 0x0800, 20)):
        data = bench.frame(7, payload, 0, over)
        assert struct.unpack_from("!H", data, type_at)[0] == kind, over
        ip = data[type_at + 2:type_at + 2 + ip_bytes]
        udp = data[type_at + 2 + ip_bytes:]
        addresses = ip[8:] if over == "IPv6" else ip[12:]
        assert over == "IPv6" or bench.ones_sum(ip) == 0xffff, over
        assert bench.ones_sum(addresses + struct.pack("!2H", 17, len(udp)) + udp) == 0xffff, over
        assert udp[8:] == payload, over


def help_names_every_command():
    text = subprocess.run([sys.executable, "-I", sys.argv[1], "--help"], capture_output=True, text=True)
    assert text.returncode == 0, text.stderr
    for name in [name for name, *_ in bench.ALL] + ["zones", "all"]:
        assert f"\n    {name} " in text.stdout, name
        one = subprocess.run([sys.executable, "-I", sys.argv[1], name, "--help"], capture_output=True, text=True)
        assert one.returncode == 0 and "--rounds" in one.stdout, one.stderr


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
