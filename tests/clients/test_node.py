# SPDX-License-Identifier: Apache-2.0
"""The real clients for Node: openai, @anthropic-ai/sdk and axios, in node/clients.mjs."""
import os
import re
import subprocess

import pytest

import kit

HOME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "node")
NODE = os.path.join(HOME, "node_modules", "node", "bin", "node")  # brought by npm: current SDKs need Node 22
SCRIPT = os.path.join(HOME, "clients.mjs")


def names():
    with open(SCRIPT, encoding="utf-8") as f:
        return re.findall(r'^  async "([^"]+)"\(\)', f.read(), re.M)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """All of the script's tests, run once: {name: what it said}."""
    if not os.path.exists(NODE):
        pytest.skip(os.environ.get("SLUICE_NO_NODE", "the Node packages are not installed (scripts/setup.sh test)"))
    home = tmp_path_factory.mktemp("node")
    sim = kit.Sim(home)
    (home / "gateway").mkdir()
    gateway = kit.Gateway(home / "gateway", kit.config_for(sim))
    gone = gateway.make_key("gone")
    gateway.command("keys", "delete", "gone")
    done = subprocess.run([NODE, SCRIPT], cwd=HOME, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100,
                          env={"PATH": os.environ["PATH"], "HOME": str(home), "GATEWAY": gateway.url, "KEY": gateway.key,
                               "GONE_KEY": gone, "SIM": sim.url})
    gateway.finish()
    sim.stop()
    said = {}
    for block in re.split(r"^(?=(?:not )?ok )", done.stdout, flags=re.M):
        found = re.match(r"(?:not )?ok (" + "|".join(map(re.escape, names())) + r")(?::|$)", block.split("\n")[0])
        if found:
            said[found.group(1)] = block
    said["stderr"] = done.stderr
    return said


@pytest.mark.parametrize("name", names())
def test_node(results, name):
    """One of the script's tests."""
    said = results.get(name, "it did not run: " + results["stderr"])
    assert said.startswith("ok "), said
