// Walks through the app as a person would, against any server that speaks docs/app-api.md: the mock,
// or `minke serve` with a small model. Answers may be anything; what is done to them is the same.

import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AppDriver } from './app.mjs';
import { open_page } from './browser.mjs';
import { start_wire } from './proxy.mjs';
import { check, equal, until, Walk } from './steps.mjs';

export async function walk(browser, url, { key = '' } = {}) {
  const wire = await start_wire(url);
  const { context, page, faults } = await open_page(browser, wire.url, {
    permissions: ['clipboard-read', 'clipboard-write'],
    forgive: [
      'net::ERR_CONNECTION',
      'net::ERR_EMPTY_RESPONSE',
      'net::ERR_INCOMPLETE_CHUNKED_ENCODING',
      'net::ERR_SOCKET',
    ],
  });
  if (key) await page.addInitScript((k) => localStorage.setItem('minke.key', k), key);
  const app = new AppDriver(page, wire.url);
  const w = new Walk('walk', page, faults);
  const stamp = Date.now().toString(36);
  await talk(w, app, stamp);
  await branches(w, app);
  await network(w, app, wire);
  await settings(w, app);
  await files(w, app, stamp);
  await organise(w, app, stamp);
  await pages(w, app);
  await context.close();
  wire.close();
  return w.count;
}

async function talk(w, app, stamp) {
  const { page } = app;
  await w.step('the app opens and is ready to write', async () => {
    await app.open();
    await page.waitForSelector('.hello');
    await until(() => page.evaluate(() => document.activeElement?.id === 'composer'), 'the focus');
  });
  await w.step('answers are kept short for the walk', async () => {
    await page.keyboard.press('Control+.');
    await page.fill('#tokens-max', '160');
    await page.locator('#tokens-max').blur();
    await page.getByRole('button', { name: 'Use for new chats' }).click();
    await page.keyboard.press('Control+.');
  });
  await w.step('Enter that chooses a character does not send', async () => {
    await page.click('#composer');
    await app.write('鯨');
    await page.evaluate(() => {
      const event = new KeyboardEvent('keydown', {
        key: 'Enter',
        isComposing: true,
        bubbles: true,
      });
      document.getElementById('composer').dispatchEvent(event);
    });
    equal(await page.locator('[data-message]').count(), 0, 'messages');
    equal(await page.inputValue('#composer'), '鯨', 'what is written');
  });
  await w.step('Shift Enter makes a line, Enter sends', async () => {
    await app.write(`Hello ${stamp}`);
    await page.press('#composer', 'Shift+Enter');
    await page.locator('#composer').pressSequentially('How are you?');
    await page.press('#composer', 'Enter');
    await app.status('running|complete');
    equal(
      await page.locator('.mine').textContent(),
      `Hello ${stamp}\nHow are you?`,
      'the question',
    );
    await app.status('complete');
    await app.same_as_server();
  });
  await w.step('the answer tells its speed', async () => {
    await until(async () => /tok\/s/.test((await app.last().textContent()) ?? ''), 'the speed');
  });
  await w.step('a chat has its title in the list', async () => {
    await until(async () => (await app.item(`Hello ${stamp}`).count()) > 0, 'the title');
  });
  await w.step('thinking is folded, and unfolds', async () => {
    const fold = app.last().locator('[data-do="thinking"]');
    if ((await fold.count()) === 0) return; // a model that does not think
    check(/^Thought for/.test((await fold.textContent()).trim()), 'it tells how long');
    equal(await fold.getAttribute('aria-expanded'), 'false', 'folded at first');
    await fold.click();
    await app.last().locator('.thinking .md').first().waitFor();
    await fold.click();
  });
  await w.step('an answer is stopped, and goes on', async () => {
    await app.say('Tell a slow and long story of the sea');
    await app.streaming();
    // A quick model may have ended by now.
    await page.locator('[data-do="stop"]').click({ timeout: 3000 }).catch(() => {});
    await app.status('stopped|complete');
    const go_on = app.last().locator('[data-do="continue"]');
    if ((await go_on.count()) === 0) return; // it was quicker than we
    await go_on.click();
    await app.status('running|complete');
    await app.status('complete');
    await app.same_as_server();
  });
}

async function branches(w, app) {
  const { page } = app;
  const shows_branch = (which) =>
    until(async () => {
      const text = await app
        .last()
        .locator('.branch')
        .textContent()
        .catch(() => '');
      return text?.includes(which);
    }, which);
  await w.step('an edit makes a branch, and both can be had', async () => {
    const mine = page.locator('[data-role="user"]').last();
    await mine.hover();
    await mine.locator('[data-do="edit"]').click();
    await mine.locator('textarea').fill('Tell a short story instead');
    await mine.locator('textarea').press('Control+Enter');
    await until(
      async () =>
        (
          await mine
            .locator('.branch')
            .textContent()
            .catch(() => '')
        )?.includes('2/2'),
      '2/2',
    );
    await app.status('complete');
    await mine.locator('[data-do="before"]').click();
    await until(async () => (await mine.locator('.branch').textContent())?.includes('1/2'), '1/2');
    check((await mine.textContent()).includes('slow and long'), 'the first branch is back');
    await mine.locator('[data-do="next"]').click();
  });
  await w.step('the answer is made again, by key', async () => {
    await app.last().focus();
    await page.keyboard.press('r');
    await shows_branch('2/2');
    await app.status('complete');
    await app.last().focus();
    await page.keyboard.press('[');
    await shows_branch('1/2');
  });
  await w.step('two answers stand side by side, and one is kept', async () => {
    await app.menu(app.last(), 'The same model again');
    const columns = page.locator('article.pair section');
    await until(async () => (await columns.count()) === 2, 'two columns');
    await until(
      async () => (await page.locator('[data-do="stop"]').count()) === 0,
      'the end of both',
    );
    await columns.nth(1).getByRole('button', { name: 'Go on with this one' }).click();
    await shows_branch('3/3');
  });
  await w.step('the branch that was chosen is there after a reload', async () => {
    await page.waitForTimeout(300);
    await page.reload();
    await shows_branch('3/3');
  });
  await w.step('a summary stands for what is above it, and is taken back', async () => {
    await page.locator('.meter').click();
    await page.getByRole('button', { name: 'Summarise the chat so far' }).click();
    await page.getByText('From here on the model reads a summary').waitFor({ timeout: 60_000 });
    check((await page.locator('article.past').count()) >= 3, 'what is above is marked');
    await app.ask('Said after the summary');
    const before = await page.locator('[data-message]').count();
    await page.getByRole('button', { name: 'Take it back' }).click();
    await app.answer('Take back');
    await until(async () => (await page.locator('article.past').count()) === 0, 'no marks');
    equal(await page.locator('[data-message]').count(), before - 1, 'messages that stay');
    await page.getByText('Said after the summary').first().waitFor();
  });
}

async function network(w, app, wire) {
  const { page } = app;
  await w.step('a reload in the middle of an answer loses nothing', async () => {
    await app.new_chat();
    await app.say('A slow story of a whale, please');
    await app.streaming();
    await page.reload();
    await app.status('running|complete');
    await app.status('complete');
    await app.same_as_server();
  });
  await w.step('a lost network is said, and nothing is lost or doubled', async () => {
    await app.say('A slow story of a boat, please');
    await app.streaming();
    wire.cut();
    await page.locator('.notice span').waitFor();
    await page.waitForTimeout(800);
    wire.mend();
    await app.status('complete');
    await app.same_as_server();
    await until(
      async () => (await page.locator('.notice span').count()) === 0,
      'the notice to go',
      20_000,
    );
  });
  await w.step('what is said while the network is away is kept, and said once', async () => {
    const before = await page.locator('[data-message]').count();
    wire.cut();
    await app.write('Said into nothing');
    await page.press('#composer', 'Enter');
    await page.getByText('What you wrote is kept').first().waitFor();
    equal(await page.inputValue('#composer'), 'Said into nothing', 'what is written');
    wire.mend();
    await until(
      async () => (await page.locator('.notice span').count()) === 0,
      'the notice to go',
      20_000,
    );
    await page.press('#composer', 'Enter');
    await until(
      async () => (await page.locator('[data-message]').count()) === before + 2,
      'one question more',
    );
    await app.status('complete');
  });
  await w.step('what is written but not sent survives a reload', async () => {
    await page.locator('#composer').pressSequentially('a half sent');
    await page.reload();
    await page.waitForSelector('#composer');
    equal(await page.inputValue('#composer'), 'a half sent', 'the draft');
    await app.write('');
  });
}

async function settings(w, app) {
  const { page } = app;
  await w.step('the settings of a chat are kept', async () => {
    await page.keyboard.press('Control+.');
    await page.fill('#system-prompt', 'Answer in one sentence.');
    await page.locator('#system-prompt').blur();
    await page.getByLabel('Temperature, as a number').fill('99');
    await page.getByLabel('Temperature, as a number').blur();
    await until(
      async () => (await page.getByLabel('Temperature, as a number').inputValue()) === '2',
      'the most there is',
    );
    await page.getByLabel('Temperature, as a number').fill('0.3');
    await page.getByLabel('Temperature, as a number').blur();
    await page.waitForTimeout(300);
    const { conversation } = await app.tree();
    equal(conversation.settings.system, 'Answer in one sentence.', 'system prompt');
    equal(conversation.settings.temperature, 0.3, 'temperature');
  });
  await w.step('a preset is saved, applied and deleted', async () => {
    const name = `Walk ${Date.now().toString(36)}`;
    await page.getByRole('button', { name: 'Save as preset' }).click();
    await app.answer('Save', name);
    await page.getByRole('button', { name, exact: true }).waitFor();
    await page.getByRole('button', { name: 'Reset all' }).click();
    equal(await page.inputValue('#system-prompt'), '', 'system prompt');
    await page.getByRole('button', { name, exact: true }).click();
    equal(await page.inputValue('#system-prompt'), 'Answer in one sentence.', 'system prompt');
    await page.getByRole('button', { name: `Rename the preset ${name}` }).click();
    await app.answer('Rename', `${name} anew`);
    await page.getByRole('button', { name: `${name} anew`, exact: true }).waitFor();
    await page.getByRole('button', { name: `Delete the preset ${name} anew` }).click();
    await page
      .getByRole('button', { name: `${name} anew`, exact: true })
      .waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Close the settings' }).click();
  });
  await w.step('thinking is switched and bounded, where the model has it', async () => {
    const think = page.locator('[data-do="think"]');
    if ((await think.count()) === 0) return;
    const before = await think.getAttribute('aria-pressed');
    if (await think.isEnabled()) {
      await page.keyboard.press('Alt+t');
      await until(async () => (await think.getAttribute('aria-pressed')) !== before, 'the switch');
      await page.keyboard.press('Alt+t');
      await until(async () => (await think.getAttribute('aria-pressed')) === before, 'the switch');
    }
    await page.locator('.effort').click();
    await page.getByRole('button', { name: /^Low/ }).click();
    await page.waitForTimeout(200);
    equal((await app.tree()).conversation.settings.think_budget, 1024, 'the budget');
  });
  await w.step('the theme is switched and stays', async () => {
    await page.keyboard.press('Control+,');
    await page.getByLabel('Dark').check();
    equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark', 'the theme');
    await page.keyboard.press('Escape');
    await page.waitForTimeout(200);
    await page.reload();
    await page.waitForSelector('#composer');
    equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark', 'the theme');
    await page.keyboard.press('Control+,');
    await page.getByLabel('As the system').check();
    await page.keyboard.press('Escape');
  });
  await w.step('the list of shortcuts opens with ? and closes with Escape', async () => {
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press('?');
    await page.getByRole('heading', { name: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('Escape');
    await page.locator('dialog').waitFor({ state: 'detached' });
  });
  await w.step('j and k walk through the messages, / comes back to writing', async () => {
    await page.evaluate(() => document.activeElement?.blur());
    await page.keyboard.press('k');
    check(
      await page.evaluate(() => document.activeElement.matches('[data-message]')),
      'a message is focused',
    );
    await page.keyboard.press('/');
    equal(await page.evaluate(() => document.activeElement.id), 'composer', 'the focus');
  });
}

async function files(w, app, stamp) {
  const { page } = app;
  const text = {
    name: 'notes.txt',
    mimeType: 'text/plain',
    buffer: Buffer.from('The boat is called Minke.\n'),
  };
  await w.step('a file is attached by the button, and taken off', async () => {
    await page.setInputFiles('input[type=file]', text);
    const chip = page.locator('.composer .chip', { hasText: 'notes.txt' });
    await chip.waitFor();
    await chip.getByRole('button', { name: 'Remove notes.txt' }).click();
    await chip.waitFor({ state: 'detached' });
  });
  await w.step('a chat that begins with a file alone is called like it', async () => {
    await app.new_chat();
    await page.setInputFiles('input[type=file]', { ...text, name: `tides-${stamp}.txt` });
    await page.locator('.composer .chip').waitFor();
    await page.locator('button.send').click();
    await app.item(`tides-${stamp}.txt`).waitFor();
    await app.status('complete');
  });
  await w.step('a file is dropped and another pasted; both are sent', async () => {
    await app.new_chat();
    await page.evaluate(() => {
      const transfer = (name) => {
        const data = new DataTransfer();
        data.items.add(new File([`This is ${name}.`], name, { type: 'text/plain' }));
        return data;
      };
      const target = document.querySelector('.page-chat');
      target.dispatchEvent(
        new DragEvent('drop', {
          dataTransfer: transfer('dropped.txt'),
          bubbles: true,
          cancelable: true,
        }),
      );
      const area = document.getElementById('composer');
      area.dispatchEvent(
        new ClipboardEvent('paste', {
          clipboardData: transfer('pasted.txt'),
          bubbles: true,
          cancelable: true,
        }),
      );
    });
    await until(async () => (await page.locator('.composer .chip').count()) === 2, 'two files');
    await app.ask('What is in the files?');
    equal(await page.locator('article .chip').count(), 2, 'files of the message');
    const { messages } = await app.tree();
    equal(messages.filter((m) => m.attachments.length === 2).length, 1, 'messages with two files');
  });
  await w.step('all chats are exported, imported and backed up', async () => {
    await page.keyboard.press('Control+,');
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export all' }).click(),
    ]);
    const path = join(tmpdir(), `minke-export-${process.pid}.json`);
    await download.saveAs(path);
    await page.setInputFiles('dialog input[type=file]', path);
    await page.getByText(/chats with \d+ messages came in/).waitFor();
    page.forgives = true; // the console tells of what is refused
    writeFileSync(path, 'no history');
    await page.setInputFiles('dialog input[type=file]', path);
    await page.locator('dialog [role="alert"]').waitFor();
    page.forgives = false;
    writeFileSync(path, '');
    const [backup] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Backup' }).click(),
    ]);
    check((await backup.failure()) === null, 'the backup arrives');
    await page.keyboard.press('Escape');
  });
}

async function organise(w, app, stamp) {
  const { page } = app;
  const title = `Walked ${stamp}`;
  await w.step('a chat is renamed', async () => {
    await app.new_chat();
    await app.ask(`A question about krill ${stamp}`);
    await page.keyboard.press('F2');
    await app.answer('Rename', title);
    await app.item(title).waitFor();
  });
  await w.step('a chat is pinned and goes into a new folder', async () => {
    await app.menu(app.item(title), 'Pin');
    await page.getByRole('heading', { name: 'Pinned' }).waitFor();
    await app.menu(app.item(title), 'Unpin');
    await app.menu(app.item(title), 'New folder…');
    await app.answer('Create', `Folder ${stamp}`);
    await app.item(title).waitFor(); // the folder is open
    const folder = page.getByRole('button', { name: `Folder ${stamp}`, exact: true });
    equal(await folder.getAttribute('aria-expanded'), 'true', 'the folder');
  });
  await w.step('a chat is archived and comes back', async () => {
    await app.menu(app.item(title), 'Archive');
    await until(async () => (await app.item(title).count()) === 0, 'it to leave the list');
    await page.getByRole('button', { name: 'Archived chats' }).click();
    await app.item(title).waitFor();
    await app.menu(app.item(title), 'Take out of the archive');
    await page.getByRole('button', { name: 'All chats' }).click();
    await app.item(title).waitFor();
  });
  await w.step('search finds what was said, and goes there', async () => {
    await app.new_chat();
    await page.keyboard.press('Control+k');
    await page.locator('#search').pressSequentially(`krill ${stamp}`);
    const hit = page.locator('#sidebar mark').first();
    await hit.waitFor();
    await hit.click();
    await until(
      () => page.evaluate(() => document.activeElement?.matches('[data-role]')),
      'the message',
    );
    await page.fill('#search', '');
  });
  await w.step('one chat is exported', async () => {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      app.menu(app.item(title), 'Export'),
    ]);
    check(download.suggestedFilename().endsWith('.json'), 'a JSON file');
  });
  await w.step('a chat is deleted when one is sure, the folder too', async () => {
    await app.menu(app.item(title), 'Delete…');
    await app.answer('Cancel');
    equal(await app.item(title).count(), 1, 'it is still there');
    await app.menu(app.item(title), 'Delete…');
    await app.answer('Delete');
    await until(async () => (await app.item(title).count()) === 0, 'it to go');
    await app.menu(page.locator('#sidebar .folder', { hasText: `Folder ${stamp}` }), 'Delete…');
    await app.answer('Delete');
    await page
      .getByRole('button', { name: `Folder ${stamp}`, exact: true })
      .waitFor({ state: 'detached' });
  });
}

async function pages(w, app) {
  const { page } = app;
  await w.step('the model picker lists models and chooses one', async () => {
    await app.new_chat();
    await page.keyboard.press('Control+m');
    const rows = page.locator('[popover] .pick');
    check((await rows.count()) > 0, 'there are models');
    await page.locator('[popover] .pick:enabled').first().click();
    await page.locator('[popover]').waitFor({ state: 'detached' });
  });
  await w.step('the pages of models and of the system open', async () => {
    await app.open('#/models');
    await page.getByRole('heading', { name: 'Models', exact: true }).waitFor();
    await app.open('#/system');
    await page.getByText('Models may take').waitFor();
  });
  await w.step('a training is shown with its curves and what it says', async () => {
    await app.open('#/training');
    await page.getByRole('img', { name: /^Loss: / }).waitFor();
    await page.getByRole('img', { name: /^Right answers: / }).waitFor();
    const said = page.locator('.samples li');
    await said.first().waitFor();
    const step = page.locator('.choose span');
    const latest = await step.textContent();
    await page.getByLabel('Step whose answers are shown').focus();
    await page.keyboard.press('Home');
    await until(async () => (await step.textContent()) !== latest, 'an earlier step');
    check((await said.count()) > 0, 'there are answers of it');
  });
  await w.step('new chats begin as they did before the walk', async () => {
    await app.open('#/');
    await page.keyboard.press('Control+.');
    await page.getByRole('button', { name: 'Reset all' }).click();
    await page.getByRole('button', { name: 'Use for new chats' }).click();
    await page.keyboard.press('Control+.');
  });
  await w.step('at 360 pixels nothing sticks out, and the chats are a drawer', async () => {
    await page.setViewportSize({ width: 360, height: 720 });
    for (const hash of ['#/models', '#/training', '#/system', '#/']) {
      await app.open(hash);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      equal(wide, 360, `width of ${hash}`);
    }
    await page.getByRole('button', { name: 'Show the sidebar' }).click();
    await page.locator('#sidebar li a').first().click();
    await page.waitForSelector('[data-message]');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    equal(wide, 360, 'width of a chat');
    check((await page.locator('nav.drawer').count()) === 0, 'the drawer is closed');
  });
}
