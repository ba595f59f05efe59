#include "train/run/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <span>
#include <vector>

#include "eval/html_page.h"
#include "io/file.h"
#include "train/run/chart.h"
#include "train/run/metrics.h"

namespace minke {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kStyle = R"(
body { max-width: 64rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .25rem; }
h3 { font-size: 1rem; margin: 1.75rem 0 0; } p { margin: .25rem 0 .75rem; max-width: 46rem; }
table { margin: .75rem 0; } th, td { white-space: nowrap; } td.num, th.num { text-align: right; }
.wide { overflow-x: auto; } small { color: var(--dim); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr));
          gap: 1.25rem; margin: .75rem 0; }
.charts svg { width: 100%; height: auto; display: block; }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1.25rem 0 .5rem; }
.tiles b { display: block; font-size: 1.35rem; font-weight: 600; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr));
        gap: 0 1.5rem; }
.best { font-weight: 600; }
)";

std::string with_unit(double value, std::string_view unit) {
  constexpr std::array<std::string_view, 7> kPrefixes = {"", " k", " M", " G", " T", " P", " E"};
  size_t prefix = 0;
  while (value >= 1000.0 && prefix + 1 < kPrefixes.size()) {
    value /= 1000.0;
    ++prefix;
  }
  const std::string digits =
      prefix == 0 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
  return fmt::format("{}{}{}", digits, prefix == 0 && !unit.empty() ? " " : kPrefixes[prefix],
                     unit);
}

std::string time_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 100) return fmt::format("{:.3g} s", seconds);
  if (whole < 6000) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

struct Stage {
  std::string name, kind;
  std::vector<const Json*> steps;
  double sum(std::string_view key) const {
    double total = 0.0;
    for (const Json* step : steps) total += number_in(*step, key);
    return total;
  }
};

std::vector<Stage> stages_of(const RunMetrics& metrics) {
  std::vector<Stage> stages;
  for (const Json& step : metrics.steps) {
    const std::string name = text_in(step, "stage");
    if (stages.empty() || stages.back().name != name) {
      stages.push_back({.name = name, .kind = text_in(step, "kind"), .steps = {}});
    }
    stages.back().steps.push_back(&step);
  }
  return stages;
}

// The evaluations of one task, in their order.
struct Looks {
  std::string task;
  std::vector<const Json*> all;
};

std::vector<Looks> looks_of(const RunMetrics& metrics) {
  std::vector<Looks> tasks;
  for (const Json& entry : metrics.evaluations) {
    const std::string task = text_in(entry, "task");
    auto found = std::ranges::find(tasks, task, &Looks::task);
    if (found == tasks.end()) found = tasks.insert(found, {.task = task, .all = {}});
    found->all.push_back(&entry);
  }
  return tasks;
}

// Only the first, and the last of each stage: what is before and after.
std::vector<const Json*> borders_of(const Looks& looks) {
  std::vector<const Json*> borders;
  for (size_t i = 0; i < looks.all.size(); ++i) {
    const bool is_last = i + 1 == looks.all.size() ||
                         text_in(*looks.all[i], "stage") != text_in(*looks.all[i + 1], "stage");
    if (i == 0 || is_last) borders.push_back(looks.all[i]);
  }
  return borders;
}

std::string when(const Json& look) {
  const double step = number_in(look, "step");
  return step == 0.0 ? "before" : fmt::format("after {}", text_in(look, "stage"));
}

std::string share_cell(const Json& look, const std::string& key, bool is_best) {
  if (!look.contains(key)) return "<td class=num>–</td>";
  std::string cell = fmt::format("<td class=\"num{}\">{:.1f}%", is_best ? " best" : "",
                                 100.0 * number_in(look, key));
  if (look.contains(key + "_low")) {
    cell += fmt::format(" <small>{:.0f}–{:.0f}</small>", 100.0 * number_in(look, key + "_low"),
                        100.0 * number_in(look, key + "_high"));
  }
  return cell + "</td>";
}

std::string looks_table(const Looks& looks) {
  const std::vector<const Json*> borders = borders_of(looks);
  const auto each = static_cast<int64_t>(number_in(*borders.front(), "samples_each", 1.0));
  std::string out = fmt::format(
      "<div class=wide><table><tr><th></th><th class=num>pass@1</th><th class=num>pass@{0}</th>"
      "<th class=num>cons@{0}</th><th class=num>format</th><th class=num>cut off</th>"
      "<th class=num>tokens an answer</th></tr>\n",
      each);
  const auto best = std::ranges::max_element(
      borders, {}, [](const Json* look) { return number_in(*look, "pass_1"); });
  for (const Json* look : borders) {
    out += fmt::format("<tr><th>{}</th>{}{}{}{}{}<td class=num>{:.0f}</td></tr>\n",
                       escaped_html(when(*look)), share_cell(*look, "pass_1", look == *best),
                       share_cell(*look, "pass_k", false), share_cell(*look, "cons_k", false),
                       share_cell(*look, "format", false), share_cell(*look, "truncated", false),
                       number_in(*look, "answer_tokens"));
  }
  return out + "</table></div>\n";
}

std::string svg(const Chart& chart) {
  const ChartSize size;
  return fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=img aria-label=\"{}\">\n{}</svg>\n",
                     size.width, size.height, escaped_html(chart.title), draw_chart(chart, 0, 0));
}

std::string charts_html(std::span<const Chart> charts) {
  std::string out;
  for (const Chart& chart : charts) {
    if (has_line(chart)) out += svg(chart);
  }
  return out.empty() ? out : "<div class=charts>\n" + out + "</div>\n";
}

ChartPoint share_point(const Json& look, double x, const std::string& key) {
  ChartPoint point = {.x = x, .y = 100.0 * number_in(look, key)};
  if (look.contains(key + "_low")) {
    point.interval = {100.0 * number_in(look, key + "_low"),
                      100.0 * number_in(look, key + "_high")};
  }
  return point;
}

// Right answers over `x_of` an evaluation.
template <typename Place>
Chart looks_chart(const Looks& looks, std::string title, std::string unit, const Place& x_of) {
  const auto each = static_cast<int64_t>(number_in(*looks.all.front(), "samples_each", 1.0));
  Chart chart = {.title = std::move(title), .unit = std::move(unit), .lines = {}, .is_share = true};
  const std::pair<std::string, std::string> lines[] = {{"pass_1", "pass@1"},
                                                       {"pass_k", fmt::format("pass@{}", each)},
                                                       {"cons_k", fmt::format("cons@{}", each)}};
  for (const auto& [key, name] : lines) {
    ChartLine line = {.name = name, .points = {}};
    for (const Json* look : looks.all) {
      if (look->contains(key)) line.points.push_back(share_point(*look, x_of(*look), key));
    }
    if (key == "pass_k" && each < 2) continue;
    chart.lines.push_back(std::move(line));
  }
  return chart;
}

// Operations of all steps up to that of an evaluation, in units of 10^12.
double work_before(const RunMetrics& metrics, const Json& look) {
  double flops = 0.0;
  for (const Json& step : metrics.steps) {
    if (number_in(step, "step") <= number_in(look, "step")) flops += number_in(step, "flops");
  }
  return flops / 1e12;
}

std::string results(const RunMetrics& metrics) {
  std::string out;
  for (const Looks& looks : looks_of(metrics)) {
    const Json& first = *looks.all.front();
    out += fmt::format(
        "<h3>{}</h3>\n<p class=dim>{:.0f} problems that were not trained on, {:.0f} answers to "
        "each; 95% confidence intervals over problems.</p>\n",
        escaped_html(looks.task), number_in(first, "problems"), number_in(first, "samples_each"));
    out += looks_table(looks);
    const auto step_of = [](const Json& look) { return number_in(look, "step"); };
    const auto work_of = [&](const Json& look) { return work_before(metrics, look); };
    Chart tokens = {.title = "Length of answers", .unit = "tokens, by step", .lines = {{}}};
    for (const Json* look : looks.all) {
      tokens.lines[0].points.push_back(
          {.x = step_of(*look), .y = number_in(*look, "answer_tokens")});
    }
    std::vector<Chart> charts = {looks_chart(looks, "Right, by step", "%", step_of)};
    if (work_of(*looks.all.back()) > 0.0) {
      charts.push_back(looks_chart(looks, "Right, by work", "%, over TFLOP", work_of));
    }
    charts.push_back(std::move(tokens));
    out += charts_html(charts);
  }
  return out.empty() ? out : "<h2>What it can do</h2>\n" + out;
}

struct Curve {
  std::string_view key, title, unit;
  double scale = 1.0;
};
constexpr Curve kCurves[] = {
    {.key = "loss", .title = "Loss", .unit = "nats a token"},
    {.key = "divergence", .title = "Divergence from the teacher", .unit = "nats a token"},
    {.key = "reward", .title = "Reward", .unit = "mean of an answer"},
    {.key = "accuracy", .title = "Right answers", .unit = "% of those sampled", .scale = 100.0},
    {.key = "solved", .title = "Solved problems", .unit = "% with a right answer", .scale = 100.0},
    {.key = "answer_tokens", .title = "Length of answers", .unit = "tokens"},
    {.key = "kept", .title = "Answers kept", .unit = "in all"},
    {.key = "entropy", .title = "Entropy of the policy", .unit = "nats a token"},
    {.key = "kl", .title = "Distance from the reference", .unit = "k3, nats a token"},
    {.key = "gradient_norm", .title = "Norm of the gradient", .unit = ""},
    {.key = "learning_rate", .title = "Learning rate", .unit = ""},
};

std::string stage_curves(const Stage& stage) {
  std::vector<Chart> charts;
  for (const Curve& curve : kCurves) {
    if (curve.key == "loss" && stage.kind == "grpo") continue;  // of a policy it says nothing
    Chart chart = {
        .title = std::string(curve.title), .unit = std::string(curve.unit), .lines = {{}}};
    bool differs = false;
    for (const Json* step : stage.steps) {
      if (!step->contains(curve.key)) continue;
      const double y = curve.scale * number_in(*step, curve.key);
      std::vector<ChartPoint>& points = chart.lines[0].points;
      points.push_back({.x = number_in(*step, "stage_step"), .y = y});
      differs |= y != points.front().y;
    }
    if (differs) charts.push_back(std::move(chart));
  }
  return charts_html(charts);
}

double mean_peak_share(const Stage& stage) {
  double seconds = 0.0, sum = 0.0;
  for (const Json* step : stage.steps) {
    if (!step->contains("peak_share")) continue;
    sum += number_in(*step, "peak_share") * number_in(*step, "step_seconds");
    seconds += number_in(*step, "step_seconds");
  }
  return seconds > 0.0 ? sum / seconds : 0.0;
}

double evaluation_seconds(const RunMetrics& metrics) {
  double seconds = 0.0;
  for (const Json& look : metrics.evaluations) seconds += number_in(look, "evaluation_seconds");
  return seconds;
}

// Money and energy of so many seconds, where the recipe has their price.
std::string cost_cells(const Json& begun, double seconds) {
  std::string cells;
  const double hours = seconds / 3600.0;
  if (const double price = number_in(begun, "per_hour"); price > 0.0) {
    cells += fmt::format("<td class=num>{:.3f}</td>", hours * price);
  }
  if (const double watts = number_in(begun, "watts"); watts > 0.0) {
    cells += fmt::format("<td class=num>{:.3f} kWh</td>", hours * watts / 1000.0);
  }
  return cells;
}

std::string costs(const RunMetrics& metrics, std::span<const Stage> stages) {
  const Json& begun = metrics.begun;
  const std::string currency = text_in(begun, "currency");
  std::string out =
      "<h2>What it took</h2>\n<div class=wide><table><tr><th>stage</th><th>kind</th>"
      "<th class=num>steps</th><th class=num>time</th><th class=num>tokens trained</th>"
      "<th class=num>sampled</th><th class=num>work</th><th class=num>of the peak</th>";
  if (number_in(begun, "per_hour") > 0.0) {
    out += fmt::format("<th class=num>{}</th>", currency.empty() ? "cost" : escaped_html(currency));
  }
  if (number_in(begun, "watts") > 0.0) out += "<th class=num>energy</th>";
  out += "</tr>\n";
  for (const Stage& stage : stages) {
    const double seconds = stage.sum("step_seconds");
    const double share = mean_peak_share(stage);
    out += fmt::format(
        "<tr><td>{}</td><td>{}</td><td class=num>{}</td><td class=num>{}</td><td class=num>{}</td>"
        "<td class=num>{}</td><td class=num>{}</td><td class=num>{}</td>{}</tr>\n",
        escaped_html(stage.name), escaped_html(stage.kind), stage.steps.size(), time_text(seconds),
        with_unit(stage.sum("tokens"), ""), with_unit(stage.sum("sampled_tokens"), ""),
        with_unit(stage.sum("flops"), "FLOP"),
        share > 0.0 ? fmt::format("{:.0f}%", 100.0 * share) : "–", cost_cells(begun, seconds));
  }
  if (const double seconds = evaluation_seconds(metrics); seconds > 0.0) {
    double flops = 0.0;
    for (const Json& look : metrics.evaluations) flops += number_in(look, "flops");
    out += fmt::format(
        "<tr><td>evaluations</td><td></td><td class=num>{}</td><td class=num>{}</td><td></td>"
        "<td></td><td class=num>{}</td><td></td>{}</tr>\n",
        metrics.evaluations.size(), time_text(seconds), with_unit(flops, "FLOP"),
        cost_cells(begun, seconds));
  }
  out += "</table></div>\n";
  if (const double peak = number_in(begun, "peak_gflops"); peak > 0.0) {
    out += fmt::format(
        "<p class=dim>The peak is what this machine reached when it was measured as the run began: "
        "{} in {}. Work is counted by the model's shape; the share is of the training alone, "
        "without sampling.</p>\n",
        with_unit(peak * 1e9, "FLOP/s"), escaped_html(text_in(begun, "compute")));
  }
  return out;
}

std::string sample_html(const Json& sample, std::string_view heading) {
  const bool right = sample.contains("correct") && sample["correct"] == true;
  return fmt::format("<div><small>{}</small> <b class={}>{}</b><pre>{}</pre></div>\n",
                     escaped_html(heading), right ? "right" : "wrong", right ? "right" : "wrong",
                     escaped_html(text_in(sample, "answer")));
}

std::span<const Json> samples_of(const Json& entry) {
  const auto found = entry.find("samples");
  if (found == entry.end() || !found->is_array()) return {};
  return found->get_ref<const Json::array_t&>();
}

// The same questions, before and at the end.
std::string sample_answers(const RunMetrics& metrics, std::span<const Stage> stages) {
  std::string out;
  for (const Looks& looks : looks_of(metrics)) {
    const Json& first = *looks.all.front();
    const Json& last = *looks.all.back();
    const auto before = samples_of(first), after = samples_of(last);
    for (size_t i = 0; i < after.size(); ++i) {
      out += fmt::format("<article><pre>{}</pre>\n<div class=pair>",
                         escaped_html(text_in(after[i], "prompt")));
      if (&first != &last && i < before.size()) out += sample_html(before[i], when(first));
      out += sample_html(after[i], when(last)) + "</div></article>\n";
    }
  }
  for (const Stage& stage : stages) {
    const auto samples = samples_of(*stage.steps.back());
    if (samples.empty()) continue;
    out += fmt::format("<article><details><summary>Of the last step of {}</summary>\n",
                       escaped_html(stage.name));
    for (const Json& sample : samples) {
      out += fmt::format("<pre>{}</pre>\n", escaped_html(text_in(sample, "prompt"))) +
             sample_html(sample, stage.name);
    }
    out += "</details></article>\n";
  }
  return out.empty() ? out : "<h2>In its own words</h2>\n" + out;
}

std::string tiles(const RunMetrics& metrics, std::span<const Stage> stages) {
  double seconds = evaluation_seconds(metrics), flops = 0.0, tokens = 0.0, sampled = 0.0;
  for (const Stage& stage : stages) {
    seconds += stage.sum("step_seconds");
    flops += stage.sum("flops");
    tokens += stage.sum("tokens");
    sampled += stage.sum("sampled_tokens");
  }
  for (const Json& look : metrics.evaluations) flops += number_in(look, "flops");
  std::string out = "<div class=tiles>";
  const auto tile = [&](const std::string& value, std::string_view what) {
    if (value.starts_with("0 ") || value == "0") return;  // of a run that says nothing of it
    out += fmt::format("<div><b>{}</b><small>{}</small></div>", escaped_html(value), what);
  };
  tile(with_unit(number_in(metrics.begun, "parameters"), ""), "parameters trained");
  tile(time_text(seconds), "in all");
  tile(with_unit(tokens, ""), "tokens trained on");
  tile(with_unit(sampled, ""), "tokens sampled");
  tile(with_unit(flops, "FLOP"), "of work");
  const double hours = seconds / 3600.0;
  if (const double price = number_in(metrics.begun, "per_hour"); price > 0.0) {
    tile(fmt::format("{:.2f} {}", hours * price, text_in(metrics.begun, "currency")),
         "at its price");
  }
  if (const double watts = number_in(metrics.begun, "watts"); watts > 0.0) {
    tile(fmt::format("{:.3f} kWh", hours * watts / 1000.0), "of energy");
  }
  return out + "</div>\n";
}

}  // namespace

Result<std::string> run_report(const std::string& folder) {
  MINKE_ASSIGN(const RunMetrics metrics, read_metrics(folder));
  const std::vector<Stage> stages = stages_of(metrics);
  if (stages.empty()) {
    return misuse(fmt::format("{} has no step to report",
                              (std::filesystem::path(folder) / "metrics.jsonl").string()));
  }
  std::string name = text_in(metrics.begun, "name");
  if (name.empty()) name = std::filesystem::path(folder).filename().string();
  const auto planned = number_in(metrics.begun, "steps");
  const auto done = number_in(metrics.steps.back(), "step");
  std::string body =
      fmt::format("<h1>{}</h1>\n<div class=dim>{:.0f} {} in {} {}</div>\n", escaped_html(name),
                  done, planned > done ? fmt::format("of {:.0f} steps", planned) : "steps",
                  stages.size(), stages.size() == 1 ? "stage" : "stages");
  body += tiles(metrics, stages);
  body += results(metrics);
  body += costs(metrics, stages);
  body += "<h2>How it went</h2>\n";
  for (const Stage& stage : stages) {
    body += fmt::format("<h3>{} <small>{} {} steps</small></h3>\n{}", escaped_html(stage.name),
                        escaped_html(stage.kind), stage.steps.size(), stage_curves(stage));
  }
  body += sample_answers(metrics, stages);
  return html_page(name, std::string(chart_style()) + std::string(kStyle), body);
}

Result<std::string> write_run_report(const std::string& folder) {
  MINKE_ASSIGN(const std::string page, run_report(folder));
  const std::string path = (std::filesystem::path(folder) / "report.html").string();
  MINKE_ASSIGN(OutputFile file, OutputFile::create(path));
  MINKE_TRY(file.write(std::as_bytes(std::span(page))));
  MINKE_TRY(file.commit());
  return path;
}

}  // namespace minke
