#include "models/model_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "models/hf_folder.h"
#include "models/registry.h"

namespace minke {

namespace {

// The names that llama.cpp gives to general.file_type.
std::string file_type_name(int64_t number) {
  struct Name {
    int64_t number;
    const char* name;
  };
  static constexpr std::array<Name, 21> kNames = {
      {{0, "F32"},     {1, "F16"},     {2, "Q4_0"},    {3, "Q4_1"},    {7, "Q8_0"},
       {8, "Q5_0"},    {9, "Q5_1"},    {10, "Q2_K"},   {11, "Q3_K_S"}, {12, "Q3_K_M"},
       {13, "Q3_K_L"}, {14, "Q4_K_S"}, {15, "Q4_K_M"}, {16, "Q5_K_S"}, {17, "Q5_K_M"},
       {18, "Q6_K"},   {21, "Q2_K_S"}, {25, "IQ4_NL"}, {30, "IQ4_XS"}, {32, "BF16"},
       {38, "MXFP4"}}};
  for (const Name& name : kNames) {
    if (name.number == number) return name.name;
  }
  return "";
}

// Whether a tensor is of the layers that predict further, which come last.
bool is_mtp(std::string_view name, const ModelInfo& info) {
  for (int64_t layer = info.layers; layer < info.layers + info.mtp_layers; ++layer) {
    if (name.starts_with(fmt::format("blk.{}.", layer))) return true;
  }
  return false;
}

void add_tensors(const GgufFile& file, ModelInfo* info) {
  std::map<std::string, uint64_t> bytes;
  for (const GgufTensor& tensor : file.tensors()) {
    info->parameters += tensor.shape.count();
    if (is_mtp(tensor.name, *info)) info->mtp_parameters += tensor.shape.count();
    info->tensor_bytes += tensor.bytes;
    // Those of a folder cannot stay on the disk (docs/larger-than-memory.md).
    if (tensor.name.ends_with("_exps.weight") && !file.is_assembled()) {
      info->expert_bytes += tensor.bytes;
    }
    bytes[quant_name(tensor.type)] += tensor.bytes;
    if (!tensor.is_whole()) info->complete = false;
  }
  info->bytes_by_type.assign(bytes.begin(), bytes.end());
  std::ranges::stable_sort(info->bytes_by_type, std::greater{},
                           &std::pair<std::string, uint64_t>::second);
}

// A number that is one for all layers, or an array with one a layer, of which the largest counts.
Result<int64_t> largest(const GgufFile& file, const std::string& key, int64_t fallback) {
  const GgufValue* value = file.find_value(key);
  if (value == nullptr || value->type != GgufType::kArray) return file.integer_or(key, fallback);
  MINKE_ASSIGN(const std::vector<int64_t> values, file.integers(key));
  return values.empty() ? fallback : *std::ranges::max_element(values);
}

}  // namespace

Result<ModelInfo> model_info(const GgufFile& file) {
  ModelInfo info;
  MINKE_ASSIGN(const std::string_view architecture, file.text("general.architecture"));
  info.architecture = architecture;
  const std::string prefix = info.architecture + ".";
  MINKE_ASSIGN(info.name, file.model_name());
  MINKE_ASSIGN(info.licence, file.text_or("general.license", ""));
  MINKE_ASSIGN(info.layers, file.integer_or(prefix + "block_count", 0));
  MINKE_ASSIGN(info.mtp_layers, file.integer_or(prefix + "nextn_predict_layers", 0));
  info.layers -= info.mtp_layers;
  MINKE_ASSIGN(info.dim, file.integer_or(prefix + "embedding_length", 0));
  MINKE_ASSIGN(info.heads, largest(file, prefix + "attention.head_count", 0));
  MINKE_ASSIGN(info.kv_heads, largest(file, prefix + "attention.head_count_kv", info.heads));
  const int64_t even_head = info.heads > 0 ? info.dim / info.heads : 0;
  MINKE_ASSIGN(info.head_dim, file.integer_or(prefix + "attention.key_length", even_head));
  MINKE_ASSIGN(info.ffn_dim, largest(file, prefix + "feed_forward_length", 0));
  MINKE_ASSIGN(info.experts, file.integer_or(prefix + "expert_count", 0));
  MINKE_ASSIGN(info.experts_used, file.integer_or(prefix + "expert_used_count", 0));
  MINKE_ASSIGN(info.expert_dim, file.integer_or(prefix + "expert_feed_forward_length", 0));
  MINKE_ASSIGN(info.context, file.integer_or(prefix + "context_length", 0));
  MINKE_ASSIGN(const std::string_view tokenizer, file.text_or("tokenizer.ggml.model", ""));
  MINKE_ASSIGN(const std::string_view pre, file.text_or("tokenizer.ggml.pre", ""));
  info.tokenizer = pre.empty() ? std::string(tokenizer) : fmt::format("{} / {}", tokenizer, pre);
  if (file.has("tokenizer.ggml.tokens")) {
    MINKE_ASSIGN(const auto tokens, file.strings("tokenizer.ggml.tokens"));
    info.vocabulary = static_cast<int64_t>(tokens.size());
  }
  MINKE_ASSIGN(info.chat_template, file.text_or("tokenizer.chat_template", ""));
  add_tensors(file, &info);
  if (const Result<ModelConfig> config = read_config(file)) {
    const std::unique_ptr<Model> model = make_model(*config);
    info.kv_token_bytes = model->kv_spec(KvDtype::kBF16).token_bytes();
    if (config->latent.kv_rank == 0) {
      info.kv_token_bytes_q8 = model->kv_spec(KvDtype::kQ8).token_bytes();
    }
  }
  MINKE_ASSIGN(const int64_t file_type, file.integer_or("general.file_type", -1));
  info.quantisation = file_type_name(file_type);
  if (file.is_assembled()) {
    MINKE_ASSIGN(const bool fp8, has_fp8_weights(file.path()));
    if (fp8) info.quantisation = "FP8";
  }
  if (info.quantisation.empty() && !info.bytes_by_type.empty()) {
    info.quantisation = info.bytes_by_type.front().first;
  }
  return info;
}

}  // namespace minke
