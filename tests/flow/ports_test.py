#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Several ports in one appliance, each with a client namespace of its own."""

import itertools
import threading

from flow import *
from tagged import Tagged

ZONE = """zones:
  - {name: example-domain.com, file: "{root}/zones/samples/example-domain.com.zone"}
  - {name: test.example, file: "{zones}/test.example.zone"}
""".replace("{root}", str(ROOT))
GATEWAYS = ('[198.18.0.1, "2001:db8:53::1"]', '[198.18.1.1, "2001:db8:53:1::1"]')
APART = f"""ports:
  - {{device: a, addresses: [{SERVICE_4}/24], gateways: {GATEWAYS[0]}}}
  - {{device: b, addresses: [198.18.1.53/24, "2001:db8:53:1::53/64"], gateways: {GATEWAYS[1]}}}
forward: {{servers: [198.18.1.2], timeout: 200ms, deadline: 1s}}
""" + ZONE
ONE_WORKER = Spec(config=APART, ports=2)
TWO_WORKERS = Spec(config="dataplane: {lcores: [0, 1]}\n" + APART, ports=2)
BOTH_WAYS = Spec(config=APART.replace("198.18.1.2]", "198.19.0.9]"), ports=2)
ONE_LINK = Spec(config=f"""ports:
  - {{device: a, addresses: [{SERVICE_4}/24]}}
  - {{device: b, addresses: [198.18.0.54/24, "2001:db8:53::54/64"]}}
""" + ZONE, ports=2)

PREFIXES = [f"198.18.{i}.53/24" for i in range(1, 7)] + ["198.18.7.129/25", "198.18.8.5/30", "198.18.9.53/32",
                                                         "198.18.1.54/24"]
PREFIXES += [f"2001:db8:53:{i}::53/64" for i in range(1, 7)] + ["2001:db8:53:7::53/80", "2001:db8:53:8::5/126",
                                                                "2001:db8:53:9::53/128", "2001:db8:53:1::54/64"]
# 1280 is what IPv6 needs at least; the other port has Ethernet's 1500.
MANY = Spec(config=f"""ports:
  - {{device: a, addresses: [{SERVICE_4}/24], mtu: 1280}}
  - {{device: b, addresses: {json.dumps(PREFIXES)}, gateways: {GATEWAYS[1]}}}
answers: {{udp-size: 1452}}
forward: {{servers: [198.18.1.2], timeout: 200ms, deadline: 1s}}
""" + ZONE, ports=2)
SERVICE = ((SERVICE_4, SERVICE_6), ("198.18.1.53", "2001:db8:53:1::53"))


def expect_answer(rig, to, over, **how):
    same(rig.ask("example-domain.com", over=over, to=to, **how).answer[0][0].address, "127.0.0.1", f"{over} to {to}")


def expect_answers(rig, port, addresses=None, **how):
    with rig.behind(port):
        for to in addresses or SERVICE[port]:
            for over in ("udp", "tcp"):
                expect_answer(rig, to, over, **how)


def answers_within(rig, port, to, deadline_s=5):
    """UDP questions until one is answered."""
    with rig.behind(port):
        wire = query_wire("example-domain.com")
        wait_until(lambda: rig.raw(wire, to=to, timeout=0.1), f"{to} answers", deadline_s)


def is_silent(rig, port, to):
    with rig.behind(port):
        try:
            return rig.raw(query_wire("example-domain.com"), to=to, timeout=0.25) is None
        except OSError:  # nobody there
            return True


def in_box(rig, *command):
    return run("ip", "netns", "exec", f"pollux-{rig.name}-box", *command)


def link_states(rig):
    return [port["link"] for port in rig.request("stats")["ports"]]


def mac_of(rig, port):
    return rig.request("stats")["ports"][port]["mac"]


def neighbour(address):
    found = re.search(r"lladdr ([0-9a-f:]+)", run("ip", "neighbour", "show", address).stdout)
    return found and found[1]


@contextmanager
def upstream(rig, namespace, address, reply):
    with inside(namespace):
        server = FakeServer(rig, reply, address)
    try:
        yield server
    finally:
        rig.helpers.remove(server)
        server.stop()


def one_address(query):
    response = dns.message.make_response(query, recursion_available=True)
    response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "198.18.100.1"))
    return response


fresh = itertools.count()


@contextmanager
def distant_client(rig, port):
    """A client two hops away: its router is this port's gateway, and it has the same addresses behind either port."""
    far = f"pollux-{rig.name}.far{port}"  # goes down with the rig, whatever happens here
    near = f"pollux-{rig.name}.{port}" if port else f"pollux-{rig.name}"
    run("ip", "netns", "add", far)
    try:
        run("ip", "-n", near, "link", "add", "far", "type", "veth", "peer", "name", "router", "netns", far)
        with inside(near):
            run("ethtool", "-K", "far", "tx", "off", "gso", "off", "tso", "off")
            run("sysctl", "-qw", "net.ipv4.conf.all.forwarding=1", "net.ipv6.conf.all.forwarding=1")
        run("ip", "-n", far, "link", "set", "lo", "up")
        for namespace, device, end in ((near, "far", 1), (far, "router", 9)):
            run("ip", "-n", namespace, "address", "add", f"198.19.0.{end}/24", "dev", device)
            run("ip", "-n", namespace, "address", "add", f"2001:db8:99::{end}/64", "dev", device, "nodad")
            run("ip", "-n", namespace, "link", "set", device, "up")
        with inside(far):
            run("ethtool", "-K", "router", "tx", "off", "gso", "off", "tso", "off")
            run("ip", "route", "add", "default", "via", "198.19.0.1")
            run("ip", "-6", "route", "add", "default", "via", "2001:db8:99::1")
        yield far
    finally:
        run("ip", "netns", "delete", far)


# Two links

@test(ONE_WORKER)
def each_port_answers_over_udp_and_tcp_from_the_address_asked(rig):
    for port in (0, 1):
        expect_answers(rig, port)


@test(ONE_WORKER)
def each_port_tells_its_own_mac_to_arp_and_neighbour_questions(rig):
    for port in (0, 1):
        with rig.behind(port):
            for address in SERVICE[port]:
                expect_answer(rig, address, "udp")
                same(neighbour(address), mac_of(rig, port), f"MAC of {address}")
    check(mac_of(rig, 0) != mac_of(rig, 1), "both ports have the same MAC")


@test(ONE_WORKER)
def a_port_knows_nothing_of_the_addresses_of_another(rig):
    with rig.behind(1):
        run("ip", "route", "replace", SERVICE_4, "dev", "px1")
        run("ip", "route", "replace", SERVICE_6, "dev", "px1")
    for address in SERVICE[0]:
        check(is_silent(rig, 1, address), f"{address} is answered on the other port")


@test(ONE_WORKER)
def clients_in_a_vlan_of_one_port_are_answered_there_and_those_without_a_tag_as_before(rig):
    for tags in (((0x8100, 77),), ((0x88a8, 20), (0x8100, 30))):
        for port in (1, 0):
            with rig.behind(port), Link() as link:
                mac = bytes.fromhex(mac_of(rig, port).replace(":", ""))
                client = Tagged(link, mac, tags, f"198.18.{port}.200", SERVICE[port][0])
                reply = client.ask_udp(query_wire("example-domain.com"))
                check(reply and reply[:2] == b"\x12\x34", f"no reply over UDP with the tags on port {port}")
                client.expect_answer("example-domain.com")
            expect_answers(rig, port)


@test(ONE_WORKER)
def clients_behind_routers_are_answered_by_the_port_they_came_in(rig):
    with distant_client(rig, 0) as first, distant_client(rig, 1) as second:
        for port, far in ((0, first), (1, second), (0, first)):
            with inside(far):
                for to in SERVICE[port]:
                    for over in ("udp", "tcp"):
                        expect_answer(rig, to, over)


@test(ONE_WORKER)
def a_forwarder_behind_the_second_port_serves_the_clients_of_both(rig):
    with upstream(rig, f"pollux-{rig.name}.1", "198.18.1.2", answering(one_address)) as server:
        for port in (0, 1):
            with rig.behind(port):
                for to in SERVICE[port]:
                    for over in ("udp", "tcp"):
                        reply = rig.ask(f"n{next(fresh)}.example.net", to=to, over=over)
                        same((reply.rcode(), len(reply.answer)), (0, 1), f"rcode and RRsets, {over} to {to}")
        same({client[0] for _, client, _ in server.queries}, {"198.18.1.53"}, "source of forwarded questions")


@test(ONE_WORKER)
def one_link_goes_down_and_up_while_the_other_goes_on(rig):
    same(link_states(rig), ["up", "up"])
    for port, device in ((0, "px0"), (1, "px2")):
        other = 1 - port
        in_box(rig, "ip", "link", "set", device, "down")
        try:
            wait_until(lambda: link_states(rig)[port] == "down", "the stats say that the link is down", 3)
            same(link_states(rig)[other], "up", "the other link")
            expect_answers(rig, other)
            check(is_silent(rig, port, SERVICE[port][0]), "an answer over a link that is down")
        finally:
            in_box(rig, "ip", "link", "set", device, "up")
        wait_until(lambda: link_states(rig) == ["up", "up"], "the stats say that the link is up", 3)
        answers_within(rig, port, SERVICE[port][0])
        expect_answers(rig, port)
        expect_answers(rig, other)


@test(ONE_WORKER)
def a_cable_pulled_on_the_far_side_is_seen_as_well(rig):
    with rig.behind(1):
        run("ip", "link", "set", "px1", "down")
        try:
            wait_until(lambda: link_states(rig) == ["up", "down"], "the second link is down", 3)
            expect_answers(rig, 0)
        finally:
            run("ip", "link", "set", "px1", "up")
            for i in range(1, 9):  # the kernel forgets the addresses of IPv6 with the link
                run("ip", "address", "replace", f"2001:db8:53:1::{i:x}/64", "dev", "px1", "nodad")
        wait_until(lambda: link_states(rig) == ["up", "up"], "the second link is up", 3)
    answers_within(rig, 1, SERVICE[1][0])
    expect_answers(rig, 1)


def both_ports_come_back(rig, *processes):
    old = rig.kill(*processes)
    for process, pid in zip(processes, old):
        rig.wait_for_restart(process, pid)
    rig.wait_for_control()
    wait_until(lambda: rig.request("stats")["dataplane"]["alive"], "control sees the dataplane", 5)
    for port in (0, 1):
        answers_within(rig, port, SERVICE[port][0])
        expect_answers(rig, port)


@test(ONE_WORKER)
def both_ports_come_back_when_the_dataplane_was_killed(rig):
    both_ports_come_back(rig, "dataplane")


@test(ONE_WORKER)
def both_ports_come_back_when_control_was_killed(rig):
    both_ports_come_back(rig, "control")


@test(ONE_WORKER)
def both_ports_answer_over_udp_while_there_is_no_control(rig):
    run(RIG, "stop", "--name", rig.name, "control")
    try:
        for port in (0, 1):
            with rig.behind(port):
                for to in SERVICE[port]:
                    expect_answer(rig, to, "udp")
    finally:
        run(RIG, "start", "--name", rig.name, "control")
    rig.wait_for_control()


@test(ONE_WORKER)
def a_reload_names_changed_gateways_as_needing_a_restart(rig):
    user = rig.dir / "pollux.yaml"
    before = user.read_text()
    try:
        user.write_text(before.replace('198.18.1.1, "2001:db8:53:1::1"', '198.18.1.7, "2001:db8:53:1::7"'))
        run(RIG, "config", "--name", rig.name, "--renew")
        said = rig.ctl_json("config", "reload")["needs_restart"]
        same(said, ["ports[1].gateways"], "what needs a restart")
        expect_answers(rig, 1)
    finally:
        user.write_text(before)
        run(RIG, "config", "--name", rig.name, "--renew")
    same(rig.ctl_json("config", "reload")["needs_restart"], [], "what needs a restart when all is as before")


@test(BOTH_WAYS)
def forwarded_questions_take_the_other_port_while_a_link_is_down(rig):
    def forwarded():
        return rig.ask(f"n{next(fresh)}.example.net", to=SERVICE[1][0]).rcode() == dns.rcode.NOERROR

    reply = answering(one_address)
    with distant_client(rig, 0) as first, distant_client(rig, 1) as second, \
            upstream(rig, first, "198.19.0.9", reply) as one, upstream(rig, second, "198.19.0.9", reply) as two, rig.behind(1):
        check(forwarded(), "no answer")
        same((len(one.queries), len(two.queries)), (1, 0), "questions by way of each port")
        in_box(rig, "ip", "link", "set", "px0", "down")
        try:
            wait_until(lambda: link_states(rig) == ["down", "up"], "the first link is down", 3)
            wait_until(forwarded, "an answer by way of the other port", 5)
            check(forwarded() and two.queries, "nothing by way of the second port")
            same(two.queries[-1][1][0], SERVICE[1][0], "source of forwarded questions")
        finally:
            in_box(rig, "ip", "link", "set", "px0", "up")
        wait_until(lambda: link_states(rig) == ["up", "up"], "the first link is up", 3)
        before = len(one.queries)
        wait_until(lambda: forwarded() and len(one.queries) > before, "questions by way of the first port again", 5)


# Two workers

@test(TWO_WORKERS)
def two_workers_share_two_ports(rig):
    for port in (0, 1):
        with rig.behind(port):
            for _ in range(20):
                for to in SERVICE[port]:
                    expect_answer(rig, to, "udp")
        expect_answers(rig, port)
    same([worker["answer-dns"] > 0 for worker in rig.workers()], [True, True], "both workers answer")


@test(TWO_WORKERS)
def two_workers_come_back_on_both_ports_after_any_kill(rig):
    both_ports_come_back(rig, "dataplane")
    both_ports_come_back(rig, "control")
    both_ports_come_back(rig, "dataplane", "control")


@test(TWO_WORKERS)
def two_workers_take_a_port_each_when_the_ports_have_one_queue(rig):
    written = Path(f"/run/pollux-rig/{rig.name}/pollux.yaml")
    text = written.read_text()
    check(text.count(",qpairs=2") == 2, text)
    written.write_text(text.replace(",qpairs=2", ""))
    both_ports_come_back(rig, "dataplane")
    for port in (0, 1):
        before = rig.workers()
        for _ in range(5):
            expect_answers(rig, port)
        grown = [{name: new[name] - old[name] for name in new} for old, new in zip(before, rig.workers())]
        same([worker["answer-dns"] for worker in grown], [0, 10] if port else [10, 0], f"UDP answers on port {port}")
        # Control's frames leave by the worker that has the port. The end of an earlier connection may still come.
        check(grown[port]["control-frame"] >= 30 and grown[1 - port]["control-frame"] < 10, grown)


@test(TWO_WORKERS)
def questions_on_both_ports_at_once_are_all_answered(rig):
    def ask_many(port, to, failures):
        try:
            with rig.behind(port):
                for number in range(150):
                    expect_answer(rig, to, "tcp" if number % 5 == 0 else "udp")
        except Exception as error:
            failures.append(f"{to}: {error}")

    failures = []
    threads = [threading.Thread(target=ask_many, args=(port, to, failures)) for port in (0, 1) for to in SERVICE[port]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(failures, [])


# Two ports on one subnet

TWINS = ((SERVICE_4, SERVICE_6), ("198.18.0.54", "2001:db8:53::54"))


def on_one_subnet(rig):
    with rig.behind(1):
        run("ip", "address", "replace", "198.18.0.9/24", "dev", "px1")
        run("ip", "address", "replace", "2001:db8:53::9/64", "dev", "px1", "nodad")


@test(ONE_LINK)
def two_ports_on_one_subnet_answer_each_by_itself(rig):
    on_one_subnet(rig)
    for port in (0, 1, 0):
        expect_answers(rig, port, TWINS[port])


@test(ONE_LINK)
def two_ports_on_one_subnet_answer_for_their_own_addresses_only(rig):
    on_one_subnet(rig)
    for port in (0, 1):
        with rig.behind(port):
            for address in TWINS[port]:
                expect_answer(rig, address, "udp")
                same(neighbour(address), mac_of(rig, port), f"MAC of {address}")
        for address in TWINS[1 - port]:
            check(is_silent(rig, port, address), f"{address} is answered on port {port}")


@test(ONE_LINK)
def two_ports_on_one_subnet_come_back_after_a_kill(rig):
    on_one_subnet(rig)
    for process in ("dataplane", "control"):
        rig.wait_for_restart(process, rig.kill(process)[0])
        for port in (0, 1):
            answers_within(rig, port, TWINS[port][0])
            expect_answers(rig, port, TWINS[port])


# Many addresses, and MTUs

def neighbours_of_many():
    """This client has an address on each link; the two that are on none are reached by the device."""
    for prefix in ("198.18.2.1/24", "198.18.3.1/24", "198.18.4.1/24", "198.18.5.1/24", "198.18.6.1/24", "198.18.7.130/25",
                   "198.18.8.6/30", "2001:db8:53:7::1/80", "2001:db8:53:8::6/126",
                   *(f"2001:db8:53:{i}::1/64" for i in range(2, 7))):
        run("ip", "address", "replace", prefix, "dev", "px1", *(["nodad"] if ":" in prefix else []))
    for address in ("198.18.9.53/32", "2001:db8:53:9::53/128"):
        run("ip", "route", "replace", address, "dev", "px1")


@test(MANY)
def one_port_answers_from_twenty_addresses_of_eighteen_prefixes(rig):
    with rig.behind(1):
        neighbours_of_many()
    expect_answers(rig, 1, [prefix.split("/")[0] for prefix in PREFIXES])


@test(MANY)
def a_client_that_moves_to_another_prefix_of_the_port_is_answered_there(rig):
    with rig.behind(1):
        neighbours_of_many()
        for to in ("198.18.1.53", "198.18.7.129", "198.18.9.53"):
            for source in ("198.18.1.1", "198.18.3.1", "198.18.8.6"):
                for over in ("udp", "tcp"):
                    expect_answer(rig, to, over, source=source)


@contextmanager
def longest_packet(found):
    """Keeps the largest length of an IP packet from the appliance in found[0]."""
    link, going = Link(), True

    def look():
        while going:
            frame = link.receive(lambda frame: frame[12:14] in (b"\x08\0", b"\x86\xdd"), 0.1)
            if frame:
                length = struct.unpack("!H", frame[16:18])[0] if frame[12] == 8 else 40 + struct.unpack("!H", frame[18:20])[0]
                found[0] = max(found[0], length, len(frame) - 14)
    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
        time.sleep(0.15)  # what was sent is there; what was not cannot be awaited
    finally:
        going = False
        thread.join()
        link.__exit__()


@test(MANY)
def no_answer_over_udp_exceeds_the_mtu_of_its_port(rig):
    sizes = range(68, 92)  # of addresses, 16 octets each
    text = "@ 60 IN SOA ns.example. host.example. 1 60 60 60 60\n@ 60 IN NS ns.example.\n"
    text += "".join(f"n{size} 60 IN A 198.18.100.{i}\n" for size in sizes for i in range(size))
    (rig.dir / "big.example.zone").write_text(text)
    with rig.behind(1):
        Knot(rig, {"big.example": rig.dir / "big.example.zone"}, "198.18.1.2")
    for port, mtu in ((0, 1280), (1, 1500)):
        found, whole = [0], 0
        with rig.behind(port), longest_packet(found):
            for to in SERVICE[port]:
                rig.ask("many.test.example", "TXT", to=to, use_edns=0, payload=4096)
                for size in sizes:
                    reply = rig.ask(f"n{size}.big.example", to=to, use_edns=0, payload=4096, timeout=5)
                    same(reply.rcode(), 0, f"rcode for {size} addresses")
                    whole += not reply.flags & dns.flags.TC
        check(mtu - 60 < found[0] <= mtu, f"longest packet on a link of {mtu}: {found[0]}")
        check(8 < whole < 2 * len(sizes), f"{whole} answers were whole")


@test(MANY)
def no_segment_over_tcp_exceeds_the_mtu_of_its_port(rig):
    for port, mtu in ((0, 1280), (1, 1500)):
        found = [0]
        with rig.behind(port), longest_packet(found):
            for to in SERVICE[port]:
                same(sum(map(len, rig.ask("many.test.example", "TXT", over="tcp", to=to).answer)), 60, "records")
        check(mtu - 60 < found[0] <= mtu, f"longest packet on a link of {mtu}: {found[0]}")


if __name__ == "__main__":
    main()
