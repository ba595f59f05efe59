// Guesses by models (drafter.h) over the whole loop: whatever guesses, and however the work is cut,
// the answers and the logits are the same bits as without; and guesses are as good as they should
// be, which is how a cache that holds the wrong thing would show.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/mtp_drafter.h"
#include "engine/runner_testing.h"
#include "io/gguf_writer.h"

namespace minke {
namespace {

std::string temporary_file(const std::string& name) {
  return testing::TempDir() + "minke-" + std::to_string(getpid()) + "-" + name;
}

struct Case {
  const char* name;
  const char* model;
  bool mtp;
  const char* draft_model;
};

class Drafting : public testing::TestWithParam<Case> {
 protected:
  static RigSetup setup(RigSetup with = {}) {
    with.mtp = GetParam().mtp;
    with.draft_model = GetParam().draft_model;
    if (with.draft_tokens < 0) with.draft_tokens = 3;
    return with;
  }
};

Outcome expect_as_plain(Rig& rig, const Ask& ask, const Outcome& want, const std::string& what) {
  Outcome got = run(rig, ask);
  expect_same(got, want, what);
  EXPECT_GT(got.usage.drafted_tokens, 0) << what;
  return got;
}

TEST_P(Drafting, EveryScheduleGivesTheSameBits) {
  const std::string model = GetParam().model;
  Rig plain(model, {});
  for (const double temperature : {0.0, 0.6}) {
    Ask ask = {.prompt = prompt_of(plain, 100, 1), .temperature = temperature};
    const Outcome want = run(plain, ask);
    ASSERT_EQ(want.tokens.size(), 40u);
    ask.speculate = true;

    Rig rig(model, setup());
    expect_as_plain(rig, ask, want, "with guesses");
    EXPECT_EQ(expect_as_plain(rig, ask, want, "after a prefix hit").usage.cached_tokens, 99);
    Rig many(model, setup({.draft_tokens = 9}));
    expect_as_plain(many, ask, want, "with many guesses");
    Rig chunked(model, setup({.prefill_chunk = 7}));
    expect_as_plain(chunked, ask, want, "in chunks of 7");
    Rig threads(model, setup({.threads = 3}));
    expect_as_plain(threads, ask, want, "with 3 threads");

    Rig crowded(model, setup({.prefill_chunk = 64}));
    expect_same(run_among_nine_others(crowded, ask), want, "among nine others");

    Rig starved(model, setup({.pages = 5}));
    std::vector<std::future<Outcome>> rivals;
    for (unsigned i = 0; i < 5; ++i) {
      rivals.push_back(
          submit(starved, {.prompt = prompt_of(starved, 60, 70 + i), .speculate = true}));
    }
    rivals.push_back(submit(starved, ask));
    expect_same(rivals.back().get(), want, "with hardly any pages");
  }
}

TEST_P(Drafting, AnswersEndWhereTheContextDoes) {
  Rig plain(GetParam().model, {});
  Ask ask = {.prompt = prompt_of(plain, 200, 4), .tokens_max = -1};
  const Outcome want = run(plain, ask);
  EXPECT_EQ(want.tokens.size(), 56u);
  ask.speculate = true;
  Rig rig(GetParam().model, setup());
  expect_as_plain(rig, ask, want, "until the context is full");
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, Drafting,
    testing::Values(Case{"mtp", "deepseek-v3-mtp.gguf", true, ""},
                    Case{"a_smaller_model", "qwen2-untied.gguf", false, "qwen2.gguf"},
                    Case{"another_family", "deepseek-v3-mtp.gguf", false, "qwen3.gguf"},
                    Case{"itself", "llama.gguf", false, "llama.gguf"}),
    [](const auto& set) { return std::string(set.param.name); });

// The drafter is the model: as its cache is right to the last bit, every guess is right.
class OwnDrafter : public testing::Test {
 protected:
  static constexpr const char* kModel = "qwen2.gguf";
  static RigSetup setup(RigSetup with = {}) {
    with.draft_model = kModel;
    if (with.draft_tokens < 0) with.draft_tokens = 4;
    return with;
  }
  static void expect_all_right(const Usage& usage, const std::string& what) {
    EXPECT_GT(usage.drafted_tokens, usage.answer_tokens / 2) << what;
    EXPECT_EQ(usage.accepted_tokens, usage.drafted_tokens) << what;
  }
};

TEST_F(OwnDrafter, EveryGuessIsRight) {
  for (const double temperature : {0.0, 0.6, 1.5}) {
    Rig rig(kModel, setup());
    const Ask ask = {
        .prompt = prompt_of(rig, 100, 1), .temperature = temperature, .speculate = true};
    expect_all_right(run(rig, ask).usage, "alone");
    expect_all_right(run(rig, ask).usage, "after a prefix hit");
    Ask branch = ask;
    branch.prompt.resize(81);
    branch.prompt.back() = 7;
    expect_all_right(run(rig, branch).usage, "from the middle of a cached page");
    Ask longer = ask;
    for (const int32_t token : run(rig, ask).tokens) longer.prompt.push_back(token);
    longer.prompt.push_back(9);
    expect_all_right(run(rig, longer).usage, "behind an answer");
  }
}

TEST_F(OwnDrafter, EveryGuessIsRightBehindWhatItHasNotRead) {
  Rig rig(kModel, setup());
  Ask ask = {.prompt = prompt_of(rig, 150, 1), .speculate = true};
  ask.speculate_with = SpeculateWith::kLookup;
  const Outcome looked_up = run(rig, ask);
  // The cache has all of it, and the drafter none.
  ask.speculate_with = SpeculateWith::kModel;
  const Outcome got = run(rig, ask);
  EXPECT_EQ(got.usage.cached_tokens, 149);
  EXPECT_EQ(got.tokens, looked_up.tokens);
  expect_all_right(got.usage, "behind 149 tokens");
}

TEST_F(OwnDrafter, EveryGuessIsRightInCrowdsAndWithHardlyAnyPages) {
  for (const int32_t pages : {64, 5}) {
    Rig rig(kModel, setup({.prefill_chunk = 16, .pages = pages}));
    std::vector<std::future<Outcome>> all;
    for (unsigned i = 0; i < 9; ++i) {
      // Three share a long prefix with others.
      std::vector<int32_t> prompt = prompt_of(rig, 90, i / 3);
      prompt.push_back(static_cast<int32_t>(i));
      all.push_back(submit(rig, {.prompt = prompt,
                                 .temperature = i % 2 == 0 ? 0.0 : 0.8,
                                 .speculate = true,
                                 .tokens_max = 60 + i}));
    }
    for (auto& one : all) {
      const Usage usage = one.get().usage;
      // Without a page at hand there is no guess.
      EXPECT_TRUE(pages < 64 || usage.drafted_tokens > usage.answer_tokens / 2);
      EXPECT_EQ(usage.accepted_tokens, usage.drafted_tokens) << pages << " pages";
    }
  }
}

constexpr int64_t kVocab = 270;
int64_t after(int64_t token) { return (7 * token + 3) % kVocab; }

// A copy of deepseek-v3-mtp.gguf in which the blocks add nothing and token t is followed by
// after(t). The layer's projection passes on one half of what it reads and nothing else: the
// token's embedding, whose head says after(t) again, or the state before the token, whose head says
// what comes two tokens behind.
enum class Half : uint8_t { kEmbedding, kState };

std::vector<float> head_rows(const GgufTensor& embedding, int tokens_behind) {
  const auto dim = static_cast<size_t>(embedding.shape[1]);
  std::vector<float> rows(static_cast<size_t>(kVocab) * dim);
  for (int64_t token = 0; token < kVocab; ++token) {
    int64_t next = token;
    for (int i = 0; i < tokens_behind; ++i) next = after(next);
    std::memcpy(rows.data() + static_cast<size_t>(next) * dim,
                embedding.data + static_cast<size_t>(token) * dim * sizeof(float),
                dim * sizeof(float));
  }
  return rows;
}

std::vector<float> transparent(const GgufTensor& tensor, Half half) {
  const std::string_view name = tensor.name;
  std::vector<float> values(static_cast<size_t>(tensor.shape.count()));
  std::memcpy(values.data(), tensor.data, tensor.bytes);
  if (name.ends_with("attn_output.weight") || name.contains("ffn_down")) {
    std::ranges::fill(values, 0.0F);
  } else if (name.ends_with("norm.weight")) {
    std::ranges::fill(values, 1.0F);
  } else if (name.ends_with("eh_proj.weight")) {
    std::ranges::fill(values, 0.0F);
    const auto dim = static_cast<size_t>(tensor.shape[0]);
    const size_t shift = half == Half::kState ? dim : 0;
    for (size_t i = 0; i < dim; ++i) values[i * 2 * dim + shift + i] = 1.0F;
  }
  return values;
}

std::string transparent_model(Half half) {
  const std::string path = temporary_file(half == Half::kState ? "state.gguf" : "embedding.gguf");
  const auto from =
      GgufFile::open(std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/deepseek-v3-mtp.gguf");
  auto writer = GgufWriter::create(path);
  EXPECT_TRUE(from && writer);
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, Shape> shapes;
  for (const GgufTensor& tensor : from->tensors()) {
    values[std::string(tensor.name)] = transparent(tensor, half);
    shapes[std::string(tensor.name)] = tensor.shape;
  }
  const GgufTensor& embedding = *from->find("token_embd.weight");
  for (const auto& [name, behind] :
       {std::pair("output.weight", 1),
        std::pair("blk.2.nextn.shared_head_head.weight", half == Half::kState ? 2 : 1)}) {
    values[name] = head_rows(embedding, behind);
    shapes[name] = embedding.shape;
  }
  for (const GgufEntry& entry : from->metadata()) writer->set_value(entry.key, entry.value);
  for (const auto& [name, shape] : shapes) writer->add_tensor(name, QuantType::kF32, shape);
  EXPECT_TRUE(writer->begin_data());
  for (const auto& [name, rows] : values) {
    EXPECT_TRUE(writer->write(std::as_bytes(std::span(rows))));
  }
  EXPECT_TRUE(writer->finish());
  return path;
}

// All guesses are right, and only if the layer reads the right token or state.
void expect_all_right(Half half, int64_t draft_tokens) {
  const std::string path = transparent_model(half);
  for (const double temperature : {0.0, 0.6}) {
    for (const int64_t chunk : {512, 7}) {
      Rig rig(path, {.prefill_chunk = chunk, .mtp = true, .draft_tokens = draft_tokens});
      const Ask ask = {
          .prompt = prompt_of(rig, 100, 1), .temperature = temperature, .speculate = true};
      const Outcome fresh = run(rig, ask);
      for (size_t i = 1; i < fresh.tokens.size(); ++i) {
        ASSERT_EQ(fresh.tokens[i], after(fresh.tokens[i - 1]));
      }
      EXPECT_GE(fresh.usage.drafted_tokens, 19);
      EXPECT_EQ(fresh.usage.accepted_tokens, fresh.usage.drafted_tokens);
      // Up to where the cache ends, and from the middle of a cached page.
      Ask longer = ask;
      longer.prompt.insert(longer.prompt.end(), fresh.tokens.begin(), fresh.tokens.end());
      for (const size_t size : {140, 128, 90}) {
        longer.prompt.resize(size);
        const Usage usage = run(rig, longer).usage;
        EXPECT_GT(usage.cached_tokens, 80);
        EXPECT_EQ(usage.accepted_tokens, usage.drafted_tokens) << size;
      }
      std::vector<std::future<Outcome>> all;
      for (unsigned i = 0; i < 5; ++i) {
        all.push_back(submit(rig, {.prompt = prompt_of(rig, 60 + i, i), .speculate = true}));
      }
      for (auto& one : all) {
        const Usage usage = one.get().usage;
        EXPECT_EQ(usage.accepted_tokens, usage.drafted_tokens);
      }
    }
  }
  std::filesystem::remove(path);
}

// The layer's first guesses behind every prefix of a text, from a pass over all of it at once.
std::vector<int32_t> guesses_at_once(Ops& ops, Model& model, const std::vector<int32_t>& tokens,
                                     const SamplerOptions& sampling) {
  KvStore kv = KvStore::create(model.kv_spec(KvDtype::kBF16), 4).value();
  const std::vector<int32_t> pages = {2, 0, 3, 1};
  Batch batch;
  batch.tokens = tokens;
  batch.sequences.push_back({.row_count = std::ssize(tokens), .pages = pages});
  for (int32_t i = 0; i < std::ssize(tokens); ++i) {
    batch.positions.push_back(i);
    batch.logit_rows.push_back(i);
  }
  const Tensor states = model.forward_with_states(ops, batch, kv).states;
  const Tensor previous = ops.empty({states.rows(), states.dim()});
  std::copy_n(states.row(0), states.dim(), previous.row(0));
  std::copy_n(states.row(0), (states.rows() - 1) * states.dim(), previous.row(1));
  const Tensor logits = model.predict_further(ops, batch, previous, kv).logits;
  Sampler sampler;
  std::vector<int32_t> guesses;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const std::span row(logits.row(static_cast<int64_t>(i)), static_cast<size_t>(logits.dim()));
    guesses.push_back(sampler.sample(row, std::span(tokens).first(i + 1), sampling).value());
  }
  return guesses;
}

TEST(MtpDrafter, GuessesTheSameHoweverTheTextWasRead) {
  const auto file =
      GgufFile::open(std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/deepseek-v3-mtp.gguf");
  const auto ops = CpuOps::create(1).value();
  const auto model = load_model(*file, *ops, {}, {.mtp = true}).value();
  std::vector<int32_t> tokens(150);
  std::mt19937 random(3);
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % kVocab);
  const SamplerOptions sampling = {.temperature = 0.9, .seed = 4};
  const std::vector<int32_t> want = guesses_at_once(*ops, *model, tokens, sampling);
  const std::vector<int32_t> pages = {1, 4, 0};
  for (const size_t chunk : {1, 7, 64, 149}) {
    ModelRunner runner(*ops, *model, KvStore::create(model->kv_spec(KvDtype::kBF16), 5).value(),
                       {});
    DraftModel& drafter = *runner.draft_model();
    size_t right = 0;
    size_t asked = 0;
    for (size_t at = 0; at + chunk < tokens.size(); at += chunk) {
      Batch batch;
      batch.tokens.assign(tokens.begin() + static_cast<long>(at),
                          tokens.begin() + static_cast<long>(at + chunk));
      for (size_t i = 0; i < chunk; ++i) batch.positions.push_back(static_cast<int32_t>(at + i));
      batch.sequences.push_back({.row_count = static_cast<int64_t>(chunk),
                                 .first_position = static_cast<int64_t>(at),
                                 .pages = pages});
      ASSERT_TRUE(runner.run(batch));
      const size_t size = at + chunk + 1;
      drafter.settle(pages, static_cast<int64_t>(size) - 1);
      // Guesses of a step are void in the next: three of them must leave nothing behind.
      std::vector<DraftRequest> requests = {{.tokens = std::span(tokens).first(size),
                                             .pages = pages,
                                             .sampling = sampling,
                                             .count = 3}};
      if (size + 3 > 3 * kKvPageTokens) break;
      drafter.draft(requests);
      ASSERT_EQ(requests[0].guesses.size(), 3u);
      ++asked;
      right += requests[0].guesses[0] == want[size - 1];
    }
    EXPECT_GT(asked, 0u);
    EXPECT_EQ(right, asked) << "chunks of " << chunk;
  }
}

TEST(MtpDrafter, ReadsTheLastTokenAndItsOwnGuesses) { expect_all_right(Half::kEmbedding, 3); }

TEST(MtpDrafter, ReadsTheStateBeforeTheLastToken) { expect_all_right(Half::kState, 1); }

}  // namespace
}  // namespace minke
