// The waist between models and machines: about a dozen operations at the granularity of a language
// model. A model calls them in the order of its paper and never names a backend; a backend
// (cpu_ops.h) computes them eagerly; a decorator (train/tape.h, ops/shadow.h) wraps another Ops.
//
// Every result is defined by the naive loops in kernels/reference, bit for bit (docs/numerics.md):
// it depends on the row's own inputs only, never on the other rows of the batch, the number of
// threads or the instruction set.
//
// Rows are tokens. One thread at a time calls an Ops; tensors it returns belong to that thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "core/function_ref.h"
#include "core/tensor.h"
#include "kernels/kv_store.h"
#include "ops/routing.h"
#include "quant/weight.h"

namespace minke {

// One sequence's share of a batch: rows [first_row, first_row + row_count) are its tokens at
// positions first_position, first_position + 1, ...; position p of it lives in pages[p / 64].
struct BatchSequence {
  int64_t first_row = 0;
  int64_t row_count = 0;
  int64_t first_position = 0;
  std::span<const int32_t> pages;
};

// What one forward pass computes. Built by the scheduler, read-only afterwards.
struct Batch {
  std::vector<int32_t> tokens;     // [rows]
  std::vector<int32_t> positions;  // [rows]
  std::vector<BatchSequence> sequences;
  std::vector<int32_t> logit_rows;  // rows whose logits are wanted, ascending
  // May become true while the pass runs: nobody wants its results any more. What the cache holds at
  // the batch's positions is then undefined. Null: the pass runs to its end.
  const std::atomic<bool>* abandoned = nullptr;

  bool is_abandoned() const { return abandoned != nullptr && abandoned->load(); }
};

// Which elements of a head turn together: adjacent (2i, 2i+1) as llama, or i and i + dim/2 as
// qwen2 and qwen3.
enum class RopePairs : uint8_t { kAdjacent, kHalves };

struct RopeSpec {
  RopePairs pairs = RopePairs::kAdjacent;
  // Radians per position for each pair, after any scaling (linear, yarn, llama3); [rotary_dim / 2].
  std::vector<float> frequencies;
  float magnitude = 1.0F;  // multiplies sine and cosine (yarn)
};

struct AttentionSpec {
  int64_t heads = 0;
  int64_t kv_heads = 0;  // divides heads: query head h reads kv head h / (heads / kv_heads)
  int64_t head_dim = 0;
  float scale = 0.0F;  // multiplies q·k, usually head_dim^-1/2
};

class Ops {
 public:
  virtual ~Ops() = default;

  // A step is one forward pass (in training: forward and backward). Forgets per-step memos.
  virtual void begin_step() = 0;
  // Runs the forward pass of an inference step. A backend may remember what `forward` asked for and
  // repeat that for a batch of the same make-up instead of calling it.
  virtual Tensor run_step(const Batch& batch, FunctionRef<Tensor()> forward) {
    (void)batch;
    return forward();
  }
  // Where its tensors live, and where a KvStore for it must.
  virtual MemorySpace& memory() { return host_memory(); }
  // The values of x where the host can read them, until the next call. The one place where a fault
  // of the device in this step or before shows.
  virtual Result<std::span<float>> read(const Tensor& x) { return x.values(); }
  // Uninitialised, owned by this Ops' pool.
  virtual Tensor empty(Shape shape) = 0;
  // Builds whatever the backend needs to use `weight`, a matrix or a vector; called once at load,
  // and again after an optimiser has changed fp32 rows. `keep_rows`: they are still read (an
  // embedding table).
  virtual Status prepare(Weight& weight, bool keep_rows) = 0;

  // Rows of the table: [tokens] -> [tokens, dim].
  virtual Tensor embed(std::span<const int32_t> tokens, const Weight& table) = 0;
  // x [rows, in_dim] · wᵀ (+ bias [out_dim], when present) -> [rows, out_dim].
  virtual Tensor linear(const Tensor& x, const Weight& w, const Weight& bias) = 0;
  // x [rows, dim] / sqrt(mean(x²) + epsilon) · w [dim].
  virtual Tensor rms_norm(const Tensor& x, const Weight& w, float epsilon) = 0;
  // Turns each head of x [rows, heads, head_dim] by its row's position.
  virtual Tensor rope(const Tensor& x, std::span<const int32_t> positions,
                      const RopeSpec& spec) = 0;
  // Writes k and v [rows, kv_heads, head_dim] to the cache at their positions (rounded to its
  // dtype), then attends causally: q [rows, heads, head_dim] -> [rows, heads * head_dim]. Where the
  // cache takes values from their keys (KvSpec::shared_values), v is empty and the result is
  // [rows, heads * shared_values].
  virtual Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                           KvStore& kv, int64_t layer, const AttentionSpec& spec) = 0;
  // silu(gate) · up, elementwise, [rows, dim].
  virtual Tensor swiglu(const Tensor& gate, const Tensor& up) = 0;
  virtual Tensor add(const Tensor& a, const Tensor& b) = 0;
  // Rows of x by index: [indices] -> [indices, dim].
  virtual Tensor gather_rows(const Tensor& x, std::span<const int32_t> indices) = 0;

  // What latent attention and mixtures of experts need besides. A backend without them is given no
  // model that calls them (load_model() asks).
  virtual bool runs_mixtures() const { return false; }
  // Elements [begin, begin + count) of the last dimension.
  virtual Tensor slice(const Tensor& x, int64_t begin, int64_t count);
  // a and b side by side along the last dimension.
  virtual Tensor concat(const Tensor& a, const Tensor& b);
  // Each head by a matrix of its own: x [rows, heads, in_dim] and a stack w [heads, out_dim,
  // in_dim]
  // -> [rows, heads, out_dim].
  virtual Tensor linear_by_heads(const Tensor& x, const Weight& w);
  // A mixture of SwiGLU experts: x [rows, dim] goes to the experts that its router's `logits`
  // [rows, experts] choose (ops/routing.h) -> [rows, dim], the experts' outputs times their
  // weights, added up by ascending expert. gate and up are stacks [experts, ffn_dim, dim], down
  // [experts, dim, ffn_dim]; `bias` [experts] may be absent.
  virtual Tensor mixture(const Tensor& x, const Tensor& logits, const Weight& bias,
                         const RouteSpec& spec, const Weight& gate, const Weight& up,
                         const Weight& down);
  // A mixture is coming whose input will be much like x: a backend whose experts come from the disk
  // may begin to read those that `router` chooses for x. No result depends on it.
  virtual void expect_mixture(const Tensor& x, const Weight& router, const Weight& bias,
                              const RouteSpec& spec, const Weight& gate) {
    (void)x, (void)router, (void)bias, (void)spec, (void)gate;
  }
};

}  // namespace minke
