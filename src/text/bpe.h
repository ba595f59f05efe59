// Byte-level byte-pair encoding of one word: bytes become tokens, tokens are merged by rank.
// Internal to src/text. Immutable but for a memo that any thread may fill, so encode is safe from
// several threads with a MergeScratch each.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/bpe_merge.h"
#include "text/tokenizer_table.h"

namespace minke {

// GPT-2's way of writing bytes as printable characters ("Ġ" for a space), undone. Nothing when the
// text has a character that stands for no byte.
std::optional<std::string> bytes_of_gpt2_text(std::string_view text);
std::string gpt2_text_of_bytes(std::string_view bytes);

class BytePairEncoder {
 public:
  struct Options {
    std::span<const std::string> texts;   // bytes of every token; outlives the encoder
    std::vector<int32_t> whole_words;     // tokens that a word of text may become
    std::vector<int32_t> merge_only;      // tokens that merges may name besides those
    std::span<const std::string> merges;  // "left right", in GPT-2's writing, by rank
    bool ignores_merges = false;          // a word that is a token is that token
  };

  // A merge of or into a text that is no token at all is an error. A merge that names a token
  // outside whole_words and merge_only (a control token, say) is left out: text must not make
  // those. They are in `others`.
  static Result<BytePairEncoder> create(Options options, const TokenTable& others);

  // Appends the word's tokens. A byte that has no token is left out, as in Hugging Face.
  void encode(std::string_view word, MergeScratch& scratch, std::vector<int32_t>& out) const;

  // The token of the word in whole_words, or -1.
  int32_t find(std::string_view word) const { return words_.find(word); }

 private:
  enum class Memo : uint8_t { kUnknown, kWhole, kParts };
  struct Slot {
    uint64_t pair = ~uint64_t{0};
    MergeRule rule;
  };

  static uint64_t pair_key(int32_t left, int32_t right) {
    return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  }
  void insert_pair(uint64_t pair, MergeRule rule);
  MergeRule find_pair(int32_t left, int32_t right) const;
  void merge_word(std::string_view word, MergeScratch& scratch) const;

  TokenTable words_;
  std::array<int32_t, 256> byte_tokens_{};
  std::vector<Slot> pairs_;
  uint32_t ranks_ = 0;
  bool ignores_merges_ = false;
  // Whether a token's own text merges into that one token; found out when it is first met.
  std::unique_ptr<std::atomic<Memo>[]> memo_;
};

}  // namespace minke
