# SPDX-License-Identifier: Apache-2.0
"""Several answers to one request: `n` of Chat Completions, `candidateCount` of Gemini."""
import json

import pytest

import kit
from upstream import Upstream

USAGE = {"promptTokenCount": 7, "candidatesTokenCount": 6, "totalTokenCount": 13}


def candidate(index, text=None, end=None, **more):
    parts = [{"text": text}] if text is not None else []
    return dict({"index": index, "content": {"role": "model", "parts": parts + more.pop("parts", [])}},
                **({"finishReason": end} if end else {}), **more)


def call(name):
    return {"functionCall": {"name": name, "args": {"city": "Paris"}}}


@pytest.fixture
def gemini(make_gateway):
    """A gateway, and a provider of Gemini's format that gives the answers it is told to, whole or as a stream."""
    class Gemini(Upstream):
        def __init__(self):
            self.answers = []
            super().__init__(self.give)

        def give(self, path, _body, _fields):
            if "stream" in path:
                return 200, "text/event-stream", b"".join(b"data: %s\r\n\r\n" % json.dumps(a).encode() for a in self.answers)
            return 200, "application/json", json.dumps(self.answers[0]).encode()

    upstream = Gemini()
    upstream.gateway = make_gateway({"providers": {"g": {"type": "google", "base_url": upstream.url + "/v1beta", "api_key": kit.PROVIDER_KEY}},
                                     "models": {"g/gemini-2.5-flash": kit.PRICES}})
    yield upstream
    upstream.stop()


def ask(gemini, **more):
    return gemini.gateway.post("/v1/chat/completions", kit.chat("g/gemini-2.5-flash", **more))


def test_each_answer_is_a_choice(gemini):
    gemini.answers = [{"candidates": [candidate(0, "one", "STOP"), candidate(1, "two", "MAX_TOKENS"), candidate(2, None, "STOP", parts=[call("f")])],
                       "usageMetadata": USAGE}]
    answer = ask(gemini, n=3).json()
    assert json.loads(gemini.asked[0][1])["generationConfig"]["candidateCount"] == 3
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in answer["choices"]] == [
        (0, "one", "stop"), (1, "two", "length"), (2, None, "tool_calls")]
    assert json.loads(answer["choices"][2]["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}
    assert answer["usage"]["completion_tokens"] == 6 and answer["usage"]["prompt_tokens"] == 7


def test_answers_come_interleaved_in_a_stream(gemini):
    """Every chunk says whose it is; the usage and the end come once, behind the last of them."""
    gemini.answers = [
        {"candidates": [candidate(0, "o")]},
        {"candidates": [candidate(1, "t")]},
        {"candidates": [candidate(0, "ne", "STOP"), candidate(1, "w")]},
        {"candidates": [candidate(1, "o", None, parts=[call("f")])]},
        {"candidates": [candidate(1, None, "STOP")], "usageMetadata": USAGE}]
    text = ask(gemini, n=2, stream=True, stream_options={"include_usage": True}).text
    assert kit.is_done(text) and text.count("[DONE]") == 1
    chunks = kit.chunks(text)
    texts, ends, calls = {}, {}, {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            i = choice["index"]
            texts[i] = texts.get(i, "") + (choice["delta"].get("content") or "")
            for one in choice["delta"].get("tool_calls", []):
                calls[i] = calls.get(i, "") + one["function"].get("arguments", "")
            if choice["finish_reason"]:
                assert i not in ends
                ends[i] = choice["finish_reason"]
    assert texts == {0: "one", 1: "two"} and ends == {0: "stop", 1: "tool_calls"}
    assert json.loads(calls[1]) == {"city": "Paris"}
    assert [c["usage"]["completion_tokens"] for c in chunks if c.get("usage")] == [6]
    assert chunks[-1]["usage"] and not chunks[-1]["choices"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_may_give_fewer(gemini, stream):
    gemini.answers = [{"candidates": [candidate(0, "one", "STOP")], "usageMetadata": USAGE}]
    answer = ask(gemini, n=3, stream=stream)
    assert answer.status_code == 200
    if stream:
        assert kit.is_done(answer.text)
    else:
        assert [c["message"]["content"] for c in answer.json()["choices"]] == ["one"]


@pytest.mark.parametrize("answers", [
    [{"candidates": [candidate(1, "two", "STOP")], "usageMetadata": USAGE}],
    [{"candidates": [candidate(0, "one", "STOP"), candidate(1, "tw")], "usageMetadata": USAGE}]])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_not_whole_fails_all(gemini, answers, stream):
    """The first is missing, or the second stops in the middle: what the client gets does not look complete."""
    gemini.answers = answers
    answer = ask(gemini, n=2, stream=stream)
    if stream and answer.status_code == 200:
        assert "[DONE]" not in answer.text and "error" in kit.chunks(answer.text)[-1]
    else:
        assert answer.status_code == 502 and answer.json()["error"]["message"]


def test_more_than_the_provider_gives_is_refused(gemini):
    answer = ask(gemini, n=9)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "n"
    assert not gemini.asked
