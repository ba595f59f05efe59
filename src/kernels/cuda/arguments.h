// What the host hands to kernels, one struct a kernel (C++20: seen by host and device code).
// Pointers are the GPU's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/tiles.h"

namespace minke::cuda {

// sum = a + b where b is given (else a alone); out = sum / rms(sum) w, and its int8 form.
struct NormArguments {
  const float* a = nullptr;  // [rows, dim]
  const float* b = nullptr;  // likewise, or nothing
  float* sum = nullptr;      // where b is given
  const float* w = nullptr;  // [dim]
  float* out = nullptr;      // [rows, dim]
  QuantRows quant;           // of out
  int64_t rows = 0;
  int64_t dim = 0;
  float epsilon = 0.0F;
};

struct SwigluArguments {
  const float* gate = nullptr;  // [rows, dim]
  const float* up = nullptr;
  float* out = nullptr;
  QuantRows quant;  // of out
  int64_t rows = 0;
  int64_t dim = 0;
};

struct QuantiseArguments {
  const float* x = nullptr;  // [rows, dim]
  QuantRows quant;
  int64_t rows = 0;
  int64_t dim = 0;
};

// One sequence of a batch, as kernels see it.
struct SequenceShare {
  int32_t first_row = 0;
  int32_t row_count = 0;
  int32_t first_position = 0;
  int32_t first_page = 0;  // of its list in Layout::pages
};

// Which row of a batch belongs where; the same for all layers of a step.
struct BatchLayout {
  const int32_t* positions = nullptr;      // [rows]
  const int32_t* row_sequences = nullptr;  // [rows], index into sequences
  const SequenceShare* sequences = nullptr;
  const int32_t* pages = nullptr;  // all lists of pages, one after the other
};

// Keys and values of one layer: head_page(page, head) = base + page page_halves + head
// head_page_halves, laid out as kernels/kv_page.h says.
struct KvLayer {
  uint16_t* base = nullptr;
  int64_t page_halves = 0;
  int64_t head_page_halves = 0;
  int32_t kv_heads = 0;
};

struct RopeArguments {
  const float* x = nullptr;  // [rows, heads, head_dim]
  float* out = nullptr;
  const float* cos = nullptr;  // [positions][pairs]
  const float* sin = nullptr;
  const int32_t* positions = nullptr;  // [rows]
  int64_t rows = 0;
  int32_t heads = 0;
  int32_t head_dim = 0;
  int32_t pairs = 0;
  bool adjacent = false;
};

// Rope of q and k, and k and v into their pages, in one launch.
struct RopeStoreArguments {
  RopeArguments q;           // out: [rows, heads, head_dim]
  RopeArguments k;           // out: unused, the pages get it
  const float* v = nullptr;  // [rows, kv_heads, head_dim]
  BatchLayout batch;
  KvLayer kv;
  bool turn = true;  // false: q and k are turned already, only store
};

struct AttentionArguments {
  const float* q = nullptr;  // [rows, heads, head_dim], turned
  BatchLayout batch;
  KvLayer kv;
  int32_t heads = 0;
  int32_t head_dim = 0;
  float scale = 0.0F;
  int64_t rows = 0;
  int32_t pages_max = 0;  // pages that the longest sequence's last row sees
  // One page of one row's one head, relative to its own maximum: [rows][heads][pages_max] of
  // maximum and sum, and of head_dim values.
  float* split_states = nullptr;
  float* split_values = nullptr;
  float* out = nullptr;  // [rows, heads * head_dim]
  QuantRows quant;       // of out
};

// Shared memory of attention_many_64 and attention_many_128: a page of K and V, the queries, their
// weights, scores and states.
inline constexpr int attention_many_shared_bytes(int head_dim) {
  return head_dim * 64 * (2 + 2 + 4) + 64 * 64 * 4 + 64 * 65 * 4 + 4 * 64 * 4;
}

struct GatherArguments {
  const float* x = nullptr;  // [*, dim]
  const float* b = nullptr;  // added where given
  const int32_t* indices = nullptr;
  float* out = nullptr;  // [rows, dim]
  int64_t rows = 0;
  int64_t dim = 0;
};

// One of the matrices that a launch multiplies by the same activations.
struct MatrixShare {
  const std::byte* panels = nullptr;
  int64_t panel_bytes = 0;
  int32_t format = 0;  // PanelFormat
  int32_t panel_count = 0;
  int64_t out_dim = 0;
  const float* bias = nullptr;  // [out_dim] or nothing
  float* out = nullptr;         // [rows, out_dim]
};

inline constexpr int kMatricesMax = 3;

struct LinearArguments {
  MatrixShare matrices[kMatricesMax];
  int32_t matrix_count = 0;
  int64_t rows = 0;
  int64_t dim = 0;
  const float* x = nullptr;  // [rows, dim]
  QuantRows quant;           // of x; for quantised formats
};

}  // namespace minke::cuda
