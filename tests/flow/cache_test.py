#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Answers learned from others: how long they live, who asks for them again, and what survives whom."""

import mmap
import random
import threading
from contextlib import suppress

import dns.edns
import dns.rrset

from flow import *

FAKE_ADDRESS = "198.18.0.3"
FORWARD = "forward: {servers: [%s], timeout: 200ms, deadline: 1s}\n" % FAKE_ADDRESS
ZONE = 'zones: [{name: test.example, file: "{zones}/test.example.zone"}]\n'
CACHE = Spec(config=FORWARD + ZONE)
LIMITS = Spec(config=FORWARD + "cache: {max-ttl: 1m, min-ttl: 20s, negative-max-ttl: 40s}\n")
SMALL = Spec(config=FORWARD + "cache: {size: 1MiB}\n")
STALE = Spec(config=FORWARD.replace("deadline: 1s", "deadline: 3s") + "cache: {stale-answer-after: 500ms, stale-ttl: 3s}\n")
ZONES_ONLY = Spec(config=ZONE)
NO_CACHE = Spec(config=FORWARD + "chain: [authorities, forwarders]\n")
SOA = "ns.example.net. root.example.net. 1 2 3 4"


def respond(query, answers=(), rcode=0, authority=(), flags=0):
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(rcode)
    response.flags |= flags
    response.answer += [dns.rrset.from_text(*words) for words in answers]
    response.authority += [dns.rrset.from_text(*words) for words in authority]
    return response


def by_name(query):
    """What the first label says: t5-... has a TTL of 5, no60-... is not there for 60 s, big-... is large."""
    question = query.question[0]
    word = question.name[0].decode().lower().split("-")[0]
    kind = dns.rdatatype.to_text(question.rdtype)
    ttl = int(re.sub(r"\D", "", word) or 60)
    if word.startswith("no"):
        return respond(query, rcode=3, authority=[("example.net.", 900, "IN", "SOA", f"{SOA} {ttl}")])
    if word == "alias":
        return respond(query, [(question.name, 60, "IN", "CNAME", "t30-target.example.net."),
                               ("t30-target.example.net.", 30, "IN", "A", "198.18.7.2")])
    if word == "big":
        return respond(query, [(question.name, 60, "IN", "TXT", " ".join(['"' + "x" * 250 + '"'] * 4))])
    if word == "secure":
        answers = [(question.name, 60, "IN", "A", "198.18.7.3")]
        if query.ednsflags & dns.flags.DO:
            answers.append((question.name, 60, "IN", "RRSIG", "A 13 3 60 20300101000000 20200101000000 1 example.net. AAAA"))
        return respond(query, answers, flags=dns.flags.AD)
    if kind not in ("A", "ANY"):
        return respond(query, authority=[("example.net.", 900, "IN", "SOA", f"{SOA} {ttl}")])
    return respond(query, [(question.name, ttl, "IN", "A", "198.18.7.1")])


class Upstream(FakeServer):
    def __init__(self, rig, build=by_name):
        super().__init__(rig, answering(build), FAKE_ADDRESS)

    def asked(self, name, kind=None):
        """How often for that name."""
        found = 0
        for _, _, wire in self.queries:
            question = dns.message.from_wire(wire).question[0]
            found += question.name == dns.name.from_text(name) and kind in (None, dns.rdatatype.to_text(question.rdtype))
        return found


@contextmanager
def upstream(rig, build=by_name):
    server = Upstream(rig, build)
    try:
        yield server
    finally:
        rig.helpers.remove(server)
        server.stop()


def fresh(word):
    return f"{word}-{random.getrandbits(40):x}.example.net"


def mixed(name):
    return "".join(c.upper() if i % 2 else c for i, c in enumerate(name))


def ttl_of(reply):
    return (reply.answer or reply.authority)[0].ttl


def extended_errors(reply):
    return [option.code for option in reply.options if isinstance(option, dns.edns.EDEOption)]


def ask_until(rig, name, wanted, what, deadline_s=8, **how):
    """Asks again and again until the reply is as wanted."""
    def ask():
        reply = rig.ask(name, **how)
        return reply if wanted(reply) else None
    return wait_until(ask, what, deadline_s, 0.05)


def ctl_refused(rig, *words):
    done = rig.ctl(*words, check_it=False)
    check(done.returncode != 0, "not refused:", *words)
    return done.stdout + done.stderr


# The transcript

@test(CACHE)
def an_answer_is_asked_for_once_in_its_life_and_again_after_it(rig):
    name, popular = fresh("t5"), fresh("t10")
    with upstream(rig) as server:
        began = time.monotonic()
        same((ttl_of(rig.ask(name)), ttl_of(rig.ask(popular))), (5, 10))
        reply = ask_until(rig, name, lambda reply: ttl_of(reply) <= 3, "a TTL of 3", 4)
        check(ttl_of(reply) in (2, 3), f"a TTL of {ttl_of(reply)} after {time.monotonic() - began:.1f} s")
        same(server.asked(name), 1, "questions upstream")
        ask_until(rig, name, lambda reply: ttl_of(reply) == 5, "a TTL of 5 again", 6)
        check(4 < time.monotonic() - began < 7, f"after {time.monotonic() - began:.1f} s")
        same(server.asked(name), 2, "questions upstream")
        # Its TTL never runs out in front of who keeps asking: it is asked for in its last second, when control hears that
        # it is used; what used it may have been answered in the second before.
        seen = []
        while time.monotonic() < began + 12 and server.asked(popular) < 2:
            seen.append(ttl_of(rig.ask(popular)))
            time.sleep(0.05)
        check(server.asked(popular) == 2 and min(seen) in (1, 2), f"asked for {server.asked(popular)} times, TTLs {seen}")
        check(7.9 < time.monotonic() - began < 10.5, f"asked again after {time.monotonic() - began:.1f} s")
        ask_until(rig, popular, lambda reply: ttl_of(reply) > 5, "the new answer", 2)
        check(rig.ctl_json("cache", "stats")["freshness"]["prefetches"] >= 1, "no prefetch counted")


@test(CACHE)
def what_is_not_there_is_remembered_as_well(rig):
    for word, rcode in (("no60", 3), ("t60", 0)):
        name, kind = fresh(word), "MX"
        with upstream(rig) as server:
            first, second = rig.ask(name, kind), rig.ask(name, kind)
            for reply in (first, second):
                same((reply.rcode(), len(reply.answer), len(reply.authority)), (rcode, 0, 1), name)
            check(ttl_of(second) <= ttl_of(first) and 58 < ttl_of(second) <= 60, f"TTLs {ttl_of(first)}, {ttl_of(second)}")
            same(server.asked(name), 1, "questions upstream")


@test(CACHE)
def mixed_case_and_tcp_hit_what_was_learned_over_udp(rig):
    name = fresh("t60")
    with upstream(rig) as server:
        rig.ask(name)
        for over in ("udp", "tcp"):
            reply = rig.ask(mixed(name), over=over)
            same([str(rrset.name) for rrset in reply.answer], [mixed(name) + "."], over)
            check(reply.flags & dns.flags.RA and not reply.flags & dns.flags.AA, f"flags {reply.flags:x}")
        same(server.asked(name), 1, "questions upstream")
        hits = rig.ctl_json("cache", "stats")["hits"]
        check(hits["control"] >= 1 and hits["workers"] >= 1, hits)


@test(CACHE)
def an_answer_too_large_for_udp_is_truncated_there_and_whole_over_tcp(rig):
    name = fresh("big")
    with upstream(rig) as server:
        rig.ask(name, "TXT", use_edns=0, payload=1232)
        reply = rig.ask(name, "TXT")
        check(reply.flags & dns.flags.TC and len(reply.to_wire()) <= 512, "not truncated")
        same(len(rig.ask(name, "TXT", over="tcp").answer[0][0].strings), 4, "strings over TCP")
        same(server.asked(name), 1, "questions upstream")


@test(CACHE)
def any_and_answers_without_life_are_asked_for_each_time(rig):
    name, dead = fresh("t60"), fresh("t0")
    with upstream(rig) as server:
        for _ in range(2):
            rig.ask(name, "ANY", over="tcp")
            rig.ask(dead)
        same((server.asked(name), server.asked(dead)), (2, 2), "questions upstream")
        refused = rig.ctl_json("cache", "stats")["refused"]
        check(refused["question"] >= 2 and refused["ttl"] >= 2, refused)


@test(CACHE)
def questions_with_do_and_cd_have_answers_of_their_own(rig):
    name = fresh("secure")
    with upstream(rig) as server:
        for _ in range(2):
            same(len(rig.ask(name).answer), 1, "RRsets without DO")
            same(len(rig.ask(name, want_dnssec=True).answer), 2, "RRsets with DO")
            rig.ask(name, flags=dns.flags.RD | dns.flags.CD)
        same(server.asked(name), 3, "questions upstream")


@test(CACHE)
def an_alias_of_our_zone_goes_before_what_was_learned(rig):
    def build(query):
        return respond(query, [(query.question[0].name, 60, "IN", "A", "198.18.7.4")])
    with upstream(rig, build) as server:
        for over in ("udp", "tcp", "udp"):
            reply = rig.ask("away.test.example", over=over)
            same([str(rdata) for rrset in reply.answer for rdata in rrset], ["www.example.com.", "198.18.7.4"], over)
        same(server.asked("www.example.com"), 1, "questions upstream")


@test(CACHE)
def our_own_data_is_not_learned(rig):
    before = rig.ctl_json("cache", "stats")["stored"]["inserts"]
    for over in ("udp", "tcp"):
        same(rig.ask("host.test.example", over=over).rcode(), 0)
        same(rig.ask("nope.test.example", over=over).rcode(), 3)
    same(rig.ctl_json("cache", "stats")["stored"]["inserts"], before, "inserts")


@test(CACHE)
def without_rd_what_is_known_is_told_and_nobody_asked(rig):
    known, unknown = fresh("t60"), fresh("t60")
    with upstream(rig) as server:
        rig.ask(known)
        same(len(rig.ask(known, flags=0, over="tcp").answer), 1, "RRsets")
        same((rig.ask(unknown, flags=0, over="tcp").rcode(), server.asked(unknown)), (dns.rcode.REFUSED, 0))


@test(CACHE)
def a_failure_is_remembered_for_a_moment(rig):
    name = fresh("t60")
    with upstream(rig, lambda query: respond(query, rcode=2)) as server:
        same(rig.ask(name).rcode(), dns.rcode.SERVFAIL)
        asked = server.asked(name)
        reply = rig.ask(name, use_edns=0)
        same((reply.rcode(), server.asked(name)), (dns.rcode.SERVFAIL, asked))
        check(extended_errors(reply), "no reason")
        rig.ctl("cache", "flush", name)
        rig.ask(name)
        check(server.asked(name) > asked, "not asked again")


# Commands

@test(CACHE)
def flushing_forgets_a_name_a_subtree_a_type_or_everything(rig):
    names = [fresh("t60") for _ in range(2)]
    below = "a.b." + names[0]
    every = [*names, below]

    def asked_anew(*words):
        """The names that are asked for again after that flush."""
        for name in every:
            rig.ask(name)
        server.queries.clear()
        rig.ctl("cache", "flush", *words)
        for name in every:
            rig.ask(name)
        return [name for name in every if server.asked(name)]

    with upstream(rig, lambda query: respond(query, [(query.question[0].name, 60, "IN", "A", "198.18.7.1")])) as server:
        same(asked_anew(names[0]), [names[0]], "after flush NAME")
        same(asked_anew("name", mixed(names[1])), [names[1]], "after flush name NAME")
        same(asked_anew("subtree", names[0]), [names[0], below], "after flush subtree NAME")
        same(asked_anew("type", "MX"), [], "after flush type MX")
        same(asked_anew("type", "a"), every, "after flush type A")
        same(asked_anew("all"), every, "after flush all")
    for words in (("name",), ("type", "NOSUCHTYPE"), ("what", "ever"), ("name", "a..b")):
        check("usage" in ctl_refused(rig, "cache", "flush", *words).lower(), *words)


@test(CACHE)
def a_lookup_tells_everything_about_a_name(rig):
    name = fresh("t60")
    with upstream(rig):
        rig.ask(name)
        rig.ask(name, "MX")
        rig.ask(name, want_dnssec=True)
    found = rig.ctl_json("cache", "lookup", mixed(name))
    same(sorted((row["asked"], row["rcode"], row["state"]) for row in found["entries"]),
         [("A", "NOERROR", "fresh"), ("A DO", "NOERROR", "fresh"), ("MX", "NOERROR", "fresh")])
    left = next(row["ttl_s"] for row in found["entries"] if row["asked"] == "A")
    check(0 < left <= 60 and found["records"]["A"]["answer"] == [f"{name}. {left} IN A 198.18.7.1"], found)
    check("SOA" in found["records"]["MX"]["authority"][0], found)
    same([row["asked"] for row in rig.ctl_json("cache", "lookup", name, "MX")["entries"]], ["MX"])
    check(f"{name}. " in rig.ctl("cache", "lookup", name).stdout, "no records for people")
    check("nothing" in ctl_refused(rig, "cache", "lookup", fresh("t60")), "no word of it")


@test(CACHE)
def a_dump_is_loaded_after_everything_else_is_gone(rig):
    kept, short, none = fresh("t60"), fresh("t3"), fresh("no60")
    dump = rig.dir / "cache.dump"
    with upstream(rig) as server:
        for name in (kept, short, none):
            rig.ask(name)
        rig.ask(fresh("alias"))
        began = time.monotonic()
        written = rig.ctl_json("cache", "dump", dump)
        check(written["written"] >= 4, written)
        lines = [json.loads(line) for line in dump.read_text().splitlines()]
        same((lines[0]["pollux-cache"], len(lines)), (1, written["written"] + 1))
        check({f"{name}." for name in (kept, short, none)} <= {line.get("name") for line in lines}, "not all names")
        # both processes end, and so does the memory they share
        for process, pid in (("control", rig.kill("control")[0]), ("dataplane", rig.kill("dataplane")[0])):
            rig.wait_for_restart(process, pid)
        rig.wait_for_control()
        rig.ctl("cache", "flush", "all")
        text = dump.read_text().splitlines()
        dump.write_text("\n".join([*text, "junk", text[1].replace("NOERROR", "REFUSED").replace("NXDOMAIN", "REFUSED"),
                                   '{"name":"x.","type":"A"}']) + "\n")
        wait_until(lambda: time.monotonic() > began + 3.2, "the short one is over", 4)
        loaded = rig.ctl_json("cache", "load", dump)
        same((loaded["malformed"], loaded["loaded"] + loaded["expired"]), (3, written["written"]), loaded)
        check(loaded["expired"] >= 1, loaded)
        for number, problem in zip((1, 2, 3), loaded["problems"]):
            check(problem.startswith(f"{dump}:{len(text) + number}"), problem)
        server.queries.clear()
        wait_until(lambda: rig.ask(kept).rcode() == 0, "an answer")
        left = ttl_of(rig.ask(kept))
        check(40 < left < 58, f"TTL {left}")
        same(rig.ask(none).rcode(), 3)
        rig.ask(short)
        same((server.asked(kept), server.asked(none), server.asked(short)), (0, 0, 1), "questions upstream")
        same(rig.ctl_json("cache", "load", dump)["loaded"], 0, "loaded a second time")
    check("whole path" in ctl_refused(rig, "cache", "dump", "cache.dump"), "a relative path")
    check("/no/such" in ctl_refused(rig, "cache", "dump", "/no/such/directory/dump"), "no directory")
    for wrong in ("", "junk\n", '{"pollux-cache":2,"written_s":1}\n', '{"pollux-cache":1,"written_s":99999999999}\n'):
        dump.write_text(wrong)
        check(f"{dump}:1" in ctl_refused(rig, "cache", "load", dump), "no place in:", wrong)


# Who survives whom

@test(CACHE)
def without_control_the_dataplane_goes_on_answering_and_counting_down(rig):
    name, missing = fresh("t4"), fresh("t60")
    with upstream(rig) as server:
        rig.ask(name)
        pid = rig.pid_now("control")
        os.kill(pid, signal.SIGSTOP)
        try:
            left = ttl_of(rig.ask(name))
            ask_until(rig, name, lambda reply: ttl_of(reply) < left, "a lower TTL", 3)
            same(rig.raw(query_wire(missing), timeout=0.2), None, "the answer that nobody knows")
            wait_until(lambda: rig.raw(query_wire(name), timeout=0.2) is None, "no answer after its end", 6)
            # and it may as well be dead
            os.kill(pid, signal.SIGKILL)
        except BaseException:
            os.kill(pid, signal.SIGCONT)
            raise
        rig.wait_for_restart("control", pid)
        rig.wait_for_control()
        same((ttl_of(rig.ask(name)), server.asked(name)), (4, 2), "TTL, questions upstream")


@test(CACHE)
def a_dataplane_that_restarts_answers_from_what_was_learned(rig):
    name = fresh("t60")
    with upstream(rig) as server:
        rig.ask(name)
        rig.wait_for_restart("dataplane", rig.kill("dataplane")[0])
        os.kill(rig.pid_now("control"), signal.SIGSTOP)
        try:
            wait_until(lambda: rig.raw(query_wire(name), timeout=0.2), "an answer")
        finally:
            os.kill(rig.pid_now("control"), signal.SIGCONT)
        same(server.asked(name), 1, "questions upstream")


@test(CACHE)
def control_that_restarts_finds_what_it_had_learned(rig):
    name = fresh("t60")
    with upstream(rig) as server:
        rig.ask(name)
        rig.wait_for_restart("control", rig.kill("control")[0])
        rig.wait_for_control()
        for over in ("tcp", "udp"):
            same(len(rig.ask(name, over=over).answer), 1, over)
        same(server.asked(name), 1, "questions upstream")
        check(rig.ctl_json("cache", "stats")["stored"]["taken_over"] >= 1, "nothing taken over")


@contextmanager
def control_stopped(rig):
    pid = rig.pid_now("control")
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):  # the test may have killed it
            os.kill(pid, signal.SIGCONT)


@test(CACHE)
def another_cache_file_takes_the_place_of_the_one_in_use(rig):
    first, second = fresh("t60"), fresh("t60")
    region = rig.region_directories()[0] / "cache"
    with upstream(rig) as server:
        rig.ask(first)
        region.unlink()
        same(len(rig.ask(first).answer), 1, "answers from the file without a name")
        rig.wait_for_restart("control", rig.kill("control")[0])
        rig.wait_for_control()
        hits = rig.counter("cache-hit")
        ask_until(rig, second, lambda _: rig.counter("cache-hit") > hits, "an answer from the new file")
        with control_stopped(rig):
            same(len(rig.ask(second).answer), 1, "answers from the new file")
        rig.ask(first)
        same((server.asked(first), server.asked(second)), (2, 1), "questions upstream")


@test(CACHE)
def garbage_in_the_cache_harms_nobody_and_is_gone_with_the_next_control(rig):
    names = [fresh("t60") for _ in range(50)]
    region = rig.region_directories()[0] / "cache"
    with upstream(rig):
        for name in names:
            rig.ask(name)
        with control_stopped(rig) as pid, open(region, "r+b", buffering=0) as file, \
                mmap.mmap(file.fileno(), region.stat().st_size) as memory:
            rng = random.Random(53)
            used = [at for at in range(0, len(memory), 64) if any(memory[at:at + 64])]
            for _ in range(15):
                for at in rng.choices(used, k=len(used) // 4):
                    memory[at + rng.randrange(64)] = rng.randrange(256)
                for name in names[::10]:
                    reply = rig.raw(query_wire(name), timeout=0.02)
                    check(not reply or reply[:2] == query_wire(name)[:2], reply)
            memory[4096:] = (rng.randbytes(1 << 16) * (len(memory) >> 16))[4096:]
            rig.raw(query_wire(names[0]), timeout=0.05)
            os.kill(pid, signal.SIGKILL)
        rig.wait_for_restart("control", pid)
        rig.wait_for_control()
        for name in names:
            same(rig.ask(name).answer[0][0].address, "198.18.7.1", name)
        hits = rig.counter("cache-hit")
        ask_until(rig, names[0], lambda _: rig.counter("cache-hit") > hits, "an answer from the cache")


# Expired answers

@test(STALE)
def expired_answers_serve_when_the_upstream_is_gone(rig):
    name, none = fresh("t1"), fresh("no1")
    with upstream(rig):
        same((ttl_of(rig.ask(name)), rig.ask(none).rcode()), (1, 3))
    # Entries end with a second of CLOCK_MONOTONIC; on a busy machine workers learn a few milliseconds late that it has begun.
    wait_until(lambda: rig.ctl_json("cache", "lookup", name)["entries"][0]["state"] == "expired" and time.monotonic() % 1 > 0.2,
               "it expires", 4, 0.1)
    with upstream(rig, lambda query: None):  # silent: the answer goes out while it is still being asked
        began = time.monotonic()
        reply = rig.ask(name, use_edns=0)
        took = time.monotonic() - began
        same((str(reply.answer[0][0]), ttl_of(reply), extended_errors(reply)), ("198.18.7.1", 3, [3]))
        check(0.4 < took < 1.5, f"after {took:.2f} s")
        reply = rig.ask(none, use_edns=0)
        same((reply.rcode(), extended_errors(reply)), (3, [19]))
    # the search fails at its deadline; until the next try nobody waits
    wait_until(lambda: rig.ctl_json("cache", "lookup", name)["entries"][0]["state"] == "stale", "the search has failed", 6, 0.1)
    began = time.monotonic()
    same(extended_errors(rig.ask(name, use_edns=0)), [3])
    check(time.monotonic() - began < 0.4, "waited for it")
    with upstream(rig) as server:
        reply = ask_until(rig, name, lambda reply: not extended_errors(reply), "a fresh answer", 8, use_edns=0)
        same((str(reply.answer[0][0]), server.asked(name)), ("198.18.7.1", 1))
    facts = rig.ctl_json("cache", "stats")
    check(facts["freshness"]["stale_answers"] >= 2 and facts["stored"]["prolonged"] >= 1, facts)


# Limits

@test(LIMITS)
def ttls_stay_between_floor_and_ceiling(rig):
    for word, low, high in (("t3600", 59, 60), ("t5", 19, 20), ("no600", 39, 40)):
        name = fresh(word)
        with upstream(rig):
            rig.ask(name)
            check(low <= ttl_of(rig.ask(name)) <= high, f"{word}: TTL {ttl_of(rig.ask(name))}")


@test(SMALL)
def a_full_cache_takes_no_more_memory(rig):
    def memory_kb():
        pid = rig.pid_now("control")
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])

    def fill(count):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(3)
            sock.connect((SERVICE_4, 53))
            for _ in range(count // 20):
                for _ in range(20):
                    query = dns.message.make_query(fresh("big"), "TXT", use_edns=0, payload=1232)
                    sock.send(query.to_wire())
                for _ in range(20):
                    sock.recv(2000)
    with upstream(rig):
        fill(1000)  # about the size of the region
        before = memory_kb()
        fill(9000)
    grown = memory_kb() - before
    facts = rig.ctl_json("cache", "stats")
    check(grown < 1024, f"grown by {grown} KiB")
    check(facts["gone"]["evicted"] > 5000, facts)
    check(facts["memory"]["used_bytes"] <= facts["memory"]["size_bytes"] == 1 << 20, facts)
    rig.ask(fresh("t60"), over="tcp")


@test(NO_CACHE)
def a_chain_without_the_cache_keeps_nothing(rig):
    name = fresh("t60")
    with upstream(rig) as server:
        for _ in range(2):
            rig.ask(name)
        same(server.asked(name), 2, "questions upstream")


@test(ZONES_ONLY)
def a_server_with_nobody_to_learn_from_has_no_cache_until_it_is_given_one(rig):
    regions = lambda: [place for place in rig.region_directories() if (place / "cache").exists()]
    same(regions(), [], "cache regions")
    check("nobody to learn from" in ctl_refused(rig, "cache", "stats"), "no reason")
    path = Path(f"/run/pollux-rig/{rig.name}/pollux.yaml")
    path.write_text(path.read_text() + FORWARD)
    rig.ctl("config", "reload")
    name = fresh("t60")
    with upstream(rig) as server:
        wait_until(lambda: rig.ask(name).rcode() == 0, "an answer", 3, 0.1)
        wait_until(lambda: rig.counter("cache-hit") or not rig.ask(name), "a hit of the dataplane", 3, 0.05)
        same((len(regions()), server.asked(name)), (1, 1), "regions, questions upstream")


@test(CACHE, long=True)
def a_large_dump_is_read_and_written_while_everybody_is_served(rig):
    count, dump = 100000, rig.dir / "large"
    lines = [json.dumps({"pollux-cache": 1, "written_s": int(time.time())})]
    for i in range(count):
        name = f"n{i}.large.example."
        lines.append(json.dumps({"name": name, "type": "A", "rcode": "NOERROR", "ttl": 3600, "answer": [f"{name} 3600 IN A 198.18.7.1"],
                                 "authority": [], "additional": []}))
    dump.write_text("\n".join(lines) + "\n")
    pauses = []

    def serve_while(*words):
        """The command's reply, and the longest time for a question over TCP meanwhile."""
        replies = []
        thread = threading.Thread(target=lambda: replies.append(rig.ctl_json("cache", *words)))
        began = time.monotonic()
        thread.start()
        longest = 0.0
        while thread.is_alive():
            asked = time.monotonic()
            rig.ask("host.test.example", over="tcp")
            longest = max(longest, time.monotonic() - asked)
        pauses.append(f"{words[0]} {time.monotonic() - began:.2f} s, longest wait {longest * 1000:.0f} ms")
        check(longest < 0.5, pauses[-1])
        return replies[0]

    rig.ctl("cache", "flush", "all")
    same(serve_while("load", dump)["loaded"], count)
    same(len(serve_while("lookup", f"n{count - 1}.large.example")["entries"]), 1)
    same(serve_while("dump", dump)["written"], count)
    same(serve_while("flush", "subtree", "large.example")["removed"], count)
    comment("; ".join(pauses))


if __name__ == "__main__":
    main()
