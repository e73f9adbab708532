#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""polluxctl and the rig, as people and scripts use them."""

import threading

from flow import *

SERVED = Spec(config=f"""
zones:
  - {{name: example-domain.com, file: {ROOT}/zones/samples/example-domain.com.zone}}
  - {{name: test.example, file: "{{zones}}/test.example.zone"}}
""")
RELOADED = Spec(files={"a.example.zone": "@ 60 IN SOA ns1 root 1 1 1 1 60\n@ 60 IN NS ns1\nns1 60 IN A 198.18.1.1\n"},
                config="zones: [{name: a.example, file: a.example.zone}]\nanswers: {udp-size: 1232}\n")
COMMANDS = ["status", "stats", "zone list", "zone status test.example", "zone reload", "zone reload test.example",
            "config check", "config show", "log level", "connections", "help"]


# polluxctl

@test(SERVED)
def every_command_gives_a_text_and_as_json_an_object_or_a_list(rig):
    for command in COMMANDS:
        done = rig.ctl(*command.split())
        check(done.stdout.strip() and not done.stderr, f"{command}: {done.stdout}{done.stderr}")
        data = json.loads(rig.ctl("--json", *command.split()).stdout)
        check(isinstance(data, (dict, list)), f"{command}: {data}")


@test(SERVED)
def status_names_both_processes_and_counts_the_zones(rig):
    status = rig.ctl_json("status")
    same((status["pid"], status["dataplane"]["pid"], status["dataplane"]["alive"]),
         (rig.pid_now("control"), rig.pid_now("dataplane"), True))
    same((status["zones"]["configured"], status["zones"]["loaded"], status["zones"]["failed"]), (2, 2, 0))


@test(SERVED)
def stats_count_each_answer_by_its_kind(rig):
    before = rig.workers()
    for _ in range(5):
        rig.ask("example-domain.com", use_edns=0, want_dnssec=True)
        rig.ask("nope.example-domain.com", to=SERVICE_6)
        rig.ask("other.example")
    names = {"query-ip4": 10, "query-ip6": 5, "query-edns": 5, "query-do": 5, "rcode-noerror": 5, "rcode-nxdomain": 5,
             "rcode-refused": 5, "answer-dns": 15}
    after = rig.workers()
    same({name: sum(w[name] for w in after) - sum(w[name] for w in before) for name in names}, names)
    text = rig.ctl("stats").stdout
    for name in counter_classes()["DROPPED"]:
        check(name in text, f"{name} is not in the table")


@test(SERVED)
def latency_histogram_counts_every_answer(rig):
    rig.ask("example-domain.com")
    stats = rig.ctl_json("stats")
    text = json.dumps(stats)
    check("latency" in text, "no latency in stats")


@test(SERVED)
def exit_codes_tell_refused_from_misused_from_absent(rig):
    for words, code in ((("zone", "status", "nobody.example"), 1), (("zone", "status"), 2), (("nonsense",), 2),
                        (("zone", "status", "a", "b"), 2), (("log", "level", "loud"), 2)):
        done = rig.ctl(*words, check_it=False)
        same(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        check(done.stderr.strip(), f"{words}: no words on stderr")
    done = run(CTL, "--socket", "/nonexistent/control.sock", "status", check_it=False)
    same(done.returncode, 3)
    same(run(CTL, "--nonsense", check_it=False).returncode, 2)


@test(SERVED)
def log_level_is_switched_while_running(rig):
    same(rig.ctl_json("log", "level")["level"], "info")
    rig.ctl("log", "level", "debug")
    same(rig.ctl_json("log", "level")["level"], "debug")
    rig.ctl("log", "level", "info")
    check("log level debug" in rig.log("control"), "the command is not in the log")


@test(SERVED)
def connections_lists_the_tcp_clients_that_are_there(rig):
    socks = [socket.create_connection((SERVICE_4, 53), 3) for _ in range(3)]
    for sock in socks:
        sock.sendall(struct.pack("!H", len(query_wire("example-domain.com"))) + query_wire("example-domain.com"))
        read_message(sock)
    rows = rig.ctl_json("connections")
    same(len(rows), 3, rows)
    check("198.18.0.1" in json.dumps(rows), rows)
    for sock in socks:
        sock.close()
    wait_until(lambda: rig.ctl_json("connections") == [], "no connections", 5, 0.05)


@test(SERVED)
def rubbish_on_the_control_socket_hurts_nobody(rig):
    path = f"/run/pollux-rig/{rig.name}/run/control.sock"
    for rubbish in (b"\n", b"{}\n", b"[1,2\n", b"\xff\xfe\0\n", b'{"command":7}\n', b'{"v":9,"command":"status"}\n',
                    b'{"command":"status","args":[1]}\n', b"x" * 200000):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(path)
            try:
                sock.sendall(rubbish)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except (BrokenPipeError, ConnectionResetError):
                pass
    same(rig.ctl("status").returncode, 0)


@test(SERVED)
def the_control_socket_is_for_its_owner_and_group_only(rig):
    same(os.stat(f"/run/pollux-rig/{rig.name}/run/control.sock").st_mode & 0o777, 0o660)


@test(SERVED)
def twenty_clients_of_the_control_socket_are_served_at_once(rig):
    results = []
    threads = [threading.Thread(target=lambda: results.append(rig.ctl("stats", "--json").returncode)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(results, [0] * 20)


@test(RELOADED)
def config_reload_takes_over_what_can_change_and_names_what_needs_a_restart(rig):
    user = rig.dir / "pollux.yaml"
    (rig.dir / "b.example.zone").write_text((rig.dir / "a.example.zone").read_text())
    user.write_text("zones: [{name: a.example, file: a.example.zone}, {name: b.example, file: b.example.zone}]\n"
                    "answers: {udp-size: 512}\ndataplane: {mbufs: 8192}\n")
    run(RIG, "config", "--name", rig.name, "--renew")
    done = rig.ctl("config", "reload")
    check("dataplane.mbufs" in done.stdout, done.stdout)
    same(rig.ask("b.example", "SOA").rcode(), 0)
    same(rig.ask("a.example", "SOA", use_edns=0, payload=1232).rcode(), 0)


@test(RELOADED)
def a_broken_configuration_is_refused_with_its_place_and_the_old_one_goes_on(rig):
    written = Path(f"/run/pollux-rig/{rig.name}/pollux.yaml")
    good = written.read_text()
    written.write_text(good + "nonsense: 1\n")
    for command in (("config", "check"), ("config", "reload")):
        done = rig.ctl(*command, check_it=False)
        same(done.returncode, 1, command)
        check(re.search(r"pollux\.yaml:\d+:\d+: ", done.stdout + done.stderr), done.stdout + done.stderr)
    same(rig.ask("a.example", "SOA").rcode(), 0)
    written.write_text(good)


@test(RELOADED)
def stop_ends_control_cleanly_and_the_dataplane_goes_on(rig):
    rig.ctl("stop")
    wait_until(lambda: rig.pid_now("control") is None, "control has ended", 5)
    check("exit status 0" in rig.log("control"), rig.log("control"))
    same(rig.ask("a.example", "SOA").rcode(), 0)
    run(RIG, "start", "--name", rig.name, "control")
    rig.wait_for_control()


# tools/rig

def traces(name):
    """Whatever of a rig could be left on this machine."""
    found = [str(path) for pattern in (f"/run/netns/pollux-{name}*", f"/run/pollux-rig/{name}", f"/dev/shm/pollux-{name}",
                                       f"/dev/hugepages/pollux-{name}", f"/run/pollux-{name}", f"/var/run/dpdk/pollux-{name}*")
             for path in Path("/").glob(pattern[1:])]
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            words = (directory / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"/pollux-rig/{name}/" in words or f"supervise\0{name}\0" in words:
            found.append(words.replace("\0", " "))
    return found


def rig_name(suffix):
    return f"t{os.getpid()}-{suffix}"


@test()
def down_leaves_no_trace():
    name = rig_name("trace")
    run(RIG, "up", "--name", name)
    check(len(traces(name)) >= 6, traces(name))
    subprocess.Popen(["ip", "netns", "exec", f"pollux-{name}", "sleep", "600"])  # a client somebody forgot
    run(RIG, "down", "--name", name)
    same(traces(name), [])
    same(run(RIG, "down", "--name", name).returncode, 0, "a second down")


@test()
def a_failing_up_says_why_with_the_last_lines_and_leaves_no_trace():
    name = rig_name("fail")
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "bad.yaml")
        config.write_text("zones: [{name: gone.example, file: /nonexistent/zone}]\n")
        done = run(RIG, "up", "--name", name, "--config", config, "--timeout", "2", check_it=False)
        same(done.returncode, 1)
        check("/nonexistent/zone" in done.stderr and "last lines of control" in done.stderr, done.stderr)
        same(traces(name), [])
        config.write_text("nonsense: 1\n")
        done = run(RIG, "up", "--name", name, "--config", config, check_it=False)
        check(done.returncode == 1 and re.search(r"bad\.yaml:1:\d+:", done.stderr), done.stderr)
        done = run(RIG, "up", "--name", name, "--zone-list", "/nonexistent/list", check_it=False)
        check(done.returncode == 1 and "/nonexistent/list" in done.stderr, done.stderr)
    same(traces(name), [])


@test()
def an_up_that_was_killed_is_cleared_away_by_down():
    for delay in (0.05, 0.15, 0.3):
        name = rig_name(f"half{int(delay * 100)}")
        process = subprocess.Popen([RIG, "up", "--name", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        process.kill()
        process.wait()
        run(RIG, "down", "--name", name)
        same(traces(name), [], f"traces after a kill at {delay} s")


@test()
def two_rigs_run_side_by_side_and_one_goes_without_the_other():
    one, two = rig_name("one"), rig_name("two")
    ups = [subprocess.Popen([RIG, "up", "--name", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
           for name in (one, two)]
    try:
        for up in ups:
            said = up.communicate(timeout=60)[0]
            same(up.returncode, 0, said)
        for name in (one, two):
            done = run(RIG, "exec", "--name", name, "--", "dig", "+short", f"@{SERVICE_4}", "example-domain.com")
            same(done.stdout.strip(), "127.0.0.1", name)
        run(RIG, "down", "--name", one)
        done = run(RIG, "exec", "--name", two, "--", "dig", "+short", f"@{SERVICE_4}", "example-domain.com")
        same(done.stdout.strip(), "127.0.0.1")
    finally:
        for name in (one, two):
            run(RIG, "down", "--name", name, check_it=False)
    same(traces(one) + traces(two), [])


@test()
def the_same_name_twice_is_refused():
    name = rig_name("twice")
    run(RIG, "up", "--name", name)
    try:
        done = run(RIG, "up", "--name", name, check_it=False)
        check(done.returncode == 1 and "is up already" in done.stderr, done.stderr)
        same(run(RIG, "ctl", "--name", name, "--", "status").returncode, 0)
        same(run(RIG, "exec", "--name", name, "--", "sh", "-c", "exit 7", check_it=False).returncode, 7)
    finally:
        run(RIG, "down", "--name", name)


@test()
def the_sample_configuration_runs_on_the_rig_and_forwards():
    name = rig_name("sample")
    run(RIG, "up", "--name", name, "--config", ROOT / "config/samples/quickstart.conf")
    try:
        upstream = subprocess.Popen([RIG, "exec", "--name", name, "--", ROOT / "tools/upstream",
                                     f"example.com={ZONES}/example.com.zone"])

        def dig(*words):
            return run(RIG, "exec", "--name", name, "--", "dig", "+short", "+tries=1", f"@{SERVICE_4}", *words).stdout.strip()
        wait_until(lambda: dig("www.example.com") == "93.184.216.119", "the forwarded answer", 10, 0.2)
        same(len(dig("huge.example.com", "TXT").splitlines()), 10)
        same(dig("+tcp", "example-domain.com"), "127.0.0.1")
    finally:
        run(RIG, "down", "--name", name)
    upstream.wait(5)
    same(traces(name), [])


@test()
def every_program_has_help_and_version_and_refuses_unknown_options():
    for name in ("pollux-dataplane", "pollux-control", "polluxctl", "pollux-checkzone", "pollux-checkconf"):
        check("sage" in run(program(name), "--help").stdout, f"{name} --help")
        check(re.search(r"\d+\.\d+\.\d+", run(program(name), "--version").stdout), f"{name} --version")
        done = run(program(name), "--nonsense", check_it=False)
        check(done.returncode == 2 and done.stderr, f"{name} --nonsense: {done.returncode}")
    for tool in ("rig", "quickstart", "test", "packages", "check_houses.py", "upstream"):
        check("usage" in run(ROOT / "tools" / tool, "--help").stdout, f"{tool} --help")


if __name__ == "__main__":
    main()
