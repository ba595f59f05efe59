// mask_bench MODEL: what it costs to find the tokens that may come next (src/text/token_masks.h),
// for the vocabulary of a model file or folder: schemas of several kinds, each with an answer that
// is read token by token as the model's own tokenizer writes it. Cold: nothing is known of the
// grammar, as in the first answer under a schema. Warm: the same answer again.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/gguf_tokenizer.h"
#include "models/hf_folder.h"
#include "models/hf_tokenizer.h"
#include "text/grammar_automaton.h"
#include "text/grammar_json.h"
#include "text/grammar_regex.h"
#include "text/grammar_schema.h"
#include "text/token_masks.h"
#include "text/token_trie.h"
#include "text/tokenizer.h"

namespace minke {
namespace {

using Clock = std::chrono::steady_clock;

double since_us(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

struct Sample {
  std::string_view name;
  Result<Grammar> (*grammar)();
  std::string answer;
};

std::string sentence(int words) {
  constexpr std::string_view kWords[] = {"The ",      "whale ", "surfaced ", "near ",  "Über",
                                         "raschung ", "漢字",   "the ",      "boat, ", "and "};
  std::string out;
  for (int i = 0; i < words; ++i) out += kWords[static_cast<size_t>(i * 7 + i / 3) % 10];
  return out;
}

std::vector<Sample> samples() {
  const std::string words = sentence(40);
  std::string people = "[";
  for (int i = 0; i < 8; ++i) {
    people += fmt::format(
        "{}\n  {{\"name\": \"{}\", \"age\": {}, \"email\": \"a{}@example.org\", "
        "\"tags\": [\"x\", \"long tail\"], \"active\": true}}",
        i == 0 ? "" : ",", sentence(4), 20 + i, i);
  }
  people += "\n]";
  return {
      {"any object", [] { return Result<Grammar>(json_object_grammar()); },
       "{\n  \"title\": \"" + words +
           "\",\n  \"n\": [1, -2.5e3, null, true],\n  \"deep\": {\"a\": {\"b\": "
           "[[\"x\"], [\"y\"]]}}\n}"},
      {"people",
       [] {
         return json_schema_grammar(
             R"({"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},
                 "age":{"type":"integer","minimum":0,"maximum":150},
                 "email":{"type":"string","format":"email"},
                 "tags":{"type":"array","items":{"type":"string"},"maxItems":5},
                 "active":{"type":"boolean"}},"required":["name","age"]}})");
       },
       people},
      {"counted strings",
       [] {
         return json_schema_grammar(
             R"({"type":"object","properties":{"summary":{"type":"string","maxLength":500},
                 "title":{"type":"string","minLength":10,"maxLength":80},
                 "code":{"type":"string","pattern":"^[A-Z]{2,4}-[0-9]{3,8}$"}},
                 "required":["summary","title","code"]})");
       },
       "{\"summary\": \"" + words + "\", \"title\": \"" + sentence(6) +
           "\", \"code\": \"AB-12345\"}"},
      {"tree",
       [] {
         return json_schema_grammar(
             R"({"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{
                 "value":{"type":["string","number"]},
                 "children":{"type":"array","items":{"$ref":"#/$defs/node"}}},
                 "required":["value"]}}})");
       },
       R"({"value": "root", "children": [{"value": 1.5, "children": [{"value": "leaf"}]},
 {"value": "second leaf", "children": []}, {"value": -7}]})"},
      {"tool call",
       [] {
         return json_schema_grammar(
             R"({"oneOf":[{"type":"object","properties":{"tool":{"const":"search"},
                 "query":{"type":"string"},"limit":{"type":"integer","minimum":1,"maximum":50}},
                 "required":["tool","query"],"additionalProperties":false},
                 {"type":"object","properties":{"tool":{"const":"open"},"path":{"type":"string"}},
                 "required":["tool","path"],"additionalProperties":false}]})");
       },
       "{\"tool\": \"search\", \"query\": \"" + sentence(8) + "\", \"limit\": 12}"},
      {"regex words", [] { return regex_grammar("(?:[a-z]+ ){5,40}[a-z]+\\."); },
       "the whale surfaced near the boat and nobody said a word about it to anyone at home."},
  };
}

struct Times {
  std::vector<double> us;
  void print(std::string_view what) {
    std::ranges::sort(us);
    double sum = 0;
    for (const double one : us) sum += one;
    const auto at = [&](double share) {
      return us[static_cast<size_t>(share * static_cast<double>(us.size() - 1))];
    };
    fmt::print(
        "{:<24} {:>5} tokens  mean {:>7.1f}  median {:>7.1f}  p99 {:>7.1f}  worst {:>7.1f} us\n",
        what, us.size(), sum / static_cast<double>(us.size()), at(0.5), at(0.99), us.back());
  }
};

Status measure(const Sample& sample, const Tokenizer& tokenizer,
               const std::shared_ptr<const TokenTrie>& trie, Times& all_cold, Times& all_warm) {
  const Clock::time_point begin = Clock::now();
  MINKE_ASSIGN(const Grammar grammar, sample.grammar());
  MINKE_ASSIGN(GrammarAutomaton automaton, GrammarAutomaton::create(grammar, 0));
  const double compile_us = since_us(begin);
  TokenMasks masks(std::move(automaton), trie);
  for (const bool is_warm : {false, true}) {
    GrammarMatcher matcher(masks, 0);
    Times times;
    for (const int32_t token : tokenizer.encode(sample.answer, SpecialText::kAsText)) {
      const Clock::time_point start = Clock::now();
      MINKE_ASSIGN(const TokenMask* mask, matcher.mask());
      times.us.push_back(since_us(start));
      if (!mask->allows(token) || !matcher.take(tokenizer.piece(token))) {
        return fail(
            fmt::format("{}: the grammar does not take '{}'", sample.name, tokenizer.piece(token)));
      }
    }
    if (!matcher.may_end()) return fail(fmt::format("{}: may not end", sample.name));
    Times& all = is_warm ? all_warm : all_cold;
    all.us.insert(all.us.end(), times.us.begin(), times.us.end());
    times.print(fmt::format("{}{}", sample.name, is_warm ? ", warm" : ""));
  }
  fmt::print("{:<24} compiled in {:.0f} us; states take {} KB\n", "", compile_us,
             masks.automaton().memory_bytes() / 1024);
  return {};
}

Status run(const std::string& model) {
  MINKE_ASSIGN(TokenizerSpec spec, read_hf_tokenizer(model));
  MINKE_ASSIGN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::create(std::move(spec)));
  const Clock::time_point begin = Clock::now();
  std::vector<std::string_view> pieces;
  for (int32_t id = 0; id < tokenizer->vocab_size(); ++id) pieces.push_back(tokenizer->piece(id));
  const auto trie = std::make_shared<const TokenTrie>(pieces);
  fmt::print("{} tokens; tree of {} nodes ({} that are not plain) in {:.1f} ms\n",
             tokenizer->vocab_size(), trie->all().nodes.size(), trie->not_plain().nodes.size(),
             since_us(begin) / 1000);
  Times cold;
  Times warm;
  for (const Sample& sample : samples()) {
    MINKE_TRY(measure(sample, *tokenizer, trie, cold, warm));
  }
  cold.print("all");
  warm.print("all, warm");
  return {};
}

}  // namespace
}  // namespace minke

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "usage: mask_bench FOLDER\n");
    return 2;
  }
  const minke::Status status = minke::run(argv[1]);
  if (!status) fmt::print(stderr, "mask_bench: {}\n", status.error().message);
  return status ? 0 : 1;
}
