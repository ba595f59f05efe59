// The unmodified npm package `openai`: openai_client.mjs URL MODEL.

import assert from 'node:assert/strict';

import OpenAI from 'openai';

import {
  CALL_TEXT, CITY, MODEL, OK_SCHEMA, URL_OF_SERVER, check, forced, main, rejects, waitUntilIdle,
} from './checks.mjs';

const client = new OpenAI({ baseURL: `${URL_OF_SERVER}/v1`, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hi' }];
const tools = [{ type: 'function', function: { name: 'weather', parameters: CITY } }];
const short = { think_budget: 8 };

check('chat_whole', async () => {
  const answer = await client.chat.completions.create({
    model: MODEL, messages, response_format: forced('Hello!'), ...short,
  });
  assert.equal(answer.choices[0].message.content, 'Hello!');
  assert(answer.usage.completion_tokens_details.reasoning_tokens > 0);
});

check('chat_stream_with_thinking_and_usage', async () => {
  let thought = '', text = '', usage = null;
  const stream = await client.chat.completions.create({
    model: MODEL, messages, stream: true, stream_options: { include_usage: true },
    response_format: forced('It rains.'), ...short,
  });
  for await (const chunk of stream) {
    usage = chunk.usage ?? usage;
    thought += chunk.choices[0]?.delta?.reasoning_content ?? '';
    text += chunk.choices[0]?.delta?.content ?? '';
  }
  assert.equal(text, 'It rains.');
  assert(thought && usage.total_tokens > 0);
});

check('chat_tools_round_trip_with_the_stream_helper', async () => {
  const stream = client.chat.completions.stream({
    model: MODEL, messages, tools, response_format: forced(CALL_TEXT), ...short,
  });
  const message = await stream.finalMessage();
  const call = message.tool_calls[0];
  assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Paris' });
  const answer = await client.chat.completions.create({
    model: MODEL, tools, response_format: forced('Mild.'), ...short,
    messages: [...messages, message, { role: 'tool', tool_call_id: call.id, content: '12' }],
  });
  assert.equal(answer.choices[0].message.content, 'Mild.');
});

check('chat_runs_tools_itself', async () => {
  const asked = [];
  const runner = client.chat.completions.runTools({
    model: MODEL, messages, stream: true, ...short,
    response_format: forced(CALL_TEXT),
    tools: [{
      type: 'function',
      function: {
        name: 'weather', parameters: CITY, parse: JSON.parse,
        function: (args) => { asked.push(args); runner.abort(); return '12 degrees'; },
      },
    }],
  });
  await runner.done().catch(() => {});
  assert.deepEqual(asked, [{ city: 'Paris' }]);
});

check('chat_json_schema', async () => {
  const answer = await client.chat.completions.parse({
    model: MODEL, messages, ...short,
    response_format: {
      type: 'json_schema', json_schema: { name: 'x', strict: true, schema: OK_SCHEMA },
    },
  });
  assert.equal(typeof JSON.parse(answer.choices[0].message.content).ok, 'boolean');
});

check('response_stream_helper_and_the_final_response', async () => {
  const kinds = [];
  const stream = client.responses.stream({
    model: MODEL, input: 'Hi', text: { format: forced('It rains.') }, ...short,
  });
  for await (const event of stream) kinds.push(event.type);
  const final = await stream.finalResponse();
  assert.equal(final.output_text, 'It rains.');
  assert.equal(final.output[0].content[0].type, 'reasoning_text');
  assert.equal(kinds.at(-1), 'response.completed');
});

check('response_tools_round_trip', async () => {
  const own = [{ type: 'function', name: 'weather', parameters: CITY, strict: true }];
  const final = await client.responses.stream({
    model: MODEL, input: 'Hi', tools: own, text: { format: forced(CALL_TEXT) }, ...short,
  }).finalResponse();
  const call = final.output.find((item) => item.type === 'function_call');
  assert.deepEqual(JSON.parse(call.arguments), { city: 'Paris' });
  const answer = await client.responses.create({
    model: MODEL, previous_response_id: final.id, tools: own,
    input: [{ type: 'function_call_output', call_id: call.call_id, output: '12' }],
    text: { format: forced('Mild.') }, ...short,
  });
  assert.equal(answer.output_text, 'Mild.');
  await client.responses.delete(answer.id);
  await rejects(client.responses.retrieve(answer.id), 404);
});

check('completions_and_models', async () => {
  const answer = await client.completions.create({ model: MODEL, prompt: 'One,', max_tokens: 3 });
  assert(answer.usage.completion_tokens <= 3);
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert(names.includes(MODEL));
});

check('embeddings', async () => {
  const answer = await client.embeddings.create({ model: MODEL, input: ['One', 'Two'] });
  assert.equal(answer.data[0].embedding.length, answer.data[1].embedding.length);
});

check('errors_have_their_status_and_param', async () => {
  await rejects(client.chat.completions.create({ model: MODEL, messages, temperature: 9 }), 400,
    (error) => {
      assert.deepEqual([error.param, error.type], ['temperature', 'invalid_request_error']);
    });
  await rejects(client.responses.create({ model: 'none-such', input: 'x' }), 404,
    (error) => assert.equal(error.code, 'model_not_found'));
});

check('abort_ends_the_answer', async () => {
  const stream = await client.chat.completions.create({
    model: MODEL, messages, stream: true, response_format: forced('word '.repeat(300)),
  });
  for await (const chunk of stream) {
    assert(chunk);
    stream.controller.abort();
    break;
  }
  await waitUntilIdle();
});

await main();
