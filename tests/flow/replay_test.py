#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Replay: the real pipeline from file to file, without a network."""

import random

from flow import *

COUNT = 4096
MILLION = 1000000
CONFIG = """
name: {name}
runtime-dir: {dir}/run
shared-memory: {dir}/shm
dataplane: {{lcores: [1], main-lcore: 0, hugepages: "off"}}
ports:
  - {{device: "net_pcap0,rx_pcap={dir}/in.pcap", addresses: [198.18.0.53/24, "2001:db8:53::53/64"]}}
zones:
  - {{name: example-domain.com, file: {root}/zones/samples/example-domain.com.zone}}
  - {{name: test.example, file: {zones}/test.example.zone}}
log: {{level: info, target: stderr}}
"""


def queries(count):
    """Frames of questions with known answers, each from a port of its own."""
    names = [("example-domain.com", "A"), ("www.example-domain.com", "A"), ("mail.example-domain.com", "AAAA"),
             ("nope.example-domain.com", "A"), ("host.test.example", "A"), ("forty.test.example", "A"),
             ("x.wild.test.example", "TXT"), ("host.sub.test.example", "A"), ("test.example", "MX"), ("other.example", "A")]
    for i in range(count):
        name, kind = names[i % len(names)]
        cookie = [dns.edns.GenericOption(10, struct.pack("!Q", i))] if i % 6 == 5 else None
        query = dns.message.make_query(name, kind, use_edns=0 if i % 3 else False, payload=1232, id=i & 0xffff,
                                       options=cookie)
        packet = udp6(query.to_wire(), sport=1024 + i) if i % 2 else udp4(query.to_wire(), sport=1024 + i)
        tags = [(), ((0x8100, 10),), ((0x88a8, 100), (0x8100, 10))][i % 7 % 3]
        yield ethernet(SERVER_MAC, CLIENT_MAC, 0x86dd if i % 2 else 0x0800, packet, tags)


@contextmanager
def place():
    directory = Path(tempfile.mkdtemp(prefix="pollux-replay-"))
    try:
        (directory / "run").mkdir()
        (directory / "shm").mkdir()
        (directory / "pollux.yaml").write_text(CONFIG.format(name=f"replay-{os.getpid()}", dir=directory, root=ROOT, zones=ZONES))
        yield directory
    finally:
        shutil.rmtree(directory)
        shutil.rmtree(f"/run/dpdk/pollux-replay-{os.getpid()}", ignore_errors=True)


def replay(directory, out, dataplane=None, timeout=60, environment=None):
    done = run(dataplane or program("pollux-dataplane"), "--config", directory / "pollux.yaml", "--json", "--replay",
               directory / "in.pcap", directory / out, timeout=timeout, env={**os.environ, **(environment or {})})
    return json.loads(done.stdout), done.stderr


def ip_at(frame):
    at = 12
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return at + 2


def dns_of(frame):
    at = ip_at(frame)
    return frame[at + (28 if frame[at] >> 4 == 4 else 48):]


@test()
def each_of_4096_queries_is_answered():
    with place() as directory:
        write_pcap(directory / "in.pcap", queries(COUNT))
        replay(directory, "out.pcap")
        frames = read_pcap(directory / "out.pcap")
        same(len(frames), COUNT, "answers")
        by_port = {}
        for frame in frames:
            at = ip_at(frame)
            udp = at + (20 if frame[at] >> 4 == 4 else 40)
            by_port[struct.unpack("!H", frame[udp + 2:udp + 4])[0]] = frame
        for i, query in enumerate(queries(COUNT)):
            answer = by_port[1024 + i]
            same(answer[12:ip_at(answer)], query[12:ip_at(query)], f"tags of answer {i}")
            asked, told = dns.message.from_wire(dns_of(query)), dns.message.from_wire(dns_of(answer))
            check(asked.is_response(told), f"answer {i} is none to its question: {told}")
            cookies = [len(option.to_wire()) for option in told.options if option.otype == 10]
            same(cookies, [24] * len(asked.options), f"cookies in answer {i}")


@test()
def two_replays_are_the_same_bit_for_bit():
    with place() as directory:
        write_pcap(directory / "in.pcap", queries(COUNT))
        replay(directory, "one.pcap")
        replay(directory, "two.pcap")
        one, two = (directory / "one.pcap").read_bytes(), (directory / "two.pcap").read_bytes()
        same(len(one), len(two), "size of the file")
        same(read_pcap(directory / "one.pcap"), read_pcap(directory / "two.pcap"), "frames")


def check_checksums(frames, count):
    with place() as directory:
        write_pcap(directory / "in.pcap", frames)
        replay(directory, "out.pcap")
        done = run("tcpdump", "-vv", "-n", "-r", directory / "out.pcap")
        same(len(re.findall(r"\[udp sum ok\]", done.stdout)), count, "good UDP checksums")
        bad = [line for line in done.stdout.splitlines() if re.search(r"\bbad (\w+ )?ck?sum", line.lower())]
        check(not bad, "\n".join(bad[:5]))


@test()
def tcpdump_finds_no_bad_checksum_in_4096_answers():
    check_checksums(queries(COUNT), COUNT)


@test()
def tcpdump_finds_no_bad_checksum_wherever_the_question_ends():
    """The checksum of a reply is put together from parts that begin at an even or an odd offset."""
    names = [("wild", "A"), ("wild", "TXT"), ("wild", "MX"), ("wildalias", "A"), ("sub", "A"), ("mail", "A")]
    wires = [dns.message.make_query(f"{'x' * size}.{name}.test.example", kind, use_edns=edns).to_wire()
             for size in range(1, 61) for name, kind in names for edns in (False, 0)]
    frames = [ethernet(SERVER_MAC, CLIENT_MAC, kind, packet(wire)) for wire in wires
              for kind, packet in ((0x0800, udp4), (0x86dd, udp6))]
    check_checksums(frames, len(frames))


@test()
def fragments_are_dropped_and_counted():
    query = query_wire("example-domain.com")
    fragment6 = struct.pack("!BBHI", 17, 0, 1, 7) + bytes(8)
    packets = [(0x0800, udp4(query, flags=0x2000)), (0x0800, udp4(query, flags=0x0010)),
               (0x86dd, packet6(fragment6, "2001:db8:53::1", SERVICE_6, 44)), (0x0800, udp4(query))]
    with place() as directory:
        write_pcap(directory / "in.pcap", [ethernet(SERVER_MAC, CLIENT_MAC, kind, packet) for kind, packet in packets])
        counters, _ = replay(directory, "out.pcap")
        same((counters["rx"], counters["drop-fragment"], counters["answer-dns"]), (4, 3, 1), counters)


def mutated(count, seed):
    choose = random.Random(seed)
    stems = list(queries(40))
    for _ in range(count):
        frame = bytearray(stems[choose.randrange(40)])
        for _ in range(choose.randint(0, 5)):
            frame[choose.randrange(len(frame))] = choose.randrange(256)
        if choose.random() < 0.3:
            frame = repair(frame)
        yield bytes(frame[:choose.randrange(len(frame)) + 1] if choose.random() < 0.15 else frame)


def repair(frame):
    """Correct checksums over whatever the mutation made, so that it gets past the first checks."""
    at = ip_at(frame)
    if at + 28 > len(frame) or frame[at] != 0x45:
        return frame
    frame[at + 2:at + 4] = struct.pack("!H", len(frame) - at)
    frame[at + 10:at + 12] = b"\0\0"
    frame[at + 10:at + 12] = struct.pack("!H", internet_checksum(bytes(frame[at:at + 20])))
    udp = bytes(frame[at + 20:at + 26]) + b"\0\0" + bytes(frame[at + 28:])
    udp = udp[:4] + struct.pack("!H", len(udp)) + udp[6:]
    frame[at + 24:at + 26] = udp[4:6]
    pseudo = bytes(frame[at + 12:at + 20]) + struct.pack("!2H", 17, len(udp))
    frame[at + 26:at + 28] = struct.pack("!H", internet_checksum(pseudo + udp) or 0xffff)
    return frame


def million(dataplane, count, environment=None):
    verdicts = counter_classes()
    with place() as directory:
        write_pcap(directory / "in.pcap", mutated(count, 20261121))
        counters, said = replay(directory, "out.pcap", dataplane, 300, environment)
        parts = {kind: sum(counters.get(name, 0) for name in names) for kind, names in verdicts.items()}
        same(parts["RECEIVED"], count, "frames received")
        same(sum(parts.values()), 2 * count, f"verdicts {parts}")
        check("buffers were lost" not in said and "Sanitizer" not in said, said)
        comment(f"{parts}")


@test()
def a_hundred_thousand_mutated_packets_each_get_one_verdict_and_leak_no_buffer():
    million(None, 100000)


@test()
def answers_that_the_port_does_not_take_are_counted_and_their_buffers_freed():
    with place() as directory:
        write_pcap(directory / "in.pcap", mutated(20000, 7))
        wanted, _ = replay(directory, "all.pcap")
        counters, _ = replay(directory, "some.pcap", environment={"LD_PRELOAD": str(program("tests/narrow_port.so"))})
        taken = read_pcap(directory / "some.pcap")
        same(counters["tx"], len(taken), "counted as sent")
        same(counters["tx-bytes"], sum(map(len, taken)), "octets counted as sent")
        check(counters["drop-tx-full"] > 500 and len(taken) > 500, counters)
        same(len(taken) + counters["drop-tx-full"], wanted["tx"], "sent or dropped")
        same(counters["punt"], wanted["punt"], "punted beside them")
        # A buffer that is freed while the port holds it has another packet in it by then.
        rest = iter(read_pcap(directory / "all.pcap"))
        check(all(frame in rest for frame in taken), "something else was sent than when the port takes all")


@test(long=True, time_s=400)
def a_million_mutated_packets_pass_the_address_sanitizer_and_leak_no_buffer():
    binary = SANITIZED / "dataplane" / "pollux-dataplane"
    if not binary.is_file():
        raise Skip(f"no sanitized build in {SANITIZED}")
    million(binary, MILLION, {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"})


if __name__ == "__main__":
    main()
