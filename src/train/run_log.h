// A run's metrics: one JSON object a line, appended as the run goes on, for people, plots and the
// chat app to read at any time. One thread writes.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "core/result.h"

namespace minke {

class RunLog {
 public:
  // Goes on behind what `path` holds up to and including `step`: from the first line on that is of
  // a later step, or half written, the file is cut. A new file is made where there is none.
  static Result<RunLog> open(const std::string& path, int64_t step);
  RunLog(RunLog&& other) noexcept;
  RunLog& operator=(RunLog&&) = delete;
  ~RunLog();

  // The line is in the file whole, or (when this fails) not at all. Numbers that are not finite
  // become null: JSON has none.
  Status append(const nlohmann::ordered_json& entry);

 private:
  RunLog(std::string path, int descriptor, int64_t bytes)
      : path_(std::move(path)), descriptor_(descriptor), bytes_(bytes) {}
  std::string path_;
  int descriptor_;
  int64_t bytes_;  // of whole lines
};

}  // namespace minke
