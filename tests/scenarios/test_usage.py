# SPDX-License-Identifier: Apache-2.0
"""Tokens and money: what the provider counted is what the client is shown and what the ledger holds."""
import json

import pytest

import kit


@pytest.fixture
def gateway(sim, make_gateway):
    """As usual, with prices for the scripted models of this file."""
    names = [f"{name}+words={n}" for name in ("gpt", "claude") for n in range(1, 31)]
    return make_gateway(kit.config_for(sim, names))


def stream(gateway, model="sim/gpt+words=12", **more):
    got = gateway.post("/v1/chat/completions", kit.chat(model, stream=True, **more))
    assert got.status_code == 200, got.text
    return got.content


def agree(row, entry):
    """The ledger's row and the simulator's bill say the same."""
    usage = kit.usage_of(row)
    assert usage == {"input": entry["input_tokens"], "cached": entry["cached_tokens"],
                     "written": entry["cache_write_tokens"], "output": entry["output_tokens"],
                     "reasoning": entry["reasoning_tokens"]}


def test_usage_is_asked_for_and_hidden_when_the_client_did_not_ask(sim, gateway):
    """A stream without stream_options shows no usage, yet the ledger has the provider's count."""
    got = stream(gateway)
    assert b'"usage"' not in got and kit.is_done(got)
    assert json.loads(sim.last()["body"])["stream_options"]["include_usage"] is True
    row = gateway.rows()[0]
    agree(row, sim.bill()[0])
    assert kit.basis(row) == "provider_final"
    assert row["cost_nusd"] == kit.usage_of(row)["input"] * 1000 + kit.usage_of(row)["output"] * 2000


def test_usage_is_shown_with_its_cost_when_the_client_asked(sim, gateway):
    """With include_usage the last chunk carries usage and usage.cost."""
    got = stream(gateway, stream_options={"include_usage": True})
    usage = kit.chunks(got)[-1]["usage"]
    row = gateway.rows()[0]
    assert usage["cost"] == pytest.approx(row["cost_nusd"] / 1e9)
    assert usage["completion_tokens"] == kit.usage_of(row)["output"]
    agree(row, sim.bill()[0])


@pytest.mark.parametrize("script", ["usage_null", "tool_calls_null"])
def test_null_members_are_left_out(gateway, script):
    """usage:null and tool_calls:null, which break some clients, are omitted; the text stays."""
    got = stream(gateway, f"sim/gpt+words=12+{script}", stream_options={"include_usage": True})
    plain = stream(gateway, "sim/gpt+words=12", stream_options={"include_usage": True})
    assert b'"usage":null' not in got.replace(b" ", b"") and b'"tool_calls":null' not in got.replace(b" ", b"")
    assert kit.text_of(kit.chunks(got)) == kit.text_of(kit.chunks(plain))
    assert kit.chunks(got)[-1]["usage"]["completion_tokens"] > 0


def test_anthropic_stream_usage_is_overwritten_not_added(sim, gateway):
    """Anthropic's cumulative counts are taken as they stand at the end."""
    got = gateway.post("/v1/messages", kit.messages("claude/claude+words=30", stream=True))
    assert got.status_code == 200
    row = gateway.rows()[0]
    agree(row, sim.bill()[0])
    shown = [json.loads(d) for n, d in kit.events(got.content) if n == "message_delta"][-1]["usage"]
    assert shown["output_tokens"] == kit.usage_of(row)["output"]


@pytest.mark.parametrize("kind", ["plain", "stream"])
@pytest.mark.parametrize("path, body", [("/v1/chat/completions", kit.chat("sim/gpt+cached=3+reasoning=20")),
                                        ("/v1/messages", kit.messages("claude/claude+cached=3+cache_write=2"))])
def test_cached_and_reasoning_tokens_reach_the_ledger(sim, gateway, kind, path, body):
    """Cache reads, cache writes and reasoning stand in their own columns and agree with the bill."""
    body = dict(body, stream=kind == "stream")
    assert gateway.post(path, body).status_code == 200
    agree(gateway.rows()[0], sim.bill()[0])


def test_two_usage_events_count_once(sim, gateway):
    """A provider that reports usage twice is billed by the last."""
    stream(gateway, "sim/gpt+two_usage")
    agree(gateway.rows()[0], sim.bill()[0])


def test_a_model_without_a_price_says_so(sim, gateway):
    """A model that the catalogue does not know is called; its cost is unknown, not zero."""
    got = gateway.post("/v1/chat/completions", kit.chat("sim/nobody-knows-me"))
    assert got.status_code == 200 and got.json()["usage"].get("cost") is None
    row = gateway.rows()[0]
    assert row["cost_nusd"] in (None, -1)
    assert gateway.access()[0]["cost"] is None


def test_no_usage_from_a_compatible_server_is_estimated(gateway):
    """A server that reports no usage is still used; the row says that the count is the gateway's."""
    stream(gateway, "sim/gpt+no_usage+words=50")
    row = gateway.rows()[0]
    assert kit.basis(row) == "gateway_count" and kit.usage_of(row)["output"] > 20


def test_the_access_line_says_what_happened_and_nothing_private(gateway):
    """One JSON line a request with ids, model, status, times, tokens and cost."""
    gateway.post("/v1/chat/completions", kit.chat("sim/gpt", content="a very private prompt"))
    line = gateway.access()[0]
    for name in ("ts", "level", "event", "req_id", "key_id", "model", "provider", "status", "ms", "tokens_in",
                 "tokens_out", "cost", "attempts"):
        assert name in line, name
    assert line["status"] == 200 and line["model"] == "sim/gpt" and line["attempts"] == 1
    assert "private" not in json.dumps(line)


def test_many_answers_have_exactly_one_row_each(sim, gateway):
    """After a mixed burst the ledger and the simulator's bill agree row by row."""
    for turn in range(30):
        kind = turn % 3
        if kind == 0:
            gateway.post("/v1/chat/completions", kit.chat(f"sim/gpt+words={turn + 1}"))
        elif kind == 1:
            stream(gateway, f"sim/gpt+words={turn + 1}")
        else:
            gateway.post("/v1/messages", kit.messages(f"claude/claude+words={turn + 1}", stream=True))
    rows, bill = gateway.rows(30), sim.bill()
    assert len(rows) == len(bill) == 30
    for row, entry in zip(rows, bill):
        agree(row, entry)
    assert sum(r["cost_nusd"] for r in rows) == sum(1000 * e["input_tokens"] + 2000 * e["output_tokens"] for e in bill)


def test_an_unknown_price_says_so(gateway):
    """x-sluice-cost of an answer whose model has no price is the word unknown; with a price it is decimal text."""
    assert gateway.post("/v1/chat/completions", kit.chat("sim/nobody-priced-this")).headers["x-sluice-cost"] == "unknown"
    assert float(gateway.post("/v1/chat/completions", kit.chat("sim/gpt+words=3")).headers["x-sluice-cost"]) > 0


def test_refused_requests_have_their_access_line(gateway):
    """A request that is refused on its head, and one that cannot be read, are in the log and the metrics too."""
    refused = [gateway.post("/v1/chat/completions", kit.chat(), headers={"Authorization": "Bearer secret-canary-1"}),
               gateway.get("/v1/nothing-here"), gateway.get("/v1/messages"), gateway.get("/v1/models")]
    with gateway.raw() as raw:
        raw.send(b"GET / HTTP/9\r\n\r\n")
        _, fields, body = raw.read_answer()
        assert fields["x-request-id"] == fields["request-id"] == json.loads(body)["error"]["request_id"]
    lines = gateway.access(5)
    assert [line["status"] for line in lines] == [401, 404, 405, 200, 400]
    assert [line["req_id"] for line in lines[:4]] == [got.headers["x-request-id"] for got in refused]
    assert lines[0]["op"] == "chat" and lines[0]["err"] == "KEY_MALFORMED" and lines[3]["op"] == "models"
    assert "canary" not in gateway.err()
    assert gateway.metric("sluice_requests_total", op="chat", status_class="4xx", outcome="client_error") == 1
    gateway.get("/livez")
    assert len(gateway.access(5)) == 5


def test_labels_of_body_and_head_are_one_object(gateway):
    """A name in both is there once and has the body's value; of two header fields the first counts."""
    fields = ["X-Requesty-Branch: main", "x-requesty-branch: other", "X-Requesty-Ai-Agent: cc"]
    for extra in ('{"branch":"dev","n":{"a":[1]}}', "{\n}", "{}"):
        body = '{"model":"sim/echo","messages":[{"role":"user","content":"x"}],"requesty":{"extra":%s}}' % extra
        with gateway.raw() as raw:
            raw.send(gateway.raw_request("/v1/chat/completions", body.encode(), headers=fields))
            assert raw.read_answer()[0] == 200
    rows = sorted((row["extra"] for row in gateway.rows(3)), key=lambda extra: '"n"' not in extra)  # of one millisecond: in any order
    pairs = json.loads(rows[0], object_pairs_hook=lambda found: found)
    assert pairs == [("branch", "dev"), ("n", [("a", [1])]), ("ai_agent", "cc")]
    assert [json.loads(row) for row in rows[1:]] == [{"branch": "main", "ai_agent": "cc"}] * 2


def test_labels_are_text_whatever_bytes_came(gateway):
    """Fields that are no UTF-8 are ISO-8859-1; long ones are cut between characters: each row can be read."""
    fields = [b"X-Title: caf\xe9", b"HTTP-Referer: " + "h\u00e9".encode() * 2000, b"X-Requesty-User: J\xf6rg"]
    fields += [b"X-Requesty-F%d: " % n + b"\xff" * 800 for n in range(28)]
    with gateway.raw() as raw:
        request = gateway.raw_request("/v1/chat/completions", kit.chat("sim/" + "\u00e9" * 200))
        raw.send(request.replace(b"\r\n", b"\r\n" + b"\r\n".join(fields) + b"\r\n", 1))
        status, _, body = raw.read_answer()
    assert status == 200, body[:300]
    row = gateway.rows()[0]
    assert row["title"] == "caf\u00e9" and row["referer"] == ("h\u00e9" * 400)[:len(row["referer"])]
    assert len(row["referer"].encode()) in (1023, 1024)
    extra = json.loads(row["extra"])
    assert extra["user"] == "J\u00f6rg" and extra["f27"] == "\u00ff" * 800


def test_labels_that_cannot_be_kept_are_refused(gateway):
    """Labels that are too large for the record are 400 and named, not left out in silence."""
    body = '{"model":"sim/echo","messages":[],"requesty":{"extra":{%s}}}' % ",".join(
        '"k%d":"%s"' % (n, "\\u0001" * 1000) for n in range(12))
    got = gateway.post("/v1/chat/completions", body)
    assert got.status_code == 400 and got.json()["error"]["param"] == "requesty.extra"
    many = {f"X-Requesty-F{n}": '"' * 1000 for n in range(25)}
    half = {f"k{n}": "\\" * 1000 for n in range(25)}
    got = gateway.post("/v1/chat/completions", kit.chat(requesty={"extra": half}), headers=gateway.headers(**many))
    assert got.status_code == 400 and "X-Requesty" in got.json()["error"]["message"]
    assert gateway.post("/v1/chat/completions", kit.chat(), headers=gateway.headers(**many)).status_code == 200
    assert len(json.loads(gateway.rows(3)[-1]["extra"])) == 25
