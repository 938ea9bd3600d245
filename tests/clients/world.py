# SPDX-License-Identifier: Apache-2.0
"""One simulator and one gateway for all tests of a file, with a provider of each type: what a client of any format
asks, each of them answers, and the client cannot tell which one it was."""
import contextlib
import os
import time

import pytest
import requests

import kit

# `openai` speaks Chat Completions and Responses itself, `sim` (compatible) Chat alone, `claude` Anthropic's Messages,
# `responses` OpenAI's Responses alone, and no client here speaks what `gemini` and `bedrock` do.
PROVIDERS = ("openai", "sim", "claude", "responses", "gemini", "bedrock")
PROMPT = "Use the tool to get the weather, please."
TOOL = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
# The model `echo` says what the user said, so that this is what structured output looks like from a provider that
# takes the schema as OpenAI does; Anthropic's is asked by way of a tool and fills the schema itself.
CITY = '{"city": "Rome", "days": 3}'


class World:
    def __init__(self, home):
        self.sim = kit.Sim(home)
        (home / "gateway").mkdir()
        config = kit.config_for(self.sim)
        key = {"api_key": kit.PROVIDER_KEY}
        config["providers"]["responses"] = {"type": "openai-responses", "base_url": self.sim.url + "/v1", **key}
        config["providers"]["gemini"] = {"type": "google", "base_url": self.sim.url + "/v1beta", **key}
        config["providers"]["bedrock"] = {"type": "bedrock", "base_url": self.sim.url, "region": "eu-west-1", **key}
        config["models"].update({f"{p}/{m}": kit.PRICES for p in ("responses", "gemini", "bedrock") for m in ("gpt", "echo")})
        self.gateway = kit.Gateway(home / "gateway", config)
        self.url, self.key = self.gateway.url, self.gateway.key

    def direct(self, model, content=PROMPT):
        """The simulator's own words for this prompt, asked without a gateway."""
        answer = requests.post(self.sim.url + "/v1/chat/completions", json=kit.chat(model, content),
                               headers={"Authorization": "Bearer x"}, timeout=10)
        return answer.json()["choices"][0]["message"]["content"]

    @contextlib.contextmanager
    def cancels(self):
        """What is done inside leaves one request before its end, and the simulator sees that soon."""
        self.sim.idle()
        before = self.sim.counts()["cancelled"]
        yield
        started = time.monotonic()
        kit.wait_until(lambda: self.sim.counts()["open"] == 0, "the simulator sees the cancel", 5, step=0.005)
        assert time.monotonic() - started < 0.5
        assert self.sim.counts()["cancelled"] == before + 1

    def finish(self):
        self.gateway.finish()
        self.sim.stop()
        self.sim.check()


def needs(package):
    """Skips a whole file when its client is not there, with setup's own reason when that is known."""
    why = os.environ.get("SLUICE_NO_CLIENTS", "scripts/setup.sh test installs it")
    return pytest.importorskip(package, reason=f"{package} is not installed: {why}")
