// Which page of the KV cache holds what: a fixed number of pages, shared by running sequences and
// by a tree of prefixes that were computed before and are kept for whoever starts with the same
// tokens. No tensors here: what has to be done to the bytes (clear, copy) is handed back as a list,
// in order, for the engine to carry out before the next forward pass.
//
// The tree. A node is one page of tokens after its parent's; a path from the root spells a prefix.
// Full pages are shared by reference, by running sequences too: their keys and values are the same
// bits whoever computes them (docs/numerics.md). A page that is not full (a leaf) is shared by
// copying: tokens are reused one by one, not page by page. Nodes that no running sequence holds go
// when pages are needed, least recently used first, leaves before their parents. So a chat whose
// template strips earlier reasoning keeps both branches as long as there is room. What was read on
// the mere chance that it is asked for (ahead of a turn) goes before anything else.
//
// Not thread-safe: owned by the engine's thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/kv_store.h"

namespace minke {

// What to do to a page before the step that was planned with it.
struct PageAction {
  enum class Kind : uint8_t { kClear, kCopy };
  Kind kind = Kind::kClear;
  int32_t from = -1;  // kCopy
  int32_t to = -1;
  int64_t tokens = 0;  // kCopy: of the page, those that are wanted
};

class KvPool;

// The pages of one running sequence. Made by KvPool::open, given back by close() or discard().
class KvSequence {
 public:
  std::span<const int32_t> pages() const { return pages_; }
  int64_t capacity() const { return static_cast<int64_t>(pages_.size()) * kKvPageTokens; }

 private:
  friend class KvPool;
  std::vector<int32_t> pages_;
  std::vector<struct KvNode*> nodes_;  // of the first pages: those that are full and in the tree
  KvNode* tail_ = nullptr;             // of the next page, when it is in the tree though not full
  bool is_ahead_ = false;              // nobody has asked for it yet
};

// A page of tokens in the tree. Internal to KvPool.
struct KvNode {
  KvNode* parent = nullptr;
  std::vector<std::unique_ptr<KvNode>> children;
  std::array<int32_t, kKvPageTokens> tokens{};
  int32_t count = 0;  // tokens that are valid; a node that is not full has no children
  int32_t page = -1;
  int32_t users = 0;  // running sequences that hold the page
  uint64_t last_used = 0;
  bool is_ahead = false;  // only sequences that nobody asked for have held it
  uint64_t key = 0;       // of a full page, once somebody has asked for it (engine/page_file.h)
  uint64_t kept_use = 0;  // last_used when it was last written or touched on the disk
  bool full() const { return count == kKvPageTokens; }
};

class KvPool {
 public:
  explicit KvPool(int32_t pages);
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  // A sequence that begins with what is cached of `tokens`, at most `reuse_max` of them. The number
  // of tokens found comes in `reused`. `is_ahead`: nobody has asked for it yet, and what only it
  // computes is the first to go.
  KvSequence open(std::span<const int32_t> tokens, int64_t reuse_max, int64_t& reused,
                  std::vector<PageAction>& actions, bool is_ahead = false);
  // Pages for `tokens` tokens in all. False, and nothing changed, when there are not enough.
  bool grow(KvSequence& sequence, int64_t tokens, std::vector<PageAction>& actions);
  // Puts what the sequence has computed into the tree while it runs on: `computed` is all of its
  // tokens whose keys and values are final. `with_tail`: the last page too, though it is not full.
  void publish(KvSequence& sequence, std::span<const int32_t> computed, bool with_tail);
  // Ends the sequence and keeps what it computed in the tree.
  void close(KvSequence sequence, std::span<const int32_t> computed);
  // Ends the sequence and forgets what only it used: its numbers are not to be trusted.
  void discard(KvSequence sequence);

  struct Match {
    int64_t tokens = 0;        // so many of them are in the tree
    int32_t unused_pages = 0;  // full pages among those that nobody uses: available() counts them
  };
  Match match(std::span<const int32_t> tokens) const;

  // A full page that was computed in another life, as a child of `parent` (nullptr: the root). Its
  // bytes are for the caller to fill in; nullptr when no page is free. As used as it was before.
  KvNode* restore(KvNode* parent, std::span<const int32_t> tokens);
  // Full pages that somebody has asked for, parents before children, until the visitor says false.
  void visit_full(const std::function<bool(KvNode&)>& visit);
  int32_t free_pages() const { return static_cast<int32_t>(free_.size()); }

  int32_t pages() const { return pages_; }
  // Pages that grow() could find: free ones and cached ones that nobody uses.
  int32_t available() const { return static_cast<int32_t>(free_.size()) + unused_; }
  int32_t cached() const { return nodes_; }
  uint64_t evictions() const { return evictions_; }

  // For tests: every page has exactly one owner, counts agree. CHECKs.
  void check_invariants(std::span<const KvSequence* const> running) const;

 private:
  int32_t take_page();  // -1 when there is none
  void hold(KvNode& node, bool is_ahead);
  void release(KvNode& node);
  void remove(KvNode& node);
  void enlist(KvNode& node);  // puts it among the evictable, if it is
  void delist(KvNode& node);
  KvNode& insert(KvNode& parent, std::span<const int32_t> tokens, const KvSequence& sequence);
  void publish_full_page(KvSequence& sequence, std::span<const int32_t> tokens);
  void publish_tail(KvSequence& sequence, std::span<const int32_t> tokens);
  void drop_covered_leaves(KvNode& parent, std::span<const int32_t> tokens, bool is_ahead);
  KvNode& last_node(KvSequence& sequence);

  int32_t pages_;
  std::vector<int32_t> free_;
  KvNode root_;
  // In the order in which they go: what nobody has asked for first, then the oldest.
  using Rank = std::tuple<bool, uint64_t, KvNode*>;
  static Rank rank(KvNode& node) { return {!node.is_ahead, node.last_used, &node}; }
  std::set<Rank> evictable_;  // leaves that nobody uses
  int32_t nodes_ = 0;
  int32_t unused_ = 0;  // nodes that no sequence holds
  uint64_t clock_ = 0;
  uint64_t evictions_ = 0;
};

}  // namespace minke
