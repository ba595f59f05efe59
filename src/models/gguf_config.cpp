#include "models/gguf_config.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

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

Status read_rope(const GgufFile& file, const Keys& keys, ModelConfig& config) {
  MINKE_ASSIGN(const int64_t rotary,
               keys.count_or("rope.dimension_count", config.head_dim, 2, config.head_dim));
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
    scale_yarn(config.rope, base, yarn);
  } else if (type != "none") {
    return fail(fmt::format("{}: '{}' is '{}', expected none, linear or yarn", file.path(),
                            keys.key("rope.scaling.type"), type));
  }

  const GgufTensor* factors = file.find("rope_freqs.weight");
  if (factors == nullptr) return {};
  const auto pairs = static_cast<int64_t>(config.rope.frequencies.size());
  if (factors->type != QuantType::kF32 || factors->shape.count() != pairs ||
      factors->data == nullptr) {
    return fail(fmt::format("{}: tensor 'rope_freqs.weight' is {} {}, expected F32 [{}]",
                            file.path(), quant_name(factors->type), factors->shape.str(), pairs));
  }
  std::vector<float> values(static_cast<size_t>(pairs));
  quant_format(QuantType::kF32).decode(factors->data, values.data(), pairs);
  for (float value : values) {
    if (!(value > 1e-6F && value < 1e6F)) {
      return fail(fmt::format("{}: tensor 'rope_freqs.weight' holds {}, expected positive factors",
                              file.path(), value));
    }
  }
  scale_by_factors(config.rope, values);
  return {};
}

}  // namespace

Result<ModelConfig> read_decoder_config(const GgufFile& file, RopePairs pairs) {
  ModelConfig config;
  MINKE_ASSIGN(const std::string_view architecture, file.text("general.architecture"));
  config.architecture = std::string(architecture);
  MINKE_ASSIGN(config.name, file.model_name());
  config.rope.pairs = pairs;
  const Keys keys(file, config.architecture);
  MINKE_ASSIGN(config.layers, keys.count("block_count", 1, 1000));
  MINKE_ASSIGN(config.dim, keys.count("embedding_length", 1, 1 << 20));
  MINKE_ASSIGN(config.heads, keys.count("attention.head_count", 1, 1 << 14));
  MINKE_ASSIGN(config.kv_heads,
               keys.count_or("attention.head_count_kv", config.heads, 1, config.heads));
  MINKE_ASSIGN(config.ffn_dim, keys.count("feed_forward_length", 1, 1 << 22));
  MINKE_ASSIGN(config.context_max, keys.count("context_length", 1, 1 << 28));
  if (config.dim / config.heads < 2 && !file.has(keys.key("attention.key_length"))) {
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
  MINKE_ASSIGN(const double epsilon,
               keys.number_or("attention.layer_norm_rms_epsilon", 1e-5, 0.0, 1.0));
  config.norm_epsilon = static_cast<float>(epsilon);
  MINKE_TRY(read_rope(file, keys, config));

  const GgufTensor* table = file.find("token_embd.weight");
  if (table == nullptr) {
    return fail(
        fmt::format("{}: tensor 'token_embd.weight' is missing; is the download complete, "
                    "and is it a language model?",
                    file.path()));
  }
  if (table->shape.rank() != 2 || table->shape[1] != config.dim || table->shape[0] < 1) {
    return fail(fmt::format("{}: tensor 'token_embd.weight' is {}, expected [vocabulary, {}]",
                            file.path(), table->shape.str(), config.dim));
  }
  config.vocab_size = table->shape[0];
  config.tied_embeddings = file.find("output.weight") == nullptr;
  config.qkv_bias = file.find("blk.0.attn_q.bias") != nullptr;
  config.attn_output_bias = file.find("blk.0.attn_output.bias") != nullptr;
  return config;
}

}  // namespace minke
