// A parameter of a model: what the checkpoint holds, and what a backend made of it.
//
// `rows` points at the checkpoint's own blocks (a mapped file) or into `storage`; it is row-major,
// [out_dim, in_dim] for matrices, [matrices, out_dim, in_dim] for stacks of them (heads, experts)
// and [dim] for norms and biases (always fp32). A backend that has packed the matrix (Ops::prepare)
// may drop the rows and keep `packed` alone. Built by one thread; afterwards read-only, except for
// training, which updates fp32 rows between steps and prepares them again.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/memory.h"
#include "core/tensor.h"
#include "quant/format.h"

namespace minke {

// Panels in a backend's own layout; only that backend looks inside.
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;
  virtual size_t bytes() const = 0;
};

struct Weight {
  std::string name;  // the checkpoint's own, e.g. "blk.3.ffn_down.weight"
  Shape shape;       // rank 0 when the model has no such weight
  QuantType type = QuantType::kF32;
  const std::byte* rows = nullptr;
  bool multiplied = true;  // false: only ever read by rows, as an embedding table of its own is
  bool routed = false;     // a stack of experts, of which a token uses a few
  Buffer storage;          // owns the rows when they are not a file's
  // Set by whoever lends the rows, while prepare() packs them: hears which of their bytes it will
  // not read again. From any thread.
  std::function<void(const std::byte* from, size_t bytes)> was_read;
  std::shared_ptr<const PackedWeight> packed;

  bool present() const { return shape.rank() > 0; }
  bool is_matrix() const { return shape.rank() >= 2; }
  // A stack counts as one tall matrix here, the outputs of its matrices one after the other.
  int64_t out_dim() const { return shape.rows(); }
  int64_t in_dim() const { return shape.back(); }
  int64_t matrices() const { return shape.rank() == 3 ? shape[0] : 1; }
  const float* f32() const {
    CHECK(type == QuantType::kF32 && rows != nullptr);
    return reinterpret_cast<const float*>(rows);
  }
  float* mutable_f32() {
    CHECK(type == QuantType::kF32 && storage.data() != nullptr);
    return reinterpret_cast<float*>(storage.data());
  }
};

}  // namespace minke
