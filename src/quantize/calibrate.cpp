#include "quantize/calibrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "core/system_limits.h"
#include "kernels/kv_store.h"
#include "models/gguf_tokenizer.h"
#include "models/registry.h"
#include "ops/cpu_ops.h"
#include "quantize/input_collector.h"
#include "text/tokenizer.h"

namespace minke {
namespace {

// The output matrix is the largest of all in small models, and its inputs are much alike.
constexpr int64_t kOutputEvery = 8;

// Beside the weights: activations, the cache of a window, sums.
constexpr uint64_t kWorkBytes = uint64_t{768} << 20;

// Where all weights do not fit `budget` but those that every token uses do: a cache for the
// experts, which stay in the file. Null where all fits.
Result<std::unique_ptr<ExpertStore>> experts_for(const GgufFile& file, uint64_t budget) {
  MINKE_ASSIGN(const PackedSize size, packed_size(file));
  if (size.all() + kWorkBytes <= budget) return nullptr;
  MINKE_ASSIGN(const ModelConfig config, read_config(file));
  const uint64_t fixed = size.resident + kWorkBytes + ExpertStore::scratch_bytes(size.piece_bytes);
  const int64_t slots = size.experts == 0 || file.is_assembled() || budget <= fixed
                            ? 0
                            : std::min(static_cast<int64_t>((budget - fixed) / size.expert_bytes),
                                       size.experts_count);
  if (slots == 0 || slots < 2 * config.mixture.route.used) {
    constexpr double kGiB = 1 << 30;
    return fail(fmt::format(
        "{}: measuring takes {:.1f} GiB for weights and {:.1f} GiB to work in, and there are "
        "{:.1f} "
        "GiB; a file of the same model in fewer bits (Q8_0, Q4_K_M) measures nearly the same",
        file.path(), static_cast<double>(size.all()) / kGiB, static_cast<double>(kWorkBytes) / kGiB,
        static_cast<double>(budget) / kGiB));
  }
  return ExpertStore::create(
      {.slots = slots, .slot_bytes = size.expert_bytes, .piece_bytes = size.piece_bytes});
}

// One window at the start of a sequence.
Batch window_batch(std::vector<int32_t> tokens, std::span<const int32_t> pages) {
  Batch batch;
  const auto rows = std::ssize(tokens);
  batch.tokens = std::move(tokens);
  batch.positions.resize(static_cast<size_t>(rows));
  std::iota(batch.positions.begin(), batch.positions.end(), 0);
  batch.sequences.push_back({.row_count = rows, .pages = pages});
  for (int64_t row = kOutputEvery - 1; row < rows; row += kOutputEvery) {
    batch.logit_rows.push_back(static_cast<int32_t>(row));
  }
  return batch;
}

int64_t count_unseen(const std::map<std::string, InputSums>& sums) {
  int64_t unseen = 0;
  for (const auto& [name, one] : sums) unseen += std::ranges::count(one.counts, 0);
  return unseen;
}

}  // namespace

Result<Calibration> calibrate(
    const GgufFile& file, std::string_view text, const CalibrateOptions& options,
    const std::function<bool(std::string_view what, double done)>& progress) {
  MINKE_ASSIGN(const std::unique_ptr<Tokenizer> tokenizer, load_tokenizer(file));
  const std::vector<int32_t> ids = tokenizer->encode_with_bos(text, SpecialText::kAsText);
  const std::vector<int32_t> nothing = tokenizer->encode_with_bos("", SpecialText::kAsText);
  const int64_t window = options.window_tokens;
  int64_t windows = std::ssize(ids) / window;
  if (windows == 0) {
    return misuse(
        fmt::format("the text has {} tokens, and one window of {} is the least that can "
                    "be measured; give a longer text or a smaller --ctx",
                    ids.size(), window));
  }
  if (options.windows_max > 0) windows = std::min(windows, options.windows_max);

  const uint64_t budget = options.memory_bytes > 0
                              ? options.memory_bytes
                              : static_cast<uint64_t>(available_memory_bytes());
  MINKE_ASSIGN(const std::unique_ptr<ExpertStore> experts, experts_for(file, budget));
  MINKE_ASSIGN(const std::unique_ptr<CpuOps> ops, CpuOps::create(options.threads));
  const auto loading = [&](double done) { return progress("loading the model", done); };
  MINKE_ASSIGN(const std::unique_ptr<Model> model,
               load_model(file, *ops, loading, {.experts = experts.get()}));
  std::vector<int32_t> pages(static_cast<size_t>((window + kKvPageTokens - 1) / kKvPageTokens));
  std::iota(pages.begin(), pages.end(), 0);
  MINKE_ASSIGN(KvStore kv,
               KvStore::create(model->kv_spec(KvDtype::kBF16), static_cast<int32_t>(pages.size())));
  Calibration result;
  InputCollector collector(*ops);
  for (; result.windows < windows; ++result.windows) {
    const auto begin = ids.begin() + result.windows * window;
    std::vector<int32_t> tokens(begin, begin + window);
    if (!nothing.empty()) tokens[0] = nothing[0];
    const Batch batch = window_batch(std::move(tokens), pages);
    (void)collector.run_step(batch, [&] { return model->forward(collector, batch, kv); });
    MINKE_TRY(file.check_intact());
    if (experts) {
      if (auto fault = experts->take_fault()) return std::unexpected(*std::move(fault));
    }
    const double done = static_cast<double>(result.windows + 1) / static_cast<double>(windows);
    if (!progress("measuring", done)) return fail("the measuring was stopped");
  }
  result.unseen = count_unseen(collector.sums());
  result.sums = collector.sums();
  return result;
}

}  // namespace minke
