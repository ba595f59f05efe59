// The history: conversations as trees of messages, folders, presets, preferences, attachments, in
// one SQLite file. What a call has acknowledged survives a power cut; a call that fails has changed
// nothing. docs/history.md tells the file, and what happens when it or its disk is at fault.
//
// One thread at a time: a server gives the store to one worker and posts to it. write_backup()
// alone may run beside it, on any thread.
//
// Errors of kind kUsage are the caller's (a parent in another conversation, a setting out of
// range), the others the world's. What does not exist is a nullopt or a false.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "server/history/records.h"
#include "server/history/sqlite.h"

namespace minke::history {

struct Limits {
  size_t message_bytes_max = size_t{4} << 20;
  size_t attachment_bytes_max = size_t{32} << 20;
  size_t attachment_text_bytes_max = size_t{2} << 20;
  size_t attachments_per_message_max = 20;
  size_t title_bytes_max = 512;
  size_t name_bytes_max = 256;  // of folders, presets, files
  size_t preferences_bytes_max = size_t{64} << 10;
  size_t query_bytes_max = 1024;
  int64_t messages_max = 100'000;  // of one conversation
  int64_t shelves_max = 1'000;     // folders, and presets
};
inline constexpr Limits kLimits;

// Which conversations to list. Absent: all of them.
struct ConversationFilter {
  std::optional<std::string> folder_id;
  bool archived = false;
  std::optional<std::string> before;  // a page's `next`
  int64_t limit = 50;
};

struct ConversationPage {
  std::vector<Conversation> conversations;  // pinned first, then the latest
  std::optional<std::string> next;          // a cursor; none at the end
};

struct NewConversation {
  std::string title;  // empty: made from the first message
  std::optional<std::string> folder_id;
  Value settings = Value(Value::Object{});
};

// What is absent stays as it is. The inner optionals of ids: none takes the reference away.
struct ConversationChange {
  std::optional<std::string> title;
  std::optional<std::optional<std::string>> folder_id;
  std::optional<bool> pinned;
  std::optional<bool> archived;
  std::optional<Value> settings;
  std::optional<std::optional<std::string>> leaf_id;
};

struct NewMessage {
  std::string conversation_id;
  std::optional<std::string> parent_id;
  Role role = Role::kUser;
  MessageKind kind = MessageKind::kMessage;
  MessageStatus status = MessageStatus::kComplete;
  std::string content;
  std::vector<std::string> attachment_ids;
  Value settings = Value(Value::Object{});
  std::optional<std::string> model;
  std::optional<std::string> generation_id;
};

// What a running message has grown by since it was last saved.
struct ThinkingGrowth {
  int64_t segment = 0;  // counted from 0 in its message
  int64_t started_at_ms = 0;
  std::optional<int64_t> ms;
  std::string text;
};
struct Growth {
  std::string message_id;
  std::vector<ThinkingGrowth> thinking;
  std::string text;
};

// What a running message has become, whole. It replaces all that had been saved on the way, so that
// nothing is missing when a save on the way failed.
struct FinishedAnswer {
  std::string message_id;
  MessageStatus status = MessageStatus::kComplete;
  std::string content;
  std::vector<ThinkingSegment> thinking;
  bool thinking_closed = false;
  std::optional<std::string> finish_reason;
  std::optional<std::string> error;
  std::optional<Usage> usage;
};

struct NewAttachment {
  std::string name;
  std::string media_type;
  AttachmentKind kind = AttachmentKind::kText;
  std::string_view bytes;
  std::string text;
  bool truncated = false;
};

struct SnippetPart {
  std::string text;
  bool hit = false;
};
struct SearchHit {
  std::string conversation_id;
  std::optional<std::string> message_id;  // none: the title has it
  std::optional<Role> role;
  std::string title;
  std::vector<SnippetPart> snippet;
  int64_t created_at_ms = 0;
};

// A conversation from elsewhere: parents come before their children and are named by their place.
struct ImportedMessage {
  std::optional<size_t> parent;
  Message message;  // without ids
  std::vector<size_t> attachments;
};
struct ImportedAttachment {
  std::string id;  // in the file it comes from
  std::string name;
  std::string media_type;
  AttachmentKind kind = AttachmentKind::kText;
  std::string bytes;
  std::string text;
  bool truncated = false;
};
struct ImportedConversation {
  std::string source;  // says where it came from, so that it is not taken twice; empty: unknown
  std::string folder;  // by name; empty: none
  Conversation conversation;
  std::vector<ImportedMessage> messages;
  std::vector<ImportedAttachment> attachments;
  std::optional<size_t> leaf;
};

class Store {
 public:
  struct Options {
    std::filesystem::path path;       // made with its folders where it is missing
    std::function<int64_t()> now_ms;  // absent: the system's clock
    // Larger files are looked over for damage at the start only when the last run met some.
    uint64_t check_bytes_max = uint64_t{64} << 20;
    int64_t check_ms_max = 200;  // how long to look for damage at the start
  };

  // Messages that ran when the last server ended become "interrupted". A damaged file is set aside
  // under another name, a new one begun, and notices() says so. Fails when another process has the
  // history, when it cannot be written, and when a newer minke wrote it.
  static Result<std::unique_ptr<Store>> open(Options options);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  ~Store();

  const std::filesystem::path& path() const { return database_->path(); }
  // Sentences that a person should read: what happened to the file at the start.
  const std::vector<std::string>& notices() const { return notices_; }

  Result<ConversationPage> conversations(const ConversationFilter& filter);
  Result<std::optional<Conversation>> conversation(std::string_view id);
  Result<Conversation> create_conversation(const NewConversation& conversation);
  Result<std::optional<Conversation>> change_conversation(std::string_view id,
                                                          const ConversationChange& change);
  Result<bool> delete_conversation(std::string_view id);
  // In the order in which they were begun, for an export that may take its time.
  Result<std::vector<std::string>> conversation_ids();

  // Of a running message: what had been saved so far. Parents come before their children.
  Result<std::vector<Message>> messages(std::string_view conversation_id);
  Result<std::optional<Message>> message(std::string_view id);
  // From the root to that message; none where there is no such message.
  Result<std::vector<Message>> branch(std::string_view message_id);
  // Becomes the leaf of its conversation and, where that has no title of its own, its title.
  Result<Message> add_message(const NewMessage& message);
  // With everything below it; the leaf moves to the parent where it was there.
  // `keeps_below`: it alone, and what stood below it stands below its parent.
  Result<bool> delete_message(std::string_view id, bool keeps_below = false);
  // The message and those below it that run, for stopping them first.
  Result<std::vector<Message>> running_below(std::string_view message_id);

  // All of them or none. Cheap: costs what has grown, not what was there.
  Status grow(std::span<const Growth> growths);
  // None where the message has been deleted meanwhile.
  Result<std::optional<Message>> finish(const FinishedAnswer& answer);
  // A stopped, cut off or interrupted answer runs again, keeping what it has. None where there is
  // no such message.
  Result<std::optional<Message>> resume(std::string_view message_id,
                                        std::string_view generation_id);

  Result<Attachment> add_attachment(const NewAttachment& attachment);
  Result<std::optional<AttachmentContent>> attachment_content(std::string_view id);

  Result<std::vector<Folder>> folders();
  Result<Folder> create_folder(std::string_view name);
  Result<std::optional<Folder>> change_folder(std::string_view id,
                                              const std::optional<std::string>& name,
                                              std::optional<int64_t> position);
  Result<bool> delete_folder(std::string_view id);  // its conversations stay

  Result<std::vector<Preset>> presets();
  Result<Preset> create_preset(std::string_view name, const Value& settings);
  Result<std::optional<Preset>> change_preset(std::string_view id,
                                              const std::optional<std::string>& name,
                                              const std::optional<Value>& settings,
                                              std::optional<int64_t> position);
  Result<bool> delete_preset(std::string_view id);

  Result<Value> preferences();  // an object
  Status set_preferences(const Value& preferences);

  // Any text at all is a query: words in any order, "quoted" words together; nothing in it is
  // syntax. The latest come first.
  Result<std::vector<SearchHit>> search(std::string_view query, int64_t limit);

  // All of them or none; false where one of that source, or of that id, is here already.
  Result<std::vector<bool>> insert(std::span<const ImportedConversation> conversations);

 private:
  explicit Store(Options options) : options_(std::move(options)) {}

  Status lock();
  Status open_database();
  Status set_aside(const std::string& why);
  Status interrupt_running();
  Status sweep_attachments();

  int64_t now_ms() const { return options_.now_ms(); }
  Result<std::optional<int64_t>> key_of_conversation(std::string_view id);
  Result<std::optional<int64_t>> key_of_folder(const std::optional<std::string>& id);
  Result<std::optional<int64_t>> parent_key(const NewMessage& message, int64_t conversation);
  Status entitle(int64_t conversation);
  Status attach(int64_t message, const std::vector<std::string>& attachment_ids);
  Status write_thinking(int64_t message, const std::vector<ThinkingSegment>& thinking);
  Result<Message> read_message(Statement& row);
  Result<std::vector<Message>> read_messages(Statement rows);
  Result<int64_t> insert_attachment(const NewAttachment& attachment, const std::string& id);
  Result<bool> insert_one(const ImportedConversation& from);
  Result<int64_t> insert_message(const ImportedMessage& from, int64_t conversation,
                                 std::optional<int64_t> parent);
  Result<int64_t> folder_named(const std::string& name);

  Options options_;
  int lock_ = -1;
  std::unique_ptr<Database> database_;
  std::vector<std::string> notices_;
};

// Writes one consistent SQLite file of the history at `path` to `target`, which must not exist,
// while a Store has it open. Any thread.
Status write_backup(const std::filesystem::path& path, const std::filesystem::path& target);

}  // namespace minke::history
