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

Status check_memory(const GgufFile& file) {
  MINKE_ASSIGN(const uint64_t needed, packed_weight_bytes(file));
  const int64_t free_bytes = available_memory_bytes();
  if (needed <= static_cast<uint64_t>(std::max<int64_t>(free_bytes, 0))) return {};
  constexpr double kGiB = 1 << 30;
  return fail(fmt::format(
      "{}: the weights take {:.1f} GiB and {:.1f} GiB of memory are free; a file of the same model "
      "in fewer bits (Q8_0, Q4_K_M) measures nearly the same",
      file.path(), static_cast<double>(needed) / kGiB, static_cast<double>(free_bytes) / kGiB));
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
  MINKE_TRY(check_memory(file));
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

  MINKE_ASSIGN(const std::unique_ptr<CpuOps> ops, CpuOps::create(options.threads));
  MINKE_ASSIGN(const std::unique_ptr<Model> model, load_model(file, *ops, [&](double done) {
                 return progress("loading the model", done);
               }));
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
    const double done = static_cast<double>(result.windows + 1) / static_cast<double>(windows);
    if (!progress("measuring", done)) return fail("the measuring was stopped");
  }
  result.unseen = count_unseen(collector.sums());
  result.sums = collector.sums();
  return result;
}

}  // namespace minke
