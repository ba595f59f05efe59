import { describe, expect, it } from 'vitest';
import { bounded } from '../src/lib/bounded';

const field = (value: string, min = '', max = '') => ({
  value,
  valueAsNumber: value === '' ? NaN : Number(value),
  min,
  max,
});

describe('bounded', () => {
  it('holds what was typed to the bounds of the field, and shows what it takes', () => {
    const temperature = field('99', '0', '2');
    expect(bounded(temperature)).toBe(2);
    expect(temperature.value).toBe('2');
    expect(bounded(field('-5', '1'))).toBe(1);
    expect(bounded(field('0.30', '0', '2'))).toBe(0.3);
  });
  it('takes an empty field for nothing', () => {
    expect(bounded(field('', '0', '2'))).toBeUndefined();
  });
});
