#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test there is and closes with one line: N passed, N failed, N skipped.

Called by `make test` when everything is built. The release binary and the sanitizer binary go
through the same unit tests, corpus and scenarios. Each step's output is kept in build/test/NAME.log and
shown when it fails. Arguments name the steps to run; without arguments: all.
"""
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "build", "test")
PYTEST = os.path.join(ROOT, "build", "venv", "bin", "pytest")
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "LSAN_OPTIONS": "exitcode=99",
}


class Counts:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def why_missing(name):
    """The reason scripts/setup.sh left behind when it could not install something."""
    try:
        with open(os.path.join(ROOT, "build", "setup", name + ".why"), encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return None


def run(name, command, limit_s, env=None):
    """Returns (exit code, seconds, output); the output is also in build/test/NAME.log."""
    started = time.monotonic()
    log = os.path.join(OUT, name + ".log")
    with open(log, "w", encoding="utf-8") as f:
        child = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=f,
                                 stderr=subprocess.STDOUT, env=dict(os.environ, **(env or {})))
        try:
            code = child.wait(limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            code = -1
            f.write(f"\nstopped after {limit_s} s\n")
    with open(log, encoding="utf-8", errors="replace") as f:
        text = f.read()
    return code, time.monotonic() - started, text


def show(text, lines=80):
    kept = text.rstrip().split("\n")
    if len(kept) > lines:
        print(f"   ... {len(kept) - lines} lines before are in the log")
    for line in kept[-lines:]:
        print("   " + line)


def meson_counts(folder):
    """From Meson's log: the cases that each cmocka program reports, or the program as one."""
    counts, failures = Counts(), []
    with open(os.path.join(ROOT, folder, "meson-logs", "testlog.json"), encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            text = (row.get("stdout") or "") + "\n" + (row.get("stderr") or "")
            def cases(word):
                return sum(int(n) for n in re.findall(r"\[  %s\s*\] (\d+) test\(s\)" % word, text))
            passed, failed, skipped = cases("PASSED"), cases("FAILED"), cases("SKIPPED")
            if row["result"] in ("OK", "EXPECTEDFAIL"):
                counts.add(Counts(passed or (0 if skipped else 1), 0, skipped))
            elif row["result"] == "SKIP":
                counts.add(Counts(skipped=1))
            else:
                counts.add(Counts(passed, failed or 1, skipped))
                failures.append(f"{row['name']}: {row['result']}\n{text}")
    return counts, failures


def step_meson(name, folder, limit_s):
    code, seconds, text = run(name + "-build", ["ninja", "--quiet", "-C", folder], 900)
    if code:
        show(text)
        return Counts(failed=1), seconds
    log = os.path.join(ROOT, folder, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.remove(log)
    code, took, text = run(name, ["meson", "test", "-C", folder, "--no-rebuild", "--print-errorlogs",
                                  "--timeout-multiplier", "4"], limit_s, SANITIZERS)
    seconds += took
    if not os.path.exists(log):
        show(text)
        return Counts(failed=1), seconds
    counts, failures = meson_counts(folder)
    for failure in failures:
        show(failure)
    if code and not counts.failed:
        counts.failed = 1
        show(text)
    return counts, seconds


def step_rules(name):
    code, seconds, text = run(name, [sys.executable, "scripts/layers.py", "--no-format"], 120)
    counts = Counts(len(re.findall(r"^ok ", text, re.M)), len(re.findall(r"^not ok ", text, re.M)),
                    len(re.findall(r"^skip ", text, re.M)))
    if code:
        show(text)
        counts.failed = counts.failed or 1
    return counts, seconds


def step_pytest(name, folder, binary, limit_s):
    if not os.path.exists(PYTEST):
        why = why_missing("python") or "pytest is not installed"
        print(f"   skipped: {why}")
        return Counts(skipped=1), 0.0
    report = os.path.join(OUT, name + ".xml")
    if os.path.exists(report):
        os.remove(report)
    env = dict(SANITIZERS, SLUICE_BIN=os.path.join(ROOT, binary), PYTHONDONTWRITEBYTECODE="1")
    for tool in ("node", "clients", "openssl", "clang"):
        why = why_missing(tool)
        if why:
            env["SLUICE_NO_" + tool.upper()] = why
    code, seconds, text = run(name, [PYTEST, "-q", "-n", "2", "--dist", "loadfile", "--timeout", "120",
                                     "-p", "no:cacheprovider", "-rs", "--junitxml", report, folder],
                              limit_s, env)
    counts = Counts()
    if os.path.exists(report):
        for suite in xml.parse(report).getroot().iter("testsuite"):
            total, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
            failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            counts.add(Counts(total - failed - skipped, failed, skipped))
    if code not in (0, 5) and not counts.failed:
        counts.failed = 1
    if counts.failed:
        show(text, 200)
    else:
        for line in re.findall(r"^SKIPPED.*$", text, re.M):
            print("   " + line)
    return counts, seconds


def main():
    os.makedirs(OUT, exist_ok=True)
    os.environ.setdefault("HOME", OUT)
    steps = [
        ("rules", lambda n: step_rules(n)),
        ("unit", lambda n: step_meson(n, "build-unit", 300)),
        ("unit-sanitized", lambda n: step_meson(n, "build-san", 400)),
        ("scenarios", lambda n: step_pytest(n, "tests/scenarios", "build/sluice", 540)),
        ("scenarios-sanitized", lambda n: step_pytest(n, "tests/scenarios", "build-san/sluice", 720)),
        ("clients", lambda n: step_pytest(n, "tests/clients", "build/sluice", 200)),
    ]
    wanted = sys.argv[1:]
    unknown = [w for w in wanted if w not in [name for name, _ in steps]]
    if unknown:
        print(f"no such step: {' '.join(unknown)}", file=sys.stderr)
        return 2
    total = Counts()
    for name, step in steps:
        if wanted and name not in wanted:
            continue
        print(f"== {name}", flush=True)
        counts, seconds = step(name)
        print(f"   {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"
              f" in {seconds:.0f} s", flush=True)
        total.add(counts)
    print(f"{total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
