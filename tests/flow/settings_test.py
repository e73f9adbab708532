#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Configurations other than the usual one: what each option changes, seen from the client."""

from flow import *

ZONE = 'zones: [{name: test.example, file: "{zones}/test.example.zone"}]\n'
WORKERS = Spec(config=ZONE + "dataplane: {lcores: [0, 1]}\n")
PORT = Spec(config=ZONE + "dataplane: {service-port: 5353}\n")
SIZES = Spec(config=ZONE + "answers: {udp-size: 600, any-udp: full}\n")
ROUTED = Spec(config=ZONE + 'ports: [{device: any, addresses: [198.18.0.53/24], gateways: [198.18.0.1, "2001:db8:53::1"]}]\n')
MANAGEMENT = Spec(config=ZONE + "forward: {servers: [127.0.0.1@5300], via: management}\n")
FEW = Spec(config=ZONE + "dataplane: {mbufs: 2048}\nforward: {servers: [198.18.0.3], max-open: 50, deadline: 1s}\n")
NAPS = Spec(config=ZONE + "dataplane: {idle-sleep: 200us, idle-after: 0}\n")


def address(reply):
    return reply.answer[0][0].address if reply.answer else dns.rcode.to_text(reply.rcode())


@test(WORKERS)
def two_workers_share_the_clients_and_each_counts_its_own(rig):
    for port in range(200):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2)
            sock.bind(("198.18.0.1", 20000 + port))
            sock.connect((SERVICE_4, 53))
            sock.send(query_wire("host.test.example"))
            check(b"\xc6\x12\x09\x50" in sock.recv(4096), "wrong answer")
    for over in ("udp", "tcp"):
        for to in (SERVICE_4, SERVICE_6):
            same(address(rig.ask("host.test.example", over=over, to=to)), "198.18.9.80", f"{over} to {to}")
    shares = [worker["answer-dns"] for worker in rig.workers()]
    same(len(shares), 2, "workers")
    check(min(shares) > 20, f"answers per worker: {shares}")


@test(PORT)
def the_service_port_may_be_another_one(rig):
    for over in ("udp", "tcp"):
        query = dns.message.make_query("host.test.example", "A")
        ask = dns.query.udp if over == "udp" else dns.query.tcp
        same(address(ask(query, SERVICE_4, port=5353, timeout=2)), "198.18.9.80", over)
    try:
        same(rig.raw(query_wire("host.test.example"), timeout=0.3), None, "reply on port 53")
    except ConnectionRefusedError:
        pass  # the kernel behind control says that nobody is there


@test(SIZES)
def udp_size_bounds_what_a_client_gets(rig):
    wire = rig.raw(dns.message.make_query("many.test.example", "TXT", use_edns=0, payload=4096).to_wire())
    check(512 < len(wire) <= 600 or dns.message.from_wire(wire).flags & dns.flags.TC and len(wire) <= 600, len(wire))
    reply = rig.ask("forty.test.example", use_edns=0, payload=4096)
    check(reply.flags & dns.flags.TC, "forty addresses fit into 600 octets?")


@test(SIZES)
def any_over_udp_may_be_answered_in_full(rig):
    reply = rig.ask("ns1.test.example", "ANY")
    same(sorted(dns.rdatatype.to_text(rrset.rdtype) for rrset in reply.answer), ["A", "AAAA"])


@test(ROUTED)
def clients_behind_a_router_are_answered_over_udp_and_tcp(rig):
    run("ip", "address", "add", "198.19.0.1/32", "dev", "lo")
    run("ip", "address", "add", "2001:db8:99::1/128", "dev", "lo", "nodad")
    for to, source in ((SERVICE_4, "198.19.0.1"), (SERVICE_6, "2001:db8:99::1")):
        for over in ("udp", "tcp"):
            same(address(rig.ask("host.test.example", over=over, to=to, source=source)), "198.18.9.80", f"{over} from {source}")


@test(MANAGEMENT)
def forwarding_may_leave_by_the_management_interface(rig):
    upstream = subprocess.Popen(["ip", "netns", "exec", f"pollux-{rig.name}-box", ROOT / "tools/upstream", "--address", "127.0.0.1",
                                 "--port", "5300", f"example.com={ZONES}/example.com.zone"])
    try:
        wait_until(lambda: rig.ask("www.example.com").answer, "a forwarded answer", 10, 0.2)
        same(len(rig.ask("huge.example.com", "TXT", over="tcp").answer[0]), 10, "records after TC upstream")
    finally:
        upstream.kill()
        upstream.wait()


@test(FEW)
def more_questions_than_may_wait_are_answered_servfail_at_once(rig):
    server = FakeServer(rig, lambda wire: None, "198.18.0.3")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.connect((SERVICE_4, 53))
            sock.settimeout(3)
            began = time.monotonic()
            for i in range(200):
                sock.send(query_wire(f"w{i}.example.net", ident=i))
            at = []
            for _ in range(200):
                same(sock.recv(4096)[3] & 15, dns.rcode.SERVFAIL)
                at.append(time.monotonic() - began)
        early = sum(t < 0.5 for t in at)
        same(early, 150, "answers before the deadline")
        same(address(rig.ask("host.test.example")), "198.18.9.80")
    finally:
        rig.helpers.remove(server)
        server.stop()


@test(FEW)
def a_flood_neither_leaks_buffers_nor_stops_answers(rig):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((SERVICE_4, 53))
        sock.setblocking(False)
        for i in range(50000):
            try:
                sock.send(query_wire(f"{'host' if i % 3 else f'x{i}'}.test.example", ident=i & 0xffff))
            except BlockingIOError:
                time.sleep(0.001)
    same(address(rig.ask("host.test.example")), "198.18.9.80")
    wait_until(lambda: (plane := rig.ctl_json("status")["dataplane"]) and plane["mbufs_free"] > plane["mbufs"] - 600,
               "packet buffers are free again", 5, 0.1)


@test(SIZES)
def an_idle_dataplane_leaves_its_core_to_others(rig):
    def used_s():
        threads = Path(f"/proc/{rig.pid_now('dataplane')}/task").iterdir()
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    time.sleep(1.3)  # naps get longer after a second of silence
    before = used_s()
    time.sleep(2)
    share = (used_s() - before) / 2
    comment(f"{share * 100:.0f} % of a core")
    check(share < 0.12,  # 4 % on a quiet machine
          f"{share * 100:.0f} % of a core while idle")


@test(NAPS)
def a_worker_may_nap_whenever_there_are_no_packets_and_loses_none(rig):
    naps = lambda: sum(worker["idle-sleeps"] for worker in rig.workers())
    before = naps()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(2)
        sock.connect((SERVICE_4, 53))
        for _ in range(20):
            for i in range(50):
                sock.send(query_wire("host.test.example", ident=i))
            for _ in range(50):
                check(b"\xc6\x12\x09\x50" in sock.recv(4096), "wrong answer")
    check(naps() > before, "it did not nap between the bursts")


if __name__ == "__main__":
    main()
