#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the pages of docs/reference that are made from rows: configuration, errors, metrics, command line.

--check compares instead, names what differs and returns 1. (The simulator's page is written and checked by its
own program, sim_docs.) Needs the built binary: $SLUICE_BIN, else build/sluice.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.environ.get("SLUICE_BIN", os.path.join(ROOT, "build", "sluice"))
OUT = os.path.join(ROOT, "docs", "reference")
NOTE = "<!-- Written by scripts/docs.py from {}; change that. -->\n\n"


def rows(path, macro):
    """The arguments of each row MACRO(...) of a .def file, C strings joined and unquoted."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    for found in re.finditer(macro + r"\(((?:\"(?:\\.|[^\"\\])*\"|[^()\"])*)\)", text):
        arguments, depth = [""], False
        for piece in re.findall(r'"(?:\\.|[^"\\])*"|,|[^",]+', found.group(1)):
            if piece == ",":
                arguments.append("")
            elif piece.startswith('"'):
                arguments[-1] = arguments[-1].strip() + piece[1:-1].replace('\\"', '"')
            else:
                arguments[-1] += piece.strip()
        yield arguments


def run(*arguments):
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"docs: sluice {' '.join(arguments)}: exit {done.returncode}: {done.stderr}")
    return done.stdout


def errors():
    page = "# Errors\n\n" + NOTE.format("src/machine/base/errors.def")
    page += ("OpenAI's form: `{\"error\": {\"message\", \"type\", \"param\", \"code\", \"origin\", \"request_id\"}}`. Anthropic's:\n"
             "`{\"type\": \"error\", \"error\": {\"type\", \"message\", \"origin\"}, \"request_id\"}`. `origin` is `router` when the gateway refused or\n"
             "failed, `provider` when the provider did; a provider's own status, type, code and words are then kept. \"Again\" says whether the\n"
             "same request may pass later (*later*) or with another provider (*elsewhere*).\n\n"
             "| status | code | type | message | again |\n|---|---|---|---|---|\n")
    found = [r for r in rows("src/machine/base/errors.def", "ERR") if r[2]]
    for name, status, kind, code, retry, text in sorted(found, key=lambda r: int(r[1])):
        page += f"| {status} | {f'`{code}`' if code else '-'} | `{kind}` | {text} | {'-' if retry == 'NEVER' else retry.lower()} |\n"
    return page


def metrics():
    page = "# Metrics\n\n" + NOTE.format("src/machine/obs/metrics.def")
    page += ("`GET /metrics`, Prometheus text form. Open to connections from the machine itself; from elsewhere with a key that may manage.\n"
             "These names are a contract. No key, user or session is ever a label.\n\n| name | kind | labels | what |\n|---|---|---|---|\n")
    for _, name, kind, labels, _, text in rows("src/machine/obs/metrics.def", "METRIC"):
        shown = ", ".join(f"`{label}`" for label in labels.split(",") if label) or "-"
        page += f"| `{name}` | {kind.lower()} | {shown} | {text} |\n"
    return page


def command_line():
    page = "# Command line\n\n" + NOTE.format("the help of `sluice`")
    page += f"```\n{run('help').strip()}\n```\n"
    for command in ("serve", "init", "sim", "keys list", "keys create", "keys delete", "models list",
                    "models import", "config check", "config show", "version"):
        page += f"\n## sluice {command}\n\n```\n{run(*command.split(), '--help').strip()}\n```\n"
    page += ("\n## Exit codes\n\n| code | meaning |\n|---|---|\n| 0 | done |\n| 1 | failed |\n| 2 | wrong use of the command |\n"
             "| 3 | the configuration is not valid |\n| 4 | not allowed |\n| 5 | not found |\n| 6 | conflict |\n"
             "| 7 | unreachable or timed out |\n| 8 | ran, but found problems |\n| 130 | interrupted |\n")
    return page


def configuration():
    return run("config", "reference")


PAGES = {"errors.md": errors, "metrics.md": metrics, "cli.md": command_line, "configuration.md": configuration}


def main():
    check, stale = "--check" in sys.argv, []
    os.makedirs(OUT, exist_ok=True)
    for name, make in PAGES.items():
        path, text = os.path.join(OUT, name), make()
        have = None
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                have = f.read()
        if have == text:
            continue
        stale.append(name)
        if not check:
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            print(f"wrote docs/reference/{name}")
    if check and stale:
        print(f"docs/reference is not up to date: {', '.join(stale)}; run scripts/docs.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
