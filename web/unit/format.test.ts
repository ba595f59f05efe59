import { describe, expect, it } from 'vitest';
import {
  age_group,
  bytes,
  context_size,
  count,
  duration,
  parameters,
  rate,
  thought_for,
  title_of,
  was_vain,
  without_terminal,
} from '../src/lib/format';
import { plain } from '../src/lib/plain';

describe('numbers as people read them', () => {
  it.each([
    [bytes(999), '999 B'],
    [bytes(1000), '1.0 kB'],
    [bytes(1_117_000_000), '1.1 GB'],
    [bytes(999_950), '1.0 MB'],
    [count(9999), '9,999'],
    [count(131_072), '131k'],
    [context_size(32_768), '32k'],
    [context_size(40_960), '40k'],
    [context_size(4096), '4,096'],
    [parameters(135_000_000), '135M'],
    [parameters(7_600_000_000), '7.6B'],
    [parameters(671_000_000_000), '671B'],
    [duration(59_900), '59 s'],
    [duration(61_000), '1 min 1 s'],
    [duration(3_720_000), '1 h 2 min'],
    [thought_for(400), 'less than a second'],
    [thought_for(8_400), '8 s'],
    [rate(9.94), '9.9 tok/s'],
    [rate(41.6), '42 tok/s'],
  ])('%s', (got, want) => expect(got).toBe(want));

  it('groups by calendar days, not by hours', () => {
    const now = new Date(2026, 10, 27, 0, 30).getTime();
    expect(age_group(now - 10 * 60_000, now)).toBe('Today');
    expect(age_group(now - 60 * 60_000, now)).toBe('Yesterday');
    expect(age_group(now - 40 * 86_400_000, now)).toBe('Older');
  });
});

describe('plain', () => {
  it('leaves what would be read aloud', () => {
    expect(plain('# Title\n\n- **bold** [link](http://x)\n\n```py\nx = 1\n```\nEnd.')).toBe(
      'Title bold link (py code) End.',
    );
  });
});

describe('what the server says, as pages say it', () => {
  it.each([
    ['nothing is lost; give the same command to go on', 'nothing is lost.'],
    ['x breaks off (reset): 1 of 2 are kept: ./run pull x goes on', 'x breaks off (reset): 1 of 2 are kept.'],
    ['the prompt is too long: shorten it, or start the server with a larger --ctx', 'the prompt is too long.'],
    ['the disk is full: 1 GB is needed', 'the disk is full: 1 GB is needed'],
  ])('%s', (said, shown) => expect(without_terminal(said)).toBe(shown));
  it('calls a chat without a title a new one', () => {
    expect(title_of({ title: ' ' })).toBe('New chat');
    expect(title_of({ title: 'Krill' })).toBe('Krill');
  });
  it('knows a model that was asked for in vain', () => {
    expect(was_vain({ state: 'failed', present: false, file_bytes: 0 })).toBe(true);
    expect(was_vain({ state: 'failed', present: false, file_bytes: 9 })).toBe(false);
    expect(was_vain({ state: 'absent', present: false, file_bytes: 0 })).toBe(false);
  });
});
