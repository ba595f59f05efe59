// Grammar: what texts are allowed, as rules over bytes.
//
// The regular expressions of grammar_regex.h and the JSON schemas of grammar_schema.h are written
// into one of these, and GrammarAutomaton runs it. A rule is an expression; expressions are ranges
// of bytes or characters, sequences, choices, repetitions and references to rules, recursive ones
// included. Texts are bytes: a character stands for its UTF-8.
//
// Building never fails by itself: what is too large or cannot be (a rule that calls itself before
// it consumes anything) is an error of GrammarAutomaton::create. Plain values, no threads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace minke {

// A set of Unicode code points: ranges, ascending, neither touching nor overlapping. Surrogates are
// never in it, since they have no UTF-8.
class CharSet {
 public:
  struct Range {
    uint32_t low = 0;
    uint32_t high = 0;  // included
    friend bool operator==(const Range&, const Range&) = default;
  };
  static constexpr uint32_t kLast = 0x10FFFF;

  CharSet() = default;
  CharSet(std::initializer_list<Range> ranges);
  static CharSet all();

  void add(uint32_t low, uint32_t high);
  void add(const CharSet& other);
  CharSet complement() const;
  CharSet intersection(const CharSet& other) const;
  bool contains(uint32_t code) const;
  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& ranges() const { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

class Grammar {
 public:
  using Expr = int32_t;
  using Rule = int32_t;
  static constexpr int kUnbounded = -1;

  enum class Kind : uint8_t {
    kNothing,     // no text at all, not even the empty one
    kLiteral,     // the bytes of `text`
    kCharacters,  // one character of a set
    kSequence,
    kChoice,
    kRepeat,
    kReference
  };
  struct Node {
    Kind kind = Kind::kNothing;
    int32_t first = 0;        // kLiteral, kCharacters: index; kRepeat: expression; kReference: rule
    int min = 0;              // kRepeat
    int max = 0;              // likewise; kUnbounded
    std::vector<Expr> parts;  // kSequence, kChoice
    int64_t size = 1;         // an estimate of the states it takes
  };

  Expr nothing() { return add({.kind = Kind::kNothing}); }
  Expr empty() { return literal(""); }
  Expr literal(std::string_view bytes);
  Expr characters(CharSet set);
  Expr sequence(std::vector<Expr> parts);
  Expr choice(std::vector<Expr> parts);
  // A large part that is counted becomes a rule, so that nested counts add up and never multiply.
  Expr repeat(Expr part, int min, int max);
  Expr optional(Expr part) { return repeat(part, 0, 1); }
  Expr reference(Rule rule) { return add({.kind = Kind::kReference, .first = rule}); }

  // `name` is for errors. A rule that is never defined has no texts.
  Rule add_rule(std::string name);
  Rule add_rule(std::string name, Expr expr);
  // All of another grammar; its rule 0 is then the rule returned.
  Rule add_grammar(const Grammar& other);
  void define(Rule rule, Expr expr) { rules_[static_cast<size_t>(rule)].expr = expr; }

  const Node& node(Expr expr) const { return nodes_[static_cast<size_t>(expr)]; }
  const std::string& text(const Node& literal) const {
    return literals_[static_cast<size_t>(literal.first)];
  }
  const CharSet& set(const Node& characters) const {
    return sets_[static_cast<size_t>(characters.first)];
  }
  int32_t rules() const { return static_cast<int32_t>(rules_.size()); }
  Expr definition(Rule rule) const { return rules_[static_cast<size_t>(rule)].expr; }
  const std::string& name(Rule rule) const { return rules_[static_cast<size_t>(rule)].name; }
  size_t expressions() const { return nodes_.size(); }

 private:
  struct RuleEntry {
    std::string name;
    Expr expr = -1;
  };
  Expr add(Node node);

  std::vector<Node> nodes_;
  std::vector<std::string> literals_;
  std::vector<CharSet> sets_;
  std::vector<RuleEntry> rules_;
};

// The UTF-8 of a range of characters, as the fewest sequences of byte ranges: a character is in the
// range exactly when its bytes are in one of them.
struct ByteRange {
  uint8_t low = 0;
  uint8_t high = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};
std::vector<std::vector<ByteRange>> utf8_sequences(CharSet::Range range);

}  // namespace minke
