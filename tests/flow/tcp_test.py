#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""DNS over TCP: through the ring, the TAP and the kernel's stack, as clients really behave."""

from flow import *

SERVED = Spec(config=f"""
zones:
  - {{name: example-domain.com, file: {ROOT}/zones/samples/example-domain.com.zone}}
  - {{name: test.example, file: "{{zones}}/test.example.zone"}}
tcp: {{max-clients: 200, max-per-client: 60, idle-timeout: 2s}}
""")
GOOD = query_wire("example-domain.com")


def framed(wire):
    return struct.pack("!H", len(wire)) + wire


def connect(to=SERVICE_4, source=None, timeout=3):
    sock = socket.create_connection((to, 53), timeout, (source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def expect_answer(sock, ident=0x1234):
    reply = read_message(sock)
    same((reply[:2], reply[3] & 15, reply[6:8]), (struct.pack("!H", ident), 0, b"\0\1"), "id, rcode, answers")


@test(SERVED)
def a_query_may_come_one_octet_at_a_time(rig):
    for to in (SERVICE_4, SERVICE_6):
        with connect(to) as sock:
            for octet in framed(GOOD):
                sock.send(bytes([octet]))
                time.sleep(0.002)
            expect_answer(sock)


@test(SERVED)
def two_queries_in_one_segment_are_both_answered(rig):
    with connect() as sock:
        sock.sendall(framed(query_wire("example-domain.com", ident=1)) + framed(query_wire("test.example", "MX", ident=2)))
        idents = {read_message(sock)[:2] for _ in range(2)}
        same(idents, {b"\0\1", b"\0\2"}, "ids")


@test(SERVED)
def a_segment_may_end_inside_the_next_query(rig):
    both = framed(query_wire("example-domain.com", ident=1)) + framed(query_wire("example-domain.com", ident=2))
    with connect() as sock:
        cut = len(both) // 2 + 1
        sock.sendall(both[:cut])
        expect_answer(sock, 1)
        sock.sendall(both[cut:])
        expect_answer(sock, 2)


@test(SERVED)
def a_thousand_pipelined_queries_are_all_answered(rig):
    with connect(timeout=10) as sock:
        sock.sendall(b"".join(framed(query_wire("host.test.example", ident=i)) for i in range(1000)))
        idents = {struct.unpack("!H", read_message(sock)[:2])[0] for _ in range(1000)}
        same(idents, set(range(1000)), "ids")


@test(SERVED)
def a_malformed_query_does_not_spoil_the_good_one_behind_it(rig):
    with connect() as sock:
        sock.sendall(framed(GOOD[:12] + b"\x41a\0\0\1\0\1") + framed(query_wire("example-domain.com", ident=2)))
        replies = {reply[:2]: reply[3] & 15 for reply in (read_message(sock), read_message(sock))}
        same(replies, {b"\x12\x34": dns.rcode.FORMERR, b"\0\2": 0}, "rcodes by id")


@test(SERVED)
def an_answer_larger_than_a_segment_is_whole(rig):
    reply = rig.ask("many.test.example", "TXT", over="tcp")
    same(sum(len(rrset) for rrset in reply.answer), 60)
    check(len(reply.to_wire()) > 12000, "smaller than meant")


@test(SERVED)
def large_answers_are_pipelined_to_a_client_that_reads_late(rig):
    with connect(timeout=10) as sock:
        for i in range(100):
            sock.sendall(framed(query_wire("many.test.example", "TXT", ident=i)))
        time.sleep(0.5)
        for _ in range(100):
            check(len(read_message(sock)) > 12000, "short answer")


@test(SERVED)
def a_connection_serves_one_query_after_another(rig):
    with connect() as sock:
        for i in range(200):
            sock.sendall(framed(query_wire("example-domain.com", ident=i)))
            expect_answer(sock, i)


@test(SERVED)
def half_closing_after_the_query_still_brings_the_answer(rig):
    with connect() as sock:
        sock.sendall(framed(GOOD))
        sock.shutdown(socket.SHUT_WR)
        expect_answer(sock)
        same(sock.recv(1), b"", "what follows")


@test(SERVED)
def an_idle_connection_is_closed_after_its_time(rig):
    with connect(timeout=10) as sock:
        sock.sendall(framed(GOOD))
        expect_answer(sock)
        began = time.monotonic()
        same(sock.recv(1), b"", "what comes")
        took = time.monotonic() - began
        check(1.5 < took < 5, f"closed after {took:.1f} s, configured are 2 s")


# Nobody has heard of this address before: its neighbour has to be found first, and 1 s is when a client sends its SYN again.
@test(SERVED)
def a_newcomers_connections_are_all_accepted_at_once(rig):
    socks = [socket.socket() for _ in range(40)]
    try:
        began = time.monotonic()
        for sock in socks:
            sock.setblocking(False)
            sock.bind(("198.18.0.2", 0))
            sock.connect_ex((SERVICE_4, 53))
        while len(connected := [sock for sock in socks if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\1"]) < len(socks):
            check(time.monotonic() - began < 0.9, f"{len(connected)} of {len(socks)} connections within 0.9 s")
            time.sleep(0.005)
    finally:
        for sock in socks:
            sock.close()


@test(SERVED)
def a_client_gets_no_more_connections_than_its_share(rig):
    socks = []
    try:
        def served():
            try:
                sock = connect(source="198.18.0.3")
                socks.append(sock)
                sock.sendall(framed(GOOD))
                return len(read_message(sock)) > 12
            except (ConnectionError, TimeoutError):
                return False
        same([served() for _ in range(60)], [True] * 60, "connections inside the share")
        same(served(), False, "one more")
        with connect(source="198.18.0.4") as other:
            other.sendall(framed(GOOD))
            expect_answer(other)
    finally:
        for sock in socks:
            sock.close()


@test(SERVED)
def many_connections_from_several_clients_are_served_at_once(rig):
    socks = []
    try:
        for i in range(150):
            socks.append(connect(source=f"198.18.0.{5 + i % 4}", timeout=5))
        for i, sock in enumerate(socks):
            sock.sendall(framed(query_wire("example-domain.com", ident=i)))
        for i, sock in enumerate(socks):
            expect_answer(sock, i)
    finally:
        for sock in socks:
            sock.close()


@test(SERVED)
def connections_that_break_off_leave_nothing_open(rig):
    for i in range(100):
        sock = connect(source=f"198.18.0.{5 + i % 4}")
        sock.sendall(framed(GOOD)[:i % 20 + 1])
        if i % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    with connect() as sock:
        sock.sendall(framed(GOOD))
        expect_answer(sock)


@test(SERVED)
def a_length_of_zero_does_no_harm(rig):
    with connect() as sock:
        sock.sendall(b"\0\0")
        time.sleep(0.1)
    same(rig.ask("example-domain.com", over="tcp").rcode(), 0)


@test(SERVED)
def connections_are_refused_on_other_ports(rig):
    began = time.monotonic()
    try:
        socket.create_connection((SERVICE_4, 54), 2).close()
        raise Failure("port 54 accepts")
    except ConnectionRefusedError:
        check(time.monotonic() - began < 1, "late refusal")


@test(SERVED)
def dnsperf_over_tcp_gets_every_answer(rig):
    queries = rig.dir / "tcp.txt"
    queries.write_text("example-domain.com A\nhost.test.example A\nx.wild.test.example TXT\n")
    done = run("dnsperf", "-s", SERVICE_4, "-m", "tcp", "-d", queries, "-n", "2000", "-c", "10", "-q", "50", "-t", "5")
    lost = re.search(r"Queries lost:\s+(\d+)", done.stdout)
    same(lost and lost[1], "0", done.stdout)
    check(re.search(r"Queries completed:\s+6000 ", done.stdout), done.stdout)


if __name__ == "__main__":
    main()
