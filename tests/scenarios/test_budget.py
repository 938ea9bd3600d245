# SPDX-License-Identifier: Apache-2.0
"""Spending limits of keys: exact under any concurrency, over restarts and kills, never above the limit."""
import concurrent.futures
import json
import signal

import pytest

import kit

NANO = 10**9
MODEL = {"context_window": 4096, "max_output": 1000, "input_price": "1", "output_price": "2", "cached_price": "0.1", "caching_price": "1"}


def world(sim, make_gateway, *names, **more):
    found = kit.providers(sim)
    return make_gateway(dict({"providers": found, "models": {f"{p}/{n}": MODEL for p in found for n in ("gpt", "claude", "echo", *names)}}, **more))


def manage(gateway, method, path, body=None, key=None):
    import requests
    return requests.request(method, gateway.url + path, json=body, timeout=30, headers={"Authorization": f"Bearer {key or gateway.manager}"})


def limited(gateway, limit, name="limited"):
    """A key that may spend `limit` dollars a month: its id and headers."""
    if not hasattr(gateway, "manager"):
        gateway.manager = gateway.make_key("manager", "--manage", "write", "--completions", "none")
    made = manage(gateway, "POST", "/v1/manage/apikey", {"name": name, "monthly_limit": limit, "permissions": {"manage": "none", "completions": "write"}})
    assert made.status_code == 201, made.text
    return made.json()["api_key_id"], {"Authorization": f"Bearer {made.json()['api_key']}"}


def spend(gateway, key_id):
    return round(float(manage(gateway, "GET", f"/v1/manage/apikey/{key_id}").json()["monthly_spend"]) * NANO)


def ask(gateway, headers, **more):
    return gateway.post("/v1/chat/completions", kit.chat("sim/gpt", **more), headers=headers)


def test_what_is_spent_is_what_was_billed(sim, make_gateway):
    """The key's spend is the sum of the costs of its answers, to the nano-dollar."""
    gateway = world(sim, make_gateway)
    key, headers = limited(gateway, "1")
    total = 0
    for i in range(5):
        answer = ask(gateway, headers, content=f"question {i}", max_tokens=50)
        assert answer.status_code == 200, answer.text
        total += round(answer.json()["usage"]["cost"] * NANO)
    assert spend(gateway, key) == total == sum(r["cost_nusd"] for r in gateway.rows(5))


def test_a_spent_limit_is_402_and_says_all(sim, make_gateway):
    """The refusal names key, amounts and reset date, is not worth a retry, and no provider is asked."""
    gateway = world(sim, make_gateway)
    key, headers = limited(gateway, "0.0001")
    answer = ask(gateway, headers, max_tokens=500)
    assert answer.status_code == 402
    error = answer.json()["error"]
    assert error["type"] == "insufficient_quota" and "limited" in error["message"] and "$0.0001" in error["message"]
    assert "resets at" in error["message"] and answer.headers["x-should-retry"] == "false"
    assert sim.get("counts")["completed"] == 0 and spend(gateway, key) == 0
    answer = gateway.post("/v1/messages", kit.messages("claude/claude", max_tokens=900), headers=headers)
    assert answer.status_code == 402 and answer.json()["error"]["type"] == "billing_error"


def test_the_status_can_be_the_hosted_services(sim, make_gateway):
    """spend_limit_status: 412 for clients that were written for it."""
    gateway = world(sim, make_gateway, spend_limit_status=412)
    _, headers = limited(gateway, "0.0001")
    assert ask(gateway, headers).status_code == 412


@pytest.mark.parametrize("path,body,member", [
    ("/v1/chat/completions", {"model": "sim/gpt", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1000}, "max_tokens"),
    ("/v1/chat/completions", {"model": "openai/gpt", "messages": [{"role": "user", "content": "x"}]}, "max_completion_tokens"),
    ("/v1/chat/completions", {"model": "claude/claude", "messages": [{"role": "user", "content": "x"}], "max_tokens": 900}, "max_tokens"),
    ("/v1/messages", {"model": "claude/claude", "messages": [{"role": "user", "content": "x"}], "max_tokens": 900}, "max_tokens"),
    ("/v1/responses", {"model": "openai/gpt", "input": "x", "max_output_tokens": 900}, "max_output_tokens")])
def test_the_output_is_capped_to_what_can_be_paid(sim, make_gateway, path, body, member):
    """The provider gets a lower cap, the client is told, and the bound holds."""
    gateway = world(sim, make_gateway)
    _, headers = limited(gateway, "0.003")
    answer = gateway.post(path, body, headers=headers)
    assert answer.status_code == 200, answer.text
    cap = int(answer.headers["x-sluice-output-cap"])
    sent = json.loads(sim.get("last?n=1")["requests"][-1]["body"])
    assert sent[member] == cap and 16 <= cap < 900
    assert cap * 2000 <= 3_000_000


def test_without_a_bound_nothing_is_sent(sim, make_gateway):
    """A key with a limit cannot call a model whose price is not known; one without can."""
    gateway = world(sim, make_gateway)
    _, headers = limited(gateway, "5")
    assert ask(gateway, headers).status_code == 200
    answer = gateway.post("/v1/chat/completions", kit.chat("sim/unheard-of"), headers=headers)
    assert answer.status_code == 400 and "catalogue" in answer.json()["error"]["message"]
    assert gateway.post("/v1/chat/completions", kit.chat("sim/unheard-of")).status_code == 200


@pytest.mark.parametrize("k", [0, 1, 7, 40])
def test_parallel_requests_are_admitted_exactly(sim, make_gateway, k):
    """L-01: requests at the same time against a budget for exactly K: K answered, the others 402, nothing above the limit."""
    gateway = world(sim, make_gateway, "echo+delay=1500", workers=2)
    body = kit.chat("sim/echo+delay=1500", "x" * 100, max_tokens=100)
    text = sum(len(v) for v in ("sim/echo+delay=1500", "user", "x" * 100))
    most = (text + 2048) * 1000 + 100 * 2000
    _, headers = limited(gateway, f"{(most * k + most // 2) / NANO:.9f}")
    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        answers = list(pool.map(lambda _: gateway.post("/v1/chat/completions", body, headers=headers), range(48)))
    found = [a.status_code for a in answers]
    full = sum(1 for a in answers if a.status_code == 200 and "x-sluice-output-cap" not in a.headers)
    assert full == k and found.count(200) <= k + 1 and set(found) <= {200, 402}
    sim.idle()
    assert len(sim.bill()) == found.count(200)


def test_a_limit_can_be_changed_and_is_in_force_at_once(sim, make_gateway):
    """POST /limit answers 204, and the next request is judged by it; 0 is no limit."""
    gateway = world(sim, make_gateway)
    key, headers = limited(gateway, "0.0001")
    assert ask(gateway, headers).status_code == 402
    assert manage(gateway, "POST", f"/v1/manage/apikey/{key}/limit", {"monthly_limit": 5}).status_code == 204
    assert ask(gateway, headers).status_code == 200
    assert manage(gateway, "POST", f"/v1/manage/apikey/{key}/limit", {"monthly_limit": "0.000001"}).status_code == 204
    assert ask(gateway, headers).status_code == 402
    assert manage(gateway, "POST", f"/v1/manage/apikey/{key}/limit", {"monthly_limit": "0"}).status_code == 204
    assert ask(gateway, headers).status_code == 200


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_what_was_spent_is_known_after_a_restart(sim, make_gateway, end):
    """Spend and limit survive a stop and a kill."""
    gateway = world(sim, make_gateway)
    key, headers = limited(gateway, "1")
    for _ in range(3):
        assert ask(gateway, headers).status_code == 200
    before = spend(gateway, key)
    gateway.signal(end)
    gateway.child.wait(20)
    gateway.again()
    assert spend(gateway, key) == before > 0
    assert ask(gateway, headers).status_code == 200 and spend(gateway, key) > before


def test_what_was_held_at_a_kill_counts_as_spent(sim, make_gateway):
    """A request that was with its provider when the process died is charged with its hold: the limit cannot be passed by it."""
    gateway = world(sim, make_gateway, "gpt+delay=20000")
    key, headers = limited(gateway, "1")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: gateway.post("/v1/chat/completions", kit.chat("sim/gpt+delay=20000", max_tokens=100), headers=headers, timeout=3))
        kit.wait_until(lambda: sim.get("counts")["open"] == 1, "the request is with its provider")
        gateway.signal(signal.SIGKILL)
        gateway.child.wait(20)
    gateway.again()
    row = gateway.rows(1)[0]
    assert row["outcome"] == "crashed" and row["cost_nusd"] >= 100 * 2000 and kit.basis(row) == "crash_estimate"
    assert spend(gateway, key) == row["cost_nusd"]


def test_a_request_that_fails_gives_its_hold_back(sim, make_gateway):
    """After errors, cuts and clients that leave nothing is held."""
    gateway = world(sim, make_gateway, "gpt+status=500", "gpt+cut_events=2", "gpt+delay=5000")
    key, headers = limited(gateway, "0.006")
    for _ in range(4):
        assert gateway.post("/v1/chat/completions", kit.chat("sim/gpt+status=500", max_tokens=1000), headers=headers).status_code == 500
    assert spend(gateway, key) == 0
    gateway.post("/v1/chat/completions", kit.chat("sim/gpt+cut_events=2", stream=True, max_tokens=1000), headers=headers)
    try:
        gateway.post("/v1/chat/completions", kit.chat("sim/gpt+delay=5000", max_tokens=1000), headers=headers, timeout=0.5)
    except Exception:
        pass
    kit.wait_until(lambda: len(gateway.rows(6)) == 6, "all rows")
    assert ask(gateway, headers, max_tokens=1000).status_code == 200
    assert spend(gateway, key) == sum(r["cost_nusd"] for r in gateway.rows(7))
