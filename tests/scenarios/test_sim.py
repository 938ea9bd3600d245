# SPDX-License-Identifier: Apache-2.0
"""The simulator itself, asked directly: its answers, its faults byte for byte, and its bill.

Other tests trust it as their witness, so it is tested without the gateway.
"""
import base64
import gzip
import json
import socket
import struct
import time

import pytest

import kit

OPENAI = ("authorization: Bearer sk-test-1234",)
ANTHROPIC = ("x-api-key: sk-test-1234", "anthropic-version: 2023-06-01")


def request(path, body=None, fields=OPENAI, method="POST"):
    text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: sim", *fields]
    if method == "POST":
        lines.append(f"content-length: {len(text)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + text


def ask(sim, path, body=None, fields=OPENAI, method="POST"):
    with kit.Raw(sim.host, sim.port) as raw:
        raw.send(request(path, body, fields, method))
        return raw.read_answer()


def chat(sim, script="", **more):
    return ask(sim, "/v1/chat/completions", kit.chat("gpt" + script, **more))


def raw_chat(sim, script="", **more):
    """Every byte until the end of the connection, and whether it ended by a reset."""
    with kit.Raw(sim.host, sim.port, deadline=5) as raw:
        raw.send(request("/v1/chat/completions", kit.chat("gpt" + script, **more)))
        got = b""
        try:
            while True:
                data = raw.socket.recv(65536)
                if not data:
                    return got, False
                got += data
        except ConnectionResetError:
            return got, True


def entry(sim):
    sim.idle()
    return sim.bill()[-1]


def body_of(got):
    return got.split(b"\r\n\r\n", 1)[1]


def test_it_says_where_it_listens_and_ends_well(tmp_path):
    """Port 0 picks a port; SIGTERM ends it with exit code 0 though connections are open."""
    sim = kit.Sim(tmp_path)
    with kit.Raw(sim.host, sim.port) as raw:
        raw.send(request("/v1/chat/completions", kit.chat("gpt+hang")))
        kit.wait_until(lambda: sim.counts()["open"] == 1, "the request hangs")
        assert sim.stop() == 0
    sim.check()


def test_answers_do_not_depend_on_the_way_they_are_asked_for(sim):
    """The same prompt gives the same text and counts, plain or streamed, with or without /v1, today and tomorrow."""
    plain = json.loads(chat(sim)[2])
    streamed = kit.chunks(chat(sim, stream=True, stream_options={"include_usage": True})[2])
    short = json.loads(ask(sim, "/chat/completions", kit.chat("gpt"))[2])
    text = plain["choices"][0]["message"]["content"]
    assert text == kit.text_of(streamed) == short["choices"][0]["message"]["content"]
    assert plain["usage"] == streamed[-1]["usage"]
    assert plain["usage"]["completion_tokens"] == -(-len(text) // 4)
    assert plain["usage"]["prompt_tokens"] == -(-len("Hello there, how are you?") // 4)
    other = json.loads(chat(sim, content="something else")[2])
    assert other["choices"][0]["message"]["content"] != text


def test_echo_says_the_last_user_text(sim):
    """The model echo gives back what the user said, in any script of the world."""
    text = 'größe "quoted" 你好 😀\n\tend'
    for stream in (False, True):
        got = ask(sim, "/v1/chat/completions", kit.chat("echo", content=text, stream=stream))[2]
        said = kit.text_of(kit.chunks(got)) if stream else json.loads(got)["choices"][0]["message"]["content"]
        assert said == text
    got = json.loads(ask(sim, "/v1/messages", kit.messages("echo", content=text), ANTHROPIC)[2])
    assert got["content"] == [{"type": "text", "text": text}]


def test_an_anthropic_stream_has_its_events_in_order(sim):
    """message_start, blocks that never overlap, message_delta, message_stop."""
    body = kit.messages("claude", content="hello", stream=True, thinking={"type": "enabled", "budget_tokens": 1024})
    status, fields, got = ask(sim, "/v1/messages", body, ANTHROPIC)
    found = [(name, json.loads(data)) for name, data in kit.events(got)]
    assert all(name == data["type"] for name, data in found)
    names = [name for name, _ in found if name not in ("ping", "content_block_delta")]
    assert names == ["message_start", "content_block_start", "content_block_stop", "content_block_start",
                     "content_block_stop", "message_delta", "message_stop"]
    kinds = [d["delta"]["type"] for n, d in found if n == "content_block_delta"]
    assert kinds.index("signature_delta") == len(kinds) - 1 - kinds[::-1].index("thinking_delta") + 1
    count = json.loads(ask(sim, "/v1/messages/count_tokens", {k: body[k] for k in ("model", "messages")}, ANTHROPIC)[2])
    assert count["input_tokens"] == found[0][1]["message"]["usage"]["input_tokens"] == 2


def test_embeddings_in_both_codings_and_four_shapes(sim):
    """Base64 and float give the same numbers; every input shape gives one vector a text."""
    for value, n in (("one", 1), (["one", "two"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2)):
        plain = json.loads(ask(sim, "/v1/embeddings", {"model": "e", "input": value, "dimensions": 33})[2])
        packed = json.loads(ask(sim, "/v1/embeddings", {"model": "e", "input": value, "dimensions": 33,
                                                         "encoding_format": "base64"})[2])
        assert [d["index"] for d in plain["data"]] == list(range(n))
        for a, b in zip(plain["data"], packed["data"]):
            assert list(struct.unpack("<33f", base64.b64decode(b["embedding"]))) == a["embedding"]


@pytest.mark.parametrize("path, fields, body, status, kind", [
    ("/v1/chat/completions", (), kit.chat("gpt"), 401, "invalid_request_error"),
    ("/v1/chat/completions", ("authorization: Bearer bad",), kit.chat("gpt"), 401, "invalid_request_error"),
    ("/v1/chat/completions", OPENAI, {"model": "gpt"}, 400, "invalid_request_error"),
    ("/v1/chat/completions", OPENAI, kit.chat("gpt+dellay=3"), 400, "invalid_request_error"),
    ("/v1/chat/completions", OPENAI, b"{", 400, "invalid_request_error"),
    ("/v1/nothing", OPENAI, {}, 404, "invalid_request_error"),
    ("/v1/messages", ("x-api-key: bad", "anthropic-version: 1"), kit.messages("c"), 401, "authentication_error"),
    ("/v1/messages", ("x-api-key: k",), kit.messages("c"), 400, "invalid_request_error"),
    ("/v1/messages", ANTHROPIC, {"model": "c", "messages": []}, 400, "invalid_request_error"),
])
def test_wrong_requests_are_refused_in_the_providers_shape(sim, path, fields, body, status, kind):
    """400, 401 and 404 as the provider's own API words them; nothing is billed."""
    got, _, text = ask(sim, path, body, fields)
    error = json.loads(text)["error"]
    assert (got, error["type"]) == (status, kind)
    assert ("param" in error) == (path != "/v1/messages")
    if "dellay" in str(body):
        assert '"delay"' in error["message"]
    assert entry(sim)["input_tokens"] == 0


def test_the_bill_and_the_last_request(sim):
    """Every request has its entry; the raw head and body of the last ones can be read."""
    chat(sim, "+cached=2+reasoning=9")
    seen = sim.last()
    assert seen["line"] == "POST /v1/chat/completions HTTP/1.1"
    assert seen["headers"]["authorization"] == "Bearer sk-test-1234"
    assert json.loads(seen["body"]) == kit.chat("gpt+cached=2+reasoning=9")
    one = entry(sim)
    assert (one["outcome"], one["status"], one["key"], one["model"]) == ("completed", 200, "1234", "gpt+cached=2+reasoning=9")
    assert one["cached_tokens"] == 2 and one["reasoning_tokens"] == 9 and one["output_tokens"] > 9
    totals = sim.get("bill")["totals"]
    assert totals["output_tokens"] == one["output_tokens"] and totals["completed"] == 1
    sim_post(sim, "reset")
    assert sim.get("bill")["entries"] == [] and sim.get("bill")["totals"]["requests"] == 0


def sim_post(sim, path, body=b""):
    status, _, text = ask(sim, f"/_sim/{path}", body, ())
    assert status == 200, text


def test_orders_for_the_next_requests(sim):
    """POST /_sim/script makes the second of the next requests fail, whatever its model."""
    sim_post(sim, "script?count=1&skip=1", b"status=503; retry_after=9")
    assert [chat(sim)[0] for _ in range(3)] == [200, 503, 200]
    sim_post(sim, "accept?mode=close&count=1")
    with kit.Raw(sim.host, sim.port) as raw:
        assert raw.is_closed()
    assert chat(sim)[0] == 200


@pytest.mark.parametrize("stream", [False, True])
def test_cuts_at_every_byte(sim, stream):
    """cut_bytes=N: exactly N bytes behind the head, then FIN; rst_bytes the same with RST."""
    whole, _ = raw_chat(sim, "+words=2+frame=close", stream=stream)
    whole = body_of(whole)
    for n in (0, 1, 2, 50, len(whole) - 1):
        got, reset = raw_chat(sim, f"+words=2+frame=close+cut_bytes={n}", stream=stream)
        assert not reset
        differs = [i for i, (a, b) in enumerate(zip(body_of(got), whole)) if a != b]
        assert len(body_of(got)) == n and len(differs) <= 4  # ids differ in the number
        got, reset = raw_chat(sim, f"+words=2+frame=close+rst_bytes={n}", stream=stream)
        assert reset and len(body_of(got)) == n
        assert entry(sim)["outcome"] == "failed"


@pytest.mark.parametrize("script, reset, more", [
    ("rst", True, None), ("close_before_answer", False, None), ("garbage=300", False, None), ("http09", False, None)])
def test_no_answer_at_all(sim, script, reset, more):
    """A reset, an end, noise, or a body without a head instead of an answer; nothing is billed."""
    got, was_reset = raw_chat(sim, "+" + script)
    assert was_reset == reset
    assert not got.startswith(b"HTTP/1.1")
    assert len(got) == {"garbage=300": 300}.get(script, len(got)) and bool(got) == (script in ("garbage=300", "http09"))
    assert entry(sim)["input_tokens"] == 0 and entry(sim)["outcome"] == "failed"


@pytest.mark.parametrize("how", ["cut_events", "rst_events"])
def test_an_end_after_some_events_costs_what_was_sent(sim, how):
    """The bill of an interrupted stream: the input, and the output that was sent."""
    got, reset = raw_chat(sim, f"+events=50+{how}=7", stream=True)
    assert reset == (how == "rst_events")
    said = b"".join(part.split(b"\r\n", 1)[1] for part in [body_of(got)])
    text = "".join(json.loads(line[6:])["choices"][0]["delta"].get("content", "")
                   for line in said.decode().split("\n") if line.startswith("data: {"))
    one = entry(sim)
    assert one["events"] == 7 and one["outcome"] == "failed"
    assert one["output_tokens"] == -(-len(text) // 4) and one["input_tokens"] == 7
    assert b"[DONE]" not in got and b"0\r\n\r\n" not in got


def test_silence(sim):
    """After the head, after some events, or instead of an answer: nothing, until the client leaves."""
    for script, has_head in (("hang", False), ("silence_after_head", True), ("events=9+silence_after=2", True)):
        with kit.Raw(sim.host, sim.port) as raw:
            raw.send(request("/v1/chat/completions", kit.chat("gpt+" + script, stream=True)))
            if has_head:
                assert raw.read_head()[0] == 200
            if "events" in script:
                raw.read_chunk()
            raw.socket.settimeout(0.2)
            with pytest.raises(TimeoutError):
                while True:
                    raw._more()
            if "events" not in script:
                assert raw.buffer == b""
            assert sim.counts()["open"] == 1
        assert entry(sim)["outcome"] == "cancelled"


def test_a_client_that_leaves_is_noticed(sim):
    """FIN and RST of the client in the middle of a paced stream end it at once, and it costs what was sent."""
    for leave in (lambda raw: raw.reset(), lambda raw: raw.close()):
        raw = kit.Raw(sim.host, sim.port)
        raw.send(request("/v1/chat/completions", kit.chat("gpt+events=1000+gap=20", stream=True)))
        raw.read_head()
        for _ in range(3):
            raw.read_chunk()
        at = time.time()
        leave(raw)
        one = entry(sim)
        assert one["outcome"] == "cancelled" and 0 < one["output_tokens"] < 100 and one["events"] >= 3
        assert one["started_wall_ms"] + one["ms"] <= at * 1000 + 2000


def test_a_paced_stream_keeps_its_schedule(sim):
    """gap=20: fifty events take about a second, however late single timers are."""
    begin = time.monotonic()
    assert chat(sim, "+events=50+gap=20", stream=True)[0] == 200
    assert time.monotonic() - begin >= 49 * 0.02


@pytest.mark.parametrize("script, check", [
    ("wrong_length=+7", lambda f, rest, body: int(f["content-length"]) == len(rest) + 7),
    ("wrong_length=-7", lambda f, rest, body: int(f["content-length"]) == len(rest) - 7),
    ("extra=9", lambda f, rest, body: int(f["content-length"]) == len(rest) - 9 and rest.endswith(b"E" * 9)),
    ("bad_chunk", lambda f, rest, body: rest.startswith(b"zz\r\n")),
    ("no_chunk_crlf", lambda f, rest, body: rest.endswith(b"}0\r\n\r\n")),
    ("chunk_ext=50", lambda f, rest, body: b";x=" + b"e" * 50 + b"\r\n" in rest),
    ("bad_trailer", lambda f, rest, body: b"\r\n0\r\nthis is \x01" in rest),
    ("no_end", lambda f, rest, body: rest.endswith(b"}\r\n")),
    ("two_lengths", lambda f, rest, body: body.lower().count(b"content-length") == 2),
    ("length_and_chunked", lambda f, rest, body: b"content-length" in body and b"transfer-encoding" in body),
    ("frame=close", lambda f, rest, body: f["connection"] == "close" and rest.endswith(b"}")),
    ("frame=chunked", lambda f, rest, body: rest.endswith(b"}\r\n0\r\n\r\n")),
    ("interim=3", lambda f, rest, body: body.count(b"HTTP/1.1 103") == 3),
    ("fields=200", lambda f, rest, body: body.count(b"x-sim-field-") == 200),
    ("content_type=text/odd%3B a=b", lambda f, rest, body: f["content-type"] == "text/odd; a=b"),
    ("html200", lambda f, rest, body: f["content-type"] == "text/html" and b"<html>" in rest),
    ("empty200", lambda f, rest, body: f["content-length"] == "0" and rest == b""),
    ("status=429+retry_after=12", lambda f, rest, body: f["retry-after"] == "12" and b"rate_limit_exceeded" in rest),
    ("status=302", lambda f, rest, body: f["location"] and rest == b""),
    ("status=204", lambda f, rest, body: len(rest) > 100),
    ("status=101", lambda f, rest, body: body.startswith(b"HTTP/1.1 101 ")),
    ("status=500+error_body=json_array", lambda f, rest, body: json.loads(rest)[0]["error"]),
    ("status=500+error_body=html", lambda f, rest, body: b"<h1>" in rest),
    ("status=500+error_body=empty", lambda f, rest, body: rest == b""),
    ("status=400+error_type=t+error_code=c+message=m", lambda f, rest, body: json.loads(rest)["error"] == {
        "message": "m", "type": "t", "param": None, "code": "c"}),
])
def test_heads_and_frames(sim, script, check):
    """Every fault of head and framing is on the wire as its row says."""
    with kit.Raw(sim.host, sim.port) as raw:
        raw.send(request("/v1/chat/completions", kit.chat("gpt+" + script), OPENAI + ("connection: close",)))
        got = raw.read_to_end()
    *interim, head, rest = got.split(b"\r\n\r\n", got.count(b"HTTP/1.1 103") + 1)
    fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head.decode().split("\r\n")[1:])}
    assert check(fields, rest, got), got


def test_streams_with_a_length(sim):
    """frame=length: the whole stream's length in front of it, and cuts below it."""
    with kit.Raw(sim.host, sim.port) as raw:
        raw.send(request("/v1/chat/completions", kit.chat("gpt+frame=length+events=30", stream=True)))
        status, fields = raw.read_head()
        body = raw.read(int(fields["content-length"]))
        assert body.endswith(b"data: [DONE]\n\n") and body.count(b"data: ") == 33
        raw.send(request("/v1/chat/completions", kit.chat("gpt+frame=length+events=30+cut_events=3", stream=True)))
        status, fields = raw.read_head()
        assert abs(int(fields["content-length"]) - len(body)) < 200
        assert len(raw.read_to_end()) < len(body) / 2


def test_gzip(sim):
    """Whole, truncated and as a bomb."""
    status, fields, body = chat(sim, "+gzip")
    assert fields["content-encoding"] == "gzip" and json.loads(gzip.decompress(body))["choices"]
    with pytest.raises(EOFError):
        gzip.decompress(chat(sim, "+gzip_truncated")[2])
    body = chat(sim, "+gzip_bomb=20")[2]
    assert len(body) < 65536 and len(gzip.decompress(body)) == 20 << 20
    for script, more in (("+gzip", {"stream": True}), ("+gzip+status=500", {})):  # these are not packed, and do not say so
        got = chat(sim, script, **more)
        assert "content-encoding" not in got[1] and got[2][:1] in (b"d", b"{")


def test_slow_heads_and_bodies(sim):
    """head_rate and body_rate are bytes a second; chunk=1 writes byte by byte and changes nothing else."""
    begin = time.monotonic()
    got = chat(sim, "+head_rate=400+words=1")
    assert got[0] == 200 and time.monotonic() - begin > 0.3
    begin = time.monotonic()
    got = chat(sim, "+body_rate=1000+bytes=500")
    assert got[0] == 200 and time.monotonic() - begin > 0.6
    one = json.loads(chat(sim, "+chunk=1+words=5")[2])
    other = json.loads(chat(sim, "+words=5")[2])
    assert one["choices"] == other["choices"]
    assert kit.is_done(chat(sim, "+chunk=3+events=5+gap=1", stream=True)[2])


def test_stale_connections(sim):
    """flaky, close_idle and drop_next close a kept connection in their own way, unannounced."""
    def one(raw, script):
        raw.send(request("/v1/chat/completions", kit.chat("gpt+" + script)))
        status, fields, _ = raw.read_answer()
        assert status == 200 and "connection" not in fields
    with kit.Raw(sim.host, sim.port) as raw:
        one(raw, "flaky=2")
        one(raw, "flaky=2")
        assert raw.is_closed()
    with kit.Raw(sim.host, sim.port) as raw:
        one(raw, "close_idle=30")
        one(raw, "words=1")
        one(raw, "close_idle=30")
        assert raw.is_closed()
    with kit.Raw(sim.host, sim.port) as raw:
        one(raw, "drop_next")
        raw.send(request("/v1/chat/completions", kit.chat("gpt")))
        assert raw.is_closed()
    assert sim.counts()["requests"] == 6


def test_an_answer_before_the_body(sim):
    """early: the answer comes while the body is still being sent; the connection is closed later."""
    with kit.Raw(sim.host, sim.port) as raw:
        body = json.dumps(kit.chat("gpt+early+status=429", content="x" * 100000)).encode()
        raw.send(request("/v1/chat/completions", body)[:2000])
        status, fields, _ = raw.read_answer()
        assert status == 429 and fields["connection"] == "close"
        assert raw.is_closed()


def test_half_close(sim):
    """half_close: FIN, but the simulator goes on reading without a reset."""
    with kit.Raw(sim.host, sim.port) as raw:
        raw.send(request("/v1/chat/completions", kit.chat("gpt+half_close")))
        assert raw.read_answer()[0] == 200
        assert raw.is_closed()
        for _ in range(3):
            raw.send(b"more bytes")
            time.sleep(0.02)
        assert raw.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.parametrize("script, check", [
    ("crlf", lambda t: t.endswith(b"data: [DONE]\r\n\r\n")),
    ("cr", lambda t: t.endswith(b"data: [DONE]\r\r") and b"\n" not in t),
    ("bom", lambda t: t.startswith(b"\xef\xbb\xbfdata:")),
    ("comments=2+events=3", lambda t: t.count(b": sim is still thinking\n\n") == 6),
    ("pad=5", lambda t: b"} \n" in t),
    ("usage_null", lambda t: t.count(b'"usage":null') == 18),
    ("tool_calls_null", lambda t: t.count(b'"tool_calls":null') == 17),
    ("no_done", lambda t: b"[DONE]" not in t and b'"stop"' in t),
    ("no_finish", lambda t: b'"stop"' not in t and b"[DONE]" in t),
    ("no_last_line", lambda t: t.endswith(b"data: [DONE]\n")),
    ("duplicate_done", lambda t: t.count(b"[DONE]") == 2),
    ("junk_after_done", lambda t: not t.endswith(b"[DONE]\n\n") and b"[DONE]" in t),
    ("error_event=2", lambda t: t.count(b'"content":"') == 3 and b'{"error":' in t and b"[DONE]" not in t),
    ("big_event=100000", lambda t: b"x" * 100000 in t),
    ("bad_json", lambda t: b'"content":\n\n' in t),
])
def test_texts_of_streams(sim, script, check):
    """Every option on a stream's text does what its row says, in properly framed chunks."""
    assert check(chat(sim, "+" + script, stream=True)[2])


def test_many_streams_at_once(sim):
    """Two hundred paced streams on their own connections all end well, and the counts say so."""
    raws = [kit.Raw(sim.host, sim.port) for _ in range(200)]
    for raw in raws:
        raw.send(request("/v1/chat/completions", kit.chat("gpt+events=20+gap=10", stream=True)))
    for raw in raws:
        assert kit.is_done(raw.read_answer()[2])
        raw.close()
    counts = sim.idle()
    assert counts["completed"] == 200 and counts["cancelled"] == 0


def test_requests_in_pieces_and_in_a_pipeline(sim):
    """A request that comes byte by byte, and five in one packet, are answered in order."""
    with kit.Raw(sim.host, sim.port) as raw:
        raw.send(request("/v1/chat/completions", kit.chat("echo", content="piecewise")), piece=1)
        assert b"piecewise" in raw.read_answer()[2]
        raw.send(b"".join(request("/v1/chat/completions", kit.chat(f"echo+delay={d}", content=f"text {n}"))
                          for n, d in enumerate((0, 30, 0, 0, 5))))
        for n in range(5):
            assert f"text {n}".encode() in raw.read_answer()[2]


def test_tls(tmp_path, certificates):
    """The same over TLS, faults included."""
    sim = kit.Sim(tmp_path, arguments=("--tls-cert", certificates["good.pem"], "--tls-key", certificates["good.key"]))
    import requests
    for script, ok in (("", True), ("+chunk=1", True), ("+cut_bytes=10", False), ("+rst", False)):
        try:
            got = requests.post(sim.url + "/v1/chat/completions", json=kit.chat("gpt" + script),
                                headers={"authorization": "Bearer x"}, verify=certificates["ca.pem"], timeout=10)
            assert ok and got.status_code == 200
        except requests.RequestException:
            assert not ok
    sim.stop()
    sim.check()
