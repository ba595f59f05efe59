// The table of kernels: one set for each instruction set, all with the same bits.
//
// kernels/reference is the definition: loops of a few lines each. kernels/cpu/* compute the same
// values faster, and kernels_test.cpp compares every entry with memcmp. MINKE_ISA=reference, avx2,
// avx512 or amx forces a set; otherwise the best that the processor has is taken.
//
// Kernels are pure functions over bare pointers. They run with denormals as zero (ThreadPool sees
// to that) and are called on disjoint ranges of outputs from any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "kernels/activation.h"
#include "kernels/kv_store.h"
#include "kernels/panels.h"

namespace minke {

struct TrainingKernels;  // kernels/training.h
struct GemmBf16Kernels;  // kernels/gemm_bf16.h
struct GemmF32;          // kernels/gemm_f32.h
struct LogitKernels;     // kernels/logits.h

// out[row][o] = sum over k of x[row][k] * w[o][k] (+ bias[o] in the first rows), for the outputs of
// some panels.
struct LinearTask {
  const PackedMatrix* w = nullptr;
  int64_t rows = 0;
  // One of these, by the panels' format: groups [groups][rows]; fp32 [rows][in_dim]; bf16
  // [rows][in_dim rounded up to even].
  const QuantGroup* groups = nullptr;
  const float* f32 = nullptr;
  const uint16_t* bf16 = nullptr;
  const float* bias = nullptr;  // [out_dim] or nothing
  int64_t bias_rows = 0;        // only the first rows get the bias
  float* out = nullptr;         // [rows][out_stride], from output `first_output` on
  int64_t out_stride = 0;
  int64_t first_output = 0;

  float* place(int64_t row, int64_t output) const {
    return out + row * out_stride + output - first_output;
  }
};

// One sequence's attention in one layer.
struct AttentionTask {
  const float* q = nullptr;  // [rows][heads][head_dim] of the sequence's rows
  float* out = nullptr;      // [rows][heads][kv->spec().value_dim()]
  int64_t rows = 0;
  int64_t first_position = 0;
  const KvStore* kv = nullptr;
  int64_t layer = 0;
  std::span<const int32_t> pages;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  float scale = 0;

  int64_t value_dim() const { return kv->spec().value_dim(); }
};

struct Kernels {
  const char* name;

  // All groups of rows [row_begin, row_end), into groups[g * rows + row].
  void (*quantise)(const float* x, int64_t rows, int64_t dim, QuantGroup* groups, int64_t row_begin,
                   int64_t row_end);
  // The share of a row's energy that its largest element holds: max(x²) / sum(x²); 0 for zeros.
  float (*peak_share)(const float* x, int64_t dim);
  void (*to_bf16)(const float* x, uint16_t* out, int64_t count);
  // By PanelFormat. Panels [begin, end) of task.w.
  void (*linear[kPanelFormats])(const LinearTask& task, int64_t panel_begin, int64_t panel_end);
  // Rows [row_begin, row_end).
  void (*rms_norm)(const float* x, const float* w, float epsilon, float* out, int64_t dim,
                   int64_t row_begin, int64_t row_end);
  void (*swiglu)(const float* gate, const float* up, float* out, int64_t count);
  void (*add)(const float* a, const float* b, float* out, int64_t count);
  // One head: cos and sin [pairs]; in and out [2 * pairs].
  void (*rope_adjacent)(const float* x, const float* cos, const float* sin, float* out,
                        int64_t pairs);
  void (*rope_halves)(const float* x, const float* cos, const float* sin, float* out,
                      int64_t pairs);
  // Rounds one head's row of K and V into its place of a page; no V where values are shared.
  void (*store_kv)(const float* k, const float* v, KvDtype dtype, std::byte* head_page,
                   int64_t head_dim, int64_t token_in_page);
  // All heads that read `kv_head`, rows [row_begin, row_end) of the task.
  void (*attention)(const AttentionTask& task, int64_t kv_head, int64_t row_begin, int64_t row_end);
  // The same in two steps, for a few rows and many keys: runs [run_begin, run_end) of pages of
  // keys, each apart, then all of them together. `found` has room for key_runs(task) of
  // run_floats(task) floats; attention_join overwrites the first.
  void (*attention_runs)(const AttentionTask& task, int64_t kv_head, int64_t run_begin,
                         int64_t run_end, float* found);
  void (*attention_join)(const AttentionTask& task, int64_t kv_head, float* found);
  // For gradients, and for choosing tokens.
  void (*gemm_f32)(const GemmF32& gemm);
  const GemmBf16Kernels* gemm_bf16;
  const LogitKernels* logits;
  const TrainingKernels* training;
};

// How latent attention adds up (docs/numerics.md): what a product of AMX tiles gives.
inline constexpr int64_t kLatentChunkDims = 32;    // of a score
inline constexpr int64_t kLatentChunkTokens = 16;  // of a value
inline constexpr int64_t kLatentRunPages = 4;

// Pages whose results are joined before they join those of others.
inline int64_t run_pages(const AttentionTask& task) {
  return task.kv->spec().shared_values > 0 ? kLatentRunPages : 1;
}
inline int64_t key_runs(const AttentionTask& task) {
  const int64_t run_tokens = run_pages(task) * kKvPageTokens;
  return (task.first_position + task.rows + run_tokens - 1) / run_tokens;
}
// Room for what attention_runs finds in a run: of each query (row by row, the heads of a kv head
// together; sixteen queries or a multiple) the maximum of the scores, the sum of the weights and
// the weighted sum of the values. In which order is the kernels' own affair. Queries that do not
// see the run are left out.
inline int64_t run_floats(const AttentionTask& task) {
  const int64_t queries = task.rows * (task.heads / task.kv_heads);
  return (queries + 15) / 16 * 16 * (task.value_dim() + 2);
}

const Kernels& reference_kernels();
// nullptr where this processor, or this build, has none.
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* amx_kernels();

// The set that MINKE_ISA names, or the best; an error when MINKE_ISA names one that is unknown or
// that this processor lacks.
Result<const Kernels*> select_kernels();
// The same for passes that belong to no Ops; the reference where MINKE_ISA names none, which
// whoever makes the Ops reports.
const Kernels& chosen_kernels();
// "reference", "avx2", ...: those that this processor can run, slowest first.
std::vector<const Kernels*> available_kernels();

}  // namespace minke
