#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Names of hosts files, answered before anybody else is asked."""

from flow import *

HOSTS = "198.18.7.7 hostsname.example alias.example # c\nfd00:1::7%eth0 hostsname.example\njunk hostsname.example\n"
ZONE = 'zones: [{name: test.example, file: "{zones}/test.example.zone"}]\n'
ALONE = Spec(config='hosts: {file: "{dir}/hosts"}\n' + ZONE, files={"hosts": HOSTS})
FORWARD = "forward: {servers: [%s], timeout: 200ms, deadline: 1s}\n" % UPSTREAM
BEFORE_OTHERS = Spec(config='hosts: {file: ["{dir}/hosts", "{dir}/more/hosts"], ttl: 60}\n' + FORWARD, files={"hosts": HOSTS})


def addresses(rig, name, kind="A"):
    return rig.dig(name, kind, "+short").lines


@test(ALONE)
def a_hosts_file_answers_its_names_without_aa(rig):
    same(addresses(rig, "hostsname.example"), ["198.18.7.7"])
    same(addresses(rig, "HOSTSNAME.example", "AAAA"), ["fd00:1::7"])
    found = rig.dig("alias.example", "A")
    same((found.status, found.flags), ("NOERROR", {"qr", "rd", "ra"}))
    same(found.answer, ["alias.example. 3600 IN A 198.18.7.7"])
    same(rig.dig("Alias.Example", "A", "+tcp").answer, ["Alias.Example. 3600 IN A 198.18.7.7"])
    same(len(rig.dig("hostsname.example", "ANY").answer), 2)


@test(ALONE)
def an_address_of_the_file_has_a_name(rig):
    same(rig.dig("-x", "198.18.7.7").answer, ["7.7.18.198.in-addr.arpa. 3600 IN PTR hostsname.example."])
    same(rig.dig("-x", "fd00:1::7", "+short").lines, ["hostsname.example."])
    same(rig.dig("-x", "fd00:1::8").status, "REFUSED")
    for name in ("7.18.198.in-addr.arpa", "7.7.18.198.5.in-addr.arpa", "07.7.18.198.in-addr.arpa", "7.7.18.454.in-addr.arpa"):
        same(rig.dig(name, "PTR").status, "REFUSED", name)


@test(ALONE)
def another_type_of_such_a_name_is_no_error(rig):
    for name in ("hostsname.example", "7.7.18.198.in-addr.arpa"):
        found = rig.dig(name, "MX")
        same((found.status, found.answer, found.authority), ("NOERROR", [], []), name)
    same(rig.dig("alias.example", "AAAA").status, "NOERROR")
    same(rig.dig("other.example", "A").status, "REFUSED")


@test(ALONE)
def who_wants_no_recursion_hears_nothing_of_hosts_files(rig):
    for over in ("+notcp", "+tcp"):
        same(rig.dig("hostsname.example", "A", "+norec", over).status, "REFUSED", over)


@test(ALONE)
def a_bad_line_is_logged_with_its_place(rig):
    check(f"{rig.dir}/hosts:3:1: warning: 'junk' is not an address" in rig.log("control"), rig.log("control"))


@test(ALONE)
def an_edited_file_is_served_at_once(rig):
    hosts = rig.dir / "hosts"

    def edit(text):
        hosts.write_text(text)

    def replace(text):
        (rig.dir / "fresh").write_text(text)
        (rig.dir / "fresh").rename(hosts)

    for number, change in enumerate((edit, replace, edit), 1):
        change(f"198.18.8.{number} hostsname.example\n")
        wait_until(lambda: addresses(rig, "hostsname.example") == [f"198.18.8.{number}"], "the new address", 3, 0.05)
    same(rig.dig("alias.example", "A").status, "REFUSED")
    hosts.unlink()
    wait_until(lambda: rig.dig("hostsname.example", "A").status == "REFUSED", "the names are gone", 3, 0.05)
    hosts.write_text(HOSTS)
    wait_until(lambda: addresses(rig, "alias.example"), "the names are back", 3, 0.05)


@test(BEFORE_OTHERS)
def other_names_and_types_are_asked_of_the_forwarders(rig):
    def reply(query):
        response = dns.message.make_response(query, recursion_available=True)
        name = str(query.question[0].name).lower()
        if query.question[0].rdtype == dns.rdatatype.MX and name == "hostsname.example.":
            response.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "MX", "10 mx.example."))
        else:
            response.set_rcode(3)
            response.authority.append(dns.rrset.from_text("example.", 60, "IN", "SOA", "a. b. 1 2 3 4 60"))
        return response
    server = FakeServer(rig, answering(reply))
    same(rig.dig("hostsname.example", "A").answer, ["hostsname.example. 60 IN A 198.18.7.7"])
    same(len(server.queries), 0, "questions to the forwarder")
    same(rig.dig("hostsname.example", "MX", "+short").lines, ["10 mx.example."])
    same(rig.dig("other.example", "A").status, "NXDOMAIN")
    # The forwarder knows nothing of our name: the name is there all the same, however often one asks.
    for _ in range(3):
        found = rig.dig("alias.example", "MX")
        same((found.status, found.answer), ("NOERROR", []))
    same(addresses(rig, "alias.example"), ["198.18.7.7"])


@test(BEFORE_OTHERS)
def a_dead_forwarder_makes_no_error_of_a_name_that_is_there(rig):
    for helper in rig.helpers:
        helper.stop()
    found = rig.dig("hostsname.example", "TXT")
    same((found.status, found.answer), ("NOERROR", []))


@test(BEFORE_OTHERS)
def a_file_whose_directory_comes_later_is_read_then(rig):
    (rig.dir / "more").mkdir()
    (rig.dir / "more" / "hosts").write_text("198.18.7.9 later.example hostsname.example\n")
    wait_until(lambda: addresses(rig, "later.example") == ["198.18.7.9"], "the new file", 3, 0.05)
    same(sorted(addresses(rig, "hostsname.example")), ["198.18.7.7", "198.18.7.9"])


@test(BEFORE_OTHERS)
def a_reload_takes_other_files_and_another_ttl(rig):
    (rig.dir / "second").write_text("198.18.7.10 second.example\n")
    (rig.dir / "pollux.yaml").write_text(f"hosts: {{file: {rig.dir}/second, ttl: 5m}}\n")
    run(RIG, "config", "--name", rig.name, "--renew")
    rig.ctl("config", "reload")
    wait_until(lambda: rig.dig("second.example", "A").answer == ["second.example. 300 IN A 198.18.7.10"], "the new file", 3)
    check(not addresses(rig, "later.example"), "a name of the former files")


if __name__ == "__main__":
    main()
