# SPDX-License-Identifier: Apache-2.0
"""Plain requests: what a program sees that brings no SDK."""
import base64
import struct
import time

import pytest
import requests

import kit


@pytest.fixture(scope="module")
def gateway(world):
    return world.gateway


def test_plain_and_stream(gateway, provider):
    """A session keeps its connection; lines of a stream are read as they come."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {gateway.key}"
        for _ in range(3):
            assert session.post(gateway.url + "/v1/chat/completions", json=kit.chat(f"{provider}/gpt"), timeout=10).ok
        with session.post(gateway.url + "/v1/chat/completions", json=kit.chat(f"{provider}/gpt", stream=True),
                          stream=True, timeout=10) as got:
            lines = [line for line in got.iter_lines() if line]
        assert lines[-1] == b"data: [DONE]"


@pytest.mark.parametrize("path, body, own", [
    ("/v1/chat/completions", kit.chat, {"openai", "sim"}), ("/v1/messages", kit.messages, {"claude"}),
    ("/v1/responses", lambda model: {"model": model, "input": "x"}, {"openai", "responses"})])
def test_each_provider_is_asked_in_its_own_words(world, provider, path, body, own):
    """What this folder's tests rest on: the provider's format is the client's for those named, and another one else."""
    assert world.gateway.post(path, body(f"{provider}/gpt")).status_code == 200
    asked = world.sim.last()["line"].split()[1]
    assert (asked == path) == (provider in own), asked


@pytest.mark.parametrize("script", ["", "+usage_null"])
def test_usage_is_there_or_not_at_all(gateway, provider, script):
    """No chunk says "usage": null, which some clients take for a broken one; the last one counts."""
    got = gateway.post("/v1/chat/completions", kit.chat(f"{provider}/gpt{script}", stream=True, stream_options={"include_usage": True}))
    found = [chunk.get("usage", "none") for chunk in kit.chunks(got.content)]
    assert set(found[:-1]) == {"none"} and found[-1]["completion_tokens"] > 0


def test_first_event_comes_at_once(gateway, provider):
    """The first event is not held back until the second."""
    started = time.monotonic()
    with requests.post(gateway.url + "/v1/chat/completions", headers=gateway.headers(), stream=True, timeout=20,
                       json=kit.chat(f"{provider}/gpt+events=3+gap=3000", stream=True)) as got:
        next(got.iter_content(None))
        assert time.monotonic() - started < 2


def test_embeddings_base64(gateway):
    """Base64 is little-endian float32."""
    body = {"model": "openai/gpt", "input": "x"}
    packed = gateway.post("/v1/embeddings", dict(body, encoding_format="base64")).json()["data"][0]["embedding"]
    plain = gateway.post("/v1/embeddings", dict(body, encoding_format="float")).json()["data"][0]["embedding"]
    values = struct.unpack(f"<{len(plain)}f", base64.b64decode(packed))
    assert values == pytest.approx(plain, rel=1e-5)


def test_errors(gateway, provider):
    """401, 404 and 429 are what they are, and their bodies have the four keys."""
    for answer, status in ((gateway.post("/v1/chat/completions", kit.chat(f"{provider}/gpt"), headers={}), 401),
                           (gateway.post("/v1/chat/completions", kit.chat(f"{provider}/gpt+status=429")), 429),
                           (gateway.post("/v1/chat/completions", kit.chat("nowhere/gpt")), 404)):
        assert answer.status_code == status
        assert {"message", "type", "param", "code"} <= set(answer.json()["error"])


def test_abort(world, gateway, provider):
    """Closing the response stops the provider."""
    with world.cancels():
        got = requests.post(gateway.url + "/v1/chat/completions", headers=gateway.headers(), stream=True, timeout=10,
                            json=kit.chat(f"{provider}/gpt+events=1000+gap=20", stream=True))
        next(got.iter_content(None))
        got.close()
