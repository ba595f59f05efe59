// The report of a run, and the adapter that thinks: what people open when a run has ended.
#include "train/run/report.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/local_engine.h"
#include "train/chat_text.h"
#include "train/run/run.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

class ReportTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / "minke-report-test";
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& text) const { std::ofstream(folder_ / "metrics.jsonl") << text; }
  fs::path folder_;
};

TEST_F(ReportTest, HasWhatWasBeforeAndAfterAndKeepsTextText) {
  write(
      R"({"step":0,"event":"begun","name":"a<b","parameters":1234567,"steps":4,"per_hour":36,"currency":"EUR","watts":3600,"peak_gflops":100}
{"step":0,"event":"evaluation","stage":"start","task":"gcd","problems":8,"samples_each":4,"pass_1":0.25,"pass_1_low":0.1,"pass_1_high":0.5,"pass_k":0.5,"cons_k":0.375,"format":0.5,"answer_tokens":30,"flops":1e12,"evaluation_seconds":10,"samples":[{"prompt":"p","answer":"<script>alert(1)</script>","correct":false}]}
{"step":1,"stage":"read","kind":"supervised","stage_step":1,"stage_steps":2,"loss":2.5,"tokens":1000,"flops":2e12,"peak_share":0.25,"step_seconds":50}
{"step":2,"stage":"read","kind":"supervised","stage_step":2,"stage_steps":2,"loss":1.5,"tokens":1000,"flops":2e12,"peak_share":0.75,"step_seconds":50}
not a line
{"step":"3"}
{"step":2,"event":"evaluation","stage":"read","task":"gcd","problems":8,"samples_each":4,"pass_1":0.75,"pass_1_low":0.5,"pass_1_high":0.9,"pass_k":1.0,"cons_k":0.875,"format":1.0,"answer_tokens":40,"flops":1e12,"evaluation_seconds":10,"samples":[{"prompt":"p","answer":"Answer: 4","correct":true}]}
{"step":3,"stage":"try","kind":"grpo","stage_step":1,"stage_steps":2,"reward":0.25,"loss":7,"tokens":10,"sampled_tokens":500,"flops":1e12,"step_seconds":100}
)");
  const auto page = run_report(folder_.string());
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_TRUE(page->contains("<h1>a&lt;b</h1>"));
  EXPECT_TRUE(page->contains("3 of 4 steps in 2 stages"));
  for (const char* part : {"pass@4", "cons@4", "25.0% <small>10–50</small>",
                           "75.0% <small>50–90</small>", "before", "after read", "<svg",
                           "&lt;script&gt;alert(1)", "50%", "2.20 EUR", "0.220 kWh", "7 TFLOP"}) {
    EXPECT_TRUE(page->contains(part)) << part;
  }
  EXPECT_FALSE(page->contains("<script"));
  EXPECT_FALSE(page->contains("http"));
}

// Marks of an axis between two neighbours among the doubles would never come to an end.
TEST_F(ReportTest, DrawsWhatHardlyDiffers) {
  write(
      R"({"step":1,"stage":"read","kind":"supervised","stage_step":1,"loss":2.0,"kl":1e-300}
{"step":2,"stage":"read","kind":"supervised","stage_step":2,"loss":2.0000000000000004,"kl":3e-300}
)");
  const auto page = run_report(folder_.string());
  ASSERT_TRUE(page) << page.error().message;
  EXPECT_TRUE(page->contains(">Loss<"));
}

TEST_F(ReportTest, NamesWhatIsMissing) {
  const auto none = run_report(folder_.string());
  ASSERT_FALSE(none);
  EXPECT_TRUE(none.error().message.contains("holds no run")) << none.error().message;
  write("{}\n");
  const auto empty = run_report(folder_.string());
  ASSERT_FALSE(empty);
  EXPECT_TRUE(empty.error().message.contains("no step to report")) << empty.error().message;
}

// The prompt that the adapter was trained under is the one that it is asked with.
TEST_F(ReportTest, AnAdapterThatThinksIsServedAsItWasTrained) {
  const std::string model = std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/qwen2.gguf";
  const auto recipe = RecipeFile::parse(R"(
name = "thinks"
threads = 1
[model]
from = ")" + model + R"("
adapter_rank = 2
thinking = true
[[stage]]
steps = 1
update_tokens = 16
[[stage.text]]
task = "chain_sums:terms_min=2,terms_max=2,max=3"
)",
                                        "thinks.toml");
  ASSERT_TRUE(recipe) << recipe.error().message;
  const auto plan = RunPlan::read(*recipe);
  ASSERT_TRUE(plan) << plan.error().message;
  const std::string run = (folder_ / "run").string();
  const auto end =
      run_plan(*recipe, *plan,
               {.folder = run,
                .find_model = [](const std::string& name) -> Result<std::string> { return name; }});
  ASSERT_TRUE(end) << end.error().message;
  EXPECT_TRUE(fs::exists(run + "/report.html"));
  EngineOptions options;
  options.model = model;
  options.threads = 1;
  const auto bare = LocalEngine::load(options);
  ASSERT_TRUE(bare) << bare.error().message;
  EXPECT_FALSE((*bare)->knows_thinking());
  options.adapter = run + "/adapter.gguf";
  const auto engine = LocalEngine::load(options);
  ASSERT_TRUE(engine) << engine.error().message;
  EXPECT_TRUE((*engine)->knows_thinking());
  const auto served = (*engine)->chat_prompt({{.role = "user", .content = "2 + 2?"}});
  ASSERT_TRUE(served) << served.error().message;
  EXPECT_TRUE((*engine)->detokenize(*served).ends_with("<think>\n"))
      << (*engine)->detokenize(*served);
  const auto file = GgufFile::open(model);
  ASSERT_TRUE(file);
  const auto text = ChatText::load(*file, /*thinks=*/true);
  ASSERT_TRUE(text) << text.error().message;
  const auto trained = text->prompt("", "2 + 2?");
  ASSERT_TRUE(trained) << trained.error().message;
  EXPECT_EQ(trained->tokens, *served);
  EXPECT_TRUE(trained->starts_inside);
}

}  // namespace
}  // namespace minke
