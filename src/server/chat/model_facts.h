// What the header of a model's file says. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/result.h"
#include "minke/engine.h"
#include "models/model_info.h"

namespace minke::server {

struct ModelFacts {
  ModelInfo info;
  SamplingOptions sampling;
  std::string sampling_source;
  bool thinks = false;
  bool can_choose_thinking = false;
  bool takes_tools = false;
  int64_t file_bytes = 0;
  int64_t modified_at_s = 0;
  std::string digest;  // of the header and the size: tells versions of a file apart
};

// `chat_template`: instead of the model's own; empty: that.
Result<std::shared_ptr<const ModelFacts>> read_facts(const std::string& path,
                                                     const std::string& chat_template);
// The same from memory, as long as the file is what it was; null where they cannot be read.
std::shared_ptr<const ModelFacts> known_facts(const std::string& path,
                                              const std::string& chat_template);

// What a model has to have of memory to be of use: its weights, something to work in, and its
// context where that is short.
uint64_t bytes_to_run(const ModelFacts& facts);

}  // namespace minke::server
