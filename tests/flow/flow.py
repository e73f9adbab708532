# SPDX-License-Identifier: BSD-3-Clause
"""The end-to-end harness: rigs that come and go with the tests, and clients inside their client namespace.

A test is a function whose name is the sentence it shows; it gets a running rig that it may share with
the tests before it that have the same Spec. After each test every worker's counters must add up:
rx = answered + missed + punted + dropped. A file of tests ends with `main()` and prints TAP.
"""

import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype

ROOT = Path(__file__).resolve().parent.parent.parent
RIG = ROOT / "tools" / "rig"
ZONES = Path(__file__).resolve().parent / "zones"
BUILD = Path(os.environ.get("POLLUX_BUILD") or ROOT / "build")
SANITIZED = Path(os.environ.get("POLLUX_SANITIZED") or ROOT / "build-asan")
CTL = BUILD / "tools" / "polluxctl"
SERVICE_4, SERVICE_6 = "198.18.0.53", "2001:db8:53::53"
UPSTREAM = "198.18.0.2"
TEST_TIME_S = 120
CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


class Failure(AssertionError):
    pass


class Skip(Exception):
    pass


def check(condition, *said):
    if not condition:
        raise Failure(" ".join(str(word) for word in said) or "not so")


def same(found, expected, what="it"):
    if found != expected:
        raise Failure(f"{what} is\n  {found!r}, expected\n  {expected!r}")


def wait_until(condition, what, deadline_s=10.0, pause_s=0.01):
    """The condition's first true value."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"not within {deadline_s:g} s: {what}")
        time.sleep(pause_s)


def run(*command, check_it=True, timeout=60, **more):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="replace", timeout=timeout, **more)
    if check_it and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}\nends with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def program(name):
    for room in ("dataplane", "control", "tools", "."):
        if (BUILD / room / name).is_file():
            return BUILD / room / name
    raise Failure(f"no {name} in {BUILD}")


def move_to(namespace):
    fd = os.open(namespace, os.O_RDONLY)
    try:
        check(libc.setns(fd, CLONE_NEWNET) == 0, "setns failed")
    finally:
        os.close(fd)


@contextmanager
def inside(namespace):
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        move_to(f"/run/netns/{namespace}")
        try:
            yield
        finally:
            check(libc.setns(before, CLONE_NEWNET) == 0, "setns failed")
    finally:
        os.close(before)


class Spec:
    """What a rig starts with. `config` is YAML in which {dir} stands for a directory of the test's own, in
    which `files` (name -> text) are laid out first; without `config` the zones of `zone_list` are served."""

    def __init__(self, config=None, files=None, zone_list=None, driver="af_packet", prepare=None, ports=None):
        self.config, self.files, self.zone_list = config, files or {}, zone_list
        self.driver, self.prepare, self.ports = driver, prepare, ports


class Rig:
    count = 0

    def __init__(self, spec, name=None):
        Rig.count += 1
        stem = Path(sys.argv[0]).name.removesuffix("_test.py")
        self.name = name or f"{stem}-{os.getpid()}-{Rig.count}"[-32:]
        self.spec = spec
        self.dir = Path(tempfile.mkdtemp(prefix=f"pollux-{self.name}-"))
        self.helpers = []  # peers and upstreams that go down with the rig
        self.home = None

    # Life

    def start(self):
        for name, text in self.spec.files.items():
            (self.dir / name).write_text(text)
        arguments = ["--port-driver", self.spec.driver]
        if self.spec.ports:
            arguments += ["--ports", self.spec.ports]
        if self.spec.prepare:
            self.spec.prepare(self.dir)
        if self.spec.config is not None:
            config = self.dir / "pollux.yaml"
            config.write_text(self.spec.config.replace("{dir}", str(self.dir)).replace("{zones}", str(ZONES)))
            arguments += ["--config", config]
        elif self.spec.zone_list is not None:
            zone_list = self.dir / "zones.list"
            zone_list.write_text(self.spec.zone_list.replace("{dir}", str(self.dir)).replace("{zones}", str(ZONES)))
            arguments += ["--zone-list", zone_list]
        run(RIG, "up", "--name", self.name, *arguments, timeout=90)
        self.enter()

    def enter(self):
        """From here on this process and what it starts live in the client namespace."""
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY)
        move_to(f"/run/netns/pollux-{self.name}")

    @contextmanager
    def behind(self, port):
        """For a while this thread and what it starts live in the client namespace of that port."""
        with inside(f"pollux-{self.name}.{port}" if port else f"pollux-{self.name}"):
            yield

    def leave(self):
        if self.home is not None:
            libc.setns(self.home, CLONE_NEWNET)
            os.close(self.home)
            self.home = None

    def stop(self):
        while self.helpers:
            self.helpers.pop().stop()
        self.leave()
        run(RIG, "down", "--name", self.name, check_it=False, timeout=60)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self, process=None):
        return run(RIG, "log", "--name", self.name, *([process] if process else []), check_it=False).stdout

    def pid(self, process):
        done = run(RIG, "pid", "--name", self.name, process, check_it=False)
        return int(done.stdout) if done.returncode == 0 else None

    def pid_now(self, process):
        """The same without starting a program."""
        try:
            return int(Path(f"/run/pollux-rig/{self.name}/{process}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def region_directories(self):
        mounts = re.findall(r"\S+ (\S+) hugetlbfs", Path("/proc/mounts").read_text())
        return [place for mount in ("/dev/shm", *mounts) if (place := Path(mount, f"pollux-{self.name}")).is_dir()]

    def kill(self, *processes):
        """kill -9; returns the old pids."""
        pids = [self.pid_now(process) for process in processes]
        check(all(pids), "not running:", processes, pids)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return pids

    def wait_for_restart(self, process, old_pid, deadline_s=5):
        return wait_until(lambda: (pid := self.pid_now(process)) and pid != old_pid and pid,
                          f"{process} runs again", deadline_s, 0.005)

    # polluxctl

    def ctl(self, *words, check_it=True):
        return run(program("polluxctl"), "--socket", f"/run/pollux-rig/{self.name}/run/control.sock", *words,
                   check_it=check_it)

    def request(self, *words):
        """A command straight over the socket, as polluxctl would send it; its data."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(f"/run/pollux-rig/{self.name}/run/control.sock")
            sock.sendall(json.dumps({"v": 1, "command": " ".join(words)}).encode() + b"\n")
            reply = json.loads(sock.makefile().readline())
        check(reply["ok"], reply)
        return reply["data"]

    def ctl_json(self, *words):
        if not CTL.is_file():
            return self.request(*words)
        done = self.ctl(*words, "--json")
        try:
            return json.loads(done.stdout)
        except ValueError as error:
            raise Failure(f"polluxctl {' '.join(words)} --json: {error}\n{done.stdout}") from error

    def wait_for_control(self, deadline_s=10):
        def answers():
            try:
                return self.request("help")
            except (OSError, ValueError):
                return None
        wait_until(answers, "control answers on its socket", deadline_s, 0.02)

    def workers(self):
        """Per worker: counter name -> value."""
        stats = self.ctl_json("stats")
        return [worker["counters"] for worker in stats["workers"]]

    def counter(self, name):
        return sum(worker[name] for worker in self.workers())

    def check_counters(self):
        """rx = answered + missed + punted + dropped, for each worker."""
        verdicts = counter_classes()
        last = ""

        def add_up():
            nonlocal last
            for number, worker in enumerate(self.workers()):
                parts = {kind: sum(worker[name] for name in names) for kind, names in verdicts.items()}
                if parts["RECEIVED"] != sum(parts.values()) - parts["RECEIVED"]:
                    last = f"worker {number}: {parts}"
                    return False
            return True

        self.wait_for_control()
        try:
            wait_until(add_up, "the counters add up", 3, 0.05)
        except Failure as failure:
            raise Failure(f"{failure}: {last}") from failure

    # Questions

    def dig(self, *words):
        """dig's reply, taken apart. No reply within 3 s is a failure."""
        done = run("dig", "+tries=1", "+time=3", f"@{SERVICE_4}", *words, check_it=False)
        return Dig(done.stdout + done.stderr)

    def ask(self, name, kind="A", over="udp", to=SERVICE_4, timeout=3.0, source=None, **how):
        """A reply by dnspython, checked to belong to the question."""
        query = dns.message.make_query(name, kind, **how)
        if over == "udp":
            return dns.query.udp(query, to, timeout=timeout, source=source, raise_on_truncation=False)
        return dns.query.tcp(query, to, timeout=timeout, source=source)

    def raw(self, wire, over="udp", to=SERVICE_4, timeout=0.6):
        """Octets out, octets back; None: no reply."""
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        if over == "udp":
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.settimeout(timeout)
                sock.connect((to, 53))
                sock.send(wire)
                try:
                    return sock.recv(65535)
                except TimeoutError:
                    return None
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout)
            sock.connect((to, 53))
            sock.sendall(struct.pack("!H", len(wire)) + wire)
            try:
                return read_message(sock)
            except (TimeoutError, ConnectionError):
                return None


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


def read_message(sock):
    return read_exactly(sock, struct.unpack("!H", read_exactly(sock, 2))[0])


def counter_classes():
    """Verdict -> counter names, from the table that the programs are built from."""
    found = {"RECEIVED": [], "ANSWERED": [], "MISSED": [], "PUNTED": [], "DROPPED": []}
    text = (ROOT / "include/pollux/counters.def").read_text()
    for kind, name in re.findall(r'^COUNTER\(\w+, (\w+), "([\w-]+)"', text, re.M):
        if kind in found:
            found[kind].append(name)
    return found


class Dig:
    """What dig printed."""

    def __init__(self, text):
        self.text = text
        status = re.search(r"opcode: (\w+), status: (\w+), id: (\d+)", text)
        check(status or "+short" in text or ";" not in text, "dig got no reply:\n" + text)
        self.opcode, self.status = (status[1], status[2]) if status else (None, None)
        flags = re.search(r";; flags:([ \w]*);", text)
        self.flags = set(flags[1].split()) if flags else set()
        self.sections = {"QUESTION": [], "ANSWER": [], "AUTHORITY": [], "ADDITIONAL": []}
        section = "ANSWER"
        for line in text.splitlines():
            head = re.match(r";; (\w+) SECTION:", line)
            if head:
                section = head[1]
            elif section == "QUESTION" and line.startswith(";") and not line.startswith(";;"):
                self.sections[section].append(" ".join(line[1:].split()))
            elif line and not line.startswith(";"):
                self.sections.setdefault(section, []).append(" ".join(line.split()))
        self.lines = [line for line in text.splitlines() if line and not line.startswith(";")]

    answer = property(lambda self: self.sections["ANSWER"])
    authority = property(lambda self: self.sections["AUTHORITY"])
    additional = property(lambda self: self.sections["ADDITIONAL"])
    question = property(lambda self: self.sections["QUESTION"])


def query_wire(name, kind="A", ident=0x1234, flags=0x0100, klass=1):
    return struct.pack("!6H", ident, flags, 1, 0, 0, 0) + dns.name.from_text(name).to_wire() + struct.pack(
        "!2H", dns.rdatatype.from_text(kind), klass)


# Peers and upstreams

class Knot:
    """An authoritative knotd in the namespace this process is in."""

    def __init__(self, rig, zones, address=UPSTREAM, port=53, udp_payload=1232, more=""):
        self.dir = Path(tempfile.mkdtemp(dir=rig.dir, prefix="knot-"))
        self.address, self.port, self.process = address, port, None
        text = (f"server:\n  rundir: {self.dir}\n  listen: {address}@{port}\n  udp-max-payload: {udp_payload}\n"
                f"  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
                f"{more}database:\n  storage: {self.dir}\nlog:\n  - target: stderr\n    any: info\nzone:\n")
        for name, path in zones.items():
            text += f"  - domain: {name}\n    file: {path}\n    zonefile-sync: -1\n    journal-content: none\n"
        (self.dir / "knot.conf").write_text(text)
        rig.helpers.append(self)
        self.start()

    def start(self):
        self.log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen(["/usr/sbin/knotd", "-c", str(self.dir / "knot.conf")],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(self.answers, "knotd answers", 15, 0.05)

    def answers(self):
        check(self.process.poll() is None, "knotd ended:", (self.dir / "log").read_text())
        query = dns.message.make_query(".", "SOA")
        try:
            return dns.query.udp(query, self.address, port=self.port, timeout=0.2)
        except (OSError, dns.exception.Timeout):
            return None

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
            self.log.close()


class FakeServer:
    """A UDP server (and TCP, when asked) that does what a function says: it gets the query's octets and gives
    a reply, a list of replies, or None for silence."""

    def __init__(self, rig, reply, address=UPSTREAM, port=53):
        import threading
        self.queries, self.reply = [], reply
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.settimeout(0.1)
        self.running = True
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        rig.helpers.append(self)

    def serve(self):
        while self.running:
            try:
                wire, client = self.socket.recvfrom(65535)
            except TimeoutError:
                continue
            except OSError:
                return
            self.queries.append((time.monotonic(), client, wire))
            replies = self.reply(wire)
            for reply in replies if isinstance(replies, list) else [replies]:
                if reply is not None:
                    self.socket.sendto(reply, client)

    def stop(self):
        self.running = False
        self.thread.join()
        self.socket.close()


def answering(build):
    """A FakeServer reply made with dnspython: `build(query)` gives the response message, or None."""
    def reply(wire):
        response = build(dns.message.from_wire(wire))
        return response.to_wire() if response is not None else None
    return reply


# Frames

class Link:
    """The client's end of the wire, frame by frame, VLAN tags included."""

    PACKET_AUXDATA, TAG_VALID, TAG_TYPE_VALID = 8, 0x10, 0x40

    def __init__(self, device="px1"):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((device, 0))
        self.socket.setsockopt(263, self.PACKET_AUXDATA, 1)
        self.mac = self.socket.getsockname()[4]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, frame):
        self.socket.send(frame)

    def receive(self, wanted, timeout=1.0):
        """The first frame from the appliance for which `wanted(frame)` is true; None: none came."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                frame, notes, _, address = self.socket.recvmsg(65535, 64)
            except TimeoutError:
                return None
            for _, _, data in notes:  # the kernel has taken the outer tag out of the frame: put it back
                status, _, _, _, _, tag, tag_type = struct.unpack("=IIIHHHH", data[:20])
                if status & self.TAG_VALID:
                    outer = tag_type if status & self.TAG_TYPE_VALID else 0x8100
                    frame = frame[:12] + struct.pack("!2H", outer, tag) + frame[12:]
            if address[2] != socket.PACKET_OUTGOING and wanted(frame):
                return frame
        return None


def internet_sum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def internet_checksum(data):
    return ~internet_sum(data) & 0xffff


def ip4(address):
    return socket.inet_pton(socket.AF_INET, address)


def ip6(address):
    return socket.inet_pton(socket.AF_INET6, address)


def udp4(payload, source="198.18.0.1", target=SERVICE_4, sport=5353, dport=53, ttl=64, checksum=None, flags=0x4000,
         ip_checksum=None, ident=1, options=b""):
    udp = struct.pack("!4H", sport, dport, 8 + len(payload), 0) + payload
    pseudo = ip4(source) + ip4(target) + struct.pack("!2H", 17, len(udp))
    value = (internet_checksum(pseudo + udp) or 0xffff) if checksum is None else checksum
    udp = udp[:6] + struct.pack("!H", value) + udp[8:]
    return packet4(udp, source, target, 17, ttl, flags, ip_checksum, ident, options)


def packet4(payload, source, target, protocol, ttl=64, flags=0x4000, ip_checksum=None, ident=1, options=b""):
    header = struct.pack("!BBHHHBBH", 0x40 | (5 + len(options) // 4), 0, 20 + len(options) + len(payload), ident, flags,
                         ttl, protocol, 0) + ip4(source) + ip4(target) + options
    value = internet_checksum(header) if ip_checksum is None else ip_checksum
    return header[:10] + struct.pack("!H", value) + header[12:] + payload


def packet6(payload, source, target, protocol, hops=64, checksum_at=None):
    if checksum_at is not None:
        pseudo = ip6(source) + ip6(target) + struct.pack("!IHBB", len(payload), 0, 0, protocol)
        value = internet_checksum(pseudo + payload) or 0xffff
        payload = payload[:checksum_at] + struct.pack("!H", value) + payload[checksum_at + 2:]
    return struct.pack("!IHBB", 0x60000000, len(payload), protocol, hops) + ip6(source) + ip6(target) + payload


def udp6(payload, source="2001:db8:53::1", target=SERVICE_6, sport=5353, dport=53):
    return packet6(struct.pack("!4H", sport, dport, 8 + len(payload), 0) + payload, source, target, 17, checksum_at=6)


def ethernet(target, source, kind, payload, tags=()):
    """`tags` are (ethertype, VLAN id), the outer one first."""
    head = target + source
    for tag_type, tag in tags:
        head += struct.pack("!2H", tag_type, tag)
    return head + struct.pack("!H", kind) + payload


# Of frames that are replayed from a file.
CLIENT_MAC, SERVER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000053")


def write_pcap(path, frames):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for number, frame in enumerate(frames):
            file.write(struct.pack("<IIII", 1700000000 + number // 1000, number % 1000 * 1000, len(frame), len(frame)) + frame)


def read_pcap(path):
    data = path.read_bytes()
    check(data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"), "not a pcap file")
    at, frames = 24, []
    while at < len(data):
        length = struct.unpack("<I", data[at + 8:at + 12])[0]
        frames.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def appliance_mac(rig):
    """From the client's neighbour table, after a question."""
    rig.ask(".", "SOA")
    found = re.search(r"lladdr ([0-9a-f:]+)", run("ip", "neighbour", "show", SERVICE_4).stdout)
    check(found, "no neighbour entry")
    return bytes.fromhex(found[1].replace(":", ""))


# The runner

TESTS = []


def test(spec=None, long=False, time_s=TEST_TIME_S):
    """Registers a test. `spec` None: the test gets no rig. `long`: left out by --quick."""
    def register(function):
        TESTS.append((function, spec, long, time_s))
        return function
    return register


@contextmanager
def time_limit(seconds):
    def ring(*_):
        raise Failure(f"not finished after {seconds} s")
    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def comment(text):
    print("\n".join(f"# {line}" for line in text.rstrip().splitlines()), flush=True)


def sentence_of(function):
    return function.__name__.replace("_", " ")


def main():
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out the tests that take long")
    parser.add_argument("--only", metavar="PATTERN", help="only the tests whose sentence contains PATTERN")
    parser.add_argument("--list", action="store_true", help="print the sentences and end")
    options = parser.parse_args()
    label = Path(sys.argv[0]).name.removesuffix("_test.py").replace("_", " ")
    only = re.compile(options.only) if options.only else None
    chosen = [one for one in TESTS if not only or only.search(f"flow {label}: {sentence_of(one[0])}")]
    if options.list:
        for function, *_ in chosen:
            print(f"flow {label}: {sentence_of(function)}")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print("TAP version 13", flush=True)
    print(f"1..{len(chosen)}", flush=True)
    rig, failed = None, 0
    try:
        for number, (function, spec, long, time_s) in enumerate(chosen, 1):
            sentence = sentence_of(function)
            if long and options.quick:
                print(f"ok {number} - {sentence} # SKIP takes long", flush=True)
                continue
            began = time.monotonic()
            try:
                with time_limit(time_s):
                    if rig and rig.spec is not spec:
                        rig.stop()
                        rig = None
                    if spec and not rig:
                        rig = Rig(spec)
                        rig.start()
                    function(rig) if spec else function()
                    if rig and spec:
                        rig.check_counters()
                print(f"ok {number} - {sentence}", flush=True)
            except Skip as reason:
                print(f"ok {number} - {sentence} # SKIP {reason}", flush=True)
            except Exception as error:  # whatever it was, the next test goes on
                failed += 1
                comment(str(error) if isinstance(error, Failure) else "")
                comment("".join(traceback.format_exception(error)[-4:]))
                comment(f"after {time.monotonic() - began:.1f} s")
                if rig:
                    comment("\n".join(rig.log().splitlines()[-30:]))
                    rig.stop()
                    rig = None
                print(f"not ok {number} - {sentence}", flush=True)
    finally:
        if rig:
            rig.stop()
    sys.exit(1 if failed else 0)
