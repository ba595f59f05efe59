#include "text/bpe.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "text/unicode.h"

namespace minke {
namespace {

// GPT-2 writes a printable byte of Latin-1 as itself and the other 68 as U+0100 onwards, in order.
constexpr uint32_t kGpt2Codes = 0x100 + 68;

constexpr bool is_written_as_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr std::array<int16_t, kGpt2Codes> gpt2_byte_of_code() {
  std::array<int16_t, kGpt2Codes> bytes{};
  uint32_t next = 0x100;
  for (auto& byte : bytes) byte = -1;
  for (uint32_t byte = 0; byte < 256; ++byte)
    bytes[is_written_as_itself(byte) ? byte : next++] = static_cast<int16_t>(byte);
  return bytes;
}
constexpr auto kGpt2ByteOfCode = gpt2_byte_of_code();

// For messages: a token's text may hold anything and be of any length.
std::string shown(std::string_view text) {
  return fmt::format("'{}'{}", text.substr(0, 60), text.size() > 60 ? "..." : "");
}

}  // namespace

std::optional<std::string> bytes_of_gpt2_text(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Glyph glyph = decode_utf8(text, i);
    if (glyph.code >= kGpt2Codes || kGpt2ByteOfCode[glyph.code] < 0) return std::nullopt;
    bytes += static_cast<char>(kGpt2ByteOfCode[glyph.code]);
    i += glyph.length;
  }
  return bytes;
}

std::string gpt2_text_of_bytes(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const auto code = std::ranges::find(kGpt2ByteOfCode, static_cast<uint8_t>(c));
    append_utf8(text, static_cast<uint32_t>(code - kGpt2ByteOfCode.begin()));
  }
  return text;
}

Result<BytePairEncoder> BytePairEncoder::create(Options options, const TokenTable& others) {
  BytePairEncoder encoder;
  encoder.ignores_merges_ = options.ignores_merges;
  encoder.words_ = TokenTable(options.texts, options.whole_words.size());
  for (const int32_t id : options.whole_words) encoder.words_.insert(id);
  TokenTable extra(options.texts, options.merge_only.size());
  for (const int32_t id : options.merge_only) extra.insert(id);
  encoder.memo_ = std::make_unique<std::atomic<Memo>[]>(options.texts.size());

  bool any_byte = false;
  for (size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    encoder.byte_tokens_[byte] = encoder.words_.find({&c, 1});
    any_byte |= encoder.byte_tokens_[byte] >= 0;
  }
  if (!any_byte) {
    return fail(
        "the tokenizer is byte-level ('gpt2') but none of its tokens stands for a single "
        "byte; its token list is damaged");
  }

  const auto find = [&](std::string_view text) {
    const int32_t word = encoder.words_.find(text);
    return word >= 0 ? word : extra.find(text);
  };
  encoder.pairs_.resize(table_slots(options.merges.size()));
  encoder.ranks_ = static_cast<uint32_t>(options.merges.size());
  for (size_t rank = 0; rank < options.merges.size(); ++rank) {
    const std::string& merge = options.merges[rank];
    const size_t space = merge.find(' ', 1);
    if (space == std::string::npos || space + 1 >= merge.size()) {
      return fail(
          fmt::format("merge {} of the tokenizer is {}; expected two tokens with a space "
                      "between them",
                      rank, shown(merge)));
    }
    const auto bytes_or_text = [](std::string_view text) {
      return bytes_of_gpt2_text(text).value_or(std::string(text));
    };
    const std::string left = bytes_or_text(std::string_view(merge).substr(0, space));
    const std::string right = bytes_or_text(std::string_view(merge).substr(space + 1));
    const std::string joined = left + right;
    const std::array<const std::string*, 3> texts = {&left, &right, &joined};
    std::array<int32_t, 3> ids{};
    for (size_t i = 0; i < 3; ++i) {
      ids[i] = find(*texts[i]);
      if (ids[i] >= 0 || others.find(*texts[i]) >= 0) continue;
      return fail(
          fmt::format("merge {} of the tokenizer ({}) needs the token {}, which is not among its "
                      "tokens; the file's merges and tokens do not belong together",
                      rank, shown(merge), shown(*texts[i])));
    }
    if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0) continue;
    encoder.insert_pair(pair_key(ids[0], ids[1]),
                        {.rank = static_cast<uint32_t>(rank), .token = ids[2]});
  }
  return encoder;
}

// The first of two merges of one pair stays: it has the lower rank.
void BytePairEncoder::insert_pair(uint64_t pair, MergeRule rule) {
  size_t at = hash_u64(pair) & (pairs_.size() - 1);
  while (pairs_[at].rule.token >= 0) {
    if (pairs_[at].pair == pair) return;
    at = (at + 1) & (pairs_.size() - 1);
  }
  pairs_[at] = {.pair = pair, .rule = rule};
}

MergeRule BytePairEncoder::find_pair(int32_t left, int32_t right) const {
  const uint64_t pair = pair_key(left, right);
  size_t at = hash_u64(pair) & (pairs_.size() - 1);
  while (pairs_[at].rule.token >= 0) {
    if (pairs_[at].pair == pair) return pairs_[at].rule;
    at = (at + 1) & (pairs_.size() - 1);
  }
  return {};
}

void BytePairEncoder::merge_word(std::string_view word, MergeScratch& scratch) const {
  scratch.symbols.clear();
  for (size_t i = 0; i < word.size(); ++i) {
    const int32_t token = byte_tokens_[static_cast<uint8_t>(word[i])];
    if (token >= 0) {
      scratch.symbols.push_back({.token = token, .begin = static_cast<uint32_t>(i)});
    } else if (scratch.left_out != nullptr) {
      *scratch.left_out += word[i];
    }
  }
  scratch.merge(
      static_cast<uint32_t>(word.size()), ranks_,
      [this](int32_t left, int32_t right, uint32_t, uint32_t) { return find_pair(left, right); });
}

void BytePairEncoder::encode(std::string_view word, MergeScratch& scratch,
                             std::vector<int32_t>& out) const {
  // Places in a row are 32-bit numbers. A single word of a GiB is cut, wherever that falls.
  constexpr size_t kWordBytesMax = size_t{1} << 30;
  while (word.size() > kWordBytesMax) {
    encode(word.substr(0, kWordBytesMax), scratch, out);
    word.remove_prefix(kWordBytesMax);
  }
  if (word.size() == 1) {
    const int32_t token = byte_tokens_[static_cast<uint8_t>(word[0])];
    if (token >= 0) {
      out.push_back(token);
    } else if (scratch.left_out != nullptr) {
      *scratch.left_out += word;
    }
    return;
  }
  // Most words of most texts are one token, which is cheaper to look up than to merge. The merges
  // decide all the same, once a token.
  const int32_t whole = words_.find(word);
  std::atomic<Memo>* memo = whole >= 0 ? &memo_[static_cast<size_t>(whole)] : nullptr;
  if (memo && (ignores_merges_ || memo->load(std::memory_order_relaxed) == Memo::kWhole)) {
    out.push_back(whole);
    return;
  }
  merge_word(word, scratch);
  if (memo) {
    const bool is_whole = scratch.symbols.size() == 1 && scratch.symbols[0].token == whole;
    memo->store(is_whole ? Memo::kWhole : Memo::kParts, std::memory_order_relaxed);
  }
  for (const MergeSymbol& symbol : scratch.symbols) out.push_back(symbol.token);
}

}  // namespace minke
