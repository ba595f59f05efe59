// What the header of a GGUF file says about its model, for show.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "io/gguf.h"

namespace minke {

struct ModelInfo {
  std::string name;
  std::string architecture;
  std::string licence;
  int64_t parameters = 0;
  int64_t layers = 0;
  int64_t mtp_layers = 0;      // behind those, to predict further tokens
  int64_t mtp_parameters = 0;  // of these
  int64_t dim = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_dim = 0;
  int64_t experts = 0, experts_used = 0, expert_dim = 0;  // of a mixture
  int64_t context = 0;
  int64_t vocabulary = 0;
  std::string tokenizer;                                        // "gpt2 / qwen2"
  std::string quantisation;                                     // "Q4_K_M"
  std::vector<std::pair<std::string, uint64_t>> bytes_by_type;  // most first
  uint64_t tensor_bytes = 0;
  uint64_t expert_bytes = 0;  // of those, the experts that may stay on the disk
  // What one token of context takes in the cache, in bf16 and q8; 0 where minke cannot run the
  // model, or has no such cache for it.
  uint64_t kv_token_bytes = 0, kv_token_bytes_q8 = 0;
  std::string chat_template;
  bool complete = true;  // every tensor's data is in the file
};

Result<ModelInfo> model_info(const GgufFile& file);

}  // namespace minke
