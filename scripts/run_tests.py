#!/usr/bin/env python3
"""Run the tests and end with one line of counts: the last step of `make test`.

Runs ctest on the build of a CMake preset (GoogleTest programs, fuzz corpora), then pytest
(tests/, tools/, scripts/). What is labelled or marked `slow` runs with --slow only. Every single case
is counted, from the JUnit files that GoogleTest and pytest write; a program that ends without one
(a crash, a time-out) counts as one failure. The exit code is 0 only when something ran and nothing
failed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST_FOLDERS = ("tests", "tools", "scripts")
NO_TESTS_COLLECTED = 5  # pytest's exit code


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, name, outcome):
        setattr(self, outcome, getattr(self, outcome) + 1)
        if outcome == "failed":
            self.failures.append(name)

    def line(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def outcome_of(case):
    """The outcome of one <testcase>, in GoogleTest's, ctest's or pytest's dialect of JUnit."""
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        return "failed"
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def count_junit(path, counts, prefix=""):
    """Add a file's cases to `counts`; returns their outcomes."""
    outcomes = []
    for case in ElementTree.parse(path).iter("testcase"):
        outcome = outcome_of(case)
        if case.get("status") == "notrun" and "DISABLED_" in case.get("name", ""):
            continue
        name = ".".join(part for part in (case.get("classname"), case.get("name")) if part)
        counts.add(f"{prefix}{name}", outcome)
        outcomes.append(outcome)
    return outcomes


def run_ctest(args, folder, results, counts, environment):
    """Run ctest and count: each GoogleTest case where a program wrote its own file, else the program."""
    cases = results / "gtest"
    cases.mkdir()
    # No two programs share a file: GoogleTest numbers files whose names would clash.
    environment = {**environment, "GTEST_OUTPUT": f"xml:{cases}/"}
    junit = results / "ctest.xml"
    command = ["ctest", "--test-dir", str(folder), "--output-on-failure", "--no-tests=error", "-j", str(args.jobs),
               "--output-junit", str(junit)]
    if not args.slow:
        command += ["-LE", "slow"]
    if args.filter:
        command += ["-R", args.filter]
    code = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL).returncode
    if not junit.exists():
        counts.add("ctest itself: no test program was run", "failed")
        return
    for test in ElementTree.parse(junit).iter("testcase"):
        own = cases / f"{test.get('name')}.xml"
        failed = outcome_of(test) == "failed"
        outcomes = []
        if own.exists():
            try:
                outcomes = count_junit(own, counts, f"{test.get('name')}: ")
            except ElementTree.ParseError:
                failed = True  # the program ended while it wrote
        # A crash after the last case, or a program without cases of its own.
        if not outcomes or (failed and "failed" not in outcomes):
            counts.add(test.get("name"), "failed" if failed else outcome_of(test))
    if code != 0 and counts.failed == 0:
        counts.add(f"ctest ended with exit code {code}", "failed")


def run_pytest(args, results, counts, environment):
    folders = [name for name in PYTEST_FOLDERS if (ROOT / name).is_dir()]
    junit = results / "pytest.xml"
    command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={junit}", *folders]
    if not args.slow:
        command += ["-m", "not slow"]
    if args.filter:
        command += ["-k", args.filter]
    code = subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL).returncode
    if junit.exists():
        count_junit(junit, counts, "pytest: ")
    if code not in (0, NO_TESTS_COLLECTED) and counts.failed == 0:
        counts.add(f"pytest ended with exit code {code}", "failed")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="release", help="which CMake preset's build to test (default: release)")
    parser.add_argument("--slow", action="store_true", help="run the slow tests as well")
    parser.add_argument("--filter", help="only what matches (ctest -R, pytest -k)")
    parser.add_argument("--no-ctest", dest="ctest", action="store_false")
    parser.add_argument("--no-pytest", dest="pytest", action="store_false")
    parser.add_argument("--jobs", "-j", type=int, default=min(os.cpu_count() or 1, 4), help="test programs at a time")
    args = parser.parse_args()

    folder = ROOT / ("build" if args.preset == "release" else f"build-{args.preset}")
    results = folder / "test-results"
    shutil.rmtree(results, ignore_errors=True)
    results.mkdir(parents=True)
    environment = {
        **os.environ,
        # The tests' own tools come first: pinned Python packages and Node.
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
        "MORAINE_SOURCE_DIR": str(ROOT),
        "MORAINE_BUILD_DIR": str(folder),
    }
    # What a user set for the program must not change what the tests see.
    for name in [n for n in environment if n.startswith(("MORAINE_", "LLAMA_ARG_"))]:
        if name not in ("MORAINE_SOURCE_DIR", "MORAINE_BUILD_DIR"):
            del environment[name]
    counts = Counts()
    began = time.monotonic()
    if args.ctest:
        print(f"\n== Unit tests ({folder.name}) ==", flush=True)
        run_ctest(args, folder, results, counts, environment)
    if args.pytest:
        print("\n== Tests of the program (pytest) ==", flush=True)
        run_pytest(args, results, counts, environment)

    print(f"\n== All together, {time.monotonic() - began:.0f} s ==")
    for name in counts.failures:
        print(f"FAILED {name}")
    if counts.passed + counts.failed == 0:
        print("No test ran.")
        counts.failed = 1
    print(counts.line(), flush=True)
    return 1 if counts.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
