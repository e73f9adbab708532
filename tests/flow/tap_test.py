#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The exception path: frames for the kernel's stack, down the ring, through the TAP and back."""

from flow import *

SERVED = Spec(config=f"""
ports:
  - device: rig
    addresses: [{SERVICE_4}/24]
    gateways: [198.18.0.1, "2001:db8:53::1"]
zones:
  - {{name: example-domain.com, file: {ROOT}/zones/samples/example-domain.com.zone}}
  - {{name: test.example, file: "{{zones}}/test.example.zone"}}
""")
CLIENT_MAC = bytes.fromhex("0200000000c8")
CLIENT = "198.18.0.200"
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


class Tagged:
    """A TCP client made of frames with VLAN tags, as far as one question needs it."""

    ports = 20000 + os.getpid() % 20000

    def __init__(self, link, target_mac, tags):
        self.link, self.target, self.tags = link, target_mac, tags
        self.head = ethernet(target_mac, CLIENT_MAC, 0, b"", tags)[:-2]
        Tagged.ports += 1
        self.port = Tagged.ports

    def send(self, sequence, acknowledged, flags, data=b""):
        tcp = struct.pack("!HHIIBBHHH", self.port, 53, sequence, acknowledged, 0x50, flags, 65000, 0, 0) + data
        pseudo = ip4(CLIENT) + ip4(SERVICE_4) + struct.pack("!2H", 6, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", internet_checksum(pseudo + tcp)) + tcp[18:]
        self.link.send(self.head + b"\x08\0" + packet4(tcp, CLIENT, SERVICE_4, 6))

    def receive(self, flags):
        """The TCP segment with these flags; neighbour questions on the way are answered, tagged alike."""
        network, own = len(self.head), self.head[12:]
        question = own + b"\x08\x06\0\1\x08\0\x06\x04\0\1"
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            frame = self.link.receive(lambda f: f[12:network] == own, 1)
            if frame and frame[12:].startswith(question) and frame[network + 26:network + 30] == ip4(CLIENT):
                asker = frame[network + 10:network + 20]
                self.link.send(self.head + b"\x08\x06\0\1\x08\0\x06\x04\0\2" + CLIENT_MAC + ip4(CLIENT) + asker)
            elif frame and frame[:6] == CLIENT_MAC and frame[network + 22 + 13] == flags:
                return frame[network + 22:]
        raise Failure(f"no segment with flags {flags:#x} and the tags")


def ask_tagged(rig, *tags):
    with Link() as link:
        client = Tagged(link, appliance_mac(rig), tags)
        client.send(1000, 0, 0x02)
        theirs = struct.unpack("!I", client.receive(0x12)[4:8])[0]
        question = framed(query_wire("example-domain.com", ident=11))
        client.send(1001, theirs + 1, 0x18, question)
        reply = client.receive(0x18)[20:]
        client.send(1001 + len(question), 0, 0x04)
        same((reply[2:4], reply[5] & 15, reply[8:10]), (b"\0\x0b", 0, b"\0\1"), "id, rcode, answers")


@test(SERVED)
def a_tcp_client_behind_a_vlan_is_answered_there(rig):
    ask_tagged(rig, (0x8100, 10))


@test(SERVED)
def a_tcp_client_behind_two_vlan_tags_is_answered_there(rig):
    ask_tagged(rig, (0x88a8, 20), (0x8100, 30))


if __name__ == "__main__":
    main()
