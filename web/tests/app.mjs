// The app as a person meets it: what to press and what to see, for the walks.

import { equal, until } from './steps.mjs';

export class AppDriver {
  constructor(page, url) {
    this.page = page;
    this.url = url;
  }

  async open(hash = '') {
    await this.page.goto(`${this.url}/${hash}`);
    await this.page.waitForSelector('#main');
  }

  async new_chat() {
    await this.page.evaluate(() => (location.hash = '#/'));
    await this.page.waitForSelector('.hello');
  }

  async write(text) {
    await this.page.fill('#composer', text);
  }

  async say(text) {
    const before = await this.page.locator('[data-role="user"]').count();
    await this.write(text);
    await this.page.press('#composer', 'Enter');
    await until(
      async () => (await this.page.locator('[data-role="user"]').count()) > before,
      `“${text}” to be shown`,
    );
  }

  last() {
    return this.page.locator('[data-role="assistant"]').last();
  }

  async status(wanted) {
    await until(async () => {
      const status = await this.last()
        .getAttribute('data-status')
        .catch(() => null);
      return wanted.split('|').includes(status);
    }, `the answer to be ${wanted}`);
  }

  async streaming() {
    await until(
      async () =>
        (
          (await this.last()
            .locator('.md')
            .last()
            .textContent()
            .catch(() => '')) ?? ''
        ).length > 20,
      'the answer to begin',
    );
  }

  async ask(text) {
    await this.say(text);
    await this.status('complete|stopped|failed');
  }

  // What is in an open dialog, answered.
  async answer(yes, value) {
    const dialog = this.page.locator('dialog[open]');
    await dialog.waitFor();
    if (value !== undefined) await dialog.locator('input').fill(value);
    await dialog.getByRole('button', { name: yes, exact: true }).click();
    await dialog.waitFor({ state: 'detached' });
  }

  async menu(of, item) {
    await of.hover();
    await of.getByRole('button', { name: /^(More about|Compare and more)/ }).click();
    await this.page.getByRole('menuitem', { name: item, exact: true }).click();
  }

  item(title) {
    return this.page.locator('#sidebar li', { hasText: title }).first();
  }

  conversation() {
    return new URL(this.page.url()).hash.split('/')[2];
  }

  // What the server has of this chat.
  tree(id = this.conversation()) {
    return this.page.evaluate(async (of) => {
      const key = localStorage.getItem('minke.key');
      const headers = key ? { Authorization: `Bearer ${key}` } : {};
      return (await fetch(`/app/v1/conversations/${of}`, { headers })).json();
    }, id);
  }

  async copied(row) {
    await row.hover();
    await row.locator('[data-do="copy"]').click();
    await this.page.waitForTimeout(100);
    return this.page.evaluate(() => navigator.clipboard.readText());
  }

  // What is shown is what the server has, to the letter.
  async same_as_server() {
    const { messages } = await this.tree();
    const row = this.last();
    const id = await row.getAttribute('data-message');
    equal(
      await this.copied(row),
      messages.find((m) => m.id === id)?.content,
      'the text of the answer',
    );
  }
}
