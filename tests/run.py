#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-3-Clause
"""Builds, runs every test and prints one line for each: the work behind tools/test, see there."""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GCC, CLANG, SANITIZED = ROOT / "build", ROOT / "build-clang", ROOT / "build-asan"
LOG_LINES = 60
SANITIZER_ENVIRONMENT = {
    "ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}


class Tally:
    """Counts and prints. A line that does not match --only is neither printed nor counted."""

    def __init__(self, only):
        self.only = re.compile(only) if only else None
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def wants(self, sentence):
        return not self.only or bool(self.only.search(sentence))

    def add(self, verdict, sentence, log="", seconds=None, always=False):
        if not self.wants(sentence) and not (always and verdict == "FAIL"):
            return
        took = f"  ({seconds:.1f} s)" if seconds is not None and seconds >= 0.5 else ""
        print(f"{verdict} {sentence}{took}", flush=True)
        if verdict == "PASS":
            self.passed += 1
        elif verdict == "SKIP":
            self.skipped += 1
        else:
            self.failed += 1
            self.failures.append(sentence)
        if verdict == "FAIL" and log.strip():
            lines = log.rstrip().splitlines()
            if len(lines) > LOG_LINES:
                lines = [f"... {len(lines) - LOG_LINES} lines before"] + lines[-LOG_LINES:]
            print("\n".join(f"     | {line}" for line in lines), flush=True)


def run(command, **more):
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", **more) as process:
        try:
            output = process.communicate()[0]
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)  # twice for those that Ctrl-C reached by itself, which does no harm
            try:
                process.communicate(timeout=15)  # what it runs goes with it
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, output)


def build(tally, directory, sentence, options, compiler):
    """True when the directory holds a fresh build."""
    began = time.monotonic()
    environment = {**os.environ, "CC": compiler}
    configured = (directory / "build.ninja").exists()
    command = ["/usr/bin/meson", "setup", *(["--reconfigure"] if configured else []), directory, "-Dwerror=true", *options]
    done = run(command, cwd=ROOT, env=environment)
    if done.returncode != 0 and configured:
        shutil.rmtree(directory)  # another version's or another compiler's leftovers
        done = run([word for word in command if word != "--reconfigure"], cwd=ROOT, env=environment)
    if done.returncode == 0:
        done = run(["ninja", "-C", directory], cwd=ROOT)
    verdict = "PASS" if done.returncode == 0 else "FAIL"
    tally.add(verdict, sentence, done.stdout, time.monotonic() - began, always=True)
    return verdict == "PASS"


def tap_tests(text):
    """Verdict, name and the diagnosis around each test of a TAP stream."""
    notes = []
    for line in text.splitlines():
        match = re.match(r"(not )?ok\s+\d+\s*(?:-\s*)?(.*)", line)
        if not match:
            notes.append(line)
            continue
        name, _, directive = match[2].partition(" # ")
        verdict = "FAIL" if match[1] else "SKIP" if directive.lower().startswith("skip") else "PASS"
        yield verdict, name.strip(), directive, "\n".join(notes)
        notes = []


def meson_suite(tally, directory, suite, label, environment=None):
    """Runs one suite of `meson test` and counts what is inside each executable."""
    done = run(["/usr/bin/meson", "test", "-C", directory, "--suite", suite, "--no-rebuild", "--timeout-multiplier", "4"],
               env={**os.environ, **(environment or {})})
    log = directory / "meson-logs" / "testlog.json"
    if "No suitable tests defined" in done.stdout or not log.exists():
        if "No suitable tests defined" not in done.stdout:
            tally.add("FAIL", f"{label}: meson test runs", done.stdout, always=True)
        return
    for line in log.read_text().splitlines():
        one = json.loads(line)
        name = one["name"].split(" / ")[-1].replace("pollux:", "")
        output = one.get("stdout", "") + one.get("stderr", "")
        inside = list(tap_tests(one.get("stdout", ""))) if suite == "unit" else []
        for verdict, test, directive, notes in inside:
            sentence = f"{label} {name}: {test.replace('_', ' ')}"
            tally.add(verdict, f"{sentence} ({directive})" if directive else sentence,
                      notes + "\n" + one.get("stderr", "") if verdict == "FAIL" else "")
        good = one["result"] in ("OK", "EXPECTEDFAIL")
        if one["result"] in ("OK", "SKIP") and not inside and any(word.endswith("_test") for word in one["command"]):
            good, one["result"] = False, "no test done"
        if not inside or (not good and not any(verdict == "FAIL" for verdict, *_ in inside)):
            tally.add("PASS" if good else "SKIP" if one["result"] == "SKIP" else "FAIL",
                      f"{label} {name}" + ("" if good else f" ends with {one['result']}"), output,
                      always=suite == "unit")
    log.unlink()


def flow_file(tally, path, options):
    """An end-to-end file prints TAP as its tests end; a file that dies counts as a failure."""
    command = [path, *(["--quick"] if options.quick else []), *(["--only", options.only] if options.only else [])]
    label = path.name.removesuffix("_test.py").replace("_", " ")
    began, notes, ran, failed, planned = time.monotonic(), [], 0, 0, None
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          env={**os.environ, "POLLUX_BUILD": str(GCC), "POLLUX_SANITIZED": str(SANITIZED)}) as process:
        try:
            for line in process.stdout:
                for verdict, name, directive, _ in tap_tests(line):
                    tally.add(verdict, f"flow {label}: {name}" + (f" ({directive})" if directive else ""),
                              "\n".join(notes), time.monotonic() - began)
                    began, notes, ran, failed = time.monotonic(), [], ran + 1, failed + (verdict == "FAIL")
                    break
                else:
                    plan = re.match(r"1\.\.(\d+)$", line)
                    planned = int(plan[1]) if plan else planned
                    notes.append(line.rstrip("\n"))
        except BaseException:
            process.send_signal(signal.SIGTERM)  # its rigs go with it
            process.wait()
            raise
    if process.returncode != (1 if failed else 0) or ran != planned:
        tally.add("FAIL", f"flow {label}: the file ends with status {process.returncode} after {ran} of "
                  f"{'an unknown number of' if planned is None else planned} tests", "\n".join(notes), always=True)


def scripts_are_clean(tally):
    scripts = [path for path in (*ROOT.glob("tools/*"), *ROOT.glob(".ci/*"), *ROOT.glob("tests/**/*.sh"))
               if path.is_file() and path.read_bytes()[:20].startswith((b"#!/bin/bash", b"#!/bin/sh"))]
    done = run(["shellcheck", *scripts])
    tally.add("PASS" if done.returncode == 0 else "FAIL", "house: shellcheck finds nothing in the shell scripts", done.stdout)


def main():
    parser = argparse.ArgumentParser(prog="tools/test")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    flows = sorted((ROOT / "tests" / "flow").glob("*_test.py"))
    if options.list:
        for path in flows:
            subprocess.run([str(path), "--list"], check=True)
        return 0

    try:
        tally, began = Tally(options.only), time.monotonic()
    except re.error as error:
        parser.error(f"--only {options.only}: {error}")
    try:
        run_all(options, tally, flows)
    except KeyboardInterrupt:
        tally.add("FAIL", "interrupted before the end", always=True)
    except OSError as error:
        tally.add("FAIL", f"the run ends early: {error}", always=True)
    # On a machine for tests nothing may be missing that a test could be skipped for.
    if os.environ.get("CI") and tally.skipped and not options.quick:
        tally.add("FAIL", f"{tally.skipped} tests were skipped, and CI leaves out none", always=True)
    ran = tally.passed + tally.failed
    if tally.failures:
        print("\nFailed:")
        print("\n".join(f"  {sentence}" for sentence in tally.failures))
    if not ran:
        print("nothing ran")
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{tally.passed} passed, {tally.failed} failed" + (f", {tally.skipped} skipped" if tally.skipped else ""))
    return 0 if ran and not tally.failed else 1


def run_all(options, tally, flows):
    missing = run([ROOT / "tools" / "packages", "missing", "build", "run", "test"])
    if missing.returncode != 0:
        tally.add("FAIL", "every package is installed", missing.stdout, always=True)
    scripts_are_clean(tally)
    built = build(tally, GCC, "build: gcc builds everything without a warning", [], "gcc")
    sanitized = False
    if built:
        meson_suite(tally, GCC, "house", "house")
        meson_suite(tally, GCC, "unit", "unit")
        meson_suite(tally, GCC, "scenario", "scenario")
    # A chosen test hardly ever needs the other builds: only one that speaks of them.
    if not options.quick and (not options.only or re.search("sanit|clang|fuzz", options.only)):
        if tally.wants("build: clang builds everything without a warning"):
            build(tally, CLANG, "build: clang builds everything without a warning", [], "clang")
        sanitized = build(tally, SANITIZED, "build: gcc builds everything with the sanitizers",
                          ["-Db_sanitize=address,undefined", "-Db_lundef=false"], "gcc")
        if sanitized:
            meson_suite(tally, SANITIZED, "unit", "unit, sanitized,", SANITIZER_ENVIRONMENT)
            meson_suite(tally, SANITIZED, "scenario", "scenario, sanitized,", SANITIZER_ENVIRONMENT)
            meson_suite(tally, SANITIZED, "fuzz", "fuzz, sanitized,", SANITIZER_ENVIRONMENT)
    elif built:
        meson_suite(tally, GCC, "fuzz", "fuzz")
    if built:
        for path in flows:
            flow_file(tally, path, options)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    sys.exit(main())
