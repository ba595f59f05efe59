// What the tensors of Hugging Face's folders are called in GGUF files, and the other way round.
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "io/gguf.h"

namespace minke {

struct HfName {
  std::string gguf;     // empty: a copy of what the model has, to be left out
  int64_t layer = -1;   // -1: of none
  int64_t expert = -1;  // its place in the stack that GGUF keeps experts in; -1: no expert
  bool of_mtp = false;  // only layers that predict further tokens have it
};

// Nothing when no model has such a tensor.
std::optional<HfName> read_hf_name(std::string_view name);

// The tensor that becomes `gguf`; of a stack of experts, the one of `expert`, or "*" for all where
// that is negative. `gguf` itself where nothing becomes it.
std::string hf_tensor_name(std::string_view gguf, int64_t expert = -1);

// What those who have the checkpoint know the tensor as, for messages: by the folder's name where
// `file` is made of one.
std::string tensor_name_in(const GgufFile& file, std::string_view gguf);

}  // namespace minke
