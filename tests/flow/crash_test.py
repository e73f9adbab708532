#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Either process may die at any moment: what goes on, and what comes back."""

import random
import threading

from flow import *

CONFIG = f"""
zones:
  - {{name: example-domain.com, file: {ROOT}/zones/samples/example-domain.com.zone}}
  - {{name: test.example, file: "{{zones}}/test.example.zone"}}
forward: {{servers: [198.18.0.3], timeout: 200ms, deadline: 1s}}
"""
SERVED = Spec(config=CONFIG)
ORDERS = Spec(config=CONFIG)
OUTAGE_S = 0.5


class Prober:
    """Asks every few milliseconds and remembers when answers came."""

    def __init__(self, name="example-domain.com", pause_s=0.004):
        self.wire, self.pause_s, self.times, self.running = query_wire(name), pause_s, [], True
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((SERVICE_4, 53))
        self.socket.setblocking(False)
        self.thread = threading.Thread(target=self.probe, daemon=True)

    def __enter__(self):
        self.thread.start()
        wait_until(lambda: self.times, "the first answer")
        return self

    def __exit__(self, *_):
        self.running = False
        self.thread.join()
        self.socket.close()

    def probe(self):
        while self.running:
            try:
                self.socket.send(self.wire)
            except OSError:
                pass
            time.sleep(self.pause_s)
            try:
                while True:
                    reply = self.socket.recv(4096)
                    if reply[3] & 15 == 0 and reply[6:8] != b"\0\0":
                        self.times.append(time.monotonic())
            except OSError:
                pass

    def outage_since(self, moment):
        after = wait_until(lambda: [t for t in self.times if t > moment + 0.02], "answers after the crash", 10)
        return after[0] - moment


def loaded(rig):
    """Zone -> what tells one load from another."""
    return {zone["zone"]: (zone["loaded"], zone["serial"], zone["state"]) for zone in rig.ctl_json("zone", "list")}


def zones_generation(rig):
    """How many writers the zones region has had: the fourth field of its header."""
    for place in rig.region_directories():
        with open(place / "zones", "rb") as region:
            return struct.unpack("<IIQQ", region.read(24))[3]
    raise Failure("no zones region")


def dnsperf(rig, seconds, *more):
    queries = rig.dir / "queries.txt"
    queries.write_text("example-domain.com A\nwww.example-domain.com A\nmail.example-domain.com A\n"
                       "host.test.example A\nnope.test.example A\nx.wild.test.example A\nsub.test.example NS\n")
    return subprocess.Popen(["dnsperf", "-s", SERVICE_4, "-d", str(queries), "-l", str(seconds), "-Q", "4000", "-c", "4",
                             "-t", "3", *more], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def none_lost(process):
    text = process.communicate(timeout=60)[0]
    lost = re.search(r"Queries lost:\s+(\d+)", text)
    sent = re.search(r"Queries sent:\s+(\d+)", text)
    check(lost and sent and int(sent[1]) > 1000, text)
    same(lost[1], "0", f"lost queries\n{text}")
    check("SERVFAIL" not in text and "REFUSED" not in text, text)
    return int(sent[1])


@test(SERVED)
def control_killed_20_times_under_load_loses_no_authoritative_answer(rig):
    load = dnsperf(rig, 16)
    time.sleep(0.5)
    for _ in range(20):
        old = rig.kill("control")[0]
        rig.wait_for_restart("control", old)
        time.sleep(random.uniform(0.2, 0.8))
        if load.poll() is not None:
            break
    check(load.poll() is None, "dnsperf ended before the last kill")
    sent = none_lost(load)
    comment(f"{sent} queries sent")


@test(SERVED)
def control_that_was_killed_attaches_again_and_forwards_and_takes_tcp(rig):
    server = FakeServer(rig, answering(lambda query: dns.message.make_response(query)), "198.18.0.3")
    try:
        rig.wait_for_restart("control", rig.kill("control")[0])
        wait_until(lambda: tries(lambda: rig.ask("example.net", timeout=0.5).rcode() == 0), "a forwarded answer", 5)
        wait_until(lambda: tries(lambda: rig.ask("example-domain.com", over="tcp", timeout=1).answer), "TCP works", 5)
    finally:
        rig.helpers.remove(server)
        server.stop()


def tries(action):
    try:
        return action()
    except (OSError, dns.exception.DNSException, EOFError):
        return None


@test(SERVED)
def control_that_was_killed_takes_the_zones_over_and_does_not_build_them_again(rig):
    rig.wait_for_control()
    before = loaded(rig)
    time.sleep(1.1)  # times of loading count seconds
    rig.wait_for_restart("control", rig.kill("control")[0])
    rig.wait_for_control()
    wait_until(lambda: loaded(rig) == before, f"zones as before: {before}, now {loaded(rig)}", 5, 0.1)


@test(SERVED)
def a_dataplane_that_was_killed_answers_again_in_less_than_half_a_second(rig):
    outages = []
    with Prober() as prober:
        for _ in range(5):
            moment = time.monotonic()
            old = rig.kill("dataplane")[0]
            rig.wait_for_restart("dataplane", old)
            outages.append(prober.outage_since(moment))
            time.sleep(0.5)
    comment("outages in ms: " + " ".join(f"{outage * 1000:.0f}" for outage in outages))
    # The median, because a machine busy with something else may delay a single start.
    check(sorted(outages)[2] < OUTAGE_S and max(outages) < 2 * OUTAGE_S, f"outages {outages}")


@test(SERVED)
def a_dataplane_that_was_killed_maps_the_zones_and_asks_nobody_to_build_them(rig):
    before, generation = loaded(rig), zones_generation(rig)
    with Prober() as prober:
        os.kill(rig.pid_now("control"), signal.SIGSTOP)  # nobody could build anything now
        try:
            moment = time.monotonic()
            rig.kill("dataplane")
            outage = prober.outage_since(moment)
        finally:
            os.kill(rig.pid_now("control"), signal.SIGCONT)
    check(outage < 2 * OUTAGE_S, f"{outage:.2f} s")
    rig.wait_for_control()
    same((loaded(rig), zones_generation(rig)), (before, generation), "zones and generation")


@test(SERVED)
def everything_works_again_after_a_dataplane_was_killed(rig):
    server = FakeServer(rig, answering(lambda query: dns.message.make_response(query)), "198.18.0.3")
    try:
        rig.wait_for_restart("dataplane", rig.kill("dataplane")[0])
        wait_until(lambda: tries(lambda: rig.ask("example.net", timeout=0.5).rcode() == 0), "a forwarded answer", 5)
        wait_until(lambda: tries(lambda: rig.ask("example-domain.com", over="tcp", timeout=1).answer), "TCP works", 5)
    finally:
        rig.helpers.remove(server)
        server.stop()


@test(SERVED)
def both_killed_at_once_come_back(rig):
    for _ in range(3):
        dataplane, control = rig.kill("dataplane", "control")
        rig.wait_for_restart("dataplane", dataplane)
        rig.wait_for_restart("control", control)
        wait_until(lambda: tries(lambda: rig.ask("example-domain.com", timeout=0.2).answer), "an answer", 5)
        wait_until(lambda: tries(lambda: rig.ask("example-domain.com", over="tcp", timeout=1).answer), "TCP works", 5)


@test(SERVED)
def a_hung_control_stops_neither_zones_nor_neighbours_nor_ping(rig):
    pid = rig.pid_now("control")
    os.kill(pid, signal.SIGSTOP)
    try:
        run("ip", "neighbour", "flush", "dev", "px1")
        for to in (SERVICE_4, SERVICE_6):
            same(rig.ask("example-domain.com", to=to).answer[0][0].address, "127.0.0.1")
        for i in range(3000):  # more misses than one client may have open
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect((SERVICE_4, 53))
                sock.send(query_wire(f"m{i}.example.net"))
        same(rig.ask("example-domain.com").answer[0][0].address, "127.0.0.1")
    finally:
        os.kill(pid, signal.SIGCONT)
    rig.wait_for_control()
    check(rig.counter("drop-client-limit") > 1000, "no drop of a greedy client was counted")
    wait_until(lambda: rig.ctl_json("stats")["resolver"]["open"] == 0, "all its questions have ended", 10)


@test(SERVED)
def a_flood_of_punted_frames_leaves_room_for_misses(rig):
    misses = rig.counter("miss")
    pid = rig.pid_now("control")
    os.kill(pid, signal.SIGSTOP)  # now nothing leaves the ring
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for i in range(2000):
                sock.sendto(b"for the kernel", (SERVICE_4, 9999))
                if i % 100 == 0:
                    rig.ask("example-domain.com")  # so that the worker keeps up
            for i in range(100):
                sock.sendto(query_wire(f"fresh{i}.example.net"), (SERVICE_4, 53))
        rig.ask("example-domain.com")
    finally:
        os.kill(pid, signal.SIGCONT)
    rig.wait_for_control()
    check(rig.counter("drop-ring-full") > 0, "the ring was never full for punts")
    same(rig.counter("miss") - misses, 100, "misses taken")


@test(SERVED)
def a_dead_control_stops_neither_zones_nor_neighbours(rig):
    run(RIG, "stop", "--name", rig.name, "control")
    try:
        run("ip", "neighbour", "flush", "dev", "px1")
        for to in (SERVICE_4, SERVICE_6):
            for name in ("example-domain.com", "www.example-domain.com"):
                check(rig.ask(name, to=to).answer, name)
        same(rig.ask("nope.example-domain.com").rcode(), dns.rcode.NXDOMAIN)
        same(rig.raw(query_wire("example.net"), timeout=0.3), None, "a reply to what only control could answer")
    finally:
        run(RIG, "start", "--name", rig.name, "control")
    wait_until(lambda: tries(lambda: rig.ask("example-domain.com", over="tcp", timeout=1).answer), "TCP works again", 5)


@test(ORDERS)
def control_may_start_first(rig):
    for process in ("dataplane", "control"):
        run(RIG, "stop", "--name", rig.name, process)
    forget_regions(rig)
    run(RIG, "start", "--name", rig.name, "control")
    rig.wait_for_control()
    same(rig.raw(query_wire("example-domain.com"), timeout=0.2), None, "reply without a dataplane")
    run(RIG, "start", "--name", rig.name, "dataplane")
    wait_until(lambda: tries(lambda: rig.ask("example-domain.com", timeout=0.2).answer), "an answer", 5)
    wait_until(lambda: tries(lambda: rig.ask("example-domain.com", over="tcp", timeout=1).answer), "TCP works", 5)


@test(ORDERS)
def the_dataplane_may_start_first(rig):
    for process in ("dataplane", "control"):
        run(RIG, "stop", "--name", rig.name, process)
    forget_regions(rig)
    run(RIG, "start", "--name", rig.name, "dataplane")
    wait_until(lambda: ping(), "the dataplane answers ping", 5)
    run(RIG, "start", "--name", rig.name, "control")
    wait_until(lambda: tries(lambda: rig.ask("example-domain.com", timeout=0.2).answer), "an answer", 5)
    wait_until(lambda: tries(lambda: rig.ask("example-domain.com", over="tcp", timeout=1).answer), "TCP works", 5)


def ping():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(0.2)
        echo = struct.pack("!BBHHH", 8, 0, 0, 7, 7)
        echo = echo[:2] + struct.pack("!H", internet_checksum(echo)) + echo[4:]
        try:
            sock.sendto(echo, (SERVICE_4, 0))
            return sock.recv(100)
        except OSError:
            return None


def forget_regions(rig):
    for place in rig.region_directories():
        shutil.rmtree(place, ignore_errors=True)


@test(ORDERS)
def zones_are_answered_by_a_dataplane_that_starts_while_no_control_lives(rig):
    for process in ("dataplane", "control"):
        run(RIG, "stop", "--name", rig.name, process)
    run(RIG, "start", "--name", rig.name, "dataplane")
    wait_until(lambda: tries(lambda: rig.ask("example-domain.com", timeout=0.2).answer), "an answer", 5)
    run(RIG, "start", "--name", rig.name, "control")
    rig.wait_for_control()


@test(ORDERS)
def a_second_start_of_either_process_ends_with_a_reason_and_disturbs_nobody(rig):
    config = f"/run/pollux-rig/{rig.name}/pollux.yaml"
    pids = [rig.pid_now(process) for process in ("dataplane", "control")]
    for name in ("pollux-dataplane", "pollux-control"):
        done = run("ip", "netns", "exec", f"pollux-{rig.name}-box", program(name), "--config", config, check_it=False,
                   timeout=10)
        check(done.returncode not in (0, None) and done.returncode > 0, f"{name} ends with {done.returncode}")
        check(re.search(r"use|another|already|running", done.stdout + done.stderr), done.stdout + done.stderr)
    same([rig.pid_now(process) for process in ("dataplane", "control")], pids)
    check(rig.ask("example-domain.com").answer, "no answer")
    check(rig.ask("example-domain.com", over="tcp").answer, "no answer over TCP")
    rig.wait_for_control()


@test(ORDERS)
def sigterm_stops_both_cleanly(rig):
    for process in ("control", "dataplane"):
        run(RIG, "stop", "--name", rig.name, process)
        check("exit status 0" in rig.log(process).splitlines()[-1], rig.log(process).splitlines()[-3:])
        run(RIG, "start", "--name", rig.name, process)
    wait_until(lambda: tries(lambda: rig.ask("example-domain.com", timeout=0.2).answer), "an answer", 5)


if __name__ == "__main__":
    main()
