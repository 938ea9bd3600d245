# SPDX-License-Identifier: Apache-2.0
"""Every format that clients speak, answered by providers of every format: the client cannot tell.

What the simulator says depends on the prompt's text and the model's name alone, so that its own answer, asked
directly, is the measure of each pair.
"""
import itertools
import json

import pytest
import requests

import kit
import upstream

PROMPT = "What is the weather in Rome, and who asked?"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
          "required": ["city", "days"], "additionalProperties": False}
SCRIPTS = ("events=7", "tools=2", "tools=3+args_piece=1", "thinking=5", "thinking=4+tools=2", "cap+words=400", "error_event=0",
           "error_event=2", "cut_events=2", "status=429+retry_after=7", "status=500", "status=400", "cached=3", "no_usage", "thinking=4+tools=2+chunk=1")


class Answer:
    """What an answer says, whatever its format."""

    def __init__(self):
        self.text, self.thinking, self.calls, self.stop, self.usage, self.error = "", "", [], None, None, None
        self.complete = False


# ---- Chat Completions ----

class Chat:
    path = "/v1/chat/completions"

    @staticmethod
    def body(model, tools=False, schema=False, **more):
        body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}
        if body.get("stream"):
            body["stream_options"] = {"include_usage": True}
        if tools:
            body["tools"] = [{"type": "function", "function": {"name": "weather", "description": "tells it", "parameters": SCHEMA}}]
            body["tool_choice"] = "required"
        if schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "w", "strict": True, "schema": SCHEMA}}
        return body

    @staticmethod
    def usage(u):
        return {"in": u["prompt_tokens"], "out": u["completion_tokens"], "cached": u["prompt_tokens_details"]["cached_tokens"]}

    def plain(self, document):
        found = Answer()
        choice = document["choices"][0]
        message = choice["message"]
        found.text, found.thinking = message["content"] or "", message.get("reasoning_content") or ""
        found.calls = [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in message.get("tool_calls") or ()]
        found.stop, found.complete = choice["finish_reason"], True
        found.usage = self.usage(document["usage"]) if "usage" in document else None
        return found

    def stream(self, text):
        found, calls = Answer(), {}
        for chunk in kit.chunks(text):
            if "error" in chunk:
                found.error = chunk["error"]
                continue
            for choice in chunk["choices"]:
                delta = choice["delta"]
                found.text += delta.get("content") or ""
                found.thinking += delta.get("reasoning_content") or ""
                for call in delta.get("tool_calls") or ():
                    if call["index"] not in calls:
                        assert call["index"] == len(calls), "indices are dense"
                        calls[call["index"]] = [call["id"], call["function"]["name"], ""]
                    calls[call["index"]][2] += call["function"].get("arguments", "")
                found.stop = choice["finish_reason"] or found.stop
            if chunk.get("usage"):
                found.usage = self.usage(chunk["usage"])
        found.calls = [tuple(c) for c in calls.values()]
        found.complete = kit.is_done(text)
        return found

    stops = {"end": "stop", "tool": "tool_calls", "length": "length"}

    @staticmethod
    def turn(found, results):
        """The messages that follow when the calls were made."""
        return {"messages": [{"role": "user", "content": PROMPT},
                             {"role": "assistant", "content": found.text or None, "tool_calls": [
                                 {"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in found.calls]},
                             *({"role": "tool", "tool_call_id": i, "content": r} for (i, _, _), r in zip(found.calls, results))]}


# ---- Anthropic Messages ----

class Messages:
    path = "/v1/messages"

    @staticmethod
    def body(model, tools=False, schema=False, **more):
        body = {"model": model, "max_tokens": more.pop("max_tokens", 1000), "messages": [{"role": "user", "content": PROMPT}], **more}
        if tools:
            body["tools"] = [{"name": "weather", "description": "tells it", "input_schema": SCHEMA}]
            body["tool_choice"] = {"type": "any"}
        if schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        return body

    @staticmethod
    def usage(u):
        return {"in": u["input_tokens"] + u["cache_read_input_tokens"] + u["cache_creation_input_tokens"],
                "out": u["output_tokens"], "cached": u["cache_read_input_tokens"]}

    def plain(self, document):
        found = Answer()
        for block in document["content"]:
            if block["type"] == "text":
                found.text += block["text"]
            elif block["type"] == "thinking":
                found.thinking += block["thinking"]
            elif block["type"] == "tool_use":
                found.calls.append((block["id"], block["name"], json.dumps(block["input"])))
        found.stop, found.usage, found.complete = document["stop_reason"], self.usage(document["usage"]), True
        return found

    def stream(self, text):
        found, block, index = Answer(), None, -1
        for name, data in kit.events(text):
            event = json.loads(data)
            assert name == event["type"]
            if name == "content_block_start":
                assert block is None and event["index"] == index + 1, "blocks follow each other"
                block, index = event["content_block"], event["index"]
                pieces = ""
            elif name == "content_block_delta":
                assert event["index"] == index
                delta = event["delta"]
                found.text += delta.get("text", "")
                found.thinking += delta.get("thinking", "")
                pieces += delta.get("partial_json", "")
            elif name == "content_block_stop":
                if block["type"] == "tool_use":
                    json.loads(pieces or "{}")
                    found.calls.append((block["id"], block["name"], pieces or "{}"))
                block = None
            elif name == "message_delta":
                assert block is None
                found.stop, found.usage = event["delta"]["stop_reason"], self.usage(event["usage"])
            elif name == "message_stop":
                found.complete = True
            elif name == "error":
                found.error = event["error"]
        return found

    stops = {"end": "end_turn", "tool": "tool_use", "length": "max_tokens"}

    @staticmethod
    def turn(found, results):
        said = [{"type": "text", "text": found.text}] if found.text else []
        return {"messages": [{"role": "user", "content": PROMPT},
                             {"role": "assistant", "content": said + [
                                 {"type": "tool_use", "id": i, "name": n, "input": json.loads(a)} for i, n, a in found.calls]},
                             {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": r}
                                                          for (i, _, _), r in zip(found.calls, results)]}]}


# ---- Responses ----

class Responses:
    path = "/v1/responses"

    @staticmethod
    def body(model, tools=False, schema=False, **more):
        if "max_tokens" in more:
            more["max_output_tokens"] = more.pop("max_tokens")
        body = {"model": model, "input": PROMPT, **more}
        if tools:
            body["tools"] = [{"type": "function", "name": "weather", "description": "tells it", "parameters": SCHEMA, "strict": True}]
            body["tool_choice"] = "required"
        if schema:
            body["text"] = {"format": {"type": "json_schema", "name": "w", "strict": True, "schema": SCHEMA}}
        return body

    @staticmethod
    def usage(u):
        assert u["total_tokens"] == u["input_tokens"] + u["output_tokens"]
        return {"in": u["input_tokens"], "out": u["output_tokens"], "cached": u["input_tokens_details"]["cached_tokens"]}

    def plain(self, document):
        found = Answer()
        for item in document["output"]:
            if item["type"] == "message":
                found.text += "".join(p["text"] for p in item["content"])
            elif item["type"] == "reasoning":
                found.thinking += "".join(p["text"] for p in item["summary"])
            elif item["type"] == "function_call":
                found.calls.append((item["call_id"], item["name"], item["arguments"]))
        found.complete = document["status"] in ("completed", "incomplete")
        found.stop = (document["incomplete_details"] or {}).get("reason") or ("tool" if found.calls else "end")
        found.usage = self.usage(document["usage"]) if document["usage"] else None
        for key in ("tools", "tool_choice", "temperature", "top_p", "instructions", "metadata", "error", "incomplete_details",
                    "parallel_tool_calls", "output"):
            assert key in document, f"{key} is always there"
        return found

    def stream(self, text):
        """Checks what a stream of this format promises: wire-formats 1.2."""
        found, done, open_item, open_part, pieces, announced = Answer(), [], None, None, "", {}
        for n, (name, data) in enumerate(kit.events(text)):
            event = json.loads(data)
            assert event["type"] == name and event["sequence_number"] == n, "numbers are dense"
            assert n > 0 or name == "response.created"
            if name == "response.output_item.added":
                assert open_item is None and event["output_index"] == len(announced), "one item after the other"
                open_item, pieces = event["item"], ""
                announced[open_item["id"]] = event["output_index"]
            elif name == "response.output_item.done":
                assert open_part is None and event["item"]["id"] == open_item["id"]
                done.append(event["item"])
                open_item = None
            elif name in ("response.content_part.added", "response.reasoning_summary_part.added"):
                assert open_part is None
                open_part, pieces = event["part"], ""
            elif name in ("response.content_part.done", "response.reasoning_summary_part.done"):
                assert event["part"]["text"] == pieces and open_part is not None
                open_part = None
            elif name.endswith(".delta"):
                pieces += event["delta"]
                assert open_part is not None or name == "response.function_call_arguments.delta"
            elif name in ("response.output_text.done", "response.reasoning_summary_text.done"):
                assert event["text"] == pieces
            elif name == "response.function_call_arguments.done":
                assert event["arguments"] == pieces
            elif name in ("response.completed", "response.incomplete"):
                assert open_item is None and event["response"]["output"] == done, "the output is the items that were done"
                found = self.plain(event["response"])
                assert name.endswith(event["response"]["status"])
            elif name == "error":
                found.error = event["error"]
            elif name == "response.failed":
                assert event["response"]["status"] == "failed" and event["response"]["error"]["message"]
                found.error = event["response"]["error"]
            else:
                assert name in ("response.created", "response.in_progress"), name
                plain = self.plain(event["response"])
                assert not plain.complete
            if "item_id" in event:
                assert announced[event["item_id"]] == event["output_index"] == len(announced) - 1
        return found

    stops = {"end": "end", "tool": "tool", "length": "max_output_tokens"}

    @staticmethod
    def turn(found, results):
        return {"input": [{"role": "user", "content": PROMPT},
                          *({"type": "function_call", "call_id": i, "name": n, "arguments": a} for i, n, a in found.calls),
                          *({"type": "function_call_output", "call_id": i, "output": r} for (i, _, _), r in zip(found.calls, results))]}


CLIENTS = {"chat": Chat(), "messages": Messages(), "responses": Responses()}
PROVIDERS = {"compatible": "/v1", "anthropic": "", "openai-responses": "/v1", "google": "/v1beta", "bedrock": "", "cohere": ""}  # type: where it is
PAIRS = list(itertools.product(CLIENTS, PROVIDERS, (False, True)))


class World:
    """One simulator and one gateway with a provider of each type for all pairs of this file."""

    def __init__(self, home):
        self.sim = kit.Sim(home)
        (home / "gateway").mkdir()
        more = {"bedrock": {"region": "eu-west-1"}}
        config = {"providers": {name: dict({"type": name, "base_url": self.sim.url + path, "api_key": kit.PROVIDER_KEY},
                                           **more.get(name, {})) for name, path in PROVIDERS.items()},
                  "models": {f"{p}/{m}": kit.PRICES for p in PROVIDERS for m in ("m", *(f"m+{s}" for s in SCRIPTS))}}
        self.gateway = kit.Gateway(home / "gateway", dict(config, **kit.IMPATIENT))

    def ask(self, client, provider, script="", stream=False, **more):
        c = CLIENTS[client]
        model = f"{provider}/m" + (f"+{script}" if script else "")
        answer = self.gateway.post(c.path, c.body(model, stream=stream, **more))
        if answer.status_code != 200:
            return answer, None
        return answer, c.stream(answer.content) if stream else c.plain(answer.json())

    def measure(self, script="", **more):
        """What the simulator says to the same prompt in its own Chat format."""
        body = Chat.body("m" + (f"+{script}" if script else ""), **more)
        answer = requests.post(self.sim.url + "/v1/chat/completions", json=body, headers={"Authorization": "Bearer x"}, timeout=30)
        document = answer.json()
        found = Answer()
        found.text = document["choices"][0]["message"]["content"] or ""
        found.thinking = document["choices"][0]["message"].get("reasoning_content") or ""
        found.calls = [(c["id"], c["function"]["name"], c["function"]["arguments"])
                       for c in document["choices"][0]["message"].get("tool_calls") or ()]
        return found

    def received(self):
        """The body that the simulator got last."""
        return json.loads(self.sim.get("last?n=1")["requests"][-1]["body"])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("translate"))
    yield made
    made.gateway.finish()
    made.sim.stop()
    made.sim.check()


def same_calls(mine, theirs):
    assert [(n, json.loads(a)) for _, n, a in mine] == [(n, json.loads(a)) for _, n, a in theirs]
    ids = [i for i, _, _ in mine]
    assert all(ids) and len(set(ids)) == len(ids), "every call has an id of its own"


@pytest.mark.parametrize("client,provider,stream", PAIRS)
def test_a_text_arrives_whole_with_its_usage(world, client, provider, stream):
    """The words are the provider's, the stop reason the client's, the tokens and the cost the bill's."""
    answer, found = world.ask(client, provider, "events=7", stream)
    assert answer.status_code == 200, answer.text
    entry = world.sim.bill()[-1]
    assert found.usage["in"] == entry["input_tokens"] and found.usage["out"] == entry["output_tokens"]
    assert found.text == world.measure("events=7").text and found.complete
    assert found.stop == CLIENTS[client].stops["end"]
    row = world.gateway.rows()[-1]
    assert kit.usage_of(row)["input"] == found.usage["in"] and kit.usage_of(row)["output"] == found.usage["out"]


@pytest.mark.parametrize("client,provider,stream", PAIRS)
@pytest.mark.parametrize("script", ["tools=2", "tools=3+args_piece=1"])
def test_parallel_tool_calls_arrive_whole(world, client, provider, stream, script):
    """Calls keep names, order and arguments, each under an id of its own."""
    answer, found = world.ask(client, provider, script, stream, tools=True)
    assert answer.status_code == 200, answer.text
    same_calls(found.calls, world.measure(script, tools=True).calls)
    assert found.stop == CLIENTS[client].stops["tool"] and found.complete


@pytest.mark.parametrize("client,provider,stream", PAIRS)
def test_reasoning_arrives_before_calls(world, client, provider, stream):
    """Reasoning is shown where the format has a place for it."""
    answer, found = world.ask(client, provider, "thinking=4+tools=2", stream, tools=True)
    assert answer.status_code == 200, answer.text
    assert found.thinking == world.measure("thinking=4+tools=2", tools=True).thinking != ""
    assert len(found.calls) == 2


@pytest.mark.parametrize("client,provider", list(itertools.product(CLIENTS, PROVIDERS)))
def test_a_stream_that_comes_byte_by_byte_says_the_same(world, client, provider):
    """Where the provider's writes are cut changes nothing: events, indices and ids stay."""
    whole, cut = (world.ask(client, provider, script, True, tools=True)[1]
                  for script in ("thinking=4+tools=2", "thinking=4+tools=2+chunk=1"))
    same_calls(cut.calls, whole.calls)
    assert (cut.text, cut.thinking, cut.stop, cut.usage) == (whole.text, whole.thinking, whole.stop, whole.usage)
    assert cut.complete and len(cut.calls) == 2


@pytest.mark.parametrize("client,provider,stream", PAIRS)
def test_results_of_calls_go_back_to_their_calls(world, client, provider, stream):
    """The second turn carries the calls and their results under the ids that the provider gave."""
    c = CLIENTS[client]
    _, found = world.ask(client, provider, "tools=2", stream, tools=True)
    body = dict(c.body(f"{provider}/m", tools=True, stream=stream), **c.turn(found, ["sunny", "a friend"]))
    if client == "messages":
        body["tool_choice"] = {"type": "auto"}
    else:
        body["tool_choice"] = "auto"
    answer = world.gateway.post(c.path, body)
    assert answer.status_code == 200, answer.text
    sent = json.dumps(world.received())
    for (i, _, _), result in zip(found.calls, ("sunny", "a friend")):
        assert sent.count(i) == 2, "once in the call, once in its result"
        assert sent.count(f'"{result}"') == 1


@pytest.mark.parametrize("client,provider,stream", PAIRS)
def test_a_schema_makes_json(world, client, provider, stream):
    """Structured output is JSON of the schema in the text, however the provider is asked for it."""
    answer, found = world.ask(client, provider, "", stream, schema=True)
    assert answer.status_code == 200, answer.text
    document = json.loads(found.text)
    assert set(document) == {"city", "days"} and isinstance(document["days"], int)
    assert not found.calls and found.stop == CLIENTS[client].stops["end"]


NATIVE = {"anthropic": "claude-haiku-4-5", "bedrock": "anthropic.claude-haiku-4-5-20251001-v1:0"}


@pytest.mark.parametrize("client,provider,stream",
                         [p for p in PAIRS if p[1] in NATIVE and (p[0], p[1]) != ("messages", "anthropic")])
def test_a_model_that_enforces_schemas_is_asked_natively(world, client, provider, stream):
    """No tool stands in for what the model can do, and what it cannot enforce is a tool as before."""
    c = CLIENTS[client]
    body = c.body(f"{provider}/{NATIVE[provider]}", stream=stream, schema=True)
    answer = world.gateway.post(c.path, body)
    assert answer.status_code == 200, answer.text
    sent = world.received()
    assert "tools" not in sent and "toolConfig" not in sent
    if provider == "anthropic":
        assert sent["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    else:
        schema = sent["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"]
        assert sent["outputConfig"]["textFormat"]["type"] == "json_schema" and json.loads(schema) == SCHEMA
    found = c.stream(answer.content) if stream else c.plain(answer.json())
    assert set(json.loads(found.text)) == {"city", "days"} and found.stop == c.stops["end"]
    body = json.loads(json.dumps(body).replace('"additionalProperties": false', '"additionalProperties": {"type": "string"}'))
    assert world.gateway.post(c.path, body).status_code == 200
    assert "respond_json" in json.dumps(world.received())


@pytest.mark.parametrize("client,provider,stream", PAIRS)
def test_a_cut_by_the_limit_says_so(world, client, provider, stream):
    """An answer that reached its token limit has the client's own word for it."""
    _, found = world.ask(client, provider, "cap+words=400", stream, max_tokens=20)
    assert found.stop == CLIENTS[client].stops["length"] and found.complete and found.text


@pytest.mark.parametrize("client,provider", list(itertools.product(CLIENTS, PROVIDERS)))
@pytest.mark.parametrize("script", ["error_event=2", "cut_events=2"])
def test_an_interrupted_stream_never_looks_complete(world, client, provider, script):
    """An error behind the first words ends the stream with an error and without a mark of success."""
    answer, found = world.ask(client, provider, script, stream=True)
    assert answer.status_code == 200
    assert not found.complete and found.error and found.error["message"]


@pytest.mark.parametrize("client,provider,stream", PAIRS)
def test_errors_speak_the_clients_language(world, client, provider, stream):
    """Status, words and Retry-After are the provider's, the shape the client's."""
    answer, _ = world.ask(client, provider, "status=429+retry_after=7", stream)
    assert answer.status_code == 429 and answer.headers["retry-after"] == "7"
    document = answer.json()
    assert document["error"]["type"] in ("rate_limit_error", "rate_limit_exceeded", "requests")
    assert ("type" in document and document["type"] == "error") == (client == "messages")
    answer, _ = world.ask(client, provider, "status=400", stream)
    assert answer.status_code == 400 and answer.json()["error"]["message"]
    answer, _ = world.ask(client, provider, "error_event=0", stream) if stream else (None, None)
    assert answer is None or answer.status_code >= 500


@pytest.mark.parametrize("client,provider,stream", PAIRS)
def test_cached_tokens_are_told_apart(world, client, provider, stream):
    """What the provider read from its cache is counted apart in every format."""
    _, found = world.ask(client, provider, "cached=3", stream)
    # Cohere's are a part of what it does not bill.
    assert found.usage["cached"] == (0 if provider == "cohere" else 3) and found.usage["in"] > 3


def test_what_needs_a_memory_is_refused_by_name(world):
    """previous_response_id means nothing to a provider that stores nothing: the answer says so."""
    answer = world.gateway.post("/v1/responses", {"model": "anthropic/m", "input": "x", "previous_response_id": "resp_1"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "previous_response_id"
    answer = world.gateway.post("/v1/responses", {"model": "anthropic/m", "input": [{"type": "item_reference", "id": "rs_1"}]})
    assert answer.status_code == 400 and "item_reference" in answer.text


def test_what_is_left_out_is_named_in_the_answer(world):
    """A field without a counterpart is named in x-sluice-warnings, and one that changes the meaning is refused."""
    answer = world.gateway.post("/v1/chat/completions", Chat.body("anthropic/m", seed=7, logit_bias={"5": 1}))
    assert answer.status_code == 200
    assert {"dropped:seed", "dropped:logit_bias"} <= set(w.strip() for w in answer.headers["x-sluice-warnings"].split(","))
    answer = world.gateway.post("/v1/chat/completions", Chat.body("anthropic/m", n=2))
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "n"


def test_reasoning_comes_back_to_its_maker_alone(world):
    """A signature travels through the client's format unread, and only to the provider that made it."""
    _, found = world.ask("responses", "anthropic", "thinking=4+tools=2", tools=True)
    first = world.gateway.post("/v1/responses", Responses.body("anthropic/m+thinking=4+tools=2", tools=True)).json()
    items = [{"role": "user", "content": PROMPT}, *first["output"],
             *({"type": "function_call_output", "call_id": i["call_id"], "output": "x"}
               for i in first["output"] if i["type"] == "function_call")]
    state = next(i["encrypted_content"] for i in first["output"] if i["type"] == "reasoning")
    body = dict(Responses.body("anthropic/m", tools=True), input=items, tool_choice="auto", reasoning={"effort": "low"})
    assert world.gateway.post("/v1/responses", body).status_code == 200
    sent = world.received()
    thinking = next(b for m in sent["messages"] for b in m["content"] if isinstance(b, dict) and b["type"] == "thinking")
    assert thinking["thinking"] == found.thinking and state.endswith(thinking["signature"])
    assert not thinking["signature"].startswith("sluice.")
    answer = world.gateway.post("/v1/responses", dict(body, model="compatible/m"))
    assert answer.status_code == 200 and "dropped:reasoning_state" in answer.headers["x-sluice-warnings"]
    assert "signature" not in json.dumps(world.received()) and "sluice." not in json.dumps(world.received())


@pytest.mark.parametrize("title,asked,marked", [("Cline", None, True), ("roo code", None, True), ("my app", None, False),
                                                ("my app", True, True), ("Cline", False, False)])
def test_marks_of_the_prompt_cache_follow_the_callers_kind(world, title, asked, marked):
    """Agents get cache marks without asking, others when requesty.auto_cache says so."""
    body = Chat.body("anthropic/m")
    body["messages"].insert(0, {"role": "system", "content": "You know everything about the weather. " * 500})
    if asked is not None:
        body["requesty"] = {"auto_cache": asked}
    answer = world.gateway.post("/v1/chat/completions", body, headers=world.gateway.headers(**{"X-Title": title}))
    assert answer.status_code == 200
    assert ("cache_control" in json.dumps(world.received())) == marked


@pytest.mark.parametrize("everybody,own,seed,choices", [
    ("harmless", None, 200, 400), ("all", None, 200, 200), ("none", None, 400, 400),
    ("none", "all", 200, 200), ("all", "harmless", 200, 400), ("harmless", "none", 400, 400)])
def test_drop_params_decides_what_is_dropped(sim, make_gateway, everybody, own, seed, choices):
    """drop_params of the configuration, and before it that of the key, says what an unknown parameter means."""
    gateway = make_gateway({"drop_params": everybody, "providers": {
        "anthropic": {"type": "anthropic", "base_url": sim.url, "api_key": kit.PROVIDER_KEY}}})
    key = gateway.make_key("own", "--drop-params", own) if own else gateway.key
    headers = {"Authorization": f"Bearer {key}"}
    answer = gateway.post("/v1/chat/completions", Chat.body("anthropic/m", seed=7), headers=headers)
    assert answer.status_code == seed, answer.text
    if seed == 400:
        assert answer.json()["error"]["param"] == "seed"
    answer = gateway.post("/v1/chat/completions", Chat.body("anthropic/m", n=2), headers=headers)
    assert answer.status_code == choices
    assert choices == 400 or "dropped:n" in answer.headers["x-sluice-warnings"]
    remembers = gateway.post("/v1/responses", Responses.body("anthropic/m", previous_response_id="resp_1"), headers=headers)
    assert remembers.status_code == 400, "the conversation itself is never dropped"


def test_pieces_of_one_format_alone_are_named_when_they_go(world):
    """What stands in the history for one provider's own machinery is left out by name elsewhere."""
    items = [{"role": "user", "content": "x"}, {"type": "code_interpreter_call", "id": "ci_1", "code": "1+1", "container_id": "c", "outputs": []},
             {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "rome"}},
             {"role": "user", "content": "and now?"}]
    answer = world.gateway.post("/v1/responses", {"model": "anthropic/m", "input": items})
    assert answer.status_code == 200, answer.text
    named = set(answer.headers["x-sluice-warnings"].replace(" ", "").split(","))
    assert {"dropped:native_block", "dropped:search_history"} <= named
    assert "ci_1" not in json.dumps(world.received())


def test_betas_that_bedrock_knows_stand_in_the_body(world):
    """Bedrock takes Anthropic's betas as a member, and refuses a request that names one it does not know."""
    body = Messages.body("bedrock/" + NATIVE["bedrock"])
    headers = dict(world.gateway.headers(), **{"anthropic-beta": "claude-code-20250219, context-1m-2025-08-07"})
    assert world.gateway.post("/v1/messages", body, headers=headers).status_code == 200
    assert world.received()["additionalModelRequestFields"]["anthropic_beta"] == ["context-1m-2025-08-07"]
    assert world.gateway.post("/v1/messages", Messages.body("bedrock/m"), headers=headers).status_code == 200
    assert "anthropic_beta" not in json.dumps(world.received()), "no other model has them"


@pytest.mark.parametrize("name,status", [("ServiceQuotaExceededException", 429), ("ModelTimeoutException", 504),
                                         ("ValidationException", 400), ("SomethingElse", 400)])
def test_bedrock_names_its_errors_in_a_field(world, name, status):
    """Bedrock tells a quota with status 400 and names it in a header field: it is a rate limit for the client."""
    answer, _ = world.ask("chat", "bedrock", f"status=400+error_type={name}")
    assert answer.status_code == status, answer.text


def test_probabilities_of_tokens_are_carried_over(make_gateway):
    """Chat to Gemini and Responses to Chat: asked for, and shown where the client looks for them."""
    gemini = upstream.Upstream(lambda path, body, fields: (200, "application/json", json.dumps(
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hey"}]}, "finishReason": "STOP",
                         "logprobsResult": {"chosenCandidates": [{"token": "Hey", "logProbability": -0.5}], "topCandidates": [
                             {"candidates": [{"token": "Hey", "logProbability": -0.5}]}]}}],
         "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4}}).encode()))
    chat = upstream.Upstream(lambda path, body, fields: (200, "application/json", json.dumps(
        {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hey"}, "finish_reason": "stop",
             "logprobs": {"content": [{"token": "Hey", "logprob": -0.5, "bytes": None, "top_logprobs": []}], "refusal": None}}],
         "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}).encode()))
    gateway = make_gateway({"providers": {"g": {"type": "google", "base_url": gemini.url + "/v1beta", "api_key": "x"},
                                          "c": {"type": "compatible", "base_url": chat.url + "/v1", "api_key": "x"}}})
    found = gateway.post("/v1/chat/completions", kit.chat("g/m", logprobs=True, top_logprobs=2)).json()["choices"][0]["logprobs"]["content"]
    assert json.loads(gemini.asked[-1][1])["generationConfig"] == {"responseLogprobs": True, "logprobs": 2}
    assert found == [{"token": "Hey", "logprob": -0.5, "bytes": [72, 101, 121], "top_logprobs": [{"token": "Hey", "logprob": -0.5, "bytes": [72, 101, 121]}]}]
    answer = gateway.post("/v1/responses", {"model": "c/m", "input": "hi", "top_logprobs": 1}).json()
    sent = json.loads(chat.asked[-1][1])
    assert sent["logprobs"] is True and sent["top_logprobs"] == 1
    assert answer["output"][0]["content"][0]["logprobs"][0]["token"] == "Hey"
    gemini.stop()
    chat.stop()
