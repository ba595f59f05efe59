// One block of Markdown to a clean piece of document. No markup of the text's own survives, nothing
// is loaded from elsewhere, and no style attribute is written: the content security policy allows
// none. Loaded after the first paint.

import DOMPurify from 'dompurify';
import MarkdownIt from 'markdown-it';
import { list_rules } from './list_rules';
import { math_rules } from './math_rules';

const md = new MarkdownIt({ html: false, linkify: true, breaks: false });
md.use(math_rules);
md.use(list_rules);
md.validateLink = (url) => /^(?:https?:|mailto:)/i.test(url.trim());

// Each block finds its own direction, so Arabic stands beside English as it should.
for (const rule of ['paragraph', 'list_item', 'bullet_list', 'ordered_list', 'blockquote']) {
  md.renderer.rules[`${rule}_open`] = (tokens, index, options, _env, self) => {
    tokens[index]!.attrSet('dir', 'auto');
    return self.renderToken(tokens, index, options);
  };
}

const much = 24; // characters of a cell
for (const cell of ['th', 'td']) {
  md.renderer.rules[`${cell}_open`] = (tokens, index, options, _env, self) => {
    const token = tokens[index]!;
    const align = /text-align:(\w+)/.exec(token.attrGet('style') ?? '')?.[1];
    const classes = align ? [`align-${align}`] : [];
    // Sentences get a measure that can be read; figures and words as much as they need.
    if (tokens[index + 1]!.content.length > much) classes.push('much');
    token.attrs = [['dir', 'auto']];
    if (classes.length > 0) token.attrSet('class', classes.join(' '));
    return self.renderToken(tokens, index, options);
  };
}

md.renderer.rules.table_open = () => '<div class="table"><table>';
md.renderer.rules.table_close = () => '</table></div>';

// How large a heading looks is the writer's; its place in the page's outline is found by view.ts.
md.renderer.rules.heading_open = (tokens, index) => {
  const { tag } = tokens[index]!;
  return `<${tag} class="head-${tag[1]}" dir="auto">`;
};

md.renderer.rules.link_open = (tokens, index, options, _env, self) => {
  tokens[index]!.attrSet('target', '_blank');
  tokens[index]!.attrSet('rel', 'noopener noreferrer nofollow');
  return self.renderToken(tokens, index, options);
};

// A picture would tell its server who reads this: it is shown as a link, and loads when asked to.
md.renderer.rules.image = (tokens, index) => {
  const token = tokens[index]!;
  const alt = md.utils.escapeHtml(token.content || 'image');
  const url = md.utils.escapeHtml(token.attrGet('src') ?? '');
  const rel = 'noopener noreferrer nofollow';
  return `<a class="picture" href="${url}" target="_blank" rel="${rel}">${alt}</a>`;
};

md.renderer.rules.fence = (tokens, index) => {
  const token = tokens[index]!;
  const lang = md.utils.escapeHtml(token.info.trim().split(/[\s{,]/)[0] ?? '');
  return `<pre data-lang="${lang}">${md.utils.escapeHtml(token.content)}</pre>`;
};
md.renderer.rules.code_block = (tokens, index) =>
  `<pre data-lang="">${md.utils.escapeHtml(tokens[index]!.content)}</pre>`;

const tags =
  'a b blockquote br code del div em h1 h2 h3 h4 h5 h6 hr i li ol p pre s span strong sub sup table tbody td th thead tr ul';
const attributes = 'class href target rel dir start title data-lang';

export interface Links {
  references?: Record<string, unknown>; // link definitions, shared by a message's blocks
}

export function render(text: string, links: Links): DocumentFragment {
  return DOMPurify.sanitize(md.render(text, links), {
    RETURN_DOM_FRAGMENT: true,
    ALLOWED_TAGS: tags.split(' '),
    ALLOWED_ATTR: attributes.split(' '),
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}
