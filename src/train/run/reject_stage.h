// A stage of kind "reject" as it goes on: batches of problems are asked, all answers are written
// down, and at the end what was kept becomes a file to learn from.
//
//   RUN/data/NAME.samples.jsonl   what was asked, then a line a batch, written when it is complete
//   RUN/data/NAME.jsonl           the kept answers as conversations; it appears whole, at the end
//
// Batches that the first file has are not asked again: a kill costs the one under way. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "train/reject.h"
#include "train/run/plan.h"
#include "train/run_log.h"

namespace minke {

// Where the kept answers of a stage are.
std::filesystem::path stage_data_path(const std::filesystem::path& run, const std::string& stage);

class RejectStage {
 public:
  // `run_step` says which model of the run answers. All outlive the object.
  static Result<RejectStage> open(const std::filesystem::path& run, const StagePlan& stage,
                                  int64_t run_step);

  // Who answers: of the run, or a teacher. May be absent where all batches are known.
  struct Source {
    Model& model;
    Ops& ops;
    const ChatText& text;
  };
  bool knows(int64_t batch) const { return batch < std::ssize(batches_); }
  struct Step {
    int64_t answers = 0;
    double right = 0.0;   // share
    double solved = 0.0;  // share of problems
    double tokens_mean = 0.0;
    double truncated = 0.0;
    int64_t tokens = 0;
    double flops = 0.0;
    double seconds = 0.0;  // that asking took, whenever that was
    int64_t kept = 0;      // in all batches so far
    std::vector<GrpoSample> samples;
  };
  // The next batch, asked or remembered. Nothing where asking was stopped on the way.
  Result<std::optional<Step>> step(int64_t batch, const Source* source,
                                   const std::function<bool()>& is_stopped);
  // Writes what was kept. Fails, and says what became of the answers, when that is nothing.
  Status finish();

 private:
  struct Batch {
    SampledBatch sampled;
    double seconds = 0.0;
    double flops = 0.0;
  };
  RejectStage(std::filesystem::path run, const StagePlan& stage, RunLog log)
      : run_(std::move(run)),
        stage_(stage),
        log_(std::move(log)),
        filter_(*stage.task, stage.reject.keep) {}
  static std::optional<Batch> read_batch(const std::string& line, int64_t number);
  static nlohmann::ordered_json heading(const StagePlan& stage, int64_t run_step);

  std::filesystem::path run_;
  const StagePlan& stage_;
  RunLog log_;
  std::vector<Batch> batches_;  // that were known
  AnswerFilter filter_;
  std::vector<KeptAnswer> kept_;
};

}  // namespace minke
