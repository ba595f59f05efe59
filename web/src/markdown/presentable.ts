// The last, unfinished block of a text, as it will most likely look: what is only the beginning of a
// mark is held back, and what was opened is closed, so that nothing flickers while it is written.

const begun =
  /(?:^|\n) {0,3}(?:`{1,}[^\n`]*|~{1,}[^\n~]*|#{1,6}|[-*+]|\d{1,9}[.)]?|\$\$?|\\\[?|={1,}|-{1,})$/;
const table_rule = /\n {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*\n/;

export function presentable(text: string): string {
  // A formula is shown when it is whole.
  if (/^ {0,3}(?:\$\$|\\\[|\\begin\{)/.test(text)) {
    return /(?:\$\$|\\\]|\\end\{[a-z*]+\})\s*$/.test(text.slice(2)) ? text : '';
  }
  // So is the head of a table, which would be text until the line below it is.
  const head = /(?:^|\n) {0,3}\|[^\n]*(?:\n[ \t]*[|:-][^\n]*)?$/.exec(text);
  if (head && !table_rule.test(text)) return text.slice(0, head.index);
  const cut = begun.exec(text);
  const kept = cut ? text.slice(0, cut.index + (text[cut.index] === '\n' ? 1 : 0)) : text;
  return close_marks(kept);
}

function close_marks(text: string): string {
  const line = text.slice(text.lastIndexOf('\n') + 1);
  const ticks = line.match(/`+/g) ?? [];
  const last = ticks[ticks.length - 1];
  if (last && ticks.filter((t) => t === last).length % 2 === 1) {
    return line.endsWith(last) ? text.slice(0, -last.length) : text + last;
  }
  const prose = line.replace(/(`+)[^`]*\1/g, '');
  // An open formula is held back, where it is one: "$5" stays.
  const dollar = /(?:^|[^\\$])\$([^\s\d$][^$]*)$/.exec(prose);
  if (dollar) return text.slice(0, text.lastIndexOf('$'));
  const paren = line.lastIndexOf('\\(');
  if (paren >= 0 && line.indexOf('\\)', paren) < 0) {
    return text.slice(0, text.length - line.length + paren);
  }
  // A link is shown by its name until its address is whole.
  const link = /\[([^\]]*)\]\([^)\s]*$/.exec(line);
  if (link) return text.slice(0, text.length - link[0].length) + link[1];
  return close_emphasis(text, prose.replace(/^\s*(?:[-*+]|\d+[.)])\s+/, ''));
}

function close_emphasis(text: string, prose: string): string {
  for (const mark of ['**', '*']) {
    const found = prose.split(mark).length - 1;
    if (found % 2 === 0) {
      prose = prose.replaceAll(mark, '');
      continue;
    }
    // What is only a star between spaces multiplies, and opens nothing.
    const open = prose.lastIndexOf(mark);
    const after = prose[open + mark.length];
    if (after === undefined) return text.slice(0, -mark.length);
    if (/\s/.test(after)) return text;
    return text.trimEnd() + mark;
  }
  return text;
}
