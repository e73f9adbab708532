#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Frames, headers and malformed messages: each is answered, or dropped and counted for its reason."""

import random

from flow import *

SERVED = Spec(config=f"""
zones:
  - {{name: example-domain.com, file: {ROOT}/zones/samples/example-domain.com.zone}}
  - {{name: test.example, file: "{{zones}}/test.example.zone"}}
""")
XDP = Spec(driver="af_xdp", config=SERVED.config)
GOOD = query_wire("example-domain.com")


@contextmanager
def counted(rig, **expected):
    """The counters named (with _ for -) go up by exactly that much inside the block."""
    names = {name: name.replace("_", "-") for name in expected}
    before = {name: rig.counter(real) for name, real in names.items()}
    yield
    now = {}

    def reached():
        for name, real in names.items():
            now[name] = rig.counter(real) - before[name]
        return now == expected
    try:
        wait_until(reached, "the counters", 2, 0.05)
    except Failure as failure:
        raise Failure(f"counters rose by {now}, expected {expected}") from failure


def still_answers(rig):
    same(rig.ask("example-domain.com").answer[0][0].address, "127.0.0.1")


def exchange(rig, frame, timeout=0.5):
    """A frame out; the UDP reply frame to port 5353, or None."""
    with Link() as link:
        link.send(frame)
        return link.receive(lambda f: f[12:14] == b"\x08\x00" and f[23] == 17 and f[36:38] == struct.pack("!H", 5353)
                            or f[12:14] == b"\x86\xdd" and f[20] == 17 and f[56:58] == struct.pack("!H", 5353), timeout)


def framed(rig, packet, kind=0x0800):
    with Link() as link:
        return ethernet(appliance_mac(rig), link.mac, kind, packet)


# DNS messages

@test(SERVED)
def a_header_without_a_question_is_refused_in_12_octets(rig):
    for over in ("udp", "tcp"):
        reply = rig.raw(struct.pack("!6H", 0x4242, 0x0100, 0, 0, 0, 0), over)
        check(reply, f"no reply over {over}")
        same((len(reply), reply[:2], reply[2] >> 7, reply[3] & 15), (12, b"\x42\x42", 1, dns.rcode.REFUSED), over)


@test(SERVED)
def messages_shorter_than_a_header_are_dropped_and_counted(rig):
    with counted(rig, drop_dns_short=2):
        same(rig.raw(GOOD[:11], timeout=0.3), None)
        same(rig.raw(b"\0", timeout=0.3), None)
    same(rig.raw(b"", timeout=0.3), None)
    still_answers(rig)


@test(SERVED)
def responses_are_dropped_and_counted(rig):
    with counted(rig, drop_dns_response=2):
        same(rig.raw(query_wire("example-domain.com", flags=0x8100), timeout=0.3), None)
        same(rig.raw(struct.pack("!6H", 1, 0x8000, 0, 0, 0, 0), timeout=0.3), None)


@test(SERVED)
def malformed_questions_are_format_errors(rig):
    head = GOOD[:12]
    tail = struct.pack("!2H", 1, 1)
    malformed = {
        "cut in the name": head + b"\x07exam",
        "cut behind the name": head + b"\x01a\x00\x00\x01",
        "no question octets": head,
        "a pointer to itself": head + b"\xc0\x0c" + tail,
        "a pointer forward": head + b"\xc0\x20" + tail + bytes(32),
        "label type 0x40": head + b"\x41a\x00" + tail,
        "label type 0x80": head + b"\x81a\x00" + tail,
        "a name of more than 255 octets": head + (b"\x3f" + b"a" * 63) * 4 + b"\x00" + tail,
    }
    for what, wire in malformed.items():
        for over in ("udp", "tcp"):
            reply = rig.raw(wire, over)
            check(reply, f"{what}: no reply over {over}")
            same((reply[:2], reply[2] >> 7, reply[3] & 15), (wire[:2], 1, dns.rcode.FORMERR), f"{what} over {over}")


@test(SERVED)
def the_longest_name_is_answered(rig):
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * (255 - 3 * 64 - 1 - 14), "test.example"])
    same(len(dns.name.from_text(name).to_wire()), 255)
    same(rig.ask(name).rcode(), dns.rcode.NXDOMAIN)


@test(SERVED)
def two_opt_records_are_a_format_error(rig):
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    reply = rig.raw(struct.pack("!6H", 9, 0x0100, 1, 0, 0, 2) + GOOD[12:] + opt * 2)
    check(reply, "no reply")
    same(reply[3] & 15, dns.rcode.FORMERR)


@test(SERVED)
def an_opt_record_that_is_cut_or_lies_about_its_length_is_a_format_error(rig):
    for rdlength, data in ((4, b""), (8, b"\0\1\0\x20abcd"), (3, b"abc")):
        opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, rdlength) + data
        reply = rig.raw(struct.pack("!6H", 9, 0x0100, 1, 0, 0, 1) + GOOD[12:] + opt)
        check(reply, f"no reply to rdlength {rdlength}")
        same(reply[3] & 15, dns.rcode.FORMERR, f"rdlength {rdlength} with {len(data)} octets")


@test(SERVED)
def octets_behind_the_message_do_no_harm(rig):
    reply = rig.raw(GOOD + b"behind")
    check(reply, "no reply")
    check(reply[3] & 15 in (dns.rcode.NOERROR, dns.rcode.FORMERR), reply)
    still_answers(rig)


# Frames

@test(SERVED)
def arp_questions_for_service_addresses_are_answered(rig):
    mac = appliance_mac(rig)
    with Link() as link:
        def who_has(address):
            arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + link.mac + ip4("198.18.0.1") + bytes(6) + ip4(address)
            link.send(ethernet(b"\xff" * 6, link.mac, 0x0806, arp))
            return link.receive(lambda f: f[12:14] == b"\x08\x06" and f[20:22] == b"\0\2" and f[28:32] == ip4(address), 0.4)
        with counted(rig, answer_arp=1):
            reply = who_has(SERVICE_4)
        check(reply, "no ARP reply")
        same((reply[:6], reply[22:28], reply[32:38], reply[38:42]), (link.mac, mac, link.mac, ip4("198.18.0.1")))
        with counted(rig, drop_arp=1):
            same(who_has("198.18.0.99"), None, "reply for an address of nobody")


@test(SERVED)
def neighbour_solicitations_for_service_addresses_are_answered(rig):
    mac = appliance_mac(rig)
    with Link() as link:
        def solicit(address):
            group = ip6("ff02::1:ff00:0")[:13] + ip6(address)[13:]
            ns = struct.pack("!BBHI", 135, 0, 0, 0) + ip6(address) + b"\1\1" + link.mac
            packet = packet6(ns, "2001:db8:53::1", socket.inet_ntop(socket.AF_INET6, group), 58, 255, checksum_at=2)
            link.send(ethernet(b"\x33\x33" + group[12:], link.mac, 0x86dd, packet))
            return link.receive(lambda f: f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] == 136, 0.4)
        with counted(rig, answer_ndp=1):
            reply = solicit(SERVICE_6)
        check(reply, "no neighbour advertisement")
        same((reply[:6], reply[6:12], reply[22:38], reply[38:54]),
             (link.mac, mac, ip6(SERVICE_6), ip6("2001:db8:53::1")), "addresses")
        same((reply[21], reply[62:78], reply[78:80], reply[80:86]), (255, ip6(SERVICE_6), b"\2\1", mac), "advertisement")
        same(reply[58] & 0x60, 0x60, "solicited and override flags")
        same(solicit("2001:db8:53::99"), None, "advertisement for an address of nobody")


@test(SERVED)
def ping_is_answered_over_ip4_and_ip6(rig):
    for size in (0, 1, 56, 1400):
        payload = random.randbytes(size)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
            sock.settimeout(1)
            echo = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xffff, size)
            echo = echo[:2] + struct.pack("!H", internet_checksum(echo + payload)) + echo[4:] + payload
            sock.sendto(echo, (SERVICE_4, 0))
            reply = sock.recv(2000)[20:]
            same((reply[0], reply[4:], internet_sum(reply)), (0, echo[4:], 0xffff), f"ICMP echo of {size} octets")
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
            sock.settimeout(1)
            sock.connect((SERVICE_6, 0))
            sock.send(struct.pack("!BBHHH", 128, 0, 0, os.getpid() & 0xffff, size) + payload)
            reply = wait_until(lambda: (got := sock.recv(2000))[0] == 129 and got, "an ICMPv6 echo reply", 2)
            same(reply[6:], struct.pack("!H", size) + payload, f"ICMPv6 echo of {size} octets")


ONE_TAG = ((0x8100, 10),)
TWO_TAGS = ((0x8100, 100), (0x8100, 20))  # af_packet ports see an outer 0x88a8 as 0x8100; replay tests it


QINQ = ((0x88a8, 100), (0x8100, 20))


def tagged(tags):
    return b"".join(struct.pack("!2H", *tag) for tag in tags)


@test(SERVED)
def one_and_two_vlan_tags_are_kept_on_the_way_back(rig):
    mac = appliance_mac(rig)
    with Link() as link:
        for tags in (ONE_TAG, QINQ, ((0x8100, 0x6001),)):
            for kind, packet in ((0x0800, udp4(GOOD)), (0x86dd, udp6(GOOD))):
                expected = link.mac + mac + tagged(tags) + struct.pack("!H", kind)
                link.send(ethernet(mac, link.mac, kind, packet, tags))
                reply = link.receive(lambda f: f.startswith(expected), 1)
                check(reply, f"no reply with tags {tags} and type {kind:x}")
                check(GOOD[12:] in reply, "the question is not in the reply")


@test(SERVED)
def neighbours_and_ping_work_inside_vlans(rig):
    mac = appliance_mac(rig)
    with Link() as link:
        for tags in (ONE_TAG, QINQ):
            arp = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + link.mac + ip4("198.18.0.1") + bytes(6) + ip4(SERVICE_4)
            link.send(ethernet(b"\xff" * 6, link.mac, 0x0806, arp, tags))
            check(link.receive(lambda f: f.startswith(link.mac + mac + tagged(tags) + b"\x08\x06")), f"no ARP reply in {tags}")
            echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + b"ping"
            echo = echo[:2] + struct.pack("!H", internet_checksum(echo)) + echo[4:]
            link.send(ethernet(mac, link.mac, 0x0800, packet4(echo, "198.18.0.1", SERVICE_4, 1), tags))
            check(link.receive(lambda f: f.startswith(link.mac + mac + tagged(tags) + b"\x08\x00")), f"no echo in {tags}")


@test(SERVED)
def wrong_udp_checksums_are_dropped_and_counted(rig):
    with counted(rig, drop_udp_checksum=1):
        same(exchange(rig, framed(rig, udp4(GOOD, checksum=0x1234))), None, "reply")
    frame = framed(rig, udp6(GOOD), 0x86dd)
    check(exchange(rig, frame), "no reply to the correct frame over IPv6")
    with counted(rig, drop_udp_checksum=1):
        same(exchange(rig, frame[:60] + bytes([frame[60] ^ 0x55]) + frame[61:]), None, "reply over IPv6")
    with counted(rig, drop_udp_checksum=1):
        same(exchange(rig, frame[:60] + b"\0\0" + frame[62:]), None, "reply without a checksum over IPv6")


@test(SERVED)
def a_udp_datagram_without_checksum_is_answered_over_ip4(rig):
    check(exchange(rig, framed(rig, udp4(GOOD, checksum=0))), "no reply")


@test(SERVED)
def a_wrong_ip_header_checksum_is_dropped_and_counted(rig):
    with counted(rig, drop_ip_checksum=1):
        same(exchange(rig, framed(rig, udp4(GOOD, ip_checksum=0x4321))), None, "reply")


@test(SERVED)
def replies_carry_correct_headers_and_checksums(rig):
    mac = appliance_mac(rig)
    reply = exchange(rig, framed(rig, udp4(GOOD)))
    check(reply, "no reply")
    packet = reply[14:]
    length = struct.unpack("!H", packet[2:4])[0]
    udp = packet[20:length]
    same(internet_sum(packet[:20]), 0xffff, "sum over the IP header")
    same(internet_sum(packet[12:20] + struct.pack("!2H", 17, len(udp)) + udp), 0xffff, "sum over UDP")
    same((reply[6:12], packet[12:16], packet[16:20], udp[:4]),
         (mac, ip4(SERVICE_4), ip4("198.18.0.1"), struct.pack("!2H", 53, 5353)), "addresses and ports")
    same(struct.unpack("!H", udp[4:6])[0], len(udp), "UDP length")
    check(packet[8] >= 32, f"TTL {packet[8]}")
    packet = exchange(rig, framed(rig, udp6(GOOD), 0x86dd))[14:]
    udp = packet[40:40 + struct.unpack("!H", packet[4:6])[0]]
    same(internet_sum(packet[8:40] + struct.pack("!IHBB", len(udp), 0, 0, 17) + udp), 0xffff, "sum over UDP over IPv6")


@test(SERVED)
def frames_for_others_are_dropped_and_counted(rig):
    mac = appliance_mac(rig)
    with Link() as link:
        other = bytes([mac[0] ^ 4]) + mac[1:]
        with counted(rig, drop_not_our_mac=1):
            same(exchange(rig, ethernet(other, link.mac, 0x0800, udp4(GOOD))), None, "reply to another's MAC")
        with counted(rig, drop_ip_not_ours=1):
            same(exchange(rig, ethernet(mac, link.mac, 0x0800, udp4(GOOD, target="198.18.0.99"))), None)
        with counted(rig, drop_ethertype=1):
            link.send(ethernet(mac, link.mac, 0x88cc, bytes(46)))


@test(SERVED)
def sources_that_no_host_has_are_dropped_and_counted(rig):
    sources = ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", SERVICE_4)
    with counted(rig, drop_ip_source=len(sources)):
        for source in sources:
            same(exchange(rig, framed(rig, udp4(GOOD, source=source)), 0.15), None, f"reply to {source}")


@test(SERVED)
def broken_headers_are_dropped_and_counted(rig):
    good = udp4(GOOD)
    before = rig.counter("rx")
    broken = [b"\x4f" + good[1:], b"\x44" + good[1:], b"\x65" + good[1:],            # header length, version
              good[:2] + b"\xff\xff" + good[4:], good[:2] + b"\0\x14" + good[4:],      # total length
              good[:24] + b"\xff\xff" + good[26:], good[:24] + b"\0\7" + good[26:],    # UDP length
              good[:19], good[:27]]
    for packet in broken:
        same(exchange(rig, framed(rig, packet), 0.1), None, f"reply to {packet[:28].hex()}")
    wait_until(lambda: rig.counter("rx") - before >= len(broken), "all counted as received", 2)
    still_answers(rig)


@test(SERVED)
def mutated_frames_neither_stop_the_workers_nor_leak_buffers(rig):
    choose = random.Random(20261121)
    stems = [framed(rig, udp4(GOOD)), framed(rig, udp6(GOOD), 0x86dd),
             framed(rig, udp4(dns.message.make_query("host.test.example", "A", use_edns=0, payload=1232).to_wire()))]
    pid = rig.pid_now("dataplane")
    with Link() as link:
        for _ in range(20000):
            frame = bytearray(choose.choice(stems))
            for _ in range(choose.randint(1, 4)):
                frame[choose.randrange(12, len(frame))] = choose.randrange(256)
            cut = choose.randrange(14, len(frame)) if choose.random() < 0.2 else len(frame)
            try:
                link.send(bytes(frame[:cut]))
            except OSError:  # the kernel's queue is full, or it takes the frame for too short
                time.sleep(0.001)
    still_answers(rig)
    same(rig.pid_now("dataplane"), pid, "pid of the dataplane")


@test(XDP)
def an_af_xdp_port_answers_over_udp_and_tcp_and_ip4_and_ip6(rig):
    for over in ("udp", "tcp"):
        for to in (SERVICE_4, SERVICE_6):
            same(rig.ask("example-domain.com", over=over, to=to).answer[0][0].address, "127.0.0.1", f"{over} to {to}")


@test(XDP)
def an_af_xdp_port_keeps_tags_of_both_kinds(rig):
    mac = appliance_mac(rig)
    with Link() as link:
        for tags in (ONE_TAG, TWO_TAGS, QINQ):
            link.send(ethernet(mac, link.mac, 0x0800, udp4(GOOD), tags))
            check(link.receive(lambda f: f.startswith(link.mac + mac + tagged(tags) + b"\x08\x00")), f"no reply in {tags}")


@test(XDP)
def an_af_xdp_port_drops_what_its_checksums_do_not_cover(rig):
    with counted(rig, drop_udp_checksum=1, drop_ip_checksum=1):
        same(exchange(rig, framed(rig, udp4(GOOD, checksum=0x1234)), 0.2), None, "reply")
        same(exchange(rig, framed(rig, udp4(GOOD, ip_checksum=0x4321)), 0.2), None, "reply")


if __name__ == "__main__":
    main()
