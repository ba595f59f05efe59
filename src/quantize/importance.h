// Importance matrices: for each matrix of a model the mean of the squares of its inputs, column by
// column, as a text made them. An encoder that knows them spends its error where inputs are small.
//
// The file is the GGUF that llama.cpp's own tool writes and reads: general.type "imatrix",
// imatrix.datasets (names of the texts), imatrix.chunk_count and imatrix.chunk_size (windows and
// tokens in each), and for each matrix of the model, by its name, two fp32 tensors: NAME.in_sum2
// [matrices, in_dim], sums of squares, and NAME.counts [matrices, 1] or [1, 1], how many inputs
// each sum is of. A stack (experts, heads) has a row a matrix.
//
// Immutable after open; the file stays mapped, so that memory is bounded whatever its size.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "io/gguf.h"

namespace minke {

class ImportanceMatrix {
 public:
  static Result<ImportanceMatrix> open(const std::string& path);

  // Means for a tensor of a model, [matrices, in_dim]; empty where the file has none of its name. A
  // matrix that saw no input has zeros, which to an encoder means that nothing is known. Fails when
  // what is there does not fit the tensor.
  Result<std::vector<float>> means(std::string_view tensor, const Shape& shape) const;

  const std::string& path() const { return file_.path(); }
  int64_t entries() const { return entries_; }
  int64_t windows() const { return windows_; }
  const std::string& dataset() const { return dataset_; }  // the first one's name; may be empty
  // Of the whole file, in hexadecimal.
  const std::string& sha256() const { return sha256_; }

 private:
  explicit ImportanceMatrix(GgufFile file) : file_(std::move(file)) {}

  GgufFile file_;
  int64_t entries_ = 0;
  int64_t windows_ = 0;
  std::string dataset_;
  std::string sha256_;
};

// What is summed up for one matrix, or for each of a stack.
struct InputSums {
  int64_t in_dim = 0;
  std::vector<float> squares;   // [matrices, in_dim]
  std::vector<int64_t> counts;  // [matrices]
};

struct ImportanceSource {
  std::string dataset;
  int64_t windows = 0;
  int64_t window_tokens = 0;
};

Status write_importance(const std::string& path, const std::map<std::string, InputSums>& sums,
                        const ImportanceSource& source);

}  // namespace minke
