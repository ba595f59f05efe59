#include "train/run/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "eval/html_page.h"

namespace minke {
namespace {

constexpr double kLeft = 52, kRight = 16, kTop = 48, kBottom = 28;
constexpr size_t kManyPoints = 60;

std::string number(double value) {
  if (value == 0.0) return "0";
  const double size = std::abs(value);
  if (size < 0.01) return fmt::format("{:.0e}", value);
  if (size >= 10'000.0) return fmt::format("{:.3g}k", value / 1000.0);
  return size >= 100.0 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
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

struct Range {
  double low = INFINITY, high = -INFINITY;
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// From the chart's numbers to its places.
class Frame {
 public:
  Frame(const Chart& chart, double x, double y, const ChartSize& size)
      : left_(x + kLeft),
        top_(y + kTop),
        width_(size.width - kLeft - kRight),
        height_(size.height - kTop - kBottom) {
    for (const ChartLine& line : chart.lines) {
      for (const ChartPoint& point : line.points) {
        x_.add(point.x);
        y_.add(point.y);
        if (!point.interval) continue;
        y_.add(point.interval->first);
        y_.add(point.interval->second);
      }
    }
    if (chart.is_share) y_ = {.low = 0.0, .high = 100.0};
    if (y_.low > 0.0 && y_.low < 0.6 * y_.high) y_.low = 0.0;
    // What differs in its last bits alone is flat: marks so near each other would be one number.
    const double largest = std::max(std::abs(y_.low), std::abs(y_.high));
    if (!(y_.high - y_.low > 1e-9 * largest)) y_.high = y_.low + std::max(1.0, largest);
    x_.high = std::max(x_.high, x_.low + 1.0);
  }
  double x(double value) const { return left_ + width_ * (value - x_.low) / (x_.high - x_.low); }
  double y(double value) const { return top_ + height_ * (y_.high - value) / (y_.high - y_.low); }
  double left() const { return left_; }
  double right() const { return left_ + width_; }
  double top() const { return top_; }
  double bottom() const { return top_ + height_; }
  const Range& xs() const { return x_; }
  const Range& ys() const { return y_; }

 private:
  double left_, top_, width_, height_;
  Range x_, y_;
};

using Out = std::back_insert_iterator<std::string>;

void draw_axes(const Frame& frame, Out out) {
  const double step = mark_step(frame.ys().high - frame.ys().low);
  const double first = std::ceil(frame.ys().low / step) * step;
  constexpr int kMarksMax = 10;
  for (int i = 0; i < kMarksMax; ++i) {
    const double mark = first + i * step;
    if (!(mark <= frame.ys().high + 1e-9 * step)) break;
    const double at = frame.y(mark);
    fmt::format_to(out,
                   "<line x1='{:.1f}' x2='{:.1f}' y1='{:.1f}' y2='{:.1f}' class='grid'/><text "
                   "x='{:.1f}' y='{:.1f}' class='mark end'>{}</text>\n",
                   frame.left(), frame.right(), at, at, frame.left() - 7, at + 4,
                   number(std::abs(mark) < 1e-9 * step ? 0.0 : mark));
  }
  fmt::format_to(out,
                 "<text x='{:.1f}' y='{:.1f}' class='mark'>{}</text><text x='{:.1f}' y='{:.1f}' "
                 "class='mark end'>{}</text>\n",
                 frame.left(), frame.bottom() + 18, number(frame.xs().low), frame.right(),
                 frame.bottom() + 18, number(frame.xs().high));
}

void draw_path(const Frame& frame, const std::vector<ChartPoint>& points, std::string_view style,
               Out out) {
  fmt::format_to(out, "<polyline class='line {}' points='", style);
  for (const ChartPoint& point : points) {
    fmt::format_to(out, "{:.1f},{:.1f} ", frame.x(point.x), frame.y(point.y));
  }
  fmt::format_to(out, "'/>\n");
}

// Each point the mean of a window around it that is whole on both sides.
std::vector<ChartPoint> moving_mean(const std::vector<ChartPoint>& points) {
  const auto count = std::ssize(points);
  const auto reach = std::max<std::ptrdiff_t>(2, count / 40);
  std::vector<ChartPoint> means;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const auto own = std::min({reach, i, count - 1 - i});
    double sum = 0.0;
    for (auto k = i - own; k <= i + own; ++k) sum += points[static_cast<size_t>(k)].y;
    means.push_back(
        {.x = points[static_cast<size_t>(i)].x, .y = sum / static_cast<double>(2 * own + 1)});
  }
  return means;
}

void draw_line(const Frame& frame, const ChartLine& line, size_t index, Out out) {
  const std::string colour = fmt::format("c{}", index);
  if (line.points.size() > kManyPoints) {
    draw_path(frame, line.points, colour + " faint", out);
    draw_path(frame, moving_mean(line.points), colour, out);
    return;
  }
  draw_path(frame, line.points, colour, out);
  for (const ChartPoint& point : line.points) {
    if (point.interval) {
      fmt::format_to(out,
                     "<line x1='{0:.1f}' x2='{0:.1f}' y1='{1:.1f}' y2='{2:.1f}' class='whisker "
                     "{3}'/>\n",
                     frame.x(point.x), frame.y(point.interval->first),
                     frame.y(point.interval->second), colour);
    }
    fmt::format_to(out,
                   "<circle cx='{:.1f}' cy='{:.1f}' r='3' class='{}'><title>{}: {}</title>"
                   "</circle>\n",
                   frame.x(point.x), frame.y(point.y), colour, number(point.x), number(point.y));
  }
}

}  // namespace

bool has_line(const Chart& chart) {
  return std::ranges::any_of(chart.lines,
                             [](const ChartLine& line) { return line.points.size() > 1; });
}

std::string draw_chart(const Chart& chart, double x, double y, const ChartSize& size) {
  const Frame frame(chart, x, y, size);
  std::string text;
  const Out out(text);
  fmt::format_to(out,
                 "<text x='{:.1f}' y='{:.1f}' class='title'>{}</text><text x='{:.1f}' y='{:.1f}' "
                 "class='mark end'>{}</text>\n",
                 x + 8, y + 16, escaped_html(chart.title), frame.right(), y + 16,
                 escaped_html(chart.unit));
  draw_axes(frame, out);
  const bool has_legend = chart.lines.size() > 1;
  double legend = x + 8;
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    const ChartLine& line = chart.lines[i];
    if (line.points.empty()) continue;
    if (has_legend) {
      fmt::format_to(out,
                     "<circle cx='{:.1f}' cy='{:.1f}' r='4' class='c{}'/><text x='{:.1f}' "
                     "y='{:.1f}' class='mark'>{}</text>\n",
                     legend + 4, y + 29, i, legend + 12, y + 33, escaped_html(line.name));
      legend += 26.0 + 6.6 * static_cast<double>(line.name.size());
    }
    draw_line(frame, line, i, out);
  }
  return text;
}

std::string_view chart_style() {
  return R"(
:root { --c0: #2563b8; --c1: #b4530a; --c2: #1a7f37; --c3: #8446b0; }
@media (prefers-color-scheme: dark) {
  :root { --c0: #6ea8f5; --c1: #f0a25e; --c2: #4ac26b; --c3: #c690ea; } }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg .title { font-weight: 600; } svg .mark { fill: var(--dim); } svg .end { text-anchor: end; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .faint { stroke-width: 1; opacity: .35; } svg .whisker { stroke-width: 1.5; opacity: .6; }
svg .c0 { stroke: var(--c0); } svg .c1 { stroke: var(--c1); }
svg .c2 { stroke: var(--c2); } svg .c3 { stroke: var(--c3); }
svg circle { stroke: none !important; }
svg circle.c0 { fill: var(--c0); } svg circle.c1 { fill: var(--c1); }
svg circle.c2 { fill: var(--c2); } svg circle.c3 { fill: var(--c3); }
)";
}

}  // namespace minke
