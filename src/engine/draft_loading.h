// A second, smaller model that guesses for the first (model_drafter.h): opened, held to the first
// one's vocabulary, and loaded.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/result.h"
#include "io/gguf.h"
#include "models/model.h"

namespace minke {

struct DraftParts {
  std::unique_ptr<GgufFile> file;  // null: there is no draft model
  ModelConfig config;
  std::unique_ptr<Ops> own_ops;  // on a GPU, which remembers the passes of one model
  Ops* ops = nullptr;            // its own or the model's
  std::unique_ptr<Model> model;
};

// Fails unless the two files spell the same tokens. One may have some more behind the last that
// both have: fillers, by which models of one family differ.
Status check_same_vocabulary(const GgufFile& model, const GgufFile& draft);

// Opens the file at `path`, for `model`.
Result<DraftParts> open_draft(const std::string& path, const GgufFile& model);

}  // namespace minke
