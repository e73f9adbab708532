#!/usr/bin/python3 -I
# SPDX-License-Identifier: BSD-3-Clause
"""What `meson install` leaves on a machine. usage: install_test.py BUILD_DIRECTORY"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1]).resolve()
EXPECTED = """
bin/pollux-checkconf
bin/pollux-checkzone
sbin/pollux-control
sbin/pollux-dataplane
sbin/polluxctl
etc/pollux/pollux.conf.sample
lib/systemd/system/pollux-control.service
lib/systemd/system/pollux-dataplane.service
lib/systemd/system/pollux.target
share/man/man1/pollux-checkconf.1
share/man/man1/pollux-checkzone.1
share/man/man5/pollux.conf.5
share/man/man8/pollux-control.8
share/man/man8/pollux-dataplane.8
share/man/man8/polluxctl.8
include/pollux/plugin.h
share/pollux/zones/example-domain.com.zone
""".split()


def run(*command, **more):
    return subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **more)


def install(folder):
    done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", env={**os.environ, "DESTDIR": str(folder)})
    assert done.returncode == 0, done.stdout


def prefix_of(folder):
    """The place of the installed files; /etc stands outside of /usr."""
    found = list(folder.rglob("sbin/pollux-dataplane"))
    assert len(found) == 1, found
    return found[0].parent.parent


def all_files_are_in_their_places(folder):
    prefix = prefix_of(folder)
    missing = [name for name in EXPECTED
               if not (prefix / name).is_file() and not (folder / name).is_file()]
    assert not missing, missing


def an_operators_configuration_survives_another_installation(folder):
    sample = next(folder.rglob("pollux.conf.sample"))
    mine = sample.with_name("pollux.conf")
    mine.write_text("name: mine\n")
    install(folder)
    assert mine.read_text() == "name: mine\n"
    mine.unlink()


def the_units_start_what_was_installed(folder):
    for unit in folder.rglob("*.service"):
        for command in re.findall(r"^Exec(?:Start|Reload)=(/\S+)", unit.read_text(), re.M):
            assert (folder / command.lstrip("/")).is_file(), f"{unit.name}: {command}"
        config = re.search(r"--config (\S+)", unit.read_text())[1]
        assert (folder / (config.lstrip("/") + ".sample")).is_file(), config


def the_units_restart_at_once_for_ever_and_alone(folder):
    for unit in folder.rglob("pollux*.service"):
        text = unit.read_text()
        for line in ("Restart=always", "RestartSec=50ms", "StartLimitIntervalSec=0", "Type=notify"):
            assert f"\n{line}\n" in text, f"{unit.name}: {line}"
        assert not re.search(r"^(BindsTo|Requires|Requisite)=", text, re.M), unit.name
    for wanted in ("pollux-dataplane.service", "pollux-control.service"):
        assert wanted in next(folder.rglob("pollux.target")).read_text()


def the_installed_programs_know_their_version(folder):
    for program in [*folder.rglob("sbin/pollux*"), *folder.rglob("bin/pollux-*")]:
        for word in ("--version", "--help"):
            done = run(program, word)
            assert done.returncode == 0 and done.stdout, f"{program.name} {word}: {done.returncode} {done.stdout}"


def systemd_finds_nothing_wrong_in_the_units(folder):
    analyze = shutil.which("systemd-analyze")
    assert analyze, "systemd-analyze is missing (apt-get install systemd)"
    done = run(analyze, "verify", "--man=no", *sorted(folder.rglob("pollux*.service")), *folder.rglob("pollux.target"))
    # The programs are below DESTDIR, where systemd does not look.
    lines = [line for line in done.stdout.splitlines()
             if "pollux" in line and not re.search(r"is not executable: No such file", line)]
    assert not lines, "\n".join(lines)


def every_option_is_in_the_manual(folder):
    options = run(next(folder.rglob("bin/pollux-checkconf")), "--options").stdout
    keys = [line for line in options.splitlines() if line and not line.startswith(" ")]
    page = next(folder.rglob("pollux.conf.5")).read_text()
    missing = [key for key in keys if f".It Ic {key}\n" not in page]
    assert keys and not missing, missing


def every_program_option_is_in_its_manual(folder):
    for program in [*folder.rglob("sbin/pollux*"), *folder.rglob("bin/pollux-*")]:
        pages = list(folder.rglob(f"{program.name}.[18]"))
        assert pages, f"{program.name} has no manual page"
        page = pages[0].read_text().replace("\\", "")
        for word in sorted(set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", run(program, "--help").stdout))):
            assert f"-{word}" in page, f"{program.name} --{word}"


def every_command_is_in_the_manual(folder):
    table = Path(__file__).parent.parent / "control" / "commands.def"
    commands = re.findall(r'^COMMAND\("([^"]+)"', table.read_text(), re.M)
    page = next(folder.rglob("polluxctl.8")).read_text()
    missing = [words for words in commands if not re.search(rf"^\.It Ic {words}( Li .*)?$", page, re.M)]
    assert commands and not missing, missing


TESTS = [
    all_files_are_in_their_places,
    an_operators_configuration_survives_another_installation,
    the_units_start_what_was_installed,
    the_units_restart_at_once_for_ever_and_alone,
    the_installed_programs_know_their_version,
    systemd_finds_nothing_wrong_in_the_units,
    every_option_is_in_the_manual,
    every_program_option_is_in_its_manual,
    every_command_is_in_the_manual,
]


def main():
    failed = 0
    with tempfile.TemporaryDirectory(prefix="pollux-install-") as name:
        folder = Path(name)
        install(folder)
        for test in TESTS:
            try:
                test(folder)
                print(f"ok: {test.__name__}")
            except AssertionError as error:
                failed += 1
                print(f"FAILED: {test.__name__}: {error}")
    return 1 if failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    sys.exit(main())
