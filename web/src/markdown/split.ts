// Cuts a growing Markdown text into blocks that will not change any more ("settled") and the one
// that still may ("open"), so that a new token costs the drawing of one block, however long the
// message. Every character is looked at once. Where a block grows without an end, it is cut all the
// same, at a place where the two halves read like the whole.

export interface Block {
  kind: 'markdown' | 'code';
  start: number; // offset in the text; names the block
  text: string; // of code: what is between the fences
  lang: string; // of code
}

const list_soft_max = 1500;
const text_max = 6000;
const table_max = 60_000;

type State = 'none' | 'text' | 'list' | 'indented' | 'table' | 'code' | 'math';

const fence_open = /^( {0,3})(`{3,}|~{3,})[ \t]*([^\n]*)$/;
const marker = /^( {0,3})(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$)/;
const interrupting_marker = /^ {0,3}(?:[-*+]|1[.)])[ \t]+\S/;
const heading = /^ {0,3}#{1,6}(?:[ \t]|$)/;
const table_rule = /^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*$/;

export class BlockSplitter {
  readonly settled: Block[] = [];
  #text = '';
  #line = 0; // start of the first line not yet looked at
  #start = 0; // of the open block
  #state: State = 'none';
  #blank = false; // the line before was blank, inside a list or indented code
  #fence = ''; // what closes the open code block
  #fence_indent = 0;
  #code_start = 0;
  #lang = '';
  #math_end = '';

  // `text` is all of it so far: what came before, and more.
  update(text: string): void {
    this.#text = text;
    for (;;) {
      const end = text.indexOf('\n', this.#line);
      if (end < 0) break;
      this.#take(text.slice(this.#line, end), end + 1);
      this.#line = end + 1;
    }
    this.#bound_line();
  }

  finish(text: string): void {
    this.update(text);
    if (this.#line < text.length) {
      this.#take(text.slice(this.#line), text.length);
      this.#line = text.length;
    }
    if (this.#start < text.length) this.#settle(text.length);
  }

  get open(): Block | null {
    if (this.#start >= this.#text.length) return null;
    return this.#block(this.#text.length);
  }

  #block(end: number): Block {
    if (this.#state === 'code') {
      const code = this.#unindented(this.#text.slice(this.#code_start, end));
      return { kind: 'code', start: this.#start, text: code, lang: this.#lang };
    }
    return {
      kind: 'markdown',
      start: this.#start,
      text: this.#text.slice(this.#start, end),
      lang: '',
    };
  }

  #unindented(code: string): string {
    if (this.#fence_indent === 0) return code;
    return code.replace(new RegExp(`^ {1,${this.#fence_indent}}`, 'gm'), '');
  }

  #settle(end: number, next: State = 'none'): void {
    const block = this.#block(end);
    if (block.kind === 'code' || block.text.trim() !== '') this.settled.push(block);
    this.#start = end;
    this.#state = next;
    this.#blank = false;
  }

  // One whole line; `next` is where the line after it starts.
  #take(line: string, next: number): void {
    if (this.#state === 'code') return this.#take_code(line, next);
    if (this.#state === 'math') {
      if (line.includes(this.#math_end)) this.#settle(next);
      return;
    }
    if (line.trim() === '') return this.#take_blank(next);
    const at = this.#line;
    if (this.#ends_before(line, at)) this.#settle(at);
    if (this.#opens_fence(line, at, next) || this.#opens_math(line, at)) return;
    if (heading.test(line) && this.#state !== 'list') {
      if (this.#state !== 'none') this.#settle(at);
      this.#state = 'text';
      this.#settle(next);
      return;
    }
    this.#state = this.#state_after(line);
    this.#blank = false;
    this.#bound_block(next);
  }

  #state_after(line: string): State {
    if (this.#state === 'none') {
      if (marker.test(line)) return 'list';
      return /^(?: {4}|\t)/.test(line) ? 'indented' : 'text';
    }
    if (this.#state === 'text' && interrupting_marker.test(line)) return 'list';
    if (this.#state === 'text' && table_rule.test(line)) return 'table';
    return this.#state;
  }

  #take_blank(next: number): void {
    if (this.#state === 'text' || this.#state === 'table') this.#settle(next);
    else if (this.#state === 'none') this.#start = next;
    else this.#blank = true;
  }

  #take_code(line: string, next: number): void {
    const closing = line.trim();
    const closes =
      closing.length >= this.#fence.length &&
      closing === this.#fence[0]!.repeat(closing.length) &&
      !/^ {4}/.test(line);
    if (!closes) return;
    const code = this.#unindented(this.#text.slice(this.#code_start, this.#line));
    this.settled.push({ kind: 'code', start: this.#start, text: code, lang: this.#lang });
    this.#start = next;
    this.#state = 'none';
  }

  #ends_before(line: string, at: number): boolean {
    const indented = /^(?: {2}|\t)/.test(line);
    if (this.#state === 'list') {
      const item = marker.exec(line);
      if (item && item[1]!.length < 2) return at - this.#start > list_soft_max;
      return this.#blank && !indented && !item;
    }
    return this.#state === 'indented' && !/^(?: {4}|\t)/.test(line);
  }

  #opens_fence(line: string, at: number, next: number): boolean {
    const fence = fence_open.exec(line);
    if (!fence || (fence[2]![0] === '`' && fence[3]!.includes('`'))) return false;
    if (this.#state === 'list' && fence[1]!.length >= 2) return false; // the item's own
    if (this.#state !== 'none') this.#settle(at);
    this.#state = 'code';
    this.#fence = fence[2]!;
    this.#fence_indent = fence[1]!.length;
    this.#code_start = next;
    this.#lang = fence[3]!.trim().split(/[\s{,]/)[0] ?? '';
    return true;
  }

  #opens_math(line: string, at: number): boolean {
    const opening = /^ {0,3}(\$\$|\\\[|\\begin\{([a-z]+\*?)\})/.exec(line);
    if (!opening) return false;
    const end = opening[1] === '$$' ? '$$' : opening[1] === '\\[' ? '\\]' : `\\end{${opening[2]}}`;
    if (line.indexOf(end, opening[0].length) >= 0) return false; // closed on its own line
    if (this.#state !== 'none') this.#settle(at);
    this.#state = 'math';
    this.#math_end = end;
    return true;
  }

  #bound_block(next: number): void {
    const max = this.#state === 'table' ? table_max : text_max;
    if (next - this.#start > max && this.#state !== 'list') this.#settle(next, this.#state);
  }

  // A single line without an end: cut at a space, or anywhere but inside a character.
  #bound_line(): void {
    while (this.#state !== 'code' && this.#text.length - this.#line > 2 * text_max) {
      let cut = this.#text.lastIndexOf(' ', this.#line + text_max);
      if (cut <= this.#line) cut = this.#line + text_max;
      const unit = this.#text.charCodeAt(cut);
      if (unit >= 0xdc00 && unit <= 0xdfff) cut += 1;
      this.#settle(cut, this.#state === 'math' ? 'text' : this.#state);
      this.#line = cut;
    }
  }
}
