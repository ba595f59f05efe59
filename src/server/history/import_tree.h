// What the importers share: trees whose nodes name their parents, hostile or not, and careful
// reading of members. Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/history/store.h"
#include "text/value.h"

namespace minke::history {

// A conversation, and what of it could not be taken, as sentences.
struct Converted {
  ImportedConversation conversation;
  std::vector<std::string> left_out;
};

// One file's conversation in its own shape. An Error says why it cannot be taken at all.
Result<Converted> from_minke(const Value& conversation);
Result<Converted> from_chatgpt(const Value& conversation);
Result<Converted> from_open_webui(const Value& conversation);
Result<Converted> from_llama_cpp(const Value& conversation);

struct TreeNode {
  std::string_view id;
  std::string_view parent_id;  // empty: a root
  int64_t created_at_ms = 0;
  size_t children = 0;  // in_order_of_tree() counts them
};

// Where each node's parent is; a parent that is missing leaves a root.
struct TreePlace {
  size_t node = 0;
  std::optional<size_t> parent;  // a node
};

// Parents before their children, siblings by their time. Nodes that go round in a circle are not
// among them.
std::vector<TreePlace> in_order_of_tree(std::vector<TreeNode>& nodes);

// The members, or nothing where there is no such member of that kind.
std::string_view text_at(const Value& value, std::string_view key);
const Value::Object* object_at(const Value& value, std::string_view key);
const Value::Array* array_at(const Value& value, std::string_view key);
bool flag_at(const Value& value, std::string_view key);
// A time in seconds or (where it is beyond any year that could be meant) milliseconds, as
// milliseconds; 0 where there is none.
int64_t time_at(const Value& value, std::string_view key);

// At most so many bytes, ended at a character.
std::string shortened(std::string_view text, size_t bytes_max);

// Counts of things that cannot be shown, told as sentences.
class LeftOut {
 public:
  void add(const std::string& what, int64_t count = 1) { counts_[what] += count; }
  std::vector<std::string> sentences() const;

 private:
  std::map<std::string, int64_t> counts_;
};

// Fails where a text is longer than messages may be.
Status check_message_size(const Message& message);

}  // namespace minke::history
