#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""EDNS and its options, DNS cookies, class CH and the small switches of answers, by dig, kdig and dnspython."""

from flow import *

ZONE = 'zones: [{name: test.example, file: "{zones}/test.example.zone"}]\n'
PORTS = 'ports: [{device: any, addresses: [198.18.0.53/24, "2001:db8:53::53/64"]}]\n'
SECRET, NEXT = "e5e973e5a6b2a43f48e7dc849e37bfcf", "445536bcd2513298075a5d379663c962"
NAMED = "identity: {nsid: ams1, id: ams1.example.net, version: seven}\n"

PLAIN = Spec(config=ZONE)
TOLD = Spec(config=ZONE + NAMED)
STRICT = Spec(config=ZONE + 'cookies: {mode: strict, secret-file: "{dir}/secrets"}\nanswers: {minimal: true}\n',
              files={"secrets": f"# made by hand\n{SECRET}\n"})
FORWARDING = Spec(config=ZONE + NAMED + "forward: {servers: [198.18.0.2], deadline: 1s}\n")
WAYS = [(over, to) for over in ("udp", "tcp") for to in (SERVICE_4, SERVICE_6)]

NSID, COOKIE, KEEPALIVE, PADDING, EDE, ZONEVERSION = 3, 10, 11, 12, 15, 19
CLIENT = bytes.fromhex("2464c4abcf10c957")


def option(code, data=b""):
    return dns.edns.GenericOption(code, data)


def ask(rig, name, kind="A", options=(), klass="IN", **how):
    how.setdefault("use_edns", 0)
    return rig.ask(name, kind, rdclass=klass, options=list(options), **how)


def option_of(reply, code):
    """The option's octets; None: not there. More than one is a failure."""
    found = [one.to_wire() for one in reply.options if one.otype == code]
    check(len(found) < 2, reply)
    return found[0] if found else None


def rcode_of(reply):
    return dns.rcode.to_text(reply.rcode())


def cookie_of(reply):
    cookie = option_of(reply, COOKIE)
    check(cookie and len(cookie) == 24 and cookie[:8] == CLIENT and cookie[8:12] == b"\1\0\0\0", reply)
    return cookie


def bare_wire(*options):
    """A message of nothing but an OPT."""
    data = b"".join(struct.pack("!2H", code, len(octets)) + octets for code, octets in options)
    return struct.pack("!6H", 7, 0, 0, 0, 0, 1) + b"\0\0\x29\4\xd0\0\0\0\0" + struct.pack("!H", len(data)) + data


# Sizes and versions

@test(PLAIN)
def an_opt_is_answered_with_an_opt_and_nothing_is_with_nothing(rig):
    for over, to in WAYS:
        reply = ask(rig, "host.test.example", over=over, to=to)
        same((reply.edns, reply.payload, len(reply.options)), (0, 1232, 0), f"{over} to {to}")
        same(rig.ask("host.test.example", over=over, to=to).edns, -1, f"no EDNS over {over} to {to}")


@test(PLAIN)
def the_buffer_size_bounds_the_answer_and_less_than_512_counts_as_512(rig):
    for size in (0, 100, 511, 512, 600):
        found = rig.dig("+ignore", "+noall", "+comments", "+stats", "+answer", f"+bufsize={size}", "forty.test.example", "A")
        check("tc" in found.flags, size, found.text)
    whole = rig.dig("+ignore", "+bufsize=1232", "forty.test.example", "A")
    check("tc" not in whole.flags, whole.text)
    wire = rig.raw(dns.message.make_query("ns1.test.example", "ANY", use_edns=0, payload=20).to_wire())
    check(not dns.message.from_wire(wire).flags & dns.flags.TC, "a small answer is whole")


@test(PLAIN)
def another_version_is_badvers(rig):
    found = rig.dig("+edns=1", "+noednsneg", "host.test.example", "A")
    same(found.status, "BADVERS")
    check("EDNS: version: 0," in found.text, found.text)
    same(found.answer, [])


@test(PLAIN)
def do_comes_back_and_unknown_flags_do_not(rig):
    found = rig.dig("+dnssec", "+ednsflags=0xffff", "host.test.example", "A")
    check("flags: do;" in found.text, found.text)
    check("MBZ" not in found.text, found.text)


@test(PLAIN)
def unknown_options_are_ignored(rig):
    for over, to in WAYS:
        reply = ask(rig, "host.test.example", options=[option(65001, b"x" * 300), option(8, b"\0\1\x18\0\xc6\x12\0")],
                    over=over, to=to)
        same((rcode_of(reply), len(reply.options)), ("NOERROR", 0), f"{over} to {to}")


@test(PLAIN)
def options_that_cannot_be_read_are_a_format_error(rig):
    good = dns.message.make_query("host.test.example", "A", use_edns=0, options=[option(65001, b"abc")]).to_wire()
    wire = good[:-4] + b"\4abc"
    for over in ("udp", "tcp"):
        reply = dns.message.from_wire(rig.raw(wire, over))
        same((rcode_of(reply), reply.edns), ("FORMERR", -1), over)
        for code, octets in ((COOKIE, b"1234567"), (COOKIE, b"x" * 15), (COOKIE, b"x" * 41), (ZONEVERSION, b"x")):
            reply = ask(rig, "host.test.example", options=[option(code, octets)], over=over)
            same((rcode_of(reply), reply.edns), ("FORMERR", 0), f"option {code} over {over}")


@test(PLAIN)
def another_opcode_is_not_implemented_with_an_opt(rig):
    found = rig.dig("+opcode=NOTIFY", "+edns", "test.example", "SOA")
    same(found.status, "NOTIMP")
    check("EDNS: version: 0" in found.text, found.text)


# Who are you?

@test(PLAIN)
def nothing_is_told_that_is_not_configured(rig):
    same(option_of(ask(rig, "host.test.example", options=[option(NSID)]), NSID), None)
    for over in ("udp", "tcp"):
        for name in ("version.bind", "version.server", "id.server", "hostname.bind"):
            same(rcode_of(rig.ask(name, "TXT", rdclass="CH", over=over)), "REFUSED", f"{name} over {over}")


@test(TOLD)
def nsid_is_told_to_dig_and_kdig(rig):
    for words in ([], ["+tcp"]):
        found = rig.dig("+nsid", *words, "host.test.example", "A")
        check('("ams1")' in found.text, found.text)
        text = run("kdig", f"@{SERVICE_6}", "+nsid", *words, "host.test.example", "A").stdout
        check('"ams1"' in text, text)
    same(option_of(ask(rig, "www.elsewhere.example", options=[option(NSID)]), NSID), b"ams1", "with an error")
    same(option_of(ask(rig, "host.test.example"), NSID), None, "unasked")


@test(TOLD)
def version_and_id_are_told_over_both_transports(rig):
    for over, to in WAYS:
        for name, text in (("version.bind", "seven"), ("VERSION.server", "seven"), ("id.server", "ams1.example.net"),
                           ("hostname.bind", "ams1.example.net")):
            reply = rig.ask(name, "TXT", rdclass="CH", over=over, to=to)
            same([str(rdata) for rrset in reply.answer for rdata in rrset], [f'"{text}"'], f"{name} over {over} to {to}")
            same([rrset.ttl for rrset in reply.answer], [0])
    same(rig.dig("version.bind", "CH", "TXT", "+short").lines, ['"seven"'])
    same(rig.dig("authors.bind", "CH", "TXT").status, "REFUSED")
    same(rig.dig("version.bind", "CH", "A").status, "REFUSED")


@test(TOLD)
def a_reload_changes_what_is_told(rig):
    path = Path(f"/run/pollux-rig/{rig.name}/pollux.yaml")  # the one that control reads
    before = path.read_text()
    try:
        path.write_text(before.replace("ams1.example.net", "lon2.example.net").replace("nsid: ams1", "nsid: lon2"))
        rig.ctl("config", "reload")
        wait_until(lambda: option_of(ask(rig, "host.test.example", options=[option(NSID)]), NSID) == b"lon2",
                   "the new NSID is told", 3)
        same(rig.dig("id.server", "CH", "TXT", "+short").lines, ['"lon2.example.net"'])
        same(rig.dig("+tcp", "id.server", "CH", "TXT", "+short").lines, ['"lon2.example.net"'])
    finally:
        path.write_text(before)
        rig.ctl("config", "reload")


# Cookies

@test(PLAIN)
def a_client_cookie_gets_a_server_cookie_that_comes_back(rig):
    for over, to in WAYS:
        first = cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, CLIENT)], over=over, to=to))
        again = cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, first)], over=over, to=to))
        same(again, first, f"a young cookie over {over} to {to}")


@test(PLAIN)
def dataplane_and_control_make_the_same_cookies(rig):
    first = cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, CLIENT)]))
    same(cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, first)], over="tcp")), first)


@test(PLAIN)
def a_cookie_is_for_one_address(rig):
    first = cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, CLIENT)], source="198.18.0.1"))
    other = cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, first)], to=SERVICE_6))
    check(other[16:] != first[16:], "another address has the same hash")


@test(PLAIN)
def dig_and_kdig_find_the_cookie_good(rig):
    for words in ([], ["+tcp"]):
        found = rig.dig("+cookie=2464c4abcf10c957", *words, "host.test.example", "A")
        match = re.search(r"COOKIE: ([0-9a-f]+) \(good\)", found.text)
        check(match, found.text)
        found = rig.dig(f"+cookie={match[1]}", *words, "host.test.example", "A")
        check(f"COOKIE: {match[1]} (good)" in found.text, found.text)
        text = run("kdig", f"@{SERVICE_4}", "+cookie=2464c4abcf10c957", *words, "host.test.example", "A").stdout
        check("COOKIE: 2464C4ABCF10C957" in text.upper(), text)


@test(PLAIN)
def a_query_for_nothing_but_a_cookie_gets_one(rig):
    for over in ("udp", "tcp"):
        reply = dns.message.from_wire(rig.raw(bare_wire((COOKIE, CLIENT)), over))
        same((rcode_of(reply), reply.question), ("NOERROR", []), over)
        cookie = cookie_of(reply)
        same(rcode_of(dns.message.from_wire(rig.raw(bare_wire((COOKIE, cookie)), over))), "NOERROR", over)
        forged = cookie[:-1] + bytes([cookie[-1] ^ 1])
        same(rcode_of(dns.message.from_wire(rig.raw(bare_wire((COOKIE, forged)), over))), "BADCOOKIE", over)
        same(rcode_of(dns.message.from_wire(rig.raw(bare_wire(), over))), "REFUSED", over)


@test(PLAIN)
def cookies_outlive_both_processes(rig):
    first = cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, CLIENT)]))
    for process in ("control", "dataplane"):
        old = rig.kill(process)[0]
        rig.wait_for_restart(process, old)
        rig.wait_for_control()

        def good():
            try:
                return cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, first)], timeout=0.5)) == first
            except (dns.exception.Timeout, OSError):
                return False
        wait_until(good, f"the cookie is good after {process} died", 15)


@test(STRICT)
def a_strict_server_wants_its_cookie_back_over_udp(rig):
    reply = ask(rig, "host.test.example", options=[option(COOKIE, CLIENT)])
    same((rcode_of(reply), reply.answer), ("BADCOOKIE", []))
    reply = ask(rig, "host.test.example", options=[option(COOKIE, cookie_of(reply))])
    same(rcode_of(reply), "NOERROR")
    same(rcode_of(ask(rig, "host.test.example", options=[option(COOKIE, CLIENT)], over="tcp")), "NOERROR", "over TCP")
    same(rcode_of(ask(rig, "host.test.example")), "NOERROR", "who knows no cookies")
    same(rig.dig("+cookie", "host.test.example", "A").status, "NOERROR", "dig, which comes again by itself,")


@test(STRICT)
def a_roll_over_of_secrets_loses_no_cookie(rig):
    secrets = rig.dir / "secrets"

    def is_good(cookie):
        return rcode_of(ask(rig, "host.test.example", options=[option(COOKIE, cookie)])) == "NOERROR"
    old = cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, CLIENT)]))
    check(is_good(old), "the first cookie")
    secrets.write_text(f"{NEXT}  # new\n{SECRET}\n")
    rig.ctl("config", "reload")
    new = wait_until(lambda: (cookie := cookie_of(ask(rig, "host.test.example", options=[option(COOKIE, old)]))) != old
                     and cookie, "a cookie of the new secret", 3)
    check(is_good(old) and is_good(new), "both are good")
    secrets.write_text(f"{NEXT}\n")
    rig.ctl("config", "reload")
    wait_until(lambda: not is_good(old), "the old one is no longer good", 3)
    check(is_good(new), "the new one still is")
    secrets.write_text("12345\n")
    done = rig.ctl("config", "reload", check_it=False)
    check(f"{secrets}:1:6: error: expected a secret of 32 hexadecimal digits" in done.stdout + done.stderr, done)
    check(is_good(new), "the secret of before stays")


# The other options

@test(PLAIN)
def the_version_of_the_zone_is_told_to_who_asks(rig):
    for over, to in WAYS:
        for name in ("host.test.example", "nope.test.example", "x.sub.test.example"):
            reply = ask(rig, name, options=[option(ZONEVERSION)], over=over, to=to)
            same(option_of(reply, ZONEVERSION), b"\2\0\0\0\0\7", f"{name} over {over} to {to}")
    same(option_of(ask(rig, "www.elsewhere.example", options=[option(ZONEVERSION)]), ZONEVERSION), None, "elsewhere")
    check("OPT=19: 02 00 00 00 00 07" in rig.dig("+ednsopt=19", "host.test.example", "A").text, "dig")


@test(PLAIN)
def keepalive_and_padding_are_for_tcp(rig):
    both = [option(KEEPALIVE), option(PADDING, b"\0" * 20)]
    reply = ask(rig, "host.test.example", options=both)
    same(reply.options, (), "over UDP")
    reply = ask(rig, "host.test.example", options=both, over="tcp")
    same(option_of(reply, KEEPALIVE), struct.pack("!H", 100), "10 s of idle time")
    wire = rig.raw(dns.message.make_query("host.test.example", "A", use_edns=0, options=both).to_wire(), "tcp")
    same(len(wire) % 468, 0, "octets beyond a block")
    same(rcode_of(ask(rig, "host.test.example", options=[option(KEEPALIVE, b"\0\1")], over="tcp")), "FORMERR")
    same(rcode_of(ask(rig, "host.test.example", options=[option(KEEPALIVE, b"\0\1")])), "NOERROR")
    found = rig.dig("+tcp", "+keepalive", "host.test.example", "A")
    check("TCP KEEPALIVE: 10.0 secs" in found.text or "TCP-KEEPALIVE: 10.0 secs" in found.text, found.text)


@test(PLAIN)
def a_refusal_says_why_to_those_with_edns(rig):
    for over in ("udp", "tcp"):
        same(option_of(ask(rig, "www.elsewhere.example", over=over), EDE), b"\0\x14", over)
        same(rig.ask("www.elsewhere.example", over=over).edns, -1, over)
    check("EDE: 20 (Not Authoritative)" in rig.dig("www.elsewhere.example", "A").text, "dig")


@test(TOLD)
def options_leave_room_for_themselves(rig):
    options = [option(NSID), option(COOKIE, CLIENT), option(ZONEVERSION)]
    for size in range(512, 900, 7):
        query = dns.message.make_query("forty.test.example", "A", use_edns=0, payload=size, options=options)
        wire = rig.raw(query.to_wire(), timeout=2)
        reply = dns.message.from_wire(wire)
        check(len(wire) <= size, len(wire), size)
        same(len(reply.options), 3, f"options at {size}")
        same(bool(reply.flags & dns.flags.TC), not reply.answer, f"TC at {size}")


# Forwarded answers

@test(FORWARDING)
def forwarded_answers_carry_cookie_and_nsid(rig):
    def build(query):
        response = dns.message.make_response(query)
        response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "198.18.9.9"))
        return response
    server = FakeServer(rig, answering(build))
    options = [option(NSID), option(COOKIE, CLIENT)]
    for over, to in WAYS:
        reply = ask(rig, f"{over}{len(to)}.elsewhere.example", options=options, over=over, to=to)
        same([str(rdata) for rrset in reply.answer for rdata in rrset], ["198.18.9.9"], f"{over} to {to}")
        same(option_of(reply, NSID), b"ams1")
        again = ask(rig, "host.test.example", options=[option(COOKIE, cookie_of(reply))], over=over, to=to)
        same(cookie_of(again), cookie_of(reply), "the same cookie from zones")
    rig.helpers.remove(server)
    server.stop()


@test(FORWARDING)
def a_forwarder_that_is_silent_is_named_as_the_reason(rig):
    FakeServer(rig, lambda wire: None)
    reply = ask(rig, "silent.elsewhere.example", options=[option(COOKIE, CLIENT)], timeout=4)
    same((rcode_of(reply), option_of(reply, EDE)[:2]), ("SERVFAIL", b"\0\x16"))
    cookie_of(reply)


# Minimal answers

@test(STRICT)
def minimal_answers_have_no_additional_records_but_glue(rig):
    for name, kind in (("test.example", "MX"), ("test.example", "NS"), ("_sip._udp.test.example", "SRV")):
        for over in ("udp", "tcp"):
            reply = rig.ask(name, kind, over=over)
            same((bool(reply.answer), reply.additional), (True, []), f"{name} {kind} over {over}")
    reply = rig.ask("x.sub.test.example")
    same(sorted(dns.rdatatype.to_text(rrset.rdtype) for rrset in reply.additional), ["A", "AAAA"], "glue")


main()
