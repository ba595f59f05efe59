// Whole models on the GPU: the logits are the processor's, bit for bit, however the work is cut,
// launched kernel by kernel or replayed from a graph.
#include <algorithm>
#include <filesystem>

#include "models/forward_testing.h"
#include "models/synth.h"
#include "ops/cuda_ops.h"

namespace minke {
namespace {

void expect_equal_to_processor(const std::string& path, size_t count) {
  Result<std::unique_ptr<CudaOps>> ops = CudaOps::create(2);
  if (!ops) GTEST_SKIP() << ops.error().message;
  ForwardModel cpu(path, *available_kernels().back(), 2);
  ForwardModel gpu(path, *std::move(ops));
  const std::vector<int32_t> tokens = some_tokens(count, cpu.vocab(), 1);
  const std::vector<int32_t> pages = {5, 2, 9, 3};
  const std::vector<float> want = cpu.in_chunks(tokens, tokens.size(), pages);
  // A step that is recorded may be the first of all.
  expect_same(gpu.in_chunks({tokens.begin(), tokens.begin() + 4}, 1, {7, 1, 3, 8}),
              {want.begin(), want.begin() + 4 * cpu.vocab()}, "four tokens, first of all");
  expect_same(gpu.in_chunks(tokens, tokens.size(), pages), want, "a prompt in one piece");
  // Three times: plain, recorded, replayed.
  for (const char* what : {"one token at a time", "the same, recorded", "the same, replayed"}) {
    expect_same(gpu.in_chunks(tokens, 1, {7, 1, 3, 8}), want, what);
  }
  expect_same(gpu.in_chunks(tokens, 7, {4, 8, 6, 0}), want, "chunks of 7");
  expect_same(gpu.in_chunks(tokens, 3, {4, 8, 6, 0}), want, "chunks of 3");

  std::vector<ForwardModel::Part> parts;
  for (int32_t other = 0; other < 9; ++other) {
    parts.push_back({.tokens = some_tokens(static_cast<size_t>(1 + other * 3), cpu.vocab(), other),
                     .pages = {20 + other}});
  }
  parts.insert(parts.begin() + 4, {.tokens = tokens, .pages = {10, 11, 12, 13}});
  expect_same(gpu.step(parts), cpu.step(parts), "in a batch of nine others");
  gpu.kv().copy_page(5, 30);
  const size_t cached = std::min<size_t>(13, count - 1);
  const std::vector<float> after =
      gpu.step({{.tokens = {tokens.begin() + static_cast<long>(cached), tokens.end()},
                 .first_position = static_cast<int64_t>(cached),
                 .pages = {30, 31, 32, 33}}});
  expect_same(after, {want.begin() + static_cast<long>(cached) * cpu.vocab(), want.end()},
              "after a prefix hit");
}

class CudaContract : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(CudaContract, HoldsOnTinyModels) {
  const auto& [shape, quant] = GetParam();
  const std::string path = temporary_file(std::string("cuda-") + shape + "-" + quant + ".gguf");
  const Status written = write_synth({.shape = shape, .quant = quant}, path, {});
  ASSERT_TRUE(written.has_value()) << written.error().message;
  expect_equal_to_processor(path, 70);
  std::filesystem::remove(path);
}

INSTANTIATE_TEST_SUITE_P(Quants, CudaContract,
                         testing::Combine(testing::Values("tiny-llama", "tiny-qwen2", "tiny-qwen3"),
                                          testing::Values("Q4_0", "Q8_0", "F16", "BF16", "F32",
                                                          "Q4_K_M")),
                         [](const auto& set) {
                           std::string name =
                               std::string(std::get<0>(set.param)) + "_" + std::get<1>(set.param);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(CudaContractOnRealModels, SmolLm2) {
  const std::string path = real_model("smollm2-135m.gguf");
  if (path.empty()) GTEST_SKIP() << "smollm2-135m.gguf is not in $MINKE_TEST_MODELS";
  expect_equal_to_processor(path, 200);
}

}  // namespace
}  // namespace minke
