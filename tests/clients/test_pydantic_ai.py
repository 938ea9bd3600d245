# SPDX-License-Identifier: Apache-2.0
"""PydanticAI, which checks every field of an answer: its three kinds of models over providers of every format."""
import asyncio

import pydantic
import pytest

from world import CITY, PROMPT, needs

ai = needs("pydantic_ai")
needs("pydantic_ai.models.openai")
needs("pydantic_ai.models.anthropic")
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError  # noqa: E402
from pydantic_ai.models.anthropic import AnthropicModel  # noqa: E402
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel  # noqa: E402
from pydantic_ai.providers.anthropic import AnthropicProvider  # noqa: E402
from pydantic_ai.providers.openai import OpenAIProvider  # noqa: E402


class Forecast(pydantic.BaseModel):
    city: str
    days: int


@pytest.fixture(params=["chat", "responses", "anthropic"])
def make(request, world):
    """Makes a model of one of the three kinds."""
    def of(name):
        if request.param == "anthropic":
            # It would guess from the name what the model can do.
            return AnthropicModel(name, provider=AnthropicProvider(base_url=world.url, api_key=world.key),
                                  profile={"supports_json_schema_output": True})
        kind = OpenAIChatModel if request.param == "chat" else OpenAIResponsesModel
        return kind(name, provider=OpenAIProvider(base_url=world.url + "/v1", api_key=world.key))
    return of


def test_run(world, make, provider):
    """A result with the provider's words and usage."""
    got = ai.Agent(make(f"{provider}/gpt")).run_sync(PROMPT)
    assert got.output == world.direct("gpt")
    assert got.usage.input_tokens > 0 and got.usage.output_tokens > 0


def test_stream(world, make, provider):
    """A stream of pieces that is the same text."""
    async def run():
        async with ai.Agent(make(f"{provider}/gpt")).run_stream(PROMPT) as result:
            return [piece async for piece in result.stream_text(delta=True, debounce_by=None)], result.usage
    pieces, usage = asyncio.run(run())
    assert "".join(pieces) == world.direct("gpt") and len(pieces) > 3 and usage.output_tokens > 0


@pytest.mark.parametrize("streamed", [False, True])
def test_tool(make, provider, streamed):
    """The agent calls the function with arguments that fit and goes on to its answer."""
    asked = []
    agent = ai.Agent(make(f"{provider}/gpt"))

    @agent.tool_plain
    def get_weather(city: str) -> str:
        asked.append(city)
        return "sunny"

    async def run():
        async with agent.run_stream(PROMPT) as result:
            return await result.get_output()
    output = asyncio.run(run()) if streamed else agent.run_sync(PROMPT).output
    assert asked and asked[0] and output


@pytest.mark.parametrize("mode", ["tool", "native"])
def test_structured_output(make, provider, mode):
    """A pydantic class as the output, by a call and by the format's own way, plain and streamed."""
    agent = ai.Agent(make(f"{provider}/echo"), output_type=ai.ToolOutput(Forecast) if mode == "tool" else ai.NativeOutput(Forecast))
    plain = agent.run_sync(CITY).output
    assert isinstance(plain, Forecast) and plain.city

    async def run():
        async with agent.run_stream(CITY) as result:
            return await result.get_output()
    assert asyncio.run(run()) == plain


def test_errors(make, provider):
    """A refusal has its status and body; a stream that breaks is an error of the model."""
    with pytest.raises(ModelHTTPError) as caught:
        ai.Agent(make(f"{provider}/gpt+status=400+message=because")).run_sync(PROMPT)
    assert caught.value.status_code == 400 and "because" in str(caught.value.body)

    async def run():
        async with ai.Agent(make(f"{provider}/gpt+events=20+cut_events=5")).run_stream(PROMPT) as result:
            return await result.get_output()
    with pytest.raises(ModelAPIError):
        asyncio.run(run())
