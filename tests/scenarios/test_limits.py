# SPDX-License-Identifier: Apache-2.0
"""Limits that hold from the first day: bodies, coding, connections, events."""
import http.server
import json
import os
import resource
import threading
import time

import pytest

import kit


def test_a_body_over_the_limit_is_413_before_it_is_read(sim, make_gateway):
    """An announced body over the limit is refused on its head alone; one in chunks where it passes the limit."""
    gateway = make_gateway(kit.config_for(sim, **kit.SMALL_BODIES))
    with gateway.raw() as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", b"", method="GET").replace(
            b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nContent-Length: 2000000\r\n\r\n"))
        status, _, body = raw.read_answer()
        assert status == 413 and json.loads(body)["error"]["message"]
    big = json.dumps(kit.chat(content="x" * 2000000)).encode()
    with gateway.raw() as raw:
        head = gateway.raw_request("/v1/chat/completions", b"", method="GET").replace(
            b"GET", b"POST").replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            raw.send(head)
            for at in range(0, len(big), 50000):
                piece = big[at:at + 50000]
                raw.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert raw.read_answer()[0] == 413
    assert sim.counts()["requests"] == 0
    assert gateway.post("/v1/chat/completions", kit.chat(content="x" * 100000)).status_code == 200


@pytest.mark.parametrize("size", [300_000, 10_000_000])
def test_large_prompts_pass(sim, gateway, size):
    """Prompts far larger than any buffer reach the provider whole."""
    got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt", content="x" * size))
    assert got.status_code == 200, got.text[:300]
    assert sim.last()["body_bytes"] > size


def test_large_answers_pass(gateway):
    """An answer of 5 MiB arrives whole."""
    got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt+bytes=5000000"))
    assert got.status_code == 200 and len(got.json()["choices"][0]["message"]["content"]) == 5000000


def test_compressed_requests_are_415(gateway):
    """A compressed body is refused with a clear word."""
    got = gateway.post("/v1/chat/completions", b"\x1f\x8b", headers=gateway.headers(**{"Content-Encoding": "gzip"}))
    assert got.status_code == 415 and "gzip" in got.json()["error"]["message"]


def test_an_event_over_its_limit_ends_that_stream_alone(sim, make_gateway):
    """An event larger than allowed fails its stream; the next request is served."""
    gateway = make_gateway(kit.config_for(sim, **kit.SMALL_EVENTS))
    got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt+big_event=3000000", stream=True))
    assert not kit.is_done(got.content) and (got.status_code >= 500 or b'"error"' in got.content)
    assert gateway.post("/v1/chat/completions", kit.chat("openai/gpt", stream=True)).status_code == 200


def test_connections_over_the_limit_do_not_hurt_the_others(sim, make_gateway):
    """With more connections than allowed, those that work go on and new ones are let in as idle ones go."""
    gateway = make_gateway(kit.config_for(sim, **kit.FEW_CONNECTIONS))
    idle = []
    for _ in range(60):
        try:
            idle.append(gateway.raw(deadline=5))
        except OSError:
            break
    def served():
        try:
            return gateway.post("/v1/chat/completions", kit.chat(), timeout=5).status_code == 200
        except OSError:
            return False
    kit.wait_until(served, "a request is served beside 60 idle connections", 10)
    for raw in idle:
        raw.close()


@pytest.mark.parametrize("body", ["", "null", '"text"', "[" * 100000, '{"a":' * 5000, '{"model":"sim/echo","messages":"\\ud800"}',
                                  b'{"model":"sim/echo","messages":"\xff\xfe"}', '{"model":5}', '{"model":"sim/echo"} trailing',
                                  '{"model":"sim/echo","model":"x/y","messages":[]}', '{"model":"a' + "b" * 100000 + '/c"}'])
def test_odd_bodies_are_refused_or_passed_never_fatal(gateway, body):
    """Whatever JSON-like thing arrives, the answer is a proper one and the gateway lives."""
    got = gateway.post("/v1/chat/completions", body)
    assert 200 <= got.status_code < 500 and got.headers["content-type"].startswith("application/json")
    assert gateway.post("/v1/chat/completions", kit.chat()).status_code == 200


@pytest.mark.parametrize("value", [{"tags": "x"}, {"tags": ["x"] * 40}, {"user_id": "u" * 400}, {"extra": []},
                                   {"extra": {f"k{n}": 1 for n in range(40)}}, "text"])
def test_the_requesty_object_has_limits(gateway, value):
    """More or longer labels than documented are 400 and named."""
    got = gateway.post("/v1/chat/completions", kit.chat(requesty=value))
    assert got.status_code == 400 and "requesty" in got.text


def test_bodies_together_have_a_limit(sim, make_gateway):
    """When the bodies held reach the memory limit further ones get 503, and the first is served all the same."""
    gateway = make_gateway(kit.config_for(sim, limits={"max_memory": "3MiB"}))
    body = json.dumps(kit.chat("openai/gpt", content="x" * 1500000)).encode()
    request = gateway.raw_request("/v1/chat/completions", body)
    with gateway.raw() as first:
        first.send(request[:-1000])
        kit.wait_until(lambda: gateway.metric("sluice_inflight") == 1, "the first request has begun")

        def refused():
            got = gateway.post("/v1/chat/completions", body)
            return [got] if got.status_code == 503 else None
        got = kit.wait_until(refused, "a refusal")[0]
        assert got.headers["retry-after"] and got.json()["error"]["code"] == "overloaded"
        assert gateway.post("/v1/chat/completions", kit.chat("openai/gpt")).status_code == 200
        first.send(request[-1000:])
        assert first.read_answer()[0] == 200
    assert gateway.post("/v1/chat/completions", body).status_code == 200


def test_without_descriptors_it_recovers_and_does_not_spin(sim, gateway):
    """Out of descriptors nothing breaks and no core is burnt; when connections go, new ones are served."""
    resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (60, 60))
    held = []
    for _ in range(80):
        try:
            raw = gateway.raw(deadline=2)
            raw.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n")
            held.append(raw)
        except OSError:
            break
    before = kit.cpu_seconds(gateway.pid)
    time.sleep(1.5)
    assert kit.cpu_seconds(gateway.pid) - before < 0.6, "it spins"
    for raw in held:
        raw.close()

    def served():
        try:
            return gateway.post("/v1/chat/completions", kit.chat("openai/gpt"), timeout=3).status_code == 200
        except OSError:
            return False
    kit.wait_until(served, "a request is served again", 15)


def test_the_journal_that_cannot_be_written_stops_new_requests_only(sim, gateway):
    """When records cannot be written new requests get 503 and readiness says why; afterwards all goes on."""
    assert gateway.post("/v1/chat/completions", kit.chat("openai/gpt")).status_code == 200
    folder = os.path.join(gateway.data_dir, "journal")
    size = max(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def refused():
        assert gateway.child.poll() is None, "it died"
        return gateway.post("/v1/chat/completions", kit.chat("openai/gpt")).status_code == 503
    kit.wait_until(refused, "new requests are refused")
    assert gateway.get("/readyz").status_code == 503 and "journal" in gateway.get("/readyz").text
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kit.wait_until(lambda: gateway.post("/v1/chat/completions", kit.chat("openai/gpt")).status_code == 200, "it goes on")
    assert len(gateway.rows(len(sim.bill()))) == len(sim.bill())


@pytest.mark.parametrize("n, status", [(500, 200), (513, 400), (3 << 20, 400)])
def test_a_models_name_has_a_limit(sim, gateway, n, status):
    """It goes back in a field of the head: a long one is refused before the provider is paid."""
    answer = gateway.post("/v1/chat/completions", kit.chat("sim/" + "m" * (n - 4)))
    assert answer.status_code == status
    if status == 200:
        assert len(answer.headers["x-sluice-model"]) == n
    else:
        assert answer.json()["error"]["param"] == "model" and sim.bill() == []


class Weights(http.server.BaseHTTPRequestHandler):
    """A provider that takes bodies of any size and answers with `server.text`."""

    def do_POST(self):
        left = self.server.got = int(self.headers["Content-Length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        answer = json.dumps({
            "id": "x", "object": "chat.completion", "created": 1, "model": "gpt",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": self.server.text},
                         "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("up, down", [((64 << 20) - 1000, 10), (10, (64 << 20) - 1000)])
def test_the_largest_limits_that_may_be_set_work(make_gateway, up, down):
    """A body and an answer of the largest size that the configuration allows, the client slow to read."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Weights)
    server.text = "x" * down
    threading.Thread(target=server.serve_forever, daemon=True).start()
    gateway = make_gateway({"limits": {"max_body": "64MiB", "max_answer": "64MiB"}, "providers": {"sim": {
        "type": "compatible", "base_url": f"http://127.0.0.1:{server.server_port}/v1", "api_key": kit.PROVIDER_KEY}}})
    with gateway.raw(receive_buffer=4096) as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("sim/gpt", "y" * up)))
        status, fields = raw.read_head()
        assert status == 200
        left = int(fields["content-length"]) - len(raw.buffer)
        while left > 0:
            data = raw.socket.recv(1 << 20)
            assert data, "cut"
            left -= len(data)
    assert server.got > up and int(fields["content-length"]) > down
    server.shutdown()
    server.server_close()
    gateway.config["limits"]["max_answer"] = "65MiB"
    gateway.write_config()
    gateway.command("serve", "--check", expect=3)


def test_an_event_that_fills_the_memory_ends_its_stream(sim, make_gateway):
    """The part of an event that has come counts against the memory limit; the gateway says that it was its own doing."""
    gateway = make_gateway(kit.config_for(sim, limits={"max_memory": "2MiB"}))
    got = gateway.post("/v1/chat/completions", kit.chat("sim/gpt+big_event=9000000", stream=True))
    assert got.status_code == 200 and not kit.is_done(got.text)
    assert kit.chunks(got.text)[-1]["error"]["code"] == "overloaded"
    assert gateway.metric("sluice_stream_cancelled_total", by="gateway") == 1
    assert gateway.metric("sluice_stream_cancelled_total", by="provider") == 0
    assert gateway.metric("sluice_limit_refusals_total", scope="load") == 1
    assert gateway.post("/v1/chat/completions", kit.chat("sim/gpt+words=3", stream=True)).status_code == 200
    assert kit.outcome(gateway.rows(2)[0]) == "interrupted"


def test_what_slow_clients_have_not_taken_counts_too(sim, make_gateway):
    """Answers held and answers not yet taken are one memory: clients that read slowly cannot fill it twice."""
    gateway = make_gateway(kit.config_for(sim, limits={"max_memory": "12MiB"}))
    request = gateway.raw_request("/v1/chat/completions", kit.chat("sim/gpt+bytes=5000000"))
    clients = []
    for _ in range(8):
        clients.append(gateway.raw(receive_buffer=4096))
        clients[-1].send(request)
        kit.wait_until(lambda: len(gateway.lines()) and len(gateway.access(len(clients))) >= len(clients), "an access line")
    statuses = [line["status"] for line in gateway.access(8)]
    assert statuses[:2] == [200, 200] and statuses.count(200) <= 3 and set(statuses) == {200, 503}
    for client in clients:
        client.close()
    kit.wait_until(lambda: gateway.post("/v1/chat/completions", kit.chat("sim/gpt+bytes=5000000")).status_code == 200, "room")


def test_limits_change_with_a_reload(sim, make_gateway):
    """HUP: limits of bodies, memory and timers are in force for what begins afterwards; the log names what is not."""
    gateway = make_gateway(kit.config_for(sim))
    gateway.config["limits"] = {"max_body": "4KiB", "head": "100ms", "max_memory": "1MiB"}
    gateway.write_config()
    gateway.signal(1)
    kit.wait_until(lambda: [line for line in gateway.lines() if line["event"] == "reloaded"], "the reload")
    assert not [line for line in gateway.lines() if line["event"] == "reload_partial"]
    kit.wait_until(lambda: gateway.post("/v1/chat/completions", kit.chat(content="x" * 5000)).status_code == 413, "the limit")
    with gateway.raw() as raw:
        raw.send(b"GET /livez HT")
        assert raw.read_head()[0] == 408
    assert gateway.post("/v1/chat/completions", kit.chat("sim/gpt+bytes=3000000")).status_code == 503
    gateway.config["log"] = {"level": "warn"}
    gateway.write_config()
    gateway.signal(1)
    kit.wait_until(lambda: [line for line in gateway.lines() if line["event"] == "reload_partial"], "the warning")
