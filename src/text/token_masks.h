// Which tokens may come next under a grammar, for a vocabulary: the tokens all of whose bytes the
// grammar allows behind the text so far. Found once for each state of the automaton.
//
// The specification is the plain one: a token is allowed exactly when GrammarAutomaton::next over
// its bytes never comes to kDead. token_masks_test.cpp holds it to that.
//
// Owned by one thread at a time; the trie may be shared.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/result.h"
#include "text/grammar_automaton.h"
#include "text/token_trie.h"

namespace minke {

// A set of tokens: those of `base`, and those of `tokens`.
struct TokenMask {
  std::span<const uint64_t> base;  // a bit a token; may be empty
  std::vector<int32_t> tokens;     // in no order, none twice, none that is in base
  bool may_end = false;            // the text may end here
  bool empty() const { return base.empty() && tokens.empty(); }
  bool allows(int32_t token) const;

  std::vector<uint64_t> own;  // what base may point to
};

class TokenMasks {
 public:
  TokenMasks(GrammarAutomaton automaton, std::shared_ptr<const TokenTrie> trie)
      : automaton_(std::move(automaton)), trie_(std::move(trie)) {}
  TokenMasks(const TokenMasks&) = delete;
  TokenMasks& operator=(const TokenMasks&) = delete;

  GrammarAutomaton& automaton() { return automaton_; }
  const TokenTrie& trie() const { return *trie_; }
  // Valid until the next call. Fails when there is too much to look at: a grammar that can be read
  // in very many ways.
  Result<const TokenMask*> mask(GrammarAutomaton::State state);
  // What is found out is forgotten when it has grown too large: then all states are void
  // (GrammarAutomaton::epoch), and who holds one reads its text again. Called before mask().
  void make_room();

 private:
  using State = GrammarAutomaton::State;
  // How far plain characters lead from a state, all to the same place.
  struct PlainRun {
    int characters = 0;   // kPlainMax at most
    bool is_all = false;  // no plain characters can follow behind them that are not counted
  };
  // What follows below a node of the tree from a state that is seen from inside its rule: the
  // tokens that stay inside, and the nodes at which the rule may end. Found once for all callers.
  struct Piece {
    std::vector<uint64_t> bits;   // of many tokens
    std::vector<int32_t> tokens;  // or few
    std::vector<uint32_t> exits;
    int height = 0;  // of the tallest stack on the way
  };
  PlainRun plain_run(State state);
  // Adds to bits_ the tokens below `node` (kRoot: all) that `state` allows.
  void collect(const TokenTrie::Tree& tree, uint32_t node, State state);
  bool collect_pieces(uint32_t node, State state);
  const Piece& piece(uint32_t node, State inside);
  template <typename Visit>
  void walk(const TokenTrie::Tree& tree, uint32_t node, State state, Visit visit);

  GrammarAutomaton automaton_;
  std::shared_ptr<const TokenTrie> trie_;
  std::unordered_map<State, TokenMask> masks_;
  std::unordered_map<uint64_t, Piece> pieces_;  // by node and state; of the tree of all tokens
  size_t bytes_ = 0;                            // of masks_ and pieces_
  uint64_t work_max_ = 0;                       // for this mask
  bool is_too_much_ = false;
  std::vector<uint64_t> bits_;  // the mask that is being made
};

// A text under a grammar, token by token. Several may share one TokenMasks, on one thread.
class GrammarMatcher {
 public:
  // From the beginning of `rule`. `masks` outlives the matcher.
  GrammarMatcher(TokenMasks& masks, Grammar::Rule rule)
      : masks_(masks),
        rule_(rule),
        state_(masks.automaton().start(rule)),
        epoch_(masks.automaton().epoch()) {}

  Result<const TokenMask*> mask();
  // False, and nothing has changed, when the grammar does not allow them here.
  bool take(std::string_view bytes);
  bool allows(std::string_view bytes);
  bool may_end();

 private:
  GrammarAutomaton::State state();
  GrammarAutomaton::State after(std::string_view bytes);

  TokenMasks& masks_;
  Grammar::Rule rule_;
  GrammarAutomaton::State state_;
  int64_t epoch_;
  std::string text_;
};

}  // namespace minke
