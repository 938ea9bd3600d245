# SPDX-License-Identifier: Apache-2.0
"""A usage that comes before the stream's end waits for the journal, and for nothing else."""
import contextlib
import json
import socket
import threading
import zlib

import pytest

import kit


class Pieces:
    """A provider that answers every request with the same pieces, the next when `more` is set."""

    def __init__(self, pieces, gzip=False):
        self.pieces, self.more, self.gzip = pieces, threading.Event(), gzip
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                self._serve(self.listener.accept()[0])

    def _serve(self, client):
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
        head += "Content-Encoding: gzip\r\n\r\n" if self.gzip else "\r\n"
        packer = zlib.compressobj(6, zlib.DEFLATED, 31)

        def packed(piece, last):
            if not self.gzip:
                return piece.encode()
            return packer.compress(piece.encode()) + packer.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)
        with client, contextlib.suppress(OSError):
            client.recv(65536)
            client.sendall(head.encode() + packed(self.pieces[0], len(self.pieces) == 1))
            for n, piece in enumerate(self.pieces[1:], 2):
                if not self.more.wait(kit.WAIT_S):
                    return
                client.sendall(packed(piece, n == len(self.pieces)))

    def stop(self):
        self.listener.close()


def event(**more):
    return "data: " + json.dumps(dict({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "gpt",
                                       "choices": []}, **more)) + "\n\n"


TEXT = event(choices=[{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}])
FINISH = event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
USAGE = event(usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})


@pytest.mark.parametrize("first, rest", [
    (TEXT + FINISH + USAGE, "data: [DONE]\n\n"),
    (USAGE, TEXT + FINISH + "data: [DONE]\n\n")])
def test_a_usage_in_the_first_read(make_gateway, first, rest):
    """All up to the usage in one packet, the end later: the head goes first, and nothing is held back."""
    provider = Pieces([first, rest])
    gateway = make_gateway({"providers": {"sim": {"type": "compatible", "base_url": provider.url + "/v1",
                                                  "api_key": kit.PROVIDER_KEY}},
                            "models": {"sim/gpt": kit.PRICES}})
    body = kit.chat("sim/gpt", stream=True, stream_options={"include_usage": True})
    with gateway.post("/v1/chat/completions", body, stream=True) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines(chunk_size=1)
        text = ""
        while "completion_tokens" not in text:  # comes although the stream goes on
            text += next(lines).decode() + "\n"
        provider.more.set()
        text += "\n".join(line.decode() for line in lines)
    provider.stop()
    assert kit.is_done(text) and kit.text_of(kit.chunks(text)) == "Hello"
    row = gateway.rows()[0]
    assert kit.is_final(row) and kit.outcome(row) == "ok" and kit.usage_of(row)["output"] == 3


def test_a_rewritten_event_keeps_its_other_lines(make_gateway):
    """id: and retry: of an event that the gateway has to change are passed on with it."""
    chunk = event(usage=None, choices=[{"index": 0, "delta": {"content": "Hello", "tool_calls": None}, "finish_reason": None}])
    provider = Pieces(["id: 41\nretry: 250\n" + chunk + "id: 42\r\n" + USAGE.replace("\n", "\r\n") + FINISH + "data: [DONE]\n\n"])
    gateway = make_gateway({"providers": {"sim": {"type": "compatible", "base_url": provider.url + "/v1",
                                                  "api_key": kit.PROVIDER_KEY}}, "models": {"sim/gpt": kit.PRICES}})
    got = gateway.post("/v1/chat/completions", kit.chat("sim/gpt", stream=True, stream_options={"include_usage": True}))
    provider.stop()
    first, second = got.text.replace("\r\n", "\n").split("\n\n")[:2]
    assert first.startswith("id: 41\nretry: 250\ndata: ") and '"tool_calls"' not in first and '"usage"' not in first
    assert second.startswith("id: 42\ndata: ") and '"cost"' in second


def test_a_compressed_stream_is_not_held_back(make_gateway):
    """A provider that compresses its stream though nobody asked: the first event comes before the second is made."""
    provider = Pieces([TEXT, FINISH + USAGE + "data: [DONE]\n\n"], gzip=True)
    gateway = make_gateway({"providers": {"sim": {"type": "compatible", "base_url": provider.url + "/v1",
                                                  "api_key": kit.PROVIDER_KEY}}, "models": {"sim/gpt": kit.PRICES}})
    with gateway.post("/v1/chat/completions", kit.chat("sim/gpt", stream=True), stream=True) as answer:
        assert answer.status_code == 200 and "content-encoding" not in answer.headers
        lines = answer.iter_lines(chunk_size=1)
        assert b"Hello" in next(lines)
        provider.more.set()
        rest = b"\n".join(lines)
    provider.stop()
    assert kit.is_done(rest) and kit.usage_of(gateway.rows()[0])["output"] == 3
