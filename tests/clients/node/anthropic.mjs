// SPDX-License-Identifier: Apache-2.0
// @anthropic-ai/sdk: Messages over providers of every format.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { GATEWAY, GONE_KEY, KEY, cancels, direct, each, messages, run, schema, test } from "./harness.mjs";

const claude = new Anthropic({ baseURL: GATEWAY, apiKey: KEY, maxRetries: 0 });
const tools = [{ name: "get_weather", input_schema: schema }];

each("message", async (p) => {
  const got = await claude.messages.create({ model: p + "/gpt", max_tokens: 200, messages });
  assert.equal(got.content[0].text, await direct("gpt"));
  assert.equal(got.stop_reason, "end_turn");
  assert.ok(got.usage.input_tokens > 0 && got.usage.output_tokens > 0);
});

each("stream", async (p) => {
  const stream = claude.messages.stream({ model: p + "/gpt", max_tokens: 200, messages });
  let text = "";
  stream.on("text", (t) => { text += t; });
  const final = await stream.finalMessage();
  assert.equal(final.content[0].text, await direct("gpt"));
  assert.equal(text, final.content[0].text);
  assert.ok(final.usage.input_tokens > 0 && final.usage.output_tokens > 0);
});

each("tools, plain, streamed and answered", async (p) => {
  const ask = { model: p + "/gpt+tools=2+args_piece=3", max_tokens: 200, messages, tools };
  const got = await claude.messages.create(ask);
  const uses = got.content.filter((b) => b.type === "tool_use");
  const streamed = (await claude.messages.stream(ask).finalMessage()).content.filter((b) => b.type === "tool_use");
  assert.equal(got.stop_reason, "tool_use");
  assert.equal(uses.length, 2);
  assert.deepEqual(streamed.map((u) => u.input), uses.map((u) => u.input));
  const second = await claude.messages.create({
    model: p + "/gpt", max_tokens: 200, tools,
    messages: [...messages, { role: "assistant", content: got.content },
      { role: "user", content: uses.map((u) => ({ type: "tool_result", tool_use_id: u.id, content: "sunny" })) }],
  });
  assert.ok(second.content[0].text);
});

each("thinking", async (p) => {
  const stream = claude.messages.stream({ model: p + "/gpt+thinking=5", max_tokens: 4000, messages, thinking: { type: "adaptive" } });
  let thoughts = "";
  stream.on("thinking", (t) => { thoughts += t; });
  const final = await stream.finalMessage();
  assert.deepEqual(final.content.map((b) => b.type), ["thinking", "text"]);
  assert.equal(final.content[0].thinking, thoughts);
});

each("count_tokens", async (p) => {
  assert.ok((await claude.messages.countTokens({ model: p + "/gpt", messages })).input_tokens > 0);
});

test("models", async () => {
  const ids = [];
  for await (const m of claude.models.list({ limit: 1000 })) ids.push(m.id);
  assert.ok(ids.includes("claude/claude"));
});

each("error classes", async (p) => {
  for (const [status, of] of [[400, Anthropic.BadRequestError], [404, Anthropic.NotFoundError], [429, Anthropic.RateLimitError],
    [500, Anthropic.InternalServerError], [529, Anthropic.InternalServerError]]) {
    const call = claude.messages.create({ model: `${p}/gpt+status=${status}+message=because`, max_tokens: 20, messages });
    await assert.rejects(call, (e) => e instanceof of && e.message.includes("because") && !!e.requestID);
  }
});

test("refusals of the gateway", async () => {
  const call = (model, client = claude) => client.messages.create({ model, max_tokens: 20, messages });
  await assert.rejects(call("nowhere/x"), Anthropic.NotFoundError);
  await assert.rejects(call("claude/claude", claude.withOptions({ apiKey: "nonsense" })), Anthropic.AuthenticationError);
  await assert.rejects(call("claude/claude", claude.withOptions({ apiKey: GONE_KEY })), Anthropic.PermissionDeniedError);
});

each("an error in the middle of a stream", async (p) => {
  for (const script of ["cut_events=5", "error_event=5"]) {
    const stream = claude.messages.stream({ model: `${p}/gpt+events=20+${script}`, max_tokens: 200, messages });
    await assert.rejects(stream.finalMessage(), Anthropic.APIError);
  }
});

each("abort", async (p) => {
  const stream = claude.messages.stream({ model: p + "/gpt+events=1000+gap=20", max_tokens: 2000, messages });
  stream.on("error", () => {});
  stream.on("abort", () => {});
  await new Promise((r) => stream.once("text", r));
  await cancels(async () => stream.abort());
});

await run();
