#include "train/masters.h"

#include <utility>

namespace minke {
namespace {

bool is_rounded(const Weight& weight) {
  return weight.is_matrix() && !weight.name.contains("ffn_gate_inp");
}

}  // namespace

Status Masters::begin(Model& model, Ops& ops, ThreadPool& pool) {
  CHECK(memory_.empty());
  Status status;
  model.visit([&](Weight& weight) {
    if (!status || !weight.present() || !is_rounded(weight)) return;
    CHECK(weight.type == QuantType::kF32 && weight.storage.data() != nullptr);
    auto rows =
        Buffer::allocate(row_bytes(QuantType::kBF16, weight.shape.count()), weight.name.c_str());
    if (!rows) {
      status = std::unexpected(std::move(rows).error());
      return;
    }
    memory_.emplace(&weight, std::exchange(weight.storage, *std::move(rows)));
    weight.rows = weight.storage.data();
    weight.type = QuantType::kBF16;
    weight.packed = nullptr;
    status = prepare_trained(weight, values(weight), ops, pool);
  });
  return status;
}

std::span<float> Masters::values(Weight& weight) const {
  const auto count = static_cast<size_t>(weight.shape.count());
  const auto found = memory_.find(&weight);
  if (found == memory_.end()) return {weight.mutable_f32(), count};
  return {reinterpret_cast<float*>(found->second.data()), count};
}

Status prepare_trained(Weight& weight, std::span<const float> values, Ops& ops, ThreadPool& pool) {
  if (weight.type == QuantType::kBF16) {
    const QuantFormat& bf16 = quant_format(QuantType::kBF16);
    pool.parallel_for(std::ssize(values), 1 << 16, [&](int64_t begin, int64_t end) {
      bf16.encode(values.data() + begin, weight.storage.data() + begin * 2, end - begin, nullptr);
    });
  }
  return ops.prepare(weight, /*keep_rows=*/true);
}

}  // namespace minke
