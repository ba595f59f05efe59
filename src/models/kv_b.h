// The matrix attn_kv_b of older deepseek2 files: for each head, the rows that make its keys of a
// latent and then those that make its values, [heads * (nope + value), kv_rank]. The absorbed form
// (models/latent_attention.h) multiplies by the two apart, and by the keys' half from its other
// side.
#pragma once

#include <string>

#include "io/gguf.h"
#include "models/model.h"

namespace minke {

// Whether `weight` is an attn_k_b or attn_v_b that comes out of the file's attn_kv_b, which folders
// of Hugging Face's always have.
bool is_half_of_kv_b(const GgufFile& file, const Weight& weight);
// That of such a weight.
std::string kv_b_name(const Weight& weight);
Shape kv_b_shape(const LatentConfig& latent, const Weight& weight);
// What the half is stored as. Values keep the file's blocks. Keys change sides, which cuts across
// blocks: quantised ones become F16.
QuantType kv_b_type(const GgufTensor& source, const Weight& weight);
// Makes rows for `weight`, in storage of its own. `source` is of kv_b_shape() and has its data.
Status take_half(const GgufTensor& source, const LatentConfig& latent, Weight& weight);

}  // namespace minke
