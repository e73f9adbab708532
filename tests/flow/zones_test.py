#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Zone files on their way into the appliance: loading, reloading, broken files, thousands of them."""

from flow import *

HEAD = "$TTL 60\n@ IN SOA ns1 root {serial} 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 198.18.20.1\nwww IN A 198.18.20.{serial}\n"
RELOADED = Spec(files={"one.example.zone": HEAD.format(serial=1), "two.example.zone": HEAD.format(serial=1)}, config="""
zones:
  - {name: one.example, file: one.example.zone}
  - {name: two.example, file: two.example.zone}
""")
BROKEN = Spec(files={"good.example.zone": HEAD.format(serial=1), "bad.example.zone": HEAD.format(serial=1) + "x IN A 1.2.3.999\n",
                     "loop.example.zone": HEAD.format(serial=1) + "$INCLUDE loop.example.zone\n",
                     "zones.list": "bad.example\tbad.example.zone\nloop.example\tloop.example.zone\n"
                                   "gone.example\tgone.example.zone\ngood.example\tgood.example.zone\n"},
              zone_list=None, config="zone-list: zones.list\n")
LISTED = Spec(files={"first.example.zone": HEAD.format(serial=1), "second.example.zone": HEAD.format(serial=2),
                     "list": "# a comment\nfirst.example\tfirst.example.zone\n"}, config="zone-list: list\n")
SYNTAX = Spec(config='zones: [{name: syntax.example, file: "{zones}/syntax.example.zone"}]\n')
MANY = 20000


def make_many(directory):
    (directory / "many").mkdir()
    lines = []
    for i in range(MANY):
        broken = i == 6500
        (directory / "many" / f"z{i}.zone").write_text(HEAD.format(serial=i % 250 + 1) + ("broken IN A nonsense\n" if broken else ""))
        lines.append(f"z{i}.many.example\t{directory}/many/z{i}.zone\n")
    (directory / "list").write_text("".join(lines))


THOUSANDS = Spec(prepare=make_many, config="zone-list: list\n")


def make_directory(directory):
    (directory / "set").mkdir()
    (directory / "set" / "one.example.zone").write_text(HEAD.format(serial=1))
    (directory / "set" / "notes.txt").write_text("no zone")


GATHERED = Spec(prepare=make_directory, config="zone-directory: {path: set}\nimage-directory: images\n")


def address(rig, name, over="udp"):
    reply = rig.ask(name, over=over)
    return reply.answer[0][0].address if reply.answer else dns.rcode.to_text(reply.rcode())


def rewrite(rig, name, text):
    """As editors and transfer tools do: a new file under the old name."""
    fresh = rig.dir / f"{name}.new"
    fresh.write_text(text)
    fresh.rename(rig.dir / name)


def zone_rows(rig, *words):
    return {row["zone"].rstrip("."): row for row in rig.ctl_json("zone", "list", *words)}


@test(RELOADED)
def a_changed_file_is_served_after_zone_reload(rig):
    same(address(rig, "www.one.example"), "198.18.20.1")
    rewrite(rig, "one.example.zone", HEAD.format(serial=2))
    same(address(rig, "www.one.example"), "198.18.20.1", "before the reload")
    rig.ctl("zone", "reload", "one.example")
    for over in ("udp", "tcp"):
        same(address(rig, "www.one.example", over), "198.18.20.2", f"after the reload over {over}")
    same((zone_rows(rig)["one.example"]["serial"], zone_rows(rig)["two.example"]["serial"]), (2, 1))


@test(RELOADED)
def zone_reload_without_a_name_takes_every_changed_file(rig):
    for zone in ("one", "two"):
        rewrite(rig, f"{zone}.example.zone", HEAD.format(serial=3))
    rig.ctl("zone", "reload")
    for zone in ("one", "two"):
        same(address(rig, f"www.{zone}.example"), "198.18.20.3", zone)


@test(RELOADED)
def a_broken_file_keeps_the_old_zone_and_names_file_and_line(rig):
    rewrite(rig, "one.example.zone", HEAD.format(serial=4) + "good IN A 198.18.20.9\nbad IN A 1.2.3.999\nBAD LINE HERE\n")
    before = address(rig, "www.one.example")
    done = rig.ctl("zone", "reload", "one.example", check_it=False)
    same(done.returncode, 1, "exit status")
    for line in (7, 8):
        check(f"one.example.zone:{line}:" in done.stdout + done.stderr, done.stdout + done.stderr)
    same((address(rig, "www.one.example"), address(rig, "good.one.example")), (before, "NXDOMAIN"))
    done = rig.ctl("zone", "status", "one.example")
    check("one.example.zone:7:" in done.stdout, done.stdout)
    same(zone_rows(rig, "failed").keys(), {"one.example"})
    rewrite(rig, "one.example.zone", HEAD.format(serial=5))
    rig.ctl("zone", "reload", "one.example")
    same((address(rig, "www.one.example"), zone_rows(rig)["one.example"]["state"]), ("198.18.20.5", "loaded"))


@test(RELOADED)
def a_file_that_is_gone_keeps_the_old_zone(rig):
    (rig.dir / "two.example.zone").rename(rig.dir / "two.away")
    before = address(rig, "www.two.example")
    same(rig.ctl("zone", "reload", "two.example", check_it=False).returncode, 1)
    same(address(rig, "www.two.example"), before)
    (rig.dir / "two.away").rename(rig.dir / "two.example.zone")
    rig.ctl("zone", "reload", "two.example")


@test(RELOADED)
def reloading_an_unknown_zone_is_an_error(rig):
    done = rig.ctl("zone", "reload", "nobody.example", check_it=False)
    same(done.returncode, 1)
    check("nobody.example" in done.stderr, done.stderr)


@test(RELOADED)
def reloading_under_load_loses_nothing(rig):
    queries = rig.dir / "queries.txt"
    queries.write_text("www.one.example A\nwww.two.example A\nnope.one.example A\n")
    load = subprocess.Popen(["dnsperf", "-s", SERVICE_4, "-d", queries, "-l", "8", "-Q", "4000", "-c", "4", "-t", "3"],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    reloads = 0
    while load.poll() is None:
        reloads += 1
        serial = 10 + reloads % 200
        for zone in ("one", "two"):
            rewrite(rig, f"{zone}.example.zone", HEAD.format(serial=serial))
        rig.ctl("zone", "reload")
        same(address(rig, "www.one.example"), f"198.18.20.{serial}")
        time.sleep(0.1)
    text = load.communicate()[0]
    same(re.search(r"Queries lost:\s+(\d+)", text)[1], "0", text)
    check("SERVFAIL" not in text and "REFUSED" not in text, text)
    check(reloads > 15, f"only {reloads} reloads")
    comment(f"{reloads} reloads of two zones")


@test(RELOADED)
def many_reloads_do_not_make_the_shared_memory_grow_for_ever(rig):
    def megabytes():
        done = run("du", "-sm", *rig.region_directories())
        return sum(int(line.split()[0]) for line in done.stdout.splitlines())
    text = HEAD.format(serial=1) + "".join(f"h{i} IN A 198.18.21.{i % 250}\n" for i in range(20000))
    sizes = []
    for i in range(12):
        rewrite(rig, "two.example.zone", text + f"n{i} IN A 198.18.21.1\n")
        rig.ctl("zone", "reload", "two.example")
        sizes.append(megabytes())
    check(sizes[-1] <= sizes[3] + 2, f"sizes in MiB: {sizes}")


@test(BROKEN)
def one_broken_zone_stops_no_other(rig):
    same(address(rig, "www.good.example"), "198.18.20.1")
    rows = zone_rows(rig)
    same({name: row["state"] for name, row in rows.items()},
         {"good.example": "loaded", "bad.example": "failed", "loop.example": "failed", "gone.example": "failed"})
    check("bad.example.zone:6:" in rig.ctl("zone", "status", "bad.example").stdout, "no file:line in zone status")
    check("loop.example.zone:6:" in rig.ctl("zone", "status", "loop.example").stdout, "no file:line for the loop")
    check("bad.example.zone:6:" in rig.log("control"), "no file:line in the log")


@test(BROKEN)
def names_of_a_zone_that_could_not_be_loaded_are_not_ready_until_it_is(rig):
    for name in ("bad.example", "www.bad.example", "x.y.gone.example"):
        for over in ("udp", "tcp"):
            reply = rig.ask(name, over=over, use_edns=0)
            same((dns.rcode.to_text(reply.rcode()), bool(reply.flags & dns.flags.AA), not reply.answer and not reply.authority),
                 ("SERVFAIL", False, True), f"{name} over {over}")
            same([option.to_wire() for option in reply.options if option.otype == 15], [b"\0\x0e"], "EDE 14 (Not Ready)")
    same(rig.ctl_json("status")["zones"]["served"], 1)
    rewrite(rig, "gone.example.zone", HEAD.format(serial=7))
    rig.ctl("zone", "reload", "gone.example")
    same((address(rig, "www.gone.example"), address(rig, "x.y.gone.example")), ("198.18.20.7", "NXDOMAIN"))
    rewrite(rig, "zones.list", "good.example\tgood.example.zone\ngone.example\tgone.example.zone\n")
    rig.ctl("zone", "reload")
    same(address(rig, "www.bad.example"), "REFUSED", "no longer ours")
    rewrite(rig, "zones.list", BROKEN.files["zones.list"])
    (rig.dir / "gone.example.zone").unlink()
    rig.ctl("zone", "reload", check_it=False)


@test(LISTED)
def zones_come_and_go_with_the_zone_list(rig):
    same((address(rig, "www.first.example"), address(rig, "www.second.example")), ("198.18.20.1", "REFUSED"))
    rewrite(rig, "list", "first.example\tfirst.example.zone\nsecond.example\tsecond.example.zone\n")
    rig.ctl("zone", "reload")
    same((address(rig, "www.first.example"), address(rig, "www.second.example")), ("198.18.20.1", "198.18.20.2"))
    rewrite(rig, "list", "second.example\tsecond.example.zone\n")
    rig.ctl("zone", "reload")
    same((address(rig, "www.first.example"), address(rig, "www.second.example")), ("REFUSED", "198.18.20.2"))


@test(LISTED)
def a_bad_line_of_the_zone_list_is_named_and_loses_no_zone(rig):
    rewrite(rig, "list", "second.example\tsecond.example.zone\nnonsense\nfirst.example\tfirst.example.zone\n")
    done = rig.ctl("zone", "reload", check_it=False)
    same(done.returncode, 1)
    check("list:2:" in done.stdout + done.stderr, done.stdout + done.stderr)
    same((address(rig, "www.first.example"), address(rig, "www.second.example")), ("198.18.20.1", "198.18.20.2"))


@test(SYNTAX)
def every_form_of_the_master_file_is_read_as_meant(rig):
    expected = {
        ("ttl-first", "A"): ["60 198.18.30.1"], ("class-first", "A"): ["60 198.18.30.2"], ("no-class", "A"): ["604800 198.18.30.3"],
        ("units", "A"): ["5400 198.18.30.4"], ("lower", "A"): ["604800 198.18.30.5"],
        ("same", "A"): ["604800 198.18.30.6", "604800 198.18.30.7"], ("same", "AAAA"): ["604800 2001:db8:30::1"],
        ("12", "PTR"): ["604800 h.syntax.example."], ("texts", "TXT"): ['604800 "hello world" "a;b" "plain"'],
        ("a\\.b", "A"): ["604800 198.18.30.8"], ("A65", "A"): ["604800 198.18.30.9"],
        ("paren", "MX"): ["604800 10 mail.syntax.example."], ("www.below", "A"): ["604800 198.18.30.10"],
        ("unknown", "TYPE65534"): ["604800 \\# 2 0102"], ("included", "A"): ["604800 198.18.30.11"],
        ("host.other", "A"): ["604800 198.18.30.12"],
        ("gen2", "A"): ["604800 198.18.30.102"],
        ("_443._tcp", "TLSA"): ["604800 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
        ("svc", "HTTPS"): ['604800 1 . alpn="h2,h3" port="8443"'],
        ("caa", "CAA"): ['604800 0 issue "ca.example"'], ("naptr", "NAPTR"): ['604800 1 2 "u" "s" "!a!b!" .'],
        ("sshfp", "SSHFP"): ["604800 1 1 aabb"],
    }
    wrong = []
    for (name, kind), rdata in expected.items():
        try:
            reply = rig.ask(f"{name}.syntax.example", kind, over="tcp")
            found = sorted(f"{rrset.ttl} {one}" for rrset in reply.answer for one in rrset)
        except dns.exception.DNSException as error:
            found = [str(error)]
        if found != sorted(rdata):
            wrong.append(f"{name} {kind}: {found}, expected {rdata}")
    check(not wrong, "\n".join(wrong))


@test(THOUSANDS, time_s=240)
def twenty_thousand_zones_are_served_and_one_broken_among_them_stops_none(rig):
    status = wait_until(lambda: (rows := rig.ctl_json("zone", "list")) and
                        not [row for row in rows if row["state"] == "loading"] and rows, "all zones are read", 120, 0.2)
    states = {}
    for row in status:
        states[row["state"]] = states.get(row["state"], 0) + 1
    same(states, {"loaded": MANY - 1, "failed": 1})
    failed = rig.ctl_json("zone", "list", "failed")
    same(failed[0]["zone"].rstrip("."), "z6500.many.example")
    wrong = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((SERVICE_4, 53))
        sock.settimeout(2)
        for i in range(MANY):
            if i == 6500:
                continue
            sock.send(query_wire(f"www.z{i}.many.example", ident=i))
            reply = sock.recv(2000)
            if reply[:2] != struct.pack("!H", i) or reply[3] & 15 or bytes([198, 18, 20, i % 250 + 1]) not in reply:
                wrong.append((i, reply[:12].hex()))
    check(not wrong, f"{len(wrong)} zones do not answer, such as {wrong[:5]}")


@test(THOUSANDS, time_s=240)
def one_of_twenty_thousand_zones_is_reloaded_within_100_ms_of_the_command(rig):
    took = []
    for serial in range(90, 100):
        rewrite(rig, "many/z7.zone", HEAD.format(serial=serial))
        began = time.monotonic()
        rig.ctl("zone", "reload", "z7.many.example")
        same(address(rig, "www.z7.many.example"), f"198.18.20.{serial}")
        took.append(time.monotonic() - began)
    comment(f"command and answer within {min(took) * 1000:.1f} ms, median {sorted(took)[5] * 1000:.1f} ms")
    check(min(took) < 0.1, f"took {took}")


@test(THOUSANDS, time_s=240)
def a_list_of_zones_can_be_narrowed_down_by_name(rig):
    same(zone_rows(rig, "z1234?.many.example").keys(), {f"z1234{i}.many.example" for i in range(10)})
    same(zone_rows(rig, "Z77.many.example").keys(), {"z77.many.example"})
    same(zone_rows(rig, "failed", "z65*").keys(), {"z6500.many.example"})


# Zones that come and go while running

@test(GATHERED)
def the_files_of_the_zone_directory_are_zones(rig):
    same(address(rig, "www.one.example"), "198.18.20.1")
    rewrite(rig, "set/two.example.zone", HEAD.format(serial=2))
    rig.ctl("zone", "reload")
    same(address(rig, "www.two.example"), "198.18.20.2")
    (rig.dir / "set" / "two.example.zone").unlink()
    rig.ctl("config", "reload")
    same(address(rig, "www.two.example"), "REFUSED")
    rewrite(rig, "set/bad..name.zone", HEAD.format(serial=2))
    done = rig.ctl("zone", "reload", check_it=False)
    same(done.returncode, 1)
    check("bad..name" in done.stderr, done.stderr)
    (rig.dir / "set" / "bad..name.zone").unlink()
    same(address(rig, "www.one.example"), "198.18.20.1")


def restart_control(rig):
    pid = rig.pid("control")
    rig.kill("control")
    rig.wait_for_restart("control", pid)
    rig.wait_for_control()
    wait_until(lambda: rig.ctl_json("status")["zones"]["complete"], "all zones are read")


@test(GATHERED)
def a_zone_added_while_running_is_served_after_restarts_until_it_is_removed(rig):
    rewrite(rig, "more.example.zone", HEAD.format(serial=7))
    same(address(rig, "www.more.example"), "REFUSED")
    rig.ctl("zone", "add", "more.example", f"{rig.dir}/more.example.zone")
    for over in ("udp", "tcp"):
        same(address(rig, "www.more.example", over), "198.18.20.7", over)
    rig.ctl("zone", "reload")
    same(address(rig, "www.more.example"), "198.18.20.7", "after a reload of all zones")
    same(rig.ctl("zone", "add", "more.example", "/nowhere", check_it=False).returncode, 1, "adding it twice")
    restart_control(rig)
    same(rig.ctl_json("zone", "status", "more.example")["added"], True)
    same(address(rig, "www.more.example"), "198.18.20.7", "after a restart of control")
    rig.ctl("zone", "remove", "more.example")
    same(address(rig, "www.more.example"), "REFUSED")
    restart_control(rig)
    same(address(rig, "www.more.example"), "REFUSED", "after a restart")


@test(GATHERED)
def a_broken_file_adds_nothing(rig):
    rewrite(rig, "broken.example.zone", HEAD.format(serial=7) + "x IN A 1.2.3.999\n")
    done = rig.ctl("zone", "add", "broken.example", f"{rig.dir}/broken.example.zone", check_it=False)
    same(done.returncode, 1)
    check("broken.example.zone:6:" in done.stderr, done.stderr)
    same(rig.ctl("zone", "status", "broken.example", check_it=False).returncode, 1)


@test(GATHERED)
def a_zone_of_the_configuration_is_not_removed_by_command(rig):
    done = rig.ctl("zone", "remove", "one.example", check_it=False)
    same(done.returncode, 1)
    check("take it out there" in done.stderr, done.stderr)
    same(address(rig, "www.one.example"), "198.18.20.1")


@test(GATHERED)
def a_large_zone_comes_back_from_its_saved_image_when_the_memory_is_gone(rig):
    text = HEAD.format(serial=1) + "".join(f"h{i} IN A 198.18.21.{i % 250}\n" for i in range(40000))
    rewrite(rig, "set/large.example.zone", text)
    rig.ctl("zone", "reload")
    saved = rig.dir / "images" / "large.example.image"
    wait_until(saved.exists, "the image is saved")
    def lose_memory():
        for place in rig.region_directories():
            (place / "zones").unlink(missing_ok=True)
        restart_control(rig)
        wait_until(lambda: address(rig, "h39999.large.example") == "198.18.21.249", "the dataplane has the new region")
    lose_memory()
    same(rig.ctl_json("zone", "status", "large.example")["adopted"], True, "taken from its image")
    check("from its saved image" in rig.log("control"), "no line in the log")
    same(address(rig, "www.one.example"), "198.18.20.1", "a small zone beside it")
    with saved.open("r+b") as image:
        image.seek(saved.stat().st_size // 2)
        image.write(b"\xff" * 4096)
    lose_memory()
    same(rig.ctl_json("zone", "status", "large.example")["adopted"], False, "read again")
    check("its saved image is not used: it is damaged" in rig.log("control"), "no line in the log")


# The tools for zone files and configurations

@test()
def checkzone_accepts_a_good_zone():
    done = run(program("pollux-checkzone"), "test.example", ZONES / "test.example.zone")
    same(done.returncode, 0)
    done = run(program("pollux-checkzone"), "example-domain.com", ROOT / "zones/samples/example-domain.com.zone")
    check("warning" in done.stdout + done.stderr, "no warning about the name server without address")


@test()
def checkzone_names_every_error_with_file_and_line():
    bad = {"a wrong address": "x IN A 1.2.3.999", "an unknown type": "x IN FOO bar", "a type without data": "x IN MX",
           "a record outside of any class": "x IN CH A 1.2.3.4", "a second SOA": "@ IN SOA a b 1 2 3 4 5",
           "a short SOA": "@ IN SOA a b 1 2 3 4", "a label of 64 octets": "a" * 64 + " IN A 198.18.1.1",
           "CNAME beside other data": "www IN CNAME ns1", "an unfinished quote": 'x IN TXT "open',
           "an unfinished parenthesis": "x IN MX ( 10 mail", "a broken directive": "$TTL nonsense"}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "bad.zone")
        for what, line in bad.items():
            path.write_text(HEAD.format(serial=1) + line + "\n")
            done = run(program("pollux-checkzone"), "bad.example", path, check_it=False)
            same(done.returncode, 1, f"exit status for {what}: {done.stdout}{done.stderr}")
            check(re.search(rf"{re.escape(str(path))}:[567]:", done.stdout + done.stderr), f"{what}: {done.stdout}{done.stderr}")
        path.write_text(HEAD.format(serial=1) + "x IN A 1.2.3.999\ngood IN A 198.18.1.1\ny IN A nonsense\n")
        done = run(program("pollux-checkzone"), "bad.example", path, check_it=False)
        for line in (6, 8):
            check(f"{path}:{line}:" in done.stdout + done.stderr, f"both errors in one pass: {done.stdout}{done.stderr}")


@test()
def checkzone_refuses_a_missing_file_and_wrong_words():
    same(run(program("pollux-checkzone"), "x.example", "/nonexistent/zone", check_it=False).returncode, 1)
    same(run(program("pollux-checkzone"), "x.example", check_it=False).returncode, 2)


@test()
def checkconf_names_every_error_with_line_and_column():
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "bad.yaml")
        path.write_text("name: rig\nnonsense: 1\ndataplane: {mbufs: many}\nports:\n  - {device: x, addresses: [198.18.0.300/24]}\n")
        done = run(program("pollux-checkconf"), path, check_it=False)
        same(done.returncode, 1)
        for line in (2, 3, 5):
            check(re.search(rf"{re.escape(str(path))}:{line}:\d+:", done.stdout + done.stderr), done.stdout + done.stderr)
        good = run(program("pollux-checkconf"), ROOT / "config/samples/quickstart.conf")
        same(good.returncode, 0)


if __name__ == "__main__":
    main()
