import { describe, expect, it } from 'vitest';
import { presentable } from '../src/markdown/presentable';

describe('presentable', () => {
  it.each([
    ['plain text', 'plain text'],
    ['some **bold te', 'some **bold te**'],
    ['some **', 'some '],
    ['an *emphasis', 'an *emphasis*'],
    ['3 * 4', '3 * 4'],
    ['a `code', 'a `code`'],
    ['a `', 'a '],
    ['done `x` and `y`', 'done `x` and `y`'],
    ['Look:\n```py', 'Look:\n'],
    ['- one\n-', '- one\n'],
    ['- one\n- two **x', '- one\n- two **x**'],
    ['the sum $a + b', 'the sum '],
    ['it costs $5 and', 'it costs $5 and'],
    ['so \\(x', 'so '],
    ['so \\(x\\) is', 'so \\(x\\) is'],
    ['$$\na + b', ''],
    ['$$\na + b\n$$', '$$\na + b\n$$'],
    ['| a | b', ''],
    ['| a | b |\n|--', ''],
    ['Text:\n| a | b |', 'Text:'],
    ['| a | b |\n|---|---|\n| 1 | 2', '| a | b |\n|---|---|\n| 1 | 2'],
    ['see [the page](http://exa', 'see the page'],
  ])('%j', (text, shown) => expect(presentable(text)).toBe(shown));
});
