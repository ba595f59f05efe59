// Models on their way into training and out of it. A model from scratch is a file like any other,
// with random weights: from there on there is one way to train one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/result.h"
#include "io/gguf.h"
#include "models/model.h"
#include "models/model_shape.h"
#include "text/tokenizer.h"
#include "train/masters.h"

namespace minke {

// Weights in fp32 with their rows, ready for a Trainer, or matrices in bf16 with masters; the layer
// that predicts further with them, where the file has it. The file stays open for its metadata.
struct TrainableModel {
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Model> model;
  Masters masters;
};
Result<TrainableModel> load_trainable(const std::string& path, Ops& ops);
Result<TrainableModel> load_trainable_bf16(const std::string& path, Ops& ops, ThreadPool& pool);
// The weights as they are in the file and as they are served, for an adapter to be trained on them.
Result<TrainableModel> load_frozen(const std::string& path, Ops& ops);

// Writes a model with the metadata of its file to `path`: matrices as `type` (those whose rows are
// no whole blocks of it as F16), vectors as F32. The name under which the model presents itself is
// `name`, or that of the file where that is empty; so is its chat template.
Status save_model(const TrainableModel& trained, QuantType type, const std::string& name,
                  const std::string& path, const std::string& chat_template = {});

struct NewModel {
  ModelShape shape;
  std::string name;
  TokenizerSpec tokenizer;
  std::string chat_template;
  uint64_t seed = 1;
};
// A file of fp32 weights as make_initialised_model draws them.
Status write_new_model(const NewModel& made, Ops& ops, const std::string& path);

}  // namespace minke
