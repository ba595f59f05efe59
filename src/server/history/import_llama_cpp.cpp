// The export of the page that llama.cpp's server has: {conv, messages}, one or a list. Messages
// name their parents; the root says nothing. Thinking is a member of its own (`thinking`, later
// `reasoningContent`), files are texts in `extra`.
#include <utility>

#include "server/history/import_tree.h"

namespace minke::history {
namespace {

// Ids are texts; in older versions numbers.
std::string id_at(const Value& value, std::string_view key) {
  const Value* member = value.find(key);
  const int64_t* number = member == nullptr ? nullptr : member->as_int();
  return number == nullptr ? std::string(text_at(value, key)) : std::to_string(*number);
}

class LlamaCppConversation {
 public:
  explicit LlamaCppConversation(const Value& from) : from_(from) {}

  Result<Converted> convert() {
    const Value* conversation = from_.find("conv");
    const Value::Array* messages = array_at(from_, "messages");
    if (conversation == nullptr || messages == nullptr) return fail("it has no messages");
    for (const Value& message : *messages)
      ids_.emplace_back(id_at(message, "id"), id_at(message, "parent"));
    for (size_t i = 0; i < ids_.size(); ++i) {
      nodes_.push_back({.id = ids_[i].first,
                        .parent_id = ids_[i].second,
                        .created_at_ms = time_at((*messages)[i], "timestamp")});
    }
    const std::vector<TreePlace> order = in_order_of_tree(nodes_);
    if (order.size() < nodes_.size())
      left_out_.add("message that goes round in a circle",
                    static_cast<int64_t>(nodes_.size() - order.size()));
    places_.resize(nodes_.size());
    for (const TreePlace& place : order) MINKE_TRY(visit(place, (*messages)[place.node]));
    describe(*conversation);
    return Converted{.conversation = std::move(to_), .left_out = left_out_.sentences()};
  }

 private:
  Status visit(const TreePlace& place, const Value& from) {
    const std::optional<size_t> parent = place.parent ? places_[*place.parent] : std::nullopt;
    places_[place.node] = parent;
    const std::string_view said_by = text_at(from, "role");
    const std::string_view content = text_at(from, "content");
    const auto role = role_of(said_by);
    if (said_by == "system") {
      if (system_.empty()) system_ = content;
      return {};
    }
    if (!role || text_at(from, "type") == "root") {
      if (!content.empty()) left_out_.add("message of an unknown role");
      return {};
    }
    ImportedMessage added{.parent = parent};
    Message& to = added.message;
    to.role = *role;
    to.content = content;
    to.created_at_ms = nodes_[place.node].created_at_ms;
    to.finished_at_ms = to.created_at_ms;
    if (to.role == Role::kAssistant) {
      std::string_view thinking = text_at(from, "reasoningContent");
      if (thinking.empty()) thinking = text_at(from, "thinking");
      if (!thinking.empty()) {
        to.thinking.push_back(
            {.text = std::string(thinking), .started_at_ms = to.created_at_ms, .ms = 0});
      }
      const std::string_view model = text_at(from, "model");
      if (!model.empty()) to.model = shortened(model, 256);
    }
    add_files(from, added);
    MINKE_TRY(check_message_size(to));
    to_.messages.push_back(std::move(added));
    places_[place.node] = to_.messages.size() - 1;
    return {};
  }

  // Files come with the text that was read of them, at best.
  void add_files(const Value& from, ImportedMessage& added) {
    const Value::Array* files = array_at(from, "extra");
    if (files == nullptr) return;
    for (const Value& file : *files) {
      const std::string_view text = text_at(file, "content");
      if (text.empty() || text.size() > kLimits.attachment_text_bytes_max ||
          added.message.role != Role::kUser ||
          added.attachments.size() == kLimits.attachments_per_message_max) {
        const std::string_view type = text_at(file, "type");
        left_out_.add(type.starts_with("image") || type == "IMAGE" ? "image" : "file");
        continue;
      }
      const std::string_view name = text_at(file, "name");
      added.attachments.push_back(to_.attachments.size());
      to_.attachments.push_back(
          {.name = shortened(name.empty() ? "file" : name, kLimits.name_bytes_max),
           .media_type = "text/plain",
           .bytes = std::string(text),
           .text = std::string(text)});
    }
  }

  void describe(const Value& conversation) {
    Conversation& to = to_.conversation;
    to.title = shortened(text_at(conversation, "name"), kLimits.title_bytes_max);
    to.title_is_own = !to.title.empty();
    to.updated_at_ms = time_at(conversation, "lastModified");
    if (!system_.empty() && system_.size() <= size_t{1} << 20)
      to.settings = Value::Object{{"system", std::string(system_)}};
    const std::string id = id_at(conversation, "id");
    if (!id.empty()) to_.source = "llama.cpp:" + shortened(id, 100);
    const std::string current = id_at(conversation, "currNode");
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].id == current) to_.leaf = places_[i];
  }

  const Value& from_;
  std::string_view system_;
  std::vector<std::pair<std::string, std::string>> ids_;  // of messages, and of their parents
  std::vector<TreeNode> nodes_;
  std::vector<std::optional<size_t>> places_;  // of each node: the nearest message at or above it
  ImportedConversation to_;
  LeftOut left_out_;
};

}  // namespace

Result<Converted> from_llama_cpp(const Value& conversation) {
  return LlamaCppConversation(conversation).convert();
}

}  // namespace minke::history
