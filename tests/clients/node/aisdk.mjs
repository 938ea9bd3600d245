// SPDX-License-Identifier: Apache-2.0
// The Vercel AI SDK with each provider package that can be pointed at a gateway. Its default for OpenAI is Responses.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createRequesty } from "@requesty/ai-sdk";
import { APICallError, Output, embed, embedMany, generateObject, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { CITY, GATEWAY, KEY, PROMPT, cancels, direct, each, eachOf, received, run } from "./harness.mjs";

const options = { baseURL: GATEWAY + "/v1", apiKey: KEY };
const openai = createOpenAI(options);
const compatible = createOpenAICompatible({ ...options, name: "sluice", includeUsage: true, supportsStructuredOutputs: true });
const anthropic = createAnthropic(options);
const requesty = createRequesty(options);
const Forecast = z.object({ city: z.string(), days: z.number().int() });

const get_weather = (asked) => tool({
  description: "tells the weather",
  inputSchema: z.object({ city: z.string() }),
  execute: async (input) => { asked.push(input); return "sunny"; },
});

async function text(model) {
  const got = await generateText({ model, prompt: PROMPT, maxRetries: 0 });
  assert.equal(got.text, await direct("gpt"));
  assert.equal(got.finishReason, "stop");
  assert.ok(got.usage.inputTokens > 0 && got.usage.outputTokens > 0);
}

async function stream(model) {
  const got = streamText({ model, prompt: PROMPT, maxRetries: 0, onError: () => {} });
  const parts = [];
  for await (const part of got.stream) parts.push(part);
  const errors = parts.filter((p) => p.type === "error");
  assert.deepEqual(errors, []);
  const deltas = parts.filter((p) => p.type === "text-delta").map((p) => p.text);
  assert.equal(deltas.join(""), await direct("gpt"));
  assert.ok(deltas.length > 3);
  assert.equal(await got.finishReason, "stop");
  assert.ok((await got.usage).outputTokens > 0);
}

// Both steps: the call, and the answer to its result.
async function tools(model) {
  for (const start of [generateText, streamText]) {
    const asked = [];
    const got = await start({ model, prompt: PROMPT, tools: { get_weather: get_weather(asked) }, stopWhen: isStepCount(3), maxRetries: 0 });
    const steps = await got.steps;
    assert.equal(steps.length, 2);
    assert.equal(steps[0].finishReason, "tool-calls");
    assert.equal(typeof asked[0].city, "string");
    assert.ok(steps[1].text);
  }
}

async function structured(model) {
  const ask = { model, prompt: CITY, maxRetries: 0 };
  const { object } = await generateObject({ ...ask, schema: Forecast });
  assert.deepEqual(Forecast.parse(object), object);
  const plain = await generateText({ ...ask, output: Output.object({ schema: Forecast }) });
  assert.deepEqual(Forecast.parse(plain.output), plain.output);
  const streamed = streamText({ ...ask, output: Output.object({ schema: Forecast }) });
  let last;
  for await (const partial of streamed.partialOutputStream) last = partial;
  assert.deepEqual(Forecast.parse(last), last);
}

// The class, the status and the words of a refusal, and of an error behind the first words.
async function errors(of) {
  for (const status of [400, 429]) {
    const call = generateText({ model: of(`+status=${status}+message=because`), prompt: PROMPT, maxRetries: 0 });
    await assert.rejects(call, (e) => APICallError.isInstance(e) && e.statusCode === status && e.message.includes("because"));
  }
  for (const script of ["cut_events=5", "error_event=5"]) {
    const told = [];
    const got = streamText({ model: of(`+events=20+${script}`), prompt: PROMPT, maxRetries: 0, onError: ({ error }) => told.push(error) });
    let words = 0;
    for await (const part of got.stream) words += part.type === "text-delta";
    assert.ok(words > 0);
    assert.equal(told.length, 1);
  }
}

async function abort(of) {
  const control = new AbortController();
  const got = streamText({ model: of("+events=1000+gap=20"), prompt: PROMPT, abortSignal: control.signal, maxRetries: 0, onError: () => {} });
  const parts = got.textStream[Symbol.asyncIterator]();
  await parts.next();
  await cancels(async () => control.abort());
}

// ---- @ai-sdk/openai: Responses by default ----

each("openai, responses: text", (p) => text(openai(p + "/gpt")));
each("openai, responses: stream", (p) => stream(openai(p + "/gpt")));
each("openai, responses: tools", (p) => tools(openai(p + "/gpt")));
each("openai, responses: structured output", (p) => structured(openai(p + "/echo")));
each("openai, responses: errors", (p) => errors((s) => openai(p + "/gpt" + s)));
each("openai, responses: abort", (p) => abort((s) => openai(p + "/gpt" + s)));

each("openai, responses: reasoning", async (p) => {
  const got = streamText({
    model: openai(p + "/gpt+thinking=5"), prompt: PROMPT, maxRetries: 0,
    providerOptions: { openai: { forceReasoning: true, reasoningEffort: "low", reasoningSummary: "auto" } },
  });
  await got.consumeStream();
  assert.ok(await got.reasoningText);
  assert.ok(await got.text);
});

// ---- @ai-sdk/openai: Chat Completions ----

each("openai, chat: text", (p) => text(openai.chat(p + "/gpt")));
each("openai, chat: stream", (p) => stream(openai.chat(p + "/gpt")));
each("openai, chat: tools", (p) => tools(openai.chat(p + "/gpt")));
each("openai, chat: structured output", (p) => structured(openai.chat(p + "/echo")));
each("openai, chat: errors", (p) => errors((s) => openai.chat(p + "/gpt" + s)));
each("openai, chat: abort", (p) => abort((s) => openai.chat(p + "/gpt" + s)));

eachOf(["openai", "sim"], "openai: embeddings", async (p) => {
  const one = await embed({ model: openai.embedding(p + "/gpt"), value: "x", maxRetries: 0 });
  const many = await embedMany({ model: openai.embedding(p + "/gpt"), values: ["x", "y"], maxRetries: 0 });
  assert.deepEqual(many.embeddings[0], one.embedding);
});

// ---- @ai-sdk/openai-compatible ----

each("compatible: text", (p) => text(compatible(p + "/gpt")));
each("compatible: stream", (p) => stream(compatible(p + "/gpt")));
each("compatible: tools", (p) => tools(compatible(p + "/gpt")));
each("compatible: structured output", (p) => structured(compatible(p + "/echo")));
each("compatible: errors", (p) => errors((s) => compatible(p + "/gpt" + s)));
each("compatible: abort", (p) => abort((s) => compatible(p + "/gpt" + s)));

each("compatible: reasoning", async (p) => {
  const got = await generateText({
    model: compatible(p + "/gpt+thinking=5"), prompt: PROMPT, maxRetries: 0, providerOptions: { sluice: { reasoningEffort: "low" } },
  });
  assert.ok(got.reasoningText && got.text);
});

eachOf(["openai", "sim"], "compatible: embeddings", async (p) => {
  const { embedding } = await embed({ model: compatible.embeddingModel(p + "/gpt"), value: "x", maxRetries: 0 });
  assert.ok(embedding.length > 10);
});

// ---- @ai-sdk/anthropic ----

each("anthropic: text", (p) => text(anthropic(p + "/gpt")));
each("anthropic: stream", (p) => stream(anthropic(p + "/gpt")));
each("anthropic: tools", (p) => tools(anthropic(p + "/gpt")));
each("anthropic: structured output", (p) => structured(anthropic(p + "/echo")));
each("anthropic: errors", (p) => errors((s) => anthropic(p + "/gpt" + s)));
each("anthropic: abort", (p) => abort((s) => anthropic(p + "/gpt" + s)));

each("anthropic: reasoning", async (p) => {
  const got = streamText({
    model: anthropic(p + "/gpt+thinking=5"), prompt: PROMPT, maxRetries: 0,
    providerOptions: { anthropic: { thinking: { type: "enabled", budgetTokens: 2000 } } },
  });
  await got.consumeStream();
  assert.ok(await got.reasoningText);
  assert.ok(await got.text);
});

// ---- @requesty/ai-sdk ----

each("requesty: text", (p) => text(requesty(p + "/gpt")));
each("requesty: stream", (p) => stream(requesty(p + "/gpt")));
each("requesty: tools", (p) => tools(requesty(p + "/gpt")));
each("requesty: structured output", (p) => structured(requesty(p + "/echo")));
each("requesty: errors", (p) => errors((s) => requesty(p + "/gpt" + s)));
each("requesty: abort", (p) => abort((s) => requesty(p + "/gpt" + s)));

each("requesty: its own fields stay with the gateway", async (p) => {
  const got = await generateText({
    model: requesty(p + "/gpt"), prompt: PROMPT, maxRetries: 0,
    providerOptions: { requesty: { tags: ["a-tag"], user_id: "a-user", trace_id: "a-trace" } },
  });
  assert.ok(got.text);
  assert.ok(!JSON.stringify((await received()).body).includes("a-tag"));
});

await run();
