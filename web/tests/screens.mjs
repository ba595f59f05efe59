// Pictures of the main screens for docs/screens: node tests/screens.mjs [URL [FOLDER]], by default of
// the mock.

import { mkdirSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { start_mock } from '../mock/server.mjs';
import { AppDriver } from './app.mjs';
import { open_browser, open_page } from './browser.mjs';

const bytes_max = 150_000;
const mock = process.argv[2] ? null : await start_mock({ rate: 400 });
const url = process.argv[2] ?? mock.url;
const folder = process.argv[3] ?? fileURLToPath(new URL('../../docs/screens', import.meta.url));
mkdirSync(folder, { recursive: true });
const question = 'How heavy is a minke whale? Give a formula and a table.';
const browser = await open_browser();

async function window_of(colorScheme, width, height) {
  const { page, context } = await open_page(browser, url, {
    colorScheme,
    viewport: { width, height },
  });
  return { page, context, app: new AppDriver(page, url) };
}

async function keep(page, name) {
  await page.mouse.move(640, 1);
  await page.waitForTimeout(400);
  const path = join(folder, `${name}.png`);
  await page.screenshot({ path });
  const { size } = statSync(path);
  console.log(`${path}: ${(size / 1000).toFixed(0)} kB${size > bytes_max ? ', too large' : ''}`);
}

const top = (page) => page.evaluate(() => (document.querySelector('.box').scrollTop = 0));

for (const scheme of ['light', 'dark']) {
  const { page, context, app } = await window_of(scheme, 1280, 800);
  await app.open();
  await keep(page, `new-${scheme}`);
  await app.ask(question);
  await top(page);
  await keep(page, `chat-${scheme}`);
  if (scheme === 'light') {
    await app.menu(app.last(), 'The same model again');
    await page.locator('article.pair section').nth(1).waitFor();
    await page.waitForTimeout(2500);
    await page.evaluate(() => document.querySelector('.pair').scrollIntoView({ block: 'start' }));
    await keep(page, 'compare');
  } else {
    await page.keyboard.press('Control+.');
    await page.locator('aside').waitFor();
    await keep(page, 'settings');
    await page.keyboard.press('Control+.');
    await page.click('.model-button');
    await keep(page, 'models');
  }
  await context.close();
}

const { page, context, app } = await window_of('light', 360, 720);
await app.open();
await keep(page, 'phone-new');
await app.ask(question);
await top(page);
await keep(page, 'phone-chat');
await page.getByRole('button', { name: 'Show the sidebar' }).click();
await keep(page, 'phone-list');
await context.close();

await browser.close();
mock?.close();
process.exit();
