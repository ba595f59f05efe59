// The sizes of a model that is yet to be made, and the metadata that says them.
#pragma once

#include <cstdint>
#include <string>

#include "io/gguf_writer.h"
#include "models/model.h"

namespace minke {

struct ModelShape {
  const char* name;
  const char* about;  // for people
  const char* architecture;
  const char* pre_tokenizer;
  int64_t layers;
  int64_t dim;
  int64_t heads;
  int64_t kv_heads;
  int64_t head_dim;
  int64_t ffn_dim;
  int64_t vocab_size;
  int64_t context_max;
  float rope_base;
  float norm_epsilon;
  bool tied_embeddings;
  bool qkv_bias;
  bool qk_norm;
  bool llama3_rope;  // with the tensor of frequency factors
  // DeepSeek's: a mixture of experts behind `dense_layers` blocks, and latent attention.
  MixtureConfig mixture = {};
  LatentConfig latent = {};
  float yarn_factor = 1.0F;  // of the 4,096 tokens that DeepSeek began with
  float yarn_mscale = 0.0F;
  bool mtp = false;  // with the layer that predicts further (models/mtp_layer.h)
};

// Sets the keys from which read_config() makes the shape's ModelConfig. The tokenizer's are the
// caller's.
void write_shape(GgufWriter& writer, const ModelShape& shape, const std::string& name);

}  // namespace minke
