// What was typed into a field of numbers, held to the field's own bounds; the field then shows what
// is taken. `undefined` where it is empty or no number.
export function bounded(
  field: Pick<HTMLInputElement, 'valueAsNumber' | 'min' | 'max' | 'value'>,
): number | undefined {
  const typed = field.valueAsNumber;
  if (!Number.isFinite(typed)) return undefined;
  const least = field.min === '' ? -Infinity : Number(field.min);
  const most = field.max === '' ? Infinity : Number(field.max);
  const taken = Math.min(most, Math.max(least, typed));
  if (taken !== typed) field.value = String(taken);
  return taken;
}
