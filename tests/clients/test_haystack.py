# SPDX-License-Identifier: Apache-2.0
"""Haystack: OpenAIChatGenerator over providers of every format, and the embedders."""
import os

import openai
import pydantic
import pytest

from world import CITY, PROMPT, needs

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
needs("haystack")
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder  # noqa: E402
from haystack.components.generators.chat import OpenAIChatGenerator, OpenAIResponsesChatGenerator  # noqa: E402
from haystack.dataclasses import ChatMessage, Document  # noqa: E402
from haystack.tools import Tool  # noqa: E402
from haystack.utils import Secret  # noqa: E402

GENERATORS = {"chat": OpenAIChatGenerator, "responses": OpenAIResponsesChatGenerator}
WEATHER = Tool(name="get_weather", description="tells the weather", function=lambda city: f"sunny in {city}",
               parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})


class Forecast(pydantic.BaseModel):
    city: str
    days: int


@pytest.fixture(params=sorted(GENERATORS))
def make(request, world):
    """Makes a generator of one of the two kinds."""
    def of(model, **more):
        return GENERATORS[request.param](api_key=Secret.from_token(world.key), api_base_url=world.url + "/v1", model=model,
                                         max_retries=0, timeout=10, **more)
    of.kind = request.param
    return of


def ask(generator, *messages, **more):
    return generator.run(list(messages) or [ChatMessage.from_user(PROMPT)], **more)["replies"][0]


def test_run(world, make, provider):
    """A reply with the provider's words and usage."""
    got = ask(make(f"{provider}/gpt"))
    assert got.text == world.direct("gpt")
    assert got.meta["usage"]


def test_stream(world, make, provider):
    """Each piece is told, and the reply is the same."""
    pieces = []
    got = ask(make(f"{provider}/gpt", streaming_callback=lambda chunk: pieces.append(chunk.content)))
    assert got.text == world.direct("gpt") == "".join(pieces) and len(pieces) > 3


def test_tools(make, provider):
    """A call, plain and streamed, its result, and the answer to it."""
    question = ChatMessage.from_user(PROMPT)
    got = ask(make(f"{provider}/gpt", tools=[WEATHER]), question)
    streamed = ask(make(f"{provider}/gpt", tools=[WEATHER], streaming_callback=lambda chunk: None), question)
    call = got.tool_calls[0]
    assert call.tool_name == "get_weather" and call.arguments == streamed.tool_calls[0].arguments != {}
    result = ChatMessage.from_tool(WEATHER.invoke(**call.arguments), origin=call)
    assert ask(make(f"{provider}/gpt", tools=[WEATHER]), question, got, result).text


def test_structured_output(make, provider):
    """A pydantic class as the format makes text that fits it."""
    name = "response_format" if make.kind == "chat" else "text_format"
    got = ask(make(f"{provider}/echo", generation_kwargs={name: Forecast}), ChatMessage.from_user(CITY))
    Forecast.model_validate_json(got.text)


def test_errors(make, provider):
    """Refusals are the classes of the SDK beneath."""
    with pytest.raises(openai.RateLimitError, match="because"):
        ask(make(f"{provider}/gpt+status=429+message=because"))
    with pytest.raises(openai.APIError):
        ask(make(f"{provider}/gpt+events=20+cut_events=5", streaming_callback=lambda chunk: None))


@pytest.mark.parametrize("provider", ["openai", "sim"], indirect=True)
def test_embedders(world, provider):
    """A text and documents become vectors."""
    options = {"api_key": Secret.from_token(world.key), "api_base_url": world.url + "/v1", "model": f"{provider}/gpt"}
    text = OpenAITextEmbedder(**options).run("one")["embedding"]
    documents = OpenAIDocumentEmbedder(progress_bar=False, **options).run([Document(content="one"), Document(content="two")])["documents"]
    assert documents[0].embedding == pytest.approx(text) and documents[1].embedding != documents[0].embedding
