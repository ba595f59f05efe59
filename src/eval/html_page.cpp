#include "eval/html_page.h"

#include <fmt/format.h>

#include "text/utf8_stream.h"

namespace minke {

namespace {

constexpr std::string_view kColours = R"(
:root { --ink: #1d1d1f; --dim: #6e6e73; --line: #d9d9de; --paper: #fff; --tint: #f5f5f7;
        --right: #1a7f37; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf0; --dim: #9a9aa2; --line: #3a3a40; --paper: #19191c; --tint: #232327;
          --right: #4ac26b; --wrong: #ff7b72; } }
)";

constexpr std::string_view kStyle = R"(* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 4rem; color: var(--ink);
       background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } .dim { color: var(--dim); }
table { border-collapse: collapse; margin: 1.5rem 0; }
td, th { text-align: left; padding: .3rem 1.5rem .3rem 0; border-bottom: 1px solid var(--line);
         font-variant-numeric: tabular-nums; font-weight: normal; }
th { color: var(--dim); }
article { border-top: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--tint); margin: .5rem 0;
      padding: .75rem; border-radius: .5rem; font: 14px/1.45 ui-monospace, monospace; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
)";

}  // namespace

std::string_view page_colours() { return kColours; }

std::string escaped_html(std::string_view text) {
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
      case '\'':
        out += "&#39;";
        break;
      case '\0':
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string html_page(std::string_view title, std::string_view style, std::string_view body) {
  return fmt::format(
      "<!doctype html>\n<html lang=en><meta charset=utf-8>\n"
      "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}{}{}</style>\n{}",
      escaped_html(title), kColours, kStyle, style, body);
}

}  // namespace minke
