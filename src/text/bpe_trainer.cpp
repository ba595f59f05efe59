#include "text/bpe_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <queue>
#include <tuple>
#include <utility>

#include "text/bpe.h"
#include "text/unicode.h"

namespace minke {
namespace {

struct Word {
  std::vector<int32_t> symbols;
  int64_t count = 0;
};

struct Pair {
  int32_t left = 0;
  int32_t right = 0;
  auto operator<=>(const Pair&) const = default;
};

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64_t both =
        uint64_t{static_cast<uint32_t>(pair.left)} << 32 | static_cast<uint32_t>(pair.right);
    return static_cast<size_t>((both * 0x9e3779b97f4a7c15ULL) >> 20);
  }
};

struct Occurrences {
  int64_t count = 0;
  std::vector<uint32_t> words;  // where it is or was; a word may be there more than once
};

// A pair with the count that it had when it was put into the queue.
struct Candidate {
  int64_t count;
  Pair pair;
  // The most frequent is on top, and of equals the smallest.
  bool operator<(const Candidate& other) const {
    return std::tie(count, other.pair) < std::tie(other.count, pair);
  }
};

// The words as they are merged, with the pairs in them.
class Merging {
 public:
  explicit Merging(std::vector<Word> words) : words_(std::move(words)) {
    for (uint32_t i = 0; i < words_.size(); ++i) {
      const std::vector<int32_t>& symbols = words_[i].symbols;
      for (size_t at = 0; at + 1 < symbols.size(); ++at) {
        change({symbols[at], symbols[at + 1]}, words_[i].count, i);
      }
    }
    for (const auto& [pair, found] : pairs_) queue_.push({found.count, pair});
    grown_.clear();
  }

  // The most frequent pair, if it occurs `count_min` times.
  std::optional<Pair> best(int64_t count_min) {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const auto found = pairs_.find(top.pair);
      const int64_t count = found == pairs_.end() ? 0 : found->second.count;
      if (count < count_min) continue;
      if (count == top.count) return top.pair;
      // Rarer than when it was queued: its turn comes later.
      queue_.push({count, top.pair});
    }
    return std::nullopt;
  }

  void merge(const Pair& pair, int32_t token) {
    const std::vector<uint32_t> where = std::move(pairs_[pair].words);
    for (const uint32_t word : where) merge_word(word, pair, token);
    pairs_.erase(pair);
    std::ranges::sort(grown_);
    const auto same = std::ranges::unique(grown_);
    grown_.erase(same.begin(), same.end());
    for (const Pair& one : grown_) {
      const auto found = pairs_.find(one);
      if (found != pairs_.end()) queue_.push({found->second.count, one});
    }
    grown_.clear();
  }

 private:
  void change(const Pair& pair, int64_t by, uint32_t word) {
    Occurrences& found = pairs_[pair];
    found.count += by;
    if (by < 0) return;
    if (found.words.empty() || found.words.back() != word) found.words.push_back(word);
    if (grown_.empty() || grown_.back() != pair) grown_.push_back(pair);
  }

  // From left to right: of "aaa" the first two.
  void merge_word(uint32_t index, const Pair& pair, int32_t token) {
    std::vector<int32_t>& symbols = words_[index].symbols;
    const int64_t count = words_[index].count;
    size_t kept = 0;
    for (size_t at = 0; at < symbols.size(); ++at) {
      const bool matches =
          symbols[at] == pair.left && at + 1 < symbols.size() && symbols[at + 1] == pair.right;
      if (!matches) {
        symbols[kept++] = symbols[at];
        continue;
      }
      if (kept > 0) {
        change({symbols[kept - 1], pair.left}, -count, index);
        change({symbols[kept - 1], token}, count, index);
      }
      if (at + 2 < symbols.size()) {
        change({pair.right, symbols[at + 2]}, -count, index);
        change({token, symbols[at + 2]}, count, index);
      }
      symbols[kept++] = token;
      ++at;
    }
    symbols.resize(kept);
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, Occurrences, PairHash> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> grown_;  // pairs that became more frequent by the merge under way
};

// The bytes' tokens in the order of the characters that stand for them.
std::array<uint8_t, 256> bytes_in_order() {
  std::array<uint8_t, 256> bytes{};
  for (size_t i = 0; i < 256; ++i) bytes[i] = static_cast<uint8_t>(i);
  std::ranges::sort(bytes, {}, [](uint8_t byte) {
    const char c = static_cast<char>(byte);
    return decode_utf8(gpt2_text_of_bytes({&c, 1}), 0).code;
  });
  return bytes;
}

void add_special(const std::vector<std::string>& special, TokenizerSpec& spec) {
  for (const std::string& text : special) {
    const auto id = static_cast<int32_t>(spec.tokens.size());
    const bool control = text.starts_with("<|") && text.ends_with("|>");
    spec.tokens.push_back(text);
    spec.types.push_back(
        static_cast<int32_t>(control ? TokenType::kControl : TokenType::kUserDefined));
    if (text == "<|endoftext|>") spec.eos = spec.pad = id;
    if (text == "<|im_end|>") spec.eot = id;
  }
}

}  // namespace

Result<BpeTrainer> BpeTrainer::create(BpeTrainerOptions options) {
  MINKE_ASSIGN(const PreTokenizer* pre, find_pre_tokenizer(options.pre));
  const auto least = static_cast<int64_t>(256 + options.special.size());
  if (options.size < least || options.size > INT32_MAX) {
    return misuse(fmt::format(
        "a vocabulary of {} tokens has no room for the 256 bytes and {} special tokens; "
        "expected at least {}",
        options.size, options.special.size(), least));
  }
  for (size_t i = 0; i < options.special.size(); ++i) {
    const std::string& text = options.special[i];
    if (text.size() < 2) return misuse(fmt::format("the special token '{}' is too short", text));
    if (std::ranges::count(options.special, text) > 1) {
      return misuse(fmt::format("the special token '{}' is named twice", text));
    }
  }
  return BpeTrainer(std::move(options), pre);
}

void BpeTrainer::add(std::string_view text) {
  const auto count = [&](std::string_view word) {
    const auto found = counts_.find(word);
    if (found == counts_.end()) {
      counts_.emplace(word, 1);
    } else {
      ++found->second;
    }
  };
  if (pre_->normalizes_nfc) {
    pre_->split(to_nfc(text), count);
  } else {
    pre_->split(text, count);
  }
}

TokenizerSpec BpeTrainer::train() const {
  TokenizerSpec spec = {.model = "gpt2", .pre = options_.pre};
  std::unordered_map<std::string, int32_t> ids;
  std::array<int32_t, 256> byte_ids{};
  const auto add_token = [&](std::string text) {
    const auto [entry, is_new] = ids.emplace(text, static_cast<int32_t>(spec.tokens.size()));
    if (is_new) spec.tokens.push_back(std::move(text));
    return entry->second;
  };
  for (const uint8_t byte : bytes_in_order()) {
    const char c = static_cast<char>(byte);
    byte_ids[byte] = add_token(gpt2_text_of_bytes({&c, 1}));
  }
  std::vector<Word> words;
  words.reserve(counts_.size());
  for (const auto& [text, count] : counts_) {
    Word word = {.count = count};
    for (const char c : text) word.symbols.push_back(byte_ids[static_cast<uint8_t>(c)]);
    words.push_back(std::move(word));
  }
  Merging merging(std::move(words));
  const auto merged_size = static_cast<size_t>(options_.size) - options_.special.size();
  while (spec.tokens.size() < merged_size) {
    const auto pair = merging.best(std::max<int64_t>(options_.count_min, 1));
    if (!pair) break;
    const std::string& left = spec.tokens[static_cast<size_t>(pair->left)];
    const std::string& right = spec.tokens[static_cast<size_t>(pair->right)];
    spec.merges.push_back(fmt::format("{} {}", left, right));
    merging.merge(*pair, add_token(left + right));
  }
  spec.types.assign(spec.tokens.size(), static_cast<int32_t>(TokenType::kNormal));
  add_special(options_.special, spec);
  spec.add_bos = false;
  return spec;
}

}  // namespace minke
