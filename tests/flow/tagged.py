# SPDX-License-Identifier: BSD-3-Clause
"""A client made of frames with VLAN tags."""

from flow import *


class Tagged:
    """Asks over UDP and TCP as far as one question needs it, from an address and a MAC that nobody else has."""

    ports = 20000 + os.getpid() % 20000
    mac = bytes.fromhex("0200000000c8")

    def __init__(self, link, target_mac, tags, address="198.18.0.200", target=SERVICE_4):
        self.link, self.address, self.target = link, address, target
        self.head = ethernet(target_mac, self.mac, 0, b"", tags)[:-2]
        Tagged.ports += 1
        self.port = Tagged.ports

    def send(self, sequence, acknowledged, flags, data=b""):
        tcp = struct.pack("!HHIIBBHHH", self.port, 53, sequence, acknowledged, 0x50, flags, 65000, 0, 0) + data
        pseudo = ip4(self.address) + ip4(self.target) + struct.pack("!2H", 6, len(tcp))
        tcp = tcp[:16] + struct.pack("!H", internet_checksum(pseudo + tcp)) + tcp[18:]
        self.link.send(self.head + b"\x08\0" + packet4(tcp, self.address, self.target, 6))

    def receive(self, flags):
        """The TCP segment with these flags; neighbour questions on the way are answered, tagged alike."""
        network, own = len(self.head), self.head[12:]
        question = own + b"\x08\x06\0\1\x08\0\x06\x04\0\1"
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            frame = self.link.receive(lambda f: f[12:network] == own, 1)
            if frame and frame[12:].startswith(question) and frame[network + 26:network + 30] == ip4(self.address):
                asker = frame[network + 10:network + 20]
                self.link.send(self.head + b"\x08\x06\0\1\x08\0\x06\x04\0\2" + self.mac + ip4(self.address) + asker)
            elif frame and frame[:6] == self.mac and frame[network:network + 2] == b"\x08\0" and frame[network + 35] == flags:
                return frame[network + 22:]
        raise Failure(f"no segment with flags {flags:#x} and the tags")

    def ask_udp(self, wire):
        """The reply's octets, from a frame with the same tags; None: no such frame."""
        self.link.send(self.head + b"\x08\0" + udp4(wire, self.address, self.target, sport=self.port))
        network = len(self.head) + 2
        frame = self.link.receive(lambda f: f[:6] == self.mac and f[12:network] == self.head[12:] + b"\x08\0" and
                                  f[network + 9] == 17 and f[network + 12:network + 16] == ip4(self.target), 2)
        return frame and frame[network + 28:]

    def expect_answer(self, name):
        """One question over TCP, answered with one record."""
        self.send(1000, 0, 0x02)
        theirs = struct.unpack("!I", self.receive(0x12)[4:8])[0]
        question = query_wire(name, ident=11)
        question = struct.pack("!H", len(question)) + question
        self.send(1001, theirs + 1, 0x18, question)
        reply = self.receive(0x18)[20:]
        self.send(1001 + len(question), 0, 0x04)
        same((reply[2:4], reply[5] & 15, reply[8:10]), (b"\0\x0b", 0, b"\0\1"), "id, rcode, answers")
