// Stages that sample answers and learn from them, and from teachers: files, resumption, faults.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "train/run/run.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// A model that has learnt to add a little, so that some of its answers are right.
constexpr std::string_view kModel = R"(
name = "toy"
output = "F32"
threads = 2
[model]
architecture = "llama"
layers = 2
dim = 48
heads = 4
ffn_dim = 96
words = ["What is ", "? End with a line \"Answer: NUMBER\".", "Answer: ", " + ", " - ", " = "]
[checkpoints]
every = 100
[[stage]]
name = "read"
steps = 150
update_tokens = 256
[stage.optimizer]
kind = "muon"
learning_rate = 1e-2
[[stage.text]]
task = "chain_sums:terms_min=2,terms_max=2,max=3"
)";

constexpr std::string_view kPipeline = R"(
name = "toy"
output = "F32"
threads = 2
[model]
from = "MODEL"
[[evaluate]]
task = "chain_sums:terms_min=2,terms_max=2,max=3"
problems = 2
samples = 2
tokens = 40
[[stage]]
name = "answers"
kind = "reject"
task = "chain_sums:terms_min=2,terms_max=2,max=3"
count = 10
prompts = 4
samples = 4
tokens = 40
keep = 2
prefer = "diverse"
[[stage]]
name = "again"
steps = 3
update_tokens = 128
[[stage.text]]
task = "gcd"
[stage.data]
from_stage = "answers"
share = 0.6
[[stage]]
name = "try"
kind = "grpo"
steps = 1
prompts = 4
samples = 4
tokens = 40
[[stage.problems]]
task = "chain_sums:terms_min=2,terms_max=2,max=3"
weight = 2
[[stage.problems]]
task = "gcd"
[[stage]]
name = "taught"
kind = "distil"
from = "MODEL"
steps = 2
top_k = 8
text_weight = 0.25
update_tokens = 128
[[stage.text]]
task = "chain_sums:terms_min=2,terms_max=2,max=3"
)";

class PipelineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::path(::testing::TempDir()) / "minke-pipeline-test";
    fs::remove_all(folder_);
    const auto made = run(kModel, "model", false, 1000);
    ASSERT_TRUE(made.has_value()) << made.error().message;
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }

  static std::string model() { return (folder_ / "model" / "model.gguf").string(); }
  static std::string with_model(std::string_view text) {
    std::string recipe(text);
    for (size_t at = recipe.find("MODEL"); at != std::string::npos; at = recipe.find("MODEL")) {
      recipe.replace(at, 5, model());
    }
    return recipe;
  }
  static Result<RunEnd> run(std::string_view text, const std::string& name, bool resume,
                            int64_t stop_after, std::vector<std::string> overrides = {},
                            bool stop_when_saved = false) {
    MINKE_ASSIGN(const RecipeFile recipe,
                 RecipeFile::parse(with_model(text), "toy.toml", overrides));
    MINKE_ASSIGN(const RunPlan plan, RunPlan::read(recipe));
    int64_t steps = 0;
    return run_plan(
        recipe, plan,
        {.folder = (folder_ / name).string(),
         .resume = resume,
         .find_model = [](const std::string& file) -> Result<std::string> { return file; },
         .on_entry =
             [&](const Json& entry) {
               if (entry.value("event", "") == "saved" && stop_when_saved) steps = stop_after;
               if (!entry.contains("event") && !entry.contains("remembered")) ++steps;
             },
         .is_stopped = [&] { return steps >= stop_after; }});
  }
  static std::string bytes(const std::string& file) {
    std::ifstream stream(folder_ / file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  // The metrics without what the clock says.
  static std::vector<Json> entries(const std::string& name) {
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
  static std::string fault(std::vector<std::string> overrides) {
    fs::remove_all(folder_ / "fault");
    const auto end = run(kPipeline, "fault", false, 1000, std::move(overrides));
    return end ? std::string("no fault") : end.error().message;
  }

  static fs::path folder_;
};
fs::path PipelineTest::folder_;

TEST_F(PipelineTest, RunsFromAnswersToATaughtModelAndGoesOnBitForBit) {
  const auto whole = run(kPipeline, "whole", false, 1000);
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  const std::string kept = bytes("whole/data/answers.jsonl");
  ASSERT_FALSE(kept.empty());
  for (const int64_t stop_after : {int64_t{1}, int64_t{2}, int64_t{5}}) {
    const std::string name = "stopped-" + std::to_string(stop_after);
    Result<RunEnd> end = run(kPipeline, name, false, stop_after);
    while (end && *end == RunEnd::kStopped) end = run(kPipeline, name, true, stop_after);
    ASSERT_TRUE(end.has_value()) << end.error().message;
    EXPECT_EQ(bytes(name + "/data/answers.jsonl"), kept) << stop_after;
    EXPECT_EQ(entries(name), entries("whole")) << stop_after;
    EXPECT_TRUE(bytes(name + "/model.gguf") == bytes("whole/model.gguf")) << stop_after;
  }
}

// A checkpoint is written before the evaluations at a stage's end: they are stopped, and made up
// for.
TEST_F(PipelineTest, StopsInTheMiddleOfAnEvaluation) {
  ASSERT_TRUE(run(kPipeline, "evaluated", false, 1000).has_value());
  Result<RunEnd> end = run(kPipeline, "halted", false, 1000, {}, /*stop_when_saved=*/true);
  int64_t sittings = 1;
  for (; end && *end == RunEnd::kStopped; ++sittings) {
    end = run(kPipeline, "halted", true, 1000, {}, /*stop_when_saved=*/true);
  }
  ASSERT_TRUE(end.has_value()) << end.error().message;
  EXPECT_EQ(sittings, 1 + 3) << "each stage that trains ends in a checkpoint";
  EXPECT_EQ(entries("halted"), entries("evaluated"));
  EXPECT_TRUE(bytes("halted/model.gguf") == bytes("evaluated/model.gguf"));
}

TEST_F(PipelineTest, KeepsRightAnswersAsConversations) {
  ASSERT_TRUE(run(kPipeline, "kept", false, 3).has_value());
  std::ifstream file(folder_ / "kept" / "data" / "answers.samples.jsonl");
  std::string line;
  ASSERT_TRUE(std::getline(file, line));
  int64_t right = 0;
  while (std::getline(file, line)) {
    const Json batch = Json::parse(line);
    for (const Json& problem : batch.at("problems")) {
      EXPECT_EQ(problem.at("answers").size(), 4U);
      for (const Json& answer : problem.at("answers"))
        right += answer.at("correct") == true ? 1 : 0;
    }
  }
  ASSERT_GT(right, 0);
  Result<RunEnd> end = run(kPipeline, "kept", true, 1);
  ASSERT_TRUE(end.has_value()) << end.error().message;
  std::ifstream data(folder_ / "kept" / "data" / "answers.jsonl");
  int64_t lines = 0;
  while (std::getline(data, line)) {
    const Json messages = Json::parse(line).at("messages");
    ASSERT_EQ(messages.size(), 2U);
    EXPECT_EQ(messages[0].at("role"), "user");
    EXPECT_TRUE(messages[1].at("content").get<std::string>().starts_with("Answer: "));
    ++lines;
  }
  EXPECT_GT(lines, 0);
  EXPECT_LE(lines, right);
}

// A kill in the middle of a line, and answers to another question.
TEST_F(PipelineTest, AsksAgainWhatIsNotWhole) {
  ASSERT_TRUE(run(kPipeline, "cut", false, 2).has_value());
  const fs::path samples = folder_ / "cut" / "data" / "answers.samples.jsonl";
  const std::string before = bytes("cut/data/answers.samples.jsonl");
  fs::resize_file(samples, before.size() - 10);
  ASSERT_TRUE(run(kPipeline, "cut", true, 1).has_value());
  const std::string after = bytes("cut/data/answers.samples.jsonl");
  // All but the time that the batch took.
  const auto last = [](const std::string& text) {
    const size_t begin = text.rfind('\n', text.size() - 2) + 1;
    Json line = Json::parse(text.substr(begin));
    line.erase("seconds");
    return line;
  };
  EXPECT_EQ(last(after), last(before));
  std::ofstream(samples) << R"({"stage":"answers","task":"another"})" << "\n";
  ASSERT_TRUE(run(kPipeline, "cut", true, 1).has_value());
  EXPECT_TRUE(bytes("cut/data/answers.samples.jsonl").contains("chain_sums"));
}

TEST_F(PipelineTest, ATeacherAnswersAndTheStudentComesCloser) {
  const std::vector<std::string> overrides = {
      "model={architecture=\"llama\", layers=1, dim=32, heads=2, ffn_dim=64, words=[\"What is \", "
      "\"? End with a line \\\"Answer: NUMBER\\\".\", \"Answer: \", \" + \", \" - \", \" = \"]}",
      "stage.0.from=" + model(),
      "stage.1.steps=1",
      "stage.3.steps=40",
      "stage.3.text_weight=0",
      "stage.3.optimizer.learning_rate=1e-2"};
  const auto end = run(kPipeline, "student", false, 1000, overrides);
  ASSERT_TRUE(end.has_value()) << end.error().message;
  double first = 0.0, last = 0.0;
  for (const Json& entry : entries("student")) {
    if (!entry.contains("divergence")) continue;
    last = entry["divergence"];
    if (first == 0.0) first = last;
    EXPECT_NEAR(entry["loss"].get<double>(), last, 1e-9);
  }
  EXPECT_GT(first, 0.0);
  EXPECT_LT(last, 0.5 * first);
}

TEST_F(PipelineTest, MetricsSayWorkAndIntervals) {
  ASSERT_TRUE(run(kPipeline, "work", false, 1000).has_value());
  std::ifstream file(folder_ / "work" / "metrics.jsonl");
  int steps = 0, evaluations = 0;
  for (std::string line; std::getline(file, line);) {
    const Json entry = Json::parse(line);
    const std::string event = entry.value("event", "");
    if (event.empty()) {
      ++steps;
      EXPECT_GT(entry.value("flops", 0.0), 0.0) << line;
      const bool trained = entry.value("tokens", 0) > 0;  // all answers alike teach nothing
      EXPECT_EQ(entry.contains("peak_share"), trained) << line;
    } else if (event == "evaluation") {
      ++evaluations;
      EXPECT_LE(entry.at("pass_1_low").get<double>(), entry.at("pass_1").get<double>());
      EXPECT_LE(entry.at("pass_k").get<double>(), entry.at("pass_k_high").get<double>());
      EXPECT_TRUE(entry.contains("cons_k")) << line;
    }
  }
  EXPECT_EQ(steps, 3 + 3 + 1 + 2);
  EXPECT_EQ(evaluations, 1 + 3) << "before, and behind each stage that trains";
}

TEST_F(PipelineTest, FaultsNameFileLineAndKey) {
  EXPECT_EQ(fault({"stage.1.data.from_stage=nobody"}),
            "--set stage.1.data.from_stage=nobody: stage.1.data.from_stage: no stage before this "
            "one is called 'nobody'");
  const std::string later = fault({"stage.1.data.from_stage=[\"answers\", \"again\"]"});
  EXPECT_TRUE(later.contains("no stage before this one is called 'again'")) << later;
  const std::string kind = fault({"stage.3.text=[]", "stage.3.data.from_stage=again"});
  EXPECT_TRUE(kind.contains("keeps no answers; expected one of kind \"reject\"")) << kind;
  EXPECT_TRUE(fault({"stage.0.prefer=longer"}).contains("shorter, diverse, first"));
  EXPECT_TRUE(fault({"stage.0.name=a/b"}).contains("names a file"));
  EXPECT_TRUE(fault({"stage.2.problems.0.task=sums"}).contains("there is no task 'sums'"));
  EXPECT_TRUE(fault({"stage.2.task=gcd"}).contains("not both"));
  EXPECT_TRUE(fault({"stage.1.text=[]"}).contains("one of the two alone"));
  const std::string none = fault({"stage.0.tokens=1", "stage.0.count=1"});
  EXPECT_TRUE(none.contains("nothing is left of 4 answers")) << none;
}

TEST_F(PipelineTest, ATeacherOfAnotherVocabularyIsRefused) {
  fs::remove_all(folder_ / "fault");
  const auto end =
      run(kPipeline, "fault", false, 1000,
          {"model={architecture=\"llama\", layers=1, dim=32, heads=2, ffn_dim=64, words=[\"no\"]}",
           "stage.0.from=" + model()});
  ASSERT_FALSE(end.has_value());
  EXPECT_TRUE(end.error().message.contains("have other vocabularies: token "))
      << end.error().message;
}

}  // namespace
}  // namespace minke
