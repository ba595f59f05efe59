// A recipe in memory: what the TOML reader makes, the overrides change and the tables look at.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/result.h"

namespace minke::recipe {

struct Member;

struct Node {
  using List = std::vector<Node>;
  using Table = std::vector<Member>;  // in the file's order
  // In the order of kind_of(): nothing that a recipe may have (a date), flag, integer, ...
  std::variant<std::monostate, bool, int64_t, double, std::string, List, Table> value;
  int64_t line = 0;
  std::string override_text;  // the whole "a.b=value" where it came from one

  const Table* as_table() const { return std::get_if<Table>(&value); }
  Table* as_table() { return std::get_if<Table>(&value); }
  const List* as_list() const { return std::get_if<List>(&value); }
  const Node* find(std::string_view key) const;
};

struct Member {
  std::string key;
  Node node;
};

// "the text \"abc\"", "the number 3", as they stand in messages.
std::string described(const Node& node);

struct Fault {
  int64_t line = 0;
  std::string message;
};

struct Document {
  std::string name;
  Node root;
  std::map<std::string, std::set<std::string>> asked;  // table's path -> keys
  std::vector<Fault> faults;

  // "recipes/zero.toml:12", or "--set a.b=value".
  std::string where(const Node& node) const;
};

// The root of a TOML text. Faults are misuse with name and line.
Result<Node> read_toml(std::string_view text, const std::string& name);
// The value behind the = of an override; a text where it is no TOML.
Node read_toml_value(const std::string& text);
// Puts "a.b=value" into the tree.
Status apply_override(Node& root, const std::string& text);
std::string write_toml(const Node& root);

}  // namespace minke::recipe
