// SPDX-License-Identifier: Apache-2.0
// What the scripts of this folder share. test_node.py runs each of them once, with the addresses of the gateway and of
// the simulator in the environment; a test says one line of JSON: {name, ok, why}.
import assert from "node:assert/strict";

export const { GATEWAY, KEY, GONE_KEY, SIM } = process.env;

// The providers of world.py: every client asks each of them.
export const PROVIDERS = ["openai", "sim", "claude", "responses", "gemini", "bedrock"];
export const PROMPT = "Use the tool to get the weather, please.";
export const messages = [{ role: "user", content: PROMPT }];
export const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
// The model `echo` says what the user said, so that this is what structured output looks like from a provider that
// takes the schema as OpenAI does; Anthropic's is asked by way of a tool and fills the schema itself.
export const CITY = '{"city": "Rome", "days": 3}';

const tests = [];

export function test(name, run) {
  tests.push({ name, run });
}

// One test for each of the providers: test_node.py reads the names out of the script's text.
export function each(name, run) {
  eachOf(PROVIDERS, name, run);
}

export function eachOf(providers, name, run) {
  for (const p of providers) tests.push({ name: `${name} [${p}]`, run: () => run(p) });
}

async function ask(url, init) {
  return await (await fetch(url, init)).json();
}

// The simulator's own words for a prompt, asked without a gateway.
export async function direct(model, content = PROMPT) {
  const body = JSON.stringify({ model, messages: [{ role: "user", content }] });
  const headers = { "content-type": "application/json", authorization: "Bearer x" };
  const got = await ask(SIM + "/v1/chat/completions", { method: "POST", headers, body });
  return got.choices[0].message.content;
}

// The last request that reached the simulator: {line, headers, body}.
export async function received() {
  const [last] = (await ask(SIM + "/_sim/last?n=1")).requests;
  const [line, ...fields] = last.head.split("\r\n");
  return { line, headers: new Headers(fields.filter((f) => f).map((f) => f.split(/:\s*(.*)/, 2))), body: JSON.parse(last.body) };
}

export function counts() {
  return ask(SIM + "/_sim/counts");
}

// Runs `leave` while a request is open and expects the simulator to see the cancel soon.
export async function cancels(leave) {
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

export async function run() {
  for (const { name, run } of tests) {
    let why;
    try {
      await run();
    } catch (e) {
      why = e?.stack ?? String(e);
    }
    console.log(JSON.stringify({ name, ok: why === undefined, why }));
  }
  process.exit(0); // kept connections would hold the process for a while
}
