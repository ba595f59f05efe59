// Each op's gradient under the tape against differences of the very forward that it belongs to.
#include <algorithm>
#include <cstring>

#include "core/float_bits.h"
#include "kernels/kv_store.h"
#include "train/loss.h"
#include "train/testing.h"

namespace minke {
namespace {

using testing::derivative;
using testing::fill_weight;
using testing::spread;
using testing::spread_tensor;

// An op as a function of some fp32 arrays (tensors and weights), and its analytic gradients.
struct Case {
  std::function<Tensor(Ops&)> op;
  std::vector<std::pair<const char*, std::span<float>>> variables;
  // Called when a variable has changed.
  std::function<void()> changed = [] {};
};

class BackwardTest : public ::testing::Test {
 protected:
  // The loss is a fixed random combination of the op's results, summed in double.
  double loss(const Case& test) {
    test.changed();
    ops_->begin_step();
    const Tensor y = test.op(*ops_);
    double sum = 0.0;
    for (uint32_t i = 0; i < y.values().size(); ++i) {
      sum += static_cast<double>(combination(i)) * static_cast<double>(y.values()[i]);
    }
    return sum;
  }
  static float combination(uint32_t index) { return static_cast<float>(spread(7, index)); }

  // Compares `analytic` with differences: every `stride`-th coordinate alone, and random
  // directions. Tolerances are relative to the gradient's own size: fp32 results of about 1 carry
  // an error of 1e-7 each, the step is `h`, and the quotient's own error is of order h⁴.
  void check(const Case& test, size_t variable, std::span<const float> analytic, double h,
             double tolerance) {
    const auto& [name, values] = test.variables[variable];
    ASSERT_EQ(values.size(), analytic.size()) << name;
    const std::vector<float> start(values.begin(), values.end());
    double square_sum = 0.0;
    for (float value : analytic) square_sum += static_cast<double>(value) * value;
    const double typical = std::sqrt(square_sum / static_cast<double>(analytic.size()));
    ASSERT_GT(typical, 0.0) << name;

    const size_t stride = values.size() / 24 + 1;
    for (size_t i = 0; i < values.size(); i += stride) {
      const double numeric = derivative(
          [&](double step) {
            values[i] = start[i] + static_cast<float>(step);
            const double result = loss(test);
            values[i] = start[i];
            return result;
          },
          h);
      EXPECT_NEAR(analytic[i], numeric, tolerance * std::max(typical, std::abs(numeric)))
          << name << "[" << i << "]";
    }
    for (uint32_t trial = 0; trial < 4; ++trial) {
      std::vector<double> direction(values.size());
      double exact = 0.0;
      for (uint32_t i = 0; i < values.size(); ++i) {
        direction[i] = spread(900 + trial, i) / std::sqrt(static_cast<double>(values.size()));
        exact += direction[i] * static_cast<double>(analytic[i]);
      }
      const double numeric = derivative(
          [&](double step) {
            for (size_t i = 0; i < values.size(); ++i) {
              values[i] = start[i] + static_cast<float>(step * direction[i]);
            }
            const double result = loss(test);
            std::ranges::copy(start, values.begin());
            return result;
          },
          h * 4.0);
      EXPECT_NEAR(exact, numeric, tolerance * std::max(typical, std::abs(exact)))
          << name << " along direction " << trial;
    }
    test.changed();
  }

  // Runs the op under a tape; `read` then fetches gradients.
  void differentiate(const Case& test, std::span<Weight* const> weights,
                     const std::function<void(const Tape&, const Gradients&)>& read) {
    test.changed();
    Gradients gradients(weights);
    Tape tape(*ops_, ops_->pool(), gradients);
    tape.begin_step();
    const Tensor y = test.op(tape);
    Tensor dy = ops_->empty(y.shape());
    for (uint32_t i = 0; i < dy.values().size(); ++i) dy.values()[i] = combination(i);
    tape.backward(y, dy);
    read(tape, gradients);
  }

  Status prepare(Weight& weight) { return ops_->prepare(weight, true); }

  std::unique_ptr<CpuOps> ops_ = testing::make_ops();
};

TEST_F(BackwardTest, LinearWithBias) {
  Weight w = {.name = "w", .shape = {19, 23}};
  Weight bias = {.name = "b", .shape = {19}};
  fill_weight(w, 1, 0.5);
  fill_weight(bias, 2, 0.5);
  const Tensor x = spread_tensor(*ops_, {5, 23}, 3);
  Case test = {.op = [&](Ops& ops) { return ops.linear(x, w, bias); },
               .variables = {{"x", x.values()},
                             {"w", {w.mutable_f32(), 19 * 23}},
                             {"bias", {bias.mutable_f32(), 19}}},
               .changed = [&] { ASSERT_TRUE(prepare(w).has_value()); }};
  Weight* const weights[] = {&w, &bias};
  differentiate(test, weights, [&](const Tape& tape, const Gradients& gradients) {
    check(test, 0, tape.input_gradient(x).values(), 0.05, 1e-4);
    check(test, 1, gradients.entries()[0].values(), 0.05, 1e-4);
    check(test, 2, gradients.entries()[1].values(), 0.05, 1e-4);
  });
}

// A frozen weight gives the gradient of the values that its blocks stand for, whatever their
// format, and in one chain however many rows are decoded at a time.
TEST_F(BackwardTest, LinearOfQuantisedWeightsGivesTheGradientOfTheirValues) {
  constexpr int64_t kOut = 1100;
  constexpr int64_t kIn = 256;
  Weight values = {.name = "w", .shape = {kOut, kIn}};
  fill_weight(values, 1, 0.5);
  const Tensor dy = spread_tensor(*ops_, {5, kOut}, 3);
  const BackwardContext context = {*ops_, ops_->pool()};
  for (const QuantType type : {QuantType::kQ8_0, QuantType::kQ4_K, QuantType::kF16}) {
    const QuantFormat& format = quant_format(type);
    std::vector<std::byte> blocks(row_bytes(type, kOut * kIn));
    format.encode(values.f32(), blocks.data(), kOut * kIn, nullptr);
    const Weight quantised = {
        .name = "w", .shape = {kOut, kIn}, .type = type, .rows = blocks.data()};
    Weight decoded = {.name = "w", .shape = {kOut, kIn}};
    fill_weight(decoded, 1, 0.5);
    format.decode(blocks.data(), decoded.mutable_f32(), kOut * kIn);
    const Tensor given = linear_backward_input(context, dy, quantised, {5, kIn});
    const Tensor expected = linear_backward_input(context, dy, decoded, {5, kIn});
    EXPECT_TRUE(std::ranges::equal(given.values(), expected.values())) << format.name;
  }
}

TEST_F(BackwardTest, EmbedAddsUpRepeatedTokens) {
  Weight table = {.name = "table", .shape = {7, 20}};
  table.multiplied = false;
  fill_weight(table, 1, 1.0);
  const std::vector<int32_t> tokens = {3, 0, 3, 6, 3, 0};
  Case test = {.op = [&](Ops& ops) { return ops.embed(tokens, table); },
               .variables = {{"table", {table.mutable_f32(), 7 * 20}}}};
  Weight* const weights[] = {&table};
  differentiate(test, weights, [&](const Tape&, const Gradients& gradients) {
    const std::span<const float> gradient = gradients.entries()[0].values();
    check(test, 0, gradient, 0.05, 1e-4);
    // Token 1 did not occur.
    for (size_t i = 20; i < 40; ++i) EXPECT_EQ(gradient[i], 0.0F);
  });
}

TEST_F(BackwardTest, RmsNorm) {
  for (const int64_t dim : {1, 15, 16, 33}) {
    Weight w = {.name = "w", .shape = {dim}};
    fill_weight(w, 1, 0.5, 1.0);
    const Tensor x = spread_tensor(*ops_, {6, dim}, 3, 2.0);
    // A large epsilon, so that its part in the gradient shows.
    Case test = {
        .op = [&](Ops& ops) { return ops.rms_norm(x, w, 0.3F); },
        .variables = {{"x", x.values()}, {"w", {w.mutable_f32(), static_cast<size_t>(dim)}}}};
    Weight* const weights[] = {&w};
    differentiate(test, weights, [&](const Tape& tape, const Gradients& gradients) {
      check(test, 0, tape.input_gradient(x).values(), 0.02, 1e-3);
      check(test, 1, gradients.entries()[0].values(), 0.05, 1e-4);
    });
  }
}

TEST_F(BackwardTest, RopeOfBothPairings) {
  for (const RopePairs pairs : {RopePairs::kAdjacent, RopePairs::kHalves}) {
    RopeSpec spec = {.pairs = pairs, .frequencies = {1.0F, 0.3F, 0.05F}, .magnitude = 1.25F};
    const std::vector<int32_t> positions = {0, 1, 5, 1000};
    // Two of the eight elements of a head do not turn.
    const Tensor x = spread_tensor(*ops_, {4, 3, 8}, 3);
    Case test = {.op = [&](Ops& ops) { return ops.rope(x, positions, spec); },
                 .variables = {{"x", x.values()}}};
    differentiate(test, {}, [&](const Tape& tape, const Gradients&) {
      check(test, 0, tape.input_gradient(x).values(), 0.05, 1e-4);
    });
  }
}

TEST_F(BackwardTest, SwiGlu) {
  const Tensor gate = spread_tensor(*ops_, {5, 31}, 1, 4.0);
  const Tensor up = spread_tensor(*ops_, {5, 31}, 2, 2.0);
  Case test = {.op = [&](Ops& ops) { return ops.swiglu(gate, up); },
               .variables = {{"gate", gate.values()}, {"up", up.values()}}};
  differentiate(test, {}, [&](const Tape& tape, const Gradients&) {
    check(test, 0, tape.input_gradient(gate).values(), 0.02, 1e-3);
    check(test, 1, tape.input_gradient(up).values(), 0.05, 1e-4);
  });
}

TEST_F(BackwardTest, AddAndGatherRows) {
  const Tensor a = spread_tensor(*ops_, {5, 18}, 1);
  const Tensor b = spread_tensor(*ops_, {5, 18}, 2);
  const std::vector<int32_t> rows = {4, 1, 1};
  // a joins twice, once through the other sum, so its gradients must add up and not overwrite.
  Case test = {
      .op = [&](Ops& ops) { return ops.gather_rows(ops.add(ops.add(a, b), ops.add(a, a)), rows); },
      .variables = {{"a", a.values()}, {"b", b.values()}}};
  differentiate(test, {}, [&](const Tape& tape, const Gradients&) {
    check(test, 0, tape.input_gradient(a).values(), 0.05, 1e-4);
    check(test, 1, tape.input_gradient(b).values(), 0.05, 1e-4);
    for (float value : tape.input_gradient(b).reshaped({5, 18}).values().first(18)) {
      EXPECT_EQ(value, 0.0F);
    }
  });
}

TEST_F(BackwardTest, SliceAndConcat) {
  const Tensor a = spread_tensor(*ops_, {5, 3, 18}, 1);
  const Tensor b = spread_tensor(*ops_, {5, 3, 4}, 2);
  // The slices overlap and leave some out.
  Case test = {.op =
                   [&](Ops& ops) {
                     return ops.concat(ops.slice(a, 2, 7), ops.concat(b, ops.slice(a, 6, 11)));
                   },
               .variables = {{"a", a.values()}, {"b", b.values()}}};
  differentiate(test, {}, [&](const Tape& tape, const Gradients&) {
    check(test, 0, tape.input_gradient(a).values(), 0.05, 1e-4);
    check(test, 1, tape.input_gradient(b).values(), 0.05, 1e-4);
  });
}

TEST_F(BackwardTest, LinearByHeads) {
  Weight w = {.name = "w", .shape = {3, 16, 23}};
  fill_weight(w, 1, 0.5);
  const Tensor x = spread_tensor(*ops_, {5, 3, 23}, 3);
  Case test = {.op = [&](Ops& ops) { return ops.linear_by_heads(x, w); },
               .variables = {{"x", x.values()}, {"w", {w.mutable_f32(), 3 * 16 * 23}}},
               .changed = [&] { ASSERT_TRUE(prepare(w).has_value()); }};
  Weight* const weights[] = {&w};
  differentiate(test, weights, [&](const Tape& tape, const Gradients& gradients) {
    check(test, 0, tape.input_gradient(x).values(), 0.05, 1e-4);
    check(test, 1, gradients.entries()[0].values(), 0.05, 1e-4);
  });
}

// Both scores, with and without groups, bias and a common divisor. The logits lie so far apart that
// no step of the differences changes a route.
TEST_F(BackwardTest, Mixture) {
  const RouteSpec specs[] = {
      {.experts = 6, .used = 2, .score = ExpertScore::kSoftmax, .scale = 1.5F},
      {.experts = 6, .used = 3, .score = ExpertScore::kSoftmax, .normalise = true},
      {.experts = 6,
       .used = 2,
       .groups = 3,
       .groups_used = 2,
       .score = ExpertScore::kSigmoid,
       .normalise = true,
       .scale = 2.5F},
      {.experts = 6, .used = 1, .score = ExpertScore::kSigmoid}};
  Weight gate = {.name = "gate", .shape = {6, 16, 32}};
  Weight up = {.name = "up", .shape = {6, 16, 32}};
  Weight down = {.name = "down", .shape = {6, 32, 16}};
  Weight bias = {.name = "bias", .shape = {6}};
  fill_weight(gate, 1, 0.3);
  fill_weight(up, 2, 0.3);
  fill_weight(down, 3, 0.3);
  fill_weight(bias, 4, 0.1);
  const Tensor x = spread_tensor(*ops_, {9, 32}, 5);
  const Tensor logits = ops_->empty({9, 6});
  for (uint32_t i = 0; i < 9 * 6; ++i) {
    // Each row is a permutation of 0, 0.4, ... 2, moved a little.
    const uint32_t rank = (i % 6 * 5 + i / 6 * (i / 6 + 1)) % 6;
    logits.values()[i] = static_cast<float>(0.4 * rank - 1.0 + 0.02 * spread(6, i));
  }
  for (const RouteSpec& spec : specs) {
    SCOPED_TRACE(&spec - specs);
    const bool biased = spec.score == ExpertScore::kSigmoid;
    const Weight none;
    Case test = {.op =
                     [&](Ops& ops) {
                       return ops.mixture(x, logits, biased ? bias : none, spec, gate, up, down);
                     },
                 .variables = {{"x", x.values()},
                               {"logits", logits.values()},
                               {"gate", {gate.mutable_f32(), 6 * 16 * 32}},
                               {"up", {up.mutable_f32(), 6 * 16 * 32}},
                               {"down", {down.mutable_f32(), 6 * 32 * 16}}},
                 .changed =
                     [&] {
                       for (Weight* w : {&gate, &up, &down}) ASSERT_TRUE(prepare(*w).has_value());
                     }};
    Weight* const weights[] = {&gate, &up, &down, &bias};
    differentiate(test, weights, [&](const Tape& tape, const Gradients& gradients) {
      check(test, 0, tape.input_gradient(x).values(), 0.02, 1e-3);
      check(test, 1, tape.input_gradient(logits).values(), 0.01, 2e-3);
      check(test, 2, gradients.entries()[0].values(), 0.02, 1e-3);
      check(test, 3, gradients.entries()[1].values(), 0.02, 1e-3);
      check(test, 4, gradients.entries()[2].values(), 0.05, 1e-3);
      for (const float value : gradients.entries()[3].values()) EXPECT_EQ(value, 0.0F);
    });
  }
}

TEST_F(BackwardTest, CrossEntropy) {
  const Tensor logits = spread_tensor(*ops_, {5, 21}, 1, 3.0);
  const std::vector<int32_t> targets = {20, 0, kIgnoreTarget, 7, 7};
  const std::vector<float> weights = {0.5F, -1.0F, 9.0F, 0.25F, 2.0F};
  const BackwardContext context = {*ops_, ops_->pool()};
  for (const bool weighted : {false, true}) {
    const std::span<const float> given = weighted ? std::span(weights) : std::span<const float>();
    const auto at = [&] { return *softmax_cross_entropy(context, logits, targets, given); };
    const TokenLoss result = at();
    double typical = 0.0;
    for (float value : result.dlogits.values())
      typical = std::max<double>(typical, std::abs(value));
    for (size_t i = 0; i < logits.values().size(); ++i) {
      const float start = logits.values()[i];
      const double numeric = derivative(
          [&](double step) {
            logits.values()[i] = start + static_cast<float>(step);
            const double loss = at().loss;
            logits.values()[i] = start;
            return loss;
          },
          0.05);
      EXPECT_NEAR(result.dlogits.values()[i], numeric, 2e-5 * typical) << i;
    }
    double loss = 0.0;
    for (size_t row = 0; row < targets.size(); ++row) {
      loss -= (weighted ? static_cast<double>(weights[row]) : 0.25) * result.logprobs[row];
    }
    EXPECT_NEAR(result.loss, loss, 1e-12);
    EXPECT_EQ(result.logprobs[2], 0.0);
  }
}

TEST_F(BackwardTest, CrossEntropyOfHugeLogitsIsFinite) {
  const Tensor logits = spread_tensor(*ops_, {1, 4}, 1, 1e30);
  const std::vector<int32_t> targets = {2};
  const TokenLoss result = *softmax_cross_entropy({*ops_, ops_->pool()}, logits, targets);
  EXPECT_TRUE(std::isfinite(result.loss));
  for (float value : result.dlogits.values()) EXPECT_TRUE(std::isfinite(value));
}

// --- Attention --------------------------------------------------------------------------------
// Its forward rounds q, k, v and the probabilities to bf16, so that small differences of it say
// nothing. Instead the gradient answers to differences of attention in double, without rounding, at
// a point whose q, k and v bf16 can hold; and that answers to the forward within bf16's precision.

struct AttentionCase {
  AttentionSpec spec;
  std::vector<int64_t> lengths;
  int64_t shared_values = 0;  // more: values are the beginnings of their keys

  int64_t value_dim() const { return shared_values > 0 ? shared_values : spec.head_dim; }
  int64_t rows() const {
    int64_t sum = 0;
    for (int64_t length : lengths) sum += length;
    return sum;
  }
};

std::vector<double> smooth_attention(const AttentionCase& test, const std::vector<double>& q,
                                     const std::vector<double>& k, const std::vector<double>& v) {
  const auto [heads, kv_heads, dim, scale] = test.spec;
  const int64_t value_dim = test.value_dim();
  const std::vector<double>& values = test.shared_values > 0 ? k : v;
  std::vector<double> out(static_cast<size_t>(test.rows() * heads * value_dim));
  int64_t first = 0;
  for (const int64_t length : test.lengths) {
    for (int64_t row = first; row < first + length; ++row) {
      for (int64_t head = 0; head < heads; ++head) {
        const double* query = &q[static_cast<size_t>((row * heads + head) * dim)];
        std::vector<double> weights;
        double sum = 0.0;
        const auto key_at = [&](int64_t key) {
          return static_cast<size_t>((key * kv_heads + head / (heads / kv_heads)) * dim);
        };
        for (int64_t key = first; key <= row; ++key) {
          double score = 0.0;
          for (int64_t d = 0; d < dim; ++d) score += query[d] * k[key_at(key) + d];
          weights.push_back(std::exp(score * static_cast<double>(scale)));
          sum += weights.back();
        }
        for (int64_t d = 0; d < value_dim; ++d) {
          double value = 0.0;
          for (int64_t key = first; key <= row; ++key) {
            value += weights[static_cast<size_t>(key - first)] / sum * values[key_at(key) + d];
          }
          out[static_cast<size_t>((row * heads + head) * value_dim + d)] = value;
        }
      }
    }
    first += length;
  }
  return out;
}

class AttentionBackwardTest : public BackwardTest {
 protected:
  void run(const AttentionCase& test) {
    const auto [heads, kv_heads, dim, scale] = test.spec;
    const int64_t rows = test.rows();
    // Multiples of 1/32 up to 2: exact in bf16.
    const auto grid = [&](Shape shape, uint32_t stream) {
      Tensor tensor = spread_tensor(*ops_, shape, stream, 64.0);
      for (float& value : tensor.values()) value = std::nearbyint(value) / 32.0F;
      return tensor;
    };
    const Tensor inputs[3] = {grid({rows, heads, dim}, 1), grid({rows, kv_heads, dim}, 2),
                              test.shared_values > 0 ? Tensor() : grid({rows, kv_heads, dim}, 3)};
    Batch batch;
    std::vector<int32_t> pages;
    for (int32_t page = 0; page < 16; ++page) pages.push_back(page);
    size_t next_page = 0;
    int64_t first = 0;
    for (const int64_t length : test.lengths) {
      const auto own = static_cast<size_t>((length + kKvPageTokens - 1) / kKvPageTokens);
      batch.sequences.push_back({.first_row = first,
                                 .row_count = length,
                                 .pages = std::span(pages).subspan(next_page, own)});
      next_page += own;
      first += length;
    }
    auto kv = KvStore::create(
        {.layers = 1, .kv_heads = kv_heads, .head_dim = dim, .shared_values = test.shared_values},
        16);
    ASSERT_TRUE(kv.has_value());

    Gradients none(std::span<Weight* const>{});
    Tape tape(*ops_, ops_->pool(), none);
    tape.begin_step();
    const Tensor y = tape.attention(inputs[0], inputs[1], inputs[2], batch, *kv, 0, test.spec);
    Tensor dy = ops_->empty(y.shape());
    for (uint32_t i = 0; i < dy.values().size(); ++i) dy.values()[i] = combination(i);
    tape.backward(y, dy);

    std::vector<double> smooth[3];
    const size_t input_count = test.shared_values > 0 ? 2 : 3;
    for (size_t i = 0; i < input_count; ++i) {
      smooth[i].assign(inputs[i].values().begin(), inputs[i].values().end());
    }
    const std::vector<double> expected = smooth_attention(test, smooth[0], smooth[1], smooth[2]);
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(y.values()[i], expected[i], 0.015) << "forward, at " << i;
    }
    const auto loss = [&] {
      const std::vector<double> out = smooth_attention(test, smooth[0], smooth[1], smooth[2]);
      double sum = 0.0;
      for (uint32_t i = 0; i < out.size(); ++i) {
        sum += static_cast<double>(combination(i)) * out[i];
      }
      return sum;
    };
    for (size_t input = 0; input < input_count; ++input) {
      check_input(input, smooth[input], tape.input_gradient(inputs[input]).values(), loss);
    }
  }

  // The gradient uses probabilities rounded to bf16 (2^-9 relative each) where the smooth function
  // does not: 1% of the gradient's size covers that and nothing else.
  static void check_input(size_t input, std::vector<double>& values,
                          std::span<const float> analytic, const std::function<double()>& loss) {
    const std::vector<double> start = values;
    double typical = 0.0;
    for (float value : analytic) typical += static_cast<double>(value) * value;
    typical = std::sqrt(typical / static_cast<double>(analytic.size()));
    ASSERT_GT(typical, 0.0);
    const size_t stride = values.size() / 40 + 1;
    for (size_t i = 0; i < values.size(); i += stride) {
      const double numeric = derivative(
          [&](double step) {
            values[i] = start[i] + step;
            const double result = loss();
            values[i] = start[i];
            return result;
          },
          1e-3);
      EXPECT_NEAR(analytic[i], numeric, 0.01 * std::max(typical, std::abs(numeric)))
          << "input " << input << " at " << i;
    }
    for (uint32_t trial = 0; trial < 4; ++trial) {
      double exact = 0.0;
      for (uint32_t i = 0; i < values.size(); ++i) {
        exact += spread(900 + trial, i) * static_cast<double>(analytic[i]);
      }
      const double numeric = derivative(
          [&](double step) {
            for (uint32_t i = 0; i < values.size(); ++i) {
              values[i] = start[i] + step * spread(900 + trial, i);
            }
            const double result = loss();
            values = start;
            return result;
          },
          1e-3);
      const double size = typical * std::sqrt(static_cast<double>(values.size()));
      EXPECT_NEAR(exact, numeric, 0.004 * size) << "input " << input << " direction " << trial;
    }
  }
};

TEST_F(AttentionBackwardTest, OneHeadOneSequence) {
  run({.spec = {.heads = 1, .kv_heads = 1, .head_dim = 4, .scale = 0.5F}, .lengths = {9}});
}

TEST_F(AttentionBackwardTest, GroupedHeadsSeveralSequences) {
  run({.spec = {.heads = 6, .kv_heads = 2, .head_dim = 8, .scale = 0.35F},
       .lengths = {1, 7, 33, 2}});
}

TEST_F(AttentionBackwardTest, AcrossPages) {
  run({.spec = {.heads = 2, .kv_heads = 1, .head_dim = 16, .scale = 0.25F},
       .lengths = {3, 130, 64, 65}});
}

// Latent attention: a value is the first numbers of its key, which so gets both gradients.
TEST_F(AttentionBackwardTest, SharedValues) {
  run({.spec = {.heads = 3, .kv_heads = 1, .head_dim = 24, .scale = 0.2F},
       .lengths = {3, 70, 9},
       .shared_values = 16});
}

}  // namespace
}  // namespace minke
