#include "text/token_masks.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/check.h"

namespace minke {
namespace {

// What one mask may cost: some tens of milliseconds, where real grammars take less than one.
constexpr uint64_t kWorkMax = 4'000'000;
// States and masks are forgotten when they take more.
constexpr size_t kMemoryMax = size_t{48} << 20;
// Sets with more tokens are kept as bits.
constexpr size_t kListedMax = 4096;
// Smaller parts of the tree are walked: to look one up would take as long.
constexpr uint32_t kPieceNodesMin = 64;
constexpr uint32_t kRoot = 0xFFFFFFFFu;

void add_token(int32_t token, std::vector<uint64_t>& bits) {
  bits[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
}

}  // namespace

bool TokenMask::allows(int32_t token) const {
  const auto i = static_cast<size_t>(token);
  if (i / 64 < base.size() && (base[i / 64] >> (i % 64) & 1) != 0) return true;
  return std::ranges::find(tokens, token) != tokens.end();
}

// From state to state over plain characters. Where it ends for all of them (a string's maxLength),
// the tokens with more characters are out; where it ends because characters differ, the run says
// nothing about those with more.
TokenMasks::PlainRun TokenMasks::plain_run(State state) {
  PlainRun run;
  while (run.characters < TokenTrie::kPlainMax) {
    const State next = automaton_.next_plain(state);
    if (next == GrammarAutomaton::kMixed) return run;
    if (next == GrammarAutomaton::kDead) break;
    ++run.characters;
    if (next == state) run.characters = TokenTrie::kPlainMax;  // for ever
    state = next;
  }
  run.is_all = true;
  return run;
}

// visit(node, state) for every node below `node` that the state leads to.
template <typename Visit>
void TokenMasks::walk(const TokenTrie::Tree& tree, uint32_t node, State state, Visit visit) {
  const bool is_root = node == kRoot;
  const uint32_t end =
      is_root ? static_cast<uint32_t>(tree.nodes.size() - 1) : tree.nodes[node].end;
  const size_t depth = is_root ? 0 : tree.nodes[node].depth;
  std::vector<State> path(tree.depth_max + 1 - depth);
  path[0] = state;
  uint32_t at = is_root ? 0 : node + 1;
  while (at < end && !is_too_much_) {
    const TokenTrie::Node& here = tree.nodes[at];
    const State next = automaton_.next(path[here.depth - depth - 1], here.byte);
    if (next == GrammarAutomaton::kDead) {
      at = here.end;
      continue;
    }
    path[here.depth - depth] = next;
    visit(at, next);
    ++at;
    is_too_much_ =
        automaton_.work() > work_max_ || automaton_.memory_bytes() > size_t{2} * kMemoryMax;
  }
}

const TokenMasks::Piece& TokenMasks::piece(uint32_t node, State inside) {
  const uint64_t key = uint64_t{node} << 32 | static_cast<uint32_t>(inside);
  if (const auto known = pieces_.find(key); known != pieces_.end()) return known->second;
  const TokenTrie::Tree& tree = trie_->all();
  Piece piece;
  walk(tree, node, inside, [&](uint32_t at, State state) {
    const auto first = tree.tokens.begin() + tree.nodes[at].first_token;
    piece.tokens.insert(piece.tokens.end(), first,
                        tree.tokens.begin() + tree.nodes[at + size_t{1}].first_token);
    if (automaton_.leaves(state)) piece.exits.push_back(at);
    piece.height = std::max(piece.height, automaton_.height(state));
  });
  if (piece.tokens.size() > kListedMax) {
    piece.bits.resize(bits_.size());
    for (const int32_t token : piece.tokens) add_token(token, piece.bits);
    piece.tokens.clear();
  }
  piece.tokens.shrink_to_fit();
  bytes_ += piece.bits.size() * sizeof(uint64_t) + piece.exits.size() * sizeof(uint32_t) +
            piece.tokens.size() * sizeof(int32_t) + 128;
  return pieces_.emplace(key, std::move(piece)).first->second;
}

void TokenMasks::collect(const TokenTrie::Tree& tree, uint32_t node, State state) {
  const bool is_large = node == kRoot || tree.nodes[node].end - node > kPieceNodesMin;
  if (!is_large || &tree != &trie_->all() || !collect_pieces(node, state)) {
    walk(tree, node, state, [&](uint32_t at, State) {
      for (uint32_t i = tree.nodes[at].first_token; i < tree.nodes[at + size_t{1}].first_token;
           ++i) {
        add_token(tree.tokens[i], bits_);
      }
    });
  }
}

// False, with nothing done that were wrong, where a stack could grow too tall on the way: only who
// sees all of it can tell.
bool TokenMasks::collect_pieces(uint32_t node, State state) {
  const std::vector<GrammarAutomaton::Inside> views = automaton_.insides(state);
  for (const GrammarAutomaton::Inside& view : views) {
    const Piece& known = piece(node, view.inside);
    if (view.height + known.height > GrammarAutomaton::kTallestStack) return false;
    for (size_t i = 0; i < known.bits.size(); ++i) bits_[i] |= known.bits[i];
    for (const int32_t token : known.tokens) add_token(token, bits_);
    if (view.behind == GrammarAutomaton::kDead) continue;
    for (const uint32_t exit : known.exits) collect(trie_->all(), exit, view.behind);
  }
  return true;
}

Result<const TokenMask*> TokenMasks::mask(State state) {
  if (const auto known = masks_.find(state); known != masks_.end()) return &known->second;
  work_max_ = automaton_.work() + kWorkMax;
  is_too_much_ = false;
  bits_.assign((static_cast<size_t>(trie_->vocab_size()) + 63) / 64, 0);
  const PlainRun run = plain_run(state);
  collect(run.is_all ? trie_->not_plain() : trie_->all(), kRoot, state);
  if (is_too_much_) {
    pieces_.clear();  // one of them may be half of what it should be
    return misuse(
        "the grammar can be read in too many ways at once: make its parts easier to tell apart, or "
        "its counts smaller");
  }
  TokenMask& mask = masks_[state];
  mask.may_end = automaton_.may_end(state);
  if (run.is_all && run.characters > 0) mask.base = trie_->plain(run.characters);
  size_t count = 0;
  for (const uint64_t word : bits_) count += static_cast<size_t>(std::popcount(word));
  if (mask.base.empty() && count > kListedMax) {
    mask.own = bits_;
    mask.base = mask.own;
  } else {
    mask.tokens.reserve(count);
    for (size_t word = 0; word < bits_.size(); ++word) {
      for (uint64_t left = bits_[word]; left != 0; left &= left - 1) {
        mask.tokens.push_back(static_cast<int32_t>(word * 64) + std::countr_zero(left));
      }
    }
  }
  bytes_ += sizeof(TokenMask) + mask.tokens.size() * sizeof(int32_t) +
            mask.own.size() * sizeof(uint64_t) + 64;
  return &mask;
}

void TokenMasks::make_room() {
  if (bytes_ + automaton_.memory_bytes() <= kMemoryMax) return;
  masks_.clear();
  pieces_.clear();
  bytes_ = 0;
  automaton_.forget();
}

GrammarAutomaton::State GrammarMatcher::state() {
  GrammarAutomaton& automaton = masks_.automaton();
  if (epoch_ != automaton.epoch()) {
    epoch_ = automaton.epoch();
    state_ = automaton.start(rule_);
    for (const char c : text_) state_ = automaton.next(state_, static_cast<uint8_t>(c));
    CHECK_NE(state_, GrammarAutomaton::kDead);
  }
  return state_;
}

GrammarAutomaton::State GrammarMatcher::after(std::string_view bytes) {
  GrammarAutomaton::State at = state();
  for (const char c : bytes) at = masks_.automaton().next(at, static_cast<uint8_t>(c));
  return at;
}

Result<const TokenMask*> GrammarMatcher::mask() {
  masks_.make_room();
  return masks_.mask(state());
}

bool GrammarMatcher::take(std::string_view bytes) {
  const GrammarAutomaton::State next = after(bytes);
  if (next == GrammarAutomaton::kDead) return false;
  state_ = next;
  text_ += bytes;
  return true;
}

bool GrammarMatcher::allows(std::string_view bytes) {
  return after(bytes) != GrammarAutomaton::kDead;
}

bool GrammarMatcher::may_end() { return masks_.automaton().may_end(state()); }

}  // namespace minke
