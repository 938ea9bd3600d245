# SPDX-License-Identifier: Apache-2.0
"""The anthropic package for Python: Messages over providers of every format."""
import asyncio

import anthropic
import pydantic
import pytest

from world import CITY, PROMPT, TOOL

HELLO = [{"role": "user", "content": PROMPT}]
TOOLS = [{"name": "get_weather", "input_schema": TOOL}]


class Forecast(pydantic.BaseModel):
    city: str
    days: int


@pytest.fixture(scope="module")
def claude(world):
    with anthropic.Anthropic(base_url=world.url, api_key=world.key, max_retries=0) as client:
        yield client


def test_message(world, claude, provider):
    """A message as an object: the provider's words and usage."""
    got = claude.messages.create(model=f"{provider}/gpt", max_tokens=200, messages=HELLO)
    assert [b.text for b in got.content] == [world.direct("gpt")] and got.stop_reason == "end_turn"
    assert got.usage.input_tokens > 0 and got.usage.output_tokens > 0 and got._request_id


def test_stream(world, claude, provider):
    """The streaming helper tells each piece, each block and the whole message."""
    with claude.messages.stream(model=f"{provider}/gpt", max_tokens=200, messages=HELLO) as stream:
        events = list(stream)
        final = stream.get_final_message()
    text = [e.text for e in events if e.type == "text"]
    assert len(text) > 3 and "".join(text) == final.content[0].text == world.direct("gpt")
    assert [e.type for e in events if e.type.startswith("message_") or e.type.startswith("content_block_st")] == [
        "message_start", "content_block_start", "content_block_stop", "message_delta", "message_stop"]
    assert final.usage.output_tokens > 0 and final.usage.input_tokens > 0 and final.stop_reason == "end_turn"


def test_raw_stream(world, claude, provider):
    """stream=True gives the events as they are."""
    events = list(claude.messages.create(model=f"{provider}/gpt", max_tokens=200, messages=HELLO, stream=True))
    text = "".join(e.delta.text for e in events if e.type == "content_block_delta")
    assert text == world.direct("gpt") and events[0].type == "message_start" and events[-1].type == "message_stop"


def test_tools(claude, provider):
    """Inputs of parallel calls arrive whole, plain and streamed, and their results are answered."""
    ask = {"model": f"{provider}/gpt+tools=2", "max_tokens": 200, "messages": HELLO, "tools": TOOLS}
    got = claude.messages.create(**ask)
    uses = [b for b in got.content if b.type == "tool_use"]
    with claude.messages.stream(**ask) as stream:
        streamed = [b for b in stream.get_final_message().content if b.type == "tool_use"]
    assert got.stop_reason == "tool_use" and len(uses) == 2 and uses[0].id != uses[1].id
    assert [(u.name, u.input) for u in uses] == [(u.name, u.input) for u in streamed] and "city" in uses[0].input
    second = claude.messages.create(model=f"{provider}/gpt", max_tokens=200, tools=TOOLS, messages=[
        *HELLO, {"role": "assistant", "content": got.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": u.id, "content": "sunny"} for u in uses]}])
    assert second.stop_reason == "end_turn" and second.content[0].text


def test_system_and_images(world, claude, provider):
    """A system prompt in blocks and a picture reach the provider in its own words."""
    picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    got = claude.messages.create(
        model=f"{provider}/gpt", max_tokens=200, system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}},
            {"type": "text", "text": PROMPT}]}])
    sent = world.sim.last()["body"]
    assert got.content[0].text and picture in sent and "Be brief." in sent
    assert ("data:image/png;base64," in sent) == (provider in ("openai", "sim", "responses"))


def test_thinking(claude, provider):
    """Thinking is a block of its own before the text, plain and streamed."""
    ask = {"model": f"{provider}/gpt+thinking=5", "max_tokens": 4000, "messages": HELLO, "thinking": {"type": "adaptive"}}
    got = claude.messages.create(**ask)
    with claude.messages.stream(**ask) as stream:
        pieces = "".join(e.thinking for e in stream if e.type == "thinking")
        final = stream.get_final_message()
    assert [b.type for b in got.content] == [b.type for b in final.content] == ["thinking", "text"]
    assert got.content[0].thinking == final.content[0].thinking == pieces != ""


def test_thinking_and_tools(claude, provider):
    """A thinking block goes back with the calls, signature and all, and the answer to the results comes."""
    ask = {"max_tokens": 4000, "tools": TOOLS, "thinking": {"type": "adaptive"}}
    first = claude.messages.create(model=f"{provider}/gpt+thinking=5+tools=1", messages=HELLO, **ask)
    assert first.content[0].type == "thinking" and first.content[-1].type == "tool_use"
    second = claude.messages.create(model=f"{provider}/gpt+thinking=0", **ask, messages=[
        *HELLO, {"role": "assistant", "content": first.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "sunny"}]}])
    assert second.stop_reason == "end_turn" and second.content[-1].text


def test_parse(claude, provider):
    """A pydantic class as output_format comes back as an object of it."""
    model = f"{provider}/echo"
    got = claude.messages.parse(model=model, max_tokens=200, messages=[{"role": "user", "content": CITY}], output_format=Forecast)
    assert isinstance(got.parsed_output, Forecast) and got.parsed_output.city


def test_beta(world, claude, provider):
    """The beta interface with its header and its query: the header reaches Anthropic's format, and nobody else."""
    name = "context-management-2025-06-27"
    got = claude.beta.messages.create(model=f"{provider}/gpt", max_tokens=200, messages=HELLO, betas=[name])
    sent = world.sim.last()["headers"]
    assert got.content[0].text == world.direct("gpt")
    assert (name in sent.get("anthropic-beta", "")) == (provider == "claude")


def test_count_tokens(claude, provider):
    """Every provider's tokens can be counted: Anthropic's own count, or the gateway's estimate."""
    one = claude.messages.count_tokens(model=f"{provider}/gpt", messages=HELLO).input_tokens
    more = claude.messages.count_tokens(model=f"{provider}/gpt", messages=HELLO, tools=TOOLS, system=PROMPT * 20).input_tokens
    assert 0 < one < more


def test_async(world, provider):
    """The asynchronous client, plain and streamed, several at once."""
    async def run():
        async with anthropic.AsyncAnthropic(base_url=world.url, api_key=world.key, max_retries=0) as claude:
            ask = {"model": f"{provider}/gpt", "max_tokens": 200, "messages": HELLO}

            async def stream():
                async with claude.messages.stream(**ask) as s:
                    return await s.get_final_text()

            async def plain():
                return (await claude.messages.create(**ask)).content[0].text
            return await asyncio.gather(*(f() for f in (stream, plain) * 4))
    assert set(asyncio.run(run())) == {world.direct("gpt")}


def test_models(claude):
    """The SDK pages through the same list as everyone."""
    assert "claude/claude" in [m.id for m in claude.models.list(limit=1000)]


# ---- refusals, interruptions, leaving ----

@pytest.mark.parametrize("script, error", [
    ("status=400", anthropic.BadRequestError), ("status=404", anthropic.NotFoundError),
    ("status=429", anthropic.RateLimitError), ("status=500", anthropic.InternalServerError),
    ("status=529", anthropic.InternalServerError)])
def test_errors(claude, provider, script, error):
    """A provider's refusal becomes the SDK's own class with the provider's words and our request id, streamed or not."""
    for more in ({}, {"stream": True}):
        with pytest.raises(error) as caught:
            claude.messages.create(model=f"{provider}/claude+{script}+message=because", max_tokens=20, messages=HELLO, **more)
        body = caught.value.body
        assert body["type"] == "error" and "because" in body["error"]["message"] and body["error"]["type"].endswith("_error")
        assert caught.value.request_id == body["request_id"]


def test_refusals_of_the_gateway(world, claude):
    """A bad key, a deleted one, and a model that is not there."""
    ask = {"max_tokens": 20, "messages": HELLO}
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="nonsense").messages.create(model="claude/claude", **ask)
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nowhere/claude", **ask)
    key = world.gateway.make_key("gone")
    world.gateway.command("keys", "delete", "gone")
    with pytest.raises(anthropic.PermissionDeniedError):
        claude.with_options(api_key=key).messages.create(model="claude/claude", **ask)


def test_retries(world, claude, provider):
    """The SDK's own retries work against us: three tries for a 503."""
    before = world.sim.counts()["requests"]
    with pytest.raises(anthropic.InternalServerError):
        claude.with_options(max_retries=2).messages.create(model=f"{provider}/gpt+status=503+retry_after_ms=10", max_tokens=20, messages=HELLO)
    assert world.sim.counts()["requests"] == before + 3


@pytest.mark.parametrize("script", ["cut_events=5", "error_event=5"])
def test_error_in_the_middle(claude, provider, script):
    """A stream that breaks, or that the provider ends with an error, is raised by the SDK."""
    text = ""
    with pytest.raises(anthropic.APIStatusError) as caught:
        with claude.messages.stream(model=f"{provider}/claude+events=20+{script}", max_tokens=200, messages=HELLO) as stream:
            for piece in stream.text_stream:
                text += piece
    assert text and caught.value.body["error"]["message"]


def test_abort(world, claude, provider):
    """Leaving a stream stops the provider."""
    with world.cancels():
        with claude.messages.stream(model=f"{provider}/claude+events=1000+gap=20", max_tokens=2000, messages=HELLO) as stream:
            next(iter(stream.text_stream))
