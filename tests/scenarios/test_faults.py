# SPDX-License-Identifier: Apache-2.0
"""What providers do wrong, and that the client, the ledger and the provider's bill agree afterwards.

The numbers U-01 to U-30 name the family in the project's list of upstream faults. Each fault is one row here: what
the simulator is told to do, what the client must see, and on what ground the request is charged.
"""
import itertools
import json
import socket
import threading

import pytest

import kit

NUMBERS = itertools.count()
NOTHING, COUNTED, PARTIAL, FINAL = "none", "gateway_count", "provider_partial", "provider_final"


class World:
    """One simulator and one impatient gateway for all faults of this file; requests are told apart by trace_id."""

    def __init__(self, home):
        self.sim = kit.Sim(home)
        (home / "gateway").mkdir()
        scripts = {row[1] for row in REFUSALS + INTERRUPTIONS}
        names = [f"{name}+{script}" for name in ("gpt", "claude") for script in scripts]
        self.gateway = kit.Gateway(home / "gateway", kit.config_for(self.sim, names, **kit.IMPATIENT))

    def ask(self, kind, provider, script, stream):
        """Returns (answer, row, the simulator's entry or None)."""
        trace, seq = f"t{next(NUMBERS)}", self.sim.get("bill?since=999999999")["seq"]
        more = {"stream": stream, "requesty": {"trace_id": trace}}
        if kind == "chat":
            answer = self.gateway.post("/v1/chat/completions", kit.chat(f"{provider}/gpt+{script}", **more))
        else:
            answer = self.gateway.post("/v1/messages", kit.messages(f"claude/claude+{script}", **more))
        rows = kit.wait_until(lambda: [r for r in self.gateway.rows() if r["trace_id"] == trace and kit.is_final(r)],
                              "the row")
        assert len(rows) == 1
        self.sim.idle()
        entries = self.sim.bill(seq)
        assert len(entries) <= 1
        return answer, rows[0], entries[0] if entries else None


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("faults"))
    yield made
    made.gateway.finish()
    made.sim.stop()
    made.sim.check()


def complain(answer, kind):
    """The error that a client sees: the object of a refusal, or the last event of a stream."""
    if answer.status_code != 200:
        document = answer.json()
        return document["error"]
    found = kit.events(answer.content)
    assert found, "an empty stream"
    document = json.loads(found[-1][1])
    if kind == "messages":
        assert found[-1][0] == "error" and document["type"] == "error"
    return document["error"]


def never_a_success(answer, kind):
    """No end marker and no invented finish reason stands in a stream that failed."""
    text = answer.content
    assert not kit.is_done(text) and b"message_stop" not in text
    if kind == "chat":
        for chunk in kit.chunks(text):
            assert all(c.get("finish_reason") is None for c in chunk.get("choices", ()))
    else:
        assert b'"stop_reason":"' not in text.replace(b" ", b"")


# id, script, plain or stream, status, basis
REFUSALS = [
    ("U-04 reset before an answer", "rst", "both", 502, COUNTED),
    ("U-04 closed before an answer", "close_before_answer", "both", 502, COUNTED),
    ("U-05 no head for ever", "hang", "both", 504, COUNTED),
    ("U-06 a head of one byte a second", "head_rate=5", "both", 504, COUNTED),
    ("U-07 a head, then silence", "silence_after_head", "both", 504, COUNTED),
    ("U-12 a length that is not reached", "frame=length+cut_bytes=40", "plain", 502, COUNTED),
    ("U-13 a length too large", "wrong_length=+10", "plain", 502, COUNTED),
    ("U-13 two lengths", "two_lengths", "plain", 502, None),
    ("U-13 length and chunks", "length_and_chunked", "both", 502, None),
    ("U-14 a bad chunk size", "frame=chunked+bad_chunk=1", "plain", 502, COUNTED),
    ("U-16 200 with HTML", "html200", "both", 502, COUNTED),
    ("U-16 200 without a body", "empty200", "both", 502, COUNTED),
    ("U-16 truncated gzip", "gzip_truncated", "plain", 502, COUNTED),
    ("U-16 a gzip bomb", "gzip_bomb=300", "plain", 502, COUNTED),
    ("U-16 an answer that is not JSON", "bad_json", "plain", 502, COUNTED),
    ("U-17 noise", "garbage=500", "both", 502, NOTHING),
    ("U-17 HTTP/0.9", "http09", "both", 502, None),
    ("U-17 interim answers without end", "interim=50", "both", 502, NOTHING),
    ("U-17 an upgrade", "status=101", "both", 502, NOTHING),
    ("U-17 a redirect", "status=302+location=http://127.0.0.1:9/", "both", 502, NOTHING),
    ("U-17 no content", "status=204", "both", 502, None),
    ("an error before the first token", "error_event=0", "stream", None, None),
    ("400", "status=400", "both", 400, NOTHING),
    ("429", "status=429", "both", 429, NOTHING),
    ("500", "status=500", "both", 500, NOTHING),
    ("503 in HTML", "status=503+error_body=html", "both", 503, NOTHING),
]


@pytest.mark.parametrize("kind", ["chat", "messages"])
@pytest.mark.parametrize("row", REFUSALS, ids=[r[0].replace(" ", "_") for r in REFUSALS])
def test_a_fault_before_the_answer_is_a_proper_refusal(world, row, kind):
    """Where the client has seen nothing yet it gets a status and an error object, and pays what 5.7 says."""
    name, script, kinds, status, basis = row
    for stream in (False, True):
        if kinds != "both" and stream != (kinds == "stream"):
            continue
        answer, entered, bill = world.ask(kind, "openai", script, stream)
        assert answer.status_code >= 400, f"{name}: {answer.text[:300]}"
        if status:
            assert answer.status_code == status, f"{name}: {answer.text[:300]}"
        error = complain(answer, kind)
        assert error["message"] and len(answer.content) < 4096
        assert entered["status"] == answer.status_code
        if basis:
            assert kit.basis(entered) == basis, name
        if basis == NOTHING:
            assert entered["cost_nusd"] == 0
        if basis == COUNTED:
            assert kit.usage_of(entered)["input"] >= (bill["input_tokens"] if bill else 0)


# id, script, kinds; each has events before it breaks
INTERRUPTIONS = [
    ("U-08 silence in the middle", "events=20+silence_after=5"),
    ("U-10 a reset in the middle", "events=20+rst_events=5"),
    ("U-11 an end in the middle", "events=20+cut_events=5"),
    ("U-11 the last chunk is missing", "events=20+no_finish+no_done+no_end"),
    ("U-12 a length that is not reached", "events=20+frame=length+cut_events=5"),
    ("U-14 a bad chunk size", "events=20+bad_chunk=6"),
    ("U-14 a chunk without its end", "events=20+no_chunk_crlf=6"),
    ("U-14 a huge chunk extension", "events=20+chunk_ext=100000"),
    ("U-15 neither finish nor end marker", "events=20+no_finish+no_done"),
    ("an error event of the provider", "events=20+error_event=5"),
    ("an event that is not JSON", "events=20+bad_json"),
]


@pytest.mark.parametrize("kind", ["chat", "messages"])
@pytest.mark.parametrize("row", INTERRUPTIONS, ids=[r[0].replace(" ", "_") for r in INTERRUPTIONS])
def test_a_fault_in_the_middle_ends_with_an_error_event(world, row, kind):
    """A stream that breaks ends with an error in the client's dialect and never looks complete."""
    name, script = row
    answer, entered, bill = world.ask(kind, "openai", script, True)
    error = complain(answer, kind)
    assert error["message"], name
    if answer.status_code == 200:
        never_a_success(answer, kind)
    assert kit.basis(entered) in (COUNTED, PARTIAL, FINAL), name
    assert kit.usage_of(entered)["input"] >= bill["input_tokens"] * 0.5
    if kit.basis(entered) == FINAL:  # the end is missing, the last count is not
        assert kit.usage_of(entered)["output"] == bill["output_tokens"]
    assert entered["cost_nusd"] > 0


@pytest.mark.parametrize("kind", ["chat", "messages"])
@pytest.mark.parametrize("script", ["no_done", "no_last_line", "duplicate_done", "junk_after_done"])
def test_a_sloppy_end_after_the_finish_reason_is_a_success(world, kind, script):
    """U-15: with the finish reason seen and the body properly ended, a missing end marker is put in."""
    answer, entered, bill = world.ask(kind, "openai", f"words=10+{script}", True)
    assert answer.status_code == 200
    found = kit.events(answer.content)
    assert (found[-1][1] == "[DONE]") if kind == "chat" else found[-1][0] == "message_stop"
    assert kit.basis(entered) == FINAL and kit.usage_of(entered)["output"] == bill["output_tokens"]


@pytest.mark.parametrize("script", ["wrong_length=-5", "extra=30", "bad_trailer"])
def test_surplus_behind_an_answer_never_reaches_the_next(world, script):
    """U-13, U-28: bytes behind the proper end are dropped with their connection; the next answer is its own."""
    world.ask("chat", "openai", f"words=5+{script}", False)
    for n in (3, 9):
        answer, entered, bill = world.ask("chat", "openai", f"words={n}", False)
        assert answer.status_code == 200
        assert kit.usage_of(entered)["output"] == bill["output_tokens"]


def test_gzip_is_decoded(world):
    """A plain answer in gzip, though not asked for, is read and billed."""
    answer, entered, bill = world.ask("chat", "openai", "gzip+words=200", False)
    assert answer.status_code in (200, 502)
    if answer.status_code == 200:
        assert kit.usage_of(entered)["output"] == bill["output_tokens"]


def test_an_answer_before_the_body_was_read_is_relayed(world):
    """U-26: a provider that answers early is heard, and its connection not used again."""
    trace = f"t{next(NUMBERS)}"
    answer = world.gateway.post("/v1/chat/completions", kit.chat(
        "openai/gpt+early", content="x" * 3000000, requesty={"trace_id": trace}))
    assert answer.status_code in (200, 413, 502), answer.text[:300]
    assert world.ask("chat", "openai", "words=3", False)[0].status_code == 200


def test_a_trickle_is_not_served_for_ever(world):
    """U-27: a body that comes at three bytes a second is ended by a timer."""
    answer, entered, bill = world.ask("chat", "openai", "words=2000+body_rate=3", False)
    assert answer.status_code == 504, answer.text[:300]


@pytest.mark.parametrize("script, stream", [("words=30+body_rate=40", True), ("words=2000+body_rate=40", False)])
def test_a_trickle_is_no_progress(world, make_gateway, script, stream):
    """U-27: bytes that come one by one complete no event and do not keep the idle timer off."""
    times = {"timeouts": {"stream_idle": "1s"}}
    gateway = make_gateway(kit.config_for(world.sim, **times))
    answer = gateway.post("/v1/chat/completions", kit.chat(f"sim/gpt+{script}", stream=stream))
    assert answer.elapsed.total_seconds() < 15
    error = complain(answer, "chat")
    assert error["code"] == "provider_timeout" and "sent only" in error["message"], error
    if stream:
        never_a_success(answer, "chat")
    world.sim.idle()


def test_slow_events_are_progress(world, make_gateway):
    """Whole events that come slowly are an answer, however small they are."""
    gateway = make_gateway(kit.config_for(world.sim, timeouts={"stream_idle": "500ms"}))
    answer = gateway.post("/v1/chat/completions", kit.chat("sim/gpt+events=8+gap=250", stream=True))
    assert answer.status_code == 200 and kit.is_done(answer.text)


def test_stale_pooled_connections_are_invisible(world):
    """U-24: connections that the provider closed between requests cost nobody an error."""
    for script, turns in (("flaky=2+words=2", 80), ("close_idle=0+words=2", 40)):
        for turn in range(turns):
            answer = world.gateway.post("/v1/chat/completions", kit.chat(f"openai/gpt+{script}"))
            assert answer.status_code == 200, f"{script}, turn {turn}: {answer.text}"


def test_answers_are_never_mixed_up(world):
    """U-28: many requests at once, each answered with its own prompt."""
    wrong = []

    def client(number):
        for turn in range(10):
            text = f"client {number} turn {turn} says hello"
            got = world.gateway.post("/v1/chat/completions", kit.chat("sim/echo", content=text)).json()
            if text not in got["choices"][0]["message"]["content"]:
                wrong.append((text, got))
    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_listens(sim, make_gateway, stream):
    """U-02: a refused connection is 502 and costs nothing."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    config = kit.config_for(sim, **kit.IMPATIENT)
    config["providers"]["openai"]["base_url"] = f"http://127.0.0.1:{port}/v1"
    gateway = make_gateway(config)
    got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt", stream=stream))
    assert got.status_code == 502 and got.json()["error"]["code"] == "provider_unreachable"
    row = gateway.rows()[0]
    assert kit.basis(row) == NOTHING and row["cost_nusd"] == 0


def test_a_connection_into_the_void(sim, make_gateway):
    """U-02: a listener that never accepts ends with the connect timer, 502 or 504."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        filling = []
        for _ in range(4):  # the queue is full: further connects get no answer
            c = socket.socket()
            c.setblocking(False)
            c.connect_ex(s.getsockname())
            filling.append(c)
        config = kit.config_for(sim, **kit.IMPATIENT)
        config["providers"]["openai"]["base_url"] = f"http://127.0.0.1:{s.getsockname()[1]}/v1"
        gateway = make_gateway(config)
        got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt"))
        assert got.status_code in (502, 504)
        assert gateway.rows()[0]["cost_nusd"] == 0
        for c in filling:
            c.close()


def test_a_name_that_does_not_exist(sim, make_gateway):
    """U-01: a provider whose name has no address is 502 or 504 within the connect budget."""
    config = kit.config_for(sim, **kit.IMPATIENT)
    config["providers"]["openai"]["base_url"] = "http://no-such-host.invalid/v1"
    gateway = make_gateway(config)
    got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt"), timeout=15)
    assert got.status_code in (502, 504)
    assert gateway.rows()[0]["cost_nusd"] == 0


@pytest.mark.parametrize("certificate", ["expired", "wronghost", "unknown"])
def test_a_certificate_that_does_not_fit(tmp_path, certificates, make_gateway, certificate):
    """U-03: nothing of the request is sent to a provider that cannot prove who it is."""
    sim = kit.Sim(tmp_path, arguments=("--tls-cert", certificates[f"{certificate}.pem"],
                                       "--tls-key", certificates[f"{certificate}.key"]))
    config = kit.config_for(sim, **kit.IMPATIENT)
    config["providers"] = kit.providers(sim, certificates["ca.pem"])
    gateway = make_gateway(config)
    got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt"))
    assert got.status_code == 502 and got.json()["error"]["code"] == "provider_unreachable", got.text
    assert sim.counts()["requests"] == 0
    row = gateway.rows()[0]
    assert kit.basis(row) == NOTHING and row["cost_nusd"] == 0
    sim.stop()


def test_a_server_without_tls_behind_an_https_address(sim, make_gateway):
    """U-03: a plain server at an https address is 502."""
    config = kit.config_for(sim, **kit.IMPATIENT)
    config["providers"]["openai"]["base_url"] = sim.url.replace("http:", "https:") + "/v1"
    gateway = make_gateway(config)
    assert gateway.post("/v1/chat/completions", kit.chat("openai/gpt")).status_code == 502
    assert sim.counts()["completed"] == 0
