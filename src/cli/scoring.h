// What logprobs, perplexity and bench share: the text that is read, and the engine with its inner
// doors.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/console.h"
#include "cli/model_flags.h"
#include "core/result.h"
#include "engine/local_engine.h"

namespace minke::cli {

// The file (a pipe may be one), or stdin where none is named or it is called "-". UTF-8 and not
// empty.
Result<std::string> input_text(const std::optional<std::string>& file);

// Mean and spread of negative log-probabilities.
class PerplexityTally {
 public:
  void add(double nll) {
    ++count_;
    sum_ += nll;
    sum_of_squares_ += nll * nll;
  }
  int64_t count() const { return count_; }
  double perplexity() const;
  double standard_error() const;  // of the perplexity

 private:
  int64_t count_ = 0;
  double sum_ = 0;
  double sum_of_squares_ = 0;
};

// A text of `tokens` tokens is cut into windows; fewer than two say nothing.
Status check_two_windows(int64_t tokens, int64_t window);
// Window `index` of a text, its first token replaced by the beginning-of-sequence token where the
// model wants one.
std::vector<int32_t> text_window(const LocalEngine& engine, const std::vector<int32_t>& ids,
                                 int64_t window, int64_t index);

// With a progress bar.
Result<std::shared_ptr<LocalEngine>> load_local_engine(const EngineFlags& flags, std::string path,
                                                       Console* console);

}  // namespace minke::cli
