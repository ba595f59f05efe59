#include "engine/draft_loading.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "models/hf_folder.h"
#include "models/registry.h"

namespace minke {
namespace {

constexpr int64_t kFillersMax = 1024;

}  // namespace

Status check_same_vocabulary(const GgufFile& model, const GgufFile& draft) {
  MINKE_ASSIGN(const auto ours, model.strings("tokenizer.ggml.tokens"));
  MINKE_ASSIGN(const auto theirs, draft.strings("tokenizer.ggml.tokens"));
  const size_t both = std::min(ours.size(), theirs.size());
  const auto refuse = [&](const std::string& how) {
    return misuse(
        fmt::format("{} cannot guess for {}: {}; a draft model (--draft-model) must have the same "
                    "vocabulary, as smaller models of the same family do",
                    draft.path(), model.path(), how));
  };
  for (size_t i = 0; i < both; ++i) {
    if (ours[i] == theirs[i]) continue;
    return refuse(fmt::format("token {} is '{}' here and '{}' there", i,
                              std::string_view(theirs[i]).substr(0, 40),
                              std::string_view(ours[i]).substr(0, 40)));
  }
  if (std::abs(std::ssize(ours) - std::ssize(theirs)) > kFillersMax) {
    return refuse(fmt::format("it has {} tokens, not {}", theirs.size(), ours.size()));
  }
  return {};
}

Result<DraftParts> open_draft(const std::string& path, const GgufFile& model) {
  DraftParts parts;
  MINKE_ASSIGN(GgufFile file, open_checkpoint(path));
  parts.file = std::make_unique<GgufFile>(std::move(file));
  MINKE_ASSIGN(parts.config, read_config(*parts.file));
  parts.config.mtp = {};
  MINKE_TRY(check_same_vocabulary(model, *parts.file));
  return parts;
}

}  // namespace minke
