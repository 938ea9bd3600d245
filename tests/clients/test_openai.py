# SPDX-License-Identifier: Apache-2.0
"""The openai package for Python: Chat Completions, Responses and embeddings over providers of every format."""
import asyncio
import json

import openai
import pydantic
import pytest

from world import CITY, PROMPT, TOOL

HELLO = [{"role": "user", "content": PROMPT}]
CHAT_TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}}]
TOOLS = [{"type": "function", "name": "get_weather", "parameters": TOOL}]


class Forecast(pydantic.BaseModel):
    city: str
    days: int


@pytest.fixture(scope="module")
def ai(world):
    with openai.OpenAI(base_url=world.url + "/v1", api_key=world.key, max_retries=0) as client:
        yield client


# ---- Chat Completions ----

def test_chat(world, ai, provider):
    """A chat answer as an object: the provider's words, usage and cost."""
    got = ai.chat.completions.create(model=f"{provider}/gpt", messages=HELLO)
    assert got.choices[0].message.content == world.direct("gpt") and got.choices[0].finish_reason == "stop"
    assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens > 0
    assert got.usage.model_extra["cost"] > 0 and got._request_id


def test_stream(world, ai, provider):
    """A stream of chunks, and usage at its end when asked for."""
    chunks = list(ai.chat.completions.create(model=f"{provider}/gpt", messages=HELLO, stream=True,
                                             stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == world.direct("gpt")
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-1].usage.completion_tokens > 0
    chunks = list(ai.chat.completions.create(model=f"{provider}/gpt", messages=HELLO, stream=True))
    assert all(c.usage is None for c in chunks) and chunks[-1].choices[0].finish_reason == "stop"


def test_stream_helper(world, ai, provider):
    """The accumulating helper tells each piece and builds the same message."""
    with ai.chat.completions.stream(model=f"{provider}/gpt", messages=HELLO) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    words = [e.delta for e in events if e.type == "content.delta"]
    assert len(words) > 3 and "".join(words) == final.choices[0].message.content == world.direct("gpt")
    assert [e.content for e in events if e.type == "content.done"] == [world.direct("gpt")]


def test_stream_helper_with_tools(ai, provider):
    """Pieces of the arguments of parallel calls come together, and each call is told once."""
    with ai.chat.completions.stream(model=f"{provider}/gpt+tools=2+args_piece=3", messages=HELLO, tools=CHAT_TOOLS) as stream:
        events = list(stream)
        calls = stream.get_final_completion().choices[0].message.tool_calls
    done = [e for e in events if e.type == "tool_calls.function.arguments.done"]
    assert [e.arguments for e in done] == [c.function.arguments for c in calls] and len(calls) == 2
    assert all(c.function.name == "get_weather" and "city" in json.loads(c.function.arguments) for c in calls)
    assert len({c.id for c in calls}) == 2


def test_tools(ai, provider):
    """A tool call, its result, and the answer to it."""
    first = ai.chat.completions.create(model=f"{provider}/gpt", messages=HELLO, tools=CHAT_TOOLS).choices[0]
    assert first.finish_reason == "tool_calls"
    call = first.message.tool_calls[0]
    second = ai.chat.completions.create(model=f"{provider}/gpt", tools=CHAT_TOOLS, messages=[
        *HELLO, first.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]).choices[0]
    assert second.finish_reason == "stop" and second.message.content and not second.message.tool_calls


def test_parse(ai, provider):
    """A pydantic class as response_format comes back as an object of it, plain and streamed."""
    messages = [{"role": "user", "content": CITY}]
    got = ai.chat.completions.parse(model=f"{provider}/echo", messages=messages, response_format=Forecast)
    parsed = got.choices[0].message.parsed
    assert isinstance(parsed, Forecast) and parsed.city
    with ai.chat.completions.stream(model=f"{provider}/echo", messages=messages, response_format=Forecast) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == parsed


def test_parse_of_tools(ai, provider):
    """A tool made of a pydantic class gets its arguments as an object of it."""
    got = ai.chat.completions.parse(model=f"{provider}/gpt", messages=HELLO, tools=[openai.pydantic_function_tool(Forecast)])
    call = got.choices[0].message.tool_calls[0]
    assert isinstance(call.function.parsed_arguments, Forecast) and call.function.parsed_arguments.city


def test_async(world, provider):
    """The asynchronous client, plain and streamed, several at once."""
    async def run():
        async with openai.AsyncOpenAI(base_url=world.url + "/v1", api_key=world.key, max_retries=0) as ai:
            async def stream():
                found = ""
                async for chunk in await ai.chat.completions.create(model=f"{provider}/gpt", messages=HELLO, stream=True):
                    found += chunk.choices[0].delta.content or ""
                return found

            async def plain():
                return (await ai.chat.completions.create(model=f"{provider}/gpt", messages=HELLO)).choices[0].message.content
            return await asyncio.gather(*(f() for f in (stream, plain) * 4))
    assert set(asyncio.run(run())) == {world.direct("gpt")}


# ---- Responses ----

def test_responses(world, ai, provider):
    """An answer with its text, usage and cost."""
    got = ai.responses.create(model=f"{provider}/gpt", input=PROMPT)
    assert got.output_text == world.direct("gpt") and got.status == "completed" and got.error is None
    assert got.usage.total_tokens == got.usage.input_tokens + got.usage.output_tokens > 0
    assert got.usage.model_extra["cost"] > 0 and got._request_id


def test_responses_stream(world, ai, provider):
    """Events in the order of their numbers; the deltas are the text that the last one holds."""
    events = list(ai.responses.create(model=f"{provider}/gpt", input=HELLO, stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert events[0].type == "response.created" and events[-1].type == "response.completed"
    assert text == events[-1].response.output_text == world.direct("gpt")


def test_responses_stream_helper(world, ai, provider):
    """The accumulating helper's snapshots grow to the final text."""
    with ai.responses.stream(model=f"{provider}/gpt", input=PROMPT) as stream:
        snapshots = [e.snapshot for e in stream if e.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text == world.direct("gpt") and len(snapshots) > 3


def test_responses_tools(ai, provider):
    """A function call, streamed and plain, its output, and the answer to it."""
    first = ai.responses.create(model=f"{provider}/gpt", input=HELLO, tools=TOOLS)
    call = next(i for i in first.output if i.type == "function_call")
    with ai.responses.stream(model=f"{provider}/gpt", input=HELLO, tools=TOOLS) as stream:
        streamed = next(i for i in stream.get_final_response().output if i.type == "function_call")
    assert call.name == "get_weather" and json.loads(call.arguments) == json.loads(streamed.arguments) != {}
    second = ai.responses.create(model=f"{provider}/gpt", tools=TOOLS, input=[
        *HELLO, *first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}])
    assert second.output_text and not any(i.type == "function_call" for i in second.output)


def test_responses_parse(ai, provider):
    """A pydantic class as text_format comes back as an object of it, plain and streamed."""
    got = ai.responses.parse(model=f"{provider}/echo", input=CITY, text_format=Forecast)
    assert isinstance(got.output_parsed, Forecast) and got.output_parsed.city
    with ai.responses.stream(model=f"{provider}/echo", input=CITY, text_format=Forecast) as stream:
        assert stream.get_final_response().output_parsed == got.output_parsed


def test_responses_reasoning(ai, provider):
    """A reasoning item precedes the message, and the pieces of its summary come together."""
    with ai.responses.stream(model=f"{provider}/gpt+thinking=5", input=PROMPT, reasoning={"effort": "low", "summary": "auto"}) as stream:
        pieces = "".join(e.delta for e in stream if e.type == "response.reasoning_summary_text.delta")
        final = stream.get_final_response()
    assert [i.type for i in final.output] == ["reasoning", "message"]
    assert final.output[0].summary[0].text == pieces != ""


# ---- embeddings and models ----

@pytest.mark.parametrize("provider", ["openai", "sim"], indirect=True)
def test_embeddings(ai, provider):
    """The SDK asks for base64 by itself; floats asked for by name are the same vector."""
    default = ai.embeddings.create(model=f"{provider}/gpt", input=["one", "two"])
    floats = ai.embeddings.create(model=f"{provider}/gpt", input=["one", "two"], encoding_format="float")
    assert len(default.data) == 2 and default.data[1].embedding == pytest.approx(floats.data[1].embedding, rel=1e-5)
    assert default.usage.prompt_tokens > 0


def test_embeddings_that_the_provider_does_not_have(ai):
    """Anthropic has none: a 400 that names it."""
    with pytest.raises(openai.BadRequestError, match="embeddings") as caught:
        ai.embeddings.create(model="claude/gpt", input="one")
    assert caught.value.code == "operation_not_supported" and caught.value.param == "model"


def test_models(ai):
    """The model list and one model, its id with a slash."""
    ids = [m.id for m in ai.models.list()]
    assert {"openai/gpt", "sim/gpt", "claude/gpt"} <= set(ids)
    assert ai.models.retrieve("openai/gpt").id == "openai/gpt"


# ---- refusals, interruptions, leaving ----

def ask(ai, call, model, **more):
    """Either of the two calls."""
    if call == "chat":
        return ai.chat.completions.create(model=model, messages=HELLO, **more)
    return ai.responses.create(model=model, input=HELLO, **more)


CALLS = pytest.mark.parametrize("call", ["chat", "responses"])


@CALLS
@pytest.mark.parametrize("script, error", [
    ("status=400", openai.BadRequestError), ("status=404", openai.NotFoundError), ("status=429", openai.RateLimitError),
    ("status=500", openai.InternalServerError), ("status=503", openai.InternalServerError)])
def test_errors(ai, provider, call, script, error):
    """A provider's refusal becomes the SDK's own class, with message, type and request id, streamed or not."""
    for more in ({}, {"stream": True}):
        with pytest.raises(error) as caught:
            ask(ai, call, f"{provider}/gpt+{script}+message=because", **more)
        e = caught.value
        assert "because" in e.message and isinstance(e.type, str) and e.request_id
        assert {"message", "type", "param", "code"} <= set(e.body)


@CALLS
def test_refusals_of_the_gateway(world, ai, call):
    """No such model, a bad key, a deleted key."""
    with pytest.raises(openai.NotFoundError):
        ask(ai, call, "nowhere/gpt")
    with pytest.raises(openai.AuthenticationError):
        ask(ai.with_options(api_key="nonsense"), call, "openai/gpt")
    key = world.gateway.make_key("gone")
    world.gateway.command("keys", "delete", "gone")
    with pytest.raises(openai.PermissionDeniedError):
        ask(ai.with_options(api_key=key), call, "openai/gpt")


@CALLS
def test_what_has_no_counterpart_is_refused_by_name(ai, call):
    """A parameter that changes the answer's meaning and that the provider cannot have is named in `param`."""
    name, more = ("n", {"n": 2}) if call == "chat" else ("previous_response_id", {"previous_response_id": "resp_1"})
    with pytest.raises(openai.BadRequestError) as caught:
        ask(ai, call, "claude/gpt", **more)
    assert caught.value.param == name


def test_retries(world, ai, provider):
    """The SDK's own retries work against us: three tries for a 503."""
    before = world.sim.counts()["requests"]
    with pytest.raises(openai.InternalServerError):
        ai.with_options(max_retries=2).chat.completions.create(model=f"{provider}/gpt+status=503+retry_after_ms=10", messages=HELLO)
    assert world.sim.counts()["requests"] == before + 3


@CALLS
@pytest.mark.parametrize("script", ["cut_events=5", "error_event=5"])
def test_error_in_the_middle(ai, provider, call, script):
    """A stream that breaks, or that the provider ends with an error, is raised by the SDK with the reason."""
    got = 0
    with pytest.raises(openai.APIError) as caught:
        for _ in ask(ai, call, f"{provider}/gpt+events=20+{script}", stream=True):
            got += 1
    assert got >= 5 and caught.value.message


@CALLS
def test_abort(world, ai, provider, call):
    """Closing a stream stops the provider."""
    with world.cancels():
        stream = ask(ai, call, f"{provider}/gpt+events=1000+gap=20", stream=True)
        next(iter(stream))
        stream.close()
