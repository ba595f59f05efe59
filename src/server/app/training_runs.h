// What `minke train` leaves in its folders, for the app's page of trainings: it is only read, and
// may grow while it is. Any thread.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>
#include <vector>

#include "server/api/route.h"
#include "text/value.h"

namespace minke::server {

struct TrainingRun {
  std::string name;  // of its folder
  bool is_running = false;
  int64_t metrics_bytes = 0;
  int64_t updated_at_ms = 0;
};

// The folders in `folder` that hold a run, the one that was written last first; none where there is
// no such folder.
std::vector<TrainingRun> training_runs(const std::filesystem::path& folder);

// Lines of a run's metrics, each a JSON object. `from` is where they begin in the file, and `next`
// where to go on when it has grown. A run that went back to an earlier checkpoint has a shorter
// file than it had: whoever asks from beyond its end is told everything again, from 0.
struct MetricLines {
  int64_t from = 0;
  int64_t next = 0;
  Value::Array lines;
};
std::expected<MetricLines, ApiError> training_metrics(const std::filesystem::path& folder,
                                                      const std::string& name, int64_t from);

}  // namespace minke::server
