// Any bytes as a regular expression or a JSON schema: it is read or refused, quickly; and what is
// read can be gone on with from wherever it leads, and has the masks that its bytes say.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "text/grammar_automaton.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"
#include "text/token_masks.h"
#include "text/token_trie.h"

namespace {

using minke::GrammarAutomaton;

const std::vector<std::string_view>& pieces() {
  static const std::vector<std::string_view> all = {
      "",     "{",     "}",   "[",   "]",    "\"",   ":",  ",",    " ",  "\n",         "a",
      "ab",   "\"a",   "\":", "\",", "\"}",  "0",    "12", "-1",   ".5", "e+1",        "true",
      "null", "false", "\\",  "\\n", "\\u0", "\xC3", "é",  "\xA9", "漢", "\xE6\xBC",   "😀",
      "z",    "aaaa",  "}}",  "]}",  "\n  ", "b",    "c",  "x y",  "\t", "abcdefghij", "\xFF"};
  return all;
}

minke::Result<minke::Grammar> grammar_of(uint8_t kind, std::string_view text) {
  if (kind % 3 == 0) return minke::regex_grammar(text);
  if (kind % 3 == 1) return minke::json_schema_grammar(text);
  minke::Grammar grammar;
  const minke::Grammar::Rule root = grammar.add_rule("root");
  MINKE_ASSIGN(const minke::Regex regex,
               add_regex(grammar, text, {.in_json_string = true, .is_search = true}));
  CHECK(regex.characters_max < 0 || regex.characters_min <= regex.characters_max);
  grammar.define(root, regex.expr);
  return grammar;
}

}  // namespace

// The first byte chooses the reader, the second the way through the grammar.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2 || size > 2048) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 2, size - 2);
  const auto grammar = grammar_of(data[0], text);
  if (!grammar) {
    CHECK(!grammar.error().message.empty());
    return 0;
  }
  minke::Result<GrammarAutomaton> automaton = GrammarAutomaton::create(*grammar, 0);
  if (!automaton || automaton->nodes() > 50'000) return 0;
  static const auto trie = std::make_shared<const minke::TokenTrie>(pieces());
  minke::TokenMasks masks(*std::move(automaton), trie);
  minke::GrammarMatcher matcher(masks, 0);
  uint32_t random = data[1];
  for (int step = 0; step < 24; ++step) {
    const auto mask = matcher.mask();
    if (!mask) return 0;  // too much to look at
    std::vector<std::string_view> allowed;
    for (size_t id = 0; id < pieces().size(); ++id) {
      const bool is_in = !pieces()[id].empty() && matcher.allows(pieces()[id]);
      CHECK_EQ((*mask)->allows(static_cast<int32_t>(id)), is_in);
      if (is_in) allowed.push_back(pieces()[id]);
    }
    CHECK_EQ((*mask)->may_end, matcher.may_end());
    // The pieces lack most characters, so that a way on need not be among them.
    if (allowed.empty()) return 0;
    random = random * 1664525 + 1013904223;
    CHECK(matcher.take(allowed[(random >> 16) % allowed.size()]));
  }
  return 0;
}
