// A text area as high as its text. Where the style sheet can do that (field-sizing), it does.

const by_style = CSS.supports('field-sizing', 'content');

export function grow(area: HTMLTextAreaElement, _text: string): { update(text: string): void } {
  const fit = (): void => {
    if (by_style) return;
    area.style.height = 'auto';
    area.style.height = `${area.scrollHeight + 2}px`;
  };
  fit();
  return { update: fit };
}
