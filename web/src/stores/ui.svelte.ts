// What belongs to this window alone: where it is, what is open, what it says.

import { ApiError } from '../lib/api';

export type Page = 'chat' | 'models' | 'training' | 'system';
export type Dialog = 'preferences' | 'shortcuts' | 'data' | null;

export interface Route {
  page: Page;
  conversation: string | null;
  message: string | null; // to be scrolled to
}

// Pages beside the chat, in the order of the sidebar. A new one is a line here and a component in
// App.svelte.
export const pages: { page: Page; title: string; icon: string; href: string }[] = [
  { page: 'models', title: 'Models', icon: 'box', href: '#/models' },
  { page: 'training', title: 'Training', icon: 'curve', href: '#/training' },
  { page: 'system', title: 'System', icon: 'pulse', href: '#/system' },
];

export function route_of(hash: string): Route {
  const parts = hash.replace(/^#?\/?/, '').split('/');
  const page = pages.find((p) => p.page === parts[0])?.page ?? 'chat';
  const conversation = parts[0] === 'c' ? (parts[1] ?? null) : null;
  return { page, conversation, message: parts[2] === 'm' ? (parts[3] ?? null) : null };
}

export interface Toast {
  id: number;
  text: string;
  kind: 'note' | 'fault';
  action?: { title: string; run: () => void };
}

export interface Question {
  title: string;
  text: string;
  yes: string;
  input?: string; // a text to be changed, for renaming
  answer: (value: string | null) => void;
}

class Ui {
  route = $state.raw<Route>(route_of(location.hash));
  drawer = $state(false); // the sidebar on small screens
  sidebar = $state(true); // the same on large ones
  panel = $state(false); // settings of this chat
  dialog = $state<Dialog>(null);
  toasts = $state.raw<Toast[]>([]);
  question = $state.raw<Question | null>(null);
  spoken = $state(''); // for screen readers
  #toast_id = 0;

  constructor() {
    addEventListener('hashchange', () => {
      this.route = route_of(location.hash);
      this.drawer = false;
    });
    // `interactive-widget` leaves the width alone, so this is only about the size of the screen.
    if (innerWidth < 800) this.sidebar = false;
  }

  go(hash: string, replace = false): void {
    if (replace) {
      history.replaceState(null, '', hash);
      this.route = route_of(hash);
    } else {
      location.hash = hash;
    }
  }

  say(text: string): void {
    this.spoken = '';
    setTimeout(() => (this.spoken = text), 50);
  }

  toast(text: string, options: Partial<Toast> = {}): void {
    const id = ++this.#toast_id;
    this.toasts = [...this.toasts.slice(-2), { id, text, kind: 'note', ...options }];
    setTimeout(() => this.drop_toast(id), options.action ? 8000 : 5000);
  }

  drop_toast(id: number): void {
    this.toasts = this.toasts.filter((toast) => toast.id !== id);
  }

  fault(error: unknown): void {
    if (error instanceof ApiError && error.status === 401) return; // the key is asked for
    let text = error instanceof Error ? error.message : String(error);
    if (error instanceof ApiError && error.retry_after_s)
      text += ` Try again in ${error.retry_after_s} s.`;
    this.toast(text, { kind: 'fault' });
    this.say(text);
  }

  ask(question: Omit<Question, 'answer'>): Promise<string | null> {
    return new Promise((resolve) => {
      this.question = {
        ...question,
        answer: (value) => {
          this.question = null;
          resolve(value);
        },
      };
    });
  }
}

export const ui = new Ui();

// Runs what may fail and tells the user if it did; gives back whether it went well.
export async function attempt(what: () => Promise<unknown>): Promise<boolean> {
  try {
    await what();
    return true;
  } catch (error) {
    ui.fault(error);
    return false;
  }
}
