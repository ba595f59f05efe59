// 20,000 tokens with formulas and code: no task of the main thread over 100 ms while they stream,
// nothing that moves what is already read, and the last tokens no dearer than the first.

import { AppDriver } from './app.mjs';
import { open_page } from './browser.mjs';
import { check, equal, until, Walk } from './steps.mjs';

const task_ms_max = 100;
// Tasks are timed by the clock: what another program takes of the processor counts. A slow page is
// slow each time.
const tries_max = 3;

async function watch(page) {
  await page.addInitScript(() => {
    window.measured = { tasks: [], shifts: 0, paint_ms: 0 };
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        window.measured.tasks.push({
          at: Math.round(entry.startTime),
          ms: Math.round(entry.duration),
        });
      }
    }).observe({ type: 'longtask', buffered: true });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        if (!entry.hadRecentInput) window.measured.shifts += entry.value;
      }
    }).observe({ type: 'layout-shift', buffered: true });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        if (entry.name === 'first-contentful-paint')
          window.measured.paint_ms = Math.round(entry.startTime);
      }
    }).observe({ type: 'paint', buffered: true });
  });
}

// Who has scrolled up to read is not disturbed by what is written below. (While the page follows the
// end, the browser counts each step of it as a shift, though nothing is seen to move but the text.)
async function read_above(page) {
  await page.mouse.move(700, 400);
  await until(
    () =>
      page.evaluate(() => {
        const box = document.querySelector('.box');
        return box.scrollHeight > 2 * box.clientHeight;
      }),
    'more than a page',
  );
  await page.mouse.wheel(0, -300);
  await page.waitForTimeout(700);
  await page.evaluate(() => (window.measured.shifts = 0));
  const before = await page.evaluate(() => document.querySelector('.box').scrollTop);
  await page.waitForTimeout(2000);
  const after = await page.evaluate(() => document.querySelector('.box').scrollTop);
  const shifts = await page.evaluate(() => window.measured.shifts);
  console.log(`      layout shift while reading above: ${shifts.toFixed(4)}`);
  equal(after, before, 'the place of who reads above');
  check(shifts < 0.01, `layout shift of ${shifts}`);
  await page.getByRole('button', { name: 'To the end' }).click();
}

// Where the first blocks of the answer stand in it: nothing that comes later may move them.
function places_of_first(page) {
  return page.evaluate(() => {
    const blocks = [...document.querySelectorAll('article:last-of-type .block')].slice(0, 15);
    const top = blocks[0].getBoundingClientRect().top;
    return blocks
      .slice(0, -1)
      .map((block) => Math.round(block.getBoundingClientRect().top - top))
      .join(' ');
  });
}

// Seconds of the main thread per second, in each third of what is still to come.
async function cost_of_thirds(page, context, app) {
  const debug = await context.newCDPSession(page);
  await debug.send('Performance.enable');
  const busy_s = async () => {
    const { metrics } = await debug.send('Performance.getMetrics');
    return metrics.find((m) => m.name === 'TaskDuration').value;
  };
  const samples = [{ at: Date.now(), busy: await busy_s() }];
  while ((await app.last().getAttribute('data-status')) === 'running') {
    await page.waitForTimeout(250);
    samples.push({ at: Date.now(), busy: await busy_s() });
  }
  await debug.detach();
  const at = (share) => samples[Math.round(share * (samples.length - 1))];
  const costs = [0, 1, 2].map((third) => {
    const [from, to] = [at(third / 3), at((third + 1) / 3)];
    return (1000 * (to.busy - from.busy)) / Math.max(1, to.at - from.at);
  });
  console.log(
    `      main thread busy, by thirds: ${costs.map((c) => `${Math.round(100 * c)}%`).join(', ')}`,
  );
  return costs;
}

function report(what, measured) {
  const longest = Math.max(0, ...measured.tasks.map((t) => t.ms));
  console.log(`      ${what}: longest task ${longest} ms, ${measured.tasks.length} over 50 ms`);
  return longest;
}

export async function long_answer(browser, url) {
  const { context, page, faults } = await open_page(browser, url);
  await watch(page);
  const app = new AppDriver(page, url);
  const w = new Walk('long', page, faults);
  await w.step('the first paint comes soon', async () => {
    await app.open();
    const paint_ms = await until(
      () => page.evaluate(() => window.measured.paint_ms),
      'a paint',
      5000,
    );
    console.log(`      first contentful paint after ${paint_ms} ms`);
    check(paint_ms < 1000, `first paint after ${paint_ms} ms`);
  });
  for (const [what, question] of [
    ['20,000 tokens with formulas and code', 'Something long, 20000 tokens'],
    ['a program in one block', 'One block of code'],
  ]) {
    await w.step(`${what} stream without a freeze`, async () => {
      let longest = Infinity;
      for (let tries = 0; tries < tries_max && longest > task_ms_max; tries += 1) {
        await app.new_chat();
        await page.evaluate(() => Object.assign(window.measured, { tasks: [], shifts: 0 }));
        await app.say(question);
        await until(async () => (await page.locator('.block').count()) > 0, 'the answer');
        await read_above(page);
        const places = await places_of_first(page);
        const costs = await cost_of_thirds(page, context, app);
        equal(await places_of_first(page), places, 'the places of the first blocks');
        check(costs[2] < 2 * costs[0] + 0.1, 'the last third costs no more than the first');
        await page.waitForTimeout(500);
        longest = report(what, await page.evaluate(() => window.measured));
      }
      check(longest <= task_ms_max, `a task of ${longest} ms, at most ${task_ms_max}`);
      equal(await page.locator('.katex-error').count(), 0, 'formulas with faults');
    });
    await w.step(`${what} open again without a freeze`, async () => {
      let longest = Infinity;
      for (let tries = 0; tries < tries_max && longest > task_ms_max; tries += 1) {
        await page.reload();
        await page.waitForSelector('[data-role="assistant"] .block');
        await page.waitForTimeout(3000);
        longest = report('opened', await page.evaluate(() => window.measured));
      }
      check(longest <= task_ms_max, `a task of ${longest} ms, at most ${task_ms_max}`);
      const left = await page.evaluate(() => {
        const box = document.querySelector('.box');
        return box.scrollHeight - box.scrollTop - box.clientHeight;
      });
      check(left < 60, `the end is ${left} pixels away`);
    });
  }
  await context.close();
  return w.count;
}
