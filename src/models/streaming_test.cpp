// A mixture whose experts come from the disk through a cache of a few: the same bits as with all of
// them in memory, however the work is cut, and errors in place of crashes when the file is not what
// it was.
#include <gmock/gmock.h>

#include <filesystem>

#include "models/forward_testing.h"
#include "models/synth.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

std::string tiny_model(const std::string& shape, const std::string& quant) {
  std::string path = temporary_file("streaming-" + shape + "-" + quant + ".gguf");
  const Status written = write_synth({.shape = shape, .quant = quant}, path, {});
  EXPECT_TRUE(written.has_value()) << written.error().message;
  return path;
}

class Streaming : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(Streaming, BitsAreThoseOfAModelInMemory) {
  const auto& [shape, quant] = GetParam();
  const std::string path = tiny_model(shape, quant);
  const Kernels& kernels = *available_kernels().back();
  ForwardModel whole(path, kernels, 2);
  const std::vector<int32_t> tokens = some_tokens(70, whole.vocab(), 1);
  const std::vector<int32_t> pages = {5, 2};
  const std::vector<float> want = whole.in_chunks(tokens, tokens.size(), pages);
  for (const int64_t slots : {1, 3, 7}) {
    const int threads = slots == 3 ? 1 : 3;
    ForwardModel streamed(path, std::make_unique<CpuOps>(kernels, threads), KvDtype::kBF16, slots);
    for (const size_t chunk : {tokens.size(), size_t{3}}) {
      expect_same(streamed.in_chunks(tokens, chunk, pages), want,
                  std::to_string(slots) + " slots, " + std::to_string(threads) +
                      " threads, chunks of " + std::to_string(chunk));
    }
    EXPECT_FALSE(streamed.experts()->take_fault());
  }
  std::filesystem::remove(path);
}

std::string streaming_name(const testing::TestParamInfo<Streaming::ParamType>& set) {
  std::string name = std::string(std::get<0>(set.param)) + "_" + std::get<1>(set.param);
  std::ranges::replace(name, '-', '_');
  return name;
}

// Q4_K_M: layers whose experts differ in format and size. IQ4_NL and Q2_K are widened.
INSTANTIATE_TEST_SUITE_P(Quants, Streaming,
                         testing::Combine(testing::Values("tiny-qwen3moe", "tiny-deepseek-v2",
                                                          "tiny-deepseek-v3"),
                                          testing::Values("Q4_0", "Q4_K_M", "Q2_K", "BF16", "F32")),
                         streaming_name);

TEST(StreamingCounts, ACacheOfAllExpertsReadsEachOnce) {
  const std::string path = tiny_model("tiny-qwen3moe", "Q4_0");
  ForwardModel model(path, std::make_unique<CpuOps>(*available_kernels().back(), 2), KvDtype::kBF16,
                     16);
  const std::vector<int32_t> tokens = some_tokens(200, model.vocab(), 1);
  model.in_chunks(tokens, 50, {1, 2, 3, 4});
  const ExpertStats stats = model.experts()->stats();
  EXPECT_EQ(stats.used - stats.hits, 16u);  // 8 experts in 2 layers
  EXPECT_EQ(stats.bytes_read, 16u * 3 * 128 * 256 / 32 * 18);
  std::filesystem::remove(path);
}

TEST(StreamingFaults, AFileCutShortIsAnErrorAndNoCrash) {
  const std::string path = tiny_model("tiny-deepseek-v3", "Q4_0");
  ForwardModel model(path, std::make_unique<CpuOps>(*available_kernels().back(), 2), KvDtype::kBF16,
                     3);
  const std::vector<int32_t> tokens = some_tokens(20, model.vocab(), 1);
  const std::vector<float> before = model.in_chunks(tokens, 20, {1});
  EXPECT_FALSE(model.experts()->take_fault());
  const std::string copy = path + ".whole";
  std::filesystem::copy_file(path, copy);
  // The embeddings, which come first, stay; experts of the last layer go.
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  for (int again = 0; again < 3; ++again) {
    model.in_chunks(tokens, 20, {1});
    const std::optional<Error> fault = model.experts()->take_fault();
    ASSERT_TRUE(fault);
    EXPECT_THAT(fault->message, HasSubstr(path + ": the file ends at byte"));
  }
  // Whoever puts the file back goes on, with nothing left over of what was half read.
  std::filesystem::copy_file(copy, path, std::filesystem::copy_options::overwrite_existing);
  expect_same(model.in_chunks(tokens, 20, {1}), before, "after the file was put back");
  EXPECT_FALSE(model.experts()->take_fault());
  std::filesystem::remove(path);
  std::filesystem::remove(copy);
}

}  // namespace
}  // namespace minke
