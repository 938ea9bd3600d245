# SPDX-License-Identifier: Apache-2.0
"""Paths in every spelling, the model list, health, CORS, errors in both dialects."""
import json
import socket

import pytest
import requests

import kit

ERROR_KEYS = {"message", "type", "param", "code"}


@pytest.mark.parametrize("path, hint", [
    ("/v1/chat/completions", False), ("/chat/completions", True), ("/v1/v1/chat/completions", True),
    ("/v1/chat/completions/", True), ("/v1/chat/completions?api-version=2024-06-01", False)])
def test_every_spelling_of_the_address_is_served(gateway, path, hint):
    """A base URL with one /v1 too many or too few works, and the answer says what is odd."""
    got = gateway.post(path, kit.chat())
    assert got.status_code == 200, got.text
    assert ("x-sluice-hint" in got.headers) == hint
    assert gateway.post(path.replace("chat/completions", "messages"), kit.messages()).status_code == 200


def test_hints_are_counted(gateway):
    """Odd base URLs show in the metrics."""
    gateway.post("/v1/v1/chat/completions", kit.chat())
    assert gateway.metric("sluice_base_url_hints_total") == 1


@pytest.mark.parametrize("path", ["/v1/nothing", "/", "/v1", "/v1/chat", "/v1/chat%2fcompletions", "/v1/../v1/models",
                                  "//v1/models", "/V1/models", "/v1/models\\x"])
def test_other_paths_are_404_in_json(gateway, path):
    """What is not there is a 404 with the four keys, whatever the spelling; nothing is decoded."""
    with gateway.raw() as raw:
        raw.send(gateway.raw_request(path, b"{}"))
        status, fields, body = raw.read_answer()
    assert status in (400, 404) and "json" in fields["content-type"]
    assert ERROR_KEYS <= set(json.loads(body)["error"])


def test_a_wrong_method_is_405(gateway):
    """GET on an endpoint that takes POST names the method."""
    assert gateway.get("/v1/chat/completions").status_code == 405


def test_the_model_list_serves_every_reader(gateway):
    """GET /v1/models is one list with the members that all clients look for, with and without a key."""
    for headers in (gateway.headers(), {}):
        got = gateway.get("/v1/models?limit=1000", headers=headers)
        assert got.status_code == 200
        listed = got.json()
        assert listed["object"] == "list" and listed["has_more"] is False
        ids = [m["id"] for m in listed["data"]]
        assert "sim/gpt" in ids and len(ids) == len(set(ids))
        assert listed["first_id"] == ids[0] and listed["last_id"] == ids[-1]
        for model in listed["data"]:
            assert model["object"] == "model" and isinstance(model["created"], int) and model["owned_by"]
            assert model["type"] == "model" and model["display_name"] and model["created_at"].endswith("Z")
        one = [m for m in listed["data"] if m["id"] == "sim/gpt"][0]
        assert one["context_window"] == 200000
        assert one["input_price"] == pytest.approx(1e-6) and one["output_price"] == pytest.approx(2e-6)
    tag = gateway.get("/v1/models").headers["etag"]
    assert gateway.get("/v1/models", headers=gateway.headers(**{"If-None-Match": tag})).status_code == 304


def test_one_model_is_found_by_its_id_with_slashes(gateway):
    """GET /v1/models/{id} takes the slash raw and encoded."""
    for path in ("/v1/models/sim/gpt", "/v1/models/sim%2Fgpt"):
        got = gateway.get(path)
        assert got.status_code == 200 and got.json()["id"] == "sim/gpt", path
    assert gateway.get("/v1/models/sim/nothing").status_code == 404


def test_health_and_hello(gateway):
    """Probes and Claude Code's hello answer without a key, by HEAD too."""
    for path in ("/livez", "/readyz", "/api/hello"):
        assert gateway.get(path, headers={}).status_code == 200
        got = requests.head(gateway.url + path, timeout=10)
        assert got.status_code == 200 and got.content == b""


def test_errors_have_four_keys_in_the_openai_dialect(gateway):
    """Every OpenAI error has message, type, param and code; code is text or null, never a number."""
    cases = [("/v1/chat/completions", kit.chat("nowhere/x"), 404), ("/v1/chat/completions", "{", 400),
             ("/v1/chat/completions", "[]", 400), ("/v1/chat/completions", kit.chat("sim/gpt+status=429"), 429),
             ("/v1/chat/completions", kit.chat("sim/gpt+status=500"), 500),
             ("/v1/chat/completions", kit.chat("sim/gpt+status=400+error_body=string"), 400),
             ("/v1/chat/completions", kit.chat("sim/gpt+status=503+error_body=html"), 503),
             ("/v1/chat/completions", kit.chat("sim/gpt+status=400+error_body=empty"), 400),
             ("/v1/chat/completions", kit.chat("sim/gpt+status=422+error_body=detail"), 422),
             ("/v1/chat/completions", {"messages": []}, 400)]
    for path, body, status in cases:
        got = gateway.post(path, body)
        assert got.status_code == status, f"{body}: {got.text}"
        error = got.json()["error"]
        assert ERROR_KEYS <= set(error)
        assert isinstance(error["message"], str) and error["message"]
        assert isinstance(error["type"], str) and (error["code"] is None or isinstance(error["code"], str))
        assert error["origin"] == ("provider" if "status=" in json.dumps(body) else "router")
        assert got.headers["x-request-id"]
        assert "<html" not in got.text.lower()


def test_errors_in_the_anthropic_dialect(gateway):
    """On /v1/messages errors have Anthropic's envelope."""
    for body, status in [(kit.messages("nowhere/x"), 404), ("{", 400), (kit.messages("claude/claude+status=429"), 429),
                         (kit.messages("claude/claude+status=529"), 529)]:
        got = gateway.post("/v1/messages", body)
        assert got.status_code == status, got.text
        document = got.json()
        assert document["type"] == "error" and document["error"]["type"] and document["error"]["message"]
        assert document["request_id"] == got.headers["request-id"]


def test_an_operation_that_a_provider_lacks_is_refused(gateway):
    """Embeddings of a provider that has none answer 400, naming the provider and its type."""
    got = gateway.post("/v1/embeddings", {"model": "claude/claude", "input": "a"})
    assert got.status_code == 400 and got.json()["error"]["code"] == "operation_not_supported"
    assert '"claude"' in got.json()["error"]["message"] and "anthropic" in got.json()["error"]["message"]


def test_an_unknown_provider_names_the_nearest(gateway):
    """A misspelled provider is a 404 that says which one may have been meant."""
    got = gateway.post("/v1/chat/completions", kit.chat("opnai/gpt"))
    assert got.status_code == 404 and '"openai"' in got.json()["error"]["message"].replace("\\", "")


def test_the_providers_refusal_keeps_its_words(gateway):
    """In pass mode status, type, code and message of a provider's error reach the client."""
    got = gateway.post("/v1/chat/completions", kit.chat(
        "sim/gpt+status=400+error_type=weird_error+error_code=odd_code+message=prompt is too long: 5 tokens"))
    error = got.json()["error"]
    assert got.status_code == 400 and error["type"] == "weird_error" and error["code"] == "odd_code"
    assert "prompt is too long: 5 tokens" in error["message"]


def test_retry_after_passes(gateway):
    """A provider's Retry-After reaches the client."""
    got = gateway.post("/v1/chat/completions", kit.chat("sim/gpt+status=429+retry_after=7"))
    assert got.status_code == 429 and got.headers["retry-after"] == "7"


def test_a_refused_provider_key_is_not_the_callers_fault(gateway):
    """When the provider refuses the gateway's own key, the client gets 502, not 401."""
    got = gateway.post("/v1/chat/completions", kit.chat("sim/gpt+status=401"))
    assert got.status_code == 502 and kit.PROVIDER_KEY not in got.text


def test_without_configuration_there_is_no_cors(gateway):
    """CORS is off by default."""
    got = gateway.get("/v1/models", headers={"Origin": "https://app.example"})
    assert "access-control-allow-origin" not in got.headers


def test_cors_for_configured_origins(sim, make_gateway):
    """A configured origin may call, its requested header names are reflected; others get nothing."""
    gateway = make_gateway(kit.config_for(sim, **kit.CORS))
    names = "authorization,content-type,x-stainless-lang"
    preflight = requests.options(gateway.url + "/v1/chat/completions", timeout=10, headers={
        "Origin": "https://app.example", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": names})
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert preflight.headers["access-control-allow-headers"] == names
    assert {"POST", "PATCH", "DELETE"} <= set(preflight.headers["access-control-allow-methods"].split(", "))
    got = gateway.post("/v1/chat/completions", kit.chat(), headers=gateway.headers(Origin="https://app.example"))
    assert got.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-request-id" in got.headers["access-control-expose-headers"]
    refused = gateway.post("/v1/chat/completions", kit.chat(), headers={"Origin": "https://app.example"})
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == "https://app.example"
    other = gateway.get("/v1/models", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def test_metrics_are_in_prometheus_form(gateway):
    """/metrics parses, has the sluice family, and counts what happened."""
    gateway.post("/v1/chat/completions", kit.chat("sim/gpt"))
    gateway.post("/v1/chat/completions", kit.chat("nowhere/gpt"))
    gateway.access(2)
    text = gateway.get("/metrics", headers={}).text
    import re
    names, helped = set(), set()
    for line in text.strip().split("\n"):
        if line.startswith("# "):
            helped.add(line.split(" ")[2])
            continue
        found = re.fullmatch(r'(\w+)(\{(\w+="([^"\\]|\\.)*",?)*\})? ([-+0-9.eE]+|\+Inf|NaN)', line)
        assert found, f"not a sample: {line!r}"
        names.add(re.sub(r"_(bucket|sum|count)$", "", found.group(1)))
    for name in ("sluice_requests_total", "sluice_request_duration_seconds", "sluice_ttft_seconds",
                 "sluice_tokens_total", "sluice_cost_usd_total", "sluice_inflight", "sluice_build_info"):
        assert name in names and name in helped, name
    assert gateway.metric("sluice_requests_total", outcome="ok", op="chat", provider="sim") == 1
    assert gateway.metric("sluice_tokens_total", type="input") > 0
    assert gateway.key not in text


def test_a_wrong_method_is_told_the_right_one(gateway):
    """405 has an Allow field (RFC 9110)."""
    assert gateway.get("/v1/chat/completions").headers["allow"] == "POST, OPTIONS"
    assert gateway.post("/v1/models", {}).headers["allow"] == "GET, HEAD, OPTIONS"


def test_prices_in_openrouters_form_too(gateway):
    """pricing.prompt and pricing.completion are decimal text, USD a token, and absent when unknown."""
    model = gateway.get("/v1/models/sim/gpt").json()
    assert model["pricing"] == {"prompt": "0.000001", "completion": "0.000002"}, model


def test_a_unix_socket_serves_with_several_workers(sim, tmp_path):
    """listen: unix:/path is served by all workers, with mode 0600, and the file is gone afterwards."""
    path = tmp_path / "sluice.sock"
    config = dict(kit.config_for(sim), listen=f"unix:{path}", data_dir=str(tmp_path / "data"), workers=3)
    (tmp_path / "sluice.yaml").write_text(json.dumps(config))
    server = kit.Program("unix", ["serve", "-c", "sluice.yaml"], tmp_path)
    server.wait_for_line('"event":"ready"')
    assert path.stat().st_mode & 0o777 == 0o600
    for _ in range(20):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(kit.WAIT_S)
            client.connect(str(path))
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
    assert server.stop() == 0 and not path.exists()
    server.check()
