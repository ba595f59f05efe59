// minke bench MODEL: how fast a model runs, beside what the machine allows (docs/cli.md).

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/bench_rows.h"
#include "cli/command.h"
#include "cli/expert_traffic.h"
#include "cli/json_text.h"
#include "cli/machine.h"
#include "cli/scoring.h"
#include "cli/text_util.h"
#include "core/thread_pool.h"
#include "io/catalogue.h"
#include "kernels/kernels.h"
#include "models/hf_folder.h"
#include "models/model_info.h"
#include "models/registry.h"

namespace minke::cli {

namespace {

using Json = nlohmann::ordered_json;

// Longest prompt of a row, and the answer behind it.
constexpr int64_t kContextWanted = 4096 + 256;
constexpr double kPeaksMayMove = 0.1;
constexpr int kAttemptsMax = 3;

int64_t context_of(const BenchRow& row) { return row.prompt_tokens + bench_answer_tokens(); }

struct RowResult {
  const BenchRow* row = nullptr;
  Speed speed;
  MachinePeaks peaks;
  double change = 0;       // of the peaks while it was measured
  bool has_limit = false;  // the machine's, for rows that it bounds; a GPU's are not known
  Limit limit;             // a token
  std::optional<SpeculationSpeed> speculation;
  // Of a model larger than memory: its experts' way from the disk, and what the disk gave to a
  // plain reader before and after.
  std::optional<ExpertTraffic> traffic;
  double disk_bytes_per_s = 0;
  bool disk_bound = false;

  double limit_tokens_per_s() const { return 1 / limit.seconds; }
  double share() const { return speed.tokens_per_s * limit.seconds; }
};

class Bench : public Command {
 public:
  CommandText text() const override {
    std::string rows;
    for (const BenchRow& row : bench_rows()) {
      rows += fmt::format("{}{}", rows.empty() ? "" : ", ", row.name);
    }
    return {.name = "bench",
            .summary = "Measure a model's speed beside what the machine allows",
            .description = fmt::format(
                "Measures how fast a model reads prompts and writes answers, and with each row how "
                "fast the machine reads memory and multiplies at that moment. The share is of the "
                "physical limit: the larger of bytes over bandwidth and operations over peak. "
                "Rows: {}; decode-at-16000 and those of speculation only when they are chosen, and "
                "those of drafts only where a model guesses.",
                rows),
            .examples = {{"minke bench model.gguf", "every row, as a table"},
                         {"minke bench model.gguf --rows decode,prefill-512 --json",
                          "two rows, for programs"},
                         {"minke bench --peaks", "the machine alone"}}};
  }

  void declare(OptionList* options) override {
    options->positional("MODEL", ValueKind::kModel, kModelWords, &model_).default_text =
        kDefaultModelWords;
    options->text("--rows", "NAMES", "The rows to measure, with commas between them", &rows_)
        .default_text = "all but decode-at-16000 and those of speculation";
    options->flag("--peaks", "Measure the machine alone, without a model", &peaks_only_);
    options->flag("--json", "Print {\"machine\", \"rows\", \"load_s\", \"peak_memory_bytes\"}",
                  &json_);
    engine_flags_.declare(options);
    options->describe(
        "--ctx", "Tokens of context",
        fmt::format("{} or what the rows need, and at most the model's", kContextWanted));
  }

  Status run(Console* console) override {
    MINKE_ASSIGN(const Kernels* kernels, select_kernels());
    isa_ = kernels->name;
    threads_ = static_cast<int>(engine_flags_.threads.value_or(available_processors()));
    if (peaks_only_) {
      if (model_ || rows_)
        return misuse("--peaks measures the machine alone: leave out MODEL and --rows");
      ThreadPool pool(threads_);
      const MachinePeaks peaks = measure_peaks(pool, isa_);
      console->out(json_ ? json_line({{"machine", machine_json(peaks)}}) : machine_words(peaks));
      return {};
    }
    MINKE_ASSIGN(std::vector<const BenchRow*> rows, chosen_rows());
    MINKE_ASSIGN(const std::string path, model_path(model_));
    MINKE_ASSIGN(const GgufFile file, open_checkpoint(path));
    file_path_ = file.path();
    MINKE_ASSIGN(const ModelConfig config, read_config(file));
    MINKE_TRY(fit_context(config, &rows, console));
    const auto started = std::chrono::steady_clock::now();
    MINKE_ASSIGN(const auto engine, load_local_engine(engine_flags_, path, console));
    load_s_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    cost_ = model_cost(file, config, engine->memory().kv_token_bytes,
                       engine_flags_.engine_options(path).kv);
    MINKE_ASSIGN(const std::vector<RowResult> results, measure_rows(*engine, rows, console));
    if (json_) {
      console->out(json_line(as_json(results)));
    } else {
      print_table(*engine, file, results, console);
    }
    return {};
  }

 private:
  Result<std::vector<const BenchRow*>> chosen_rows() const {
    std::vector<const BenchRow*> rows;
    std::vector<std::string> names;
    for (const BenchRow& row : bench_rows()) {
      names.emplace_back(row.name);
      const bool takes_minutes = context_of(row) > kContextWanted;
      if (!takes_minutes && row.kind != BenchRow::Kind::kSpeculate) rows.push_back(&row);
    }
    if (!rows_) return rows;
    rows.clear();
    for (size_t begin = 0; begin <= rows_->size();) {
      const size_t end = std::min(rows_->find(',', begin), rows_->size());
      const std::string name = rows_->substr(begin, end - begin);
      const auto found = std::ranges::find(bench_rows(), name, &BenchRow::name);
      if (found == bench_rows().end()) {
        const std::vector<std::string> near = nearest_names(name, names);
        return misuse(fmt::format("--rows: there is no row '{}'; {}", printable(name),
                                  near.empty() ? "--help has their names"
                                               : fmt::format("did you mean {}?", near.front())));
      }
      rows.push_back(&*found);
      begin = end + 1;
    }
    return rows;
  }

  // A short context leaves rows out, unless they were asked for by name.
  Status fit_context(const ModelConfig& config, std::vector<const BenchRow*>* rows,
                     Console* console) {
    if (!engine_flags_.context) {
      int64_t wanted = kContextWanted;
      for (const BenchRow* row : *rows) wanted = std::max(wanted, context_of(*row));
      engine_flags_.context = std::min(wanted, config.context_max);
    }
    const int64_t context = *engine_flags_.context;
    std::erase_if(*rows, [&](const BenchRow* row) {
      const bool too_long = context_of(*row) > context;
      if (too_long && !rows_) {
        console->note(fmt::format("({} is left out: the context has {} tokens)\n", row->name,
                                  with_commas(context)));
      }
      return too_long && !rows_;
    });
    for (const BenchRow* row : *rows) {
      const int64_t needed = context_of(*row);
      if (needed > context) {
        return misuse(
            fmt::format("{} needs a context of {} tokens, and it has {}; leave the row out, "
                        "or raise --ctx where the model allows it",
                        row->name, with_commas(needed), with_commas(context)));
      }
    }
    if (rows->empty()) return misuse("the context is too short for every row; raise --ctx");
    return {};
  }

  Result<std::vector<RowResult>> measure_rows(LocalEngine& engine,
                                              const std::vector<const BenchRow*>& rows,
                                              Console* console) {
    std::vector<RowResult> results;
    const InterruptGuard guard;
    MINKE_ASSIGN(MachinePeaks before, measure_machine(threads_));
    MINKE_ASSIGN(double disk_before, disk_speed(engine));
    for (const BenchRow* row : rows) {
      RowResult best;
      for (int attempt = 0; attempt < kAttemptsMax; ++attempt) {
        if (console->can_redraw()) {
          console->err(fmt::format("\r\033[Kmeasuring {}{}", row->name,
                                   attempt > 0 ? " again: the machine's speed moved" : ""));
        }
        const std::optional<ExpertTraffic> traffic_before = expert_traffic(engine);
        MINKE_ASSIGN(RowResult result, measure_row(engine, *row, static_cast<uint64_t>(attempt)));
        if (traffic_before) result.traffic = between(*traffic_before, *expert_traffic(engine));
        MINKE_ASSIGN(const double disk_after, disk_speed(engine));
        result.disk_bytes_per_s = (disk_before + disk_after) / 2;
        disk_before = disk_after;
        MINKE_ASSIGN(const MachinePeaks after, measure_machine(threads_));
        if (InterruptGuard::interrupted()) return fail(std::string(kInterrupted));
        result.peaks = mean(before, after);
        result.change = largest_change(before, after);
        before = after;
        if (attempt == 0 || result.change < best.change) best = result;
        if (best.change <= kPeaksMayMove) break;
      }
      best.has_limit = !best.speculation && engine.device_name().empty();
      if (best.has_limit) {
        best.limit = row_limit(*row, cost_, best.speed, engine_flags_.prefill_chunk.value_or(512),
                               per_second(best.peaks));
      }
      if (best.has_limit && best.traffic) bound_by_disk(best);
      results.push_back(best);
    }
    if (console->can_redraw()) console->err("\r\033[K");
    return results;
  }

  // Of the model's first file; 0 where nothing is streamed.
  Result<double> disk_speed(const LocalEngine& engine) const {
    if (!engine.expert_stats()) return 0.0;
    return measure_disk(file_path_);
  }

  // What the row read cannot have come faster than a plain reader gets it.
  static void bound_by_disk(RowResult& result) {
    const double seconds = result.traffic->bytes_a_token() / result.disk_bytes_per_s;
    if (seconds < result.limit.seconds) return;
    result.limit.seconds = seconds;
    result.disk_bound = true;
  }

  static Result<RowResult> measure_row(LocalEngine& engine, const BenchRow& row, uint64_t round) {
    RowResult result;
    result.row = &row;
    switch (row.kind) {
      case BenchRow::Kind::kPrefill: {
        MINKE_ASSIGN(result.speed, measure_prefill(engine, row, round));
        break;
      }
      case BenchRow::Kind::kDecode: {
        MINKE_ASSIGN(result.speed, measure_decode(engine, row, round));
        break;
      }
      case BenchRow::Kind::kSpeculate: {
        MINKE_ASSIGN(result.speculation, measure_speculation(engine, row));
        result.speed.tokens_per_s = result.speculation->tokens_per_s;
        break;
      }
    }
    return result;
  }

  static const char* bound_word(const RowResult& result) {
    if (result.disk_bound) return "disk";
    return result.limit.memory_bound ? "memory" : "arithmetic";
  }

  static void print_traffic(const std::vector<RowResult>& results, Console* console) {
    if (!results.front().traffic) return;
    console->out("\n");
    for (const RowResult& result : results) {
      console->out(fmt::format("{:<18}{}; {:.1f} GB/s to a plain reader\n", result.row->name,
                               traffic_words(*result.traffic), result.disk_bytes_per_s / 1e9));
    }
  }

  static MachinePeaks mean_peaks(const std::vector<RowResult>& results) {
    MachinePeaks sum;
    for (const RowResult& result : results) {
      sum.read_gb_per_s += result.peaks.read_gb_per_s;
      sum.int8_gop_per_s += result.peaks.int8_gop_per_s;
      sum.bf16_gflop_per_s += result.peaks.bf16_gflop_per_s;
      sum.fp32_gflop_per_s += result.peaks.fp32_gflop_per_s;
    }
    const auto n = static_cast<double>(results.size());
    return {sum.read_gb_per_s / n, sum.int8_gop_per_s / n, sum.bf16_gflop_per_s / n,
            sum.fp32_gflop_per_s / n};
  }

  Json machine_json(const MachinePeaks& peaks) const {
    return {{"threads", threads_},
            {"isa", isa_},
            {"read_gb_per_s", peaks.read_gb_per_s},
            {"int8_gop_per_s", peaks.int8_gop_per_s},
            {"bf16_gflop_per_s", peaks.bf16_gflop_per_s},
            {"fp32_gflop_per_s", peaks.fp32_gflop_per_s}};
  }

  std::string machine_words(const MachinePeaks& peaks) const {
    return fmt::format(
        "{} thread{}, {}: reads {:.1f} GB/s, int8 {:.0f} GOP/s, bf16 {:.0f} GFLOP/s, fp32 {:.0f} "
        "GFLOP/s\n",
        threads_, threads_ == 1 ? "" : "s", isa_, peaks.read_gb_per_s, peaks.int8_gop_per_s,
        peaks.bf16_gflop_per_s, peaks.fp32_gflop_per_s);
  }

  Json as_json(const std::vector<RowResult>& results) const {
    Json rows = Json::array();
    for (const RowResult& result : results) {
      Json row = {{"name", result.row->name}, {"tokens_per_s", result.speed.tokens_per_s}};
      if (result.speculation) {
        const SpeculationSpeed& s = *result.speculation;
        row["plain_tokens_per_s"] = s.plain_tokens_per_s;
        row["speedup"] =
            s.drafted > 0 ? Json(s.tokens_per_s / s.plain_tokens_per_s) : Json();  // else noise
        row["accepted_share"] =
            s.drafted > 0 ? Json(static_cast<double>(s.accepted) / static_cast<double>(s.drafted))
                          : Json();
      }
      row["limit_tokens_per_s"] = result.has_limit ? Json(result.limit_tokens_per_s()) : Json();
      row["share"] = result.has_limit ? Json(result.share()) : Json();
      row["bound"] = result.has_limit ? Json(bound_word(result)) : Json();
      row["read_gb_per_s"] = result.peaks.read_gb_per_s;
      row["peaks_moved"] = result.change;
      if (result.traffic) {
        row["expert_hit_rate"] = result.traffic->hit_rate();
        row["expert_foreseen_rate"] = result.traffic->foreseen_rate();
        row["disk_bytes_per_token"] = result.traffic->bytes_a_token();
        row["disk_gb_per_s"] = result.traffic->read_bytes_per_s() / 1e9;
        row["plain_disk_gb_per_s"] = result.disk_bytes_per_s / 1e9;
      }
      rows.push_back(std::move(row));
    }
    return {{"machine", machine_json(mean_peaks(results))},
            {"rows", std::move(rows)},
            {"load_s", load_s_},
            {"peak_memory_bytes", peak_memory_bytes()}};
  }

  void print_table(const LocalEngine& engine, const GgufFile& file,
                   const std::vector<RowResult>& results, Console* console) const {
    const Style& style = console->out_style();
    const Result<ModelInfo> info = model_info(file);
    console->out(fmt::format("{}{}{}{}\n", style.bold, printable(engine.model_name(), 200),
                             info ? ", " + info->quantisation : "", style.reset));
    if (engine.device_name().empty()) {
      console->out(machine_words(mean_peaks(results)));
    } else {
      console->out(fmt::format("{}; the limits below would be the processor's and are left out\n",
                               engine.device_name()));
    }
    console->out(fmt::format("loaded in {}, peak memory {}\n\n", duration(load_s_),
                             human_bytes(static_cast<int64_t>(peak_memory_bytes()))));
    console->out(fmt::format("{}{:<18}{:>10}{:>10}{:>8}  {:<12}{:>8}{}\n", style.dim, "row",
                             "tokens/s", "limit", "share", "bound by", "GB/s", style.reset));
    for (const RowResult& result : results) {
      if (result.speculation) {
        const SpeculationSpeed& s = *result.speculation;
        if (s.drafted == 0) {
          console->out(fmt::format("{:<18}{:>10.1f}  nothing was guessed\n", result.row->name,
                                   s.tokens_per_s));
          continue;
        }
        console->out(fmt::format(
            "{:<18}{:>10.1f}  {:.2f} times {:.1f} without speculation; {} of {} guesses right\n",
            result.row->name, s.tokens_per_s, s.tokens_per_s / s.plain_tokens_per_s,
            s.plain_tokens_per_s, with_commas(s.accepted), with_commas(s.drafted)));
        continue;
      }
      if (!result.has_limit) {
        console->out(fmt::format("{:<18}{:>10.1f}\n", result.row->name, result.speed.tokens_per_s));
        continue;
      }
      console->out(fmt::format(
          "{:<18}{:>10.1f}{:>10.1f}{:>7.0f}%  {:<12}{:>8.1f}{}\n", result.row->name,
          result.speed.tokens_per_s, result.limit_tokens_per_s(), 100 * result.share(),
          bound_word(result), result.peaks.read_gb_per_s,
          result.change > kPeaksMayMove ? fmt::format("  peaks moved {:.0f}%", 100 * result.change)
                                        : ""));
    }
    print_traffic(results, console);
    const auto beats_memory = [](const RowResult& r) {
      return r.has_limit && r.limit.memory_bound && r.share() > 1;
    };
    if (std::ranges::any_of(results, beats_memory)) {
      constexpr std::string_view kWhy =
          "A share above 100%: so small a model is read from the processor's caches, and the limit "
          "is that of the memory.";
      console->out(fmt::format("\n{}\n", wrapped(kWhy, console->width(), 0)));
    }
  }

  std::optional<std::string> model_, rows_;
  bool json_ = false, peaks_only_ = false;
  EngineFlags engine_flags_;
  std::string isa_, file_path_;
  int threads_ = 0;
  double load_s_ = 0;
  ModelCost cost_;
};

}  // namespace

std::unique_ptr<Command> make_bench() { return std::make_unique<Bench>(); }

}  // namespace minke::cli
