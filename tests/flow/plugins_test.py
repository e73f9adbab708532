#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Plugins: code of others as a source of answers, a judge of questions, and a hand in replies."""

import dns.opcode

from flow import *

SO = BUILD / "tests" / "plugins"
ZONE = 'zones: [{name: test.example, file: "{zones}/test.example.zone"}]\n'
FORWARD = "forward: {servers: [%s], timeout: 100ms, deadline: 300ms}\n" % UPSTREAM


def plugins(*rows):
    return "plugins:\n" + "".join(f"  - {{name: {name}, file: {SO}/{name}.so{more}}}\n" for name, *rest in rows
                                  for more in ["".join(f", {one}" for one in rest)])


SOURCE = Spec(config=plugins(("hello",), ("later", "deadline: 300ms")) + ZONE)
JUDGES = Spec(config=plugins(("gate", "options: 198.18.0.9"), ("hello",), ("status",)) + ZONE + FORWARD)
SIGNED = Spec(config=plugins(("sign",), ("hello",)) + ZONE)
WRONG = Spec(config=plugins(("other_abi",), ("other_size",), ("no_plugin",), ("garbage",), ("hello", "options: broken")) +
             ZONE)
SLOW = Spec(config=plugins(("later", "deadline: 100ms"), ("hello",)))


def row(rig, name):
    return next(one for one in rig.ctl_json("plugin", "list") if one["name"] == name)


def reconfigure(rig, text):
    (rig.dir / "pollux.yaml").write_text(text.replace("{zones}", str(ZONES)))
    run(RIG, "config", "--name", rig.name, "--renew")
    return rig.ctl("config", "reload")


# A source of answers

@test(SOURCE)
def a_plugin_answers_its_name_and_passes_the_rest_on(rig):
    for over in ("+notcp", "+tcp"):
        found = rig.dig("Hello.Example", "A", over)
        same((found.status, found.flags, found.answer), ("NOERROR", {"qr", "rd", "ra"}, ["Hello.Example. 300 IN A 198.18.9.9"]))
    same(rig.dig("hello.example", "TXT", "+short").lines, ['"hello"'])
    found = rig.dig("hello.example", "MX")
    same((found.status, found.answer), ("NOERROR", []))
    found = rig.dig("nobody.example", "A")
    same((found.status, found.authority), ("NXDOMAIN", ["example. 60 IN SOA ns.example. host.example. 1 2 3 4 60"]))
    same(rig.dig("error.example", "A").status, "SERVFAIL")
    same(rig.dig("other.example", "A").status, "REFUSED")
    same(rig.dig("hello.example", "A", "+norec", "+tcp").status, "REFUSED")


@test(SOURCE)
def a_plugin_answers_later_from_the_event_loop_or_a_thread(rig):
    for name in ("timer.example", "thread.example", "twice.example"):
        same(rig.dig(name, "A", "+short").lines, ["198.18.9.10"], name)
    check("plugin later: completes a reply a second time" in rig.log("control"), rig.log("control"))


@test(SOURCE)
def a_plugin_that_never_completes_is_passed_at_its_deadline(rig):
    began = time.monotonic()
    same(rig.dig("never.example", "A").status, "REFUSED")
    check(0.25 < time.monotonic() - began < 1.5, time.monotonic() - began)
    same((row(rig, "later")["late"], row(rig, "later")["open"]), (1, 1))


@test(SOURCE)
def reload_gives_new_options_and_takes_plugins_out_and_in(rig):
    reconfigure(rig, plugins(("hello", "options: other.example.")) + ZONE)
    same(rig.dig("other.example", "A", "+short").lines, ["198.18.9.9"])
    same(rig.dig("hello.example", "A").status, "REFUSED")
    same([one["name"] for one in rig.ctl_json("plugin", "list")], ["hello"])
    log = rig.log("control")
    check("plugin hello: goes on with its new options" in log and "plugin later: unloaded" in log, log)
    check(log.index("plugin hello: answers other.example.") < log.index("plugin hello: no longer answers hello.example."), log)
    # The new options are refused: the plugin goes on with the old ones.
    reconfigure(rig, plugins(("hello", "options: broken")) + ZONE)
    same(rig.dig("other.example", "A", "+short").lines, ["198.18.9.9"])
    reconfigure(rig, ZONE)
    same(rig.ctl_json("plugin", "list"), [])
    found = rig.dig("other.example", "A")
    same((found.status, "ra" in found.flags), ("REFUSED", False))


@test(SOURCE)
def a_file_that_is_another_one_is_loaded_again(rig):
    mine = rig.dir / "mine.so"
    config = f"plugins: [{{name: mine, file: {mine}}}]\n"
    shutil.copy(SO / "hello.so", mine)
    reconfigure(rig, config)
    same(rig.dig("hello.example", "A", "+short").lines, ["198.18.9.9"])
    shutil.copy(SO / "sign.so", rig.dir / "fresh.so")
    (rig.dir / "fresh.so").rename(mine)
    reconfigure(rig, config)
    same(rig.dig("hello.example", "A").status, "REFUSED")
    same(rig.ctl_json("plugin", "list")[0]["hooks"], "respond")


# Judges and handlers

@test(JUDGES)
def a_plugin_refuses_or_drops_questions(rig):
    for over in ("+notcp", "+tcp"):
        same(rig.dig("refused.example", "A", over).status, "REFUSED")
        same(rig.dig("hello.example", "A", "+short", over).lines, ["198.18.9.9"])
    same(rig.raw(query_wire("dropped.example"), timeout=0.5), None)
    same((row(rig, "gate")["refused"], row(rig, "gate")["dropped"]), (2, 1))


@test(JUDGES)
def a_plugin_closes_tcp_connections_of_a_client(rig):
    run("ip", "address", "add", "198.18.0.9/24", "dev", "px1")
    with socket.socket() as sock:
        sock.bind(("198.18.0.9", 0))
        sock.settimeout(3)
        try:
            sock.connect((SERVICE_4, 53))
            same(sock.recv(1), b"")
        except ConnectionError:
            pass
    same(rig.ask("hello.example", over="tcp").rcode(), 0)
    same(rig.ask("hello.example", source="198.18.0.9").rcode(), 0)


@test(JUDGES)
def a_plugin_handles_opcode_2_and_others_are_not_implemented(rig):
    for over in ("udp", "tcp"):
        wire = query_wire("state.example", "TXT", flags=0x1100)
        reply = dns.message.from_wire(rig.raw(wire, over, timeout=2))
        same((reply.opcode(), reply.rcode(), reply.id), (dns.opcode.STATUS, 0, 0x1234), over)
        same([str(one) for rrset in reply.answer for one in rrset], [f'"up, {len(wire)} octets"'])
        header = struct.pack("!6H", 7, 0x1000, 0, 0, 0, 0)
        reply = dns.message.from_wire(rig.raw(header, over, timeout=2))
        same((reply.opcode(), reply.rcode(), len(reply.question), len(reply.answer)), (dns.opcode.STATUS, 0, 0, 1))
        for opcode in (1, 3, 4, 5, 9):
            reply = rig.raw(query_wire("state.example", flags=opcode << 11), over, timeout=2)
            same((reply[2] >> 3 & 15, reply[3] & 15), (opcode, 4), f"opcode {opcode} {over}")


@test(JUDGES)
def without_the_plugin_its_opcode_is_not_implemented(rig):
    reconfigure(rig, plugins(("hello",)) + ZONE)
    same(rig.raw(query_wire("state.example", flags=0x1000))[3] & 15, 4)


# A hand in replies

@test(SIGNED)
def a_plugin_adds_a_text_to_the_replies_of_control(rig):
    found = rig.dig("hello.example", "A")
    same(found.answer, ["hello.example. 300 IN A 198.18.9.9"])
    same(found.additional, ['signed.example. 0 IN TXT "rcode 0, 1 answers" "hello.example. 300 IN A 198.18.9.9"'])
    same(rig.dig("other.example", "A").additional, ['signed.example. 0 IN TXT "rcode 5, 0 answers" "nothing"'])
    # Over TCP the zones, too, and the OPT stays whole and last.
    reply = rig.ask("host.test.example", over="tcp", use_edns=0, payload=1232, want_dnssec=True, request_payload=1232)
    same((reply.edns, reply.payload, bool(reply.ednsflags & dns.flags.DO)), (0, 1232, True))
    check(reply.flags & dns.flags.AA, "no AA")
    same([str(rrset.name) for rrset in reply.additional], ["signed.example."])


@test(SIGNED)
def what_finds_no_room_is_left_out_and_the_reply_stays_whole(rig):
    wire = rig.raw(query_wire("many.example"), timeout=2)
    reply = dns.message.from_wire(wire)
    check(len(wire) <= 512 and not reply.flags & dns.flags.TC, len(wire), reply.flags)
    same(reply.rcode(), 5)
    reply = rig.ask("many.example", over="tcp")
    same(sum(len(rrset) for rrset in reply.additional), 2, "different records")


@test(SIGNED)
def a_plugin_may_judge_and_see_every_question(rig):
    same(rig.dig("host.test.example", "A").additional, [])  # the dataplane's own
    reconfigure(rig, plugins(("sign", "every-question: true"), ("gate",)) + ZONE)

    def signed():
        found = rig.dig("host.test.example", "A")
        return found if any("signed.example." in line for line in found.additional) else None
    found = wait_until(signed, "the plugin sees a question of a zone")
    same((found.status, "aa" in found.flags, len(found.answer)), ("NOERROR", True, 1))
    same(rig.dig("refused.test.example", "A").status, "REFUSED")
    same(rig.raw(query_wire("dropped.test.example"), timeout=0.5), None)
    reconfigure(rig, plugins(("sign",)) + ZONE)
    wait_until(lambda: not rig.dig("host.test.example", "A").additional, "the dataplane answers again")
    same(rig.dig("refused.test.example", "A").status, "NXDOMAIN")


# The tutorial

@test(SIGNED)
def the_plugin_of_the_readme_compiles_and_tells_clients_their_address(rig):
    text = (ROOT / "README.md").read_text().split("## Write a plugin")[1].split("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n|^\n)+", text, re.M)
    source = next(block for block in blocks if "pollux_plugin =" in block)
    build = next(line.split() for line in text.splitlines() if line.startswith("    cc "))
    (rig.dir / "whoami.c").write_text("\n".join(line[4:] for line in source.splitlines()))
    run(*build, "-Wall", "-Wextra", "-Werror", "-I", ROOT / "include", cwd=rig.dir)
    check(len(source.strip().splitlines()) < 40, "it has grown")
    config = next(line.strip() for line in text.splitlines() if line.startswith("    plugins:"))
    reconfigure(rig, config.replace("/etc/pollux", str(rig.dir)) + "\n")
    same(rig.dig("me.example", "A", "+short").lines, ["198.18.0.1"])
    same(rig.dig("other.example", "A").status, "REFUSED")


# Plugins that are wrong

@test(WRONG)
def a_plugin_that_cannot_be_loaded_is_named_with_the_reason(rig):
    same(rig.dig("host.test.example", "A").status, "NOERROR")
    reasons = {one["name"]: one["failed"] for one in rig.ctl_json("plugin", "list")}
    for name, reason in (("other_abi", "is made for version 8 of the plugin interface, this Pollux has 1"),
                         ("other_size", "its struct pollux_question has"), ("no_plugin", "exports no pollux_plugin"),
                         ("hello", "its init has failed")):
        check(reason in reasons[name], name, reasons[name])
        check(f"plugin {name}: {SO}/{name}.so: {reason}" in rig.log("control"), rig.log("control"))
    check("plugin hello: the option 'broken' makes no sense at all" in rig.log("control"), rig.log("control"))
    reconfigure(rig, plugins(("garbage",), ("missing",)) + ZONE)
    check("plugin missing:" in rig.log("control") and "cannot open shared object file" in rig.log("control"), rig.log("control"))


@test(WRONG)
def garbage_of_a_plugin_is_refused_and_logged(rig):
    same(rig.dig("garbage.example", "A", "+short").lines, ['"refused, all of it"'])
    same(rig.dig("odd.example", "A").status, "REFUSED")
    log = rig.log("control")
    for line in ("plugin garbage: a record is refused: column", "is not one line of a zone file", "its owner is no name",
                 "plugin garbage: returns 77, which means nothing"):
        check(line in log, line, log)
    check(row(rig, "garbage")["errors"] > 5, row(rig, "garbage"))


@test(SLOW)
def slow_calls_in_a_row_disable_a_plugin_until_a_reload(rig):
    same(rig.dig("thread.example", "A", "+short").lines, ["198.18.9.10"])
    for number in range(5):
        same(rig.dig(f"slow{number}.example", "A").status, "REFUSED")
    wait_until(lambda: row(rig, "later")["state"] == "disabled", "the plugin is disabled")
    check("plugin later: 5 slow calls in a row: it is disabled until config reload" in rig.log("control"), rig.log("control"))
    same(rig.dig("thread.example", "A").status, "REFUSED")
    same(rig.dig("hello.example", "A", "+short").lines, ["198.18.9.9"])
    rig.ctl("config", "reload")
    same(row(rig, "later")["state"], "ready")
    same(rig.dig("thread.example", "A", "+short").lines, ["198.18.9.10"])


@test(SLOW)
def deadlines_in_a_row_give_a_plugin_a_rest(rig):
    for number in range(5):
        same(rig.dig(f"never{number}.example", "A").status, "REFUSED")
    wait_until(lambda: row(rig, "later")["state"] == "resting", "the plugin rests")
    began = time.monotonic()
    same(rig.dig("never.example", "A").status, "REFUSED")
    check(time.monotonic() - began < 0.09, "asked again")


@test(SLOW)
def a_plugin_that_crashes_control_is_left_out_by_the_next_one(rig):
    rig.ctl("config", "reload")  # it may be at rest
    old = rig.pid("control")
    rig.raw(query_wire("crash.example"), timeout=0.1)
    rig.wait_for_restart("control", old)
    rig.wait_for_control()
    wait_until(lambda: rig.dig("hello.example", "A", "+short").lines == ["198.18.9.9"], "the others work", 5)
    check("control ended in one of its calls" in row(rig, "later")["failed"], row(rig, "later"))
    rig.ctl("config", "reload")
    same(rig.dig("thread.example", "A", "+short").lines, ["198.18.9.10"])


@test(SLOW, long=True)
def a_plugin_that_never_returns_ends_control_which_comes_back_without_it(rig):
    old = rig.pid("control")
    rig.raw(query_wire("stuck.example"), timeout=0.1)
    rig.wait_for_restart("control", old, 15)
    rig.wait_for_control()
    wait_until(lambda: rig.dig("hello.example", "A", "+short").lines == ["198.18.9.9"], "the others work", 5)
    check("later: lookup has not come back for 10 s" in rig.log("control"), rig.log("control"))
    same(row(rig, "later")["state"], "failed")


if __name__ == "__main__":
    main()
