// What models write beyond plain Markdown: lists of tasks, "- [ ] this", and footnotes, [^1] with
// "[^1]: what it says" further down. A note stays where it was written, since a text that grows is
// drawn block by block; its mark stands before it.

import type MarkdownIt from 'markdown-it';

const box = /^\[([ xX])\]\s+/;
const mark = /^\[\^([^\]\s]{1,40})\]/;

export function list_rules(md: MarkdownIt): void {
  md.core.ruler.after('inline', 'tasks', (state) => {
    const { tokens } = state;
    for (let at = 2; at < tokens.length; at += 1) {
      const first = tokens[at]!.children?.[0];
      const item = tokens[at - 2]!;
      if (item.type !== 'list_item_open' || first?.type !== 'text') continue;
      const found = box.exec(first.content);
      if (!found) continue;
      const done = found[1] !== ' ';
      first.content = first.content.slice(found[0].length);
      const drawn = new state.Token('html_inline', '', 0);
      drawn.content = `<span class="box${done ? ' done' : ''}"></span><span class="hidden">${done ? 'Done: ' : 'To do: '}</span>`;
      tokens[at]!.children!.unshift(drawn);
      item.attrJoin('class', 'task');
    }
  });

  md.inline.ruler.before('link', 'note_mark', (state, silent) => {
    const found = mark.exec(state.src.slice(state.pos, state.pos + 44));
    if (!found) return false;
    if (!silent) {
      const token = state.push('html_inline', '', 0);
      token.content = `<sup>${md.utils.escapeHtml(found[1]!)}</sup>`;
    }
    state.pos += found[0].length;
    return true;
  });

  // Without this the line would define a link, and be seen nowhere.
  md.block.ruler.before('reference', 'note', (state, line, _end, silent) => {
    const from = state.bMarks[line]! + state.tShift[line]!;
    const text = state.src.slice(from, state.eMarks[line]);
    const found = mark.exec(text);
    if (!found || text[found[0].length] !== ':') return false;
    if (silent) return true;
    const open = state.push('paragraph_open', 'p', 1);
    open.attrSet('class', 'note');
    open.map = [line, line + 1];
    const inline = state.push('inline', '', 0);
    inline.content = `${found[0]} ${text.slice(found[0].length + 1).trim()}`;
    inline.map = [line, line + 1];
    inline.children = [];
    state.push('paragraph_close', 'p', -1);
    state.line = line + 1;
    return true;
  });
}
