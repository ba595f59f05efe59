// Which architectures exist, and how a checkpoint becomes a model that is ready to run.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "io/gguf.h"
#include "models/model.h"
#include "ops/expert_store.h"

namespace minke {

// "llama", "qwen2", ...: as general.architecture spells them.
std::vector<std::string> known_architectures();

// The configuration alone: for `show` and for memory planning. Fails when the architecture is
// unknown (the message lists those that exist) or the metadata makes no sense.
Result<ModelConfig> read_config(const GgufFile& file);

// Whether the file has every tensor of its model, in the shape that the configuration implies, and
// none besides; with the layer that predicts further, if there is one. By the header alone: an
// error is the one that loading would end with.
Status check_loadable(const GgufFile& file);

// A model without weights, for an initialiser (training from scratch) to fill.
std::unique_ptr<Model> make_model(const ModelConfig& config);

struct LoadOptions {
  bool mtp = false;  // with the layer that predicts further (models/mtp_layer.h), if there is one
  // For training: every weight in fp32, in memory of its own that keeps its rows.
  bool trainable = false;
  // For training an adapter: weights as they are, their rows still in reach (in the mapped file).
  bool keep_rows = false;
  // Outlives the model: those that routers choose from stay in the file and are read through it.
  ExpertStore* experts = nullptr;
};

// Memory that the weights will take once `load_model` has packed them.
struct PackedSize {
  uint64_t resident = 0;      // of what every token uses
  uint64_t experts = 0;       // of all experts that routers choose from
  int64_t experts_count = 0;  // of those, in all layers
  uint64_t expert_bytes = 0;  // of the largest one
  size_t piece_bytes = 0;     // ExpertStore's, the largest
  uint64_t all() const { return resident + experts; }
};
Result<PackedSize> packed_size(const GgufFile& file, LoadOptions options = {});

// Loads and packs every weight for `ops`; `file` must outlive the model, which still reads
// embedding rows from it. The file's pages are given back behind the packing, so that no weight is
// in memory twice. `progress`, when not empty, is called with a fraction from 0 to 1 on the calling
// thread; loading ends, with an error, when it says false.
Result<std::unique_ptr<Model>> load_model(const GgufFile& file, Ops& ops,
                                          const std::function<bool(double)>& progress,
                                          LoadOptions options = {});

}  // namespace minke
