// SPDX-License-Identifier: Apache-2.0
// LangChain for JavaScript: @langchain/openai with both of OpenAI's formats, and @langchain/anthropic.
import assert from "node:assert/strict";
import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { CITY, GATEWAY, KEY, PROMPT, cancels, direct, each, eachOf, run } from "./harness.mjs";

const configuration = { baseURL: GATEWAY + "/v1" };
const chat = (model, more) => new ChatOpenAI({ model, apiKey: KEY, configuration, maxRetries: 0, ...more });
const responses = (model) => chat(model, { useResponsesApi: true });
const anthropic = (model) => new ChatAnthropic({ model, apiKey: KEY, anthropicApiUrl: GATEWAY, maxRetries: 0, maxTokens: 4000 });
const Forecast = z.object({ city: z.string(), days: z.number().int() });
const get_weather = tool(async () => "sunny", { name: "get_weather", description: "tells the weather", schema: z.object({ city: z.string() }) });

async function text(model) {
  const got = await model.invoke(PROMPT);
  assert.equal(got.text, await direct("gpt"));
  assert.ok(got.usage_metadata.input_tokens > 0 && got.usage_metadata.output_tokens > 0);
}

async function stream(model) {
  let all, pieces = 0;
  for await (const chunk of await model.stream(PROMPT)) {
    all = all ? all.concat(chunk) : chunk;
    pieces += chunk.text !== "";
  }
  assert.equal(all.text, await direct("gpt"));
  assert.ok(pieces > 3);
  assert.ok(all.usage_metadata.output_tokens > 0);
}

// The call, plain and streamed, and the answer to its result.
async function tools(model) {
  const bound = model.bindTools([get_weather]);
  const question = new HumanMessage(PROMPT);
  const got = await bound.invoke([question]);
  let all;
  for await (const chunk of await bound.stream([question])) all = all ? all.concat(chunk) : chunk;
  assert.equal(got.tool_calls.length, 1);
  assert.equal(typeof got.tool_calls[0].args.city, "string");
  assert.deepEqual(all.tool_calls.map((c) => c.args), got.tool_calls.map((c) => c.args));
  const result = await get_weather.invoke(got.tool_calls[0]);
  assert.ok(ToolMessage.isInstance(result));
  const second = await bound.invoke([question, got, result]);
  assert.ok(second.text);
}

async function structured(model, methods) {
  for (const method of methods) {
    const got = await model.withStructuredOutput(Forecast, { name: "forecast", method }).invoke(CITY);
    assert.deepEqual(Forecast.parse(got), got);
  }
}

async function errors(of) {
  for (const status of [400, 429]) {
    await assert.rejects(of(`+status=${status}+message=because`).invoke(PROMPT), (e) => e.status === status && e.message.includes("because"));
  }
  for (const script of ["cut_events=5", "error_event=5"]) {
    let pieces = 0;
    await assert.rejects(async () => {
      for await (const _ of await of(`+events=20+${script}`).stream(PROMPT)) pieces++;
    });
    assert.ok(pieces > 0);
  }
}

async function abort(model) {
  const control = new AbortController();
  const chunks = (await model.stream(PROMPT, { signal: control.signal }))[Symbol.asyncIterator]();
  await chunks.next();
  await cancels(async () => control.abort());
  await chunks.next().catch(() => {});
}

each("openai: invoke", (p) => text(chat(p + "/gpt")));
each("openai: stream", (p) => stream(chat(p + "/gpt")));
each("openai: tools", (p) => tools(chat(p + "/gpt")));
each("openai: structured output", (p) => structured(chat(p + "/echo"), ["jsonSchema", "functionCalling"]));
each("openai: errors", (p) => errors((s) => chat(p + "/gpt" + s)));
each("openai: abort", (p) => abort(chat(p + "/gpt+events=1000+gap=20")));

each("responses: invoke", (p) => text(responses(p + "/gpt")));
each("responses: stream", (p) => stream(responses(p + "/gpt")));
each("responses: tools", (p) => tools(responses(p + "/gpt")));
each("responses: structured output", (p) => structured(responses(p + "/echo"), ["jsonSchema", "functionCalling"]));
each("responses: errors", (p) => errors((s) => responses(p + "/gpt" + s)));

each("anthropic: invoke", (p) => text(anthropic(p + "/gpt")));
each("anthropic: stream", (p) => stream(anthropic(p + "/gpt")));
each("anthropic: tools", (p) => tools(anthropic(p + "/gpt")));
each("anthropic: structured output", (p) => structured(anthropic(p + "/echo"), ["jsonSchema", "functionCalling"]));
each("anthropic: errors", (p) => errors((s) => anthropic(p + "/gpt" + s)));
each("anthropic: abort", (p) => abort(anthropic(p + "/gpt+events=1000+gap=20")));

eachOf(["openai", "sim"], "embeddings", async (p) => {
  const embeddings = new OpenAIEmbeddings({ model: p + "/gpt", apiKey: KEY, configuration, maxRetries: 0 });
  const one = await embeddings.embedQuery("x");
  assert.deepEqual((await embeddings.embedDocuments(["x", "y"]))[0], one);
});

await run();
