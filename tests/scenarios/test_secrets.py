# SPDX-License-Identifier: Apache-2.0
"""Planted secrets and prompts stay where they belong: not in logs, metrics, errors, the database or the journal."""
import kit

PROMPT = "canary-prompt-5d1e8c"
ANSWER = "canary-answer-77aa01"
CLIENT_HEADER = "canary-header-90bc12"


def test_nothing_private_is_written_anywhere(sim, make_gateway):
    """After successes, refusals, provider errors, cancels and a crash, no file holds a key or a prompt."""
    gateway = make_gateway(kit.config_for(sim, **kit.DEBUG, **kit.IMPATIENT))
    body = kit.chat(content=PROMPT)
    for model in ("sim/echo", "openai/gpt", "openai/gpt+status=500", "openai/gpt+status=401", "openai/gpt+rst",
                  "openai/gpt+html200", "openai/gpt+garbage=100", "openai/gpt+hang", "nowhere/x", "claude/echo"):
        for stream in (False, True):
            gateway.post("/v1/chat/completions", dict(body, model=model, stream=stream),
                         headers=gateway.headers(**{"X-Custom": CLIENT_HEADER}))
    sim.order(f"status=400+message={ANSWER} {kit.PROVIDER_KEY}", 2)
    for stream in (False, True):
        gateway.post("/v1/chat/completions", dict(body, model="openai/gpt", stream=stream))
    gateway.post("/v1/messages", kit.messages("claude/echo", content=PROMPT, stream=True))
    gateway.post("/v1/embeddings", {"model": "openai/gpt", "input": PROMPT})
    gateway.post("/v1/chat/completions", '{"model":"sim/echo","messages":"' + PROMPT)
    gateway.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {PROMPT}"})
    with gateway.raw() as raw:
        raw.send(gateway.raw_request("/v1/chat/completions", dict(body, model="sim/echo+gap=50+events=50", stream=True)))
        raw.read_head()
    metrics = gateway.get("/metrics", headers={}).text
    gateway.kill9()
    gateway.again()
    gateway.stop()
    for secret in (kit.PROVIDER_KEY, gateway.key, gateway.key.rsplit("-", 1)[-1], PROMPT, ANSWER, CLIENT_HEADER):
        gateway.leaves_no(secret)
        assert secret not in metrics


def test_a_providers_words_never_carry_a_key(sim, gateway):
    """A provider that quotes the gateway's key in its error is quoted without it."""
    sim.order(f"status=400+message=Incorrect API key provided: {kit.PROVIDER_KEY}.")
    got = gateway.post("/v1/chat/completions", kit.chat("openai/gpt"))
    assert got.status_code == 400 and kit.PROVIDER_KEY not in got.text
    assert "Incorrect API key provided" in got.json()["error"]["message"]


def test_header_injection_is_impossible(sim, gateway):
    """CR and LF in values that could reach a header, a log or the provider stay data."""
    name = "sim/gpt\r\nX-Evil: 1"
    got = gateway.post("/v1/chat/completions", kit.chat(name))
    assert "x-evil" not in {k.lower() for k in got.headers}
    got = gateway.post("/v1/chat/completions", kit.chat(requesty={"trace_id": "a\nb\x1b[31m", "user_id": "x\r\ny"}))
    assert got.status_code in (200, 400)
    assert all("\x1b" not in line for line in gateway.err().split("\n"))
