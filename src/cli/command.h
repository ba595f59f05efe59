// A verb of minke as an object: its name, what the help says, its options, and what it does.
// The table of verbs (commands.cpp) is all that main, the help and the completions know.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/console.h"
#include "cli/option.h"
#include "core/result.h"

namespace minke::cli {

struct Example {
  std::string command;
  std::string what;  // it does
};

// What the help says about a verb.
struct CommandText {
  std::string name;
  std::string summary;      // one line, no full stop
  std::string description;  // sentences
  std::vector<Example> examples;
};

// One use of one verb: made, told its options, run once.
class Command {
 public:
  virtual ~Command() = default;
  virtual CommandText text() const = 0;
  // The options write to this object. Called once.
  virtual void declare(OptionList* options) = 0;
  // The exit status is 0, or 2 for ErrorKind::kUsage and 1 for other errors; kInterrupted stands
  // for 130.
  virtual Status run(Console* console) = 0;
};

// The message of an error that means only that Ctrl-C ended the verb: nothing is printed.
inline constexpr std::string_view kInterrupted = "interrupted";

using MakeCommand = std::unique_ptr<Command> (*)();
std::span<const MakeCommand> all_commands();
// Null when there is none of that name.
std::unique_ptr<Command> make_command(std::string_view name);

// One for each verb, in its own file.
std::unique_ptr<Command> make_bench();
std::unique_ptr<Command> make_chat();
std::unique_ptr<Command> make_calibrate();
std::unique_ptr<Command> make_compare();
std::unique_ptr<Command> make_completions();
std::unique_ptr<Command> make_data();
std::unique_ptr<Command> make_eval();
std::unique_ptr<Command> make_help();
std::unique_ptr<Command> make_list();
std::unique_ptr<Command> make_logprobs();
std::unique_ptr<Command> make_perplexity();
std::unique_ptr<Command> make_plot();
std::unique_ptr<Command> make_pull();
std::unique_ptr<Command> make_quantize();
std::unique_ptr<Command> make_rm();
std::unique_ptr<Command> make_run();
std::unique_ptr<Command> make_serve();
std::unique_ptr<Command> make_show();
std::unique_ptr<Command> make_convert();
std::unique_ptr<Command> make_synth();
std::unique_ptr<Command> make_tokenize();
std::unique_ptr<Command> make_tokenizer();
std::unique_ptr<Command> make_train();

}  // namespace minke::cli
