// A run from its recipe: it learns, and one that was stopped goes on as if it had not been.
#include "train/run/run.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace minke {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view kRecipe = R"(
name = "toy"
output = "F32"
threads = 2
[model]
layers = 2
dim = 32
heads = 2
ffn_dim = 64
kv_rank = 16
nope_dim = 8
rope_dim = 8
value_dim = 16
experts = 4
experts_used = 2
expert_dim = 32
mtp = true
words = [" with", " yes", " no"]
[checkpoints]
every = 2
[[stage]]
name = "read"
steps = 5
update_tokens = 256
mtp_weight = 0.3
bias_speed = 1e-3
balance_weight = 1e-3
[stage.optimizer]
kind = "muon"
learning_rate = 3e-3
[[stage.text]]
task = "countdown:form=compact"
[stage.evaluate]
task = "countdown:form=compact"
problems = 2
samples = 2
tokens = 16
[[stage]]
name = "try"
kind = "grpo"
steps = 5
task = "countdown:form=compact"
reward = "accuracy=1,overlong=1,overlong_buffer=12"
kl = 0.01
reference_every = 3
prompts = 4
samples = 4
tokens = 12
minibatches = 2
[stage.optimizer]
learning_rate = 1e-3
decay = "wsd"
)";

class RunTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / "minke-run-test";
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  // The entries without their times.
  std::vector<Json> entries(const std::string& name) const {
    std::ifstream file(folder_ / name / "metrics.jsonl");
    std::vector<Json> all;
    for (std::string line; std::getline(file, line);) {
      Json entry = Json::parse(line);
      for (const char* key : {"seconds", "step_seconds", "sample_seconds", "train_seconds",
                              "evaluation_seconds", "peak_share", "peak_gflops"}) {
        entry.erase(key);
      }
      all.push_back(std::move(entry));
    }
    return all;
  }
  std::string bytes(const std::string& name, const char* what = "model.gguf") const {
    std::ifstream file(folder_ / name / what, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  Result<RunEnd> run(const std::string& name, bool resume, int64_t stop_after,
                     std::vector<std::string> overrides = {}) const {
    MINKE_ASSIGN(const RecipeFile recipe, RecipeFile::parse(kRecipe, "toy.toml", overrides));
    MINKE_ASSIGN(const RunPlan plan, RunPlan::read(recipe));
    int64_t steps = 0;
    return run_plan(
        recipe, plan,
        {.folder = (folder_ / name).string(),
         .resume = resume,
         .find_model = [](const std::string& model) -> Result<std::string> { return model; },
         .on_entry =
             [&](const Json& entry) {
               if (!entry.contains("event")) ++steps;
             },
         .is_stopped = [&] { return steps >= stop_after; }});
  }

  fs::path folder_;
};

TEST_F(RunTest, GoesOnBitForBitWhereverItWasStopped) {
  const auto whole = run("whole", false, 1000);
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  EXPECT_EQ(*whole, RunEnd::kFinished);
  const std::vector<Json> expected = entries("whole");
  for (const Json& entry : expected) {
    EXPECT_EQ(entry.value("logprob_drift", 0.0), 0.0) << entry.dump();
  }
  // In the first stage, at its very end, in the second, and one step at a time.
  for (const int64_t stop_after : {int64_t{3}, int64_t{5}, int64_t{7}, int64_t{1}}) {
    const std::string name = "stopped-" + std::to_string(stop_after);
    Result<RunEnd> end = run(name, false, stop_after);
    while (end && *end == RunEnd::kStopped) end = run(name, true, stop_after);
    ASSERT_TRUE(end.has_value()) << end.error().message;
    EXPECT_EQ(entries(name), expected) << stop_after;
    EXPECT_TRUE(bytes(name) == bytes("whole")) << stop_after;
  }
}

// The same in bf16: a checkpoint has the masters, which the matrices come from again.
TEST_F(RunTest, GoesOnBitForBitInBf16) {
  const std::vector<std::string> overrides = {"model.compute=\"bf16\""};
  const auto whole = run("whole", false, 1000, overrides);
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  const std::vector<Json> expected = entries("whole");
  for (const Json& entry : expected) {
    EXPECT_EQ(entry.value("logprob_drift", 0.0), 0.0) << entry.dump();
  }
  for (const int64_t stop_after : {int64_t{3}, int64_t{7}}) {
    const std::string name = "stopped-" + std::to_string(stop_after);
    Result<RunEnd> end = run(name, false, stop_after, overrides);
    while (end && *end == RunEnd::kStopped) end = run(name, true, stop_after, overrides);
    ASSERT_TRUE(end.has_value()) << end.error().message;
    EXPECT_EQ(entries(name), expected) << stop_after;
    EXPECT_TRUE(bytes(name) == bytes("whole")) << stop_after;
  }
  ASSERT_TRUE(run("fp32", false, 1000).has_value());
  EXPECT_FALSE(entries("fp32") == expected);
  EXPECT_FALSE(bytes("fp32") == bytes("whole"));
}

TEST_F(RunTest, GoesOnInTheMiddleOfItsFiles) {
  fs::create_directories(folder_);
  const std::string path = (folder_ / "chats.jsonl").string();
  std::ofstream file(path);
  for (int i = 0; i < 40; ++i) {
    file << R"({"prompt": ")" << i << R"( + 1 = ", "completion": ")" << i + 1 << "\"}\n";
  }
  file.close();
  const std::vector<std::string> overrides = {
      "stage.0.text=[]", "stage.0.data.files=[\"" + path + "\"]", "stage.0.update_tokens=64"};
  const auto whole = run("whole", false, 1000, overrides);
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  Result<RunEnd> end = run("stopped", false, 2, overrides);
  while (end && *end == RunEnd::kStopped) end = run("stopped", true, 2, overrides);
  ASSERT_TRUE(end.has_value()) << end.error().message;
  EXPECT_EQ(entries("stopped"), entries("whole"));
  EXPECT_TRUE(bytes("stopped") == bytes("whole"));
}

// An adapter over quantised weights: what is sampled is what is trained, the model's file stays as
// it is, and the run goes on as any other.
TEST_F(RunTest, TrainsAnAdapterOverQuantisedWeights) {
  ASSERT_TRUE(run("base", false, 1000, {"output=Q8_0", "model.mtp=false", "stage.0.steps=30"}));
  const std::string base = bytes("base");
  const std::vector<std::string> overrides = {
      "model={from=\"" + (folder_ / "base" / "model.gguf").string() + "\", adapter_rank=4}",
      "stage.1.optimizer.learning_rate=1e-2"};
  const auto whole = run("whole", false, 1000, overrides);
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  bool moved = false;
  for (const Json& entry : entries("whole")) {
    EXPECT_EQ(entry.value("logprob_drift", 0.0), 0.0) << entry.dump();
    moved |= entry.value("gradient_norm", 0.0) > 0.0;
  }
  EXPECT_TRUE(moved);
  Result<RunEnd> end = run("stopped", false, 4, overrides);
  while (end && *end == RunEnd::kStopped) end = run("stopped", true, 4, overrides);
  ASSERT_TRUE(end.has_value()) << end.error().message;
  EXPECT_EQ(entries("stopped"), entries("whole"));
  EXPECT_FALSE(bytes("whole", "adapter.gguf").empty());
  EXPECT_TRUE(bytes("stopped", "adapter.gguf") == bytes("whole", "adapter.gguf"));
  EXPECT_TRUE(bytes("base") == base);

  std::vector<std::string> halved = overrides;
  halved.emplace_back("output=F16");
  ASSERT_TRUE(run("halved", false, 1000, halved));
  const size_t size = bytes("halved", "adapter.gguf").size();
  EXPECT_LT(size, bytes("whole", "adapter.gguf").size() * 2 / 3) << "matrices take half";
  halved.back() = "output=Q8_0";
  const auto refused = run("refused", false, 1, halved);
  ASSERT_FALSE(refused.has_value());
  EXPECT_TRUE(refused.error().message.contains("F32, F16 or BF16")) << refused.error().message;
}

TEST_F(RunTest, AFolderHoldsOneRun) {
  ASSERT_TRUE(run("one", false, 1).has_value());
  const auto again = run("one", false, 1);
  ASSERT_FALSE(again.has_value());
  EXPECT_TRUE(again.error().message.contains("holds a run already; --resume"))
      << again.error().message;
  const auto none = run("none", true, 1);
  ASSERT_FALSE(none.has_value());
  EXPECT_TRUE(none.error().message.contains("holds no run")) << none.error().message;
}

TEST_F(RunTest, GoesOnWithTheRecipeThatItWasBegunWithAlone) {
  ASSERT_TRUE(run("one", false, 2, {"seed=4", "stage.0.steps=4"}).has_value());
  for (const auto& overrides :
       {std::vector<std::string>{"seed=4"}, std::vector<std::string>{"stage.0.steps=4", "seed=5"},
        std::vector<std::string>{"seed=4", "stage.0.steps=4", "threads=1"}}) {
    const auto other = run("one", true, 2, overrides);
    ASSERT_FALSE(other.has_value());
    EXPECT_TRUE(other.error().message.contains("was begun with another recipe"))
        << other.error().message;
    EXPECT_TRUE(other.error().message.contains("recipe.toml -o ")) << other.error().message;
  }
  EXPECT_TRUE(run("one", true, 2, {"stage.0.steps=4", "seed=4"}).has_value());
}

TEST_F(RunTest, WhatFailedBeforeItsFirstStepMayBeginAgain) {
  const std::vector<std::string> faulty = {"stage.0.text=[]", "stage.0.data.files=nope.jsonl"};
  for (int time = 0; time < 2; ++time) {
    const auto end = run("one", false, 1, faulty);
    ASSERT_FALSE(end.has_value());
    EXPECT_TRUE(end.error().message.contains("nope.jsonl")) << end.error().message;
  }
  EXPECT_TRUE(run("one", false, 1).has_value());
}

TEST_F(RunTest, FaultsOfARecipeNameFileLineAndKey) {
  const auto message = [&](std::vector<std::string> overrides) {
    const auto end = run("faults", false, 1, std::move(overrides));
    return end ? std::string("no fault") : end.error().message;
  };
  EXPECT_TRUE(message({"stage.0.text.0.task=contdown"}).contains("stage.0.text.0"));
  EXPECT_TRUE(message({"stage.1.algorithm=ppo"}).contains("dapo, grpo, dr_grpo"))
      << message({"stage.1.algorithm=ppo"});
  EXPECT_TRUE(message({"stage.1.reward=acuracy=1"}).contains("accuracy"));
  EXPECT_TRUE(message({"name=../above"}).contains("a name without slashes"));
  EXPECT_TRUE(message({"output=Q9"}).contains("no format to store a model in"));
  EXPECT_TRUE(message({"model.layer=3"}).contains("layers")) << message({"model.layer=3"});
  EXPECT_TRUE(message({"model.from=a.gguf"}).contains("one of the two"));
}

}  // namespace
}  // namespace minke
