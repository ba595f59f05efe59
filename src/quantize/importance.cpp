#include "quantize/importance.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "io/gguf_writer.h"
#include "io/mmap.h"
#include "io/sha256.h"

namespace minke {
namespace {

constexpr std::string_view kSumsEnd = ".in_sum2";
constexpr std::string_view kCountsEnd = ".counts";

std::string joined(std::string_view name, std::string_view end) {
  return std::string(name) + std::string(end);
}

std::vector<float> floats_of(const GgufTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.count()));
  quant_format(tensor.type).decode(tensor.data, values.data(), tensor.shape.count());
  return values;
}

}  // namespace

Result<ImportanceMatrix> ImportanceMatrix::open(const std::string& path) {
  MINKE_ASSIGN(GgufFile file, GgufFile::open(path));
  MINKE_ASSIGN(const std::string_view type, file.text_or("general.type", ""));
  if (type != "imatrix") {
    return fail(
        fmt::format("{}: general.type is '{}', expected 'imatrix': the file that `minke calibrate` "
                    "writes, or llama.cpp's",
                    path, type));
  }
  ImportanceMatrix matrix(std::move(file));
  for (const GgufTensor& tensor : matrix.file_.tensors()) {
    if (tensor.type != QuantType::kF32) {
      return fail(fmt::format("{}: tensor '{}' is {}, expected F32", path, tensor.name,
                              quant_name(tensor.type)));
    }
    matrix.entries_ += tensor.name.ends_with(kSumsEnd) ? 1 : 0;
  }
  if (matrix.entries_ == 0) return fail(fmt::format("{}: has no sums of squares", path));
  MINKE_ASSIGN(matrix.windows_, matrix.file_.integer_or("imatrix.chunk_count", 0));
  if (matrix.file_.has("imatrix.datasets")) {
    MINKE_ASSIGN(const auto datasets, matrix.file_.strings("imatrix.datasets"));
    if (!datasets.empty()) matrix.dataset_ = datasets.front();
  }
  MINKE_ASSIGN(const MappedFile bytes, MappedFile::open(path));
  Sha256 hash;
  hash.update(bytes.bytes());
  matrix.sha256_ = hash.finish_hex();
  return matrix;
}

Result<std::vector<float>> ImportanceMatrix::means(std::string_view tensor,
                                                   const Shape& shape) const {
  const GgufTensor* sums = file_.find(joined(tensor, kSumsEnd));
  if (sums == nullptr) return std::vector<float>();
  const GgufTensor* counts = file_.find(joined(tensor, kCountsEnd));
  const int64_t matrices = shape.rank() == 3 ? shape[0] : 1;
  const int64_t dim = shape.back();
  const int64_t counted = counts == nullptr ? 0 : counts->shape.count();
  if (sums->shape.count() != matrices * dim || (counted != matrices && counted != 1)) {
    return fail(fmt::format(
        "{}: '{}' has {} sums and {} counts, expected {} for {} {}; it was "
        "collected from another model",
        path(), tensor, sums->shape.count(), counted, matrices * dim, tensor, shape.str()));
  }
  std::vector<float> means = floats_of(*sums);
  const std::vector<float> divisors = floats_of(*counts);
  for (size_t i = 0; i < means.size(); ++i) {
    if (!(means[i] >= 0.0F) || !std::isfinite(means[i])) {
      return fail(fmt::format("{}: a sum of '{}' is {}, expected a number of at least 0", path(),
                              tensor, means[i]));
    }
    const float count = divisors[counted == 1 ? 0 : i / static_cast<size_t>(dim)];
    means[i] = count > 0.0F ? means[i] / count : 0.0F;
  }
  MINKE_TRY(file_.check_intact());
  return means;
}

Status write_importance(const std::string& path, const std::map<std::string, InputSums>& sums,
                        const ImportanceSource& source) {
  MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(path));
  writer.set_text("general.type", "imatrix");
  writer.set_texts("imatrix.datasets", std::vector<std::string>{source.dataset});
  writer.set_uint32("imatrix.chunk_count", static_cast<uint32_t>(source.windows));
  writer.set_uint32("imatrix.chunk_size", static_cast<uint32_t>(source.window_tokens));
  for (const auto& [name, one] : sums) {
    const auto matrices = static_cast<int64_t>(one.counts.size());
    writer.add_tensor(joined(name, kSumsEnd), QuantType::kF32, {matrices, one.in_dim});
    writer.add_tensor(joined(name, kCountsEnd), QuantType::kF32, {matrices, 1});
  }
  MINKE_TRY(writer.begin_data());
  for (const auto& [name, one] : sums) {
    MINKE_TRY(writer.write(std::as_bytes(std::span(one.squares))));
    const std::vector<float> counts(one.counts.begin(), one.counts.end());
    MINKE_TRY(writer.write(std::as_bytes(std::span(counts))));
  }
  return writer.finish();
}

}  // namespace minke
