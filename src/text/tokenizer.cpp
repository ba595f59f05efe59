#include "text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>

#include "text/bpe.h"
#include "text/pre_tokenizer.h"
#include "text/spm.h"
#include "text/tokenizer_specials.h"
#include "text/tokenizer_table.h"
#include "text/unicode.h"

namespace minke {

struct Tokenizer::Impl {
  const PreTokenizer* pre = nullptr;  // with bpe
  bool nfc = false;                   // with bpe: texts are put into NFC first
  std::optional<BytePairEncoder> bpe;
  std::optional<SentencePieceEncoder> spm;
  bool space_prefix = false;       // with spm
  TokenTable others;               // the tokens that plain text cannot become, special ones first
  SpecialMatcher matched_always;   // user-defined tokens
  SpecialMatcher matched_parsing;  // and control tokens

  static Result<std::unique_ptr<Tokenizer>> create(TokenizerSpec spec);
  static Status read_tokens(Tokenizer& t, TokenizerSpec& spec);
  static Status read_special_ids(Tokenizer& t, const TokenizerSpec& spec);
  static void index_special_tokens(Tokenizer& t);
  static Status create_bpe(Tokenizer& t, const TokenizerSpec& spec);
  static Status create_spm(Tokenizer& t, const TokenizerSpec& spec);
};

namespace {

constexpr std::string_view kSpmSpace = "\xE2\x96\x81";  // U+2581

constexpr std::array<std::string_view, 10> kEndNames = {
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>",    "<|end_of_text|>",       "<|endoftext|>",
    "<|EOT|>",    "</s>",       "<end_of_turn>", "<｜end▁of▁sentence｜>", "<eos>"};

bool starts_and_ends(std::string_view text, std::string_view start, std::string_view end) {
  return text.size() > start.size() + end.size() && text.starts_with(start) && text.ends_with(end);
}

bool is_written_like_control(std::string_view text) {
  return starts_and_ends(text, "<|", "|>") || starts_and_ends(text, "<｜", "｜>");
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string_view::npos;) {
    out += text.substr(at, found - at);
    out += to;
    at = found + from.size();
  }
  out += text.substr(at);
  return out;
}

// "<0x0A>", as byte tokens are written.
std::optional<char> byte_of_hex_text(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  uint8_t byte = 0;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
  if (error != std::errc{} || end != text.data() + 5) return std::nullopt;
  return static_cast<char>(byte);
}

}  // namespace

Tokenizer::Tokenizer() = default;
Tokenizer::~Tokenizer() = default;

// Token types, and the bytes that each token stands for.
Status Tokenizer::Impl::read_tokens(Tokenizer& t, TokenizerSpec& spec) {
  const size_t count = spec.tokens.size();
  if (count == 0) return fail("the tokenizer has no tokens (tokenizer.ggml.tokens is empty)");
  if (count > static_cast<size_t>(std::numeric_limits<int32_t>::max()))
    return fail(fmt::format("the tokenizer has {} tokens; ids have 31 bits", count));
  if (!spec.types.empty() && spec.types.size() != count) {
    return fail(fmt::format("the tokenizer has {} tokens but {} token types; expected one each",
                            count, spec.types.size()));
  }
  const bool is_spm = spec.model == "llama";
  t.types_.assign(count, TokenType::kNormal);
  for (size_t i = 0; i < spec.types.size(); ++i) {
    const int32_t type = spec.types[i];
    // 0 is GGUF's "undefined", which files use for plain tokens.
    if (type < 0 || type > 6) {
      return fail(fmt::format("token {} of the tokenizer has type {}; expected 0 to 6", i, type));
    }
    if (type != 0) t.types_[i] = static_cast<TokenType>(type);
  }
  if (spec.types.empty()) {
    for (size_t i = 0; is_spm && i < count; ++i)
      if (byte_of_hex_text(spec.tokens[i])) t.types_[i] = TokenType::kByte;
    // Without types, what the file names as special is all that is known to be.
    for (const auto& id : {spec.bos, spec.eos, spec.eot, spec.eom, spec.pad})
      if (id && *id >= 0 && static_cast<size_t>(*id) < count)
        t.types_[static_cast<size_t>(*id)] = TokenType::kControl;
  }
  t.texts_ = std::move(spec.tokens);
  for (size_t i = 0; i < count; ++i) {
    std::string& text = t.texts_[i];
    const TokenType type = t.types_[i];
    if (type == TokenType::kByte) {
      const auto byte = byte_of_hex_text(text);
      if (byte) text.assign(1, *byte);
    } else if (is_spm && (type == TokenType::kNormal || type == TokenType::kUserDefined)) {
      text = replace_all(text, kSpmSpace, " ");
    }
    // Special tokens of a byte-level vocabulary are written plainly, the others byte by byte.
    const bool is_bytes = !is_spm && (type == TokenType::kNormal || type == TokenType::kByte);
    if (!is_bytes) continue;
    if (auto bytes = bytes_of_gpt2_text(text)) text = *std::move(bytes);
  }
  return {};
}

Status Tokenizer::Impl::read_special_ids(Tokenizer& t, const TokenizerSpec& spec) {
  const std::array<std::pair<std::string_view, std::optional<int32_t>>, 6> ids = {
      {{"bos", spec.bos},
       {"eos", spec.eos},
       {"eot", spec.eot},
       {"eom", spec.eom},
       {"unknown", spec.unk},
       {"padding", spec.pad}}};
  for (const auto& [name, id] : ids) {
    if (id && (*id < 0 || *id >= t.vocab_size())) {
      return fail(
          fmt::format("the tokenizer's {} token has the id {}, but its tokens go from 0 to "
                      "{}",
                      name, *id, t.vocab_size() - 1));
    }
  }
  t.bos_ = spec.bos;
  t.eos_ = spec.eos;
  t.pad_ = spec.pad;
  t.unk_ = spec.unk;
  if (spec.add_bos.value_or(false) && !spec.bos) {
    return fail(
        "the tokenizer asks for a BOS token in front of texts (add_bos_token) but names "
        "none (bos_token_id)");
  }
  if (spec.add_eos.value_or(false) && !spec.eos) {
    return fail(
        "the tokenizer asks for an EOS token behind texts (add_eos_token) but names none "
        "(eos_token_id)");
  }
  t.ends_generation_.assign(t.texts_.size(), false);
  for (const auto& id : {spec.eos, spec.eot, spec.eom})
    if (id) t.ends_generation_[static_cast<size_t>(*id)] = true;
  t.is_control_.assign(t.texts_.size(), false);
  for (size_t i = 0; i < t.texts_.size(); ++i) {
    const TokenType type = t.types_[i];
    const std::string& text = t.texts_[i];
    t.is_control_[i] = type == TokenType::kControl || type == TokenType::kUnknown ||
                       (type == TokenType::kUserDefined && is_written_like_control(text));
    if ((type == TokenType::kControl || type == TokenType::kUserDefined) &&
        std::find(kEndNames.begin(), kEndNames.end(), text) != kEndNames.end()) {
      t.ends_generation_[i] = true;
    }
  }
  return {};
}

void Tokenizer::Impl::index_special_tokens(Tokenizer& t) {
  std::vector<int32_t> plain, special, rest;
  for (int32_t id = 0; id < t.vocab_size(); ++id) {
    const TokenType type = t.type(id);
    if (t.is_control(id) || type == TokenType::kUserDefined) {
      special.push_back(id);
      if (!t.is_control(id)) plain.push_back(id);
    } else if (type == TokenType::kUnused) {
      rest.push_back(id);
    }
  }
  t.impl_->others = TokenTable(t.texts_, special.size() + rest.size());
  for (const auto* ids : {&special, &rest})
    for (const int32_t id : *ids) t.impl_->others.insert(id);
  t.impl_->matched_always = SpecialMatcher(t.texts_, plain);
  t.impl_->matched_parsing = SpecialMatcher(t.texts_, special);
}

Status Tokenizer::Impl::create_bpe(Tokenizer& t, const TokenizerSpec& spec) {
  MINKE_ASSIGN(t.impl_->pre, find_pre_tokenizer(spec.pre.empty() ? "default" : spec.pre));
  t.impl_->nfc = spec.nfc.value_or(t.impl_->pre->normalizes_nfc);
  BytePairEncoder::Options options{.texts = t.texts_,
                                   .whole_words = {},
                                   .merge_only = {},
                                   .merges = spec.merges,
                                   .ignores_merges = t.impl_->pre->ignores_merges};
  for (int32_t id = 0; id < t.vocab_size(); ++id) {
    const TokenType type = t.type(id);
    if (type == TokenType::kNormal || type == TokenType::kByte) options.whole_words.push_back(id);
    if (type == TokenType::kUserDefined && !t.is_control(id)) options.merge_only.push_back(id);
  }
  MINKE_ASSIGN(t.impl_->bpe, BytePairEncoder::create(std::move(options), t.impl_->others));
  t.adds_bos_ = spec.add_bos.value_or(t.impl_->pre->adds_bos && spec.bos);
  return {};
}

Status Tokenizer::Impl::create_spm(Tokenizer& t, const TokenizerSpec& spec) {
  if (spec.scores.size() != t.texts_.size()) {
    return fail(
        fmt::format("the tokenizer ('llama') has {} tokens but {} scores; expected one "
                    "each (tokenizer.ggml.scores)",
                    t.texts_.size(), spec.scores.size()));
  }
  SentencePieceEncoder::Options options{.texts = t.texts_,
                                        .scores = spec.scores,
                                        .words = {},
                                        .byte_tokens = {},
                                        .unknown = spec.unk};
  options.byte_tokens.fill(-1);
  for (int32_t id = 0; id < t.vocab_size(); ++id) {
    const std::string& text = t.texts_[static_cast<size_t>(id)];
    const TokenType type = t.type(id);
    if (type == TokenType::kNormal) options.words.push_back(id);
    if (type == TokenType::kByte && text.size() == 1)
      options.byte_tokens[static_cast<uint8_t>(text[0])] = id;
    if (type == TokenType::kUnknown && !options.unknown) options.unknown = id;
  }
  MINKE_ASSIGN(t.impl_->spm, SentencePieceEncoder::create(std::move(options)));
  t.impl_->space_prefix = spec.add_space_prefix.value_or(true);
  t.adds_bos_ = spec.add_bos.value_or(spec.bos.has_value());
  return {};
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::Impl::create(TokenizerSpec spec) {
  if (spec.model != "gpt2" && spec.model != "llama") {
    return fail(
        fmt::format("the tokenizer is of the kind '{}' (tokenizer.ggml.model); minke knows "
                    "'gpt2' (byte-level BPE) and 'llama' (SentencePiece)",
                    std::string_view(spec.model).substr(0, 100)));
  }
  std::unique_ptr<Tokenizer> t(new Tokenizer);
  t->impl_ = std::make_unique<Impl>();
  MINKE_TRY(read_tokens(*t, spec));
  MINKE_TRY(read_special_ids(*t, spec));
  index_special_tokens(*t);
  MINKE_TRY(spec.model == "gpt2" ? create_bpe(*t, spec) : create_spm(*t, spec));
  return t;
}

Result<std::unique_ptr<Tokenizer>> Tokenizer::create(TokenizerSpec spec) {
  return Impl::create(std::move(spec));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, SpecialText special,
                                       std::string* left_out) const {
  std::vector<int32_t> out;
  MergeScratch scratch;
  scratch.left_out = left_out;
  const auto encode_plain = [&](std::string_view part) {
    if (part.empty()) return;
    if (impl_->spm) {
      // Each stretch between special tokens starts anew, space and all, as in the Llama 2
      // tokenizer and in llama.cpp.
      std::string spaced = impl_->space_prefix ? " " : "";
      spaced += replace_all(part, kSpmSpace, " ");
      impl_->spm->encode(spaced, scratch, out);
      return;
    }
    std::string normalized;
    // NFC changes nothing below U+0300, whose first byte is 0xCC.
    const auto may_change = [](char c) { return static_cast<uint8_t>(c) >= 0xCC; };
    if (impl_->nfc && std::any_of(part.begin(), part.end(), may_change)) {
      normalized = to_nfc(part);
      part = normalized;
    }
    impl_->pre->split(part, [&](std::string_view word) { impl_->bpe->encode(word, scratch, out); });
  };

  const SpecialMatcher& matcher =
      special == SpecialText::kParse ? impl_->matched_parsing : impl_->matched_always;
  size_t at = 0;
  for (const SpecialMatch& match : matcher.find(text)) {
    encode_plain(text.substr(at, match.begin - at));
    out.push_back(match.token);
    at = match.end;
  }
  encode_plain(text.substr(at));
  return out;
}

std::vector<int32_t> Tokenizer::encode_with_bos(std::string_view text, SpecialText special,
                                                std::string* left_out) const {
  std::vector<int32_t> ids = encode(text, special, left_out);
  // A template may have written BOS already; two of them confuse models.
  if (adds_bos_ && bos_ && (ids.empty() || ids.front() != *bos_)) ids.insert(ids.begin(), *bos_);
  return ids;
}

std::vector<Tokenizer::ControlMatch> Tokenizer::find_control(std::string_view text) const {
  std::vector<ControlMatch> found;
  for (const SpecialMatch& match : impl_->matched_parsing.find(text)) {
    if (is_control(match.token)) found.push_back({match.begin, match.end, match.token});
  }
  return found;
}

TokenType Tokenizer::type(int32_t id) const {
  return id >= 0 && id < vocab_size() ? types_[static_cast<size_t>(id)] : TokenType::kUnused;
}

bool Tokenizer::is_control(int32_t id) const {
  return id >= 0 && id < vocab_size() && is_control_[static_cast<size_t>(id)];
}

bool Tokenizer::is_end_of_generation(int32_t id) const {
  return id >= 0 && id < vocab_size() && ends_generation_[static_cast<size_t>(id)];
}

std::string_view Tokenizer::piece(int32_t id, bool show_control) const {
  if (id < 0 || id >= vocab_size()) return {};
  const auto index = static_cast<size_t>(id);
  const bool is_hidden = is_control_[index] || types_[index] == TokenType::kUnused;
  return is_hidden && !show_control ? std::string_view() : std::string_view(texts_[index]);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, DecodeOptions options) const {
  std::string out;
  bool strip = options.strip_space_prefix && impl_->spm && impl_->space_prefix;
  for (const int32_t id : ids) {
    std::string_view text = piece(id, options.show_control);
    if (text.empty()) continue;
    if (strip && text[0] == ' ' && type(id) == TokenType::kNormal) text.remove_prefix(1);
    strip = false;
    out += text;
  }
  return out;
}

std::optional<int32_t> Tokenizer::find(std::string_view text) const {
  int32_t id = impl_->others.find(text);
  if (id < 0 || type(id) == TokenType::kUnused) {
    const int32_t word = impl_->bpe ? impl_->bpe->find(text) : impl_->spm->find(text);
    if (word >= 0) id = word;
  }
  return id >= 0 ? std::optional(id) : std::nullopt;
}

std::string Tokenizer::description() const {
  return impl_->pre ? fmt::format("gpt2 with the pre-tokenizer {}", impl_->pre->name) : "llama";
}

}  // namespace minke
