# SPDX-License-Identifier: BSD-3-Clause
"""veth: the highest rate and equal loads, beside authoritative servers."""

from bench.common import BenchError, NAMES, by_turns, figure, need, need_two_cores, ratios, shown, table
from bench.processes import Noise
from bench.link import ONE_CORE_SERVERS, OneCore, OneCorePollux, VETH_SERVERS, XdpPollux, among, dnsperf, fire, measured, veth_server, veth_zones

LOSS_MOST = 0.01
FIRST_PER_S, MOST_PER_S = 200000, 1500000
FIXED_PER_S = (200000, 400000)
SERVERS = {**VETH_SERVERS, **ONE_CORE_SERVERS}
CLIENT_AT_ITS_END = 0.93        # of what it was told to send
# Searching: the first round knows nothing, the others know the one before.
WIDE, NEAR = {"step": 1.5}, {"step": 1.12}
STEP_MOST, PRECISION = 1.5, 1.065
DNSPERF = ("-c", 8, "-q", 200, "-t", 1)  # its queue all at once is no more than the veth pair holds
RATIOS = ("answered_per_s", "cpu_us", *(f"at_{per_s}_cpu_us" for per_s in FIXED_PER_S), "dnsperf_per_s", "dnsperf_cpu_us")


def highest(load, first, most, step):
    """The run with the highest rate that load(rate) answers with little loss: up or down by steps, which grow, then between the highest
    good rate and the least bad one. What is nearly good gets a second chance. None when not even a hundredth of the first rate goes well."""
    def good(rate):
        for _ in range(2):
            run = load(rate)
            if run["unanswered"] < LOSS_MOST:
                return run
            if run["unanswered"] > 5 * LOSS_MOST:
                break  # no accident
        return None

    least_bad, rate, best = None, first, good(first)
    while not best and rate > first / 100:
        least_bad, rate, step = rate, rate / step, min(step * step, STEP_MOST)
        best = good(rate)
    while best and not least_bad and rate * step <= most and best["sent_per_s"] > CLIENT_AT_ITS_END * rate:
        run = good(rate * step)
        if run:
            rate, best, step = rate * step, run, min(step * step, STEP_MOST)
        else:
            least_bad = rate * step
    while best and least_bad and least_bad > PRECISION * rate:
        middle = (rate + least_bad) / 2
        run = good(middle)
        rate, least_bad, best = (middle, least_bad, run) if run else (rate, middle, best)
    return best


def sustained(link, queries, seconds, known=None):
    """The highest rate of this server, sought near the one `known` of it."""
    best = highest(lambda rate: fire(link, queries, int(rate), seconds), known or FIRST_PER_S, MOST_PER_S, **(NEAR if known else WIDE))
    if not best:
        raise BenchError(f"{link.server.title} answers at no rate with less than {LOSS_MOST:.0%} of loss")
    return best


def at_equal_load(link, queries, per_s, seconds, highest_per_s):
    """None from who does not bear it."""
    found = fire(link, queries, per_s, seconds) if highest_per_s >= per_s else {}
    return {f"at_{per_s}_{key}": found.get(key) for key in ("cpu_us", "unanswered")}


def bench_veth(options, directory):
    need_two_cores()
    need("kxdpgun", "dnsperf")
    kinds, noise, known = among(options, SERVERS), Noise(by_clock=True), {}
    zones, queries = veth_zones(directory), directory / "questions"

    def measure(kind):
        with veth_server(kind, directory, zones, options) as link:
            found = sustained(link, queries, options.seconds, known.get(kind))
            known[kind] = min(found["offered_per_s"], found["sent_per_s"])
            for per_s in FIXED_PER_S:
                found.update(at_equal_load(link, queries, per_s, options.seconds, found["answered_per_s"]))
            told = measured(link, lambda: dnsperf(link, queries, options.seconds, *DNSPERF))
            return {**found, **{f"dnsperf_{key}": value for key, value in told.items()}}

    found = by_turns(kinds, options.rounds, measure, noise)
    beside = {kind.title: OneCorePollux.title if issubclass(kind, OneCore) else XdpPollux.title for kind in kinds}
    times = {key: {title: ratios(found, own, key)[title] for title, own in beside.items()} for key in RATIOS}
    return {"names": NAMES, "rounds": options.rounds, "rows": {title: {
        **{key: figure([run[key] for run in runs], 4) for key in runs[0]}, **{f"pollux_times_{key}": times[key][title] for key in RATIOS}}
        for title, runs in found.items()}, "noise": noise.result(), "verdict": noise.verdict()}



def print_veth(found):
    rows = found["rows"].items()
    print(f"\n{found['names']:,} names over one veth pair, server and client on a core each, {found['rounds']} rounds: median (least-greatest). The kernel's "
          f"thread that receives for the server is on the client's core; with 'one core' it is on the server's, which leaves more to the client.\n\n"
          f"kxdpgun, the highest rate with less than {LOSS_MOST:.0%} of questions without answer:\n")
    table(["server", "thousand answers/s", "Pollux' times that", "CPU per answer, us", "Pollux' times that", "of these receiving", "outside of the kernel"],
          [[title, shown(row["answered_per_s"], 1e-3, 0), shown(row["pollux_times_answered_per_s"]), shown(row["cpu_us"]),
            shown(row["pollux_times_cpu_us"]), shown(row["receiving_us"]), shown(row["user_us"])] for title, row in rows])
    print("\nkxdpgun, equal loads:\n")
    table(["server", "thousand questions/s", "CPU per answer, us", "Pollux' times that", "without answer, %"],
          [[title, f"{per_s / 1e3:.0f}", shown(row[f"at_{per_s}_cpu_us"]), shown(row[f"pollux_times_at_{per_s}_cpu_us"]),
            shown(row[f"at_{per_s}_unanswered"], 100)] for per_s in FIXED_PER_S for title, row in rows])
    print(f"\ndnsperf, {DNSPERF[3]} questions open, as many a second as client and server manage:\n")
    table(["server", "thousand answers/s", "Pollux' times that", "CPU per answer, us", "Pollux' times that", "lost, %"],
          [[title, shown(row["dnsperf_per_s"], 1e-3, 0), shown(row["pollux_times_dnsperf_per_s"]), shown(row["dnsperf_cpu_us"]),
            shown(row["pollux_times_dnsperf_cpu_us"]), shown(row["dnsperf_lost"], 100)] for title, row in rows])
    print(f"\n{found['verdict']}")
