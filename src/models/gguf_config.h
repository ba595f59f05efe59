// The configuration of a model from GGUF metadata, checked for sense. Fails with the key's name
// when a value is missing, of the wrong kind, or out of any sensible range.
#pragma once

#include "io/gguf.h"
#include "models/model.h"

namespace minke {

// What an architecture's name says of a decoder (models/decoder.h).
struct DecoderTraits {
  RopePairs pairs = RopePairs::kAdjacent;
  bool qk_norm = false;
  bool mixture = false;
};

Result<ModelConfig> read_decoder_config(const GgufFile& file, const DecoderTraits& traits);
// "deepseek2": V2, V3, R1 and their kin (models/latent_attention.h).
Result<ModelConfig> read_deepseek_config(const GgufFile& file);

}  // namespace minke
