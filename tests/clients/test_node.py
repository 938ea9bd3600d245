# SPDX-License-Identifier: Apache-2.0
"""The real clients for Node: each script of node/ is run once and tells how its tests went."""
import glob
import json
import os
import re
import subprocess

import pytest

from world import PROVIDERS, World

HOME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node")
PACKAGES = os.path.join(HOME, "node_modules")
NODE = os.path.join(PACKAGES, "node", "bin", "node")  # brought by npm: current SDKs need Node 22


def text_of(script):
    with open(os.path.join(HOME, script), encoding="utf-8") as f:
        return f.read()


def names_in(script):
    """The names of a script's tests, read without running it, so that they are known where Node is not."""
    for providers, each, name in re.findall(r'^(?:eachOf\(\[(.*?)\], |test\(|(each)\()"([^"]+)"', text_of(script), re.M):
        among = re.findall(r'"(\w+)"', providers) or (PROVIDERS if each else ())
        yield from (f"{name} [{p}]" for p in among) if among else (name,)


SCRIPTS = sorted(os.path.basename(path) for path in glob.glob(os.path.join(HOME, "*.mjs")) if "harness" not in path)
CASES = [(script, name) for script in SCRIPTS for name in names_in(script)]


def missing_in(script):
    """The packages that a script imports and that are not there."""
    imported = re.findall(r'^import .* from "((?:@[^/"]+/)?[^/".]+)', text_of(script), re.M)
    return [p for p in imported if not p.startswith("node:") and not os.path.exists(os.path.join(PACKAGES, p))]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What a script's tests said, {name: why it failed or None}; a script runs when its first test asks."""
    home = tmp_path_factory.mktemp("node")
    world, results = [], {}

    def run(script):
        if not world:
            world.append(World(home))
            world.append(world[0].gateway.make_key("gone"))
            world[0].gateway.command("keys", "delete", "gone")
        done = subprocess.run([NODE, script], cwd=HOME, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
                              env={"PATH": os.environ["PATH"], "HOME": str(home), "GATEWAY": world[0].url, "KEY": world[0].key,
                                   "GONE_KEY": world[1], "SIM": world[0].sim.url})
        lines = [json.loads(line) for line in done.stdout.split("\n") if line.startswith('{"name"')]
        found = {line["name"]: line.get("why") for line in lines}
        found[None] = f"it did not run (exit {done.returncode}): {done.stderr}{done.stdout}"
        return found

    def ask(script):
        if not os.path.exists(NODE):
            pytest.skip(os.environ.get("SLUICE_NO_NODE", "the Node packages are not installed (scripts/setup.sh test)"))
        missing = missing_in(script)
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
        if script not in results:
            results[script] = run(script)
        return results[script]
    yield ask
    if world:
        world[0].finish()


@pytest.mark.parametrize("script, name", CASES, ids=lambda v: v.removesuffix(".mjs"))
def test_node(said, script, name):
    """One of a script's tests."""
    results = said(script)
    why = results[name] if name in results else results[None]
    assert why is None, why
