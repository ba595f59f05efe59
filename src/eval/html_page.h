// What minke's pages have in common: one style for light and dark, and text that stays text. A page
// needs nothing else: no script, no file, no network. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace minke {

// CSS: the custom properties --ink, --dim, --line, --paper, --tint, --right and --wrong.
std::string_view page_colours();
// Text for an element or an attribute in quotes, whatever bytes it has.
std::string escaped_html(std::string_view text);
// A whole page; `style` is more CSS and `body` HTML.
std::string html_page(std::string_view title, std::string_view style, std::string_view body);

}  // namespace minke
