#include "tasks/reward.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <ranges>

#include "text/unicode.h"

namespace minke {

namespace {

constexpr std::string_view kBuffer = "overlong_buffer";

struct NamedRule {
  std::string_view name;
  RewardKind kind;
};
constexpr NamedRule kRules[] = {{"accuracy", RewardKind::kAccuracy},
                                {"format", RewardKind::kFormat},
                                {"language", RewardKind::kLanguage},
                                {"brevity", RewardKind::kBrevity},
                                {"overlong", RewardKind::kOverlong}};

enum class Script : uint8_t {
  kOther,
  kLatin,
  kGreek,
  kCyrillic,
  kHebrew,
  kArabic,
  kIndic,
  kThai,
  kKorean,
  kHan,
  kCount
};

struct ScriptRange {
  uint32_t low, high;
  Script script;
};
// Ascending.
constexpr ScriptRange kScripts[] = {
    {0x41, 0x24F, Script::kLatin},     {0x370, 0x3FF, Script::kGreek},
    {0x400, 0x52F, Script::kCyrillic}, {0x590, 0x5FF, Script::kHebrew},
    {0x600, 0x77F, Script::kArabic},   {0x8A0, 0x8FF, Script::kArabic},
    {0x900, 0xDFF, Script::kIndic},    {0xE00, 0xE7F, Script::kThai},
    {0x1100, 0x11FF, Script::kKorean}, {0x1E00, 0x1EFF, Script::kLatin},
    {0x1F00, 0x1FFF, Script::kGreek},  {0x3005, 0x312F, Script::kHan},
    {0x3130, 0x318F, Script::kKorean}, {0x31A0, 0x31FF, Script::kHan},
    {0x3400, 0x9FFF, Script::kHan},    {0xAC00, 0xD7AF, Script::kKorean},
    {0xF900, 0xFAFF, Script::kHan},    {0xFB50, 0xFDFF, Script::kArabic},
    {0xFE70, 0xFEFE, Script::kArabic}, {0xFF21, 0xFF5A, Script::kLatin},
    {0xFF66, 0xFF9D, Script::kHan},    {0x20000, 0x3FFFF, Script::kHan},
};

Script script_of(uint32_t code) {
  const auto* const above = std::ranges::upper_bound(kScripts, code, {}, &ScriptRange::low);
  if (above == std::begin(kScripts)) return Script::kOther;
  const ScriptRange& range = *(above - 1);
  return code <= range.high ? range.script : Script::kOther;
}

using LetterCounts = std::array<int64_t, static_cast<size_t>(Script::kCount)>;

void count_letters(std::string_view text, LetterCounts& counts) {
  for (size_t at = 0; at < text.size();) {
    const Glyph glyph = glyph_at(text, at);
    if (glyph.classes & char_class::kLetter) ++counts[static_cast<size_t>(script_of(glyph.code))];
    at += glyph.length;
  }
}

double share_in_script_of(std::string_view prompt, const LetterCounts& counts) {
  LetterCounts wanted = {};
  count_letters(prompt, wanted);
  const auto main = std::ranges::max_element(wanted) - wanted.begin();
  int64_t letters = 0;
  for (const int64_t count : counts) letters += count;
  if (wanted[static_cast<size_t>(main)] == 0 || letters == 0) return 1;
  return static_cast<double>(counts[static_cast<size_t>(main)]) / static_cast<double>(letters);
}

Result<double> weight_of(std::string_view name, std::string_view text) {
  double weight = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), weight);
  if (fault != std::errc() || end != text.data() + text.size() || !std::isfinite(weight)) {
    return misuse(fmt::format("rewards: {} is '{}', and should be a number", name, text));
  }
  return weight;
}

}  // namespace

std::string_view reward_name(RewardKind kind) {
  return std::ranges::find(kRules, kind, &NamedRule::kind)->name;
}

double script_consistency(std::string_view prompt, std::string_view text) {
  LetterCounts counts = {};
  count_letters(text, counts);
  return share_in_script_of(prompt, counts);
}

Result<RewardRule> RewardRule::parse(std::string_view text) {
  RewardRule rule;
  for (const auto part : std::views::split(text, ',')) {
    const std::string_view setting(part);
    const size_t equals = std::min(setting.find('='), setting.size());
    const std::string_view name = setting.substr(0, equals);
    const auto* const known = std::ranges::find(kRules, name, &NamedRule::name);
    if (known == std::end(kRules) && name != kBuffer) {
      return misuse(fmt::format(
          "rewards: there is no '{}'; there are accuracy, format, language, brevity, overlong "
          "(each with its weight, as in \"accuracy=1,format=0.1\") and {} (tokens)",
          name, kBuffer));
    }
    MINKE_ASSIGN(
        const double weight,
        weight_of(name, equals < setting.size() ? setting.substr(equals + 1) : std::string_view()));
    if (name == kBuffer) {
      if (weight < 0 || weight > 1e9) return misuse("rewards: overlong_buffer is 0 to 1e9 tokens");
      rule.overlong_buffer_ = static_cast<int64_t>(weight);
      continue;
    }
    if (std::ranges::find(rule.rules_, known->kind, &Weighted::kind) != rule.rules_.end()) {
      return misuse(fmt::format("rewards: {} is given twice", name));
    }
    rule.rules_.push_back({.kind = known->kind, .weight = weight});
  }
  if (rule.rules_.empty()) return misuse("rewards: no rule is given");
  return rule;
}

double RewardRule::value(RewardKind kind, const RewardInput& input) const {
  const bool is_right = input.verdict.correct && !input.truncated;
  switch (kind) {
    case RewardKind::kAccuracy:
      return input.truncated ? 0 : input.verdict.score.value_or(is_right ? 1 : 0);
    case RewardKind::kFormat:
      return input.thinking_closed && input.verdict.well_formed && !input.truncated ? 1 : 0;
    case RewardKind::kLanguage: {
      LetterCounts counts = {};
      count_letters(input.thinking, counts);
      count_letters(input.answer, counts);
      return share_in_script_of(input.prompt, counts);
    }
    case RewardKind::kBrevity:
      if (!is_right || input.tokens_max <= 0) return 0;
      return std::max(
          0.0, 1 - static_cast<double>(input.tokens) / static_cast<double>(input.tokens_max));
    case RewardKind::kOverlong: {
      const int64_t over = input.tokens - (input.tokens_max - overlong_buffer_);
      if (over <= 0 && !input.truncated) return 0;
      if (overlong_buffer_ == 0) return input.truncated ? -1 : 0;
      return -std::clamp(static_cast<double>(over) / static_cast<double>(overlong_buffer_), 0.0,
                         1.0);
    }
  }
  return 0;
}

Reward RewardRule::of(const RewardInput& input) const {
  Reward reward;
  for (const auto& [kind, weight] : rules_) {
    reward.parts.push_back({.kind = kind, .value = value(kind, input)});
    reward.total += weight * reward.parts.back().value;
  }
  return reward;
}

}  // namespace minke
