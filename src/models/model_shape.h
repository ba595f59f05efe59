// The sizes of a model that is yet to be made, and the metadata that says them.
#pragma once

#include <cstdint>
#include <string>

#include "io/gguf_writer.h"
#include "models/model.h"

namespace minke {

struct ModelShape {
  const char* name = "";
  const char* about = "";  // for people
  const char* architecture = "";
  const char* pre_tokenizer = "";
  int64_t layers = 0;
  int64_t dim = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_dim = 0;
  int64_t vocab_size = 0;
  int64_t context_max = 0;
  float rope_base = 0.0F;
  float norm_epsilon = 0.0F;
  bool tied_embeddings = false;
  bool qkv_bias = false;
  bool qk_norm = false;
  bool llama3_rope = false;  // with the tensor of frequency factors
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
