#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-3-Clause
"""pollux-checkconf from outside. usage: checkconf_test.py PROGRAM SAMPLES"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM, SAMPLES = sys.argv[1:]


class Run:
    def __init__(self, *arguments):
        done = subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr


def written(folder, text, name="t.conf"):
    path = Path(folder, name)
    path.write_text(text)
    return path


def help_and_version_go_to_stdout_and_succeed(_):
    for word in ("--help", "-h"):
        run = Run(word)
        assert run.status == 0 and run.out.startswith("usage:") and run.err == "", run.out + run.err
    for word in ("--version", "-V"):
        run = Run(word)
        assert run.status == 0 and re.fullmatch(r"pollux-checkconf \d+\.\d+\.\d+\n", run.out), run.out


def wrong_arguments_end_with_2_and_the_usage(folder):
    good = written(folder, "name: x\n")
    for arguments in ((), (good, good), ("--nonsense",), ("--options", good), ("--print",), ("--print", "--mdoc")):
        run = Run(*arguments)
        assert run.status == 2 and "usage:" in run.err and run.out == "", (arguments, run.status, run.out, run.err)


def a_file_that_is_not_there_ends_with_1(folder):
    run = Run(Path(folder, "none"))
    assert run.status == 1 and "none: error: cannot open: No such file" in run.err, run.err


def every_error_is_a_line_with_file_line_and_column_and_the_status_is_1(folder):
    path = written(folder, "nam: x\nlog: {level: loud, target: 7}\nports: [5]\nzone-list: l\n")
    run = Run(path)
    errors = run.err.splitlines()
    assert run.status == 1 and run.out == "" and len(errors) == 4, run.err
    for line, place in zip(errors, ("1:1", "2:14", "2:28", "3:9")):
        assert line.startswith(f"{path}:{place}: error: "), line


def warnings_alone_end_with_0(folder):
    run = Run(written(folder, ""))
    assert run.status == 0 and ": warning: " in run.err and " good: 0 ports, 0 zones" in run.out, run.err


def a_zone_file_that_cannot_be_read_is_a_warning_with_its_line(folder):
    written(folder, "b.example\tb.zone\n", "list")
    path = written(folder, "zones:\n- {name: a.example, file: a.zone}\nzone-list: list\n")
    run = Run(path)
    assert run.status == 0, run.err
    assert f"{path}:2: warning: zone 'a.example.': {folder}/a.zone: No such file" in run.err, run.err
    assert f"{folder}/list:1: warning: zone 'b.example.': {folder}/b.zone: No such file" in run.err, run.err


def errors_of_the_zone_list_count(folder):
    written(folder, "# zones\nb..example\tb.zone\n", "list")
    run = Run(written(folder, "zone-list: list\n"))
    assert run.status == 1 and f"{folder}/list:2:1: error: 'b..example' is not a domain name" in run.err, run.err


def zone_files_are_read_when_asked_for_and_their_errors_name_their_lines(folder):
    zone = written(folder, "@ 60 SOA ns mail 1 2 3 4 5\n@ 60 NS ns\nns 60 A 198.18.0.300\n", "a.zone")
    path = written(folder, "zones: [{name: a.example, file: a.zone}]\n")
    assert Run(path).status == 0
    run = Run("--zones", path)
    assert run.status == 1 and f"{zone}:3:" in run.err and "error:" in run.err, run.err
    zone.write_text(zone.read_text().replace("300", "3"))
    run = Run("--zones", path)
    assert run.status == 0, run.err
    zone.unlink()
    run = Run("--zones", path)
    assert run.status == 1 and f"{zone}: error: " in run.err, run.err


def what_it_prints_is_a_configuration_with_the_same_meaning(folder):
    for sample in sorted(Path(SAMPLES).glob("*.conf")):
        first = Run("--print", sample)
        assert first.status == 0, first.err
        again = Run("--print", written(folder, first.out, sample.name))
        assert again.status == 0 and again.out == first.out, again.err + again.out


def the_options_are_listed_with_default_and_effect(_):
    run = Run("--options")
    keys = [line for line in run.out.splitlines() if line and not line.startswith(" ")]
    assert run.status == 0 and len(keys) > 25 and "forward.timeout" in keys and "ports[].addresses" in keys, run.out
    assert run.out.count("changes take") == len(keys), run.out
    assert all(len(line) <= 104 for line in run.out.splitlines()), run.out


def main():
    tests = [test for name, test in globals().items() if callable(test) and name.islower() and test.__module__ == "__main__"
             and name not in ("main", "written")]
    print(f"1..{len(tests)}")
    failed = 0
    for number, test in enumerate(tests, 1):
        with tempfile.TemporaryDirectory(prefix="pollux-checkconf-") as folder:
            try:
                test(folder)
                verdict = "ok"
            except AssertionError as error:
                verdict = "not ok"
                failed += 1
                print("\n".join("# " + line for line in str(error).splitlines()))
        print(f"{verdict} {number} - {test.__name__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
