# SPDX-License-Identifier: BSD-3-Clause
"""What Pollux is to reach, and whether the figures show it."""

from bench.link import PinnedKnot
from bench.tcp import TcpPollux


def median_at(parts, *path):
    """Of the figure there; None where the part has none."""
    for key in path:
        if isinstance(parts, list):
            parts = next((one for one in parts if key.items() <= one.items()), None)
        else:
            parts = parts.get(key)
        if parts is None:
            return None
    return parts["median"]


def over(one, other):
    return one / other if one is not None and other else None


def of_answers(key, *titles):
    """The worst of these outcomes."""
    def value(parts):
        found = [median_at(parts, "answers", "rows", title, key) for title in titles]
        return None if None in found else (min if key == "of_testpmd" else max)(found)
    return value


def of_rows(part, key, one, other):
    return lambda parts: over(median_at(parts, part, "rows", one, key), median_at(parts, part, "rows", other, key))


# What Pollux is to reach: its name, how it is found, and the bound, the least value unless it is said to be the most.
TARGETS = (
    ("exact hit: of testpmd's rate", of_answers("of_testpmd", "exact A"), "least", 0.5),
    ("10 million names: times the cost of a thousand", lambda parts: median_at(parts, "scale", "rows", {"pages": "small", "names": 10000000},
                                                                               "times_least"), "most", 2),
    ("NXDOMAIN, NODATA, referral: times an exact hit", of_answers("times_exact", "NXDOMAIN", "NODATA", "referral with glue"), "most", 1.3),
    ("wildcard, CNAME, rule, cached answer: times an exact hit",
     of_answers("times_exact", "wildcard", "CNAME in the zone", "rule of a name", "rule of a pattern", "cached exact A"), "most", 1.5),
    ("NXDOMAIN, NSEC: times an exact hit", of_answers("times_exact", "NXDOMAIN, NSEC"), "most", 2.5),
    ("NXDOMAIN, NSEC3: times an exact hit", of_answers("times_exact", "NXDOMAIN, NSEC3"), "most", 6),
    ("AF_XDP on veth: times the rate of Knot", of_rows("veth", "answered_per_s", "Pollux, AF_XDP, naps", "Knot, XDP"), "least", 2),
    ("AF_XDP on veth: CPU per answer, of Knot's", of_rows("veth", "cpu_us", "Pollux, AF_XDP, naps", "Knot, XDP"), "most", 0.5),
    ("TCP, kept connections: times the answers of Knot", of_rows("tcp", "kept_per_s", TcpPollux.title, PinnedKnot.title), "least", 1.5),
    ("two workers: times the answers of one, by CPU time", lambda parts: median_at(parts, "workers", "rows", "2", "times_per_cpu"), "least", 1.9),
    ("idle: share of a core", lambda parts: median_at(parts, "idle", "rows", "100us", "share"), "most", 0.05),
)
# Their figures are times on the clock, which others on the machine make longer; the rest compares CPU times.
BY_THE_CLOCK = ("AF_XDP on veth: times the rate of Knot", "TCP, kept connections: times the answers of Knot")


def noisy(part):
    return part.get("noise", {}).get("noisy", False)


def verdict_on(name, value, bound, limit, parts):
    if value is None:
        return "not measured"
    if name in BY_THE_CLOCK and noisy(parts["tcp" if name.startswith("TCP") else "veth"]):
        return "too noisy to tell"
    return "met" if (value <= limit if bound == "most" else value >= limit) else "missed"


def judge(parts):
    """The rows of the closing table: target, bound, measured, verdict."""
    rows = []
    for name, value_of, bound, limit in TARGETS:
        value = value_of(parts)
        rows.append([name, f"at {bound} {limit:g}", "-" if value is None else f"{value:.3g}", verdict_on(name, value, bound, limit, parts)])
    return rows
