// What the headers of a model's files say. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/result.h"
#include "minke/engine.h"
#include "models/model_info.h"

namespace minke::server {

// What a model is read from.
struct ModelSource {
  std::string path;
  std::string adapter = {};        // over the weights; empty: none
  std::string chat_template = {};  // instead of the files' own; empty: that
};

struct ModelFacts {
  ModelInfo info;              // of the weights; the chat template is what is used
  uint64_t adapter_bytes = 0;  // of memory
  SamplingOptions sampling;
  std::string sampling_source;
  bool thinks = false;
  bool can_choose_thinking = false;
  bool takes_tools = false;
  int64_t file_bytes = 0;  // with the adapter's
  int64_t modified_at_s = 0;
  std::string digest;  // of the headers and the sizes: tells versions of the files apart
};

Result<std::shared_ptr<const ModelFacts>> read_facts(const ModelSource& source);
// The same from memory, as long as the files are what they were; null where they cannot be read, or
// there is no path.
std::shared_ptr<const ModelFacts> known_facts(const ModelSource& source);

// What a model has to have of memory to be of use: its weights, something to work in, and its
// context where that is short.
uint64_t bytes_to_run(const ModelFacts& facts);

}  // namespace minke::server
