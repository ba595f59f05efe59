// The conversation that is open: its tree, the path shown, and everything done to it.

import { SvelteMap } from 'svelte/reactivity';
import { api, ApiError } from '../lib/api';
import { server_clock } from '../lib/clock';
import { title_of } from '../lib/format';
import { plain } from '../lib/plain';
import { branch_of, children_of, leaf_below, leaf_without, path_to, subtree } from '../lib/tree';
import type {
  Attachment,
  Context,
  Conversation,
  Message,
  MessageEvent,
  Settings,
} from '../lib/types';
import { app } from './app.svelte';
import { list } from './list.svelte';
import { Shown } from './shown.svelte';
import { attempt, ui } from './ui.svelte';

const spoken_chars_max = 800;
const nearly_full_share = 0.85;

class Chat {
  conversation = $state.raw<Conversation | null>(null);
  loading = $state(false);
  missing = $state(false);
  messages = new SvelteMap<string, Shown>();
  leaf = $state<string | null>(null);
  side = $state.raw<[string, string] | null>(null); // two answers side by side
  context = $state.raw<Context | null>(null);
  sending = $state(false);
  draft_settings = $state.raw<Settings>({}); // of a chat that is not begun
  draft_folder = $state<string | null>(null);

  children = $derived(children_of(this.messages.values()));
  path = $derived(path_to(this.messages, this.leaf));
  last = $derived(this.path[this.path.length - 1] ?? null);
  running = $derived([...this.messages.values()].filter((s) => s.running));
  settings = $derived(
    this.conversation?.settings ?? { ...app.preferences.settings, ...this.draft_settings },
  );
  title = $derived(this.conversation ? title_of(this.conversation) : 'New chat');
  model = $derived(app.model(this.settings.model));
  fullness = $derived.by(() => {
    const total = this.context?.context_tokens || this.model?.context_tokens || 0;
    return this.context && total > 0 ? Math.min(1, this.context.tokens / total) : 0;
  });
  nearly_full = $derived(this.fullness > nearly_full_share);
  // Messages above the last summary are not read by the model any more.
  summarised = $derived.by(() => {
    const at = this.path.findLastIndex((s) => s.is_whole_summary);
    return new Set(this.path.slice(0, Math.max(0, at)).map((s) => s.id));
  });

  #context_timer = 0;
  #context_aborter: AbortController | null = null;
  #waiting: { summary: string; question: Shown } | null = null; // asked when that is made

  constructor() {
    app.listen(
      (event, data) => this.#hear(event, data),
      () => void this.reload(),
    );
  }

  async open(id: string | null): Promise<void> {
    if (id !== null && this.conversation?.id === id) return;
    for (const shown of this.messages.values()) shown.detach();
    this.messages.clear();
    this.leaf = null;
    this.side = null;
    this.context = null;
    this.#waiting = null;
    this.missing = false;
    this.conversation = id ? (list.all.get(id) ?? null) : null;
    this.draft_settings = {};
    if (id) this.draft_folder = null;
    if (id) await this.#load(id);
  }

  async reload(quiet = false): Promise<void> {
    if (this.conversation) await this.#load(this.conversation.id, quiet);
  }

  async #load(id: string, quiet = false): Promise<void> {
    this.loading = this.messages.size === 0;
    try {
      const { conversation, messages } = await api.conversation(id);
      if (ui.route.conversation !== id) return;
      this.conversation = conversation;
      const ids = new Set(messages.map((m) => m.id));
      for (const [old, shown] of this.messages) {
        if (ids.has(old)) continue;
        shown.detach();
        this.messages.delete(old);
      }
      for (const message of messages) this.#take(message);
      const kept = conversation.leaf_id;
      const from = [this.leaf, kept].find((leaf) => leaf !== null && ids.has(leaf)) ?? null;
      // Below what was the end there may be more by now, said in another window.
      this.leaf = leaf_below(this.children, from);
      this.#ask_context();
    } catch (error) {
      this.missing = error instanceof ApiError && error.status === 404;
      if (!this.missing && !quiet) ui.fault(error);
    } finally {
      this.loading = false;
    }
  }

  #take(message: Message): Shown {
    let shown = this.messages.get(message.id);
    if (shown) {
      shown.take(message);
    } else {
      shown = new Shown(message);
      this.messages.set(message.id, shown);
    }
    const taken = shown;
    taken.attach(
      () => this.#finished(taken),
      () => setTimeout(() => void this.reload(), 500),
    );
    return shown;
  }

  #finished(shown: Shown): void {
    this.#ask_context();
    const { status, error, kind } = shown.m;
    const what = kind === 'summary' ? 'summary' : 'answer';
    if (status === 'failed') ui.say(`The ${what} failed: ${error ?? 'no reason was given'}`);
    else if (shown.is_whole_summary) ui.say('The chat so far is summarised');
    else ui.say(`Answer: ${plain(shown.content).slice(0, spoken_chars_max)}`);
    if (this.#waiting?.summary !== shown.id || !shown.is_whole_summary) return;
    const { question } = this.#waiting;
    this.#waiting = null;
    void this.say(shown.id, question.content, question.m.attachments);
  }

  #hear(event: string, data: unknown): void {
    if (!this.conversation) return;
    if (event === 'conversation' && (data as Conversation).id === this.conversation.id) {
      this.conversation = data as Conversation;
    } else if (event === 'message') {
      const { conversation_id, message_id, status } = data as MessageEvent;
      if (conversation_id !== this.conversation.id || this.sending) return;
      const shown = this.messages.get(message_id);
      // Another window has said something, or goes on with an answer.
      if (!shown || (status === 'running' && !shown.running)) void this.reload();
    }
  }

  // The settings of this chat, or of the one about to begin; `undefined` takes a value away.
  async change_settings(change: Settings): Promise<void> {
    const merged: Settings = { ...this.settings, ...change };
    const settings = Object.fromEntries(
      Object.entries(merged).filter(([, value]) => value !== undefined),
    ) as Settings;
    if (!this.conversation) {
      this.draft_settings = settings;
      return;
    }
    this.conversation = { ...this.conversation, settings };
    const { id } = this.conversation;
    await attempt(async () => list.take(await api.patch(id, { settings })));
    this.#ask_context();
  }

  async #ensure(): Promise<Conversation> {
    if (this.conversation) return this.conversation;
    const settings = { ...app.preferences.settings, ...this.draft_settings };
    const created = await api.create({ settings, folder_id: this.draft_folder });
    this.draft_folder = null;
    this.conversation = created;
    list.take(created);
    ui.go(`#/c/${created.id}`, true);
    return created;
  }

  // Says something below `parent` (an edit: below the parent of what is edited). False when it was
  // not taken; the text is then still the writer's.
  async say(parent: string | null, content: string, attachments: Attachment[]): Promise<boolean> {
    if (this.sending) return false;
    this.sending = true;
    try {
      const conversation = await this.#ensure();
      const { message, answer } = await api.say(conversation.id, {
        parent_id: parent,
        content,
        attachments: attachments.map((a) => a.id),
        generate: true,
      });
      server_clock.saw(message.created_at_ms);
      this.side = null;
      this.#take(message);
      if (answer) this.#take(answer);
      this.leaf = answer?.id ?? message.id;
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.status === 0)
        return await this.#was_said(parent, content);
      ui.fault(error);
      return false;
    } finally {
      this.sending = false;
    }
  }

  // The answer to a request was lost: it may have arrived all the same, and must not be said twice.
  async #was_said(parent: string | null, content: string): Promise<boolean> {
    const known = new Set(this.messages.keys());
    await this.reload(true);
    for (const shown of this.messages.values()) {
      if (known.has(shown.id) || shown.parent_id !== parent || shown.content !== content) continue;
      this.leaf = leaf_below(this.children, shown.id);
      return true;
    }
    ui.fault(new Error('The connection is lost. What you wrote is kept; send it again.'));
    return false;
  }

  // Answers once more below the same message: in its place, or beside it to compare.
  async again(shown: Shown, settings: Settings | undefined, beside: boolean): Promise<void> {
    if (!this.conversation || !shown.parent_id) return;
    const { id } = this.conversation;
    await attempt(async () => {
      this.sending = true;
      try {
        const { answers } = await api.answers(id, {
          parent_id: shown.parent_id!,
          settings,
          count: 1,
        });
        for (const answer of answers) {
          server_clock.saw(answer.created_at_ms);
          this.#take(answer);
        }
        const first = answers[0];
        if (!first) return;
        this.side = beside ? [shown.id, first.id] : null;
        if (!beside) this.leaf = first.id;
      } finally {
        this.sending = false;
      }
    });
  }

  compare(a: string, b: string): void {
    this.side = [a, b];
  }

  keep(id: string): void {
    this.side = null;
    this.show(id);
  }

  // The branch through `id`, down to its newest leaf.
  show(id: string): void {
    this.side = null;
    const leaf = leaf_below(this.children, id);
    if (leaf === this.leaf) return;
    this.leaf = leaf;
    this.#keep_leaf();
    this.#ask_context();
  }

  turn(shown: Shown, by: 1 | -1): void {
    const { index, ids } = branch_of(this.children, shown);
    const to = ids[index + by];
    if (to) this.show(to);
  }

  #keep_leaf(): void {
    if (!this.conversation || !this.leaf) return;
    api.patch(this.conversation.id, { leaf_id: this.leaf }).catch(() => {});
  }

  async go_on(shown: Shown): Promise<void> {
    const conversation = this.conversation;
    if (!conversation) return;
    await attempt(async () => this.#take((await api.go_on(conversation.id, shown.id)).answer));
  }

  async stop(shown?: Shown): Promise<void> {
    const which = shown ? [shown] : this.running;
    await Promise.all(
      which.map((s) => s.m.generation_id && attempt(() => api.stop(s.m.generation_id!))),
    );
  }

  async remove(shown: Shown): Promise<void> {
    const below = subtree(this.children, shown.id);
    const rest = below.size - 1;
    const summary = shown.m.kind === 'summary';
    const question = {
      title: summary ? 'Take the summary back?' : 'Delete this message?',
      text: summary
        ? 'The model reads the full chat again. What was written since stays.'
        : rest > 0
          ? `The ${rest} messages below it are deleted with it.`
          : 'It is deleted for good.',
      yes: summary ? 'Take back' : 'Delete',
    };
    const changes_nothing = summary && !shown.is_whole_summary;
    if (!changes_nothing && (await ui.ask(question)) === null) return;
    await attempt(async () => {
      await api.remove_message(shown.id, summary);
      if (summary && rest > 0) {
        await this.reload();
        this.#keep_leaf();
        return;
      }
      const leaf =
        this.leaf && below.has(this.leaf) ? leaf_without(this.children, shown) : this.leaf;
      this.side = null;
      for (const id of below) {
        this.messages.get(id)?.detach();
        this.messages.delete(id);
      }
      this.leaf = leaf;
      this.#keep_leaf();
      this.#ask_context();
    });
  }

  // A question that had no room is asked below the summary, and not summarised unanswered.
  async compact(): Promise<void> {
    const { leaf, last } = this;
    if (last && this.can_make_room(last)) return this.make_room(last);
    if (leaf) await this.#summarise(leaf);
  }

  async #summarise(leaf: string): Promise<Shown | null> {
    const { conversation } = this;
    if (!conversation) return null;
    let summary: Shown | null = null;
    await attempt(async () => {
      const { answer } = await api.compact(conversation.id, leaf);
      server_clock.saw(answer.created_at_ms);
      summary = this.#take(answer);
      this.leaf = answer.id;
    });
    return summary;
  }

  // Whether an answer failed for want of room that a summary of what stands above would give.
  can_make_room(failed: Shown): boolean {
    const above = this.messages.get(this.#question_of(failed)?.parent_id ?? '');
    const is_short = failed.m.status === 'failed' && failed.m.finish_reason === 'context';
    return is_short && above !== undefined && !above.is_whole_summary;
  }

  #question_of(answer: Shown): Shown | undefined {
    return this.messages.get(answer.parent_id ?? '');
  }

  async make_room(failed: Shown): Promise<void> {
    const question = this.#question_of(failed);
    if (!question?.parent_id) return;
    const summary = await this.#summarise(question.parent_id);
    if (summary) this.#waiting = { summary: summary.id, question };
  }

  // In place of a summary that was not made.
  async summarise_again(shown: Shown): Promise<void> {
    const { parent_id } = shown;
    if (!parent_id) return;
    await attempt(async () => {
      await api.remove_message(shown.id, true);
      this.messages.delete(shown.id);
      const summary = await this.#summarise(parent_id);
      if (summary && this.#waiting) this.#waiting = { ...this.#waiting, summary: summary.id };
    });
  }

  #ask_context(): void {
    clearTimeout(this.#context_timer);
    this.#context_timer = window.setTimeout(async () => {
      this.#context_aborter?.abort();
      const aborter = new AbortController();
      this.#context_aborter = aborter;
      const { conversation, leaf } = this;
      if (!conversation || !leaf) return;
      try {
        const context = await api.context(conversation.id, leaf, aborter.signal);
        if (this.leaf === leaf) this.context = context;
      } catch {
        // The meter keeps what it showed; it is asked again with the next message.
      }
    }, 200);
  }
}

export const chat = new Chat();
