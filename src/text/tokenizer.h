// Text to tokens and back, as the model's own tokenizer does it.
//
// Two kinds of tokenizer, by GGUF's names: "gpt2" (byte-level byte-pair encoding behind one of the
// pre-tokenizers of pre_tokenizer.h) and "llama" (SentencePiece with scores and byte fallback).
// The specification comes from a model file and is hostile: create() checks it and reports what is
// wrong. Text is hostile too: it may be any bytes of any length, and encoding takes linear time
// (but for a logarithm) and about 40 bytes of memory a byte at worst.
//
// A Tokenizer owns its tables and is immutable, so every function is safe from any thread.
//
// Special tokens in text. Control tokens (type 3, such as <|im_end|>) mean something to the model
// that its users must not be able to say, so they are recognised only with SpecialText::kParse:
// for text that a chat template made, never for what a person typed. User-defined tokens (type 4:
// <think>, <tool_call>, runs of spaces in some code models) are ordinary vocabulary that happens
// to be matched whole before merging; Hugging Face always does so and models saw only that, so
// both modes do. The exception is a token of type 4 that is written like a control token
// (<|...|> or <｜...｜>): some converters leave turn markers such as <｜User｜> at type 4, and
// those count as control tokens here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke {

// GGUF's tokenizer.ggml.token_type.
enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6,
};

struct TokenizerSpec {
  std::string model;                // "gpt2" or "llama"
  std::string pre;                  // for "gpt2"; empty means "default"
  std::vector<std::string> tokens;  // as the file writes them
  std::vector<float> scores;        // one a token, for "llama"; else empty or ignored
  std::vector<int32_t> types;       // one a token, or empty: all normal
  std::vector<std::string> merges;  // for "gpt2": "left right", best first
  std::optional<int32_t> bos, eos, eot, eom, unk, pad;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::optional<bool> nfc;  // whether texts are put into NFC first; else as pre's models do
};

enum class SpecialText { kAsText, kParse };

struct DecodeOptions {
  bool show_control = false;  // control tokens as their names; else they leave no text
  // SentencePiece puts a space before a text and takes it away again from its first word.
  bool strip_space_prefix = true;
};

class Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> create(TokenizerSpec spec);
  ~Tokenizer();

  // The tokens of the text, with neither BOS nor EOS around them. Bytes that are not UTF-8 are
  // kept. A byte for which the vocabulary has no token is left out, as in Hugging Face (SmolLM2
  // lacks the 13 bytes that never occur in UTF-8 and a few rare lead bytes), and is added to
  // `left_out` where that is given.
  std::vector<int32_t> encode(std::string_view text, SpecialText special,
                              std::string* left_out = nullptr) const;
  // The same with BOS in front if the model wants one and the text does not bring it along.
  std::vector<int32_t> encode_with_bos(std::string_view text, SpecialText special,
                                       std::string* left_out = nullptr) const;

  // Where encode(text, kParse) finds control tokens. Between them it reads as kAsText: whoever
  // mixes text that may hold control tokens with text that may not cuts there
  // (engine/chat_prompt.h).
  struct ControlMatch {
    size_t begin = 0;
    size_t end = 0;
    int32_t token = 0;
  };
  std::vector<ControlMatch> find_control(std::string_view text) const;

  bool adds_bos() const { return adds_bos_; }
  std::optional<int32_t> bos() const { return bos_; }
  std::optional<int32_t> eos() const { return eos_; }
  std::optional<int32_t> pad() const { return pad_; }
  std::optional<int32_t> unk() const { return unk_; }

  // What the token adds to a text: its bytes, perhaps part of a character (see Utf8Stream).
  // Control, unknown and unused tokens add nothing unless shown; nor do ids out of range.
  std::string_view piece(int32_t id, bool show_control = false) const;
  std::string decode(std::span<const int32_t> ids, DecodeOptions options = {}) const;

  int32_t vocab_size() const { return static_cast<int32_t>(texts_.size()); }
  TokenType type(int32_t id) const;   // kUnused out of range
  bool is_control(int32_t id) const;  // recognised in text only with SpecialText::kParse
  // EOS, end of turn, end of message, and the control tokens that are known by name to end an
  // answer, whether or not the file says so.
  bool is_end_of_generation(int32_t id) const;
  // The token whose text is exactly this, special tokens first. Byte tokens of SentencePiece are
  // not found this way.
  std::optional<int32_t> find(std::string_view text) const;

  // "gpt2 with the pre-tokenizer qwen2".
  std::string description() const;

 private:
  struct Impl;
  Tokenizer();

  std::vector<std::string> texts_;  // the bytes of each token
  std::vector<TokenType> types_;
  std::vector<bool> is_control_, ends_generation_;
  std::optional<int32_t> bos_, eos_, pad_, unk_;
  bool adds_bos_ = false;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
