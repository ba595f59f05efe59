// What the machine allows: the least time that a piece of work can take, given how fast it reads
// memory and multiplies (docs/cli.md, bench). Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "io/gguf.h"
#include "minke/engine.h"
#include "models/model.h"

namespace minke::cli {

struct Peaks {
  double read_bytes_per_s = 0;
  double int8_ops_per_s = 0;
  double bf16_ops_per_s = 0;
  double fp32_ops_per_s = 0;
};

// How much of a model one token meets.
struct ModelCost {
  uint64_t layer_bytes = 0;   // of the matrices of all layers, without experts
  uint64_t expert_bytes = 0;  // of all experts that a router chooses from
  double expert_share = 0;    // of them that a token uses
  uint64_t head_bytes = 0;    // of the output matrix
  // Multiplications and additions a token, by the arithmetic that the weights' format calls for:
  // int8 for the quantised ones.
  double layer_int8 = 0, layer_bf16 = 0, layer_fp32 = 0;
  double head_int8 = 0, head_bf16 = 0, head_fp32 = 0;
  // Attention of one token to one token of context, in all layers, by the cache's arithmetic: bf16,
  // or for a cache of integers, 16 bits, which count as two operations of eight.
  double attention_bf16 = 0, attention_int8 = 0;
  uint64_t kv_token_bytes = 0;
};
ModelCost model_cost(const GgufFile& file, const ModelConfig& config, uint64_t kv_token_bytes,
                     KvFormat kv);

struct Work {
  double bytes = 0;
  double int8_ops = 0, bf16_ops = 0, fp32_ops = 0;
};
// A prompt of `tokens` read in chunks; the output matrix serves its last token alone.
Work prefill_work(const ModelCost& cost, int64_t tokens, int64_t chunk);
// One step of `sequences` that each have `context` tokens behind them.
Work decode_work(const ModelCost& cost, int64_t sequences, double context);

struct Limit {
  double seconds = 0;
  bool memory_bound = false;
};
Limit least_time(const Work& work, const Peaks& peaks);

}  // namespace minke::cli
