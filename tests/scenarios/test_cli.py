# SPDX-License-Identifier: Apache-2.0
"""The command line: exit codes, help, configuration errors with their place, the first two minutes."""
import json
import os
import re
import shlex
import subprocess

import pytest
import requests

import kit


def write(path, text):
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("arguments", [
    ["nonsense"], ["serve", "--nonsense"], ["keys"], ["keys", "nonsense"], ["keys", "create"], ["config"],
    ["keys", "create", "--name"], ["keys", "create", "--name", "x", "--manage", "sometimes"], ["sim", "--listen"],
    ["version", "extra"], ["keys", "list", "-o", "nonsense"]])
def test_wrong_use_is_exit_2_and_says_what_is_right(arguments):
    """A usage error is exit 2, on stderr, and stdout stays empty."""
    done = kit.command(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == "" and done.stderr.strip()


def test_an_unknown_command_names_the_nearest():
    """`sluice serv` is answered with the command that was meant."""
    done = kit.command("serv")
    assert done.returncode == 2 and "serve" in done.stderr


@pytest.mark.parametrize("arguments", [
    ["--help"], ["help"], ["serve", "--help"], ["init", "--help"], ["sim", "--help"], ["keys", "--help"],
    ["keys", "create", "--help"], ["keys", "list", "--help"], ["keys", "delete", "--help"], ["config", "--help"],
    ["config", "check", "--help"], ["config", "show", "--help"], ["version", "--help"]])
def test_help_is_there_for_each_command(arguments):
    """Help goes to stdout with exit 0."""
    done = kit.command(*arguments)
    assert done.returncode == 0 and len(done.stdout) > 50 and done.stderr == ""


def test_version():
    """`sluice version` names the program and its version."""
    done = kit.command("version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout)


def test_init_writes_a_file_that_is_valid_and_does_not_overwrite(tmp_path):
    """`sluice init` writes a commented file that `config check` accepts, and never replaces one."""
    assert kit.command("init", cwd=tmp_path).returncode == 0
    text = (tmp_path / "sluice.yaml").read_text()
    assert text.count("#") > 5
    done = kit.command("config", "check", "-c", "sluice.yaml", cwd=tmp_path, env={"OPENAI_API_KEY": "x", "ANTHROPIC_API_KEY": "y"})
    assert done.returncode == 0, done.stderr
    again = kit.command("init", cwd=tmp_path)
    assert again.returncode == 6 and (tmp_path / "sluice.yaml").read_text() == text


@pytest.mark.parametrize("text, words", [
    ("listen: 127.0.0.1:0\nlisten: 127.0.0.1:1\n", [":2:", "listen"]),
    ("lisen: 127.0.0.1:0\n", [":1:", "lisen", "listen"]),
    ("workers: many\n", [":1:", "workers"]),
    ("workers: -1\n", [":1:", "workers"]),
    ("providers:\n  a: {typ: openai}\n", [":2:", "typ", "type"]),
    ("providers:\n  a: {type: opnai, api_key: x}\n", [":2:3:", "opnai", "openai"]),
    ("providers:\n  a: {type: compatible}\n", ["base_url"]),
    ("providers:\n  a: {type: openai, api_key: \"${NOT_SET_ANYWHERE}\"}\n", ["NOT_SET_ANYWHERE"]),
    ("models:\n  a/b: {input_price: \"-1\"}\n", [":2:", "input_price"]),
    ("listen: [\n", ["sluice.yaml:"]),
    ("- a\n- b\n", ["sluice.yaml:"])])
def test_configuration_errors_say_where_and_what(tmp_path, text, words):
    """Unknown, duplicate and wrong values are exit 3 with line and the nearest valid name."""
    path = write(tmp_path / "sluice.yaml", text)
    for arguments in (["config", "check", "-c", path], ["serve", "-c", path], ["serve", "--check", "-c", path]):
        done = kit.command(*arguments, cwd=tmp_path, timeout=20)
        assert done.returncode == 3, f"{arguments}: {done.returncode} {done.stderr}"
        for word in words:
            assert word in done.stderr, f"{word!r} is not in {done.stderr!r}"


def test_a_file_that_is_not_there_is_exit_3_or_5(tmp_path):
    """A missing file is named."""
    done = kit.command("serve", "-c", "nowhere.yaml", cwd=tmp_path)
    assert done.returncode in (3, 5) and "nowhere.yaml" in done.stderr


def test_values_from_the_environment_and_from_files(tmp_path):
    """${NAME}, ${NAME:-default} and ${file:PATH} are put in; config show masks the secrets."""
    secret = write(tmp_path / "secret", "sk-from-file-123456789\n")
    path = write(tmp_path / "sluice.yaml", f"""
listen: "${{WHERE:-127.0.0.1:0}}"
data_dir: "${{DATA}}"
providers:
  a: {{type: openai, api_key: "${{file:{secret}}}"}}
  b: {{type: openai, api_key: "${{KEY_B}}"}}
""")
    done = kit.command("config", "show", "-c", path, cwd=tmp_path, env={"DATA": "./somewhere", "KEY_B": "sk-from-environment-987"})
    assert done.returncode == 0, done.stderr
    assert "127.0.0.1:0" in done.stdout and "./somewhere" in done.stdout
    assert "sk-from-file" not in done.stdout and "sk-from-environment" not in done.stdout


def test_show_sources_says_where_each_value_comes_from(tmp_path):
    """config show --sources names file and default."""
    path = write(tmp_path / "sluice.yaml", "listen: 127.0.0.1:0\n")
    done = kit.command("config", "show", "--sources", "-c", path, cwd=tmp_path)
    assert done.returncode == 0 and "default" in done.stdout and "sluice.yaml" in done.stdout


def test_a_port_that_is_taken_is_named(sim, gateway, tmp_path):
    """A second server on the same address ends with exit 6 and says which address."""
    path = write(tmp_path / "second.yaml", f"listen: 127.0.0.1:{gateway.port}\ndata_dir: {tmp_path}/second\n")
    done = kit.command("serve", "-c", path, cwd=tmp_path, timeout=20)
    assert done.returncode == 6 and str(gateway.port) in done.stderr


def test_a_second_server_on_the_same_data_is_refused(sim, gateway, tmp_path):
    """Two servers never share a data directory."""
    path = write(tmp_path / "second.yaml", f"listen: 127.0.0.1:0\ndata_dir: {gateway.data_dir}\n")
    done = subprocess.Popen([kit.BINARY, "serve", "-c", path], cwd=tmp_path, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        out, _ = done.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        done.kill()
        out, _ = done.communicate()
        raise AssertionError(f"it runs: {out[-1000:]}")
    assert done.returncode in (1, 3, 6)
    assert gateway.post("/v1/chat/completions", kit.chat()).status_code == 200


def test_key_commands_while_the_server_is_not_running(sim, gateway):
    """Keys are made, listed and deleted on the data directory when no server runs, and count at the next start."""
    assert gateway.stop() == 0
    key = gateway.make_key("offline")
    assert "offline" in gateway.command("keys", "list")
    gateway.again()
    assert gateway.get("/v1/auth/check", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_data_is_private_to_the_owner(gateway):
    """The data directory is 0700 and the database 0600."""
    assert os.stat(gateway.data_dir).st_mode & 0o777 == 0o700
    assert os.stat(gateway.database()).st_mode & 0o777 == 0o600


class Dev(kit.Program):
    def __init__(self, home, env=None):
        super().__init__("dev", ["serve", "--dev", "--listen", "127.0.0.1:0"], home, env)
        self.url = self.wait_for_line(r"listens on (http://\S+)").group(1)


def test_the_first_start_shows_what_to_do_and_it_works(tmp_path):
    """serve --dev prints address, two keys and a curl line; pasted into a shell it gives an answer with a cost."""
    dev = Dev(tmp_path)
    dev.wait_for_line(r"curl ")
    out = dev.out()
    management = re.search(r"management key\s+(\S+)", out).group(1)
    inference = re.search(r"inference key\s+(\S+)", out).group(1)
    line = re.search(r"^\s*(curl .*)$", out, re.M).group(1)
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=20)
    answer = json.loads(done.stdout)
    assert "Hello!" in answer["choices"][0]["message"]["content"]
    assert inference in shlex.split(line)[4] or inference in line
    check = requests.get(dev.url + "/v1/auth/check", headers={"Authorization": f"Bearer {management}"}, timeout=10)
    assert check.json()["permissions"]["manage"] == "write"
    for model in ("sim/echo", "sim/gpt", "sim/claude"):
        path, body = (("/v1/messages", kit.messages(model)) if "claude" in model else ("/v1/chat/completions", kit.chat(model)))
        got = requests.post(dev.url + path, json=body, headers={"Authorization": f"Bearer {inference}"}, timeout=10)
        assert got.status_code == 200, got.text
    listed = [m["id"] for m in requests.get(dev.url + "/v1/models", timeout=10).json()["data"]]
    assert {"sim/echo", "sim/gpt", "sim/claude"} <= set(listed)
    assert dev.stop() == 0
    dev.check()
    assert inference not in dev.err() and management not in dev.err()


def test_the_second_start_shows_no_keys(tmp_path):
    """Keys are shown once; the next start keeps them valid and silent."""
    dev = Dev(tmp_path)
    inference = dev.wait_for_line(r"inference key\s+(\S+)").group(1)
    assert dev.stop() == 0
    os.remove(dev.out_path)
    dev = Dev(tmp_path)
    assert inference not in dev.out() and "inference key" not in dev.out()
    assert f"{kit.BINARY} keys create --name" in dev.out()  # as it was called: it may not be in the PATH
    got = requests.post(dev.url + "/v1/chat/completions", json=kit.chat(), timeout=10,
                        headers={"Authorization": f"Bearer {inference}"})
    assert got.status_code == 200
    assert dev.stop() == 0


def test_the_simulator_goes_with_its_gateway(tmp_path):
    """The child of --dev is gone after TERM, and after kill -9 too."""
    for end in ("stop", "kill9"):
        dev = Dev(tmp_path)
        children = kit.children(dev.pid)
        assert len(children) == 1
        getattr(dev, end)()
        kit.wait_until(lambda: not kit.is_alive(children[0]), "the simulator has ended", 5)
        os.remove(dev.out_path)


def test_keys_in_the_environment_switch_providers_on(tmp_path):
    """With OPENAI_API_KEY set, --dev offers OpenAI's models; without, it does not."""
    dev = Dev(tmp_path, {"OPENAI_API_KEY": kit.PROVIDER_KEY})
    listed = [m["id"] for m in requests.get(dev.url + "/v1/models", timeout=10).json()["data"]]
    assert any(i.startswith("openai/") for i in listed) and not any(i.startswith("anthropic/") for i in listed)
    assert dev.stop() == 0
