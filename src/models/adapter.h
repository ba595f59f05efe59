// A low-rank adapter of a model: pairs of fp32 matrices for some of its weights, and the file they
// live in, which is llama.cpp's (general.type "adapter", NAME.lora_a and NAME.lora_b). The model
// outlives it. One thread, but for reading.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "io/gguf.h"
#include "models/model.h"
#include "ops/adapter_ops.h"

namespace minke {

class Adapter {
 public:
  // A new one, which changes nothing yet: down normal with deviation in_dim^-1/2, up zero. A
  // function of the seed. `adapts` says which matrices; those of stacks (experts, heads) cannot be.
  static Result<Adapter> create(Model& model, int64_t rank,
                                const std::function<bool(const Weight&)>& adapts, uint64_t seed,
                                Ops& ops);
  // Fails when a tensor is for no weight of the model, is of another shape or is no number.
  static Result<Adapter> read(const GgufFile& file, Model& model, Ops& ops);
  // The same of the headers alone, before the model is loaded: what can be known of them.
  static Status check(const GgufFile& file, const GgufFile& model);
  // `base` is what the model is called, for people. `chat_template` is the one that the adapter was
  // trained under, where that is not the model's. `type` is a format whose blocks are single
  // values.
  Status write(const std::string& path, const std::string& base,
               const std::string& chat_template = {}, QuantType type = QuantType::kF32) const;

  const AdapterPairs& pairs() const { return pairs_; }
  int64_t rank() const { return rank_; }
  // Of memory: the matrices as they are and, where `ops` has packed them, as it multiplies them.
  size_t bytes() const;
  // All matrices, in the order of Model::visit: "NAME.lora_a", then "NAME.lora_b".
  void visit(const std::function<void(Weight&)>& visitor);
  std::vector<Weight*> weights();

 private:
  struct Half {
    std::unique_ptr<Weight> down, up;  // their addresses stay
  };
  Adapter() = default;
  // Memory for a pair, of zeros.
  Result<Half*> add(const Weight& weight, int64_t rank);

  std::string architecture_;
  int64_t rank_ = 0;
  std::vector<Half> halves_;
  AdapterPairs pairs_;
};

}  // namespace minke
