// The openai package for node against the gateway; openai_node_test.py starts both and reads the lines.
//   node openai_node.mjs BASE_URL KEY MODEL
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({baseURL, apiKey, maxRetries: 0, timeout: 30000});
const ask = (content) => [{role: "user", content}];

async function rejects(kind, promise) {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.constructor.name, kind);
    return error;
  }
  assert.fail("no " + kind);
}

const checks = {
  async create_answers() {
    const done = await client.chat.completions.create({model, messages: ask("Hello there you")});
    assert.equal(done.choices[0].message.content, "Hello there you");
    assert.equal(done.usage.total_tokens, 10);
    assert.ok(done._request_id);
  },
  async streams_arrive_piece_by_piece() {
    const stream = await client.chat.completions.create({
      model, messages: ask("a b c"), stream: true, stream_options: {include_usage: true},
    });
    let text = "", usage = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content || "";
      usage = chunk.usage || usage;
    }
    assert.equal(text, "a b c");
    assert.equal(usage.completion_tokens, 3);
    const helper = client.chat.completions.stream({model, messages: ask("a b c")});
    assert.equal((await helper.finalChatCompletion()).choices[0].message.content, "a b c");
  },
  async stop_and_limits() {
    const done = await client.chat.completions.create({
      model, messages: ask("one two three"), stop: "three", max_completion_tokens: 50,
    });
    assert.equal(done.choices[0].message.content, "one two");
    assert.equal(done.choices[0].finish_reason, "stop");
  },
  async models_are_listed() {
    const ids = [];
    for await (const m of client.models.list()) ids.push(m.id);
    assert.deepEqual(ids, [model, "other-name"]);
    assert.equal((await client.models.retrieve("other-name")).id, "other-name");
  },
  async errors_become_the_right_classes() {
    const create = (content, more) =>
      client.chat.completions.create({model, messages: ask(content), ...more});
    let error = await rejects("BadRequestError", create("hi", {temperature: 5}));
    assert.deepEqual([error.code, error.param], ["decimal_above_max_value", "temperature"]);
    error = await rejects("NotFoundError", create("hi", {model: "gpt-9"}));
    assert.equal(error.code, "model_not_found");
    error = await rejects("InternalServerError", create("!break 0 a"));
    assert.equal(error.status, 500);
    await rejects("APIError", (async () => {
      for await (const chunk of await create("!break 1 a b c", {stream: true})) assert.ok(chunk.id);
    })());
    const wrong = new OpenAI({baseURL, apiKey: "sk-wrong-0123456789", maxRetries: 0});
    error = await rejects("AuthenticationError", wrong.models.list());
    assert.equal(error.code, "invalid_api_key");
  },
  async a_dropped_stream_is_noticed() {
    const stream = await client.chat.completions.create({
      model, messages: ask("!count 100000 !delay 5"), stream: true,
    });
    let n = 0;
    for await (const chunk of stream) {
      assert.ok(chunk.id);
      if (++n === 3) stream.controller.abort();
    }
  },
};

for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log("ok " + name);
  } catch (error) {
    console.log("not ok " + name + "\n" + error.stack);
  }
}
