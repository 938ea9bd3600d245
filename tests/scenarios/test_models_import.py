# SPDX-License-Identifier: Apache-2.0
"""Models and prices from public lists: what changes, what is refused, what a running server charges afterwards."""
import json
import os
import signal
import subprocess
import threading

import pytest

import kit

LITELLM = {
    "sample_spec": {"litellm_provider": "one of many", "max_tokens": "a number"},
    "echo": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.5e-07,
             "output_cost_per_token": 6e-07, "max_input_tokens": 128000, "max_output_tokens": 16384,
             "supports_vision": True},
    "elsewhere/x": {"litellm_provider": "elsewhere", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6},
}
GENAI = [{"id": "openai", "name": "OpenAI", "models": [
    {"id": "echo", "match": {"or": [{"equals": "echo-2026"}, {"starts_with": "echo-"}]}, "context_window": 128000,
     "prices": [{"prices": {"input_mtok": 9, "output_mtok": 9}},
                {"constraint": {"start_date": "2020-01-01"}, "prices": {"input_mtok": 0.15, "output_mtok": 0.6}}]}]}]
MODELS_DEV = {"openai": {"id": "openai", "models": {"echo": {
    "id": "echo", "name": "Echo", "release_date": "2026-01-02", "tool_call": True, "limit": {"context": 128000, "output": 16384},
    "cost": {"input": 0.15, "output": 0.6}}}}}


def importing(home, what, *arguments, code=0, directory="data"):
    """Imports a list (an object, or text as it is); returns what -o json says, or stderr when it failed."""
    path = os.path.join(str(home), "list.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write(what if isinstance(what, str) else json.dumps(what))
    done = kit.command("models", "import", path, "--data-dir", os.path.join(str(home), directory), "-o", "json",
                       *arguments, cwd=home)
    assert done.returncode == code, f"exit {done.returncode}: {done.stdout}{done.stderr}"
    if code in (0, 8):
        return json.loads(done.stdout)
    assert done.stdout == ""
    return json.loads(done.stderr)["error"]["message"]


def listed(home, *arguments, directory="data"):
    done = kit.command("models", "list", "-o", "json", "--data-dir", os.path.join(str(home), directory), *arguments,
                       cwd=home)
    assert done.returncode == 0, done.stderr
    return {model["id"]: model for model in json.loads(done.stdout)["data"]}


def members(change):
    return {m["member"]: (m["was"], m["is"]) for m in change["members"]}


def one(name="echo", provider="openai", **cost):
    cost = dict({"input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6}, **cost)
    return {name: dict({"litellm_provider": provider}, **cost)}


@pytest.fixture
def home(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.mark.parametrize("what, name", [(LITELLM, "litellm"), (GENAI, "genai-prices"), (MODELS_DEV, "models.dev")])
def test_each_format_is_known_by_its_shape(home, what, name):
    """The three public formats give the same model the same exact price."""
    said = importing(home, what)
    assert said["format"] == name and said["refused"] == [] and not said["dry_run"]
    assert {"openai/echo"} <= {c["id"] for c in said["added"]} <= {"openai/echo", "openai/echo-2026"}
    model = listed(home)["openai/echo"]
    assert model["source"] == "imported" and model["context_window"] == 128000
    assert model["price"][0]["input"] == "0.15" and model["price"][0]["output"] == "0.6"
    assert said["left_out"]["unknown_provider"] == (1 if what is LITELLM else 0)
    again = importing(home, what)
    assert again["added"] == again["changed"] == [] and again["unchanged"] == len(said["added"])


def test_it_says_what_changes_and_keeps_what_the_list_does_not_know(home):
    """A second list changes members one by one; names, abilities and windows that it lacks stay."""
    importing(home, MODELS_DEV)
    said = importing(home, one(input_cost_per_token=3e-07, output_cost_per_token=6e-07))
    assert members(said["changed"][0])["input"] == ("0.15", "0.3") and "output" not in members(said["changed"][0])
    model = listed(home)["openai/echo"]
    assert model["name"] == "Echo" and model["can"] == ["tools"] and model["max_output"] == 16384
    known = listed(home)["anthropic/claude-sonnet-4-5"]
    importing(home, {"claude-sonnet-4-5": {"litellm_provider": "anthropic", "input_cost_per_token": 4e-06,
                                           "output_cost_per_token": 1.5e-05}})
    now = listed(home)["anthropic/claude-sonnet-4-5"]
    assert now["can"] == known["can"] and now["price"][0]["cache_read"] == known["price"][0]["cache_read"]
    assert now["price"][0]["input"] == "4"


def test_a_table_is_for_people(home):
    """Without -o json there is a line a member on stdout, and a summary on stderr."""
    (home / "list.json").write_text(json.dumps(LITELLM))
    done = kit.command("models", "import", "list.json", "--data-dir", "data", cwd=home)
    assert done.returncode == 0 and "added\topenai/echo\tinput\t-\t0.15\n" in done.stdout
    assert "1 added, 0 changed, 0 refused, 0 unchanged. Left out: 1 of unknown providers." in done.stderr
    shown = kit.command("models", "list", "--provider", "openai", "-o", "table", "--data-dir", "data", cwd=home).stdout
    assert shown.split("\n")[0].split()[0] == "MODEL" and "openai/echo " in shown and "anthropic/" not in shown


def test_a_dry_run_writes_nothing(home):
    """--dry-run says the same and leaves the data directory as it is."""
    said = importing(home, LITELLM, "--dry-run")
    assert said["dry_run"] and said["added"][0]["id"] == "openai/echo"
    assert os.listdir(home / "data") == [] and "openai/echo" not in listed(home)
    importing(home, LITELLM, "--dry-run", directory="nowhere")
    assert not (home / "nowhere").exists()


@pytest.mark.parametrize("cost, words", [
    ({"input_cost_per_token": 1.1e-3}, "above 1000 USD"), ({"output_cost_per_token": -1}, "below 0"),
    ({"input_cost_per_token": "cheap"}, "not a number"), ({"cache_read_input_token_cost": 2e-6}, "cache_read"),
    ({"max_input_tokens": 0}, "max_input_tokens"), ({"max_input_tokens": 10 ** 12}, "context_window"),
    ({"max_output_tokens": 10 ** 9}, "max_output"), ({"output_cost_per_token": 0}, "free")])
def test_what_makes_no_sense_is_refused_and_named_while_others_go_in(home, cost, words):
    """One bad entry is named with its reason; the good one beside it is taken. --force does not help."""
    for force in ((), ("--force",)):
        said = importing(home, {**one("bad", **cost), **one("good")}, *force, code=8)
        assert [c["id"] for c in said["refused"]] == ["openai/bad"] and words in said["refused"][0]["reason"]
        assert "openai/good" in listed(home) and "openai/bad" not in listed(home)


def test_a_leap_needs_force(home):
    """A price that becomes more than ten times another is refused, unless --force says that it is meant."""
    importing(home, one())
    leap = one(input_cost_per_token=1.1e-5)
    said = importing(home, leap, code=8)
    assert "1 -> 11" in said["refused"][0]["reason"] and listed(home)["openai/echo"]["price"][0]["input"] == "1"
    assert importing(home, leap, "--force")["changed"][0]["id"] == "openai/echo"
    assert listed(home)["openai/echo"]["price"][0]["input"] == "11"


def test_one_provider_alone(home):
    """--provider takes that provider's models; a name that no list knows is wrong use."""
    both = {**one(), **one("grok", "xai")}
    assert [c["id"] for c in importing(home, both, "--provider", "xai")["added"]] == ["xai/grok"]
    assert "openai" in importing(home, both, "--provider", "opnai", code=2)


@pytest.mark.parametrize("text, words", [
    ("", "nothing to read"), ("{\n\"a\": }", "line 2"), ("[]", "no price list"), ("{\"a\": 1}", "no price list"),
    ("[" * 100000, "nested"), ("{\"models\": []}", "no price list"), ("\xff\xfe", "line 1"), ("null", "no price list")])
def test_a_bad_file_is_named_with_its_fault(home, text, words):
    """What is no list is refused with the file's name and what was wrong; nothing is written."""
    message = importing(home, text, code=1)
    assert words in message and "list.json" in message
    assert not (home / "data" / "models.json").exists()


def test_a_file_that_cannot_be_read(home):
    """No such file, a directory, and one of more than 32 MiB."""
    for name, code in (("missing.json", 5), ("data", 1)):
        done = kit.command("models", "import", name, "--data-dir", "data", cwd=home)
        assert done.returncode == code and name in done.stderr
    with open(home / "large.json", "wb") as f:
        f.truncate(33 << 20)
    done = kit.command("models", "import", "large.json", "--data-dir", "data", cwd=home)
    assert done.returncode == 1 and "33554432 bytes" in done.stderr


def test_there_is_a_bound_to_what_is_imported(sim, make_gateway):
    """Ten thousand models are served; one more is refused, at once or in a second list, and nothing changes."""
    gateway = make_gateway(kit.config_for(sim))
    path = os.path.join(gateway.home, "list.json")

    def imports(count, start=0, code=0):
        with open(path, "w", encoding="utf-8") as f:
            json.dump({k: v for n in range(start, start + count) for k, v in one(f"m{n}").items()}, f)
        done = kit.command("models", "import", path, "--data-dir", gateway.data_dir, "-o", "json", cwd=gateway.home)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr
    assert "more than 10000 models that are known" in imports(10001, code=1)
    assert len(json.loads(imports(10000))["added"]) == 10000
    before = open(os.path.join(gateway.data_dir, "models.json"), "rb").read()
    assert "10000 models" in imports(1, start=10000, code=1)
    assert open(os.path.join(gateway.data_dir, "models.json"), "rb").read() == before
    ids = {m["id"] for m in gateway.get("/v1/models").json()["data"]}
    assert {"openai/m0", "openai/m9999"} <= ids and "openai/m10000" not in ids


def test_only_the_control_socket_reloads(gateway):
    """Nobody reloads through the gateway's own port, whatever the key may do."""
    for path in ("/reload", "/v1/manage/reload"):
        assert gateway.post(path, {}).status_code == 404


def test_an_import_while_the_server_ends_does_not_wait(sim, make_gateway):
    """While the last answers are drained nothing is reloaded any more: the import says so and ends."""
    gateway = make_gateway(dict(kit.config_for(sim), limits={"drain": "20s"}))
    path = os.path.join(gateway.home, "list.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(one(), f)
    with gateway.raw() as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("sim/echo+gap=100+events=100", stream=True)))
        raw.read_head()
        gateway.signal(signal.SIGTERM)
        kit.wait_until(lambda: [line for line in gateway.lines() if line.get("event") == "draining"], "draining")
        done = kit.command("models", "import", path, "--data-dir", gateway.data_dir, cwd=gateway.home, timeout=10)
        assert done.returncode != 0 and "shutting down" in done.stderr, done.stderr


def test_the_next_request_costs_what_was_imported(sim, make_gateway):
    """A running server takes the prices up at once; its configuration's own stand above them."""
    config = kit.config_for(sim)
    config["models"] = {"openai/gpt": kit.PRICES}
    gateway = make_gateway(config)
    assert gateway.post("/v1/chat/completions", kit.chat("openai/echo")).status_code == 200
    assert gateway.rows(1)[0]["cost_nusd"] in (None, -1)
    path = os.path.join(gateway.home, "list.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({**one("echo", input_cost_per_token=3e-6, output_cost_per_token=5e-6), **one("gpt")}, f)
    said = json.loads(gateway.command("models", "import", path, "-o", "json"))
    assert said["server_reloaded"] and len(said["added"]) == 2
    for model, prices in (("echo", (3000, 5000)), ("gpt", (1000, 2000))):
        gateway.post("/v1/chat/completions", kit.chat(f"openai/{model}"))
    for row, prices in zip(gateway.rows(3)[1:], ((3000, 5000), (1000, 2000))):
        usage = kit.usage_of(row)
        assert row["cost_nusd"] == usage["input"] * prices[0] + usage["output"] * prices[1]
    assert "openai/echo" in [m["id"] for m in gateway.get("/v1/models").json()["data"]]
    sources = {m["id"]: m["source"] for m in json.loads(gateway.command("models", "list", "-o", "json"))["data"]}
    assert sources["openai/echo"] == "imported" and sources["openai/gpt"] == "configuration"
    gateway.stop()
    gateway.again()
    gateway.post("/v1/chat/completions", kit.chat("openai/echo"))
    row = gateway.rows(4)[3]
    assert row["cost_nusd"] == kit.usage_of(row)["input"] * 3000 + kit.usage_of(row)["output"] * 5000


def test_a_server_that_cannot_reload_says_so(sim, make_gateway):
    """When the configuration is broken meanwhile the import says that the server goes on without it."""
    gateway = make_gateway(kit.config_for(sim))
    path = os.path.join(gateway.home, "list.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(one(), f)
    with open(gateway.config_path, "a", encoding="utf-8") as f:
        f.write("nonsense")
    done = kit.command("models", "import", path, "--data-dir", gateway.data_dir, cwd=gateway.home)
    assert done.returncode == 1 and "goes on without" in done.stderr and "sluice.yaml" in done.stderr
    assert gateway.post("/v1/chat/completions", kit.chat("sim/echo")).status_code == 200
    gateway.write_config()


@pytest.mark.parametrize("text, words", [
    ("{\"models\":[\n{\"id\":\"a/b\",\"can\":[\"fly\"]}\n]}", "line 2"), ("{\"models\":[\n{]}", "line 2"),
    ("{}", "models"), ("{\"models\":[\n\n{\"id\":\"a/b\",\"price\":[{\"input\":1}]}]}", "line 3"),
    ("{\"models\":[\n{\"id\":\"a/b\"},\n{\"id\":\"a/b\"}]}", "twice")])
def test_a_broken_overlay_stops_the_start_with_its_place(home, text, words):
    """What somebody wrote into models.json is an error with file and line: at start, in list and in import."""
    (home / "data" / "models.json").write_text(text)
    (home / "sluice.yaml").write_text("listen: 127.0.0.1:0\ndata_dir: ./data\n")
    for line in (("serve", "-c", "sluice.yaml"), ("config", "check"), ("models", "list")):
        done = kit.command(*line, cwd=home)
        assert done.returncode == 3 and "models.json" in done.stderr and words in done.stderr, done.stderr
    assert "models.json" in importing(home, LITELLM, code=3)
    assert (home / "data" / "models.json").read_text() == text


def test_readers_see_the_old_file_or_the_new_one(home):
    """Imports at the same time come one after the other, and nobody ever reads half a file."""
    importing(home, {k: v for n in range(300) for k, v in one(f"m{n}").items()})
    path, ended, seen = home / "data" / "models.json", threading.Event(), []

    def watch():
        while not ended.is_set():
            seen.append(len(json.loads(path.read_text())["models"]))
    watcher = threading.Thread(target=watch)
    watcher.start()
    lists = []
    for n in range(6):
        lists.append(home / f"list{n}.json")
        lists[-1].write_text(json.dumps(one(f"extra{n}")))
    running = [subprocess.Popen([kit.BINARY, "models", "import", str(p), "--data-dir", "data"], cwd=home,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for p in lists]
    ends = [(p.wait(60), p.stdout.read()) for p in running]
    ended.set()
    watcher.join()
    assert all(code == 0 for code, _ in ends), ends
    assert seen and set(seen) <= set(range(300, 307)) and len(json.loads(path.read_text())["models"]) == 306
    assert [name for name in os.listdir(home / "data") if name.endswith(".tmp")] == []


def test_a_full_disk_leaves_what_was_there(home):
    """When the file cannot be written the import fails and the old one stands."""
    importing(home, one())
    before = (home / "data" / "models.json").read_bytes()
    (home / "list.json").write_text(json.dumps({k: v for n in range(3000) for k, v in one(f"m{n}").items()}))
    done = subprocess.run(["bash", "-c", f"ulimit -f 128; trap '' XFSZ; exec {kit.BINARY} models import list.json --data-dir data"],
                          cwd=home, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "models.json" in done.stderr
    assert (home / "data" / "models.json").read_bytes() == before
    assert [name for name in os.listdir(home / "data") if name.endswith(".tmp")] == []
