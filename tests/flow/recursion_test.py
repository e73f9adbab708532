#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Recursion from the root down, in a small Internet of the test's own."""

import concurrent.futures
import random

import roots
from flow import *
from roots import LEAF_AT, ROOT_AT, SERVERS, evil_of, tree

DEADLINE_S = 2.0
CONFIG = """
recursion:
  enabled: true
  hints: "{dir}/hints"
  trust-anchors: "{dir}/anchor"
  deadline: 2s
"""
ROOTS = Spec(config=CONFIG + "  threads: 2\n", prepare=roots.prepare)


def prepare_nothing(directory):
    (directory / "hints").write_text(". NS a.roots.\n. NS b.roots.\na.roots. A 198.18.0.6\nb.roots. A 198.18.0.200\n")
    (directory / "anchor").write_text(". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n"
                                      ". IN DS 20326 8 2 E06D\n")


NOTHING = Spec(config=CONFIG + "  validate: false\n", prepare=prepare_nothing)
BROKEN = Spec(config=CONFIG, prepare=prepare_nothing)


def reload(rig, more="", deadline="2s"):
    """With other options; the next call without any puts things right."""
    text = (CONFIG.replace("2s", deadline) + "  threads: 2\n" + more).replace("{dir}", str(rig.dir))
    (rig.dir / "pollux.yaml").write_text(text)
    run(RIG, "config", "--name", rig.name, "--renew")
    rig.ctl("config", "reload")


def addresses(reply):
    return [line.split()[4] for line in reply.answer if line.split()[3] == "A"]


def records(reply):
    """Without their TTLs, which may have counted down."""
    return [" ".join(word for at, word in enumerate(line.split()) if at != 1) for line in reply.answer]


def errors(reply):
    """Codes of RFC 8914."""
    return [int(code) for code in re.findall(r"; EDE: (\d+)", reply.text)]


def fresh(zone):
    return f"x{random.getrandbits(48):x}.{zone}"


def took(ask, *words):
    began = time.monotonic()
    return ask(*words), time.monotonic() - began


def threads(rig, column):
    return [row[column] for row in rig.ctl_json("recursion", "stats")]


# Answers

@test(ROOTS)
def two_delegations_lead_from_the_root_to_the_answer(rig):
    tree(rig)
    found = rig.dig("www.good.example", "A")
    same((found.status, records(found)), ("NOERROR", ["www.good.example. IN A 198.18.40.1"]))
    same(found.flags, {"qr", "rd", "ra", "ad"})


@test(ROOTS)
def a_name_that_is_not_there_is_nxdomain_and_one_without_the_type_is_empty(rig):
    tree(rig)
    for name, kind, status in ((fresh("good.example"), "A", "NXDOMAIN"), ("www.good.example", "TXT", "NOERROR"),
                               (fresh("plain"), "A", "NXDOMAIN"), (fresh("nowhere"), "A", "NXDOMAIN")):
        found = rig.dig(name, kind)
        same((found.status, found.answer, len(found.authority)), (status, [], 1), name)
        check(" SOA " in found.authority[0], found.text)


@test(ROOTS)
def aliases_are_followed_into_other_zones_but_not_when_they_are_asked_for(rig):
    tree(rig)
    same(addresses(rig.dig("alias.good.example")), ["198.18.40.1"])
    found = rig.dig("away.good.example")
    same([line.split()[3:] for line in found.answer], [["CNAME", "www.plain."], ["A", "198.18.40.20"]])
    same(records(rig.dig("alias.good.example", "CNAME")), ["alias.good.example. IN CNAME www.good.example."])


@test(ROOTS)
def servers_without_glue_are_looked_up_and_lame_ones_passed_over(rig):
    tree(rig)
    same(addresses(rig.dig("www.glueless.example")), ["198.18.40.8"])
    same(addresses(rig.dig("www.half.example")), ["198.18.40.9"])
    found = rig.dig("www.lame")
    same((found.status, errors(found)), ("SERVFAIL", [22]))


@test(ROOTS)
def servers_are_asked_over_ip6_too(rig):
    tree(rig)
    same(addresses(rig.dig("www.six.plain")), ["198.18.40.12"])


@test(ROOTS)
def large_answers_come_over_tcp_and_each_client_gets_what_it_has_room_for(rig):
    tree(rig)
    same(len(rig.ask("big.good.example", "TXT", over="tcp").answer[0][0].strings), 7)
    reply = rig.ask("big.good.example", "TXT")
    check(reply.flags & dns.flags.TC and len(reply.to_wire()) <= 512, "no TC for a client without EDNS")


@test(ROOTS)
def the_case_of_the_question_survives(rig):
    tree(rig)
    wire = query_wire("wWw.GoOd.eXaMpLe")
    same(rig.raw(wire, timeout=3)[12:len(wire)], wire[12:])
    same(addresses(rig.dig(f"{fresh('wild').upper()}.gOOD.example")), ["198.18.40.2"])


@test(ROOTS)
def without_rd_nobody_is_asked(rig):
    evil = evil_of(rig)
    before = evil.heard()
    found = rig.dig("+norec", fresh("quiet.evil"))
    same((found.status, found.answer, evil.heard()), ("REFUSED", [], before))


@test(ROOTS)
def names_of_no_use_outside_are_answered_here(rig):
    tree(rig)
    for name, kind, status in (("localhost", "A", "NOERROR"), ("1.0.168.192.in-addr.arpa", "PTR", "NXDOMAIN"),
                               ("1.0.0.10.in-addr.arpa", "PTR", "NXDOMAIN"), ("www.onion", "A", "NXDOMAIN")):
        same(rig.dig(name, kind).status, status, name)


@test(ROOTS)
def names_of_any_octets_and_types_of_any_kind_can_be_asked_for(rig):
    tree(rig)
    for label in (r"a\.b", r"a\032b", r"a\000b", r'a\255\"b', "-", "x" * 63):
        reply = rig.ask(f"{label}.wild.good.example", use_edns=0)
        same([str(rdata) for rrset in reply.answer for rdata in rrset], ["198.18.40.2"], label)
    for kind, found in (("TYPE65280", False), ("RRSIG", True), ("ANY", True), ("SOA", True), ("DNSKEY", True), ("DS", True)):
        reply = rig.dig("good.example", kind)
        same((reply.status, bool(reply.answer)), ("NOERROR", found), kind)
    same(rig.dig("-c", "CH", "www.good.example", "A").status, "REFUSED")


@test(ROOTS)
def it_is_the_last_to_be_asked_and_finds_what_forwarders_do_not_know_or_must_not_be_asked(rig):
    tree(rig)
    reload(rig, f"forward: {{servers: [{LEAF_AT}], timeout: 200ms}}\n"
                "forward-zones: [{zone: other.wild.good.example}]\n")
    same(rig.dig(fresh("wild.good.example")).flags, {"qr", "rd", "ra"})  # by the forwarder, who does not validate
    same(rig.dig(fresh("other.wild.good.example")).flags, {"qr", "rd", "ra", "ad"})
    same(addresses(rig.dig("www.six.plain")), ["198.18.40.12"])  # the forwarder says REFUSED
    reload(rig)


# Validation

@test(ROOTS)
def ad_is_set_for_secure_answers_alone_and_for_those_who_want_it(rig):
    tree(rig)
    for words, ad in ((("www.good.example",), True), (("+dnssec", "www.good.example"), True),
                      (("+noadflag", "www.good.example"), False), (("+cd", "www.good.example"), False),
                      ((fresh("good.example"),), True), (("www.good.example", "TXT"), True), (("alias.good.example",), True),
                      (("away.good.example",), False), (("www.plain",), False), (("+dnssec", "www.island.example"), False),
                      (("www.glueless.example",), False)):
        found = rig.dig(*words)
        same("ad" in found.flags, ad, f"AD of {' '.join(words)}")
        signed = [line for line in found.answer + found.authority if " RRSIG " in line]
        same(bool(signed), "+dnssec" in words, f"signatures of {' '.join(words)}")


@test(ROOTS)
def broken_signatures_are_servfail_with_the_reason_and_cd_gets_the_data(rig):
    tree(rig)
    for name, code, address in (("www.broken.example", 6, "198.18.40.44"), ("www.expired.example", 7, "198.18.40.5"),
                                ("www.unsigned.example", 9, "198.18.40.6")):
        found = rig.dig(name)
        same((found.status, found.answer, errors(found)), ("SERVFAIL", [], [code]), name)
        found = rig.dig("+cd", name)
        same((found.status, addresses(found), errors(found)), ("NOERROR", [address], []), f"{name} with CD")
        same(found.flags, {"qr", "rd", "ra", "cd"}, f"flags of {name}")
        check(rig.dig("+cd", "+dnssec", name).status == "NOERROR", "CD and DO")
    same(rig.dig("+noedns", "www.broken.example").status, "SERVFAIL")
    check(sum(threads(rig, "bogus")) >= 3, "not counted")


@test(ROOTS)
def a_negative_trust_anchor_makes_a_broken_zone_insecure(rig):
    tree(rig)
    reload(rig, "  insecure: [broken.example]\n")
    found = rig.dig("other.broken.example")
    same((addresses(found), found.flags), (["198.18.40.44"], {"qr", "rd", "ra"}))
    same(rig.dig(fresh("good.example")).flags, {"qr", "rd", "ra", "ad"})
    reload(rig)


# What is learned

@test(ROOTS)
def what_was_found_is_remembered_with_its_ad_for_each_kind_of_asker(rig):
    tree(rig)
    name = fresh("wild.good.example")
    words = ((name,), ("+dnssec", name), ("+cd", name), ("+cd", "+dnssec", name))
    first = [rig.dig(*how) for how in words]
    asked = threads(rig, "asked")
    again = [rig.dig(*how) for how in words]
    same(threads(rig, "asked"), asked, "questions to the threads")
    for before, after in zip(first, again):
        same((after.flags, addresses(after), len(after.answer)), (before.flags, addresses(before), len(before.answer)))
    same(["ad" in reply.flags for reply in again], [True, True, False, False])


@test(ROOTS)
def what_is_bogus_is_remembered_as_a_failure_that_cd_does_not_see(rig):
    tree(rig)
    rig.dig("www.expired.example"), rig.dig("+cd", "www.expired.example")
    asked = threads(rig, "asked")
    found = rig.dig("www.expired.example")
    same(found.status, "SERVFAIL")
    check(7 in errors(found), found.text)
    same(addresses(rig.dig("+cd", "www.expired.example")), ["198.18.40.5"])
    same(threads(rig, "asked"), asked, "questions to the threads")


@test(ROOTS)
def a_flush_forgets_what_the_threads_remember_too(rig):
    tree(rig)
    evil = evil_of(rig)
    name = fresh("flushed.evil")
    rig.dig(name)
    before = evil.heard()[0]
    rig.dig(name)
    same(evil.heard()[0], before, "queries for what is known")
    rig.ctl("cache", "flush", name)
    same(addresses(rig.dig(name)), ["198.18.41.9"])
    check(evil.heard()[0] > before, "not asked again")


# Attacks

@test(ROOTS)
def foreign_classes_and_records_that_are_nobodys_business_are_ignored(rig):
    tree(rig), evil_of(rig)
    same(records(rig.dig("www.class.evil")), ["www.class.evil. IN A 198.18.41.1"])
    same(records(rig.dig("www.poison.evil")), ["www.poison.evil. IN A 198.18.41.2"])
    same(addresses(rig.dig("www.plain")), ["198.18.40.20"])
    same(rig.dig(fresh("plain")).authority[0].split()[0], "plain.")


@test(ROOTS)
def aliases_in_a_circle_or_without_end_are_servfail(rig):
    tree(rig)
    evil = evil_of(rig)
    same(rig.dig("cycle1.good.example").status, "SERVFAIL")
    before = evil.heard()[0]
    same(rig.dig("www.chain.evil").status, "SERVFAIL")
    check(evil.heard()[0] - before <= 20, evil.heard()[0] - before, "queries along the chain")


@test(ROOTS)
def delegations_that_lead_in_a_circle_end_after_a_few_queries(rig):
    tree(rig)
    evil = evil_of(rig)
    for trick in ("here", "self"):
        before = evil.heard()[0]
        found, time_s = took(rig.dig, f"www.{trick}{random.getrandbits(24)}.evil")
        same(found.status, "SERVFAIL")
        check(evil.heard()[0] - before <= 20 and time_s < DEADLINE_S, evil.heard()[0] - before, "queries in", time_s)


@test(ROOTS)
def a_referral_to_many_names_of_somebody_else_costs_him_little(rig):
    tree(rig)
    evil = evil_of(rig)
    for _ in range(3):
        before = evil.heard()
        same(rig.dig(f"www.nxns{random.getrandbits(24)}.evil").status, "SERVFAIL")
        attacker, victim = (now - then for now, then in zip(evil.heard(), before))
        check(attacker <= 4 and victim <= 40, attacker, "queries to the attacker,", victim, "to the victim")


@test(ROOTS)
def one_who_always_fails_is_asked_a_few_times(rig):
    evil = evil_of(rig)
    before = evil.heard()[0]
    same(rig.dig(fresh("servfail.evil")).status, "SERVFAIL")
    check(evil.heard()[0] - before <= 20, evil.heard()[0] - before, "queries")


# Time and load

@test(ROOTS)
def silence_is_servfail_at_the_deadline(rig):
    tree(rig), evil_of(rig)
    late = sum(threads(rig, "late"))
    found, time_s = took(rig.dig, fresh("mute"))
    same((found.status, errors(found)), ("SERVFAIL", [22]))
    check(DEADLINE_S - 0.1 < time_s < DEADLINE_S + 0.5, "took", time_s)
    same(sum(threads(rig, "late")), late + 1)


@test(ROOTS)
def equal_questions_share_one_search(rig):
    tree(rig)
    evil = evil_of(rig)
    rig.dig("www.first.evil")
    name, before, coalesced = fresh("slow.evil"), evil.heard()[0], rig.ctl_json("stats")["resolver"]["coalesced"]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda number: rig.ask(name.upper() if number % 2 else name, flags=dns.flags.RD), range(20)))
    same({reply.answer[0][0].address for reply in replies}, {"198.18.41.4"})
    check(evil.heard()[0] - before <= 12, evil.heard()[0] - before, "queries for 20 questions")
    same(rig.ctl_json("stats")["resolver"]["coalesced"] - coalesced, 19, "coalesced")


@test(ROOTS)
def what_is_found_after_the_deadline_waits_for_those_who_ask_again(rig):
    tree(rig), evil_of(rig)
    reload(rig, deadline="100ms")
    name = fresh("slow.evil")
    same(rig.dig(name).status, "SERVFAIL")
    wait_until(lambda: addresses(rig.dig(name)) == ["198.18.41.4"], "the answer is there")
    reload(rig)


@test(ROOTS)
def more_searches_than_may_be_open_are_refused_at_once(rig):
    tree(rig), evil_of(rig)
    reload(rig, "  max-open: 3\n")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(rig.dig, fresh("mute")) for _ in range(3)]
        wait_until(lambda: sum(threads(rig, "open")) == 3, "three are under way", 2)
        found, time_s = took(rig.dig, fresh("plain"))
        same(found.status, "SERVFAIL")
        check(time_s < 0.5, "took", time_s)
        same([done.result().status for done in waiting], ["SERVFAIL"] * 3)
    reload(rig)
    same(rig.dig(fresh("plain")).status, "NXDOMAIN")


@test(ROOTS)
def names_are_spread_over_the_threads(rig):
    tree(rig)
    reload(rig)
    before = threads(rig, "asked")
    for _ in range(12):
        rig.dig(fresh("wild.good.example"))
    after = threads(rig, "asked")
    same(len(after), 2)
    check(all(now > then for now, then in zip(after, before)), before, after)


# Servers come and go

@test(ROOTS)
def without_the_root_what_is_known_below_goes_on_and_the_rest_is_servfail_in_time(rig):
    root = tree(rig).server[ROOT_AT]
    reload(rig)
    same(addresses(rig.dig("www.good.example")), ["198.18.40.1"])
    root.stop()
    same(addresses(rig.dig(fresh("wild.good.example"))), ["198.18.40.2"])
    found, time_s = took(rig.dig, "www.lame")
    same(found.status, "SERVFAIL")
    check(time_s < DEADLINE_S + 0.5, "took", time_s)
    root.start()
    rig.helpers.append(root) if root not in rig.helpers else None
    wait_until(lambda: addresses(rig.dig(fresh("wild.good.example"))) == ["198.18.40.2"], "it is as before")


@test(ROOTS)
def a_new_process_resolves_as_the_former_one_did(rig):
    tree(rig)
    old = rig.kill("control")[0]
    rig.wait_for_restart("control", old)
    rig.wait_for_control()
    wait_until(lambda: "ad" in rig.dig(fresh("wild.good.example")).flags, "it resolves")


@test(ROOTS)
def questions_under_way_when_the_configuration_changes_get_their_answers(rig):
    tree(rig), evil_of(rig)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(rig.dig, fresh(f"slow{number}.evil")) for number in range(4)]
        wait_until(lambda: sum(threads(rig, "open")) >= 4, "all are under way", 2)
        reload(rig, "  mix-case: true\n")
        same([addresses(done.result()) for done in waiting], [["198.18.41.4"]] * 4)
    same(rig.dig(fresh("wild.good.example")).flags, {"qr", "rd", "ra", "ad"})
    reload(rig)


# Configuration

@test(ROOTS)
def case_is_mixed_when_it_is_to_be(rig):
    tree(rig)
    evil = evil_of(rig)
    for option in (True, False):
        reload(rig, f"  mix-case: {str(option).lower()}\n")
        before = evil.heard()[0]
        same(addresses(rig.dig("a-long-name-of-letters." + fresh("mixed.evil"))), ["198.18.41.9"])
        names = [wire[12:-15] for _, _, wire in evil.attacker.queries[before:]]
        same(any(name != name.lower() for name in names), option, names)

@test(ROOTS)
def stub_zones_are_asked_of_their_servers_also_below_names_of_no_use_outside(rig):
    tree(rig)
    reload(rig, "  insecure: [corp, 18.198.in-addr.arpa, 10.in-addr.arpa]\n"
                "stub-zones:\n" + "".join(f"  - {{zone: {zone}, servers: [{LEAF_AT}]}}\n" for zone in
                                          ("corp", "18.198.in-addr.arpa", "10.in-addr.arpa")))
    rig.ctl("cache", "flush", "all")
    same(addresses(rig.dig("www.corp")), ["198.18.40.10"])
    same(addresses(rig.dig("www.sub.corp")), ["198.18.40.11"])
    same(rig.dig("+short", "-x", "198.18.40.1").lines, ["www.good.example."])
    same(rig.dig("+short", "-x", "10.0.0.1").lines, ["www.corp."])
    same(rig.dig("-x", "192.168.0.1").status, "NXDOMAIN")
    same(rig.dig("www.good.example").flags, {"qr", "rd", "ra", "ad"})
    reload(rig)


@test(ROOTS)
def a_server_on_a_loopback_address_is_reached_by_way_of_the_host(rig):
    with inside(f"pollux-{rig.name}-box"):
        run("ip", "link", "set", "lo", "up")
        Knot(rig, {"corp": rig.dir / "corp.zone"}, "127.0.0.1", 5300)
    reload(rig, "  via: management\n  insecure: [corp]\nstub-zones: [{zone: corp, servers: [127.0.0.1@5300]}]\n")
    rig.ctl("cache", "flush", "subtree", "corp")
    same(addresses(rig.dig("www.corp")), ["198.18.40.10"])
    reload(rig)


@test(ROOTS)
def a_broken_file_of_trust_anchors_changes_nothing_and_is_named_with_its_line(rig):
    tree(rig)
    good = (rig.dir / "anchor").read_text()
    (rig.dir / "anchor").write_text(good + ". IN DS 20326 8\n")
    for command in ("check", "reload"):
        done = rig.ctl("config", command, check_it=False)
        check(done.returncode != 0, "accepted")
        check(f"{rig.dir}/anchor:{good.count(chr(10)) + 1}:" in done.stdout + done.stderr, done.stdout, done.stderr)
    same(rig.dig(fresh("good.example")).flags, {"qr", "rd", "ra", "ad"})
    (rig.dir / "anchor").write_text(good)
    rig.ctl("config", "reload")


@test(NOTHING)
def with_no_root_server_every_question_is_servfail_in_time(rig):
    names = ("www.example", ".", "a.b.c.d")
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for found, time_s in pool.map(lambda name: took(rig.dig, name, "NS"), names):
            same(found.status, "SERVFAIL")
            check(time_s < DEADLINE_S + 0.5, "took", time_s)
    check(rig.pid("control"), "control is gone")


@test(BROKEN)
def with_a_broken_file_from_the_start_nothing_is_resolved_until_it_is_put_right(rig):
    found = rig.dig("www.example")
    same((found.status, errors(found)), ("SERVFAIL", [14]))
    check("anchor:2:" in rig.log("control"), rig.log("control"))
    for zone_file in ("hints", "anchor"):
        (rig.dir / zone_file).unlink()
    roots.prepare(rig.dir)
    tree(rig)
    rig.ctl("config", "reload")
    same(rig.dig("www.good.example").flags, {"qr", "rd", "ra", "ad"})


if __name__ == "__main__":
    main()
