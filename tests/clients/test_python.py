# SPDX-License-Identifier: Apache-2.0
"""The real Python clients: openai, anthropic and plain requests."""
import base64
import json
import struct
import time

import anthropic
import openai
import pytest
import requests

import kit

TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}}]
ANTHROPIC_TOOLS = [{"name": "get_weather", "input_schema": TOOL}]
HELLO = [{"role": "user", "content": "Use the tool to get the weather, please."}]


@pytest.fixture
def ai(gateway):
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key=gateway.key, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(gateway):
    with anthropic.Anthropic(base_url=gateway.url, api_key=gateway.key, max_retries=0) as client:
        yield client


def cancelled(sim):
    started = time.monotonic()
    kit.wait_until(lambda: sim.counts()["open"] == 0, "the simulator sees the cancel", 5, step=0.005)
    assert time.monotonic() - started < 0.5
    assert sim.counts()["cancelled"] == 1


def test_openai_chat(ai):
    """A chat answer as an object, with usage and cost."""
    got = ai.chat.completions.create(model="openai/gpt", messages=HELLO)
    assert got.choices[0].message.content and got.choices[0].finish_reason == "stop"
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens
    assert got.usage.model_extra["cost"] > 0 and got._request_id


def test_openai_stream(ai):
    """A stream of chunks, and usage at its end when asked for."""
    plain = ai.chat.completions.create(model="openai/gpt", messages=HELLO).choices[0].message.content
    chunks = list(ai.chat.completions.create(model="openai/gpt", messages=HELLO, stream=True,
                                             stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == plain
    assert chunks[-1].usage.completion_tokens > 0
    assert all(c.usage is None for c in ai.chat.completions.create(model="openai/gpt", messages=HELLO, stream=True))


def test_openai_stream_helper(ai):
    """The accumulating helper builds the same message, tool calls included."""
    with ai.chat.completions.stream(model="openai/gpt", messages=HELLO, tools=OPENAI_TOOLS) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather" and "city" in json.loads(call.function.arguments)


def test_openai_tools(ai):
    """A tool call, its result, and the answer to it."""
    first = ai.chat.completions.create(model="openai/gpt", messages=HELLO, tools=OPENAI_TOOLS).choices[0]
    assert first.finish_reason == "tool_calls"
    call = first.message.tool_calls[0]
    second = ai.chat.completions.create(model="openai/gpt", tools=OPENAI_TOOLS, messages=[
        *HELLO, first.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}])
    assert second.choices[0].message is not None


def test_openai_embeddings(ai):
    """The SDK asks for base64 by itself; floats asked for by name are the same vector."""
    default = ai.embeddings.create(model="openai/gpt", input=["one", "two"])
    floats = ai.embeddings.create(model="openai/gpt", input=["one", "two"], encoding_format="float")
    assert len(default.data) == 2 and default.data[0].embedding == pytest.approx(floats.data[0].embedding, rel=1e-5)


@pytest.mark.parametrize("script, error", [
    ("status=400", openai.BadRequestError), ("status=404", openai.NotFoundError), ("status=429", openai.RateLimitError),
    ("status=500", openai.InternalServerError), ("status=503", openai.InternalServerError)])
def test_openai_errors(ai, script, error):
    """A provider's refusal becomes the SDK's own class, with message and request id."""
    with pytest.raises(error) as caught:
        ai.chat.completions.create(model=f"openai/gpt+{script}", messages=HELLO)
    assert caught.value.message and caught.value.request_id


def test_openai_refusals_of_the_gateway(gateway, ai):
    """No such model, a bad key, a deleted key."""
    with pytest.raises(openai.NotFoundError):
        ai.chat.completions.create(model="nowhere/gpt", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        ai.with_options(api_key="nonsense").chat.completions.create(model="openai/gpt", messages=HELLO)
    key = gateway.make_key("gone")
    gateway.command("keys", "delete", "gone")
    with pytest.raises(openai.PermissionDeniedError):
        ai.with_options(api_key=key).chat.completions.create(model="openai/gpt", messages=HELLO)


def test_openai_retries(sim, ai):
    """The SDK's own retries work against us: three tries for a 503."""
    with pytest.raises(openai.InternalServerError):
        ai.with_options(max_retries=2).chat.completions.create(model="openai/gpt+status=503+retry_after_ms=10", messages=HELLO)
    assert sim.counts()["requests"] == 3


def test_openai_error_in_the_middle(ai):
    """An error event in a stream is raised by the SDK."""
    with pytest.raises(openai.APIError) as caught:
        for _ in ai.chat.completions.create(model="openai/gpt+events=20+cut_events=5", messages=HELLO, stream=True):
            pass
    assert caught.value.message


def test_openai_abort(sim, ai):
    """Closing a stream stops the provider."""
    stream = ai.chat.completions.create(model="openai/gpt+events=1000+gap=20", messages=HELLO, stream=True)
    next(iter(stream))
    stream.close()
    cancelled(sim)


def test_openai_models(ai):
    """The model list and one model, its id with a slash."""
    ids = [m.id for m in ai.models.list()]
    assert "openai/gpt" in ids
    assert ai.models.retrieve("openai/gpt").id == "openai/gpt"


def test_anthropic_message(claude):
    """A message as an object, with usage."""
    got = claude.messages.create(model="claude/claude", max_tokens=200, messages=HELLO)
    assert got.content[0].text and got.stop_reason == "end_turn" and got.usage.output_tokens > 0
    assert got._request_id


def test_anthropic_stream(claude):
    """The streaming helper gives the same text as the plain call."""
    plain = claude.messages.create(model="claude/claude", max_tokens=200, messages=HELLO).content[0].text
    with claude.messages.stream(model="claude/claude", max_tokens=200, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == plain and final.usage.output_tokens > 0 and final.stop_reason == "end_turn"


def test_anthropic_tools(claude):
    """Tool inputs arrive whole, plain and streamed."""
    got = claude.messages.create(model="claude/claude", max_tokens=200, messages=HELLO, tools=ANTHROPIC_TOOLS)
    use = [b for b in got.content if b.type == "tool_use"][0]
    with claude.messages.stream(model="claude/claude", max_tokens=200, messages=HELLO, tools=ANTHROPIC_TOOLS) as stream:
        streamed = [b for b in stream.get_final_message().content if b.type == "tool_use"][0]
    assert use.name == "get_weather" and use.input == streamed.input != {}


def test_anthropic_count_tokens(claude):
    """count_tokens answers."""
    assert claude.messages.count_tokens(model="claude/claude", messages=HELLO).input_tokens > 0


@pytest.mark.parametrize("script, error", [
    ("status=400", anthropic.BadRequestError), ("status=404", anthropic.NotFoundError),
    ("status=429", anthropic.RateLimitError), ("status=500", anthropic.InternalServerError),
    ("status=529", anthropic.APIStatusError)])
def test_anthropic_errors(claude, script, error):
    """A provider's refusal becomes the SDK's own class."""
    with pytest.raises(error) as caught:
        claude.messages.create(model=f"claude/claude+{script}", max_tokens=20, messages=HELLO)
    assert caught.value.message


def test_anthropic_refusals_of_the_gateway(claude):
    """A bad key and a model that is not there."""
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="nonsense").messages.create(model="claude/claude", max_tokens=20, messages=HELLO)
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nowhere/claude", max_tokens=20, messages=HELLO)


def test_anthropic_error_in_the_middle(claude):
    """An error event in a stream is raised by the SDK."""
    with pytest.raises(anthropic.APIStatusError):
        with claude.messages.stream(model="claude/claude+events=20+cut_events=5", max_tokens=200, messages=HELLO) as stream:
            for _ in stream:
                pass


def test_anthropic_abort(sim, claude):
    """Leaving a stream stops the provider."""
    with claude.messages.stream(model="claude/claude+events=1000+gap=20", max_tokens=2000, messages=HELLO) as stream:
        next(iter(stream.text_stream))
    cancelled(sim)


def test_anthropic_models(claude):
    """The Anthropic SDK pages through the same list."""
    assert "claude/claude" in [m.id for m in claude.models.list(limit=1000)]


def test_requests_plain_and_stream(gateway):
    """A session keeps its connection; lines of a stream are read as they come."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {gateway.key}"
        for _ in range(3):
            assert session.post(gateway.url + "/v1/chat/completions", json=kit.chat("openai/gpt"), timeout=10).ok
        with session.post(gateway.url + "/v1/chat/completions", json=kit.chat("openai/gpt", stream=True),
                          stream=True, timeout=10) as got:
            lines = [line for line in got.iter_lines() if line]
        assert lines[-1] == b"data: [DONE]"


def test_requests_first_event_comes_at_once(gateway):
    """The first event is not held back until the second."""
    started = time.monotonic()
    with requests.post(gateway.url + "/v1/chat/completions", headers=gateway.headers(), stream=True, timeout=20,
                       json=kit.chat("openai/gpt+events=3+gap=3000", stream=True)) as got:
        next(got.iter_content(None))
        assert time.monotonic() - started < 2


def test_requests_embeddings_base64(gateway):
    """Base64 is little-endian float32."""
    body = {"model": "openai/gpt", "input": "x"}
    packed = gateway.post("/v1/embeddings", dict(body, encoding_format="base64")).json()["data"][0]["embedding"]
    plain = gateway.post("/v1/embeddings", dict(body, encoding_format="float")).json()["data"][0]["embedding"]
    values = struct.unpack(f"<{len(plain)}f", base64.b64decode(packed))
    assert values == pytest.approx(plain, rel=1e-5)


def test_requests_errors(gateway):
    """401, 403, 404 and 429 are what they are."""
    assert gateway.post("/v1/chat/completions", kit.chat(), headers={}).status_code == 401
    assert gateway.post("/v1/chat/completions", kit.chat("openai/gpt+status=429")).status_code == 429
    assert gateway.post("/v1/chat/completions", kit.chat("nowhere/gpt")).status_code == 404


def test_requests_abort(sim, gateway):
    """Closing the response stops the provider."""
    got = requests.post(gateway.url + "/v1/chat/completions", headers=gateway.headers(), stream=True, timeout=10,
                        json=kit.chat("openai/gpt+events=1000+gap=20", stream=True))
    next(got.iter_content(None))
    got.close()
    cancelled(sim)
