// What the history keeps, as plain values. docs/app-api.md says what each member means; times are
// milliseconds since 1970.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/value.h"

namespace minke::history {

enum class Role { kUser, kAssistant };
enum class MessageStatus { kComplete, kRunning, kStopped, kFailed, kInterrupted };
enum class MessageKind { kMessage, kSummary };
enum class AttachmentKind { kText, kPdf, kImage };

std::string_view name_of(Role role);
std::string_view name_of(MessageStatus status);
std::string_view name_of(MessageKind kind);
std::string_view name_of(AttachmentKind kind);
std::optional<Role> role_of(std::string_view name);
std::optional<MessageStatus> status_of(std::string_view name);
std::optional<MessageKind> message_kind_of(std::string_view name);
std::optional<AttachmentKind> attachment_kind_of(std::string_view name);

struct ThinkingSegment {
  std::string text;
  int64_t started_at_ms = 0;
  std::optional<int64_t> ms;  // how long it took; none while it runs

  friend bool operator==(const ThinkingSegment&, const ThinkingSegment&) = default;
};

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t answer_tokens = 0;
  int64_t reasoning_tokens = 0;
  int64_t prompt_ms = 0;
  int64_t answer_ms = 0;
  int64_t drafted_tokens = 0;
  int64_t accepted_tokens = 0;

  friend bool operator==(const Usage&, const Usage&) = default;
};

// Without its bytes and text, which attachment_content() reads.
struct Attachment {
  std::string id;
  std::string name;
  std::string media_type;
  int64_t bytes = 0;
  AttachmentKind kind = AttachmentKind::kText;
  int64_t chars = 0;       // of its text
  bool truncated = false;  // the text is a part of what the file holds

  friend bool operator==(const Attachment&, const Attachment&) = default;
};

struct AttachmentContent {
  Attachment attachment;
  std::string bytes;  // the file
  std::string text;   // what a model is told of it
};

struct Message {
  std::string id;
  std::string conversation_id;
  std::optional<std::string> parent_id;
  Role role = Role::kUser;
  MessageStatus status = MessageStatus::kComplete;
  MessageKind kind = MessageKind::kMessage;
  std::string content;
  std::vector<ThinkingSegment> thinking;
  bool thinking_closed = false;
  std::optional<std::string> generation_id;
  std::optional<std::string> error;
  std::optional<std::string> model;
  Value settings = Value(Value::Object{});
  std::optional<std::string> finish_reason;
  std::optional<Usage> usage;
  std::vector<Attachment> attachments;
  int64_t created_at_ms = 0;
  std::optional<int64_t> finished_at_ms;
};

struct Conversation {
  std::string id;
  std::string title;
  bool title_is_own = false;
  std::optional<std::string> folder_id;
  bool pinned = false;
  bool archived = false;
  Value settings = Value(Value::Object{});
  std::optional<std::string> leaf_id;
  int64_t created_at_ms = 0;
  int64_t updated_at_ms = 0;
  int64_t message_count = 0;
};

struct Folder {
  std::string id;
  std::string name;
  int64_t position = 0;
};

struct Preset {
  std::string id;
  std::string name;
  Value settings = Value(Value::Object{});
  int64_t position = 0;
};

// As docs/app-api.md has them.
Value to_value(const ThinkingSegment& segment);
Value to_value(const Usage& usage);
Value to_value(const Attachment& attachment);
Value to_value(const Message& message);
Value to_value(const Conversation& conversation);
Value to_value(const Folder& folder);
Value to_value(const Preset& preset);

// What to_value() writes of a Usage, read again; members that are missing or no counts are 0.
Usage usage_of(const Value& value);

// 22 characters of A-Z a-z 0-9 - _ with 132 random bits from the system.
std::string new_id();
bool is_id(std::string_view text);

// Whether a Settings object holds only known members in their ranges; the sentence of the Error
// begins with the member's name. An empty object is fine.
Status check_settings(const Value& settings);
// What is in `over`, and else what is in `base`.
Value merged_settings(const Value& base, const Value& over);

}  // namespace minke::history
