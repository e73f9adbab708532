#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Whom questions are forwarded to, and how: zones, resolver files, TCP, TLS, plans of retries, ports."""

import random

from flow import *

FIRST, SECOND, TLS_SERVER = "198.18.0.3", "198.18.0.4", "198.18.0.7"
TIMES = "timeout: 200ms, deadline: 1s"


def fresh_name(below="example.net"):
    return f"n{random.getrandbits(48):x}.{below}"


def respond(query, answers=(), rcode=0):
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(rcode)
    response.answer += [dns.rrset.from_text(*words) for words in answers]
    return response


def address_is(address):
    return answering(lambda query: respond(query, [(query.question[0].name, 60, "IN", "A", address)]))


@contextmanager
def fake(rig, reply, address):
    server = FakeServer(rig, reply, address)
    try:
        yield server
    finally:
        rig.helpers.remove(server)
        server.stop()


def address_of(rig, name):
    reply = rig.ask(name)
    return [str(rdata) for rrset in reply.answer for rdata in rrset] or dns.rcode.to_text(reply.rcode())


def forwarder(rig, address):
    return next(row for row in rig.ctl_json("forward", "list") if row["server"].startswith(address + "@"))


class Named:
    """BIND with one zone, in the namespace this process is in."""

    def __init__(self, rig, origin, text, address):
        self.dir = Path(tempfile.mkdtemp(dir=rig.dir, prefix="named-"))
        (self.dir / "zone").write_text(text)
        (self.dir / "named.conf").write_text(
            f'options {{ directory "{self.dir}"; pid-file "{self.dir}/pid"; listen-on {{ {address}; }}; listen-on-v6 {{ none; }};\n'
            f'  recursion no; session-keyfile "{self.dir}/key"; notify no; dnssec-validation no; }};\ncontrols {{ }};\n'
            f'zone "{origin}" {{ type primary; file "{self.dir}/zone"; }};\n')
        self.log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen(["/usr/sbin/named", "-f", "-c", str(self.dir / "named.conf")],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        rig.helpers.append(self)

        def answers():
            check(self.process.poll() is None, "named ended:", (self.dir / "log").read_text())
            try:
                return dns.query.udp(dns.message.make_query(origin, "SOA"), address, timeout=0.3).answer
            except (OSError, dns.exception.Timeout):
                return None
        wait_until(answers, "named answers", 20, 0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


CORP_ZONE = """$TTL 300
@ IN SOA ns root 1 3600 3600 3600 300
  IN NS ns
ns IN A 198.18.0.4
www IN A 198.18.44.1
"""


@test(Spec(config=f"forward: {{servers: [{UPSTREAM}], {TIMES}}}\n"
                  f"forward-zones: [{{zone: corp.example, servers: [{SECOND}]}}, {{zone: home.corp.example, servers: []}}]\n"))
def knot_and_bind_are_each_asked_for_their_own_zones(rig):
    Knot(rig, {"example.com": ZONES / "example.com.zone"})
    Named(rig, "corp.example", CORP_ZONE, SECOND)
    same(address_of(rig, "www.example.com"), ["93.184.216.119"])
    same(address_of(rig, "www.corp.example"), ["198.18.44.1"])
    same(rig.ask("nope.corp.example").rcode(), dns.rcode.NXDOMAIN)
    same(rig.ask("x.home.corp.example").rcode(), dns.rcode.REFUSED)
    rows = rig.ctl_json("forward", "list")
    same({(row["zone"], row["server"], row["protocol"], row["state"]) for row in rows},
         {(".", f"{UPSTREAM}@53", "udp", "answers"), ("corp.example.", f"{SECOND}@53", "udp", "answers")})


@test(Spec(config=f"forward: {{servers: [{FIRST}], {TIMES}}}\nforward-zones: [{{zone: ., servers: [{SECOND}]}}]\n"))
def the_second_group_knows_what_the_first_does_not(rig):
    no = answering(lambda query: respond(query, rcode=3))
    with fake(rig, no, FIRST) as first, fake(rig, address_is("198.18.44.2"), SECOND) as second:
        same(address_of(rig, fresh_name()), ["198.18.44.2"])
        same((len(first.queries), len(second.queries)), (1, 1), "queries")
    with fake(rig, no, FIRST), fake(rig, no, SECOND):
        same(rig.ask(fresh_name()).rcode(), dns.rcode.NXDOMAIN)


# The plan of retries: 1 3 11 45, as 50, 150, 550 ms and the rest

PLAN = "timeout: [50ms, 150ms, 550ms, 2s], deadline: "


def times(*servers):
    """When whom, but for probes of silent servers, which ask for the root's NS."""
    queries = sorted((at, number) for number, server in enumerate(servers) for at, _, wire in server.queries if wire[12])
    return [round((at - queries[0][0]) * 1000) for at, _ in queries], [number for _, number in queries]


def check_times(found, expected):
    same(len(found), len(expected), "queries")
    for at, planned in zip(found, expected):
        check(planned - 10 <= at <= planned + 120, f"sent at {found} ms, planned {expected}")


@test(Spec(config=f"forward: {{servers: [{FIRST}], {PLAN}1s}}\n"))
def one_mute_server_is_asked_at_0_1_4_15_and_then_the_client_gets_servfail(rig):
    with fake(rig, lambda wire: None, FIRST) as server:
        began = time.monotonic()
        reply = rig.ask(fresh_name(), use_edns=0)
        took = time.monotonic() - began
        check_times(times(server)[0], [0, 50, 200, 750])
        same(reply.rcode(), dns.rcode.SERVFAIL)
        same([(option.code, option.text) for option in reply.options if option.otype == 15],
             [(22, "no server that could know gave a usable answer in time")], "extended error")
        check(0.98 <= took < 1.4, f"took {took:.2f} s")
        ports = [client[1] for _, client, _ in server.queries]
        same(len(set(ports)), 4, "ports of the retries")


@test(Spec(config=f"forward: {{servers: [{FIRST}, {SECOND}], {PLAN}1500ms}}\n"))
def two_mute_servers_are_asked_by_turns(rig):
    with fake(rig, lambda wire: None, FIRST) as first, fake(rig, lambda wire: None, SECOND) as second:
        same(rig.ask(fresh_name(), timeout=4).rcode(), dns.rcode.SERVFAIL)
        at, who = times(first, second)
        check_times(at, [0, 50, 100, 250, 400, 950])
        same(who, [0, 1, 0, 1, 0, 1], "who was asked")


@test(Spec(config=f"forward: {{servers: [{FIRST}, {SECOND}], {TIMES}, max-tries: 5}}\n"))
def the_messages_for_one_question_are_bounded_whatever_servers_do(rig):
    def stubborn(wire):  # knows no EDNS, then truncates, and there is nobody at TCP
        query = dns.message.from_wire(wire)
        response = respond(query, rcode=1 if query.edns >= 0 else 0)
        response.flags |= 0 if query.edns >= 0 else dns.flags.TC
        return response.to_wire()
    for reply in (stubborn, lambda wire: None, lambda wire: b"junk" * 5):
        before = rig.ctl_json("stats")["resolver"]["upstream_sent"]
        with fake(rig, reply, FIRST), fake(rig, reply, SECOND):
            same(rig.ask(fresh_name(), timeout=4).rcode(), dns.rcode.SERVFAIL)
        sent = rig.ctl_json("stats")["resolver"]["upstream_sent"] - before
        check(1 <= sent <= 5, f"{sent} messages")


HISTOGRAM_QUERIES = 1500


@test(Spec(config=f"forward: {{servers: [{FIRST}], timeout: 2s, deadline: 4s}}\n"))
def ports_are_spread_over_the_whole_range_also_under_load(rig):
    with fake(rig, address_is("198.18.44.3"), FIRST) as server:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((SERVICE_4, 53))
            sock.settimeout(5)
            stem = random.getrandbits(48)
            for block in range(0, HISTOGRAM_QUERIES, 50):
                for i in range(block, block + 50):
                    sock.send(query_wire(f"q{i}.{stem:x}.example.net", ident=i))
                for _ in range(50):
                    sock.recv(4096)
        ports = [client[1] for _, client, _ in server.queries]
    check(min(ports) >= 1024, "a port below 1024")
    uses = {}
    for port in ports:
        uses[port] = uses.get(port, 0) + 1
    check(max(uses.values()) <= 64, f"a port had {max(uses.values())} questions")
    check(len(uses) > len(ports) / 40, f"{len(uses)} ports for {len(ports)} questions")
    buckets = [0] * 8
    for port in uses:
        buckets[(port - 1024) * 8 // (65536 - 1024)] += 1
    mean = len(uses) / 8
    check(all(0.2 * mean < count < 2.2 * mean for count in buckets), f"ports by eighths of the range: {buckets}")
    comment(f"{len(ports)} questions from {len(uses)} ports, by eighths of the range {buckets}")


# Resolver files

def write_resolver_file(rig, text):
    (rig.dir / "resolv.conf").write_text(text)


@test(Spec(config=f"forward: {{resolv-conf: '{{dir}}/resolv.conf', {TIMES}}}\n",
           files={"resolv.conf": f"# by hand\nnameserver {FIRST}\nnonsense\nnameserver {SERVICE_4}\nsearch example.org\n"}))
def a_resolver_file_is_followed(rig):
    with fake(rig, address_is("198.18.44.4"), FIRST), fake(rig, address_is("198.18.44.5"), SECOND):
        same(address_of(rig, fresh_name()), ["198.18.44.4"])
        for words in ("resolv.conf:3: 'nonsense'", f"resolv.conf:4: {SERVICE_4}@53 is a service address"):
            check(words in rig.log("control"), words)
        write_resolver_file(rig, f"nameserver {SECOND}\n")
        wait_until(lambda: rig.ctl_json("forward", "list")[0]["server"] == f"{SECOND}@53", "the new server is known", 5)
        same(address_of(rig, fresh_name()), ["198.18.44.5"])
        (rig.dir / "other").write_text(f"nameserver {FIRST}\n")
        (rig.dir / "other").rename(rig.dir / "resolv.conf")
        rows = rig.ctl_json("forward", "reload")
        same([row["server"] for row in rows], [f"{FIRST}@53"])
        same(address_of(rig, fresh_name()), ["198.18.44.4"])


@test(Spec(config="forward: {resolv-conf: '{dir}/resolv.conf', timeout: 100ms, deadline: 300ms}\n"))
def without_a_resolver_file_this_machine_would_be_asked_which_the_ports_do_not_lead_to(rig):
    same(rig.ask(fresh_name()).rcode(), dns.rcode.SERVFAIL)
    check("cannot be reached by way of the ports" in rig.log("control"), rig.log("control")[-500:])


# TCP and TLS

@test(Spec(config=f"forward: {{servers: [{UPSTREAM}], protocol: tcp, {TIMES}}}\n"))
def tcp_from_the_start_sends_no_datagram(rig):
    Knot(rig, {"example.com": ZONES / "example.com.zone"})
    for name in ("www.example.com", "mail.example.com", "al.example.com"):
        same(rig.ask(name).rcode(), 0)
    row = forwarder(rig, UPSTREAM)
    same((row["protocol"], row["connections"], row["state"]), ("tcp", 1, "answers"))
    resolver = rig.ctl_json("stats")["resolver"]
    same((resolver["upstream_tcp"], resolver["upstream_sent"], resolver["upstream_connections"]), (3, 3, 1))


def make_certificate(directory, name):
    """An authority, and a certificate of its for the name; returns the pin of its key."""
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
        "/CN=authority of a test", "-keyout", directory / "ca.key", "-out", directory / "ca.pem")
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server of a test",
        "-keyout", directory / "server.key", "-out", directory / "server.csr")
    (directory / "names").write_text(f"subjectAltName=DNS:{name}\n")
    run("openssl", "x509", "-req", "-in", directory / "server.csr", "-CA", directory / "ca.pem", "-CAkey", directory / "ca.key",
        "-days", "1", "-extfile", directory / "names", "-out", directory / "server.pem")


def pin_of(directory):
    import base64
    import hashlib
    key = run("openssl", "pkey", "-in", directory / "server.key", "-pubout", "-outform", "DER", "-out", directory / "key.der")
    check(key.returncode == 0, "no key")
    return base64.b64encode(hashlib.sha256((directory / "key.der").read_bytes()).digest()).decode()


class TlsUnbound:
    """Unbound as a DNS over TLS server with data of its own: it asks nobody."""

    def __init__(self, rig, directory):
        self.dir = Path(tempfile.mkdtemp(dir=rig.dir, prefix="unbound-"))
        (self.dir / "unbound.conf").write_text(
            f"server:\n  interface: {TLS_SERVER}@853\n  tls-port: 853\n  tls-service-key: {directory}/server.key\n"
            f"  tls-service-pem: {directory}/server.pem\n  username: \"\"\n  chroot: \"\"\n  directory: {self.dir}\n"
            f"  pidfile: {self.dir}/pid\n  use-syslog: no\n  do-daemonize: no\n  access-control: 198.18.0.0/15 allow\n"
            "  module-config: iterator\n  num-threads: 1\n  incoming-num-tcp: 20\n"
            "  local-zone: . static\n  local-data: 'www.secret.example. 300 IN A 198.18.44.6'\n"
            "  local-data: 'a.secret.example. 300 IN A 198.18.44.7'\n  local-data: 'b.secret.example. 300 IN A 198.18.44.8'\n"
            "remote-control:\n  control-enable: no\n")
        self.log = open(self.dir / "log", "ab")
        self.process = subprocess.Popen(["/usr/sbin/unbound", "-d", "-c", str(self.dir / "unbound.conf")],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        rig.helpers.append(self)

        def listens():
            check(self.process.poll() is None, "unbound ended:", (self.dir / "log").read_text())
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
                return sock.connect_ex((TLS_SERVER, 853)) == 0
        wait_until(listens, "unbound listens", 15, 0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


NAME = "dns.secret.example"
TLS = Spec(config=f"forward: {{servers: [{TLS_SERVER}], protocol: tls, tls-name: {NAME}, tls-ca: '{{dir}}/ca.pem', "
                  "timeout: 500ms, deadline: 3s}\n", prepare=lambda directory: make_certificate(directory, NAME))


def change_config(rig, old, new):
    path = Path(rig.ctl_json("status")["configuration"])
    text = path.read_text()
    check(old in text, f"no {old} in {text}")
    path.write_text(text.replace(old, new))
    rig.ctl("config", "reload")


@test(TLS)
def questions_go_over_tls_to_a_server_that_shows_its_certificate(rig):
    TlsUnbound(rig, rig.dir)
    done = run("kdig", f"@{TLS_SERVER}", "+tls", f"+tls-ca={rig.dir}/ca.pem", f"+tls-hostname={NAME}", "+short", "www.secret.example")
    same(done.stdout.strip(), "198.18.44.6", "what kdig finds there")
    for name, address in (("www", "6"), ("a", "7"), ("b", "8")):
        same(address_of(rig, f"{name}.secret.example"), [f"198.18.44.{address}"])
    row = forwarder(rig, TLS_SERVER)
    same((row["protocol"], row["state"], row["connections"], row["trouble"]), ("tls", "answers", 1, "none"))
    resolver = rig.ctl_json("stats")["resolver"]
    same((resolver["upstream_tls"], resolver["upstream_sent"], resolver["upstream_connections"]), (3, 3, 1))
    # another name is not believed, and nothing falls back to clear text
    change_config(rig, f"tls-name: {NAME}", "tls-name: other.example")
    with Link() as link:
        reply = rig.ask(f"c{random.getrandbits(32):x}.secret.example", use_edns=0)
        same(reply.rcode(), dns.rcode.SERVFAIL)
        same([(option.code, option.text) for option in reply.options if option.otype == 15],
             [(23, "no connection to the servers that could know")], "extended error")
        to_server = lambda frame: frame[12:14] == b"\x08\0" and frame[30:34] == ip4(TLS_SERVER)
        kinds = set()
        while frame := link.receive(to_server, 0.3):
            kinds.add((frame[23], frame[36:38]))
        same(kinds, {(6, struct.pack("!H", 853))}, "protocols and ports towards the server")
    row = forwarder(rig, TLS_SERVER)
    check("hostname mismatch" in row["trouble"], row)
    check("hostname mismatch" in rig.log("control"), "nothing in the log")
    # the key alone is good enough when it is pinned
    change_config(rig, "tls-name: other.example", f"tls-pin: [{pin_of(rig.dir)}]")
    same(rig.ask(f"d{random.getrandbits(32):x}.secret.example").rcode(), dns.rcode.NXDOMAIN)
    same(forwarder(rig, TLS_SERVER)["trouble"], "none")


if __name__ == "__main__":
    main()
