# SPDX-License-Identifier: BSD-3-Clause
"""A small Internet of three servers: root, top-level domains, and what is below, signed and not."""

import concurrent.futures
import re
import subprocess
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from flow import FakeServer, Knot, answering

ROOT_AT, TLD_AT, LEAF_AT, EVIL_AT, MUTE_AT, VICTIM_AT = (f"198.18.0.{n}" for n in range(2, 8))

LEAF_AT_6 = "2001:db8:53::4"

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
six NS ns.six
ns.six AAAA {LEAF_AT_6}
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
    "broken.example": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.4\nother A 198.18.40.4\n",
    "expired.example": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.5\n",
    "unsigned.example": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.6\n",
    "island.example": SOA + f"@ NS ns\nns A {LEAF_AT}\nwww A 198.18.40.7\n",
    "glueless.example": SOA + "@ NS ns.hosts.plain.\nwww A 198.18.40.8\n",
    "half.example": SOA + "@ NS ns.lame-half.example.\n@ NS ns.good.example.\nwww A 198.18.40.9\n",
    "six.plain": SOA + f"@ NS ns\nns AAAA {LEAF_AT_6}\nwww A 198.18.40.12\n",
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
    LEAF_AT_6: ["six.plain"],
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
    (directory / "dsset-unsigned.example.").write_text(f"unsigned.example. IN DS 12345 13 2 {'AB' * 32}\n")
    for zone, options in SIGNED.items():
        sign(directory, zone, options)
        if zone in WITHOUT_DS:
            (directory / f"dsset-{zone}.").unlink()
    signed = (directory / "broken.example.signed").read_text()
    (directory / "broken.example.signed").write_text(re.sub(r"(\sA\s+)198\.18\.40\.4\b", r"\g<1>198.18.40.44", signed))
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


# A server that means no good

NXNS_NAMES = 60


def referral(query, zone, servers):
    response = dns.message.make_response(query)
    response.authority.append(dns.rrset.from_text(zone, 3600, "IN", "NS", *servers))
    return response


def answer(query, *rrsets, rcode=0):
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA
    response.set_rcode(rcode)
    response.answer += [dns.rrset.from_text(*words) for words in rrsets]
    return response


def chain(query, owner, labels):
    """An alias of an alias without end."""
    number = int(labels[0][1:]) if labels[0][:1] == "n" else 0
    return answer(query, (owner, 60, "IN", "CNAME", f"n{number + 1}.{'.'.join(labels[-4:])}"))


def poison(query, owner, _):
    """Records that are nobody's business here."""
    response = answer(query, (owner, 60, "IN", "A", "198.18.41.2"), ("www.plain.", 60, "IN", "A", "198.18.66.66"))
    response.authority.append(dns.rrset.from_text("plain.", 60, "IN", "NS", "ns.evil."))
    response.additional.append(dns.rrset.from_text("ns.nic.plain.", 60, "IN", "A", EVIL_AT))
    return response


def slow(query, owner, _):
    time.sleep(0.15)
    return answer(query, (owner, 60, "IN", "A", "198.18.41.4"))


TRICKS = {
    # NXNSAttack: refers to many names that somebody else has to be asked for
    "nxns": lambda query, owner, labels: referral(query, ".".join(labels[-3:]),
                                                  [f"n{i}.{labels[-3]}.victim." for i in range(NXNS_NAMES)]),
    # TsuNAME: two zones whose servers are in the other one
    "here": lambda query, owner, labels: referral(query, ".".join(labels[-3:]), [f"ns.there{labels[-3][4:]}.evil."]),
    "there": lambda query, owner, labels: referral(query, ".".join(labels[-3:]), [f"ns.here{labels[-3][5:]}.evil."]),
    "self": lambda query, owner, labels: referral(query, owner, [f"ns.{owner}"]),
    "chain": chain,
    "poison": poison,
    "slow": slow,
    "class": lambda query, owner, labels: answer(query, (owner, 60, "CH", "A", "x. 1"), (owner, 60, "IN", "A", "198.18.41.1")),
    "mute": lambda query, owner, labels: None,
    "servfail": lambda query, owner, labels: answer(query, rcode=dns.rcode.SERVFAIL),
}


def evil(query):
    """What it does is in the second label, digits aside: www.nxns7.evil."""
    owner = query.question[0].name.to_text()
    labels = owner.lower().split(".")
    if len(labels) < 3:
        return answer(query)
    trick = TRICKS.get(labels[-3].rstrip("0123456789"))
    return trick(query, owner, labels) if trick else answer(query, (owner, 60, "IN", "A", "198.18.41.9"))


class Threaded(FakeServer):
    """Whoever is slow keeps nobody else waiting."""

    def serve(self):
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            while self.running:
                try:
                    wire, client = self.socket.recvfrom(65535)
                except TimeoutError:
                    continue
                self.queries.append((time.monotonic(), client, wire))
                pool.submit(self.answer, wire, client)

    def answer(self, wire, client):
        if (reply := self.reply(wire)) is not None:
            self.socket.sendto(reply, client)


class Evil:
    """Both sides of an attack, with what they heard."""

    def __init__(self, rig):
        self.attacker = Threaded(rig, answering(evil), EVIL_AT)
        self.victim = FakeServer(rig, answering(lambda query: answer(query, rcode=dns.rcode.NXDOMAIN)), VICTIM_AT)
        self.mute = FakeServer(rig, lambda wire: None, MUTE_AT)

    def heard(self):
        return len(self.attacker.queries), len(self.victim.queries)


def evil_of(rig):
    if not hasattr(rig, "evil"):
        rig.evil = Evil(rig)
    return rig.evil
