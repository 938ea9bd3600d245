# SPDX-License-Identifier: Apache-2.0
"""LangChain for Python: langchain-openai with both of OpenAI's formats, and langchain-anthropic."""
import anthropic
import openai
import pydantic
import pytest

from world import CITY, PROMPT, needs

ChatOpenAI = needs("langchain_openai").ChatOpenAI
ChatAnthropic = needs("langchain_anthropic").ChatAnthropic
core = needs("langchain_core.tools")
OpenAIEmbeddings = needs("langchain_openai").OpenAIEmbeddings


class Forecast(pydantic.BaseModel):
    """What the weather will be."""
    city: str
    days: int


@core.tool
def get_weather(city: str) -> str:
    """Tells the weather."""
    return f"sunny in {city}"


@pytest.fixture(params=["chat", "responses", "anthropic"])
def make(request, world):
    """Makes a model of one of the three kinds."""
    def chat(model, **more):
        return ChatOpenAI(model=model, base_url=world.url + "/v1", api_key=world.key, max_retries=0, stream_usage=True, **more)
    return {"chat": chat, "responses": lambda model: chat(model, use_responses_api=True),
            "anthropic": lambda model: ChatAnthropic(model=model, base_url=world.url, api_key=world.key, max_retries=0)}[request.param]


def test_invoke(world, make, provider):
    """A message with the provider's words and usage."""
    got = make(f"{provider}/gpt").invoke(PROMPT)
    assert got.text == world.direct("gpt")
    assert got.usage_metadata["input_tokens"] > 0 and got.usage_metadata["output_tokens"] > 0


def test_stream(world, make, provider):
    """Pieces that add up to the same message, usage included."""
    chunks = list(make(f"{provider}/gpt").stream(PROMPT))
    whole = sum(chunks[1:], chunks[0])
    assert whole.text == world.direct("gpt") and len([c for c in chunks if c.text]) > 3
    assert whole.usage_metadata["output_tokens"] > 0


def test_bind_tools(make, provider):
    """A call, plain and streamed, its result, and the answer to it."""
    model = make(f"{provider}/gpt").bind_tools([get_weather])
    got = model.invoke(PROMPT)
    chunks = list(model.stream(PROMPT))
    streamed = sum(chunks[1:], chunks[0])
    assert [c["name"] for c in got.tool_calls] == ["get_weather"] and got.tool_calls[0]["args"]["city"]
    assert [c["args"] for c in streamed.tool_calls] == [c["args"] for c in got.tool_calls]
    second = model.invoke([("user", PROMPT), got, get_weather.invoke(got.tool_calls[0])])
    assert second.text and not second.tool_calls


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_with_structured_output(make, provider, method):
    """A pydantic class comes back as an object of it, by schema and by call."""
    got = make(f"{provider}/echo").with_structured_output(Forecast, method=method).invoke(CITY)
    assert isinstance(got, Forecast) and got.city


def test_errors(make, provider):
    """Refusals and broken streams are the classes of the SDK beneath."""
    with pytest.raises((openai.RateLimitError, anthropic.RateLimitError), match="because"):
        make(f"{provider}/gpt+status=429+message=because").invoke(PROMPT)
    got = []
    with pytest.raises((openai.APIError, anthropic.APIError)):
        got += make(f"{provider}/gpt+events=20+cut_events=5").stream(PROMPT)


def test_abort(world, make, provider):
    """Leaving a stream stops the provider."""
    with world.cancels():
        stream = make(f"{provider}/gpt+events=1000+gap=20").stream(PROMPT)
        while not next(stream).text:
            pass
        stream.close()


@pytest.mark.parametrize("provider", ["openai", "sim"], indirect=True)
def test_embeddings(world, provider):
    """One vector a text. The tokenizer's tables would come from the internet, so the length is not checked."""
    model = OpenAIEmbeddings(model=f"{provider}/gpt", base_url=world.url + "/v1", api_key=world.key, check_embedding_ctx_length=False)
    one, two = model.embed_documents(["one", "two"])
    assert one == pytest.approx(model.embed_query("one")) and one != two


@pytest.mark.parametrize("provider", ["openai", "sim"], indirect=True)
def test_embeddings_of_token_numbers(world, provider):
    """What LangChain sends when it cuts texts itself: lists of numbers instead of texts."""
    with openai.OpenAI(base_url=world.url + "/v1", api_key=world.key, max_retries=0) as ai:
        got = ai.embeddings.create(model=f"{provider}/gpt", input=[[1, 2, 3], [4, 5]])
    assert len(got.data) == 2
