// Models of random weights in the exact shapes of real ones: for benchmarks and for tests. The
// files are whole: metadata, a byte-level tokenizer that loads (256 bytes, some merges, ChatML's
// markers and made-up words up to the vocabulary's size), and weights scaled so that activations
// stay near 1. What such a model writes is noise.
//
// The same spec gives the same bytes on every machine. Memory is bounded by a few pools of encoded
// blocks, from which the tensors are drawn at random: quantising billions of values would take
// minutes and teach nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "models/model.h"

namespace minke {

struct SynthShape {
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

std::span<const SynthShape> synth_shapes();

// "Q4_K_M" and every format by its own name. Q4_K_M is llama.cpp's mixture: Q6_K for the output
// and for half of the attn_v and ffn_down matrices, Q4_K for the rest. A matrix whose rows are no
// multiple of 256 takes the 32-value format nearest in size instead, as llama.cpp does.
std::vector<std::string> synth_quants();

struct SynthSpec {
  std::string shape;
  std::string quant;
  uint64_t seed = 1;
  int64_t layers = 0;  // 0: as many as the shape's; else without an MTP layer
};

// Writes the file to `path`. `progress`, when not empty, is called with a fraction from 0 to 1, and
// stops the writing by returning false: nothing is left of it then.
// An unknown shape or quantisation is misuse; the message lists those that exist. So are more
// layers than the shape has.
Status write_synth(const SynthSpec& spec, const std::string& path,
                   const std::function<bool(double)>& progress = {});

}  // namespace minke
