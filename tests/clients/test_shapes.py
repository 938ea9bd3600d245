# SPDX-License-Identifier: Apache-2.0
"""Every answer and every event, held against the types that both vendors generate from their own specifications.

The SDKs' own parsing is lenient: it builds an object out of whatever comes. Here the same classes check strictly that
each required field is there, that no value has another type, and that no word is outside its list. What an answer has
beyond them is named below.
"""
import itertools

import anthropic.types
import openai.types.chat
import openai.types.responses
import pydantic
import pytest

import kit
from world import CITY, PROMPT, PROVIDERS, TOOL

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
          "required": ["city", "days"], "additionalProperties": False}
# What we add by our own rules, or pass on because clients look for it. `store` is what OpenAI's own answers have beyond
# their specification, as is `name` in the event that ends a call's arguments; `cache_creation` is known at a translated
# stream's end only, where Anthropic's has no place for it.
OURS = {".name", "cost", "caching_tokens", "native_finish_reason", "reasoning_content", "reasoning_signature", "reasoning_details",
        "extra_content", "store", "cache_creation"}
SCRIPTS = ("", "thinking=5", "tools=2", "thinking=4+tools=2", "cap+words=400", "cached=3", "reasoning=7")
SAME = {("chat", "openai"), ("chat", "sim"), ("responses", "openai"), ("responses", "responses"), ("messages", "claude")}
TRANSLATED = sorted(set(itertools.product(("chat", "responses", "messages"), PROVIDERS)) - SAME)


class Chat:
    path = "/v1/chat/completions"
    plain = pydantic.TypeAdapter(openai.types.chat.ChatCompletion)
    event = pydantic.TypeAdapter(openai.types.chat.ChatCompletionChunk)

    @staticmethod
    def body(model, text, tools, schema, stream):
        more = {"stream_options": {"include_usage": True}} if stream else {}
        if tools:
            more["tools"] = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL}}]
        if schema:
            more["response_format"] = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": SCHEMA}}
        return kit.chat(model, text, max_completion_tokens=20, **more)


class Responses:
    path = "/v1/responses"
    plain = pydantic.TypeAdapter(openai.types.responses.Response)
    event = pydantic.TypeAdapter(openai.types.responses.ResponseStreamEvent)

    @staticmethod
    def body(model, text, tools, schema, stream):
        more = {}
        if tools:
            more["tools"] = [{"type": "function", "name": "get_weather", "parameters": TOOL, "strict": False}]
        if schema:
            more["text"] = {"format": {"type": "json_schema", "name": "w", "strict": True, "schema": SCHEMA}}
        return {"model": model, "input": text, "max_output_tokens": 20, **more}


class Messages:
    path = "/v1/messages"
    plain = pydantic.TypeAdapter(anthropic.types.Message)
    event = pydantic.TypeAdapter(anthropic.types.RawMessageStreamEvent)

    @staticmethod
    def body(model, text, tools, schema, stream):
        more = {}
        if tools:
            more["tools"] = [{"name": "get_weather", "input_schema": TOOL}]
        if schema:
            more["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        return kit.messages(model, text, **dict(more, max_tokens=20))


FORMATS = {"chat": Chat, "responses": Responses, "messages": Messages}


def extra(value, at=""):
    """The paths of what is in an object without being in its class."""
    if isinstance(value, pydantic.BaseModel):
        for name in value.model_extra or ():
            yield f"{at}.{name}"
        for name in type(value).model_fields:
            yield from extra(getattr(value, name), f"{at}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from extra(item, at)


def check(adapter, data):
    """The document as an object of its class, if it is one."""
    value = adapter.validate_json(data, strict=True)
    unknown = {path for path in extra(value) if path not in OURS and path.rpartition(".")[2] not in OURS}
    assert not unknown, f"not in the vendor's types: {unknown} in {data}"
    return value


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("name, stream", list(itertools.product(FORMATS, (False, True))))
def test_answer(world, provider, name, stream, script):
    """Text, reasoning, calls, a cut by the limit, cached tokens."""
    form = FORMATS[name]
    body = form.body(f"{provider}/gpt" + (f"+{script}" if script else ""), PROMPT, "tools" in script, False, stream)
    look(world, form, dict(body, stream=stream))


@pytest.mark.parametrize("stream", (False, True))
@pytest.mark.parametrize("name, provider", TRANSLATED, indirect=["provider"])
def test_no_usage(world, provider, name, stream):
    """A provider that does not count: what the client's format requires is there all the same."""
    form = FORMATS[name]
    look(world, form, dict(form.body(f"{provider}/gpt+no_usage", PROMPT, False, False, stream), stream=stream))


@pytest.mark.parametrize("name, stream", list(itertools.product(FORMATS, (False, True))))
def test_structured_output(world, provider, name, stream):
    """JSON by a schema, and the schema that is told back."""
    form = FORMATS[name]
    look(world, form, dict(form.body(f"{provider}/echo", CITY, False, True, stream), stream=stream))


def look(world, form, body):
    answer = world.gateway.post(form.path, body)
    assert answer.status_code == 200, answer.text
    if not body["stream"]:
        check(form.plain, answer.text)
        return
    check_events(form, (data for _, data in kit.events(answer.content)))


def check_events(form, texts):
    """Anthropic's types know no `ping`, though the vendor sends it."""
    found = [check(form.event, text) for text in texts if not text.startswith("[DONE]") and '"ping"' not in text]
    assert len(found) > 3


@pytest.mark.parametrize("name", FORMATS)
def test_failed_stream(world, provider, name):
    """The events before the end with an error; the error is in a form of its own."""
    form = FORMATS[name]
    answer = world.gateway.post(form.path, dict(form.body(f"{provider}/gpt+error_event=3", PROMPT, False, False, True), stream=True))
    events = [data for event, data in kit.events(answer.content) if event not in ("error", "response.failed") and '"error":{' not in data]
    check_events(form, events)


@pytest.mark.parametrize("script", ["status=400", "status=429", "status=500"])
def test_anthropic_errors(world, provider, script):
    """A refusal in Anthropic's format is its own error envelope with a type of its list."""
    answer = world.gateway.post("/v1/messages", kit.messages(f"{provider}/gpt+{script}"))
    pydantic.TypeAdapter(anthropic.types.ErrorResponse).validate_json(answer.text, strict=True)


def test_lists(world):
    """Models, embeddings and counts."""
    for model in world.gateway.get("/v1/models").json()["data"]:
        pydantic.TypeAdapter(openai.types.Model).validate_python(model, strict=True)
        pydantic.TypeAdapter(anthropic.types.ModelInfo).validate_python(model)  # created_at is text here
    answer = world.gateway.post("/v1/embeddings", {"model": "openai/gpt", "input": "x"})
    check(pydantic.TypeAdapter(openai.types.CreateEmbeddingResponse), answer.text)
    answer = world.gateway.post("/v1/messages/count_tokens", {"model": "claude/gpt", "messages": kit.messages()["messages"]})
    check(pydantic.TypeAdapter(anthropic.types.MessageTokensCount), answer.text)
