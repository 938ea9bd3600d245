# SPDX-License-Identifier: Apache-2.0
"""The management API on the gateway's own origin: keys, rights, usage."""
import datetime

import pytest
import requests

import kit

KEYS = "/v1/manage/apikey"


@pytest.fixture
def api(gateway):
    """Calls the management API with a key of each right."""
    keys = {right: gateway.make_key(f"m-{right}", "--manage", right, "--completions", "none") for right in ("none", "read", "write")}

    def call(method, path, body=None, right="write", key=None):
        return requests.request(method, gateway.url + path, json=body, timeout=30, headers={"Authorization": f"Bearer {key or keys[right]}"})
    call.gateway, call.keys = gateway, keys
    return call


def test_a_key_lives_from_creation_to_deletion(api):
    """Create, list, show, label, expire, delete; the secret is shown once."""
    made = api("POST", KEYS, {"name": "ci", "monthly_limit": 50, "permissions": {"manage": "none", "completions": "write"}})
    assert made.status_code == 201
    key, secret = made.json()["api_key_id"], made.json()["api_key"]
    assert api.gateway.post("/v1/chat/completions", kit.chat(), headers={"Authorization": f"Bearer {secret}"}).status_code == 200
    listed = api("GET", KEYS).json()["keys"]
    assert secret not in str(listed)
    mine = next(k for k in listed if k["id"] == key)
    assert mine["monthly_limit"] == "50" and mine["permissions"] == {"manage": "none", "completions": "write"} and mine["labels"] == {}
    assert api("POST", f"{KEYS}/{key}/label", {"labels": {"team": "search"}}).status_code == 204
    assert api("GET", f"{KEYS}/{key}").json()["labels"] == {"team": "search"}
    assert api("POST", f"{KEYS}/{key}/expiry", {"expires_at": "2099-01-01T00:00:00Z"}).status_code == 204
    assert api("GET", f"{KEYS}/{key}").json()["expires_at"].startswith("2099-01-01")
    assert api("POST", f"{KEYS}/{key}/expiry", {"expires_at": None}).status_code == 204
    assert api("DELETE", f"{KEYS}/{key}").status_code == 200
    assert api.gateway.post("/v1/chat/completions", kit.chat(), headers={"Authorization": f"Bearer {secret}"}).status_code == 403
    assert api("GET", f"{KEYS}/{key}").status_code == 404


ROUTES = [("GET", KEYS, "read"), ("POST", KEYS, "write"), ("GET", KEYS + "/{id}", "read"), ("DELETE", KEYS + "/{id}", "write"),
          ("POST", KEYS + "/{id}/limit", "write"), ("POST", KEYS + "/{id}/label", "write"), ("POST", KEYS + "/{id}/expiry", "write"),
          ("GET", KEYS + "/{id}/usage?start=2026-01-01T00:00:00Z", "read"), ("GET", "/v1/manage/org/usage?start=2026-01-01T00:00:00Z", "read")]
BODIES = {"limit": {"monthly_limit": "1"}, "label": {"labels": {}}, "expiry": {"expires_at": None}}


@pytest.mark.parametrize("method,path,needed", ROUTES)
def test_every_route_asks_for_its_right(api, method, path, needed):
    """No key 401, too little right 403, enough right works."""
    order = ["none", "read", "write"]
    for right in order:
        made = api("POST", KEYS, {"name": f"victim-{right}"}).json()["api_key_id"]
        body = {"name": f"new-{right}"} if (method, path) == ("POST", KEYS) else BODIES.get(path.rsplit("/", 1)[1])
        got = api(method, path.replace("{id}", made), body, right=right)
        assert (got.status_code == 403) == (order.index(right) < order.index(needed)), f"{right}: {got.status_code} {got.text}"
        assert got.status_code in (200, 201, 204, 403)
    assert requests.request(method, api.gateway.url + path.replace("{id}", made), timeout=30).status_code == 401


def test_self_is_the_calling_key(api):
    """Any key may look at itself, and at nothing else."""
    me = api("GET", KEYS + "/self", right="none")
    assert me.status_code == 200 and me.json()["name"] == "m-none"
    assert api("GET", KEYS + "/self/usage?start=2026-11-01T00:00:00Z", right="none").status_code == 200
    assert api("POST", KEYS + "/self/limit", {"monthly_limit": "1"}, right="none").status_code == 403
    assert api("GET", f"{KEYS}/{me.json()['id']}", right="none").status_code == 403
    old = api("GET", "/x/apikey", right="none")
    assert old.status_code == 200 and old.json()["name"] == "m-none" and old.json()["monthly_limit"] == "0"


def test_nobody_gives_more_than_he_has(api):
    """A key's rights are at most its maker's."""
    secret = api("POST", KEYS, {"name": "writer", "permissions": {"manage": "write", "completions": "none"}}).json()["api_key"]
    assert api("POST", KEYS, {"name": "x", "permissions": {"manage": "write", "completions": "none"}}, key=secret).status_code == 201


@pytest.mark.parametrize("method,path,body,status,param", [
    ("POST", KEYS, {"name": "x", "monthly_limit": -1}, 400, "monthly_limit"), ("POST", KEYS, {"name": "x", "monthly_limit": "1e3"}, 400, "monthly_limit"),
    ("POST", KEYS, {"name": "x", "monthly_limit": "1.0000000001"}, 400, "monthly_limit"), ("POST", KEYS, {}, 400, "name"),
    ("POST", KEYS + "/nonsense/limit", {"monthly_limit": "1"}, 400, "id"), ("GET", KEYS + "/nonsense", None, 400, "id"),
    ("GET", KEYS + "/01a20656-8a24-75c1-8aa5-4530d639037c", None, 404, None), ("DELETE", KEYS + "/01a20656-8a24-75c1-8aa5-4530d639037c", None, 404, None),
    ("GET", KEYS + "/self/usage", None, 400, "start"), ("GET", KEYS + "/self/usage?start=yesterday", None, 400, "start"),
    ("GET", KEYS + "/self/usage?start=2026-01-01T00:00:00Z&end=2026-06-01T00:00:00Z", None, 400, "end"),
    ("GET", KEYS + "/self/usage?start=2026-01-01T00:00:00Z&group_by=colour", None, 400, "group_by"),
    ("GET", KEYS + "/self/usage?start=2026-01-01T00:00:00Z&resolution=week", None, 400, "resolution"),
    ("PUT", KEYS, {"name": "x"}, 405, None), ("GET", "/v1/manage/nothing", None, 404, None)])
def test_what_is_wrong_is_named(api, method, path, body, status, param):
    """Bad requests get a four-key error that names the member."""
    got = api(method, path, body)
    assert got.status_code == status, got.text
    assert set(got.json()["error"]) >= {"message", "type", "param", "code"} and got.json()["error"]["param"] == param


def test_usage_sums_what_was_done(api):
    """Buckets by day and hour, grouped in both spellings, agree with the answers' own usage."""
    gateway = api.gateway
    made = api("POST", KEYS, {"name": "user"}).json()
    headers = {"Authorization": f"Bearer {made['api_key']}"}
    tokens, cost = 0, 0
    for model in ("sim/gpt", "sim/gpt", "openai/gpt"):
        usage = gateway.post("/v1/chat/completions", kit.chat(model), headers=headers).json()["usage"]
        tokens, cost = tokens + usage["total_tokens"], cost + round(usage["cost"] * 1e9)
    gateway.post("/v1/embeddings", {"model": "sim/embed", "input": "x"}, headers=headers)
    gateway.rows(4)
    start = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
    end = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).strftime("%Y-%m-%dT00:00:00Z")
    for groups in ("&group_by=model_requested&group_by=provider_used", "&group_by=model_requested,provider_used"):
        found = api("GET", f"{KEYS}/{made['api_key_id']}/usage?start={start}&end={end}{groups}").json()["usage"]
        assert len(found) == 1
        day = next(iter(found.values()))
        assert day["completions_requests"] == 3 and day["embedding_requests"] == 1 and day["total_requests"] == 4
        assert {(g["group_by_values"]["model_requested"], g["completions_requests"]) for g in day["grouped_data"]} == {
            ("sim/gpt", 2), ("openai/gpt", 1), ("sim/embed", 0)}
    chat = [g for g in day["grouped_data"] if g["completions_requests"]]
    assert sum(g["total_tokens"] for g in chat) == tokens and round(sum(float(g["spend"]) for g in chat) * 1e9) == cost
    hours = api("GET", f"{KEYS}/{made['api_key_id']}/usage?start={start}&end={end}&resolution=hour").json()["usage"]
    assert sum(h["total_requests"] for h in hours.values()) == 4
    everybody = api("GET", f"/v1/manage/org/usage?start={start}&end={end}&group_by=api_key_id").json()["usage"]
    assert sum(d["total_requests"] for d in everybody.values()) == 4
