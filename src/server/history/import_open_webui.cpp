// Open WebUI's export: a list of chats, each with `chat.history.messages` by id (older ones: a
// plain list `chat.messages`). Thinking stands in the content, in <details type="reasoning"> with
// its lines quoted.
#include <algorithm>
#include <charconv>
#include <utility>

#include "server/history/import_tree.h"

namespace minke::history {
namespace {

// The value of name="..." in a tag.
std::string_view attribute(std::string_view tag, std::string_view name) {
  const std::string start = std::string(name) + "=\"";
  const size_t begin = tag.find(start);
  if (begin == std::string_view::npos) return {};
  const size_t end = tag.find('"', begin + start.size());
  if (end == std::string_view::npos) return {};
  return tag.substr(begin + start.size(), end - begin - start.size());
}

// Some versions escape what they quote as HTML.
std::string unescaped(std::string_view text) {
  constexpr std::pair<std::string_view, char> kEntities[] = {{"&lt;", '<'},   {"&gt;", '>'},
                                                             {"&quot;", '"'}, {"&#x27;", '\''},
                                                             {"&#39;", '\''}, {"&amp;", '&'}};
  std::string out;
  for (size_t at = 0; at < text.size();) {
    bool found = false;
    for (const auto& [entity, c] : kEntities) {
      if (!text.substr(at).starts_with(entity)) continue;
      out += c;
      at += entity.size();
      found = true;
      break;
    }
    if (!found) out += text[at++];
  }
  return out;
}

// Without the summary and the quotes before its lines.
std::string unquoted(std::string_view block) {
  constexpr std::string_view kSummaryEnd = "</summary>";
  const size_t summary_end = block.find(kSummaryEnd);
  if (summary_end != std::string_view::npos) block.remove_prefix(summary_end + kSummaryEnd.size());
  const size_t first = block.find_first_not_of("\r\n");
  block.remove_prefix(first == std::string_view::npos ? block.size() : first);
  const bool is_escaped = block.starts_with("&gt;");
  const std::string text = is_escaped ? unescaped(block) : std::string(block);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    if (line.starts_with('>')) line.remove_prefix(line.starts_with("> ") ? 2 : 1);
    out += line;
    out += '\n';
    at = end + 1;
  }
  while (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

// Takes thinking, and what tools were asked, out of the content.
void split_content(std::string_view content, int64_t started_at_ms, Message& to,
                   LeftOut& left_out) {
  constexpr std::string_view kBegin = "<details type=\"";
  constexpr std::string_view kEnd = "</details>";
  while (!content.empty()) {
    const size_t begin = content.find(kBegin);
    if (begin == std::string_view::npos) break;
    // A tag is short: nothing is looked for to the far end of a hostile text again and again.
    constexpr size_t kTagBytesMax = 1024;
    const std::string_view near = content.substr(begin, kTagBytesMax);
    const std::string_view tag = near.substr(0, near.find('>'));
    const std::string_view kind = attribute(tag, "type");
    if (tag.size() == near.size() ||
        (kind != "reasoning" && kind != "tool_calls" && kind != "code_interpreter")) {
      to.content += content.substr(0, begin + kBegin.size());
      content.remove_prefix(begin + kBegin.size());
      continue;
    }
    const size_t tag_end = begin + tag.size();
    const size_t end = content.find(kEnd, tag_end);
    if (end == std::string_view::npos) break;
    to.content += content.substr(0, begin);
    if (kind == "reasoning") {
      int64_t seconds = 0;
      const std::string_view duration = attribute(tag, "duration");
      std::from_chars(duration.data(), duration.data() + duration.size(), seconds);
      to.thinking.push_back({.text = unquoted(content.substr(tag_end + 1, end - tag_end - 1)),
                             .started_at_ms = started_at_ms,
                             .ms = std::clamp<int64_t>(seconds, 0, 1'000'000) * 1000});
    } else {
      left_out.add("use of a tool");
    }
    content.remove_prefix(end + kEnd.size());
  }
  to.content += content;
  const size_t first = to.content.find_first_not_of("\r\n");
  to.content.erase(0, to.thinking.empty() ? 0 : std::min(first, to.content.size()));
}

class OpenWebUiConversation {
 public:
  explicit OpenWebUiConversation(const Value& from) : from_(from) {}

  Result<Converted> convert() {
    const Value* chat = from_.find("chat");
    chat_ = chat == nullptr ? &from_ : chat;
    MINKE_TRY(gather());
    const std::vector<TreePlace> order = in_order_of_tree(nodes_);
    if (order.size() < nodes_.size())
      left_out_.add("message that goes round in a circle",
                    static_cast<int64_t>(nodes_.size() - order.size()));
    places_.resize(nodes_.size());
    for (const TreePlace& place : order) MINKE_TRY(visit(place));
    describe();
    return Converted{.conversation = std::move(to_), .left_out = left_out_.sentences()};
  }

 private:
  Status gather() {
    const Value* history = chat_->find("history");
    const Value::Object* by_id = history == nullptr ? nullptr : object_at(*history, "messages");
    if (by_id != nullptr) {
      current_ = text_at(*history, "currentId");
      for (const auto& [id, message] : *by_id) add_node(id, text_at(message, "parentId"), message);
      return {};
    }
    const Value::Array* list = array_at(*chat_, "messages");
    if (list == nullptr) return fail("it has no messages");
    for (size_t i = 0; i < list->size(); ++i) list_ids_.push_back(std::to_string(i));
    for (size_t i = 0; i < list->size(); ++i) {
      add_node(list_ids_[i], i == 0 ? std::string_view() : std::string_view(list_ids_[i - 1]),
               (*list)[i]);
    }
    if (!list_ids_.empty()) current_ = list_ids_.back();
    return {};
  }

  void add_node(std::string_view id, std::string_view parent_id, const Value& message) {
    nodes_.push_back(
        {.id = id, .parent_id = parent_id, .created_at_ms = time_at(message, "timestamp")});
    messages_.push_back(&message);
  }

  Status visit(const TreePlace& place) {
    const std::optional<size_t> parent = place.parent ? places_[*place.parent] : std::nullopt;
    places_[place.node] = parent;
    const Value& from = *messages_[place.node];
    const auto role = role_of(text_at(from, "role"));
    if (!role) {
      if (text_at(from, "role") != "system") left_out_.add("message of an unknown role");
      return {};
    }
    ImportedMessage added{.parent = parent};
    Message& to = added.message;
    to.role = *role;
    to.created_at_ms = nodes_[place.node].created_at_ms;
    if (to.role == Role::kAssistant) {
      split_content(text_at(from, "content"), to.created_at_ms, to, left_out_);
      const std::string_view model = text_at(from, "model");
      if (!model.empty()) to.model = shortened(model, 256);
    } else {
      to.content = text_at(from, "content");
    }
    if (const Value* error = from.find("error");
        error != nullptr && error->as_object() != nullptr) {
      to.status = MessageStatus::kFailed;
      to.error = shortened(text_at(*error, "content"), 4096);
    }
    to.finished_at_ms = to.created_at_ms;
    add_files(from, added);
    MINKE_TRY(check_message_size(to));
    to_.messages.push_back(std::move(added));
    places_[place.node] = to_.messages.size() - 1;
    return {};
  }

  // Files come with the text that was read of them, at best.
  void add_files(const Value& from, ImportedMessage& added) {
    const Value::Array* files = array_at(from, "files");
    if (files == nullptr) return;
    for (const Value& file : *files) {
      const Value nothing;
      const Value* inner = file.find("file");
      const Value* data = inner == nullptr ? nullptr : inner->find("data");
      const std::string_view text = data == nullptr ? "" : text_at(*data, "content");
      if (text.empty() || text.size() > kLimits.attachment_text_bytes_max ||
          added.message.role != Role::kUser ||
          added.attachments.size() == kLimits.attachments_per_message_max) {
        left_out_.add(text_at(file, "type") == "image" ? "image" : "file");
        continue;
      }
      std::string_view name = text_at(file, "name");
      if (name.empty()) name = text_at(*inner, "filename");
      added.attachments.push_back(to_.attachments.size());
      to_.attachments.push_back(
          {.name = shortened(name.empty() ? "file" : name, kLimits.name_bytes_max),
           .media_type = "text/plain",
           .bytes = std::string(text),
           .text = std::string(text)});
    }
  }

  void describe() {
    Conversation& to = to_.conversation;
    std::string_view title = text_at(from_, "title");
    if (title.empty()) title = text_at(*chat_, "title");
    to.title = shortened(title, kLimits.title_bytes_max);
    to.title_is_own = !to.title.empty();
    to.created_at_ms = time_at(from_, "created_at");
    if (to.created_at_ms == 0) to.created_at_ms = time_at(*chat_, "timestamp");
    to.updated_at_ms = time_at(from_, "updated_at");
    to.archived = flag_at(from_, "archived");
    to.pinned = flag_at(from_, "pinned");
    const std::string_view system = text_at(*chat_, "system");
    if (!system.empty() && system.size() <= size_t{1} << 20)
      to.settings = Value::Object{{"system", std::string(system)}};
    const std::string_view id = text_at(from_, "id");
    if (!id.empty()) to_.source = "openwebui:" + shortened(id, 100);
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].id == current_) to_.leaf = places_[i];
  }

  const Value& from_;
  const Value* chat_ = nullptr;
  std::string_view current_;
  std::vector<std::string> list_ids_;
  std::vector<TreeNode> nodes_;
  std::vector<const Value*> messages_;
  std::vector<std::optional<size_t>> places_;  // of each node: the nearest message at or above it
  ImportedConversation to_;
  LeftOut left_out_;
};

}  // namespace

Result<Converted> from_open_webui(const Value& conversation) {
  return OpenWebUiConversation(conversation).convert();
}

}  // namespace minke::history
