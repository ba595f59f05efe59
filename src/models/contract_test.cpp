// The numerics contract (docs/numerics.md) on whole models: the logits of a token are the same bits
// however the work is cut: one token at a time, in chunks, among others, on more threads, after a
// cached prefix, on every instruction set.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "models/forward_testing.h"
#include "models/synth.h"

namespace minke {
namespace {

void expect_contract(const std::string& path, size_t count, bool with_reference,
                     KvDtype dtype = KvDtype::kBF16) {
  std::vector<const Kernels*> sets = available_kernels();
  ForwardModel model(path, *sets.back(), 1, dtype);
  const std::vector<int32_t> tokens = some_tokens(count, model.vocab(), 1);
  const std::vector<int32_t> pages = {5, 2, 9};
  const std::vector<float> want = model.in_chunks(tokens, tokens.size(), pages);
  for (const float value : want) ASSERT_TRUE(std::isfinite(value));

  expect_same(model.in_chunks(tokens, 1, {7, 1, 3}), want, "one token at a time");
  expect_same(model.in_chunks(tokens, 7, {4, 8, 6}), want, "chunks of 7");

  // Alone = in a batch of nine others of other lengths, with every other sequence already begun.
  std::vector<ForwardModel::Part> parts;
  for (int32_t other = 0; other < 9; ++other) {
    const auto length = static_cast<size_t>(1 + other * 3);
    const std::vector<int32_t> page = {20 + other};
    if (other % 2 == 0) model.in_chunks(some_tokens(5, model.vocab(), other), 5, page);
    parts.push_back({.tokens = some_tokens(length, model.vocab(), other + 50),
                     .first_position = other % 2 == 0 ? 5 : 0,
                     .pages = page});
  }
  size_t before = 0;
  for (int i = 0; i < 4; ++i) before += parts[static_cast<size_t>(i)].tokens.size();
  parts.insert(parts.begin() + 4, {.tokens = tokens, .first_position = 0, .pages = {10, 11, 12}});
  const std::vector<float> batch = model.step(parts);
  const auto vocab = static_cast<size_t>(model.vocab());
  const auto begin = batch.begin() + static_cast<long>(before * vocab);
  expect_same({begin, begin + static_cast<long>(want.size())}, want, "in a batch of nine others");

  // A prefix that another sequence has left in the cache, in a copy of its page.
  model.kv().copy_page(5, 30);
  const size_t cached = std::min<size_t>(13, count - 1);
  const std::vector<int32_t> rest(tokens.begin() + static_cast<long>(cached), tokens.end());
  const std::vector<float> after = model.step(
      {{.tokens = rest, .first_position = static_cast<int64_t>(cached), .pages = {30, 31, 32}}});
  expect_same(after, {want.begin() + static_cast<long>(cached * vocab), want.end()},
              "after a prefix hit");

  for (const int threads : {2, 3}) {
    ForwardModel other(path, *sets.back(), threads, dtype);
    expect_same(other.in_chunks(tokens, tokens.size(), pages), want,
                std::to_string(threads) + " threads");
  }
  for (const Kernels* set : sets) {
    if (set == sets.back() || (set == sets.front() && !with_reference)) continue;
    ForwardModel other(path, *set, 2, dtype);
    expect_same(other.in_chunks(tokens, tokens.size(), pages), want, set->name);
  }
}

// Long enough that threads share the pages of keys of one sequence that writes on.
void expect_contract_over_pages(const std::string& path, KvDtype dtype) {
  const std::vector<const Kernels*> sets = available_kernels();
  std::vector<int32_t> pages(5);
  std::iota(pages.begin(), pages.end(), 3);
  std::vector<float> want;
  for (const Kernels* set : sets) {
    for (const int threads : {1, 2, 3}) {
      // The reference takes its time; kernels_test.cpp has it over pages.
      if (set == sets.front() && sets.size() > 1) continue;
      ForwardModel model(path, *set, threads, dtype);
      const std::vector<int32_t> tokens = some_tokens(4 * kKvPageTokens + 40, model.vocab(), 1);
      if (want.empty()) want = model.in_chunks(tokens, tokens.size(), pages);
      const std::string what = std::string(set->name) + ", " + kv_dtype_name(dtype) + ", " +
                               std::to_string(threads) + " threads";
      expect_same(model.in_chunks(tokens, 250, pages), want, what + ", chunks of 250");
      // The last tokens once more, one by one and in a few rows.
      const size_t from = tokens.size() - 12;
      for (const size_t chunk : {size_t{1}, size_t{3}}) {
        for (size_t at = from; at < tokens.size(); at += chunk) {
          const size_t end = std::min(tokens.size(), at + chunk);
          const auto vocab = static_cast<size_t>(model.vocab());
          expect_same(model.step({{.tokens = {tokens.begin() + static_cast<long>(at),
                                              tokens.begin() + static_cast<long>(end)},
                                   .first_position = static_cast<int64_t>(at),
                                   .pages = pages}}),
                      {want.begin() + static_cast<long>(at * vocab),
                       want.begin() + static_cast<long>(end * vocab)},
                      what + ", " + std::to_string(chunk) + " at a time");
        }
      }
    }
  }
}

class Contract : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(Contract, HoldsOnTinyModels) {
  const auto& [shape, quant] = GetParam();
  const std::string path = temporary_file(std::string(shape) + "-" + quant + ".gguf");
  const Status written = write_synth({.shape = shape, .quant = quant}, path, {});
  ASSERT_TRUE(written.has_value()) << written.error().message;
  expect_contract(path, 70, true);
  // Latents are kept in bf16 only.
  const bool latent = std::string_view(shape).contains("deepseek");
  if (!latent) expect_contract(path, 70, false, KvDtype::kQ8);
  std::filesystem::remove(path);
}

std::string contract_name(const testing::TestParamInfo<Contract::ParamType>& set) {
  std::string name = std::string(std::get<0>(set.param)) + "_" + std::get<1>(set.param);
  std::ranges::replace(name, '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Quants, Contract,
                         testing::Combine(testing::Values("tiny-llama", "tiny-qwen2"),
                                          testing::Values("Q4_0", "Q4_1", "Q5_0", "Q8_0", "Q4_K",
                                                          "Q5_K", "Q6_K", "F16", "BF16", "F32",
                                                          "Q4_K_M")),
                         contract_name);
INSTANTIATE_TEST_SUITE_P(OtherModels, Contract,
                         testing::Combine(testing::Values("tiny-qwen3", "tiny-qwen3moe",
                                                          "tiny-deepseek-v2", "tiny-deepseek-v3"),
                                          testing::Values("Q4_0", "Q6_K", "BF16", "F32", "Q4_K_M")),
                         contract_name);

TEST(ContractOverPages, HoldsInBothCaches) {
  const std::string path = temporary_file("pages.gguf");
  const Status written = write_synth({.shape = "tiny-llama", .quant = "Q4_0"}, path, {});
  ASSERT_TRUE(written.has_value()) << written.error().message;
  expect_contract_over_pages(path, KvDtype::kBF16);
  expect_contract_over_pages(path, KvDtype::kQ8);
  std::filesystem::remove(path);
}

TEST(ContractOverPages, HoldsForLatents) {
  const std::string path = temporary_file("latents.gguf");
  const Status written = write_synth({.shape = "tiny-deepseek-v3", .quant = "Q4_0"}, path, {});
  ASSERT_TRUE(written.has_value()) << written.error().message;
  expect_contract_over_pages(path, KvDtype::kBF16);
  std::filesystem::remove(path);
}

TEST(ContractOnRealModels, SmolLm2) {
  const std::string path = real_model("smollm2-135m.gguf");
  if (path.empty()) GTEST_SKIP() << "smollm2-135m.gguf is not in $MINKE_TEST_MODELS";
  expect_contract(path, 40, true);
  expect_contract(path, 40, false, KvDtype::kQ8);
}

TEST(ContractOnRealModels, Qwen25Coder05b) {
  const std::string path = real_model("qwen2.5-coder-0.5b.gguf");
  if (path.empty()) GTEST_SKIP() << "qwen2.5-coder-0.5b.gguf is not in $MINKE_TEST_MODELS";
  expect_contract(path, 24, true);
  expect_contract(path, 24, false, KvDtype::kQ8);
}

}  // namespace
}  // namespace minke
