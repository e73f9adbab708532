#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The exception path: frames for the kernel's stack, down the ring, through the TAP and back."""

from flow import *
from tagged import Tagged

SERVED = Spec(config=f"""
ports:
  - device: rig
    addresses: [{SERVICE_4}/24]
    gateways: [198.18.0.1, "2001:db8:53::1"]
zones:
  - {{name: example-domain.com, file: {ROOT}/zones/samples/example-domain.com.zone}}
  - {{name: test.example, file: "{{zones}}/test.example.zone"}}
""")
DISTANT_4, DISTANT_6 = "198.19.0.1", "2001:db8:99::1"


def framed(wire):
    return struct.pack("!H", len(wire)) + wire


def connect(to=SERVICE_4, source=None, timeout=5):
    return socket.create_connection((to, 53), timeout, (source, 0) if source else None)


def expect_answer(sock, ident):
    sock.sendall(framed(query_wire("example-domain.com", ident=ident)))
    reply = read_message(sock)
    same((reply[:2], reply[3] & 15, reply[6:8]), (struct.pack("!H", ident), 0, b"\0\1"), "id, rcode, answers")


@contextmanager
def offload(state):
    run("ethtool", "-K", "px1", "tx", state)
    try:
        yield
    finally:
        run("ethtool", "-K", "px1", "tx", "off")


@test(SERVED)
def an_appliance_that_nobody_asks_sends_nothing(rig):
    with connect() as sock:
        expect_answer(sock, 1)
    time.sleep(0.2)
    with Link() as link:
        same(link.receive(lambda frame: True, 2), None, "what came")


@test(SERVED)
def checksums_that_a_client_left_to_hardware_are_accepted_over_tcp(rig):
    with offload("on"):
        for to in (SERVICE_4, SERVICE_6):
            with connect(to) as sock:
                expect_answer(sock, 2)
                expect_answer(sock, 3)


@test(SERVED)
def a_distant_client_is_answered_by_way_of_the_gateway(rig):
    run("ip", "address", "replace", DISTANT_4 + "/32", "dev", "lo")
    run("ip", "address", "replace", DISTANT_6 + "/128", "dev", "lo", "nodad")
    with connect(SERVICE_4, DISTANT_4) as sock:
        expect_answer(sock, 4)
    with connect(SERVICE_6, DISTANT_6) as sock:
        expect_answer(sock, 5)


@test(SERVED)
def every_frame_of_a_large_answer_fits_the_mtu_and_its_checksums_are_right(rig):
    capture = rig.dir / "tcp.pcap"
    dump = subprocess.Popen(["tcpdump", "-i", "px1", "-Z", "root", "-U", "--immediate-mode", "-w", capture, "port", "53"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        dump.stderr.readline()
        for to in (SERVICE_4, SERVICE_6):
            for i in range(5):
                same(sum(map(len, rig.ask("many.test.example", "TXT", over="tcp", to=to).answer)), 60, "records")
        time.sleep(0.2)
    finally:
        dump.terminate()
        dump.wait(10)
        dump.stderr.close()
    text = run("tcpdump", "-nn", "-e", "-vv", "-r", capture).stdout
    check(text.count("(correct)") > 100, "too few checksums:", text[:2000])
    check("incorrect" not in text and "bad cksum" not in text, "bad checksums:", text)
    lengths = [int(length) for length in re.findall(r"ethertype IPv[46] \(0x\w+\), length (\d+):", text)]
    check(1000 < max(lengths) <= 1514, "longest frame:", max(lengths))


@test(SERVED)
def a_connection_outlives_a_killed_dataplane(rig):
    with connect(timeout=10) as sock:
        expect_answer(sock, 6)
        rig.kill("dataplane")
        expect_answer(sock, 7)


@test(SERVED)
def after_a_killed_control_old_connections_are_reset_and_new_ones_served(rig):
    with connect() as sock:
        expect_answer(sock, 8)
        rig.kill("control")
        try:
            expect_answer(sock, 9)
            raise Failure("a connection of the old process still works")
        except ConnectionError:
            pass
    with connect() as sock:
        expect_answer(sock, 10)


def ask_tagged(rig, *tags):
    with Link() as link:
        Tagged(link, appliance_mac(rig), tags).expect_answer("example-domain.com")


@test(SERVED)
def a_tcp_client_behind_a_vlan_is_answered_there(rig):
    ask_tagged(rig, (0x8100, 10))


@test(SERVED)
def a_tcp_client_behind_two_vlan_tags_is_answered_there(rig):
    ask_tagged(rig, (0x88a8, 20), (0x8100, 30))


if __name__ == "__main__":
    main()
