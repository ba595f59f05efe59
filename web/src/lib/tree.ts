// A conversation is a tree of messages; what is shown is one path through it.

import type { Message } from './types';

type Node = Pick<Message, 'id' | 'parent_id' | 'created_at_ms'>;

// Children of each message in the order they were made; `null` has those without a parent.
export type Children = Map<string | null, string[]>;

export function children_of(nodes: Iterable<Node>): Children {
  const by_parent = new Map<string | null, Node[]>();
  for (const node of nodes) {
    const siblings = by_parent.get(node.parent_id);
    if (siblings) siblings.push(node);
    else by_parent.set(node.parent_id, [node]);
  }
  const children: Children = new Map();
  for (const [parent, siblings] of by_parent) {
    // A stable sort: answers made in the same millisecond keep the server's order.
    siblings.sort((a, b) => a.created_at_ms - b.created_at_ms);
    children.set(
      parent,
      siblings.map((node) => node.id),
    );
  }
  return children;
}

// From the root down to `leaf`; empty when there is no such message.
export function path_to<N extends Node>(nodes: Map<string, N>, leaf: string | null): N[] {
  const path: N[] = [];
  const seen = new Set<string>();
  for (let at = leaf; at !== null && !seen.has(at);) {
    const node = nodes.get(at);
    if (!node) break;
    seen.add(at);
    path.push(node);
    at = node.parent_id;
  }
  return path.reverse();
}

// Where the newest branch below `id` ends.
export function leaf_below(children: Children, id: string | null): string | null {
  let at = id;
  for (;;) {
    const below = children.get(at);
    if (!below || below.length === 0) return at;
    at = below[below.length - 1]!;
  }
}

export interface Branch {
  index: number; // of this message among its siblings, from 0
  ids: string[];
}

export function branch_of(children: Children, node: Node): Branch {
  const ids = children.get(node.parent_id) ?? [node.id];
  return { index: Math.max(0, ids.indexOf(node.id)), ids };
}

export function subtree(children: Children, id: string): Set<string> {
  const found = new Set<string>();
  const open = [id];
  while (open.length > 0) {
    const at = open.pop()!;
    found.add(at);
    open.push(...(children.get(at) ?? []));
  }
  return found;
}

// What to show once `gone` is away: the sibling before or after it, down to its leaf, or the parent.
export function leaf_without(children: Children, node: Node): string | null {
  const { index, ids } = branch_of(children, node);
  const other = ids[index - 1] ?? ids[index + 1];
  return other === undefined ? node.parent_id : leaf_below(children, other);
}
