#include "cli/pull_reporter.h"

#include <fmt/format.h>

#include "io/catalogue.h"

namespace minke::cli {

void PullReporter::say(const std::string& line) {
  bar_.finish();
  console_->say(line + "\n");
}

void PullReporter::progress(const PullProgress& now) {
  if (now.bytes_total <= 0) return;
  const double fraction =
      static_cast<double>(now.bytes_done) / static_cast<double>(now.bytes_total);
  const std::string amount =
      fmt::format("{} of {}", human_bytes(now.bytes_done), human_bytes(now.bytes_total));
  const std::string rate =
      now.bytes_per_s > 0
          ? fmt::format("  {}/s", human_bytes(static_cast<int64_t>(now.bytes_per_s)))
          : "";
  if (console_->can_redraw()) {
    bar_.update(now.phase, fraction, amount + rate);
    return;
  }
  const int tenth = static_cast<int>(fraction * 10);
  if (now.phase == phase_ && tenth <= tenth_) return;
  phase_ = now.phase;
  tenth_ = tenth;
  console_->err(fmt::format("{} {:3.0f}%  {}{}\n", now.phase, fraction * 100, amount, rate));
}

}  // namespace minke::cli
