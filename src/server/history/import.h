// Conversations from a file: minke's own, ChatGPT's (conversations.json), Open WebUI's or those of
// llama.cpp's page, told apart by their shape. The file is hostile: bytes, nesting, counts and
// trees are bounded, and what cannot be taken is left out with a reason, a conversation whole or
// not at all.
//
// An import goes in steps, so that a server's worker does other things in between. Each step is one
// transaction. When one fails (a full disk), what earlier ones brought stays; the same file again
// goes on from there, because a conversation that is here already is not taken twice.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "server/history/json_slices.h"
#include "server/history/store.h"

namespace minke::history {

enum class ImportFormat { kMinke, kChatGpt, kOpenWebUi, kLlamaCpp };
std::string_view name_of(ImportFormat format);

struct Skipped {
  std::string title;
  std::string why;
};

struct ImportReport {
  ImportFormat format = ImportFormat::kMinke;
  int64_t conversations = 0;
  int64_t messages = 0;
  std::vector<Skipped> skipped;  // of conversations, and of parts of those that were taken
};
Value to_value(const ImportReport& report);

class Import {
 public:
  struct Limits {
    size_t bytes_max = size_t{512} << 20;
    size_t conversation_bytes_max = size_t{64} << 20;
    size_t conversation_values_max = 2'000'000;
    size_t step_bytes = size_t{2} << 20;
    size_t skipped_max = 1'000;
  };

  // Finds out what the file is; keeps the text.
  static Result<Import> begin(std::string text, const Limits& limits);
  static Result<Import> begin(std::string text) { return begin(std::move(text), Limits()); }
  Import(Import&&) noexcept;
  Import& operator=(Import&&) noexcept;
  ~Import();

  bool is_done() const { return at_ == slices_.size(); }
  // On the thread of the store.
  Status step(Store& store);
  const ImportReport& report() const { return report_; }

 private:
  Import();
  Status find_format();
  Status find_minke();
  Status add_presets(Store& store);
  Result<struct Converted> read(const JsonSlice& slice, std::string& title) const;
  void skip(std::string title, std::string why);

  std::unique_ptr<std::string> text_;  // does not move, since slices look into it
  Limits limits_;
  std::vector<JsonSlice> slices_;
  std::string_view presets_;
  size_t at_ = 0;
  ImportReport report_;
};

}  // namespace minke::history
