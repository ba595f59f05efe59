#include "eval/html_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <vector>

#include "text/utf8_stream.h"

namespace minke {

namespace {

constexpr std::string_view kStyle = R"(
:root { --ink: #1d1d1f; --dim: #6e6e73; --line: #d9d9de; --paper: #fff; --tint: #f5f5f7;
        --right: #1a7f37; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --dim: #9a9aa2; --line: #3a3a40; --paper: #19191c; --tint: #232327;
          --right: #4ac26b; --wrong: #ff7b72; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 4rem; color: var(--ink);
       background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } .dim { color: var(--dim); }
table { border-collapse: collapse; margin: 1.5rem 0; }
td, th { text-align: left; padding: .3rem 1.5rem .3rem 0; border-bottom: 1px solid var(--line);
         font-variant-numeric: tabular-nums; font-weight: normal; }
th { color: var(--dim); }
label { margin-right: 1rem; }
article { border-top: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--tint); margin: .5rem 0;
      padding: .75rem; border-radius: .5rem; font: 14px/1.45 ui-monospace, monospace; }
.sample { margin: .75rem 0 .75rem 1rem; } .thinking { color: var(--dim); }
.mark { display: inline-block; width: 4.5rem; font-variant-numeric: tabular-nums; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
body:has(#only-wrong:checked) .all-right, body:has(#only-right:checked) .none-right { display: none; }
)";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : make_valid_utf8(text)) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\0':
        break;
      default:
        out += c;
    }
  }
  return out;
}

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
      sample.truncated ? ", cut off" : "", sample.why.empty() ? "" : ": " + escaped(sample.why));
  if (!sample.thinking.empty()) {
    fmt::format_to(to, "<pre class=thinking>{}</pre>\n", escaped(sample.thinking));
  }
  if (!sample.answer.empty()) fmt::format_to(to, "<pre>{}</pre>\n", escaped(sample.answer));
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
                 escaped(first.prompt.substr(0, 300)), escaped(first.prompt),
                 escaped(first.problem), escaped(first.expected));
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
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=en><meta charset=utf-8>\n"
      "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0} on {1}</title>\n<style>{2}</style>\n<h1>{0}</h1>\n"
      "<div>{1}: {3} problems</div><div class=dim>{4}</div>\n{5}"
      "<form><label><input type=radio name=which checked> all</label>"
      "<label><input type=radio name=which id=only-wrong> with wrong samples</label>"
      "<label><input type=radio name=which id=only-right> with right samples</label></form>\n",
      escaped(heading.model), escaped(heading.task), kStyle, summary.problems,
      escaped(heading.settings), figures(summary));
  for (auto& of_problem : problems) {
    std::ranges::sort(of_problem, {}, &EvalSample::sample);
    append_problem(of_problem, &out);
  }
  return out;
}

}  // namespace minke
