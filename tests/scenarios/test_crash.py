# SPDX-License-Identifier: Apache-2.0
"""kill -9, restart, drain, reload: what was answered is on the books exactly once."""
import json
import random
import signal
import threading
import time

import pytest
import requests

import kit


@pytest.fixture
def gateway(sim, make_gateway):
    """As usual, with prices for the scripted models of this file."""
    return make_gateway(kit.config_for(sim, [f"gpt+words={n}" for n in range(1, 41)]))


def load(gateway, seconds, seed):
    """Clients that send until the gateway dies; returns the ids of whole answers, as the clients saw them."""
    whole, lock, end = [], threading.Lock(), time.monotonic() + seconds

    def client(number):
        rng = random.Random(seed * 100 + number)
        session = requests.Session()
        turn = 0
        while time.monotonic() < end:
            turn += 1
            trace = f"s{seed}c{number}t{turn}"
            stream = rng.random() < 0.6
            body = kit.chat(f"openai/gpt+words={rng.randint(1, 40)}", stream=stream, requesty={"trace_id": trace})
            try:
                got = session.post(gateway.url + "/v1/chat/completions", data=json.dumps(body), timeout=5,
                                   headers=gateway.headers(**{"Content-Type": "application/json"}))
                content = got.content
            except requests.RequestException:
                return
            if got.status_code == 200 and (not stream or kit.is_done(content)):
                with lock:
                    whole.append(trace)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    return threads, whole


def test_kill_9_at_any_moment_loses_and_doubles_nothing(sim, gateway):
    """After kill -9 under load and a restart, every answered request has exactly one row, ten times over."""
    answered = []
    for seed in range(10):
        threads, whole = load(gateway, 10, seed)
        time.sleep(0.15 + 0.13 * seed % 0.7)
        gateway.kill9()
        for t in threads:
            t.join()
        answered += whole
        gateway.again()
    assert len(answered) > 50

    def settled():
        rows = gateway.rows()
        return rows if set(answered) <= {r["trace_id"] for r in rows} else None
    rows = kit.wait_until(settled, "all answered requests are in the ledger")
    traces = [r["trace_id"] for r in rows if r["trace_id"]]
    assert len(traces) == len(set(traces)), "a request has two rows"
    billed = {r["trace_id"]: r for r in rows}
    for trace in answered:
        assert kit.outcome(billed[trace]) in ("ok", "crashed", "interrupted") and billed[trace]["cost_nusd"] > 0


def test_kill_9_and_a_second_start_are_quick(sim, gateway):
    """After a kill the next start serves within a second or so."""
    gateway.post("/v1/chat/completions", kit.chat())
    gateway.kill9()
    started = time.monotonic()
    gateway.again()
    assert gateway.post("/v1/chat/completions", kit.chat()).status_code == 200
    assert time.monotonic() - started < (8 if kit.SANITIZED else 3)
    assert len(gateway.rows(2)) == 2


def test_a_clean_stop_leaves_every_row(sim, gateway):
    """SIGTERM writes everything that was answered."""
    for _ in range(20):
        gateway.post("/v1/chat/completions", kit.chat("openai/gpt"))
    assert gateway.stop() == 0
    assert len(gateway.rows(20)) == 20


def test_drain_lets_streams_finish(sim, gateway):
    """TERM: not ready at once, no new work, running streams come to their own end, exit 0."""
    raw = gateway.raw()
    raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("openai/gpt+events=30+gap=50", stream=True)))
    assert raw.read_head()[0] == 200
    kept = gateway.raw()
    kept.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    assert kept.read_answer()[0] == 200
    gateway.signal(signal.SIGTERM)
    time.sleep(0.3)
    assert kept.is_closed(5), "an idle connection is closed by the drain"
    with pytest.raises(OSError):
        gateway.raw(deadline=2)
    got = b""
    while True:
        chunk = raw.read_chunk()
        if not chunk:
            break
        got += chunk
    assert kit.is_done(got) and len(kit.chunks(got)) >= 30
    assert gateway.child.wait(10) == 0
    gateway.check()
    rows = gateway.rows()
    assert [kit.outcome(r) for r in rows] == ["ok"]


def test_drain_lets_a_slow_reader_have_its_answer(sim, gateway):
    """An answer that was written but not taken yet is work left too."""
    n = 12 << 20
    with gateway.raw(receive_buffer=4096) as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", kit.chat(f"sim/gpt+bytes={n}")))
        status, headers = raw.read_head()
        assert status == 200
        gateway.access()
        gateway.signal(signal.SIGTERM)
        time.sleep(3)
        length = int(headers["content-length"])
        assert length > n and len(raw.read(length)) == length
    assert gateway.child.wait(kit.WAIT_S) == 0


def test_drain_ends_what_takes_too_long(sim, make_gateway):
    """At the drain deadline a stream ends with an event that says so, and the exit code is still 0."""
    gateway = make_gateway(kit.config_for(sim, **kit.SHORT_DRAIN))
    raw = gateway.raw()
    raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("openai/gpt+events=5000+gap=50", stream=True)))
    assert raw.read_head()[0] == 200
    gateway.signal(signal.SIGTERM)
    got = raw.read_to_end()
    assert b"shutting_down" in got and b"[DONE]" not in got
    assert gateway.child.wait(10) == 0
    gateway.check()
    assert len(gateway.rows()) == 1
    sim.idle()


def test_reload_changes_the_configuration_without_dropping_anything(sim, gateway):
    """HUP: a new model price is in force, a running stream goes on, a broken file changes nothing."""
    raw = gateway.raw()
    raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("openai/gpt+events=40+gap=50", stream=True)))
    assert raw.read_head()[0] == 200
    gateway.config["models"]["sim/gpt"] = dict(kit.PRICES, input_price="100")
    gateway.write_config()
    gateway.signal(signal.SIGHUP)
    kit.wait_until(lambda: [e for e in gateway.lines() if e.get("event") == "reloaded"], "the reload")
    before = gateway.post("/v1/chat/completions", kit.chat("sim/gpt")).json()["usage"]
    assert before["cost"] == pytest.approx(before["prompt_tokens"] * 1e-4 + before["completion_tokens"] * 2e-6)
    with open(gateway.config_path, "w", encoding="utf-8") as f:
        f.write("listen: [broken\n")
    gateway.signal(signal.SIGHUP)
    kit.wait_until(lambda: [e for e in gateway.lines() if e.get("event") == "reload_failed"], "the refusal")
    assert gateway.metric("sluice_config_reload_success") == 0
    assert gateway.post("/v1/chat/completions", kit.chat("sim/gpt")).status_code == 200
    got = b""
    while True:
        chunk = raw.read_chunk()
        if not chunk:
            break
        got += chunk
    assert kit.is_done(got)
    gateway.write_config()


def test_reloads_under_load_lose_no_request(sim, make_gateway):
    """Thirty reloads while requests run: not one of them fails."""
    gateway = make_gateway(kit.config_for(sim, workers=2))
    failed, stop = [], threading.Event()

    def client():
        session = requests.Session()
        while not stop.is_set():
            got = session.post(gateway.url + "/v1/chat/completions", json=kit.chat("openai/gpt", stream=True),
                               headers=gateway.headers(), timeout=10)
            if got.status_code != 200 or not kit.is_done(got.content):
                failed.append(got.text)
    threads = [threading.Thread(target=client) for _ in range(4)]
    for t in threads:
        t.start()
    for _ in range(30):
        gateway.signal(signal.SIGHUP)
        time.sleep(0.03)
    stop.set()
    for t in threads:
        t.join()
    assert not failed


def test_two_workers_share_the_work(sim, make_gateway):
    """With several workers each request is answered once and billed once."""
    gateway = make_gateway(kit.config_for(sim, workers=3))
    for _ in range(24):
        assert gateway.post("/v1/chat/completions", kit.chat("openai/gpt")).status_code == 200
    assert len(gateway.rows(24)) == 24
    assert gateway.metric("sluice_requests_total", outcome="ok") == 24
