# SPDX-License-Identifier: Apache-2.0
"""Embeddings from providers of every format, as numbers and as bytes, whatever the provider gives."""
import base64
import json
import struct

import pytest

import kit
from upstream import Upstream

INPUTS = ["the first", "the second", "a third one"]


def vector(text):
    """Three numbers that a float holds exactly."""
    return [len(text) / 4, -0.5, sum(text.encode()) / 1024]


def vectors(path, body):
    if path.endswith(":batchEmbedContents"):
        return {"embeddings": [{"values": vector(r["content"]["parts"][0]["text"])} for r in body["requests"]]}
    if path.endswith(":predict"):
        return {"predictions": [{"embeddings": {"values": vector(i["content"]), "statistics": {"token_count": 5}}}
                            for i in body["instances"]]}
    if path.endswith("/v2/embed"):
        return {"embeddings": {"float": [vector(t) for t in body["texts"]]},
            "meta": {"billed_units": {"input_tokens": 5 * len(body["texts"])}}}
    if path.endswith("/invoke"):
        return {"embedding": vector(body["inputText"]), "inputTextTokenCount": 5}
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    return {"object": "list", "data": [{"object": "embedding", "index": i, "embedding": vector(str(t))}
                                   for i, t in reversed(list(enumerate(texts)))],
        "model": "x", "usage": {"prompt_tokens": 5 * len(texts), "total_tokens": 5 * len(texts)}}


class Vectors(Upstream):
    """A provider of vectors in whatever format its address asks for."""

    def __init__(self):
        super().__init__(self.give)
        self.fails_from, self.vectors = None, vectors

    def give(self, path, body, _):
        failed = self.fails_from is not None and len(self.asked) >= self.fails_from
        answer = {"error": {"message": "no more"}} if failed else self.vectors(path, json.loads(body))
        return 400 if failed else 200, "application/json", json.dumps(answer).encode()


@pytest.fixture
def upstream():
    made = Vectors()
    yield made
    made.stop()


# provider: its settings, the model, calls it takes for three texts, whether it counts tokens
PROVIDERS = {
    "compatible": ({"type": "compatible", "base_url": "{url}/v1", "api_key": "k"}, "e5", 1, True),
    "google": ({"type": "google", "base_url": "{url}/v1beta", "api_key": "k"}, "gemini-embedding-001", 1, False),
    "cohere": ({"type": "cohere", "base_url": "{url}", "api_key": "k"}, "embed-v4.0", 1, True),
    "vertex": ({"type": "vertex", "base_url": "{url}", "api_key": "k", "project": "p", "location": "l"}, "text-embedding-005", 1, True),
    "bedrock": ({"type": "bedrock", "base_url": "{url}", "region": "us-east-1", "access_key_id": "AKIDEXAMPLE",
                 "secret_access_key": "c2VjcmV0LXRoYXQtaXMtbG9uZw"}, "amazon.titan-embed-text-v2:0", 3, True),
}


def gateway_for(make_gateway, upstream, name):
    settings = {k: v.replace("{url}", upstream.url) for k, v in PROVIDERS[name][0].items()}
    model = f"{name}/{PROVIDERS[name][1]}"
    return make_gateway({"providers": {name: settings}, "models": {model: kit.PRICES}}), model


def floats(text):
    raw = base64.b64decode(text)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


@pytest.mark.parametrize("name", list(PROVIDERS))
@pytest.mark.parametrize("form", [None, "float", "base64"])
def test_vectors_come_in_order_and_in_the_form_that_was_asked_for(make_gateway, upstream, name, form):
    """Each input has its vector at its index, as numbers or as bytes, and the tokens are billed once."""
    gateway, model = gateway_for(make_gateway, upstream, name)
    body = {"model": model, "input": INPUTS, **({"encoding_format": form} if form else {})}
    answer = gateway.post("/v1/embeddings", body)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["object"] == "list" and document["model"] in (model, "x")
    found = {d["index"]: d["embedding"] for d in document["data"]}
    assert sorted(found) == [0, 1, 2]
    for i, text in enumerate(INPUTS):
        got = floats(found[i]) if form == "base64" else found[i]
        want = vector(text)
        assert got == pytest.approx(want, rel=1e-6)
    calls, counts = PROVIDERS[name][2:]
    assert len(upstream.asked) == calls and answer.headers["x-sluice-attempts"] == "1"
    row = gateway.rows()[0]
    assert kit.usage_of(row)["input"] == document["usage"]["prompt_tokens"] > 0
    assert row["usage_present"] == counts and (not counts or document["usage"]["prompt_tokens"] == 15)
    assert document["usage"]["cost"] == pytest.approx(document["usage"]["prompt_tokens"] * 1e-6)


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_one_string_is_one_input(make_gateway, upstream, name):
    """A string alone has one vector."""
    gateway, model = gateway_for(make_gateway, upstream, name)
    answer = gateway.post("/v1/embeddings", {"model": model, "input": "hello", "encoding_format": "base64"})
    assert answer.status_code == 200, answer.text
    assert [floats(d["embedding"]) for d in answer.json()["data"]] == [pytest.approx(vector("hello"), rel=1e-6)]


@pytest.mark.parametrize("name", ["google", "cohere", "vertex", "bedrock"])
def test_tokens_go_only_to_those_who_know_them(make_gateway, upstream, name):
    """Inputs given as tokens of OpenAI's vocabulary are refused by name elsewhere, before any call."""
    gateway, model = gateway_for(make_gateway, upstream, name)
    for tokens in ([1, 2, 3], [[1, 2], [3]]):
        answer = gateway.post("/v1/embeddings", {"model": model, "input": tokens})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == "input"
    assert not upstream.asked


def test_tokens_reach_an_openai_server(make_gateway, upstream):
    """The four shapes of input arrive unchanged."""
    gateway, model = gateway_for(make_gateway, upstream, "compatible")
    for shape in ("x", ["x", "y"], [1, 2, 3], [[1, 2], [3]]):
        assert gateway.post("/v1/embeddings", {"model": model, "input": shape}).status_code == 200
        assert json.loads(upstream.asked[-1][1])["input"] == shape


def test_the_credential_goes_in_the_providers_own_way(make_gateway, upstream):
    """Google's key is a field of its own; Amazon's call is signed over its body."""
    gateway, model = gateway_for(make_gateway, upstream, "google")
    gateway.post("/v1/embeddings", {"model": model, "input": "x"})
    assert upstream.asked[-1][2]["x-goog-api-key"] == "k"
    gateway, model = gateway_for(make_gateway, upstream, "bedrock")
    gateway.post("/v1/embeddings", {"model": model, "input": "x"})
    path, _, fields = upstream.asked[-1]
    assert fields["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/us-east-1/bedrock/aws4_request" in fields["authorization"] and "x-amz-date" in fields
    assert path == "/model/amazon.titan-embed-text-v2%3A0/invoke"


def test_a_failure_behind_the_first_calls_is_an_error_with_their_cost(make_gateway, upstream):
    """Three calls for three texts, the last refused: the client gets the error, the ledger what was used."""
    upstream.fails_from = 3
    gateway, model = gateway_for(make_gateway, upstream, "bedrock")
    answer = gateway.post("/v1/embeddings", {"model": model, "input": INPUTS})
    assert answer.status_code == 400 and "no more" in answer.text
    row = gateway.rows()[0]
    assert kit.usage_of(row)["input"] == 10 and row["cost_nusd"] == 10 * 1000


def test_a_provider_that_gives_too_few_vectors_is_found_out(make_gateway, upstream):
    """An answer without a vector for each input is no answer."""
    gateway, model = gateway_for(make_gateway, upstream, "google")
    upstream.vectors = lambda path, body: {"embeddings": [{"values": [1, 2]}]}
    answer = gateway.post("/v1/embeddings", {"model": model, "input": INPUTS})
    assert answer.status_code == 502 and "1 vectors for 3 inputs" in answer.text
