# SPDX-License-Identifier: Apache-2.0
"""The pages say what the program does: references are made from rows, links lead somewhere."""
import json
import os
import re
import subprocess
import sys

import kit


def test_the_reference_is_up_to_date():
    """docs/reference is what scripts/docs.py would write now."""
    done = subprocess.run([sys.executable, os.path.join(kit.ROOT, "scripts", "docs.py"), "--check"], capture_output=True,
                          text=True, env=dict(os.environ, SLUICE_BIN=kit.BINARY))
    assert done.returncode == 0, done.stdout + done.stderr


def test_links_between_pages_lead_somewhere():
    """Each relative link of each page names a file that is there."""
    pages = [os.path.join(at, f) for at, dirs, files in os.walk(os.path.join(kit.ROOT, "docs")) for f in files if f.endswith(".md")]
    pages += [os.path.join(kit.ROOT, f) for f in os.listdir(kit.ROOT) if f.endswith(".md")]
    broken = []
    for page in pages:
        with open(page, encoding="utf-8") as f:
            for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", f.read()):
                if "://" not in link and not os.path.exists(os.path.join(os.path.dirname(page), link)):
                    broken.append(f"{os.path.relpath(page, kit.ROOT)}: {link}")
    assert not broken


def test_architecture_names_the_folders_that_are_there():
    """ARCHITECTURE.md has a row for each folder of src, and for no other."""
    with open(os.path.join(kit.ROOT, "src", "LAYERS"), encoding="utf-8") as f:
        there = {line.split(":")[0] for line in f if line.strip() and not line.startswith("#")}
    with open(os.path.join(kit.ROOT, "ARCHITECTURE.md"), encoding="utf-8") as f:
        named = set(re.findall(r"^\| `src/([^`]+)`", f.read(), re.M))
    assert named == there


def test_the_snippets_of_the_providers_page_start(tmp_path):
    """Every snippet of the guide is a configuration that the server takes, and every type is on the page."""
    with open(os.path.join(kit.ROOT, "docs", "guide", "providers.md"), encoding="utf-8") as f:
        snippets = re.findall(r"```yaml\nproviders:\n(.*?)```", f.read(), re.S)
    text = re.sub(r":-\}", ":-12345678}", "".join(snippets))
    with open(os.path.join(kit.ROOT, "src", "meaning", "provider", "types.def"), encoding="utf-8") as f:
        types = set(re.findall(r'^TYPE\(\w+, "([^"]+)"\)', f.read(), re.M))
    assert types == set(re.findall(r"type: ([\w.-]+)", text))
    key = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], capture_output=True, text=True, check=True)
    account = tmp_path / "vertex.json"
    account.write_text(json.dumps({"type": "service_account", "project_id": "p", "private_key": key.stdout, "client_email": "a@p",
                                   "token_uri": "https://oauth2.googleapis.com/token"}))
    config = tmp_path / "page.yaml"
    config.write_text("listen: 127.0.0.1:0\ndata_dir: ./data\nproviders:\n" + text.replace("/etc/sluice/vertex.json", str(account)))
    server = kit.Program("page", ["serve", "-c", str(config)], tmp_path)
    try:
        server.wait_for_line(r'"event":"ready"|listening')
        assert "provider_off" not in server.err()
    finally:
        server.stop()
