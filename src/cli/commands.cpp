// The table of verbs, in the order of the help.

#include <array>

#include "cli/command.h"

namespace minke::cli {

std::span<const MakeCommand> all_commands() {
  static constexpr std::array kCommands = {
      &make_run,     &make_chat,      &make_serve,     &make_show,        &make_list,  &make_pull,
      &make_rm,      &make_tokenize,  &make_logprobs,  &make_perplexity,  &make_eval,  &make_bench,
      &make_convert, &make_quantize,  &make_calibrate, &make_compare,     &make_synth, &make_train,
      &make_plot,    &make_tokenizer, &make_data,      &make_completions, &make_help};
  return kCommands;
}

std::unique_ptr<Command> make_command(std::string_view name) {
  for (const MakeCommand make : all_commands()) {
    std::unique_ptr<Command> command = make();
    if (command->text().name == name) return command;
  }
  return nullptr;
}

}  // namespace minke::cli
