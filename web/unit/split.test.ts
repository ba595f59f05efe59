import { describe, expect, it } from 'vitest';
import { BlockSplitter } from '../src/markdown/split';

function blocks(text: string, piece = text.length): string[] {
  const splitter = new BlockSplitter();
  for (let at = piece; at < text.length; at += piece) splitter.update(text.slice(0, at));
  splitter.finish(text);
  return splitter.settled.map((b) => (b.kind === 'code' ? `<${b.lang}>${b.text}` : b.text.trim()));
}

const sample = `# Title
A first paragraph
of two lines.

\`\`\`python
x = 1

y = 2
\`\`\`
- one

- two
  \`\`\`sh
  ls

  \`\`\`
- three

After.

$$
a + b

= c
$$
| a | b |
|---|---|
| 1 | 2 |

1. first
2. second

~~~
tilde \`\`\`
~~~
Last`;

describe('BlockSplitter', () => {
  it('cuts at headings, blank lines, fences and formulas', () => {
    expect(blocks(sample)).toEqual([
      '# Title',
      'A first paragraph\nof two lines.',
      '<python>x = 1\n\ny = 2\n',
      '- one\n\n- two\n  ```sh\n  ls\n\n  ```\n- three',
      'After.',
      '$$\na + b\n\n= c\n$$',
      '| a | b |\n|---|---|\n| 1 | 2 |',
      '1. first\n2. second',
      '<>tilde ```\n',
      'Last',
    ]);
  });

  it('cuts the same whatever the pieces', () => {
    for (let piece = 1; piece < 40; piece += 1)
      expect(blocks(sample, piece)).toEqual(blocks(sample));
  });

  it('loses no character of a text', () => {
    const text = 'word '.repeat(30_000);
    expect(blocks(text, 977).join(' ').replace(/\s/g, '')).toBe(text.replace(/\s/g, ''));
  });

  it('settles almost all of a text that has no line ends', () => {
    const splitter = new BlockSplitter();
    splitter.update('x'.repeat(1 << 20));
    expect(splitter.open!.text.length).toBeLessThan(20_000);
  });

  it('does not cut a character in two', () => {
    for (const block of blocks('🐋'.repeat(20_000))) expect(block).not.toMatch(/^[\udc00-\udfff]/);
  });

  it('cuts a long list between its items and keeps the numbers', () => {
    const items = Array.from({ length: 200 }, (_, i) => `${i + 1}. item number ${i + 1}`);
    const cut = blocks(items.join('\n'));
    expect(cut.length).toBeGreaterThan(2);
    expect(cut.join('\n')).toBe(items.join('\n'));
  });

  it('gives an open code block without its fence', () => {
    const splitter = new BlockSplitter();
    splitter.update('Look:\n```c++\nint x;\nint');
    expect(splitter.open).toMatchObject({ kind: 'code', lang: 'c++', text: 'int x;\nint' });
  });

  it('takes inline code of three backticks as text', () => {
    expect(blocks('```not a fence```\nmore')).toEqual(['```not a fence```\nmore']);
  });

  it('looks at each character once', () => {
    const time_ms = (n: number): number => {
      const text = 'A line of text that is rather ordinary.\n\n'.repeat(n);
      const times = Array.from({ length: 5 }, () => {
        const splitter = new BlockSplitter();
        const start = performance.now();
        for (let at = 0; at < text.length; at += 4000) splitter.update(text.slice(0, at));
        return performance.now() - start;
      });
      return Math.min(...times); // what else the machine does only adds
    };
    time_ms(1000);
    expect(time_ms(50_000)).toBeLessThan(40 * Math.max(1, time_ms(5000)));
  });
});
