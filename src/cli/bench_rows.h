// The measurements of minke bench: how fast a loaded model reads prompts and writes answers.
// Called from one thread; nothing else may use the engine meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/roofline.h"
#include "core/result.h"
#include "engine/local_engine.h"

namespace minke::cli {

struct BenchRow {
  std::string_view name;
  enum class Kind : uint8_t { kPrefill, kDecode, kSpeculate } kind;
  int64_t prompt_tokens;  // read before the first answer token
  int64_t sequences;
  // Of kSpeculate.
  SpeculateWith with = SpeculateWith::kAny;
  double temperature = 0;
};
std::span<const BenchRow> bench_rows();
// The longest answer of a row.
int64_t bench_answer_tokens();

struct Speed {
  double tokens_per_s = 0;
  // Of context that the tokens which were counted had behind them, on average.
  double mean_context = 0;
};
// `round` makes prompts differ from those of earlier rounds, so that no cache knows them.
Result<Speed> measure_prefill(LocalEngine& engine, const BenchRow& row, uint64_t round);
Result<Speed> measure_decode(LocalEngine& engine, const BenchRow& row, uint64_t round);

struct SpeculationSpeed {
  double tokens_per_s = 0;
  double plain_tokens_per_s = 0;
  int64_t drafted = 0, accepted = 0;
};
// An answer that repeats the prompt, or one that does not: with and without speculation, in turn.
// Fails when the two answers are not the same.
Result<SpeculationSpeed> measure_speculation(LocalEngine& engine, const BenchRow& row);

// The least time for the tokens of a row, a token.
Limit row_limit(const BenchRow& row, const ModelCost& cost, const Speed& speed, int64_t chunk,
                const Peaks& peaks);

}  // namespace minke::cli
