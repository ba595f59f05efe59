// One running answer of the mock: its numbered events, kept, and whoever listens to them.

import { answer_to, tokens_of } from './answers.mjs';

export class Generation {
  running = true;
  #events = [];
  #listeners = new Set();
  #timer = null;

  constructor(store, id, message, question, options = {}) {
    const { text = null, goes_on = false, fails = false, outgrown = false } = options;
    const model = store.models.find((m) => m.name === message.model);
    const think = message.kind === 'message' && model?.thinks && message.settings.think !== false;
    this.id = id;
    this.store = store;
    this.message = message;
    this.goes_on = goes_on;
    this.plan = text === null ? answer_to(question, think) : { thinking: [], text };
    if (fails) this.plan = { thinking: [], text: '', fails: true };
    this.outgrown = outgrown;
    this.rate = this.plan.fast ? Math.max(store.rate, 1000) : (this.plan.rate ?? store.rate);
  }

  start() {
    this.started_at_ms = Date.now();
    this.steps = this.#steps();
    const { message } = this;
    if (this.goes_on) {
      // Whoever follows a generation from its start gets the whole message.
      for (const segment of message.thinking) {
        this.#emit('thinking', { started_at_ms: segment.started_at_ms });
        this.#emit('thought', { text: segment.text });
        segment.ms ??= 0;
        this.#emit('thinking-end', { ms: segment.ms, closed_by_budget: false });
      }
      if (message.content) this.#emit('text', { text: message.content });
    }
    const tick_ms = 20;
    let due = 0;
    this.#timer = setInterval(() => {
      due += (this.rate * tick_ms) / 1000;
      for (; due >= 1; due -= 1) {
        if (this.steps.next().done) return;
      }
    }, tick_ms);
  }

  *#steps() {
    const { message, plan } = this;
    if (this.outgrown) {
      message.error =
        "the prompt has 40000 tokens, and the model's context of 32768 tokens has no room for it and an answer: shorten it, or start the server with a larger --ctx";
      return this.#end('failed', 'context');
    }
    const prompt_tokens = 180;
    for (let read = 0; read <= prompt_tokens; read += 60) {
      this.#emit('reading', { prompt_tokens, cached_tokens: 40, read_tokens: read });
      yield;
    }
    this.made = 0;
    for (const thought of this.goes_on ? [] : plan.thinking) {
      const segment = { text: '', started_at_ms: Date.now(), ms: null };
      message.thinking.push(segment);
      this.#emit('thinking', { started_at_ms: segment.started_at_ms });
      const budget = message.settings.think_budget ?? Infinity;
      let used = 0;
      for (const token of tokens_of(thought)) {
        if (used >= budget) break;
        used += 1;
        segment.text += token;
        this.#count('thought', token);
        yield;
      }
      segment.ms = Date.now() - segment.started_at_ms;
      message.thinking_closed = used >= budget;
      this.#emit('thinking-end', { ms: segment.ms, closed_by_budget: message.thinking_closed });
    }
    const rest =
      this.goes_on && plan.text.startsWith(message.content)
        ? plan.text.slice(message.content.length)
        : plan.text;
    const max = message.settings.tokens_max ?? Infinity;
    for (const token of tokens_of(rest)) {
      if (this.made >= max) return this.#end('complete', 'length');
      message.content += token;
      this.#count('text', token);
      yield;
    }
    if (plan.fails) {
      message.error = 'the model ran out of memory: 2.1 GB asked, 1.4 GB of the budget left';
      this.#end('failed', 'error');
    } else {
      this.#end('complete', 'stop');
    }
  }

  #count(event, text) {
    this.#emit(event, { text });
    this.made += 1;
    if (this.made % Math.ceil(this.rate) === 0) {
      this.#emit('speed', {
        answer_tokens: this.made,
        tokens_per_s: this.rate * (0.97 + Math.random() * 0.06),
      });
    }
  }

  #emit(event, data) {
    const entry = { id: this.#events.length + 1, text: '' };
    entry.text = `id: ${entry.id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    this.#events.push(entry);
    for (const response of this.#listeners) response.write(entry.text);
  }

  #end(status, reason) {
    if (!this.running) return;
    this.running = false;
    clearInterval(this.#timer);
    const { message } = this;
    const reasoning = tokens_of(message.thinking.map((s) => s.text).join('')).length;
    for (const segment of message.thinking) segment.ms ??= Date.now() - segment.started_at_ms;
    Object.assign(message, {
      status,
      finish_reason: reason,
      finished_at_ms: Date.now(),
      generation_id: null,
      usage: {
        prompt_tokens: 180,
        cached_tokens: 40,
        answer_tokens: this.made ?? 0,
        reasoning_tokens: reasoning,
        prompt_ms: 420,
        answer_ms: Date.now() - this.started_at_ms,
        drafted_tokens: 0,
        accepted_tokens: 0,
      },
    });
    this.#emit('done', { message });
    for (const response of this.#listeners) response.end();
    this.#listeners.clear();
    this.store.tell('message', {
      conversation_id: message.conversation_id,
      message_id: message.id,
      status,
    });
  }

  stop() {
    this.#end('stopped', 'cancelled');
  }

  attach(response, after) {
    response.write(
      this.#events
        .slice(after)
        .map((entry) => entry.text)
        .join(''),
    );
    if (!this.running) {
      response.end();
      return;
    }
    this.#listeners.add(response);
    response.on('close', () => this.#listeners.delete(response));
  }

  drop() {
    for (const response of this.#listeners) response.destroy();
    this.#listeners.clear();
  }
}
