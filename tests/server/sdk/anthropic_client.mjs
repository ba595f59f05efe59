// The unmodified npm package `@anthropic-ai/sdk`: anthropic_client.mjs URL MODEL.

import assert from 'node:assert/strict';

import Anthropic from '@anthropic-ai/sdk';

import {
  CALL_TEXT, CITY, MODEL, OK_SCHEMA, URL_OF_SERVER, check, forced, main, rejects, waitUntilIdle,
} from './checks.mjs';

const client = new Anthropic({ baseURL: URL_OF_SERVER, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hi' }];
const tools = [{ name: 'weather', description: 'Of a city', input_schema: CITY }];
const thinking = { type: 'enabled', budget_tokens: 8 };
const saying = (text, more = {}) => ({
  model: MODEL, max_tokens: 1600, messages, output_config: { format: forced(text) }, ...more,
});

check('message_whole', async () => {
  const message = await client.messages.create(saying('Hello!', { system: 'Be brief.' }));
  assert.deepEqual(message.content, [{ type: 'text', text: 'Hello!' }]);
  assert.equal(message.stop_reason, 'end_turn');
});

check('message_stream_with_thinking', async () => {
  let thought = '', text = '', signature = '';
  const stream = client.messages.stream(saying('It rains.', { thinking }))
    .on('thinking', (delta) => { thought += delta; })
    .on('signature', (one) => { signature = one; })
    .on('text', (delta) => { text += delta; });
  const message = await stream.finalMessage();
  assert.equal(text, 'It rains.');
  assert.equal(message.content[0].thinking, thought);
  assert(thought && signature && message.usage.output_tokens > 0);
});

check('tools_round_trip', async () => {
  const message = await client.messages.stream(saying(CALL_TEXT, { tools, thinking }))
    .finalMessage();
  const call = message.content.at(-1);
  assert.deepEqual([message.stop_reason, call.input], ['tool_use', { city: 'Paris' }]);
  const answer = await client.messages.create(saying('Mild.', {
    tools,
    messages: [...messages, { role: 'assistant', content: message.content },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: '12' }] }],
  }));
  assert.equal(answer.content[0].text, 'Mild.');
});

check('json_schema', async () => {
  const message = await client.messages.create(saying('', {
    output_config: { format: { type: 'json_schema', schema: OK_SCHEMA } },
  }));
  assert.equal(typeof JSON.parse(message.content[0].text).ok, 'boolean');
});

check('tokens_are_counted_and_models_listed', async () => {
  const count = await client.messages.countTokens({ model: MODEL, messages });
  assert(count.input_tokens > 0);
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert(names.includes(MODEL));
});

check('errors_have_their_class', async () => {
  await rejects(client.messages.create(saying('x', { temperature: 3 })), 400,
    (error) => assert(error instanceof Anthropic.BadRequestError));
  await rejects(client.messages.create(saying('x', { model: 'none-such' })), 404,
    (error) => assert.equal(error.error.error.type, 'not_found_error'));
});

check('abort_ends_the_answer', async () => {
  const stream = client.messages.stream(saying('word '.repeat(300)));
  await new Promise((done) => { stream.on('text', done); });
  stream.abort();
  await stream.done().catch(() => {});
  await waitUntilIdle();
});

await main();
