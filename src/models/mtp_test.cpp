// The layer that predicts further (models/mtp_layer.h): against its own golden files, which
// tests/golden/make_tiny_mtp.py makes in PyTorch, and against itself under every way of cutting the
// work.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/forward_testing.h"
#include "models/mtp_layer.h"
#include "models/synth.h"

namespace minke {
namespace {

const std::string kGolden = std::string(MINKE_SOURCE_DIR) + "/tests/golden/";

// A model with its layer, and both of their logits for a list of tokens.
class MtpModel : public ForwardModel {
 public:
  explicit MtpModel(const std::string& path, int threads = 1,
                    const Kernels& kernels = *available_kernels().back())
      : ForwardModel(path, kernels, threads, KvDtype::kBF16, {.mtp = true}) {}

  struct Outcome {
    std::vector<float> logits, further;  // [tokens, vocab]
    std::vector<float> last_state;       // of the layer, [dim]
  };
  // The tokens in pieces of `chunk`, the layer behind each.
  Outcome in_chunks(const std::vector<int32_t>& tokens, size_t chunk,
                    const std::vector<int32_t>& pages) {
    Outcome out;
    std::vector<float> before;  // the state before the chunk
    for (size_t at = 0; at < tokens.size(); at += chunk) {
      const Batch batch = batch_of(tokens, at, std::min(tokens.size(), at + chunk), pages);
      const StatesAndLogits made = model().forward_with_states(ops(), batch, kv());
      append(made.logits, out.logits);
      const int64_t dim = made.states.dim();
      const int64_t rows = made.states.rows();
      const Tensor previous = ops().empty({rows, dim});
      std::copy_n(before.empty() ? made.states.row(0) : before.data(), dim, previous.row(0));
      if (rows > 1) std::copy_n(made.states.row(0), (rows - 1) * dim, previous.row(1));
      before.assign(made.states.row(rows - 1), made.states.row(rows - 1) + dim);
      const StatesAndLogits further = model().predict_further(ops(), batch, previous, kv());
      append(further.logits, out.further);
      out.last_state.assign(further.states.row(rows - 1), further.states.row(rows - 1) + dim);
    }
    return out;
  }
  // One row of the layer behind what the cache has.
  std::vector<float> further(int32_t token, size_t position, std::vector<float>& state,
                             const std::vector<int32_t>& pages) {
    std::vector<int32_t> tokens(position + 1, token);
    const Batch batch = batch_of(tokens, position, position + 1, pages);
    const Tensor previous = ops().empty({1, std::ssize(state)});
    std::ranges::copy(state, previous.f32());
    const StatesAndLogits made = model().predict_further(ops(), batch, previous, kv());
    state.assign(made.states.values().begin(), made.states.values().end());
    return {made.logits.values().begin(), made.logits.values().end()};
  }

 private:
  static Batch batch_of(const std::vector<int32_t>& tokens, size_t begin, size_t end,
                        const std::vector<int32_t>& pages) {
    Batch batch;
    batch.sequences.push_back({.first_row = 0,
                               .row_count = static_cast<int64_t>(end - begin),
                               .first_position = static_cast<int64_t>(begin),
                               .pages = pages});
    for (size_t i = begin; i < end; ++i) {
      batch.logit_rows.push_back(static_cast<int32_t>(i - begin));
      batch.tokens.push_back(tokens[i]);
      batch.positions.push_back(static_cast<int32_t>(i));
    }
    return batch;
  }
  static void append(const Tensor& from, std::vector<float>& to) {
    to.insert(to.end(), from.values().begin(), from.values().end());
  }
};

void expect_near(std::span<const float> got, const std::vector<double>& want, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  double squares = 0;
  double errors = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    errors += std::pow(static_cast<double>(got[i]) - want[i], 2);
    squares += want[i] * want[i];
  }
  EXPECT_LT(std::sqrt(errors / squares), tolerance) << what;
}

// As golden_test.cpp has it: keys in bf16, and in the folder activations as well; a block more, so
// that errors have grown to 2% and 4%. A part in the wrong place shows as 30% and more.
void expect_golden(const std::string& path, const std::string& golden_path, double tolerance) {
  std::ifstream file(golden_path);
  ASSERT_TRUE(file.good()) << golden_path;
  const nlohmann::json golden = nlohmann::json::parse(file);
  const auto ids = golden["ids"].get<std::vector<int32_t>>();
  const auto positions = golden["positions"].get<std::vector<size_t>>();
  const auto guesses = golden["guesses"].get<std::vector<int32_t>>();
  MtpModel model(path, 2);
  const std::vector<int32_t> pages = {1, 0, 2};
  MtpModel::Outcome got = model.in_chunks(ids, 50, pages);
  const auto vocab = static_cast<size_t>(model.vocab());
  for (size_t i = 0; i < positions.size(); ++i) {
    expect_near(std::span(got.further).subspan(positions[i] * vocab, vocab),
                golden["logits"][i].get<std::vector<double>>(), tolerance,
                "position " + std::to_string(positions[i]));
  }
  for (size_t i = 0; i < guesses.size(); ++i) {
    const std::vector<float> logits =
        model.further(guesses[i], ids.size() + i, got.last_state, pages);
    expect_near(logits, golden["logits"][positions.size() + i].get<std::vector<double>>(),
                tolerance, "guess " + std::to_string(i));
  }
}

TEST(Mtp, LogitsMatchThePaperInPyTorch) {
  expect_golden(kGolden + "tiny/deepseek-v3-mtp.gguf", kGolden + "tiny/deepseek-v3-mtp.json",
                0.025);
}

TEST(Mtp, LogitsOfAFolderMatch) {
  expect_golden(kGolden + "hf/deepseek-v3-mtp", kGolden + "hf/deepseek-v3-mtp/golden.json", 0.05);
}

TEST(Mtp, AFileLoadsWithItAndWithoutAndTheModelIsTheSame) {
  const std::string path = kGolden + "tiny/deepseek-v3-mtp.gguf";
  ForwardModel without(path, *available_kernels().back(), 1);
  MtpModel with(path);
  EXPECT_FALSE(without.model().config().mtp.present);
  EXPECT_TRUE(with.model().config().mtp.present);
  EXPECT_EQ(without.model().config().layers, 2);
  EXPECT_EQ(with.kv().spec().layers, 3);
  EXPECT_EQ(without.kv().spec().layers, 2);
  EXPECT_GT(with.model().weight_bytes(), without.model().weight_bytes());
  const std::vector<int32_t> tokens = some_tokens(70, with.vocab(), 3);
  expect_same(with.in_chunks(tokens, 70, {4, 2}).logits, without.in_chunks(tokens, 70, {4, 2}),
              "with the layer");
}

TEST(Mtp, ARowsBitsAreItsOwn) {
  const std::string path = temporary_file("mtp.gguf");
  const Status written = write_synth({.shape = "tiny-deepseek-v3", .quant = "Q4_0"}, path, {});
  ASSERT_TRUE(written) << written.error().message;
  MtpModel model(path);
  const std::vector<int32_t> tokens = some_tokens(140, model.vocab(), 1);
  const MtpModel::Outcome want = model.in_chunks(tokens, tokens.size(), {5, 2, 9});
  for (const float value : want.further) ASSERT_TRUE(std::isfinite(value));
  expect_same(model.in_chunks(tokens, 1, {3, 4, 6}).further, want.further, "one at a time");
  expect_same(model.in_chunks(tokens, 37, {7, 8, 1}).further, want.further, "chunks of 37");
  MtpModel threads(path, 3);
  expect_same(threads.in_chunks(tokens, 64, {5, 2, 9}).further, want.further, "3 threads");
  for (const Kernels* set : available_kernels()) {
    MtpModel other(path, 2, *set);
    expect_same(other.in_chunks(tokens, tokens.size(), {5, 2, 9}).further, want.further, set->name);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace minke
