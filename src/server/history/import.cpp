#include "server/history/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "server/history/import_tree.h"
#include "text/value.h"

namespace minke::history {
namespace {

constexpr std::array<std::string_view, 4> kFormats = {"minke", "chatgpt", "open-webui",
                                                      "llama.cpp"};
constexpr std::string_view kWayOut =
    "give minke's export, the conversations.json of ChatGPT's, or the JSON of Open WebUI's or "
    "llama.cpp's";

// Whose a conversation is, by a member that the others' have not.
std::optional<ImportFormat> format_of(const std::vector<JsonSlice>& members) {
  constexpr std::pair<std::string_view, ImportFormat> kMarks[] = {
      {"mapping", ImportFormat::kChatGpt},
      {"conv", ImportFormat::kLlamaCpp},
      {"chat", ImportFormat::kOpenWebUi},
      {"history", ImportFormat::kOpenWebUi}};
  for (const auto& [mark, format] : kMarks) {
    for (const JsonSlice& member : members) {
      if (member.key == mark) return format;
    }
  }
  return std::nullopt;
}

Result<Converted> convert(ImportFormat format, const Value& conversation) {
  switch (format) {
    case ImportFormat::kMinke:
      return from_minke(conversation);
    case ImportFormat::kChatGpt:
      return from_chatgpt(conversation);
    case ImportFormat::kOpenWebUi:
      return from_open_webui(conversation);
    case ImportFormat::kLlamaCpp:
      return from_llama_cpp(conversation);
  }
  return fail("it has no known format");
}

// Times that a file does not tell.
void fill_times(ImportedConversation& from) {
  Conversation& conversation = from.conversation;
  int64_t latest = conversation.created_at_ms;
  for (ImportedMessage& imported : from.messages) {
    Message& message = imported.message;
    if (message.created_at_ms == 0) message.created_at_ms = conversation.created_at_ms;
    if (message.finished_at_ms.value_or(0) == 0) message.finished_at_ms = message.created_at_ms;
    latest = std::max(latest, message.created_at_ms);
  }
  if (conversation.created_at_ms == 0 && !from.messages.empty())
    conversation.created_at_ms = from.messages.front().message.created_at_ms;
  if (conversation.updated_at_ms == 0) conversation.updated_at_ms = latest;
}

}  // namespace

std::string_view name_of(ImportFormat format) { return kFormats.at(static_cast<size_t>(format)); }

Value to_value(const ImportReport& report) {
  Value::Array skipped;
  for (const Skipped& one : report.skipped)
    skipped.push_back(Value::Object{{"title", one.title}, {"why", one.why}});
  return Value::Object{{"format", std::string(name_of(report.format))},
                       {"conversations", report.conversations},
                       {"messages", report.messages},
                       {"skipped", std::move(skipped)}};
}

Import::Import() = default;
Import::Import(Import&&) noexcept = default;
Import& Import::operator=(Import&&) noexcept = default;
Import::~Import() = default;

Result<Import> Import::begin(std::string text, const Limits& limits) {
  if (text.size() > limits.bytes_max) {
    return misuse(fmt::format("the file has {} bytes, and at most {} are taken at once: divide it",
                              text.size(), limits.bytes_max));
  }
  if (text.starts_with("PK")) {
    return misuse(fmt::format("this is a zip file: unpack it and {}", kWayOut));
  }
  if (text.starts_with("SQLite format 3")) {
    return misuse(
        "this is a backup, a whole history and no file to import: to go back to it, stop minke and "
        "start `minke serve --history` with this file, or put it in the place of the history");
  }
  Import made;
  made.text_ = std::make_unique<std::string>(std::move(text));
  made.limits_ = limits;
  MINKE_TRY(made.find_format());
  return made;
}

Status Import::find_format() {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  std::string_view text = *text_;
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  auto slices = json_slices(text);
  if (!slices) return misuse(fmt::format("{}; {}", slices.error().message, kWayOut));
  slices_ = std::move(*slices);
  const auto has = [&](std::string_view key) {
    return std::any_of(slices_.begin(), slices_.end(),
                       [&](const JsonSlice& slice) { return slice.key == key; });
  };
  if (has("format") && has("conversations")) return find_minke();
  // One conversation alone, as some tools save it, or a list.
  if (const auto format = format_of(slices_)) {
    JsonSlice whole{.text = text, .values = 1};
    for (const JsonSlice& slice : slices_) whole.values += slice.values;
    slices_ = {whole};
    report_.format = *format;
    return {};
  }
  if (slices_.empty()) return misuse(fmt::format("the file holds nothing: {}", kWayOut));
  // The first conversation that can be told decides.
  for (const JsonSlice& slice : slices_) {
    const auto members =
        slice.key.empty() ? json_slices(slice.text) : Result<std::vector<JsonSlice>>(fail(""));
    const auto format = members ? format_of(*members) : std::nullopt;
    if (!format) continue;
    report_.format = *format;
    return {};
  }
  return misuse(fmt::format("this is JSON, but no history that minke knows: {}", kWayOut));
}

Status Import::find_minke() {
  const std::vector<JsonSlice> members = std::exchange(slices_, {});
  std::string_view format;
  std::string_view version;
  std::string_view conversations;
  for (const JsonSlice& member : members) {
    if (member.key == "format") format = member.text;
    if (member.key == "version") version = member.text;
    if (member.key == "presets") presets_ = member.text;
    if (member.key == "conversations") conversations = member.text;
  }
  const auto trimmed = [](std::string_view text) {
    return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
  };
  if (trimmed(format) != "\"minke-history\"")
    return misuse(fmt::format("this is JSON, but no history that minke knows: {}", kWayOut));
  if (trimmed(version) != "1") {
    return misuse(
        fmt::format("this history has version {}, and this minke reads version 1: update "
                    "minke",
                    shortened(trimmed(version), 20)));
  }
  auto slices = json_slices(conversations);
  if (!slices) return misuse(fmt::format("conversations: {}", slices.error().message));
  slices_ = std::move(*slices);
  report_.format = ImportFormat::kMinke;
  return {};
}

Result<Converted> Import::read(const JsonSlice& slice, std::string& title) const {
  if (slice.text.size() > limits_.conversation_bytes_max) {
    return fail(fmt::format("it has {} bytes, and a conversation may have at most {}",
                            slice.text.size(), limits_.conversation_bytes_max));
  }
  if (slice.values > limits_.conversation_values_max)
    return fail(fmt::format("it has more than {} values", limits_.conversation_values_max));
  MINKE_ASSIGN(const Value value,
               parse_json(slice.text, {.bytes_max = limits_.conversation_bytes_max}));
  if (value.as_object() == nullptr) return fail("it is no object");
  title = shortened(text_at(value, "title"), kLimits.title_bytes_max);
  MINKE_ASSIGN(Converted converted, convert(report_.format, value));
  const int64_t count = std::ssize(converted.conversation.messages);
  if (count == 0) return fail("it has no messages that can be shown");
  if (count > kLimits.messages_max) {
    return fail(
        fmt::format("it has {} messages, and at most {} are kept", count, kLimits.messages_max));
  }
  fill_times(converted.conversation);
  return converted;
}

void Import::skip(std::string title, std::string why) {
  if (report_.skipped.size() < limits_.skipped_max)
    report_.skipped.push_back({.title = std::move(title), .why = std::move(why)});
}

Status Import::add_presets(Store& store) {
  const std::string_view text = std::exchange(presets_, {});
  const auto presets = parse_json(text, {.bytes_max = size_t{16} << 20});
  if (!presets || presets->as_array() == nullptr) return {};
  MINKE_ASSIGN(const auto kept, store.presets());
  for (const Value& preset : *presets->as_array()) {
    const std::string_view name = text_at(preset, "name");
    const Value* settings = preset.find("settings");
    const auto has_name = [&](const Preset& other) { return other.name == name; };
    if (settings == nullptr || std::any_of(kept.begin(), kept.end(), has_name)) continue;
    const auto made = store.create_preset(name, *settings);
    if (made) continue;
    if (made.error().kind != ErrorKind::kUsage) return std::unexpected(made.error());
    skip(shortened(name, 100), made.error().message);
  }
  return {};
}

Status Import::step(Store& store) {
  if (!presets_.empty()) MINKE_TRY(add_presets(store));
  std::vector<ImportedConversation> batch;
  std::vector<std::pair<std::string, std::vector<std::string>>> left_out;
  size_t bytes = 0;
  size_t at = at_;
  for (; at < slices_.size() && bytes < limits_.step_bytes; ++at) {
    bytes += slices_[at].text.size();
    std::string title;
    auto converted = read(slices_[at], title);
    if (!converted) {
      if (title.empty()) title = fmt::format("number {}", at + 1);
      skip(std::move(title), converted.error().message);
      continue;
    }
    left_out.emplace_back(converted->conversation.conversation.title,
                          std::move(converted->left_out));
    batch.push_back(std::move(converted->conversation));
  }
  MINKE_ASSIGN(const std::vector<bool> taken, store.insert(batch));
  for (size_t i = 0; i < batch.size(); ++i) {
    const auto& [title, parts] = left_out[i];
    if (!taken[i]) {
      skip(title, "it is here already");
      continue;
    }
    ++report_.conversations;
    report_.messages += std::ssize(batch[i].messages);
    for (const std::string& why : parts) skip(title, why);
  }
  at_ = at;
  return {};
}

}  // namespace minke::history
