// CpuOps: what latent attention and mixtures of experts need. Both multiply rows by matrices of a
// stack, each by its own: a head's, or the experts' that a token goes to.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/check.h"
#include "ops/cpu_ops.h"

namespace minke {

Tensor CpuOps::slice(const Tensor& x, int64_t begin, int64_t count) {
  CHECK(begin >= 0 && count > 0 && begin + count <= x.dim());
  const Shape& shape = x.shape();
  Tensor out = empty(shape.rank() == 3 ? Shape{shape[0], shape[1], count} : Shape{shape[0], count});
  for (int64_t row = 0; row < x.rows(); ++row) {
    std::memcpy(out.row(row), x.row(row) + begin, static_cast<size_t>(count) * sizeof(float));
  }
  return out;
}

Tensor CpuOps::concat(const Tensor& a, const Tensor& b) {
  CHECK_EQ(a.rows(), b.rows());
  const Shape& shape = a.shape();
  const int64_t dim = a.dim() + b.dim();
  Tensor out = empty(shape.rank() == 3 ? Shape{shape[0], shape[1], dim} : Shape{shape[0], dim});
  for (int64_t row = 0; row < a.rows(); ++row) {
    std::memcpy(out.row(row), a.row(row), static_cast<size_t>(a.dim()) * sizeof(float));
    std::memcpy(out.row(row) + a.dim(), b.row(row), static_cast<size_t>(b.dim()) * sizeof(float));
  }
  return out;
}

namespace {

// Where a part of a product has its inputs and outputs.
struct PartTask {
  LinearTask task;
  Tensor inputs;   // as the panels' format wants them
  Tensor outputs;  // [rows + extra][out_dim]
  std::vector<int64_t> peaked;
};

// Places of rows and heads in the order of heads, or back.
Tensor transposed(Ops& ops, const Tensor& x, int64_t outer, int64_t inner, Shape shape) {
  Tensor out = ops.empty(shape);
  const int64_t dim = x.dim();
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t j = 0; j < inner; ++j) {
      std::memcpy(out.f32() + (j * outer + i) * dim, x.f32() + (i * inner + j) * dim,
                  static_cast<size_t>(dim) * sizeof(float));
    }
  }
  return out;
}

}  // namespace

// Panels of all parts are shared out together: a token's experts are small alone.
Tensor CpuOps::multiply_stack(const Tensor& x, const Weight& w, std::span<const StackPart> parts) {
  CHECK(w.packed != nullptr);
  const auto& matrix = static_cast<const PackedMatrix&>(*w.packed);
  const int64_t out_dim = w.out_dim() / w.matrices();
  CHECK_EQ(x.dim(), w.in_dim());
  CHECK_EQ(out_dim % kPanelOutputs, 0);
  const int64_t panels = out_dim / kPanelOutputs;
  Tensor out = empty({x.rows(), out_dim});
  std::vector<Tensor> inputs;
  std::vector<PartTask> tasks;
  for (const StackPart& part : parts) {
    PartTask made;
    // A part's rows as a tensor of their own, so that they are prepared as linear() does it.
    Tensor own = empty({part.rows, x.dim()});
    std::memcpy(own.f32(), x.row(part.first_row),
                static_cast<size_t>(part.rows * x.dim()) * sizeof(float));
    made.task = product_task(own, matrix, made.peaked);
    made.task.out_stride = out_dim;
    made.task.first_output = part.matrix * out_dim;
    made.outputs = empty({made.task.rows, out_dim});
    made.task.out = made.outputs.f32();
    made.inputs = std::move(own);
    tasks.push_back(std::move(made));
  }
  struct Item {
    const PartTask* part;
    int64_t panel_begin, panel_end;
  };
  const int64_t run = panels_at_once(matrix);
  std::vector<Item> items;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const int64_t first = parts[i].matrix * panels;
    for (int64_t begin = 0; begin < panels; begin += run) {
      items.push_back({&tasks[i], first + begin, first + std::min(panels, begin + run)});
    }
  }
  const auto kernel = kernels_.linear[static_cast<size_t>(matrix.format())];
  threads_.parallel_each(static_cast<int64_t>(items.size()), [&](int64_t i) {
    const Item& item = items[static_cast<size_t>(i)];
    kernel(item.part->task, item.panel_begin, item.panel_end);
  });
  for (size_t i = 0; i < tasks.size(); ++i) {
    add_remainders(tasks[i].outputs, parts[i].rows, tasks[i].peaked);
    std::memcpy(out.row(parts[i].first_row), tasks[i].outputs.f32(),
                static_cast<size_t>(parts[i].rows * out_dim) * sizeof(float));
  }
  return out;
}

Tensor CpuOps::linear_by_heads(const Tensor& x, const Weight& w) {
  CHECK_EQ(x.shape().rank(), 3);
  const int64_t rows = x.shape()[0];
  const int64_t heads = x.shape()[1];
  CHECK_EQ(heads, w.matrices());
  std::vector<StackPart> parts;
  for (int64_t head = 0; head < heads; ++head) parts.push_back({head, head * rows, rows});
  const Tensor by_heads = transposed(*this, x, rows, heads, {heads * rows, x.dim()});
  const Tensor made = multiply_stack(by_heads, w, parts);
  return transposed(*this, made, heads, rows, {rows, heads, made.dim()});
}

Tensor CpuOps::mixture(const Tensor& x, const Tensor& logits, const Weight& bias,
                       const RouteSpec& spec, const Weight& gate, const Weight& up,
                       const Weight& down) {
  CHECK_EQ(logits.dim(), spec.experts);
  CHECK_EQ(gate.matrices(), spec.experts);
  std::span<const float> biases;
  if (bias.present()) biases = {bias.f32(), static_cast<size_t>(spec.experts)};
  const Routes routes = route(logits.values(), biases, spec);
  // Entries of routes in the order of their experts; each expert's rows ascend.
  std::vector<int32_t> order(routes.experts.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(
      order, {}, [&](int32_t entry) { return routes.experts[static_cast<size_t>(entry)]; });
  std::vector<int32_t> rows;
  std::vector<StackPart> parts;
  for (const int32_t entry : order) {
    const int64_t expert = routes.experts[static_cast<size_t>(entry)];
    if (parts.empty() || parts.back().matrix != expert) {
      parts.push_back({expert, static_cast<int64_t>(rows.size()), 0});
    }
    ++parts.back().rows;
    rows.push_back(entry / static_cast<int32_t>(spec.used));
  }
  const Tensor inputs = gather_rows(x, rows);
  const Tensor hidden =
      swiglu(multiply_stack(inputs, gate, parts), multiply_stack(inputs, up, parts));
  const Tensor outputs = multiply_stack(hidden, down, parts);

  std::vector<int32_t> place(order.size());  // of an entry in the order of experts
  for (size_t i = 0; i < order.size(); ++i)
    place[static_cast<size_t>(order[i])] = static_cast<int32_t>(i);
  Tensor out = empty(x.shape());
  const int64_t dim = x.dim();
  threads_.parallel_for(x.rows(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* sum = out.row(row);
      std::fill(sum, sum + dim, 0.0F);
      for (int64_t i = row * spec.used; i < (row + 1) * spec.used; ++i) {
        const auto entry = static_cast<size_t>(i);
        const float weight = routes.weights[entry];
        const float* expert = outputs.row(place[entry]);
        for (int64_t d = 0; d < dim; ++d) sum[d] += weight * expert[d];
      }
    }
  });
  return out;
}

}  // namespace minke
