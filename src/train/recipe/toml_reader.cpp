#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "train/recipe/document.h"

// Compiled in here, without exceptions: a fault is a value.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
// The parser asserts of some malformed texts that they cannot be ("[[" before a control character),
// and behind that says what is wrong with them: let it.
#define TOML_ASSERT(expression) static_assert(true)
#include <toml++/toml.h>

namespace minke::recipe {
namespace {

Node node_from(const toml::node& source);

Node::Table table_from(const toml::table& source) {
  Node::Table table;
  for (const auto& [key, value] : source) {
    Node node = node_from(value);
    node.line = key.source().begin.line;
    table.emplace_back(std::string(key.str()), std::move(node));
  }
  // The parser keeps keys by their spelling; people know them by their place.
  std::ranges::stable_sort(table, {}, [](const auto& entry) { return entry.node.line; });
  return table;
}

Node node_from(const toml::node& source) {
  Node node = {.line = source.source().begin.line};
  if (const auto* table = source.as_table()) {
    node.value = table_from(*table);
  } else if (const auto* array = source.as_array()) {
    Node::List list;
    for (const toml::node& element : *array) list.push_back(node_from(element));
    node.value = std::move(list);
  } else if (const auto* flag = source.as_boolean()) {
    node.value = flag->get();
  } else if (const auto* integer = source.as_integer()) {
    node.value = integer->get();
  } else if (const auto* number = source.as_floating_point()) {
    node.value = number->get();
  } else if (const auto* text = source.as_string()) {
    node.value = text->get();
  }
  return node;
}

void write_key(std::string_view key, std::string& out) {
  const bool bare = !key.empty() && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
  if (bare) {
    out += key;
    return;
  }
  out += '"';
  for (const char c : key) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

void write_text(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

// A value behind its key; tables in braces.
void write_value(const Node& node, std::string& out) {
  if (const auto* flag = std::get_if<bool>(&node.value)) {
    out += *flag ? "true" : "false";
  } else if (const auto* integer = std::get_if<int64_t>(&node.value)) {
    out += fmt::format("{}", *integer);
  } else if (const auto* number = std::get_if<double>(&node.value)) {
    std::string shown = fmt::format("{}", *number);
    if (std::isfinite(*number) && shown.find_first_of(".e") == std::string::npos) shown += ".0";
    out += shown;
  } else if (const auto* text = std::get_if<std::string>(&node.value)) {
    write_text(*text, out);
  } else if (const auto* list = node.as_list()) {
    out += '[';
    for (size_t i = 0; i < list->size(); ++i) {
      if (i > 0) out += ", ";
      write_value((*list)[i], out);
    }
    out += ']';
  } else if (const auto* table = node.as_table()) {
    out += "{ ";
    for (size_t i = 0; i < table->size(); ++i) {
      if (i > 0) out += ", ";
      write_key((*table)[i].key, out);
      out += " = ";
      write_value((*table)[i].node, out);
    }
    out += " }";
  } else {
    out += "\"\"";
  }
}

bool is_list_of_tables(const Node& node) {
  const auto* list = node.as_list();
  return list != nullptr && !list->empty() &&
         std::ranges::all_of(*list, [](const Node& one) { return one.as_table() != nullptr; });
}

// Values first: what stands behind a [header] would belong to it.
void write_table(const Node::Table& table, const std::string& path, std::string& out) {
  for (const auto& [key, node] : table) {
    if (node.as_table() != nullptr || is_list_of_tables(node)) continue;
    write_key(key, out);
    out += " = ";
    write_value(node, out);
    out += '\n';
  }
  for (const auto& [key, node] : table) {
    std::string below = path.empty() ? "" : path + ".";
    write_key(key, below);
    if (const auto* inner = node.as_table()) {
      out += fmt::format("\n[{}]\n", below);
      write_table(*inner, below, out);
    } else if (is_list_of_tables(node)) {
      for (const Node& one : *node.as_list()) {
        out += fmt::format("\n[[{}]]\n", below);
        write_table(*one.as_table(), below, out);
      }
    }
  }
}

// Where a string or comment that begins at `at` ends; `at` where none does. One that is not closed
// ends with its line, where the parser will complain.
size_t end_of_quoted(std::string_view text, size_t at) {
  const char quote = text[at];
  if (quote == '#') return std::min(text.find('\n', at), text.size());
  if (quote != '"' && quote != '\'') return at;
  const std::string three(3, quote);
  const bool is_long = text.substr(at).starts_with(three);
  const std::string_view end = is_long ? std::string_view(three) : text.substr(at, 1);
  for (size_t i = at + end.size(); i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text.substr(i).starts_with(end)) {
      i += end.size();
      while (is_long && i < text.size() && text[i] == quote) ++i;  // a long one may end with quotes
      return i;
    } else if (!is_long && text[i] == '\n') {
      return i;
    }
  }
  return text.size();
}

// TOML is ASCII outside of strings and comments. The parser (3.3) takes letters beyond it there for
// what cannot be, and may then do anything; so they are looked for first. 0: there are none.
size_t line_of_stray_letter(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  size_t line = 1;
  size_t at = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  char before = '\n';
  while (at < text.size()) {
    if (static_cast<uint8_t>(text[at]) >= 0x80) return line;
    // A quote inside a word begins no string: the parser looks on over it.
    const bool begins = text[at] == '#' || std::string_view(" \t\r\n=,.[{").contains(before);
    const size_t end = std::max(begins ? end_of_quoted(text, at) : at, at + 1);
    before = text[end - 1];
    line += static_cast<size_t>(std::ranges::count(text.substr(at, end - at), '\n'));
    at = end;
  }
  return 0;
}

}  // namespace

Result<Node> read_toml(std::string_view text, const std::string& name) {
  if (const size_t line = line_of_stray_letter(text); line != 0) {
    return misuse(
        fmt::format("{}:{}: a letter outside of ASCII stands outside of quotes: keys and "
                    "values with such letters are written \"like this\"",
                    name, line));
  }
  const toml::parse_result parsed = toml::parse(text, name);
  if (parsed.failed()) {
    const toml::parse_error& error = parsed.error();
    return misuse(fmt::format("{}:{}: {}", name, error.source().begin.line, error.description()));
  }
  return Node{.value = table_from(parsed.table())};
}

Node read_toml_value(const std::string& text) {
  if (line_of_stray_letter(text) != 0) return {.value = text};
  const toml::parse_result parsed = toml::parse("value = " + text);
  // One value and no more: a line end could smuggle in a second key.
  if (!parsed.failed() && parsed.table().size() == 1) {
    Node node = node_from(*parsed.table().get("value"));
    if (!std::holds_alternative<std::monostate>(node.value)) return node;
  }
  return {.value = text};
}

std::string write_toml(const Node& root) {
  std::string out;
  write_table(*root.as_table(), "", out);
  return out;
}

}  // namespace minke::recipe
