// What is wider than its place scrolls sideways, and then the keyboard must be able to get there.
// Looked at after layout, when the answer costs nothing.

const watched = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scrolls = target.scrollWidth > target.clientWidth + 1;
    if (scrolls === target.hasAttribute('tabindex')) continue;
    if (scrolls) target.setAttribute('tabindex', '0');
    else target.removeAttribute('tabindex');
  }
});

export function reachable(element: Element): void {
  watched.observe(element);
}
