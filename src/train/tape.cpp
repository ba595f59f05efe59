#include "train/tape.h"

#include <algorithm>
#include <utility>

namespace minke {
namespace {

// A weight's values in fp32: where they lie, or decoded for as long as this lives.
class Values {
 public:
  Values(ThreadPool& pool, const Weight& weight) {
    if (weight.type == QuantType::kF32) {
      values_ = weight.f32();
      return;
    }
    CHECK(weight.rows != nullptr);
    const int64_t dim = weight.in_dim();
    const size_t bytes = row_bytes(weight.type, dim);
    own_.resize(static_cast<size_t>(weight.shape.count()));
    pool.parallel_for(weight.out_dim(), 16, [&](int64_t begin, int64_t end) {
      quant_format(weight.type)
          .decode(weight.rows + static_cast<size_t>(begin) * bytes, own_.data() + begin * dim,
                  (end - begin) * dim);
    });
    values_ = own_.data();
  }
  const float* get() const { return values_; }

 private:
  std::vector<float> own_;
  const float* values_ = nullptr;
};

}  // namespace

void Tape::begin_step() {
  if (std::exchange(continues_, false)) return inner_.begin_step();
  nodes_.clear();
  ids_.clear();
  loads_.clear();
  tensor_gradients_.clear();
  rope_tables_.clear();
  inner_.begin_step();
}

Tape::Name Tape::name_of(const Tensor& tensor) {
  const auto [found, is_new] = ids_.try_emplace(tensor.storage(), ids_given_);
  if (is_new) ++ids_given_;
  return {.id = found->second, .shape = tensor.shape()};
}

Tape::Name Tape::begin_name(const Tensor& tensor) {
  ids_.erase(tensor.storage());
  return name_of(tensor);
}

void Tape::record(const Tensor& output, std::initializer_list<const Tensor*> inputs,
                  std::function<void(const Tensor&)> backward) {
  // Gradients are found by storage, so a result must not share its input's.
  for (const Tensor* input : inputs) CHECK(input->storage() != output.storage());
  nodes_.push_back({begin_name(output), std::move(backward)});
}

void Tape::add_gradient(const Name& input, Tensor gradient) {
  CHECK_EQ(input.shape.count(), gradient.shape().count());
  Tensor& sum = tensor_gradients_[input.id];
  // Never in place: the gradient of a sum is shared by both of its terms.
  sum = sum.empty() ? std::move(gradient) : sum_of(context_, sum, gradient);
}

void Tape::backward(std::span<const Output> outputs) {
  tensor_gradients_.clear();
  for (const Output& output : outputs) add_gradient(name_of(output.result), output.gradient);
  while (!nodes_.empty()) {
    const Node node = std::move(nodes_.back());
    nodes_.pop_back();
    const auto found = tensor_gradients_.find(node.output.id);
    if (found == tensor_gradients_.end()) continue;
    // Every op that read this result came later, so its gradient is complete.
    const Tensor dy = std::move(found->second);
    tensor_gradients_.erase(found);
    node.backward(dy.reshaped(node.output.shape));
  }
  rope_tables_.clear();
}

Tensor Tape::input_gradient(const Tensor& input) const {
  const auto id = ids_.find(input.storage());
  if (id == ids_.end()) return {};
  const auto found = tensor_gradients_.find(id->second);
  return found == tensor_gradients_.end() ? Tensor() : found->second.reshaped(input.shape());
}

Tensor Tape::embed(std::span<const int32_t> tokens, const Weight& table) {
  Tensor y = inner_.embed(tokens, table);
  float* gradient = gradients_.find(table);
  if (gradient == nullptr) {
    begin_name(y);
    return y;
  }
  record(y, {},
         [this, gradient, rows = std::vector(tokens.begin(), tokens.end())](const Tensor& dy) {
           accumulate_rows(context_.pool, dy.f32(), dy.rows(), dy.dim(), rows, gradient);
         });
  return y;
}

Tensor Tape::linear(const Tensor& x, const Weight& w, const Weight& bias) {
  Tensor y = inner_.linear(x, w, bias);
  float* bias_gradient = bias.present() ? gradients_.find(bias) : nullptr;
  float* gradient = gradients_.find(w);
  record(y, {&x},
         [this, name = name_of(x), read = gradient ? x : Tensor(), &w, gradient,
          bias_gradient](const Tensor& dy) {
           if (gradient) linear_backward_weight(context_, dy, read, gradient);
           if (bias_gradient) {
             accumulate_rows(context_.pool, dy.f32(), dy.rows(), dy.dim(), {}, bias_gradient);
           }
           add_gradient(name, linear_backward_input(context_, dy, w, name.shape));
         });
  return y;
}

Tensor Tape::rms_norm(const Tensor& x, const Weight& w, float epsilon) {
  Tensor y = inner_.rms_norm(x, w, epsilon);
  record(y, {&x},
         [this, x, scale = w.f32(), gradient = gradients_.find(w), epsilon](const Tensor& dy) {
           add_gradient(name_of(x), rms_norm_backward(context_, dy, x, scale, epsilon, gradient));
         });
  return y;
}

std::shared_ptr<const RopeTable> Tape::rope_table(std::span<const int32_t> positions,
                                                  const RopeSpec& spec) {
  for (const SharedRopeTable& shared : rope_tables_) {
    if (shared.frequencies == spec.frequencies && shared.magnitude == spec.magnitude &&
        std::ranges::equal(shared.positions, positions)) {
      return shared.table;
    }
  }
  rope_tables_.push_back({.positions = {positions.begin(), positions.end()},
                          .frequencies = spec.frequencies,
                          .magnitude = spec.magnitude,
                          .table = std::make_shared<RopeTable>(make_rope_table(spec, positions))});
  return rope_tables_.back().table;
}

Tensor Tape::rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) {
  Tensor y = inner_.rope(x, positions, spec);
  record(y, {&x},
         [this, x = name_of(x), pairs = spec.pairs, table = rope_table(positions, spec)](
             const Tensor& dy) { add_gradient(x, rope_backward(context_, dy, pairs, *table)); });
  return y;
}

Tensor Tape::attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                       KvStore& kv, int64_t layer, const AttentionSpec& spec) {
  // The gradient rounds as this cache does (attention_backward). Trainer makes no other.
  CHECK(kv.spec().dtype == KvDtype::kBF16);
  Tensor y = inner_.attention(q, k, v, batch, kv, layer, spec);
  sequences_.clear();
  for (const BatchSequence& sequence : batch.sequences) {
    CHECK_EQ(sequence.first_position, 0);
    sequences_.push_back({.first_row = sequence.first_row, .row_count = sequence.row_count});
  }
  record(y, {&q, &k, &v},
         [this, q, k, v, spec, shared_values = kv.spec().shared_values,
          sequences = sequences_](const Tensor& dy) {
           AttentionGradients gradients =
               attention_backward(context_, dy, q, k, v, sequences, spec, shared_values);
           add_gradient(name_of(q), std::move(gradients.dq));
           add_gradient(name_of(k), std::move(gradients.dk));
           if (!v.empty()) add_gradient(name_of(v), std::move(gradients.dv));
         });
  return y;
}

Tensor Tape::swiglu(const Tensor& gate, const Tensor& up) {
  Tensor y = inner_.swiglu(gate, up);
  record(y, {&gate, &up}, [this, gate, up](const Tensor& dy) {
    auto [dgate, dup] = swiglu_backward(context_, dy, gate, up);
    add_gradient(name_of(gate), std::move(dgate));
    add_gradient(name_of(up), std::move(dup));
  });
  return y;
}

Tensor Tape::add(const Tensor& a, const Tensor& b) {
  Tensor y = inner_.add(a, b);
  record(y, {&a, &b}, [this, a = name_of(a), b = name_of(b)](const Tensor& dy) {
    add_gradient(a, dy);
    add_gradient(b, dy);
  });
  return y;
}

Tensor Tape::gather_rows(const Tensor& x, std::span<const int32_t> indices) {
  Tensor y = inner_.gather_rows(x, indices);
  record(
      y, {&x},
      [this, x = name_of(x), rows = std::vector(indices.begin(), indices.end())](const Tensor& dy) {
        Tensor dx = context_.zeros(x.shape);
        accumulate_rows(context_.pool, dy.f32(), dy.rows(), dy.dim(), rows, dx.f32());
        add_gradient(x, std::move(dx));
      });
  return y;
}

Tensor Tape::slice(const Tensor& x, int64_t begin, int64_t count) {
  Tensor y = inner_.slice(x, begin, count);
  record(y, {&x}, [this, x = name_of(x), begin](const Tensor& dy) {
    add_gradient(x, slice_backward(context_, dy, begin, x.shape));
  });
  return y;
}

Tensor Tape::concat(const Tensor& a, const Tensor& b) {
  Tensor y = inner_.concat(a, b);
  record(y, {&a, &b}, [this, a = name_of(a), b = name_of(b)](const Tensor& dy) {
    add_gradient(a, inner_.slice(dy, 0, a.shape.back()));
    add_gradient(b, inner_.slice(dy, a.shape.back(), b.shape.back()));
  });
  return y;
}

Tensor Tape::linear_by_heads(const Tensor& x, const Weight& w) {
  Tensor y = inner_.linear_by_heads(x, w);
  float* gradient = gradients_.find(w);
  record(y, {&x},
         [this, name = name_of(x), read = gradient ? x : Tensor(), &w, gradient](const Tensor& dy) {
           if (gradient) linear_by_heads_backward_weight(context_, dy, read, gradient);
           const Values values(context_.pool, w);
           add_gradient(name,
                        linear_by_heads_backward_input(context_, dy, values.get(), name.shape));
         });
  return y;
}

Tensor Tape::mixture(const Tensor& x, const Tensor& logits, const Weight& bias,
                     const RouteSpec& spec, const Weight& gate, const Weight& up,
                     const Weight& down) {
  Tensor y = inner_.mixture(x, logits, bias, spec, gate, up, down);
  // The route is part of the forward's record: a bias that moves after it must not change it.
  std::vector<float> biases;
  if (bias.present()) biases.assign(bias.f32(), bias.f32() + spec.experts);
  record(y, {&x, &logits},
         [this, x, logits, &bias, &gate, &up, &down, biases = std::move(biases),
          spec](const Tensor& dy) {
           const Values gates(context_.pool, gate);
           const Values ups(context_.pool, up);
           const Values downs(context_.pool, down);
           const MixtureWeights weights = {.gate = gates.get(),
                                           .up = ups.get(),
                                           .down = downs.get(),
                                           .ffn_dim = down.in_dim(),
                                           .gate_gradient = gradients_.find(gate),
                                           .up_gradient = gradients_.find(up),
                                           .down_gradient = gradients_.find(down)};
           MixtureGradients gradients =
               mixture_backward(context_, dy, x, logits, biases, spec, weights,
                                {.weight = balance_weight_, .sequences = sequences_});
           std::vector<int64_t>& loads = loads_[&bias];
           loads.resize(gradients.loads.size());
           for (size_t i = 0; i < loads.size(); ++i) loads[i] += gradients.loads[i];
           add_gradient(name_of(x), std::move(gradients.dx));
           add_gradient(name_of(logits), std::move(gradients.dlogits));
         });
  return y;
}

}  // namespace minke
