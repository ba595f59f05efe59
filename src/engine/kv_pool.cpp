#include "engine/kv_pool.h"

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

int64_t common_prefix(std::span<const int32_t> a, std::span<const int32_t> b) {
  const size_t count = std::min(a.size(), b.size());
  size_t i = 0;
  while (i < count && a[i] == b[i]) ++i;
  return static_cast<int64_t>(i);
}

std::span<const int32_t> tokens_of(const KvNode& node) {
  return std::span<const int32_t>(node.tokens).first(static_cast<size_t>(node.count));
}

// The child that shares the most tokens with the front of `tokens`, and how many.
std::pair<KvNode*, int64_t> best_child(const KvNode& node, std::span<const int32_t> tokens) {
  KvNode* best = nullptr;
  int64_t best_length = 0;
  for (const auto& child : node.children) {
    const int64_t length = common_prefix(tokens_of(*child), tokens);
    if (length > best_length) {
      best = child.get();
      best_length = length;
    }
  }
  return {best, best_length};
}

}  // namespace

KvPool::KvPool(int32_t pages) : pages_(pages) {
  CHECK_GE(pages, 0);
  free_.reserve(static_cast<size_t>(pages));
  for (int32_t page = pages - 1; page >= 0; --page) free_.push_back(page);
}

KvPool::~KvPool() {
  // The tree may be as deep as the longest sequence has pages: taken apart without recursion.
  std::vector<std::unique_ptr<KvNode>> nodes = std::move(root_.children);
  while (!nodes.empty()) {
    std::unique_ptr<KvNode> node = std::move(nodes.back());
    nodes.pop_back();
    for (auto& child : node->children) nodes.push_back(std::move(child));
    node->children.clear();
  }
}

void KvPool::enlist(KvNode& node) {
  if (node.users == 0 && node.children.empty()) evictable_.insert(rank(node));
}

void KvPool::delist(KvNode& node) { evictable_.erase(rank(node)); }

void KvPool::hold(KvNode& node, bool is_ahead) {
  delist(node);
  if (!is_ahead) node.is_ahead = false;
  if (node.users == 0) --unused_;
  ++node.users;
  node.last_used = ++clock_;
}

void KvPool::release(KvNode& node) {
  CHECK_GT(node.users, 0);
  --node.users;
  node.last_used = ++clock_;
  if (node.users == 0) {
    ++unused_;
    enlist(node);
  }
}

// The next page of the sequence as a node, which the sequence holds.
KvNode& KvPool::insert(KvNode& parent, std::span<const int32_t> tokens,
                       const KvSequence& sequence) {
  CHECK_LE(tokens.size(), static_cast<size_t>(kKvPageTokens));
  if (&parent != &root_) delist(parent);
  auto node = std::make_unique<KvNode>();
  node->parent = &parent;
  std::ranges::copy(tokens, node->tokens.begin());
  node->count = static_cast<int32_t>(tokens.size());
  node->page = sequence.pages_[sequence.nodes_.size()];
  node->users = 1;
  node->last_used = ++clock_;
  node->is_ahead = sequence.is_ahead_;
  ++nodes_;
  parent.children.push_back(std::move(node));
  return *parent.children.back();
}

// Takes a leaf that nobody holds out of the tree; its page is the caller's.
void KvPool::remove(KvNode& node) {
  CHECK(node.users == 0 && node.children.empty());
  delist(node);
  --nodes_;
  --unused_;
  KvNode& parent = *node.parent;
  auto& siblings = parent.children;
  const auto place =
      std::ranges::find_if(siblings, [&](const auto& p) { return p.get() == &node; });
  CHECK(place != siblings.end());
  siblings.erase(place);
  if (&parent != &root_) enlist(parent);
}

KvNode* KvPool::restore(KvNode* parent, std::span<const int32_t> tokens) {
  CHECK_EQ(std::ssize(tokens), kKvPageTokens);
  if (free_.empty()) return nullptr;
  KvNode& above = parent == nullptr ? root_ : *parent;
  if (parent != nullptr) delist(above);
  auto node = std::make_unique<KvNode>();
  node->parent = &above;
  std::ranges::copy(tokens, node->tokens.begin());
  node->count = kKvPageTokens;
  node->page = free_.back();
  free_.pop_back();
  node->last_used = ++clock_;
  ++nodes_;
  ++unused_;
  above.children.push_back(std::move(node));
  enlist(*above.children.back());
  return above.children.back().get();
}

void KvPool::visit_full(const std::function<bool(KvNode&)>& visit) {
  std::vector<KvNode*> stack;
  for (const auto& child : root_.children) stack.push_back(child.get());
  while (!stack.empty()) {
    KvNode& node = *stack.back();
    stack.pop_back();
    if (!node.full() || node.is_ahead) continue;
    if (!visit(node)) return;
    for (const auto& child : node.children) stack.push_back(child.get());
  }
}

int32_t KvPool::take_page() {
  if (free_.empty()) {
    if (evictable_.empty()) return -1;
    KvNode& oldest = *std::get<KvNode*>(*evictable_.begin());
    const int32_t page = oldest.page;
    remove(oldest);
    ++evictions_;
    return page;
  }
  const int32_t page = free_.back();
  free_.pop_back();
  return page;
}

KvNode& KvPool::last_node(KvSequence& sequence) {
  return sequence.nodes_.empty() ? root_ : *sequence.nodes_.back();
}

KvPool::Match KvPool::match(std::span<const int32_t> tokens) const {
  const KvNode* node = &root_;
  Match match;
  while (true) {
    const auto [child, length] =
        best_child(*node, tokens.subspan(static_cast<size_t>(match.tokens)));
    match.tokens += length;
    if (length < kKvPageTokens) return match;
    if (child->users == 0) ++match.unused_pages;
    node = child;
  }
}

KvSequence KvPool::open(std::span<const int32_t> tokens, int64_t reuse_max, int64_t& reused,
                        std::vector<PageAction>& actions, bool is_ahead) {
  KvSequence sequence;
  sequence.is_ahead_ = is_ahead;
  reused = 0;
  tokens =
      tokens.first(std::min(tokens.size(), static_cast<size_t>(std::max<int64_t>(reuse_max, 0))));
  while (true) {
    const auto rest = tokens.subspan(static_cast<size_t>(reused));
    const auto [child, length] = best_child(last_node(sequence), rest);
    if (length == 0) return sequence;
    if (length == kKvPageTokens) {
      hold(*child, is_ahead);
      sequence.nodes_.push_back(child);
      sequence.pages_.push_back(child->page);
      reused += length;
      continue;
    }
    // Part of a page. A leaf that nobody holds and that ends where we diverge is simply continued;
    // anything else is copied, and stays for others.
    const bool is_ours = child->is_ahead || !is_ahead;
    if (is_ours && child->users == 0 && child->children.empty() && length == child->count) {
      const int32_t page = child->page;
      remove(*child);
      sequence.pages_.push_back(page);
      reused += length;
      return sequence;
    }
    hold(*child, true);  // or it might be evicted to make room for its own copy
    const int32_t copy = take_page();
    release(*child);
    if (copy < 0) return sequence;
    actions.push_back(
        {.kind = PageAction::Kind::kCopy, .from = child->page, .to = copy, .tokens = length});
    sequence.pages_.push_back(copy);
    reused += length;
    return sequence;
  }
}

bool KvPool::grow(KvSequence& sequence, int64_t tokens, std::vector<PageAction>& actions) {
  const int64_t wanted = (tokens + kKvPageTokens - 1) / kKvPageTokens;
  const int64_t missing = wanted - static_cast<int64_t>(sequence.pages_.size());
  if (missing > available()) return false;
  for (int64_t i = 0; i < missing; ++i) {
    const int32_t page = take_page();
    CHECK_GE(page, 0);
    actions.push_back({.kind = PageAction::Kind::kClear, .to = page});
    sequence.pages_.push_back(page);
  }
  return true;
}

// Cached leaves under `parent` that say nothing which `tokens` does not say.
void KvPool::drop_covered_leaves(KvNode& parent, std::span<const int32_t> tokens, bool is_ahead) {
  for (size_t i = parent.children.size(); i-- > 0;) {
    KvNode& child = *parent.children[i];
    if (child.full() || child.users > 0 || child.count > static_cast<int64_t>(tokens.size())) {
      continue;
    }
    if (is_ahead && !child.is_ahead) continue;  // that one stays longer
    if (common_prefix(tokens_of(child), tokens) != child.count) continue;
    free_.push_back(child.page);
    remove(child);
  }
}

// The next page of the sequence holds 64 final tokens: into the tree, or, when the tree has the
// same already, that one instead of ours.
void KvPool::publish_full_page(KvSequence& sequence, std::span<const int32_t> tokens) {
  const size_t index = sequence.nodes_.size();
  KvNode& parent = last_node(sequence);
  const auto [child, length] = best_child(parent, tokens);
  if (length == kKvPageTokens) {
    hold(*child, sequence.is_ahead_);
    free_.push_back(sequence.pages_[index]);
    sequence.pages_[index] = child->page;
    if (sequence.tail_ != nullptr) {
      KvNode& tail = *std::exchange(sequence.tail_, nullptr);
      CHECK_EQ(tail.users, 1);
      release(tail);
      remove(tail);
    }
    sequence.nodes_.push_back(child);
    return;
  }
  if (sequence.tail_ != nullptr) {
    KvNode& tail = *std::exchange(sequence.tail_, nullptr);
    std::ranges::copy(tokens, tail.tokens.begin());
    tail.count = kKvPageTokens;
    tail.last_used = ++clock_;  // held, so it is on no list that is ordered by this
    sequence.nodes_.push_back(&tail);
  } else {
    sequence.nodes_.push_back(&insert(parent, tokens, sequence));
  }
  drop_covered_leaves(parent, tokens, sequence.is_ahead_);
}

void KvPool::publish_tail(KvSequence& sequence, std::span<const int32_t> tokens) {
  if (sequence.tail_ != nullptr) {
    std::ranges::copy(tokens, sequence.tail_->tokens.begin());
    sequence.tail_->count = static_cast<int32_t>(tokens.size());
    return;
  }
  KvNode& parent = last_node(sequence);
  if (const auto [child, length] = best_child(parent, tokens); length == std::ssize(tokens)) {
    hold(*child, sequence.is_ahead_);  // as good as new
    release(*child);
    return;
  }
  drop_covered_leaves(parent, tokens, sequence.is_ahead_);
  sequence.tail_ = &insert(parent, tokens, sequence);
}

void KvPool::publish(KvSequence& sequence, std::span<const int32_t> computed, bool with_tail) {
  CHECK_LE(static_cast<int64_t>(computed.size()), sequence.capacity());
  while (true) {
    const size_t done = sequence.nodes_.size() * kKvPageTokens;
    if (computed.size() < done + kKvPageTokens) break;
    publish_full_page(sequence, computed.subspan(done, kKvPageTokens));
  }
  const auto rest = computed.subspan(sequence.nodes_.size() * kKvPageTokens);
  if (with_tail && !rest.empty()) publish_tail(sequence, rest);
}

void KvPool::close(KvSequence sequence, std::span<const int32_t> computed) {
  publish(sequence, computed, true);
  // Pages that did not make it into the tree: beyond the last token, or covered by another leaf.
  for (size_t i = sequence.nodes_.size() + (sequence.tail_ != nullptr ? 1 : 0);
       i < sequence.pages_.size(); ++i) {
    free_.push_back(sequence.pages_[i]);
  }
  if (sequence.tail_ != nullptr) release(*sequence.tail_);
  for (size_t i = sequence.nodes_.size(); i-- > 0;) release(*sequence.nodes_[i]);
}

void KvPool::discard(KvSequence sequence) {
  if (sequence.tail_ != nullptr) sequence.nodes_.push_back(sequence.tail_);
  for (size_t i = sequence.nodes_.size(); i < sequence.pages_.size(); ++i) {
    free_.push_back(sequence.pages_[i]);
  }
  for (size_t i = sequence.nodes_.size(); i-- > 0;) {
    KvNode& node = *sequence.nodes_[i];
    release(node);
    if (node.users == 0 && node.children.empty()) {
      free_.push_back(node.page);
      remove(node);
    }
  }
}

void KvPool::check_invariants(std::span<const KvSequence* const> running) const {
  std::vector<int> owners(static_cast<size_t>(pages_), 0);
  for (const int32_t page : free_) ++owners[static_cast<size_t>(page)];
  int32_t nodes = 0;
  int32_t unused = 0;
  size_t evictable = 0;
  std::vector<const KvNode*> stack = {&root_};
  std::vector<std::pair<const KvNode*, int32_t>> holders;
  while (!stack.empty()) {
    const KvNode* node = stack.back();
    stack.pop_back();
    for (const auto& child : node->children) stack.push_back(child.get());
    if (node == &root_) continue;
    ++nodes;
    ++owners[static_cast<size_t>(node->page)];
    if (node->users == 0) ++unused;
    CHECK(node->full() || node->children.empty());
    CHECK(node->parent == &root_ || node->parent->users >= node->users);
    if (node->users == 0 && node->children.empty()) {
      ++evictable;
      CHECK(evictable_.contains(rank(const_cast<KvNode&>(*node))));
    }
    int32_t held = 0;
    for (const KvSequence* sequence : running) {
      held += static_cast<int32_t>(std::ranges::count(sequence->nodes_, node));
      held += sequence->tail_ == node ? 1 : 0;
    }
    CHECK_EQ(held, node->users);
  }
  CHECK_EQ(nodes, nodes_);
  CHECK_EQ(unused, unused_);
  CHECK_EQ(evictable, evictable_.size());
  for (const KvSequence* sequence : running) {
    const size_t in_tree = sequence->nodes_.size() + (sequence->tail_ != nullptr ? 1 : 0);
    for (size_t i = in_tree; i < sequence->pages_.size(); ++i) {
      ++owners[static_cast<size_t>(sequence->pages_[i])];
    }
  }
  for (const int count : owners) CHECK_EQ(count, 1);
}

}  // namespace minke
