// minke show MODEL: what a GGUF file holds, read from its header.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/model_flags.h"
#include "cli/text_util.h"
#include "core/system_limits.h"
#include "core/thread_pool.h"
#include "engine/recommended_sampling.h"
#include "io/catalogue.h"
#include "io/gguf.h"
#include "io/model_cache.h"
#include "kernels/cuda/driver.h"
#include "kernels/kernels.h"
#include "kernels/kv_store.h"
#include "models/hf_folder.h"
#include "models/model_info.h"
#include "models/registry.h"

namespace minke::cli {

namespace {

class Show : public Command {
 public:
  CommandText text() const override {
    return {.name = "show",
            .summary = "Say what a model is and what it needs",
            .description =
                "Reads the header of a GGUF file (also of one whose download is not "
                "finished) and prints its architecture, parameters, quantisation, "
                "context, tokenizer, chat template and the memory it needs.",
            .examples = {{"minke show qwen2.5-coder:1.5b", "the facts about a pulled model"},
                         {"minke show model.gguf --template", "its chat template, as it stands"},
                         {"minke show model.gguf --tensors", "every tensor with type and shape"},
                         {"minke show model.gguf --json", "the same for programs"}}};
  }

  void declare(OptionList* options) override {
    options->positional("MODEL", ValueKind::kModel, kModelWords, &model_).default_text =
        kDefaultModelWords;
    options->flag("--template", "Print the chat template and nothing else", &template_);
    options->flag("--metadata", "Print every key of the header too", &metadata_);
    options->flag("--tensors", "Print every tensor too", &tensors_);
    options->flag("--machine", "Say what models can run on here, instead of a model", &machine_);
    options->flag("--json", "Print JSON", &json_);
  }

  Status run(Console* console) override {
    if (machine_) return show_machine(console);
    if (template_ && (metadata_ || tensors_ || json_)) {
      return misuse(
          "--template prints the template alone: leave out --metadata, --tensors and "
          "--json, or leave out --template (the JSON has the template too)");
    }
    MINKE_ASSIGN(const std::string path, model_path(model_));
    MINKE_ASSIGN(const GgufFile file, open_checkpoint(path, {.allow_truncated_data = true}));
    // A file's header says what it holds however little of the data is there; a folder says it by
    // its tensors alone.
    if (file.is_assembled()) MINKE_TRY(check_loadable(file));
    MINKE_ASSIGN(const ModelInfo info, model_info(file));
    MINKE_ASSIGN(const RecommendedSampling sampling, recommended_sampling(file));
    if (template_) {
      if (info.chat_template.empty()) return fail(fmt::format("{} has no chat template", path));
      console->out(info.chat_template);
      if (!info.chat_template.ends_with('\n')) console->out("\n");
      return {};
    }
    if (json_) {
      console->out(json_line(as_json(file, info, sampling)));
      return {};
    }
    print_facts(file, info, sampling, console);
    if (metadata_) print_metadata(file, console);
    if (tensors_) print_tensors(file, console);
    return {};
  }

 private:
  using Json = nlohmann::ordered_json;

  // The processor and the GPU, or why there is none to use.
  Status show_machine(Console* console) const {
    if (model_ || template_ || metadata_ || tensors_) {
      return misuse("--machine is about this machine alone: leave out MODEL and other options");
    }
    MINKE_ASSIGN(const Kernels* kernels, select_kernels());
    const Result<CudaInfo> gpu = CudaDevice::probe();
    const int threads = available_processors();
    if (json_) {
      Json device = {{"name", gpu ? Json(gpu->name) : Json()},
                     {"memory_bytes", gpu ? Json(gpu->memory_bytes) : Json()},
                     {"reason", gpu ? Json() : Json(gpu.error().message)}};
      console->out(json_line({{"threads", threads},
                              {"isa", kernels->name},
                              {"free_memory_bytes", available_memory_bytes()},
                              {"gpu", std::move(device)}}));
      return {};
    }
    console->out(fmt::format("processor  {} thread{}, {} kernels, {} of memory free\n", threads,
                             threads == 1 ? "" : "s", kernels->name,
                             human_bytes(static_cast<int64_t>(available_memory_bytes()))));
    console->out(gpu ? fmt::format("GPU        {}, {} of memory, driver for CUDA {}.{}\n",
                                   gpu->name, human_bytes(static_cast<int64_t>(gpu->memory_bytes)),
                                   gpu->driver_version / 1000, gpu->driver_version % 1000 / 10)
                     : fmt::format("GPU        none: {}\n", gpu.error().message));
    return {};
  }

  static std::string type_mix(const ModelInfo& info) {
    std::string out;
    for (const auto& [type, bytes] : info.bytes_by_type) {
      const double share = 100.0 * static_cast<double>(bytes) /
                           static_cast<double>(std::max<uint64_t>(1, info.tensor_bytes));
      if (!out.empty()) out += ", ";
      out += share < 0.5 ? type : fmt::format("{} {:.0f}%", type, share);
    }
    return out;
  }

  static bool runs(const ModelInfo& info) {
    const std::vector<std::string> known = known_architectures();
    return std::ranges::find(known, info.architecture) != known.end();
  }

  static std::string not_run_words() {
    std::string known;
    for (const std::string& name : known_architectures()) {
      known += (known.empty() ? "" : ", ") + name;
    }
    return fmt::format(": minke cannot run it (it has {})", known);
  }

  static std::string in_words(int64_t count) {
    const auto value = static_cast<double>(count);
    if (count < 1'000'000) return "";
    return count >= 1'000'000'000 ? fmt::format(" ({:.2f} billion)", value / 1e9)
                                  : fmt::format(" ({:.0f} million)", value / 1e6);
  }

  static void print_facts(const GgufFile& file, const ModelInfo& info,
                          const RecommendedSampling& sampling, Console* console) {
    const Style& style = console->out_style();
    const auto line = [&](std::string_view label, const std::string& value) {
      const int indent = 16;
      console->out(fmt::format("  {}{:<14}{}{}\n", style.dim, label, style.reset,
                               wrapped(value, console->width(), indent)));
    };
    console->out(fmt::format("{}{}{}\n", style.bold, printable(info.name, 200), style.reset));
    line(
        "file",
        fmt::format("{} ({}, {}{})", printable(file.path(), 400),
                    human_bytes(static_cast<int64_t>(file.file_bytes())),
                    file.is_assembled() ? "safetensors" : fmt::format("GGUF v{}", file.version()),
                    file.paths().size() > 1 ? fmt::format(", {} parts", file.paths().size()) : ""));
    line("architecture", printable(info.architecture) + (runs(info) ? "" : not_run_words()));
    line("parameters", with_commas(info.parameters) + in_words(info.parameters));
    const double bits = 8.0 * static_cast<double>(info.tensor_bytes) /
                        static_cast<double>(std::max<int64_t>(1, info.parameters));
    const bool fp8 = file.is_assembled() && info.quantisation == "FP8";
    line("quantisation",
         fmt::format("{}{} ({}; {:.2f} bits a weight{})", info.quantisation,
                     fp8 ? " with a scale for each block of 128 x 128; in memory BF16" : "",
                     type_mix(info), bits, fp8 ? ", twice those of FP8" : ""));
    line("context", with_commas(info.context) + " tokens");
    line("layers", fmt::format("{}, {} wide; {} heads of {}, {} for keys and values; "
                               "feed-forward {}",
                               info.layers, info.dim, info.heads, info.head_dim, info.kv_heads,
                               info.ffn_dim));
    if (info.experts > 0) {
      line("experts", fmt::format("{} experts of width {}, {} a token", info.experts,
                                  info.expert_dim, info.experts_used));
    }
    if (info.mtp_parameters > 0) {
      line("MTP", fmt::format("a layer of {} parameters{} that guesses ahead",
                              with_commas(info.mtp_parameters), in_words(info.mtp_parameters)));
    }
    line("tokenizer",
         fmt::format("{}, {} tokens", printable(info.tokenizer), with_commas(info.vocabulary)));
    line("template",
         info.chat_template.empty()
             ? "none: chat needs one, run --raw does not"
             : fmt::format("{} characters (--template prints it)",
                           with_commas(static_cast<int64_t>(info.chat_template.size()))));
    const SamplingOptions& s = sampling.options;
    line("sampling",
         fmt::format("temperature {:g}{}{}{}: {}", s.temperature,
                     s.top_k > 0 ? fmt::format(", top-k {}", s.top_k) : "",
                     s.top_p < 1 ? fmt::format(", top-p {:g}", s.top_p) : "",
                     s.min_p > 0 ? fmt::format(", min-p {:g}", s.min_p) : "", sampling.source));
    if (!info.licence.empty()) line("licence", printable(info.licence));
    line("memory", memory_words(info));
    if (!info.complete) {
      line("incomplete",
           "the file ends before the data of its tensors does: is the download "
           "finished? It cannot be run as it is");
    }
  }

  static std::string memory_words(const ModelInfo& info) {
    const uint64_t token = info.kv_token_bytes;
    const auto with = [&](int64_t tokens) {
      return human_bytes(
          static_cast<int64_t>(info.tensor_bytes + token * static_cast<uint64_t>(tokens)));
    };
    std::string out =
        fmt::format("{} of weights", human_bytes(static_cast<int64_t>(info.tensor_bytes)));
    if (token == 0) return out;
    out += fmt::format(" and {} a token of context", human_bytes(static_cast<int64_t>(token)));
    const int64_t some = std::min<int64_t>(4096, info.context);
    if (some > 0) out += fmt::format(": {} with {} tokens", with(some), with_commas(some));
    if (info.context > some) {
      out += fmt::format(", {} with {}", with(info.context), with_commas(info.context));
    }
    if (info.kv_token_bytes_q8 > 0) {
      out += fmt::format("; {} a token with --kv q8",
                         human_bytes(static_cast<int64_t>(info.kv_token_bytes_q8)));
    }
    if (info.expert_bytes > 0) {
      out += fmt::format("; {} of the weights are experts and may stay on the disk (--memory)",
                         human_bytes(static_cast<int64_t>(info.expert_bytes)));
    }
    return out;
  }

  static void print_metadata(const GgufFile& file, Console* console) {
    console->out("\n");
    for (const GgufEntry& entry : file.metadata()) {
      console->out(
          fmt::format("{} = {}\n", printable(entry.key, 200), printable(entry.value.str(), 200)));
    }
  }

  static void print_tensors(const GgufFile& file, Console* console) {
    console->out("\n");
    for (const GgufTensor& tensor : file.tensors()) {
      console->out(fmt::format("{:<40} {:<7} {:<20} {:>14}{}\n", printable(tensor.name, 200),
                               quant_name(tensor.type), tensor.shape.str(),
                               with_commas(static_cast<int64_t>(tensor.bytes)),
                               tensor.is_whole() ? "" : "  (cut off)"));
    }
  }

  Json as_json(const GgufFile& file, const ModelInfo& info,
               const RecommendedSampling& sampling) const {
    Json types = Json::object();
    for (const auto& [type, bytes] : info.bytes_by_type) types[type] = bytes;
    const SamplingOptions& s = sampling.options;
    Json out = {{"name", info.name},
                {"path", file.path()},
                {"parts", file.paths().size()},
                {"bytes", file.file_bytes()},
                {"gguf_version", file.is_assembled() ? Json() : Json(file.version())},
                {"architecture", info.architecture},
                {"runs", runs(info)},
                {"parameters", info.parameters},
                {"quantisation", info.quantisation},
                {"bytes_by_type", types},
                {"context", info.context},
                {"layers", info.layers},
                {"mtp_parameters", info.mtp_parameters},
                {"dim", info.dim},
                {"heads", info.heads},
                {"kv_heads", info.kv_heads},
                {"head_dim", info.head_dim},
                {"ffn_dim", info.ffn_dim},
                {"vocabulary", info.vocabulary},
                {"tokenizer", info.tokenizer},
                {"template", info.chat_template.empty() ? Json() : Json(info.chat_template)},
                {"licence", info.licence.empty() ? Json() : Json(info.licence)},
                {"sampling",
                 {{"temperature", s.temperature},
                  {"top_k", s.top_k},
                  {"top_p", s.top_p},
                  {"min_p", s.min_p},
                  {"repeat_penalty", s.repeat_penalty},
                  {"source", sampling.source}}},
                {"memory",
                 {{"weights_bytes", info.tensor_bytes},
                  {"expert_bytes", info.expert_bytes},
                  {"token_bytes", info.kv_token_bytes},
                  {"token_bytes_q8", info.kv_token_bytes_q8}}},
                {"complete", info.complete}};
    if (metadata_) {
      out["metadata"] = Json::object();
      for (const GgufEntry& entry : file.metadata()) {
        out["metadata"][std::string(entry.key)] = entry.value.str(1000);
      }
    }
    if (tensors_) {
      out["tensors"] = Json::array();
      for (const GgufTensor& tensor : file.tensors()) {
        Json shape = Json::array();
        for (int i = 0; i < tensor.shape.rank(); ++i) shape.push_back(tensor.shape[i]);
        out["tensors"].push_back({{"name", tensor.name},
                                  {"type", quant_name(tensor.type)},
                                  {"shape", shape},
                                  {"bytes", tensor.bytes},
                                  {"complete", tensor.is_whole()}});
      }
    }
    return out;
  }

  std::optional<std::string> model_;
  bool machine_ = false, template_ = false, metadata_ = false, tensors_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_show() { return std::make_unique<Show>(); }

}  // namespace minke::cli
