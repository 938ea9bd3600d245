// SPDX-License-Identifier: Apache-2.0
// axios: what a program sees that brings no SDK.
import assert from "node:assert/strict";
import axios from "axios";
import { GATEWAY, GONE_KEY, KEY, cancels, direct, each, messages, run, test } from "./harness.mjs";

const http = axios.create({ baseURL: GATEWAY + "/v1", headers: { Authorization: "Bearer " + KEY }, validateStatus: () => true });

each("chat", async (p) => {
  const got = await http.post("/chat/completions", { model: p + "/gpt", messages });
  assert.equal(got.status, 200);
  assert.equal(got.data.choices[0].message.content, await direct("gpt"));
});

each("errors", async (p) => {
  const got = await http.post("/chat/completions", { model: p + "/gpt+status=429", messages });
  assert.equal(got.status, 429);
  for (const key of ["message", "type", "param", "code"]) assert.ok(key in got.data.error, key);
});

test("refusals of the gateway", async () => {
  assert.equal((await http.post("/chat/completions", { model: "nowhere/gpt", messages })).status, 404);
  assert.equal((await http.get("/auth/check", { headers: { Authorization: "Bearer " + GONE_KEY } })).status, 403);
  assert.equal((await http.get("/auth/check", { headers: { Authorization: "" } })).status, 401);
});

each("stream", async (p) => {
  const got = await http.post("/chat/completions", { model: p + "/gpt", messages, stream: true }, { responseType: "stream" });
  let text = "";
  for await (const piece of got.data) text += piece;
  assert.ok(text.endsWith("data: [DONE]\n\n"));
});

test("embeddings and models", async () => {
  const got = await http.post("/embeddings", { model: "openai/gpt", input: ["a", "b"], encoding_format: "base64" });
  assert.equal(got.data.data.length, 2);
  assert.equal(typeof got.data.data[0].embedding, "string");
  assert.ok((await http.get("/models")).data.data.some((m) => m.id === "openai/gpt"));
});

each("abort", async (p) => {
  const control = new AbortController();
  const got = await http.post("/chat/completions", { model: p + "/gpt+events=1000+gap=20", messages, stream: true },
    { responseType: "stream", signal: control.signal });
  got.data.on("error", () => {});
  await new Promise((r) => got.data.once("data", r));
  await cancels(async () => control.abort());
});

await run();
