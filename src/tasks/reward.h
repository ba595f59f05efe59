// What an answer is paid: a weighted sum of rules. A rule has no state: the same answer earns the
// same, whatever else is in the batch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tasks/task.h"

namespace minke {

// An answer as the rules see it.
struct RewardInput {
  std::string_view prompt;
  std::string_view thinking;
  std::string_view answer;  // what follows the thinking
  bool thinking_closed = false;
  bool truncated = false;  // cut off by the limit of tokens
  int64_t tokens = 0;      // thinking and answer
  int64_t tokens_max = 0;  // the limit
  Verdict verdict;         // the task's, of `answer`
};

enum class RewardKind : uint8_t {
  kAccuracy,  // 1: correct and not truncated; the task's score where it has one
  kFormat,    // 1: the thinking is closed and a well-formed answer follows
  kLanguage,  // the share of the letters of thinking and answer that are in the prompt's script
  kBrevity,   // 1 - tokens / tokens_max for correct answers, else 0
  kOverlong,  // 0 up to overlong_buffer tokens before the limit, falling evenly to -1 at it
};

struct RewardPart {
  RewardKind kind = RewardKind::kAccuracy;
  double value = 0;  // before its weight
};

struct Reward {
  double total = 0;
  std::vector<RewardPart> parts;  // in the rule's order
};

class RewardRule {
 public:
  // "accuracy=1,format=0.1,overlong=0.5,overlong_buffer=64": rules and their weights. Fails with
  // the names there are.
  static Result<RewardRule> parse(std::string_view text);

  Reward of(const RewardInput& input) const;

 private:
  struct Weighted {
    RewardKind kind;
    double weight;
  };
  double value(RewardKind kind, const RewardInput& input) const;

  std::vector<Weighted> rules_;
  int64_t overlong_buffer_ = 0;
};

std::string_view reward_name(RewardKind kind);

// The share of the letters of `text` that belong to the script most letters of `prompt` are of: 1
// where either has no letters. Scripts are told apart as coarsely as languages mix: Latin, Greek,
// Cyrillic, Hebrew, Arabic, those of India, Thai, Korean, and Chinese with Japanese.
double script_consistency(std::string_view prompt, std::string_view text);

}  // namespace minke
