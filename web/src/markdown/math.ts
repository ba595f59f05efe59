// Draws formulas with KaTeX, which is fetched when the first one is met. It builds elements and sets
// their styles one by one, which the content security policy allows; its HTML text would not pass.

import type { KatexOptions } from 'katex';

interface TreeNode {
  attributes?: Record<string, string>;
  children?: TreeNode[];
}

// KaTeX's tree, which it exports for those who must have a hand in it, but does not declare.
interface Katex {
  __renderToDomTree(tex: string, options: KatexOptions): TreeNode & { toNode(): Node };
}

let katex: Katex | null = null;
let loading: Promise<void> | null = null;
const drawn = new Map<string, Node>(); // the last ones, to be copied
const drawn_max = 400;
const tex_chars_max = 8000;

function load(): Promise<void> {
  loading ??= Promise.all([import('katex'), import('katex/dist/katex.css')]).then(([module]) => {
    katex = module.default as unknown as Katex;
  });
  return loading;
}

// What KaTeX would write as a style attribute (the borders of its MathML, which is read but not seen,
// and the colour of faults) the policy forbids.
function without_style_attributes(node: TreeNode): void {
  if (node.attributes) delete node.attributes.style;
  for (const child of node.children ?? []) without_style_attributes(child);
}

function draw(element: HTMLElement, tex: string): void {
  const display = element.classList.contains('math-display');
  const name = `${display ? 'd' : 'i'}${tex}`;
  let formula = drawn.get(name);
  if (!formula) {
    const holder = document.createElement('span');
    const tree = katex!.__renderToDomTree(tex, {
      displayMode: display,
      throwOnError: false,
      strict: 'ignore',
      trust: false,
      maxSize: 30,
      maxExpand: 500,
    });
    without_style_attributes(tree);
    holder.append(tree.toNode());
    formula = holder;
    drawn.set(name, formula);
    if (drawn.size > drawn_max) drawn.delete(drawn.keys().next().value!);
  }
  element.replaceChildren(...formula.cloneNode(true).childNodes);
  element.dataset.tex = tex;
}

export function draw_math(root: ParentNode): void {
  const elements = [...root.querySelectorAll<HTMLElement>('.math:not([data-tex])')].filter(
    (element) => element.textContent!.length <= tex_chars_max,
  );
  if (elements.length === 0) return;
  if (katex) {
    for (const element of elements) draw(element, element.textContent!);
    return;
  }
  void load().then(() => {
    for (const element of elements) {
      if (element.dataset.tex === undefined) draw(element, element.textContent!);
    }
  });
}
