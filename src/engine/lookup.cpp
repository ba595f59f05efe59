#include "engine/lookup.h"

#include <algorithm>

namespace minke {
namespace {

constexpr int kMatchMax = 64;       // longer matches count as this long
constexpr int kCandidatesMax = 32;  // occurrences of a 3-gram that are compared
constexpr double kLearning = 0.125;
constexpr double kForgiveness = 0.01;

uint64_t mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93u;
  x ^= x >> 32;
  return x;
}

// Of the `n` tokens that end before `end`. Never 0.
uint64_t gram_key(std::span<const int32_t> tokens, size_t end, int n) {
  uint64_t key = static_cast<uint64_t>(n);
  for (size_t i = end - static_cast<size_t>(n); i < end; ++i) {
    key = mix(key * 0x9e3779b97f4a7c15u + static_cast<uint32_t>(tokens[i]) + 1);
  }
  return key | 1;
}

// How many tokens before `end` are those at the end of the sequence.
int match_length(std::span<const int32_t> tokens, size_t end) {
  int length = 0;
  while (length < kMatchMax && static_cast<size_t>(length) < end &&
         tokens[end - 1 - static_cast<size_t>(length)] ==
             tokens[tokens.size() - 1 - static_cast<size_t>(length)]) {
    ++length;
  }
  return length;
}

LookupDrafter::Kind kind_of(int match) {
  using Kind = LookupDrafter::Kind;
  if (match < 4) {
    return match == 0 ? Kind::kNone
                      : static_cast<Kind>(static_cast<int>(Kind::kMatch1) + match - 1);
  }
  if (match < 8) return Kind::kMatch4;
  return match < 16 ? Kind::kMatch8 : Kind::kMatch16;
}

}  // namespace

// What a guess of each kind is worth before any was tried.
const std::array<double, LookupDrafter::kKinds> LookupDrafter::kPrior = {0.0,  0.4,  0.15, 0.3,
                                                                         0.45, 0.65, 0.8,  0.9};

LookupDrafter::Slot& LookupDrafter::slot(uint64_t key) {
  const size_t mask = slots_.size() - 1;
  size_t i = key & mask;
  while (slots_[i].key != 0 && slots_[i].key != key) i = (i + 1) & mask;
  return slots_[i];
}

int32_t LookupDrafter::find(uint64_t key) const {
  if (slots_.empty()) return 0;
  const Slot& found = const_cast<LookupDrafter*>(this)->slot(key);
  return found.key == key ? found.end : 0;
}

void LookupDrafter::rehash() {
  std::vector<Slot> old(std::max<size_t>(64, slots_.size() * 2));
  std::swap(old, slots_);
  for (const Slot& entry : old) {
    if (entry.key != 0) slot(entry.key) = entry;
  }
}

void LookupDrafter::insert(uint64_t key, int32_t end) {
  if ((used_ + 1) * 2 > slots_.size()) rehash();
  Slot& place = slot(key);
  if (place.key == 0) {
    ++used_;
    place.key = key;
  }
  place.end = end;
}

void LookupDrafter::extend(std::span<const int32_t> tokens) {
  previous_.resize(tokens.size(), 0);
  // Only n-grams that something follows: the one at the very end is what will be looked for.
  for (size_t end = std::max<size_t>(indexed_, 1); end < tokens.size(); ++end) {
    const auto position = static_cast<int32_t>(end);
    insert(gram_key(tokens, end, 1), position);
    if (end >= 2) insert(gram_key(tokens, end, 2), position);
    if (end >= 3) {
      const uint64_t key = gram_key(tokens, end, 3);
      previous_[end] = find(key);
      insert(key, position);
    }
  }
  indexed_ = std::max(indexed_, tokens.size());
}

LookupDrafter::Guess LookupDrafter::look_up(std::span<const int32_t> tokens) const {
  const auto size = static_cast<int64_t>(tokens.size());
  int64_t source = 0;
  int longest = 0;
  const auto consider = [&](int64_t end) {
    const int length = match_length(tokens, static_cast<size_t>(end));
    if (length > longest) {
      longest = length;
      source = end;
    }
  };
  // Where the last guess goes on comes first, so that of equal matches it is the one.
  const int64_t aligned = distance_ > 0 ? size - distance_ : 0;
  if (aligned > 0) consider(aligned);
  if (size >= 3) {
    int32_t end = find(gram_key(tokens, tokens.size(), 3));
    for (int i = 0; i < kCandidatesMax && end > 0; ++i) {
      consider(end);
      end = previous_[static_cast<size_t>(end)];
    }
  }
  for (int n = 2; n >= 1 && longest == 0; --n) {
    if (size < n) continue;
    const int32_t end = find(gram_key(tokens, tokens.size(), n));
    if (end > 0) consider(end);
  }
  Kind kind = kind_of(longest);
  // An edit replaces a word here and there and goes on as before: when all but the last token are
  // as at the last guess's place, its next token is a better guess than a short match elsewhere.
  if (longest < 3 && aligned > 1 &&
      match_length(tokens.first(tokens.size() - 1), static_cast<size_t>(aligned - 1)) >= 8) {
    kind = Kind::kReplaced;
    source = aligned;
  }
  return {.kind = kind,
          .source = source,
          .distance = size - source,
          .acceptance = acceptance_[static_cast<size_t>(kind)]};
}

void LookupDrafter::copy(std::span<const int32_t> tokens, const Guess& guess, int64_t count,
                         std::vector<int32_t>& out) {
  const size_t first = out.size();
  const auto size = static_cast<int64_t>(tokens.size());
  for (int64_t i = 0; i < count; ++i) {
    const int64_t from = guess.source + i;
    out.push_back(from < size ? tokens[static_cast<size_t>(from)]
                              : out[first + static_cast<size_t>(from - size)]);
  }
}

void LookupDrafter::observe(const Guess& guess, int64_t drafted, int64_t accepted) {
  double& acceptance = acceptance_[static_cast<size_t>(guess.kind)];
  for (int64_t i = 0; i < accepted; ++i) acceptance += kLearning * (1.0 - acceptance);
  if (accepted < drafted) acceptance -= kLearning * acceptance;
  distance_ = guess.distance;
}

void LookupDrafter::skipped(const Guess& guess) {
  const auto kind = static_cast<size_t>(guess.kind);
  acceptance_[kind] += kForgiveness * (kPrior[kind] - acceptance_[kind]);
}

}  // namespace minke
