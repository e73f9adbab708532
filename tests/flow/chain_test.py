#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The chain as polluxctl shows it: its order, and what each step says to a question."""

from flow import *

SO = BUILD / "tests" / "plugins"
HOSTS = "# hosts\n198.18.7.7 hostsname.example alias.example\n"
OWN = """$TTL 300
@ SOA ns.own.example. host.own.example. 7 3600 600 86400 60
@ NS ns
ns A 198.18.5.1
www A 198.18.5.2
$INCLUDE {dir}/more.zone
away CNAME www.example.com.
*.wild TXT "any"
"""
MORE = "more A 198.18.5.3\n"
CONFIG = f"""zones: [{{name: own.example, file: "{{dir}}/own.zone"}}]
hosts: {{file: "{{dir}}/hosts"}}
plugins: [{{name: hello, file: {SO}/hello.so}}]
overrides: [{{name: "workstation<N>.example.com", type: A, answer: "172.0.2.<N>", ttl: 0}}]
forward: {{servers: [{UPSTREAM}], timeout: 200ms, deadline: 1s}}
"""


def lay_out(directory):
    (directory / "own.zone").write_text(OWN.replace("{dir}", str(directory)))
    (directory / "more.zone").write_text(MORE)


CHAIN = Spec(config=CONFIG, files={"hosts": HOSTS}, prepare=lay_out)
SHORT = Spec(config=CONFIG + "chain: [authorities, plugins, hosts]\naccess: {recursion: [198.18.0.0/24]}\n", files={"hosts": HOSTS},
             prepare=lay_out)


def query(rig, *words):
    return rig.ctl_json("query", *words)


def steps(rig, *words):
    """step -> (outcome, found) in order."""
    return {row["step"]: (row["outcome"], row["found"]) for row in query(rig, *words, "--trace")["steps"]}


@test(CHAIN)
def chain_show_lists_the_steps_in_order(rig):
    rows = rig.ctl_json("chain", "show")
    names = [row["step"] for row in rows]
    same([name for name in names if name in ("authorities", "cache", "hosts", "plugins", "forwarders", "recursion")],
         ["authorities", "cache", "hosts", "plugins", "forwarders", "recursion"])
    same(names[0], "overrides")
    facts = {row["step"]: row for row in rows}
    same(facts["hosts"]["state"], "in use")
    same(facts["hosts"]["has"], "names: 2, addresses: 1, files: 1")
    same(facts["recursion"]["state"], "nothing configured")
    check("authorities" in rig.ctl("chain", "show").stdout, "no text")


@test(CHAIN)
def a_query_shows_the_reply_in_sections(rig):
    found = query(rig, "www.own.example")
    same((found["question"], found["status"], found["flags"]), ("www.own.example. IN A", "NOERROR", "qr aa rd ra"))
    same(found["answer"], ["www.own.example. 300 IN A 198.18.5.2"])
    check("steps" not in found and "sources" not in found, found)
    text = rig.ctl("query", "www.own.example", "A").stdout
    check(re.search(r"^answer:\n  www\.own\.example\. 300 IN A 198\.18\.5\.2$", text, re.M), text)
    found = query(rig, "nope.own.example")
    same((found["status"], found["answer"]), ("NXDOMAIN", []))
    same(found["authority"], ["own.example. 60 IN SOA ns.own.example. host.own.example. 7 3600 600 86400 60"])


@test(CHAIN)
def a_trace_names_the_line_of_the_zone_file(rig):
    for name, kind, file, line in (("www.own.example", "A", "own.zone", 5), ("WWW.own.example", "A", "own.zone", 5),
                                   ("more.own.example", "A", "more.zone", 1), ("x.wild.own.example", "TXT", "own.zone", 8)):
        found = query(rig, name, kind, "trace")
        same(found["sources"][0]["at"], f"{rig.dir}/{file}:{line}", name)
        step = found["steps"][-1]
        same((step["step"], step["outcome"]), ("authorities", "answer"))
        check(f"zone own.example. serial 7 from {rig.dir}/own.zone" in step["found"], step)
        check(0 < step["ms"] < 1000 and found["ms"] >= step["ms"], found["ms"], step["ms"])
    same(query(rig, "nope.own.example", "--trace")["sources"], [{"record": "own.example. SOA", "at": f"{rig.dir}/own.zone:2"}])


@test(CHAIN)
def each_step_says_what_it_found(rig):
    upstream = Knot(rig, {"example.com": ZONES / "example.com.zone"})
    found = steps(rig, "hostsname.example")
    same(list(found)[-1], "hosts")
    same(found["authorities"][0], "pass")
    same(found["hosts"], ("answer", f"{rig.dir}/hosts:2"))
    found = steps(rig, "hello.example")
    same((found["hosts"][0], found["plugins"]), ("pass", ("answer", "hello: 1 records")))
    found = steps(rig, "WorkStation7.example.com")
    same((list(found), found["overrides"][0]), (["overrides"], "answer"))
    check("workstation<N>.example.com" in found["overrides"][1] and "pollux.yaml:" in found["overrides"][1], found)
    same(query(rig, "workstation7.example.com")["answer"], ["workstation7.example.com. 0 IN A 172.0.2.7"])
    for name in ("workstation.example.com", "workstation300.example.com", "workstation1x.example.com"):
        reply = query(rig, name, "trace")
        same((reply["status"], reply["steps"][0]["outcome"]), ("NXDOMAIN", "pass"), name)
    found = steps(rig, "www.example.com")
    same(found["forwarders"][0], "answer")
    check(UPSTREAM in found["forwarders"][1], found)
    # The next time it is in the cache, with the TTL left.
    found = steps(rig, "www.example.com")
    same((list(found)[-1], found["cache"][0]), ("cache", "answer"))
    check(re.search(r"TTL left \d+ s", found["cache"][1]), found)
    # An alias of ours leads there, too.
    reply = query(rig, "away.own.example", "trace")
    same(reply["answer"][0], "away.own.example. 300 IN CNAME www.example.com.")
    same(len(reply["answer"]), 2)
    same(reply["sources"], [{"record": "away.own.example. CNAME", "at": f"{rig.dir}/own.zone:7"}])
    # A name that nobody has, of which hosts know another type.
    found = steps(rig, "alias.example", "MX")
    same((found["hosts"], list(found)[-1]), (("pass", "the name is there, not this type"), "end"))
    upstream.stop()
    FakeServer(rig, lambda wire: None)
    reply = query(rig, "silent.example.com", "--trace")
    same((reply["status"], reply["extended_error"]), ("SERVFAIL", "22 (No Reachable Authority)"))
    same(reply["steps"][-1]["outcome"], "error")
    check(reply["ms"] > 900, reply["ms"])


@test(CHAIN)
def options_are_those_of_a_client(rig):
    same(query(rig, "hostsname.example", "--no-recursion")["status"], "REFUSED")
    same(query(rig, "www.own.example", "AAAA", "--tcp", "--dnssec")["status"], "NOERROR")
    check("cd" in query(rig, "www.own.example", "no-checking")["flags"], "no CD")
    for words in ((), ("a..b",), ("www.own.example", "--bogus"), ("www.own.example", "NOTYPE"),
                  ("www.own.example", "client"), ("www.own.example", "client", "198.18.0"), ("www.own.example", "A", "MX")):
        done = rig.ctl("query", *words, check_it=False)
        same(done.returncode, 2, words)
        check("query NAME [TYPE]" in done.stderr, done.stderr)


@test(SHORT)
def the_order_of_the_configuration_is_the_order_of_the_chain(rig):
    rows = [(row["place"], row["step"], row["state"]) for row in rig.ctl_json("chain", "show")]
    same(rows[:3], [(1, "authorities", "in use"), (2, "plugins", "in use"), (3, "hosts", "in use")])
    check((None, "forwarders", "left out") in rows and (None, "cache", "left out") in rows, rows)
    same([*steps(rig, "hostsname.example")], ["authorities", "plugins", "hosts"])


@test(SHORT)
def a_client_is_treated_as_its_address_is(rig):
    same(query(rig, "hostsname.example", "--client", "198.18.0.1")["status"], "NOERROR")
    found = query(rig, "hostsname.example", "--client", "198.19.0.1", "--trace")
    same((found["status"], found["flags"], found["extended_error"]), ("REFUSED", "qr rd", "18 (Prohibited)"))
    same(query(rig, "hostsname.example", "--client", "2001:db8::1")["status"], "REFUSED")
    same(query(rig, "hostsname.example")["status"], "NOERROR")  # ourselves


if __name__ == "__main__":
    main()
