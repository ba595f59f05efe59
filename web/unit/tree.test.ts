import { describe, expect, it } from 'vitest';
import {
  branch_of,
  children_of,
  leaf_below,
  leaf_without,
  path_to,
  subtree,
} from '../src/lib/tree';

// a ─ b ─ c
//   └ d ─ e
//       └ f
// g: an edited first message
const nodes = [
  ['a', null, 1],
  ['b', 'a', 2],
  ['c', 'b', 3],
  ['d', 'a', 4],
  ['e', 'd', 5],
  ['f', 'd', 6],
  ['g', null, 7],
].map(([id, parent_id, created_at_ms]) => ({
  id: id as string,
  parent_id: parent_id as string | null,
  created_at_ms: created_at_ms as number,
}));
const by_id = new Map(nodes.map((node) => [node.id, node]));
const children = children_of(nodes);
const node = (id: string) => by_id.get(id)!;

describe('tree', () => {
  it('finds the path to a leaf', () => {
    expect(path_to(by_id, 'f').map((n) => n.id)).toEqual(['a', 'd', 'f']);
    expect(path_to(by_id, null)).toEqual([]);
    expect(path_to(by_id, 'unknown')).toEqual([]);
  });

  it('counts branches among siblings, at the root too', () => {
    expect(branch_of(children, node('d'))).toEqual({ index: 1, ids: ['b', 'd'] });
    expect(branch_of(children, node('g'))).toEqual({ index: 1, ids: ['a', 'g'] });
  });

  it('descends to the newest leaf', () => {
    expect(leaf_below(children, 'a')).toBe('f');
    expect(leaf_below(children, null)).toBe('g');
    expect(leaf_below(children, 'c')).toBe('c');
  });

  it('knows what to show when a branch is deleted', () => {
    expect(leaf_without(children, node('f'))).toBe('e');
    expect(leaf_without(children, node('d'))).toBe('c');
    expect(leaf_without(children, node('c'))).toBe('b');
  });

  it('collects a subtree', () => {
    expect([...subtree(children, 'd')].sort()).toEqual(['d', 'e', 'f']);
  });

  it('does not loop on a broken tree', () => {
    const broken = new Map([['x', { id: 'x', parent_id: 'x', created_at_ms: 1 }]]);
    expect(path_to(broken, 'x').map((n) => n.id)).toEqual(['x']);
  });
});
