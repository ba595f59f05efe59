// Every kernel of every instruction set against the reference, bit for bit, and the reference
// against plain arithmetic on the decoded weights.
#include "kernels/kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/float_bits.h"
#include "core/random.h"
#include "kernels/kv_page.h"
#include "kernels/math.h"

namespace minke {
namespace {

std::vector<float> random_values(uint64_t seed, size_t count, double scale = 1.0) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(normal_pair(seed, 0, i)[0] * scale);
    // Outliers, as real activations have them.
    if (philox(seed, 1, i)[0] % 97 == 0) values[i] *= 40.0F;
  }
  return values;
}

void expect_same_bits(std::span<const float> got, std::span<const float> want,
                      const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  size_t different = 0;
  size_t first = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const bool same = std::bit_cast<uint32_t>(got[i]) == std::bit_cast<uint32_t>(want[i]);
    if (!same && different++ == 0) first = i;
  }
  EXPECT_EQ(different, 0u) << what << ": first at " << first << ": got " << got[first] << ", want "
                           << want[first] << "; " << different << " of " << got.size();
}

class FastKernels : public testing::TestWithParam<const Kernels*> {};

struct Problem {
  Weight weight;
  std::vector<std::byte> rows;
  std::vector<float> x;
  std::vector<float> bias;
  int64_t row_count;
  std::shared_ptr<PackedMatrix> packed;
};

Problem make_problem(QuantType type, int64_t out_dim, int64_t in_dim, int64_t rows,
                     ThreadPool& pool) {
  Problem p;
  const std::vector<float> values =
      random_values(7 + static_cast<uint64_t>(type), static_cast<size_t>(out_dim * in_dim), 0.05);
  const size_t bytes = row_bytes(type, in_dim);
  p.rows.resize(bytes * static_cast<size_t>(out_dim));
  for (int64_t o = 0; o < out_dim; ++o) {
    quant_format(type).encode(values.data() + o * in_dim,
                              p.rows.data() + static_cast<size_t>(o) * bytes, in_dim, nullptr);
  }
  p.weight.name = "w";
  p.weight.shape = {out_dim, in_dim};
  p.weight.type = type;
  p.weight.rows = p.rows.data();
  p.x = random_values(3, static_cast<size_t>(rows * in_dim));
  p.bias = random_values(5, static_cast<size_t>(out_dim));
  p.row_count = rows;
  Arena arena;
  auto packed = PackedMatrix::pack(p.weight, pool, arena);
  EXPECT_TRUE(packed.has_value()) << (packed ? "" : packed.error().message);
  p.packed = *packed;
  return p;
}

// Runs one product; `inputs` makes quantised or rounded inputs with the same kernels.
std::vector<float> multiply(const Kernels& kernels, const Problem& p, ThreadPool& pool) {
  const int64_t dim = p.packed->in_dim();
  const int64_t even = (dim + 1) / 2 * 2;
  std::vector<QuantGroup> groups(static_cast<size_t>(groups_of(dim) * p.row_count));
  std::vector<uint16_t> bf16(static_cast<size_t>(even * p.row_count));
  std::vector<float> out(static_cast<size_t>(p.packed->out_dim() * p.row_count), -1.0F);
  pool.parallel_for(1, 1, [&](int64_t, int64_t) {
    kernels.quantise(p.x.data(), p.row_count, dim, groups.data(), 0, p.row_count);
    for (int64_t row = 0; row < p.row_count; ++row) {
      kernels.to_bf16(p.x.data() + row * dim, bf16.data() + row * even, dim);
    }
    const LinearTask task = {.w = p.packed.get(),
                             .rows = p.row_count,
                             .groups = groups.data(),
                             .f32 = p.x.data(),
                             .bf16 = bf16.data(),
                             .bias = p.bias.data(),
                             .bias_rows = p.row_count,
                             .out = out.data(),
                             .out_stride = p.packed->out_dim()};
    kernels.linear[static_cast<size_t>(p.packed->format())](task, 0, p.packed->panels());
  });
  return out;
}

// The activations that a product sees: rounded to int8, to bf16, or left alone.
std::vector<double> rounded_activations(const Problem& p, bool quantised) {
  const int64_t dim = p.packed->in_dim();
  std::vector<double> values(p.x.begin(), p.x.end());
  if (p.packed->format() == PanelFormat::kBF16) {
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<double>(bf16_to_f32(f32_to_bf16(p.x[i])));
    }
  }
  if (!quantised) return values;
  std::vector<QuantGroup> groups(static_cast<size_t>(groups_of(dim) * p.row_count));
  reference_kernels().quantise(p.x.data(), p.row_count, dim, groups.data(), 0, p.row_count);
  for (int64_t row = 0; row < p.row_count; ++row) {
    for (int64_t k = 0; k < dim; ++k) {
      const QuantGroup& group = groups[static_cast<size_t>(k / kGroup * p.row_count + row)];
      const int64_t at = k % kGroup;
      values[static_cast<size_t>(row * dim + k)] =
          static_cast<double>(group.q[at] * (1 << group.shift[at / kRun])) *
          static_cast<double>(group.step);
    }
  }
  return values;
}

TEST(ReferenceKernels, LinearIsTheProductOfDecodedWeightsAndRoundedActivations) {
  ThreadPool pool(1);
  for (const QuantFormat& format : quant_formats()) {
    const int64_t in_dim = format.block_size == 256 ? 512 : 320;
    const Problem p = make_problem(format.type, 33, in_dim, 3, pool);
    const std::vector<float> got = multiply(reference_kernels(), p, pool);
    const std::vector<double> x = rounded_activations(p, format.quantised);
    std::vector<float> w(static_cast<size_t>(in_dim));
    for (int64_t o = 0; o < 33; ++o) {
      format.decode(p.rows.data() + static_cast<size_t>(o) * row_bytes(format.type, in_dim),
                    w.data(), in_dim);
      for (int64_t row = 0; row < 3; ++row) {
        double exact = static_cast<double>(p.bias[static_cast<size_t>(o)]);
        double size = std::abs(exact);
        for (int64_t k = 0; k < in_dim; ++k) {
          const double term = static_cast<double>(w[static_cast<size_t>(k)]) *
                              x[static_cast<size_t>(row * in_dim + k)];
          exact += term;
          size += std::abs(term);
        }
        // fp32 sums of at most a few hundred terms.
        EXPECT_NEAR(static_cast<double>(got[static_cast<size_t>(row * 33 + o)]), exact, 2e-6 * size)
            << format.name << " output " << o << " row " << row;
      }
    }
  }
}

TEST_P(FastKernels, LinearMatchesReferenceBitForBit) {
  ThreadPool pool(1);
  constexpr int64_t kRowsMost = 49;
  for (const QuantFormat& format : quant_formats()) {
    for (int64_t in_dim : {int64_t{256}, int64_t{1536}, int64_t{896}, int64_t{576}, int64_t{32}}) {
      if (in_dim % format.block_size != 0) continue;
      for (int64_t out_dim : {int64_t{1}, int64_t{16}, int64_t{49}}) {
        Problem p = make_problem(format.type, out_dim, in_dim, kRowsMost, pool);
        const std::vector<float> want = multiply(reference_kernels(), p, pool);
        // A row's result does not depend on how many rows there are: the first rows of the
        // reference serve every smaller batch.
        for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 40, 49}) {
          p.row_count = rows;
          expect_same_bits(multiply(*GetParam(), p, pool),
                           std::span(want).first(static_cast<size_t>(rows * out_dim)),
                           std::string(format.name) + " " + std::to_string(out_dim) + " x " +
                               std::to_string(in_dim) + ", " + std::to_string(rows) + " rows");
        }
      }
    }
  }
}

// More panels than a kernel takes together.
TEST_P(FastKernels, LinearOfManyPanelsMatchesReference) {
  ThreadPool pool(1);
  for (QuantType type : {QuantType::kQ4_K, QuantType::kQ6_K, QuantType::kQ8_0, QuantType::kQ4_1}) {
    const Problem p = make_problem(type, 545, 256, 37, pool);
    expect_same_bits(multiply(*GetParam(), p, pool), multiply(reference_kernels(), p, pool),
                     quant_name(type));
  }
}

TEST_P(FastKernels, LinearOfAnyWidthMatchesForFloats) {
  ThreadPool pool(1);
  for (QuantType type : {QuantType::kF32, QuantType::kF16, QuantType::kBF16}) {
    for (int64_t in_dim : {int64_t{1}, int64_t{7}, int64_t{65}}) {
      const Problem p = make_problem(type, 70, in_dim, 7, pool);
      expect_same_bits(multiply(*GetParam(), p, pool), multiply(reference_kernels(), p, pool),
                       quant_name(type));
    }
  }
}

// Every byte of the weights is `pattern`, but for scales, which are finite, and every x is `value`.
void expect_no_overflow(const Kernels& kernels, std::byte pattern, float value) {
  ThreadPool pool(1);
  for (const QuantFormat& format : quant_formats()) {
    if (!format.quantised) continue;
    Problem p = make_problem(format.type, 16, 512, 33, pool);
    for (std::byte& byte : p.rows) byte = pattern;
    if (format.type == QuantType::kMXFP4) continue;  // every pattern of its scale is valid already
    // Finite scales: fp16 0x2c00 is 1/16, in whatever field; the other bytes stay.
    const size_t block = format.block_bytes;
    for (size_t at = 0; at < p.rows.size(); at += block) {
      std::vector<float> plain(static_cast<size_t>(format.block_size), 1.0F);
      std::vector<std::byte> encoded(block);
      format.encode(plain.data(), encoded.data(), format.block_size, nullptr);
      const auto put = [&](size_t offset, size_t size) {
        std::memcpy(p.rows.data() + at + offset, encoded.data() + offset, size);
      };
      switch (format.type) {
        case QuantType::kQ2_K:
          put(80, 4);
          break;
        case QuantType::kQ3_K:
          put(108, 2);
          break;
        case QuantType::kQ6_K:
          put(208, 2);
          break;
        default:
          put(0, 4);
          break;
      }
    }
    for (float& x : p.x) x = value;  // every q at its largest
    Arena arena;
    p.packed = *PackedMatrix::pack(p.weight, pool, arena);
    const std::vector<float> want = multiply(reference_kernels(), p, pool);
    expect_same_bits(multiply(kernels, p, pool), want, format.name);
    std::vector<float> w(512);
    format.decode(p.rows.data(), w.data(), 512);
    double exact = p.bias[0];
    for (float weight : w) exact += static_cast<double>(weight * value);
    EXPECT_NEAR(static_cast<double>(want[0]), exact, 0.01 * std::abs(exact) + 1e-3) << format.name;
  }
}

// The largest magnitudes a super-block can hold must not overflow the integer sums.
TEST_P(FastKernels, ExtremeQuantsDoNotOverflow) {
  expect_no_overflow(*GetParam(), std::byte{0xff}, 1.0F);
  expect_no_overflow(*GetParam(), std::byte{0x80}, -1.0F);  // -128 where bytes have a sign
}

TEST_P(FastKernels, QuantiseMatchesReference) {
  ThreadPool pool(1);
  for (int64_t dim : {int64_t{32}, int64_t{256}, int64_t{576}, int64_t{896}}) {
    std::vector<float> x = random_values(11, static_cast<size_t>(5 * dim));
    for (int64_t i = 0; i < dim; ++i) x[static_cast<size_t>(dim + i)] = 0.0F;  // a row of zeros
    x[static_cast<size_t>(2 * dim + 3)] = std::numeric_limits<float>::quiet_NaN();
    x[static_cast<size_t>(3 * dim + 1)] = std::numeric_limits<float>::infinity();
    std::vector<QuantGroup> got(static_cast<size_t>(groups_of(dim) * 5));
    std::vector<QuantGroup> want = got;
    pool.parallel_for(1, 1, [&](int64_t, int64_t) {
      GetParam()->quantise(x.data(), 5, dim, got.data(), 0, 5);
      reference_kernels().quantise(x.data(), 5, dim, want.data(), 0, 5);
    });
    for (size_t i = 0; i < got.size(); ++i) {
      if (std::isnan(want[i].step)) {
        EXPECT_TRUE(std::isnan(got[i].step));
        got[i].step = want[i].step;
      }
      // All but the unused tail.
      EXPECT_EQ(std::memcmp(&got[i], &want[i], offsetof(QuantGroup, unused)), 0)
          << "group " << i << " of width " << dim;
    }
  }
}

TEST_P(FastKernels, ElementwiseMatchesReference) {
  ThreadPool pool(1);
  const Kernels& fast = *GetParam();
  const Kernels& plain = reference_kernels();
  for (int64_t dim : {1, 2, 15, 16, 17, 64, 130}) {
    const auto size = static_cast<size_t>(3 * dim);
    std::vector<float> x = random_values(1, size, 3.0);
    const std::vector<float> w = random_values(2, size);
    x[0] = 100.0F;  // beyond the range of exp on both sides
    if (dim > 1) x[1] = -100.0F;
    std::vector<float> got(size), want(size);
    const std::string what = "width " + std::to_string(dim);
    pool.parallel_for(1, 1, [&](int64_t, int64_t) {
      fast.rms_norm(x.data(), w.data(), 1e-5F, got.data(), dim, 0, 3);
      plain.rms_norm(x.data(), w.data(), 1e-5F, want.data(), dim, 0, 3);
    });
    expect_same_bits(got, want, "rms_norm, " + what);
    pool.parallel_for(1, 1, [&](int64_t, int64_t) {
      fast.swiglu(x.data(), w.data(), got.data(), 3 * dim);
      plain.swiglu(x.data(), w.data(), want.data(), 3 * dim);
    });
    expect_same_bits(got, want, "swiglu, " + what);
    fast.add(x.data(), w.data(), got.data(), 3 * dim);
    plain.add(x.data(), w.data(), want.data(), 3 * dim);
    expect_same_bits(got, want, "add, " + what);
    const float share = plain.peak_share(x.data(), dim);
    expect_same_bits(std::vector{fast.peak_share(x.data(), dim)}, std::vector{share},
                     "peak_share, " + what);
    EXPECT_TRUE(share > 0.0F && share <= 1.0F);
    if (dim % 2 == 0) {
      got.assign(size, 0.0F);
      want.assign(size, 0.0F);
      fast.rope_adjacent(x.data(), w.data(), w.data() + dim, got.data(), dim / 2);
      plain.rope_adjacent(x.data(), w.data(), w.data() + dim, want.data(), dim / 2);
      expect_same_bits(got, want, "rope_adjacent, " + what);
      fast.rope_halves(x.data(), w.data(), w.data() + dim, got.data(), dim / 2);
      plain.rope_halves(x.data(), w.data(), w.data() + dim, want.data(), dim / 2);
      expect_same_bits(got, want, "rope_halves, " + what);
    }
  }
}

struct AttentionShape {
  int64_t heads, kv_heads, head_dim;
  int64_t shared_values = 0;
};

// Random keys, values and queries, and a cache for them.
struct AttentionProblem {
  AttentionProblem(const AttentionShape& s, KvDtype dtype, int64_t past_tokens, int64_t row_count)
      : shape(s), past(past_tokens), rows(row_count) {
    const auto width = static_cast<size_t>(s.kv_heads * s.head_dim);
    k = random_values(21, width * static_cast<size_t>(past + rows));
    v = random_values(22, width * static_cast<size_t>(past + rows));
    q = random_values(23, static_cast<size_t>(rows * s.heads * s.head_dim));
    auto made = KvStore::create({.layers = 2,
                                 .kv_heads = s.kv_heads,
                                 .head_dim = s.head_dim,
                                 .dtype = dtype,
                                 .shared_values = s.shared_values},
                                12);
    EXPECT_TRUE(made.has_value());
    kv = *std::move(made);
    // What lies in a page from before is not to be seen, not even as NaN in a step.
    for (int32_t page = 0; page < 12; ++page) {
      const int fill = dtype == KvDtype::kQ8 ? 0xff : 0x3f;
      std::memset(kv.head_page(1, page, 0), fill,
                  kv.spec().head_page_bytes() * static_cast<size_t>(s.kv_heads));
    }
  }

  void store(const Kernels& kernels) {
    for (int64_t position = 0; position < past + rows; ++position) {
      for (int64_t head = 0; head < shape.kv_heads; ++head) {
        const int64_t at = (position * shape.kv_heads + head) * shape.head_dim;
        kernels.store_kv(k.data() + at, shape.shared_values > 0 ? nullptr : v.data() + at,
                         kv.spec().dtype,
                         kv.head_page(1, pages[static_cast<size_t>(position / 64)], head),
                         shape.head_dim, position % 64);
      }
    }
  }
  std::vector<std::byte> page_bytes() const {
    std::vector<std::byte> all;
    for (int32_t page = 0; page < 12; ++page) {
      const std::byte* from = kv.head_page(1, page, 0);
      all.insert(all.end(), from,
                 from + kv.spec().head_page_bytes() * static_cast<size_t>(shape.kv_heads));
    }
    return all;
  }
  AttentionTask task(std::vector<float>& out) const {
    out.assign(q.size(), -1.0F);
    return {.q = q.data(),
            .out = out.data(),
            .rows = rows,
            .first_position = past,
            .kv = &kv,
            .layer = 1,
            .pages = pages,
            .heads = shape.heads,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim,
            .scale = 0.3F};
  }

  AttentionShape shape;
  int64_t past, rows;
  std::vector<float> k, v, q;
  KvStore kv;
  std::vector<int32_t> pages = {3, 1, 6, 0, 7, 11, 2, 9, 10};
};

// In two pieces, as threads would take them.
std::vector<float> attend_in_pieces(const Kernels& kernels, const AttentionProblem& p,
                                    ThreadPool& pool) {
  std::vector<float> out;
  const AttentionTask task = p.task(out);
  pool.parallel_for(1, 1, [&](int64_t, int64_t) {
    for (int64_t head = 0; head < p.shape.kv_heads; ++head) {
      kernels.attention(task, head, 0, 2);
      kernels.attention(task, head, 2, p.rows);
    }
  });
  return out;
}

std::vector<float> attend_by_runs(const Kernels& kernels, const AttentionProblem& p,
                                  ThreadPool& pool) {
  std::vector<float> out;
  const AttentionTask task = p.task(out);
  const int64_t runs = key_runs(task);
  std::vector<float> found(static_cast<size_t>(runs * run_floats(task)),
                           std::numeric_limits<float>::quiet_NaN());
  pool.parallel_for(1, 1, [&](int64_t, int64_t) {
    for (int64_t head = 0; head < p.shape.kv_heads; ++head) {
      kernels.attention_runs(task, head, runs / 2, runs, found.data());
      kernels.attention_runs(task, head, 0, runs / 2, found.data());
      kernels.attention_join(task, head, found.data());
    }
  });
  return out;
}

TEST_P(FastKernels, AttentionMatchesReference) {
  ThreadPool pool(1);
  for (const KvDtype dtype : {KvDtype::kBF16, KvDtype::kQ8}) {
    for (const AttentionShape s :
         {AttentionShape{12, 2, 128}, AttentionShape{9, 3, 64}, AttentionShape{4, 4, 16},
          AttentionShape{7, 1, 80}, AttentionShape{2, 1, 6}, AttentionShape{5, 1, 34},
          AttentionShape{16, 1, 160, 128}, AttentionShape{16, 1, 144, 128},
          AttentionShape{5, 1, 96, 64}, AttentionShape{40, 1, 64, 32},
          AttentionShape{3, 1, 34, 20}}) {
      if (s.shared_values > 0 && dtype != KvDtype::kBF16) continue;
      for (const int64_t past : {0, 1, 63, 64, 150, 253, 510}) {
        const bool many = past == 150 && s.heads * s.head_dim < 2000;
        AttentionProblem p(s, dtype, past, many ? 70 : 5);
        const std::string what = std::string(kv_dtype_name(dtype)) + ", " +
                                 std::to_string(s.heads) + " heads of " +
                                 std::to_string(s.head_dim) + " after " + std::to_string(past);
        p.store(*GetParam());
        const std::vector<std::byte> pages = p.page_bytes();
        const std::vector<float> got = attend_in_pieces(*GetParam(), p, pool);
        const std::vector<float> apart = attend_by_runs(*GetParam(), p, pool);
        p.store(reference_kernels());
        EXPECT_TRUE(pages == p.page_bytes()) << "pages, " << what;
        const std::vector<float> want = attend_in_pieces(reference_kernels(), p, pool);
        for (const float value : want) ASSERT_TRUE(std::isfinite(value)) << what;
        expect_same_bits(got, want, what);
        expect_same_bits(apart, want, what + ", by runs");
        if (GetParam() == available_kernels().back()) {
          expect_same_bits(attend_by_runs(reference_kernels(), p, pool), want,
                           what + ", reference by pages");
        }
      }
    }
  }
}

// A cache of integers meets rows that have no largest value, or no value but zero.
TEST_P(FastKernels, StoreOfOddRowsMatchesReference) {
  constexpr int64_t kDim = 72;
  std::vector<float> x = random_values(31, kDim);
  const auto store = [&](const Kernels& kernels) {
    auto kv =
        KvStore::create({.layers = 1, .kv_heads = 1, .head_dim = kDim, .dtype = KvDtype::kQ8}, 1);
    std::byte* page = kv->head_page(0, 0, 0);
    kernels.store_kv(x.data(), x.data(), KvDtype::kQ8, page, kDim, 5);
    return std::vector<std::byte>(page, page + kv->spec().head_page_bytes());
  };
  for (const float odd : {0.0F, 1e-38F, 1e30F, 3e38F, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    for (int64_t d = 32; d < 48; ++d) x[static_cast<size_t>(d)] = odd;
    EXPECT_TRUE(store(*GetParam()) == store(reference_kernels())) << odd;
  }
}

// Not a number in a key or a value must not come out as one that looks right.
TEST_P(FastKernels, AttentionPassesNanOn) {
  ThreadPool pool(1);
  for (const KvDtype dtype : {KvDtype::kBF16, KvDtype::kQ8}) {
    for (const bool in_key : {false, true}) {
      AttentionProblem p({.heads = 2, .kv_heads = 1, .head_dim = 64}, dtype, 70, 3);
      (in_key ? p.k : p.v)[40 * 64 + 7] = std::numeric_limits<float>::quiet_NaN();
      p.store(*GetParam());
      const std::vector<float> got = attend_in_pieces(*GetParam(), p, pool);
      for (size_t row = 0; row < 6; ++row) {
        EXPECT_TRUE(std::isnan(got[row * 64 + 7])) << kv_dtype_name(dtype) << " row " << row;
      }
    }
  }
}

// shared: how many of a key's numbers are its value; 0: values lie beside the keys.
void expect_softmax_over_rounded_keys(KvDtype dtype, int64_t shared, double bound) {
  constexpr int64_t kDim = 48, kKeys = 300;
  auto kv = KvStore::create(
      {.layers = 1, .kv_heads = 1, .head_dim = kDim, .dtype = dtype, .shared_values = shared}, 5);
  ASSERT_TRUE(kv.has_value());
  const std::vector<float> k = random_values(1, kDim * kKeys, 0.3);
  const std::vector<float> v = shared > 0 ? k : random_values(2, kDim * kKeys, 0.3);
  const std::vector<float> q = random_values(3, kDim, 0.3);
  const std::vector<int32_t> pages = {1, 0, 4, 2, 3};
  const auto value_dim = static_cast<size_t>(kv->spec().value_dim());
  for (int64_t j = 0; j < kKeys; ++j) {
    reference_kernels().store_kv(k.data() + j * kDim, shared > 0 ? nullptr : v.data() + j * kDim,
                                 dtype, kv->head_page(0, pages[static_cast<size_t>(j / 64)], 0),
                                 kDim, j % 64);
  }
  std::vector<float> out(kDim);
  const AttentionTask task = {.q = q.data(),
                              .out = out.data(),
                              .rows = 1,
                              .first_position = kKeys - 1,
                              .kv = &*kv,
                              .layer = 0,
                              .pages = pages,
                              .heads = 1,
                              .kv_heads = 1,
                              .head_dim = kDim,
                              .scale = 0.25F};
  reference_kernels().attention(task, 0, 0, 1);
  double total = 0;
  std::vector<double> want(kDim, 0.0);
  for (int64_t j = 0; j < kKeys; ++j) {
    double score = 0;
    for (int64_t d = 0; d < kDim; ++d) {
      score += static_cast<double>(q[static_cast<size_t>(d)]) *
               static_cast<double>(k[static_cast<size_t>(j * kDim + d)]);
    }
    const double weight = std::exp(score * 0.25);
    total += weight;
    for (int64_t d = 0; d < kDim; ++d) {
      want[static_cast<size_t>(d)] +=
          weight * static_cast<double>(v[static_cast<size_t>(j * kDim + d)]);
    }
  }
  for (size_t d = 0; d < value_dim; ++d) {
    EXPECT_NEAR(static_cast<double>(out[d]), want[d] / total, bound) << kv_dtype_name(dtype);
  }
}

TEST(ReferenceKernels, AttentionIsSoftmaxOverRoundedKeys) {
  expect_softmax_over_rounded_keys(KvDtype::kBF16, 0, 0.02);
  expect_softmax_over_rounded_keys(KvDtype::kBF16, 32, 0.02);
  expect_softmax_over_rounded_keys(KvDtype::kQ8, 0, 0.02);
}

TEST(ReferenceKernels, ExpIsWithinTwoUlp) {
  for (float x = -87.0F; x < 88.0F; x += 0.00917F) {
    const double want = std::exp(static_cast<double>(x));
    EXPECT_NEAR(static_cast<double>(exact_exp(x)) / want, 1.0, 2.4e-7) << x;
  }
  EXPECT_EQ(exact_exp(0.0F), 1.0F);
  EXPECT_EQ(exact_exp(-1000.0F), 0.0F);
  EXPECT_TRUE(std::isnan(exact_exp(std::numeric_limits<float>::quiet_NaN())));
}

// reference + what this processor has; the reference against itself keeps the suite whole anywhere.
INSTANTIATE_TEST_SUITE_P(Isa, FastKernels, testing::ValuesIn(available_kernels()),
                         [](const auto& set) { return std::string(set.param->name); });

}  // namespace
}  // namespace minke
