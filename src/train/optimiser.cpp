#include "train/optimiser.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "kernels/training.h"
#include "train/muon.h"

namespace minke {
namespace {

constexpr int64_t kRun = 4096;  // values a partial sum covers, and the least a thread takes

float* floats(const Buffer& buffer) { return reinterpret_cast<float*>(buffer.data()); }

}  // namespace

bool is_inner_matrix(const Weight& weight) {
  return weight.is_matrix() && weight.name.starts_with("blk.") &&
         !weight.name.contains("ffn_gate_inp") && !weight.name.contains("nextn.embed_tokens") &&
         !weight.name.contains("nextn.shared_head");
}

Optimiser::Optimiser(const Gradients& gradients, Ops& ops, ThreadPool& pool,
                     OptimiserOptions options)
    : ops_(ops), pool_(pool), options_(std::move(options)) {
  for (const Gradients::Entry& entry : gradients.entries()) {
    const size_t bytes = entry.values().size_bytes();
    State& state = states_.emplace_back();
    state.weight = entry.weight;
    state.uses_muon = options_.uses_muon && options_.uses_muon(*entry.weight);
    state.first = Buffer::allocate_or_die(bytes, "the optimiser's state");
    if (!state.uses_muon) state.second = Buffer::allocate_or_die(bytes, "the optimiser's state");
  }
}

void Optimiser::visit_state(const std::function<void(const std::string& name, const Shape& shape,
                                                     std::span<float> values)>& visitor) {
  for (State& state : states_) {
    const Shape& shape = state.weight->shape;
    const auto count = static_cast<size_t>(shape.count());
    visitor(state.weight->name + ".first", shape, {floats(state.first), count});
    if (!state.uses_muon) {
      visitor(state.weight->name + ".second", shape, {floats(state.second), count});
    }
  }
}

double Optimiser::gradient_norm(const Gradients& gradients) const {
  double total = 0.0;
  for (const Gradients::Entry& entry : gradients.entries()) {
    const std::span<const float> values = entry.values();
    const auto count = static_cast<int64_t>(values.size());
    // Partial sums of a fixed length, added in order: threads do not show in the bits.
    std::vector<double> partial(static_cast<size_t>((count + kRun - 1) / kRun), 0.0);
    pool_.parallel_for(static_cast<int64_t>(partial.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t run = begin; run < end; ++run) {
        double sum = 0.0;
        for (int64_t i = run * kRun; i < std::min(count, (run + 1) * kRun); ++i) {
          const auto value = static_cast<double>(values[static_cast<size_t>(i)]);
          sum += value * value;
        }
        partial[static_cast<size_t>(run)] = sum;
      }
    });
    for (double sum : partial) total += sum;
  }
  return std::sqrt(total);
}

void Optimiser::step_adamw(const Gradients::Entry& entry, State& state, double learning_rate,
                           float factor) {
  const auto t = static_cast<double>(steps_);
  const bool decays = options_.decays(*entry.weight);
  const AdamwStep step = {
      .factor = factor,
      .beta1 = static_cast<float>(options_.beta1),
      .beta2 = static_cast<float>(options_.beta2),
      .rate = static_cast<float>(learning_rate / (1.0 - std::pow(options_.beta1, t))),
      .correction = static_cast<float>(1.0 / (1.0 - std::pow(options_.beta2, t))),
      .epsilon = static_cast<float>(options_.epsilon),
      .keep = static_cast<float>(decays ? 1.0 - learning_rate * options_.weight_decay : 1.0)};
  float* w = entry.trained.data();
  float* m = floats(state.first);
  float* v = floats(state.second);
  const float* in = entry.values().data();
  pool_.parallel_for(std::ssize(entry.values()), kRun, [&](int64_t begin, int64_t end) {
    training_kernels().adamw(step, in + begin, m + begin, v + begin, w + begin, end - begin);
  });
}

Result<OptimiserReport> Optimiser::step(const Gradients& gradients, double learning_rate) {
  CHECK_EQ(gradients.entries().size(), states_.size());
  OptimiserReport report = {.gradient_norm = gradient_norm(gradients)};
  if (!std::isfinite(report.gradient_norm)) return report;
  report.applied = true;
  ++steps_;
  const bool clip = options_.clip_norm > 0.0 && report.gradient_norm > options_.clip_norm;
  const auto factor = static_cast<float>(clip ? options_.clip_norm / report.gradient_norm : 1.0);
  for (size_t index = 0; index < states_.size(); ++index) {
    const Gradients::Entry& entry = gradients.entries()[index];
    State& state = states_[index];
    if (state.uses_muon) {
      const bool decays = options_.decays(*entry.weight);
      muon_step(pool_, *entry.weight, entry.trained, entry.values(),
                {floats(state.first), entry.values().size()},
                {.momentum = options_.muon_momentum,
                 .learning_rate = learning_rate,
                 .weight_decay = decays ? options_.weight_decay : 0.0});
    } else {
      step_adamw(entry, state, learning_rate, factor);
    }
    MINKE_TRY(prepare_trained(*entry.weight, entry.trained, ops_, pool_));
  }
  return report;
}

double LearningRate::at(int64_t step) const {
  if (step < warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  }
  const int64_t span = std::max<int64_t>(1, total_steps - warmup_steps);
  const double share =
      std::min(1.0, static_cast<double>(step - warmup_steps) / static_cast<double>(span));
  double height = 1.0;  // between final_share and the peak
  if (decay == Decay::kCosine) height = 0.5 * (1.0 + std::cos(std::numbers::pi * share));
  if (decay == Decay::kWsd) height = std::min(1.0, (1.0 - share) / decay_share);
  return peak * (final_share + (1.0 - final_share) * height);
}

}  // namespace minke
