#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs gcc's analyzer over every source file of the program, with the flags of the build.

What it finds is shown; the allowed number is zero. Reads build/compile_commands.json. The result of a file
is kept until the file or a header changes, so a second run is short.
"""
import concurrent.futures
import hashlib
import json
import os
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build")
KEPT = os.path.join(BUILD, "analyzed")
# The analyzer of gcc 12 cannot see that an arena's or a loop's memory has another owner, and
# takes a stored file descriptor for a lost one.
OFF = ["-Wno-analyzer-malloc-leak", "-Wno-analyzer-fd-leak", "-Wno-analyzer-file-leak",
       "-Wno-analyzer-use-of-uninitialized-value"]


def analyzer_command(entry):
    words, out, skip = shlex.split(entry["command"]), [], False
    if words and words[0].endswith("ccache"):
        words = words[1:]
    for word in words:
        if skip:
            skip = False
        elif word in ("-o", "-MQ", "-MF"):
            skip = True
        elif not word.startswith(("-flto", "-Werror", "-MD", "-c")):
            out.append(word)
    return out + ["-fanalyzer", "-O1", "-U_FORTIFY_SOURCE", "-w", "-Wanalyzer-null-dereference",
                  "-Wanalyzer-use-after-free", "-Wanalyzer-double-free", "-Wanalyzer-free-of-non-heap",
                  "-fdiagnostics-plain-output", "-S", "-o", "/dev/null"] + OFF


def analyze(entry, headers):
    source = os.path.join(entry["directory"], entry["file"])
    command = analyzer_command(entry)
    with open(source, "rb") as f:
        mark = hashlib.sha256(f.read() + headers + " ".join(command).encode()).hexdigest()
    kept = os.path.join(KEPT, mark)
    if os.path.exists(kept):
        return source, ""
    out = subprocess.run(command, cwd=entry["directory"], capture_output=True, text=True)
    if out.returncode == 0 and "analyzer-" not in out.stderr:
        open(kept, "w").close()
        return source, ""
    return source, out.stderr


def main():
    path = os.path.join(BUILD, "compile_commands.json")
    if not os.path.exists(path):
        print("analyze: build first", file=sys.stderr)
        return 1
    os.makedirs(KEPT, exist_ok=True)
    with open(path, encoding="utf-8") as f:
        entries = [e for e in json.load(f) if e["file"].endswith(".c") and "_test.c" not in e["file"]
                   and "/src/" in os.path.abspath(os.path.join(e["directory"], e["file"]))]
    headers = hashlib.sha256()
    for at, _, files in sorted(os.walk(os.path.join(ROOT, "src"))):
        for name in sorted(files):
            if name.endswith((".h", ".def")):
                with open(os.path.join(at, name), "rb") as f:
                    headers.update(f.read())
    found = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for source, text in pool.map(lambda e: analyze(e, headers.digest()), entries):
            if text:
                found += 1
                print(f"not ok {os.path.relpath(source, ROOT)}\n{text[:4000]}")
    print(f"{'not ok' if found else 'ok'} analyze: {len(entries)} files, {found} with findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
