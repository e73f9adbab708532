# SPDX-License-Identifier: BSD-3-Clause
"""Questions: on the wire, in captures, and asked one by one."""

import random
import socket
import struct
import time

from bench.common import rig
from bench.servers import CLIENT_4

TYPE_SOA, TYPE_A = 6, 1
FLAG_RD = 0x0100
SCALE_QUESTIONS = 65536  # distinct; the driver keeps a buffer for each, more than any core's cache holds
ASK_EVERY_S = 0.004
PCAP_MAC = bytes.fromhex("027063617000")  # of the driver's first port
COOKIE = struct.pack("!2H8s", 10, 8, b"8 octets")  # RFC 7873: from a client that has none of ours yet


def question(name, rrtype, ident=0, flags=0):
    return struct.pack("!6H", ident, flags, 1, 0, 0, 0) + rig.wire_name(name) + struct.pack("!2H", rrtype, 1)


def edns(payload, dnssec_ok, options=b""):
    """The same question with an OPT record, RFC 6891."""
    return payload[:10] + b"\0\1" + payload[12:] + \
        struct.pack("!BHHIH", 0, 41, 1232, 0x8000 if dnssec_ok else 0, len(options)) + options


def soa_serial(reply):
    """Of the first record of the answer section; None without an authoritative answer."""
    if len(reply) < 12 or reply[3] & 15 or not reply[2] & 4 or struct.unpack("!H", reply[6:8])[0] == 0:
        return None
    if len(reply) < 40:
        return None
    at = 12
    while reply[at]:
        at += reply[at] + 1
    at += 5
    for skip_fixed in (10, 0, 0):  # owner and what follows it; then the two names of the RDATA
        while reply[at] and reply[at] < 64:
            at += reply[at] + 1
        at += (2 if reply[at] else 1) + skip_fixed
    return struct.unpack("!I", reply[at:at + 4])[0]


def ones_sum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data[:len(data) & ~1])) + (data[-1] << 8 if len(data) & 1 else 0)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def service_address(port):
    return f"198.18.{port}.53"


def frame(ident, payload, port=0, over="IPv4"):
    """Ethernet, IP, UDP with good checksums; ports and addresses of many clients, to the service address of a port."""
    mac = PCAP_MAC[:5] + bytes([PCAP_MAC[5] + port])
    ends = (f"198.18.{port}.{1 + ident % 8}", service_address(port)) if over != "IPv6" else (f"2001:db8:53::{1 + ident % 8}", rig.SERVICE_6)
    source, target = (socket.inet_pton(socket.AF_INET6 if over == "IPv6" else socket.AF_INET, end) for end in ends)
    udp = struct.pack("!4H", 1024 + ident % 60000, 53, 8 + len(payload), 0) + payload
    pseudo = source + target + struct.pack("!2H", 17, len(udp))
    udp = udp[:6] + struct.pack("!H", ones_sum(pseudo + udp) ^ 0xffff or 0xffff) + udp[8:]
    ip = struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) if over == "IPv6" else \
        struct.pack("!2B3H2BH", 0x45, 0, 20 + len(udp), ident & 0xffff, 0, 64, 17, 0)
    ip += source + target
    if over != "IPv6":
        ip = ip[:10] + struct.pack("!H", ones_sum(ip) ^ 0xffff) + ip[12:]
    tag = struct.pack("!2H", 0x8100, 7) if over == "VLAN" else b""
    return mac + bytes.fromhex("020000000001") + tag + struct.pack("!H", 0x86dd if over == "IPv6" else 0x0800) + ip + udp


def write_capture(path, questions, port=0, over="IPv4"):
    with open(path, "wb") as out:
        out.write(struct.pack("=IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for ident, payload in enumerate(questions):
            data = frame(ident, payload, port, over)
            out.write(struct.pack("=IIII", 0, 0, len(data), len(data)) + data)


def random_questions(count, origin, number=SCALE_QUESTIONS):
    chance = random.Random(count)
    return (question(f"h{chance.randrange(count)}.{origin}", TYPE_A, i) for i in range(number))


def write_questions(path, names, origin):
    chance = random.Random(names)
    path.write_text("".join(f"h{chance.randrange(names)}.{origin} A\n" for _ in range(names)))


class Asker:
    """Asks for the SOA of a zone again and again from the client's namespace."""

    def __init__(self, network, name):
        self.socket = rig.client_socket(network, socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((rig.SERVICE_4, 53))
        self.name, self.ident = name, 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def serial(self, patience_s=ASK_EVERY_S):
        self.ident = (self.ident + 1) & 0xffff
        self.socket.settimeout(patience_s)
        began = time.monotonic()
        try:
            self.socket.send(question(self.name, TYPE_SOA, self.ident))
            found = soa_serial(self.socket.recv(4096))
        except OSError:
            found = None
        if found is None:
            time.sleep(max(0.0, patience_s - (time.monotonic() - began)))
        return found


def answer_times(network, name, pause_s, count, source_port=0, most_s=60):
    """Seconds that single questions wait for their answers, one after the other; what is lost counts as none."""
    over = time.monotonic() + most_s
    found = []
    with rig.client_socket(network, socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.bind((CLIENT_4, source_port))
        asker.connect((rig.SERVICE_4, 53))
        asker.settimeout(0.5)
        for ident in range(count):
            time.sleep(pause_s)
            if time.monotonic() > over:
                break
            payload = question(name, TYPE_SOA, ident & 0xffff)
            began = time.perf_counter()
            asker.send(payload)
            try:
                while asker.recv(4096)[:2] != payload[:2]:
                    pass
                found.append(time.perf_counter() - began)
            except TimeoutError:
                pass
    return found
