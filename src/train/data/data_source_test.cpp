// Sources: what comes, in which order, from which files; and that threads and restarts change
// nothing.
#include "train/data/data_source.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <set>

#include "train/data/shuffle.h"
#include "train/data/testing.h"

namespace minke {
namespace {

using testing::byte_tokenizer;
using testing::DataFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Shuffle, IsAPermutationOfEachEpoch) {
  for (const uint64_t count : {1, 2, 3, 15, 16, 17, 64, 1000}) {
    std::set<std::vector<uint64_t>> orders;
    for (uint64_t epoch = 0; epoch < 3; ++epoch) {
      const Shuffle shuffle(7, epoch, count);
      std::vector<uint64_t> order;
      for (uint64_t place = 0; place < count; ++place) order.push_back(shuffle.at(place));
      orders.insert(order);
      std::ranges::sort(order);
      for (uint64_t i = 0; i < count; ++i) ASSERT_EQ(order[i], i) << count;
    }
    if (count > 10) {
      EXPECT_EQ(orders.size(), 3u);
    }
  }
}

// The mean distance of neighbours in a random order is a third of the count; within 5 sigmas.
TEST(Shuffle, MovesThingsFarAndAwayFromTheirNeighbours) {
  constexpr uint64_t kCount = 10'000;
  const Shuffle shuffle(1, 0, kCount);
  double moved = 0, apart = 0;
  for (uint64_t i = 0; i + 1 < kCount; ++i) {
    const auto here = static_cast<double>(shuffle.at(i));
    moved += std::abs(here - static_cast<double>(i));
    apart += std::abs(here - static_cast<double>(shuffle.at(i + 1)));
  }
  EXPECT_NEAR(moved / kCount, kCount / 3.0, 120.0);
  EXPECT_NEAR(apart / kCount, kCount / 3.0, 120.0);
}

class DataSourceTest : public ::testing::Test {
 protected:
  std::unique_ptr<DataSource> open(DataOptions options, const DataPosition& start = {}) const {
    auto source = DataSource::open(std::move(options), *tokenizer_, nullptr, start);
    EXPECT_TRUE(source) << source.error().message;
    return source ? *std::move(source) : nullptr;
  }
  std::string open_error(DataOptions options, const DataPosition& start = {}) const {
    const auto source = DataSource::open(std::move(options), *tokenizer_, nullptr, start);
    return source ? "no error" : source.error().message;
  }
  std::string text_of(const TokenSequence& sequence) const {
    return tokenizer_->decode(sequence.tokens);
  }
  std::vector<std::string> take(DataSource& source, int count) const {
    std::vector<std::string> texts;
    for (int i = 0; i < count; ++i) {
      const auto example = source.next();
      texts.push_back(example ? text_of(example->sequences[0])
                              : "error: " + example.error().message);
    }
    return texts;
  }
  // {"text": "0"}, {"text": "1"}, ...
  static std::string numbers(int begin, int end) {
    std::string lines;
    for (int i = begin; i < end; ++i) lines += "{\"text\": \"" + std::to_string(i) + "\"}\n";
    return lines;
  }

  DataFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_ = byte_tokenizer();
};

TEST_F(DataSourceTest, FilesFollowEachOtherAndThenTheNextEpoch) {
  const std::string a = folder_.write("a.jsonl", "\n{\"text\": \"1\"}\r\n  \n{\"text\": \"2\"}");
  const std::string b = folder_.write("b.ndjson", numbers(3, 4));
  const auto source = open({.files = {a, b}, .shuffled = false});
  EXPECT_EQ(source->examples_per_epoch(), 3);
  EXPECT_THAT(take(*source, 4), ElementsAre("1", "2", "3", "1"));
  EXPECT_EQ(source->position(), (DataPosition{.epoch = 1, .example = 1}));
}

TEST_F(DataSourceTest, ShuffledOrderIsThatOfTheSeedWhateverTheThreads) {
  const std::string file = folder_.write("a.jsonl", numbers(0, 50));
  const auto order = [&](uint64_t seed, int threads, int64_t ahead) {
    const auto source = open({.files = {file}, .seed = seed, .threads = threads, .ahead = ahead});
    return take(*source, 120);
  };
  const std::vector<std::string> one = order(5, 1, 1);
  EXPECT_EQ(order(5, 3, 7), one);
  EXPECT_EQ(order(5, 2, 64), one);
  EXPECT_NE(order(6, 1, 1), one);
  EXPECT_EQ(std::set(one.begin(), one.begin() + 50).size(), 50u);
  EXPECT_NE(std::vector(one.begin(), one.begin() + 50),
            std::vector(one.begin() + 50, one.begin() + 100));
}

TEST_F(DataSourceTest, GoesOnAtAPosition) {
  const std::string file = folder_.write("a.jsonl", numbers(0, 20));
  const auto whole = open({.files = {file}, .seed = 5});
  const std::vector<std::string> all = take(*whole, 60);
  for (const int done : {0, 1, 19, 20, 33}) {
    const auto before = open({.files = {file}, .seed = 5, .threads = 2});
    take(*before, done);
    const auto after = open({.files = {file}, .seed = 5, .threads = 3}, before->position());
    EXPECT_EQ(take(*after, 20), std::vector(all.begin() + done, all.begin() + done + 20));
  }
}

TEST_F(DataSourceTest, ReadsWhatIsPacked) {
  const std::string packed = folder_.path("a.jsonl.gz");
  const std::string lines = numbers(0, 1000);
  gzFile file = gzopen(packed.c_str(), "wb");
  ASSERT_EQ(gzwrite(file, lines.data(), static_cast<unsigned>(lines.size())),
            static_cast<int>(lines.size()));
  gzclose(file);
  const auto source = open({.files = {packed}, .shuffled = false});
  EXPECT_EQ(source->examples_per_epoch(), 1000);
  EXPECT_EQ(take(*source, 1000).back(), "999");

  std::filesystem::resize_file(packed, std::filesystem::file_size(packed) / 2);
  EXPECT_THAT(open_error({.files = {packed}}), HasSubstr("is no whole gzip file"));
}

TEST_F(DataSourceTest, PlainTextComesInBlocksThatMakeItUp) {
  std::string text = "\n\n  a first line\n";
  for (int i = 0; i < 300; ++i) {
    text += "paragraph " + std::to_string(i) + "\nwith \xc3\xa9\xc3\xa9 lines\n";
    if (i % 3 == 0) text += "\n";
  }
  text += std::string(1000, 'x');
  for (int i = 0; i < 300; ++i) text += "\xe2\x82\xac";
  const std::string file = folder_.write("a.txt", text);
  const auto source = open({.files = {file}, .shuffled = false, .text_block_bytes = 200});
  const auto count = static_cast<int>(source->examples_per_epoch());
  EXPECT_GT(count, 20);
  std::string joined;
  for (const std::string& block : take(*source, count)) {
    EXPECT_LE(block.size(), 400u);
    EXPECT_NE(static_cast<uint8_t>(block[0]) & 0xc0, 0x80) << "begins inside a character";
    joined += block;
  }
  EXPECT_EQ(joined, text);
}

TEST_F(DataSourceTest, AFaultNamesFileAndLineWhateverTheThreads) {
  const std::string good = folder_.write("good.jsonl", numbers(0, 10));
  const std::string bad = folder_.write("bad.jsonl", "\n" + numbers(0, 3) + "{\"text\": 1}\n{\n");
  for (const int threads : {1, 3}) {
    const auto source = open({.files = {good, bad}, .shuffled = false, .threads = threads});
    const std::vector<std::string> all = take(*source, 15);
    EXPECT_EQ(all[12], "2");
    EXPECT_EQ(all[13], "error: " + bad + ":5: \"text\" is a number, expected a text");
    EXPECT_EQ(all[14], all[13]);
  }
}

TEST_F(DataSourceTest, WhatCannotBeOpenedHasItsSentence) {
  EXPECT_THAT(open_error({}), HasSubstr("no file of training data is named"));
  EXPECT_THAT(open_error({.files = {folder_.path("none.jsonl")}}), HasSubstr("none.jsonl"));
  EXPECT_THAT(open_error({.files = {folder_.path("none.jsonl.gz")}}),
              HasSubstr("cannot open " + folder_.path("none.jsonl.gz")));
  EXPECT_THAT(open_error({.files = {folder_.write("empty.txt", " \n \n")}}),
              HasSubstr("empty.txt: has no example in it"));
  EXPECT_THAT(open_error({.files = {folder_.write("a.json", "[]")}}), HasSubstr("expected .jsonl"));
  const std::string file = folder_.write("a.jsonl", numbers(0, 3));
  EXPECT_THAT(open_error({.files = {file}}, {.example = 3}),
              HasSubstr("the data has 3 examples, and the run stopped at example 3"));
}

}  // namespace
}  // namespace minke
