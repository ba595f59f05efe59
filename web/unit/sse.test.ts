import { describe, expect, it } from 'vitest';
import {
  EventParser,
  Gone,
  backoff_ms,
  backoff_ms_max,
  follow,
  type ServerEvent,
} from '../src/lib/sse';

function body(...pieces: string[]): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder();
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(bytes.encode(piece));
      controller.close();
    },
  });
}

const event = (id: number, text: string): string =>
  `id: ${id}\nevent: text\ndata: {"text":"${text}"}\n\n`;

describe('EventParser', () => {
  const stream =
    ': hello\n\nid: 1\r\nevent: text\r\ndata: {"a":1}\r\n\r\nid: 2\ndata: one\ndata:two\n\n';

  it('reads events, comments and both line ends', () => {
    expect(new EventParser().push(stream)).toEqual([
      { id: 1, event: 'text', data: '{"a":1}' },
      { id: 2, event: 'message', data: 'one\ntwo' },
    ]);
  });

  it('reads the same from any pieces', () => {
    for (let size = 1; size < 20; size += 1) {
      const parser = new EventParser();
      const events: ServerEvent[] = [];
      for (let at = 0; at < stream.length; at += size)
        events.push(...parser.push(stream.slice(at, at + size)));
      expect(events).toEqual(new EventParser().push(stream));
    }
  });
});

describe('follow', () => {
  const run = async (
    opens: ((after: number) => ReadableStream<Uint8Array>)[],
  ): Promise<{ texts: string; asked: number[]; waits: number[] }> => {
    const asked: number[] = [];
    const waits: number[] = [];
    let texts = '';
    await follow({
      signal: new AbortController().signal,
      open: async (after) => {
        asked.push(after);
        return opens[asked.length - 1]!(after);
      },
      take: (e) => {
        if (e.event === 'done') return true;
        texts += JSON.parse(e.data).text;
        return false;
      },
      wait: async (ms) => {
        waits.push(ms);
      },
    });
    return { texts, asked, waits };
  };
  const done = 'id: 9\nevent: done\ndata: {}\n\n';

  it('goes on after the last event it saw, and takes none twice', async () => {
    const result = await run([
      () => body(event(1, 'a'), event(2, 'b'), 'id: 3\nevent: text\nda'),
      () => {
        throw new TypeError('network');
      },
      () => body(event(2, 'b'), event(3, 'c'), done),
    ]);
    expect(result.texts).toBe('abc');
    expect(result.asked).toEqual([0, 2, 2]);
    expect(result.waits).toEqual([250, 500]);
  });

  it('gives up on what is gone', async () => {
    await expect(
      run([
        () => {
          throw new Gone('404');
        },
      ]),
    ).rejects.toBeInstanceOf(Gone);
  });

  it('decodes characters that were cut in two', async () => {
    const bytes = new TextEncoder().encode(event(1, '鯨🐋') + done);
    const cut = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
        controller.close();
      },
    });
    expect((await run([() => cut])).texts).toBe('鯨🐋');
  });

  it('lets the connection go while nobody looks, and goes on where it was', async () => {
    const asked: number[] = [];
    let texts = '';
    let lapse = (): void => {};
    let sleeps = 0;
    let found = 0;
    await follow({
      signal: new AbortController().signal,
      open: async (after, signal) => {
        asked.push(after);
        if (asked.length > 1) return body(event(3, 'c'), done);
        return new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode(event(1, 'a') + event(2, 'b')));
            signal.addEventListener('abort', () => controller.error(new Error('aborted')));
            setTimeout(() => lapse(), 5);
          },
        });
      },
      take: (e) => {
        if (e.event === 'done') return true;
        texts += JSON.parse(e.data).text;
        return false;
      },
      found: () => {
        found += 1;
      },
      lost: () => expect.unreachable('it was not lost'),
      attention: {
        awake: async () => {
          sleeps += 1;
        },
        on_asleep: (does) => {
          lapse = does;
          return () => {};
        },
      },
    });
    expect([texts, asked, sleeps, found]).toEqual(['abc', [0, 2], 2, 1]);
  });

  it('waits longer each time, up to a limit', () => {
    expect([0, 1, 2, 99].map(backoff_ms)).toEqual([250, 500, 1000, backoff_ms_max]);
  });
});
