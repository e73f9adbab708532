# SPDX-License-Identifier: BSD-3-Clause
"""Zones that hold every shape that answering treats differently, signed by other people's tools."""

import re
import subprocess
from pathlib import Path

SERVICE = "198.18.0.53"

# One zone; the apex is the origin. What is served below its cuts: see CHILD.
FEATURES = r"""$TTL 3600
@ IN SOA ns1 root 2026112100 7200 3600 1209600 300
@ NS ns1
@ NS ns2.elsewhere.test.
@ MX 10 mail
@ TXT "apex"
@ CAA 0 issue "ca.elsewhere.test"
ns1 A 198.18.0.53
ns1 AAAA 2001:db8:53::53
mail A 198.18.30.1
mail AAAA 2001:db8:30::1
host A 198.18.30.2
host AAAA 2001:db8:30::2
host TXT "a host" "two strings"
HoSt2 A 198.18.30.3
mx-only MX 10 mail
mx-only MX 20 host
mx-only MX 30 mx.elsewhere.test.
srv SRV 1 2 5060 host
srv SRV 1 3 5060 mail
svc HTTPS 1 host alpn=h2
svc SVCB 0 mail
naptr NAPTR 10 10 "s" "SIP+D2U" "" srv
odd TYPE65400 \# 4 01020304
big TXT "{long}" "{long}" "{long}"
big TXT "{long}" "{long}" "second"
alias CNAME host
alias2 CNAME alias
alias-gone CNAME nothing
alias-nodata CNAME mx-only
alias-out CNAME www.elsewhere.test.
alias-wild CNAME q.wild
alias-cut CNAME host.safe
alias-plain CNAME host.plain
alias-moved CNAME host.moved
alias-ent CNAME ent
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
moved DNAME target
host.target A 198.18.30.4
moved-out DNAME elsewhere.test.
moved-gone DNAME nothing.here
*.wild A 198.18.30.5
*.wild TXT "wild"
there.wild A 198.18.30.6
deep.ent.wild A 198.18.30.7
*.wildalias CNAME host
*.wildgone CNAME nope
*.wildchain CNAME q.wildalias
*.wildmx MX 10 host
leaf.mid.ent A 198.18.30.8
safe NS ns.safe
safe NS ns1
ns.safe A 198.18.0.53
plain NS ns.plain
ns.plain A 198.18.0.53
plain2 NS ns1.elsewhere.test.
plain.under.gap NS ns1.elsewhere.test.
plain.wild NS ns1.elsewhere.test.
kept.half A 198.18.30.9
plain.half NS ns1
lame DS 12345 13 2 {digest}
lame NS ns.lame
ns.lame A 198.18.30.10
\000 A 198.18.31.1
\000.\000 A 198.18.31.2
\000\000 A 198.18.31.3
\001 A 198.18.31.4
a\000b A 198.18.31.5
a\001b A 198.18.31.6
a A 198.18.31.7
a\001 A 198.18.31.8
b.a A 198.18.31.9
\255 A 198.18.31.10
\255\255 A 198.18.31.11
x.\255 A 198.18.31.12
dotted\.label A 198.18.31.13
a.very.long.way.down.to.the.last.leaf A 198.18.31.14
"""

CHILD = """$TTL 600
@ IN SOA ns root 1 7200 3600 1209600 120
@ NS ns
ns A 198.18.0.53
host A 198.18.32.1
*.wild A 198.18.32.2
alias CNAME host
up CNAME host.{parent}.
"""


def features():
    return FEATURES.replace("{long}", "t" * 200).replace("{digest}", "ab" * 32)


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=60, cwd=cwd, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\nends with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def sign_with_bind(directory, zone, *options):
    """dnssec-signzone with one key for all."""
    run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", zone, cwd=directory)
    run("dnssec-signzone", "-q", "-S", "-z", "-O", "full", "-N", "keep", "-o", zone, "-f", f"{zone}.signed", *options,
        f"{zone}.zone", cwd=directory)


def sign_with_ldns(directory, zone, *options):
    key = run("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", zone, cwd=directory).strip()
    run("ldns-signzone", *options, "-o", zone, "-f", f"{zone}.signed", f"{zone}.zone", key, cwd=directory)


def sign_with_knot(directory, zone, policy=""):
    (directory / f"{zone}.knot").write_text(
        f"database:\n  storage: {directory}/{zone}.kasp\npolicy:\n  - id: policy\n    algorithm: ecdsap256sha256\n"
        f"    single-type-signing: on\n{policy}"
        f"zone:\n  - domain: {zone}\n    file: {directory}/{zone}.zone\n    dnssec-signing: on\n    dnssec-policy: policy\n")
    (directory / f"{zone}.out").mkdir()
    (directory / f"{zone}.kasp").mkdir()
    run("kzonesign", "-c", directory / f"{zone}.knot", "-o", directory / f"{zone}.out", zone)
    found = list((directory / f"{zone}.out").iterdir())
    found[0].rename(directory / f"{zone}.signed")


def anchors(directory, zone):
    """The zone's key-signing keys as DNSKEY records, and as a trust anchor clause for delv."""
    owner = zone.rstrip(".") + "."
    keys = re.findall(rf"^{re.escape(owner)}\s+\d+\s+(?:IN\s+)?DNSKEY\s+(257 3 \d+) ([^;\n]+)", unfolded(directory, zone), re.M)
    if not keys:
        raise RuntimeError(f"no key in {zone}.signed")
    records = "".join(f"{owner} IN DNSKEY {head} {key}\n" for head, key in keys)
    clause = "".join(f'{owner} static-key {head} "{"".join(key.split())}";\n' for head, key in keys)
    return records, f"trust-anchors {{\n{clause}}};\n"


def unfolded(directory, zone, file=None):
    """A zone, one record on each line; without `file` the signed one."""
    text = run("named-compilezone", "-q", "-i", "none", "-k", "ignore", "-n", "ignore", "-F", "text", "-s", "full", "-o", "-",
               zone, directory / (file or f"{zone}.signed"))
    return "".join(line + "\n" for line in text.splitlines() if not line.startswith(";"))


def write(directory, zone, text):
    (directory / f"{zone}.zone").write_text(f"$ORIGIN {zone.rstrip('.')}.\n{text}", encoding="ascii")


def without_dots_of_zeros(text):
    """Knot 3.2 takes an octet 0 in a label for the end of the label when it orders names: a\\000b is b.a to it."""
    return re.sub(r"^(b\.a|\\000\.\\000) .*\n", "", text, flags=re.M)


# Zone -> how it is signed.
SIGNERS = {
    "nsec.bind.test": lambda d, z: sign_with_bind(d, z),
    "nsec3.bind.test": lambda d, z: sign_with_bind(d, z, "-3", "-"),
    "optout.bind.test": lambda d, z: sign_with_bind(d, z, "-3", "aabbccdd", "-H", "10", "-A"),
    "nsec.ldns.test": lambda d, z: sign_with_ldns(d, z),
    "nsec3.ldns.test": lambda d, z: sign_with_ldns(d, z, "-n", "-s", "0123", "-t", "5"),
    "optout.ldns.test": lambda d, z: sign_with_ldns(d, z, "-n", "-p"),
    "nsec.knot.test": lambda d, z: sign_with_knot(d, z),
    "nsec3.knot.test": lambda d, z: sign_with_knot(d, z, "    nsec3: on\n    nsec3-iterations: 0\n    nsec3-salt-length: 0\n"),
    "optout.knot.test": lambda d, z: sign_with_knot(
        d, z, "    nsec3: on\n    nsec3-opt-out: on\n    nsec3-iterations: 3\n    nsec3-salt-length: 8\n"),
}


def files():
    """Zone -> file, as make() leaves them."""
    found = {}
    for zone in SIGNERS:
        found |= {zone: f"{zone}.signed", f"safe.{zone}": f"safe.{zone}.signed", f"plain.{zone}": f"plain.{zone}.zone"}
    return found


def make_one(directory, zone):
    """A feature zone, signed, with its child `safe`; `plain` is a child without signatures."""
    safe, plain = f"safe.{zone}", f"plain.{zone}"
    write(directory, safe, CHILD.format(parent=zone))
    sign_with_bind(directory, safe)
    write(directory, plain, CHILD.format(parent=zone))
    ds = run("dnssec-dsfromkey", "-2", "-f", f"{safe}.signed", safe, cwd=directory)
    text = features() + ds
    if zone.endswith(".knot.test"):
        text = without_dots_of_zeros(text)
    write(directory, zone, text)
    SIGNERS[zone](directory, zone)


def make(directory):
    for zone in SIGNERS:
        make_one(directory, zone)
