# SPDX-License-Identifier: Apache-2.0
"""What the kinds of providers get that are configured by more than a key: addresses, credentials, bodies."""
import base64
import json
import re
import subprocess
import threading
import time

import pytest

import kit
from upstream import Upstream

CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}]}
MESSAGE = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hello"}],
           "stop_reason": "end_turn", "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
GENERATED = {"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "hello"}]}}],
             "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}}
CONVERSED = {"output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}}, "stopReason": "end_turn",
             "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}, "metrics": {"latencyMs": 1}}


class Provider(Upstream):
    """Answers in the format that the address asks for, gives tokens at /token, and remembers what it was asked."""

    def __init__(self):
        self.seen, self.tokens, self.life, self.token_status, self.token_wait = [], 0, 3600, 200, 0
        self.refuse = set()
        super().__init__(self.give)

    def give(self, path, body, fields):
        status, answer = self.told(path, fields, body.decode())
        return status, "application/json", json.dumps(answer).encode()

    def told(self, path, headers, body):
        if path == "/token":
            self.tokens += 1
            self.form = body
            number = self.tokens
            time.sleep(self.token_wait)
            if self.token_status != 200:
                return self.token_status, {"error": "invalid_grant", "error_description": "hidden words"}
            return 200, {"access_token": f"token-{number}", "expires_in": self.life, "token_type": "Bearer"}
        self.seen.append((path, headers, json.loads(body)))
        if headers.get("authorization") in self.refuse:
            return 401, {"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "no"}}
        if path.endswith("/converse"):
            return 200, CONVERSED
        return 200, GENERATED if "generateContent" in path else MESSAGE if "awPredict" in path or "messages" in path else CHAT


@pytest.fixture
def upstream():
    made = Provider()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """An RSA key: the private half as PEM text, the public one as a file."""
    home = tmp_path_factory.mktemp("key")
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"],
                   cwd=home, check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"], cwd=home, check=True, capture_output=True)
    return home


def account(upstream, key, **more):
    return json.dumps(dict({"type": "service_account", "project_id": "my-project", "private_key_id": "key-1",
                            "private_key": (key / "key.pem").read_text(), "client_email": "gw@my-project.iam",
                            "token_uri": upstream.url + "/token"}, **more))


def vertex(upstream, key, tmp_path, **more):
    path = tmp_path / "account.json"
    path.write_text(account(upstream, key))
    return {"providers": {"vertex": dict({"type": "vertex", "base_url": upstream.url, "location": "europe-west4",
                                          "service_account": str(path)}, **more)}}


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_service_account_signs_for_its_tokens(upstream, key, tmp_path, make_gateway):
    """Vertex is called with a token that a signed assertion was exchanged for, and the next call uses it again."""
    gateway = make_gateway(vertex(upstream, key, tmp_path))
    for _ in range(3):
        got = gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro"))
        assert got.status_code == 200, got.text
        assert got.json()["choices"][0]["message"]["content"] == "hello"
    assert upstream.tokens == 1
    path, headers, body = upstream.seen[0]
    assert path == "/v1/projects/my-project/locations/europe-west4/publishers/google/models/gemini-2.5-pro:generateContent"
    assert headers["authorization"] == "Bearer token-1"
    assert body["contents"][0]["parts"][0]["text"]
    form = dict(part.split("=", 1) for part in upstream.form.split("&"))
    assert form["grant_type"] == "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
    head, claims, signature = form["assertion"].split(".")
    assert json.loads(decode(head)) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    claims_of = json.loads(decode(claims))
    assert claims_of["iss"] == "gw@my-project.iam" and claims_of["aud"] == upstream.url + "/token"
    assert abs(claims_of["iat"] - time.time()) < 60 and claims_of["exp"] == claims_of["iat"] + 3600
    (tmp_path / "signature").write_bytes(decode(signature))
    subprocess.run(["openssl", "dgst", "-sha256", "-verify", str(key / "public.pem"), "-signature", str(tmp_path / "signature")],
                   input=f"{head}.{claims}".encode(), check=True, capture_output=True)
    gateway.leaves_no("token-1")
    gateway.leaves_no("PRIVATE KEY")


def test_many_wait_for_one_token(upstream, key, tmp_path, make_gateway):
    """Requests that come while a token is fetched wait for that one call."""
    upstream.token_wait = 0.5
    gateway = make_gateway(vertex(upstream, key, tmp_path))
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro")).status_code))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 8
    assert upstream.tokens == 1


def test_a_client_may_leave_while_a_token_is_fetched(upstream, key, tmp_path, make_gateway):
    """Who hangs up while waiting for a token leaves nothing behind, and the token serves the next."""
    upstream.token_wait = 1
    gateway = make_gateway(vertex(upstream, key, tmp_path))
    with gateway.raw() as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro")))
        kit.wait_until(lambda: upstream.tokens == 1, "the token is asked for")
    assert gateway.access(1)[0]["status"] == 499
    assert gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro")).status_code == 200
    assert upstream.tokens == 1 and len(upstream.seen) == 1


def test_a_token_is_replaced_before_it_ends(upstream, key, tmp_path, make_gateway):
    """Near the end of its life a token still serves while the next is fetched."""
    upstream.life = 12
    gateway = make_gateway(vertex(upstream, key, tmp_path))
    for _ in range(2):
        assert gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro")).status_code == 200
    kit.wait_until(lambda: upstream.tokens >= 2, "another token is asked for")
    assert gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro")).status_code == 200
    assert [headers["authorization"] for _, headers, _ in upstream.seen][0] == "Bearer token-1"


def test_a_token_that_is_refused_is_forgotten(upstream, key, tmp_path, make_gateway):
    """A provider's 401 is the gateway's own trouble, and the next request brings another token."""
    upstream.refuse.add("Bearer token-1")
    gateway = make_gateway(vertex(upstream, key, tmp_path))
    got = gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro"))
    assert got.status_code == 502 and got.json()["error"]["code"] == "provider_authentication"
    assert gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro")).status_code == 200
    assert upstream.seen[-1][1]["authorization"] == "Bearer token-2"


def test_no_token_is_a_clear_error(upstream, key, tmp_path, make_gateway):
    """What Google says of the account reaches the caller as an error of the gateway's credential, and it is asked again."""
    upstream.token_status = 400
    gateway = make_gateway(vertex(upstream, key, tmp_path))
    for n in (1, 2):
        got = gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro"))
        assert got.status_code == 502 and got.json()["error"]["code"] == "provider_authentication"
        assert "invalid_grant" in got.json()["error"]["message"] and "hidden" not in got.text
        assert upstream.tokens == n and not upstream.seen
    upstream.token_status = 200
    assert gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro")).status_code == 200


def test_claude_at_vertex_gets_its_version_in_the_body(upstream, key, tmp_path, make_gateway):
    """The address names the model, the body the version; betas that Vertex does not know stay behind."""
    gateway = make_gateway(vertex(upstream, key, tmp_path))
    got = gateway.post("/v1/messages", kit.messages("vertex/claude-sonnet-4-5@20250929"),
                       headers=dict(gateway.headers(), **{"anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14"}))
    assert got.status_code == 200, got.text
    path, headers, body = upstream.seen[0]
    assert path.endswith("/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict")
    assert body["anthropic_version"] == "vertex-2023-10-16" and "model" not in body
    assert headers["anthropic-beta"] == "interleaved-thinking-2025-05-14" and "anthropic-version" not in headers
    got = gateway.post("/v1/chat/completions", kit.chat("vertex/anthropic/claude-sonnet-4-5@20250929"))
    assert got.status_code == 200 and got.json()["usage"]["cost"] > 0, got.text
    path, headers, body = upstream.seen[1]
    assert path.endswith("/models/claude-sonnet-4-5@20250929:rawPredict")
    assert body["anthropic_version"] == "vertex-2023-10-16" and "model" not in body


def test_a_region_is_one_that_is_set_up(upstream, key, tmp_path, make_gateway):
    """model@region goes to the region when the operator has it, and is not found else."""
    gateway = make_gateway(vertex(upstream, key, tmp_path, regions=["us-east5"]))
    for region, wanted in (("@us-east5", "us-east5"), ("@europe-west4", "europe-west4"), ("", "europe-west4")):
        assert gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro" + region)).status_code == 200
        assert f"/locations/{wanted}/publishers/google/models/gemini-2.5-pro:" in upstream.seen[-1][0]
    got = gateway.post("/v1/chat/completions", kit.chat("vertex/gemini-2.5-pro@asia-east1"))
    assert got.status_code == 404 and "asia-east1" in got.json()["error"]["message"]


def test_bedrock_is_signed_for_the_region_that_is_called(upstream, make_gateway):
    """Access keys sign for their region and for the one that a model pins; a Bedrock API key is a bearer."""
    common = {"type": "bedrock", "base_url": upstream.url, "region": "eu-central-1", "regions": ["us-east-1"],
              "deployments": {"claude": "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"}}
    gateway = make_gateway({"providers": {"signed": dict(common, access_key_id="AKIDEXAMPLE", secret_access_key="hidden-secret-of-aws", session_token="t0ken"),
                                          "bearer": dict(common, api_key=kit.PROVIDER_KEY)}})
    for model, region in (("claude", "eu-central-1"), ("claude@us-east-1", "us-east-1")):
        got = gateway.post("/v1/messages", kit.messages("signed/" + model))
        assert got.status_code == 200 and got.json()["content"][0]["text"] == "hello", got.text
        path, headers, body = upstream.seen[-1]
        assert path == "/model/eu.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse" and "model" not in body
        assert re.match(r"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/\d{8}/" + region + r"/bedrock/aws4_request, ?SignedHeaders=\S+, ?"
                        r"Signature=[0-9a-f]{64}$", headers["authorization"])
        assert headers["x-amz-security-token"] == "t0ken" and headers["x-amz-date"]
    assert gateway.post("/v1/chat/completions", kit.chat("bearer/claude")).status_code == 200
    assert upstream.seen[-1][1]["authorization"] == "Bearer " + kit.PROVIDER_KEY
    gateway.leaves_no("hidden-secret-of-aws")


def test_azure_deployments(upstream, make_gateway):
    """Both forms of Azure's addresses, with the deployment that stands for the model."""
    common = {"type": "azure", "base_url": upstream.url, "api_key": kit.PROVIDER_KEY, "deployments": {"gpt-4o": "our-gpt"}}
    gateway = make_gateway({"providers": {"new": common, "old": dict(common, address="deployment", api_version="2024-10-21")}})
    assert gateway.post("/v1/chat/completions", kit.chat("new/gpt-4o")).status_code == 200
    path, headers, body = upstream.seen[-1]
    assert path == "/openai/v1/chat/completions" and body["model"] == "our-gpt" and headers["api-key"] == kit.PROVIDER_KEY
    assert "authorization" not in headers
    assert gateway.post("/v1/chat/completions", kit.chat("old/gpt-4o")).status_code == 200
    assert upstream.seen[-1][0] == "/openai/deployments/our-gpt/chat/completions?api-version=2024-10-21"
    assert gateway.post("/v1/messages", kit.messages("new/claude-opus-4-5")).status_code == 200
    assert upstream.seen[-1][0] == "/anthropic/v1/messages"


def test_gemini_with_a_key(sim, make_gateway):
    """The Gemini API takes its key in a field of its own; a stream has another address."""
    gateway = make_gateway({"providers": {"google": {"type": "google", "base_url": sim.url + "/v1beta", "api_key": kit.PROVIDER_KEY}}})
    got = gateway.post("/v1/chat/completions", kit.chat("google/gemini-2.5-flash", stream=True))
    assert got.status_code == 200 and kit.is_done(got.content), got.text
    last = sim.last()
    assert last["line"].startswith("POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse ")
    assert last["headers"]["x-goog-api-key"] == kit.PROVIDER_KEY


@pytest.mark.parametrize("provider, said", [
    ({"type": "azure", "api_key": "k"}, "resource is missing"),
    ({"type": "vertex", "api_key": "k", "project": "p"}, "location is missing"),
    ({"type": "bedrock", "api_key": "k"}, "region is missing"),
    ({"type": "bedrock", "region": "eu-west-1", "access_key_id": "k"}, "secret_access_key is missing"),
    ({"type": "openai", "api_key": "k", "region": "eu"}, "region means nothing to providers of type openai"),
    ({"type": "openai", "api_key": "k", "regions": ["eu"]}, "regions means nothing"),
    ({"type": "vertex", "service_account": "{\"type\":\"hidden\"}"}, "not one of a service account"),
    ({"type": "azur", "api_key": "k"}, "did you mean \"azure\""),
])
def test_what_a_provider_lacks_is_said_at_the_start(tmp_path, provider, said):
    """A provider that cannot work stops the start with the place in the file and the option's name."""
    config = tmp_path / "sluice.yaml"
    config.write_text(json.dumps({"listen": "127.0.0.1:0", "data_dir": str(tmp_path), "providers": {"up": provider}}))
    done = kit.command("serve", "-c", str(config), cwd=tmp_path, timeout=20)
    assert done.returncode != 0
    assert said in done.stderr and "sluice.yaml:" in done.stderr and "hidden" not in done.stderr, done.stderr
