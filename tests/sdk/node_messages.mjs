// Anthropic's official SDK for Node against a running server: each call, whole and streamed. Prints one JSON
// object {call: null or what went wrong}; test_node_sdk.py runs it and makes a test of each.
// Usage: node node_messages.mjs http://127.0.0.1:8081
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({baseURL: process.argv[2], apiKey: "none", maxRetries: 0, timeout: 120_000});
const messages = [{role: "user", content: "Say hello."}];
const model = "claude-x";
const tools = [{name: "read", description: "Reads a file.", input_schema: {
  type: "object", properties: {path: {type: "string", enum: ["a.c", "b.c"]}}, required: ["path"]}}];
const inputOf = (usage) => usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens;

const calls = {
  async message() {
    const message = await client.messages.create({model, messages, max_tokens: 8, system: "Be brief."});
    assert.equal(message.role, "assistant");
    assert.ok(message.content[0].text.length > 0);
    assert.ok(["end_turn", "max_tokens"].includes(message.stop_reason));
  },

  async stream() {
    const settings = {model, messages, max_tokens: 8, temperature: 0};
    const whole = await client.messages.create(settings);
    let text = "";
    const stream = client.messages.stream(settings).on("text", (piece) => { text += piece; });
    const final = await stream.finalMessage();
    assert.equal(text, whole.content[0].text);
    assert.deepEqual(final.content[0].text, text);
    assert.equal(final.stop_reason, whole.stop_reason);
    assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
    assert.equal(inputOf(final.usage), inputOf(whole.usage));
  },

  async tool_call() {
    const settings = {model, messages, tools, max_tokens: 200};
    const first = await client.messages.stream({...settings, tool_choice: {type: "any", disable_parallel_tool_use: true}}).finalMessage();
    const uses = first.content.filter((block) => block.type === "tool_use");
    assert.equal(first.stop_reason, "tool_use");
    assert.equal(uses[0].name, "read");
    assert.ok(["a.c", "b.c"].includes(uses[0].input.path));
    const results = uses.map((use) => ({type: "tool_result", tool_use_id: use.id, content: "int x;"}));
    const second = await client.messages.create({...settings, max_tokens: 4, messages: [
      ...messages, {role: "assistant", content: first.content}, {role: "user", content: results}]});
    assert.ok(second.usage.cache_read_input_tokens >= inputOf(first.usage) + first.usage.output_tokens - 1);
  },

  async count_tokens() {
    const {input_tokens} = await client.messages.countTokens({model, messages, tools});
    const message = await client.messages.create({model, messages, tools, max_tokens: 1});
    assert.equal(input_tokens, inputOf(message.usage));
  },

  async errors() {
    await assert.rejects(client.messages.create({model, max_tokens: 1, messages: []}),
                         (e) => e instanceof Anthropic.BadRequestError && e.error.error.type === "invalid_request_error");
    const long = [{role: "user", content: "1 2 ".repeat(50000)}];
    for (const stream of [false, true]) {
      await assert.rejects(client.messages.create({model, messages: long, max_tokens: 1, stream}),
                           (e) => e instanceof Anthropic.BadRequestError && e.message.includes("exceeds the available context size"));
    }
  },

  async abort() {
    const stream = await client.messages.create({model, messages, max_tokens: 400, stream: true});
    for await (const _ of stream) break;  // leaving the loop closes the connection
    assert.equal((await client.messages.create({model, messages, max_tokens: 1})).role, "assistant");
  },
};

const results = {};
for (const [name, call] of Object.entries(calls)) {
  try {
    await call();
    results[name] = null;
  } catch (error) {
    results[name] = String(error.stack ?? error);
  }
}
console.log(JSON.stringify(results));
