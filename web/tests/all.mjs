// npm run test:browser: everything, against the mock. With MINKE_URL (and MINKE_KEY) the walk and
// the check of accessibility go to that server instead; what needs made-up answers is left out.

import { start_mock } from '../mock/server.mjs';
import { accessible } from './accessible.mjs';
import { open_browser } from './browser.mjs';
import { keyed, mock_only } from './mocked.mjs';
import { long_answer } from './long.mjs';
import { walk } from './walk.mjs';

const url = process.env.MINKE_URL;
const only = process.argv[2];
const browser = await open_browser();
let count = 0;

async function run(name, task) {
  if (only && only !== name) return;
  console.log(name);
  count += await task();
}

// Each part has a mock of its own, so none sees what another left.
const fresh = (task) => async () => {
  const mock = await start_mock({ rate: 400 });
  const steps = await task(mock);
  mock.close();
  return steps;
};

try {
  if (url) {
    const key = process.env.MINKE_KEY ?? '';
    await run('walk', () => walk(browser, url, { key }));
    await run('accessible', () => accessible(browser, url, { key }));
  } else {
    await run(
      'walk',
      fresh((mock) => walk(browser, mock.url)),
    );
    await run(
      'accessible',
      fresh((mock) => accessible(browser, mock.url)),
    );
    await run(
      'mocked',
      fresh((mock) => mock_only(browser, mock)),
    );
    await run('keyed', () => keyed(browser));
    await run(
      'long',
      fresh((mock) => long_answer(browser, mock.url)),
    );
  }
  console.log(`${count} steps passed`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
