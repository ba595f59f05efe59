// What only the mock can bring about at will: failures, a lost server, a download, a key, scripts
// from the right, and a second window.

import { start_mock } from '../mock/server.mjs';
import { AppDriver } from './app.mjs';
import { open_page } from './browser.mjs';
import { check, equal, until, Walk } from './steps.mjs';

const formulas = String.raw`
\sqrt[3]{x} \; \overline{ab} \; \widehat{xyz} \; \underbrace{a+b}_{n} \; \overrightarrow{AB}
\begin{pmatrix}1&2\\3&4\end{pmatrix} \begin{array}{c|c}1&2\\\hline 3&4\end{array} \begin{cases}a&b\\c&d\end{cases}
\boxed{x} \fbox{x} \colorbox{red}{x} \fcolorbox{red}{blue}{x} \textcolor{#00f}{y} \cancel{x} \sout{x}
\raisebox{2pt}{x} \rule{1em}{1em} \xrightarrow[a]{b} \tag{1} \mathbb{R} \mathcal{L} \mathfrak{g} \mathscr{F}
\boldsymbol{\beta} \text{\textbf{b}} \operatorname{argmax}_x \lim_{x\to0} \oint \left\{\frac{a}{b}\right\}
\href{http://x}{y} \includegraphics{a} \htmlStyle{color:red}{x} \undefined
\frac{`
  .trim()
  .split('\n');

export async function mock_only(browser, mock) {
  const { context, page, faults } = await open_page(browser, mock.url, {
    permissions: ['clipboard-read', 'clipboard-write'],
    forgive: ['net::ERR_', '400 (Bad Request)'],
  });
  const app = new AppDriver(page, mock.url);
  const w = new Walk('mocked', page, faults);
  await w.step('a server that is away at the start is waited for', async () => {
    await page.route('**/app/v1/state', (route) => route.abort());
    await app.page.goto(mock.url);
    await page.getByText('minke cannot be reached').first().waitFor();
    await page.unroute('**/app/v1/state');
    await page.waitForSelector('#composer');
  });
  await w.step('an answer that fails says why, and can be tried again', async () => {
    await app.open();
    await app.ask('Please fail');
    await page.locator('.failed', { hasText: 'ran out of memory' }).waitFor();
    await page.getByRole('button', { name: 'Try again' }).waitFor();
  });
  await w.step('a chat that has outgrown the context goes on from a summary', async () => {
    await app.new_chat();
    await app.ask('First');
    await app.say('Now it will outgrow all');
    await app.status('failed');
    const box = page.locator('.failed', { hasText: 'outgrown what the model can read' });
    await box.getByRole('button', { name: 'Summarise and ask again' }).click();
    await page.getByText('From here on the model reads a summary').waitFor();
    await app.status('complete');
    equal(await page.locator('[data-message]').count(), 5, 'messages');
    equal(await page.locator('.mine').last().textContent(), 'Now it will outgrow all', 'asked');
    equal(await page.locator('article.past').count(), 2, 'what the summary stands for');
  });
  await w.step('a summary that fails says so, stands for nothing, and is made again', async () => {
    await app.new_chat();
    await app.ask('First');
    mock.store.summaries_fail = 1;
    const summarise = async () => {
      await page.locator('.meter').click();
      await page.getByRole('button', { name: 'Summarise the chat so far' }).click();
    };
    await summarise();
    await page.getByText('The summary failed. The model reads all of the chat').waitFor();
    await page.locator('article [role="alert"]', { hasText: 'ran out of memory' }).waitFor();
    equal(await page.locator('article.past').count(), 0, 'what it stands for');
    await page.getByRole('button', { name: 'Summarise again' }).click();
    await page.getByText('From here on the model reads a summary').waitFor();
    equal(await page.locator('[data-message]').count(), 3, 'messages');
    await page.getByRole('button', { name: 'Take it back' }).click();
    await app.answer('Take back');
    mock.store.summaries_fail = 1;
    await summarise();
    await page.getByText('The summary failed. The').waitFor();
    await page.getByRole('button', { name: 'Take it away' }).click();
    await until(async () => (await page.locator('[data-message]').count()) === 2, 'two messages');
  });
  await w.step('an answer that is only thinking says so', async () => {
    const { conversation } = await app.tree();
    mock.store.new_message(mock.store.conversation(conversation.id), {
      parent_id: mock.store.conversation(conversation.id).leaf_id,
      role: 'assistant',
      thinking: [{ text: 'Hm.', started_at_ms: Date.now(), ms: 900 }],
    });
    await page.reload();
    await page.getByText('The model thought, and gave no answer.').waitFor();
  });
  await w.step('a wide table scrolls, and its words stay whole', async () => {
    await page.setViewportSize({ width: 360, height: 720 });
    const { conversation } = await app.tree();
    const row = (cell) => `|${Array(8).fill(cell).join('|')}|`;
    mock.store.new_message(mock.store.conversation(conversation.id), {
      parent_id: mock.store.conversation(conversation.id).leaf_id,
      role: 'assistant',
      content: [row('seventh'), row('-'), row('unbroken sentences of some length here')].join('\n'),
    });
    await page.reload();
    const table = app.last().locator('.table');
    const cells = table.locator('td');
    await cells.first().waitFor();
    const widths = await cells.evaluateAll((all) => all.map((cell) => cell.clientWidth));
    check(Math.min(...widths) > 100, `the widths of the cells: ${widths}`);
    const head = await table.locator('th').first().boundingBox();
    check(head.height < 50, `the height of one word: ${head.height}`);
    const scrolls = await table.evaluate((box) => box.scrollWidth > box.clientWidth);
    check(scrolls, 'the table scrolls');
    await page.setViewportSize({ width: 1280, height: 800 });
  });
  await w.step('tasks have boxes, and footnotes their marks', async () => {
    const { conversation } = await app.tree();
    mock.store.new_message(mock.store.conversation(conversation.id), {
      parent_id: mock.store.conversation(conversation.id).leaf_id,
      role: 'assistant',
      content: '- [ ] to come\n- [x] over\n\nSaid so[^1].\n\n[^1]: in *a* book',
    });
    await page.reload();
    await page.locator('.md .task').last().waitFor();
    equal(await page.locator('.md .task').last().textContent(), 'Done: over', 'a task');
    equal(await page.locator('.md .box.done').count(), 1, 'boxes that are checked');
    equal(await page.locator('.md p.note').textContent(), '1 in a book', 'the note');
    equal(await page.locator('.md sup').count(), 2, 'marks');
  });
  await w.step('a chat without a title can be read and opened in the list', async () => {
    const bare = mock.store.new_conversation({});
    await page.locator(`#sidebar a[href="#/c/${bare.id}"]`, { hasText: 'New chat' }).waitFor();
    mock.store.route('DELETE', ['conversations', bare.id], { body: {} });
  });
  await w.step('a model that cannot be had is told where it was asked for', async () => {
    await app.open('#/models');
    await page.getByLabel('Model to fetch').fill('nobody/nothing:x.gguf');
    await page.getByRole('button', { name: 'Get', exact: true }).click();
    await page.locator('.error', { hasText: 'nobody/nothing:x.gguf' }).waitFor();
    equal(await page.locator('.toast').count(), 0, 'toasts');
    equal(await page.getByText('the same command').count(), 0, 'words of the terminal');
    equal(await page.locator('li', { hasText: 'nobody/nothing' }).count(), 0, 'in the list');
    await page.getByRole('button', { name: 'Dismiss nobody/nothing:x.gguf' }).click();
  });
  await w.step('streams that the server drops are taken up again', async () => {
    await app.new_chat();
    await app.say('A slow story');
    for (let n = 0; n < 5; n += 1) {
      await page.waitForTimeout(150);
      mock.store.drop();
    }
    await app.status('complete');
    await app.same_as_server();
  });
  await w.step('a question that arrived, though nobody heard so, is not said twice', async () => {
    await app.new_chat();
    await app.ask('First');
    mock.store.loses_next = true;
    await app.say('Second');
    await app.status('complete');
    await page.waitForTimeout(500);
    equal(mock.store.tree(app.conversation()).length, 4, 'messages the server has');
    equal(await page.locator('[data-message]').count(), 4, 'messages shown');
    equal(await page.inputValue('#composer'), '', 'what is written');
  });
  await w.step('several pieces of thinking are told apart', async () => {
    await app.new_chat();
    await app.ask('Think twice');
    await page.getByText(', 2 times').waitFor();
    await app.last().locator('[data-do="thinking"]').click();
    equal(await app.last().locator('.thinking .md').count(), 2, 'pieces');
  });
  await w.step('the timer of the thinking counts, and counts on after a reload', async () => {
    await app.new_chat();
    await app.say('Ponder this');
    const label = app.last().locator('[data-do="thinking"] .label');
    await until(
      async () => (await label.textContent().catch(() => '')) === 'Thinking for 2 s',
      '2 s',
    );
    await page.reload();
    await until(
      async () => /^Thinking for [34] s$/.test(await label.textContent().catch(() => '')),
      '3 s',
    );
    await app.status('complete');
    const ms = (await app.tree()).messages[1].thinking[0].ms;
    equal(
      await label.textContent(),
      `Thought for ${Math.round(ms / 1000)} s`,
      'what the server stamped',
    );
  });
  await w.step('thinking that its budget ended says so', async () => {
    await page.locator('.effort').click();
    await page.getByLabel('Tokens', { exact: true }).fill('8');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Escape');
    await app.ask('And once more');
    await app.last().getByText('ended by its budget').waitFor();
  });
  await w.step('the list shows where an answer is being written', async () => {
    await app.new_chat();
    await app.say('A slow story of the list');
    await app.item('A slow story of the list').locator('i').waitFor();
    await app.status('complete');
    await app.item('A slow story of the list').locator('i').waitFor({ state: 'detached' });
  });
  await w.step('Arabic runs from the right, code and formulas do not', async () => {
    await app.new_chat();
    await app.ask('rtl');
    const directions = await app
      .last()
      .locator('.md :is(p, li)')
      .evaluateAll((all) => all.map((element) => getComputedStyle(element).direction));
    equal(directions.join(' '), 'rtl rtl ltr ltr', 'directions');
  });
  await w.step('formulas are drawn, under the policy', async () => {
    await app.new_chat();
    await app.ask('How heavy is a whale?');
    await page.waitForSelector('.katex-html');
    const fraction = await page
      .locator('.katex .mfrac .vlist > span')
      .first()
      .evaluate((span) => span.style.top);
    check(/em$/.test(fraction), 'a fraction has its places');
    equal(await page.locator('.katex-error').count(), 0, 'faults');
  });
  await w.step('formulas of all kinds hurt no policy', async () => {
    const { conversation } = await app.tree();
    mock.store.new_message(mock.store.conversation(conversation.id), {
      parent_id: mock.store.conversation(conversation.id).leaf_id,
      role: 'assistant',
      content: formulas.map((tex) => `$$\n${tex}\n$$`).join('\n\n'),
    });
    await page.reload();
    await until(
      async () => (await page.locator('.math-display[data-tex]').count()) >= formulas.length,
      'all of them',
    );
    equal(await page.locator('.katex-error').count(), 1, 'formulas with a fault');
  });
  await w.step('a model is fetched, with its progress, then loaded and unloaded', async () => {
    await app.open('#/models');
    await page.getByRole('button', { name: /^Get .*smollm2:135m$/ }).click();
    await page.locator('progress').waitFor();
    await page.getByRole('button', { name: 'Load smollm2:135m' }).click();
    await page.getByRole('button', { name: 'Unload smollm2:135m' }).click();
    await page.getByRole('button', { name: 'Load smollm2:135m' }).waitFor();
  });
  await w.step('a training grows while it is looked at, and another can be chosen', async () => {
    await app.open('#/training');
    const stage = page.locator('dd').first();
    await stage.waitFor();
    const before = await stage.textContent();
    await until(async () => (await stage.textContent()) !== before, 'another step');
    await page.getByLabel('Training to show').selectOption('minke-zero-first');
    await page.getByRole('heading', { name: /^minke-zero-first ended/ }).waitFor();
    await until(async () => /, 30 of 80/.test(await stage.textContent()), 'its last step');
  });
  await w.step('what another window says appears here', async () => {
    await app.new_chat();
    await app.ask('First');
    const other = await context.newPage();
    await other.goto(page.url());
    const driver = new AppDriver(other, mock.url);
    await other.waitForSelector('[data-role="assistant"]');
    await driver.ask('Second, from elsewhere');
    await other.close();
    await until(async () => (await page.locator('[data-message]').count()) === 4, 'four messages');
    await app.status('complete');
    await app.same_as_server();
  });
  await w.step('a file that is neither text nor PDF is refused with a reason', async () => {
    await page.setInputFiles('input[type=file]', {
      name: 'blob.bin',
      mimeType: 'application/octet-stream',
      buffer: Buffer.from([1, 0, 2]),
    });
    await page.getByText('blob.bin is neither text nor PDF').waitFor();
  });
  await w.step('an image is refused by a model that cannot see', async () => {
    await page.setInputFiles('input[type=file]', {
      name: 'p.png',
      mimeType: 'image/png',
      buffer: Buffer.from([137, 80, 78, 71]),
    });
    await page.getByText('cannot see images').waitFor();
  });
  await w.step('a picture is attached to a model that sees, and shown small', async () => {
    await app.new_chat();
    await page.click('.model-button');
    await page.locator('.pick', { hasText: 'seer:2b' }).click();
    const png = await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(300, 200);
      const pen = canvas.getContext('2d');
      pen.fillStyle = '#0b6575';
      pen.fillRect(0, 0, 300, 200);
      return [...new Uint8Array(await (await canvas.convertToBlob()).arrayBuffer())];
    });
    await page.setInputFiles('input[type=file]', {
      name: 'sea.png',
      mimeType: 'image/png',
      buffer: Buffer.from(png),
    });
    const drawn = () =>
      page
        .locator('.composer canvas')
        .evaluate((canvas) => canvas.getContext('2d').getImageData(50, 50, 1, 1).data.join());
    await until(async () => (await drawn().catch(() => '')) === '11,101,117,255', 'the picture');
    await app.ask('What is this?');
    equal(await page.locator('article canvas').count(), 1, 'pictures of the message');
  });
  await w.step('markup in an answer is text, and pictures are not loaded', async () => {
    const bad =
      '<img src=x onerror=alert(1)> ![pixel](https://example.com/a.png) [go](javascript:alert(1)) <script>alert(1)</' +
      'script>';
    const { conversation } = await app.tree();
    const leaf = mock.store.conversation(conversation.id).leaf_id;
    mock.store.new_message(mock.store.conversation(conversation.id), {
      parent_id: leaf,
      role: 'assistant',
      content: bad,
    });
    await page.reload();
    await page.getByText('<img src=x').waitFor();
    equal(
      await page.locator('.md img, .md script, .md a[href^="javascript"]').count(),
      0,
      'live markup',
    );
    equal(
      await page.locator('.md a.picture').getAttribute('href'),
      'https://example.com/a.png',
      'the link',
    );
  });
  await context.close();
  return w.count;
}

export async function keyed(browser) {
  const mock = await start_mock({ rate: 400, key: 'sesame' });
  const { context, page, faults } = await open_page(browser, mock.url, {
    forgive: ['401 (Unauthorized)'],
  });
  const w = new Walk('keyed', page, faults);
  await w.step(
    'a server with a key asks for it, refuses a wrong one and remembers the right one',
    async () => {
      await page.goto(mock.url);
      await page.getByRole('heading', { name: 'This minke wants its key' }).waitFor();
      await page.fill('dialog input', 'wrong');
      await page.getByRole('button', { name: 'Open' }).click();
      await page.getByText('This key is not the right one').waitFor();
      await page.fill('dialog input', 'sesame');
      await page.getByRole('button', { name: 'Open' }).click();
      await page.waitForSelector('#composer');
      await page.locator('#sidebar li a').first().waitFor();
      equal(await page.locator('.toast').count(), 0, 'faults that are over');
      await page.reload();
      await page.locator('#sidebar li a').first().waitFor();
      equal(await page.locator('dialog').count(), 0, 'dialogs');
    },
  );
  await context.close();
  mock.close();
  return w.count;
}
