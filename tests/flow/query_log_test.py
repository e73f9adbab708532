#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The query log: what a line says, at which level, from whichever part an answer comes; and that it costs no answers."""

import random

from flow import *

CONFIG = """
zones: [{name: test.example, file: "{zones}/test.example.zone"}]
forward: {servers: [198.18.0.3], timeout: 200ms, deadline: 1s}
log: {queries: %d, query-file: "{dir}/queries", sample: %d}
"""
LOGGED = Spec(config=CONFIG % (0, 1))
SAMPLED = Spec(config=CONFIG % (1, 10))
INTO_THE_LOG = Spec(config=(CONFIG % (1, 1)).replace(', query-file: "{dir}/queries"', ""))
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z "


def fresh_name():
    return f"n{random.getrandbits(48):x}.example.net"


def address_for(query):
    response = dns.message.make_response(query, recursion_available=True)
    response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "198.18.7.1"))
    return response


@contextmanager
def upstream(rig):
    server = FakeServer(rig, answering(address_for), "198.18.0.3")
    try:
        yield server
    finally:
        rig.helpers.remove(server)
        server.stop()


def lines(rig):
    path = rig.dir / "queries"
    return path.read_text().splitlines() if path.exists() else []


def level(rig, number):
    same(rig.ctl_json("log", "queries", str(number))["level"], number)
    # The workers go by it from their next turn on; a question that must not count tells.
    rig.ask("ns1.test.example")


def mark(rig):
    """Where in the log the answer to a question of ours stands: its line and the one behind its records."""
    name = f"mark{random.getrandbits(32):x}.test.example"
    rig.ask(name)
    wait_until(lambda: any(name in line for line in lines(rig)), "the mark is in the log", 5, 0.02)
    at = next(number for number, line in enumerate(lines(rig)) if name in line)
    return at, at + 1


@contextmanager
def logged(rig):
    """The lines that come in meanwhile, as a list that is full after the block."""
    begin, found = mark(rig)[1], []
    yield found
    end = mark(rig)[0]
    found += lines(rig)[begin:end]
    while found and found[0].startswith(" "):  # of the mark
        del found[0]


def expect(line, pattern):
    check(re.fullmatch(TIME + pattern, line), f"{line!r} is not like {pattern!r}")


@test(LOGGED)
def at_level_0_nothing_is_written(rig):
    with upstream(rig):
        for over in ("udp", "tcp"):
            rig.ask("host.test.example", over=over)
            rig.ask(fresh_name(), over=over)
    rig.ctl("log", "queries", "1")
    rig.ask("ns1.test.example")
    wait_until(lambda: any("ns1.test.example." in line for line in lines(rig)), "level 1 writes", 5)
    check(not any("host.test.example" in line or "example.net" in line for line in lines(rig)), lines(rig))


@test(LOGGED)
def there_are_no_other_levels(rig):
    rig.ctl("log", "queries", "1")
    for word in ("3", "12", "01", "short"):
        done = rig.ctl("log", "queries", word, check_it=False)
        check(done.returncode != 0 and "no such level" in done.stderr, done)
    same(rig.ctl_json("log", "queries")["level"], 1)


@test(LOGGED)
def at_level_1_each_answer_is_one_line_with_its_source(rig):
    level(rig, 1)
    name = fresh_name()
    with upstream(rig), logged(rig) as found:
        rig.ask("hOSt.test.example", source="198.18.0.4")
        rig.ask("nope.test.example", "AAAA", to=SERVICE_6)
        rig.raw(struct.pack("!6H", 7, 0x100, 0, 0, 0, 0))
        rig.ask(name)
        rig.ask(name)
        rig.ask("host.test.example", over="tcp")
        rig.ask(name, over="tcp")
        rig.raw(query_wire("host.test.example", flags=2 << 11))
    same(len(found), 8, "lines in\n" + "\n".join(found) + "\n")
    rest = r" \d+ octets \d+ us "
    for pattern in (r"198\.18\.0\.4@\d+ udp hOSt\.test\.example\. IN A NOERROR 1 answers" + rest + "authorities",
                    r"2001:db8:53::1@\d+ udp nope\.test\.example\. IN AAAA NXDOMAIN 0 answers" + rest + "authorities",
                    r"198\.18\.0\.1@\d+ udp - REFUSED 0 answers 12 octets \d+ us -",
                    rf"198\.18\.0\.1@\d+ udp {name}\. IN A NOERROR 1 answers" + rest + r"forwarders \(.*198\.18\.0\.3.*\)",
                    rf"198\.18\.0\.1@\d+ udp {name}\. IN A NOERROR 1 answers" + rest + "cache",
                    r"198\.18\.0\.1@\d+ tcp host\.test\.example\. IN A NOERROR 1 answers" + rest + "authorities.*",
                    rf"198\.18\.0\.1@\d+ tcp {name}\. IN A NOERROR 1 answers" + rest + "cache.*",
                    r"198\.18\.0\.1@\d+ udp opcode 2 host\.test\.example\. IN A NOTIMP 0 answers" + rest + "-"):
        check(any(re.fullmatch(TIME + pattern, line) for line in found), f"no line like {pattern}\n" + "\n".join(found))


@test(LOGGED)
def at_level_2_the_question_and_all_records_follow(rig):
    level(rig, 2)
    for over in ("udp", "tcp"):
        with logged(rig) as found:
            rig.ask("test.example", "MX", over=over, use_edns=0)
        expect(found[0], rf".* {over} test\.example\. IN MX NOERROR \d+ answers .*")
        check(re.fullmatch(r"  header id \d+ qr aa rd ra, EDNS of 1232 octets", found[1]), found)
        same(found[2], "  question test.example. IN MX")
        records = [line.split()[0] for line in found[3:]]
        check(records and set(records) <= {"answer", "authority", "additional"} and records[0] == "answer", found)
        check(any(re.fullmatch(r"  answer test\.example\. \d+ IN MX \d+ \S+\.", line) for line in found), found)


@test(LOGGED)
def a_hostile_name_is_escaped(rig):
    level(rig, 2)
    label = b'\x0a\x00\x1b[31m"\xff \\.'
    wire = struct.pack("!6H", 7, 0x100, 1, 0, 0, 0) + bytes([len(label)]) + label + b"\4test\7example\0\0\1\0\1"
    with logged(rig) as found:
        check(rig.raw(wire), "no reply")
    check(all(line.isprintable() for line in found), found)
    check(r"\010\000\027[31m\"\255\032\\\..test.example." in found[0], found[0])


@test(LOGGED)
def the_log_changes_no_answer(rig):
    wires = [query_wire(name, kind) for name in ("host.test.example", "nope.test.example", "test.example", "www.test.example")
             for kind in ("A", "MX", "ANY")]
    seen = {}
    for number in (0, 1, 2):
        level(rig, number)
        seen[number] = [rig.raw(wire, over) for wire in wires for over in ("udp", "tcp")]
    same(seen[1], seen[0], "answers at level 1")
    same(seen[2], seen[0], "answers at level 2")


@test(LOGGED)
def a_log_that_was_moved_away_begins_anew(rig):
    level(rig, 1)
    path, old = rig.dir / "queries", rig.dir / "queries.1"
    path.rename(old)

    def goes_on():
        rig.ask("host.test.example")
        return path.exists() and "host.test.example." in path.read_text()
    wait_until(goes_on, "lines in the new file", 5, 0.1)
    old.unlink()


@test(LOGGED)
def a_burst_loses_lines_rather_than_answers(rig):
    level(rig, 2)
    logged_before = rig.counter("query-logged") + rig.counter("query-log-lost")
    answered = rig.counter("answer-dns")
    os.kill(rig.pid("control"), signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.connect((SERVICE_4, 53))
            for number in range(600):
                sock.send(query_wire("host.test.example", ident=number))
                sock.recv(4096)
    finally:
        os.kill(rig.pid("control"), signal.SIGCONT)
    same(rig.counter("answer-dns") - answered, 600, "answers")
    same(rig.counter("query-logged") + rig.counter("query-log-lost") - logged_before, 600, "answers logged or counted")
    check(rig.counter("query-log-lost") >= 600 - 256 - 64, f"lost: {rig.counter('query-log-lost')}")
    level(rig, 0)


@test(SAMPLED)
def of_so_many_answers_one_is_logged(rig):
    before = len(lines(rig))
    for _ in range(100):
        rig.ask("host.test.example")
    wait_until(lambda: len(lines(rig)) - before >= 10, "ten lines", 5, 0.05)
    time.sleep(0.3)
    same(len(lines(rig)) - before, 10, "lines")


@test(INTO_THE_LOG)
def without_a_file_the_lines_go_to_the_log(rig):
    rig.ask("host.test.example")
    wait_until(lambda: re.search(r"info: 198\.18\.0\.1@\d+ udp host\.test\.example\. IN A NOERROR 1 answers", rig.log("control")),
               "a line in the log of control", 5, 0.1)


if __name__ == "__main__":
    main()
