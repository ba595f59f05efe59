// minke tokenizer train OUT FILES: a tokenizer of one's own.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/output_file.h"
#include "cli/text_util.h"
#include "io/gguf_writer.h"
#include "models/gguf_tokenizer.h"
#include "text/bpe_trainer.h"
#include "text/chat_template.h"
#include "text/value.h"
#include "train/data/text_file.h"

namespace minke::cli {

namespace {

// What a record says: texts, prompts, messages alike.
void add_texts(const Value& value, BpeTrainer& trainer) {
  if (const std::string* text = value.as_string()) trainer.add(*text);
  if (const Value::Array* array = value.as_array()) {
    for (const Value& one : *array) add_texts(one, trainer);
  }
  if (const Value::Object* object = value.as_object()) {
    for (const auto& [key, one] : *object) {
      if (key != "role") add_texts(one, trainer);
    }
  }
}

Status add_file(const std::string& path, BpeTrainer& trainer) {
  constexpr int64_t kBlockBytes = 1 << 20;
  MINKE_ASSIGN(const TextFile file, TextFile::open(path, kBlockBytes));
  for (int64_t i = 0; i < file.records(); ++i) {
    if (file.kind() == TextFile::Kind::kText) {
      trainer.add(file.record(i));
      continue;
    }
    const auto record = parse_json(file.record(i));
    if (!record) {
      return fail(
          fmt::format("{}:{}: is no JSON: {}", path, file.line_of(i), record.error().message));
    }
    add_texts(*record, trainer);
  }
  if (!file.is_intact()) return fail(path + ": was cut short or could not be read");
  return {};
}

class TokenizerCommand : public Command {
 public:
  CommandText text() const override {
    return {
        .name = "tokenizer",
        .summary = "Train a tokenizer of one's own from texts",
        .description =
            "Learns a byte-level BPE vocabulary (the 256 bytes, then the most frequent pairs, "
            "then special tokens) and writes it, with ChatML as its chat template, as a GGUF "
            "file without a model: for recipes that train from scratch, and for tokenize. The "
            "same texts give the same file. JSONL counts with all the texts that are in it.",
        .examples = {{"minke tokenizer train own.gguf books.txt.gz --size 8192", "8,192 tokens"},
                     {"minke tokenizer train own.gguf a.jsonl --pre qwen2 --size 4096",
                      "with Qwen's way of cutting words"}}};
  }

  void declare(OptionList* options) override {
    Option& action = options->choice("ACTION", "train", {"train"}, &action_);
    action.value_name.clear();
    action.required = true;
    options->positional("OUT", ValueKind::kFile, "The file to write", &out_).required = true;
    options->positionals("FILE", ValueKind::kFile, "Texts: .txt, .jsonl, each also .gz", &files_)
        .required = true;
    options->integer("--size", "Tokens in all", {258, 1'000'000}, &size_).default_text = "8192";
    options->text("--pre", "NAME", "How words are cut, by the names of tokenizer.ggml.pre", &pre_)
        .default_text = "deepseek-v3";
    options
        ->integer("--least", "Pairs that occur less often become no token", {1, 1'000'000'000},
                  &least_)
        .default_text = "2";
    options
        ->texts("--special", "TEXT",
                "A special token, in place of <|endoftext|>, <|im_start|>, <|im_end|>, <think> and "
                "</think>",
                &special_)
        .default_text = "those of ChatML and thinking";
    options->flag("--force", "Write over a file that exists", &force_);
    options->flag("--json", "Print {\"path\", \"tokens\", \"words\"}", &json_);
  }

  Status run(Console* console) override {
    MINKE_TRY(check_output_file(*out_, force_));
    BpeTrainerOptions options = {.size = size_.value_or(8192), .count_min = least_.value_or(2)};
    if (pre_) options.pre = *pre_;
    if (!special_.empty()) options.special = special_;
    MINKE_ASSIGN(BpeTrainer trainer, BpeTrainer::create(std::move(options)));
    for (const std::string& path : files_) MINKE_TRY(add_file(path, trainer));
    const TokenizerSpec spec = trainer.train();
    MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(*out_));
    write_tokenizer_spec(spec, ChatTemplate::builtin_chatml().source(), writer);
    MINKE_TRY(writer.begin_data());
    MINKE_TRY(writer.finish());
    const auto tokens = static_cast<int64_t>(spec.tokens.size());
    if (json_) {
      console->out(
          json_line({{"path", *out_}, {"tokens", tokens}, {"words", trainer.words_different()}}));
      return {};
    }
    console->out(fmt::format("{}: {} tokens from {} different words\n", *out_, with_commas(tokens),
                             with_commas(trainer.words_different())));
    return {};
  }

 private:
  std::optional<std::string> action_, out_, pre_;
  std::vector<std::string> files_, special_;
  std::optional<int64_t> size_, least_;
  bool force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenizer() { return std::make_unique<TokenizerCommand>(); }

}  // namespace minke::cli
