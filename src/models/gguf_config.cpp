#include "models/gguf_config.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "kernels/panels.h"
#include "models/hf_names.h"
#include "models/rope_scaling.h"

namespace minke {
namespace {

// Keys of the architecture at hand, e.g. "qwen2.block_count".
class Keys {
 public:
  Keys(const GgufFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  std::string key(std::string_view name) const { return fmt::format("{}.{}", architecture_, name); }

  Result<int64_t> count(std::string_view name, int64_t low, int64_t high) const {
    MINKE_ASSIGN(const int64_t value, file_.integer(key(name)));
    return checked(name, value, low, high);
  }
  Result<int64_t> count_or(std::string_view name, int64_t fallback, int64_t low,
                           int64_t high) const {
    MINKE_ASSIGN(const int64_t value, file_.integer_or(key(name), fallback));
    return checked(name, value, low, high);
  }
  Result<double> number_or(std::string_view name, double fallback, double low, double high) const {
    MINKE_ASSIGN(const double value, file_.number_or(key(name), fallback));
    if (!(value >= low && value <= high)) {
      return fail(fmt::format("{}: '{}' is {}, expected a number from {} to {}", file_.path(),
                              key(name), value, low, high));
    }
    return value;
  }

  bool has(std::string_view name) const { return file_.has(key(name)); }

 private:
  Result<int64_t> checked(std::string_view name, int64_t value, int64_t low, int64_t high) const {
    if (value < low || value > high) {
      return fail(fmt::format("{}: '{}' is {}, expected a whole number from {} to {}", file_.path(),
                              key(name), value, low, high));
    }
    return value;
  }

  const GgufFile& file_;
  std::string architecture_;
};

// `rotary_most`: the widest that a rotary embedding can be here.
Status read_rope(const GgufFile& file, const Keys& keys, int64_t rotary_most, ModelConfig& config) {
  MINKE_ASSIGN(const int64_t rotary,
               keys.count_or("rope.dimension_count", rotary_most, 2, rotary_most));
  if (rotary % 2 != 0) {
    return fail(fmt::format("{}: '{}' is {}, expected an even number", file.path(),
                            keys.key("rope.dimension_count"), rotary));
  }
  MINKE_ASSIGN(const double base, keys.number_or("rope.freq_base", 10000.0, 1.5, 1e12));
  config.rope.frequencies = rope_frequencies(base, rotary);

  MINKE_ASSIGN(const std::string_view type, file.text_or(keys.key("rope.scaling.type"), "none"));
  // Files from before 2024 have "rope.scale_linear" instead.
  MINKE_ASSIGN(const double old_factor, keys.number_or("rope.scale_linear", 1.0, 1.0, 1e6));
  MINKE_ASSIGN(const double factor, keys.number_or("rope.scaling.factor", old_factor, 1e-3, 1e6));
  if (type == "linear" || (type == "none" && old_factor != 1.0)) {
    scale_linear(config.rope, factor);
  } else if (type == "yarn") {
    YarnScaling yarn{.factor = factor};
    MINKE_ASSIGN(yarn.original_context,
                 keys.number_or("rope.scaling.original_context_length",
                                static_cast<double>(config.context_max), 1.0, 1e9));
    MINKE_ASSIGN(yarn.attention_factor, keys.number_or("rope.scaling.attn_factor", 1.0, 1e-3, 1e3));
    MINKE_ASSIGN(yarn.beta_fast, keys.number_or("rope.scaling.yarn_beta_fast", 32.0, 1e-3, 1e6));
    MINKE_ASSIGN(yarn.beta_slow, keys.number_or("rope.scaling.yarn_beta_slow", 1.0, 1e-3, 1e6));
    if (keys.has("rope.scaling.yarn_log_multiplier")) {
      // DeepSeek scales scores in place of sine and cosine; the file has 0.1 * mscale_all_dim.
      MINKE_ASSIGN(const double multiplier,
                   keys.number_or("rope.scaling.yarn_log_multiplier", 0.0, 0.0, 10.0));
      const double scale = 1.0 + multiplier * std::log(factor);
      config.latent.score_scale *= static_cast<float>(scale * scale);
    }
    scale_yarn(config.rope, base, yarn);
    if (config.latent.kv_rank > 0) config.rope.magnitude = 1.0F;
  } else if (type != "none") {
    return fail(fmt::format("{}: '{}' is '{}', expected none, linear or yarn", file.path(),
                            keys.key("rope.scaling.type"), type));
  }

  const GgufTensor* factors = file.find("rope_freqs.weight");
  if (factors == nullptr) return {};
  const auto pairs = static_cast<int64_t>(config.rope.frequencies.size());
  if (factors->type != QuantType::kF32 || factors->shape.count() != pairs || !factors->is_whole()) {
    return fail(fmt::format("{}: tensor 'rope_freqs.weight' is {} {}, expected F32 [{}]",
                            file.path(), quant_name(factors->type), factors->shape.str(), pairs));
  }
  std::vector<float> values(static_cast<size_t>(pairs));
  MINKE_ASSIGN(const GgufBytes bytes, GgufFile::bytes_of(*factors));
  quant_format(QuantType::kF32).decode(bytes.data, values.data(), pairs);
  for (float value : values) {
    if (!(value > 1e-6F && value < 1e6F)) {
      return fail(fmt::format("{}: tensor 'rope_freqs.weight' holds {}, expected positive factors",
                              file.path(), value));
    }
  }
  scale_by_factors(config.rope, values);
  return {};
}

// The mixture's keys, of deepseek2 and the mixtures of qwen3. `route` comes with the architecture's
// own way of scoring, for files that do not say.
Status read_mixture(const GgufFile& file, const Keys& keys, ModelConfig& config) {
  MixtureConfig& m = config.mixture;
  MINKE_ASSIGN(m.route.experts, keys.count("expert_count", 1, 1 << 14));
  MINKE_ASSIGN(m.route.used, keys.count("expert_used_count", 1, m.route.experts));
  MINKE_ASSIGN(m.expert_dim, keys.count("expert_feed_forward_length", 1, 1 << 22));
  MINKE_ASSIGN(m.shared, keys.count_or("expert_shared_count", 0, 0, 1 << 10));
  MINKE_ASSIGN(m.dense_layers, keys.count_or("leading_dense_block_count", 0, 0, config.layers));
  MINKE_ASSIGN(const int64_t gating,
               keys.count_or("expert_gating_func", static_cast<int64_t>(m.route.score) + 1, 1, 2));
  m.route.score = gating == 2 ? ExpertScore::kSigmoid : ExpertScore::kSoftmax;
  MINKE_ASSIGN(m.route.normalise,
               file.boolean_or(keys.key("expert_weights_norm"), m.route.normalise));
  MINKE_ASSIGN(const double scale, keys.number_or("expert_weights_scale", 1.0, 0.0, 1e6));
  m.route.scale = scale == 0.0 ? 1.0F : static_cast<float>(scale);
  // Files from before 2026 do not tell of groups; V3 and R1 have 256 experts, V2 has 160.
  const bool v3 = m.route.experts == 256 && m.route.score == ExpertScore::kSigmoid;
  const bool v2 = m.route.experts == 160 && m.route.score == ExpertScore::kSoftmax;
  MINKE_ASSIGN(m.route.groups,
               keys.count_or("expert_group_count", v2 || v3 ? 8 : 1, 1, m.route.experts));
  MINKE_ASSIGN(m.route.groups_used, keys.count_or("expert_group_used_count",
                                                  v3   ? 4
                                                  : v2 ? 3
                                                       : m.route.groups,
                                                  1, m.route.groups));
  const int64_t in_group = m.route.experts / m.route.groups;
  if (m.route.experts % m.route.groups != 0 || m.route.used > in_group * m.route.groups_used) {
    return fail(fmt::format("{}: {} of {} experts a token cannot come from {} of {} groups",
                            file.path(), m.route.used, m.route.experts, m.route.groups_used,
                            m.route.groups));
  }
  if (m.expert_dim % kPanelOutputs != 0 || config.dim % kPanelOutputs != 0) {
    return fail(fmt::format("{}: experts of {} inputs and a width of {}, expected multiples of {}",
                            file.path(), config.dim, m.expert_dim, kPanelOutputs));
  }
  m.has_bias = file.find(fmt::format("blk.{}.exp_probs_b.bias", m.dense_layers)) != nullptr;
  return {};
}

// What the file has of the layer that predicts further. Some files count it and have left it out.
MtpConfig read_mtp(const GgufFile& file, int64_t layer) {
  const auto has = [&](std::string_view part) {
    return file.find(fmt::format("blk.{}.nextn.{}.weight", layer, part)) != nullptr;
  };
  if (!has("eh_proj")) return {};
  return {.present = true,
          .own_embedding = has("embed_tokens"),
          .own_norm = has("shared_head_norm"),
          .own_head = has("shared_head_head")};
}

// What all architectures have.
Status read_basics(const GgufFile& file, const Keys& keys, ModelConfig& config) {
  MINKE_ASSIGN(config.name, file.model_name());
  MINKE_ASSIGN(config.layers, keys.count("block_count", 1, 1000));
  MINKE_ASSIGN(config.dim, keys.count("embedding_length", 1, 1 << 20));
  MINKE_ASSIGN(config.heads, keys.count("attention.head_count", 1, 1 << 14));
  MINKE_ASSIGN(config.ffn_dim, keys.count("feed_forward_length", 1, 1 << 22));
  MINKE_ASSIGN(config.context_max, keys.count("context_length", 1, 1 << 28));
  MINKE_ASSIGN(const double epsilon,
               keys.number_or("attention.layer_norm_rms_epsilon", 1e-5, 0.0, 1.0));
  config.norm_epsilon = static_cast<float>(epsilon);

  const GgufTensor* table = file.find("token_embd.weight");
  const std::string known_as = tensor_name_in(file, "token_embd.weight");
  if (table == nullptr) {
    return fail(
        fmt::format("{}: tensor '{}' is missing; is the download complete, and is it a language "
                    "model?",
                    file.path(), known_as));
  }
  if (table->shape.rank() != 2 || table->shape[1] != config.dim || table->shape[0] < 1) {
    return fail(fmt::format("{}: tensor '{}' is {}, expected [vocabulary, {}]", file.path(),
                            known_as, table->shape.str(), config.dim));
  }
  config.vocab_size = table->shape[0];
  config.tied_embeddings = file.find("output.weight") == nullptr;
  return {};
}

}  // namespace

Result<ModelConfig> read_decoder_config(const GgufFile& file, const DecoderTraits& traits) {
  ModelConfig config;
  MINKE_ASSIGN(const std::string_view architecture, file.text("general.architecture"));
  config.architecture = std::string(architecture);
  config.rope.pairs = traits.pairs;
  config.qk_norm = traits.qk_norm;
  const Keys keys(file, config.architecture);
  MINKE_TRY(read_basics(file, keys, config));
  MINKE_ASSIGN(config.kv_heads,
               keys.count_or("attention.head_count_kv", config.heads, 1, config.heads));
  if (config.dim / config.heads < 2 && !keys.has("attention.key_length")) {
    return fail(fmt::format("{}: '{}' is {}, too many for a width of {}", file.path(),
                            keys.key("attention.head_count"), config.heads, config.dim));
  }
  MINKE_ASSIGN(config.head_dim,
               keys.count_or("attention.key_length", config.dim / config.heads, 2, 1 << 14));
  MINKE_ASSIGN(const int64_t value_length,
               keys.count_or("attention.value_length", config.head_dim, 2, 1 << 14));
  if (config.heads % config.kv_heads != 0) {
    return fail(fmt::format("{}: {} heads cannot share {} key-value heads evenly", file.path(),
                            config.heads, config.kv_heads));
  }
  if (config.head_dim % 2 != 0 || value_length != config.head_dim) {
    return fail(
        fmt::format("{}: heads have {} wide keys and {} wide values, expected an even width, "
                    "the same for both",
                    file.path(), config.head_dim, value_length));
  }
  MINKE_TRY(read_rope(file, keys, config.head_dim, config));
  config.qkv_bias = file.find("blk.0.attn_q.bias") != nullptr;
  config.attn_output_bias = file.find("blk.0.attn_output.bias") != nullptr;
  if (traits.mixture) {
    config.mixture.route.normalise = true;
    MINKE_TRY(read_mixture(file, keys, config));
  }
  return config;
}

Result<ModelConfig> read_deepseek_config(const GgufFile& file) {
  ModelConfig config;
  config.architecture = "deepseek2";
  config.rope.pairs = RopePairs::kAdjacent;
  const Keys keys(file, config.architecture);
  MINKE_TRY(read_basics(file, keys, config));
  // Layers that predict further tokens come last, and are not the model's own.
  MINKE_ASSIGN(config.extra_layers, keys.count_or("nextn_predict_layers", 0, 0, config.layers - 1));
  config.layers -= config.extra_layers;
  if (config.extra_layers > 0) config.mtp = read_mtp(file, config.layers);
  LatentConfig& a = config.latent;
  MINKE_ASSIGN(a.q_rank, keys.count_or("attention.q_lora_rank", 0, 0, 1 << 16));
  MINKE_ASSIGN(a.kv_rank, keys.count("attention.kv_lora_rank", 2, 1 << 16));
  // Newer files give the cache's widths as key and value length, and a head's beside them.
  const bool newer = keys.has("attention.key_length_mla");
  MINKE_ASSIGN(const int64_t key_dim,
               keys.count(newer ? "attention.key_length_mla" : "attention.key_length", 4, 1 << 14));
  MINKE_ASSIGN(
      a.value_dim,
      keys.count(newer ? "attention.value_length_mla" : "attention.value_length", 2, 1 << 14));
  MINKE_ASSIGN(a.rope_dim, keys.count("rope.dimension_count", 2, key_dim - 2));
  a.nope_dim = key_dim - a.rope_dim;
  if (a.rope_dim % 2 != 0 || a.kv_rank % kPanelOutputs != 0 || a.value_dim % kPanelOutputs != 0) {
    return fail(
        fmt::format("{}: latents of {}, rotary keys of {} and values of {}, expected "
                    "multiples of {}, 2 and {}",
                    file.path(), a.kv_rank, a.rope_dim, a.value_dim, kPanelOutputs, kPanelOutputs));
  }
  config.kv_heads = 1;
  config.head_dim = a.kv_rank + a.rope_dim;
  a.score_scale = 1.0F / std::sqrt(static_cast<float>(key_dim));
  MINKE_TRY(read_rope(file, keys, a.rope_dim, config));
  MINKE_TRY(read_mixture(file, keys, config));
  return config;
}

}  // namespace minke
