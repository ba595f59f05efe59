// What the mock says. A question chooses: "20000" for that many tokens with formulas and
// code, "one block", "fail", "slow", "ponder", "twice", "rtl"; else a short answer with
// some of everything.

const thoughts = [
  'The question asks for a short explanation. Let me recall what matters: the minke whale is the smallest of the great whales in the North Atlantic, about 7 to 10 metres long.\n\n',
  'Its mass grows with the cube of its length, so $m \\propto L^3$. From $L = 8$ m and about $6{,}000$ kg one gets $k \\approx 11.7$.\n\n',
  'I should show the formula, a small program and a table, and stay brief.',
];

const short = `A minke whale is the **smallest of the great whales** of the North Atlantic: seven to ten metres long, and about as heavy as two elephants.

### How heavy is one?

Its mass grows with the cube of its length $L$, so with a constant $k \\approx 11.7\\,\\mathrm{kg\\,m^{-3}}$

$$
m(L) = k L^3, \\qquad \\frac{dm}{dL} = 3 k L^2, \\qquad \\bar m = \\frac{1}{n}\\sum_{i=1}^{n} k L_i^3
$$

| length | mass | dives |
|:--|--:|:-:|
| 7.0 m | 4.0 t | 12 min |
| 8.5 m | 7.2 t | 15 min |
| 10.0 m | 11.7 t | 20 min |

In Python:

\`\`\`python
def mass_kg(length_m: float, k: float = 11.7) -> float:
    """The mass of a minke whale of the given length."""
    return k * length_m ** 3

for length in (7.0, 8.5, 10.0):
    print(f"{length:4.1f} m  {mass_kg(length) / 1000:5.1f} t")
\`\`\`

Three things to keep in mind:

1. The constant differs between *sexes*: females are longer.
2. A whale in spring is thinner than the same one in autumn.
3. \`k\` was fitted to few animals, so take the last digit lightly.

> Measured animals were often stranded, and those are not the healthiest.
`;

const paragraph = (n) => `### Part ${n}

The sum of the first $n$ squares is $\\sum_{i=1}^{n} i^2 = \\frac{n(n+1)(2n+1)}{6}$, which follows by induction, or by comparing it with the integral $\\int_0^n x^2\\,dx = \\tfrac{1}{3}n^3$. Where the series converges absolutely its terms may be taken in **any order**; see \`partial_sums\` below.

$$
\\left\\| \\mathbf{A} \\right\\|_2 = \\sqrt{\\lambda_{\\max}\\left(\\mathbf{A}^{\\top}\\mathbf{A}\\right)}, \\qquad
\\begin{pmatrix} a_{11} & a_{12} \\\\ a_{21} & a_{22} \\end{pmatrix} \\in \\mathbb{R}^{2 \\times 2}
$$

\`\`\`python
def partial_sums(terms, start=${n}):
    total = start
    for index, term in enumerate(terms):
        total += term  # floating point, so order matters
        yield index, total
\`\`\`

- a first remark about part ${n}, with a little **emphasis**
- a second one, which is somewhat longer than the first, so that it fills more than one line of text

`;

const rtl = `الحوت المنكي هو أصغر الحيتان الكبيرة في شمال المحيط الأطلسي.

- طوله من سبعة إلى عشرة أمتار
- English stands beside it

鲸鱼是生活在海洋中的哺乳动物。`;

export function answer_to(question, think) {
  const words = question.toLowerCase();
  const thinking = think ? [thoughts.join('')] : [];
  if (/20,?000/.test(words)) {
    let text = '';
    for (let n = 1; tokens_of(text).length < 20_000; n += 1)
      text += paragraph(n)
        .repeat(8)
        .replace(/Part \d+/g, () => `Part ${n}`);
    return { thinking, text, fast: true };
  }
  if (/one block/.test(words)) {
    const line = 'total = total * 31 + ord(character)  # a line of a long program\n';
    return { thinking: [], text: '```python\n' + line.repeat(1500) + '```\n', fast: true };
  }
  if (/\brtl\b/.test(words)) return { thinking, text: rtl };
  if (/\bfail\b/.test(words)) return { thinking: [], text: 'It went well until', fails: true };
  if (/\bslow\b/.test(words)) return { thinking, text: short, rate: 70 };
  if (/\bponder\b/.test(words)) return { thinking, text: 'Done.', rate: 30 };
  if (/\btwice\b/.test(words))
    return { thinking: think ? [thoughts[0], thoughts[1]] : [], text: short };
  return { thinking, text: short };
}

// Pieces of about four characters, as a tokenizer would cut them.
export function tokens_of(text) {
  return text.match(/\s?[\p{L}]{1,6}|\s?\d{1,3}|\s+|[^\s\p{L}\d]{1,2}/gu) ?? [];
}

export const summary_text =
  'The chat so far: the size of minke whales, a formula $m = kL^3$ for their mass with $k \\approx 11.7$, and a Python function `mass_kg`.';
