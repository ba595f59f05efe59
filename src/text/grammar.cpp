#include "text/grammar.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "text/unicode.h"

namespace minke {
namespace {

constexpr CharSet::Range kSurrogates{0xD800, 0xDFFF};

// What is smaller is copied when it is counted, and else called.
constexpr int64_t kCopiedSize = 2;
constexpr int64_t kCopiedRanges = 16;

}  // namespace

CharSet::CharSet(std::initializer_list<Range> ranges) {
  for (const Range& range : ranges) add(range.low, range.high);
}

CharSet CharSet::all() { return {{0, kLast}}; }

void CharSet::add(uint32_t low, uint32_t high) {
  high = std::min(high, kLast);
  if (low > high) return;
  if (low <= kSurrogates.high && high >= kSurrogates.low) {
    if (low < kSurrogates.low) add(low, kSurrogates.low - 1);
    if (high > kSurrogates.high) add(kSurrogates.high + 1, high);
    return;
  }
  // Those that touch the new range melt into it.
  const auto first =
      std::ranges::find_if(ranges_, [&](const Range& range) { return range.high + 1 >= low; });
  auto last = first;
  while (last != ranges_.end() && last->low <= high + 1) {
    low = std::min(low, last->low);
    high = std::max(high, last->high);
    ++last;
  }
  ranges_.insert(ranges_.erase(first, last), {low, high});
}

void CharSet::add(const CharSet& other) {
  for (const Range& range : other.ranges_) add(range.low, range.high);
}

CharSet CharSet::complement() const {
  CharSet out;
  uint32_t next = 0;
  for (const Range& range : ranges_) {
    if (range.low > next) out.add(next, range.low - 1);
    next = range.high + 1;
  }
  if (next <= kLast) out.add(next, kLast);
  return out;
}

CharSet CharSet::intersection(const CharSet& other) const {
  CharSet out;
  for (const Range& a : ranges_) {
    for (const Range& b : other.ranges_) {
      const uint32_t low = std::max(a.low, b.low);
      const uint32_t high = std::min(a.high, b.high);
      if (low <= high) out.add(low, high);
    }
  }
  return out;
}

bool CharSet::contains(uint32_t code) const {
  return std::ranges::any_of(
      ranges_, [&](const Range& range) { return code >= range.low && code <= range.high; });
}

Grammar::Expr Grammar::add(Node node) {
  nodes_.push_back(std::move(node));
  return static_cast<Expr>(nodes_.size() - 1);
}

Grammar::Expr Grammar::literal(std::string_view bytes) {
  literals_.emplace_back(bytes);
  return add({.kind = Kind::kLiteral,
              .first = static_cast<int32_t>(literals_.size() - 1),
              .size = static_cast<int64_t>(bytes.size())});
}

Grammar::Expr Grammar::characters(CharSet set) {
  if (set.empty()) return nothing();
  sets_.push_back(std::move(set));
  return add({.kind = Kind::kCharacters,
              .first = static_cast<int32_t>(sets_.size() - 1),
              .size = static_cast<int64_t>(sets_.back().ranges().size())});
}

Grammar::Expr Grammar::sequence(std::vector<Expr> parts) {
  if (parts.empty()) return empty();
  if (parts.size() == 1) return parts[0];
  int64_t size = 0;
  for (const Expr part : parts) size += node(part).size;
  return add({.kind = Kind::kSequence, .parts = std::move(parts), .size = size});
}

Grammar::Expr Grammar::choice(std::vector<Expr> parts) {
  if (parts.empty()) return nothing();
  if (parts.size() == 1) return parts[0];
  int64_t size = 1;
  for (const Expr part : parts) size += node(part).size;
  return add({.kind = Kind::kChoice, .parts = std::move(parts), .size = size});
}

Grammar::Expr Grammar::repeat(Expr part, int min, int max) {
  CHECK(min >= 0 && (max == kUnbounded || max >= min));
  if (max == 0) return empty();
  if (min == 1 && max == 1) return part;
  const int64_t copies = std::max(min, max == kUnbounded ? min + 1 : max);
  const int64_t copied_size = node(part).kind == Kind::kCharacters ? kCopiedRanges : kCopiedSize;
  if (copies > 1 && node(part).size > copied_size) part = reference(add_rule("a part", part));
  const int64_t size = copies * node(part).size + 1;
  return add({.kind = Kind::kRepeat, .first = part, .min = min, .max = max, .size = size});
}

Grammar::Rule Grammar::add_rule(std::string name) { return add_rule(std::move(name), -1); }

Grammar::Rule Grammar::add_rule(std::string name, Expr expr) {
  rules_.push_back({std::move(name), expr});
  return static_cast<Rule>(rules_.size() - 1);
}

Grammar::Rule Grammar::add_grammar(const Grammar& other) {
  const auto expressions = static_cast<Expr>(nodes_.size());
  const auto literals = static_cast<int32_t>(literals_.size());
  const auto sets = static_cast<int32_t>(sets_.size());
  const auto rules = static_cast<Rule>(rules_.size());
  for (Node node : other.nodes_) {
    if (node.kind == Kind::kLiteral) node.first += literals;
    if (node.kind == Kind::kCharacters) node.first += sets;
    if (node.kind == Kind::kRepeat) node.first += expressions;
    if (node.kind == Kind::kReference) node.first += rules;
    for (Expr& part : node.parts) part += expressions;
    nodes_.push_back(std::move(node));
  }
  literals_.insert(literals_.end(), other.literals_.begin(), other.literals_.end());
  sets_.insert(sets_.end(), other.sets_.begin(), other.sets_.end());
  for (const RuleEntry& rule : other.rules_) {
    rules_.push_back({rule.name, rule.expr < 0 ? rule.expr : rule.expr + expressions});
  }
  return rules;
}

// Splits where the number of bytes changes, then where a byte's range would not be the same for all
// values of the bytes before it.
std::vector<std::vector<ByteRange>> utf8_sequences(CharSet::Range range) {
  std::vector<std::vector<ByteRange>> out;
  std::vector<CharSet::Range> todo = {range};
  while (!todo.empty()) {
    const auto [low, high] = todo.back();
    todo.pop_back();
    const auto split_after = [&](uint32_t code) {
      todo.push_back({code + 1, high});
      todo.push_back({low, code});
    };
    bool is_split = false;
    for (const uint32_t last : {0x7Fu, 0x7FFu, 0xFFFFu}) {
      if (low <= last && high > last) {
        split_after(last);
        is_split = true;
        break;
      }
    }
    for (int bits = 6; !is_split && bits <= 18; bits += 6) {
      const uint32_t mask = (1u << bits) - 1;
      if (high < 0x80 || (low & ~mask) == (high & ~mask)) continue;
      if ((low & mask) != 0) {
        split_after(low | mask);
        is_split = true;
      } else if ((high & mask) != mask) {
        split_after((high & ~mask) - 1);
        is_split = true;
      }
    }
    if (is_split) continue;
    std::string first;
    std::string last;
    append_utf8(first, low);
    append_utf8(last, high);
    CHECK_EQ(first.size(), last.size());
    std::vector<ByteRange>& sequence = out.emplace_back();
    for (size_t i = 0; i < first.size(); ++i) {
      sequence.push_back({static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i])});
    }
  }
  return out;
}

}  // namespace minke
