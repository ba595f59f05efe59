// The unmodified npm package `ollama`: ollama_client.mjs URL MODEL.

import assert from 'node:assert/strict';

import { Ollama } from 'ollama';

import {
  CALL_TEXT, CITY, MODEL, OK_SCHEMA, URL_OF_SERVER, check, forced, main, rejects, waitUntilIdle,
} from './checks.mjs';

const client = new Ollama({ host: URL_OF_SERVER });
const messages = [{ role: 'user', content: 'Hi' }];
const tools = [
  { type: 'function', function: { name: 'weather', description: '', parameters: CITY } },
];
const saying = (text, more = {}) => ({
  model: MODEL, messages, think: false, format: forced(text), ...more,
});

check('chat_whole', async () => {
  const answer = await client.chat(saying('Hello!'));
  assert.deepEqual([answer.message.content, answer.done], ['Hello!', true]);
});

check('chat_stream_with_thinking', async () => {
  let thought = '', last = null;
  for await (const part of await client.chat(saying('It rains.', {
    think: true, stream: true, options: { num_predict: 40 },
  }))) {
    thought += part.message.thinking ?? '';
    last = part;
  }
  assert(thought && last.done && last.total_duration > 0);
});

check('tools_round_trip', async () => {
  const answer = await client.chat(saying(CALL_TEXT, { tools }));
  assert.deepEqual(answer.message.tool_calls[0].function.arguments, { city: 'Paris' });
  const again = await client.chat(saying('Mild.', {
    tools,
    messages: [...messages, answer.message, { role: 'tool', tool_name: 'weather', content: '12' }],
  }));
  assert.equal(again.message.content, 'Mild.');
});

check('generate_and_a_schema', async () => {
  const answer = await client.generate({
    model: MODEL, prompt: 'Hi', think: false, format: OK_SCHEMA,
  });
  assert.equal(typeof JSON.parse(answer.response).ok, 'boolean');
});

check('models', async () => {
  assert((await client.list()).models.some((model) => model.name === MODEL));
  assert((await client.show({ model: MODEL })).capabilities.includes('completion'));
  await client.generate({ model: MODEL, prompt: '', keep_alive: '5m' });
  assert.equal((await client.ps()).models[0].name, MODEL);
  assert((await client.version()).version);
});

check('embeddings', async () => {
  assert.equal((await client.embed({ model: MODEL, input: ['One', 'Two'] })).embeddings.length, 2);
});

check('errors', async () => {
  await rejects(client.chat(saying('x', { model: 'none-such' })), 404);
  await rejects(client.chat(saying('x', { options: { temperature: 9 } })), 400);
});

check('abort_ends_the_answer', async () => {
  const stream = await client.chat(saying('word '.repeat(300), { stream: true }));
  for await (const part of stream) {
    assert(part);
    stream.abort();
    break;
  }
  await waitUntilIdle();
});

await main();
