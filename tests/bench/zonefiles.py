# SPDX-License-Identifier: BSD-3-Clause
"""Zones, rules and dumps of the cache to measure with."""

import json
import subprocess
import time

from bench.common import need


def write_zone(path, names):
    lines = ["$TTL 3600", "@ IN SOA ns1 hostmaster 1 7200 3600 1209600 3600", "@ IN NS ns1", "ns1 IN A 198.18.0.53", "*.w IN A 198.18.2.1"]
    for i in range(names):
        lines += [f"h{i} IN A 198.18.{i >> 8 & 255}.{i & 255}", f"c{i} IN CNAME h{i}", f"d{i} IN NS ns1.d{i}", f"ns1.d{i} IN A 198.18.1.1"]
    path.write_text("\n".join(lines) + "\n")


def write_names(path, count):
    """A zone of addresses only."""
    with open(path, "w", encoding="ascii") as out:
        out.write("$TTL 3600\n@ IN SOA ns1 hostmaster 1 7200 3600 1209600 3600\n@ IN NS ns1\nns1 IN A 198.18.0.53\n")
        for start in range(0, count, 10000):
            out.write("".join(f"h{i} A 198.18.{i >> 8 & 255}.{i & 255}\n" for i in range(start, min(count, start + 10000))))


def write_rules(path, count):
    lines = ["workstation<N> A 172.0.2.<N>"]
    for i in range(count // 2):
        lines += [f"h{i}.rules.example A 198.18.{i >> 8 & 255}.{i & 255}", f"*.ads{i}.rules.example nxdomain"]
    path.write_text("\n".join(lines) + "\n")


def dump_line(name, rcode="NOERROR", answer=(), authority=()):
    return json.dumps({"name": name, "type": "A", "rcode": rcode, "ttl": 86400, "answer": answer, "authority": authority,
                       "additional": []})


def write_dump(path, names):
    """What polluxctl cache load takes: an address of each name, and as many names that are not there."""
    soa = "cached.example. 86400 IN SOA ns1.cached.example. hostmaster.cached.example. 1 7200 3600 1209600 86400"
    lines = [json.dumps({"pollux-cache": 1, "written_s": int(time.time())})]
    for i in range(names):
        name = f"h{i}.cached.example."
        lines.append(dump_line(name, answer=[f"{name} 86400 IN A 198.18.{i >> 8 & 255}.{i & 255}"]))
        lines.append(dump_line(f"none{i}.cached.example.", "NXDOMAIN", authority=[soa]))
    path.write_text("\n".join(lines) + "\n")


def sign_zone(directory, origin, plain, *options):
    need("dnssec-signzone")
    subprocess.run(["dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", "-K", str(directory), origin],
                   check=True, capture_output=True)
    subprocess.run(["dnssec-signzone", "-z", "-P", "-S", "-o", origin, "-K", str(directory), "-f", str(directory / f"{origin}.zone"),
                    *options, str(plain)], check=True, capture_output=True, cwd=directory)
