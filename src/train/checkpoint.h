// Checkpoints of a training run, such that a kill at any moment, a full disk or a damaged file cost
// at most the steps since the newest whole one.
//
//   RUN/checkpoints/step-000120/{weights,optimizer}.safetensors, state.json, manifest.json
//
// A checkpoint is written under another name, flushed, and renamed; its manifest, with the size and
// SHA-256 of each file, is written last. A folder whose files are not as the manifest says is none.
// One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/result.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "train/data/data_position.h"

namespace minke {

struct CheckpointState {
  int64_t step = 0;  // how many are done
  DataPosition data;
  std::map<std::string, uint64_t> counters;         // of random streams, by the caller's names
  nlohmann::json notes = nlohmann::json::object();  // what the caller wants back
};

struct Checkpoint {
  std::filesystem::path folder;
  CheckpointState state;
  Safetensors weights;  // in files that stay readable while this object lives
  Safetensors optimizer;
  // Newer ones that are damaged, a sentence each that says how.
  std::vector<std::string> warnings;
};

// Reads the newest whole checkpoint under `run`; nothing where there is none. Fails when there are
// some and all are damaged. Takes no lock and changes nothing, so that anybody may look on; who
// goes on with the run opens the CheckpointWriter first, which finishes what a kill has left
// unfinished.
Result<std::optional<Checkpoint>> load_latest_checkpoint(const std::filesystem::path& run);

// A tensor of a checkpoint into `values`: fails unless it is there, fp32, and of that shape.
Status copy_tensor(const Safetensors& from, const std::string& name, const Shape& shape,
                   std::span<float> values);

// The one writer of a run's checkpoints. Holds a lock on the run's folder.
class CheckpointWriter {
 public:
  // Makes the folders; finishes or clears away what a killed writer has left. `keep` is how many
  // checkpoints stay, at least 1. Fails when another process trains into `run`.
  static Result<CheckpointWriter> open(const std::filesystem::path& run, int keep);
  CheckpointWriter(CheckpointWriter&& other) noexcept;
  CheckpointWriter& operator=(CheckpointWriter&&) = delete;
  ~CheckpointWriter();

  // A checkpoint of that step replaces one of the same step and those of later steps, from which
  // the run went back. When it fails, those before are as they were.
  Status save(std::span<const SafetensorView> weights, std::span<const SafetensorView> optimizer,
              const CheckpointState& state);

 private:
  CheckpointWriter(std::filesystem::path folder, int keep, int lock)
      : folder_(std::move(folder)), keep_(keep), lock_(lock) {}
  Status recover() const;
  Status write_files(const std::filesystem::path& folder, std::span<const SafetensorView> weights,
                     std::span<const SafetensorView> optimizer, const CheckpointState& state) const;
  Status publish(const std::filesystem::path& partial, int64_t step) const;
  Status prune(int64_t step) const;

  std::filesystem::path folder_;  // RUN/checkpoints
  int keep_;
  int lock_;  // descriptor
};

}  // namespace minke
