#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same random questions to Pollux, Knot, NSD and BIND, all with the same zones: Pollux is never alone with its
answer against all three, unless DIFFERENCES says why."""

import asyncio
import random
from collections import Counter

import signed
from asking import batches, over_tcp, over_udp
from flow import *

SEED = 20261122
KNOT, NSD, BIND = "198.18.0.2", "198.18.0.3", "198.18.0.4"
UDP_SIZE = 1232
CNAME, DNAME, ANY = 5, 39, 255
SIGNED = ["nsec.bind.test", "nsec3.bind.test", "optout.bind.test"]
PLAIN = "features.test"

# The root beside its own descendants, a zone between, one that its parent does not delegate, one whose parent does,
# aliases and DNAMEs from each to each.
ROOT_ZONE = """$TTL 86400
. SOA ns.test. root.test. 1 7200 3600 1209600 86400
. NS ns.test.
ns.test. A 198.18.0.53
test. NS ns.test.
elsewhere. NS ns.elsewhere.
ns.elsewhere. A 198.18.33.1
direct. TXT "at the top"
*.any. A 198.18.33.2
over. DNAME features.test.
"""
MIDDLE_ZONE = """$TTL 3600
@ SOA ns root 1 7200 3600 1209600 60
@ NS ns
ns A 198.18.0.53
features NS ns
bind TXT "not a cut"
nsec.bind NS ns
to-child CNAME host.features
to-signed CNAME q.wild.nsec.bind
to-ds CNAME features
to-hidden CNAME host.hidden.features
to-root CNAME direct.
to-wild CNAME x.any.
to-cut CNAME www.elsewhere.
dname-child DNAME features
dname-signed DNAME nsec.bind
dname-root DNAME over.
dname-loop DNAME dname-loop.dname-loop
"""
HIDDEN_ZONE = """$TTL 60
@ SOA ns root 1 7200 3600 1209600 60
@ NS ns
ns A 198.18.0.53
host A 198.18.34.1
up CNAME host.features.test.
* CNAME host
"""


def make_zones(directory):
    for zone in SIGNED:
        signed.make_one(directory, zone)
    signed.write(directory, PLAIN, signed.features())
    for zone, text in (("root", ROOT_ZONE), ("test", MIDDLE_ZONE), (f"hidden.{PLAIN}", HIDDEN_ZONE)):
        origin = "." if zone == "root" else f"{zone}."
        (directory / f"{zone}.zone").write_text(f"$ORIGIN {origin}\n{text}", encoding="ascii")


APART = {PLAIN: f"{PLAIN}.zone"}
for one in SIGNED:
    APART |= {one: f"{one}.signed", f"safe.{one}": f"safe.{one}.signed", f"plain.{one}": f"plain.{one}.zone"}
FAMILY = {**APART, ".": "root.zone", "test": "test.zone", f"hidden.{PLAIN}": f"hidden.{PLAIN}.zone"}


def serving(zones):
    return Spec(prepare=make_zones, zone_list="".join(f"{zone}\t{{dir}}/{file}\n" for zone, file in zones.items()))


ALONE, TOGETHER = serving(APART), serving(FAMILY)


# The peers

class Peer:
    """A name server in this namespace: a program, its configuration, its address."""

    def __init__(self, rig, name, address, command, configuration):
        self.dir = Path(tempfile.mkdtemp(dir=rig.dir, prefix=f"{name}-"))
        self.name, self.address = name, address
        (self.dir / "conf").write_text(configuration(self.dir))
        rig.helpers.append(self)
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen([word.format(dir=self.dir) for word in command], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        wait_until(self.answers, f"{name} answers", 20, 0.05)

    def answers(self):
        check(self.process.poll() is None, self.name, "ended:", (self.dir / "log").read_text(errors="replace"))
        try:
            reply = dns.query.udp(dns.message.make_query(PLAIN, "SOA"), self.address, timeout=0.2)
            return reply.rcode() == 0
        except (OSError, dns.exception.Timeout):
            return None

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start_peers(rig, zones):
    def knot(directory):
        return (f"server:\n  rundir: {directory}\n  listen: {KNOT}@53\n  udp-max-payload: {UDP_SIZE}\n  udp-workers: 1\n"
                f"  tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: {directory}\nlog:\n  - target: stderr\n"
                "    any: info\nzone:\n" + "".join(
                    f"  - domain: {zone}\n    file: {rig.dir}/{file}\n    zonefile-sync: -1\n    journal-content: none\n"
                    f"    semantic-checks: soft\n" for zone, file in zones.items()))

    def nsd(directory):
        return (f'server:\n  ip-address: {NSD}\n  username: ""\n  chroot: ""\n  zonesdir: "{rig.dir}"\n  database: ""\n'
                f'  pidfile: "{directory}/pid"\n  xfrdfile: "{directory}/xfrd"\n  zonelistfile: "{directory}/list"\n'
                f"  xfrdir: \"{directory}\"\n  server-count: 1\n  ipv4-edns-size: {UDP_SIZE}\n  refuse-any: no\n  minimal-responses: no\n"
                "remote-control:\n  control-enable: no\n" + "".join(
                    f'zone:\n  name: "{zone}"\n  zonefile: "{file}"\n' for zone, file in zones.items()))

    def bind(directory):
        return (f'options {{ directory "{rig.dir}"; pid-file "{directory}/pid"; session-keyfile "{directory}/key"; lock-file none;\n'
                f"listen-on {{ {BIND}; }}; listen-on-v6 {{ none; }}; recursion no; minimal-responses no-auth; minimal-any no;\n"
                f"dnssec-validation no; notify no; empty-zones-enable no; check-names primary ignore; check-integrity no;\n"
                f"max-udp-size {UDP_SIZE}; edns-udp-size {UDP_SIZE}; nocookie-udp-size {UDP_SIZE}; rate-limit {{ responses-per-second 0; }};\n"
                f"tcp-clients 100; }};\ncontrols {{ }};\n" + "".join(
                    f'zone "{zone}" {{ type primary; file "{file}"; }};\n' for zone, file in zones.items()))

    return [Peer(rig, "knot", KNOT, ["/usr/sbin/knotd", "-c", "{dir}/conf"], knot),
            Peer(rig, "nsd", NSD, ["/usr/sbin/nsd", "-d", "-c", "{dir}/conf"], nsd),
            Peer(rig, "bind", BIND, ["/usr/sbin/named", "-g", "-n", "1", "-c", "{dir}/conf"], bind)]


# Questions

def table_of_types():
    rows = re.findall(r"^RR\((\w+), +(\d+)", (ROOT / "include/pollux/rrtype.def").read_text(), re.M)
    return {name: int(code) for name, code in rows}


def owners(directory, zones):
    """Every name of every zone, hashed ones included."""
    found = []
    for zone, file in zones.items():
        origin = dns.name.from_text(zone)
        text = signed.unfolded(directory, zone, file)
        found += sorted({dns.name.from_text(line.split()[0], origin) for line in text.splitlines() if line})
    return found


def questions(names, count, seed):
    choose = random.Random(seed)
    table = table_of_types()
    every = [code for name, code in table.items() if name not in ("AXFR", "IXFR", "OPT")]
    usual = [table[name] for name in ("A", "A", "A", "AAAA", "MX", "TXT", "NS", "SOA", "CNAME", "DNAME", "SRV", "DS", "DNSKEY")] + [255]
    links = [table[name] for name in ("RRSIG", "NSEC", "NSEC3", "NSEC3PARAM")]
    odd_labels = [b"x", b"*", b"\0", b"\xff", b"zz", b"a.b", b"m" * 63]
    while count:
        name = choose.choice(names)
        shape = choose.random()
        if shape < 0.12:
            name = dns.name.Name((choose.choice(odd_labels), *name.labels)) if len(name.to_wire()) < 180 else name
        elif shape < 0.2:
            name = dns.name.Name((choose.choice(odd_labels), choose.choice(odd_labels[:5]), *name.labels)) if len(name.to_wire()) < 120 else name
        elif shape < 0.3 and len(name) > 2:
            name = name.parent()
        elif shape < 0.36 and len(name) > 2:
            label = name.labels[0]
            name = dns.name.Name((label[:-1] + bytes([(label[-1] + choose.choice((-1, 1))) & 255]), *name.labels[1:]))
        elif shape < 0.42 and name.labels[0] == b"*":
            name = dns.name.Name((choose.choice(odd_labels), *name.labels[1:]))
        wire = name.to_wire()
        if choose.random() < 0.3:
            wire = bytes(octet ^ 0x20 if 65 <= octet & ~0x20 <= 90 and choose.random() < 0.5 else octet for octet in wire)
        share = choose.random()
        kind = (choose.choice(usual) if share < 0.6 else choose.choice(every) if share < 0.85
                else choose.choice(links) if share < 0.95 else choose.randint(256, 65535))
        edns = choose.random() < 0.75
        head = struct.pack("!6H", choose.getrandbits(16), choose.choice((0, 0x0100, 0x0110)), 1, 0, 0, int(edns))
        wire = head + wire + struct.pack("!2H", kind, 1)
        if edns:
            size, do = choose.choice((0, 512, 700, 1000, 1232, 1400, 4096)), choose.choice((0, 0x8000, 0x8000))
            wire += b"\0" + struct.pack("!HHIH", 41, size, do, 0)
        yield wire
        count -= 1


# Replies

class Reply:
    """What must be the same: flags, rcode, and each section as a set of records."""

    def __init__(self, wire):
        self.wire, self.at = wire, 12
        _, flags, questions_, *counts = struct.unpack("!6H", wire[:12])
        self.flags, self.rcode = flags & 0x8580, flags & 15
        self.edns = False
        self.question, self.name_bytes = b"", 0
        if questions_:
            self.question, self.name_bytes = self.name(), self.at - 12
            self.at += 4
        self.sections = tuple(frozenset(self.records(count)) for count in counts)
        check(self.at == len(wire), "octets behind the message", wire.hex())
        self.truncated = bool(flags & 0x0200)

    def name(self):
        wire, at, labels, after = self.wire, self.at, [], None
        while wire[at]:
            if wire[at] >= 0xc0:
                after = after or at + 2
                at = (wire[at] & 0x3f) << 8 | wire[at + 1]
                continue
            labels.append(wire[at:at + wire[at] + 1].lower())
            at += wire[at] + 1
        self.at = after or at + 1
        return b"".join(labels)

    # Octets of RDATA before, and how many, names that may be compressed (RFC 3597 4).
    NAMES = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 15: (2, 1), 39: (0, 1), 33: (6, 1), 3: (0, 1), 4: (0, 1), 7: (0, 1),
             8: (0, 1), 9: (0, 1), 14: (0, 2), 17: (0, 2), 18: (2, 1), 21: (2, 1), 26: (2, 2), 36: (2, 1)}

    def records(self, count):
        for _ in range(count):
            owner = self.name()
            kind, class_, ttl, length = struct.unpack("!HHIH", self.wire[self.at:self.at + 10])
            self.at += 10
            end = self.at + length
            if kind == 41:
                self.edns, self.rcode = True, self.rcode | ttl >> 24 << 4
                self.at = end
                continue
            before, names = self.NAMES.get(kind, (0, 0))
            rdata = self.wire[self.at:self.at + before]
            self.at += before
            for _ in range(names):
                rdata += self.name()
            rdata += self.wire[self.at:end]
            self.at = end
            yield owner, kind, class_, ttl, rdata

    def parts(self):
        """Name of a part -> what must be the same in some peer's reply."""
        parts = {"head": (self.flags, self.rcode, self.edns, self.truncated)}
        if not self.truncated:
            parts |= dict(zip(("answer", "authority", "additional"), self.sections))
        return parts

    def text(self):
        """What dig would show, in one line for each section."""
        message = dns.message.from_wire(self.wire, ignore_trailing=True)
        lines = [f"{len(self.wire)} octets, {dns.rcode.to_text(message.rcode())}, {dns.flags.to_text(message.flags)}"]
        for section in (message.answer, message.authority, message.additional):
            lines.append("; ".join(f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)}" + (
                f" {rrset.covers:d}" if rrset.rdtype == 46 else f" {len(rrset)}") for rrset in section))
        return "\n      ".join(lines)


def lonely_parts(ours, theirs):
    """The parts in which no peer agrees with us."""
    return [part for part, value in ours.parts().items() if not any(other.parts().get(part) == value for other in theirs)]


def end_of_chain(answer, name):
    """Where the CNAMEs among these records lead from a name; None: in a circle."""
    aliases = {owner: rdata for owner, kind, _, _, rdata in answer if kind == CNAME}
    passed = set()
    while name in aliases:
        if name in passed:
            return None
        passed.add(name)
        name = aliases[name]
    return name


class Whole:
    """What a server says over TCP, where nothing is cut off. Most servers end a chain of aliases where it leaves
    the zone, so `last` is what they say themselves about the name it leads to, and `answer` all together."""

    def __init__(self, first):
        self.first = self.last = first
        self.answer = first.sections[0]
        self.authority = first.sections[1]

    async def complete(self, ask_again, name, kind):
        asked = {name}
        if kind == CNAME or (kind == ANY and not any(record[1] == DNAME for record in self.answer)):
            return self  # the alias itself is what was asked for
        while (end := end_of_chain(self.answer, name)) is not None and end not in asked:
            asked.add(end)
            if any(owner == end for owner, *_ in self.answer):
                break
            reply = await ask_again(end)
            if reply.rcode == dns.rcode.REFUSED:
                break
            self.last = reply
            self.answer |= reply.sections[0]
            self.authority |= reply.sections[1]
        return self

    def agrees(self, part, ours):
        """`ours` is a reply over TCP."""
        if part == "head":
            return (ours.flags, ours.rcode, ours.edns) == (self.first.flags, self.last.rcode, self.first.edns)
        if part == "answer":
            return ours.sections[0] == self.answer
        if part == "authority":
            return self.last.sections[1] <= ours.sections[1] <= self.authority
        return ours.sections[2] == self.last.sections[2]


async def second_look(wire, peers):
    """The parts in which Pollux is alone even so."""
    kind = struct.unpack("!H", wire[-15 if wire[11] else -4:][:2])[0]
    question = Reply(wire[:4] + b"\0\1\0\0\0\0\0\0" + wire[12:len(wire) - (11 if wire[11] else 0)])
    ours = Reply((await over_tcp((SERVICE_4, 53), [wire]))[0])
    theirs = []
    for peer in peers:
        async def ask_again(name, peer=peer):
            again = wire[:12] + name + b"\0" + wire[12 + question.name_bytes:]
            return Reply((await over_tcp((peer.address, 53), [again]))[0])
        first = Reply((await over_tcp((peer.address, 53), [wire]))[0])
        theirs.append(await Whole(first).complete(ask_again, question.question, kind))
    return ours, [part for part in ("head", "answer", "authority", "additional") if not any(whole.agrees(part, ours) for whole in theirs)]


# Why Pollux may be alone against all three: parts, whether it is this case, the reason.
DIFFERENCES = [
    ({"answer"}, lambda name, kind: kind == ANY,
     "ANY over TCP: all RRsets are given; Knot and NSD give one (RFC 8482), BIND adds RRSIGs without DO"),
    ({"additional"}, lambda name, kind: kind == ANY, "ANY over TCP: addresses go with each RRset, BIND adds none"),
    ({"head", "answer"}, lambda name, kind: b"\x0adname-loop\x04test" in name,
     "a chain that would never end: each server gives up after a number of steps of its own, BIND with SERVFAIL"),
]


def reason_for(part, name, kind):
    return next((reason for parts, is_this, reason in DIFFERENCES if part in parts and is_this(name, kind)), None)


def limit_of(wire):
    return min(max(512, struct.unpack("!H", wire[-8:-6])[0]), UDP_SIZE) if wire[11] else 512


def compare(rig, zones, count, seed, ask):
    peers = [helper for helper in rig.helpers if isinstance(helper, Peer)] or start_peers(rig, zones)
    names = owners(rig.dir, zones)
    shapes, reasons, unlike, wrong = Counter(), Counter(), Counter(), []

    async def judge(wire, mine, others):
        end = 16 + Reply(mine).name_bytes
        same(mine[12:end], wire[12:end], "the question in the reply")
        ours, theirs = Reply(mine), [Reply(other) for other in others]
        shapes[f"{dns.rcode.to_text(ours.rcode)}{' TC' if ours.truncated else ''}"] += 1
        for peer, other in zip(peers, theirs):
            unlike[peer.name] += other.parts() != ours.parts()
        if not lonely_parts(ours, theirs):
            return
        whole, lonely = await second_look(wire, peers)
        if ours.truncated and len(whole.wire) <= limit_of(wire):
            lonely.append("TC")
        for part in lonely:
            kind = struct.unpack("!H", wire[-15 if wire[11] else -4:][:2])[0]
            reason = reason_for(part, ours.question, kind)
            if reason:
                reasons[reason] += 1
            else:
                wrong.append((part, wire, ours, theirs))

    async def everything():
        for batch in batches(questions(names, count, seed)):
            replies = await asyncio.gather(ask((SERVICE_4, 53), batch), *(ask((peer.address, 53), batch) for peer in peers))
            for wire, mine, *others in zip(batch, *replies):
                await judge(wire, mine, others)
    asyncio.run(everything())
    comment(f"{count} questions: {dict(shapes)}; not the same word by word as {dict(unlike)}")
    for reason, times in reasons.items():
        comment(f"alone {times} times, for a reason: {reason}")
    if wrong:
        comment(f"{Counter(part for part, *_ in wrong)}")
        shown = []
        for part, wire, ours, theirs in wrong[:int(os.environ.get("SHOW", "4"))]:
            asked = dns.message.from_wire(wire)
            shown.append(f"{part}: {asked.question[0]} {'EDNS ' + str(asked.payload) if wire[11] else ''} {'DO' if asked.ednsflags & 0x8000 else ''}\n  ours {ours.text()}\n" + "\n".join(
                f"  {peer.name} {other.text()}" for peer, other in zip(peers, theirs)))
        raise Failure(f"alone {len(wrong)} times, such as\n" + "\n".join(shown))


@test(ALONE, time_s=300)
def twelve_thousand_questions_over_udp_about_zones_beside_each_other(rig):
    compare(rig, APART, 12000, SEED, over_udp)


@test(ALONE, time_s=300)
def six_thousand_questions_over_tcp_about_zones_beside_each_other(rig):
    compare(rig, APART, 6000, SEED + 1, over_tcp)


@test(TOGETHER, time_s=300)
def six_thousand_questions_over_udp_about_zones_inside_each_other_below_the_root(rig):
    compare(rig, FAMILY, 6000, SEED + 2, over_udp)


@test(TOGETHER, time_s=300)
def three_thousand_questions_over_tcp_about_zones_inside_each_other_below_the_root(rig):
    compare(rig, FAMILY, 3000, SEED + 3, over_tcp)


if __name__ == "__main__":
    main()
