// Batches: nothing is lost, nothing comes twice, and a run that stops goes on where it was.
#include "train/data/batcher.h"

#include <gmock/gmock.h>

#include "train/data/testing.h"

namespace minke {
namespace {

using testing::byte_tokenizer;
using testing::DataFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::shown;

class BatcherTest : public ::testing::Test {
 protected:
  Batcher open(const std::string& file, const BatchOptions& options,
               const DataPosition& start = {}) const {
    auto source = DataSource::open({.files = {file}, .shuffled = false, .text_block_bytes = 100},
                                   *tokenizer_, nullptr, start);
    EXPECT_TRUE(source) << source.error().message;
    auto batcher = Batcher::create(*std::move(source), options, start);
    EXPECT_TRUE(batcher) << batcher.error().message;
    return *std::move(batcher);
  }
  DataBatch next(Batcher& batcher) const {
    auto batch = batcher.next();
    EXPECT_TRUE(batch) << batch.error().message;
    return batch ? *std::move(batch) : DataBatch();
  }
  std::vector<std::string> texts(const DataBatch& batch) const {
    std::vector<std::string> texts;
    int64_t rows = 0, targets = 0;
    for (const TokenSequence& one : batch.sequences) {
      texts.push_back(shown(*tokenizer_, one));
      rows += static_cast<int64_t>(one.tokens.size()) - 1;
      targets += std::ranges::count(one.is_target, true);
    }
    EXPECT_EQ(rows, batch.rows);
    EXPECT_EQ(targets, batch.targets);
    return texts;
  }

  DataFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_ = byte_tokenizer();
};

TEST_F(BatcherTest, SequencesStayApartAndWaitWhereTheyDoNotFit) {
  const std::string file = folder_.write("a.jsonl", R"({"prompt": "ab", "completion": "c"}
{"prompt": "de", "completion": "fgh"}
{"prompt": "i", "completion": "j"}
)");
  Batcher batcher = open(file, {.rows = 8, .context = 8});
  const DataBatch first = next(batcher);
  EXPECT_THAT(texts(first), ElementsAre("ab[c<|end|>]", "de[fgh<|end|>]"));
  EXPECT_EQ(first.next, (DataPosition{.example = 2}));
  const DataBatch second = next(batcher);
  EXPECT_THAT(texts(second), ElementsAre("i[j<|end|>]", "ab[c<|end|>]"));
  EXPECT_EQ(second.next, (DataPosition{.epoch = 1, .example = 1}));
}

TEST_F(BatcherTest, LongAnswersLoseTheirEndAndLongPromptsAreLeftOut) {
  const std::string file = folder_.write("a.jsonl", R"({"prompt": "ab", "completion": "cdefgh"}
{"prompt": "abcdefgh", "completion": "i"}
{"prompt": "j", "completion": "k"}
)");
  Batcher batcher = open(file, {.rows = 6, .context = 4});
  const DataBatch batch = next(batcher);
  EXPECT_THAT(texts(batch), ElementsAre("ab[cde]", "j[k<|end|>]"));
  EXPECT_EQ(batch.cut, 1);
  EXPECT_EQ(batch.left_out, 1);
}

TEST_F(BatcherTest, TextsFillBatchesToTheLastRowAndEachTokenIsLearntOnce) {
  const std::string file =
      folder_.write("a.jsonl", "{\"text\": \"abcdefghij\"}\n{\"text\": \"klm\"}\n");
  Batcher batcher = open(file, {.rows = 6, .context = 4});
  EXPECT_THAT(texts(next(batcher)), ElementsAre("a[bcde]", "e[fg]"));
  EXPECT_THAT(texts(next(batcher)), ElementsAre("g[hij<|end|>]", "k[lm]"));
  EXPECT_THAT(texts(next(batcher)), ElementsAre("m[<|end|>]", "a[bcde]", "e[f]"));
}

TEST_F(BatcherTest, GoesOnBehindEveryBatch) {
  std::string lines;
  for (int i = 1; i < 12; ++i) {
    lines += "{\"text\": \"" +
             std::string(static_cast<size_t>(i * 7 % 23), static_cast<char>('a' + i)) + "\"}\n";
    lines += "{\"prompt\": \"" + std::string(static_cast<size_t>(i), 'p') +
             "\", \"completion\": \"c\"}\n";
  }
  const std::string file = folder_.write("a.jsonl", lines);
  const BatchOptions options = {.rows = 10, .context = 8};
  Batcher whole = open(file, options);
  DataPosition at;
  for (int i = 0; i < 60; ++i) {
    Batcher resumed = open(file, options, at);
    const DataBatch expected = next(whole);
    const DataBatch got = next(resumed);
    EXPECT_EQ(texts(got), texts(expected)) << "batch " << i;
    EXPECT_EQ(got.next, expected.next);
    at = expected.next;
  }
  EXPECT_GE(at.epoch, 1);
}

TEST_F(BatcherTest, FaultsHaveTheirSentence) {
  const std::string file =
      folder_.write("a.jsonl", "{\"prompt\": \"abcdef\", \"completion\": \"\"}\n");
  Batcher nothing = open(file, {.rows = 4, .context = 4});
  const auto batch = nothing.next();
  ASSERT_FALSE(batch);
  EXPECT_THAT(batch.error().message, HasSubstr("nothing that could be learnt"));
  const auto create = [&](const BatchOptions& options, const DataPosition& start) {
    auto source = DataSource::open({.files = {file}}, *tokenizer_, nullptr, start);
    const auto batcher = Batcher::create(*std::move(source), options, start);
    return batcher ? "no error" : batcher.error().message;
  };
  EXPECT_THAT(create({.rows = 4, .context = 5}, {}),
              HasSubstr("holds no sequence of the context's 5"));
  EXPECT_THAT(create({.rows = 9, .context = 9}, {.token = 7}), HasSubstr("ends before token 7"));
}

}  // namespace
}  // namespace minke
