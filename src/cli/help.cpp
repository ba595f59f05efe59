#include "cli/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/text_util.h"
#include "core/version.h"
#include "io/catalogue.h"

namespace minke::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string heading(std::string_view text, const Style& style) {
  return fmt::format("\n{}{}{}\n", style.bold, text, style.reset);
}

std::string left_column(const Option& option) {
  if (option.is_positional() || option.is_flag()) return option.name;
  return option.name + " " + option.value_name;
}

std::string right_column(const Option& option) {
  std::vector<std::string> notes;
  if (option.required && !option.is_positional()) notes.emplace_back("required");
  if (!option.range.empty()) notes.push_back(option.range);
  if (!option.default_text.empty()) notes.push_back("default: " + option.default_text);
  if (option.repeatable && !option.is_positional()) notes.emplace_back("may be repeated");
  if (notes.empty()) return option.help;
  return fmt::format("{} ({})", option.help, fmt::join(notes, "; "));
}

std::string option_lines(const Option& option, const Style& style, int width) {
  static constexpr int kColumn = 26;
  const std::string left = left_column(option);
  std::string out = fmt::format("  {}{}{}", style.cyan, left, style.reset);
  const int used = 2 + text_width(left);
  if (used + 2 > kColumn) {
    out += '\n';
    out.append(kColumn, ' ');
  } else {
    out.append(static_cast<size_t>(kColumn - used), ' ');
  }
  return out + wrapped(right_column(option), width, kColumn) + "\n";
}

Json describe(const Option& option) {
  Json out = {{"name", option.name}, {"type", value_kind_name(option.kind)}};
  if (option.is_positional()) out["positional"] = true;
  if (!option.range.empty()) out["range"] = option.range;
  if (!option.choices.empty()) out["choices"] = option.choices;
  if (!option.default_text.empty()) out["default"] = option.default_text;
  out["required"] = option.required;
  out["repeatable"] = option.repeatable;
  out["help"] = option.help;
  return out;
}

Json describe(const CommandText& text, const OptionList& options) {
  Json out = {{"name", text.name},
              {"summary", text.summary},
              {"description", text.description},
              {"usage", usage_line(text, options)}};
  out["options"] = Json::array();
  for (const Option& option : options.all()) out["options"].push_back(describe(option));
  out["examples"] = Json::array();
  for (const Example& example : text.examples) {
    out["examples"].push_back({{"command", example.command}, {"what", example.what}});
  }
  return out;
}

}  // namespace

std::string overview(const Style& style, int width) {
  std::string out = wrapped(
      "minke runs language models (GGUF files and Hugging Face folders) on this computer, offline.",
      width, 0);
  out += "\n" + heading("Usage", style);
  out += "  minke VERB [OPTIONS] [ARGUMENTS]\n";
  out += heading("Verbs", style);
  for (const MakeCommand make : all_commands()) {
    const CommandText text = make()->text();
    out += fmt::format("  {}{:<12}{} {}\n", style.cyan, text.name, style.reset,
                       wrapped(text.summary, width, 15));
  }
  out += heading("Examples", style);
  out += "  minke run \"What is the capital of France?\"\n";
  out += "  minke chat qwen2.5-coder:0.5b\n";
  out += "  minke show model.gguf\n";
  out += heading("Models", style);
  out += "  A MODEL is the path of a GGUF file or of a Hugging Face folder, a name of the\n";
  out += "  catalogue (minke list) or owner/repo:file from Hugging Face.\n";
  out += fmt::format("  The default is {}.\n", kDefaultModel);
  out += "\nminke VERB --help says more about each verb.\n";
  return out;
}

std::string usage_line(const CommandText& text, const OptionList& options) {
  std::string out = "minke " + text.name;
  bool has_options = false;
  for (const Option& option : options.all()) has_options |= !option.is_positional();
  for (const Option& option : options.all()) {
    if (!option.is_positional()) continue;
    const std::string name = option.repeatable ? option.name + " ..." : option.name;
    out += option.required ? " " + name : " [" + name + "]";
  }
  for (const Option& option : options.all()) {
    if (!option.is_positional() && option.required) out += " " + left_column(option);
  }
  return has_options ? out + " [OPTIONS]" : out;
}

std::string command_help(const CommandText& text, const OptionList& options, const Style& style,
                         int width) {
  std::string out = fmt::format("{}\n", wrapped(text.description, width, 0));
  out += heading("Usage", style) + "  " + usage_line(text, options) + "\n";
  std::vector<std::string> groups;
  for (const Option& option : options.all()) {
    if (option.is_positional()) {
      if (std::ranges::find(groups, "Arguments") == groups.end())
        groups.insert(groups.begin(), "Arguments");
    } else if (std::ranges::find(groups, option.group) == groups.end()) {
      groups.push_back(option.group);
    }
  }
  for (const std::string& group : groups) {
    out += heading(group, style);
    for (const Option& option : options.all()) {
      const std::string own = option.is_positional() ? "Arguments" : option.group;
      if (own == group) out += option_lines(option, style, width);
    }
  }
  if (!text.examples.empty()) out += heading("Examples", style);
  for (const Example& example : text.examples) {
    out += fmt::format("  {}\n      {}{}{}\n", example.command, style.dim,
                       wrapped(example.what, width, 6), style.reset);
  }
  return out;
}

std::string command_help_json(const CommandText& text, const OptionList& options) {
  return describe(text, options).dump() + "\n";
}

std::string overview_json() {
  Json out = {{"version", kVersion}, {"verbs", Json::array()}};
  for (const MakeCommand make : all_commands()) {
    const std::unique_ptr<Command> command = make();
    OptionList options;
    command->declare(&options);
    out["verbs"].push_back(describe(command->text(), options));
  }
  return out.dump() + "\n";
}

}  // namespace minke::cli
