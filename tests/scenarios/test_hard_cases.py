# SPDX-License-Identifier: Apache-2.0
"""What other gateways got wrong, and only the whole program can show; each test bears the number of its case.

The cases that are a matter of formats alone are golden files: src/meaning/dialect/*/cases.
"""
import base64
import json
import struct
import time

import pytest
import requests

import kit
import upstream

CLIENTS = {"chat": ("/v1/chat/completions", kit.chat), "messages": ("/v1/messages", kit.messages)}
TYPES = {"compatible": "/v1", "anthropic": "", "openai-responses": "/v1", "google": "/v1beta", "bedrock": "", "cohere": ""}


@pytest.fixture
def gateway(sim, make_gateway):
    """A provider of each format."""
    providers = {t: dict({"type": t, "base_url": sim.url + path, "api_key": kit.PROVIDER_KEY}, **({"region": "eu-west-1"} if t == "bedrock" else {}))
                 for t, path in TYPES.items()}
    return make_gateway(dict({"providers": providers, "models": {f"{p}/m": kit.PRICES for p in TYPES}}, **kit.KEEP_ALIVE))


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("provider", TYPES)
def test_B16_first_arguments_are_not_held_back(gateway, client, provider):
    """The first piece of a long call is with the client long before the last one is made."""
    path, body = CLIENTS[client]
    tools = {"chat": {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}}]},
             "messages": {"tools": [{"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}]}}[client]
    started, first = time.monotonic(), None
    answer = gateway.post(path, body(f"{provider}/m+tools=1+args_piece=1+gap=40", stream=True, **tools), stream=True)
    for line in answer.iter_lines():
        if first is None and (b'"arguments":"{' in line or b'"partial_json":"{' in line):
            first = time.monotonic() - started
    whole = time.monotonic() - started
    if provider == "google":  # its calls come whole
        assert first is not None
    else:
        assert first is not None and whole > 0.3 and first < whole / 2, f"{first} of {whole}"


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("script", ["delay=20000", "events=400+gap=50"])
def test_C5_a_client_that_leaves_stops_its_provider(sim, gateway, client, script):
    """Before the first token and in the stream: the call to the provider ends at once."""
    path, body = CLIENTS[client]
    with gateway.raw() as raw:
        raw.send(gateway.raw_request(path, body(f"anthropic/m+{script}", stream=True)))
        kit.wait_until(lambda: sim.counts()["open"] == 1, "the provider is at work")
        if "events" in script:
            raw.read_head()
        raw.close()
    kit.wait_until(lambda: sim.counts()["open"] == 0, "the provider was stopped", seconds=3)


def test_C6_what_was_generated_is_billed(gateway):
    """A client that leaves in the middle has a row with what came until then, its ground and its price."""
    with gateway.raw() as raw:
        raw.send(gateway.raw_request("/v1/messages", kit.messages("anthropic/m+events=400+gap=20", stream=True)))
        raw.read_head()
        for _ in range(5):
            raw.read_chunk()
        raw.close()
    row = gateway.rows()[0]
    assert kit.outcome(row) == "cancelled" and kit.basis(row) == "provider_partial"
    assert kit.usage_of(row)["input"] > 0 and 0 < kit.usage_of(row)["output"] < 400


def test_C7_counting_what_was_cut_blocks_nobody(gateway):
    """Half a megabyte of answer, cut off: others are served meanwhile."""
    with gateway.raw() as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("compatible/m+bytes=4000000+no_usage+events=2000", stream=True)))
        raw.read_head()
        for _ in range(50):
            raw.read_chunk()
        raw.close()
    slowest = 0
    for _ in range(20):
        at = time.monotonic()
        assert gateway.get("/livez").status_code == 200
        slowest = max(slowest, time.monotonic() - at)
    assert slowest < 1.5 and kit.basis(gateway.rows()[0]) == "gateway_count"


@pytest.mark.parametrize("provider", ["compatible", "anthropic", "openai-responses"])
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("script", ["crlf", "cr", "comments=2", "pad=3", "bom", "no_last_line", "chunk=1", "crlf+chunk=1", "cr+chunk=1"])
def test_C8_streams_in_every_spelling(gateway, client, provider, script):
    """Line ends, comments, blanks, marks, and bytes one by one, within characters too: the same answer."""
    path, body = CLIENTS[client]
    text = "naïve 日本 \u2028 🎉"
    plain, odd = (gateway.post(path, body(f"{provider}/m+events=6{more}", content=text, stream=True)).content for more in ("", "+" + script))
    odd = odd.replace(b"\r\n", b"\n").replace(b"\r", b"\n")  # as they came, where the formats are equal
    words = [kit.text_of(kit.chunks(c)) if client == "chat" else
             "".join(e.get("delta", {}).get("text", "") for _, e in ((None, json.loads(line[6:])) for line in c.decode().split("\n") if line.startswith("data: {")))
             for c in (plain, odd)]
    assert words[0] == words[1] != ""
    assert kit.is_done(odd) if client == "chat" else b"message_stop" in odd


@pytest.mark.parametrize("client", CLIENTS)
def test_F4_what_a_429_says_goes_on(gateway, client):
    """retry-after and the provider's own rate fields reach the client."""
    path, body = CLIENTS[client]
    answer = gateway.post(path, body("anthropic/m+status=429+retry_after=7"))
    assert answer.status_code == 429 and answer.headers["retry-after"] == "7"
    assert answer.json()["error"]["type"] == "rate_limit_error" and answer.json()["error"]["origin"] == "provider"
    good = gateway.post(path, body("anthropic/m+ratelimit"))
    assert good.headers["anthropic-ratelimit-requests-limit"] == "4000"


def test_F5_overloaded_is_no_end(gateway):
    """529: overloaded, worth another try, nothing is remembered against provider or key."""
    for path, body in CLIENTS.values():
        answer = gateway.post(path, body("anthropic/m+status=529"))
        assert answer.status_code in (503, 529) and "x-should-retry" not in answer.headers
        assert gateway.post(path, body("anthropic/m")).status_code == 200


def test_F6_a_bare_429_is_about_the_request(gateway):
    """Without any field of rates it stays a 429 of the provider; no wait is invented."""
    answer = gateway.post("/v1/chat/completions", kit.chat("compatible/m+status=429"))
    assert answer.status_code == 429 and "retry-after" not in answer.headers and answer.json()["error"]["origin"] == "provider"


@pytest.mark.parametrize("provider", TYPES)
def test_F7_tokens_are_counted_for_every_provider(gateway, provider):
    """count_tokens answers whatever the provider, and not less than a word count would."""
    words = 400
    answer = gateway.post("/v1/messages/count_tokens", kit.messages(f"{provider}/m", content="lorem ipsum " * (words // 2)))
    assert answer.status_code == 200 and words * 0.75 <= answer.json()["input_tokens"] <= words * 4


@pytest.mark.parametrize("client,mark", [("chat", b": "), ("messages", b"event: ping")])
@pytest.mark.parametrize("provider", ["compatible", "anthropic"])
def test_F8_a_quiet_stream_shows_that_it_lives(gateway, client, mark, provider):
    """While the provider thinks, the client's own kind of sign of life comes; the answer is whole behind it."""
    path, body = CLIENTS[client]
    answer = gateway.post(path, body(f"{provider}/m+events=3+gap=900", stream=True))
    assert mark in answer.content and (kit.is_done(answer.content) if client == "chat" else b"message_stop" in answer.content)


def test_E11_betas_that_a_host_does_not_know_stay_here(sim, gateway):
    """anthropic-beta: to Anthropic what it is, to Bedrock what it knows, to others nothing; never a refusal."""
    headers = gateway.headers(**{"anthropic-beta": "interleaved-thinking-2025-05-14,made-up-2031-01-01", "anthropic-version": "2023-06-01"})
    for provider in TYPES:
        assert gateway.post("/v1/messages?beta=true", kit.messages(f"{provider}/m"), headers=headers).status_code == 200
        got = sim.last()
        sent = json.dumps(got)
        assert ("made-up-2031" in sent) == (provider == "anthropic"), f"{provider}: {sent[:2000]}"


def test_E17_vectors_in_both_forms(make_gateway):
    """Floats and base64 are the same numbers; a provider that knows floats alone serves both."""
    numbers = [0.5, -0.25, 1.0]
    packed = base64.b64encode(struct.pack("<3f", *numbers)).decode()
    for given, forms in ((numbers, ("float", "base64", None)), (packed, ("base64",))):
        made = upstream.Upstream(lambda path, body, fields, given=given: (200, "application/json", json.dumps(
            {"object": "list", "model": "e", "data": [{"object": "embedding", "index": 0, "embedding": given}], "usage": {"prompt_tokens": 2, "total_tokens": 2}}).encode()))
        gateway = make_gateway({"providers": {"p": {"type": "compatible", "base_url": made.url + "/v1", "api_key": "x"}}})
        for form in forms:
            body = dict({"model": "p/e", "input": "hi"}, **({"encoding_format": form} if form else {}))
            answer = requests.post(gateway.url + "/v1/embeddings", json=body, headers=gateway.headers(), timeout=30)
            assert answer.status_code == 200 and answer.json()["data"][0]["embedding"] == (packed if form == "base64" else numbers), f"{form} of {given}"
        made.stop()
