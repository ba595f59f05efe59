// How a download goes, for a person: a bar in a terminal, a line every ten percent elsewhere. Used
// by one thread.
#pragma once

#include <string>

#include "cli/console.h"
#include "io/download.h"

namespace minke::cli {

class PullReporter : public PullObserver {
 public:
  explicit PullReporter(Console* console) : console_(console), bar_(console) {}

  void say(const std::string& line) override;
  void progress(const PullProgress& now) override;
  bool stop_wanted() override { return InterruptGuard::interrupted(); }
  void finish() { bar_.finish(); }

 private:
  Console* console_;
  ProgressBar bar_;
  std::string phase_;
  int tenth_ = -1;
};

}  // namespace minke::cli
