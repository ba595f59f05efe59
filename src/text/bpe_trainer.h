// Learns a byte-level BPE vocabulary from texts: the most frequent pair of neighbours becomes a
// token, again and again (Sennrich et al., 2016), inside the words of one of our pre-tokenizers.
//
// Deterministic: of pairs that are equally frequent the one with the smaller ids comes first, as in
// Hugging Face's trainer, whose merges it makes. A merge costs what changes by it, not a pass over
// all words. Memory goes with the number of different words. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/result.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"

namespace minke {

struct BpeTrainerOptions {
  std::string pre = "deepseek-v3";  // text/pre_tokenizer.h
  int64_t size = 0;                 // of the vocabulary, everything counted
  int64_t count_min = 2;            // pairs less frequent become no token
  // Put behind everything else, never made by merging. Those written <|...|> are control tokens,
  // others (<think>) are text that is one token.
  std::vector<std::string> special = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>",
                                      "</think>"};
};

class BpeTrainer {
 public:
  // Fails when the pre-tokenizer is unknown or the size has no room for 256 bytes and the special
  // tokens.
  static Result<BpeTrainer> create(BpeTrainerOptions options);

  // Counts the words of a text. Words do not reach from one text into the next.
  void add(std::string_view text);
  int64_t words_different() const { return static_cast<int64_t>(counts_.size()); }

  // The vocabulary, smaller than asked for where the texts have no more pairs: the 256 bytes,
  // merged tokens in their order, the special ones. <|endoftext|> is the end of a sequence and
  // <|im_end|> that of a turn, where they are among the special ones.
  TokenizerSpec train() const;

 private:
  BpeTrainer(BpeTrainerOptions options, const PreTokenizer* pre)
      : options_(std::move(options)), pre_(pre) {}

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  BpeTrainerOptions options_;
  const PreTokenizer* pre_;
  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> counts_;
};

}  // namespace minke
