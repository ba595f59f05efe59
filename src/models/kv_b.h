// The matrix attn_kv_b of older deepseek2 files: for each head, the rows that make its keys of a
// latent and then those that make its values, [heads * (nope + value), kv_rank]. The absorbed form
// (models/latent_attention.h) multiplies by the two apart, and by the keys' half from its other
// side.
#pragma once

#include "io/gguf.h"
#include "models/model.h"

namespace minke {

// The file's attn_kv_b that `weight`, an attn_k_b or attn_v_b which the file does not have, comes
// out of; nullptr for all other weights.
const GgufTensor* kv_b_source(const GgufFile& file, const Weight& weight);
// What the half is stored as. Values keep the file's blocks. Keys change sides, which cuts across
// blocks: quantised ones become F16.
QuantType kv_b_type(const GgufTensor& source, const Weight& weight);
// Makes rows for `weight`, in storage of its own.
Status take_half(const GgufFile& file, const GgufTensor& source, const LatentConfig& latent,
                 Weight& weight);

}  // namespace minke
