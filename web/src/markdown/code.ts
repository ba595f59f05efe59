// A block of code with its name, a copy button and colours, that may still be growing. Colours are
// given to pieces of a few dozen lines as they become whole, so a long program costs each new line
// the same; when it is done and not too long, it is coloured once more as one.

import { copy_text } from '../lib/clipboard';
import { reachable } from '../lib/reachable';

type Highlight = (code: string, lang: string) => string | null;

let highlight: Highlight | null = null;
let loading: Promise<void> | null = null;

const piece_chars = 2000;
const whole_chars_max = 12_000;

function load(): Promise<void> {
  loading ??= import('./languages').then((module) => {
    highlight = module.highlight;
  });
  return loading;
}

export class CodeView {
  readonly element = document.createElement('div');
  readonly #code = document.createElement('code');
  readonly #label = document.createElement('span');
  readonly #tail = document.createElement('span');
  #lang = '';
  #text = '';
  #kept = 0; // characters in pieces that are done
  #closed = false;
  #asked = false;

  constructor() {
    const head = document.createElement('div');
    const button = document.createElement('button');
    const pre = document.createElement('pre');
    this.element.className = 'code';
    this.element.dir = 'ltr';
    head.className = 'code-head';
    button.type = 'button';
    button.className = 'code-copy';
    button.textContent = 'Copy';
    button.setAttribute('aria-label', 'Copy code');
    button.addEventListener('click', () => this.#copy(button));
    reachable(pre);
    head.append(this.#label, button);
    this.#code.append(this.#tail);
    pre.append(this.#code);
    this.element.append(head, pre);
  }

  update(text: string, lang: string, closed: boolean): void {
    this.#text = text;
    if (lang !== this.#lang) {
      this.#lang = lang;
      this.#label.textContent = lang;
    }
    if (!highlight && lang && !this.#asked) {
      this.#asked = true;
      void load().then(() => {
        this.#restart();
        this.#draw();
      });
    }
    if (closed && !this.#closed && text.length <= whole_chars_max) this.#restart();
    this.#closed = closed;
    this.#draw();
  }

  #restart(): void {
    this.#kept = 0;
    this.#code.replaceChildren(this.#tail);
  }

  #draw(): void {
    const piece_max = this.#closed && this.#kept === 0 ? whole_chars_max : piece_chars;
    while (this.#text.length - this.#kept > piece_max) {
      const cut = this.#text.indexOf('\n', this.#kept + piece_max) + 1;
      if (cut === 0) break;
      const piece = document.createElement('span');
      this.#colour(piece, this.#text.slice(this.#kept, cut));
      this.#tail.before(piece);
      this.#kept = cut;
    }
    this.#colour(this.#tail, this.#text.slice(this.#kept));
  }

  #colour(element: HTMLElement, text: string): void {
    const html = text.length > 2 * whole_chars_max ? null : (highlight?.(text, this.#lang) ?? null);
    if (html === null) element.textContent = text;
    else element.innerHTML = html;
  }

  #copy(button: HTMLButtonElement): void {
    void copy_text(this.#text.replace(/\n$/, '')).then((done) => {
      button.textContent = done ? 'Copied' : 'Not copied';
      setTimeout(() => (button.textContent = 'Copy'), 1600);
    });
  }
}
