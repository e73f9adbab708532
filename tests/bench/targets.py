# SPDX-License-Identifier: BSD-3-Clause
"""What Pollux is to reach, and whether the figures show it."""

from bench.common import ratio
from bench.processes import CLOCK_NOISE_MOST, CPU_NOISE_MOST
from bench.link import OneCoreKnot, OneCoreNappingPollux, PinnedKnot
from bench.tcp import TcpPollux


def median_at(part, *path):
    """Of the figure there; None where the part has none."""
    for key in path:
        if isinstance(part, list):
            part = next((one for one in part if key.items() <= one.items()), None)
        else:
            part = part.get(key)
        if part is None:
            return None
    return part["median"]


def at(*path):
    return lambda part: median_at(part, *path)


def worst(key, *titles):
    """Of these outcomes."""
    def value(part):
        found = [median_at(part, "rows", title, key) for title in titles]
        return None if None in found else max(found)
    return value


def of_rows(key, one, other):
    return lambda part: ratio(median_at(part, "rows", one, key), median_at(part, "rows", other, key))


CPU, CLOCK = "CPU time", "clock"
# What Pollux is to reach: its name, the bench that shows it, what that measures, how it is found there, and the bound, the least or the
# most value.
TARGETS = (
    ("exact hit: of testpmd's rate", "limit", CPU, at("rows", "exact A", "of_testpmd"), "least", 0.5),
    ("10 million names: times the cost of a thousand", "scale", CPU, at("rows", {"pages": "small", "names": 10000000}, "times_least"), "most", 2),
    ("NXDOMAIN, NODATA, referral: times an exact hit", "answers", CPU, worst("times_exact", "NXDOMAIN", "NODATA", "referral with glue"), "most", 1.3),
    ("wildcard, CNAME, rule, cached answer: times an exact hit", "answers", CPU,
     worst("times_exact", "wildcard", "CNAME in the zone", "rule of a name", "rule of a pattern", "cached exact A"), "most", 1.5),
    ("NXDOMAIN, NSEC: times an exact hit", "answers", CPU, at("rows", "NXDOMAIN, NSEC", "times_exact"), "most", 2.5),
    ("NXDOMAIN, NSEC3: times an exact hit", "answers", CPU, at("rows", "NXDOMAIN, NSEC3", "times_exact"), "most", 6),
    ("AF_XDP on veth, one core: times the rate of Knot", "veth", CLOCK, of_rows("answered_per_s", OneCoreNappingPollux.title, OneCoreKnot.title), "least", 2),
    ("AF_XDP on veth, one core: CPU per answer, of Knot's", "veth", CPU, of_rows("cpu_us", OneCoreNappingPollux.title, OneCoreKnot.title), "most", 0.5),
    ("TCP, kept connections: times the answers of Knot", "tcp", CLOCK, of_rows("kept_per_s", TcpPollux.title, PinnedKnot.title), "least", 1.5),
    ("two workers: times the answers of one, by CPU time", "workers", CPU, at("rows", "2", "times_per_cpu"), "least", 1.9),
    ("idle: share of a core", "idle", CPU, at("rows", "100us", "share"), "most", 0.05),
)


def noisy(part):
    return part.get("noise", {}).get("noisy", False)


def too_noisy(part, measured):
    share = median_at(part, "noise", "others_share_of_cores") or 0.0
    return share > (CLOCK_NOISE_MOST if measured == CLOCK else CPU_NOISE_MOST)


def judge(parts):
    """The rows of the closing table: target, bound, measured, verdict."""
    rows = []
    for name, bench, measured, value_of, bound, limit in TARGETS:
        part = parts.get(bench, {})
        value = value_of(part)
        verdict = "not measured" if value is None else "too noisy to tell" if too_noisy(part, measured) else \
            "met" if (value <= limit if bound == "most" else value >= limit) else "missed"
        rows.append([name, f"at {bound} {limit:g}", "-" if value is None else f"{value:.3g}", verdict])
    return rows
