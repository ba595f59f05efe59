import { describe, expect, it } from 'vitest';
import { highlight } from '../src/markdown/languages';

const parts = (code: string): string[] =>
  [...(highlight(code, 'css') ?? '').matchAll(/<span class="hljs-([\w-]+)">([^<]*)/g)].map(
    ([, kind, text]) => `${kind} ${text}`,
  );

describe('style sheets', () => {
  it('tells properties from selectors, also inside of others', () => {
    expect(parts('@media print { a:hover { color: #fff; --x: calc(1px + 2em) } }')).toEqual([
      'keyword @media',
      'selector-tag print',
      'selector-tag a',
      'built_in :hover',
      'attribute color',
      'number #fff',
      'attribute --x',
      'built_in calc',
      'number 1px',
      'number 2em',
    ]);
  });
  it('keeps every character', () => {
    const code = '/* a */ .b > #c::after { content: "}"; margin: 0 !important }\n';
    expect((highlight(code, 'css') ?? '').replace(/<[^>]*>/g, '').replace(/&gt;/g, '>').replace(/&quot;/g, '"')).toBe(code);
  });
});
