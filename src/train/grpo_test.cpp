// Policies learn what is paid, and the policy that sampled is the policy that is trained.
#include "train/grpo.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "core/random.h"
#include "train/model_file.h"
#include "train/number_tokenizer.h"
#include "train/supervised.h"
#include "train/testing.h"

namespace minke {
namespace {

// Pays for answers that begin with a 7.
class SevenTask : public Task {
 public:
  std::string_view name() const override { return "seven"; }
  uint64_t size(Split) const override { return 40; }
  Problem problem(Split, uint64_t index) const override {
    return {.id = std::to_string(index), .prompt = std::to_string(index), .expected = "7"};
  }
  Verdict check(const Problem&, std::string_view answer) const override {
    return {.well_formed = true, .correct = answer.starts_with('7'), .why = ""};
  }
  Result<SolvedProblem> solve(const Problem&, uint64_t) const override { return fail("no"); }
};

ModelShape small_shape(const std::string& architecture, int64_t vocabulary) {
  ModelShape shape = {.name = "small",
                      .about = "",
                      .architecture = architecture == "llama" ? "llama" : "deepseek2",
                      .pre_tokenizer = "deepseek-v3",
                      .layers = 2,
                      .dim = 32,
                      .heads = 2,
                      .kv_heads = architecture == "llama" ? 2 : 1,
                      .head_dim = 16,
                      .ffn_dim = 64,
                      .vocab_size = vocabulary,
                      .context_max = 128,
                      .rope_base = 10000.0F,
                      .norm_epsilon = 1e-6F,
                      .tied_embeddings = true};
  if (architecture == "llama") return shape;
  shape.head_dim = 16 + 8;
  shape.mixture = {.route = {.experts = 4, .used = 2},
                   .expert_dim = 32,
                   .shared = 1,
                   .dense_layers = 1,
                   .has_bias = true};
  shape.mixture.route.normalise = true;
  shape.mixture.route.score = ExpertScore::kSigmoid;
  shape.mixture.route.groups = 1;
  shape.mixture.route.groups_used = 1;
  shape.latent = {.kv_rank = 16, .nope_dim = 8, .rope_dim = 8, .value_dim = 16};
  shape.mtp = architecture == "mtp";
  return shape;
}

class GrpoTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ops_ = testing::make_ops();
    NewModel made;
    made.tokenizer = number_tokenizer({});
    const bool bf16 = GetParam().ends_with("_bf16");
    const std::string architecture = GetParam().substr(0, GetParam().find('_'));
    made.shape = small_shape(architecture, std::ssize(made.tokenizer.tokens));
    made.name = "small";
    made.chat_template =
        "{% for m in messages %}{{ m['content'] }}{% endfor %}{{ '<｜Assistant｜>' }}";
    const std::string path =
        (std::filesystem::path(::testing::TempDir()) / ("grpo-" + GetParam() + ".gguf")).string();
    const Status written = write_new_model(made, *ops_, path);
    ASSERT_TRUE(written.has_value()) << written.error().message;
    auto loaded =
        bf16 ? load_trainable_bf16(path, *ops_, ops_->pool()) : load_trainable(path, *ops_);
    compute_ = bf16 ? Compute::kBF16 : Compute::kF32;
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    loaded_ = *std::move(loaded);
    auto text = ChatText::load(*loaded_.file);
    ASSERT_TRUE(text.has_value()) << text.error().message;
    text_.emplace(*std::move(text));
    std::filesystem::remove(path);
  }

  std::unique_ptr<CpuOps> ops_;
  TrainableModel loaded_;
  Compute compute_ = Compute::kF32;
  std::optional<ChatText> text_;
};

TEST_P(GrpoTest, LearnsWhatIsPaidWithoutDrift) {
  Trainer trainer(
      *loaded_.model, *ops_, ops_->pool(),
      {.optimiser = {.weight_decay = 0.0}, .compute = compute_, .masters = &loaded_.masters});
  const RewardRule rule = *RewardRule::parse("accuracy=1");
  GrpoOptions options = {.prompts = 8, .samples = 8, .tokens_max = 4};
  options.minibatches = 2;
  // First it learns to say a number below 8, whichever, and to stop.
  for (uint64_t step = 0; step < 60; ++step) {
    std::vector<TokenSequence> examples;
    for (uint64_t i = 0; i < 32; ++i) {
      const ChatPrompt prompt = *text_->prompt("", std::to_string(i));
      const uint32_t number = philox(3, step, i)[0] % 8;
      const std::vector<int32_t> answer = text_->answer_tokens(prompt, "", std::to_string(number));
      TokenSequence& example = examples.emplace_back();
      example.tokens = prompt.tokens;
      example.tokens.insert(example.tokens.end(), answer.begin(), answer.end());
      example.is_target.assign(prompt.tokens.size(), false);
      example.is_target.resize(example.tokens.size(), true);
    }
    const auto report = supervised_step(trainer, examples, 256, 1e-2);
    ASSERT_TRUE(report.has_value());
  }
  Grpo grpo(trainer, *text_, std::make_shared<SevenTask>(), rule, options);
  double first = 0.0;
  double last = 0.0;
  for (int64_t step = 0; step < 30; ++step) {
    const auto report = grpo.step(step, /*learning_rate=*/3e-3);
    ASSERT_TRUE(report.has_value()) << report.error().message;
    EXPECT_EQ(report->logprob_drift, 0.0) << step;
    if (step == 0) first = report->reward;
    last = report->reward;
  }
  EXPECT_LT(first, 0.4);
  EXPECT_GT(last, 0.8);
}

INSTANTIATE_TEST_SUITE_P(Architectures, GrpoTest,
                         ::testing::Values("llama", "mixture", "mtp", "llama_bf16",
                                           "mixture_bf16"));

}  // namespace
}  // namespace minke
