// What a model becomes when it is stored in other formats: the header of the new file, and for each
// tensor its format and where its data goes. Made from the old file's header alone, in no time, so
// that it can be shown before hours of work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "io/gguf.h"
#include "quantize/importance.h"
#include "quantize/recipe.h"

namespace minke {

// "blk.*.ffn_down.weight=Q6_K": matrices whose whole name fits the pattern (* stands for any
// characters, ? for one) are stored in that format, whatever the recipe says.
struct TensorOverride {
  std::string pattern;
  QuantType type;

  // Misuse when there is no '=' or no such format.
  static Result<TensorOverride> parse(std::string_view text);
};

struct PlannedTensor {
  const GgufTensor* source = nullptr;
  QuantType type = QuantType::kF32;
  QuantType wanted = QuantType::kF32;  // what the recipe chose, where its blocks do not fit
  uint64_t offset = 0;                 // of its data in the new file
  uint64_t bytes = 0;
  bool unmeasured = false;  // importance would help, and the matrix that was given has none
};

struct QuantizePlan {
  std::vector<std::byte> header;  // up to the first tensor's data
  std::vector<PlannedTensor> tensors;
  uint64_t bytes_total = 0;
  int64_t parameters = 0;
  int64_t requantised = 0;  // tensors that were quantised before, and lose once more

  double bits_per_weight() const {
    return 8.0 * static_cast<double>(bytes_total - header.size()) / static_cast<double>(parameters);
  }
};

struct QuantizeRequest {
  Recipe recipe = Recipe::copy();
  bool pure = false;                      // every matrix in the recipe's own format
  std::vector<TensorOverride> overrides;  // the first that fits counts
  const ImportanceMatrix* importance = nullptr;
};

// Every tensor and key of `from` is kept; of keys only general.file_type and
// general.quantization_version change, split.* goes, and quantize.imatrix.* comes. `from` must
// outlive the plan. Misuse when an override fits no tensor, or its format does not suit one; fails
// when an importance matrix holds what does not fit a tensor, or is no mean of squares.
Result<QuantizePlan> plan_quantize(const GgufFile& from, const QuantizeRequest& request);

}  // namespace minke
