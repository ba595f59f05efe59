// What a run has written about itself (RUN/metrics.jsonl), read back for pictures and reports; also
// while it goes on.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke {

struct RunMetrics {
  nlohmann::json begun;                     // the first line's facts; null where there are none
  std::vector<nlohmann::json> steps;        // a line a step
  std::vector<nlohmann::json> evaluations;  // in their order
};

// Lines that are no metrics are passed over.
Result<RunMetrics> read_metrics(const std::string& folder);

// What an entry has under a key; the default where it has nothing, or something else.
double number_in(const nlohmann::json& entry, std::string_view key, double otherwise = 0.0);
std::string text_in(const nlohmann::json& entry, std::string_view key);

}  // namespace minke
