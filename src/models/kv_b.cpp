#include "models/kv_b.h"

#include <cstring>
#include <string_view>
#include <vector>

#include "core/check.h"

namespace minke {
namespace {

constexpr std::string_view kKeys = "attn_k_b.weight";
constexpr std::string_view kValues = "attn_v_b.weight";

}  // namespace

bool is_half_of_kv_b(const GgufFile& file, const Weight& weight) {
  if (!weight.name.ends_with(kKeys) && !weight.name.ends_with(kValues)) return false;
  if (file.find(weight.name) != nullptr) return false;
  return file.is_assembled() || file.find(kv_b_name(weight)) != nullptr;
}

std::string kv_b_name(const Weight& weight) {
  return weight.name.substr(0, weight.name.size() - kKeys.size()) + "attn_kv_b.weight";
}

Shape kv_b_shape(const LatentConfig& latent, const Weight& weight) {
  return {weight.matrices() * (latent.nope_dim + latent.value_dim), latent.kv_rank};
}

QuantType kv_b_type(const GgufTensor& source, const Weight& weight) {
  if (weight.name.ends_with(kValues)) return source.type;
  const bool plain = source.type == QuantType::kF32 || source.type == QuantType::kBF16;
  return plain ? source.type : QuantType::kF16;
}

Status take_half(const GgufTensor& source, const LatentConfig& latent, Weight& weight) {
  const int64_t heads = weight.matrices();
  const int64_t head_rows = latent.nope_dim + latent.value_dim;
  const QuantFormat& format = quant_format(source.type);
  CHECK(source.shape == kv_b_shape(latent, weight));
  MINKE_ASSIGN(const GgufBytes bytes, GgufFile::bytes_of(source));
  weight.type = kv_b_type(source, weight);
  const size_t row = row_bytes(source.type, latent.kv_rank);
  const size_t out_row = row_bytes(weight.type, weight.in_dim());
  MINKE_ASSIGN(weight.storage, Buffer::allocate(static_cast<size_t>(weight.out_dim()) * out_row,
                                                weight.name.c_str()));
  weight.rows = weight.storage.data();
  std::byte* out = weight.storage.data();
  if (weight.name.ends_with(kValues)) {
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t first = head * head_rows + latent.nope_dim;
      const size_t half = static_cast<size_t>(latent.value_dim) * row;
      std::memcpy(out + static_cast<size_t>(head) * half,
                  bytes.data + static_cast<size_t>(first) * row, half);
    }
    return {};
  }
  std::vector<float> keys(static_cast<size_t>(latent.nope_dim * latent.kv_rank));
  std::vector<float> turned(static_cast<size_t>(latent.nope_dim));
  for (int64_t head = 0; head < heads; ++head) {
    format.decode(bytes.data + static_cast<size_t>(head * head_rows) * row, keys.data(),
                  static_cast<int64_t>(keys.size()));
    for (int64_t k = 0; k < latent.kv_rank; ++k, out += out_row) {
      for (int64_t d = 0; d < latent.nope_dim; ++d) {
        turned[static_cast<size_t>(d)] = keys[static_cast<size_t>(d * latent.kv_rank + k)];
      }
      quant_format(weight.type).encode(turned.data(), out, latent.nope_dim, nullptr);
    }
  }
  return {};
}

}  // namespace minke
