#include "cli/roofline.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace minke::cli {

ModelCost model_cost(const GgufFile& file, const ModelConfig& config, uint64_t kv_token_bytes,
                     KvFormat kv) {
  ModelCost cost;
  const RouteSpec& route = config.mixture.route;
  if (route.experts > 0) {
    cost.expert_share = static_cast<double>(route.used) / static_cast<double>(route.experts);
  }
  cost.kv_token_bytes = kv_token_bytes;
  // A score and a share of the sum: each a multiplication and an addition for every element.
  const int64_t value_dim = config.latent.kv_rank > 0 ? config.latent.kv_rank : config.head_dim;
  const double attention =
      2.0 * static_cast<double>(config.layers * config.heads * (config.head_dim + value_dim));
  if (kv == KvFormat::kQ8) {
    cost.attention_int8 = 2 * attention;
  } else {
    cost.attention_bf16 = attention;
  }
  // A tied embedding table is the output matrix too; an untied one is read a row a token.
  const std::string_view head =
      file.find("output.weight") != nullptr ? "output.weight" : "token_embd.weight";
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.shape.rank() < 2) continue;
    const bool is_head = tensor.name == head;
    if (tensor.name == "token_embd.weight" && !is_head) continue;
    const bool is_experts = tensor.name.ends_with("_exps.weight");
    const double ops =
        2.0 * static_cast<double>(tensor.shape.count()) * (is_experts ? cost.expert_share : 1.0);
    (is_head ? cost.head_bytes : is_experts ? cost.expert_bytes : cost.layer_bytes) += tensor.bytes;
    if (quant_format(tensor.type).quantised) {
      (is_head ? cost.head_int8 : cost.layer_int8) += ops;
    } else if (tensor.type == QuantType::kF32) {
      (is_head ? cost.head_fp32 : cost.layer_fp32) += ops;
    } else {
      (is_head ? cost.head_bf16 : cost.layer_bf16) += ops;
    }
  }
  return cost;
}

namespace {

// Of the experts that some tokens use between them, were their choices independent.
double expert_bytes(const ModelCost& cost, double tokens) {
  const double unused = std::pow(1.0 - cost.expert_share, tokens);
  return static_cast<double>(cost.expert_bytes) * (1.0 - unused);
}

}  // namespace

Work prefill_work(const ModelCost& cost, int64_t tokens, int64_t chunk) {
  const auto n = static_cast<double>(tokens);
  Work work;
  for (int64_t begin = 0; begin < tokens; begin += chunk) {
    const int64_t end = std::min(tokens, begin + chunk);
    work.bytes += static_cast<double>(cost.layer_bytes) +
                  expert_bytes(cost, static_cast<double>(end - begin)) +
                  static_cast<double>(end) * static_cast<double>(cost.kv_token_bytes);
  }
  work.bytes += static_cast<double>(cost.head_bytes);
  const double pairs = n * (n + 1) / 2;  // token i attends to i + 1 tokens
  work.int8_ops = n * cost.layer_int8 + cost.head_int8 + pairs * cost.attention_int8;
  work.fp32_ops = n * cost.layer_fp32 + cost.head_fp32;
  work.bf16_ops = n * cost.layer_bf16 + cost.head_bf16 + pairs * cost.attention_bf16;
  return work;
}

Work decode_work(const ModelCost& cost, int64_t sequences, double context) {
  const auto n = static_cast<double>(sequences);
  Work work;
  work.bytes = static_cast<double>(cost.layer_bytes + cost.head_bytes) + expert_bytes(cost, n) +
               n * context * static_cast<double>(cost.kv_token_bytes);
  work.int8_ops = n * (cost.layer_int8 + cost.head_int8 + context * cost.attention_int8);
  work.fp32_ops = n * (cost.layer_fp32 + cost.head_fp32);
  work.bf16_ops = n * (cost.layer_bf16 + cost.head_bf16 + context * cost.attention_bf16);
  return work;
}

Limit least_time(const Work& work, const Peaks& peaks) {
  const double memory_s = work.bytes / peaks.read_bytes_per_s;
  const double arithmetic_s = work.int8_ops / peaks.int8_ops_per_s +
                              work.bf16_ops / peaks.bf16_ops_per_s +
                              work.fp32_ops / peaks.fp32_ops_per_s;
  return {std::max(memory_s, arithmetic_s), memory_s >= arithmetic_s};
}

}  // namespace minke::cli
