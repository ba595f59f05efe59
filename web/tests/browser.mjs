// Chromium for the tests: watches that nothing is asked of anyone but the server, that the content
// security policy is never hurt, and that the console stays silent.

import { chromium } from 'playwright-core';

export async function open_browser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb'],
  });
}

// A window on `url` with `faults`, to be empty at the end. `forgive` names console errors that a
// test brings about itself.
export async function open_page(browser, url, options = {}) {
  const { forgive = [], ...context_options } = options;
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    reducedMotion: 'reduce',
    acceptDownloads: true,
    ...context_options,
  });
  const page = await context.newPage();
  const faults = [];
  const origin = new URL(url).origin;
  const forgiven = (text) => page.forgives || forgive.some((known) => text.includes(known));
  page.on('request', (request) => {
    const asked = request.url();
    if (!asked.startsWith(`${origin}/`) && !asked.startsWith(`blob:${origin}/`)) {
      faults.push(`asked elsewhere: ${asked}`);
    }
  });
  page.on('console', (message) => {
    if (message.type() === 'error' && !forgiven(message.text()))
      faults.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => faults.push(`exception: ${error.stack ?? error.message}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  return { context, page, faults };
}
