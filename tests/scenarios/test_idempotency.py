# SPDX-License-Identifier: Apache-2.0
"""Idempotency-Key: one key, one request at the provider, one bill, the same answer to all who ask."""
import concurrent.futures
import signal
import time

import pytest

import kit

CHAT = "/v1/chat/completions"


def once(gateway, key, **more):
    return gateway.headers(**{"Idempotency-Key": key}, **more)


def asked(sim):
    return sim.idle()["requests"]


@pytest.mark.parametrize("path, body", [
    (CHAT, kit.chat("openai/gpt")),
    (CHAT, kit.chat("claude/claude")),
    (CHAT, kit.chat("openai/gpt", stream=True)),
    ("/v1/messages", kit.messages("claude/claude", stream=True)),
    ("/v1/messages", kit.messages("openai/gpt", stream=True)),
    ("/v1/responses", {"model": "claude/claude", "input": "hello"}),
    ("/v1/embeddings", {"model": "openai/gpt", "input": "x"})])
def test_a_retry_gets_the_same_answer(sim, gateway, path, body):
    """L-14: same key, same body: the bytes of the first answer, nothing asked of the provider, nothing charged."""
    first = gateway.post(path, body, headers=once(gateway, "a"))
    again = gateway.post(path, body, headers=once(gateway, "a"))
    assert first.status_code == again.status_code == 200
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["idempotent-replayed"] == "true" and "idempotent-replayed" not in first.headers
    assert again.headers["x-sluice-replay-of"] == first.headers["x-request-id"] != again.headers["x-request-id"]
    assert again.headers["x-sluice-provider"] == first.headers["x-sluice-provider"]
    assert asked(sim) == 1
    rows = gateway.rows(2)
    assert rows[0]["cost_nusd"] > 0 or rows[0]["cost_nusd"] == -1
    assert rows[1]["cost_nusd"] == 0 and kit.outcome(rows[1]) == "ok" and rows[1]["attempts"] == 0


def test_another_key_another_body(sim, gateway):
    """L-14: another key is another request; another body or endpoint with the same key is 409."""
    gateway.post(CHAT, kit.chat("openai/gpt"), headers=once(gateway, "a"))
    assert gateway.post(CHAT, kit.chat("openai/gpt"), headers=once(gateway, "b")).status_code == 200
    other = gateway.post(CHAT, kit.chat("openai/gpt", content="else"), headers=once(gateway, "a"))
    assert other.status_code == 409 and "another body" in other.json()["error"]["message"]
    messages = gateway.post("/v1/messages", kit.messages("claude/claude"), headers=once(gateway, "a"))
    assert messages.status_code == 409 and messages.json()["type"] == "error"
    assert asked(sim) == 2


def test_two_api_keys_share_nothing(sim, gateway):
    """An Idempotency-Key belongs to the API key that sent it."""
    other = gateway.make_key("other")
    gateway.post(CHAT, kit.chat("openai/gpt"), headers=once(gateway, "a"))
    answer = gateway.post(CHAT, kit.chat("openai/gpt"), headers=once(gateway, "a", Authorization=f"Bearer {other}"))
    assert answer.status_code == 200 and "idempotent-replayed" not in answer.headers
    assert asked(sim) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_concurrent_callers_share_one_call(sim, gateway, stream):
    """L-14: who comes while it runs joins it, on whatever worker: one call, equal answers, one bill."""
    body = kit.chat("openai/gpt+events=30+gap=20" if stream else "openai/gpt+delay=300", stream=stream)
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: gateway.post(CHAT, body, headers=once(gateway, "a")), range(20)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.content for a in answers}) == 1
    assert sum("idempotent-replayed" not in a.headers for a in answers) == 1
    if stream:
        assert kit.is_done(answers[0].text)
    assert asked(sim) == 1
    assert sum(r["cost_nusd"] != 0 for r in gateway.rows(20)) == 1


def test_a_joined_stream_comes_as_it_is_made(sim, gateway):
    """The second caller does not wait for the end: its first event is there long before."""
    body = kit.chat("openai/gpt+events=40+gap=50", stream=True)
    first = gateway.post(CHAT, body, headers=once(gateway, "a"), stream=True)
    next(first.iter_content(1))
    started = time.monotonic()
    second = gateway.post(CHAT, body, headers=once(gateway, "a"), stream=True)
    next(second.iter_content(1))
    assert time.monotonic() - started < 1
    assert second.headers["idempotent-replayed"] == "true"
    assert second.content[-20:] == first.content[-20:]


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_is_there_for_the_retry_of_a_client_that_left(sim, gateway, stream):
    """A client that loses its connection asks again: the first call went on, and its answer is given."""
    body = kit.chat("openai/gpt+events=20+gap=20" if stream else "openai/gpt+delay=300", stream=stream)
    raw = gateway.raw()
    raw.send(gateway.raw_request(CHAT, body, headers=("Idempotency-Key: a",)))
    kit.wait_until(lambda: sim.counts()["open"] == 1, "the request is at the simulator")
    raw.reset()
    time.sleep(0.05)
    again = gateway.post(CHAT, body, headers=once(gateway, "a"))
    assert again.status_code == 200 and again.headers["idempotent-replayed"] == "true"
    if stream:
        assert kit.is_done(again.text)
    assert asked(sim) == 1
    outcomes = [kit.outcome(r) for r in gateway.rows(2)]
    assert outcomes == ["ok", "ok"]


@pytest.mark.parametrize("options, status", [("+status=500", 500), ("+status=429", 429), ("+rst", 502)])
def test_an_error_can_be_tried_again(sim, gateway, options, status):
    """What was answered with an error leaves the key free: the retry is a new try."""
    sim.order(options.lstrip("+"))
    body = kit.chat("openai/gpt")
    assert gateway.post(CHAT, body, headers=once(gateway, "a")).status_code == status
    answer = gateway.post(CHAT, body, headers=once(gateway, "a"))
    assert answer.status_code == 200 and "idempotent-replayed" not in answer.headers


def test_a_refused_request_is_not_remembered(sim, gateway):
    """A model that does not exist, then the right one with the same key."""
    assert gateway.post(CHAT, kit.chat("nobody/nothing"), headers=once(gateway, "a")).status_code == 404
    assert gateway.post(CHAT, kit.chat("openai/gpt"), headers=once(gateway, "a")).status_code == 200


def test_an_interrupted_stream_is_interrupted_again(sim, gateway):
    """What was charged is not made twice, also where it did not end well."""
    body = kit.chat("openai/gpt+events=20+cut_events=5", stream=True)
    first = gateway.post(CHAT, body, headers=once(gateway, "a"))
    again = gateway.post(CHAT, body, headers=once(gateway, "a"))
    assert not kit.is_done(first.text) and again.content == first.content
    assert asked(sim) == 1


@pytest.mark.parametrize("value, words", [("", "1 to 255"), ("x" * 256, "1 to 255"), ("a\u00e9", "ASCII")])
def test_bad_keys(gateway, value, words):
    """400 that says what a key may be."""
    with gateway.raw() as raw:
        raw.send(gateway.raw_request(CHAT, kit.chat("openai/gpt"), headers=(f"Idempotency-Key: {value}",)))
        status, _, body = raw.read_answer()
    assert status == 400 and words in body.decode()


def test_a_key_that_is_sent_twice(gateway):
    """Two values: which one is meant is not guessed."""
    with gateway.raw() as raw:
        raw.send(gateway.raw_request(CHAT, kit.chat("openai/gpt"), headers=("Idempotency-Key: a", "Idempotency-Key: b")))
        status, _, body = raw.read_answer()
    assert status == 400 and "twice" in body.decode()


def test_answers_are_forgotten_after_their_time(sim, make_gateway):
    """answers.keep: after it the key is free."""
    gateway = make_gateway({"providers": kit.providers(sim), "answers": {"keep": "1s"}})
    gateway.post(CHAT, kit.chat("openai/gpt"), headers=once(gateway, "a"))
    time.sleep(1.1)
    assert "idempotent-replayed" not in gateway.post(CHAT, kit.chat("openai/gpt"), headers=once(gateway, "a")).headers
    assert asked(sim) == 2


def test_what_is_not_kept_is_not_made_again(sim, make_gateway):
    """answers.max_answer: a longer answer is given once; the retry is told by whom and is not charged."""
    gateway = make_gateway({"providers": kit.providers(sim), "answers": {"max_answer": "1KiB"}})
    body = kit.chat("openai/gpt+bytes=5000")
    first = gateway.post(CHAT, body, headers=once(gateway, "a"))
    again = gateway.post(CHAT, body, headers=once(gateway, "a"))
    assert first.status_code == 200 and again.status_code == 409
    assert first.headers["x-request-id"] in again.json()["error"]["message"]
    assert asked(sim) == 1


def test_a_client_that_reads_slowly_gets_all(sim, gateway):
    """What is given again is given as fast as it is taken, whole."""
    body = kit.chat("openai/gpt+words=8000", stream=True)
    first = gateway.post(CHAT, body, headers=once(gateway, "a"))
    with gateway.raw(receive_buffer=4096) as raw:
        raw.send(gateway.raw_request(CHAT, body, headers=("Idempotency-Key: a",)))
        status, _ = raw.read_head()[:2]
        time.sleep(0.5)
        content = b""
        while piece := raw.read_chunk():
            content += piece
    assert status == 200 and content == first.content


def test_a_drain_ends_who_waits(sim, gateway):
    """SIGTERM while one runs and others wait for it: all are answered, nothing hangs."""
    body = kit.chat("openai/gpt+events=60+gap=50", stream=True)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(gateway.post, CHAT, body, headers=once(gateway, "a")) for _ in range(8)]
        kit.wait_until(lambda: gateway.metric("sluice_inflight") == 8, "all eight have come")
        gateway.signal(signal.SIGTERM)
        done = [a.result() for a in answers]
    assert {d.status_code for d in done} == {200} and len({d.content for d in done}) == 1
