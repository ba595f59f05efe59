#include "models/model_shape.h"

#include <fmt/format.h>

#include <string_view>

namespace minke {
namespace {

// What deepseek2 and mixtures have besides.
void write_mixture_metadata(GgufWriter& writer, const ModelShape& shape) {
  const auto key = [&](std::string_view name) {
    return fmt::format("{}.{}", shape.architecture, name);
  };
  const auto set = [&](std::string_view name, int64_t value) {
    writer.set_uint32(key(name), static_cast<uint32_t>(value));
  };
  const MixtureConfig& m = shape.mixture;
  if (m.route.experts > 0) {
    set("expert_count", m.route.experts);
    set("expert_used_count", m.route.used);
    set("expert_feed_forward_length", m.expert_dim);
    set("expert_shared_count", m.shared);
    set("leading_dense_block_count", m.dense_layers);
    set("expert_gating_func", m.route.score == ExpertScore::kSigmoid ? 2 : 1);
    set("expert_group_count", m.route.groups);
    set("expert_group_used_count", m.route.groups_used);
    writer.set_boolean(key("expert_weights_norm"), m.route.normalise);
    writer.set_float32(key("expert_weights_scale"), m.route.scale);
  }
  const LatentConfig& a = shape.latent;
  if (a.kv_rank == 0) return;
  if (a.q_rank > 0) set("attention.q_lora_rank", a.q_rank);
  set("attention.kv_lora_rank", a.kv_rank);
  set("attention.key_length", a.kv_rank + a.rope_dim);
  set("attention.value_length", a.kv_rank);
  set("attention.key_length_mla", a.nope_dim + a.rope_dim);
  set("attention.value_length_mla", a.value_dim);
  if (shape.yarn_factor == 1.0F) return;
  writer.set_text(key("rope.scaling.type"), "yarn");
  writer.set_float32(key("rope.scaling.factor"), shape.yarn_factor);
  set("rope.scaling.original_context_length", 4096);
  writer.set_float32(key("rope.scaling.yarn_log_multiplier"), 0.1F * shape.yarn_mscale);
}

}  // namespace

void write_shape(GgufWriter& writer, const ModelShape& shape, const std::string& name) {
  const auto key = [&](std::string_view what) {
    return fmt::format("{}.{}", shape.architecture, what);
  };
  const auto set = [&](std::string_view what, int64_t value) {
    writer.set_uint32(key(what), static_cast<uint32_t>(value));
  };
  writer.set_text("general.architecture", shape.architecture);
  writer.set_text("general.name", name);
  writer.set_uint32("general.quantization_version", 2);
  set("block_count", shape.layers + (shape.mtp ? 1 : 0));
  if (shape.mtp) set("nextn_predict_layers", 1);
  set("context_length", shape.context_max);
  set("embedding_length", shape.dim);
  set("feed_forward_length", shape.ffn_dim);
  set("attention.head_count", shape.heads);
  set("attention.head_count_kv", shape.kv_heads);
  write_mixture_metadata(writer, shape);
  if (shape.latent.kv_rank == 0 && shape.head_dim * shape.heads != shape.dim) {
    set("attention.key_length", shape.head_dim);
    set("attention.value_length", shape.head_dim);
  }
  set("rope.dimension_count", shape.latent.kv_rank > 0 ? shape.latent.rope_dim : shape.head_dim);
  set("vocab_size", shape.vocab_size);
  writer.set_float32(key("rope.freq_base"), shape.rope_base);
  writer.set_float32(key("attention.layer_norm_rms_epsilon"), shape.norm_epsilon);
}

}  // namespace minke
