# SPDX-License-Identifier: BSD-3-Clause
"""veth: the highest rate, beside authoritative servers."""

from bench.common import BenchError, NAMES, Noise, by_turns, figure, need, need_two_cores, ratios, shown, table
from bench.link import VETH_SERVERS, XdpPollux, among, fire, veth_server, veth_zones

VETH_FIRST_PER_S, VETH_MOST_PER_S, VETH_STEP, VETH_HALVINGS = 100000, 1500000, 1.5, 2
LOSS_MOST = 0.01


def highest(load, first, most, step=VETH_STEP, halvings=VETH_HALVINGS):
    """The run with the highest rate that load(rate) answers with little loss: up by steps, then between the last good rate and the
    first bad one. What is nearly good gets a second chance. None when not even a hundredth of the first rate goes well."""
    def retry(rate):
        for _ in range(2):
            run = load(rate)
            if run["unanswered"] < LOSS_MOST:
                return run
            if run["unanswered"] > 5 * LOSS_MOST:
                break  # no accident
        return None

    rate, best = first, retry(first)
    while not best and rate > first / 100:
        rate /= step * step
        best = retry(rate)
    if not best:
        return None
    good, bad = rate, None
    while not bad and good * step <= most:
        run = retry(good * step)
        if run:
            good, best = good * step, run
        else:
            bad = good * step
    for _ in range(halvings if bad else 0):
        run = retry((good + bad) / 2)
        good, bad, best = ((good + bad) / 2, bad, run) if run else (good, (good + bad) / 2, best)
    return best


def sustained(server, queries, napi, options):
    best = highest(lambda rate: fire(server, queries, int(rate), options.seconds, napi), VETH_FIRST_PER_S, VETH_MOST_PER_S)
    if not best:
        raise BenchError(f"{server.title} answers at no rate with less than {LOSS_MOST:.0%} of loss")
    return best


def bench_veth(options, directory):
    need_two_cores()
    need("kxdpgun")
    kinds, noise = among(options, VETH_SERVERS), Noise()
    zones = veth_zones(directory)

    def measure(kind):
        with veth_server(kind, directory, zones, options) as (server, napi):
            return sustained(server, directory / "questions", napi, options)

    found = by_turns(kinds, options.rounds, measure, noise)
    rate, cpu = (ratios(found, XdpPollux.title, key) for key in ("answered_per_s", "cpu_us"))
    return {"names": NAMES, "rounds": options.rounds, "rows": {title: {
        **{key: figure([run[key] for run in runs], 4) for key in runs[0]}, "pollux_times_rate": rate[title], "pollux_times_cpu": cpu[title]}
        for title, runs in found.items()}, "noise": noise.result(), "verdict": noise.verdict()}


def print_veth(found):
    print(f"\n{found['names']:,} names over one veth pair, server and client on a core each; the highest rate with less than {LOSS_MOST:.0%} of "
          f"questions without answer, {found['rounds']} rounds: median (least-greatest)\n")
    table(["server", "thousand answers/s", "Pollux' times that", "CPU per answer, us", "Pollux' times that", "of these receiving", "outside of the kernel"],
          [[title, shown(row["answered_per_s"], 1e-3, 0), shown(row["pollux_times_rate"]), shown(row["cpu_us"]), shown(row["pollux_times_cpu"]),
            shown(figure([share * us / whole for share, us, whole in zip(row["receiving_share"]["rounds"], row["cpu_us"]["rounds"],
                                                                        row["cpu_share"]["rounds"])])), shown(row["user_us"])]
           for title, row in found["rows"].items()])
    print(f"\n{found['verdict']}")
