#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same questions to Pollux and to another server of the same zone file: the same sections come back."""

import asyncio
import random

import dns.rdata
import dns.rdataset

from asking import batches, over_tcp, over_udp
from flow import *

NAMES = 1000
APEX = "peer.example"
UDP_QUESTIONS, TCP_QUESTIONS = 80000, 20000
TYPES = ["A", "AAAA", "MX", "TXT", "NS", "SOA", "CNAME", "SRV", "PTR", "DS", "CAA", "TYPE65400"]
SEED = 20261121


def make_zone(directory):
    """A zone with 1,000 names of every shape that answering treats differently."""
    choose = random.Random(SEED)
    lines = ["$TTL 3600", f"$ORIGIN {APEX}.", "@ IN SOA ns1 root 1 7200 3600 1209600 300", "@ IN NS ns1", "@ IN NS ns2",
             "@ IN MX 10 mail", '@ IN TXT "apex"', "ns1 IN A 198.18.40.1", "ns1 IN AAAA 2001:db8:40::1",
             "ns2 IN A 198.18.40.2", "mail IN A 198.18.40.3", "mail IN AAAA 2001:db8:40::3"]
    i = 0
    names = 5
    while names < NAMES:
        i += 1
        shape = choose.random()
        if shape < 0.45:
            # Sets that fill a datagram have names that nothing points to: servers differ in what they leave out
            # of additional when space is short.
            many = choose.random() < 0.15
            for n in range(30 if many else choose.randint(1, 3)):
                lines.append(f"{'f' if many else 'h'}{i} IN A 198.18.{41 + n}.{i % 250}")
            if choose.random() < 0.5:
                lines.append(f"h{i} IN AAAA 2001:db8:41::{i:x}")
            if choose.random() < 0.2:
                lines.append(f'h{i} IN TXT "{"t" * choose.randint(1, 250)}" "second"')
            names += 1
        elif shape < 0.55:
            lines.append(f"c{i} IN CNAME h{choose.randint(1, i)}")
            names += 1
        elif shape < 0.60:
            lines.append(f"x{i} IN CNAME outside.elsewhere.example.")
            names += 1
        elif shape < 0.70:
            lines += [f"s{i} IN NS ns.s{i}", f"s{i} IN NS ns1", f"ns.s{i} IN A 198.18.42.{i % 250}"]
            if choose.random() < 0.3:
                lines.append(f"s{i} IN DS {i} 13 2 {'ab' * 32}")
            names += 2
        elif shape < 0.80:
            lines.append(f"leaf.mid.e{i} IN A 198.18.43.{i % 250}")
            names += 3
        elif shape < 0.86:
            lines += [f"*.w{i} IN A 198.18.44.{i % 250}", f'*.w{i} IN TXT "wild"', f"there.w{i} IN A 198.18.45.1"]
            names += 3
        elif shape < 0.90:
            lines.append(f"*.v{i} IN CNAME h{choose.randint(1, i)}")
            names += 2
        elif shape < 0.95:
            lines += [f"_sip._udp.h{i} IN SRV 1 2 5060 h{choose.randint(1, i)}", f"_sip._udp.h{i} IN SRV 1 3 5060 mail"]
            names += 3
        else:
            lines += [f"m{i} IN MX 5 h{choose.randint(1, i)}", f"m{i} IN MX 10 mail", f"m{i} IN CAA 0 issue \"ca\""]
            names += 1
    (directory / "peer.zone").write_text("\n".join(lines) + "\n")


PEERED = Spec(prepare=make_zone, config=f"zones: [{{name: {APEX}, file: peer.zone}}]\n")


def questions(path, count, seed):
    """Random questions about what is there, what is not, and what lies in between."""
    choose = random.Random(seed)
    owners = sorted({line.split()[0] for line in path.read_text().splitlines()[2:]} - {"@"})
    for _ in range(count):
        owner = choose.choice(owners)
        shape = choose.random()
        if shape < 0.08:
            name = APEX
        elif shape < 0.16:
            name = f"nope{choose.randint(0, 99)}.{APEX}"
        elif shape < 0.26:
            name = f"{choose.choice('xyz')}.{owner.removeprefix('*.')}.{APEX}"
        elif shape < 0.32:
            name = f"a.{choose.choice('xyz')}.{owner.removeprefix('*.')}.{APEX}"
        elif shape < 0.42 and "." in owner:
            name = f"{owner.split('.', 1)[1]}.{APEX}"
        elif shape < 0.46:
            name = f"not{APEX}"
        else:
            name = f"{owner}.{APEX}"
        if choose.random() < 0.4:
            name = "".join(choose.choice((c.upper(), c.lower())) for c in name)
        kind = choose.choice(TYPES) if choose.random() < 0.5 else choose.choice(("A", "A", "AAAA", "MX"))
        flags = choose.choice((0x0000, 0x0100, 0x0110))
        wire = query_wire(name, kind, ident=choose.getrandbits(16), flags=flags)
        edns = choose.random()
        if edns < 0.6:
            wire = wire[:11] + b"\1" + wire[12:] + b"\0" + struct.pack(
                "!HHIH", 41, choose.choice((512, 1232, 4096)), 0x8000 if edns < 0.3 else 0, 0)
        yield wire


def normal(reply):
    """What must be the same: question, rcode, flags, and each section as a set; a truncated answer only as such."""
    message = dns.message.from_wire(reply, ignore_trailing=False)
    flags = message.flags & (dns.flags.QR | dns.flags.AA | dns.flags.TC | dns.flags.RD | dns.flags.RA)
    head = (message.id, message.rcode(), dns.flags.to_text(flags), reply[12:reply.index(0, 12) + 5])
    if flags & dns.flags.TC:
        return head
    return (*head, *(tuple(sorted(f"{rrset.name.to_text().lower()} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata.to_text().lower()}"
                                  for rrset in section for rdata in rrset))
                     for section in (message.answer, message.authority, message.additional)))


def compare(rig, count, seed, ask):
    peer = next((helper for helper in rig.helpers if isinstance(helper, Knot)), None) or Knot(
        rig, {APEX: rig.dir / "peer.zone"})

    async def everything():
        asked, shapes, wrong = 0, {}, []
        for batch in batches(questions(rig.dir / "peer.zone", count, seed)):
            ours, theirs = await asyncio.gather(ask((SERVICE_4, 53), batch), ask((peer.address, 53), batch))
            for wire, one, other in zip(batch, ours, theirs):
                asked += 1
                if one == other:
                    found = expected = None
                else:
                    found, expected = normal(one), normal(other)
                if found != expected:
                    wrong.append((wire, found, expected))
                shape = dns.rcode.to_text(other[3] & 15)
                shapes[shape] = shapes.get(shape, 0) + 1
            if len(wrong) > 20:
                break
        return asked, shapes, wrong
    asked, shapes, wrong = asyncio.run(everything())
    comment(f"{asked} questions: {shapes}")
    if wrong:
        shown = [f"{dns.message.from_wire(wire).question[0]} flags {wire[2:4].hex()} {'EDNS' if wire[11] else ''}\n   ours   {found}\n   theirs {expected}"
                 for wire, found, expected in wrong[:6]]
        raise Failure(f"{len(wrong)} of {asked} differ, such as\n" + "\n".join(shown))
    same(asked, count, "questions asked")


@test(PEERED)
def ten_thousand_questions_are_answered_as_knot_answers_them(rig):
    compare(rig, 10000, SEED, over_udp)


@test(PEERED, long=True, time_s=400)
def eighty_thousand_more_over_udp_are_answered_as_knot_answers_them(rig):
    compare(rig, UDP_QUESTIONS, SEED + 1, over_udp)


@test(PEERED, time_s=300)
def twenty_thousand_over_tcp_are_answered_as_knot_answers_them(rig):
    compare(rig, TCP_QUESTIONS, SEED + 2, over_tcp)


if __name__ == "__main__":
    main()
