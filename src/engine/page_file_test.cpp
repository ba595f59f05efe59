#include "engine/page_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <vector>

#include "engine/fake_runner.h"
#include "engine/loop.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPageBytes = 10'000;

class PageFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() /
              ("minke-pages-" + std::to_string(::getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path() const { return (folder_ / "inner" / "pages.kv").string(); }
  Result<std::unique_ptr<PageFile>> open(const std::string& fingerprint = "a model",
                                         uint64_t bytes_max = 1 << 20) const {
    return PageFile::open({.path = path(),
                           .fingerprint = fingerprint,
                           .page_bytes = kPageBytes,
                           .bytes_max = bytes_max});
  }

  static PageFile::Page page(PageKey parent, int32_t first, uint64_t stamp) {
    PageFile::Page one{.parent = parent, .stamp = stamp};
    for (size_t i = 0; i < one.tokens.size(); ++i) {
      one.tokens[i] = first + static_cast<int32_t>(i);
    }
    one.key = page_key(parent, one.tokens);
    return one;
  }
  static std::vector<std::byte> bytes(uint8_t fill) {
    return std::vector<std::byte>(kPageBytes, std::byte{fill});
  }

  fs::path folder_;
};

TEST_F(PageFileTest, GivesBackWhatAnEarlierLifeWrote) {
  const PageFile::Page first = page(kNoPage, 5, 1);
  const PageFile::Page second = page(first.key, 70, 2);
  {
    const auto file = open();
    ASSERT_TRUE(file) << file.error().message;
    EXPECT_EQ((*file)->write(first, bytes(1)).value(), true);
    EXPECT_EQ((*file)->write(second, bytes(2)).value(), true);
  }
  const auto file = open();
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->pages().size(), 2U);
  EXPECT_EQ((*file)->last_stamp(), 2U);
  std::vector<std::byte> read(kPageBytes);
  ASSERT_TRUE((*file)->read(second.key, read));
  EXPECT_EQ(read, bytes(2));
}

TEST_F(PageFileTest, OfAnotherModelNothingIsGiven) {
  const PageFile::Page first = page(kNoPage, 5, 1);
  {
    ASSERT_TRUE((*open())->write(first, bytes(1)));
  }
  auto other = open("another model");
  EXPECT_TRUE((*other)->pages().empty());
  EXPECT_FALSE((*other)->damage().whole_file) << "it was good, and is of no use";
  other->reset();
  EXPECT_TRUE((*open())->pages().empty()) << "it was begun anew";
}

TEST_F(PageFileTest, BytesThatChangedAreNotGiven) {
  const PageFile::Page first = page(kNoPage, 5, 1);
  const PageFile::Page second = page(first.key, 70, 2);
  {
    const auto file = open();
    ASSERT_TRUE((*file)->write(first, bytes(1)));
    ASSERT_TRUE((*file)->write(second, bytes(2)));
  }
  {
    std::fstream damage(path(), std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(4096 + 4096 + 17);  // inside the first page's bytes
    damage.put('x');
  }
  const auto file = open();
  std::vector<std::byte> read(kPageBytes);
  EXPECT_FALSE((*file)->read(first.key, read));
  EXPECT_FALSE((*file)->has(first.key));
  EXPECT_TRUE((*file)->read(second.key, read));
  EXPECT_TRUE((*file)->pages().empty()) << "without its beginning the second is of no use";
  EXPECT_EQ((*file)->damage().pages, 1);
  EXPECT_FALSE((*file)->damage().whole_file);
}

TEST_F(PageFileTest, AHeaderThatIsCutOrFilledWithNoiseIsAFreeSlot) {
  const PageFile::Page first = page(kNoPage, 5, 1);
  {
    ASSERT_TRUE((*open())->write(first, bytes(1)));
  }
  std::mt19937 random(3);
  {
    std::fstream damage(path(), std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(4096);
    for (int i = 0; i < 400; ++i) damage.put(static_cast<char>(random()));
  }
  auto noisy = open();
  EXPECT_TRUE((*noisy)->pages().empty());
  EXPECT_EQ((*noisy)->damage().pages, 1);
  noisy->reset();
  fs::resize_file(path(), 4096 + 100);
  const auto file = open();
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ((*file)->damage().pages, 0) << "a write that was cut is no damage";
  EXPECT_EQ((*file)->write(first, bytes(1)).value(), true);
}

TEST_F(PageFileTest, WhatWasUsedLongestAgoGivesWay) {
  // Room for two slots of 4096 + 12288 bytes.
  const auto file = open("a model", 4096 + 2 * 16'384);
  ASSERT_TRUE((*file)->write(page(kNoPage, 1, 1), bytes(1)));
  ASSERT_TRUE((*file)->write(page(kNoPage, 2, 2), bytes(2)));
  ASSERT_TRUE((*file)->touch(page(kNoPage, 1, 0).key, 3));
  EXPECT_EQ((*file)->write(page(kNoPage, 3, 4), bytes(3)).value(), true);
  EXPECT_TRUE((*file)->has(page(kNoPage, 1, 0).key));
  EXPECT_FALSE((*file)->has(page(kNoPage, 2, 0).key));
  EXPECT_EQ((*file)->write(page(kNoPage, 4, 1), bytes(4)).value(), false)
      << "everything there is younger";
}

TEST_F(PageFileTest, OneProcessAtATime) {
  const auto first = open();
  ASSERT_TRUE(first);
  const auto second = open();
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another process"), std::string::npos);
}

// A loop that ends and one that begins: the second reads nothing again, and answers the same.
TEST_F(PageFileTest, ALoopFindsWhatAnEarlierOneHasRead) {
  const auto run = [&](std::vector<int32_t> prompt) {
    LoopOptions options;
    options.scheduler = {.prefill_chunk = 96, .sequences_max = 8, .logit_rows_max = 24};
    options.context_tokens = 640;
    options.context_max = 640;
    options.vocab_size = FakeModel::kVocab;
    options.end_tokens = {FakeModel::kEnd};
    auto runner = std::make_unique<FakeRunner>(40);
    auto file = PageFile::open({.path = path(),
                                .fingerprint = "fake",
                                .page_bytes = runner->page_bytes(),
                                .bytes_max = 1 << 20});
    Loop loop(options, 40, std::move(runner), *std::move(file));
    LoopRequest request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0;
    request.sampling.tokens_max = 20;
    return loop.run(std::move(request));
  };
  std::vector<int32_t> prompt;
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) prompt.push_back(1 + static_cast<int32_t>(random() % 60));
  const Result<Completion> before = run(prompt);
  ASSERT_TRUE(before);
  EXPECT_EQ(before->usage.cached_tokens, 0);
  const Result<Completion> after = run(prompt);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->usage.cached_tokens, 256);  // four whole pages
  EXPECT_EQ(after->tokens, before->tokens);
}

}  // namespace
}  // namespace minke
