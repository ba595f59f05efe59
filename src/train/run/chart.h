// Lines over steps as SVG elements, for pages and pictures of their own. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace minke {

struct ChartPoint {
  double x = 0.0;
  double y = 0.0;
  // How sure y is; a whisker from low to high where both are there.
  std::optional<std::pair<double, double>> interval = std::nullopt;
};
struct ChartLine {
  std::string name;  // in the legend, where there are several
  std::vector<ChartPoint> points;
};
struct Chart {
  std::string title;
  std::string unit;
  std::vector<ChartLine> lines;  // at most four; those without points are left out
  bool is_share = false;         // in percent: from 0 to 100
};

struct ChartSize {
  double width = 460.0;
  double height = 216.0;
};

// Whether there is a line to draw: two points somewhere.
bool has_line(const Chart& chart);
// Elements with their corner at (x, y), to stand in an <svg>. A long line is drawn thin, with its
// moving mean over it.
std::string draw_chart(const Chart& chart, double x, double y, const ChartSize& size = {});
// CSS of those elements. It wants the properties of page_colours() (eval/html_page.h).
std::string_view chart_style();

}  // namespace minke
