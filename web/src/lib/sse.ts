// Server-sent events out of a fetch body, and a reader that never gives up on them.

export interface ServerEvent {
  id: number | null;
  event: string;
  data: string;
}

// Takes text in any pieces and gives back the events that are whole. Lines may end in \n or \r\n.
export class EventParser {
  #rest = '';
  #id: number | null = null;
  #event = '';
  #data: string[] = [];

  push(piece: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    const text = this.#rest + piece;
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      const line = text.slice(start, text[end - 1] === '\r' && end > start ? end - 1 : end);
      start = end + 1;
      if (line === '') {
        if (this.#data.length > 0) {
          events.push({
            id: this.#id,
            event: this.#event || 'message',
            data: this.#data.join('\n'),
          });
        }
        this.#event = '';
        this.#data = [];
      } else {
        this.#field(line);
      }
    }
    this.#rest = text.slice(start);
    return events;
  }

  #field(line: string): void {
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment keeps the connection alive
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'event') this.#event = value;
    else if (name === 'data') this.#data.push(value);
    else if (name === 'id' && /^\d+$/.test(value)) this.#id = Number(value);
  }
}

export async function* events_of(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const parser = new EventParser();
  const decoder = new TextDecoder();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export const backoff_ms_max = 8000;

export function backoff_ms(failures: number): number {
  return Math.min(backoff_ms_max, 250 * 2 ** Math.min(failures, 10));
}

// Thrown by `open` where trying again is no use: the thing is gone, or the key is wrong.
export class Gone extends Error {}

export interface FollowOptions {
  open: (after: number, signal: AbortSignal) => Promise<ReadableStream<Uint8Array>>;
  take: (event: ServerEvent) => boolean; // true: that was the last one
  lost?: (failures: number) => void;
  found?: () => void; // it is open again, after a loss or a sleep
  wait?: (ms: number, signal: AbortSignal) => Promise<void>;
  signal: AbortSignal;
  after?: number;
  attention?: Attention;
}

// Whether anybody looks. A browser has six connections to a server for all its windows together:
// those nobody sees must not hold them.
export interface Attention {
  awake: (signal: AbortSignal) => Promise<void>; // at once, or when somebody looks again
  on_asleep: (lapse: () => void) => () => void; // calls it when nobody looks; gives back how to undo
}

// Reads a stream to its last event across any number of lost connections. Each numbered event is
// taken once: after a loss the stream is asked for from the last id on, and what comes twice all
// the same is left out. Ends when `take` says so or `signal` aborts; throws only Gone.
export async function follow(options: FollowOptions): Promise<void> {
  const { open, take, signal, attention, wait = pause } = options;
  let after = options.after ?? 0;
  let failures = 0;
  let opened = false; // before
  while (!signal.aborted) {
    await attention?.awake(signal);
    const one = new AbortController(); // this connection
    const end = (): void => one.abort();
    signal.addEventListener('abort', end);
    const undo = attention?.on_asleep(end);
    try {
      const body = await open(after, one.signal);
      if (opened) options.found?.();
      opened = true;
      for await (const event of events_of(body)) {
        failures = 0;
        if (event.id !== null) {
          if (event.id <= after) continue;
          after = event.id;
        }
        if (take(event)) return;
      }
    } catch (error) {
      if (error instanceof Gone) throw error;
    } finally {
      signal.removeEventListener('abort', end);
      undo?.();
    }
    if (signal.aborted) return;
    if (one.signal.aborted) continue;
    options.lost?.(failures);
    await wait(backoff_ms(failures), signal);
    failures += 1;
  }
}

// Waits, but not longer than until the network comes back.
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      globalThis.removeEventListener?.('online', end);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    globalThis.addEventListener?.('online', end);
    signal.addEventListener('abort', end);
  });
}
