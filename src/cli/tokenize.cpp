// minke tokenize MODEL: text to token ids, and back.

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/model_flags.h"
#include "cli/prompt.h"
#include "cli/text_util.h"
#include "io/gguf.h"
#include "models/gguf_tokenizer.h"
#include "models/hf_folder.h"
#include "text/tokenizer.h"

namespace minke::cli {

namespace {

using Json = nlohmann::ordered_json;

// {"ids": [...]}, [...], or numbers with spaces or commas between them.
Result<std::vector<int32_t>> parse_ids(const std::string& text, const std::string& source,
                                       int32_t vocabulary) {
  std::vector<int32_t> ids;
  std::string word;
  const auto take = [&]() -> Status {
    if (word.empty()) return {};
    const std::optional<int64_t> id = parse_integer(word);
    if (!id || *id < 0 || *id >= vocabulary) {
      return misuse(fmt::format("'{}' is not a token id; this model has ids from 0 to {}",
                                printable(word), vocabulary - 1));
    }
    ids.push_back(static_cast<int32_t>(*id));
    word.clear();
    return {};
  };
  std::string_view rest = text;
  const size_t first = std::min(rest.find_first_not_of(" \t\r\n"), rest.size());
  if (first < rest.size() && (rest[first] == '{' || rest[first] == '[')) {
    Json json = Json::parse(text, nullptr, false);
    if (json.is_object() && json.contains("ids")) json = Json(json["ids"]);
    if (!json.is_array()) {
      return misuse(fmt::format("{} begins as JSON, but is not {{\"ids\": [...]}}", source));
    }
    for (const Json& id : json) {
      word = id.dump(-1, ' ', false, Json::error_handler_t::replace);
      MINKE_TRY(take());
    }
    return ids;
  }
  for (const char c : rest) {
    if (std::string_view(" \t\r\n,").find(c) == std::string_view::npos) {
      word += c;
    } else {
      MINKE_TRY(take());
    }
  }
  MINKE_TRY(take());
  return ids;
}

// What is said of bytes that became no token.
std::string left_out_words(std::string_view bytes) {
  constexpr size_t kShownMax = 8;
  std::string shown;
  for (const char byte : bytes.substr(0, kShownMax)) {
    shown += fmt::format(" 0x{:02x}", static_cast<uint8_t>(byte));
  }
  const auto count = static_cast<int64_t>(bytes.size());
  return fmt::format(
      "({} byte{} of the text {} no token in this model's vocabulary and {} left "
      "out:{}{})\n",
      with_commas(count), count == 1 ? "" : "s", count == 1 ? "has" : "have",
      count == 1 ? "is" : "are", shown, bytes.size() > kShownMax ? " ..." : "");
}

class Tokenize : public Command {
 public:
  CommandText text() const override {
    return {.name = "tokenize",
            .summary = "Turn text into token ids, or ids back into text",
            .description =
                "Reads text from stdin (or --file) and prints its tokens as the model's own "
                "tokenizer makes them; with --decode reads ids and prints the text. Only the "
                "header of the model's file is read.",
            .examples = {{"echo -n 'Hello world' | minke tokenize model.gguf --json",
                          "{\"ids\":[9707,1879]}"},
                         {"echo -n '<|im_start|>user' | minke tokenize model.gguf --special --json",
                          "special tokens as such"},
                         {"echo '9707 1879' | minke tokenize model.gguf --decode", "Hello world"}}};
  }

  void declare(OptionList* options) override {
    options->positional("MODEL", ValueKind::kModel, kModelWords, &model_).default_text =
        kDefaultModelWords;
    options->file("--file", "The text, or the ids; - is stdin", &file_).default_text = "stdin";
    options->flag("--special",
                  "Read special tokens such as <|im_start|> in the text as such; with --decode, "
                  "print their names",
                  &special_);
    options->flag("--bos", "Begin with the beginning-of-sequence token where the model wants one",
                  &bos_);
    options->flag("--decode",
                  "Read ids ({\"ids\": [...]}, or numbers) and print the text they stand for",
                  &decode_);
    options->flag("--json", "Print {\"ids\": [...]}, or {\"text\": \"...\"} with --decode", &json_);
    // All verbs that read a model alone with its texts take these two (docs/cli.md).
    options->group("Taken here too, so that scripts may give them");
    options->integer("--threads", "Changes nothing here: text is read by one thread", {1, 1024},
                     &threads_);
    options->integer("--prefill-chunk", "Changes nothing here: no forward pass is made",
                     {1, 1 << 14}, &prefill_chunk_);
  }

  Status run(Console* console) override {
    if (decode_ && bos_) {
      return misuse("--bos is about reading text and --decode about printing it: give one");
    }
    MINKE_ASSIGN(const std::string path, model_path(model_));
    MINKE_ASSIGN(const GgufFile file, open_checkpoint(path, {.allow_truncated_data = true}));
    MINKE_ASSIGN(const std::unique_ptr<Tokenizer> tokenizer, load_tokenizer(file));
    MINKE_ASSIGN(const std::string input, read_input_bytes(file_));
    if (!decode_) return encode(*tokenizer, input, console);
    return decode(*tokenizer, input, input_name(file_), console);
  }

 private:
  Status encode(const Tokenizer& tokenizer, const std::string& input, Console* console) const {
    const SpecialText special = special_ ? SpecialText::kParse : SpecialText::kAsText;
    std::string left_out;
    const std::vector<int32_t> ids = bos_ ? tokenizer.encode_with_bos(input, special, &left_out)
                                          : tokenizer.encode(input, special, &left_out);
    if (!left_out.empty()) console->note(left_out_words(left_out));
    if (json_) {
      console->out(json_line({{"ids", ids}}));
      return {};
    }
    for (const int32_t id : ids) {
      console->out(fmt::format("{:>7}  '{}'\n", id, printable(tokenizer.piece(id, true), 60)));
    }
    console->out(fmt::format("{} tokens\n", with_commas(static_cast<int64_t>(ids.size()))));
    return {};
  }

  Status decode(const Tokenizer& tokenizer, const std::string& input, const std::string& source,
                Console* console) const {
    MINKE_ASSIGN(const std::vector<int32_t> ids, parse_ids(input, source, tokenizer.vocab_size()));
    const std::string text = tokenizer.decode(ids, {.show_control = special_});
    if (json_) {
      console->out(json_line({{"text", text}}));
      return {};
    }
    console->out(text);
    if (console->stdout_is_terminal() && !text.ends_with('\n')) console->out("\n");
    return {};
  }

  std::optional<std::string> model_, file_;
  bool special_ = false, bos_ = false, decode_ = false, json_ = false;
  std::optional<int64_t> threads_, prefill_chunk_;
};

}  // namespace

std::unique_ptr<Command> make_tokenize() { return std::make_unique<Tokenize>(); }

}  // namespace minke::cli
