// The configuration of a dense decoder (llama, qwen2, qwen3) from GGUF metadata, checked for sense.
#pragma once

#include "io/gguf.h"
#include "models/model.h"

namespace minke {

// `pairs` is what the architecture's rotary embedding turns together. Fails with the key's name
// when a value is missing, of the wrong kind, or out of any sensible range.
Result<ModelConfig> read_decoder_config(const GgufFile& file, RopePairs pairs);

}  // namespace minke
