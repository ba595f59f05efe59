// The tensors of a folder of Hugging Face's as a GGUF file would have them: which ones of the
// folder a tensor is made of, and its rows, made when they are asked for (io/gguf.h,
// GgufTensor::make). Which tensor becomes which is hf_folder.cpp's. Const; from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"
#include "io/safetensors.h"
#include "quant/format.h"

namespace minke {

constexpr int64_t kScaleBlock = 128;  // FP8's: a scale for so many rows and columns

// A tensor of the folder, and what it is multiplied by where it is FP8: [rows / 128, columns /
// 128], F32 (DeepSeek) or BF16 (Qwen3).
struct HfSource {
  const Safetensor* tensor = nullptr;
  const Safetensor* scales = nullptr;
};

// What GGUF keeps such a tensor as. FP8 has no place there: bf16 holds it with its scale to 2^-9.
QuantType kept_type(const HfSource& source);

// Row `row` of a source as fp32.
void read_row(const HfSource& source, int64_t row, float* out);

// A tensor as the GGUF file has it: the rows of its sources, one source after the other.
struct HfTarget {
  QuantType type = QuantType::kF32;
  Shape shape;
  std::vector<HfSource> sources;
  int64_t permuted_heads = 0;  // rows change from halves of a head to pairs
  std::vector<float> values;   // in place of sources

  // Lies in the folder as it is.
  bool in_place() const;
  // Which row of a source of `rows` becomes row `row`. Hugging Face turns halves (i, i + d/2) of a
  // head, llama in GGUF pairs (2i, 2i + 1).
  int64_t source_row(int64_t rows, int64_t row) const;
  // Rows from `first_row` on, as many as fill `out`. The folder's pages are given back behind them.
  Status make_rows(int64_t first_row, std::span<std::byte> out) const;
};

}  // namespace minke
