// Whole models under the tape: against PyTorch, against differences of their own loss, and against
// the inference forward bit for bit.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/float_bits.h"
#include "train/masters.h"
#include "train/optimiser.h"
#include "train/testing.h"
#include "train/trainer.h"

namespace minke {
namespace {

using testing::spread;
using testing::spread_tokens;
using testing::tiny_config;
using testing::tiny_model;

struct Variant {
  const char* family;
  bool tied;
};
std::ostream& operator<<(std::ostream& out, const Variant& variant) {
  std::string name = variant.family;
  std::ranges::replace(name, '-', '_');
  return out << name << (variant.tied ? "_tied" : "_untied");
}

// The sequences of tests/golden/make_tiny_gradients.py: one token, and more than one page,
// included.
std::vector<std::vector<int32_t>> tiny_sequences(int64_t vocabulary) {
  std::vector<std::vector<int32_t>> sequences;
  uint32_t stream = 50;
  for (const int64_t rows : {6, 1, 80, 17}) {
    sequences.push_back(spread_tokens(stream++, rows + 1, vocabulary));
  }
  return sequences;
}

class ModelGradientTest : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    ops_ = testing::make_ops();
    make(tiny_config(GetParam().family, GetParam().tied));
  }

  void make(const ModelConfig& config) {
    model_ = tiny_model(config, *ops_);
    tokens_ = tiny_sequences(config.vocab_size);
    std::vector<TrainSequence> sequences;
    for (const auto& tokens : tokens_) sequences.push_back({.tokens = tokens});
    batch_ = make_train_batch(sequences);
    auto kv =
        KvStore::create(model_->kv_spec(KvDtype::kBF16), static_cast<int32_t>(batch_.pages.size()));
    ASSERT_TRUE(kv.has_value());
    kv_ = *std::move(kv);
  }

  double loss(const Tensor& logits) {
    return softmax_cross_entropy({*ops_, ops_->pool()}, logits, batch_.targets)->loss;
  }
  double inference_loss() { return loss(model_->forward(*ops_, batch_.batch, kv_)); }

  // Gradients of every weight; returns the loss.
  double differentiate(Gradients& gradients, Compute compute = Compute::kF32) {
    Tape tape(*ops_, ops_->pool(), gradients, compute);
    const Tensor logits = model_->forward(tape, batch_.batch, kv_);
    const TokenLoss result = *softmax_cross_entropy({*ops_, ops_->pool()}, logits, batch_.targets);
    tape.backward(logits, result.dlogits);
    EXPECT_EQ(tape.recorded_ops(), size_t{0});
    return result.loss;
  }

  std::unique_ptr<CpuOps> ops_;
  std::unique_ptr<Model> model_;
  std::vector<std::vector<int32_t>> tokens_;
  TrainBatch batch_;
  KvStore kv_;
};

TEST_P(ModelGradientTest, TapedLogitsAreTheInferenceLogitsBitForBit) {
  const Tensor inference = model_->forward(*ops_, batch_.batch, kv_);
  Gradients gradients(*model_);
  Tape tape(*ops_, ops_->pool(), gradients);
  const Tensor taped = model_->forward(tape, batch_.batch, kv_);
  EXPECT_GT(tape.recorded_ops(), size_t{20});
  ASSERT_EQ(taped.shape(), inference.shape());
  EXPECT_EQ(std::memcmp(taped.f32(), inference.f32(), inference.values().size_bytes()), 0);
}

// And they are those of generation: each sequence alone, one token at a time.
TEST_P(ModelGradientTest, TapedLogitsAreThoseOfOneTokenAtATime) {
  Gradients gradients(*model_);
  Tape tape(*ops_, ops_->pool(), gradients);
  const Tensor taped = model_->forward(tape, batch_.batch, kv_);
  int64_t row = 0;
  for (const BatchSequence& sequence : batch_.batch.sequences) {
    for (int64_t i = 0; i < sequence.row_count; ++i, ++row) {
      Batch one;
      one.tokens = {batch_.batch.tokens[static_cast<size_t>(row)]};
      one.positions = {static_cast<int32_t>(i)};
      one.sequences = {{.row_count = 1, .first_position = i, .pages = sequence.pages}};
      one.logit_rows = {0};
      const Tensor logits = model_->forward(*ops_, one, kv_);
      ASSERT_EQ(std::memcmp(logits.f32(), taped.row(row), logits.values().size_bytes()), 0)
          << "row " << row;
    }
  }
}

struct GoldenGradient {
  std::string name;
  double norm = 0.0;
  double some[4] = {};
};

// The part of tests/golden/tiny_gradients.txt that belongs to `variant`; its loss goes to `loss`.
std::vector<GoldenGradient> read_golden(const Variant& variant, double& loss) {
  std::ifstream file(MINKE_SOURCE_DIR "/tests/golden/tiny_gradients.txt");
  std::vector<GoldenGradient> golden;
  bool ours = false;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first.empty() || first == "#") continue;
    if (first == "model") {
      std::string family;
      std::string tied;
      words >> family >> tied;
      ours = family == variant.family && (tied == "tied") == variant.tied;
      if (ours) words >> loss;
    } else if (ours) {
      GoldenGradient& gradient = golden.emplace_back();
      gradient.name = first;
      words >> gradient.norm;
      for (double& value : gradient.some) words >> value;
      EXPECT_TRUE(words) << line;
    }
  }
  return golden;
}

TEST_P(ModelGradientTest, EqualsAutogradOfPyTorch) {
  double golden_loss = 0.0;
  const std::vector<GoldenGradient> golden = read_golden(GetParam(), golden_loss);
  Gradients gradients(*model_);
  EXPECT_NEAR(differentiate(gradients), golden_loss, 1e-4);
  ASSERT_EQ(golden.size(), gradients.entries().size());
  // fp32 against double: now and then a value rounds to the other of two neighbours in bf16, which
  // moves a gradient by some 1e-4 of its size.
  for (size_t index = 0; index < golden.size(); ++index) {
    const Gradients::Entry& entry = gradients.entries()[index];
    ASSERT_EQ(entry.weight->name, golden[index].name);
    double squares = 0.0;
    for (float value : entry.values()) squares += static_cast<double>(value) * value;
    const double norm = golden[index].norm;
    EXPECT_NEAR(std::sqrt(squares), norm, 1e-3 * norm) << golden[index].name;
    const double typical = norm / std::sqrt(static_cast<double>(entry.values().size()));
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(entry.values()[i * 97 % entry.values().size()], golden[index].some[i],
                  0.004 * typical)
          << golden[index].name << ", sample " << i;
    }
  }
}

struct GoldenWay {
  std::string name;
  double length = 0.0;
  struct Place {
    size_t index = 0;
    double before = 0.0, behind = 0.0;
  } places[4] = {};
};

// The part of tests/golden/tiny_adamw.txt that belongs to `variant`.
std::vector<GoldenWay> read_golden_ways(const Variant& variant, std::vector<double>& losses) {
  std::ifstream file(MINKE_SOURCE_DIR "/tests/golden/tiny_adamw.txt");
  std::vector<GoldenWay> golden;
  bool ours = false;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first, family, tied;
    words >> first;
    if (first.empty() || first == "#") continue;
    if (first == "model") {
      words >> family >> tied;
      ours = family == variant.family && (tied == "tied") == variant.tied;
      for (double loss = 0.0; ours && words >> loss;) losses.push_back(loss);
    } else if (ours) {
      GoldenWay& way = golden.emplace_back();
      way.name = first;
      words >> way.length;
      for (auto& place : way.places) words >> place.index >> place.before >> place.behind;
      EXPECT_TRUE(words) << line;
    }
  }
  return golden;
}

TEST_P(ModelGradientTest, ThreeStepsOfAdamWEqualPyTorchs) {
  std::vector<double> losses;
  const std::vector<GoldenWay> golden = read_golden_ways(GetParam(), losses);
  Gradients gradients(*model_, [](const Weight& weight) {
    return !weight.name.ends_with("exp_probs_b.bias");  // moved by the load, not by gradients
  });
  ASSERT_EQ(golden.size(), gradients.entries().size());
  Optimiser optimiser(
      gradients, *ops_, ops_->pool(),
      {.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1, .clip_norm = 1.0});
  std::vector<std::vector<float>> starts;
  for (const Gradients::Entry& entry : gradients.entries()) {
    starts.emplace_back(entry.weight->f32(), entry.weight->f32() + entry.values().size());
  }
  constexpr double kLearningRate = 1e-3;
  for (size_t step = 0; step + 1 < losses.size(); ++step) {
    gradients.zero();
    EXPECT_NEAR(differentiate(gradients), losses[step], 1e-3) << "step " << step;
    ASSERT_TRUE(optimiser.step(gradients, kLearningRate)->applied);
  }
  EXPECT_NEAR(inference_loss(), losses.back(), 1e-3);
  for (size_t i = 0; i < golden.size(); ++i) {
    const Gradients::Entry& entry = gradients.entries()[i];
    ASSERT_EQ(entry.weight->name, golden[i].name);
    double squares = 0.0;
    for (size_t at = 0; at < entry.values().size(); ++at) {
      const double moved = entry.weight->f32()[at] - starts[i][at];
      squares += moved * moved;
    }
    EXPECT_NEAR(std::sqrt(squares), golden[i].length, 0.005 * golden[i].length) << golden[i].name;
    for (const auto& place : golden[i].places) {
      EXPECT_NEAR(starts[i][place.index], place.before, 1e-6) << golden[i].name;
      EXPECT_NEAR(entry.weight->f32()[place.index] - place.before, place.behind - place.before,
                  0.01 * kLearningRate)
          << golden[i].name << ", element " << place.index;
    }
  }
}

// The loss's forward rounds to bf16, which adds noise of about 1e-3 to it; so the steps are long
// enough that the loss moves by a hundred times as much, and all weights move together. Steps of
// that length would send tokens to other experts, where the loss jumps: here they go to all, and
// these weigh 1 together, which keeps the noise what it is elsewhere.
TEST_P(ModelGradientTest, EqualsDifferencesOfTheLoss) {
  ModelConfig config = tiny_config(GetParam().family, GetParam().tied);
  config.mixture.route.used = config.mixture.route.experts;
  config.mixture.route.groups_used = config.mixture.route.groups;
  config.mixture.route.scale = 1.0F;
  make(config);
  Gradients gradients(*model_);
  differentiate(gradients);
  double squares = 0.0;
  for (const Gradients::Entry& entry : gradients.entries()) {
    for (float value : entry.values()) squares += static_cast<double>(value) * value;
  }
  const double norm = std::sqrt(squares);
  for (uint32_t trial = 0; trial < 3; ++trial) {
    // Half along the gradient, half at random: a direction in which the loss changes.
    std::vector<std::vector<float>> starts;
    std::vector<std::vector<double>> directions;
    double expected = 0.0;
    uint32_t stream = 1000 * (trial + 1);
    for (const Gradients::Entry& entry : gradients.entries()) {
      const float* rows = entry.weight->f32();
      starts.emplace_back(rows, rows + entry.values().size());
      std::vector<double>& direction = directions.emplace_back();
      for (uint32_t i = 0; i < entry.values().size(); ++i) {
        const auto gradient = static_cast<double>(entry.values()[i]);
        direction.push_back(gradient / norm * (1.0 + spread(stream, i)));
        expected += direction.back() * gradient;
      }
      ++stream;
    }
    const double numeric = testing::derivative(
        [&](double step) {
          for (size_t index = 0; index < starts.size(); ++index) {
            Weight& weight = *gradients.entries()[index].weight;
            for (size_t i = 0; i < starts[index].size(); ++i) {
              weight.mutable_f32()[i] =
                  starts[index][i] + static_cast<float>(step * directions[index][i]);
            }
            EXPECT_TRUE(ops_->prepare(weight, true).has_value());
          }
          return inference_loss();
        },
        0.02);
    EXPECT_NEAR(numeric, expected, 0.02 * expected) << "trial " << trial;
    for (size_t index = 0; index < starts.size(); ++index) {
      Weight& weight = *gradients.entries()[index].weight;
      std::ranges::copy(starts[index], weight.mutable_f32());
      ASSERT_TRUE(ops_->prepare(weight, true).has_value());
    }
  }
}

TEST_P(ModelGradientTest, FrozenWeightsDoNotChangeTheOthersGradients) {
  Gradients all(*model_);
  differentiate(all);
  Gradients some(*model_, [](const Weight& weight) { return weight.name.contains("ffn_up"); });
  ASSERT_GE(some.entries().size(), size_t{2});
  differentiate(some);
  for (const Gradients::Entry& entry : some.entries()) {
    EXPECT_EQ(
        std::memcmp(entry.values().data(), all.find(*entry.weight), entry.values().size_bytes()),
        0);
  }
}

TEST_P(ModelGradientTest, BackwardPassesAddUp) {
  Gradients once(*model_);
  differentiate(once);
  Gradients twice(*model_);
  differentiate(twice);
  differentiate(twice);
  for (size_t index = 0; index < once.entries().size(); ++index) {
    const std::span<const float> single = once.entries()[index].values();
    const std::span<const float> sum = twice.entries()[index].values();
    for (size_t i = 0; i < single.size(); ++i) {
      ASSERT_NEAR(sum[i], 2.0F * single[i], 1e-5F + 1e-4F * std::abs(single[i]));
    }
  }
}

// Products of operands that are rounded to bf16 (2^-9 of a value at most) give nearly the same
// gradients: of each weight they differ by less than 2% of its length.
TEST_P(ModelGradientTest, Bf16ComputesNearlyTheSame) {
  Gradients exact(*model_);
  differentiate(exact);
  Gradients rounded(*model_);
  differentiate(rounded, Compute::kBF16);
  for (size_t index = 0; index < exact.entries().size(); ++index) {
    const std::span<const float> want = exact.entries()[index].values();
    const std::span<const float> got = rounded.entries()[index].values();
    double squares = 0.0;
    double difference = 0.0;
    for (size_t i = 0; i < want.size(); ++i) {
      squares += static_cast<double>(want[i]) * want[i];
      difference += std::pow(static_cast<double>(got[i]) - want[i], 2.0);
    }
    EXPECT_LE(std::sqrt(difference), 0.02 * std::sqrt(squares))
        << exact.entries()[index].weight->name;
  }
}

// A model whose matrices are bf16 is what its masters round to, and learns by steps too small for
// bf16.
TEST_P(ModelGradientTest, MastersAreWhatIsTrained) {
  Masters masters;
  ASSERT_TRUE(masters.begin(*model_, *ops_, ops_->pool()).has_value());
  Trainer trainer(
      *model_, *ops_, ops_->pool(),
      {.optimiser = {.weight_decay = 0.0}, .compute = Compute::kBF16, .masters = &masters});
  std::vector<TrainSequence> sequences;
  for (const auto& tokens : tokens_) sequences.push_back({.tokens = tokens});
  const double before = *trainer.evaluate(sequences);
  for (int step = 0; step < 20; ++step) {
    const auto report = trainer.step(sequences, 1e-4);
    ASSERT_TRUE(report.has_value() && report->optimiser.applied);
    if (step == 0) {
      EXPECT_EQ(report->loss, before);
    }
  }
  EXPECT_LT(*trainer.evaluate(sequences), before);
  for (const Gradients::Entry& entry : trainer.gradients().entries()) {
    const Weight& weight = *entry.weight;
    EXPECT_EQ(weight.type == QuantType::kBF16,
              weight.is_matrix() && !weight.name.contains("ffn_gate_inp"))
        << weight.name;
    if (weight.type != QuantType::kBF16) continue;
    std::vector<float> rows(entry.trained.size());
    quant_format(QuantType::kBF16).decode(weight.rows, rows.data(), std::ssize(rows));
    for (size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(rows[i], bf16_to_f32(f32_to_bf16(entry.trained[i]))) << weight.name << " " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ModelGradientTest,
                         ::testing::Values(Variant{"llama", true}, Variant{"llama", false},
                                           Variant{"qwen2", true}, Variant{"qwen2", false},
                                           Variant{"qwen3", true}, Variant{"qwen3moe", false},
                                           Variant{"deepseek-v2-lite", false},
                                           Variant{"deepseek-v3", false}),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace minke
