#include "cli/bench_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <utility>

#include "core/random.h"

namespace minke::cli {

namespace {

using Clock = std::chrono::steady_clock;
using Kind = BenchRow::Kind;
using enum SpeculateWith;

constexpr std::array<BenchRow, 14> kRows = {
    {{"prefill-128", Kind::kPrefill, 128, 1},
     {"prefill-512", Kind::kPrefill, 512, 1},
     {"prefill-4096", Kind::kPrefill, 4096, 1},
     {"decode", Kind::kDecode, 4, 1},
     {"decode-at-4096", Kind::kDecode, 4096, 1},
     {"decode-at-16000", Kind::kDecode, 16000, 1},
     {"batch-8", Kind::kDecode, 4, 8},
     {"batch-32", Kind::kDecode, 4, 32},
     {"speculate-repeat", Kind::kSpeculate, 0, 1},
     {"speculate-new", Kind::kSpeculate, 0, 1},
     {"draft-story", Kind::kSpeculate, 0, 1, kModel, 0},
     {"draft-story-0.6", Kind::kSpeculate, 0, 1, kModel, 0.6},
     {"draft-code", Kind::kSpeculate, 0, 1, kModel, 0},
     {"draft-code-0.6", Kind::kSpeculate, 0, 1, kModel, 0.6}}};

// A row of answers is measured for about this long, and for at least so many tokens a sequence.
constexpr double kDecodeSeconds = 4;
constexpr size_t kDecodeTokensMin = 16;
constexpr int64_t kDecodeTokensMax = 128;
constexpr double kPrefillSeconds = 1.5;

std::vector<int32_t> random_prompt(const LocalEngine& engine, int64_t tokens, uint64_t stream) {
  // Ids of ordinary text: the special ones lie at the end of a vocabulary.
  const auto usable =
      static_cast<double>(std::max<int64_t>(1, engine.config().vocab_size * 9 / 10));
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(uniform(0x6d696e6b65, stream, i) * usable);
  }
  return ids;
}

LoopRequest plain_request(std::vector<int32_t> prompt, int64_t tokens_max) {
  LoopRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0;
  request.sampling.speculate = false;
  request.sampling.tokens_max = tokens_max;
  request.ignore_end = true;
  return request;
}

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// When each token of one sequence came. Written by the engine's thread until `done` is set, by
// which it is shared: the engine may still be about to leave set_value when the row is over.
struct Track {
  std::vector<Clock::time_point> times;
  std::shared_ptr<std::promise<Result<Completion>>> done =
      std::make_shared<std::promise<Result<Completion>>>();
};

Result<std::vector<std::unique_ptr<Track>>> run_together(LocalEngine& engine, const BenchRow& row,
                                                         uint64_t round) {
  const bool keeps_prompt = row.prompt_tokens >= 64;
  std::vector<std::unique_ptr<Track>> tracks;
  for (int64_t s = 0; s < row.sequences; ++s) {
    // A long prompt is the same in every round, so that only its first reading takes time.
    const uint64_t stream = keeps_prompt
                                ? static_cast<uint64_t>(row.prompt_tokens)
                                : (round << 16) + static_cast<uint64_t>(s + row.sequences * 1000);
    LoopRequest request =
        plain_request(random_prompt(engine, row.prompt_tokens, stream), kDecodeTokensMax);
    Track* track = tracks.emplace_back(std::make_unique<Track>()).get();
    request.stream = static_cast<uint64_t>(s);
    request.on_token = [track](const TokenEvent&) {
      track->times.push_back(Clock::now());
      const bool long_enough =
          track->times.size() > kDecodeTokensMin &&
          seconds_between(track->times.front(), track->times.back()) > kDecodeSeconds;
      return long_enough ? TokenVerdict::kCancel : TokenVerdict::kContinue;
    };
    request.on_done = [done = track->done](Result<Completion> result) {
      done->set_value(std::move(result));
    };
    engine.submit(std::move(request));
  }
  Status status;
  for (const auto& track : tracks) {
    Result<Completion> result = track->done->get_future().get();
    if (!result && status) status = std::unexpected(std::move(result).error());
  }
  if (!status) return std::unexpected(std::move(status).error());
  return tracks;
}

constexpr std::string_view kRepeatTask =
    "Repeat the following program exactly as it stands, with every line of it, and write nothing "
    "else.\n\n";
constexpr std::string_view kNewTask = "Tell a long story about a lighthouse keeper and the sea.";
constexpr std::string_view kCodeTask =
    "Write a Python class for a binary search tree with insert, delete, find, an iterator and "
    "tests.";

std::string program_to_repeat() {
  std::string out = "```python\n";
  for (int i = 1; i <= 40; ++i) {
    out += fmt::format(
        "def step_{0}(values, scale={0}):\n    total = sum(v * scale for v in values)\n"
        "    print(f'step {0}: {{total}}')\n    return total + {1}\n\n",
        i, i * 37 % 101);
  }
  return out + "```";
}

struct SpeculationTask {
  std::string prompt;
  int64_t tokens_max = 0;
};
SpeculationTask task_of(const BenchRow& row) {
  if (row.name == "speculate-repeat") {
    return {std::string(kRepeatTask) + program_to_repeat(), 384};
  }
  return {std::string(row.name.starts_with("draft-code") ? kCodeTask : kNewTask), 128};
}

struct OneSpeculation {
  double tokens_per_s = 0;
  int64_t drafted = 0, accepted = 0;
  std::vector<int32_t> tokens;
};
Result<OneSpeculation> run_speculation(LocalEngine& engine, const BenchRow& row, bool speculate) {
  const SpeculationTask task = task_of(row);
  SamplingOptions sampling = engine.default_sampling();
  sampling.temperature = row.temperature;
  sampling.seed = 1;
  sampling.tokens_max = task.tokens_max;
  sampling.speculate = speculate;
  sampling.speculate_with = row.with;
  MINKE_ASSIGN(Answer answer, engine.chat({{"user", task.prompt, ""}}, sampling, {}));
  if (answer.usage.answer_tokens < 8) {
    return fail(
        "the model ends its answer after a few tokens, so there is nothing to speculate on: these "
        "rows need a model that was taught to answer, not random weights");
  }
  return OneSpeculation{
      static_cast<double>(answer.usage.answer_tokens - 1) / answer.usage.answer_seconds,
      answer.usage.drafted_tokens, answer.usage.accepted_tokens, std::move(answer.tokens)};
}

}  // namespace

std::span<const BenchRow> bench_rows() { return kRows; }
int64_t bench_answer_tokens() { return kDecodeTokensMax; }

Result<Speed> measure_prefill(LocalEngine& engine, const BenchRow& row, uint64_t round) {
  double seconds = 0;
  int64_t tokens = 0;
  for (uint64_t repeat = 0; seconds < kPrefillSeconds; ++repeat) {
    // The last round's prompt of a long row is the one that decode-at-N finds in the cache.
    const uint64_t stream = repeat == 0 && round == 0 ? static_cast<uint64_t>(row.prompt_tokens)
                                                      : (round << 32) + (repeat << 16) + 77;
    const auto started = Clock::now();
    Clock::time_point first;
    LoopRequest request = plain_request(random_prompt(engine, row.prompt_tokens, stream), 1);
    request.on_token = [&first](const TokenEvent&) {
      first = Clock::now();
      return TokenVerdict::kContinue;
    };
    MINKE_ASSIGN(const Completion completion, engine.run(std::move(request)));
    seconds += seconds_between(started, first);
    tokens += row.prompt_tokens - completion.usage.cached_tokens;
  }
  return Speed{static_cast<double>(tokens) / seconds, 0};
}

Result<Speed> measure_decode(LocalEngine& engine, const BenchRow& row, uint64_t round) {
  MINKE_ASSIGN(const auto tracks, run_together(engine, row, round));
  // Only the time in which every sequence was writing counts.
  Clock::time_point begin = tracks[0]->times.front();
  Clock::time_point end = tracks[0]->times.back();
  for (const auto& track : tracks) {
    begin = std::max(begin, track->times.front());
    end = std::min(end, track->times.back());
  }
  int64_t tokens = 0;
  for (const auto& track : tracks) {
    tokens += std::ranges::count_if(track->times,
                                    [&](Clock::time_point t) { return t > begin && t <= end; });
  }
  const double seconds = seconds_between(begin, end);
  if (tokens == 0 || seconds <= 0) {
    return fail(
        fmt::format("{}: the sequences never ran together; is --memory too small?", row.name));
  }
  const double mean_tokens = static_cast<double>(tokens) / static_cast<double>(row.sequences);
  return Speed{static_cast<double>(tokens) / seconds,
               static_cast<double>(row.prompt_tokens) + mean_tokens / 2};
}

Result<SpeculationSpeed> measure_speculation(LocalEngine& engine, const BenchRow& row) {
  if (row.with == kModel && engine.draft_kind() == DraftKind::kNone) {
    return misuse(
        fmt::format("{} needs a model that guesses: a smaller one with --draft-model, or a file "
                    "with an MTP layer, as DeepSeek V3 and R1 have",
                    row.name));
  }
  // The first answer reads the prompt and warms up; then in turn, A B A B.
  MINKE_TRY(run_speculation(engine, row, true));
  SpeculationSpeed out;
  for (int turn = 0; turn < 2; ++turn) {
    MINKE_ASSIGN(const OneSpeculation plain, run_speculation(engine, row, false));
    MINKE_ASSIGN(const OneSpeculation with, run_speculation(engine, row, true));
    if (plain.tokens != with.tokens) {
      return fail(
          fmt::format("{}: the answers with and without speculation differ; this is a bug "
                      "of minke",
                      row.name));
    }
    out.plain_tokens_per_s += plain.tokens_per_s / 2;
    out.tokens_per_s += with.tokens_per_s / 2;
    out.drafted += with.drafted;
    out.accepted += with.accepted;
  }
  return out;
}

Limit row_limit(const BenchRow& row, const ModelCost& cost, const Speed& speed, int64_t chunk,
                const Peaks& peaks) {
  const bool prefill = row.kind == BenchRow::Kind::kPrefill;
  const Work work = prefill ? prefill_work(cost, row.prompt_tokens, chunk)
                            : decode_work(cost, row.sequences, speed.mean_context);
  Limit limit = least_time(work, peaks);
  limit.seconds /= static_cast<double>(prefill ? row.prompt_tokens : row.sequences);
  return limit;
}

}  // namespace minke::cli
