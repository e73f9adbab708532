#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Validators believe what Pollux says about signed zones: delv and unbound, over zones signed by dnssec-signzone,
ldns-signzone and kzonesign, and they do not believe what was tampered with."""

from concurrent.futures import ThreadPoolExecutor

import signed
from flow import *

UNBOUND, UNBOUND_PORT = "127.0.0.1", 5399
BROKEN = "broken.bind.test"

VALIDATED, UNSIGNED = "fully validated", "unsigned answer"  # delv's words
NXDOMAIN, NOERROR = dns.rcode.NXDOMAIN, dns.rcode.NOERROR

# Name below the apex, type, rcode, records in the answer besides RRSIGs (None: any number). INSECURE: a validator
# cannot vouch for it, as it ends in an unsigned zone; OPTED_OUT: nor with opt-out, as its proof has the flag.
INSECURE, OPTED_OUT = "insecure", "opted out"
QUESTIONS = [
    # what is there
    ("@", "SOA", NOERROR, 1), ("@", "NS", NOERROR, 2), ("@", "DNSKEY", NOERROR, 1), ("@", "MX", NOERROR, 1),
    ("host", "A", NOERROR, 1), ("HOST", "AAAA", NOERROR, 1), ("host", "TXT", NOERROR, 1), ("host2", "A", NOERROR, 1),
    ("mx-only", "MX", NOERROR, 3), ("srv", "SRV", NOERROR, 2), ("svc", "HTTPS", NOERROR, 1), ("svc", "SVCB", NOERROR, 1),
    ("naptr", "NAPTR", NOERROR, 1), ("odd", "TYPE65400", NOERROR, 1), ("big", "TXT", NOERROR, 2),
    # aliases
    ("alias", "A", NOERROR, 2), ("alias", "CNAME", NOERROR, 1), ("alias2", "AAAA", NOERROR, 3),
    ("alias-gone", "A", NXDOMAIN, 1, OPTED_OUT), ("alias-nodata", "A", NOERROR, 1), ("alias-wild", "A", NOERROR, 2, OPTED_OUT),
    ("alias-cut", "A", NOERROR, 2), ("alias-plain", "A", NOERROR, 2, INSECURE), ("alias-moved", "A", NOERROR, 4),
    ("alias-ent", "A", NOERROR, 1),
    ("moved", "DNAME", NOERROR, 1), ("moved", "A", NOERROR, 0), ("host.moved", "A", NOERROR, 3),
    ("host.moved", "TXT", NOERROR, 2), ("none.moved", "A", NXDOMAIN, 2, OPTED_OUT), ("x.moved-gone", "A", NXDOMAIN, 2, OPTED_OUT),
    # wildcards
    ("q.wild", "A", NOERROR, 1, OPTED_OUT), ("p.q.wild", "TXT", NOERROR, 1, OPTED_OUT), ("q.wild", "MX", NOERROR, 0, OPTED_OUT),
    ("p.q.wild", "AAAA", NOERROR, 0, OPTED_OUT), ("*.wild", "A", NOERROR, 1), ("*.wild", "MX", NOERROR, 0),
    ("there.wild", "A", NOERROR, 1), ("there.wild", "TXT", NOERROR, 0), ("x.there.wild", "A", NXDOMAIN, 0, OPTED_OUT),
    ("x.*.wild", "A", NXDOMAIN, 0, OPTED_OUT), ("wild", "A", NOERROR, 0), ("ent.wild", "A", NOERROR, 0),
    ("x.ent.wild", "A", NXDOMAIN, 0, OPTED_OUT), ("q.wildalias", "A", NOERROR, 2, OPTED_OUT), ("q.wildalias", "CNAME", NOERROR, 1, OPTED_OUT),
    ("q.wildalias", "MX", NOERROR, 1, OPTED_OUT), ("q.wildgone", "A", NXDOMAIN, 1, OPTED_OUT), ("q.wildchain", "A", NOERROR, 3, OPTED_OUT),
    ("q.wildmx", "MX", NOERROR, 1, OPTED_OUT),
    # what is not there, at both ends of the chain and beside octets 0, 1 and 255
    ("host", "MX", NOERROR, 0), ("host", "NSEC3PARAM", NOERROR, 0), ("@", "PTR", NOERROR, 0), ("ent", "A", NOERROR, 0), ("mid.ent", "TXT", NOERROR, 0),
    ("x.mid.ent", "A", NXDOMAIN, 0, OPTED_OUT), ("x.ent", "A", NXDOMAIN, 0, OPTED_OUT), ("none", "A", NXDOMAIN, 0, OPTED_OUT),
    ("a.b.c.none", "A", NXDOMAIN, 0, OPTED_OUT), ("x.host", "A", NXDOMAIN, 0, OPTED_OUT), ("down.to.the.last.leaf", "A", NOERROR, 0),
    ("hos", "A", NXDOMAIN, 0, OPTED_OUT), ("hosts", "A", NXDOMAIN, 0, OPTED_OUT), ("!", "A", NXDOMAIN, 0, OPTED_OUT),
    (r"\000", "A", NOERROR, 1), (r"\000", "MX", NOERROR, 0), (r"\000\000", "A", NOERROR, 1),
    (r"\000\000\000", "A", NXDOMAIN, 0, OPTED_OUT), (r"\000\001", "A", NXDOMAIN, 0, OPTED_OUT), (r"x.\000\000", "A", NXDOMAIN, 0, OPTED_OUT),
    (r"\001", "A", NOERROR, 1), (r"\001\000", "A", NXDOMAIN, 0, OPTED_OUT), (r"\000.\001", "A", NXDOMAIN, 0, OPTED_OUT),
    (r"a\000b", "A", NOERROR, 1), (r"a\000", "A", NXDOMAIN, 0, OPTED_OUT), (r"a\000c", "A", NXDOMAIN, 0, OPTED_OUT),
    (r"a\001b", "A", NOERROR, 1), (r"a\001a", "A", NXDOMAIN, 0, OPTED_OUT), ("c.a", "A", NXDOMAIN, 0, OPTED_OUT), ("a.a", "A", NXDOMAIN, 0, OPTED_OUT),
    (r"\255", "A", NOERROR, 1), (r"\255\255", "A", NOERROR, 1), (r"\255\255\255", "A", NXDOMAIN, 0, OPTED_OUT), (r"x.\255", "A", NOERROR, 1),
    (r"y.\255", "A", NXDOMAIN, 0, OPTED_OUT), (r"\255.\255\255", "A", NXDOMAIN, 0, OPTED_OUT), (r"dotted\.label", "A", NOERROR, 1),
    ("z" * 63, "A", NXDOMAIN, 0, OPTED_OUT), (".".join(["long" * 15] * 3), "A", NXDOMAIN, 0, OPTED_OUT),
    # cuts
    ("safe", "DS", NOERROR, 1), ("safe", "SOA", NOERROR, 1), ("host.safe", "A", NOERROR, 1), ("none.safe", "A", NXDOMAIN, 0),
    ("q.wild.safe", "A", NOERROR, 1), ("alias.safe", "A", NOERROR, 2), ("up.safe", "A", NOERROR, 2),
    ("plain", "DS", NOERROR, 0, OPTED_OUT), ("plain2", "DS", NOERROR, 0, OPTED_OUT), ("plain.under.gap", "DS", NOERROR, 0, OPTED_OUT),
    ("plain.wild", "DS", NOERROR, 0, OPTED_OUT), ("plain.half", "DS", NOERROR, 0, OPTED_OUT), ("lame", "DS", NOERROR, 1),
    ("under.gap", "A", NOERROR, 0, OPTED_OUT), ("gap", "A", NOERROR, 0, OPTED_OUT), ("x.gap", "A", NXDOMAIN, 0, OPTED_OUT),
    ("half", "A", NOERROR, 0), ("x.half", "A", NXDOMAIN, 0, OPTED_OUT),
    ("host.plain", "A", NOERROR, 1, INSECURE), ("none.plain", "A", NXDOMAIN, 0, INSECURE), ("plain", "SOA", NOERROR, 1, INSECURE),
    # types of the chain itself
    ("host", "ANY", NOERROR, None),
]

DELV_QUICK = ["nsec.bind.test", "optout.knot.test"]
TAMPERED = [("mail", "A"), ("srv", "SRV"), ("mx-only", "TXT")]


def serve(directory):
    """Every zone of signed.py, and one that somebody tampered with after it was signed."""
    signed.make(directory)
    signed.write(directory, BROKEN, signed.features())
    signed.sign_with_bind(directory, BROKEN)
    text = signed.unfolded(directory, BROKEN)
    apart = []
    for line in text.splitlines():
        owner, _, _, kind, rdata = line.split(None, 4)
        if owner == f"mail.{BROKEN}." and kind == "A":
            line = line.replace("198.18.30.1", "198.18.30.66")  # not what was signed
        if owner == f"srv.{BROKEN}." and kind == "RRSIG" and rdata.startswith("SRV "):
            continue  # no signature
        if owner == f"mx-only.{BROKEN}." and kind == "NSEC":
            continue  # a gap in the chain
        apart.append(line)
    same(text.count("\n") - len(apart), 2, "records left out")
    (directory / f"{BROKEN}.signed").write_text("\n".join(apart) + "\n")
    for zone in [*signed.SIGNERS, BROKEN]:
        records, clause = signed.anchors(directory, zone)
        (directory / f"{zone}.anchor").write_text(records)
        (directory / f"{zone}.delv").write_text(clause)


SIGNED = Spec(prepare=serve, zone_list="".join(
    f"{zone}\t{{dir}}/{file}\n" for zone, file in [*signed.files().items(), (BROKEN, f"{BROKEN}.signed")]))


# A tree of its own, from the root down.
TREE = {
    ".": "@ SOA ns.test. root.test. 1 7200 3600 1209600 300\n@ NS ns.test.\ntest NS ns.test.\nns.test A 198.18.0.53\n",
    "test": "@ SOA ns root 1 7200 3600 1209600 300\n@ NS ns\nns A 198.18.0.53\nchild NS ns.child\nns.child A 198.18.0.53\n"
            "plain NS ns\nto-child CNAME host.child\nover DNAME child\n",
    "child.test": "@ SOA ns root 1 7200 3600 1209600 300\n@ NS ns\nns A 198.18.0.53\nhost A 198.18.35.1\n*.wild TXT wild\nup CNAME ns.test.\n",
}
TREE_QUESTIONS = [
    (".", "SOA", NOERROR, 1, True), (".", "NS", NOERROR, 1, True), (".", "DNSKEY", NOERROR, 1, True), (".", "TXT", NOERROR, 0, True),
    (".", "DS", NOERROR, 0, True), ("test.", "DS", NOERROR, 1, True), ("test.", "SOA", NOERROR, 1, True), ("none.", "A", NXDOMAIN, 0, True),
    ("a.none.", "A", NXDOMAIN, 0, True), ("none.test.", "A", NXDOMAIN, 0, None), ("child.test.", "DS", NOERROR, 1, True),
    ("host.child.test.", "A", NOERROR, 1, True), ("none.child.test.", "A", NXDOMAIN, 0, True), ("x.wild.child.test.", "TXT", NOERROR, 1, True),
    ("to-child.test.", "A", NOERROR, 2, True), ("host.over.test.", "A", NOERROR, 3, True), ("up.child.test.", "A", NOERROR, 2, True),
    ("plain.test.", "DS", NOERROR, 0, None), ("plain.test.", "SOA", NOERROR, 1, False), ("x.plain.test.", "A", NXDOMAIN, 0, False),
]


def serve_tree(directory):
    for zone, options in (("child.test", []), ("test", ["-3", "-", "-A"]), (".", [])):
        text = "$TTL 3600\n" + TREE[zone]
        if zone != "child.test":
            child = "child.test" if zone == "test" else "test"
            text += signed.run("dnssec-dsfromkey", "-2", "-f", f"{child}.signed", child, cwd=directory)
        signed.write(directory, zone, text)
        signed.sign_with_bind(directory, zone, *options)
    signed.write(directory, "plain.test", "$TTL 60\n@ SOA ns root 1 7200 3600 1209600 300\n@ NS ns.test.\n")
    records, clause = signed.anchors(directory, ".")
    (directory / "..anchor").write_text(records)
    (directory / "..delv").write_text(clause)


ROOTED = Spec(prepare=serve_tree, zone_list=".\t{dir}/..signed\ntest\t{dir}/test.signed\nchild.test\t{dir}/child.test.signed\n"
              "plain.test\t{dir}/plain.test.zone\n")


class Unbound:
    """A validating resolver that knows where the zones are and nobody else: its namespace leads nowhere else."""

    def __init__(self, rig, zones):
        self.dir = Path(tempfile.mkdtemp(dir=rig.dir, prefix="unbound-"))
        stubs = "".join(f'stub-zone:\n  name: "{zone}"\n  stub-addr: {SERVICE_4}\n' for zone in zones)
        trusted = "".join(f'  trust-anchor-file: "{rig.dir}/{zone}.anchor"\n' for zone in zones)
        (self.dir / "hints").write_text(f". 3600000 NS nowhere.test.\nnowhere.test. 3600000 A {SERVICE_4}\n")
        (self.dir / "unbound.conf").write_text(f"""server:
  chroot: ""
  username: ""
  directory: "{self.dir}"
  pidfile: "{self.dir}/pid"
  logfile: "{self.dir}/log"
  use-syslog: no
  val-log-level: 2
  num-threads: 1
  interface: {UNBOUND}
  port: {UNBOUND_PORT}
  do-ip6: no
  do-not-query-localhost: no
  root-hints: "{self.dir}/hints"
  module-config: "validator iterator"
  aggressive-nsec: no
  qname-minimisation: yes
  local-zone: "test." nodefault
  deny-any: no
{trusted}{stubs}remote-control:
  control-enable: no
""")
        rig.helpers.append(self)
        self.process = subprocess.Popen(["/usr/sbin/unbound", "-d", "-c", str(self.dir / "unbound.conf")],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(self.dir / "said", "wb"))
        wait_until(self.answers, "unbound answers", 10, 0.05)

    def answers(self):
        check(self.process.poll() is None, "unbound ended:", (self.dir / "said").read_text())
        try:
            return self.ask("localhost.", "A", timeout=0.3)
        except (OSError, dns.exception.Timeout):
            return None

    def ask(self, name, kind, timeout=10):
        query = dns.message.make_query(name, kind, want_dnssec=True, payload=4096)
        reply, _ = dns.query.udp_with_fallback(query, UNBOUND, port=UNBOUND_PORT, timeout=timeout)
        return reply

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def validator(rig, zones=None):
    return next((helper for helper in rig.helpers if isinstance(helper, Unbound)), None) or Unbound(
        rig, zones or [*signed.SIGNERS, BROKEN])


def counted(answer):
    return sum(len(rrset) for rrset in answer if rrset.rdtype != dns.rdatatype.RRSIG)


def questions_of(zone):
    """Those that the zone can be asked, with full names; True: must be vouched for, False: must not, None: may."""
    trusted = {INSECURE: False, OPTED_OUT: None if zone.startswith("optout.") else True}
    for name, kind, rcode, count, *trust in QUESTIONS:
        yield zone if name == "@" else f"{name}.{zone}", kind, rcode, count, trusted[trust[0]] if trust else True


def judge_by_unbound(unbound, questions):
    wrong = []
    for name, kind, rcode, count, trusted in questions:
        reply = unbound.ask(name, kind)
        found, secure = counted(reply.answer), bool(reply.flags & dns.flags.AD)
        if reply.rcode() != rcode or count not in (None, found) or trusted not in (None, secure):
            wrong.append(f"{name} {kind}: {dns.rcode.to_text(reply.rcode())}, {found} records, secure: {secure}; "
                         f"expected {dns.rcode.to_text(rcode)}, {count}, {trusted}")
    check(not wrong, f"{len(wrong)} of {len(questions)} not as expected:\n" + "\n".join(wrong))


def questions_about_zones_of(signer):
    return [question for zone in signed.SIGNERS if zone.endswith(f".{signer}.test") for question in questions_of(zone)]


@test(SIGNED)
def unbound_believes_all_answers_about_zones_of_dnssec_signzone(rig):
    judge_by_unbound(validator(rig), questions_about_zones_of("bind"))


@test(SIGNED)
def unbound_believes_all_answers_about_zones_of_ldns_signzone(rig):
    judge_by_unbound(validator(rig), questions_about_zones_of("ldns"))


@test(SIGNED)
def unbound_believes_all_answers_about_zones_of_kzonesign(rig):
    judge_by_unbound(validator(rig), questions_about_zones_of("knot"))


def delv(rig, zone, name, kind):
    """What delv thinks of an answer: a set of VALIDATED, UNSIGNED; or the text of its refusal."""
    done = run("delv", f"@{SERVICE_4}", "-a", rig.dir / f"{zone}.delv", f"+root={zone}", "-t", kind, "-q", name, check_it=False)
    said = done.stdout + done.stderr
    verdicts = {word for word in (VALIDATED, UNSIGNED) if re.search(rf"^; (negative response, )?{word}$", said, re.M)}
    return verdicts or " ".join(said.split()) or f"ends with {done.returncode}"


def judge_by_delv(rig, cases):
    """`cases`: anchors' zone, question."""
    def judge(case):
        zone, (name, kind, _, _, trusted) = case
        found = delv(rig, zone, name, kind)
        good = isinstance(found, set) and (trusted is not True or found == {VALIDATED}) and (trusted is not False or UNSIGNED in found)
        return None if good else f"{name} {kind}: {found}, to be trusted: {trusted}"
    with ThreadPoolExecutor(4) as pool:
        wrong = [said for said in pool.map(judge, cases) if said]
    check(not wrong, f"{len(wrong)} of {len(cases)} not as expected:\n" + "\n".join(wrong))


def cases_of(zones):
    return [(zone, question) for zone in zones for question in questions_of(zone) if question[1] != "ANY"]


@test(SIGNED)
def delv_believes_all_answers_about_zones_with_nsec_and_with_opt_out(rig):
    judge_by_delv(rig, cases_of(DELV_QUICK))


@test(SIGNED, long=True, time_s=300)
def delv_believes_all_answers_about_all_other_zones(rig):
    judge_by_delv(rig, cases_of(zone for zone in signed.SIGNERS if zone not in DELV_QUICK))


@test(SIGNED)
def neither_validator_believes_what_was_tampered_with(rig):
    unbound = validator(rig)
    untouched = [("host", "A"), ("mail", "AAAA"), ("none", "A"), ("mx-only", "MX"), ("srv", "TXT")]
    for name, kind in untouched:
        check(unbound.ask(f"{name}.{BROKEN}", kind).flags & dns.flags.AD, name, kind, "is good, but not for unbound")
        same(delv(rig, BROKEN, f"{name}.{BROKEN}", kind), {VALIDATED}, f"delv's word on {name} {kind}")
    for name, kind in TAMPERED:
        same(dns.rcode.to_text(unbound.ask(f"{name}.{BROKEN}", kind).rcode()), "SERVFAIL", f"unbound's word on {name} {kind}")
        found = delv(rig, BROKEN, f"{name}.{BROKEN}", kind)
        check(isinstance(found, str) and "failed" in found, f"delv's word on {name} {kind}:", found)


@test(SIGNED)
def any_over_tcp_brings_every_rrset_with_its_signatures(rig):
    for zone in signed.SIGNERS:
        reply = rig.ask(zone, "ANY", over="tcp", want_dnssec=True)
        types = {dns.rdatatype.to_text(rrset.rdtype) for rrset in reply.answer if rrset.rdtype != dns.rdatatype.RRSIG}
        covered = {dns.rdatatype.to_text(rrset.covers) for rrset in reply.answer if rrset.rdtype == dns.rdatatype.RRSIG}
        check({"SOA", "NS", "MX", "TXT", "CAA", "DNSKEY"} <= types, zone, types)
        same(covered, types, f"what the signatures of {zone} cover")


@test(SIGNED)
def signatures_and_links_can_be_asked_for(rig):
    for zone in signed.SIGNERS:
        reply = rig.ask(f"host.{zone}", "RRSIG", want_dnssec=True)
        covered = sorted(dns.rdatatype.to_text(rrset.covers) for rrset in reply.answer)
        expected = ["A", "AAAA", *(["NSEC"] if zone.startswith("nsec.") else []), "TXT"]
        same(covered, expected, f"what the signatures at host.{zone} cover")
        reply = rig.ask(f"host.{zone}", "NSEC")
        same(len(reply.answer), 1 if zone.startswith("nsec.") else 0, f"NSEC of host.{zone}")
        same(len(rig.ask(zone, "NSEC3PARAM").answer), 0 if zone.startswith("nsec.") else 1, f"NSEC3PARAM of {zone}")


@test(SIGNED)
def without_do_no_signature_and_no_proof_comes_unasked(rig):
    for zone in signed.SIGNERS:
        for name, kind, *_ in questions_of(zone):
            if kind in ("ANY", "DNSKEY", "DS"):
                continue
            reply = rig.ask(name, kind)
            found = {dns.rdatatype.to_text(rrset.rdtype) for section in (reply.answer, reply.authority, reply.additional)
                     for rrset in section}
            check(not found & {"RRSIG", "NSEC", "NSEC3", "DS"}, name, kind, found)


@test(ROOTED)
def trust_reaches_from_a_signed_root_down_through_every_cut(rig):
    judge_by_unbound(validator(rig, ["."]), TREE_QUESTIONS)
    judge_by_delv(rig, [(".", question) for question in TREE_QUESTIONS])


if __name__ == "__main__":
    main()
