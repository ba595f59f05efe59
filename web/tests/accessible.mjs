// axe-core over the main screens, light and dark, wide and narrow: no violation.

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { AppDriver } from './app.mjs';
import { open_page } from './browser.mjs';
import { until, Walk } from './steps.mjs';

const source = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function violations(page) {
  // Evaluated by the debugger, which the page's own policy does not bind.
  await page.evaluate(source);
  const result = await page.evaluate(() =>
    axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }),
  );
  return result.violations.map(
    (v) =>
      `${v.id} (${v.impact}): ${v.help}\n    ${v.nodes
        .slice(0, 4)
        .map((n) => `${n.target} ${n.failureSummary.replace(/\s+/g, ' ')}`)
        .join('\n    ')}`,
  );
}

export async function accessible(browser, url, { key = '' } = {}) {
  let count = 0;
  const all = [];
  for (const [colorScheme, width] of [
    ['light', 1280],
    ['dark', 1280],
    ['light', 360],
  ]) {
    const { context, page, faults } = await open_page(browser, url, {
      colorScheme,
      viewport: { width, height: 800 },
    });
    if (key) await page.addInitScript((k) => localStorage.setItem('minke.key', k), key);
    const app = new AppDriver(page, url);
    const w = new Walk(`accessible-${colorScheme}-${width}`, page, faults);
    const look = (what, does) =>
      w.step(`${colorScheme}, ${width}: ${what}`, async () => {
        await does();
        await page.waitForTimeout(250);
        const found = await violations(page);
        all.push(...found.map((f) => `${colorScheme}, ${width}, ${what}: ${f}`));
      });
    await look('a new chat', () => app.open());
    await look('an answer', async () => {
      await app.ask('How heavy is a whale? Use a table, code and a formula.');
    });
    await look('an answer while it is written', async () => {
      await app.say('A slow story');
      await app.streaming();
    });
    await page
      .locator('[data-do="stop"]')
      .click()
      .catch(() => {});
    await look('thinking unfolded', async () => {
      const fold = page.locator('[data-do="thinking"]').first();
      if ((await fold.count()) > 0) await fold.click();
    });
    await look('an edit', async () => {
      const mine = page.locator('[data-role="user"]').first();
      await mine.hover();
      await mine.locator('[data-do="edit"]').click();
    });
    await page.getByRole('button', { name: 'Cancel' }).click();
    await look('a menu', async () => {
      await app.last().hover();
      await app.last().getByRole('button', { name: 'Compare and more' }).click();
    });
    await look('two answers side by side', async () => {
      await page.getByRole('menuitem', { name: 'The same model again' }).click();
      await until(
        async () => (await page.locator('article.pair section').count()) === 2,
        'two columns',
      );
      await until(
        async () => (await page.locator('[data-do="stop"]').count()) === 0,
        'the end of both',
      );
    });
    await page.locator('article.pair').getByRole('button', { name: 'Close' }).click();
    await look('a summary', async () => {
      await page.click('.meter');
      await page.getByRole('button', { name: 'Summarise the chat so far' }).click();
      await page.getByRole('button', { name: 'Show the summary' }).click();
    });
    await look('a question', async () => {
      await page.getByRole('button', { name: 'Take it back' }).click();
    });
    await app.answer('Take back');
    await look('the model picker', () => page.click('.model-button'));
    await page.keyboard.press('Escape');
    await look('the context meter', () => page.click('.meter'));
    await page.keyboard.press('Escape');
    await look('the settings of a chat', () => page.keyboard.press('Control+.'));
    await page.keyboard.press('Control+.');
    await look('the preferences', () => page.keyboard.press('Control+,'));
    await page.keyboard.press('Escape');
    await look('the shortcuts', async () => {
      await page.evaluate(() => document.activeElement?.blur());
      await page.keyboard.press('?');
    });
    await page.keyboard.press('Escape');
    await look('the search', async () => {
      await page.keyboard.press('Control+k');
      await page.locator('#search').fill('whale');
      await page.waitForTimeout(400);
    });
    await look('the models', () => app.open('#/models'));
    await look('the trainings', () => app.open('#/training'));
    await look('the system', () => app.open('#/system'));
    count += w.count;
    await context.close();
  }
  if (all.length > 0) throw new Error(all.join('\n'));
  return count;
}
