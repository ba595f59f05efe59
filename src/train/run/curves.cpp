#include "train/run/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.h"
#include "eval/html_page.h"
#include "train/run/chart.h"
#include "train/run/metrics.h"

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

Chart chart_of(const Series& series, const RunMetrics& metrics) {
  Chart chart = {.title = std::string(series.title), .unit = std::string(series.unit)};
  for (const Json& entry : series.of_evaluations ? metrics.evaluations : metrics.steps) {
    const auto found = entry.find(series.key);
    if (found == entry.end() || !found->is_number()) continue;
    // The loss of a policy says nothing.
    if (series.key == "loss" && entry.contains("reward")) continue;
    // A line a task.
    const std::string name = series.of_evaluations ? text_in(entry, "task") : std::string();
    auto line = std::ranges::find(chart.lines, name, &ChartLine::name);
    if (line == chart.lines.end()) line = chart.lines.insert(line, ChartLine{.name = name});
    line->points.push_back(
        {.x = number_in(entry, "step"), .y = found->get<double>() * series.scale});
  }
  constexpr size_t kLinesMax = 4;
  if (chart.lines.size() > kLinesMax) chart.lines.resize(kLinesMax);
  return chart;
}

// Programs that show pictures know nothing of a page's variables: they get the colours themselves,
// those of light paper, which stand first in the styles.
std::string with_plain_colours(std::string_view svg) {
  constexpr std::string_view kBegin = "var(--";
  const std::string styles = fmt::format("{}{}", page_colours(), chart_style());
  const auto colour = [&](std::string_view name) {
    const std::string defined = fmt::format("--{}: ", name);
    const size_t begin = styles.find(defined) + defined.size();
    CHECK_LT(begin, styles.size());
    return styles.substr(begin, styles.find(';', begin) - begin);
  };
  std::string out;
  for (size_t at = 0; at < svg.size();) {
    const size_t begin = std::min(svg.find(kBegin, at), svg.size());
    out += svg.substr(at, begin - at);
    if (begin == svg.size()) break;
    const size_t end = svg.find(')', begin);
    out += colour(svg.substr(begin + kBegin.size(), end - begin - kBegin.size()));
    at = end + 1;
  }
  return out;
}

}  // namespace

Result<std::string> draw_curves(const std::string& folder) {
  MINKE_ASSIGN(const RunMetrics metrics, read_metrics(folder));
  std::vector<Chart> charts;
  for (const Series& series : kSeries) {
    Chart chart = chart_of(series, metrics);
    if (has_line(chart)) charts.push_back(std::move(chart));
  }
  if (charts.empty()) {
    return misuse(fmt::format("{} has no two steps to draw a line through",
                              (std::filesystem::path(folder) / "metrics.jsonl").string()));
  }
  const ChartSize size;
  const auto rows = (charts.size() + 1) / 2;
  std::string out = fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0:.0f}' height='{1:.0f}' viewBox='0 0 "
      "{0:.0f} {1:.0f}'>\n<style>\n{2}</style>\n<rect width='100%' height='100%' "
      "fill='var(--paper)'/>\n",
      charts.size() > 1 ? 2 * size.width : size.width, static_cast<double>(rows) * size.height,
      chart_style().substr(chart_style().find("svg text")));
  for (size_t i = 0; i < charts.size(); ++i) {
    out += draw_chart(charts[i], static_cast<double>(i % 2) * size.width,
                      static_cast<double>(i / 2) * size.height);
  }
  return with_plain_colours(out + "</svg>\n");
}

}  // namespace minke
