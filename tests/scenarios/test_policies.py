# SPDX-License-Identifier: Apache-2.0
"""Policies: which model answers, what follows on a failure, what it costs, and what the client sees of it."""
import collections
import json
import time

import pytest

import kit
import test_govern as govern

CLIENTS = {"chat": ("/v1/chat/completions", kit.chat), "messages": ("/v1/messages", kit.messages),
           "responses": ("/v1/responses", lambda model, **more: dict({"model": model, "input": "Hello there, how are you?"}, **more))}
GOOD = "openai/gpt"
# A failing member, and how many calls it takes before the good one is asked.
FAILURES = {"status=500": 1, "status=503": 1, "status=529": 1, "status=429": 1, "status=401": 1, "reset=0": 1, "hang": 1, "truncate=10": 1}


def failing(script):
    return f"sim/gpt+{script}"


@pytest.fixture
def world(sim, make_gateway):
    """Makes a gateway with the policies given; members that fail do so by their model's name."""
    def make(policies, **more):
        names = {m if isinstance(m, str) else m["model"] for p in policies.values() for m in p["models"]}
        config = dict(kit.config_for(sim), policies=policies, **dict(kit.IMPATIENT, **more))
        config["models"].update({name: kit.PRICES for name in names if not name.startswith("policy/")})
        return make_gateway(config)
    return make


def ask(gateway, policy, client="chat", stream=False, **more):
    path, body = CLIENTS[client]
    return gateway.post(path, body(f"policy/{policy}", stream=stream, **more))


def text_of(client, answer, stream):
    found = kit.events(answer.content) if stream else answer.json()
    if stream:
        documents = [json.loads(data) for _, data in found if not data.startswith("[DONE]")]
        if client == "chat":
            return kit.text_of(documents)
        kind = {"messages": "content_block_delta", "responses": "response.output_text.delta"}[client]
        return "".join(d["delta"]["text"] if client == "messages" else d["delta"] for d in documents if d["type"] == kind)
    if client == "chat":
        return found["choices"][0]["message"]["content"]
    return found["content"][0]["text"] if client == "messages" else found["output"][-1]["content"][0]["text"]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_next_model_answers(world, client, stream):
    """Whatever format each member speaks; the answer is as if its model had been asked."""
    gateway = world({"fast": {"models": [failing("status=500"), "claude/claude", GOOD]}})
    answer = ask(gateway, "fast", client, stream)
    assert answer.status_code == 200
    assert answer.headers["x-sluice-policy"] == "fast" and answer.headers["x-sluice-model"] == "claude/claude"
    assert answer.headers["x-sluice-provider"] == "claude" and answer.headers["x-sluice-attempts"] == "2"
    direct = gateway.post(CLIENTS[client][0], CLIENTS[client][1]("claude/claude", stream=stream))
    assert text_of(client, answer, stream) == text_of(client, direct, stream) != ""
    row = gateway.rows(2)[0]
    assert row["model_asked"] == "policy/fast" and row["model_served"] == "claude" and row["attempts"] == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", FAILURES)
def test_what_fails_over(world, sim, script, stream):
    """Refusals, broken connections, silence: the client sees none of it, and pays for the answer alone."""
    gateway = world({"p": {"models": [failing(script), GOOD]}})
    answer = ask(gateway, "p", stream=stream)
    assert answer.status_code == 200 and answer.headers["x-sluice-model"] == GOOD, answer.text
    assert answer.headers["x-sluice-attempts"] == "2"
    answered = kit.wait_until(lambda: [row for row in gateway.rows(1) if row["status"] == 200 and kit.is_final(row)], "the answer is settled")
    assert len(answered) == 1 and answered[0]["cost_nusd"] > 0


def test_an_error_before_the_first_content_fails_over(world):
    """A stream that begins well, with a head and an empty event, and then says that it is overloaded."""
    for first in ("claude/claude+error_event=0", "sim/gpt+error_event=0"):
        gateway = world({"p": {"models": [first, GOOD]}})
        answer = ask(gateway, "p", stream=True)
        assert answer.status_code == 200 and answer.headers["x-sluice-model"] == GOOD
        assert text_of("chat", answer, True) and kit.is_done(answer.text)
        roles = [c for c in kit.chunks(answer.content) if c.get("choices") and c["choices"][0]["delta"].get("role")]
        assert len(roles) == 1  # nothing of the first attempt is left


def test_once_begun_nothing_follows(world, sim):
    """Content is with the client: an error behind it is the client's to see, and no other model is asked."""
    gateway = world({"p": {"models": [failing("error_event=2"), GOOD]}})
    before = sim.counts()["requests"]
    answer = ask(gateway, "p", stream=True)
    assert "error" in kit.chunks(answer.content)[-1] and "[DONE]" not in answer.text
    assert sim.counts()["requests"] == before + 1


@pytest.mark.parametrize("script,status", [("status=500", 500), ("status=429", 429)])
def test_the_last_error_is_the_answer(world, script, status):
    gateway = world({"p": {"models": [failing("status=503"), failing(script)]}})
    answer = ask(gateway, "p")
    assert answer.status_code == status and answer.json()["error"]["message"]
    assert answer.headers["x-sluice-attempts"] == "2"
    assert [row["cost_nusd"] for row in gateway.rows(1)] == [0]


def test_a_stream_that_never_had_content_fails_with_a_status(world):
    gateway = world({"p": {"models": [failing("status=500"), "claude/claude+error_event=0"]}})
    answer = ask(gateway, "p", stream=True)
    assert answer.status_code >= 500 and "error" in answer.json()


def test_retries_wait_and_are_counted(world, sim):
    """Half a second, a second; then the next model."""
    gateway = world({"p": {"models": [{"model": failing("status=500"), "retries": 2}, GOOD]}})
    before, started = sim.counts()["requests"], time.monotonic()
    answer = ask(gateway, "p")
    took = time.monotonic() - started
    assert answer.status_code == 200 and answer.headers["x-sluice-attempts"] == "4"
    assert sim.counts()["requests"] == before + 4
    assert 1.3 < took < 3, took
    assert float(answer.headers["x-sluice-latency-ms"]) < 500  # waiting is not the gateway's own work


def test_a_bad_request_is_tried_at_another_provider_alone(world, sim):
    gateway = world({"p": {"models": [failing("status=400"), "sim/gpt", "claude/claude"]}})
    before = sim.counts()["requests"]
    # The provider's 400 may be its own: another provider is asked, not another model of the same.
    answer = ask(gateway, "p")
    assert answer.status_code == 200 and answer.headers["x-sluice-model"] == "claude/claude"
    assert sim.counts()["requests"] == before + 2


def test_what_a_model_cannot_take_is_for_the_next(world):
    """`n` cannot be carried over to Anthropic's format: the member is passed over without a call."""
    gateway = world({"p": {"models": ["claude/claude", GOOD]}})
    answer = ask(gateway, "p", n=2)
    assert answer.status_code == 200 and answer.headers["x-sluice-model"] == GOOD
    assert answer.headers["x-sluice-attempts"] == "1"


def test_the_deadline_ends_it(world):
    gateway = world({"p": {"deadline": "1s", "models": [{"model": failing("status=500"), "retries": 10}, GOOD]}})
    started = time.monotonic()
    answer = ask(gateway, "p")
    assert answer.status_code == 500 and time.monotonic() - started < 2.5


def test_weights_and_traces(world):
    """Shares follow the weights, and a trace stays with its model."""
    gateway = world({"split": {"type": "load_balance", "models": [{"model": "sim/gpt", "weight": 3}, {"model": "claude/claude"}]}})
    seen = collections.Counter(ask(gateway, "split").headers["x-sluice-model"] for _ in range(120))
    assert 65 < seen["sim/gpt"] < 115 and sum(seen.values()) == 120
    for trace in ("one", "two", "three"):
        models = {ask(gateway, "split", requesty={"trace_id": trace}).headers["x-sluice-model"] for _ in range(4)}
        assert len(models) == 1


@pytest.mark.parametrize("on_error,status", [("fail", 500), ("next", 200)])
def test_a_balanced_member_that_fails(world, on_error, status):
    gateway = world({"p": {"type": "load_balance", "on_error": on_error,
                           "models": [{"model": failing("status=500"), "weight": 1000000}, {"model": GOOD, "weight": 1}]}})
    assert ask(gateway, "p").status_code == status


def test_policies_in_policies(world):
    gateway = world({"outer": {"models": [failing("status=500"), "policy/inner", GOOD]},
                     "inner": {"models": [failing("status=503"), "claude/claude"]}})
    answer = ask(gateway, "outer")
    assert answer.headers["x-sluice-model"] == "claude/claude" and answer.headers["x-sluice-attempts"] == "3"


@pytest.mark.parametrize("policies,words", [
    ({"a": {"models": ["policy/a"]}}, "leads back to itself: a -> a"),
    ({"a": {"models": ["policy/b"]}, "b": {"models": ["policy/a"]}}, "a -> b -> a"),
    ({"a": {"models": ["policy/none"]}}, 'there is no policy "none"'),
    ({"a": {"models": []}}, "it has 0 models"),
    ({"a": {"models": ["nobody/x"]}}, 'there is no provider "nobody"'),
    ({"A b": {"models": [GOOD]}}, "a policy's name"),
    ({"a": {"type": "random", "models": [GOOD]}}, "fallback|load_balance"),
    ({"a": {"models": [{"model": GOOD, "retries": 11}]}}, "retries"),
    ({"a": {"models": [{"retries": 1}]}}, "a member has no model"),
    ({"a": {"models": [{"model": GOOD, "wieght": 1}]}}, 'did you mean "weight"?'),
    ({"a": {"modles": [GOOD]}}, 'did you mean "models"?'),
])
def test_what_cannot_work_is_refused_with_its_place(sim, tmp_path, policies, words):
    """`config check` says the line, and what to do."""
    (tmp_path / "s.yaml").write_text(json.dumps(dict(kit.config_for(sim), policies=policies), indent=1))
    done = kit.command("config", "check", "-c", str(tmp_path / "s.yaml"))
    assert done.returncode != 0 and words in done.stderr and "s.yaml:" in done.stderr, done.stderr


def test_an_unknown_policy_is_named(world):
    gateway = world({"fast": {"models": [GOOD]}})
    answer = ask(gateway, "fsat")
    assert answer.status_code == 404 and 'did you mean "fast"?' in answer.json()["error"]["message"]


def test_policies_are_in_the_list(world):
    gateway = world({"fast": {"models": [GOOD, "claude/claude"]}, "default": {"models": [GOOD]}}, default_model="policy/default")
    found = {m["id"]: m for m in gateway.get("/v1/models").json()["data"]}
    assert found["policy/fast"]["owned_by"] == "policy" and found["policy/fast"]["context_window"] == 200000
    assert found["policy/fast"]["input_price"] is None
    one = gateway.get("/v1/models/policy/fast").json()
    assert one["id"] == "policy/fast"
    answer = gateway.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
    assert answer.status_code == 200 and answer.headers["x-sluice-policy"] == "default"


def test_only_what_the_key_may_use_is_tried(world):
    """A member outside the key's access list is passed over; when none is left the policy is refused, and not in its list."""
    api = govern.Api(world({"p": {"models": ["sim/gpt", "claude/claude"]}, "q": {"models": ["sim/gpt"]}, "r": {"models": ["policy/q", "policy/p"]}}))
    key, text = api.key()
    only = api.make(govern.LISTS, chat=["claude/claude"])
    api("PATCH", f"{govern.KEYS}/{key}", {"access_list_id": only["id"]}, expect=200)
    assert govern.models(api, text) == {"claude/claude", "policy/p", "policy/r"}
    for name in ("p", "r"):
        answer = api.ask(text, f"policy/{name}")
        assert answer.status_code == 200 and answer.headers["x-sluice-model"] == "claude/claude", answer.text
        assert answer.headers["x-sluice-attempts"] == "1"
    refused = api.ask(text, "policy/q")
    assert refused.status_code == 403 and "policy" in refused.json()["error"]["message"]
    assert api.gateway.get("/v1/models/policy/q", headers={"Authorization": f"Bearer {text}"}).status_code == 404


@pytest.mark.parametrize("stream", [False, True])
def test_limits_hold_over_attempts(world, sim, stream):
    """Failed attempts give back what they held; what a lost attempt may have cost is a record of its own."""
    api = govern.Api(world({"free": {"models": [failing("status=500"), failing("status=429"), GOOD]}, "lost": {"models": [failing("hang"), GOOD]}}))
    key, text = api.key()
    api("POST", f"{govern.KEYS}/{key}/limit", {"monthly_limit": "1"}, expect=204)
    answer = api.ask(text, "policy/free", stream=stream)
    assert answer.status_code == 200 and answer.headers["x-sluice-attempts"] == "3"
    rows = api.gateway.rows(1)
    assert len(rows) == 1 and api.spent(f"{govern.KEYS}/{key}") == rows[0]["cost_nusd"] > 0
    assert api.ask(text, "policy/lost", stream=stream).status_code == 200
    rows = kit.wait_until(lambda: (lambda found: found if all(kit.is_final(r) for r in found) else None)(api.gateway.rows(3)), "all is settled")
    assert len(rows) == 3 and api.spent(f"{govern.KEYS}/{key}") == sum(row["cost_nusd"] for row in rows)


def test_rates_count_a_request_once(world):
    """However many attempts it takes."""
    api = govern.Api(world({"p": {"models": [failing("status=500"), failing("status=503"), GOOD]}}))
    key, text = api.key()
    api("POST", f"{govern.KEYS}/{key}/limit", {"requests_per_minute": 2}, expect=204)
    assert [api.ask(text, "policy/p").status_code for _ in range(3)] == [200, 200, 429]


def test_a_dead_target_is_left_alone(world, sim):
    """After five failures in a row nobody waits for it any more: the next model is asked at once."""
    gateway = world({"p": {"models": [failing("status=503"), GOOD]}, "alone": {"models": [failing("status=503")]}}, workers=1)
    assert [ask(gateway, "p").headers["x-sluice-attempts"] for _ in range(8)] == ["2"] * 5 + ["1"] * 3
    before = sim.counts()["requests"]
    assert ask(gateway, "alone").status_code == 503  # better than nothing: it is asked all the same
    assert sim.counts()["requests"] == before + 1


def test_refusals_of_a_request_do_not_close_a_target(world):
    """A 400 says something of the request, not of the model."""
    gateway = world({"p": {"models": [failing("status=400"), "claude/claude"]}}, workers=1)
    assert [ask(gateway, "p").headers["x-sluice-attempts"] for _ in range(7)] == ["2"] * 7


def test_a_client_that_leaves_between_attempts(world, sim):
    """Nothing more is asked once nobody waits for it."""
    gateway = world({"p": {"models": [{"model": failing("status=500"), "retries": 10}, GOOD]}})
    before = sim.counts()["requests"]
    with gateway.raw() as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("policy/p")))
        kit.wait_until(lambda: sim.counts()["requests"] > before, "the first attempt is made")
    assert gateway.access(1)[0]["status"] == 499
    asked = sim.counts()["requests"]
    time.sleep(1.2)
    assert sim.counts()["requests"] == asked
