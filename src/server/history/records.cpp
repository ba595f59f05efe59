#include "server/history/records.h"

#include <array>
#include <span>
#include <utility>

#include "core/random.h"

namespace minke::history {
namespace {

// The names of an enum's values, in their order.
constexpr std::array<std::string_view, 2> kRoles = {"user", "assistant"};
constexpr std::array<std::string_view, 5> kStatuses = {"complete", "running", "stopped", "failed",
                                                       "interrupted"};
constexpr std::array<std::string_view, 2> kMessageKinds = {"message", "summary"};
constexpr std::array<std::string_view, 3> kAttachmentKinds = {"text", "pdf", "image"};

template <typename Enum, size_t N>
std::optional<Enum> value_named(const std::array<std::string_view, N>& names,
                                std::string_view name) {
  for (size_t i = 0; i < N; ++i)
    if (names[i] == name) return static_cast<Enum>(i);
  return std::nullopt;
}

template <typename T>
Value or_null(const std::optional<T>& value) {
  return value ? Value(*value) : Value();
}

Value text_of(std::string_view text) { return Value(std::string(text)); }

}  // namespace

std::string_view name_of(Role role) { return kRoles.at(static_cast<size_t>(role)); }
std::string_view name_of(MessageStatus status) { return kStatuses.at(static_cast<size_t>(status)); }
std::string_view name_of(MessageKind kind) { return kMessageKinds.at(static_cast<size_t>(kind)); }
std::string_view name_of(AttachmentKind kind) {
  return kAttachmentKinds.at(static_cast<size_t>(kind));
}
std::optional<Role> role_of(std::string_view name) { return value_named<Role>(kRoles, name); }
std::optional<MessageStatus> status_of(std::string_view name) {
  return value_named<MessageStatus>(kStatuses, name);
}
std::optional<MessageKind> message_kind_of(std::string_view name) {
  return value_named<MessageKind>(kMessageKinds, name);
}
std::optional<AttachmentKind> attachment_kind_of(std::string_view name) {
  return value_named<AttachmentKind>(kAttachmentKinds, name);
}

Value to_value(const ThinkingSegment& segment) {
  return Value::Object{{"text", segment.text},
                       {"started_at_ms", segment.started_at_ms},
                       {"ms", or_null(segment.ms)}};
}

Value to_value(const Usage& usage) {
  return Value::Object{
      {"prompt_tokens", usage.prompt_tokens},   {"cached_tokens", usage.cached_tokens},
      {"answer_tokens", usage.answer_tokens},   {"reasoning_tokens", usage.reasoning_tokens},
      {"prompt_ms", usage.prompt_ms},           {"answer_ms", usage.answer_ms},
      {"drafted_tokens", usage.drafted_tokens}, {"accepted_tokens", usage.accepted_tokens}};
}

Usage usage_of(const Value& value) {
  const auto count = [&](std::string_view key) {
    const Value* member = value.find(key);
    const int64_t* number = member == nullptr ? nullptr : member->as_int();
    return number == nullptr || *number < 0 ? int64_t{0} : *number;
  };
  return {.prompt_tokens = count("prompt_tokens"),
          .cached_tokens = count("cached_tokens"),
          .answer_tokens = count("answer_tokens"),
          .reasoning_tokens = count("reasoning_tokens"),
          .prompt_ms = count("prompt_ms"),
          .answer_ms = count("answer_ms"),
          .drafted_tokens = count("drafted_tokens"),
          .accepted_tokens = count("accepted_tokens")};
}

Value to_value(const Attachment& attachment) {
  return Value::Object{{"id", attachment.id},
                       {"name", attachment.name},
                       {"media_type", attachment.media_type},
                       {"bytes", attachment.bytes},
                       {"kind", text_of(name_of(attachment.kind))},
                       {"chars", attachment.chars},
                       {"truncated", attachment.truncated}};
}

Value to_value(const Message& message) {
  Value::Array thinking;
  for (const ThinkingSegment& segment : message.thinking) thinking.push_back(to_value(segment));
  Value::Array attachments;
  for (const Attachment& attachment : message.attachments)
    attachments.push_back(to_value(attachment));
  return Value::Object{{"id", message.id},
                       {"conversation_id", message.conversation_id},
                       {"parent_id", or_null(message.parent_id)},
                       {"role", text_of(name_of(message.role))},
                       {"status", text_of(name_of(message.status))},
                       {"content", message.content},
                       {"thinking", std::move(thinking)},
                       {"thinking_closed", message.thinking_closed},
                       {"generation_id", or_null(message.generation_id)},
                       {"error", or_null(message.error)},
                       {"model", or_null(message.model)},
                       {"settings", message.settings},
                       {"finish_reason", or_null(message.finish_reason)},
                       {"usage", message.usage ? to_value(*message.usage) : Value()},
                       {"attachments", std::move(attachments)},
                       {"created_at_ms", message.created_at_ms},
                       {"finished_at_ms", or_null(message.finished_at_ms)},
                       {"kind", text_of(name_of(message.kind))}};
}

Value to_value(const Conversation& conversation) {
  return Value::Object{{"id", conversation.id},
                       {"title", conversation.title},
                       {"title_is_own", conversation.title_is_own},
                       {"folder_id", or_null(conversation.folder_id)},
                       {"pinned", conversation.pinned},
                       {"archived", conversation.archived},
                       {"settings", conversation.settings},
                       {"leaf_id", or_null(conversation.leaf_id)},
                       {"created_at_ms", conversation.created_at_ms},
                       {"updated_at_ms", conversation.updated_at_ms},
                       {"message_count", conversation.message_count}};
}

Value to_value(const Folder& folder) {
  return Value::Object{{"id", folder.id}, {"name", folder.name}, {"position", folder.position}};
}

Value to_value(const Preset& preset) {
  return Value::Object{{"id", preset.id},
                       {"name", preset.name},
                       {"settings", preset.settings},
                       {"position", preset.position}};
}

namespace {

constexpr std::string_view kIdCharacters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr size_t kIdSize = 22;

}  // namespace

std::string new_id() {
  std::array<unsigned char, kIdSize> random{};
  fill_from_system(std::as_writable_bytes(std::span(random)));
  std::string id;
  for (const unsigned char byte : random) id.push_back(kIdCharacters[byte % 64]);
  return id;
}

bool is_id(std::string_view text) {
  return text.size() == kIdSize && text.find_first_not_of(kIdCharacters) == std::string_view::npos;
}

}  // namespace minke::history
