// Everything the keyboard can do. One object per shortcut: it does the thing and stands in the list.

import { flushSync } from 'svelte';
import { app } from '../stores/app.svelte';
import { chat } from '../stores/chat.svelte';
import { list } from '../stores/list.svelte';
import { ui } from '../stores/ui.svelte';

export interface Shortcut {
  keys: string; // as shown; "Ctrl" is ⌘ on a Mac
  title: string;
  group: 'Everywhere' | 'Messages' | 'Writing';
  matches: (event: KeyboardEvent) => boolean;
  run: (event: KeyboardEvent) => void;
}

const is_mac = /Mac|iP(hone|ad)/.test(navigator.platform);

export function shown_keys(keys: string): string[] {
  return keys.split(' ').map((key) => (is_mac && key === 'Ctrl' ? '⌘' : key));
}

const with_ctrl =
  (key: string, shift = false) =>
  (event: KeyboardEvent): boolean =>
    (is_mac ? event.metaKey : event.ctrlKey) &&
    event.shiftKey === shift &&
    !event.altKey &&
    event.key.toLowerCase() === key;

// A letter alone; not while something is being written, nor where it was turned off.
const alone =
  (key: string) =>
  (event: KeyboardEvent): boolean =>
    event.key === key &&
    !event.ctrlKey &&
    !event.metaKey &&
    !event.altKey &&
    app.preferences.single_keys !== false &&
    !is_writing(event.target);

function is_writing(target: EventTarget | null): boolean {
  const element = target instanceof HTMLElement ? target : null;
  if (!element) return false;
  return (
    element.isContentEditable ||
    /^(TEXTAREA|SELECT)$/.test(element.tagName) ||
    (element instanceof HTMLInputElement &&
      !/^(checkbox|radio|range|button)$/.test(element.type)) ||
    element.closest('[popover], dialog') !== null
  );
}

function focused_message(): HTMLElement | null {
  const at = document.activeElement?.closest<HTMLElement>('[data-message]');
  if (at) return at;
  const all = document.querySelectorAll<HTMLElement>('[data-message]');
  return all[all.length - 1] ?? null;
}

function step_message(by: 1 | -1): void {
  const all = [...document.querySelectorAll<HTMLElement>('[data-message]')];
  const at = all.findIndex((element) => element.contains(document.activeElement));
  const to = all[at < 0 ? all.length - 1 : at + by];
  to?.focus({ preventScroll: true });
  to?.scrollIntoView({ block: 'nearest' });
}

function step_conversation(by: 1 | -1): void {
  const links = [...document.querySelectorAll<HTMLAnchorElement>('#sidebar a[href^="#/c/"]')];
  const at = links.findIndex((link) => link.getAttribute('aria-current') === 'page');
  const to = links[at + by];
  if (to) ui.go(to.getAttribute('href')!);
}

// Presses the button of the focused message that does it, so that what the mouse can do and what
// the keyboard can do never differ.
const press_in_message = (what: string) => (): void => {
  focused_message()?.querySelector<HTMLElement>(`[data-do="${what}"]`)?.click();
};

export function toggle_sidebar(): void {
  if (innerWidth < 800) ui.drawer = !ui.drawer;
  else ui.sidebar = !ui.sidebar;
}

function find(): void {
  if (innerWidth < 800) ui.drawer = true;
  else ui.sidebar = true;
  // At once: what is typed next is for it.
  flushSync();
  document.getElementById('search')?.focus();
}

export function next_theme(): void {
  const dark =
    app.preferences.theme === 'dark' ||
    (app.preferences.theme !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
  app.save_preferences({ theme: dark ? 'light' : 'dark' });
}

export const shortcuts: Shortcut[] = [
  {
    keys: '?',
    title: 'This list',
    group: 'Everywhere',
    matches: alone('?'),
    run: () => (ui.dialog = 'shortcuts'),
  },
  {
    keys: 'Ctrl Shift O',
    title: 'New chat',
    group: 'Everywhere',
    matches: with_ctrl('o', true),
    run: () => ui.go('#/'),
  },
  {
    keys: 'Ctrl K',
    title: 'Search all chats',
    group: 'Everywhere',
    matches: with_ctrl('k'),
    run: find,
  },
  {
    keys: 'Ctrl B',
    title: 'Show or hide the sidebar',
    group: 'Everywhere',
    matches: with_ctrl('b'),
    run: toggle_sidebar,
  },
  {
    keys: 'Ctrl .',
    title: 'Settings of this chat',
    group: 'Everywhere',
    matches: with_ctrl('.'),
    run: () => (ui.panel = !ui.panel),
  },
  {
    keys: 'Ctrl M',
    title: 'Choose the model',
    group: 'Everywhere',
    matches: with_ctrl('m'),
    run: () => document.querySelector<HTMLElement>('.model-button')?.click(),
  },
  {
    keys: 'Ctrl ,',
    title: 'Preferences',
    group: 'Everywhere',
    matches: with_ctrl(','),
    run: () => (ui.dialog = 'preferences'),
  },
  { keys: 'd', title: 'Dark or light', group: 'Everywhere', matches: alone('d'), run: next_theme },
  {
    keys: 'Alt ↑',
    title: 'The chat above',
    group: 'Everywhere',
    matches: (e) => e.altKey && e.key === 'ArrowUp',
    run: () => step_conversation(-1),
  },
  {
    keys: 'Alt ↓',
    title: 'The chat below',
    group: 'Everywhere',
    matches: (e) => e.altKey && e.key === 'ArrowDown',
    run: () => step_conversation(1),
  },
  {
    keys: 'F2',
    title: 'Rename this chat',
    group: 'Everywhere',
    matches: (e) => e.key === 'F2',
    run: () => chat.conversation && void list.rename(chat.conversation),
  },
  {
    keys: 'j',
    title: 'Next message',
    group: 'Messages',
    matches: alone('j'),
    run: () => step_message(1),
  },
  {
    keys: 'k',
    title: 'Message before',
    group: 'Messages',
    matches: alone('k'),
    run: () => step_message(-1),
  },
  {
    keys: 'c',
    title: 'Copy',
    group: 'Messages',
    matches: alone('c'),
    run: press_in_message('copy'),
  },
  {
    keys: 'e',
    title: 'Edit',
    group: 'Messages',
    matches: alone('e'),
    run: press_in_message('edit'),
  },
  {
    keys: 'r',
    title: 'Answer again',
    group: 'Messages',
    matches: alone('r'),
    run: press_in_message('again'),
  },
  {
    keys: 't',
    title: 'Show or fold the thinking',
    group: 'Messages',
    matches: alone('t'),
    run: press_in_message('thinking'),
  },
  {
    keys: '[',
    title: 'Branch before',
    group: 'Messages',
    matches: alone('['),
    run: press_in_message('before'),
  },
  {
    keys: ']',
    title: 'Next branch',
    group: 'Messages',
    matches: alone(']'),
    run: press_in_message('next'),
  },
  {
    keys: '/',
    title: 'Write',
    group: 'Writing',
    matches: alone('/'),
    run: () => document.getElementById('composer')?.focus(),
  },
  {
    keys: 'Alt T',
    title: 'Thinking on or off',
    group: 'Writing',
    matches: (e) => e.altKey && e.code === 'KeyT',
    run: () => document.querySelector<HTMLElement>('[data-do="think"]')?.click(),
  },
  {
    keys: 'Esc',
    title: 'Stop the answer',
    group: 'Writing',
    matches: (e) => e.key === 'Escape' && chat.running.length > 0 && !e.defaultPrevented,
    run: () => void chat.stop(),
  },
];

// Keys that the writing area takes itself, for the list.
export const writing_keys = [
  { keys: 'Enter', title: 'Send' },
  { keys: 'Shift Enter', title: 'New line' },
  { keys: '↑', title: 'Edit your last message, when nothing is written' },
];

export function press(event: KeyboardEvent): void {
  if (event.isComposing || event.defaultPrevented) return;
  const open = document.querySelector('[popover]:popover-open, dialog[open]') !== null;
  if (open) return;
  const shortcut = shortcuts.find((s) => s.matches(event));
  if (!shortcut) return;
  event.preventDefault();
  shortcut.run(event);
}
