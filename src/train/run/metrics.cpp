#include "train/run/metrics.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <utility>

namespace minke {

using Json = nlohmann::json;

Result<RunMetrics> read_metrics(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "metrics.jsonl").string();
  std::ifstream file(path);
  if (!file) return misuse(fmt::format("{} is not there: {} holds no run", path, folder));
  RunMetrics metrics;
  for (std::string line; std::getline(file, line);) {
    Json entry = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number()) continue;
    const auto event = entry.find("event");
    if (event == entry.end()) {
      metrics.steps.push_back(std::move(entry));
    } else if (*event == "evaluation") {
      metrics.evaluations.push_back(std::move(entry));
    } else if (*event == "begun" && metrics.begun.is_null()) {
      metrics.begun = std::move(entry);
    }
  }
  return metrics;
}

double number_in(const Json& entry, std::string_view key, double otherwise) {
  const auto found = entry.find(key);
  return found != entry.end() && found->is_number() ? found->get<double>() : otherwise;
}

std::string text_in(const Json& entry, std::string_view key) {
  const auto found = entry.find(key);
  return found != entry.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace minke
