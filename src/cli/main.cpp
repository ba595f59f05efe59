// minke VERB ...: finds the verb, gives it its options, runs it, and turns its result into an exit
// status: 0, 1 (failure), 2 (misuse), 130 (ended by Ctrl-C).

#include <fmt/format.h>
#include <langinfo.h>

#include <clocale>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "cli/text_util.h"
#include "core/version.h"
#include "io/catalogue.h"

namespace minke::cli {

namespace {

int exit_status(const Error& error) {
  if (error.message == kInterrupted) return 130;
  return error.kind == ErrorKind::kUsage ? 2 : 1;
}

int unknown_verb(const std::string& verb, Console* console) {
  std::vector<std::string> names;
  for (const MakeCommand make : all_commands()) names.push_back(make()->text().name);
  if (verb.starts_with('-')) {
    console->error(
        fmt::format("{} stands where a verb is expected: minke VERB [OPTIONS]; minke --help lists "
                    "the verbs, and "
                    "minke --version says which minke this is",
                    printable(verb)));
    return 2;
  }
  const auto near = verb.empty() ? std::vector<std::string>() : nearest_names(verb, names);
  const std::string hint = near.empty() ? "minke --help lists those that exist"
                                        : fmt::format("did you mean `minke {}`?", near.front());
  console->error(fmt::format("unknown verb '{}'; {}", printable(verb), hint));
  return 2;
}

Status run_verb(Command* command, const std::vector<std::string>& words, Console* console) {
  OptionList options;
  command->declare(&options);
  MINKE_ASSIGN(const ParsedLine line, parse_words(words, options));
  if (line.help) {
    console->out(
        line.json ? command_help_json(command->text(), options)
                  : command_help(command->text(), options, console->out_style(), console->width()));
    return console->flush();
  }
  MINKE_TRY(command->run(console));
  return console->flush();
}

int run_main(const std::vector<std::string>& words, Console* console) {
  std::string verb = words.empty() ? "--help" : words.front();
  std::vector<std::string> rest(words.empty() ? words.begin() : words.begin() + 1, words.end());
  if (verb == "--help" || verb == "-h") verb = "help";
  if (verb == "--version") {
    console->out(fmt::format("minke {}\n", kVersion));
    return console->flush() ? 0 : 1;
  }
  const std::unique_ptr<Command> command = make_command(verb);
  if (command == nullptr) return unknown_verb(verb, console);
  if (const Status status = run_verb(command.get(), rest, console); !status) {
    if (status.error().message != kInterrupted) {
      console->error(fmt::format("{}: {}", verb, status.error().message));
    }
    return exit_status(status.error());
  }
  return 0;
}

// Line editing needs to know that the terminal speaks UTF-8, also where no locale is set.
void choose_locale() {
  const char* chosen = std::setlocale(LC_CTYPE, "");
  if (chosen == nullptr || std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
    std::setlocale(LC_CTYPE, "C.UTF-8");
  }
}

}  // namespace

}  // namespace minke::cli

int main(int argc, char** argv) {
  // A file that would be larger than `ulimit -f` allows is a failed write like any other.
  std::signal(SIGXFSZ, SIG_IGN);
  const minke::cli::TerminalGuard guard;
  minke::cli::choose_locale();
  minke::cli::Console console;
  return minke::cli::run_main({argv + (argc > 0 ? 1 : 0), argv + argc}, &console);
}
