#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-3-Clause
"""pollux-checkzone as its users meet it, and its records beside those that BIND's named-checkzone reads from the
same files. usage: checkzone_test.py CHECKZONE"""

import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

CHECKZONE = sys.argv.pop(1)
TESTS = Path(__file__).resolve().parent
SAMPLES = TESTS.parent / "zones" / "samples"
PEER = shutil.which("named-checkzone", path="/usr/bin:/usr/sbin")

# Types that end in octets which may be written in any number of words: how many words stand before them.
WORDS_BEFORE_DATA = {"DS": 3, "CDS": 3, "TLSA": 3, "SMIMEA": 3, "SSHFP": 2, "ZONEMD": 3, "DNSKEY": 3, "CDNSKEY": 3,
                     "KEY": 3, "CERT": 3, "RRSIG": 8, "SIG": 8, "IPSECKEY": 4, "OPENPGPKEY": 0, "DHCID": 0}
ANY_CASE = {"DS", "CDS", "TLSA", "SMIMEA", "SSHFP", "ZONEMD", "NSAP"}
MNEMONICS = {"CERT": {"PKIX": "1", "RSASHA256": "8", "PRIVATEOID": "254"}}


def run(*arguments):
    done = subprocess.run([CHECKZONE, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          errors="surrogateescape", timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def normal(line):
    """One record in a form that does not depend on who printed it."""
    owner, ttl, class_, kind, rdata = (line.split(None, 4) + [""])[:5]
    words = rdata.split(" ")
    if kind in WORDS_BEFORE_DATA:
        before = WORDS_BEFORE_DATA[kind]
        words = words[:before] + ["".join(words[before:])]
    words = [MNEMONICS.get(kind, {}).get(word, word) for word in words]
    rdata = " ".join(words)
    if kind in ANY_CASE:
        rdata = rdata.upper()
    # A peer without the later keys of SVCB names them by number.
    rdata = rdata.replace(" key7=", " dohpath=") if kind in ("SVCB", "HTTPS") else rdata
    return " ".join([owner.lower(), ttl, class_, kind, rdata])


def records(text):
    return sorted(normal(line) for line in text.splitlines() if line and not line.startswith(";"))


def peer_records(origin, path):
    done = subprocess.run([PEER, "-q", "-i", "none", "-k", "ignore", "-n", "ignore", "-D", "-F", "text", "-o", "-",
                           origin, str(path)], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, records(done.stdout)


class Records(unittest.TestCase):
    maxDiff = None

    def compare(self, origin, path):
        self.assertTrue(PEER, "named-checkzone is missing (apt-get install bind9-utils)")
        code, theirs = peer_records(origin, path)
        self.assertEqual(code, 0)
        code, out, err = run("--print", origin, path)
        self.assertEqual(code, 0, err)
        self.assertEqual(records(out), theirs)
        return len(theirs)

    def test_every_type_is_read_as_the_peer_reads_it(self):
        self.assertGreater(self.compare("example.com", SAMPLES / "example.com.zone"), 80)

    def test_every_odd_spelling_is_read_as_the_peer_reads_it(self):
        self.assertGreater(self.compare("odd.example", TESTS / "peer" / "odd.zone"), 70)

    def test_a_reverse_zone_is_read_as_the_peer_reads_it(self):
        origin = "16.0.123.in-addr.arpa"
        self.assertEqual(self.compare(origin, SAMPLES / f"{origin}.zone"), 3)

    def test_what_is_printed_reads_back_to_the_same_records(self):
        for origin, path in [("example.com", SAMPLES / "example.com.zone"), ("odd.example", TESTS / "peer" / "odd.zone")]:
            code, first, _ = run("--print", origin, path)
            self.assertEqual(code, 0)
            with tempfile.NamedTemporaryFile("w", suffix=".zone") as file:
                file.write(first)
                file.flush()
                code, second, err = run("--print", origin, file.name)
            self.assertEqual((code, second), (0, first), err)


class Tool(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="pollux-checkzone-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def zone(self, text, name="zone"):
        path = self.directory / name
        path.write_text(text, encoding="ascii")
        return path

    def test_a_good_zone_is_0_and_a_line_that_says_so(self):
        path = SAMPLES / "16.0.123.in-addr.arpa.zone"
        self.assertEqual(run("16.0.123.in-addr.arpa", path), (0, f"{path}: 3 records, 0 warnings\n", ""))
        self.assertEqual(run("-q", "16.0.123.in-addr.arpa.", path), (0, "", ""))

    def test_the_sample_that_the_manual_starts_with_has_no_warning(self):
        self.assertEqual(run("-W", "-q", "example.com", SAMPLES / "example.com.zone"), (0, "", ""))

    def test_a_name_server_without_an_address_is_a_warning(self):
        code, _, err = run("example-domain.com", SAMPLES / "example-domain.com.zone")
        self.assertEqual(code, 0)
        self.assertRegex(err, r"\A[^\n]+\.zone:\d+:\d+: warning: [^\n]+\n\Z")

    def test_every_error_has_its_file_line_and_column(self):
        included = self.zone("@ A 1.2.3\n", "included")
        path = self.zone("$TTL 60\n@ SOA ns root 1 2 3 4\n@ NS ns\nns A 1.2.3.999\nx FOO x\n@ IN MX\n"
                         "$INCLUDE included\nns A 192.0.2.1\n")
        code, out, err = run("test.example", path)
        self.assertEqual((code, out), (1, ""))
        places = re.findall(r"^(\S+?):(\d+):(\d+): error: .", err, re.MULTILINE)
        expected = [(str(path), "2", "22"), (str(path), "4", "6"), (str(path), "5", "3"), (str(path), "6", "8"),
                    (str(included), "1", "5")]
        self.assertEqual(places[:5], expected)

    def test_the_rules_of_the_whole_zone_are_applied(self):
        soa = "@ 60 SOA ns root 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.1\n"
        for bad in ["@ 60 SOA ns root 2 2 3 4 5\n", "www 60 CNAME ns\nwww 60 A 192.0.2.2\n"]:
            path = self.zone(soa + bad)
            code, _, err = run("test.example", path)
            self.assertEqual(code, 1, bad)
            self.assertRegex(err, re.compile(rf"^{re.escape(str(path))}:\d+:\d+: error: ", re.MULTILINE))
        code, _, err = run("test.example", self.zone("@ 60 NS ns.other.\n"))
        self.assertEqual(code, 1)
        self.assertIn(": error: ", err)

    def test_a_record_of_another_zone_is_a_warning(self):
        code, _, err = run("test.example", self.zone("@ 60 SOA n.o. r.o. 1 2 3 4 5\n@ 60 NS n.o.\nx.other. 60 A 192.0.2.1\n"))
        self.assertEqual(code, 0)
        self.assertRegex(err, r":3:\d+: warning: ")

    def test_an_unreadable_file_is_an_error(self):
        code, _, err = run("test.example", self.directory / "nowhere")
        self.assertEqual(code, 1)
        self.assertEqual(err, f"{self.directory}/nowhere: error: cannot read: No such file or directory\n")

    def test_errors_have_a_limit_that_can_be_chosen(self):
        path = self.zone("@ 60 A x\n" * 300)
        self.assertEqual(run("test.example", path)[2].count(": error: "), 100)
        self.assertEqual(run("-e", "7", "test.example", path)[2].count(": error: "), 7)
        self.assertEqual(run("--max-errors", "1000", "test.example", path)[2].count("expected an IPv4 address"), 300)

    def test_warnings_beyond_a_limit_that_can_be_chosen_are_counted(self):
        path = self.zone("x.elsewhere.org. 60 A 192.0.2.1\n" * 300)
        for limit, arguments in ((100, ()), (7, ("-w", "7")), (0, ("--max-warnings", "0"))):
            err = run(*arguments, "test.example", path)[2]
            self.assertEqual(err.count("is outside the zone"), limit)
            self.assertIn(f"{path}: warning: and {300 - limit} more warnings", err)
        err = run("-w", "1000", "test.example", path)[2]
        self.assertEqual((err.count("is outside the zone"), err.count("more warnings")), (300, 0))

    def test_stats_count_the_records_of_each_type(self):
        code, out, _ = run("--stats", "-q", "example.com", SAMPLES / "example.com.zone")
        self.assertEqual(code, 0)
        self.assertRegex(out, re.compile(r"^SOA +1$", re.MULTILINE))
        self.assertRegex(out, re.compile(r"^records +90$", re.MULTILINE))
        self.assertRegex(out, re.compile(r"^image +\d+ octets$", re.MULTILINE))

    def test_signatures_are_judged_by_the_time_given(self):
        rrsig = "RRSIG {} 13 2 60 20270101000000 20260101000000 1038 test.example. AAAA\n"
        path = self.zone("@ 60 SOA n.o. r.o. 1 2 3 4 5\n@ 60 " + rrsig.format("SOA") + "@ 60 NS n.o.\n@ 60 " + rrsig.format("NS")
                         + "@ 60 DNSKEY 257 3 13 AAAA\n@ 60 " + rrsig.format("DNSKEY")
                         + "@ 60 NSEC @ NS SOA RRSIG NSEC DNSKEY\n@ 60 " + rrsig.format("NSEC"))
        for time in ["20260601000000", "1780272000"]:
            self.assertEqual(run("-W", "--time", time, "test.example", path)[0::2], (0, ""))
        code, _, err = run("-t", "20280101000000", "test.example", path)
        self.assertEqual((code, err.count("warning: "), err.count("this RRSIG has expired")), (0, 4, 4))
        self.assertEqual(run("--warnings", "-t", "20280101000000", "test.example", path)[0], 1)

    def test_wrong_usage_is_2(self):
        for arguments in [[], ["example.com"], ["a", "b", "c"], ["--nonsense", "a", "b"], ["-e", "0", "a", "b"], ["-t", "20261301000000", "a", "b"],
                          ["a..b", "/dev/null"]]:
            code, out, err = run(*arguments)
            self.assertEqual((code, out), (2, ""), arguments)
            self.assertTrue(err, arguments)

    def test_help_and_version_go_to_standard_output(self):
        code, out, err = run("--help")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("usage: pollux-checkzone", out)
        code, out, err = run("--version")
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"\Apollux-checkzone \d+\.\d+\.\d+\n\Z")


if __name__ == "__main__":
    unittest.main()
