#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Answers by rule: in the dataplane, with control stopped, over TCP, through aliases, and changed while running."""

from flow import *

ZONE = 'zones: [{name: test.example, file: "{zones}/test.example.zone"}]\n'
FORWARD = f"forward: {{servers: [{UPSTREAM}], timeout: 200ms, deadline: 1s}}\n"
TRANSCRIPT = Spec(config=FORWARD + 'overrides:\n  - {name: "workstation<N>", type: A, answer: "172.0.2.<N>", ttl: 0}\n')
RULES = """\
$TTL 2m
# what a company would have
*.ads.example              nxdomain
good.ads.example           pass
no6.example      300 AAAA  nodata
.closed.example            refused
gone.example               drop
host.test.example    A     192.0.2.99        ; in our zone
host<A>.rack<B:1-9>.dc.example.  A  10.<B>.0.<A>
host<A>.rack<B:1-9>.dc.example.  AAAA 2001:db8:<B>::<A>
<A>.0.<B>.10.in-addr.arpa.   PTR   host<A>.rack<B>.dc.example.
pool<N:3>                  CNAME host<N:1>.rack1.dc.example.
inside.example             CNAME host.test.example.
zone.example               CNAME ns1.test.example.
out.example                CNAME www.example.com.
many.example   TXT "one"
many.example   TXT "two; # three"
"""
FILE = Spec(config=FORWARD + ZONE + "overrides-file: {dir}/rules\n", files={"rules": RULES})
CLIENTS = Spec(config=FORWARD + ZONE + "overrides-file: {dir}/rules\noverride-before: clients\n", files={"rules": RULES})


def knot(rig):
    """The upstream of the transcripts, one for each rig."""
    if not rig.helpers:
        Knot(rig, {"example.com": ZONES / "example.com.zone"})


@contextmanager
def stopped(rig):
    """Control does not run meanwhile: what is answered is answered by the dataplane alone."""
    pid = rig.pid("control")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T", "control has stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


class UpstreamCount:
    """Packets that reach the upstream's port, from the client namespace's side of the wire."""

    def __enter__(self):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.socket.bind(("px1", 0x0800))
        self.socket.setblocking(False)
        return self

    def __exit__(self, *_):
        self.socket.close()

    def take(self):
        count = 0
        while True:
            try:
                packet, address = self.socket.recvfrom(65535)
            except BlockingIOError:
                return count
            count += packet[16:20] == ip4(UPSTREAM) and packet[9] == 17 and packet[22:24] == b"\0\x35"


# The transcript, row by row

@test(TRANSCRIPT)
def names_with_a_number_get_its_address_and_the_upstream_hears_nothing(rig):
    knot(rig)
    with UpstreamCount() as upstream:
        same(rig.dig("workstation1.example.com", "A", "+short").lines, ["172.0.2.1"])
        same(rig.dig("workstation100.example.com", "A", "+short").lines, ["172.0.2.100"])
        same(rig.dig("WorkStation7.example.com", "A", "+short").lines, ["172.0.2.7"])
        same(rig.dig("workstation1.example.com", "A", "+noall", "+answer").answer, ["workstation1.example.com. 0 IN A 172.0.2.1"])
        same(upstream.take(), 0, "packets to the upstream")
        same(rig.dig("www.example.com", "A", "+short").lines, ["93.184.216.119"])
        check(upstream.take() >= 1, "the count counts nothing")


@test(TRANSCRIPT)
def other_names_types_and_numbers_pass_on(rig):
    knot(rig)
    same(rig.dig("www.example.com", "A", "+short").lines, ["93.184.216.119"])
    for name, kind in (("workstation", "A"), ("workstation300", "A"), ("workstation1x", "A"), ("workstation1", "AAAA")):
        found = rig.dig(f"{name}.example.com", kind)
        same((found.status, len(found.authority)), ("NXDOMAIN", 1), f"{name} {kind}")
        check("sns.dns.icann.org." in found.authority[0], found.text)


@test(TRANSCRIPT)
def the_same_rows_are_answered_with_control_stopped(rig):
    knot(rig)
    before = rig.counter("override")
    with UpstreamCount() as upstream:
        with stopped(rig):
            same(rig.dig("workstation1.example.com", "A", "+short").lines, ["172.0.2.1"])
            same(rig.dig("workstation100.example.com", "A", "+short").lines, ["172.0.2.100"])
            same(rig.dig("WorkStation7.example.com", "A", "+short").lines, ["172.0.2.7"])
            same(rig.dig("workstation1.example.com", "A", "+noall", "+answer").answer,
                 ["workstation1.example.com. 0 IN A 172.0.2.1"])
            same(rig.raw(query_wire("fresh.example.com"), timeout=0.3), None, "what only control could answer")
            same(upstream.take(), 0, "packets to the upstream")
    wait_until(lambda: rig.counter("override") == before + 4, "four answers by rule are counted")


@test(TRANSCRIPT)
def the_rules_survive_the_death_of_control(rig):
    knot(rig)
    old, = rig.kill("control")
    same(rig.dig("workstation9.example.com", "A", "+short").lines, ["172.0.2.9"])
    rig.wait_for_restart("control", old)
    rig.wait_for_control()
    same(rig.dig("workstation10.example.com", "A", "+short").lines, ["172.0.2.10"])


@test(TRANSCRIPT)
def the_answer_keeps_the_questions_case_and_flags_and_is_not_authoritative(rig):
    knot(rig)
    for over in ("udp", "tcp"):
        for to in (SERVICE_4, SERVICE_6):
            reply = rig.raw(query_wire("wOrkStation12.eXample.COM"), over=over, to=to, timeout=2)
            wire = query_wire("wOrkStation12.eXample.COM")
            same(reply[12:len(wire)], wire[12:], f"question over {over}")
            same(reply[len(wire):], bytes.fromhex("c00c00010001000000000004ac00020c"), f"answer over {over}")
            same(struct.unpack("!H", reply[2:4])[0], 0x8180, f"flags over {over}")


# Rules of every kind

def summary(rig, name, kind="A", over="udp"):
    reply = rig.ask(name, kind, over=over)
    return (dns.rcode.to_text(reply.rcode()), [line for rrset in reply.answer for line in rrset.to_text().split("\n")],
            [rrset.to_text() for rrset in reply.authority])


ROWS = [
    ("x.y.ads.example", "A", "NXDOMAIN", [], ["ads.example. 120 IN SOA ads.example. nobody.invalid. 1 3600 1200 604800 120"]),
    ("no6.example", "AAAA", "NOERROR", [], ["no6.example. 300 IN SOA no6.example. nobody.invalid. 1 3600 1200 604800 300"]),
    ("closed.example", "MX", "REFUSED", [], []),
    ("a.b.closed.example", "MX", "REFUSED", [], []),
    ("host17.rack3.dc.example", "A", "NOERROR", ["host17.rack3.dc.example. 120 IN A 10.3.0.17"], []),
    ("host17.rack3.dc.example", "AAAA", "NOERROR", ["host17.rack3.dc.example. 120 IN AAAA 2001:db8:3::17"], []),
    ("17.0.3.10.in-addr.arpa", "PTR", "NOERROR", ["17.0.3.10.in-addr.arpa. 120 IN PTR host17.rack3.dc.example."], []),
    ("pool007.anywhere", "A", "NOERROR",
     ["pool007.anywhere. 120 IN CNAME host7.rack1.dc.example.", "host7.rack1.dc.example. 120 IN A 10.1.0.7"], []),
    ("many.example", "TXT", "NOERROR", ['many.example. 120 IN TXT "one"', 'many.example. 120 IN TXT "two; # three"'], []),
]


@test(FILE)
def rules_of_every_kind_answer_over_udp_and_tcp(rig):
    knot(rig)
    for over in ("udp", "tcp"):
        for name, kind, *expected in ROWS + [("host.test.example", "A", "NOERROR", ["host.test.example. 120 IN A 192.0.2.99"], [])]:
            same(list(summary(rig, name, kind, over)), expected, f"{name} {kind} over {over}")


@test(FILE)
def an_alias_is_followed_into_a_zone_and_out_to_the_forwarder(rig):
    knot(rig)
    for over in ("udp", "tcp"):
        same(summary(rig, "inside.example", "A", over)[:2],
             ("NOERROR", ["inside.example. 120 IN CNAME host.test.example.",
                          "host.test.example. 120 IN A 192.0.2.99"]), over)
        same(summary(rig, "zone.example", "A", over)[:2],
             ("NOERROR", ["zone.example. 120 IN CNAME ns1.test.example.",
                          "ns1.test.example. 3600 IN A 198.18.9.1"]), over)
        status, answer, _ = summary(rig, "out.example", "A", over)
        same((status, answer[0], answer[1].split()[0], answer[1].split()[4]),
             ("NOERROR", "out.example. 120 IN CNAME www.example.com.", "www.example.com.", "93.184.216.119"), over)
    found = rig.dig("out.example", "A")
    check("aa" not in found.flags, found.text)


@test(FILE)
def an_exception_goes_on_to_the_next_source(rig):
    knot(rig)
    found = rig.dig("good.ads.example", "A")  # knotd does not serve it, so that nobody can answer
    check(found.status in ("REFUSED", "SERVFAIL"), found.text)


@test(FILE)
def a_dropped_question_is_counted_and_answered_by_nobody(rig):
    before, missed = rig.counter("drop-override"), rig.counter("miss")
    same(rig.raw(query_wire("gone.example"), timeout=0.2), None, "reply")
    wait_until(lambda: rig.counter("drop-override") == before + 1, "the drop is counted")
    same(rig.counter("miss"), missed, "misses")
    same(rig.raw(query_wire("gone.example"), over="tcp", timeout=0.3), None, "reply over TCP")


@test(FILE)
def a_no_says_why_to_those_who_can_hear(rig):
    for name, over in (("x.ads.example", "udp"), ("closed.example", "tcp")):
        reply = rig.ask(name, over=over, use_edns=0)
        same([(option.otype, option.code) for option in reply.options], [(dns.edns.EDE, 15)], f"{name} over {over}")


@test(FILE)
def commands_show_the_rules_and_which_of_them_a_question_meets(rig):
    rows = rig.ctl_json("override", "list", "*.example")
    check({"name": "*.ads.example", "ttl": 120, "type": "any", "answer": "nxdomain", "place": f"{rig.dir}/rules:3"} in rows, rows)
    same(rig.ctl_json("override", "test", "x.ads.example")["place"], f"{rig.dir}/rules:3")
    same(rig.ctl_json("override", "test", "good.ads.example")["result"], "an exception; the next source is asked")
    found = rig.ctl_json("override", "test", "Host3.Rack4.dc.example", "AAAA")
    same((found["result"], found["answer"]), ("records", "2001:db8:<B>::<A>"))
    same(rig.ctl_json("override", "test", "www.example.org")["result"], "no rule fits; the next source is asked")
    check("no RR type" in rig.ctl("override", "test", "x", "Q", check_it=False).stderr, "a bad type is not said")


@test(FILE)
def a_traced_question_names_the_rule_and_its_place(rig):
    for name, kind, rule, line in (("host3.rack4.dc.example", "AAAA", "host<A>.rack<B:1-9>.dc.example. AAAA 2001:db8:<B>::<A>", 10),
                                   ("good.ads.example", "A", "good.ads.example any pass", 4)):
        text = json.dumps(rig.ctl_json("query", name, kind, "trace"))
        check(f"rule '{rule}' at {rig.dir}/rules:{line}" in text, text)
    step = next(row for row in rig.ctl_json("chain", "show") if row["step"] == "overrides")
    same((step["state"], step["has"]), ("in use", "rules: 15"))


# Before: clients

@test(CLIENTS)
def behind_zones_the_rules_are_for_what_zones_do_not_hold(rig):
    knot(rig)
    for over in ("udp", "tcp"):
        same(summary(rig, "host.test.example", "A", over)[:2], ("NOERROR", ["host.test.example. 3600 IN A 198.18.9.80"]), over)
        same(summary(rig, "nope.test.example", "A", over)[0], "NXDOMAIN", over)
        for name, kind, *expected in ROWS:
            same(list(summary(rig, name, kind, over)), expected, f"{name} {kind} over {over}")


# While running

@test(FILE)
def rules_change_at_config_reload_and_an_error_keeps_those_of_before(rig):
    knot(rig)
    rules = rig.dir / "rules"
    rules.write_text(RULES + "new<N>.example. A 10.9.9.<N>\n")
    rig.ctl("config", "reload")
    same(rig.dig("new5.example", "A", "+short").lines, ["10.9.9.5"])
    rules.write_text("x.ads.example A 192.0.2.300\n*.ads.example A 192.0.2.1\nx<N> A 1.2.3.<M>\n")
    done = rig.ctl("config", "reload", check_it=False)
    check(done.returncode != 0, "bad rules were taken")
    said = done.stdout + done.stderr
    for line in (f'{rules}:1:17: error: A: expected an IPv4 address, found "192.0.2.300"', f"{rules}:3:8: error: A: there is no <M> in the name"):
        check(line in said, line, "not in", said)
    same(rig.dig("new5.example", "A", "+short").lines, ["10.9.9.5"])
    same(rig.dig("q.ads.example", "A").status, "NXDOMAIN")
    rules.unlink()
    check("cannot open" in rig.ctl("config", "check", check_it=False).stdout + rig.ctl("config", "check", check_it=False).stderr, "not said")
    check(rig.ctl("config", "reload", check_it=False).returncode != 0, "a missing file was taken")
    same(rig.dig("new5.example", "A", "+short").lines, ["10.9.9.5"])
    rules.write_text("only.example A 10.0.0.1\n")
    rig.ctl("config", "reload")
    same(rig.dig("only.example", "A", "+short").lines, ["10.0.0.1"])
    check(rig.dig("q.ads.example", "A").status != "NXDOMAIN", "an old rule answers")


@test(FILE)
def at_the_start_bad_lines_are_left_out_and_the_others_count(rig):
    rules = rig.dir / "rules"
    rules.write_text("bad<N> A 10.0.0.<M>\nstart.example A 10.0.0.2\n")
    old, = rig.kill("control")
    rig.wait_for_restart("control", old)
    rig.wait_for_control()
    same(rig.dig("start.example", "A", "+short").lines, ["10.0.0.2"])
    wait_until(lambda: "rules:1:10: A: there is no <M> in the name" in rig.log("control"), "the log names the bad line")
    rules.write_text("start.example A 10.0.0.3\n")
    rig.ctl("config", "reload")
    same(rig.dig("start.example", "A", "+short").lines, ["10.0.0.3"])


@test(FILE)
def without_overrides_in_the_chain_there_are_no_rules(rig):
    knot(rig)
    config = Path(f"/run/pollux-rig/{rig.name}/pollux.yaml")
    text = config.read_text()
    config.write_text(text + "chain: [authorities, forwarders]\n")
    (rig.dir / "rules").write_text("www.example.com A 10.0.0.1\n")
    rig.ctl("config", "reload")
    same(rig.dig("www.example.com", "A", "+short").lines, ["93.184.216.119"])
    config.write_text(text)
    rig.ctl("config", "reload")
    same(rig.dig("www.example.com", "A", "+short").lines, ["10.0.0.1"])


def many_rules(directory):
    with open(directory / "rules", "w") as file:
        for i in range(100000):
            file.write(f"*.block{i}.example nxdomain\n" if i % 2 else f"host{i}.example A 10.{i >> 16}.{i >> 8 & 255}.{i & 255}\n")


MANY = Spec(config=FORWARD + "overrides-file: {dir}/rules\n", prepare=many_rules)


@test(MANY)
def a_hundred_thousand_rules_are_there_at_once(rig):
    same(rig.dig("host99998.example", "A", "+short").lines, ["10.1.134.158"])
    same(rig.dig("x.block99999.example", "A").status, "NXDOMAIN")
    with open(rig.dir / "rules", "a") as file:
        file.write("last.example A 10.9.9.9\n")
    began = time.monotonic()
    reload = subprocess.Popen([program("polluxctl"), "--socket", f"/run/pollux-rig/{rig.name}/run/control.sock", "config", "reload"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    longest = 0
    while reload.poll() is None:  # the chain goes on meanwhile
        asked = time.monotonic()
        same(rig.ask("x.block99999.example", over="tcp").rcode(), dns.rcode.NXDOMAIN)
        longest = max(longest, time.monotonic() - asked)
    same(reload.returncode, 0, "status of the reload")
    comment(f"a reload of 100,000 rules took {time.monotonic() - began:.2f} s, and the slowest answer of control meanwhile {longest:.3f} s")
    same(rig.dig("last.example", "A", "+short").lines, ["10.9.9.9"])
    same(len(rig.ctl_json("override", "list", "*.block9999*.example")), 6)


if __name__ == "__main__":
    main()
