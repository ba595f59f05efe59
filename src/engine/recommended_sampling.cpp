#include "engine/recommended_sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace minke {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return out;
}

}  // namespace

Result<RecommendedSampling> recommended_sampling(const GgufFile& file) {
  RecommendedSampling out;
  MINKE_ASSIGN(const std::string_view architecture, file.text_or("general.architecture", ""));
  MINKE_ASSIGN(const std::string_view model_name, file.text_or("general.name", ""));
  MINKE_ASSIGN(const std::string_view base_name, file.text_or("general.basename", ""));
  MINKE_ASSIGN(const std::string_view pre, file.text_or("tokenizer.ggml.pre", ""));
  const std::string name = lower(fmt::format("{} {}", model_name, base_name));
  const auto named = [&name](std::string_view part) { return name.find(part) != name.npos; };
  SamplingOptions& o = out.options;
  const auto set = [&o](double temperature, int64_t top_k, double top_p) {
    o.temperature = temperature;
    o.top_k = top_k;
    o.top_p = top_p;
  };
  set(0.7, 40, 0.95);
  out.source = "minke's own choice for models that recommend nothing";
  if (pre == "deepseek-r1-qwen" || (named("deepseek") && named("r1"))) {
    set(0.6, 0, 0.95);
    out.source = "DeepSeek's recommendation for R1";
  } else if (architecture == "qwen2") {
    set(0.7, 20, 0.8);
    out.source = "Qwen's recommendation for Qwen2.5, without its repeat penalty";
  } else if (architecture == "qwen3") {
    set(0.6, 20, 0.95);
    out.source = "Qwen's recommendation for Qwen3 when it thinks";
  } else if (named("smollm2")) {
    set(0.2, 0, 0.9);
    out.source = "Hugging Face's recommendation for SmolLM2";
  } else if (named("llama")) {
    set(0.6, 0, 0.9);
    out.source = "Meta's recommendation for Llama 3";
  }
  // What the file itself says goes before what we know of its family.
  static constexpr std::array<const char*, 5> kKeys = {"temp", "top_k", "top_p", "min_p",
                                                       "penalty_repeat"};
  for (const char* key : kKeys) {
    if (file.has(fmt::format("general.sampling.{}", key))) out.source = "the file's recommendation";
  }
  MINKE_ASSIGN(o.temperature, file.number_or("general.sampling.temp", o.temperature));
  MINKE_ASSIGN(o.top_k, file.integer_or("general.sampling.top_k", o.top_k));
  MINKE_ASSIGN(o.top_p, file.number_or("general.sampling.top_p", o.top_p));
  MINKE_ASSIGN(o.min_p, file.number_or("general.sampling.min_p", o.min_p));
  MINKE_ASSIGN(o.repeat_penalty,
               file.number_or("general.sampling.penalty_repeat", o.repeat_penalty));
  // A file may say anything; what check_sampling() would refuse is brought into the ranges.
  const auto clamp = [](double value, double low, double high) {
    return value >= low && value <= high ? value : value > high ? high : low;
  };
  o.temperature = clamp(o.temperature, 0, 5);
  o.top_k = std::clamp<int64_t>(o.top_k, 0, 1'000'000);
  o.top_p = clamp(o.top_p, 0, 1);
  o.min_p = clamp(o.min_p, 0, 1);
  o.repeat_penalty = clamp(o.repeat_penalty, 0.1, 10);
  return out;
}

}  // namespace minke
