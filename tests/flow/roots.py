# SPDX-License-Identifier: BSD-3-Clause
"""A small Internet of three servers: root, top-level domains, and what is below, signed and not."""

import re
import subprocess
import time

from flow import FakeServer, Knot, answering

ROOT_AT, TLD_AT, LEAF_AT, EVIL_AT, MUTE_AT, VICTIM_AT = (f"198.18.0.{n}" for n in range(2, 8))

SOA = "$TTL 3600\n@ IN SOA ns hostmaster 1 7200 3600 1209600 300\n"
HINTS = f". 3600000 NS a.roots.\na.roots. 3600000 A {ROOT_AT}\n"

ZONES = {
    ".": f"""$TTL 3600
. IN SOA a.roots. hostmaster.roots. 1 7200 3600 1209600 300
. NS a.roots.
a.roots. A {ROOT_AT}
example. NS ns.nic.example.
ns.nic.example. A {TLD_AT}
plain. NS ns.nic.plain.
ns.nic.plain. A {TLD_AT}
evil. NS ns.evil.
ns.evil. A {EVIL_AT}
victim. NS ns.victim.
ns.victim. A {VICTIM_AT}
mute. NS ns.mute.
ns.mute. A {MUTE_AT}
lame. NS ns.lame.
ns.lame. A {LEAF_AT}
""",
    "example": SOA + f"""
@ NS ns.nic
ns.nic A {TLD_AT}
good NS ns.good
ns.good A {LEAF_AT}
broken NS ns.broken
ns.broken A {LEAF_AT}
expired NS ns.expired
ns.expired A {LEAF_AT}
unsigned NS ns.unsigned
ns.unsigned A {LEAF_AT}
unsigned DS 12345 13 2 {"ab" * 32}
island NS ns.island
ns.island A {LEAF_AT}
glueless NS ns.hosts.plain.
half NS ns.lame-half
half NS ns.good
ns.lame-half A {ROOT_AT}
""",
    "plain": SOA + f"""
@ NS ns.nic
ns.nic A {TLD_AT}
ns.hosts A {LEAF_AT}
www A 198.18.40.20
""",
    "good.example": SOA + f"""
@ NS ns
ns A {LEAF_AT}
@ MX 10 www
www A 198.18.40.1
www AAAA 2001:db8:40::1
alias CNAME www
away CNAME www.plain.
cycle1 CNAME cycle2
cycle2 CNAME cycle1
big TXT "{"t" * 200}" "{"t" * 200}" "{"t" * 200}" "{"t" * 200}" "{"t" * 200}" "{"t" * 200}" "{"t" * 200}"
*.wild A 198.18.40.2
short 2 A 198.18.40.3
""",
    "broken.example": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.4\n",
    "expired.example": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.5\n",
    "unsigned.example": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.6\n",
    "island.example": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.7\n",
    "glueless.example": SOA + "@ NS ns.hosts.plain.\nwww A 198.18.40.8\n",
    "half.example": SOA + "@ NS ns.lame-half.example.\n@ NS ns.good.example.\nwww A 198.18.40.9\n",
    "corp": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.10\nsub NS ns.sub\nns.sub A {TLD_AT}\n",
    "sub.corp": SOA + f"@ NS ns\nns A {TLD_AT}\nwww A 198.18.40.11\n",
    "18.198.in-addr.arpa": SOA + f"@ NS ns.corp.\n1.40 PTR www.good.example.\n",
    "10.in-addr.arpa": SOA + f"@ NS ns.corp.\n1.0.0 PTR www.corp.\n",
}
# From the leaves up, so that each parent takes the DS records of its children.
SIGNED = {"good.example": (), "broken.example": (), "expired.example": ("-P", "-s", "20200101000000", "-e", "20200201000000"),
          "island.example": (), "example": (), ".": ()}
WITHOUT_DS = {"island.example"}
SERVERS = {
    ROOT_AT: ["."],
    TLD_AT: ["example", "plain", "sub.corp"],
    LEAF_AT: ["good.example", "broken.example", "expired.example", "unsigned.example", "island.example", "glueless.example",
              "half.example", "corp", "18.198.in-addr.arpa", "10.in-addr.arpa"],
}


def run(*command, cwd):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, cwd=cwd,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\nends with {done.returncode}: {done.stdout}{done.stderr}")


def file_name(zone):
    return "root" if zone == "." else zone


def sign(directory, zone, options):
    name = file_name(zone)
    run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", zone, cwd=directory)
    run("dnssec-signzone", "-q", "-S", "-z", "-O", "full", "-N", "keep", "-g", "-o", zone, "-f", f"{name}.signed", *options,
        f"{name}.zone", cwd=directory)


def prepare(directory):
    """Zone files, hints and the root's trust anchor."""
    for zone, text in ZONES.items():
        (directory / f"{file_name(zone)}.zone").write_text(text)
    for zone, options in SIGNED.items():
        sign(directory, zone, options)
        if zone in WITHOUT_DS:
            (directory / f"dsset-{zone}.").unlink()
    signed = (directory / "broken.example.signed").read_text()
    (directory / "broken.example.signed").write_text(re.sub(r"(www\S*\s.*\sA\s+)198\.18\.40\.4", r"\g<1>198.18.40.44", signed))
    (directory / "hints").write_text(HINTS)
    (directory / "anchor").write_text(next(directory.glob("K.+*.key")).read_text())


class Tree:
    """The servers, in the namespace this process is in."""

    def __init__(self, rig):
        self.server = {}
        for address, zones in SERVERS.items():
            files = {zone: rig.dir / f"{file_name(zone)}.{'signed' if zone in SIGNED else 'zone'}" for zone in zones}
            self.server[address] = Knot(rig, files, address)


def tree(rig):
    """That of this rig."""
    if not hasattr(rig, "tree"):
        rig.tree = Tree(rig)
    return rig.tree
