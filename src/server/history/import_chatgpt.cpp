// ChatGPT's conversations.json. A conversation there is a `mapping` of nodes by id; what a person
// saw as one answer is often a chain of them: thoughts, a recap of their time, code for a tool, the
// tool's output, text. Such a chain becomes one message here.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "server/history/import_tree.h"

namespace minke::history {
namespace {

// What a node is to us.
struct Piece {
  enum class Kind { kNothing, kText, kThinking, kRecap } kind = Kind::kNothing;
  Role role = Role::kAssistant;
  std::string text;
  int64_t ms = 0;  // of a recap
};

std::string fenced(std::string_view language, std::string_view text) {
  // A fence is longer than any run of backticks inside.
  size_t run = 0;
  size_t longest = 2;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(longest + 1, '`');
  return fmt::format("{}{}\n{}{}{}", fence, language == "unknown" ? "" : language, text,
                     text.ends_with('\n') ? "" : "\n", fence);
}

std::string parts_text(const Value& content, LeftOut& left_out) {
  std::string text;
  const auto add = [&](std::string_view part) {
    if (part.empty()) return;
    if (!text.empty()) text += "\n\n";
    text += part;
  };
  const Value::Array* parts = array_at(content, "parts");
  if (parts == nullptr) return text;
  for (const Value& part : *parts) {
    const std::string_view kind = text_at(part, "content_type");
    if (part.as_string() != nullptr) {
      add(*part.as_string());
    } else if (kind == "audio_transcription") {
      add(text_at(part, "text"));
    } else if (kind == "image_asset_pointer") {
      add("[image]");
      left_out.add("image");
    } else if (!kind.empty()) {
      left_out.add(shortened(kind, 40));
    }
  }
  return text;
}

std::string thoughts_text(const Value& content) {
  std::string text;
  const Value::Array* thoughts = array_at(content, "thoughts");
  if (thoughts == nullptr) return text;
  for (const Value& thought : *thoughts) {
    for (const std::string_view key : {"summary", "content"}) {
      const std::string_view part = text_at(thought, key);
      if (part.empty()) continue;
      if (!text.empty()) text += "\n\n";
      text += part;
    }
  }
  return text;
}

Piece piece_of(const Value& message, LeftOut& left_out) {
  const Value nothing;
  const Value* author = message.find("author");
  const Value* metadata = message.find("metadata");
  const Value* content_member = message.find("content");
  if (author == nullptr || content_member == nullptr) return {};
  const Value& content = *content_member;
  if (metadata != nullptr && flag_at(*metadata, "is_visually_hidden_from_conversation")) return {};
  const std::string_view role = text_at(*author, "role");
  const std::string_view kind = text_at(content, "content_type");
  if (role == "system" || kind == "user_editable_context" || kind == "model_editable_context")
    return {};
  Piece piece{.role = role == "user" ? Role::kUser : Role::kAssistant};
  if (kind == "thoughts") {
    piece.kind = Piece::Kind::kThinking;
    piece.text = thoughts_text(content);
  } else if (kind == "reasoning_recap") {
    piece.kind = Piece::Kind::kRecap;
    const Value* seconds = metadata == nullptr ? nullptr : metadata->find("finished_duration_sec");
    if (seconds != nullptr && seconds->as_int() != nullptr)
      piece.ms = std::clamp<int64_t>(*seconds->as_int(), 0, 1'000'000) * 1000;
    return piece;
  } else if (kind == "code") {
    piece.kind = Piece::Kind::kText;
    piece.text = fenced(text_at(content, "language"), text_at(content, "text"));
  } else if (kind == "execution_output") {
    piece.kind = Piece::Kind::kText;
    piece.text = fenced("", text_at(content, "text"));
  } else if (role == "tool") {
    left_out.add("result of a tool");
    return {};
  } else if (kind == "text" || kind == "multimodal_text") {
    piece.kind = Piece::Kind::kText;
    piece.text = parts_text(content, left_out);
  } else {
    left_out.add(shortened(kind.empty() ? "message without a kind" : kind, 40));
    return {};
  }
  if (piece.text.empty()) piece.kind = Piece::Kind::kNothing;
  return piece;
}

class ChatGptConversation {
 public:
  explicit ChatGptConversation(const Value& from) : from_(from) {}

  Result<Converted> convert() {
    const Value::Object* mapping = object_at(from_, "mapping");
    if (mapping == nullptr) return fail("it has no mapping of messages");
    for (const auto& [id, node] : *mapping) {
      const Value* message = node.find("message");
      nodes_.push_back(
          {.id = id,
           .parent_id = text_at(node, "parent"),
           .created_at_ms = message == nullptr ? 0 : time_at(*message, "create_time")});
      messages_.push_back(message);
    }
    const std::vector<TreePlace> order = in_order_of_tree(nodes_);
    if (order.size() < nodes_.size())
      left_out_.add("message that goes round in a circle",
                    static_cast<int64_t>(nodes_.size() - order.size()));
    states_.resize(nodes_.size());
    for (const TreePlace& place : order) MINKE_TRY(visit(place));
    describe();
    return Converted{.conversation = std::move(to_), .left_out = left_out_.sentences()};
  }

 private:
  // What has come of a node, for its children.
  struct State {
    std::optional<size_t> message;   // the nearest at or above it
    std::optional<size_t> thinking;  // thoughts above that no message has yet; into thoughts_
    bool is_alone = true;            // no branch since that message
  };
  struct Thoughts {
    ThinkingSegment segment;
    std::optional<size_t> before;
    bool taken = false;
  };

  Status visit(const TreePlace& place) {
    State state = place.parent ? states_[*place.parent] : State();
    if (place.parent && nodes_[*place.parent].children > 1) state.is_alone = false;
    const Value* message = messages_[place.node];
    const Piece piece =
        message == nullptr || message->is_null() ? Piece() : piece_of(*message, left_out_);
    const int64_t time = nodes_[place.node].created_at_ms;
    switch (piece.kind) {
      case Piece::Kind::kNothing:
        break;
      case Piece::Kind::kThinking:
        if (piece.text.empty()) break;
        thoughts_.push_back({.segment = {.text = piece.text, .started_at_ms = time, .ms = 0},
                             .before = state.thinking});
        state.thinking = thoughts_.size() - 1;
        break;
      case Piece::Kind::kRecap:
        if (state.thinking) thoughts_[*state.thinking].segment.ms = piece.ms;
        break;
      case Piece::Kind::kText:
        MINKE_TRY(add_text(piece, *message, time, state));
        break;
    }
    // An answer that was stopped while it thought.
    if (nodes_[place.node].children == 0 && state.thinking && !thoughts_[*state.thinking].taken)
      MINKE_TRY(add_text({}, Value(), time, state));
    states_[place.node] = state;
    return {};
  }

  Status add_text(const Piece& piece, const Value& message, int64_t time, State& state) {
    std::vector<ThinkingSegment> thinking;
    for (auto at = state.thinking; at && !thoughts_[*at].taken; at = thoughts_[*at].before) {
      thoughts_[*at].taken = true;
      thinking.insert(thinking.begin(), thoughts_[*at].segment);
    }
    state.thinking.reset();
    const bool goes_on = state.message && state.is_alone && piece.role == Role::kAssistant &&
                         to_.messages[*state.message].message.role == Role::kAssistant;
    if (!goes_on) {
      ImportedMessage added{.parent = state.message};
      added.message.role = piece.role;
      added.message.created_at_ms = time;
      to_.messages.push_back(std::move(added));
      state.message = to_.messages.size() - 1;
    }
    Message& to = to_.messages[*state.message].message;
    state.is_alone = true;
    to.finished_at_ms = time;
    if (!to.content.empty() && !piece.text.empty()) to.content += "\n\n";
    to.content += piece.text;
    to.thinking.insert(to.thinking.end(), thinking.begin(), thinking.end());
    const Value* metadata = message.find("metadata");
    const std::string_view model = metadata == nullptr ? "" : text_at(*metadata, "model_slug");
    if (to.role == Role::kAssistant && !model.empty()) to.model = shortened(model, 256);
    return check_message_size(to);
  }

  void describe() {
    Conversation& to = to_.conversation;
    to.title = shortened(text_at(from_, "title"), kLimits.title_bytes_max);
    to.title_is_own = !to.title.empty();
    to.created_at_ms = time_at(from_, "create_time");
    to.updated_at_ms = time_at(from_, "update_time");
    to.archived = flag_at(from_, "is_archived");
    to.pinned = flag_at(from_, "is_starred");
    std::string_view id = text_at(from_, "conversation_id");
    if (id.empty()) id = text_at(from_, "id");
    if (!id.empty()) to_.source = "chatgpt:" + shortened(id, 100);
    const std::string_view current = text_at(from_, "current_node");
    for (size_t i = 0; i < nodes_.size(); ++i)
      if (nodes_[i].id == current) to_.leaf = states_[i].message;
  }

  const Value& from_;
  std::vector<TreeNode> nodes_;
  std::vector<const Value*> messages_;
  std::vector<State> states_;
  std::vector<Thoughts> thoughts_;
  ImportedConversation to_;
  LeftOut left_out_;
};

}  // namespace

Result<Converted> from_chatgpt(const Value& conversation) {
  return ChatGptConversation(conversation).convert();
}

}  // namespace minke::history
