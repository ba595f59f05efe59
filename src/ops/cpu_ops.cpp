#include "ops/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/check.h"

namespace minke {
namespace {

// Below this many values, spreading an elementwise operation over threads costs more than it saves.
constexpr int64_t kElementsPerTask = 16384;

// Above this share of a row's energy in one element, int8 needs a second row (docs/numerics.md).
constexpr float kPeakShare = 0.25F;

// Attention is shared out by runs of pages of keys for at most so many rows a sequence, and for
// fewer heads than these of all sequences together.
constexpr int64_t kRowsByPagesMost = 4;
constexpr int64_t kHeadsPerThread = 4;
constexpr int64_t kPagesPerItem = 4;  // a multiple of run_pages()

}  // namespace

Result<std::unique_ptr<CpuOps>> CpuOps::create(int threads) {
  MINKE_ASSIGN(const Kernels* kernels, select_kernels());
  return std::make_unique<CpuOps>(*kernels, threads);
}

CpuOps::CpuOps(const Kernels& kernels, int threads) : kernels_(kernels), threads_(threads) {}

void CpuOps::begin_step() { angles_.spec = nullptr; }

Tensor CpuOps::empty(Shape shape) {
  const size_t bytes = static_cast<size_t>(shape.count()) * dtype_bytes(Dtype::kF32);
  return Tensor(storage_.acquire(bytes), shape, Dtype::kF32);
}

Status CpuOps::prepare(Weight& weight, bool keep_rows) {
  if (weight.is_matrix() && weight.multiplied) {
    if (auto* before = const_cast<PackedWeight*>(weight.packed.get())) {
      static_cast<PackedMatrix*>(before)->repack(weight, threads_);
    } else {
      MINKE_ASSIGN(weight.packed, PackedMatrix::pack(weight, threads_, panels_));
    }
    if (!keep_rows && weight.storage.data() == nullptr) weight.rows = nullptr;
  } else if (weight.is_matrix() && weight.storage.data() == nullptr) {
    // A file's rows that are used in place do not go through the packing, which looks at them.
    MINKE_TRY(check_finite(weight, threads_));
  }
  return {};
}

Tensor CpuOps::embed(std::span<const int32_t> tokens, const Weight& table) {
  const int64_t dim = table.in_dim();
  Tensor out = empty({static_cast<int64_t>(tokens.size()), dim});
  CHECK(table.rows != nullptr);
  const size_t bytes = row_bytes(table.type, dim);
  threads_.parallel_for(out.rows(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t token = tokens[static_cast<size_t>(row)];
      CHECK(token >= 0 && token < table.out_dim());
      quant_format(table.type)
          .decode(table.rows + static_cast<size_t>(token) * bytes, out.row(row), dim);
    }
  });
  return out;
}

CpuOps::Derived& CpuOps::derived(const Tensor& x) {
  std::shared_ptr<void>& slot = x.storage()->derived;
  if (!slot) slot = std::make_shared<Derived>();
  return *static_cast<Derived*>(slot.get());
}

bool CpuOps::is_peaked(const float* row, int64_t dim) const {
  return kernels_.peak_share(row, dim) > kPeakShare;
}

const CpuOps::Derived& CpuOps::quantised(const Tensor& x) {
  Derived& made = derived(x);
  if (!made.groups.empty()) return made;
  const int64_t grain = std::max<int64_t>(1, 4096 / x.dim());
  std::vector<char> peaked(static_cast<size_t>(x.rows()), 0);
  threads_.parallel_for(x.rows(), grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      peaked[static_cast<size_t>(row)] = is_peaked(x.row(row), x.dim()) ? 1 : 0;
    }
  });
  for (int64_t row = 0; row < x.rows(); ++row) {
    if (peaked[static_cast<size_t>(row)]) made.peaked.push_back(row);
  }
  const auto extra = static_cast<int64_t>(made.peaked.size());
  made.groups = empty({groups_of(x.dim()) * (x.rows() + extra),
                       static_cast<int64_t>(sizeof(QuantGroup) / sizeof(float))});
  auto* groups = reinterpret_cast<QuantGroup*>(made.groups.f32());
  threads_.parallel_for(x.rows(), grain, [&](int64_t begin, int64_t end) {
    kernels_.quantise(x.f32(), x.rows() + extra, x.dim(), groups, begin, end);
  });
  threads_.parallel_for(extra, 1, [&](int64_t begin, int64_t end) {
    quantise_remainders(x.f32(), x.rows(), x.dim(), made.peaked, begin, end, groups);
  });
  return made;
}

void CpuOps::quantise_rows(const float* x, int64_t rows, int64_t dim,
                           std::span<const int64_t> peaked, QuantGroup* groups) const {
  const auto extra = static_cast<int64_t>(peaked.size());
  kernels_.quantise(x, rows + extra, dim, groups, 0, rows);
  quantise_remainders(x, rows, dim, peaked, 0, extra, groups);
}

void CpuOps::quantise_remainders(const float* x, int64_t rows, int64_t dim,
                                 std::span<const int64_t> peaked, int64_t begin, int64_t end,
                                 QuantGroup* groups) const {
  const int64_t all = rows + static_cast<int64_t>(peaked.size());
  std::vector<float> rest(static_cast<size_t>(dim));
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = peaked[static_cast<size_t>(i)];
    for (int64_t k = 0; k < dim; ++k) {
      const QuantGroup& group = groups[k / kGroup * all + row];
      const int64_t at = k % kGroup;
      const auto whole = static_cast<float>(group.q[at] * (1 << group.shift[at / kRun]));
      rest[static_cast<size_t>(k)] = std::fma(-whole, group.step, x[row * dim + k]);
    }
    // As the only row of a product whose groups lie `all` apart.
    kernels_.quantise(rest.data(), all, dim, groups + rows + i, 0, 1);
  }
}

void CpuOps::round_rows(const float* x, int64_t begin, int64_t end, int64_t dim,
                        uint16_t* out) const {
  const int64_t even = (dim + 1) / 2 * 2;
  for (int64_t row = begin; row < end; ++row) {
    kernels_.to_bf16(x + row * dim, out + row * even, dim);
    if (even != dim) out[row * even + dim] = 0;
  }
}

const uint16_t* CpuOps::as_bf16(const Tensor& x) {
  Derived& made = derived(x);
  const int64_t even = (x.dim() + 1) / 2 * 2;
  if (made.bf16.empty()) {
    made.bf16 = empty({(x.rows() * even + 1) / 2});
    auto* out = reinterpret_cast<uint16_t*>(made.bf16.f32());
    threads_.parallel_for(
        x.rows(), std::max<int64_t>(1, kElementsPerTask / x.dim()),
        [&](int64_t begin, int64_t end) { round_rows(x.f32(), begin, end, x.dim(), out); });
  }
  return reinterpret_cast<const uint16_t*>(made.bf16.f32());
}

void CpuOps::add_remainders(const Tensor& all, int64_t rows, std::span<const int64_t> peaked) {
  for (size_t i = 0; i < peaked.size(); ++i) {
    float* row = all.row(peaked[i]);
    kernels_.add(row, all.row(rows + static_cast<int64_t>(i)), row, all.dim());
  }
}

// A run of panels long enough to be worth handing out: some 64 KiB of weights.
int64_t CpuOps::panels_at_once(const PackedMatrix& matrix) {
  return std::max<int64_t>(2, 65536 / std::max<int64_t>(1, matrix.panel_bytes()));
}

Tensor CpuOps::linear(const Tensor& x, const Weight& w, const Weight& bias) {
  CHECK(w.packed != nullptr);
  const auto& matrix = static_cast<const PackedMatrix&>(*w.packed);
  CHECK_EQ(x.dim(), w.in_dim());
  LinearTask task = {.w = &matrix, .rows = x.rows(), .bias_rows = x.rows()};
  std::span<const int64_t> peaked;
  if (is_quantised(matrix.format())) {
    const Derived& made = quantised(x);
    task.groups = reinterpret_cast<const QuantGroup*>(made.groups.f32());
    task.rows += static_cast<int64_t>(made.peaked.size());
    peaked = made.peaked;
  } else if (matrix.format() == PanelFormat::kBF16) {
    task.bf16 = as_bf16(x);
  } else {
    task.f32 = x.f32();
  }
  if (bias.present()) {
    CHECK_EQ(bias.shape[0], w.out_dim());
    task.bias = bias.f32();
  }
  const Tensor all = empty({task.rows, w.out_dim()});
  task.out = all.f32();
  task.out_stride = w.out_dim();
  const auto kernel = kernels_.linear[static_cast<size_t>(matrix.format())];
  threads_.parallel_for(matrix.panels(), panels_at_once(matrix),
                        [&](int64_t begin, int64_t end) { kernel(task, begin, end); });
  add_remainders(all, x.rows(), peaked);
  return all.first_rows(x.rows());
}

Tensor CpuOps::rms_norm(const Tensor& x, const Weight& w, float epsilon) {
  CHECK_EQ(w.shape.count(), x.dim());
  Tensor out = empty(x.shape());
  threads_.parallel_for(
      x.rows(), std::max<int64_t>(1, kElementsPerTask / x.dim()), [&](int64_t begin, int64_t end) {
        kernels_.rms_norm(x.f32(), w.f32(), epsilon, out.f32(), x.dim(), begin, end);
      });
  return out;
}

const CpuOps::Angles& CpuOps::angles(std::span<const int32_t> positions, const RopeSpec& spec) {
  if (angles_.spec == &spec && std::ranges::equal(angles_.positions, positions)) return angles_;
  const size_t pairs = spec.frequencies.size();
  angles_.spec = &spec;
  angles_.positions.assign(positions.begin(), positions.end());
  angles_.cos.resize(positions.size() * pairs);
  angles_.sin.resize(positions.size() * pairs);
  threads_.parallel_for(
      static_cast<int64_t>(positions.size()), 16, [&](int64_t begin, int64_t end) {
        for (auto row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
          for (size_t i = 0; i < pairs; ++i) {
            // The angle in double: at position 100,000 a float would be off by 2^-8.
            const double angle =
                static_cast<double>(positions[row]) * static_cast<double>(spec.frequencies[i]);
            angles_.cos[row * pairs + i] = static_cast<float>(std::cos(angle)) * spec.magnitude;
            angles_.sin[row * pairs + i] = static_cast<float>(std::sin(angle)) * spec.magnitude;
          }
        }
      });
  return angles_;
}

Tensor CpuOps::rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) {
  CHECK_EQ(x.shape().rank(), 3);
  const int64_t heads = x.shape()[1];
  const int64_t head_dim = x.shape()[2];
  const auto pairs = static_cast<int64_t>(spec.frequencies.size());
  CHECK_EQ(x.shape()[0], static_cast<int64_t>(positions.size()));
  CHECK_LE(2 * pairs, head_dim);
  const Angles& turn = angles(positions, spec);
  const auto rotate =
      spec.pairs == RopePairs::kAdjacent ? kernels_.rope_adjacent : kernels_.rope_halves;
  Tensor out = empty(x.shape());
  threads_.parallel_for(x.shape()[0], std::max<int64_t>(1, kElementsPerTask / (heads * head_dim)),
                        [&](int64_t begin, int64_t end) {
                          for (int64_t row = begin; row < end; ++row) {
                            for (int64_t head = 0; head < heads; ++head) {
                              const int64_t at = (row * heads + head) * head_dim;
                              rotate(x.f32() + at, turn.cos.data() + row * pairs,
                                     turn.sin.data() + row * pairs, out.f32() + at, pairs);
                              std::copy(x.f32() + at + 2 * pairs, x.f32() + at + head_dim,
                                        out.f32() + at + 2 * pairs);
                            }
                          }
                        });
  return out;
}

void CpuOps::store_kv(const Tensor& k, const Tensor& v, const Batch& batch, KvStore& kv,
                      int64_t layer) {
  const int64_t kv_heads = kv.spec().kv_heads;
  const int64_t head_dim = kv.spec().head_dim;
  for (const BatchSequence& sequence : batch.sequences) {
    threads_.parallel_for(
        kv_heads, sequence.row_count >= 64 ? 1 : kv_heads, [&](int64_t begin, int64_t end) {
          for (int64_t head = begin; head < end; ++head) {
            for (int64_t i = 0; i < sequence.row_count; ++i) {
              const int64_t position = sequence.first_position + i;
              const int32_t page = sequence.pages[static_cast<size_t>(position / kKvPageTokens)];
              const int64_t at = ((sequence.first_row + i) * kv_heads + head) * head_dim;
              kernels_.store_kv(k.f32() + at, v.empty() ? nullptr : v.f32() + at, kv.spec().dtype,
                                kv.head_page(layer, page, head), head_dim,
                                position % kKvPageTokens);
            }
          }
        });
  }
}

Tensor CpuOps::attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                         KvStore& kv, int64_t layer, const AttentionSpec& spec) {
  CHECK_EQ(q.shape()[1], spec.heads);
  CHECK_EQ(k.shape()[1], spec.kv_heads);
  CHECK_EQ(spec.heads % spec.kv_heads, 0);
  CHECK_EQ(kv.spec().head_dim, spec.head_dim);
  CHECK_EQ(v.empty(), kv.spec().shared_values > 0);
  store_kv(k, v, batch, kv, layer);
  const int64_t value_dim = kv.spec().value_dim();
  Tensor out = empty({q.shape()[0], spec.heads * value_dim});
  std::vector<AttentionTask> tasks;
  for (const BatchSequence& sequence : batch.sequences) {
    const int64_t at = sequence.first_row * spec.heads;
    tasks.push_back({.q = q.f32() + at * spec.head_dim,
                     .out = out.f32() + at * value_dim,
                     .rows = sequence.row_count,
                     .first_position = sequence.first_position,
                     .kv = &kv,
                     .layer = layer,
                     .pages = sequence.pages,
                     .heads = spec.heads,
                     .kv_heads = spec.kv_heads,
                     .head_dim = spec.head_dim,
                     .scale = spec.scale});
  }
  // The heads of a few sequences that are writing do not share out evenly over threads, or are
  // fewer than these: then their runs of pages do.
  const auto heads = static_cast<int64_t>(tasks.size()) * spec.kv_heads;
  const bool few_rows = std::ranges::all_of(
      tasks, [](const AttentionTask& task) { return task.rows <= kRowsByPagesMost; });
  const bool many_keys = std::ranges::any_of(tasks, [](const AttentionTask& task) {
    return key_runs(task) * run_pages(task) > kPagesPerItem;
  });
  const bool few_heads = threads_.threads() > 1 && heads < kHeadsPerThread * threads_.threads();
  if (few_rows && many_keys && few_heads) {
    attention_by_runs(tasks);
  } else {
    attention_by_rows(tasks);
  }
  return out;
}

void CpuOps::attention_by_rows(std::span<const AttentionTask> tasks) {
  struct Item {
    const AttentionTask* task;
    int64_t kv_head, row_begin, row_end;
  };
  // Cut into pieces of about equal work, so that threads finish together.
  constexpr int64_t kRowsPerItem = 32;
  std::vector<Item> items;
  for (const AttentionTask& task : tasks) {
    for (int64_t begin = 0; begin < task.rows; begin += kRowsPerItem) {
      for (int64_t head = 0; head < task.kv_heads; ++head) {
        items.push_back({&task, head, begin, std::min(task.rows, begin + kRowsPerItem)});
      }
    }
  }
  // Longest first: later rows see more keys.
  std::ranges::reverse(items);
  threads_.parallel_each(static_cast<int64_t>(items.size()), [&](int64_t i) {
    const Item& item = items[static_cast<size_t>(i)];
    kernels_.attention(*item.task, item.kv_head, item.row_begin, item.row_end);
  });
}

void CpuOps::attention_by_runs(std::span<const AttentionTask> tasks) {
  struct Item {
    const AttentionTask* task;
    int64_t kv_head, run_begin, run_end;
    int64_t place;  // of what the head's runs find
  };
  std::vector<Item> items;
  std::vector<Item> joins;
  int64_t floats = 0;
  for (const AttentionTask& task : tasks) {
    const int64_t runs = key_runs(task);
    const int64_t step = kPagesPerItem / run_pages(task);
    for (int64_t head = 0; head < task.kv_heads; ++head) {
      joins.push_back({&task, head, 0, runs, floats});
      for (int64_t run = 0; run < runs; run += step) {
        items.push_back({&task, head, run, std::min(runs, run + step), floats});
      }
      floats += runs * run_floats(task);
    }
  }
  const Tensor found = empty({floats});
  threads_.parallel_each(static_cast<int64_t>(items.size()), [&](int64_t i) {
    const Item& item = items[static_cast<size_t>(i)];
    kernels_.attention_runs(*item.task, item.kv_head, item.run_begin, item.run_end,
                            found.f32() + item.place);
  });
  threads_.parallel_each(static_cast<int64_t>(joins.size()), [&](int64_t i) {
    const Item& item = joins[static_cast<size_t>(i)];
    kernels_.attention_join(*item.task, item.kv_head, found.f32() + item.place);
  });
}

Tensor CpuOps::swiglu(const Tensor& gate, const Tensor& up) {
  CHECK(gate.shape() == up.shape());
  Tensor out = empty(gate.shape());
  swiglu_into(gate.f32(), up.f32(), out.f32(), out.shape().count());
  return out;
}

void CpuOps::swiglu_into(const float* gate, const float* up, float* out, int64_t count) {
  threads_.parallel_for(count, kElementsPerTask / 4, [&](int64_t begin, int64_t end) {
    kernels_.swiglu(gate + begin, up + begin, out + begin, end - begin);
  });
}

Tensor CpuOps::add(const Tensor& a, const Tensor& b) {
  CHECK(a.shape() == b.shape());
  Tensor out = empty(a.shape());
  threads_.parallel_for(out.shape().count(), kElementsPerTask, [&](int64_t begin, int64_t end) {
    kernels_.add(a.f32() + begin, b.f32() + begin, out.f32() + begin, end - begin);
  });
  return out;
}

Tensor CpuOps::gather_rows(const Tensor& x, std::span<const int32_t> indices) {
  Tensor out = empty({static_cast<int64_t>(indices.size()), x.dim()});
  for (size_t i = 0; i < indices.size(); ++i) {
    CHECK(indices[i] >= 0 && indices[i] < x.rows());
    std::memcpy(out.row(static_cast<int64_t>(i)), x.row(indices[i]),
                static_cast<size_t>(x.dim()) * sizeof(float));
  }
  return out;
}

}  // namespace minke
