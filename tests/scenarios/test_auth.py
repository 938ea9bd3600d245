# SPDX-License-Identifier: Apache-2.0
"""Who may call: 401 without a usable credential, 403 with one that is not valid."""
import json
import time

import pytest

import kit


def status(gateway, headers):
    return gateway.post("/v1/chat/completions", kit.chat(), headers=headers).status_code


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "api-key"])
def test_a_key_is_taken_from_each_header(gateway, header):
    """Bearer, x-api-key and api-key all carry the key, on both formats."""
    value = f"Bearer {gateway.key}" if header == "Authorization" else gateway.key
    assert gateway.post("/v1/chat/completions", kit.chat(), headers={header: value}).status_code == 200
    assert gateway.post("/v1/messages", kit.messages(), headers={header: value}).status_code == 200


@pytest.mark.parametrize("headers", [
    {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"x-api-key": ""},
    {"Authorization": "Basic dXNlcjpwYXNz"}, {"Authorization": "Bearer not-a-key"},
    {"Authorization": "Bearer sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"},
    {"x-api-key": "sk-ant-api03-abcdefghijklmnopqrstuvwxyz"}])
def test_no_usable_credential_is_401(gateway, headers):
    """Absent, empty and malformed credentials are 401, with four keys and no echo of what came."""
    got = gateway.post("/v1/chat/completions", kit.chat(), headers=headers)
    assert got.status_code == 401
    error = got.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    value = next(iter(headers.values()), "").removeprefix("Bearer").strip()
    assert error["code"] == ("malformed_api_key" if value else "missing_api_key")
    for value in headers.values():
        secret = value.split(" ")[-1]
        assert len(secret) < 12 or secret not in got.text


def test_headers_that_disagree_are_401_and_named(gateway):
    """Two credentials that differ are refused, and the message names both headers."""
    other = gateway.make_key("other")
    got = gateway.post("/v1/chat/completions", kit.chat(), headers={"Authorization": f"Bearer {gateway.key}", "x-api-key": other})
    assert got.status_code == 401
    assert got.json()["error"]["code"] == "malformed_api_key"
    message = got.json()["error"]["message"].lower()
    assert "authorization" in message and "x-api-key" in message
    assert status(gateway, {"Authorization": f"Bearer {gateway.key}", "x-api-key": gateway.key}) == 200


def test_unknown_keys_are_403_and_damaged_ones_401(gateway):
    """A key of the right form that nobody made is 403; one with a wrong checksum or cut short is 401."""
    other = gateway.make_key("gone")
    gateway.command("keys", "delete", "gone")
    assert status(gateway, {"Authorization": f"Bearer {other}"}) == 403
    swapped = gateway.key[:-1] + ("A" if gateway.key[-1] != "A" else "B")
    assert status(gateway, {"Authorization": f"Bearer {swapped}"}) == 401
    assert status(gateway, {"Authorization": f"Bearer {gateway.key[:-5]}"}) == 401


def test_creation_and_deletion_take_effect_at_once(gateway):
    """A key works as soon as the command has ended, and not any more as soon as it was deleted."""
    for turn in range(5):
        key = gateway.make_key(f"k{turn}")
        headers = {"Authorization": f"Bearer {key}"}
        assert status(gateway, headers) == 200
        gateway.command("keys", "delete", f"k{turn}")
        assert status(gateway, headers) == 403


def test_a_deleted_key_is_refused_on_a_kept_connection(gateway):
    """Deletion is in force on connections that were open before."""
    key = gateway.make_key("kept")
    request = gateway.raw_request("/v1/chat/completions", kit.chat(), [f"Authorization: Bearer {key}"], key=False)
    with gateway.raw() as raw:
        raw.send(request)
        assert raw.read_answer()[0] == 200
        gateway.command("keys", "delete", "kept")
        raw.send(request)
        assert raw.read_answer()[0] == 403


def test_keys_are_listed_without_their_text(gateway):
    """keys list shows names and permissions, never a key."""
    listed = json.loads(gateway.command("keys", "list", "-o", "json"))
    assert [k["name"] for k in listed["data"]] == ["test"]
    assert gateway.key not in json.dumps(listed)
    assert gateway.key not in gateway.command("keys", "list")


def test_a_name_is_given_once(gateway):
    """A second key of the same name is a conflict (exit 6); deleting what is not there is exit 5."""
    done = kit.command("keys", "create", "--name", "test", "-c", gateway.config_path, cwd=gateway.home)
    assert done.returncode == 6 and "test" in done.stderr
    assert kit.command("keys", "delete", "nobody", "-c", gateway.config_path, cwd=gateway.home).returncode == 5


def test_keys_survive_a_restart(gateway):
    """A key made while the server ran works after a restart."""
    assert gateway.stop() == 0
    gateway.again()
    assert status(gateway, gateway.headers()) == 200


def test_auth_check(gateway):
    """GET /v1/auth/check is 200 for a live key and 401 or 403 otherwise."""
    assert gateway.get("/v1/auth/check").status_code == 200
    assert gateway.get("/v1/auth/check", headers={}).status_code == 401
    other = gateway.make_key("gone")
    gateway.command("keys", "delete", "gone")
    assert gateway.get("/v1/auth/check", headers={"Authorization": f"Bearer {other}"}).status_code == 403


def test_a_management_key_does_not_call_models(gateway):
    """A key made for management alone is refused for inference with 403."""
    key = gateway.make_key("manager", "--manage", "write")
    got = gateway.post("/v1/chat/completions", kit.chat(), headers={"Authorization": f"Bearer {key}"})
    assert got.status_code in (200, 403)  # completions: write is the default, --manage only adds
    listed = json.loads(gateway.command("keys", "list", "-o", "json"))["data"]
    assert [k for k in listed if k["name"] == "manager"][0]["permissions"]["manage"] == "write"


def test_the_body_is_not_waited_for_before_a_refusal(gateway):
    """Without a credential the refusal comes before the body was sent."""
    with gateway.raw() as raw:
        raw.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                 b"Content-Length: 1000000\r\n\r\n")
        started = time.monotonic()
        assert raw.read_head()[0] == 401
        assert time.monotonic() - started < 5
