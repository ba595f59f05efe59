#include "train/run/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

namespace minke {
namespace {

using Json = nlohmann::json;

struct Series {
  std::string_view key;
  std::string_view title;
  std::string_view unit;
  double scale = 1.0;
  bool of_evaluations = false;
};

constexpr Series kSeries[] = {
    {.key = "loss", .title = "Loss of learning from texts", .unit = "nats a token"},
    {.key = "reward", .title = "Reward of trials", .unit = "mean"},
    {.key = "pass_1",
     .title = "Right on problems not seen before",
     .unit = "% of answers",
     .scale = 100.0,
     .of_evaluations = true},
    {.key = "pass_k",
     .title = "Right at least once",
     .unit = "% of problems",
     .scale = 100.0,
     .of_evaluations = true},
    {.key = "answer_tokens", .title = "Length of answers", .unit = "tokens"},
    {.key = "entropy", .title = "Entropy of the policy", .unit = "nats a token"},
    {.key = "learning_rate", .title = "Learning rate", .unit = ""},
};

struct Panel {
  const Series* series = nullptr;
  std::vector<std::pair<double, double>> points;
};

constexpr double kWidth = 460, kHeight = 210, kLeft = 58, kRight = 14, kTop = 34, kBottom = 30;

std::string number(double value) {
  if (value == 0.0) return "0";
  if (std::abs(value) < 0.01) return fmt::format("{:.0e}", value);
  return std::abs(value) >= 100.0 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

// A step of 1, 2 or 5 times a power of ten that gives three to six marks.
double mark_step(double range) {
  const double raw = range / 4.0;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10.0 * power;
}

std::string draw(const Panel& panel, double x, double y) {
  double low = panel.points.front().second;
  double high = low;
  for (const auto& [step, value] : panel.points) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  if (low > 0.0 && low < 0.6 * high) low = 0.0;
  if (high == low) high = low + 1.0;
  const double first = panel.points.front().first;
  const double last = std::max(panel.points.back().first, first + 1.0);
  const double inner_width = kWidth - kLeft - kRight;
  const double inner_height = kHeight - kTop - kBottom;
  const auto to_x = [&](double step) {
    return x + kLeft + inner_width * (step - first) / (last - first);
  };
  const auto to_y = [&](double value) {
    return y + kTop + inner_height * (high - value) / (high - low);
  };
  std::string out = fmt::format(
      "<text x='{:.0f}' y='{:.0f}' class='t'>{}</text><text x='{:.0f}' y='{:.0f}' "
      "class='u'>{}</text>\n",
      x + kLeft, y + 18, panel.series->title, x + kWidth - kRight, y + 18, panel.series->unit);
  const double step = mark_step(high - low);
  for (double mark = std::ceil(low / step) * step; mark <= high + 1e-9 * step; mark += step) {
    out += fmt::format(
        "<line x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}' class='g'/><text x='{:.1f}' "
        "y='{:.1f}' class='y'>{}</text>\n",
        x + kLeft, x + kWidth - kRight, to_y(mark), to_y(mark), x + kLeft - 6, to_y(mark) + 4,
        number(std::abs(mark) < 1e-9 * step ? 0.0 : mark));
  }
  for (const double at : {first, last}) {
    out += fmt::format("<text x='{:.1f}' y='{:.1f}' class='{}'>{}</text>\n", to_x(at),
                       y + kHeight - 10, at == first ? "a" : "y", number(at));
  }
  out += fmt::format("<polyline class='l' points='");
  for (const auto& [at, value] : panel.points) {
    out += fmt::format("{:.1f},{:.1f} ", to_x(at), to_y(value));
  }
  out += "'/>\n";
  if (panel.points.size() < 40) {
    for (const auto& [at, value] : panel.points) {
      out += fmt::format("<circle cx='{:.1f}' cy='{:.1f}' r='2.5'/>\n", to_x(at), to_y(value));
    }
  }
  return out;
}

}  // namespace

Result<std::string> draw_curves(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "metrics.jsonl").string();
  std::ifstream file(path);
  if (!file) return misuse(fmt::format("{} is not there: {} holds no run", path, folder));
  std::vector<Panel> panels;
  for (const Series& series : kSeries) panels.push_back({.series = &series, .points = {}});
  for (std::string line; std::getline(file, line);) {
    const Json entry = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || !entry.contains("step") || !entry["step"].is_number()) continue;
    const bool is_evaluation = entry.value("event", "") == "evaluation";
    for (Panel& panel : panels) {
      const Series& series = *panel.series;
      const auto found = entry.find(series.key);
      if (found == entry.end() || !found->is_number()) continue;
      if (series.of_evaluations != is_evaluation) continue;
      // The loss of a policy says nothing.
      if (series.key == "loss" && entry.contains("reward")) continue;
      panel.points.emplace_back(entry["step"].get<double>(), found->get<double>() * series.scale);
    }
  }
  std::erase_if(panels, [](const Panel& panel) { return panel.points.size() < 2; });
  if (panels.empty())
    return misuse(fmt::format("{} has no two steps to draw a line through", path));
  const auto rows = (panels.size() + 1) / 2;
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0:.0f}' height='{1:.0f}' viewBox='0 0 "
      "{0:.0f} "
      "{1:.0f}'>\n<style>text{{font:12px system-ui,sans-serif;fill:#667}}.t{{font-weight:600;"
      "fill:#223}}.u,.y{{text-anchor:end}}.g{{stroke:#ccd3da;stroke-width:.6}}.l{{fill:none;"
      "stroke:#1f6f8b;stroke-width:1.6;stroke-linejoin:round}}circle{{fill:#1f6f8b}}</style>\n"
      "<rect width='100%' height='100%' fill='#fff'/>\n",
      panels.size() > 1 ? 2 * kWidth : kWidth, static_cast<double>(rows) * kHeight);
  for (size_t i = 0; i < panels.size(); ++i) {
    out +=
        draw(panels[i], static_cast<double>(i % 2) * kWidth, static_cast<double>(i / 2) * kHeight);
  }
  return out + "</svg>\n";
}

}  // namespace minke
