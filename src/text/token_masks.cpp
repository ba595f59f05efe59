#include "text/token_masks.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"

namespace minke {
namespace {

// What one mask may cost: some tens of milliseconds, where real grammars take less than one.
constexpr uint64_t kWorkMax = 4'000'000;
// States and masks are forgotten when they take more.
constexpr size_t kMemoryMax = size_t{96} << 20;
// Sets with more tokens are kept as bits.
constexpr size_t kListedMax = 4096;

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

Status TokenMasks::walk(const TokenTrie::Tree& tree, State state, TokenMask& mask) {
  const uint64_t work_max = automaton_.work() + kWorkMax;
  path_.resize(tree.depth_max + 1);
  path_[0] = state;
  const size_t nodes = tree.nodes.size() - 1;
  size_t at = 0;
  while (at < nodes) {
    const TokenTrie::Node& node = tree.nodes[at];
    const State next = automaton_.next(path_[node.depth - size_t{1}], node.byte);
    if (next == GrammarAutomaton::kDead) {
      at = node.end;
      continue;
    }
    path_[node.depth] = next;
    for (uint32_t i = node.first_token; i < tree.nodes[at + 1].first_token; ++i) {
      mask.tokens.push_back(tree.tokens[i]);
    }
    if (automaton_.work() > work_max || automaton_.memory_bytes() > 2 * kMemoryMax) {
      return misuse(
          "the grammar can be read in too many ways at once: make its parts easier to tell "
          "apart, or its counts smaller");
    }
    ++at;
  }
  return {};
}

Result<const TokenMask*> TokenMasks::mask(State state) {
  const auto [place, is_new] = masks_.try_emplace(state);
  TokenMask& mask = place->second;
  if (!is_new) return &mask;
  mask.may_end = automaton_.may_end(state);
  const PlainRun run = plain_run(state);
  if (Status walked = walk(run.is_all ? trie_->not_plain() : trie_->all(), state, mask); !walked) {
    masks_.erase(place);
    return std::unexpected(std::move(walked).error());
  }
  if (run.is_all && run.characters > 0) {
    mask.base = trie_->plain(run.characters);
  } else if (mask.tokens.size() > kListedMax) {
    mask.own.assign((static_cast<size_t>(trie_->vocab_size()) + 63) / 64, 0);
    for (const int32_t token : mask.tokens) {
      mask.own[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
    }
    mask.base = mask.own;
    mask.tokens.clear();
  }
  mask.tokens.shrink_to_fit();
  mask_bytes_ += sizeof(TokenMask) + mask.tokens.size() * sizeof(int32_t) +
                 mask.own.size() * sizeof(uint64_t) + 64;
  return &mask;
}

void TokenMasks::make_room() {
  if (mask_bytes_ + automaton_.memory_bytes() <= kMemoryMax) return;
  masks_.clear();
  mask_bytes_ = 0;
  automaton_.forget();
}

GrammarAutomaton::State GrammarMatcher::state() {
  GrammarAutomaton& automaton = masks_.automaton();
  if (epoch_ != automaton.epoch()) {
    epoch_ = automaton.epoch();
    state_ = automaton.start();
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

std::string GrammarMatcher::forced(size_t bytes_max) {
  GrammarAutomaton& automaton = masks_.automaton();
  std::string out;
  GrammarAutomaton::State at = state();
  while (out.size() < bytes_max && !automaton.may_end(at)) {
    const int byte = automaton.only_byte(at);
    if (byte < 0) break;
    out += static_cast<char>(byte);
    at = automaton.next(at, static_cast<uint8_t>(byte));
  }
  return out;
}

}  // namespace minke
