// SPDX-License-Identifier: Apache-2.0
// The openai package: Chat Completions, Responses and embeddings over providers of every format.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { CITY, GATEWAY, GONE_KEY, KEY, PROMPT, cancels, counts, direct, each, eachOf, messages, run, schema, test } from "./harness.mjs";

const ai = new OpenAI({ baseURL: GATEWAY + "/v1", apiKey: KEY, maxRetries: 0 });
const chatTools = [{ type: "function", function: { name: "get_weather", parameters: schema } }];
const tools = [{ type: "function", name: "get_weather", parameters: schema, strict: false }];
const Forecast = z.object({ city: z.string(), days: z.number().int() });

// ---- Chat Completions ----

each("chat", async (p) => {
  const got = await ai.chat.completions.create({ model: p + "/gpt", messages });
  assert.equal(got.choices[0].message.content, await direct("gpt"));
  assert.equal(got.choices[0].finish_reason, "stop");
  assert.ok(got.usage.cost > 0);
  assert.ok(got._request_id);
});

each("stream", async (p) => {
  let text = "", usage;
  for await (const chunk of await ai.chat.completions.create({
    model: p + "/gpt", messages, stream: true, stream_options: { include_usage: true },
  })) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, await direct("gpt"));
  assert.ok(usage.completion_tokens > 0);
});

each("tools, plain, streamed and answered", async (p) => {
  const ask = { model: p + "/gpt+tools=2+args_piece=3", messages, tools: chatTools };
  const got = await ai.chat.completions.create(ask);
  assert.equal(got.choices[0].finish_reason, "tool_calls");
  const calls = got.choices[0].message.tool_calls;
  const streamed = (await ai.chat.completions.stream(ask).finalMessage()).tool_calls;
  assert.equal(calls.length, 2);
  assert.deepEqual(streamed.map((c) => JSON.parse(c.function.arguments)), calls.map((c) => JSON.parse(c.function.arguments)));
  const second = await ai.chat.completions.create({
    model: p + "/gpt", tools: chatTools,
    messages: [...messages, got.choices[0].message, ...calls.map((c) => ({ role: "tool", tool_call_id: c.id, content: "sunny" }))],
  });
  assert.ok(second.choices[0].message.content);
});

each("runTools calls the function and goes on", async (p) => {
  let asked;
  const runner = ai.chat.completions.runTools({
    model: p + "/gpt", messages,
    tools: [{ type: "function", function: { name: "get_weather", parameters: schema, parse: JSON.parse, function: (a) => { asked = a; return "sunny"; } } }],
  });
  assert.ok(await runner.finalContent());
  assert.equal(typeof asked.city, "string");
});

each("parse with zod", async (p) => {
  const ask = { model: p + "/echo", messages: [{ role: "user", content: CITY }], response_format: zodResponseFormat(Forecast, "forecast") };
  const { parsed } = (await ai.chat.completions.parse(ask)).choices[0].message;
  assert.deepEqual(Forecast.parse(parsed), parsed);
  assert.deepEqual((await ai.chat.completions.stream(ask).finalMessage()).parsed, parsed);
});

each("a tool made with zod", async (p) => {
  const got = await ai.chat.completions.parse({ model: p + "/gpt", messages, tools: [zodFunction({ name: "get_weather", parameters: Forecast })] });
  Forecast.parse(got.choices[0].message.tool_calls[0].function.parsed_arguments);
});

// ---- Responses ----

each("responses", async (p) => {
  const got = await ai.responses.create({ model: p + "/gpt", input: PROMPT });
  assert.equal(got.output_text, await direct("gpt"));
  assert.equal(got.status, "completed");
  assert.ok(got.usage.cost > 0);
});

each("responses: stream", async (p) => {
  const stream = ai.responses.stream({ model: p + "/gpt", input: messages });
  let text = "";
  stream.on("response.output_text.delta", (e) => { text += e.delta; });
  const final = await stream.finalResponse();
  assert.equal(text, await direct("gpt"));
  assert.equal(final.output_text, text);
});

each("responses: tools, plain, streamed and answered", async (p) => {
  const got = await ai.responses.create({ model: p + "/gpt", input: messages, tools });
  const call = got.output.find((i) => i.type === "function_call");
  const streamed = await ai.responses.stream({ model: p + "/gpt", input: messages, tools }).finalResponse();
  assert.deepEqual(JSON.parse(streamed.output.find((i) => i.type === "function_call").arguments), JSON.parse(call.arguments));
  const second = await ai.responses.create({
    model: p + "/gpt", tools,
    input: [...messages, ...got.output, { type: "function_call_output", call_id: call.call_id, output: "sunny" }],
  });
  assert.ok(second.output_text);
});

each("responses: parse with zod", async (p) => {
  const got = await ai.responses.parse({ model: p + "/echo", input: CITY, text: { format: zodTextFormat(Forecast, "forecast") } });
  assert.deepEqual(Forecast.parse(got.output_parsed), got.output_parsed);
});

// ---- embeddings and models ----

eachOf(["openai", "sim"], "embeddings, base64 by default and float", async (p) => {
  const one = await ai.embeddings.create({ model: p + "/gpt", input: "x" });
  const two = await ai.embeddings.create({ model: p + "/gpt", input: "x", encoding_format: "float" });
  assert.equal(one.data[0].embedding.length, two.data[0].embedding.length);
  assert.ok(Math.abs(one.data[0].embedding[0] - two.data[0].embedding[0]) < 1e-5);
});

test("models", async () => {
  const ids = [];
  for await (const m of ai.models.list()) ids.push(m.id);
  assert.ok(ids.includes("openai/gpt"));
  assert.equal((await ai.models.retrieve("openai/gpt")).id, "openai/gpt");
});

// ---- refusals, interruptions, leaving ----

each("error classes", async (p) => {
  for (const [status, of] of [[400, OpenAI.BadRequestError], [404, OpenAI.NotFoundError], [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError], [503, OpenAI.InternalServerError]]) {
    const model = `${p}/gpt+status=${status}+message=because`;
    for (const call of [ai.chat.completions.create({ model, messages }), ai.responses.create({ model, input: PROMPT }),
      ai.chat.completions.create({ model, messages, stream: true })]) {
      await assert.rejects(call, (e) => e instanceof of && e.message.includes("because") && typeof e.type === "string" && !!e.requestID);
    }
  }
});

test("refusals of the gateway", async () => {
  const call = (model, client = ai) => client.chat.completions.create({ model, messages });
  await assert.rejects(call("nowhere/gpt"), OpenAI.NotFoundError);
  await assert.rejects(call("openai/gpt", ai.withOptions({ apiKey: "nonsense" })), OpenAI.AuthenticationError);
  await assert.rejects(call("openai/gpt", ai.withOptions({ apiKey: GONE_KEY })), OpenAI.PermissionDeniedError);
});

each("an error in the middle of a stream", async (p) => {
  for (const script of ["cut_events=5", "error_event=5"]) {
    const model = `${p}/gpt+events=20+${script}`;
    for (const start of [() => ai.chat.completions.create({ model, messages, stream: true }),
      () => ai.responses.create({ model, input: PROMPT, stream: true })]) {
      let got = 0;
      await assert.rejects(async () => {
        for await (const _ of await start()) got++;
      }, OpenAI.APIError);
      assert.ok(got >= 5);
    }
  }
});

each("abort", async (p) => {
  for (const ask of [{ messages }, { input: PROMPT }]) {
    const model = p + "/gpt+events=1000+gap=20";
    const stream = await (ask.input ? ai.responses : ai.chat.completions).create({ model, ...ask, stream: true });
    const chunks = stream[Symbol.asyncIterator]();
    await chunks.next();
    await cancels(async () => stream.controller.abort());
    assert.equal((await counts()).open, 0);
  }
});

await run();
