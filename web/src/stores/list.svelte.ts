// The conversations of the sidebar, and searching them.

import { SvelteMap, SvelteSet } from 'svelte/reactivity';
import { api } from '../lib/api';
import { age_group, title_of } from '../lib/format';
import type { Conversation, Hit, MessageEvent } from '../lib/types';
import { app } from './app.svelte';
import { attempt, ui } from './ui.svelte';

const page_size = 100;

class List {
  all = $state.raw<Map<string, Conversation>>(new Map());
  ready = $state(false);
  archived = $state(false); // show those instead
  query = $state('');
  open_folders = new SvelteSet<string>();
  running = new SvelteMap<string, Set<string>>(); // messages being written, by conversation
  hits = $state.raw<Hit[] | null>(null);
  #next = $state<string | null>(null);
  #search: AbortController | null = null;
  #timer = 0;

  shown = $derived(
    [...this.all.values()]
      .filter((c) => c.archived === this.archived)
      .sort((a, b) => b.updated_at_ms - a.updated_at_ms),
  );
  pinned = $derived(this.shown.filter((c) => c.pinned));
  groups = $derived.by(() => {
    const groups: { title: string; items: Conversation[] }[] = [];
    for (const c of this.shown) {
      if (c.pinned || (c.folder_id && !this.archived)) continue;
      const title = age_group(c.updated_at_ms, Date.now());
      const last = groups[groups.length - 1];
      if (last?.title === title) last.items.push(c);
      else groups.push({ title, items: [c] });
    }
    return groups;
  });

  constructor() {
    app.listen(
      (event, data) => {
        if (event === 'conversation') this.take(data as Conversation);
        else if (event === 'conversation-gone') this.drop((data as { id: string }).id);
        else if (event === 'message') this.#hear(data as MessageEvent);
      },
      () => {
        this.running.clear();
        void this.load();
      },
    );
  }

  #hear({ conversation_id, message_id, status }: MessageEvent): void {
    const messages = new Set(this.running.get(conversation_id));
    if (status === 'running') messages.add(message_id);
    else messages.delete(message_id);
    if (messages.size > 0) this.running.set(conversation_id, messages);
    else this.running.delete(conversation_id);
  }

  in_folder(folder: string): Conversation[] {
    return this.shown.filter((c) => c.folder_id === folder && !c.pinned);
  }

  take(conversation: Conversation): void {
    this.all = new Map(this.all).set(conversation.id, conversation);
  }

  drop(id: string): void {
    const all = new Map(this.all);
    all.delete(id);
    this.all = all;
    if (ui.route.conversation === id) ui.go('#/');
  }

  async load(): Promise<void> {
    await attempt(async () => {
      const { conversations, next } = await api.conversations({
        archived: this.archived,
        limit: page_size,
      });
      const kept = [...this.all.values()].filter((c) => c.archived !== this.archived);
      this.all = new Map([...kept, ...conversations].map((c) => [c.id, c]));
      this.#next = next;
      this.ready = true;
    });
  }

  async more(): Promise<void> {
    if (!this.#next) return;
    await attempt(async () => {
      const { conversations, next } = await api.conversations({
        archived: this.archived,
        before: this.#next!,
        limit: page_size,
      });
      this.all = new Map([...this.all.values(), ...conversations].map((c) => [c.id, c]));
      this.#next = next;
    });
  }

  async turn_folder(folder: string): Promise<void> {
    if (this.open_folders.delete(folder)) return;
    this.open_folders.add(folder);
    await attempt(async () => {
      const { conversations } = await api.conversations({ folder, limit: 200 });
      this.all = new Map([...this.all.values(), ...conversations].map((c) => [c.id, c]));
    });
  }

  show_archived(archived: boolean): void {
    this.archived = archived;
    void this.load();
  }

  search(query: string): void {
    this.query = query;
    clearTimeout(this.#timer);
    this.#search?.abort();
    if (query.trim() === '') {
      this.hits = null;
      return;
    }
    this.#timer = window.setTimeout(async () => {
      const aborter = new AbortController();
      this.#search = aborter;
      try {
        this.hits = (await api.search(query.trim(), 50, aborter.signal)).hits;
        ui.say(`${this.hits.length} found`);
      } catch (error) {
        if (!aborter.signal.aborted) ui.fault(error);
      }
    }, 150);
  }

  change(c: Conversation, change: Parameters<typeof api.patch>[1]): Promise<boolean> {
    const before = c;
    this.take({ ...c, ...change } as Conversation);
    return attempt(async () => {
      try {
        this.take(await api.patch(c.id, change));
      } catch (error) {
        this.take(before);
        throw error;
      }
    });
  }

  async rename(c: Conversation): Promise<void> {
    const title = await ui.ask({ title: 'Rename chat', text: '', yes: 'Rename', input: title_of(c) });
    if (title?.trim()) await this.change(c, { title: title.trim() });
  }

  async remove(c: Conversation): Promise<void> {
    const sure = await ui.ask({
      title: 'Delete this chat?',
      text: `“${title_of(c)}” and its ${c.message_count} messages are deleted for good.`,
      yes: 'Delete',
    });
    if (sure === null) return;
    if (await attempt(() => api.remove(c.id))) this.drop(c.id);
  }

  async add_folder(): Promise<string | null> {
    const name = await ui.ask({ title: 'New folder', text: '', yes: 'Create', input: '' });
    if (!name?.trim()) return null;
    let id: string | null = null;
    await attempt(async () => {
      const folder = await api.create_folder(name.trim());
      if (!app.folders.some((f) => f.id === folder.id)) app.folders = [...app.folders, folder];
      id = folder.id;
    });
    return id;
  }
}

export const list = new List();
