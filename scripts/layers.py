#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the house rules that a compiler does not: who may include whom, and what may stand where.

src/LAYERS has one line a folder: what it may include besides itself. Prints one line a rule
("ok NAME" or "not ok NAME" with the places) and returns 1 when one is broken. `--no-format` leaves
the formatter out (its releases disagree); `--report` adds the longest functions and files.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BANNED = ("strcpy strcat sprintf vsprintf gets system popen alloca strtok atoi atol atof strncpy "
          "tmpnam mktemp").split()
FUNCTION_LINES, FILE_LINES = 60, 800  # guide values: reported, not refused


def tracked():
    """Files of the tree, known to git or about to be."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT,
                         capture_output=True, text=True)
    if out.returncode == 0:
        names = out.stdout.split("\n")
    else:  # a tarball
        names = [os.path.relpath(os.path.join(at, f), ROOT) for at, dirs, files in os.walk(ROOT)
                 for f in files if "/build" not in at and "node_modules" not in at]
    return sorted(n for n in set(names) if n and os.path.isfile(os.path.join(ROOT, n)))


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def without_comments(text):
    """The same lines with comments blanked, strings kept."""
    def blank(match):
        found = match.group(0)
        return found if found[0] in "\"'" else re.sub(r"[^\n]", " ", found)
    return re.sub(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', blank, text,
                  flags=re.S)


def without_strings(text):
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', without_comments(text))


def lines_matching(name, text, pattern):
    return [f"{name}:{n}: {line.strip()[:100]}" for n, line in enumerate(text.split("\n"), 1)
            if re.search(pattern, line)]


class Tree:
    def __init__(self):
        self.files = tracked()
        self.c = [n for n in self.files if n.startswith("src/") and n.endswith((".c", ".h", ".def"))]
        self.text = {n: read(n) for n in self.c}
        self.layers = {}
        for line in read("src/LAYERS").split("\n"):
            if line and not line.startswith("#"):
                folder, _, allowed = line.partition(":")
                self.layers[folder.strip()] = allowed.split()

    def folder_of(self, path):
        best = ""
        for folder in self.layers:
            if path.startswith(folder + "/") and len(folder) > len(best):
                best = folder
        return best


def rule_layers(t):
    """a folder includes itself and what its line in src/LAYERS names"""
    bad = []
    seen = set()
    for folder, allowed in t.layers.items():
        bad += [f"src/LAYERS: {folder} names {a}, which is not below it" for a in allowed if a not in seen]
        seen.add(folder)
    for name in t.c:
        own = t.folder_of(name[4:])
        if not own:
            bad.append(f"{name}: its folder has no line in src/LAYERS")
            continue
        for n, line in enumerate(t.text[name].split("\n"), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found:
                continue
            other = t.folder_of(found.group(1))
            if not other:
                bad.append(f'{name}:{n}: "{found.group(1)}" is not a path from src/')
            elif other != own and other not in t.layers[own]:
                bad.append(f"{name}:{n}: {own} may not include {other}")
    return bad


def rule_sql(t):
    """SQL stands in state/store and machine/db only"""
    pattern = (r'"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s+\w+\s+SET|DELETE\s+FROM|CREATE\s+'
               r'(TABLE|INDEX|UNIQUE)|ALTER\s+TABLE|DROP\s+TABLE|PRAGMA\s)')
    return [hit for n in t.c
            if not n.startswith(("src/state/store/", "src/machine/db/")) and not n.endswith("_test.c")
            for hit in lines_matching(n, without_comments(t.text[n]), pattern)]


def rule_banned(t):
    """no function that cannot be used safely"""
    pattern = r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\("
    return [hit for n in t.c for hit in lines_matching(n, without_strings(t.text[n]), pattern)]


def rule_floats(t):
    """money is integers: no float in state/ledger"""
    return [hit for n in t.c if n.startswith("src/state/ledger/")
            for hit in lines_matching(n, without_strings(t.text[n]), r"\b(float|double)\b")]


def rule_pure(t):
    """meaning/ does no I/O and reads no clock"""
    pattern = (r"#\s*include\s+<(uv|time|unistd|fcntl|sys/(socket|time|stat|types)|netdb|poll|pthread)"
               r"\.h>|(?<!\w)(fopen|getenv|clock_gettime|time)\s*\(")
    return [hit for n in t.c if n.startswith("src/meaning/") and not n.endswith("_test.c")
            for hit in lines_matching(n, without_strings(t.text[n]), pattern)]


def rule_machine(t):
    """machine/ knows no LLM word"""
    return [hit for n in t.c
            if n.startswith("src/machine/") and not n.endswith(("errors.def", "metrics.def", "_test.c"))
            for hit in lines_matching(n, without_strings(t.text[n]), r"(?i)(\b|_)(llm|prompt|nusd|pricing)")]


def rule_spdx(t):
    """every source file begins with its licence"""
    kinds = (".c", ".h", ".def", ".py", ".sh", ".mjs", "Makefile")
    bad = []
    for n in t.files:
        if n.endswith(kinds) and not n.endswith("-lock.json"):
            if "SPDX-License-Identifier: Apache-2.0" not in "".join(read(n).splitlines(True)[:2]):
                bad.append(n)
    return bad


def rule_once(t):
    """a header says #pragma once, a source file includes its own header first"""
    bad = [n for n in t.c if n.endswith(".h") and "#pragma once" not in t.text[n].split("\n")[:4]]
    for n in t.c:
        if not n.endswith(".c") or n.endswith("_test.c"):
            continue
        own = n[4:-2] + ".h"
        includes = re.findall(r'^#include\s+["<]([^">]+)', t.text[n], re.M)
        if "src/" + own in t.text and includes and includes[0] != own:
            bad.append(f"{n}: includes {includes[0]} before {own}")
    return bad


def rule_finished(t):
    """nothing is marked as to be done"""
    pattern = r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b"
    return [hit for n in t.files if n.startswith(("src/", "scripts/", "tests/")) and
            n.endswith((".c", ".h", ".def", ".py", ".sh", ".mjs"))
            for hit in lines_matching(n, read(n), pattern)]


def rule_paths(t):
    """no path of one machine in the tree"""
    pattern = r"(?<![\w.])/(wor" r"k|hom" r"e|roo" r"t)/[a-z]"
    kinds = (".c", ".h", ".def", ".py", ".sh", ".mjs", ".md", ".build", ".yaml", ".json", "Makefile", "run")
    return [hit for n in t.files if n.endswith(kinds) for hit in lines_matching(n, read(n), pattern)]


def rule_format(t):
    """clang-format has nothing to change"""
    if not shutil.which("clang-format"):
        return None
    names = [n for n in t.c if n.endswith((".c", ".h"))]
    names += [n for n in t.files if n.startswith("tests/") and n.endswith((".c", ".h"))]
    if not names:
        return []
    out = subprocess.run(["clang-format", "--dry-run", "--ferror-limit=1"] + names, cwd=ROOT,
                         capture_output=True, text=True)
    return sorted({line.split(": ")[0] for line in out.stderr.split("\n") if "clang-format-violations" in line})


def functions(text):
    """(name, first line, lines) of each function body: a '{' and a '}' in the first column."""
    start = name = None
    lines = text.split("\n")
    for n, line in enumerate(lines, 1):
        if line == "{" and start is None:
            start = n
            for back in range(n - 2, max(n - 8, -1), -1):
                found = re.match(r"\w.*?(\w+)\(", lines[back])
                if found:
                    name = found.group(1)
                    break
        elif line == "}" and start is not None:
            yield name, start, n - start - 1
            start = name = None


def report(t):
    long_functions = sorted(((size, f"{n}:{at} {name}") for n in t.c if n.endswith(".c") and
                             not n.endswith("_test.c") for name, at, size in functions(t.text[n])
                             if size > FUNCTION_LINES), reverse=True)
    long_files = sorted(((t.text[n].count("\n"), n) for n in t.c
                         if t.text[n].count("\n") > FILE_LINES and not n.endswith("_test.c")), reverse=True)
    for size, what in long_functions[:20]:
        print(f"   function of {size} lines: {what}")
    for size, what in long_files[:20]:
        print(f"   file of {size} lines: {what}")


RULES = [rule_layers, rule_sql, rule_banned, rule_floats, rule_pure, rule_machine, rule_spdx,
         rule_once, rule_finished, rule_paths, rule_format]


def main():
    tree = Tree()
    broken = 0
    for rule in RULES:
        if rule is rule_format and "--no-format" in sys.argv:
            continue
        name = rule.__name__[5:]
        bad = rule(tree)
        if bad is None:
            print(f"skip {name}: the tool is not installed")
        elif bad:
            broken += 1
            print(f"not ok {name}: {rule.__doc__}")
            for line in bad[:40]:
                print(f"   {line}")
        else:
            print(f"ok {name}: {rule.__doc__}")
    if "--report" in sys.argv:
        report(tree)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
