#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The third path: questions outside the zones go over the ring, to a forwarder, and back."""

import random

from flow import *

DEADLINE_S = 1.0
FORWARD = "forward: {servers: [%s], timeout: 200ms, deadline: 1s}\n"
ZONE = 'zones: [{name: test.example, file: "{zones}/test.example.zone"}]\n'
KNOT = Spec(config=FORWARD % UPSTREAM)
KNOT_AND_ZONE = Spec(config=FORWARD % UPSTREAM + ZONE)
FAKE = Spec(config=FORWARD % "198.18.0.3" + ZONE)
TWO = Spec(config=FORWARD % "198.18.0.4, 198.18.0.5")
IP6 = Spec(config=FORWARD % '"2001:db8:53::2"')
NOTHING = Spec(config="log: {level: debug}\n")
UPSTREAM_SOA = "example.com. 86400 IN SOA sns.dns.icann.org. noc.dns.icann.org. 2013102791 7200 3600 1209600 3600"


def knot(rig, **how):
    """The upstream of the transcripts, one for each rig."""
    for helper in rig.helpers:
        if isinstance(helper, Knot):
            return helper
    return Knot(rig, {"example.com": ZONES / "example.com.zone", "127.in-addr.arpa": ZONES / "127.in-addr.arpa.zone"},
                **how)


@contextmanager
def fake(rig, reply, address="198.18.0.3"):
    server = FakeServer(rig, reply, address)
    try:
        yield server
    finally:
        rig.helpers.remove(server)
        server.stop()


def respond(query, answers=(), rcode=0, authority=()):
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(rcode)
    response.answer += [dns.rrset.from_text(*words) for words in answers]
    response.authority += [dns.rrset.from_text(*words) for words in authority]
    return response


def address_for(query, address="198.18.7.1", ttl=60):
    return respond(query, [(query.question[0].name, ttl, "IN", "A", address)])


def fresh_name():
    return f"n{random.getrandbits(48):x}.example.net"


# No sources at all

@test(NOTHING)
def without_zones_and_forwarders_every_question_is_refused(rig):
    for over in ("udp", "tcp"):
        for name in ("example.com", "."):
            reply = rig.ask(name, over=over)
            same((reply.rcode(), reply.flags & (dns.flags.RA | dns.flags.AA)), (dns.rcode.REFUSED, 0), f"{name} {over}")


# The transcript

@test(KNOT)
def a_forwarded_answer_comes_back_with_ra_and_without_aa(rig):
    knot(rig)
    same(rig.dig("example.com", "SOA", "+short").lines, [UPSTREAM_SOA.split(" ", 4)[4]])
    found = rig.dig("example.com", "SOA")
    same((found.status, found.flags), ("NOERROR", {"qr", "rd", "ra"}))


@test(KNOT)
def a_forwarded_answer_comes_back_over_tcp_and_ip6_too(rig):
    knot(rig)
    for over, to in (("tcp", SERVICE_4), ("udp", SERVICE_6), ("tcp", SERVICE_6)):
        reply = rig.ask("www.example.com", "AAAA", over=over, to=to)
        same([str(rdata) for rrset in reply.answer for rdata in rrset], ["2606:2800:220:6d:26bf:1447:1097:aa7"], over)
        check(reply.flags & dns.flags.RA, "no RA")


@test(KNOT)
def the_upstreams_nxdomain_comes_back_with_its_soa(rig):
    knot(rig)
    found = rig.dig("nope.example.com", "A")
    same((found.status, len(found.authority)), ("NXDOMAIN", 1))
    check("SOA sns.dns.icann.org." in found.authority[0], found.text)


@test(KNOT)
def an_answer_the_upstream_truncates_is_fetched_over_tcp(rig):
    knot(rig)
    for name, count in (("big.example.com", 3), ("huge.example.com", 10)):
        same(len(rig.dig(name, "TXT", "+short").lines), count, f"lines of {name}")
        reply = rig.ask(name, "TXT")
        check(reply.flags & dns.flags.TC and len(reply.to_wire()) <= 512, "a client without EDNS gets TC within 512 octets")
        same(len(rig.ask(name, "TXT", over="tcp").answer[0]), count, f"records of {name} over TCP")


@test(KNOT)
def reverse_names_are_forwarded(rig):
    knot(rig)
    same(rig.dig("-x", "127.0.0.1", "+noall", "+answer").answer, ["1.0.0.127.in-addr.arpa. 86400 IN PTR localhost."])


@test(KNOT)
def the_case_of_the_question_survives_forwarding(rig):
    knot(rig)
    wire = query_wire("wWw.ExAmPlE.cOm")
    same(rig.raw(wire, timeout=2)[12:len(wire)], wire[12:])


@test(KNOT)
def a_silent_upstream_ends_in_servfail_at_the_deadline(rig):
    knot(rig).stop()
    began = time.monotonic()
    found = rig.dig("fresh.example.com", "A")
    took = time.monotonic() - began
    rig.helpers.clear()
    same(found.status, "SERVFAIL")
    check("ra" in found.flags, found.flags)
    check(took < DEADLINE_S + 0.5, f"took {took:.2f} s")


@test(KNOT)
def the_upstream_is_used_again_when_it_comes_back(rig):
    knot(rig)
    same(rig.dig("example.com", "A", "+short").lines, ["93.184.216.119"])


@test(KNOT_AND_ZONE)
def own_zones_answer_beside_the_forwarder_with_aa_and_ra(rig):
    knot(rig)
    found = rig.dig("host.test.example", "A")
    same((found.answer, found.flags), (["host.test.example. 3600 IN A 198.18.9.80"], {"qr", "aa", "rd", "ra"}))
    same(rig.dig("nope.test.example", "A").status, "NXDOMAIN")


@test(KNOT_AND_ZONE)
def a_cname_out_of_the_zones_is_continued_by_the_forwarder(rig):
    knot(rig)
    for over in ("udp", "tcp"):
        reply = rig.ask("away.test.example", over=over)
        same([str(rdata) for rrset in reply.answer for rdata in rrset], ["www.example.com.", "93.184.216.119"], over)
    reply = rig.ask("away.test.example", flags=0)
    same(len(reply.answer), 1, "RRsets without RD")


@test(KNOT_AND_ZONE)
def a_delegation_is_a_referral_with_a_forwarder_too(rig):
    knot(rig)
    reply = rig.ask("host.sub.test.example")
    same((reply.rcode(), reply.answer), (0, []))
    check(reply.authority, "no referral")


@test(IP6)
def an_upstream_may_have_an_ip6_address(rig):
    knot(rig, address="2001:db8:53::2")
    same(rig.dig("example.com", "A", "+short").lines, ["93.184.216.119"])
    same(len(rig.dig("huge.example.com", "TXT", "+short").lines), 10, "records after TC")


# Faked upstreams

@test(FAKE)
def without_rd_nothing_is_forwarded(rig):
    with fake(rig, answering(address_for)) as server:
        reply = rig.ask(fresh_name(), flags=0)
        same((reply.rcode(), len(server.queries)), (dns.rcode.REFUSED, 0))


@test(FAKE)
def own_zones_never_ask_the_forwarder(rig):
    with fake(rig, answering(address_for)) as server:
        for over in ("udp", "tcp"):
            same(rig.ask("nope.test.example", over=over).rcode(), dns.rcode.NXDOMAIN)
            same(rig.ask("host.test.example", "MX", over=over).rcode(), 0)
        same(len(server.queries), 0, "queries upstream")


@test(FAKE)
def error_codes_of_the_upstream_become_servfail_and_only_nxdomain_stays(rig):
    for rcode in (1, 2, 4, 5, 6, 3):
        soa = ("example.net.", 60, "IN", "SOA", "ns.example.net. root.example.net. 1 2 3 4 60")
        with fake(rig, answering(lambda q, r=rcode: respond(q, rcode=r, authority=[soa] if r == 3 else []))):
            reply = rig.ask(fresh_name())
            same(reply.rcode(), 3 if rcode == 3 else 2, f"rcode for the upstream's {rcode}")
            if rcode == 3:
                same(len(reply.authority), 1, "SOA")


@test(FAKE)
def garbage_from_the_upstream_becomes_servfail(rig):
    with fake(rig, lambda wire: wire[:2] + b"\x81\x80\0\1\xff\xff\0\0\0\0" + wire[12:]):
        same(rig.ask(fresh_name()).rcode(), dns.rcode.SERVFAIL)
    with fake(rig, lambda wire: b"junk"):
        same(rig.ask(fresh_name()).rcode(), dns.rcode.SERVFAIL)


@test(FAKE)
def replies_with_a_wrong_id_or_question_are_not_believed(rig):
    def replies(wire):
        query = dns.message.from_wire(wire)
        wrong_id = address_for(query, "198.18.66.1")
        wrong_id.id = (query.id + 1) & 0xffff
        wrong_question = address_for(dns.message.make_query("other.example.net", "A"), "198.18.66.2")
        wrong_question.id = query.id
        no_response = address_for(query, "198.18.66.3")
        no_response.flags &= ~dns.flags.QR
        return [m.to_wire() for m in (wrong_id, wrong_question, no_response, address_for(query))]
    with fake(rig, replies):
        same(rig.ask(fresh_name()).answer[0][0].address, "198.18.7.1")


@test(FAKE)
def a_reply_from_another_address_is_not_believed(rig):
    liar = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    liar.bind(("198.18.0.6", 53))
    holder = {}

    def reply(wire):
        lie = address_for(dns.message.from_wire(wire), "198.18.66.4").to_wire()
        liar.sendto(lie, holder["server"].queries[-1][1])
        time.sleep(0.05)
        return address_for(dns.message.from_wire(wire)).to_wire()
    with fake(rig, reply) as holder["server"]:
        same(rig.ask(fresh_name()).answer[0][0].address, "198.18.7.1")
    liar.close()


@test(FAKE)
def ids_and_source_ports_upstream_are_random(rig):
    with fake(rig, answering(address_for)) as server:
        for _ in range(60):
            rig.ask(fresh_name())
        idents = {wire[:2] for _, _, wire in server.queries}
        ports = {client[1] for _, client, _ in server.queries}
        check(len(idents) > 55 and len(ports) > 50, f"{len(idents)} ids, {len(ports)} ports in {len(server.queries)}")
        same({client[0] for _, client, _ in server.queries}, {SERVICE_4}, "source addresses")


@test(FAKE)
def a_lost_query_is_asked_again(rig):
    seen = set()

    def second_time(wire):
        name = dns.message.from_wire(wire).question[0].name
        if name in seen:
            return address_for(dns.message.from_wire(wire)).to_wire()
        seen.add(name)
        return None
    with fake(rig, second_time):
        same(rig.ask(fresh_name()).rcode(), 0)


@test(FAKE)
def equal_questions_at_once_are_asked_upstream_once(rig):
    def later(wire):
        time.sleep(0.1)
        return address_for(dns.message.from_wire(wire)).to_wire()
    with fake(rig, later) as server:
        name, socks = fresh_name(), []
        for i in range(10):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.settimeout(2)
            sock.connect((SERVICE_4, 53))
            sock.send(query_wire(name, ident=i))
            socks.append(sock)
        for i, sock in enumerate(socks):
            reply = sock.recv(4096)
            same((reply[:2], reply[6:8]), (struct.pack("!H", i), b"\0\1"), "id and answers")
            sock.close()
        same(len(server.queries), 1, "queries upstream")


@test(FAKE)
def unknown_types_pass_unchanged(rig):
    def unknown(query):
        return respond(query, [(query.question[0].name, 60, "IN", "TYPE65280", "\\# 5 00ff0a0d22")])
    with fake(rig, answering(unknown)):
        reply = rig.ask(fresh_name(), "TYPE65280")
        same(reply.answer[0][0].data, b"\x00\xff\x0a\x0d\x22")


@test(FAKE)
def other_classes_are_refused_and_not_forwarded(rig):
    with fake(rig, answering(address_for)) as server:
        same(rig.raw(query_wire(fresh_name(), klass=3), timeout=2)[3] & 15, dns.rcode.REFUSED)
        same(len(server.queries), 0)


@test(FAKE)
def a_thousand_questions_wait_for_a_slow_upstream_together_and_own_zones_do_not_wait(rig):
    import heapq
    import threading
    waiting, lock, running = [], threading.Lock(), True

    def hold(wire):
        with lock:
            heapq.heappush(waiting, (time.monotonic() + 0.2, len(waiting), wire, server.queries[-1][1]))

    def let_go():
        while running:
            with lock:
                while waiting and waiting[0][0] <= time.monotonic():
                    _, _, wire, client = heapq.heappop(waiting)
                    name_end = wire.index(0, 12) + 5
                    reply = wire[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + wire[12:name_end]
                    server.socket.sendto(reply + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc6\x12\7\1", client)
            time.sleep(0.005)
    with fake(rig, hold) as server:
        pump = threading.Thread(target=let_go, daemon=True)
        pump.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            sock.connect((SERVICE_4, 53))
            sock.settimeout(3)
            began = time.monotonic()
            for i in range(1000):
                sock.send(query_wire(f"q{i}.{fresh_name()}", ident=i))
                if i % 20 == 0:
                    time.sleep(0.002)
            local = time.monotonic()
            same(rig.ask("host.test.example").answer[0][0].address, "198.18.9.80")
            local = time.monotonic() - local
            good = sum(sock.recv(4096)[3] & 15 == 0 for _ in range(1000))
            took = time.monotonic() - began
        running = False
        pump.join()
    same(good, 1000, "good answers")
    check(took < 1.5, f"took {took:.2f} s")
    check(local < 0.15, f"the zone's answer took {local * 1000:.0f} ms")


@test(TWO)
def the_second_server_is_asked_when_the_first_is_silent(rig):
    with fake(rig, lambda wire: None, "198.18.0.4"), fake(rig, answering(address_for), "198.18.0.5"):
        for _ in range(5):
            same(rig.ask(fresh_name()).rcode(), 0)


@test(TWO)
def the_second_server_is_asked_when_the_first_refuses(rig):
    with fake(rig, answering(lambda q: respond(q, rcode=5)), "198.18.0.4"), fake(rig, answering(address_for), "198.18.0.5"):
        same(rig.ask(fresh_name()).rcode(), 0)


if __name__ == "__main__":
    main()
