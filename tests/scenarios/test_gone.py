# SPDX-License-Identifier: Apache-2.0
"""Clients that leave, and clients that stop reading."""
import time

import pytest

import kit

CANCEL_MS = 250  # the aim is 100 ms; a busy test machine gets some more


def since(sim, open_at_least=1):
    return kit.wait_until(lambda: sim.counts()["open"] >= open_at_least, "the request is at the simulator")


def cancelled_within(sim, started):
    """Milliseconds until the simulator saw its connection closed."""
    kit.wait_until(lambda: sim.counts()["open"] == 0, "the simulator sees the cancel", 5, step=0.005)
    return (time.monotonic() - started) * 1000


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", kit.chat("openai/gpt+hang")),
    ("/v1/chat/completions", kit.chat("openai/gpt+hang", stream=True)),
    ("/v1/messages", kit.messages("claude/claude+hang", stream=True)),
    ("/v1/embeddings", {"model": "openai/gpt+hang", "input": "x"})])
def test_a_client_that_leaves_before_the_answer(sim, gateway, path, body, how):
    """U-30: FIN or RST before any answer closes the provider's connection at once, on every route."""
    raw = gateway.raw()
    raw.send(gateway.raw_request(path, body))
    since(sim)
    started = time.monotonic()
    raw.close() if how == "fin" else raw.reset()
    assert cancelled_within(sim, started) < CANCEL_MS
    row = gateway.rows()[0]
    assert kit.outcome(row) == "cancelled" and kit.basis(row) == "gateway_count"


@pytest.mark.parametrize("how", ["fin", "rst", "half-close"])
@pytest.mark.parametrize("path, body", [
    ("/v1/chat/completions", kit.chat("openai/gpt+events=2000+gap=10", stream=True)),
    ("/v1/messages", kit.messages("claude/claude+events=2000+gap=10", stream=True))])
def test_a_client_that_leaves_in_the_middle(sim, gateway, path, body, how):
    """U-30: leaving in the middle of a stream stops the provider, and the row counts what was received."""
    raw = gateway.raw()
    raw.send(gateway.raw_request(path, body))
    assert raw.read_head()[0] == 200
    raw.read(800)
    started = time.monotonic()
    {"fin": raw.close, "rst": raw.reset, "half-close": raw.end}[how]()
    assert cancelled_within(sim, started) < CANCEL_MS
    row = gateway.rows()[0]
    assert kit.outcome(row) == "cancelled"
    entry = sim.bill()[0]
    assert entry["outcome"] == "cancelled"
    assert 0 < kit.usage_of(row)["output"]


def test_a_hundred_cancels_leave_nothing_behind(sim, gateway):
    """U-30: after many cancels no socket, no stream and no row is missing or left over."""
    for turn in range(100):
        raw = gateway.raw()
        raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("openai/gpt+events=500+gap=20", stream=True)))
        if turn % 3 == 0:
            since(sim)
        else:
            raw.read_head()
        raw.close() if turn % 2 else raw.reset()
    counts = sim.idle()
    rows = gateway.rows(counts["requests"])
    assert len(rows) >= counts["requests"]
    kit.wait_until(lambda: gateway.metric("sluice_inflight") == 0, "nothing in flight")
    kit.wait_until(lambda: sim.counts()["connections_open"] <= 3, "the provider's connections are closed")


def test_a_client_that_closes_after_the_last_token_is_paid_as_complete(sim, gateway):
    """U-30: what was delivered whole is settled by the provider's final count."""
    with gateway.raw() as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("openai/gpt+words=5", stream=True)))
        status, _, body = raw.read_answer()
        assert status == 200 and kit.is_done(body)
    row = gateway.rows()[0]
    assert kit.outcome(row) == "ok" and kit.basis(row) == "provider_final"


@pytest.fixture
def firehose():
    made = kit.Firehose()
    yield made
    made.stop()


def flooded(make_gateway, firehose):
    return make_gateway({"providers": {"openai": {"type": "openai", "base_url": firehose.url + "/v1", "api_key": kit.PROVIDER_KEY}}})


def open_flood(gateway):
    raw = gateway.raw(receive_buffer=8192)
    raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("openai/gpt", stream=True)))
    assert raw.read_head()[0] == 200
    return raw


def test_a_reader_that_stops_stops_the_provider(make_gateway, firehose):
    """Output is pulled: when the client stops reading the provider stands still, and goes on with the client."""
    gateway = flooded(make_gateway, firehose)
    raw = open_flood(gateway)
    for _ in range(3):
        before = firehose.standstill()
        resident = kit.resident_kib(gateway.pid)
        time.sleep(0.3)
        assert firehose.sent == before and kit.resident_kib(gateway.pid) < resident + 512
        got = 0
        while got < 30 << 20:  # more than all sockets on the way can hold
            got += len(raw.read(65536))
        assert firehose.sent > before
    raw.reset()
    kit.wait_until(lambda: firehose.over, "the provider's connection is closed")


def test_many_stalled_readers_are_bounded(make_gateway, firehose):
    """Forty stalled streams hold at most a bounded piece each."""
    gateway = flooded(make_gateway, firehose)
    gateway.get("/v1/models")
    base = kit.resident_kib(gateway.pid)
    stalled = [open_flood(gateway) for _ in range(40)]
    firehose.standstill()
    grown = kit.resident_kib(gateway.pid) - base
    assert grown < 40 * 200 + (32768 if kit.SANITIZED else 4096), f"{grown} KiB for 40 stalled readers"
    for raw in stalled:
        raw.reset()
    kit.wait_until(lambda: gateway.metric("sluice_inflight") == 0, "nothing is left")


def test_a_stalled_reader_is_cut_in_the_end(sim, make_gateway):
    """A client that takes nothing for the write-stall time is let go, and its provider stopped."""
    gateway = make_gateway(kit.config_for(sim, **kit.STALL))
    raw = gateway.raw(receive_buffer=4096)
    raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("openai/gpt+bytes=40000000+events=5000", stream=True)))
    raw.read_head()
    sim.idle()
    assert kit.outcome(gateway.rows()[0]) == "cancelled"
    raw.close()


def test_comments_are_sent_while_waiting(sim, make_gateway):
    """While the provider is silent the client hears comment lines, and the answer follows whole."""
    gateway = make_gateway(kit.config_for(sim, **kit.KEEP_ALIVE))
    got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt+words=3+silence_after_head=0+gap=900", stream=True))
    assert got.status_code == 200 and kit.is_done(got.content)
    assert b"\n: " in b"\n" + got.content or b": keep-alive" in got.content
    got = gateway.post("/v1/messages", kit.messages("claude/claude+words=3+gap=900", stream=True))
    assert "ping" in [name for name, _ in kit.events(got.content)] or b"\n: " in got.content
