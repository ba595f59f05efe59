// CpuOps: what latent attention and mixtures of experts need. Both multiply rows by matrices of a
// stack, each by its own: a head's, or those of the experts that a token goes to.
#include <algorithm>
#include <cstring>
#include <functional>
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

// The rows of one part as the panels' formats want them. Rows in which one element holds most of
// the energy are quantised twice, as in linear(): `extra` of them follow the others.
struct CpuOps::StackInput {
  std::vector<int64_t> peaked;
  const float* f32 = nullptr;
  QuantGroup* groups = nullptr;
  uint16_t* bf16 = nullptr;
};

std::vector<CpuOps::StackInput> CpuOps::prepare_stack(std::span<const StackPart> parts, int64_t dim,
                                                      std::span<const StackProduct> products,
                                                      std::vector<Tensor>& memory) {
  bool quantised = false;
  bool rounded = false;
  for (const StackProduct& product : products) {
    const PanelFormat format = matrix_of(product, parts, 0).panels->format();
    quantised |= is_quantised(format);
    rounded |= format == PanelFormat::kBF16;
  }
  std::vector<StackInput> inputs(parts.size());
  // Side by side, as kernels read them.
  std::vector<Tensor> copies(parts.size());  // of rows that lie apart
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].in_stride != dim) copies[i] = empty({parts[i].rows, dim});
    inputs[i].f32 = copies[i].empty() ? parts[i].in : copies[i].f32();
  }
  threads_.parallel_each(static_cast<int64_t>(parts.size()), [&](int64_t index) {
    const auto i = static_cast<size_t>(index);
    for (int64_t row = 0; row < parts[i].rows; ++row) {
      const float* from = parts[i].in + row * parts[i].in_stride;
      if (parts[i].in_stride != dim) std::copy(from, from + dim, copies[i].row(row));
      if (quantised && is_peaked(from, dim)) inputs[i].peaked.push_back(row);
    }
  });
  const int64_t groups = groups_of(dim);
  const int64_t even = (dim + 1) / 2 * 2;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (quantised) {
      const int64_t count =
          groups * (parts[i].rows + static_cast<int64_t>(inputs[i].peaked.size()));
      memory.push_back(empty({count, static_cast<int64_t>(sizeof(QuantGroup) / sizeof(float))}));
      inputs[i].groups = reinterpret_cast<QuantGroup*>(memory.back().f32());
    }
    if (rounded) {
      memory.push_back(empty({(parts[i].rows * even + 1) / 2}));
      inputs[i].bf16 = reinterpret_cast<uint16_t*>(memory.back().f32());
    }
  }
  threads_.parallel_each(static_cast<int64_t>(parts.size()), [&](int64_t index) {
    const auto i = static_cast<size_t>(index);
    if (quantised)
      quantise_rows(inputs[i].f32, parts[i].rows, dim, inputs[i].peaked, inputs[i].groups);
    if (rounded) round_rows(inputs[i].f32, 0, parts[i].rows, dim, inputs[i].bf16);
  });
  memory.insert(memory.end(), copies.begin(), copies.end());
  return inputs;
}

// Panels of all parts and products are shared out together: a token's experts are small alone.
void CpuOps::multiply_stacks(std::span<const StackPart> parts, int64_t dim,
                             std::span<const StackProduct> products) {
  std::vector<Tensor> memory;  // of inputs, and of outputs of rows that are multiplied twice
  const std::vector<StackInput> inputs = prepare_stack(parts, dim, products, memory);
  struct Piece {
    LinearTask task;
    int64_t panel_begin = 0, panel_end = 0;
  };
  struct Twice {
    Tensor all;
    const StackPart* part;
    std::span<const int64_t> peaked;
    float* out;
    int64_t out_stride;
  };
  std::vector<Piece> pieces;
  std::vector<Twice> twice;
  for (const StackProduct& product : products) {
    const int64_t out_dim = product.w->out_dim() / product.w->matrices();
    CHECK_EQ(product.w->in_dim(), dim);
    CHECK_EQ(out_dim % kPanelOutputs, 0);
    const int64_t panels = out_dim / kPanelOutputs;
    const int64_t shares =
        std::max<int64_t>(1, 4 * threads_.threads() / static_cast<int64_t>(parts.size()));
    for (size_t i = 0; i < parts.size(); ++i) {
      const StackPart& part = parts[i];
      const auto [panels_of_part, first_output] = matrix_of(product, parts, i);
      const PackedMatrix& matrix = *panels_of_part;
      const int64_t run = std::max(panels_at_once(matrix), (panels + shares - 1) / shares);
      float* out = product.out + part.out_first * out_dim;
      LinearTask task = {.w = &matrix,
                         .rows = part.rows,
                         .groups = inputs[i].groups,
                         .f32 = inputs[i].f32,
                         .bf16 = inputs[i].bf16,
                         .out = out,
                         .out_stride = part.out_step * out_dim,
                         .first_output = first_output};
      if (is_quantised(matrix.format()) && !inputs[i].peaked.empty()) {
        task.rows += static_cast<int64_t>(inputs[i].peaked.size());
        twice.push_back(
            {empty({task.rows, out_dim}), &part, inputs[i].peaked, out, task.out_stride});
        task.out = twice.back().all.f32();
        task.out_stride = out_dim;
      }
      const int64_t first = first_output / kPanelOutputs;
      for (int64_t begin = 0; begin < panels; begin += run) {
        pieces.push_back({task, first + begin, first + std::min(panels, begin + run)});
      }
    }
  }
  threads_.parallel_each(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const Piece& piece = pieces[static_cast<size_t>(i)];
    kernels_.linear[static_cast<size_t>(piece.task.w->format())](piece.task, piece.panel_begin,
                                                                 piece.panel_end);
  });
  for (const Twice& t : twice) {
    add_remainders(t.all, t.part->rows, t.peaked);
    for (int64_t row = 0; row < t.part->rows; ++row) {
      std::memcpy(t.out + row * t.out_stride, t.all.row(row),
                  static_cast<size_t>(t.all.dim()) * sizeof(float));
    }
  }
}

Tensor CpuOps::linear_by_heads(const Tensor& x, const Weight& w) {
  CHECK_EQ(x.shape().rank(), 3);
  const int64_t rows = x.shape()[0];
  const int64_t heads = x.shape()[1];
  const int64_t dim = x.dim();
  CHECK_EQ(heads, w.matrices());
  Tensor out = empty({rows, heads, w.out_dim() / heads});
  std::vector<StackPart> parts;
  for (int64_t head = 0; head < heads; ++head) {
    parts.push_back({.matrix = head,
                     .rows = rows,
                     .in = x.f32() + head * dim,
                     .in_stride = heads * dim,
                     .out_first = head,
                     .out_step = heads});
  }
  const StackProduct product = {&w, out.f32()};
  multiply_stacks(parts, dim, {&product, 1});
  return out;
}

namespace {

// Routes in the order of their experts; each expert's rows ascend.
struct Grouped {
  std::vector<int32_t> rows;     // of the input, in that order
  std::vector<int32_t> experts;  // theirs
  std::vector<int32_t> place;    // of an entry of the routes in that order
};

Grouped by_experts(const Routes& routes, int64_t used) {
  std::vector<int32_t> order(routes.experts.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(
      order, {}, [&](int32_t entry) { return routes.experts[static_cast<size_t>(entry)]; });
  Grouped grouped;
  grouped.place.resize(order.size());
  for (const int32_t entry : order) {
    grouped.place[static_cast<size_t>(entry)] = static_cast<int32_t>(grouped.rows.size());
    grouped.rows.push_back(entry / static_cast<int32_t>(used));
    grouped.experts.push_back(routes.experts[static_cast<size_t>(entry)]);
  }
  return grouped;
}

}  // namespace

struct CpuOps::Mixing {
  const Weight& gate;
  const Weight& up;
  const Weight& down;
  int64_t dim;    // of the model
  int64_t width;  // of an expert
  // One row for each row of the input and expert that it goes to, by ascending expert.
  Tensor inputs;                 // [count, dim]
  std::vector<StackPart> parts;  // one an expert: which of them are its
  Tensor gates, ups, hidden;     // [count, width]
  Tensor outputs;                // [count, dim]
};

void CpuOps::mix(Mixing& m, std::span<const StackPart> parts,
                 std::span<const std::vector<PackedMatrix>> alone) {
  const auto of = [&](size_t which) -> std::span<const PackedMatrix> {
    if (alone.empty()) return {};
    return alone[which];
  };
  const StackProduct first[2] = {{&m.gate, m.gates.f32(), of(0)}, {&m.up, m.ups.f32(), of(1)}};
  multiply_stacks(parts, m.dim, first);
  std::vector<StackPart> inner(parts.begin(), parts.end());
  for (size_t i = 0; i < inner.size();) {  // parts whose rows follow one another at once
    const int64_t begin = inner[i].out_first;
    int64_t end = begin;
    for (; i < inner.size() && inner[i].out_first == end; ++i) {
      inner[i].in = m.hidden.row(end);
      inner[i].in_stride = m.width;
      end += inner[i].rows;
    }
    swiglu_into(m.gates.row(begin), m.ups.row(begin), m.hidden.row(begin), (end - begin) * m.width);
  }
  const StackProduct second = {&m.down, m.outputs.f32(), of(2)};
  multiply_stacks(inner, m.width, {&second, 1});
}

bool CpuOps::mix_streamed(Mixing& m, const StreamedStack& stack) {
  std::vector<int32_t> experts;
  for (const StackPart& part : m.parts) experts.push_back(static_cast<int32_t>(part.matrix));
  ExpertStore& store = stack.store();
  store.request(stack.layer(), experts);
  while (true) {
    Result<std::vector<ExpertStore::Ready>> ready = store.take(threads_);
    if (!ready) return false;
    if (ready->empty()) return true;
    std::vector<StackPart> parts;
    std::vector<PackedMatrix> alone[3];
    for (ExpertStore::Ready& one : *ready) {
      parts.push_back(m.parts[one.index]);
      for (size_t i = 0; i < 3; ++i) alone[i].push_back(std::move(one.matrices[i]));
    }
    mix(m, parts, alone);
    store.release();
  }
}

void CpuOps::expect_mixture(const Tensor& x, const Weight& router, const Weight& bias,
                            const RouteSpec& spec, const Weight& gate) {
  const auto* streamed = dynamic_cast<const StreamedStack*>(gate.packed.get());
  if (streamed == nullptr) return;
  std::span<const float> biases;
  if (bias.present()) biases = {bias.f32(), static_cast<size_t>(spec.experts)};
  const Weight none;
  Routes routes = route(linear(x, router, none).values(), biases, spec);
  // Those that most tokens go to first: they are the surest.
  std::vector<int32_t> tokens(static_cast<size_t>(spec.experts), 0);
  for (const int32_t expert : routes.experts) ++tokens[static_cast<size_t>(expert)];
  std::vector<int32_t> experts;
  for (int32_t expert = 0; expert < spec.experts; ++expert) {
    if (tokens[static_cast<size_t>(expert)] > 0) experts.push_back(expert);
  }
  std::ranges::stable_sort(experts, std::greater(),
                           [&](int32_t expert) { return tokens[static_cast<size_t>(expert)]; });
  streamed->store().expect(streamed->layer(), experts);
}

Tensor CpuOps::mixture(const Tensor& x, const Tensor& logits, const Weight& bias,
                       const RouteSpec& spec, const Weight& gate, const Weight& up,
                       const Weight& down) {
  CHECK_EQ(logits.dim(), spec.experts);
  CHECK_EQ(gate.matrices(), spec.experts);
  std::span<const float> biases;
  if (bias.present()) biases = {bias.f32(), static_cast<size_t>(spec.experts)};
  const Routes routes = route(logits.values(), biases, spec);
  const Grouped grouped = by_experts(routes, spec.used);
  const auto count = static_cast<int64_t>(grouped.rows.size());
  const int64_t width = gate.out_dim() / spec.experts;
  Mixing mixing = {.gate = gate,
                   .up = up,
                   .down = down,
                   .dim = x.dim(),
                   .width = width,
                   .inputs = gather_rows(x, grouped.rows),
                   .parts = {},
                   .gates = empty({count, width}),
                   .ups = empty({count, width}),
                   .hidden = empty({count, width}),
                   .outputs = empty({count, x.dim()})};
  for (int64_t i = 0; i < count; ++i) {
    const int64_t expert = grouped.experts[static_cast<size_t>(i)];
    if (mixing.parts.empty() || mixing.parts.back().matrix != expert) {
      mixing.parts.push_back(
          {.matrix = expert, .in = mixing.inputs.row(i), .in_stride = x.dim(), .out_first = i});
    }
    ++mixing.parts.back().rows;
  }
  Tensor out = empty(x.shape());
  if (const auto* streamed = dynamic_cast<const StreamedStack*>(gate.packed.get())) {
    if (!mix_streamed(mixing, *streamed)) {
      std::ranges::fill(out.values(), 0.0F);  // the store tells the fault
      return out;
    }
  } else {
    mix(mixing, mixing.parts, {});
  }
  if (on_hidden_) on_hidden_(down, grouped.experts, mixing.hidden);

  const int64_t dim = x.dim();
  threads_.parallel_for(x.rows(), 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* sum = out.row(row);
      std::fill(sum, sum + dim, 0.0F);
      for (int64_t i = row * spec.used; i < (row + 1) * spec.used; ++i) {
        const auto entry = static_cast<size_t>(i);
        const float weight = routes.weights[entry];
        const float* expert = mixing.outputs.row(grouped.place[entry]);
        for (int64_t d = 0; d < dim; ++d) sum[d] += weight * expert[d];
      }
    }
  });
  return out;
}

}  // namespace minke
