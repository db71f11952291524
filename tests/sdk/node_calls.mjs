// The official OpenAI SDK for Node against a running server: each call, whole and streamed. Prints one JSON
// object {call: null or what went wrong}; test_node_sdk.py runs it and makes a test of each.
// Usage: node node_calls.mjs http://127.0.0.1:8081
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({baseURL: process.argv[2] + "/v1", apiKey: "none", maxRetries: 0, timeout: 120_000});
const messages = [{role: "user", content: "Say hello."}];
const model = (await client.models.list()).data[0].id;

const calls = {
  async models() {
    assert.equal((await client.models.retrieve(model)).id, model);
    await assert.rejects(client.models.retrieve("no-such-model"), OpenAI.NotFoundError);
  },

  async chat() {
    const answer = await client.chat.completions.create({model, messages, max_tokens: 8});
    assert.equal(answer.choices[0].message.role, "assistant");
    assert.ok(answer.choices[0].message.content.length > 0);
    assert.ok(["stop", "length"].includes(answer.choices[0].finish_reason));
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  },

  async chat_stream() {
    const settings = {model, messages, max_tokens: 8, temperature: 0};
    const whole = await client.chat.completions.create(settings);
    const stream = await client.chat.completions.create({...settings, stream: true, stream_options: {include_usage: true}});
    let text = "", usage = null, finishes = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      if (chunk.choices[0]?.finish_reason) finishes += 1;
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(finishes, 1);
    assert.deepEqual({...usage, prompt_tokens_details: null}, {...whole.usage, prompt_tokens_details: null});
  },

  async chat_stream_helper() {
    const runner = client.chat.completions.stream({model, messages, max_tokens: 8});
    const final = await runner.finalChatCompletion();
    assert.ok(final.choices[0].message.content.length > 0);
  },

  async several_choices() {
    const answer = await client.chat.completions.create({model, messages, max_tokens: 3, n: 2});
    assert.deepEqual(answer.choices.map((c) => c.index), [0, 1]);
    const seen = new Set();
    for await (const chunk of await client.chat.completions.create({model, messages, max_tokens: 3, n: 2, stream: true})) {
      for (const choice of chunk.choices) seen.add(choice.index);
    }
    assert.deepEqual([...seen].sort(), [0, 1]);
  },

  async stop() {
    const settings = {model, messages, max_tokens: 40, temperature: 0};
    const text = (await client.chat.completions.create(settings)).choices[0].message.content;
    const stop = text.slice(3, 5);
    const cut = await client.chat.completions.create({...settings, stop: [stop]});
    assert.equal(cut.choices[0].message.content, text.slice(0, text.indexOf(stop)));
    assert.equal(cut.choices[0].finish_reason, "stop");
  },

  async logprobs() {
    const answer = await client.chat.completions.create({model, messages, max_tokens: 3, logprobs: true, top_logprobs: 2});
    for (const token of answer.choices[0].logprobs.content) {
      assert.ok(token.logprob <= 0);
      assert.equal(token.top_logprobs.length, 2);
    }
  },

  async completions() {
    const answer = await client.completions.create({model, prompt: "Once upon a time", max_tokens: 4});
    assert.ok(answer.choices[0].text.length > 0);
    let text = "";
    for await (const chunk of await client.completions.create({model, prompt: "Once upon a time", max_tokens: 4, stream: true})) {
      text += chunk.choices[0].text;
    }
    assert.ok(text.length > 0);
  },

  async response() {
    const settings = {model, input: "Say hello.", max_output_tokens: 8, temperature: 0};
    const whole = await client.responses.create(settings);
    assert.ok(["completed", "incomplete"].includes(whole.status));
    const stream = client.responses.stream(settings);
    let text = "";
    stream.on("response.output_text.delta", (event) => { text += event.delta; });
    for await (const _ of stream);
    assert.equal(text, whole.output_text);
  },

  async response_call() {
    const input = [{role: "user", content: "Say hello."}];
    const tools = [{type: "function", name: "read", strict: false,
                    parameters: {type: "object", properties: {path: {enum: ["a.c", "b.c"]}}, required: ["path"]}}];
    const settings = {model, tools, parallel_tool_calls: false, store: false};
    const first = await client.responses.stream({...settings, input, tool_choice: "required", max_output_tokens: 200}).finalResponse();
    const calls = first.output.filter((item) => item.type === "function_call");
    assert.equal(calls[0].name, "read");
    assert.ok(["a.c", "b.c"].includes(JSON.parse(calls[0].arguments).path));
    const results = calls.map((call) => ({type: "function_call_output", call_id: call.call_id, output: "int x;"}));
    const second = await client.responses.create({...settings, input: [...input, ...first.output, ...results], max_output_tokens: 4});
    assert.ok(second.usage.input_tokens_details.cached_tokens >= first.usage.input_tokens + first.usage.output_tokens - 1);
  },

  async chat_call() {
    const tools = [{type: "function", function: {name: "read", parameters: {
      type: "object", properties: {path: {enum: ["a.c", "b.c"]}}, required: ["path"]}}}];
    const runner = client.chat.completions.stream({model, messages, tools, tool_choice: "required", parallel_tool_calls: false, max_tokens: 200});
    const {choices: [choice]} = await runner.finalChatCompletion();
    assert.equal(choice.finish_reason, "tool_calls");
    assert.equal(choice.message.tool_calls[0].function.name, "read");
    assert.ok(["a.c", "b.c"].includes(JSON.parse(choice.message.tool_calls[0].function.arguments).path));
  },

  async errors() {
    await assert.rejects(client.chat.completions.create({model, messages: []}),
                         (e) => e instanceof OpenAI.BadRequestError && e.param === "messages");
    const long = [{role: "user", content: "1 2 ".repeat(50000)}];
    for (const stream of [false, true]) {
      await assert.rejects(client.chat.completions.create({model, messages: long, stream}),
                           (e) => e instanceof OpenAI.BadRequestError && e.code === "context_length_exceeded");
    }
    await assert.rejects(client.embeddings.create({model, input: "x"}), (e) => e.status === 501);
  },

  async abort() {
    const stream = await client.chat.completions.create({model, messages, max_tokens: 400, stream: true});
    for await (const _ of stream) break;  // leaving the loop closes the connection
    const answer = await client.chat.completions.create({model, messages, max_tokens: 1});
    assert.equal(answer.choices.length, 1);
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
