# SPDX-License-Identifier: Apache-2.0
"""Bytes that the gateway has no reason to change arrive unchanged, in both directions."""
import json
import re

import pytest
import requests

import kit


def direct(sim, path, body, **headers):
    return requests.post(sim.url + path, data=json.dumps(body), timeout=30, headers=dict(
        {"Content-Type": "application/json", "Authorization": "Bearer x", "x-api-key": "x", "anthropic-version": "2023-06-01"}, **headers))


def without_id(text):
    """The simulator numbers its answers."""
    return re.sub(rb'"id":"[^"]*"|"created":\d+', b'"x":0', text)


def test_a_chat_answer_arrives_as_the_provider_wrote_it_plus_the_cost(sim, gateway):
    """A plain chat answer is the provider's own, with usage.cost added and nothing else."""
    got = gateway.post("/v1/chat/completions", kit.chat("sim/gpt"))
    assert got.status_code == 200, got.text
    own = direct(sim, "/v1/chat/completions", kit.chat("gpt"))
    mine, theirs = got.json(), own.json()
    cost = mine["usage"].pop("cost")
    assert cost == pytest.approx(theirs["usage"]["prompt_tokens"] * 1e-6 + theirs["usage"]["completion_tokens"] * 2e-6)
    for document in (mine, theirs):
        document.pop("id"), document.pop("created")
    assert mine == theirs
    assert got.headers["x-sluice-provider"] == "sim" and got.headers["x-sluice-model"] == "sim/gpt"
    assert got.headers["x-request-id"] == got.headers["request-id"]


def test_a_stream_arrives_event_by_event_as_the_provider_wrote_it(sim, gateway):
    """Every event of a chat stream but the one with the usage is byte for byte the provider's."""
    asked = dict(stream=True, stream_options={"include_usage": True})
    got = gateway.post("/v1/chat/completions", kit.chat("sim/gpt+events=40", **asked)).content
    own = direct(sim, "/v1/chat/completions", kit.chat("gpt+events=40", **asked)).content
    mine, theirs = without_id(got).split(b"\n\n"), without_id(own).split(b"\n\n")
    assert len(mine) == len(theirs)
    different = [i for i in range(len(mine)) if mine[i] != theirs[i]]
    assert all(b'"usage"' in theirs[i] for i in different)
    assert kit.is_done(got)
    assert kit.chunks(got)[-1]["usage"]["completion_tokens"] > 0


def test_an_anthropic_stream_arrives_event_by_event(sim, gateway):
    """An Anthropic stream keeps its events, names and order."""
    got = gateway.post("/v1/messages", kit.messages("claude/claude+events=20", stream=True)).content
    own = direct(sim, "/v1/messages", kit.messages("claude+events=20", stream=True)).content
    mine, theirs = kit.events(got), kit.events(own)
    assert [name for name, _ in mine] == [name for name, _ in theirs]
    for (name, a), (_, b) in zip(mine, theirs):
        if name not in ("message_start", "message_delta"):
            assert a == b
    assert mine[-1][0] == "message_stop"


@pytest.mark.parametrize("model", ["claude/claude", "claude/echo"])
def test_an_anthropic_answer_arrives_with_its_cost(sim, gateway, model):
    """A plain Anthropic answer is the provider's own, with usage.cost added."""
    got = gateway.post("/v1/messages", kit.messages(model))
    assert got.status_code == 200, got.text
    mine, theirs = got.json(), direct(sim, "/v1/messages", kit.messages(model.split("/")[1])).json()
    assert mine["usage"].pop("cost") > 0
    for document in (mine, theirs):
        document.pop("id")
    assert mine == theirs


@pytest.mark.parametrize("coding", ["float", "base64"])
@pytest.mark.parametrize("given", ["one text", ["two", "texts"], [1, 2, 3], [[1, 2], [3]]])
def test_embeddings_in_every_form(sim, gateway, coding, given):
    """Embeddings pass in both codings and for all four kinds of input."""
    body = {"input": given, "encoding_format": coding}
    got = gateway.post("/v1/embeddings", dict(body, model="sim/gpt"))
    assert got.status_code == 200, got.text
    own = direct(sim, "/v1/embeddings", dict(body, model="gpt"))
    assert got.json()["data"] == own.json()["data"]
    assert len(got.json()["data"]) == (1 if not isinstance(given, list) or isinstance(given[0], int) else len(given))


def test_count_tokens_passes_and_costs_nothing(sim, gateway):
    """count_tokens goes to the provider and is not billed."""
    got = gateway.post("/v1/messages/count_tokens", {"model": "claude/claude",
                                                     "messages": [{"role": "user", "content": "How many?"}]})
    assert got.status_code == 200 and got.json()["input_tokens"] > 0
    row = gateway.rows()[0]
    assert row["cost_nusd"] == 0


def test_the_provider_gets_the_clients_body_with_the_named_edits_only(sim, gateway):
    """Unknown fields, odd spacing, number spellings and key order reach the provider untouched."""
    body = ('{ "zeta":1.50e3 ,"model" : "sim/gpt","unknown":{"deep":[null,true,"\\u00e9\\/"]},\n'
            '"requesty":{"tags":["a"],"user_id":"u1","trace_id":"t1"} , "messages":[{"role":"user",'
            '"content":"hi", "extra": {"b":2,"a":1}}],"seed":12345678901234567890,"top_p":0.10}')
    got = gateway.post("/v1/chat/completions", body)
    assert got.status_code == 200, got.text
    sent = sim.last()["body"]
    assert "requesty" not in sent and '"sim/gpt"' not in sent
    expected = json.loads(body)
    del expected["requesty"]
    expected["model"] = "gpt"
    assert json.loads(sent) == expected
    for kept in ('"zeta":1.50e3 ,', '"unknown":{"deep":[null,true,"\\u00e9\\/"]},\n', '"extra": {"b":2,"a":1}',
                 '"seed":12345678901234567890', '"top_p":0.10'):
        assert kept in sent, f"{kept!r} is not in {sent!r}"
    row = gateway.rows()[0]
    assert row["user_id"] == "u1" and row["trace_id"] == "t1" and json.loads(row["tags"]) == ["a"]


def test_header_fields_are_the_gateways_own(sim, gateway):
    """What a client sends in its head stays at the gateway; the provider sees our template and its own key."""
    got = gateway.post("/v1/chat/completions", kit.chat("sim/gpt"), headers=gateway.headers(**{
        "HTTP-Referer": "https://app.example", "X-Title": "App", "X-Requesty-Team": "blue", "Cookie": "a=b",
        "X-Stainless-Lang": "python", "X-Forwarded-For": "1.2.3.4", "Accept-Encoding": "br", "X-Sim": "status=500"}))
    assert got.status_code == 200, got.text
    last = sim.last()
    head = last["headers"]
    assert head["authorization"] == f"Bearer {kit.PROVIDER_KEY}"
    for name in ("http-referer", "x-title", "x-requesty-team", "cookie", "x-stainless-lang", "x-forwarded-for", "x-sim"):
        assert name not in head
    assert int(head["content-length"]) == len(last["body"].encode())
    assert "transfer-encoding" not in head
    assert gateway.key not in last["head"]
    row = gateway.rows()[0]
    assert row["referer"] == "https://app.example" and row["title"] == "App"
    assert json.loads(row["extra"]) == {"team": "blue"}


def test_anthropic_version_and_betas_are_kept(sim, gateway):
    """The client's anthropic-version and anthropic-beta reach the provider, in either key header's company."""
    got = gateway.post("/v1/messages", kit.messages("claude/claude"), headers={
        "x-api-key": gateway.key, "anthropic-version": "2026-10-21", "anthropic-beta": "one-2026-01-01,two"})
    assert got.status_code == 200, got.text
    head = sim.last()["headers"]
    assert head["anthropic-version"] == "2026-10-21" and head["anthropic-beta"] == "one-2026-01-01,two"
    assert head["x-api-key"] == kit.PROVIDER_KEY


@pytest.mark.parametrize("name", ["deep/vendor/model", "m@eu-central-1", "meta-llama/Llama-3.3-70B-Instruct"])
def test_model_names_go_on_behind_the_first_slash(sim, gateway, name):
    """provider/vendor/model@region: the provider gets everything behind its own name."""
    assert gateway.post("/v1/chat/completions", kit.chat("sim/" + name)).status_code == 200
    assert json.loads(sim.last()["body"])["model"] == name


@pytest.mark.parametrize("script", ["chunk=1", "chunk=7+crlf", "join=50", "comments=3", "cr", "bom", "pad=9",
                                    "chunk_ext=20", "interim=3", "frame=close"])
def test_a_stream_is_the_same_however_it_is_cut(sim, gateway, script):
    """Chunk sizes, line ends, comments and framing of the provider do not change what the client reads."""
    got = gateway.post("/v1/chat/completions", kit.chat(f"sim/gpt+words=30+{script}", stream=True))
    own = gateway.post("/v1/chat/completions", kit.chat("sim/gpt+words=30", stream=True))
    assert got.status_code == 200, got.text
    assert kit.text_of(kit.chunks(got.content)) == kit.text_of(kit.chunks(own.content)) != ""
    assert kit.is_done(got.content)


def test_a_large_event_passes(sim, gateway):
    """One event of 4 MiB arrives whole."""
    got = gateway.post("/v1/chat/completions", kit.chat("sim/gpt+big_event=4194304+words=2", stream=True))
    assert got.status_code == 200, got.text[:500]
    assert len(kit.text_of(kit.chunks(got.content))) > 4194304
    assert kit.is_done(got.content)


def test_tools_pass_in_the_same_format(sim, gateway):
    """Tool calls arrive in pieces as the provider sends them, plain and streamed, in both formats."""
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
    plain = gateway.post("/v1/chat/completions", kit.chat("sim/gpt", tools=[tool])).json()
    call = plain["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["name"] == "get_weather" and json.loads(call["function"]["arguments"])
    assert plain["choices"][0]["finish_reason"] == "tool_calls"
    stream = gateway.post("/v1/chat/completions", kit.chat("sim/gpt", tools=[tool], stream=True)).content
    pieces = [piece for chunk in kit.chunks(stream) for c in chunk["choices"] for piece in c["delta"].get("tool_calls", ())]
    assert "".join(p["function"].get("arguments") or "" for p in pieces) == call["function"]["arguments"]
    own = {"name": "get_weather", "input_schema": tool["function"]["parameters"]}
    answer = gateway.post("/v1/messages", kit.messages("claude/claude", content="Use the tool.", tools=[own])).json()
    assert answer["stop_reason"] == "tool_use" and any(b["type"] == "tool_use" for b in answer["content"])


def test_one_connection_serves_streams_and_documents_in_turn(gateway):
    """Stream and plain calls alternate on one kept connection, as every SDK does."""
    with gateway.raw() as raw:
        for turn in range(6):
            body = kit.chat("sim/gpt+words=5", stream=turn % 2 == 0)
            raw.send(gateway.raw_request("/v1/chat/completions", body))
            status, fields, got = raw.read_answer()
            assert status == 200
            assert kit.is_done(got) if turn % 2 == 0 else json.loads(got)["object"] == "chat.completion"
