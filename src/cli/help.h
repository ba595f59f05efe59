// What --help prints, and the same as JSON: made from the verbs and their options alone.
#pragma once

#include <string>

#include "cli/command.h"
#include "cli/console.h"
#include "cli/option.h"

namespace minke::cli {

std::string overview(const Style& style, int width);
std::string usage_line(const CommandText& text, const OptionList& options);
std::string command_help(const CommandText& text, const OptionList& options, const Style& style,
                         int width);
std::string command_help_json(const CommandText& text, const OptionList& options);
std::string overview_json();

}  // namespace minke::cli
