// Draws one message's Markdown into an element and keeps up with it as it grows. Settled blocks are
// drawn once; the open one again with each update, and less often when that is dear. Work is done in
// slices of a few milliseconds shared by all messages, the newest first, so nothing ever freezes.

import { reachable } from '../lib/reachable';
import { CodeView } from './code';
import { draw_math } from './math';
import type { Links } from './render';
import { presentable } from './presentable';
import { BlockSplitter, type Block } from './split';

type Render = (text: string, links: Links) => DocumentFragment;

let render: Render | null = null;
let loading: Promise<void> | null = null;

export function load_renderer(): Promise<void> {
  loading ??= import('./render').then((module) => {
    render = module.render;
  });
  return loading;
}

const slice_ms = 8;
const first_level = 3; // of a message's headings; the page has h1, each message an h2
const chunk_blocks = 12; // blocks that are laid out, or left out while out of sight, together

const waiting: MarkdownView[] = [];
let scheduled = false;

function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    work(performance.now() + slice_ms);
  }, 0);
}

function work(until_ms: number): void {
  while (waiting.length > 0) {
    const view = waiting[waiting.length - 1]!;
    if (!view.draw(until_ms)) break;
    const at = waiting.indexOf(view);
    if (at >= 0) waiting.splice(at, 1);
  }
  if (waiting.length > 0) schedule();
}

// A part of a finished message that waits to be drawn; the end, which is looked at, comes first.
interface Part {
  chunk: HTMLElement;
  blocks: Block[];
  level: number; // of the last heading before it
}

interface Drawn {
  element: HTMLElement;
  start: number;
  code: CodeView | null;
}

export class MarkdownView {
  #splitter = new BlockSplitter();
  #links: Links = {};
  #length = 0;
  #mark = '';
  #count = 0; // settled blocks that are drawn
  #parts: Part[] = []; // of what is opened whole
  #level = first_level - 1; // of the last settled heading
  #open: Drawn | null = null;
  #chunk: HTMLElement | null = null; // the last, still open one
  #chunk_px = 0;
  #running = false;
  #next_open_ms = 0;
  #timer = 0;
  #gone = false;

  constructor(readonly root: HTMLElement) {}

  update(text: string, running: boolean): void {
    if (
      text.length < this.#length ||
      !text.startsWith(this.#mark, this.#length - this.#mark.length)
    ) {
      this.#reset();
    }
    this.#length = text.length;
    this.#mark = text.slice(-32);
    this.#running = running;
    if (running) this.#splitter.update(text);
    else this.#splitter.finish(text);
    if (!running && this.#count === 0 && !this.#open) this.#divide();
    if (!render) {
      void load_renderer().then(() => this.#enqueue());
      return;
    }
    this.#enqueue();
  }

  destroy(): void {
    this.#gone = true;
    clearTimeout(this.#timer);
    const at = waiting.indexOf(this);
    if (at >= 0) waiting.splice(at, 1);
  }

  #enqueue(): void {
    if (this.#gone) return;
    const at = waiting.indexOf(this);
    if (at >= 0) waiting.splice(at, 1);
    // A short one alone is drawn at once, so that it never flashes empty.
    if (waiting.length === 0 && !scheduled && this.draw(performance.now() + slice_ms / 2)) return;
    waiting.push(this);
    schedule();
  }

  #reset(): void {
    this.#splitter = new BlockSplitter();
    this.#links = {};
    this.#count = 0;
    this.#parts = [];
    this.#level = first_level - 1;
    this.#open = null;
    this.#chunk = null;
    this.#chunk_px = 0;
    this.root.replaceChildren();
  }

  // True when all is drawn.
  draw(until_ms: number): boolean {
    const { settled } = this.#splitter;
    for (let part = this.#parts.pop(); part; part = this.#parts.pop()) {
      this.#draw_part(part);
      if (performance.now() > until_ms && this.#parts.length > 0) return false;
    }
    while (this.#count < settled.length) {
      this.#draw_settled(settled[this.#count]!);
      this.#count += 1;
      if (performance.now() > until_ms) return false;
    }
    const open = this.#running ? this.#splitter.open : null;
    if (!open) {
      this.#open?.element.remove();
      this.#open = null;
    } else {
      this.#draw_open(open);
    }
    return true;
  }

  #divide(): void {
    const { settled } = this.#splitter;
    if (settled.length <= 2 * chunk_blocks) return;
    let level = this.#level;
    for (let at = 0; at < settled.length; at += chunk_blocks) {
      const blocks = settled.slice(at, at + chunk_blocks);
      const chunk = document.createElement('div');
      const height_px = blocks.reduce((sum, block) => sum + estimated_px(block), 0);
      chunk.className = 'chunk far';
      chunk.style.containIntrinsicBlockSize = `auto ${height_px}px`;
      this.root.append(chunk);
      this.#parts.push({ chunk, blocks, level });
      for (const block of blocks) level = level_after(block, level);
    }
    this.#count = settled.length;
  }

  #draw_part(part: Part): void {
    this.#level = part.level;
    for (const block of part.blocks) {
      const element = document.createElement('div');
      element.className = 'block';
      part.chunk.append(element);
      this.#fill(element, block, null, true);
    }
  }

  #draw_settled(block: Block): void {
    const open = this.#open?.start === block.start ? this.#open : null;
    if (this.#open && !open) this.#open.element.remove();
    this.#open = null;
    const element = open?.element ?? this.#append();
    this.#fill(element, block, open?.code ?? null, true);
    this.#chunk_px += estimated_px(block);
    if ((this.#count + 1) % chunk_blocks === 0) this.#close_chunk();
  }

  // What is out of sight is then neither laid out nor painted, and keeps the height it had.
  #close_chunk(): void {
    if (!this.#chunk) return;
    this.#chunk.style.containIntrinsicBlockSize = `auto ${this.#chunk_px}px`;
    this.#chunk.classList.add('far');
    this.#chunk = null;
    this.#chunk_px = 0;
  }

  #draw_open(block: Block): void {
    const now = performance.now();
    if (now < this.#next_open_ms) {
      clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => this.#enqueue(), this.#next_open_ms - now + 1);
      return;
    }
    if (this.#open && this.#open.start !== block.start) {
      this.#open.element.remove();
      this.#open = null;
    }
    this.#open ??= { element: this.#append(), start: block.start, code: null };
    this.#open.code = this.#fill(this.#open.element, block, this.#open.code, false);
    // At most a fifth of the time goes into drawing the same block again.
    const took = performance.now() - now;
    this.#next_open_ms = took > 4 ? now + 5 * took : 0;
  }

  #append(): HTMLElement {
    const element = document.createElement('div');
    element.className = 'block';
    if (!this.#chunk) {
      this.#chunk = document.createElement('div');
      this.#chunk.className = 'chunk';
      this.root.append(this.#chunk);
    }
    this.#chunk.append(element);
    return element;
  }

  #fill(
    element: HTMLElement,
    block: Block,
    code: CodeView | null,
    closed: boolean,
  ): CodeView | null {
    if (block.kind === 'code') {
      const view = code ?? new CodeView();
      view.update(block.text, block.lang, closed);
      if (!code) element.replaceChildren(view.element);
      return view;
    }
    const fragment = render!(closed ? block.text : presentable(block.text), this.#links);
    for (const pre of fragment.querySelectorAll('pre')) {
      const view = new CodeView();
      view.update(pre.textContent ?? '', pre.dataset.lang ?? '', closed);
      pre.replaceWith(view.element);
    }
    const level = outline(fragment, this.#level);
    if (closed) this.#level = level;
    draw_math(fragment);
    for (const wide of fragment.querySelectorAll('.table, .math-display')) reachable(wide);
    element.classList.toggle('begins-part', /^H/.test(fragment.firstElementChild?.tagName ?? ''));
    element.classList.toggle('heads', /^H/.test(fragment.lastElementChild?.tagName ?? ''));
    element.replaceChildren(fragment);
    return null;
  }
}

function placed_level(written: number, level: number): number {
  return Math.min(written + first_level - 1, level + 1, 6);
}

// The same of a block that is not drawn yet.
function level_after(block: Block, level: number): number {
  if (block.kind === 'code') return level;
  for (const mark of block.text.matchAll(/^ {0,3}(#{1,6})[ \t]/gm)) {
    level = placed_level(mark[1]!.length, level);
  }
  return level;
}

// Gives headings their tags: below those of the page, and none skipped, whatever the writer skipped.
function outline(fragment: DocumentFragment, level: number): number {
  for (const heading of fragment.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
    level = placed_level(Number(heading.tagName[1]), level);
    const placed = document.createElement(`h${level}`);
    placed.className = heading.className;
    placed.dir = 'auto';
    placed.append(...heading.childNodes);
    heading.replaceWith(placed);
  }
  return level;
}

function estimated_px(block: Block): number {
  if (block.kind === 'code') return 60 + 21 * block.text.split('\n').length;
  return 28 * Math.ceil(block.text.length / 75);
}
