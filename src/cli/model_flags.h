// What several verbs share: which model is meant, how it is loaded, how tokens are chosen.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/option.h"
#include "core/result.h"
#include "minke/engine.h"

namespace minke::cli {

// The path of the file that is meant; without a name the default model. What is not on this
// machine is an error that says how to get it.
Result<std::string> model_path(const std::optional<std::string>& name);

// Whether a word can only be meant as a model: a path of a file, a name of the catalogue, or
// something written like one.
bool looks_like_model(const std::string& word);

// --device --threads --ctx --memory --kv --adapter --prefill-chunk, and for verbs that write
// --draft-model
// --draft-tokens --mtp.
struct EngineFlags {
  std::optional<int64_t> threads;
  std::optional<int64_t> context;
  std::optional<int64_t> prefill_chunk;
  std::optional<uint64_t> memory;
  std::optional<std::string> device;
  std::optional<std::string> kv;
  std::optional<std::string> adapter;      // a file
  std::optional<std::string> draft_model;  // as it was named
  std::optional<int64_t> draft_tokens;
  std::optional<std::string> mtp;
  bool writes = true;
  std::string chat_template;  // its text; empty: the model's own. Not an option of its own here
  int64_t cache_tokens = 0;   // EngineOptions::cache_tokens; likewise

  void declare(OptionList* options);
  // Of a verb that only reads: nothing to guess.
  void declare_for_reading(OptionList* options);
  // Of a verb with models and adapters of several names: without --adapter, which it has itself.
  void declare_for_many(OptionList* options);
  // All but the draft model, which has to be found first (load_local_engine).
  EngineOptions engine_options(std::string path) const;

 private:
  void declare_loading(OptionList* options);
  void declare_guessing(OptionList* options);
};

// --temp ... --stop, --max-tokens, --speculate, --json-schema and its like. What is not given is
// the model's recommendation.
struct SamplingFlags {
  std::optional<double> temperature, top_p, min_p;
  std::optional<double> repeat_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k, tokens_max, think_budget;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  std::optional<std::string> speculate;
  AnswerForm form;
  std::string form_option;  // that gave it: "--regex"

  void declare(OptionList* options);
  // As if the option ("--temp") had not been given.
  void forget(std::string_view option);
  // What was given, over `recommended`.
  SamplingOptions sampling(const SamplingOptions& recommended) const;

 private:
  void declare_forms(OptionList* options);
  Status set_form(const std::string& option, AnswerForm form_given);
};

}  // namespace minke::cli
