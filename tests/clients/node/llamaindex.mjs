// SPDX-License-Identifier: Apache-2.0
// LlamaIndex for TypeScript: @llamaindex/openai, which always sends temperature 0.1 and top_p 1. Leaving one of its
// streams keeps the connection and the request open, so there is no test of that.
import assert from "node:assert/strict";
import { OpenAI, OpenAIEmbedding, OpenAIResponses } from "@llamaindex/openai";
import { z } from "zod";
import { CITY, GATEWAY, KEY, PROMPT, direct, each, eachOf, messages, run, schema } from "./harness.mjs";

const options = { apiKey: KEY, baseURL: GATEWAY + "/v1", maxRetries: 0 };
const chat = (model) => new OpenAI({ ...options, model });
const Forecast = z.object({ city: z.string(), days: z.number().int() });
const tools = [{ metadata: { name: "get_weather", description: "tells the weather", parameters: schema }, call: () => "sunny" }];

async function text(llm) {
  assert.equal((await llm.chat({ messages })).message.content, await direct("gpt"));
}

async function stream(llm) {
  const pieces = [];
  for await (const chunk of await llm.chat({ messages, stream: true })) if (chunk.delta) pieces.push(chunk.delta);
  assert.equal(pieces.join(""), await direct("gpt"));
  assert.ok(pieces.length > 3);
}

each("chat", (p) => text(chat(p + "/gpt")));
each("stream", (p) => stream(chat(p + "/gpt")));

// The other two spellings of the address that guides show.
each("the address in additionalSessionOptions", (p) =>
  text(new OpenAI({ apiKey: KEY, model: p + "/gpt", additionalSessionOptions: { baseURL: GATEWAY + "/v1" } })));

each("the address in the environment", async (p) => {
  process.env.OPENAI_BASE_URL = GATEWAY + "/v1";
  try {
    await text(new OpenAI({ apiKey: KEY, model: p + "/gpt" }));
  } finally {
    delete process.env.OPENAI_BASE_URL;
  }
});

each("tools, plain, streamed and answered", async (p) => {
  const llm = chat(p + "/gpt");
  const first = await llm.chat({ messages, tools });
  const [call] = first.message.options.toolCall;
  assert.equal(call.name, "get_weather");
  assert.equal(typeof (typeof call.input === "string" ? JSON.parse(call.input) : call.input).city, "string");
  let streamed;
  for await (const chunk of await llm.chat({ messages, tools, stream: true })) streamed = chunk.options?.toolCall?.at(-1) ?? streamed;
  assert.equal(streamed.name, "get_weather");
  const second = await llm.chat({
    tools,
    messages: [...messages, first.message, { role: "user", content: "sunny", options: { toolResult: { id: call.id, result: "sunny", isError: false } } }],
  });
  assert.ok(second.message.content);
});

each("structured output", async (p) => {
  const got = await chat(p + "/echo").chat({ messages: [{ role: "user", content: CITY }], responseFormat: Forecast });
  Forecast.parse(JSON.parse(got.message.content));
});

// Its own empty instructions are part of the prompt, so `echo` is asked; and it repeats a delta with each event that
// is none, so that the raw events are looked at.
each("responses", async (p) => {
  const llm = new OpenAIResponses({ ...options, model: p + "/echo" });
  assert.equal((await llm.chat({ messages })).message.content, PROMPT);
  let text = "";
  for await (const { raw } of await llm.chat({ messages, stream: true })) if (raw.type === "response.output_text.delta") text += raw.delta;
  assert.equal(text, PROMPT);
});

eachOf(["openai", "sim"], "embeddings", async (p) => {
  const embedding = new OpenAIEmbedding({ ...options, model: p + "/gpt" });
  assert.deepEqual((await embedding.getTextEmbeddings(["x", "y"]))[0], await embedding.getTextEmbedding("x"));
});

each("errors", async (p) => {
  await assert.rejects(chat(p + "/gpt+status=429+message=because").chat({ messages }), (e) => e.status === 429 && e.message.includes("because"));
  await assert.rejects(async () => {
    for await (const _ of await chat(p + "/gpt+events=20+cut_events=5").chat({ messages, stream: true })) ;
  });
});

await run();
