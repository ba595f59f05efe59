// What the server says of itself: models, folders, presets, preferences, memory. Kept up to date by
// its stream of events, which other stores listen to as well.

import { api, ApiError, on_key_needed, set_key } from '../lib/api';
import { window_attention } from '../lib/attention';
import { without_terminal } from '../lib/format';
import { follow, Gone, type ServerEvent } from '../lib/sse';
import type * as T from '../lib/types';
import { ui } from './ui.svelte';

const away_failures = 4;

type Listener = (event: string, data: unknown) => void;

class App {
  phase = $state<'starting' | 'ready' | 'unreachable'>('starting');
  trouble = $state(''); // why it cannot be used, where it answers at all
  key_needed = $state(false);
  lost = $state(false); // the connection, at the moment
  away = $state(false); // for so long that it may not come back
  notices = $state.raw<string[]>([]);
  version = $state('');
  build = $state('');
  release = $derived(
    this.build && this.build !== this.version ? `${this.version} · ${this.build}` : this.version,
  );
  default_model = $state<string | null>(null);
  models = $state.raw<T.Model[]>([]);
  folders = $state.raw<T.Folder[]>([]);
  presets = $state.raw<T.Preset[]>([]);
  preferences = $state.raw<T.Preferences>({});
  memory = $state.raw<T.Memory>({ budget: 0, used: 0, process: 0 });
  efforts = $state.raw<T.Effort[]>([]);
  limits = $state.raw({ attachment_bytes_max: 0, message_bytes_max: 0 });

  #closed_notices = new Set<string>();
  #listeners: Listener[] = [];
  #again: (() => void)[] = [];
  #events: AbortController | null = null;

  constructor() {
    on_key_needed(() => (this.key_needed = true));
  }

  listen(listener: Listener, again: () => void): void {
    this.#listeners.push(listener);
    this.#again.push(again);
  }

  async start(): Promise<void> {
    try {
      this.#take_state(await api.state());
      this.phase = 'ready';
      this.#follow_events();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return;
      this.phase = 'unreachable';
      this.trouble = error instanceof ApiError && error.status > 0 ? error.message : '';
      setTimeout(() => void this.start(), 1500);
    }
  }

  async give_key(key: string): Promise<boolean> {
    set_key(key);
    try {
      this.#take_state(await api.state());
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) return false;
      throw error;
    }
    this.key_needed = false;
    this.phase = 'ready';
    this.#follow_events();
    for (const again of this.#again) again();
    return true;
  }

  model(name: string | null | undefined): T.Model | null {
    const wanted = name ?? this.default_model;
    return this.models.find((model) => model.name === wanted) ?? null;
  }

  save_preferences(change: Partial<T.Preferences>): void {
    this.preferences = { ...this.preferences, ...change };
    this.#apply_theme();
    void api.put_preferences(this.preferences).catch(() => {});
  }

  close_notice(text: string): void {
    this.#closed_notices.add(text);
    this.notices = this.notices.filter((notice) => notice !== text);
  }

  take_model(model: T.Model): void {
    const before = this.models.find((m) => m.name === model.name);
    const known = before !== undefined;
    // The page of models has it where it belongs.
    if (model.state === 'failed' && before?.state !== 'failed' && ui.route.page !== 'models') {
      const why = without_terminal(model.error ?? 'it failed, and no reason was given');
      ui.fault(new Error(`${model.name}: ${why}`));
    }
    this.models = known
      ? this.models.map((m) => (m.name === model.name ? model : m))
      : [...this.models, model];
  }

  // What was asked for by a name of one's own and could not be had is nothing that can be chosen.
  drop_model(name: string): void {
    this.models = this.models.filter((m) => m.name !== name);
  }

  #take_state(state: T.State): void {
    this.version = state.version;
    this.build = state.build;
    this.default_model = state.default_model;
    this.models = state.models;
    this.folders = state.folders;
    this.presets = state.presets;
    this.preferences = state.preferences ?? {};
    this.memory = state.memory;
    this.efforts = state.efforts;
    this.limits = state.limits;
    this.notices = (state.notices ?? []).filter((text) => !this.#closed_notices.has(text));
    this.#apply_theme();
  }

  #apply_theme(): void {
    const theme = this.preferences.theme ?? 'system';
    const root = document.documentElement;
    if (theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = theme;
    try {
      localStorage.setItem('minke.theme', theme);
    } catch {
      // It then flashes at the next start.
    }
  }

  #follow_events(): void {
    this.#events?.abort();
    const aborter = new AbortController();
    this.#events = aborter;
    follow({
      open: (_after, signal) => api.events(signal),
      take: (event) => this.#take(event),
      // The first try again is a matter of a moment, and nobody's concern.
      lost: (failures) => {
        if (failures > 0) this.lost = true;
        this.away = failures >= away_failures;
      },
      found: () => void this.#catch_up(),
      signal: aborter.signal,
      attention: window_attention,
    }).catch((error) => {
      if (!(error instanceof Gone)) throw error;
    });
  }

  async #catch_up(): Promise<void> {
    this.lost = this.away = false;
    try {
      this.#take_state(await api.state());
    } catch {
      return;
    }
    for (const again of this.#again) again();
  }

  #take(event: ServerEvent): boolean {
    const data = JSON.parse(event.data);
    if (event.event === 'models') this.take_model(data);
    else if (event.event === 'memory') this.memory = data;
    else if (event.event === 'folders') this.folders = Array.isArray(data) ? data : data.folders;
    else if (event.event === 'presets') this.presets = Array.isArray(data) ? data : data.presets;
    else for (const listener of this.#listeners) listener(event.event, data);
    return false;
  }
}

export const app = new App();
