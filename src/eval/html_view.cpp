#include "eval/html_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <vector>

#include "eval/html_page.h"

namespace minke {

namespace {

constexpr std::string_view kStyle = R"(label { margin-right: 1rem; }
.sample { margin: .75rem 0 .75rem 1rem; } .thinking { color: var(--dim); }
.mark { display: inline-block; width: 4.5rem; font-variant-numeric: tabular-nums; }
body:has(#only-wrong:checked) .all-right, body:has(#only-right:checked) .none-right { display: none; }
)";

std::string row(std::string_view name, const Share& share) {
  return fmt::format("<tr><th>{}</th><td>{:.1f}%</td><td class=dim>{:.1f} to {:.1f}</td></tr>\n",
                     name, 100 * share.value, 100 * share.low, 100 * share.high);
}

std::string figures(const EvalSummary& summary) {
  std::string out = "<table>\n" + row("pass@1", summary.pass_at_1);
  for (const auto& [k, share] : summary.pass_at_k) out += row(fmt::format("pass@{}", k), share);
  if (summary.cons_at_k) {
    out += row(fmt::format("cons@{}", summary.samples / summary.problems), *summary.cons_at_k);
  }
  out += row("format", summary.well_formed) + row("cut off", summary.truncated);
  out +=
      fmt::format("<tr><th>tokens</th><td>{:.0f}</td><td class=dim>a sample</td></tr>\n</table>\n",
                  summary.tokens_mean);
  return out;
}

void append_sample(const EvalSample& sample, std::string* out) {
  const auto to = std::back_inserter(*out);
  fmt::format_to(
      to, "<div class=sample><div><b class={}>{}</b> <span class=dim>{} tokens{}{}</span></div>\n",
      sample.correct ? "right" : "wrong", sample.correct ? "right" : "wrong", sample.tokens,
      sample.truncated ? ", cut off" : "",
      sample.why.empty() ? "" : ": " + escaped_html(sample.why));
  if (!sample.thinking.empty()) {
    fmt::format_to(to, "<pre class=thinking>{}</pre>\n", escaped_html(sample.thinking));
  }
  if (!sample.answer.empty()) fmt::format_to(to, "<pre>{}</pre>\n", escaped_html(sample.answer));
  *out += "</div>\n";
}

void append_problem(const std::vector<const EvalSample*>& samples, std::string* out) {
  const EvalSample& first = *samples.front();
  const auto right =
      std::ranges::count_if(samples, [](const EvalSample* sample) { return sample->correct; });
  const bool all = right == std::ssize(samples);
  fmt::format_to(std::back_inserter(*out),
                 "<article class=\"{}\"><details><summary><span class=\"mark {}\">{} of {}</span>"
                 "{}</summary>\n<pre>{}</pre>\n<div class=dim>{}, expected: {}</div>\n",
                 all          ? "all-right"
                 : right == 0 ? "none-right"
                              : "",
                 right > 0 ? "right" : "wrong", right, samples.size(),
                 escaped_html(first.prompt.substr(0, 300)), escaped_html(first.prompt),
                 escaped_html(first.problem), escaped_html(first.expected));
  for (const EvalSample* const sample : samples) append_sample(*sample, out);
  *out += "</details></article>\n";
}

}  // namespace

std::string html_view(const HtmlHeading& heading, const EvalSummary& summary,
                      std::span<const EvalSample> samples) {
  std::vector<std::vector<const EvalSample*>> problems;
  std::map<std::string_view, size_t> places;
  for (const EvalSample& sample : samples) {
    const auto [place, is_new] = places.emplace(sample.problem, problems.size());
    if (is_new) problems.emplace_back();
    problems[place->second].push_back(&sample);
  }
  std::string body = fmt::format(
      "<h1>{}</h1>\n<div>{}: {} problems</div><div class=dim>{}</div>\n{}"
      "<form><label><input type=radio name=which checked> all</label>"
      "<label><input type=radio name=which id=only-wrong> with wrong samples</label>"
      "<label><input type=radio name=which id=only-right> with right samples</label></form>\n",
      escaped_html(heading.model), escaped_html(heading.task), summary.problems,
      escaped_html(heading.settings), figures(summary));
  for (auto& of_problem : problems) {
    std::ranges::sort(of_problem, {}, &EvalSample::sample);
    append_problem(of_problem, &body);
  }
  return html_page(heading.model + " on " + heading.task, kStyle, body);
}

}  // namespace minke
