// One message as it is shown. While it runs, the events of its generation are gathered and handed
// to the page a few times a second: a hundred tokens cost it no more than one, and the processor is
// left to the model.

import { api } from '../lib/api';
import { window_attention } from '../lib/attention';
import { server_clock } from '../lib/clock';
import { follow, type ServerEvent } from '../lib/sse';
import type { Message, Segment } from '../lib/types';

const flush_ms = 40;
const hidden_flush_ms = 400;

export type Phase = 'queued' | 'reading' | 'thinking' | 'answering';

export class Shown {
  m: Message = $state.raw(null!);
  content = $state('');
  thinking = $state.raw<Segment[]>([]);
  phase = $state<Phase | null>(null);
  position = $state(0); // in the queue
  read = $state.raw<{ prompt: number; done: number; cached: number } | null>(null);
  tokens_per_s = $state<number | null>(null);
  lost = $state(false);

  running = $derived(this.m.status === 'running');
  // It stands for all above it; one that was not made whole stands for nothing.
  is_whole_summary = $derived(
    this.m.kind === 'summary' && this.m.status === 'complete' && this.content !== '',
  );

  #aborter: AbortController | null = null;
  #generation: string | null = null;
  #events: ServerEvent[] = [];
  #flush_at = 0;
  #fresh = false; // nothing of this stream has been taken yet

  constructor(message: Message) {
    this.m = message;
    this.content = message.content;
    this.thinking = message.thinking;
  }

  get id(): string {
    return this.m.id;
  }
  get parent_id(): string | null {
    return this.m.parent_id;
  }
  get created_at_ms(): number {
    return this.m.created_at_ms;
  }

  // What the server has now; what already streams here is newer and stays.
  take(message: Message): void {
    const streams = this.#generation !== null && this.#generation === message.generation_id;
    this.m = message;
    if (streams) return;
    this.content = message.content;
    this.thinking = message.thinking;
  }

  // Follows the generation to its end; `gone` when the server does not know it any more.
  attach(done: () => void, gone: () => void): void {
    const generation = this.m.generation_id;
    if (this.m.status !== 'running' || !generation || this.#generation === generation) return;
    this.detach();
    const aborter = new AbortController();
    this.#aborter = aborter;
    this.#generation = generation;
    this.#fresh = true;
    this.phase ??= 'queued';
    follow({
      open: (after, signal) => api.generation(generation, after, signal),
      take: (event) => this.#gather(event),
      lost: (failures) => {
        if (failures > 0) this.lost = true;
      },
      found: () => (this.lost = false),
      signal: aborter.signal,
      attention: window_attention,
    }).then(
      () => {
        if (aborter.signal.aborted) return;
        this.#flush();
        this.#end();
        done();
      },
      () => {
        this.#flush();
        this.#end();
        gone();
      },
    );
  }

  detach(): void {
    this.#aborter?.abort();
    this.#end();
  }

  #end(): void {
    this.#aborter = null;
    this.#generation = null;
    this.#events = [];
    this.phase = null;
    this.lost = false;
  }

  #gather(event: ServerEvent): boolean {
    this.#events.push(event);
    if (event.event === 'done') return true;
    if (!this.#flush_at) {
      const ms = document.hidden ? hidden_flush_ms : flush_ms;
      this.#flush_at = window.setTimeout(() => this.#flush(), ms);
    }
    return false;
  }

  #flush(): void {
    this.#flush_at = 0;
    const events = this.#events;
    if (events.length === 0) return;
    this.#events = [];
    let { content } = this;
    let thinking = this.thinking;
    for (const event of events) {
      const data = JSON.parse(event.data);
      const kind = event.event;
      if (this.#fresh && (kind === 'thinking' || kind === 'thought' || kind === 'text')) {
        // The stream holds the whole answer; what had been saved of it is a part of that.
        this.#fresh = false;
        content = '';
        thinking = [];
      }
      if (kind === 'text') {
        this.phase = 'answering';
        content += data.text;
      } else if (kind === 'thought') {
        const last = thinking[thinking.length - 1];
        if (last) thinking = [...thinking.slice(0, -1), { ...last, text: last.text + data.text }];
      } else if (kind === 'thinking') {
        this.phase = 'thinking';
        thinking = [...thinking, { text: '', started_at_ms: data.started_at_ms, ms: null }];
      } else if (kind === 'thinking-end') {
        this.phase = 'answering';
        const last = thinking[thinking.length - 1];
        if (last) thinking = [...thinking.slice(0, -1), { ...last, ms: data.ms }];
        if (data.closed_by_budget) this.m = { ...this.m, thinking_closed: true };
      } else if (kind === 'queued') {
        this.phase = 'queued';
        this.position = data.position;
      } else if (kind === 'reading') {
        this.phase = 'reading';
        this.read = {
          prompt: data.prompt_tokens,
          done: data.read_tokens,
          cached: data.cached_tokens,
        };
      } else if (kind === 'speed') {
        this.tokens_per_s = data.tokens_per_s;
      } else if (kind === 'done') {
        const message = data.message as Message;
        server_clock.saw(message.finished_at_ms);
        this.m = message;
        content = message.content;
        thinking = message.thinking;
      }
    }
    this.content = content;
    this.thinking = thinking;
  }
}
