// Mathematics in Markdown as models write it: $…$, \(…\), $$…$$, \[…\] and bare
// \begin{…}…\end{…}. It becomes an element that carries its TeX; math.ts draws it.

import type MarkdownIt from 'markdown-it';

function math_html(md: MarkdownIt, tex: string, display: boolean): string {
  const source = md.utils.escapeHtml(tex.trim());
  return display
    ? `<div class="math math-display" dir="ltr">${source}</div>`
    : `<span class="math" dir="ltr">${source}</span>`;
}

// Where an inline formula that opens at `from` ends: the offset of its closing mark, or -1.
function closing_dollar(src: string, from: number): number {
  if (/\s/.test(src[from] ?? ' ')) return -1;
  for (let at = from; at < src.length; at += 1) {
    const c = src[at];
    if (c === '\\') at += 1;
    else if (c === '\n' && src[at + 1] === '\n') return -1;
    else if (c === '$') {
      // "$5 and $10" is money.
      return /\s/.test(src[at - 1]!) || /\d/.test(src[at + 1] ?? '') ? -1 : at;
    }
  }
  return -1;
}

export function math_rules(md: MarkdownIt): void {
  md.inline.ruler.before('escape', 'math', (state, silent) => {
    const { src, pos } = state;
    const marks = (
      [
        ['$$', '$$', true],
        ['\\[', '\\]', true],
        ['\\(', '\\)', false],
        ['$', '$', false],
      ] as const
    ).find(([open]) => src.startsWith(open, pos));
    if (!marks) return false;
    const [open, close, display] = marks;
    const from = pos + open.length;
    const end = open === '$' ? closing_dollar(src, from) : src.indexOf(close, from);
    if (end <= from) return false;
    if (!silent) {
      const token = state.push('math', '', 0);
      token.content = src.slice(from, end);
      token.meta = display;
    }
    state.pos = end + close.length;
    return true;
  });

  md.block.ruler.before(
    'fence',
    'math_block',
    (state, line, line_end, silent) => {
      const begin = state.bMarks[line]! + state.tShift[line]!;
      const all_end = state.eMarks[line_end - 1]!;
      const opening = /^(\$\$|\\\[|\\begin\{([a-z]+\*?)\})/.exec(
        state.src.slice(begin, begin + 40),
      );
      if (!opening || state.sCount[line]! - state.blkIndent >= 4) return false;
      const environment = opening[2];
      const close = environment ? `\\end{${environment}}` : opening[1] === '$$' ? '$$' : '\\]';
      const from = begin + (environment ? 0 : opening[1]!.length);
      const end = state.src.indexOf(close, environment ? begin + opening[0].length : from);
      if (end < 0 || end > all_end) return false;
      const after = end + close.length;
      let last = line;
      while (last < line_end - 1 && state.eMarks[last]! < after) last += 1;
      if (state.src.slice(after, state.eMarks[last]!).trim() !== '') return false;
      if (silent) return true;
      const token = state.push('math', '', 0);
      token.content = state.src.slice(from, environment ? after : end);
      token.meta = true;
      token.block = true;
      token.map = [line, last + 1];
      state.line = last + 1;
      return true;
    },
    { alt: ['paragraph', 'blockquote', 'list'] },
  );

  md.renderer.rules.math = (tokens, index) => {
    const token = tokens[index]!;
    const html = math_html(md, token.content, token.meta === true);
    // A <div> may not stand in a paragraph; in a line of text the display form is a wide <span>.
    return token.block ? html : html.replace(/^<div/, '<span').replace(/div>$/, 'span>');
  };
}
