// Ops on the processor: the kernels of kernels/kernels.h, spread over a pool of threads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/kernels.h"
#include "ops/expert_store.h"
#include "ops/ops.h"

namespace minke {

class CpuOps final : public Ops {
 public:
  // `threads` 0: one for each processor. Fails when MINKE_ISA names what this processor lacks.
  static Result<std::unique_ptr<CpuOps>> create(int threads);
  CpuOps(const Kernels& kernels, int threads);

  ThreadPool& pool() { return threads_; }
  const Kernels& kernels() const { return kernels_; }
  size_t activation_bytes() const { return storage_.held_bytes(); }
  // Gives unused activation memory back to the system.
  void trim() { storage_.trim(); }
  // What mixture() alone knows: `hidden` [routes, ffn_dim] is what its stack `down` multiplies, row
  // i by the matrix of experts[i]. For measuring; called on the calling thread.
  using OnHidden = std::function<void(const Weight& down, std::span<const int32_t> experts,
                                      const Tensor& hidden)>;
  void set_on_hidden(OnHidden on_hidden) { on_hidden_ = std::move(on_hidden); }

  void begin_step() override;
  Tensor empty(Shape shape) override;
  Status prepare(Weight& weight, bool keep_rows) override;
  Tensor embed(std::span<const int32_t> tokens, const Weight& table) override;
  Tensor linear(const Tensor& x, const Weight& w, const Weight& bias) override;
  Tensor rms_norm(const Tensor& x, const Weight& w, float epsilon) override;
  Tensor rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) override;
  Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                   KvStore& kv, int64_t layer, const AttentionSpec& spec) override;
  Tensor swiglu(const Tensor& gate, const Tensor& up) override;
  Tensor add(const Tensor& a, const Tensor& b) override;
  Tensor gather_rows(const Tensor& x, std::span<const int32_t> indices) override;
  bool runs_mixtures() const override { return true; }
  Tensor slice(const Tensor& x, int64_t begin, int64_t count) override;
  Tensor concat(const Tensor& a, const Tensor& b) override;
  Tensor linear_by_heads(const Tensor& x, const Weight& w) override;
  Tensor mixture(const Tensor& x, const Tensor& logits, const Weight& bias, const RouteSpec& spec,
                 const Weight& gate, const Weight& up, const Weight& down) override;
  void expect_mixture(const Tensor& x, const Weight& router, const Weight& bias,
                      const RouteSpec& spec, const Weight& gate) override;

 private:
  // What linear needs of its input, made once for all weights that read the same tensor.
  struct Derived {
    Tensor groups;                // QuantGroup [groups][rows + peaked rows]
    std::vector<int64_t> peaked;  // rows that are quantised twice: see quantised()
    Tensor bf16;                  // [rows][dim rounded up to even]
  };
  struct Angles {  // of one RopeSpec for one step's positions
    const RopeSpec* spec = nullptr;
    std::vector<int32_t> positions;
    std::vector<float> cos;  // [rows][pairs]
    std::vector<float> sin;
  };

  Derived& derived(const Tensor& x);
  // x in int8. A row in which one element holds most of the energy (the first token of many models)
  // would lose all others: such a row is followed, at the end, by a second row that holds what the
  // first one left over, and linear() adds the two products. This depends on the row alone.
  const Derived& quantised(const Tensor& x);
  bool is_peaked(const float* row, int64_t dim) const;
  // All of `x` [rows, dim], with its second rows, into groups [groups][rows + peaked].
  void quantise_rows(const float* x, int64_t rows, int64_t dim, std::span<const int64_t> peaked,
                     QuantGroup* groups) const;
  // The second row of each peaked row in [begin, end).
  void quantise_remainders(const float* x, int64_t rows, int64_t dim,
                           std::span<const int64_t> peaked, int64_t begin, int64_t end,
                           QuantGroup* groups) const;
  // Rows [begin, end) into bf16 [rows][dim rounded up to even].
  void round_rows(const float* x, int64_t begin, int64_t end, int64_t dim, uint16_t* out) const;
  const uint16_t* as_bf16(const Tensor& x);
  // Adds the second rows of `all`, from `rows` on, to their first ones.
  void add_remainders(const Tensor& all, int64_t rows, std::span<const int64_t> peaked);
  static int64_t panels_at_once(const PackedMatrix& matrix);
  const Angles& angles(std::span<const int32_t> positions, const RopeSpec& spec);
  void store_kv(const Tensor& k, const Tensor& v, const Batch& batch, KvStore& kv, int64_t layer);
  void swiglu_into(const float* gate, const float* up, float* out, int64_t count);
  // Both give the same bits.
  void attention_by_rows(std::span<const AttentionTask> tasks);
  void attention_by_runs(std::span<const AttentionTask> tasks);
  // Some rows times one matrix of a stack: row i is at in + i * in_stride, its result is row
  // out_first + i * out_step of a product's output.
  struct StackPart {
    int64_t matrix = 0;
    int64_t rows = 0;
    const float* in = nullptr;
    int64_t in_stride = 0;
    int64_t out_first = 0;
    int64_t out_step = 1;
  };
  struct StackProduct {
    const Weight* w = nullptr;
    float* out = nullptr;
    // Of a stack that is not in memory as a whole: each part's matrix.
    std::span<const PackedMatrix> alone = {};
  };
  struct StackInput;
  // The panels that a part is multiplied by, and which of their outputs is the part's first.
  struct StackMatrix {
    const PackedMatrix* panels;
    int64_t first_output;
  };
  static StackMatrix matrix_of(const StackProduct& product, std::span<const StackPart> parts,
                               size_t part) {
    if (!product.alone.empty()) return {&product.alone[part], 0};
    CHECK(product.w->packed != nullptr);
    return {static_cast<const PackedMatrix*>(product.w->packed.get()),
            parts[part].matrix * (product.w->out_dim() / product.w->matrices())};
  }
  std::vector<StackInput> prepare_stack(std::span<const StackPart> parts, int64_t dim,
                                        std::span<const StackProduct> products,
                                        std::vector<Tensor>& memory);
  void multiply_stacks(std::span<const StackPart> parts, int64_t dim,
                       std::span<const StackProduct> products);
  // One mixture on its way: rows by experts, and what each step makes of them.
  struct Mixing;
  // Of some of its parts; `alone` has three matrices for each where experts are streamed.
  void mix(Mixing& mixing, std::span<const StackPart> parts,
           std::span<const std::vector<PackedMatrix>> alone);
  // Of all its parts, as they come from the store. False when some did not come.
  bool mix_streamed(Mixing& mixing, const StreamedStack& stack);

  const Kernels& kernels_;
  ThreadPool threads_;
  StoragePool storage_;
  Arena panels_;
  Angles angles_;
  OnHidden on_hidden_;
};

}  // namespace minke
