// The unmodified npm package `ai` through three of its providers: ai_client.mjs URL MODEL. Forced
// answers go in by a fetch of ours that adds them to the body; all else is the packages' own.

import assert from 'node:assert/strict';

import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai';

import {
  CALL_TEXT, CITY, MODEL, OK_SCHEMA, URL_OF_SERVER, check, forced, main, rejects, waitUntilIdle,
} from './checks.mjs';

let texts = [];
const adding = (add) => async (url, init) => {
  const body = JSON.parse(init.body);
  add(body, texts.length ? forced(texts.shift()) : null);
  return fetch(url, { ...init, body: JSON.stringify(body) });
};
const shared = { apiKey: 'none' };
const models = {
  compatible: createOpenAICompatible({
    ...shared, name: 'minke', baseURL: `${URL_OF_SERVER}/v1`, includeUsage: true,
    supportsStructuredOutputs: true,
    fetch: adding((body, form) => {
      body.think_budget = 8;
      if (form) body.response_format = form;
    }),
  })(MODEL),
  responses: createOpenAI({
    ...shared, baseURL: `${URL_OF_SERVER}/v1`,
    fetch: adding((body, form) => {
      Object.assign(body, { think_budget: 8, reasoning: { summary: 'auto' } });
      if (form) body.text = { format: form };
    }),
  }).responses(MODEL),
  anthropic: createAnthropic({
    ...shared, baseURL: `${URL_OF_SERVER}/v1`,
    fetch: adding((body, form) => {
      Object.assign(body, { thinking: { type: 'enabled', budget_tokens: 8 }, max_tokens: 1600 });
      if (form) body.output_config = { format: form };
    }),
  })(MODEL),
};
const weather = (asked) => tool({
  description: 'Of a city',
  inputSchema: jsonSchema(CITY),
  execute: async (input) => { asked.push(input); return '12 degrees'; },
});

for (const [name, model] of Object.entries(models)) {
  const rest = { model, maxRetries: 0 };

  check(`${name}_whole`, async () => {
    texts = ['Hello!'];
    const answer = await generateText({ ...rest, prompt: 'Hi' });
    assert.equal(answer.text, 'Hello!');
    assert(answer.reasoningText, 'no thinking');
    assert.equal(answer.finishReason, 'stop');
    assert(answer.usage.outputTokens > 0);
  });

  check(`${name}_stream`, async () => {
    texts = ['It rains.'];
    const answer = streamText({ ...rest, prompt: 'Hi', onError: ({ error }) => { throw error; } });
    let text = '';
    for await (const part of answer.textStream) text += part;
    assert.equal(text, 'It rains.');
    assert(await answer.reasoningText, 'no thinking');
    assert((await answer.usage).outputTokens > 0);
  });

  check(`${name}_runs_a_tool_and_goes_on`, async () => {
    const asked = [];
    texts = [CALL_TEXT, 'Mild.'];
    const answer = streamText({
      ...rest, prompt: 'Hi', tools: { weather: weather(asked) }, stopWhen: stepCountIs(3),
      onError: ({ error }) => { throw error; },
    });
    await answer.consumeStream();
    assert.deepEqual(asked, [{ city: 'Paris' }]);
    assert.equal(await answer.text, 'Mild.');
  });

  check(`${name}_object`, async () => {
    texts = [];
    const answer = await generateText({
      ...rest, prompt: 'Hi', maxOutputTokens: 600,
      output: Output.object({ schema: jsonSchema(OK_SCHEMA) }),
    });
    assert.equal(typeof answer.output.ok, 'boolean');
  });

  check(`${name}_error`, async () => {
    texts = [];
    await rejects(generateText({ ...rest, prompt: 'Hi', topP: 7 }), 400);
  });

  check(`${name}_abort_ends_the_answer`, async () => {
    texts = ['word '.repeat(300)];
    const controller = new AbortController();
    const answer = streamText({
      ...rest, prompt: 'Hi', abortSignal: controller.signal, onError: () => {},
    });
    for await (const part of answer.fullStream) {
      if (part.type === 'text-delta' || part.type === 'reasoning-delta') controller.abort();
    }
    await waitUntilIdle();
  });
}

await main();
