#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Who may do what, and the rules of the header: on every path an answer can take."""

import random

from flow import *

ZONE = 'zones: [{name: test.example, file: "{zones}/test.example.zone"}]\n'
FORWARD = "forward: {servers: [198.18.0.3], timeout: 200ms, deadline: 1s}\n"
LISTS = Spec(config=ZONE + FORWARD + """
access:
  query: ["!198.18.0.6", "!2001:db8:53::6", any]
  recursion: ["!198.18.0.5", "!2001:db8:53::5", local]
""")
DROP = Spec(config=ZONE + FORWARD + "access: {query: [198.18.0.1, \"2001:db8:53::1\"], refuse: drop}\n")
PLAIN = Spec(config=ZONE + FORWARD)
FIRST = Spec(config=ZONE + FORWARD + "answers: {multi-question: first}\n")
ALONE = Spec(config=ZONE)
EDE = 15
PROHIBITED = 18
RA, AA, AD, CD, RD, Z, TC = 0x80, 0x400, 0x20, 0x10, 0x100, 0x40, 0x200


def fresh_name():
    return f"n{random.getrandbits(48):x}.example.net"


def address_for(query, address="198.18.7.1"):
    response = dns.message.make_response(query, recursion_available=True)
    response.flags |= dns.flags.AA | dns.flags.AD  # what an upstream says about itself is not for our clients
    name = str(query.question[0].name).lower()
    if name.startswith("nope"):
        response.set_rcode(3)
        response.authority.append(dns.rrset.from_text("example.net.", 60, "IN", "SOA", "ns.example.net. h.example.net. 1 2 3 4 60"))
    elif name.startswith("fail"):
        response.set_rcode(2)
    else:
        response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", address))
    return response


@contextmanager
def upstream(rig):
    server = FakeServer(rig, answering(address_for), "198.18.0.3")
    try:
        yield server
    finally:
        rig.helpers.remove(server)
        server.stop()


def reason_of(reply):
    for option in reply.options:
        if option.otype == EDE:
            return int(option.code)
    return None


def seen(rig, name, source, over="udp", to=SERVICE_4, kind="A"):
    """What that client gets: rcode, RA, reason, answers."""
    reply = rig.ask(name, kind, over=over, to=to, source=source, use_edns=0)
    return (dns.rcode.to_text(reply.rcode()), bool(reply.flags & dns.flags.RA), reason_of(reply),
            [str(rdata) for rrset in reply.answer for rdata in rrset])


@contextmanager
def reloaded(rig, *changes):
    path = Path(f"/run/pollux-rig/{rig.name}/pollux.yaml")
    before = text = path.read_text()
    for old, new in changes:
        check(old in text, "no", old, "in the configuration")
        text = text.replace(old, new)
    try:
        path.write_text(text)
        rig.ctl("config", "reload")
        yield
    finally:
        path.write_text(before)
        rig.ctl("config", "reload")


def closed_at_once(source):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.settimeout(2)
        sock.bind((source, 0))
        try:
            sock.connect((SERVICE_4, 53))
            sock.sendall(struct.pack("!H", 29) + query_wire("test.example"))
            return sock.recv(1) == b""
        except ConnectionError:
            return True


# Who may ask

@test(LISTS)
def who_may_not_ask_is_refused_and_told_why(rig):
    for name in ("host.test.example", "host.example.net"):
        for source, to in (("198.18.0.6", SERVICE_4), ("2001:db8:53::6", SERVICE_6)):
            same(seen(rig, name, source, to=to), ("REFUSED", False, PROHIBITED, []), f"{name} for {source}")
    same(seen(rig, "host.test.example", "198.18.0.7"), ("NOERROR", True, None, ["198.18.9.80"]), "another client")


@test(LISTS)
def a_tcp_client_that_may_not_ask_is_closed_at_once(rig):
    check(closed_at_once("198.18.0.6"), "the connection stays")
    same(seen(rig, "host.test.example", "198.18.0.7", "tcp")[0], "NOERROR")
    wait_until(lambda: rig.ctl_json("stats")["tcp"]["refused_access"] == 1, "the refusal is counted", 3)


@test(LISTS)
def who_may_not_recurse_gets_zones_without_ra_and_nothing_else(rig):
    with upstream(rig) as server:
        for over in ("udp", "tcp"):
            for source, to in (("198.18.0.5", SERVICE_4), ("2001:db8:53::5", SERVICE_6)):
                same(seen(rig, "host.test.example", source, over, to), ("NOERROR", False, None, ["198.18.9.80"]), over)
                same(seen(rig, fresh_name(), source, over, to), ("REFUSED", False, PROHIBITED, []), over)
                same(seen(rig, "away.test.example", source, over, to), ("NOERROR", False, None, ["www.example.com."]), over)
        same(len(server.queries), 0, "queries upstream")
        for over in ("udp", "tcp"):
            same(seen(rig, fresh_name(), "198.18.0.7", over), ("NOERROR", True, None, ["198.18.7.1"]), over)
            same(seen(rig, "host.test.example", "198.18.0.7", over), ("NOERROR", True, None, ["198.18.9.80"]), over)


@test(LISTS)
def control_tells_what_a_client_may_do(rig):
    for client, query, recursion in (("198.18.0.6", False, False), ("198.18.0.5", True, False), ("198.18.0.7", True, True),
                                     ("2001:db8:53::5", True, False), ("203.0.113.1", True, False)):
        same(rig.ctl_json("client", "show", client),
             {"client": client, "query": query, "recursion": recursion, "transfer": False})
    check("is not an IP address" in rig.ctl("client", "show", "198.18.0", check_it=False).stderr, "a bad address is taken")


@test(LISTS)
def lists_change_while_running_and_a_broken_file_changes_nothing(rig):
    with reloaded(rig, ("!198.18.0.6", "!198.18.0.7")):
        wait_until(lambda: seen(rig, "host.test.example", "198.18.0.6")[0] == "NOERROR", "the new list counts", 3)
        same(seen(rig, "host.test.example", "198.18.0.7")[0], "REFUSED")
        check(closed_at_once("198.18.0.7"), "the connection stays")
    wait_until(lambda: seen(rig, "host.test.example", "198.18.0.7")[0] == "NOERROR", "the old list counts again", 3)
    path = Path(f"/run/pollux-rig/{rig.name}/pollux.yaml")
    before = path.read_text()
    try:
        path.write_text(before.replace("!198.18.0.6", "!198.18.0.6/24"))
        done = rig.ctl("config", "reload", check_it=False)
        check("has bits behind its prefix length: write 198.18.0.0/24" in done.stdout + done.stderr, done.stdout, done.stderr)
    finally:
        path.write_text(before)
    same(seen(rig, "host.test.example", "198.18.0.6")[0], "REFUSED")


@test(LISTS)
def the_lists_hold_while_control_is_dead(rig):
    with upstream(rig):
        os.kill(rig.pid("control"), signal.SIGSTOP)
        try:
            same(seen(rig, "host.test.example", "198.18.0.6"), ("REFUSED", False, PROHIBITED, []))
            same(seen(rig, "host.test.example", "198.18.0.5"), ("NOERROR", False, None, ["198.18.9.80"]))
        finally:
            os.kill(rig.pid("control"), signal.SIGCONT)


@test(DROP)
def who_may_not_ask_may_be_left_without_an_answer(rig):
    before = rig.counter("drop-access")
    try:
        seen_anyway = rig.ask("host.test.example", source="198.18.0.2", timeout=0.3)
        raise Failure(f"an answer: {seen_anyway}")
    except dns.exception.Timeout:
        pass
    wait_until(lambda: rig.counter("drop-access") == before + 1, "the drop is counted", 3)
    same(seen(rig, "host.test.example", "198.18.0.1")[0], "NOERROR")
    check(closed_at_once("198.18.0.2"), "the connection stays")


@test(PLAIN)
def without_lists_clients_of_the_link_and_private_ones_may_recurse_and_others_get_the_zones(rig):
    run("ip", "address", "add", "198.19.0.9/32", "dev", "px1")
    run("ip", "address", "add", "10.9.8.7/32", "dev", "px1")
    try:
        with upstream(rig) as server:
            same(seen(rig, fresh_name(), "198.18.0.8"), ("NOERROR", True, None, ["198.18.7.1"]), "on the link")
            same(seen(rig, fresh_name(), "10.9.8.7"), ("NOERROR", True, None, ["198.18.7.1"]), "private")
            asked = len(server.queries)
            same(seen(rig, "host.test.example", "198.19.0.9"), ("NOERROR", False, None, ["198.18.9.80"]), "elsewhere")
            same(seen(rig, fresh_name(), "198.19.0.9"), ("REFUSED", False, PROHIBITED, []), "elsewhere")
            same(len(server.queries), asked, "queries upstream")
    finally:
        run("ip", "address", "del", "198.19.0.9/32", "dev", "px1")
        run("ip", "address", "del", "10.9.8.7/32", "dev", "px1")


# Who may use the control socket

def as_user(user, path, line):
    """The reply to a line of the control protocol, sent by that user."""
    out, inward = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(5)
                sock.connect(path)
                sock.sendall(line + b"\n")
                os.write(inward, sock.makefile("rb").readline())
        except OSError as error:
            os.write(inward, str(error).encode())
        os._exit(0)
    os.close(inward)
    with os.fdopen(out, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said.decode()


@test(PLAIN)
def the_control_socket_serves_the_users_of_the_lists(rig):
    path = f"/run/pollux-rig/{rig.name}/run/control.sock"
    level, status = b'{"v":1,"command":"log level info"}', b'{"v":1,"command":"log level"}'
    reading = b'{"v":1,"command":"status"}'
    closed = [place for place in Path(path).parents if not os.stat(place).st_mode & 1]
    modes = {place: os.stat(place).st_mode for place in closed}
    try:
        for place in closed:
            os.chmod(place, modes[place] | 0o011)
        check("ermission denied" in as_user(65533, path, reading), "the mode of the socket keeps nobody out")
        with reloaded(rig, ("zones:", 'access: {management: [65532, "@65531"], monitoring: [65533]}\nzones:')):
            check('"ok":true' in as_user(65533, path, reading).replace(" ", ""), "monitoring")
            check("change nothing" in as_user(65533, path, level), "monitoring")
            check('"ok":true' in as_user(65532, path, level), "management")
            check('"ok":true' in as_user(65531, path, status), "management by group")
            check("may not use this socket" in as_user(65530, path, reading), "somebody else")
        check("ermission denied" in as_user(65533, path, reading), "the mode of the socket is not back")
    finally:
        for place in closed:
            os.chmod(place, modes[place])


# The header

def flags_of(reply):
    return struct.unpack("!H", reply[2:4])[0]


def leaky(name, kind="A", flags=RD | AD | CD | Z, opcode=0, klass=1):
    """A question with records in every section and bits set that are no business of the client's."""
    leak = dns.name.from_text("leak.example").to_wire() + struct.pack("!2HIH", 1, 1, 60, 4) + b"\x01\x02\x03\x04"
    head = struct.pack("!6H", 0x7777, flags | opcode << 11 | AA | TC | RA | 0xb, 1, 1, 1, 1)
    return head + query_wire(name, kind, klass=klass)[12:] + leak * 3


def expect_header(reply, rcode, aa, ra, rd, cd, what, opcode=0):
    check(reply, f"{what}: no reply")
    flags = flags_of(reply)
    same(reply[:2], b"\x77\x77", f"id of {what}")
    same((flags >> 15, flags >> 11 & 15, flags & 15), (1, opcode, rcode), f"QR, opcode and rcode of {what}")
    same((bool(flags & AA), bool(flags & RA), bool(flags & RD), bool(flags & CD)), (aa, ra, rd, cd), f"AA, RA, RD, CD of {what}")
    same(flags & (AD | Z | TC), 0, f"AD, Z and TC of {what}")
    check(b"\x04leak" not in reply, f"{what}: records of the query came back")


def header_cases(with_forwarder):
    """name, type, rcode, AA"""
    yield from (("host.test.example", "A", 0, True), ("nope.test.example", "A", 3, True),
                ("host.test.example", "MX", 0, True), ("host.sub.test.example", "A", 0, False),
                ("host.test.example", "AXFR", 5, False))
    if with_forwarder:
        yield from ((fresh_name(), "A", 0, False), ("nope." + fresh_name(), "A", 3, False),
                    ("fail." + fresh_name(), "A", 2, False), ("away.test.example", "A", 0, True))
    else:
        yield from ((fresh_name(), "A", 5, False), ("away.test.example", "A", 0, True))


def check_headers(rig, with_forwarder):
    for over in ("udp", "tcp"):
        for name, kind, rcode, aa in header_cases(with_forwarder):
            for rd, cd in ((True, True), (True, False), (False, True), (False, False)):
                if not rd and name.endswith("example.net"):
                    continue
                wire = leaky(name, kind, (RD if rd else 0) | (CD if cd else 0) | AD | Z)
                reply = rig.raw(wire, over, timeout=2)
                expect_header(reply, rcode, aa, with_forwarder, rd, cd, f"{name} {kind} over {over}, RD {rd}, CD {cd}")
        for opcode in (1, 2, 4, 5, 9):
            expect_header(rig.raw(leaky("host.test.example", opcode=opcode), over), 4, False, with_forwarder, True, True,
                          f"opcode {opcode} over {over}", opcode)
        for klass in (3, 4, 254, 255):
            expect_header(rig.raw(leaky("host.test.example", klass=klass), over), 5, False, with_forwarder, True, True,
                          f"class {klass} over {over}")
        cut = leaky("host.test.example")[:24]
        expect_header(rig.raw(cut, over), 1, False, with_forwarder, True, True, f"a cut question over {over}")


@test(PLAIN)
def headers_are_right_on_every_path_with_a_forwarder(rig):
    with upstream(rig):
        check_headers(rig, True)


@test(ALONE)
def headers_are_right_on_every_path_without_a_forwarder(rig):
    check_headers(rig, False)


@test(PLAIN)
def without_rd_what_is_in_no_zone_is_refused_and_not_forwarded(rig):
    with upstream(rig) as server:
        for over in ("udp", "tcp"):
            expect_header(rig.raw(leaky(fresh_name(), flags=AD), over), 5, False, True, False, False, over)
        same(len(server.queries), 0, "queries upstream")


# Questions, none and several

def several(*questions):
    return struct.pack("!6H", 0x4242, RD, len(questions), 0, 0, 0) + b"".join(query_wire(*words)[12:] for words in questions)


@test(PLAIN)
def an_empty_question_is_refused_in_12_octets(rig):
    for over in ("udp", "tcp"):
        reply = rig.raw(struct.pack("!6H", 0x4242, RD | AD | CD | Z, 0, 0, 0, 0), over)
        same(reply.hex() if reply else None, struct.pack("!6H", 0x4242, 0x8000 | RD | RA | CD | 5, 0, 0, 0, 0).hex(), over)


@test(PLAIN)
def a_response_is_never_answered_and_spoils_nothing(rig):
    response, question = query_wire("host.test.example", flags=0x8100), query_wire("host.test.example", ident=0x5678)
    before = rig.counter("drop-dns-response")
    same(rig.raw(response, timeout=0.3), None, "over UDP")
    wait_until(lambda: rig.counter("drop-dns-response") == before + 1, "it is counted", 3)
    with socket.create_connection((SERVICE_4, 53), timeout=2) as sock:
        for wire in (response, question):
            sock.sendall(struct.pack("!H", len(wire)) + wire)
        same(read_message(sock)[:2], b"\x56\x78", "the first reply over TCP")


@test(PLAIN)
def several_questions_are_a_format_error(rig):
    for over in ("udp", "tcp"):
        reply = rig.raw(several(("host.test.example",), ("host.test.example", "AAAA")), over)
        same((reply[:2], reply[3] & 15, reply[6:12]), (b"\x42\x42", 1, bytes(6)), over)


@test(FIRST)
def of_several_questions_the_first_may_be_answered_and_all_come_back(rig):
    with upstream(rig):
        for over in ("udp", "tcp"):
            for name, address in (("host.test.example", "198.18.9.80"), (fresh_name(), "198.18.7.1")):
                wire = several((name,), ("host.test.example", "AAAA"), (".", "NS"))
                reply = rig.raw(wire, over, timeout=2)
                same((reply[:2], reply[3] & 15, reply[4:8]), (b"\x42\x42", 0, b"\0\3\0\1"), f"{name} over {over}")
                same(reply[12:len(wire)].hex(), wire[12:].hex(), f"question section of {name} over {over}")
                message = dns.message.from_wire(reply)
                same([str(rdata) for rrset in message.answer for rdata in rrset], [address], f"{name} over {over}")
                same(str(message.answer[0].name), name + ".", over)
            many = several(*[("host.test.example",)] * 20)
            same(rig.raw(many, over)[3] & 15, 1, f"twenty questions over {over}")
            cut = several(("host.test.example",), ("host.test.example",))[:-3]
            same(rig.raw(cut, over)[3] & 15, 1, f"a cut second question over {over}")


if __name__ == "__main__":
    main()
