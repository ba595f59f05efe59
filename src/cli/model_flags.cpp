#include "cli/model_flags.h"

#include <fmt/format.h>

#include <cctype>
#include <filesystem>
#include <utility>

#include "cli/prompt.h"
#include "cli/text_util.h"
#include "core/system_limits.h"
#include "engine/answer_form.h"
#include "io/catalogue.h"
#include "io/model_cache.h"

namespace minke::cli {

Result<std::string> model_path(const std::optional<std::string>& name) {
  if (name) return resolve_model(*name);
  MINKE_ASSIGN(const std::filesystem::path models, models_dir());
  return resolve_model(choose_default_model(models, available_memory_bytes()).entry.name);
}

bool looks_like_model(const std::string& word) {
  if (word.find_first_of(" \t\n") != std::string::npos) return false;
  std::error_code ignored;
  if (std::filesystem::is_regular_file(word, ignored)) return true;
  if (std::filesystem::is_regular_file(word + "/config.json", ignored)) return true;
  if (word.ends_with(".gguf") || looks_like_hub_name(word)) return true;
  // A word shorter than a family's name is a word.
  if (word.size() >= 5 && find_in_catalogue(word)) return true;
  // "family:size" with nothing else around it; "Note:" and "12:30" are prose.
  const size_t colon = word.find(':');
  if (colon == 0 || colon == std::string::npos || colon + 1 == word.size()) return false;
  return word.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             ".-_:") == std::string::npos &&
         (std::isalpha(static_cast<unsigned char>(word[0])) != 0);
}

void EngineFlags::declare(OptionList* options) {
  declare_for_reading(options);
  declare_guessing(options);
}

void EngineFlags::declare_for_many(OptionList* options) {
  declare_loading(options);
  declare_guessing(options);
}

void EngineFlags::declare_for_reading(OptionList* options) {
  writes = false;
  declare_loading(options);
  options->file("--adapter", "A LoRA adapter of the model: a GGUF file, as minke train makes them",
                &adapter);
}

void EngineFlags::declare_guessing(OptionList* options) {
  writes = true;
  options
      ->text("--draft-model", "MODEL",
             "A smaller model of the same vocabulary, which guesses ahead", &draft_model)
      .kind = ValueKind::kModel;
  options
      ->choice("--mtp", "Load the layer of DeepSeek V3 and R1 that guesses ahead", {"on", "off"},
               &mtp)
      .default_text = "on, where memory has room for it";
  options->integer("--draft-tokens", "Guesses by either at each step", {0, 32}, &draft_tokens)
      .default_text = "as many as pay";
}

void EngineFlags::declare_loading(OptionList* options) {
  options->group("Loading");
  options
      ->choice("--device", "Run on the processor or on a GPU; the answers are the same",
               {"auto", "cpu", "cuda"}, &device)
      .default_text = "auto: a GPU where there is one";
  options->integer("--threads", "Threads that compute", {1, 1024}, &threads).default_text =
      "one a processor";
  options->integer("--ctx", "Tokens of context", {1, int64_t{1} << 30}, &context).default_text =
      "the model's, as far as memory goes";
  options
      ->size("--memory", "Budget for weights, cache and working memory",
             {uint64_t{1} << 20, uint64_t{1} << 50}, &memory)
      .default_text = "what is free";
  options
      ->choice("--kv", "What the cache keeps keys and values in; q8 takes about half the memory",
               {"bf16", "q8"}, &kv)
      .default_text = "bf16";
  options
      ->integer("--prefill-chunk", "Prompt tokens that a forward pass takes at most", {1, 1 << 14},
                &prefill_chunk)
      .default_text = "512";
}

EngineOptions EngineFlags::engine_options(std::string path) const {
  EngineOptions options;
  options.model = std::move(path);
  options.threads = static_cast<int>(threads.value_or(0));
  options.context_tokens = context.value_or(0);
  options.memory_bytes = memory.value_or(0);
  options.kv = kv == "q8" ? KvFormat::kQ8 : KvFormat::kBf16;
  options.chat_template = chat_template;
  options.cache_tokens = cache_tokens;
  options.adapter = adapter.value_or("");
  if (prefill_chunk) options.prefill_chunk = *prefill_chunk;
  options.mtp = writes && mtp != "off";
  options.draft_tokens = draft_tokens.value_or(-1);
  if (device == "cpu") options.device = Device::kCpu;
  if (device == "cuda") options.device = Device::kCuda;
  return options;
}

void SamplingFlags::declare(OptionList* options) {
  options->group("Generation");
  options->number("--temp", "Temperature; 0 takes the likeliest token", {0, 5}, &temperature)
      .default_text = "the model's";
  options->integer("--top-k", "Choose among the N likeliest tokens; 0 is off", {0, 1'000'000},
                   &top_k);
  options->number("--top-p", "Choose among the likeliest that make up this share", {0, 1}, &top_p);
  options->number("--min-p", "Leave out what is less likely than X times the likeliest", {0, 1},
                  &min_p);
  options->number("--repeat-penalty", "Divide the scores of recent tokens", {0.1, 10},
                  &repeat_penalty);
  options->number("--presence-penalty", "Take X off the scores of recent tokens", {-10, 10},
                  &presence_penalty);
  options->number("--frequency-penalty", "Take X off for each time that a token came", {-10, 10},
                  &frequency_penalty);
  options->unsigned_integer("--seed", "The same seed gives the same answer", &seed).default_text =
      "at random";
  options
      ->integer("--max-tokens", "End the answer after N tokens", {1, int64_t{1} << 30}, &tokens_max)
      .default_text = "when the context is full";
  options
      ->integer("--think-budget", "End the thinking after N tokens at most, and answer",
                {0, int64_t{1} << 30}, &think_budget)
      .default_text = "none";
  options->texts("--stop", "TEXT", "End the answer where TEXT would come", &stop).set =
      [this](std::string_view text) -> Status {
    if (text.empty()) return misuse("--stop needs a text that is not empty");
    if (!is_utf8(text)) return misuse("--stop is not UTF-8 text; convert it first");
    stop.emplace_back(text);
    return {};
  };
  options
      ->choice(
          "--speculate",
          "Guess ahead, by earlier text (lookup), a model, or what pays (on); it never changes "
          "the answer",
          {"on", "off", "lookup", "model"}, &speculate)
      .default_text = "on";
  declare_forms(options);
}

// A form is read here already, so that its faults are told before a model is loaded.
Status SamplingFlags::set_form(const std::string& option, AnswerForm form_given) {
  if (!form_option.empty() && form_option != option) {
    return misuse(fmt::format("{} and {} are two forms for one answer: give one of them",
                              form_option, option));
  }
  MINKE_TRY(check_form(form_given));
  form = std::move(form_given);
  form_option = option;
  return {};
}

void SamplingFlags::declare_forms(OptionList* options) {
  options
      ->file("--json-schema", "Let the answer be JSON for which the schema in FILE holds", nullptr)
      .set = [this](std::string_view path) -> Status {
    MINKE_ASSIGN(std::string text, read_input_bytes(std::string(path)));
    return set_form("--json-schema", {AnswerForm::Kind::kJsonSchema, std::move(text)});
  };
  options->flag("--json-object", "Let the answer be a JSON object", nullptr).set =
      [this](std::string_view) -> Status {
    return set_form("--json-object", {AnswerForm::Kind::kJsonObject, ""});
  };
  options
      ->text("--regex", "RE", "Let the answer be what the regular expression RE matches", nullptr)
      .set = [this](std::string_view text) -> Status {
    return set_form("--regex", {AnswerForm::Kind::kRegex, std::string(text)});
  };
}

void SamplingFlags::forget(std::string_view option) {
  if (option == "--temp") temperature.reset();
  if (option == "--top-k") top_k.reset();
  if (option == "--top-p") top_p.reset();
  if (option == "--min-p") min_p.reset();
  if (option == "--repeat-penalty") repeat_penalty.reset();
  if (option == "--presence-penalty") presence_penalty.reset();
  if (option == "--frequency-penalty") frequency_penalty.reset();
  if (option == "--seed") seed.reset();
  if (option == "--max-tokens") tokens_max.reset();
  if (option == "--think-budget") think_budget.reset();
  if (option == "--stop") stop.clear();
  if (option == "--speculate") speculate.reset();
  if (option == form_option) {
    form = {};
    form_option.clear();
  }
}

SamplingOptions SamplingFlags::sampling(const SamplingOptions& recommended) const {
  SamplingOptions out = recommended;
  if (temperature) out.temperature = *temperature;
  if (top_k) out.top_k = *top_k;
  if (top_p) out.top_p = *top_p;
  if (min_p) out.min_p = *min_p;
  if (repeat_penalty) out.repeat_penalty = *repeat_penalty;
  if (presence_penalty) out.presence_penalty = *presence_penalty;
  if (frequency_penalty) out.frequency_penalty = *frequency_penalty;
  if (tokens_max) out.tokens_max = *tokens_max;
  if (think_budget) out.think_budget = *think_budget;
  out.stop = stop;
  out.speculate = speculate != "off";
  if (speculate == "lookup") out.speculate_with = SpeculateWith::kLookup;
  if (speculate == "model") out.speculate_with = SpeculateWith::kModel;
  out.form = form;
  if (seed) out.seed = seed;
  return out;
}

}  // namespace minke::cli
