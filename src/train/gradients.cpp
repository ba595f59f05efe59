#include "train/gradients.h"

#include <cstring>

namespace minke {

Gradients::Gradients(Model& model, const std::function<bool(const Weight&)>& trains,
                     const Masters* masters) {
  model.visit([&](Weight& weight) {
    if (!weight.present() || (trains && !trains(weight))) return;
    add(weight, masters ? masters->values(weight) : Masters().values(weight));
  });
}

Gradients::Gradients(std::span<Weight* const> weights) {
  for (Weight* weight : weights) add(*weight, Masters().values(*weight));
}

void Gradients::add(Weight& weight, std::span<float> trained) {
  CHECK(index_.emplace(&weight, entries_.size()).second);
  const auto bytes = static_cast<size_t>(weight.shape.count()) * sizeof(float);
  entries_.push_back({&weight, trained, Buffer::allocate_or_die(bytes, "gradients")});
}

float* Gradients::find(const Weight& weight) const {
  const auto found = index_.find(&weight);
  return found == index_.end() ? nullptr : entries_[found->second].values().data();
}

void Gradients::zero() {
  for (const Entry& entry : entries_) {
    std::memset(entry.memory.data(), 0, entry.values().size_bytes());
  }
}

void accumulate_rows(ThreadPool& pool, const float* source, int64_t rows, int64_t dim,
                     std::span<const int32_t> destinations, float* target) {
  if (!destinations.empty()) CHECK_EQ(static_cast<int64_t>(destinations.size()), rows);
  constexpr int64_t kLine = 16;  // no cache line of the target belongs to two threads
  pool.parallel_for((dim + kLine - 1) / kLine, 2, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kLine;
    const int64_t last = end * kLine < dim ? end * kLine : dim;
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t destination = destinations.empty() ? 0 : destinations[static_cast<size_t>(row)];
      const float* from = source + row * dim;
      float* to = target + destination * dim;
      for (int64_t i = first; i < last; ++i) to[i] += from[i];
    }
  });
}

}  // namespace minke
