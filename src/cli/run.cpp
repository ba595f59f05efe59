// minke run [MODEL] [PROMPT] and minke chat [MODEL].

#include <fmt/format.h>

#include "cli/chat.h"
#include "cli/command.h"
#include "cli/model_flags.h"
#include "cli/prompt.h"
#include "cli/text_util.h"

namespace minke::cli {

namespace {

class Run : public Command {
 public:
  CommandText text() const override {
    return {.name = "run",
            .summary = "Answer one question, or chat when there is none",
            .description =
                "Answers PROMPT on stdout and ends. Without PROMPT the question is read from "
                "stdin, and in a terminal a chat begins. With both, what was piped in follows "
                "PROMPT. Words like @notes.txt in PROMPT put that file in their place. A single "
                "argument is a MODEL when it is the path of a file, a name of the catalogue or "
                "written like one, and otherwise the PROMPT.",
            .examples = {
                {"minke run \"What is the capital of France?\"", "the default model answers"},
                {"minke run model.gguf \"Write a haiku.\" --seed 7",
                 "your own model; the same answer every time"},
                {"git diff | minke run \"Write a commit message for this.\"",
                 "a question about what is piped in"},
                {"minke run \"Explain @src/main.cpp\" --max-tokens 400", "a question about a file"},
                {"minke run \"Name a colour.\" --json", "the answer with its numbers"}}};
  }

  void declare(OptionList* options) override {
    options->positional("MODEL", ValueKind::kModel, kModelWords, &first_).default_text =
        kDefaultModelWords;
    options->positional("PROMPT", ValueKind::kText, "The question", &second_);
    flags_.declare(options);
    options->flag("--raw", "Continue PROMPT as it stands, without the chat template", &raw_);
    options->file("--tools", "Tools that the model may call, as JSON; calls go to stdout, uncalled",
                  &tools_);
    options->flag("--json", "Print the whole answer as one line of JSON", &flags_.json);
    sampling_.declare(options);
    engine_.declare(options);
  }

  Status run(Console* console) override {
    MINKE_TRY(flags_.settle());
    if (raw_ && flags_.think == "off") {
      return misuse(
          "--no-think is done with the chat template, which --raw leaves out: give one of the two");
    }
    if (raw_ && tools_) {
      return misuse(
          "--tools are shown by the chat template, which --raw leaves out: give one of the two");
    }
    if (raw_ && flags_.template_file) {
      return misuse(
          "--raw leaves the chat template out, so --chat-template says nothing: give one "
          "of the two");
    }
    if (raw_ && flags_.system) {
      return misuse(
          "--system is part of the chat template, which --raw leaves out: give one of "
          "the two");
    }
    std::optional<std::string> model = first_;
    std::optional<std::string> prompt = second_;
    if (first_ && !second_ && !looks_like_model(*first_)) {
      model.reset();
      prompt = first_;
    }
    if (prompt && prompt->find_first_not_of(" \t\r\n") == std::string::npos) {
      return misuse("the prompt is empty; ask something, or leave it out to chat");
    }
    const bool chats = !prompt && console->stdin_is_terminal();
    if (chats && (raw_ || flags_.json)) {
      return misuse(
          fmt::format("{} needs a prompt: give PROMPT or pipe one in", raw_ ? "--raw" : "--json"));
    }
    Result<std::string> path = model_path(model);
    if (!path && !second_ && path.error().kind == ErrorKind::kUsage) {
      path.error().message += "; if it is the question, give it behind a MODEL";
    }
    if (!path) return std::unexpected(std::move(path).error());
    if (chats && tools_) return misuse("--tools needs a prompt: give PROMPT or pipe one in");
    OneAnswer what{.prompt = "", .raw = raw_};
    if (tools_) {
      MINKE_ASSIGN(what.tools, read_tools(*tools_));
    }
    if (!chats) {
      MINKE_ASSIGN(what.prompt, whole_prompt(prompt, console));
    }
    MINKE_ASSIGN(const std::shared_ptr<LocalEngine> engine,
                 load_engine(engine_, flags_, *std::move(path), console));
    if (chats) return chat(*engine, flags_, sampling_, console);
    return answer_once(*engine, what, flags_, sampling_, console);
  }

 private:
  Result<std::string> whole_prompt(const std::optional<std::string>& prompt, Console* console) {
    std::string text;
    if (prompt) {
      if (!is_utf8(*prompt)) return misuse("PROMPT is not UTF-8 text; convert it first");
      MINKE_ASSIGN(text, with_files(*prompt, [console](const std::string& words) {
                     console->note(fmt::format("({})\n", words));
                   }));
    }
    if (prompt && !stdin_was_given()) return text;
    MINKE_ASSIGN(const std::string piped, read_stdin_text());
    if (piped.find_first_not_of(" \t\r\n") == std::string::npos) {
      if (prompt) return text;
      return misuse("there is no prompt: stdin is empty; give PROMPT or pipe a question in");
    }
    return prompt ? text + "\n\n" + piped : piped;
  }

  std::optional<std::string> first_, second_, tools_;
  bool raw_ = false;
  ChatFlags flags_;
  SamplingFlags sampling_;
  EngineFlags engine_;
};

class Chat : public Command {
 public:
  CommandText text() const override {
    return {.name = "chat",
            .summary = "Hold a conversation in the terminal",
            .description =
                "Asks and answers until Ctrl-D. Ctrl-C ends an answer and keeps the "
                "chat; /help inside says what else can be typed. Where stdin is no "
                "terminal each line is a message.",
            .examples = {{"minke chat", "with the default model"},
                         {"minke chat qwen2.5-coder:0.5b --system \"Answer in French.\"",
                          "with a smaller one and instructions"},
                         {"minke chat --json < questions.txt",
                          "a line of JSON for each line of the file, one conversation"}}};
  }

  void declare(OptionList* options) override {
    options->positional("MODEL", ValueKind::kModel, kModelWords, &model_).default_text =
        kDefaultModelWords;
    flags_.declare(options);
    options->flag("--no-history", "Do not keep what is typed for the next time",
                  &flags_.no_history);
    options->flag("--json", "Print each answer as one line of JSON", &flags_.json);
    sampling_.declare(options);
    engine_.declare(options);
  }

  Status run(Console* console) override {
    MINKE_TRY(flags_.settle());
    MINKE_ASSIGN(std::string path, model_path(model_));
    MINKE_ASSIGN(const std::shared_ptr<LocalEngine> engine,
                 load_engine(engine_, flags_, std::move(path), console));
    return chat(*engine, flags_, sampling_, console);
  }

 private:
  std::optional<std::string> model_;
  ChatFlags flags_;
  SamplingFlags sampling_;
  EngineFlags engine_;
};

}  // namespace

std::unique_ptr<Command> make_run() { return std::make_unique<Run>(); }
std::unique_ptr<Command> make_chat() { return std::make_unique<Chat>(); }

}  // namespace minke::cli
