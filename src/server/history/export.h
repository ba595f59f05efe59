// The history as minke's JSON, docs/history.md: one conversation or all, in chunks. Used on the
// thread of its Store.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/result.h"
#include "server/history/store.h"

namespace minke::history {

class Export {
 public:
  // Of all conversations, or of the one of that id.
  static Result<Export> begin(Store& store, std::optional<std::string> conversation_id);
  // The next part of the text, a conversation at most; none at the end. What is deleted meanwhile
  // is left out.
  Result<std::optional<std::string>> next(Store& store);

 private:
  Export() = default;

  std::vector<std::string> ids_;
  std::vector<Folder> folders_;
  size_t at_ = 0;
  bool is_begun_ = false;
  bool has_conversation_ = false;
  bool is_ended_ = false;
  std::string head_;
};

}  // namespace minke::history
