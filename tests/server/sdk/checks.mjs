// What the scripts of the npm clients share: checks by name, and how they are told.

import assert from 'node:assert/strict';

export const [URL_OF_SERVER, MODEL] = process.argv.slice(2);
export const CITY = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
export const CALL_TEXT =
  'Looking. <tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>';
export const OK_SCHEMA = {
  type: 'object',
  properties: { ok: { type: 'boolean' } },
  required: ['ok'],
  additionalProperties: false,
};

// A response format that leaves the model nothing but this text to write.
export const forced = (text) => ({
  type: 'regex',
  regex: text.replace(/[\\.^$|?*+()[\]{}]/g, '\\$&'),
});

const checks = [];
export const check = (name, run) => checks.push([name, run]);

// Until no answer is under way: what a client cancelled must not go on.
export async function waitUntilIdle() {
  const began = Date.now();
  for (;;) {
    const health = await (await fetch(`${URL_OF_SERVER}/health`)).json();
    if (health.requests_running + health.requests_waiting === 0) return;
    assert(Date.now() - began < 5000, 'the answer goes on though nobody wants it');
    await new Promise((done) => setTimeout(done, 50));
  }
}

export async function rejects(promise, status, found = () => {}) {
  try {
    await promise;
  } catch (error) {
    assert.equal(error.status ?? error.status_code ?? error.statusCode, status, String(error));
    return found(error);
  }
  assert.fail('no error');
}

export async function main() {
  let failed = 0;
  for (const [name, run] of checks) {
    try {
      await run();
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      const text = String(error?.stack ?? error).split('\n').slice(0, 8).join(' | ');
      console.log(`not ok ${name}: ${text}`);
    }
  }
  console.log(`${checks.length - failed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}
