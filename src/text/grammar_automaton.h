// A grammar as a machine that reads bytes: its states, made as they are met.
//
// A state is all that the bytes so far could mean: a set of places in the grammar, each with the
// rules that are still to be gone on with (its stack). Equal sets are one state, whatever bytes led
// there, so that what is found out about a state (the next one for a byte, the tokens that may
// follow: token_masks.h) is found out once. That is the deterministic automaton of a grammar
// without recursion, built on demand; recursion only makes it endless, and stacks are kTallestStack
// at most.
//
// Places from which no text could end are never entered: every state but kDead can be gone on with
// to an end (unless its stack is as tall as allowed).
//
// Owned by one thread at a time. Nothing but forget() makes a state's number void.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/result.h"
#include "text/grammar.h"

namespace minke {

class GrammarAutomaton {
 public:
  using State = int32_t;
  static constexpr State kDead = 0;  // nothing that the grammar allows begins like this
  static constexpr int kTallestStack = 100;

  // Fails when the grammar is too large, when no text satisfies it, and when a rule calls itself
  // before it consumes anything.
  static Result<GrammarAutomaton> create(const Grammar& grammar, Grammar::Rule root);

  State start() { return start(root_); }
  State start(Grammar::Rule rule);
  State next(State state, uint8_t byte) {
    const State known = rows_[static_cast<size_t>(state) * classes_ + class_of_[byte]];
    return known != kUnknown ? known : find_next(state, class_of_[byte]);
  }
  // The bytes so far are a whole text of the grammar.
  bool may_end(State state) const { return states_[static_cast<size_t>(state)].may_end; }
  // Where every plain character leads from here: one state for all of them, kDead when none can
  // follow, kMixed when it depends on the character. Plain are the characters that a JSON string
  // has as they are: those from U+0020 on, without '"' and '\'.
  static constexpr State kMixed = -2;
  State next_plain(State state);

  // A state is taken apart by rules: its places in one rule, seen apart from who called it. A text
  // leads on from the state when it does so inside one of its rules, or when its first bytes end
  // that rule and the rest leads on from `behind`. What is inside is the same for all callers.
  struct Inside {
    State inside = kDead;
    State behind = kDead;  // where the caller goes on
    int height = 0;        // of the stack below
  };
  // Of a state that is not one of these itself. Valid until the next call.
  const std::vector<Inside>& insides(State state);
  // Of a state that is seen from inside: its rule may end here.
  bool leaves(State state) const { return states_[static_cast<size_t>(state)].leaves; }
  // The tallest of a state's stacks; from inside, what is above the rule's own.
  int height(State state) const { return states_[static_cast<size_t>(state)].height; }

  // Whether `text` is one of the grammar's.
  bool matches(std::string_view text);

  // Work since the automaton was made: grows with each place that is looked at for a new state.
  uint64_t work() const { return work_; }
  // What states take, in bytes.
  size_t memory_bytes() const;
  // All states but kDead are void from here on; epoch() tells.
  void forget();
  int64_t epoch() const { return epoch_; }
  size_t nodes() const { return nodes_.size(); }

 private:
  static constexpr State kUnknown = -1;
  static constexpr State kNotAsked = -1;
  static constexpr int32_t kNone = -1;

  enum class NodeKind : uint8_t { kBytes, kSplit, kCall, kEnd };
  struct Edge {
    uint8_t low = 0;
    uint8_t high = 0;  // as bytes when compiled, as classes from then on
    int32_t to = 0;
  };
  struct Node {
    NodeKind kind = NodeKind::kEnd;
    bool lives = false;           // some text leads from here to the end of its rule
    int32_t rule = 0;             // kCall
    int32_t to = 0;               // kCall: where to go on behind it
    uint32_t begin = 0, end = 0;  // kBytes: of edges_; kSplit: of targets_
    int32_t plain = kNone;        // kBytes: where every plain character leads; kMixed
  };
  // The rules that are to be gone on with: at `node`, then as `below` has it.
  struct Frame {
    int32_t node = 0;
    int32_t below = 0;
    int32_t height = 0;
  };
  // A node and a frame, in one number for sorting.
  using Place = uint64_t;
  static Place place(int32_t node, int32_t frame) {
    return uint64_t{static_cast<uint32_t>(node)} << 32 | static_cast<uint32_t>(frame);
  }
  struct StateEntry {
    uint64_t hash = 0;
    uint32_t kernel = 0, kernel_size = 0;  // of places_: what it was made from
    uint32_t places = 0, places_size = 0;  // likewise: where bytes are read
    State same_hash = kNone;
    State plain = kNotAsked;
    int32_t height = 0;
    bool may_end = false;
    bool leaves = false;
  };
  class Compiler;

  GrammarAutomaton() = default;
  void find_classes();
  std::vector<bool> reach_end(bool through_bytes) const;
  Status check_recursion(const Grammar& grammar) const;
  void find_plain();
  int32_t plain_of(const Node& node) const;
  int32_t plain_tail(int32_t node, std::span<const ByteRange> rest) const;

  State find_next(State state, uint8_t byte_class);
  State intern(std::vector<Place>& kernel);
  void close(std::span<const Place> kernel, StateEntry& entry);
  int32_t push(int32_t node, int32_t below);
  void begin_states();

  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<int32_t> targets_;
  std::vector<int32_t> rule_starts_;
  int32_t root_ = 0;
  std::array<uint8_t, 256> class_of_{};
  size_t classes_ = 0;

  // Frame 0 is the bottom: behind it the text ends. Frame 1 is a caller that is not looked at.
  static constexpr int32_t kAnyCaller = 1;
  std::vector<Frame> frames_;
  std::unordered_map<uint64_t, int32_t> frame_index_;
  std::vector<StateEntry> states_;
  std::vector<Place> places_;
  std::vector<State> rows_;  // [states, classes]
  std::unordered_map<uint64_t, State> state_index_;
  uint64_t work_ = 0;
  int64_t epoch_ = 0;
  // Scratch.
  std::vector<Place> kernel_, closed_, open_, by_frame_;
  std::vector<Inside> insides_;
  std::vector<uint64_t> seen_;
};

}  // namespace minke
