#include "models/hf_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>

#include "io/gguf_writer.h"
#include "io/json_file.h"
#include "io/safetensors.h"
#include "models/gguf_tokenizer.h"
#include "models/hf_names.h"
#include "models/hf_tensors.h"
#include "models/hf_tokenizer.h"
#include "models/rope_scaling.h"

namespace minke {
namespace {

using Json = nlohmann::json;

// --- config.json
// -----------------------------------------------------------------------------------

// Values of an object of config.json, by the names that Hugging Face gives them.
class Config {
 public:
  Config(const Json& json, std::string path) : json_(json), path_(std::move(path)) {}

  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }
  Result<int64_t> count(const char* key, int64_t low, int64_t high) const {
    const int64_t value =
        has(key) && json_[key].is_number_integer() ? json_[key].get<int64_t>() : -1;
    if (value < low || value > high) {
      return wrong(key, fmt::format("a whole number from {} to {}", low, high));
    }
    return value;
  }
  Result<int64_t> count_or(const char* key, int64_t fallback, int64_t low, int64_t high) const {
    if (!has(key)) return fallback;
    return count(key, low, high);
  }
  Result<double> number_or(const char* key, double fallback) const {
    if (!has(key)) return fallback;
    if (!json_[key].is_number()) return wrong(key, "a number");
    return json_[key].get<double>();
  }
  // Of a key that must be there.
  Result<double> number(const char* key, double low, double high) const {
    const double value = has(key) && json_[key].is_number() ? json_[key].get<double>() : low - 1;
    if (!(value >= low && value <= high)) {
      return wrong(key, fmt::format("a number from {} to {}", low, high));
    }
    return value;
  }
  // Where the key is there, its value must be one of `allowed`.
  Status expect(const char* key, std::initializer_list<Json> allowed) const {
    if (!has(key) || std::ranges::find(allowed, json_[key]) != allowed.end()) return {};
    std::string known;
    for (const Json& one : allowed) known += (known.empty() ? "" : " or ") + one.dump();
    return wrong(key, known);
  }
  std::unexpected<Error> wrong(const char* key, std::string_view expected) const {
    return fail(fmt::format("{}: '{}' is {}, expected {}", path_, key,
                            has(key) ? json_[key].dump().substr(0, 60) : "missing", expected));
  }
  bool flag(const char* key) const { return has(key) && json_[key] == true; }
  std::string text(const char* key) const {
    return has(key) && json_[key].is_string() ? json_[key].get<std::string>() : std::string();
  }
  const Json& value(const char* key) const { return json_[key]; }  // of a key that is there
  // An object inside; empty when there is none.
  Config inner(const char* key) const {
    static const Json nothing = Json::object();
    return {has(key) && json_[key].is_object() ? json_[key] : nothing, path_ + ", " + key};
  }
  const Json& all() const { return json_; }
  const std::string& path() const { return path_; }

 private:
  const Json& json_;
  std::string path_;
};

struct Family {
  const char* model_type;    // Hugging Face's
  const char* architecture;  // GGUF's
};
constexpr Family kFamilies[] = {{"llama", "llama"},           {"qwen2", "qwen2"},
                                {"qwen3", "qwen3"},           {"qwen3_moe", "qwen3moe"},
                                {"deepseek_v2", "deepseek2"}, {"deepseek_v3", "deepseek2"}};

// What the rest needs to know of the model.
struct Facts {
  std::string config_path;
  std::string architecture;
  int64_t layers = 0;
  int64_t mtp_layers = 0;  // behind those
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  int64_t experts = 0;
  int64_t dense_layers = 0;  // before the first with experts
  int64_t vocab_size = 0;
  bool tied = false;
  bool qkv_bias = false, attn_output_bias = false;
  bool router_bias = false;  // a correction added to the experts' scores before the choice
  double rope_base = 10000.0;
  std::optional<Llama3Scaling> llama3;
};

// Keys of the architecture at hand.
class Keys {
 public:
  Keys(GgufWriter& writer, std::string architecture)
      : writer_(writer), architecture_(std::move(architecture)) {}
  void set(std::string_view name, int64_t value) {
    writer_.set_uint32(key(name), static_cast<uint32_t>(value));
  }
  void set(std::string_view name, double value) {
    writer_.set_float32(key(name), static_cast<float>(value));
  }
  void set_flag(std::string_view name, bool value) { writer_.set_boolean(key(name), value); }
  void set_text(std::string_view name, std::string_view value) {
    writer_.set_text(key(name), value);
  }

 private:
  std::string key(std::string_view name) const { return fmt::format("{}.{}", architecture_, name); }
  GgufWriter& writer_;
  std::string architecture_;
};

// The kind of scaling that an object speaks of: older folders say "type".
Result<std::string> rope_type(const Config& scaling) {
  const char* key = scaling.has("rope_type") ? "rope_type" : "type";
  if (!scaling.has(key)) return std::string("default");
  if (scaling.text(key).empty()) return scaling.wrong(key, "default, linear, yarn or llama3");
  return scaling.text(key);
}

// Some folders say how positions are scaled under both the newer name and the older: then twice the
// same. The base may be with either.
Status check_agree(const Config& config) {
  const Config newer = config.inner("rope_parameters"), older = config.inner("rope_scaling");
  const auto differ = [&](std::string_view key, const std::string& one, const std::string& other) {
    return fail(
        fmt::format("{}: 'rope_parameters' and 'rope_scaling' contradict each other: '{}' "
                    "is {} and {}; leave out the one that is wrong",
                    config.path(), key, one, other));
  };
  MINKE_ASSIGN(const std::string newer_type, rope_type(newer));
  MINKE_ASSIGN(const std::string older_type, rope_type(older));
  if (newer_type != older_type) return differ("rope_type", newer_type, older_type);
  for (const Config* object : {&newer, &older}) {
    for (const auto& [name, value] : object->all().items()) {
      if (name == "type" || name == "rope_type") continue;
      const char* key = name.c_str();
      if (name == "rope_theta" && !(newer.has(key) && older.has(key))) continue;
      const auto said = [&](const Config& by) {
        return by.has(key) ? by.value(key).dump().substr(0, 60) : std::string("missing");
      };
      if (newer.has(key) != older.has(key) ||
          (newer.has(key) && newer.value(key) != older.value(key))) {
        return differ(name.substr(0, 60), said(newer), said(older));
      }
    }
  }
  return {};
}

Status write_rope(const Config& config, Keys& keys, Facts& facts) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    if (config.has(key) && !config.value(key).is_object()) return config.wrong(key, "an object");
  }
  const bool newer = config.has("rope_parameters");
  if (newer && config.has("rope_scaling")) MINKE_TRY(check_agree(config));
  // Newer folders keep the base with the scaling.
  const Config scaling = config.inner(newer ? "rope_parameters" : "rope_scaling");
  MINKE_ASSIGN(facts.rope_base, config.number_or("rope_theta", 10000.0));
  MINKE_ASSIGN(facts.rope_base,
               config.inner("rope_scaling").number_or("rope_theta", facts.rope_base));
  MINKE_ASSIGN(facts.rope_base, scaling.number_or("rope_theta", facts.rope_base));
  keys.set("rope.freq_base", facts.rope_base);
  MINKE_ASSIGN(const std::string type, rope_type(scaling));
  if (type == "default") return {};
  if (type != "linear" && type != "yarn" && type != "llama3") {
    return fail(fmt::format("{}: the type is '{}', expected default, linear, yarn or llama3",
                            scaling.path(), type));
  }
  MINKE_ASSIGN(const double factor, scaling.number("factor", 1e-3, 1e6));
  MINKE_ASSIGN(const int64_t context, config.count("max_position_embeddings", 1, 1 << 28));
  // As transformers has it: where a scaling does not say what it scales, it is what config.json
  // calls the longest context.
  const char* original_key = "original_max_position_embeddings";
  auto original = static_cast<double>(context);
  if (scaling.has(original_key)) {
    MINKE_ASSIGN(original, scaling.number(original_key, 1.0, 1e9));
  }
  if (type == "llama3") {
    Llama3Scaling llama3 = {.factor = factor, .original = original};
    MINKE_ASSIGN(llama3.low, scaling.number_or("low_freq_factor", llama3.low));
    MINKE_ASSIGN(llama3.high, scaling.number_or("high_freq_factor", llama3.high));
    facts.llama3 = llama3;
    return {};
  }
  keys.set_text("rope.scaling.type", type);
  keys.set("rope.scaling.factor", factor);
  if (type == "linear") return {};
  keys.set("rope.scaling.original_context_length", static_cast<int64_t>(original));
  MINKE_ASSIGN(const double fast, scaling.number_or("beta_fast", 32.0));
  MINKE_ASSIGN(const double slow, scaling.number_or("beta_slow", 1.0));
  keys.set("rope.scaling.yarn_beta_fast", fast);
  keys.set("rope.scaling.yarn_beta_slow", slow);
  if (scaling.has("attention_factor")) {
    // There the whole product, here what multiplies the paper's.
    MINKE_ASSIGN(const double whole, scaling.number_or("attention_factor", 1.0));
    keys.set("rope.scaling.attn_factor", whole / (0.1 * std::log(factor) + 1.0));
  }
  if (facts.architecture == "deepseek2") {
    MINKE_ASSIGN(const double mscale, scaling.number_or("mscale_all_dim", 0.0));
    keys.set("rope.scaling.yarn_log_multiplier", 0.1 * mscale);
  }
  return {};
}

Status write_mixture(const Config& config, Keys& keys, Facts& facts) {
  const bool qwen = facts.architecture == "qwen3moe";
  // transformers 5 writes num_local_experts for what the models' own files call num_experts.
  const char* key = !qwen                       ? "n_routed_experts"
                    : config.has("num_experts") ? "num_experts"
                                                : "num_local_experts";
  MINKE_ASSIGN(facts.experts, config.count(key, 1, 1 << 14));
  MINKE_ASSIGN(const int64_t used, config.count("num_experts_per_tok", 1, facts.experts));
  MINKE_ASSIGN(const int64_t width, config.count("moe_intermediate_size", 1, 1 << 22));
  keys.set("expert_count", facts.experts);
  keys.set("expert_used_count", used);
  keys.set("expert_feed_forward_length", width);
  keys.set_flag("expert_weights_norm", config.flag("norm_topk_prob"));
  if (qwen) {
    MINKE_TRY(config.expect("decoder_sparse_step", {1}));
    return config.expect("mlp_only_layers", {Json::array()});
  }
  MINKE_ASSIGN(const int64_t shared, config.count_or("n_shared_experts", 0, 0, 1 << 10));
  MINKE_ASSIGN(facts.dense_layers, config.count_or("first_k_dense_replace", 0, 0, facts.layers));
  MINKE_ASSIGN(int64_t groups, config.count_or("n_group", 1, 1, facts.experts));
  MINKE_ASSIGN(int64_t groups_used, config.count_or("topk_group", 1, 1, groups));
  MINKE_ASSIGN(const double scale, config.number_or("routed_scaling_factor", 1.0));
  const bool v3 = config.text("model_type") == "deepseek_v3";
  MINKE_TRY(config.expect("moe_layer_freq", {1}));
  MINKE_TRY(config.expect("scoring_func", {"softmax", "sigmoid"}));
  MINKE_TRY(config.expect("topk_method", {"greedy", "group_limited_greedy", "noaux_tc"}));
  const std::string scoring = config.text("scoring_func");
  const bool sigmoid = scoring == "sigmoid" || (scoring.empty() && v3);
  const std::string method = config.has("topk_method") ? config.text("topk_method")
                             : v3                      ? "noaux_tc"
                                                       : "greedy";
  if (method == "greedy") groups = groups_used = 1;
  facts.router_bias = sigmoid || method == "noaux_tc";
  // A group counts by its best two scores with sigmoids, and by its best with softmax.
  if (groups > 1 && sigmoid != (method == "noaux_tc")) {
    return config.wrong("topk_method", sigmoid
                                           ? "\"noaux_tc\" with sigmoid for scores"
                                           : "\"group_limited_greedy\" with softmax for scores");
  }
  keys.set("expert_shared_count", shared);
  keys.set("leading_dense_block_count", facts.dense_layers);
  keys.set("expert_group_count", groups);
  keys.set("expert_group_used_count", groups_used);
  keys.set("expert_weights_scale", scale);
  keys.set("expert_gating_func", int64_t{sigmoid ? 2 : 1});
  return {};
}

Status write_latent(const Config& config, Keys& keys, Facts& facts) {
  MINKE_ASSIGN(const int64_t q_rank, config.count_or("q_lora_rank", 0, 0, 1 << 16));
  MINKE_ASSIGN(const int64_t kv_rank, config.count("kv_lora_rank", 2, 1 << 16));
  MINKE_ASSIGN(const int64_t nope, config.count("qk_nope_head_dim", 2, 1 << 14));
  MINKE_ASSIGN(const int64_t rope, config.count("qk_rope_head_dim", 2, 1 << 14));
  MINKE_ASSIGN(const int64_t value, config.count("v_head_dim", 2, 1 << 14));
  if (q_rank > 0) keys.set("attention.q_lora_rank", q_rank);
  keys.set("attention.kv_lora_rank", kv_rank);
  keys.set("attention.key_length", nope + rope);
  keys.set("attention.value_length", value);
  keys.set("rope.dimension_count", rope);
  facts.head_dim = rope;
  return {};
}

// Attention here sees all that came before.
Status check_attends_to_all(const Config& config, const Facts& facts) {
  if (config.has("layer_types")) {
    for (const Json& type : config.value("layer_types")) {
      if (type == "full_attention") continue;
      return config.wrong("layer_types", fmt::format("\"full_attention\" in every layer, found {}",
                                                     type.dump().substr(0, 60)));
    }
  }
  if (!config.flag("use_sliding_window")) return {};
  // Qwen's dense models let only those from max_window_layers on have windows; newer folders say
  // the same by layer_types.
  if (facts.architecture != "qwen3moe") {
    if (config.has("layer_types")) return {};
    MINKE_ASSIGN(const int64_t whole, config.count_or("max_window_layers", 0, 0, 1 << 20));
    if (whole >= facts.layers) return {};
  }
  return config.wrong("use_sliding_window", "false: minke has no sliding windows");
}

// What the families' code can be told to compute, and minke's does not.
Status check_known(const Config& config, Facts& facts) {
  MINKE_TRY(config.expect("hidden_act", {"silu", "swish"}));
  MINKE_TRY(config.expect("mlp_bias", {false}));
  if (facts.architecture == "deepseek2") {
    MINKE_TRY(config.expect("attention_bias", {false}));
    MINKE_TRY(config.expect("rope_interleave", {true}));
  } else {
    const bool qwen2 = facts.architecture == "qwen2";  // whatever its config.json says of biases
    facts.attn_output_bias = !qwen2 && config.flag("attention_bias");
    facts.qkv_bias = qwen2 || facts.attn_output_bias;
  }
  return check_attends_to_all(config, facts);
}

// Weights of few bits come in many ways; one of them is known.
Status check_quantisation(const Config& config) {
  constexpr std::string_view kKnown =
      "a folder with weights in BF16, F16 or F32, or in FP8 with scales of blocks of 128 x 128 "
      "(quant_method \"fp8\", fmt \"e4m3\", weight_block_size [128,128])";
  if (!config.has("quantization_config")) return {};
  if (!config.value("quantization_config").is_object()) {
    return config.wrong("quantization_config", kKnown);
  }
  const Config how = config.inner("quantization_config");
  if (how.text("quant_method") != "fp8") return how.wrong("quant_method", kKnown);
  if (how.has("fmt") && how.text("fmt") != "e4m3") return how.wrong("fmt", kKnown);
  if (!how.has("weight_block_size") ||
      how.value("weight_block_size") != Json::array({kScaleBlock, kScaleBlock})) {
    return how.wrong("weight_block_size", kKnown);
  }
  return {};
}

// How many layers that predict further tokens the folder has anything of: many leave out what
// config.json counts.
Result<int64_t> count_mtp_layers(const Config& config, int64_t layers, const Safetensors& files) {
  MINKE_ASSIGN(const int64_t told, config.count_or("num_nextn_predict_layers", 0, 0, 100));
  int64_t count = 0;
  const auto has_layer = [&](int64_t layer) {
    const std::string block = fmt::format("model.layers.{}.", layer);
    const auto first = files.tensors().lower_bound(block);
    return first != files.tensors().end() && first->first.starts_with(block);
  };
  while (count < told && has_layer(layers + count)) ++count;
  return count;
}

Result<Facts> write_config(const Config& config, const std::string& name, const Safetensors& files,
                           GgufWriter& writer) {
  const std::string type = config.text("model_type");
  const auto* family = std::ranges::find(kFamilies, type, &Family::model_type);
  if (family == std::end(kFamilies)) {
    std::string known;
    for (const Family& one : kFamilies)
      known += fmt::format("{}{}", known.empty() ? "" : ", ", one.model_type);
    return fail(
        fmt::format("{}: the model_type is '{}'; minke knows {}", config.path(), type, known));
  }
  Facts facts;
  facts.config_path = config.path();
  facts.architecture = family->architecture;
  writer.set_text("general.architecture", facts.architecture);
  writer.set_text("general.name", name);
  Keys keys(writer, facts.architecture);
  MINKE_ASSIGN(facts.layers, config.count("num_hidden_layers", 1, 1000));
  MINKE_TRY(check_known(config, facts));
  MINKE_ASSIGN(const int64_t dim, config.count("hidden_size", 1, 1 << 20));
  MINKE_ASSIGN(facts.heads, config.count("num_attention_heads", 1, 1 << 14));
  MINKE_ASSIGN(facts.kv_heads, config.count_or("num_key_value_heads", facts.heads, 1, facts.heads));
  MINKE_ASSIGN(facts.vocab_size, config.count("vocab_size", 1, 1 << 24));
  MINKE_ASSIGN(const int64_t ffn, config.count("intermediate_size", 1, 1 << 22));
  MINKE_ASSIGN(const int64_t context, config.count("max_position_embeddings", 1, 1 << 28));
  double epsilon = 1e-6;
  if (config.has("rms_norm_eps")) {
    MINKE_ASSIGN(epsilon, config.number("rms_norm_eps", 0.0, 1.0));
  }
  facts.tied = config.flag("tie_word_embeddings");
  if (facts.architecture == "deepseek2") {
    MINKE_ASSIGN(facts.mtp_layers, count_mtp_layers(config, facts.layers, files));
  }
  if (facts.mtp_layers > 0) keys.set("nextn_predict_layers", facts.mtp_layers);
  keys.set("block_count", facts.layers + facts.mtp_layers);
  keys.set("context_length", context);
  keys.set("embedding_length", dim);
  keys.set("feed_forward_length", ffn);
  keys.set("attention.head_count", facts.heads);
  keys.set("attention.head_count_kv", facts.kv_heads);
  keys.set("attention.layer_norm_rms_epsilon", epsilon);
  keys.set("vocab_size", facts.vocab_size);
  if (facts.architecture == "deepseek2") {
    MINKE_TRY(write_latent(config, keys, facts));
    MINKE_TRY(write_mixture(config, keys, facts));
  } else {
    MINKE_ASSIGN(facts.head_dim, config.count_or("head_dim", dim / facts.heads, 2, 1 << 14));
    keys.set("attention.key_length", facts.head_dim);
    keys.set("attention.value_length", facts.head_dim);
    keys.set("rope.dimension_count", facts.head_dim);
    if (facts.architecture == "qwen3moe") MINKE_TRY(write_mixture(config, keys, facts));
  }
  MINKE_TRY(write_rope(config, keys, facts));
  return facts;
}

// --- Tokenizer and sampling
// ------------------------------------------------------------------------

Status write_tokenizer(const std::string& folder, const Config& generation, const Facts& facts,
                       GgufWriter& writer) {
  MINKE_ASSIGN(const TokenizerSpec spec, read_hf_tokenizer(folder, facts.vocab_size));
  MINKE_ASSIGN(const std::string chat_template, read_hf_chat_template(folder));
  write_tokenizer_spec(spec, chat_template, writer);

  const auto set_number = [&](const char* from, const char* to) -> Status {
    if (!generation.has(from)) return {};
    MINKE_ASSIGN(const double value, generation.number_or(from, 0.0));
    writer.set_float32(to, static_cast<float>(value));
    return {};
  };
  MINKE_TRY(set_number("temperature", "general.sampling.temp"));
  MINKE_TRY(set_number("top_p", "general.sampling.top_p"));
  MINKE_TRY(set_number("min_p", "general.sampling.min_p"));
  if (generation.has("top_k")) {
    MINKE_ASSIGN(const int64_t top_k, generation.count("top_k", 0, 1'000'000));
    writer.set_int32("general.sampling.top_k", static_cast<int32_t>(top_k));
  }
  return {};
}

// --- Tensors
// ---------------------------------------------------------------------------------------

// Of the tensor with the scales of an FP8 weight.
constexpr std::string_view kScalesSuffix = "_scale_inv";

class Tensors {
 public:
  Tensors(const std::string& folder, const Facts& facts, const Safetensors& files)
      : folder_(folder), facts_(facts), files_(files) {}

  Result<std::map<std::string, HfTarget>> all() {
    MINKE_TRY(check_present());
    for (const auto& [name, tensor] : files_.tensors()) MINKE_TRY(add(name, tensor));
    for (auto& [name, experts] : stacks_) MINKE_TRY(add_stack(name, experts));
    if (facts_.llama3) {
      targets_["rope_freqs.weight"] = {
          .shape = {facts_.head_dim / 2},
          .values = llama3_factors(facts_.rope_base, facts_.head_dim, *facts_.llama3)};
    }
    return std::move(targets_);
  }

 private:
  std::unexpected<Error> wrong(const std::string& name, std::string_view what) const {
    return fail(fmt::format("{}: tensor '{}' {}", folder_, name.substr(0, 200), what));
  }

  // Those without which a model would still open, as another one.
  Status check_present() const {
    const auto need = [&](const std::string& name, std::string_view why) -> Status {
      if (files_.find(name) != nullptr) return {};
      return wrong(name, fmt::format("is missing, expected by {} ({})", facts_.config_path, why));
    };
    if (!facts_.tied) {
      MINKE_TRY(need("lm_head.weight", "'tie_word_embeddings' is not true"));
    }
    for (int64_t layer = 0; layer < facts_.layers + facts_.mtp_layers; ++layer) {
      const std::string block = fmt::format("model.layers.{}.", layer);
      if (layer >= facts_.layers) {
        for (const char* part : {"eh_proj", "shared_head.norm"}) {
          MINKE_TRY(need(fmt::format("{}{}.weight", block, part),
                         fmt::format("layer {} predicts further tokens", layer)));
        }
      }
      for (const char* part : {"q", "k", "v", "o"}) {
        if (!(*part == 'o' ? facts_.attn_output_bias : facts_.qkv_bias)) continue;
        MINKE_TRY(need(fmt::format("{}self_attn.{}_proj.bias", block, part),
                       facts_.attn_output_bias ? "'attention_bias' is true"
                                               : "'model_type' is qwen2, which has it"));
      }
      if (facts_.router_bias && layer >= facts_.dense_layers) {
        MINKE_TRY(
            need(block + "mlp.gate.e_score_correction_bias", "it corrects the choice of experts"));
      }
    }
    return {};
  }

  Result<HfSource> source_of(const std::string& name, const Safetensor& tensor) const {
    HfSource source = {.tensor = &tensor};
    if (tensor.type != SafetensorType::kF8E4M3) return source;
    if (tensor.shape.rank() != 2) {
      return wrong(name, fmt::format("is FP8 {}, expected a matrix", tensor.shape.str()));
    }
    const auto blocks = [](int64_t size) { return (size + kScaleBlock - 1) / kScaleBlock; };
    const Shape expected = {blocks(tensor.shape[0]), blocks(tensor.shape[1])};
    const std::string scales = name + std::string(kScalesSuffix);
    source.scales = files_.find(scales);
    if (source.scales == nullptr) {
      return wrong(scales, fmt::format("{} is missing: the scales of '{}', which is FP8",
                                       expected.str(), name));
    }
    const SafetensorType type = source.scales->type;
    const bool known = type == SafetensorType::kF32 || type == SafetensorType::kBF16;
    if (!known || source.scales->shape != expected) {
      return wrong(scales,
                   fmt::format("is {} {}, expected F32 or BF16 {}: a scale for each block "
                               "of {} x {} of '{}' {}",
                               safetensor_type_name(type), source.scales->shape.str(),
                               expected.str(), kScaleBlock, kScaleBlock, name, tensor.shape.str()));
    }
    return source;
  }

  Status add(const std::string& name, const Safetensor& tensor) {
    if (name.ends_with(kScalesSuffix)) {
      const std::string weight = name.substr(0, name.size() - kScalesSuffix.size());
      if (files_.find(weight) != nullptr) return {};
      return wrong(weight, fmt::format("is missing, whose scales the folder has ('{}')", name));
    }
    if (name.ends_with("rotary_emb.inv_freq")) return {};
    if (name == "model.embed_tokens.weight") {
      if (tensor.shape.rank() == 2 && tensor.shape[0] != facts_.vocab_size) {
        return fail(fmt::format("{}: 'vocab_size' is {}, expected {}, the rows of tensor '{}'",
                                facts_.config_path, facts_.vocab_size, tensor.shape[0], name));
      }
    }
    if (name == "lm_head.weight" && facts_.tied) return {};
    const std::optional<HfName> known = read_hf_name(name);
    if (!known) return wrong(name, "has no place in this model");
    const int64_t layers = facts_.layers + facts_.mtp_layers;
    if (known->layer >= layers) {
      return wrong(name, fmt::format("is of layer {}, expected layers 0 to {} by {} "
                                     "('num_hidden_layers' is {})",
                                     known->layer, layers - 1, facts_.config_path, facts_.layers));
    }
    if (known->of_mtp && known->layer < facts_.layers) {
      return wrong(name, "has no place in this model");
    }
    if (known->gguf.empty()) return {};
    if (known->expert < 0) return put(known->gguf, name, tensor);
    if (known->expert >= facts_.experts) {
      return wrong(name, fmt::format("is of none of the {} experts", facts_.experts));
    }
    auto& stack = stacks_[known->gguf];
    stack.resize(static_cast<size_t>(facts_.experts));
    MINKE_ASSIGN(stack[static_cast<size_t>(known->expert)], source_of(name, tensor));
    return {};
  }

  Status put(const std::string& target, const std::string& name, const Safetensor& tensor) {
    MINKE_ASSIGN(const HfSource source, source_of(name, tensor));
    HfTarget made = {.type = kept_type(source), .shape = tensor.shape, .sources = {source}};
    // Small, and kept in fp32 by convention.
    if (tensor.shape.rank() == 1 || target.ends_with("ffn_gate_inp.weight"))
      made.type = QuantType::kF32;
    if (facts_.architecture == "llama") {
      const bool q = target.ends_with("attn_q.weight") || target.ends_with("attn_q.bias");
      const bool k = target.ends_with("attn_k.weight") || target.ends_with("attn_k.bias");
      made.permuted_heads = q ? facts_.heads : k ? facts_.kv_heads : 0;
      const int64_t rows = tensor.shape[0];
      if (made.permuted_heads > 0 && rows % (2 * made.permuted_heads) != 0) {
        return wrong(name, fmt::format("has {} rows, expected an even number for each of {} heads",
                                       rows, made.permuted_heads));
      }
      if (made.permuted_heads > 0 && tensor.shape.rank() == 1) return put_bias(target, made);
    }
    targets_[target] = std::move(made);
    return {};
  }

  // A bias changes places as its matrix's rows do.
  Status put_bias(const std::string& target, HfTarget& made) {
    const int64_t count = made.shape[0];
    std::vector<float> plain(static_cast<size_t>(count));
    read_row(made.sources[0], 0, plain.data());
    for (int64_t row = 0; row < count; ++row) {
      made.values.push_back(plain[static_cast<size_t>(made.source_row(count, row))]);
    }
    targets_[target] = std::move(made);
    return {};
  }

  Status add_stack(const std::string& name, const std::vector<HfSource>& experts) {
    for (size_t expert = 0; expert < experts.size(); ++expert) {
      const Safetensor* tensor = experts[expert].tensor;
      if (tensor == nullptr) {
        return wrong(hf_tensor_name(name, static_cast<int64_t>(expert)),
                     fmt::format("is missing, expected {} experts by {}", facts_.experts,
                                 facts_.config_path));
      }
      if (tensor->shape != experts[0].tensor->shape || tensor->type != experts[0].tensor->type ||
          tensor->shape.rank() != 2) {
        return wrong(hf_tensor_name(name, static_cast<int64_t>(expert)),
                     fmt::format("is {} {}, expected a matrix like that of expert 0, {} {}",
                                 safetensor_type_name(tensor->type), tensor->shape.str(),
                                 safetensor_type_name(experts[0].tensor->type),
                                 experts[0].tensor->shape.str()));
      }
    }
    const Shape& one = experts[0].tensor->shape;
    targets_[name] = {.type = kept_type(experts[0]),
                      .shape = {static_cast<int64_t>(experts.size()), one[0], one[1]},
                      .sources = experts};
    return {};
  }

  const std::string& folder_;
  const Facts& facts_;
  const Safetensors& files_;
  std::map<std::string, HfTarget> targets_;
  std::map<std::string, std::vector<HfSource>> stacks_;
};

std::string folder_name(const std::string& folder) {
  const std::filesystem::path path(folder);
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

}  // namespace

Result<GgufFile> open_hf_folder(const std::string& folder) {
  const std::string config_path = folder + "/config.json";
  if (!std::filesystem::exists(config_path)) {
    return fail(
        fmt::format("{}: a folder without config.json; expected a GGUF file, or a folder of "
                    "Hugging Face's with config.json, tokenizer.json and safetensors",
                    folder));
  }
  MINKE_ASSIGN(const Json config, read_json_object(config_path));
  const std::string generation_path = folder + "/generation_config.json";
  Json generation = Json::object();
  if (std::filesystem::exists(generation_path)) {
    MINKE_ASSIGN(generation, read_json_object(generation_path));
  }
  MINKE_TRY(check_quantisation(Config(config, config_path)));
  GgufWriter writer = GgufWriter::without_file();
  // Sources point into the files, which the result keeps: see below.
  MINKE_ASSIGN(Safetensors opened, Safetensors::open_folder(folder));
  const auto files = std::make_shared<Safetensors>(std::move(opened));
  MINKE_ASSIGN(const Facts facts,
               write_config(Config(config, config_path), folder_name(folder), *files, writer));
  MINKE_TRY(write_tokenizer(folder, Config(generation, generation_path), facts, writer));
  MINKE_ASSIGN(auto made, Tensors(folder, facts, *files).all());
  const auto targets = std::make_shared<const std::map<std::string, HfTarget>>(std::move(made));
  for (const auto& [name, target] : *targets) writer.add_tensor(name, target.type, target.shape);

  const auto attach = [&](GgufTensor& tensor) -> Status {
    const HfTarget& target = targets->at(std::string(tensor.name));
    if (target.in_place()) {
      const Safetensor& source = *target.sources[0].tensor;
      tensor.data = source.data;
      tensor.part = static_cast<int>(source.file);
      tensor.offset = source.offset;
    } else {
      tensor.make = [files, targets, &target](int64_t first_row, std::span<std::byte> out) {
        return target.make_rows(first_row, out);
      };
    }
    return {};
  };
  // Mappings keep their addresses when they move.
  std::vector<MappedFile> maps = std::move(files->files());
  return GgufFile::assemble(writer.header(), folder, std::move(maps), attach);
}

Result<bool> has_fp8_weights(const std::string& folder) {
  MINKE_ASSIGN(const Safetensors files, Safetensors::open_folder(folder));
  return std::ranges::any_of(
      files.tensors(), [](const auto& one) { return one.second.type == SafetensorType::kF8E4M3; });
}

Result<GgufFile> open_checkpoint(const std::string& path, GgufOptions options) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return open_hf_folder(path);
  return GgufFile::open(path, options);
}

}  // namespace minke
