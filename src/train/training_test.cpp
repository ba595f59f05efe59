// A model learns: a character-level llama from scratch.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <span>

#include "core/random.h"
#include "train/testing.h"
#include "train/trainer.h"

namespace minke {
namespace {

// Lines of text over a small alphabet; token 0 begins and ends a line.
struct Corpus {
  std::vector<std::vector<int32_t>> lines;  // 0, characters, 0
  int64_t vocabulary = 1;
  double unigram_entropy = 0.0;  // nats a token, of all that is predicted
};

Corpus make_corpus(const std::vector<std::string>& lines) {
  Corpus corpus;
  std::map<char, int32_t> ids;
  for (const std::string& line : lines) {
    for (char letter : line) ids.emplace(letter, 0);
  }
  for (auto& [letter, id] : ids) id = static_cast<int32_t>(corpus.vocabulary++);
  std::map<int32_t, double> counts;
  double total = 0.0;
  for (const std::string& line : lines) {
    std::vector<int32_t>& tokens = corpus.lines.emplace_back(1, 0);
    for (char letter : line) tokens.push_back(ids.at(letter));
    tokens.push_back(0);
    for (size_t i = 1; i < tokens.size(); ++i) counts[tokens[i]] += 1.0;
    total += static_cast<double>(tokens.size() - 1);
  }
  for (const auto& [token, count] : counts) {
    corpus.unigram_entropy -= count / total * std::log(count / total);
  }
  return corpus;
}

// Made-up names: two to four syllables of a fixed set, so that letters predict each other.
std::vector<std::string> syllable_names(int count) {
  static constexpr const char* kSyllables[] = {
      "ka",  "ri", "no",  "mel", "da",  "shu", "ve",  "tol", "an", "bri", "fe",  "go",
      "lun", "pa", "qui", "so",  "tha", "ul",  "wen", "xi",  "yo", "zar", "cho", "hem"};
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) {
    const auto words = philox(17, 0, static_cast<uint64_t>(i));
    std::string& name = names.emplace_back();
    for (uint32_t syllable = 0; syllable < 2 + words[0] % 3; ++syllable) {
      name += kSyllables[philox(17, 1 + syllable, static_cast<uint64_t>(i))[0] % 24];
    }
  }
  return names;
}

ModelConfig character_config(const Corpus& corpus, int64_t layers, int64_t dim) {
  ModelConfig config = {.architecture = "llama",
                        .name = "characters",
                        .layers = layers,
                        .dim = dim,
                        .heads = dim / 32,
                        .kv_heads = dim / 64,
                        .head_dim = 32,
                        .ffn_dim = dim * 8 / 3 / 32 * 32,
                        .vocab_size = corpus.vocabulary,
                        .context_max = 256,
                        .tied_embeddings = true};
  config.rope.frequencies = rope_frequencies(10000.0, 32);
  return config;
}

// The lines of one step: a function of the seed and the step alone.
std::vector<TrainSequence> draw(const Corpus& corpus, size_t first, size_t count, uint64_t step,
                                int64_t lines) {
  std::vector<TrainSequence> sequences;
  for (int64_t i = 0; i < lines; ++i) {
    const double unit = uniform(5, step, static_cast<uint64_t>(i));
    const auto pick = first + static_cast<size_t>(unit * static_cast<double>(count));
    sequences.push_back({.tokens = corpus.lines[pick]});
  }
  return sequences;
}

// The loss of the inference forward is the very one that a step reports from under the tape.
void expect_equal_losses(Trainer& trainer, std::span<const TrainSequence> sequences) {
  const auto inference = trainer.evaluate(sequences);
  ASSERT_TRUE(inference.has_value());
  const auto taped = trainer.step(sequences, /*learning_rate=*/0.0);
  ASSERT_TRUE(taped.has_value());
  EXPECT_EQ(*inference, taped->loss);
}

TEST(Training, ACharacterModelLearnsSyllables) {
  const Corpus corpus = make_corpus(syllable_names(2000));
  auto ops = testing::make_ops(/*threads=*/1);
  auto model = make_initialised_model(character_config(corpus, 2, 64), 3, *ops);
  ASSERT_TRUE(model.has_value());
  Trainer trainer(**model, *ops, ops->pool(), {.optimiser = {.weight_decay = 0.01}});
  const int64_t steps = 100;
  const LearningRate rate = {.peak = 5e-3, .warmup_steps = 10, .total_steps = steps};
  double first_loss = 0.0;
  for (int64_t step = 0; step < steps; ++step) {
    // The last 200 lines are held out.
    const auto report =
        trainer.step(draw(corpus, 0, 1800, static_cast<uint64_t>(step), 32), rate.at(step));
    ASSERT_TRUE(report.has_value());
    ASSERT_TRUE(report->optimiser.applied);
    if (step == 0) first_loss = report->loss;
  }
  const auto held_out = trainer.evaluate(draw(corpus, 1800, 200, 999, 200));
  ASSERT_TRUE(held_out.has_value());
  std::printf("loss %.3f at first, %.3f held out at the end, unigram entropy %.3f\n", first_loss,
              *held_out, corpus.unigram_entropy);
  // At first: about even odds.
  EXPECT_NEAR(first_loss, std::log(static_cast<double>(corpus.vocabulary)), 0.3);
  // The syllables' own entropy is about 1.5 nats a letter: far below the letters'.
  EXPECT_LT(*held_out, corpus.unigram_entropy - 0.8);
  expect_equal_losses(trainer, draw(corpus, 1800, 200, 999, 32));
}

TEST(Training, ThreadsDoNotShowInTheWeights) {
  const Corpus corpus = make_corpus(syllable_names(100));
  for (const Compute compute : {Compute::kF32, Compute::kBF16}) {
    std::vector<std::vector<float>> first;
    for (const int threads : {1, 2, 3}) {
      auto ops = testing::make_ops(threads);
      auto model = make_initialised_model(character_config(corpus, 2, 64), 3, *ops);
      ASSERT_TRUE(model.has_value());
      Masters masters;
      if (compute == Compute::kBF16) {
        ASSERT_TRUE(masters.begin(**model, *ops, ops->pool()).has_value());
      }
      Trainer trainer(**model, *ops, ops->pool(), {.compute = compute, .masters = &masters});
      for (uint64_t step = 0; step < 3; ++step) {
        ASSERT_TRUE(trainer.step(draw(corpus, 0, 100, step, 9), 1e-2).has_value());
      }
      std::vector<std::vector<float>> weights;
      for (const Gradients::Entry& entry : trainer.gradients().entries()) {
        weights.emplace_back(entry.trained.begin(), entry.trained.end());
      }
      if (first.empty()) first = weights;
      EXPECT_EQ(weights, first) << threads << " threads";
    }
  }
}

// The same run in bf16 and in fp32: step by step, the losses stay close.
TEST(Training, Bf16LearnsAsFp32Does) {
  const Corpus corpus = make_corpus(syllable_names(2000));
  std::vector<std::vector<double>> losses;
  for (const Compute compute : {Compute::kF32, Compute::kBF16}) {
    auto ops = testing::make_ops(/*threads=*/1);
    auto model = make_initialised_model(character_config(corpus, 2, 64), 3, *ops);
    ASSERT_TRUE(model.has_value());
    Masters masters;
    if (compute == Compute::kBF16) {
      ASSERT_TRUE(masters.begin(**model, *ops, ops->pool()).has_value());
    }
    Trainer trainer(**model, *ops, ops->pool(),
                    {.optimiser = {.weight_decay = 0.01}, .compute = compute, .masters = &masters});
    const LearningRate rate = {.peak = 5e-3, .warmup_steps = 10, .total_steps = 60};
    std::vector<double>& curve = losses.emplace_back();
    for (int64_t step = 0; step < 60; ++step) {
      const auto report =
          trainer.step(draw(corpus, 0, 1800, static_cast<uint64_t>(step), 32), rate.at(step));
      ASSERT_TRUE(report.has_value());
      curve.push_back(report->loss);
    }
    curve.push_back(*trainer.evaluate(draw(corpus, 1800, 200, 999, 200)));
    expect_equal_losses(trainer, draw(corpus, 1800, 200, 999, 32));
  }
  for (size_t step = 0; step < losses[0].size(); ++step) {
    EXPECT_NEAR(losses[1][step], losses[0][step], 0.03) << "step " << step;
  }
  EXPECT_LT(losses[0].back(), losses[0].front() - 0.7);
}

TEST(Training, ThePromptIsReadAndNotLearnt) {
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  const std::vector<int32_t> other = {6, 7};
  const TrainSequence sequences[] = {{.tokens = tokens, .first_target = 3}, {.tokens = other}};
  const TrainBatch made = make_train_batch(sequences);
  EXPECT_EQ(made.batch.tokens, (std::vector<int32_t>{1, 2, 3, 4, 6}));
  EXPECT_EQ(made.batch.positions, (std::vector<int32_t>{0, 1, 2, 3, 0}));
  EXPECT_EQ(made.batch.logit_rows, (std::vector<int32_t>{2, 3, 4}));
  EXPECT_EQ(made.targets, (std::vector<int32_t>{4, 5, 7}));
  ASSERT_EQ(made.batch.sequences.size(), size_t{2});
  EXPECT_EQ(made.batch.sequences[1].first_row, 4);
  EXPECT_NE(made.batch.sequences[0].pages[0], made.batch.sequences[1].pages[0]);
}

TEST(Training, AModelThatMakesNoSenseIsRefused) {
  auto ops = testing::make_ops(1);
  ModelConfig config = testing::tiny_config("llama", true);
  config.kv_heads = 4;
  const auto uneven = make_initialised_model(config, 1, *ops);
  ASSERT_FALSE(uneven.has_value());
  EXPECT_EQ(uneven.error().message,
            "a new model has 6 heads and 4 KV heads; the second must divide the first");
  config = testing::tiny_config("llama", true);
  config.ffn_dim = 0;
  const auto empty = make_initialised_model(config, 1, *ops);
  ASSERT_FALSE(empty.has_value());
  EXPECT_EQ(empty.error().message, "a new model's ffn_dim is 0, expected at least 1");
}

// A 1.4M parameter model on real names, a minute or two alone on two cores. Runs by name:
//   MINKE_LONG_TESTS=1 train_tests --gtest_filter='*Names*'
TEST(Training, LongNamesReachALossWellBelowTheirUnigramEntropy) {
  if (std::getenv("MINKE_LONG_TESTS") == nullptr) {
    GTEST_SKIP() << "a run of minutes: set MINKE_LONG_TESTS=1 for it";
  }
  std::ifstream file(MINKE_SOURCE_DIR "/../shared/data/text/names.txt");
  std::vector<std::string> names;
  for (std::string line; std::getline(file, line);) names.push_back(line);
  if (names.empty()) GTEST_SKIP() << "../shared/data/text/names.txt is not there";
  // A fixed shuffle, so that the held-out names are like the others.
  for (size_t i = names.size() - 1; i > 0; --i) {
    std::swap(names[i], names[philox(23, 0, i)[0] % (i + 1)]);
  }
  const Corpus corpus = make_corpus(names);
  const size_t training = corpus.lines.size() * 9 / 10;
  auto ops = testing::make_ops(/*threads=*/0);
  auto model = make_initialised_model(character_config(corpus, 8, 128), 3, *ops);
  ASSERT_TRUE(model.has_value());
  Trainer trainer(**model, *ops, ops->pool(), {.optimiser = {.beta2 = 0.98, .weight_decay = 0.1}});
  const int64_t steps = 1000;
  const LearningRate rate = {
      .peak = 3e-3, .final_share = 0.02, .warmup_steps = 50, .total_steps = steps};
  std::printf("%ld parameters, unigram entropy %.4f\n",
              static_cast<long>((*model)->parameter_count()), corpus.unigram_entropy);
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  int64_t tokens = 0;
  for (int64_t step = 0; step < steps; ++step) {
    const auto report =
        trainer.step(draw(corpus, 0, training, static_cast<uint64_t>(step), 256), rate.at(step));
    ASSERT_TRUE(report.has_value());
    tokens += report->targets;
    if (step % 20 == 0) {
      std::printf("step %4ld  loss %.4f  gradient %.3f  %.0f tokens/s\n", static_cast<long>(step),
                  report->loss, report->optimiser.gradient_norm,
                  static_cast<double>(tokens) / seconds());
      std::fflush(stdout);
    }
  }
  const auto held_out =
      trainer.evaluate(draw(corpus, training, corpus.lines.size() - training, 1u << 30, 2000));
  ASSERT_TRUE(held_out.has_value());
  std::printf("held out %.4f, unigram entropy %.4f, %.0f tokens/s over %.0f s\n", *held_out,
              corpus.unigram_entropy, static_cast<double>(tokens) / seconds(), seconds());
  EXPECT_LT(*held_out, corpus.unigram_entropy - 0.6);
  expect_equal_losses(trainer, draw(corpus, training, corpus.lines.size() - training, 7, 256));
}

}  // namespace
}  // namespace minke
