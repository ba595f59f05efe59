// How style sheets are coloured: by their shape. The grammar that comes with highlight.js lists each
// tag, pseudo-class and property there is, and is the largest of all.

import type { HLJSApi, Language } from 'highlight.js';

export function css(hljs: HLJSApi): Language {
  const comment = hljs.C_BLOCK_COMMENT_MODE;
  const strings = [hljs.APOS_STRING_MODE, hljs.QUOTE_STRING_MODE];
  const values = [
    comment,
    ...strings,
    { className: 'number', begin: /#[\da-f]{3,8}\b/ },
    { className: 'number', begin: /[-+]?(?:\d*\.)?\d+(?:%|[a-z]+)?/ },
    { className: 'built_in', begin: /[a-z-]+(?=\()/ },
    { className: 'keyword', begin: /!\s*important/ },
    { className: 'variable', begin: /--[\w-]+/ },
  ];
  return {
    name: 'CSS',
    case_insensitive: true,
    contains: [
      comment,
      ...strings,
      { className: 'keyword', begin: /@[\w-]+/ },
      {
        // A property, and not a selector like a:hover, which has a brace to come.
        begin: /(?:--)?[a-z][\w-]*\s*:(?=[^;{}]{0,500}[;}])/,
        returnBegin: true,
        end: /(?=[;}])/,
        contains: [
          {
            className: 'attribute',
            begin: /[\w-]+/,
            end: /:/,
            excludeEnd: true,
            starts: { end: /(?=[;}])/, contains: values },
          },
        ],
      },
      { className: 'selector-tag', begin: /[.#]?-?[a-z_][\w-]*/ },
      { className: 'built_in', begin: /::?[a-z-]+/ },
    ],
  };
}
