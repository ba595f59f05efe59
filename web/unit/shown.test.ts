// A message that streams: rebuilt from its stream, taken once across losses, replaced when done.

import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Message } from '../src/lib/types';

vi.stubGlobal('document', {
  hidden: false,
  addEventListener: () => {},
  removeEventListener: () => {},
});
vi.stubGlobal('window', globalThis);
const { Shown } = await import('../src/stores/shown.svelte');

function message(fields: Partial<Message>): Message {
  return {
    id: 'm',
    conversation_id: 'c',
    parent_id: 'p',
    role: 'assistant',
    status: 'running',
    content: '',
    thinking: [],
    thinking_closed: false,
    generation_id: 'g',
    error: null,
    model: null,
    settings: {},
    finish_reason: null,
    usage: null,
    attachments: [],
    created_at_ms: 1,
    finished_at_ms: null,
    kind: 'message',
    ...fields,
  };
}

let id = 0;
const event = (name: string, data: unknown): string =>
  `id: ${++id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

// Each call of fetch is answered by the next of these bodies; the last ends with `done`.
function serve(...bodies: string[]): string[] {
  const asked: string[] = [];
  vi.stubGlobal('fetch', async (path: string) => {
    asked.push(path);
    const body = bodies[asked.length - 1];
    return body === undefined ? new Response(null, { status: 404 }) : new Response(body);
  });
  return asked;
}

function run(shown: InstanceType<typeof Shown>): Promise<'done' | 'gone'> {
  return new Promise((resolve) =>
    shown.attach(
      () => resolve('done'),
      () => resolve('gone'),
    ),
  );
}

afterEach(() => (id = 0));

describe('Shown', () => {
  it('begins anew from the stream, whatever had been saved', async () => {
    const shown = new Shown(
      message({ content: 'Half of', thinking: [{ text: 'Hm', started_at_ms: 1, ms: 5 }] }),
    );
    const final = message({
      status: 'complete',
      content: 'Half of it and the rest',
      generation_id: null,
    });
    serve(
      event('thinking', { started_at_ms: 1 }) +
        event('thought', { text: 'Hm' }) +
        event('thinking-end', { ms: 5 }) +
        event('text', { text: 'Half of it' }) +
        event('text', { text: ' and the rest' }) +
        event('done', { message: final }),
    );
    expect(await run(shown)).toBe('done');
    expect(shown.content).toBe(final.content);
    expect(shown.m.status).toBe('complete');
  });

  it('shows the whole text while it streams, after a loss too', async () => {
    const shown = new Shown(message({}));
    const first = event('text', { text: 'one ' }) + event('text', { text: 'two ' });
    const asked = serve(first, event('text', { text: 'three' }));
    void run(shown);
    await vi.waitFor(() => expect(shown.content).toBe('one two three'), { timeout: 4000 });
    expect(asked.slice(0, 2).map((path) => path.split('?')[1])).toEqual(['after=0', 'after=2']);
    shown.detach();
  });

  it('says so when the server does not know the generation any more', async () => {
    serve();
    expect(await run(new Shown(message({})))).toBe('gone');
  });

  it('keeps what streams when an older state of the message arrives', async () => {
    const shown = new Shown(message({}));
    serve(event('text', { text: 'newer text' }));
    void run(shown);
    await vi.waitFor(() => expect(shown.content).toBe('newer text'), { timeout: 4000 });
    shown.take(message({ content: 'newer' }));
    expect(shown.content).toBe('newer text');
    shown.detach();
  });
});
