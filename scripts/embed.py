# SPDX-License-Identifier: Apache-2.0
"""Writes a file's bytes as a constant `struct span` into a C source: embed.py NAME HEADER IN OUT."""
import sys

LINE_BYTES = 96
PLAIN = {c for c in range(0x20, 0x7F)} - {ord('"'), ord("\\"), ord("?")}


def quoted(piece: bytes) -> str:
    # Octal escapes of three digits end by themselves, whatever follows.
    return '"' + "".join(chr(c) if c in PLAIN else f"\\{c:03o}" for c in piece) + '"'


def main() -> None:
    name, header, source, target = sys.argv[1:]
    with open(source, "rb") as f:
        data = f.read()
    lines = [quoted(data[i : i + LINE_BYTES]) for i in range(0, len(data), LINE_BYTES)]
    with open(target, "w", encoding="ascii") as f:
        f.write(f'#include "{header}"\n\nstatic const char text[] =\n\t')
        f.write("\n\t".join(lines or ['""']))
        f.write(f";\n\nconst struct span {name} = {{text, sizeof(text) - 1}};\n")


main()
