#!/usr/bin/env python3
"""Runs every suite of a build from its package's folder, as `cargo test` does: one after another, and beside them, at the lowest
priority, those that are nothing but work for the processor. Reads what `cargo test --no-run --message-format=json` prints; says
how many seconds each took. Exit code 1 if one failed.
"""

import json
import os
import pathlib
import subprocess
import sys
import threading
import time

# Packages whose tests ask no server and look at no clock. Whatever is not named has the processor's first attention.
BESIDE = {"domain", "profiles", "described", "simulation"}

# Packages whose tests wait for timers of a broker most of the time: so many of them at once, however few processors there are.
AT_ONCE = {"kafka": "6"}

# Where the kernel shares by session, a session has a priority of its own.
LAST = '{ echo 19 >/proc/self/autogroup; } 2>/dev/null; exec nice -n 19 "$0"'


class Suite:
    def __init__(self, artifact):
        target = artifact["target"]
        folder = pathlib.Path(artifact["manifest_path"]).parent
        self.folder = folder
        self.binary = artifact["executable"]
        self.name = f"{folder.name}: {pathlib.Path(target['src_path']).relative_to(folder)}"
        self.is_beside = folder.name in BESIDE
        self.environment = dict(os.environ)
        if folder.name in AT_ONCE:
            self.environment.setdefault("RUST_TEST_THREADS", AT_ONCE[folder.name])

    def run(self, command, **streams):
        began = time.monotonic()
        done = subprocess.run(
            [*command, self.binary], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, **streams
        )
        self.said = done.stdout
        self.is_well = done.returncode == 0
        self.seconds = time.monotonic() - began


def tests(lines):
    for message in map(json.loads, lines):
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            yield Suite(message)


def beside(suites):
    for suite in suites:
        suite.run(["sh", "-c", LAST], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def main():
    suites = sorted(tests(sys.stdin), key=lambda suite: suite.name)
    others = [suite for suite in suites if suite.is_beside]
    thread = threading.Thread(target=beside, args=[others])
    thread.start()
    for suite in suites:
        if not suite.is_beside:
            print(f"\n     Running {suite.name}", flush=True)
            suite.run([])
    thread.join()
    for suite in others:
        print(f"\n     Ran beside them {suite.name}", flush=True)
        sys.stdout.buffer.write(suite.said)
    print("\nseconds")
    for suite in suites:
        print(f"{suite.seconds:7.1f}  {suite.name}{' (beside)' if suite.is_beside else ''}{'' if suite.is_well else '  FAILED'}")
    failed = [suite.name for suite in suites if not suite.is_well]
    if failed:
        print("failed: " + ", ".join(failed))
    sys.exit(bool(failed) or not suites)


main()
