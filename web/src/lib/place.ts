// Puts what opened beside what opened it, inside the window.

const gap = 6;
const margin = 8;

export function place(popover: HTMLElement, anchor: Element, end = false): void {
  const a = anchor.getBoundingClientRect();
  const p = popover.getBoundingClientRect();
  const rtl = getComputedStyle(anchor).direction === 'rtl';
  const wanted = end !== rtl ? a.right - p.width : a.left;
  const below = a.bottom + gap;
  const above = a.top - gap - p.height;
  const top = below + p.height > innerHeight - margin && above > margin ? above : below;
  popover.style.left = `${Math.max(margin, Math.min(wanted, innerWidth - p.width - margin))}px`;
  popover.style.top = `${Math.max(margin, Math.min(top, innerHeight - p.height - margin))}px`;
}
