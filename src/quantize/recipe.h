// Which format each tensor of a model is stored in.
//
// Recipes go by the names that GGUF files are known by. "Q4_0", "Q6_K" and the like store nearly
// all matrices in that format and the output matrix in Q6_K; "Q4_K_M", "Q3_K_L" and the like spend
// more on the matrices that suffer most (values, the way back from the feed-forward part), as
// llama.cpp does. "MOE_Q2_K", "MOE_Q3_K" and "MOE_Q4_K" are ours, for mixtures of experts such as
// DeepSeek's: the routed experts, nearly all of the bytes, are low, and what every token uses is
// high. "COPY" keeps every tensor as it is. docs/cli.md has the table.
//
// Pure: the choice depends on names and shapes alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/tensor.h"
#include "quant/format.h"

namespace minke {

// What a recipe looks at, beside the tensor.
struct RecipeModel {
  int64_t layers = 0;
  int64_t dense_layers = 0;  // before the first mixture; layers where there is none
  int64_t queries_per_key = 1;
  bool tied = false;      // the embedding table is the output matrix too
  bool measured = false;  // an importance matrix is at hand
};

enum class TensorPart : uint8_t {
  kOutput,
  kEmbedding,
  kAttentionValue,  // attn_v, attn_kv_b
  kAttentionOutput,
  kAttentionLarge,  // queries, from the input or from their latent
  kAttentionSmall,  // keys, latents, the heads' own matrices
  kExpertDown,      // of routed experts
  kExpert,
  kDown,
  kOther,
};
TensorPart tensor_part(std::string_view tensor);
// The number in "blk.3.ffn_up.weight"; 0 where there is none.
int64_t tensor_layer(std::string_view tensor);

struct RecipeSpec;

class Recipe {
 public:
  // Case does not matter. Misuse where there is none of that name; the message lists them.
  static Result<Recipe> parse(std::string_view name);
  static Recipe copy();  // "COPY"
  static std::vector<std::string> names();

  std::string_view name() const;
  bool copies() const;
  bool needs_experts() const;
  // The number that general.file_type has for it; -1 where nobody assigned one.
  int64_t file_type() const;
  // The format of nearly all matrices.
  QuantType base() const;

  // For a matrix that is_quantisable(); its width may not fit: see fitting_type().
  QuantType choose(std::string_view tensor, const RecipeModel& model) const;

 private:
  explicit Recipe(const RecipeSpec& spec) : spec_(&spec) {}
  const RecipeSpec* spec_;
};

// Matrices and stacks of them; not norms, biases and routers, which are small and stay as they are.
bool is_quantisable(std::string_view tensor, const Shape& shape);

// `wanted`, or where rows of `in_dim` values are no whole number of its blocks the format of blocks
// of 32 that takes its place: Q4_0 for Q2_K and Q3_K, Q5_0 for Q4_K, Q5_1 for Q5_K, Q8_0 for Q6_K
// and Q8_K, IQ4_NL for IQ4_XS, and F16 where 32 does not fit either.
QuantType fitting_type(QuantType wanted, int64_t in_dim);

}  // namespace minke
