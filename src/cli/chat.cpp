#include "cli/chat.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <utility>
#include <vector>

#include "cli/command.h"
#include "cli/expert_traffic.h"
#include "cli/json_text.h"
#include "cli/line_editor.h"
#include "cli/option.h"
#include "cli/prompt.h"
#include "cli/scoring.h"
#include "cli/text_util.h"
#include "core/check.h"
#include "engine/chat_prompt.h"
#include "io/catalogue.h"
#include "io/file.h"
#include "io/gguf.h"

namespace minke::cli {

namespace {

using Json = nlohmann::ordered_json;

const char* finish_word(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndOfTurn:
      return "end_of_turn";
    case FinishReason::kToolCalls:
      return "tool_calls";
    case FinishReason::kStopString:
      return "stop_string";
    case FinishReason::kTokensMax:
      return "max_tokens";
    case FinishReason::kContextFull:
      return "context_full";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "";
}

// An answer of a form that was cut off is a beginning, which no reader of JSON takes.
void note_if_cut_off(const Answer& answer, const SamplingOptions& sampling, Console* console) {
  const bool is_whole = answer.finish == FinishReason::kEndOfTurn ||
                        answer.finish == FinishReason::kCancelled ||
                        sampling.form.kind == AnswerForm::Kind::kAny;
  if (is_whole) return;
  console->note(fmt::format("(the answer is not complete: ended by {})\n",
                            finish_reason_name(answer.finish)));
}

// What is said after an answer: why it ended, when that is worth a word, and its numbers.
void print_closing(const Answer& answer, const LocalEngine& engine, Console* console) {
  if (answer.finish == FinishReason::kContextFull) {
    console->note(fmt::format("(the context of {} tokens is full: --ctx N, or /clear in a chat)\n",
                              with_commas(engine.context_tokens())));
  } else if (answer.finish == FinishReason::kTokensMax) {
    console->note("(ended by --max-tokens)\n");
  }
  if (answer.thinking_was_closed) console->note("(the thinking was ended by --think-budget)\n");
  console->note(statistics(answer.usage) + "\n");
  if (const auto traffic = expert_traffic(engine)) console->note(traffic_words(*traffic) + "\n");
}

// What `--think` asks of the model. Who says how thinking is to be shown wants to see some, where
// the model has a choice.
std::optional<bool> wants_thinking(const std::optional<std::string>& think,
                                   const LocalEngine& engine) {
  if (think == "off") return false;
  if (think && engine.knows_thinking()) return true;
  return std::nullopt;
}

// --speculate model where there is none.
void note_if_no_model_guesses(const LocalEngine& engine, Console* console) {
  if (engine.draft_kind() != DraftKind::kNone) return;
  console->note(
      "(speculate model: no model guesses here; --draft-model names one, and DeepSeek V3 and R1 "
      "may "
      "have a layer that does)\n");
}

// For settings that cannot do anything.
void note_if_it_cannot_think(const LocalEngine& engine, Console* console) {
  if (engine.knows_thinking()) return;
  console->note(fmt::format("({} does not think, as far as its chat template says)\n",
                            printable(engine.model_name(), 200)));
}

// A call for who reads stdout: its arguments are an object there.
std::string call_line(const ToolCall& call) {
  return json_line({{"name", call.name}, {"arguments", Json::parse(call.arguments)}});
}

// A path such as /etc/hosts is no command; commands are one word of letters.
bool is_command(std::string_view message) {
  const size_t word_end = std::min(message.find_first_of(" \n"), message.size());
  return message.starts_with('/') && message.find('/', 1) >= word_end;
}

// A shell would have expanded it.
std::string with_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  const bool is_at_home = path == "~" || path.starts_with("~/");
  return is_at_home && home != nullptr && *home != '\0' ? home + path.substr(1) : path;
}

// The turns that /save wrote.
Result<std::vector<ChatTurn>> read_conversation(const std::string& path) {
  MINKE_ASSIGN(const std::string text, read_file_bytes(path, size_t{64} << 20));
  const Json json = Json::parse(text, nullptr, false);
  const auto bad = [&] {
    return misuse(fmt::format("{} is not a conversation that /save wrote", printable(path, 400)));
  };
  if (!json.is_object() || !json.contains("turns") || !json["turns"].is_array()) return bad();
  std::vector<ChatTurn> turns;
  for (const Json& one : json["turns"]) {
    if (!one.is_object() || !one.contains("role") || !one["role"].is_string() ||
        !one.contains("content") || !one["content"].is_string()) {
      return bad();
    }
    ChatTurn& turn = turns.emplace_back();
    turn.role = one["role"].get<std::string>();
    turn.content = one["content"].get<std::string>();
    if (one.contains("reasoning") && one["reasoning"].is_string()) {
      turn.reasoning = one["reasoning"].get<std::string>();
    }
    if (turn.role != "system" && turn.role != "user" && turn.role != "assistant") return bad();
  }
  return turns;
}

class Conversation {
 public:
  Conversation(LocalEngine& engine, const ChatFlags& flags, SamplingFlags sampling,
               Console* console)
      : engine_(engine),
        flags_(flags),
        sampling_(std::move(sampling)),
        console_(console),
        editor_(console, flags.no_history ? "" : default_history_path()),
        ahead_(engine) {
    reset_turns();
  }

  Status run();

 private:
  // What became of a line that began with a slash.
  enum class After : uint8_t { kGoOn, kLeave };

  void reset_turns() {
    ahead_.end();
    turns_.clear();
    context_used_ = 0;
    if (flags_.system) turns_.push_back({"system", *flags_.system, ""});
  }

  bool read_message(std::string* message, bool* leave);
  void read_quoted(std::string first, std::string* message);
  Result<After> command(const std::string& line);
  Status set(const std::string& arguments);
  void show() const;
  Status save(const std::string& path) const;
  Status load(const std::string& path);
  Status ask(const std::string& message);
  Status retry();
  Result<bool> answer();
  void say(std::string_view text) const { console_->note(text); }

  LocalEngine& engine_;
  ChatFlags flags_;
  SamplingFlags sampling_;
  Console* console_;
  LineEditor editor_;
  std::vector<ChatTurn> turns_;
  ChatTimeline timeline_;  // the tokens of the turns so far, so that nothing is read twice
  ReadAhead ahead_;        // of the next turn, while a person types
  int64_t context_used_ = 0;
};

struct HelpRow {
  std::string_view typed;
  std::string_view what;  // it does
};

constexpr std::array<HelpRow, 9> kHelp = {
    {{"\"\"\"", "begins and ends a message of several lines (a pasted one needs none)"},
     {"@path/of/file", "puts a text file into the message"},
     {"/set NAME VALUE",
      "changes temp, top-k, top-p, min-p, repeat-penalty, presence-penalty, frequency-penalty, "
      "seed, max-tokens, think-budget, stop, speculate, json-schema (a file), json-object (on), "
      "regex "
      "or think (show, fold, off); VALUE default takes it back"},
     {"/show", "what is set, and how full the context is"},
     {"/system TEXT", "gives new instructions and begins anew; without TEXT there are none"},
     {"/retry", "answers the last message again"},
     {"/clear", "begins anew"},
     {"/save FILE", "writes the conversation as JSON; /load FILE brings it back"},
     {"/bye", "leaves, as does Ctrl-D; Ctrl-C ends an answer"}}};

std::string help_line(const HelpRow& row, int width) {
  static constexpr int kColumn = 18;
  return fmt::format("  {:<16}{}\n", row.typed, wrapped(row.what, width, kColumn));
}

std::string help_lines(int width) {
  std::string out;
  for (const HelpRow& row : kHelp) out += help_line(row, width);
  return out;
}

// What can be set.
std::string set_help(int width) {
  const auto* row = std::ranges::find_if(
      kHelp, [](const HelpRow& one) { return one.typed.starts_with("/set "); });
  CHECK(row != kHelp.end());
  return help_line(*row, width);
}

// The sentence with "name" wherever it says "--name".
std::string without_dashes(std::string sentence, const std::string& option) {
  const auto goes_on = [&](size_t at) {
    return at < sentence.size() &&
           (std::isalnum(static_cast<unsigned char>(sentence[at])) != 0 || sentence[at] == '-');
  };
  for (size_t at = 0; (at = sentence.find(option, at)) != std::string::npos;) {
    if (goes_on(at + option.size())) {
      at += option.size();
    } else {
      sentence.erase(at, 2);
    }
  }
  return sentence;
}

void Conversation::read_quoted(std::string first, std::string* message) {
  *message = std::move(first);
  const auto closed = [&] { return message->ends_with("\"\"\""); };
  std::string line;
  while (!closed()) {
    if (editor_.read_line("… ", &line) != LineEditor::Outcome::kLine) {
      message->clear();
      return;
    }
    if (!message->empty()) *message += '\n';
    *message += line;
    editor_.remember(line);
  }
  message->resize(message->size() - 3);
}

// False when there is nothing to answer this time.
bool Conversation::read_message(std::string* message, bool* leave) {
  const Style& style = console_->err_style();
  const std::string prompt =
      style.bold.empty() ? "> "
                         : fmt::format("\1{}\1> \1{}\1", style.bold + style.green, style.reset);
  const LineEditor::Outcome outcome = editor_.read_line(prompt, message);
  *leave = outcome == LineEditor::Outcome::kEnd;
  if (outcome == LineEditor::Outcome::kCtrlC) say("(Ctrl-D or /bye leaves)\n");
  if (outcome != LineEditor::Outcome::kLine) return false;
  editor_.remember(*message);
  if (message->starts_with("\"\"\"")) {
    read_quoted(message->substr(3), message);
  } else if (!is_command(*message)) {
    std::string line;
    while (editor_.more_is_pending() &&
           editor_.read_line("… ", &line) == LineEditor::Outcome::kLine) {
      *message += '\n' + line;
      editor_.remember(line);
    }
  }
  return message->find_first_not_of(" \t\r\n") != std::string::npos;
}

Status Conversation::run() {
  const InterruptGuard guard;
  std::string message;
  while (true) {
    bool leave = false;
    const bool given = read_message(&message, &leave);
    if (leave) return {};
    if (!given) continue;
    Status status;
    if (is_command(message)) {
      Result<After> after = command(message);
      if (after && *after == After::kLeave) return {};
      if (!after) status = std::unexpected(std::move(after).error());
    } else {
      status = ask(message);
    }
    if (status) continue;
    // For a person the chat goes on; a program that feeds lines must hear of it.
    if (!console_->stdin_is_terminal()) return status;
    console_->error(status.error().message);
    console_->err("\n");
  }
}

Result<Conversation::After> Conversation::command(const std::string& line) {
  const size_t space = std::min(line.find(' '), line.size());
  const std::string name = line.substr(0, space);
  const size_t begin = std::min(line.find_first_not_of(' ', space), line.size());
  const std::string arguments = line.substr(begin, line.find_last_not_of(" \n") + 1 - begin);
  Status status;
  if (name == "/bye" || name == "/exit" || name == "/quit") return After::kLeave;
  if (name == "/help" || name == "/?") {
    say(help_lines(console_->width()));
  } else if (name == "/set") {
    status = set(arguments);
  } else if (name == "/show") {
    show();
  } else if (name == "/clear") {
    reset_turns();
    say("(a new conversation)\n");
  } else if (name == "/system") {
    flags_.system = arguments.empty() ? std::nullopt : std::optional(arguments);
    reset_turns();
    say(arguments.empty() ? "(no instructions; a new conversation)\n"
                          : "(new instructions; a new conversation)\n");
  } else if (name == "/save") {
    status = save(with_home(arguments));
  } else if (name == "/load") {
    status = load(with_home(arguments));
  } else if (name == "/retry") {
    status = retry();
  } else {
    const std::vector<std::string> names = {"/help", "/set",  "/show",  "/clear", "/system",
                                            "/save", "/load", "/retry", "/bye"};
    const std::vector<std::string> near = nearest_names(name, names);
    status = misuse(fmt::format("unknown command {}; {}", printable(name),
                                near.empty() ? "/help lists those that exist"
                                             : fmt::format("did you mean {}?", near.front())));
  }
  if (!status) return std::unexpected(std::move(status).error());
  return After::kGoOn;
}

Status Conversation::set(const std::string& arguments) {
  if (arguments.empty()) {
    say(set_help(console_->width()));
    return {};
  }
  const size_t space = std::min(arguments.find(' '), arguments.size());
  std::string name = arguments.substr(0, space);
  std::ranges::replace(name, '_', '-');
  const size_t begin = std::min(arguments.find_first_not_of(' ', space), arguments.size());
  const std::string value = arguments.substr(begin);
  if (name == "think") {
    if (value != "show" && value != "fold" && value != "off" && value != "default") {
      return misuse(fmt::format("think is show, fold or off, got '{}'", printable(value)));
    }
    flags_.think = value == "default" ? std::nullopt : std::optional(value);
    if (value == "off") note_if_it_cannot_think(engine_, console_);
    return {};
  }
  if (name == "think-budget") note_if_it_cannot_think(engine_, console_);
  if (name == "speculate" && value == "model") note_if_no_model_guesses(engine_, console_);
  OptionList options;
  sampling_.declare(&options);
  const Option* option = options.find("--" + name);
  if (option == nullptr) {
    return misuse(
        fmt::format("there is nothing called '{}' to set; /help has the names", printable(name)));
  }
  if (value.empty()) return misuse(fmt::format("/set {} needs a value", name));
  if (value == "default") {
    sampling_.forget(option->name);
    return {};
  }
  if (option->is_flag() && value != "on") {
    return misuse(fmt::format("{} is on or default, got '{}'", name, printable(value)));
  }
  Status status = option->set(value);
  // Names of options, which are typed without dashes here.
  for (const Option& known : options.all()) {
    if (!status) status.error().message = without_dashes(status.error().message, known.name);
  }
  return status;
}

void Conversation::show() const {
  const SamplingOptions options = sampling_.sampling(engine_.default_sampling());
  std::string out = fmt::format("  model        {}\n", printable(engine_.model_name(), 200));
  out += fmt::format("  context      {} of {} tokens used\n", with_commas(context_used_),
                     with_commas(engine_.context_tokens()));
  out += fmt::format(
      "  temp {:g}, top-k {}, top-p {:g}, min-p {:g}\n"
      "  repeat-penalty {:g}, presence-penalty {:g}, frequency-penalty {:g}\n"
      "  seed {}, max-tokens {}, speculate {}, think {}, think-budget {}\n",
      options.temperature, options.top_k, options.top_p, options.min_p, options.repeat_penalty,
      options.presence_penalty, options.frequency_penalty,
      sampling_.seed ? fmt::format("{}", *sampling_.seed) : "at random",
      options.tokens_max < 0 ? "none" : fmt::format("{}", options.tokens_max),
      sampling_.speculate.value_or("on"), flags_.think.value_or("show"),
      options.think_budget < 0 ? "none" : fmt::format("{}", options.think_budget));
  if (options.form.kind != AnswerForm::Kind::kAny) {
    out += fmt::format("  {} {}\n", sampling_.form_option.substr(2),
                       options.form.kind == AnswerForm::Kind::kJsonObject
                           ? "on"
                           : printable(options.form.text, 200));
  }
  for (const std::string& text : options.stop) {
    out += fmt::format("  stop \"{}\"\n", printable(text));
  }
  if (flags_.system) out += fmt::format("  system       {}\n", printable(*flags_.system, 200));
  say(out);
}

// A file that is no conversation is somebody's, and is not written over.
Status Conversation::save(const std::string& path) const {
  if (path.empty()) return misuse("/save needs the name of a file");
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_empty(path, ignored) &&
      !read_conversation(path)) {
    return misuse(
        fmt::format("{} exists and is not a conversation that /save wrote; choose another name, or "
                    "delete it first",
                    printable(path, 400)));
  }
  Json out = {{"model", engine_.model_name()}, {"turns", Json::array()}};
  for (const ChatTurn& turn : turns_) {
    Json one = {{"role", turn.role}, {"content", turn.content}};
    if (!turn.reasoning.empty()) one["reasoning"] = turn.reasoning;
    out["turns"].push_back(one);
  }
  // Whole or not at all: a full disk must not take the conversation that was there before.
  const std::string text = json_line(out);
  MINKE_ASSIGN(OutputFile file, OutputFile::create(path));
  MINKE_TRY(file.write(std::as_bytes(std::span(text))));
  MINKE_TRY(file.commit());
  say(fmt::format("({} turns are in {})\n", turns_.size(), printable(path, 400)));
  return {};
}

Status Conversation::load(const std::string& path) {
  if (path.empty()) return misuse("/load needs the name of a file that /save wrote");
  MINKE_ASSIGN(turns_, read_conversation(path));
  ahead_.end();
  context_used_ = 0;  // until the next answer reads them
  flags_.system.reset();
  if (!turns_.empty() && turns_[0].role == "system") flags_.system = turns_[0].content;
  say(fmt::format("({} turns; the conversation goes on from there)\n", turns_.size()));
  return {};
}

Status Conversation::retry() {
  std::vector<ChatTurn> before = turns_;
  if (!turns_.empty() && turns_.back().role == "assistant") turns_.pop_back();
  if (turns_.empty() || turns_.back().role != "user") return misuse("there is no message yet");
  const Result<bool> answered = answer();
  if (!answered.value_or(false)) turns_ = std::move(before);
  return answered ? Status() : std::unexpected(answered.error());
}

Status Conversation::ask(const std::string& message) {
  std::string content = message;
  if (console_->stdin_is_terminal()) {
    MINKE_ASSIGN(content, with_files(message, [this](const std::string& words) {
                   say(fmt::format("({})\n", words));
                 }));
  }
  const size_t before = turns_.size();
  turns_.push_back({"user", content, ""});
  const Result<bool> answered = answer();
  if (!answered.value_or(false)) turns_.resize(before);
  return answered ? Status() : std::unexpected(answered.error());
}

// Answers the last turn, which is the user's, and adds the answer to the conversation. False when
// Ctrl-C came before there was any.
Result<bool> Conversation::answer() {
  SamplingOptions options = sampling_.sampling(engine_.default_sampling());
  options.think = wants_thinking(flags_.think, engine_);
  AnswerView view(console_, {.fold_thinking = flags_.think == "fold", .quiet = flags_.json});
  InterruptGuard::clear();
  Result<Answer> result;
  {
    const EchoGuard echo;
    result = show_answer(
        [&](const OnPiece& on_piece, const std::stop_token& cancel) {
          return engine_.chat_on(turns_, {}, options, on_piece, timeline_, cancel);
        },
        &view);
    view.end();
  }
  const bool interrupted = InterruptGuard::interrupted();
  InterruptGuard::clear();
  if (!result) return std::unexpected(std::move(result).error());
  const bool nothing_came = result->finish == FinishReason::kCancelled && result->content.empty() &&
                            result->reasoning.empty();
  if (!nothing_came) {
    context_used_ = result->usage.prompt_tokens + result->usage.answer_tokens;
    turns_.push_back({"assistant", result->content, result->reasoning});
    ahead_.begin(turns_, options, timeline_);
  }
  if (interrupted && console_->stdin_is_terminal()) {
    say(nothing_came ? "(ended by Ctrl-C before the answer began: the message is not kept)\n"
                     : "(ended by Ctrl-C)\n");
  }
  if (flags_.json) {
    console_->out(answer_json(*result, engine_.model_name()));
    MINKE_TRY(console_->flush());
  }
  // A person goes on chatting; a program that feeds lines is to stop.
  if (interrupted && !console_->stdin_is_terminal()) return fail(std::string(kInterrupted));
  const bool for_a_person = console_->stdin_is_terminal() && !flags_.json;
  if ((for_a_person && !nothing_came) || flags_.stats) {
    print_closing(*result, engine_, console_);
  }
  if (for_a_person) console_->err("\n");
  return !nothing_came;
}

}  // namespace

void ChatFlags::declare(OptionList* options) {
  options->group("Conversation");
  Option& instructions =
      options->text("--system", "TEXT", "Instructions that stand before the conversation", &system);
  instructions.default_text = "the model's own";
  instructions.set = [this](std::string_view text) -> Status {
    if (!is_utf8(text)) return misuse("--system is not UTF-8 text; convert it first");
    system = std::string(text);
    return {};
  };
  options
      ->choice("--think",
               "Show a model's thinking, fold it into one line, or let it answer without",
               {"show", "fold", "off"}, &think)
      .default_text = "show, and thinking as the model has it";
  options->flag("--no-think", "The same as --think off", &no_think);
  options->file("--chat-template", "A chat template (Jinja) to use instead of the model's",
                &template_file);
  options->flag("--stats", "Say how fast it went also where stderr is no terminal", &stats);
  options->flag("--verbose", "Say what was loaded, with which settings", &verbose);
}

Status ChatFlags::settle() {
  if (!no_think) return {};
  if (think && *think != "off") {
    return misuse(fmt::format("--no-think and --think {} contradict each other: give one", *think));
  }
  think = "off";
  return {};
}

Result<std::vector<Tool>> read_tools(const std::string& path) {
  MINKE_ASSIGN(const std::string text, read_file_bytes(path, size_t{16} << 20));
  const Json json = Json::parse(text, nullptr, false);
  const auto bad = [&](std::string_view what) {
    return misuse(
        fmt::format("{} {}: expected [{{\"name\": ..., \"description\": ..., "
                    "\"parameters\": {{JSON Schema}}}}, ...], or OpenAI's list of tools",
                    printable(path, 400), what));
  };
  if (json.is_discarded()) return bad("is no JSON");
  if (!json.is_array() || json.empty()) return bad("is no list of tools");
  std::vector<Tool> tools;
  for (const Json& one : json) {
    const bool is_wrapped = one.is_object() && one.contains("function");
    const Json& tool = is_wrapped ? one["function"] : one;
    if (!tool.is_object() || !tool.contains("name") || !tool["name"].is_string()) {
      return bad("has a tool without a name");
    }
    Tool& out = tools.emplace_back();
    out.name = tool["name"].get<std::string>();
    if (tool.contains("description") && tool["description"].is_string()) {
      out.description = tool["description"].get<std::string>();
    }
    if (tool.contains("parameters")) out.parameters = tool["parameters"].dump();
  }
  return tools;
}

Result<std::shared_ptr<LocalEngine>> load_engine(EngineFlags flags, const ChatFlags& chat,
                                                 std::string path, Console* console) {
  if (chat.template_file) {
    MINKE_ASSIGN(flags.chat_template, read_file_bytes(*chat.template_file, size_t{1} << 20));
    if (flags.chat_template.empty()) {
      return misuse(fmt::format("{} is empty: it is no chat template", *chat.template_file));
    }
  }
  const auto started = std::chrono::steady_clock::now();
  MINKE_ASSIGN(std::shared_ptr<LocalEngine> engine, load_local_engine(flags, path, console));
  if (chat.verbose) {
    const double load_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    const MemoryReport memory = engine->memory();
    const auto words = [](uint64_t bytes) { return human_bytes(static_cast<int64_t>(bytes)); };
    console->note(fmt::format(
        "{} from {} in {}\n"
        "context {} tokens; memory: {} of weights, {}{} for {} tokens of cache, {} to work in, of "
        "{}\n",
        engine->model_name(), path, duration(load_s), with_commas(engine->context_tokens()),
        words(memory.weights),
        memory.expert_cache > 0 ? words(memory.expert_cache) + " of experts, " : "",
        words(memory.kv_cache), with_commas(memory.kv_cache_tokens), words(memory.activations),
        words(memory.budget)));
    if (engine->draft_kind() == DraftKind::kMtp) {
      console->note("the model's own layer guesses ahead (--mtp)\n");
    } else if (engine->draft_kind() == DraftKind::kModel) {
      console->note(fmt::format("{} guesses ahead\n", *flags.draft_model));
    }
  }
  return engine;
}

std::string answer_json(const Answer& answer, const std::string& model) {
  const Usage& u = answer.usage;
  Json calls = Json::array();
  for (const ToolCall& call : answer.tool_calls) {
    calls.push_back({{"id", call.id}, {"name", call.name}, {"arguments", call.arguments}});
  }
  const double rate = u.answer_tokens > 1 && u.answer_seconds > 0
                          ? static_cast<double>(u.answer_tokens - 1) / u.answer_seconds
                          : 0;
  return json_line({{"model", model},
                    {"content", answer.content},
                    {"reasoning", answer.reasoning.empty() ? Json() : Json(answer.reasoning)},
                    {"tool_calls", calls},
                    {"finish", finish_word(answer.finish)},
                    {"thinking_was_closed", answer.thinking_was_closed},
                    {"seed", answer.seed},
                    {"usage",
                     {{"prompt_tokens", u.prompt_tokens},
                      {"cached_tokens", u.cached_tokens},
                      {"answer_tokens", u.answer_tokens},
                      {"reasoning_tokens", u.reasoning_tokens},
                      {"drafted_tokens", u.drafted_tokens},
                      {"accepted_tokens", u.accepted_tokens},
                      {"prompt_s", u.prompt_seconds},
                      {"answer_s", u.answer_seconds},
                      {"tokens_per_s", rate}}}});
}

Status answer_once(LocalEngine& engine, const OneAnswer& what, const ChatFlags& flags,
                   const SamplingFlags& sampling, Console* console) {
  SamplingOptions options = sampling.sampling(engine.default_sampling());
  options.think = wants_thinking(flags.think, engine);
  if (flags.think == "off" || (options.think_budget >= 0 && !what.raw)) {
    note_if_it_cannot_think(engine, console);
  }
  if (sampling.speculate == "model") note_if_no_model_guesses(engine, console);
  std::vector<ChatTurn> turns;
  if (flags.system) turns.push_back({"system", *flags.system, ""});
  turns.push_back({"user", what.prompt, ""});
  AnswerView view(console, {.fold_thinking = flags.think == "fold", .quiet = flags.json});
  const InterruptGuard guard;
  const Ask ask = [&](const OnPiece& on_piece, const std::stop_token& cancel) {
    return what.raw ? engine.complete(what.prompt, options, on_piece, cancel)
                    : engine.chat_with_tools(turns, what.tools, options, on_piece, cancel);
  };
  const Result<Answer> answer = show_answer(ask, &view);
  view.end();
  if (!answer) return std::unexpected(answer.error());
  for (const ToolCall& call : answer->tool_calls) {
    if (!flags.json) console->out(call_line(call) + "\n");
  }
  if (flags.json) console->out(answer_json(*answer, engine.model_name()));
  MINKE_TRY(console->flush());
  note_if_cut_off(*answer, options, console);
  if (flags.stats || (console->stderr_is_terminal() && !flags.json)) {
    print_closing(*answer, engine, console);
  }
  if (flags.verbose) console->note(fmt::format("seed {}\n", answer->seed));
  if (InterruptGuard::interrupted()) return fail(std::string(kInterrupted));
  return {};
}

Status chat(LocalEngine& engine, const ChatFlags& flags, SamplingFlags sampling, Console* console) {
  if (console->stdin_is_terminal() && !flags.json) {
    const Style& style = console->err_style();
    const std::string name = printable(engine.model_name(), 200);
    const std::string line =
        wrapped(name + " — /help for what can be typed, Ctrl-D to leave", console->width(), 0);
    console->err(fmt::format("{}{}{}{}{}{}\n\n", style.bold, line.substr(0, name.size()),
                             style.reset, style.dim, line.substr(name.size()), style.reset));
  }
  if (flags.think == "off" || sampling.think_budget) note_if_it_cannot_think(engine, console);
  if (sampling.speculate == "model") note_if_no_model_guesses(engine, console);
  Conversation conversation(engine, flags, std::move(sampling), console);
  return conversation.run();
}

}  // namespace minke::cli
