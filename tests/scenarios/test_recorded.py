# SPDX-License-Identifier: Apache-2.0
"""Recorded answers of real providers, given by a replaying server, pass through unharmed and are read rightly.

The recordings are not part of this tree: $SLUICE_SHARED, or ../shared beside it. Where they are absent, these
tests are skipped.
"""
import base64
import http.server
import json
import os
import threading

import pytest

import kit

SHARED = os.environ.get("SLUICE_SHARED", os.path.join(kit.ROOT, "..", "shared"))
RECORDED = os.path.join(SHARED, "recorded")
FILES = {"openai": ("/v1/chat/completions", "/v1/embeddings"), "anthropic": ("/v1/messages", "/v1/messages/count_tokens"),
         "groq": ("/v1/chat/completions", "/openai/v1/chat/completions"), "deepseek": ("/v1/chat/completions", "/chat/completions"),
         "openrouter": ("/v1/chat/completions", "/api/v1/chat/completions"),
         "mistral": ("/v1/chat/completions",), "zai": ("/v1/chat/completions", "/api/paas/v4/chat/completions")}
pytestmark = pytest.mark.skipif(not os.path.isdir(RECORDED), reason="the recorded exchanges are not on this machine")


def exchanges(name):
    with open(os.path.join(RECORDED, f"{name}.jsonl"), encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            path = row["path"].split("?")[0]
            if row["method"] == "POST" and path in FILES[name] and isinstance(row["request"], dict):
                yield row, path


def payload(row):
    if row["encoding"] == "json":
        return json.dumps(row["response"]).encode()
    return base64.b64decode(row["response"]) if row["encoding"] == "base64" else row["response"].encode()


class Replay:
    """A provider that gives one recorded answer after the other, streams in small pieces."""

    def __init__(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                outer.got = self.rfile.read(int(self.headers["Content-Length"]))
                body = payload(outer.row)
                self.send_response(outer.row["status"])
                self.send_header("Content-Type", outer.row["content_type"])
                if "event-stream" in outer.row["content_type"]:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for at in range(0, len(body), 700):
                        piece = body[at:at + 700]
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def without_additions(document):
    """The answer without what the gateway adds, and without the nulls that it leaves out in streams."""
    if isinstance(document, dict):
        return {k: without_additions(v) for k, v in document.items() if k != "cost"
                and not (v is None and k in ("usage", "tool_calls"))}
    return [without_additions(v) for v in document] if isinstance(document, list) else document


@pytest.mark.parametrize("name", FILES)
def test_recorded_answers_pass(make_gateway, name):
    """Each recorded exchange gives the client the same status and the same document or events."""
    replay = Replay()
    kind = {"openai": "openai", "anthropic": "anthropic"}.get(name, "compatible")
    gateway = make_gateway({"providers": {"up": {"type": kind, "base_url": replay.url + ("" if kind == "anthropic" else "/v1"),
                                                 "api_key": kit.PROVIDER_KEY}}})
    seen = 0
    for row, path in exchanges(name):
        replay.row = row
        ours = path[path.index("/v1/"):] if "/v1/" in path else "/v1/chat/completions"
        got = gateway.post(ours, dict(row["request"], model="up/" + str(row["request"].get("model", "m"))))
        seen += 1
        if row["status"] != 200:
            assert got.status_code == (502 if row["status"] in (401, 403) else row["status"]), row["name"]
            assert got.json()["error"]["message"]
        elif "event-stream" in row["content_type"]:
            assert got.status_code == 200, f"{row['name']}: {got.text[:500]}"
            mine, theirs = kit.events(got.content), kit.events(payload(row))
            wanted = [(n, d) for n, d in theirs if row["request"].get("stream_options") or kind == "anthropic" or '"choices":[]' not in d]
            assert [n for n, _ in mine][:3] == [n for n, _ in wanted][:3]
            texts = [kit.text_of([json.loads(d) for n, d in side if d != "[DONE]" and "choices" in d]) for side in (mine, theirs)]
            assert texts[0] == texts[1], row["name"]
        else:
            assert got.status_code == 200, f"{row['name']}: {got.text[:500]}"
            assert without_additions(got.json()) == without_additions(row["response"]), row["name"]
        sent = json.loads(replay.got)
        asked = {k: v for k, v in row["request"].items() if k not in ("stream_options", "requesty")}
        assert {k: v for k, v in sent.items() if k != "stream_options"} == dict(asked, model=str(row["request"].get("model", "m")))
    replay.stop()
    assert seen > 0
    rows = gateway.rows(seen)
    assert len(rows) == seen
