// All that the mock remembers, and its routes.

import { randomBytes } from 'node:crypto';
import { summary_text } from './answers.mjs';
import { Generation } from './generation.mjs';
import { MockRuns } from './runs.mjs';
import { mock_models, sample_conversations } from './samples.mjs';

const id = () => randomBytes(17).toString('base64url').slice(0, 22);
const missing = (what) => Object.assign(new Error(`${what} is not here`), { status: 404 });

export class Store {
  streaming = Symbol('streaming');

  constructor({ rate, empty, key }) {
    this.rate = rate;
    this.key = key;
    this.started_at_ms = Date.now();
    this.runs = new MockRuns();
    this.models = mock_models();
    this.folders = [];
    this.presets = [];
    this.preferences = {};
    this.conversations = new Map();
    this.messages = new Map();
    this.attachments = new Map();
    this.generations = new Map();
    this.loses_next = false;
    this.summaries_fail = 0; // so many of the next
    this.made = new Map();
    this.listeners = new Set();
    if (!empty) sample_conversations(this, id);
    setInterval(() => {
      for (const response of this.listeners) response.write(':\n\n');
    }, 15_000).unref();
  }

  drop() {
    for (const response of this.listeners) response.destroy();
    for (const generation of this.generations.values()) generation.drop();
  }

  tell(event, data) {
    for (const response of this.listeners) {
      response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    }
  }

  route(method, parts, request) {
    const [what, name, ...rest] = parts;
    const handler = this[`${what}_`];
    if (!handler) throw missing(parts.join('/'));
    return handler.call(this, method, name, rest, request);
  }

  memory() {
    const loaded = this.models.filter((m) => m.loaded);
    const used = loaded.reduce((sum, m) => sum + m.memory_bytes, 0);
    return { budget: 12_000_000_000, used, process: used + 48_000_000 };
  }

  state_() {
    const { models, folders, presets, preferences } = this;
    return {
      version: '0.9.0',
      build: 'mock',
      default_model: models.find((m) => m.is_default).name,
      models,
      folders,
      presets,
      preferences,
      memory: this.memory(),
      needs_key: Boolean(this.key),
      efforts: [
        { name: 'low', think_budget: 1024 },
        { name: 'high', think_budget: null },
      ],
      limits: { attachment_bytes_max: 20_000_000, message_bytes_max: 4_000_000 },
    };
  }

  system_() {
    const running = [...this.generations.values()].filter((g) => g.running);
    return {
      uptime_ms: Date.now() - this.started_at_ms,
      requests: { running: running.length, waiting: 0 },
      tokens_per_s: running.length * this.rate,
      memory: this.memory(),
      models: this.models.filter((m) => m.loaded),
    };
  }

  runs_(_method, name, _rest, { query }) {
    if (!name) return this.runs.list();
    const found = this.runs.metrics(name, Number(query.get('from') ?? 0));
    if (!found) throw missing(name);
    return found;
  }

  events_(_method, _name, _rest, { response }) {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    response.write(':\n\n');
    this.listeners.add(response);
    response.on('close', () => this.listeners.delete(response));
    return this.streaming;
  }

  conversation(name) {
    const found = this.conversations.get(name);
    if (!found) throw missing('The conversation');
    return found;
  }

  touch(conversation) {
    conversation.updated_at_ms = Date.now();
    conversation.message_count = this.tree(conversation.id).length;
    this.tell('conversation', conversation);
  }

  tree(conversation_id) {
    return [...this.messages.values()].filter((m) => m.conversation_id === conversation_id);
  }

  // The same request a second time, by its `once`, gives what it gave the first time.
  conversations_(method, name, rest, request) {
    const { once, ...body } = request.body;
    if (once === undefined) return this.conversation_route(method, name, rest, request);
    if (!this.made.has(once)) {
      this.made.set(once, this.conversation_route(method, name, rest, { ...request, body }));
    }
    return this.made.get(once);
  }

  conversation_route(method, name, [what], request) {
    const { body, query } = request;
    if (!name && method === 'POST') return this.new_conversation(body);
    if (!name) return this.list_conversations(query);
    const conversation = this.conversation(name);
    if (what === 'messages') return this.say(conversation, body);
    if (what === 'answers') return this.answers(conversation, body);
    if (what === 'continue') return this.go_on(body.message_id);
    if (what === 'compaction') return this.compact(conversation, body);
    if (what === 'context') return this.context(conversation, query.get('leaf'));
    if (method === 'PATCH') {
      if ('title' in body) conversation.title_is_own = true;
      Object.assign(conversation, body);
      this.tell('conversation', conversation);
      return conversation;
    }
    if (method === 'DELETE') {
      for (const m of this.tree(name)) this.forget(m);
      this.conversations.delete(name);
      this.tell('conversation-gone', { id: name });
      return undefined;
    }
    return { conversation, messages: this.tree(name) };
  }

  new_conversation({ title, folder_id = null, settings = {} }) {
    const now = Date.now();
    const conversation = {
      id: id(),
      title: title ?? '',
      title_is_own: Boolean(title),
      folder_id,
      pinned: false,
      archived: false,
      settings,
      leaf_id: null,
      created_at_ms: now,
      updated_at_ms: now,
      message_count: 0,
    };
    this.conversations.set(conversation.id, conversation);
    this.tell('conversation', conversation);
    return conversation;
  }

  list_conversations(query) {
    const archived = query.get('archived') === 'true';
    const folder = query.get('folder');
    const limit = Number(query.get('limit') ?? 50);
    const all = [...this.conversations.values()]
      .filter((c) => c.archived === archived && (!folder || c.folder_id === folder))
      .sort((a, b) => b.pinned - a.pinned || b.updated_at_ms - a.updated_at_ms);
    const from = Number(query.get('before') ?? 0);
    const next = from + limit < all.length ? String(from + limit) : null;
    return { conversations: all.slice(from, from + limit), next };
  }

  new_message(conversation, fields) {
    const message = {
      id: id(),
      conversation_id: conversation.id,
      parent_id: null,
      role: 'user',
      status: 'complete',
      content: '',
      thinking: [],
      thinking_closed: false,
      generation_id: null,
      error: null,
      model: null,
      settings: {},
      finish_reason: null,
      usage: null,
      attachments: [],
      created_at_ms: Date.now(),
      finished_at_ms: null,
      kind: 'message',
      ...fields,
    };
    this.messages.set(message.id, message);
    conversation.leaf_id = message.id;
    this.tell('message', {
      conversation_id: conversation.id,
      message_id: message.id,
      status: message.status,
    });
    return message;
  }

  say(conversation, { parent_id, content, attachments = [], settings = {}, generate }) {
    const message = this.new_message(conversation, {
      parent_id,
      content,
      settings,
      attachments: attachments.map((a) => this.attachments.get(a).info),
    });
    if (!conversation.title_is_own && parent_id === null) {
      conversation.title = content.trim().slice(0, 60) || message.attachments[0]?.name || '';
    }
    const answer = generate ? this.answer(conversation, message, settings) : null;
    this.touch(conversation);
    return { message, answer };
  }

  answers(conversation, { parent_id, settings = {}, count = 1 }) {
    const parent = this.messages.get(parent_id);
    if (!parent) throw missing('The message');
    const answers = [];
    for (let n = 0; n < count; n += 1) answers.push(this.answer(conversation, parent, settings));
    this.touch(conversation);
    return { answers };
  }

  answer(conversation, parent, settings) {
    const merged = { ...conversation.settings, ...settings };
    const model = merged.model ?? this.models.find((m) => m.is_default).name;
    const message = this.new_message(conversation, {
      parent_id: parent.id,
      role: 'assistant',
      status: 'running',
      model,
      settings: merged,
    });
    const outgrown = /\boutgrow/i.test(parent.content) && !this.is_summarised(parent);
    this.run(message, new Generation(this, id(), message, parent.content, { outgrown }));
    return message;
  }

  is_summarised(message) {
    for (let at = message; at; at = this.messages.get(at.parent_id)) {
      if (at.kind === 'summary' && at.status === 'complete') return true;
    }
    return false;
  }

  run(message, generation) {
    message.status = 'running';
    message.generation_id = generation.id;
    this.generations.set(generation.id, generation);
    generation.start();
  }

  go_on(message_id) {
    const message = this.messages.get(message_id);
    if (!message) throw missing('The message');
    const parent = this.messages.get(message.parent_id);
    this.run(message, new Generation(this, id(), message, parent.content, { goes_on: true }));
    return { answer: message };
  }

  compact(conversation, { leaf_id }) {
    const message = this.new_message(conversation, {
      parent_id: leaf_id,
      role: 'assistant',
      status: 'running',
      kind: 'summary',
      model: conversation.settings.model ?? this.models.find((m) => m.is_default).name,
    });
    const fails = this.summaries_fail > 0;
    if (fails) this.summaries_fail -= 1;
    this.run(message, new Generation(this, id(), message, '', { text: summary_text, fails }));
    this.touch(conversation);
    return { answer: message };
  }

  context(conversation, leaf) {
    let chars = (conversation.settings.system ?? '').length;
    for (let at = this.messages.get(leaf); at; at = this.messages.get(at.parent_id)) {
      chars += at.content.length;
      if (at.kind === 'summary' && at.status === 'complete') break;
    }
    const model =
      this.models.find((m) => m.name === conversation.settings.model) ??
      this.models.find((m) => m.is_default);
    const tokens = 12 + Math.ceil(chars / 4);
    return {
      tokens,
      context_tokens: model.context_tokens ?? 4096,
      cached_tokens: tokens,
      model: model.name,
    };
  }

  forget(message) {
    if (message.generation_id) this.generations.get(message.generation_id)?.stop();
    this.messages.delete(message.id);
  }

  messages_(_method, name, _rest, { query }) {
    const message = this.messages.get(name);
    if (!message) throw missing('The message');
    const gone = [message];
    const below = [...this.messages.values()].filter((m) => m.parent_id === name);
    if (query.get('below') === 'keep') for (const m of below) m.parent_id = message.parent_id;
    for (const at of gone) {
      for (const m of this.messages.values()) if (m.parent_id === at.id) gone.push(m);
    }
    for (const m of gone) this.forget(m);
    const conversation = this.conversation(message.conversation_id);
    if (gone.some((m) => m.id === conversation.leaf_id) && below.length === 0)
      conversation.leaf_id = message.parent_id;
    this.touch(conversation);
    return undefined;
  }

  generations_(_method, name, [what], { query, response }) {
    const generation = this.generations.get(name);
    if (!generation) throw missing('The generation');
    if (what === 'stop') {
      generation.stop();
      return undefined;
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    generation.attach(response, Number(query.get('after') ?? 0));
    return this.streaming;
  }

  search_(_method, _name, _rest, { query }) {
    const q = query.get('q').toLowerCase();
    const hits = [];
    for (const m of this.messages.values()) {
      const at = m.content.toLowerCase().indexOf(q);
      if (at < 0) continue;
      const from = Math.max(0, at - 40);
      hits.push({
        conversation_id: m.conversation_id,
        message_id: m.id,
        role: m.role,
        title: this.conversations.get(m.conversation_id).title,
        snippet: [
          { text: (from > 0 ? '…' : '') + m.content.slice(from, at), hit: false },
          { text: m.content.slice(at, at + q.length), hit: true },
          { text: m.content.slice(at + q.length, at + q.length + 60) + '…', hit: false },
        ],
        created_at_ms: m.created_at_ms,
      });
    }
    return { hits: hits.slice(0, Number(query.get('limit') ?? 50)) };
  }

  folders_(method, name, _rest, { body }) {
    return this.simple('folders', method, name, body, () => {
      for (const c of this.conversations.values()) if (c.folder_id === name) c.folder_id = null;
    });
  }

  presets_(method, name, _rest, { body }) {
    return this.simple('presets', method, name, body, () => {});
  }

  simple(kind, method, name, body, removed) {
    if (!name && method === 'GET') return { [kind]: this[kind] };
    if (!name) {
      const made = { id: id(), position: this[kind].length, ...body };
      this[kind] = [...this[kind], made];
      this.tell(kind, this[kind]);
      return made;
    }
    const found = this[kind].find((item) => item.id === name);
    if (!found) throw missing('It');
    if (method === 'DELETE') {
      this[kind] = this[kind].filter((item) => item !== found);
      removed();
      this.tell(kind, this[kind]);
      return undefined;
    }
    Object.assign(found, body);
    this.tell(kind, this[kind]);
    return found;
  }

  preferences_(method, _name, _rest, { body }) {
    if (method === 'PUT') this.preferences = body;
    return this.preferences;
  }

  attachments_(method, name, _rest, { query, bytes, type }) {
    if (method === 'GET') {
      const found = this.attachments.get(name);
      if (!found) throw missing('The attachment');
      return { file: found.bytes, type: found.info.media_type, name: found.info.name };
    }
    const kind = type.startsWith('image/') ? 'image' : type === 'application/pdf' ? 'pdf' : 'text';
    if (kind === 'text' && bytes.includes(0)) {
      throw Object.assign(new Error(`${query.get('name')} is neither text nor PDF`), {
        status: 400,
      });
    }
    const info = {
      id: id(),
      name: query.get('name'),
      media_type: type,
      bytes: bytes.length,
      kind,
      chars: kind === 'text' ? bytes.toString().length : 1200,
      truncated: false,
    };
    this.attachments.set(info.id, { info, bytes });
    return info;
  }

  models_(method, name, [what]) {
    const model = this.models.find((m) => m.name === name);
    if (!model && what === 'pull') return this.pull_in_vain(name);
    if (!model) throw missing(`The model ${name}`);
    if (method === 'DELETE') {
      this.set_model(model, { present: false, loaded: false, state: 'absent' });
      return undefined;
    }
    if (what === 'pull') this.pull(model);
    else if (what === 'load') this.load(model);
    else if (what === 'unload')
      this.set_model(model, { loaded: false, state: 'present', memory: null });
    else if (what === 'stop') {
      clearInterval(model_timers.get(model));
      this.set_model(model, { state: 'absent', progress: null });
    }
    return { status: 202, value: model };
  }

  pull_in_vain(name) {
    const error = 'there is no such file: give the same command with another name';
    const made = { ...mock_models()[0], name, file_bytes: 0, is_default: false };
    const gone = { present: false, loaded: false, state: 'pulling', memory: null, error: null };
    const model = { ...made, ...gone, description: '', licence: '' };
    this.models.push(model);
    setTimeout(() => this.set_model(model, { state: 'failed', error }), 50);
    return { status: 202, value: model };
  }

  set_model(model, change) {
    Object.assign(model, change);
    this.tell('models', model);
    this.tell('memory', this.memory());
  }

  load(model) {
    this.set_model(model, { state: 'loading' });
    setTimeout(() => {
      const weights = Math.round(model.memory_bytes * 0.8);
      this.set_model(model, {
        loaded: true,
        state: 'loaded',
        memory: {
          weights,
          kv_cache: Math.round(model.memory_bytes * 0.15),
          activations: Math.round(model.memory_bytes * 0.05),
          budget: 12_000_000_000,
          kv_cache_tokens: 32_768,
        },
      });
    }, 600);
  }

  pull(model) {
    const total = model.file_bytes;
    let done = 0;
    const timer = setInterval(() => {
      done = Math.min(total, done + total / 25);
      if (done >= total) {
        clearInterval(timer);
        this.set_model(model, { present: true, state: 'present', progress: null });
        return;
      }
      const rate = total / 2.5;
      this.set_model(model, {
        state: 'pulling',
        progress: { phase: 'download', done, total, rate, seconds_left: (total - done) / rate },
      });
    }, 100);
    model_timers.set(model, timer);
    this.set_model(model, {
      state: 'pulling',
      progress: { phase: 'download', done: 0, total, rate: 0, seconds_left: null },
    });
  }

  export_(_method, _name, _rest, { query }) {
    const wanted = query.get('conversation');
    const conversations = [...this.conversations.values()].filter(
      (c) => !wanted || c.id === wanted,
    );
    const value = {
      format: 'minke',
      version: 1,
      conversations: conversations.map((c) => ({ ...c, messages: this.tree(c.id) })),
    };
    return { file: JSON.stringify(value, null, 2), type: 'application/json', name: 'minke.json' };
  }

  import_(_method, _name, _rest, { body }) {
    const items = Array.isArray(body) ? body : (body.conversations ?? []);
    let messages = 0;
    for (const item of items) {
      const conversation = this.new_conversation({ title: item.title ?? 'Imported' });
      const ids = new Map();
      for (const m of item.messages ?? []) {
        const made = this.new_message(conversation, {
          ...m,
          id: id(),
          conversation_id: conversation.id,
          parent_id: ids.get(m.parent_id) ?? null,
        });
        ids.set(m.id, made.id);
        messages += 1;
      }
      this.touch(conversation);
    }
    return { format: 'minke', conversations: items.length, messages, skipped: [] };
  }

  backup_() {
    return { file: 'SQLite format 3\0', type: 'application/vnd.sqlite3', name: 'minke.sqlite' };
  }
}

const model_timers = new WeakMap();
