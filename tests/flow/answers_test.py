#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the zones answer, over UDP and TCP, IPv4 and IPv6, asked by dig, kdig and dnspython."""

from flow import *

SERVED = Spec(config=f"""
zones:
  - {{name: example-domain.com, file: {ROOT}/zones/samples/example-domain.com.zone}}
  - {{name: 16.0.123.in-addr.arpa, file: {ROOT}/zones/samples/16.0.123.in-addr.arpa.zone}}
  - {{name: test.example, file: "{{zones}}/test.example.zone"}}
  - {{name: child.test.example, file: "{{zones}}/child.test.example.zone"}}
ports:
  - {{device: any, addresses: [198.18.0.54/24, "2001:db8:53::54/64"]}}
""")
SOA = "ns1.example-domain.com. root.example-domain.com. 2003010601 3600 3600 3600 3600"
SOA_LINE = f"example-domain.com. 3600 IN SOA {SOA}"
WAYS = [(over, to) for over in ("udp", "tcp") for to in (SERVICE_4, SERVICE_6)]


def texts(section):
    return sorted(f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}"
                  for rrset in section for rdata in rrset)


def flags_of(message):
    return set(dns.flags.to_text(message.flags).lower().split())


def answers(message):
    return [text.split(" ", 1)[1].split(" ", 1)[1] for text in texts(message.answer)]


@test(SERVED)
def a_zone_answers_over_udp_and_tcp_and_ip4_and_ip6(rig):
    for over, to in WAYS:
        reply = rig.ask("example-domain.com", "A", over=over, to=to)
        same(texts(reply.answer), ["example-domain.com. 3600 A 127.0.0.1"], f"{over} to {to}")
        same(flags_of(reply), {"qr", "aa", "rd"}, f"flags over {over} to {to}")


@test(SERVED)
def dig_gets_the_same_over_both_transports(rig):
    for words in ([], ["+tcp"]):
        same(rig.dig("example-domain.com", "A", "+short", *words).lines, ["127.0.0.1"], words)


@test(SERVED)
def kdig_gets_the_same_over_both_transports_and_families(rig):
    for words in ([], ["+tcp"]):
        for to in (SERVICE_4, SERVICE_6):
            done = run("kdig", f"@{to}", "+short", "+retry=0", *words, "example-domain.com", "A")
            same(done.stdout.strip(), "127.0.0.1", f"kdig {words} @{to}")


@test(SERVED)
def any_over_tcp_shows_every_rrset_of_the_name(rig):
    found = rig.dig("-t", "any", "example-domain.com")
    same(set(found.answer), {SOA_LINE, "example-domain.com. 3600 IN A 127.0.0.1",
                             "example-domain.com. 3600 IN NS ns1.example-domain.com.",
                             "example-domain.com. 3600 IN MX 0 mail.example-domain.com."})
    check("mail.example-domain.com. 3600 IN A 123.0.16.43" in found.additional, found.text)
    same(found.flags, {"qr", "aa", "rd"})
    same(found.status, "NOERROR")


@test(SERVED)
def any_over_udp_shows_one_rrset(rig):
    reply = rig.ask("example-domain.com", "ANY")
    same(len(reply.answer), 1, "RRsets over UDP")


@test(SERVED)
def a_cname_is_followed_inside_the_zone(rig):
    found = rig.dig("www.example-domain.com", "A")
    same(found.answer, ["www.example-domain.com. 3600 IN CNAME example-domain.com.",
                        "example-domain.com. 3600 IN A 127.0.0.1"])
    check("aa" in found.flags, found.flags)
    found = rig.dig("www.example-domain.com", "MX")
    same(found.answer, ["www.example-domain.com. 3600 IN CNAME example-domain.com.",
                        "example-domain.com. 3600 IN MX 0 mail.example-domain.com."])
    check("mail.example-domain.com. 3600 IN A 123.0.16.43" in found.additional, found.text)


@test(SERVED)
def a_missing_name_is_nxdomain_with_the_soa(rig):
    found = rig.dig("nope.example-domain.com", "A")
    same((found.status, found.answer, found.authority), ("NXDOMAIN", [], [SOA_LINE]))
    check("aa" in found.flags, found.flags)


@test(SERVED)
def a_missing_type_is_an_empty_answer_with_the_soa(rig):
    for kind in ("AAAA", "TYPE65280"):
        found = rig.dig("mail.example-domain.com", kind)
        same((found.status, found.answer, found.authority), ("NOERROR", [], [SOA_LINE]), kind)
        check("aa" in found.flags, found.flags)


@test(SERVED)
def the_negative_ttl_is_the_smaller_of_soa_ttl_and_minimum(rig):
    for name, kind in (("nope.test.example", "A"), ("host.test.example", "AAAA")):
        same([rrset.ttl for rrset in rig.ask(name, kind).authority], [300], f"SOA TTL for {name} {kind}")


@test(SERVED)
def the_soa_comes_back_field_by_field(rig):
    same(rig.dig("example-domain.com", "SOA", "+short").lines, [SOA])


@test(SERVED)
def the_question_is_echoed_in_the_case_it_was_asked(rig):
    found = rig.dig("ExAmPlE-DoMaIn.CoM", "SOA")
    same(found.question, ["ExAmPlE-DoMaIn.CoM. IN SOA"])
    same(found.answer[0].split(" ", 4)[4].lower(), SOA)
    wire = query_wire("ExAmPlE-DoMaIn.CoM", "SOA")
    for over in ("udp", "tcp"):
        same(rig.raw(wire, over)[12:len(wire)], wire[12:], f"question over {over}")


@test(SERVED)
def a_name_outside_the_zones_is_refused_without_aa_and_ra(rig):
    found = rig.dig("www.google.com", "A")
    same(found.status, "REFUSED")
    same(found.flags, {"qr", "rd"})


@test(SERVED)
def a_name_that_only_ends_like_a_zone_is_not_in_it(rig):
    same(rig.dig("notexample-domain.com", "A").status, "REFUSED")


@test(SERVED)
def the_reverse_zone_answers(rig):
    same(rig.dig("-x", "123.0.16.43", "+short").lines, ["mail.example-domain.com."])


@test(SERVED)
def the_longest_zone_answers_for_its_names(rig):
    same(answers(rig.ask("host.child.test.example")), ["A 198.18.11.1"])
    same(texts(rig.ask("nope.child.test.example").authority)[0].split()[0], "child.test.example.")


@test(SERVED)
def addresses_of_targets_are_in_additional(rig):
    same(texts(rig.ask("test.example", "MX").additional),
         ["mail.test.example. 3600 A 198.18.9.25", "mail.test.example. 3600 AAAA 2001:db8:9::25"])
    same(texts(rig.ask("_sip._udp.test.example", "SRV").additional), ["host.test.example. 3600 A 198.18.9.80"])
    same(len(texts(rig.ask("test.example", "NS").additional)), 3, "addresses of the name servers")


@test(SERVED)
def a_cname_chain_is_followed_to_its_end(rig):
    same(answers(rig.ask("c1.test.example")), ["CNAME c2.test.example.", "CNAME c3.test.example.", "A 198.18.9.3"])


@test(SERVED)
def a_cname_loop_ends(rig):
    reply = rig.ask("loop1.test.example")
    check(0 < len(reply.answer) <= 17, texts(reply.answer))


@test(SERVED)
def a_cname_out_of_the_zones_stands_alone_without_forwarders(rig):
    reply = rig.ask("away.test.example")
    same((answers(reply), reply.rcode()), (["CNAME www.example.com."], dns.rcode.NOERROR))


@test(SERVED)
def a_cname_to_nowhere_is_nxdomain(rig):
    reply = rig.ask("dangling.test.example")
    same((answers(reply), reply.rcode()), (["CNAME nowhere.test.example."], dns.rcode.NXDOMAIN))
    same(len(reply.authority), 1, "SOA")


@test(SERVED)
def a_wildcard_answers_for_names_that_do_not_exist(rig):
    for name in ("x.wild", "x.y.wild"):
        same(texts(rig.ask(f"{name}.test.example").answer), [f"{name}.test.example. 3600 A 198.18.9.5"])
    same(answers(rig.ask("z.wildalias.test.example")), ["A 198.18.9.80", "CNAME host.test.example."])
    reply = rig.ask("x.wild.test.example", "MX")
    same((reply.rcode(), reply.answer, len(reply.authority)), (0, [], 1), "NODATA of a wildcard")


@test(SERVED)
def a_wildcard_does_not_reach_below_a_name_that_exists(rig):
    same(answers(rig.ask("there.wild.test.example")), ["A 198.18.9.6"])
    same(rig.ask("there.wild.test.example", "TXT").answer, [])
    same(rig.ask("x.there.wild.test.example").rcode(), dns.rcode.NXDOMAIN)


@test(SERVED)
def an_empty_non_terminal_exists(rig):
    for name in ("deep.test.example", "b.deep.test.example"):
        reply = rig.ask(name)
        same((reply.rcode(), reply.answer, len(reply.authority)), (0, [], 1), name)


@test(SERVED)
def names_at_and_below_a_cut_get_a_referral_with_glue(rig):
    for name, kind in (("sub.test.example", "A"), ("host.sub.test.example", "A"), ("sub.test.example", "NS"),
                       ("a.b.sub.test.example", "TXT")):
        reply = rig.ask(name, kind)
        same((reply.rcode(), reply.answer), (0, []), name)
        check("aa" not in flags_of(reply), f"{name}: {flags_of(reply)}")
        check({"sub.test.example. 3600 NS ns.elsewhere.example.", "sub.test.example. 3600 NS ns.sub.test.example."}
              <= set(texts(reply.authority)), texts(reply.authority))
        same(texts(reply.additional), ["ns.sub.test.example. 3600 A 198.18.9.53",
                                       "ns.sub.test.example. 3600 AAAA 2001:db8:9::53"], f"glue for {name}")


@test(SERVED)
def the_ds_of_a_child_is_answered_by_the_parent(rig):
    reply = rig.ask("sub.test.example", "DS")
    same(len(reply.answer), 1)
    check("aa" in flags_of(reply), flags_of(reply))


@test(SERVED)
def an_unknown_type_is_served_as_it_was_written(rig):
    same(answers(rig.ask("new.test.example", "TYPE65534")), ["TYPE65534 \\# 4 01020304"])


@test(SERVED)
def forty_addresses_are_cut_to_512_octets_without_edns(rig):
    found = rig.dig("forty.test.example", "A", "+noedns", "+ignore")
    check("tc" in found.flags, found.flags)
    wire = rig.raw(query_wire("forty.test.example"))
    check(len(wire) <= 512, len(wire))
    check(dns.message.from_wire(wire).flags & dns.flags.TC, "no TC")
    for over, how in (("tcp", {}), ("udp", {"use_edns": 0, "payload": 1232})):
        reply = rig.ask("forty.test.example", over=over, **how)
        same(sum(len(rrset) for rrset in reply.answer), 40, f"addresses over {over}")
        check("tc" not in flags_of(reply), flags_of(reply))


@test(SERVED)
def an_answer_never_exceeds_what_the_client_announces_nor_what_the_server_allows(rig):
    for payload, ceiling in ((512, 512), (700, 700), (1232, 1232), (4096, 1232), (100, 512)):
        query = dns.message.make_query("many.test.example", "TXT", use_edns=0, payload=payload)
        wire = rig.raw(query.to_wire())
        check(len(wire) <= ceiling, f"{len(wire)} octets for a client that takes {payload}")
        reply = dns.message.from_wire(wire)
        check(reply.flags & dns.flags.TC and reply.edns == 0, f"payload {payload}: {reply}")
    same(sum(len(rrset) for rrset in rig.ask("many.test.example", "TXT", over="tcp").answer), 60, "records over TCP")


@test(SERVED)
def edns_is_answered_with_edns_and_do_is_copied(rig):
    reply = rig.ask("example-domain.com", use_edns=0, want_dnssec=True)
    same((reply.edns, bool(reply.ednsflags & dns.flags.DO)), (0, True))
    check(512 <= reply.payload <= 1452, reply.payload)
    reply = rig.ask("example-domain.com", use_edns=0)
    same((reply.edns, bool(reply.ednsflags & dns.flags.DO)), (0, False))
    same(rig.ask("example-domain.com", use_edns=False).edns, -1, "EDNS without asking")


@test(SERVED)
def unknown_edns_options_are_ignored(rig):
    reply = rig.ask("example-domain.com", use_edns=0, options=[dns.edns.GenericOption(65001, b"abc")])
    same((reply.rcode(), reply.edns, len(reply.options)), (0, 0, 0))


@test(SERVED)
def edns_version_1_is_badvers(rig):
    for over in ("udp", "tcp"):
        opt = b"\0" + struct.pack("!HHIH", 41, 1232, 1 << 16, 0)
        wire = query_wire("example-domain.com")
        reply = dns.message.from_wire(rig.raw(wire[:11] + b"\1" + wire[12:] + opt, over))
        same((reply.rcode(), reply.edns, reply.answer), (dns.rcode.BADVERS, 0, []), over)


@test(SERVED)
def opcodes_other_than_query_are_not_implemented(rig):
    for opcode in (1, 2, 3, 4, 5, 6, 9, 15):
        for over in ("udp", "tcp"):
            wire = query_wire("example-domain.com", "SOA", ident=0x5a00 + opcode, flags=opcode << 11)
            reply = rig.raw(wire, over)
            check(reply, f"no reply to opcode {opcode} over {over}")
            ident, flags = struct.unpack("!2H", reply[:4])
            same((ident, flags >> 15, flags >> 11 & 15, flags & 15), (0x5a00 + opcode, 1, opcode, 4),
                 f"opcode {opcode} over {over}")


@test(SERVED)
def the_header_copies_rd_and_leaks_no_other_bit(rig):
    for over in ("udp", "tcp"):
        ident, flags = struct.unpack("!2H", rig.raw(query_wire("example-domain.com", "A", flags=0x0170), over)[:4])
        same((ident, flags & 0x0100, flags & 0x0060), (0x1234, 0x0100, 0), f"RD, AD and Z over {over}")
        flags = struct.unpack("!H", rig.raw(query_wire("example-domain.com", "A", flags=0), over)[2:4])[0]
        same(flags, 0x8400, f"flags of a query with none over {over}")


@test(SERVED)
def records_in_a_question_do_not_come_back(rig):
    a = dns.name.from_text("leak.example").to_wire() + struct.pack("!2HIH", 1, 1, 60, 4) + b"\x01\x02\x03\x04"
    question = query_wire("example-domain.com")[12:]
    for counts in ((1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1)):
        reply = rig.raw(struct.pack("!6H", 7, 0x0100, *counts) + question + a)
        check(reply is not None, f"no reply for counts {counts}")
        check(b"\x04leak" not in reply, f"counts {counts}: {reply}")


@test(SERVED)
def two_questions_are_a_format_error(rig):
    question = query_wire("example-domain.com")[12:]
    for over in ("udp", "tcp"):
        reply = rig.raw(struct.pack("!6H", 7, 0x0100, 2, 0, 0, 0) + question * 2, over)
        same(reply[3] & 15, dns.rcode.FORMERR, over)


@test(SERVED)
def other_classes_are_refused(rig):
    for klass in (3, 4, 254):
        reply = rig.raw(query_wire("example-domain.com", "A", klass=klass))
        same((reply[3] & 15, reply[6:8]), (dns.rcode.REFUSED, b"\0\0"), f"class {klass}")


@test(SERVED)
def each_service_address_answers_from_itself(rig):
    for to in (SERVICE_4, SERVICE_6, "198.18.0.54", "2001:db8:53::54"):
        for over in ("udp", "tcp"):  # a connected socket takes replies from no other address
            same(answers(rig.ask("example-domain.com", over=over, to=to)), ["A 127.0.0.1"], f"{over} to {to}")
            reply = rig.raw(query_wire("example-domain.com"), over, to)
            check(reply, f"no reply over {over} from {to}")


@test(SERVED)
def transfers_are_refused_over_udp(rig):
    reply = rig.raw(query_wire("example-domain.com", "AXFR"))
    check(reply and reply[3] & 15 in (dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR), reply)
    check(len(reply) <= 100, len(reply))


if __name__ == "__main__":
    main()
