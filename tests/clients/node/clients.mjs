// SPDX-License-Identifier: Apache-2.0
// The real clients for Node: openai, @anthropic-ai/sdk and axios. test_node.py runs this with the gateway's and the
// simulator's addresses in the environment; one line a test: "ok NAME" or "not ok NAME: why".
import assert from "node:assert/strict";
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
import axios from "axios";

const { GATEWAY, KEY, GONE_KEY, SIM } = process.env;
const ai = new OpenAI({ baseURL: GATEWAY + "/v1", apiKey: KEY, maxRetries: 0 });
const claude = new Anthropic({ baseURL: GATEWAY, apiKey: KEY, maxRetries: 0 });
const http = axios.create({ baseURL: GATEWAY + "/v1", headers: { Authorization: "Bearer " + KEY }, validateStatus: () => true });
const messages = [{ role: "user", content: "Use the tool to get the weather, please." }];
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const openaiTools = [{ type: "function", function: { name: "get_weather", parameters: schema } }];
const anthropicTools = [{ name: "get_weather", input_schema: schema }];

async function counts() {
  return (await axios.get(SIM + "/_sim/counts")).data;
}

// Runs `leave` while a request is open and expects the simulator to see the cancel soon.
async function cancels(leave) {
  const before = await counts();
  await leave();
  const started = Date.now();
  for (;;) {
    const now = await counts();
    if (now.open === 0 && now.cancelled > before.cancelled) break;
    assert.ok(Date.now() - started < 1000, "the simulator does not see the cancel");
    await new Promise((r) => setTimeout(r, 5));
  }
}

const tests = {
  async "openai: chat"() {
    const got = await ai.chat.completions.create({ model: "openai/gpt", messages });
    assert.ok(got.choices[0].message.content);
    assert.ok(got.usage.cost > 0);
    assert.ok(got._request_id);
  },
  async "openai: stream"() {
    const plain = await ai.chat.completions.create({ model: "openai/gpt", messages });
    let text = "", usage;
    for await (const chunk of await ai.chat.completions.create({
      model: "openai/gpt", messages, stream: true, stream_options: { include_usage: true },
    })) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, plain.choices[0].message.content);
    assert.ok(usage.completion_tokens > 0);
  },
  async "openai: tools"() {
    const got = await ai.chat.completions.create({ model: "openai/gpt", messages, tools: openaiTools });
    assert.equal(got.choices[0].finish_reason, "tool_calls");
    const stream = ai.chat.completions.stream({ model: "openai/gpt", messages, tools: openaiTools });
    const call = (await stream.finalMessage()).tool_calls[0];
    assert.deepEqual(JSON.parse(call.function.arguments), JSON.parse(got.choices[0].message.tool_calls[0].function.arguments));
  },
  async "openai: embeddings, base64 by default and float"() {
    const one = await ai.embeddings.create({ model: "openai/gpt", input: "x" });
    const two = await ai.embeddings.create({ model: "openai/gpt", input: "x", encoding_format: "float" });
    assert.equal(one.data[0].embedding.length, two.data[0].embedding.length);
    assert.ok(Math.abs(one.data[0].embedding[0] - two.data[0].embedding[0]) < 1e-5);
  },
  async "openai: models"() {
    const ids = [];
    for await (const m of ai.models.list()) ids.push(m.id);
    assert.ok(ids.includes("openai/gpt"));
    assert.equal((await ai.models.retrieve("openai/gpt")).id, "openai/gpt");
  },
  async "openai: error classes"() {
    const call = (model, client = ai) => client.chat.completions.create({ model, messages });
    await assert.rejects(call("openai/gpt+status=400"), OpenAI.BadRequestError);
    await assert.rejects(call("openai/gpt+status=429"), OpenAI.RateLimitError);
    await assert.rejects(call("openai/gpt+status=500"), OpenAI.InternalServerError);
    await assert.rejects(call("nowhere/gpt"), OpenAI.NotFoundError);
    await assert.rejects(call("openai/gpt", ai.withOptions({ apiKey: "nonsense" })), OpenAI.AuthenticationError);
    await assert.rejects(call("openai/gpt", ai.withOptions({ apiKey: GONE_KEY })), OpenAI.PermissionDeniedError);
  },
  async "openai: an error in the middle of a stream"() {
    await assert.rejects(async () => {
      for await (const _ of await ai.chat.completions.create({
        model: "openai/gpt+events=20+cut_events=5", messages, stream: true })) ;
    }, OpenAI.APIError);
  },
  async "openai: abort"() {
    const stream = await ai.chat.completions.create({ model: "openai/gpt+events=1000+gap=20", messages, stream: true });
    for await (const _ of stream) break;
    await cancels(async () => stream.controller.abort()).catch(async (e) => {
      // Leaving the loop may have been enough: then nothing is open any more.
      if ((await counts()).open !== 0) throw e;
    });
  },
  async "anthropic: message"() {
    const got = await claude.messages.create({ model: "claude/claude", max_tokens: 200, messages });
    assert.ok(got.content[0].text);
    assert.ok(got.usage.output_tokens > 0);
  },
  async "anthropic: stream"() {
    const plain = await claude.messages.create({ model: "claude/claude", max_tokens: 200, messages });
    const stream = claude.messages.stream({ model: "claude/claude", max_tokens: 200, messages });
    assert.equal(await stream.finalText(), plain.content[0].text);
  },
  async "anthropic: tools"() {
    const stream = claude.messages.stream({ model: "claude/claude", max_tokens: 200, messages, tools: anthropicTools });
    const use = (await stream.finalMessage()).content.find((b) => b.type === "tool_use");
    assert.equal(use.name, "get_weather");
    assert.ok("city" in use.input);
  },
  async "anthropic: count_tokens and models"() {
    assert.ok((await claude.messages.countTokens({ model: "claude/claude", messages })).input_tokens > 0);
    const ids = [];
    for await (const m of claude.models.list({ limit: 1000 })) ids.push(m.id);
    assert.ok(ids.includes("claude/claude"));
  },
  async "anthropic: error classes"() {
    const call = (model, client = claude) => client.messages.create({ model, max_tokens: 20, messages });
    await assert.rejects(call("claude/claude+status=400"), Anthropic.BadRequestError);
    await assert.rejects(call("claude/claude+status=429"), Anthropic.RateLimitError);
    await assert.rejects(call("claude/claude+status=500"), Anthropic.InternalServerError);
    await assert.rejects(call("nowhere/x"), Anthropic.NotFoundError);
    await assert.rejects(call("claude/claude", claude.withOptions({ apiKey: "nonsense" })), Anthropic.AuthenticationError);
    await assert.rejects(call("claude/claude", claude.withOptions({ apiKey: GONE_KEY })), Anthropic.PermissionDeniedError);
  },
  async "anthropic: an error in the middle of a stream"() {
    const stream = claude.messages.stream({ model: "claude/claude+events=20+cut_events=5", max_tokens: 200, messages });
    await assert.rejects(stream.finalMessage(), Anthropic.APIError);
  },
  async "anthropic: abort"() {
    const stream = claude.messages.stream({ model: "claude/claude+events=1000+gap=20", max_tokens: 2000, messages });
    stream.on("error", () => {});
    stream.on("abort", () => {});
    await new Promise((r) => stream.once("text", r));
    await cancels(async () => stream.abort());
  },
  async "axios: chat and errors"() {
    const got = await http.post("/chat/completions", { model: "openai/gpt", messages });
    assert.equal(got.status, 200);
    assert.ok(got.data.choices[0].message.content);
    assert.equal((await http.post("/chat/completions", { model: "nowhere/gpt", messages })).status, 404);
    assert.equal((await http.post("/chat/completions", { model: "openai/gpt+status=429", messages })).status, 429);
    assert.equal((await http.get("/auth/check", { headers: { Authorization: "Bearer " + GONE_KEY } })).status, 403);
    assert.equal((await http.get("/auth/check", { headers: { Authorization: "" } })).status, 401);
  },
  async "axios: stream"() {
    const got = await http.post("/chat/completions", { model: "openai/gpt", messages, stream: true }, { responseType: "stream" });
    let text = "";
    for await (const piece of got.data) text += piece;
    assert.ok(text.endsWith("data: [DONE]\n\n"));
  },
  async "axios: embeddings and models"() {
    const got = await http.post("/embeddings", { model: "openai/gpt", input: ["a", "b"], encoding_format: "base64" });
    assert.equal(got.data.data.length, 2);
    assert.equal(typeof got.data.data[0].embedding, "string");
    assert.ok((await http.get("/models")).data.data.some((m) => m.id === "openai/gpt"));
  },
  async "axios: abort"() {
    const control = new AbortController();
    const got = await http.post("/chat/completions", { model: "openai/gpt+events=1000+gap=20", messages, stream: true },
      { responseType: "stream", signal: control.signal });
    got.data.on("error", () => {});
    await new Promise((r) => got.data.once("data", r));
    await cancels(async () => control.abort());
  },
};

if (process.argv[2] === "--list") {
  console.log(JSON.stringify(Object.keys(tests)));
} else {
  const wanted = process.argv.slice(2);
  let failed = 0;
  for (const [name, run] of Object.entries(tests)) {
    if (wanted.length && !wanted.includes(name)) continue;
    try {
      await run();
      console.log("ok " + name);
    } catch (e) {
      failed++;
      console.log("not ok " + name + ": " + (e?.stack ?? e));
    }
  }
  process.exit(failed ? 1 : 0);
}
