#include "server/chat/model_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <span>
#include <utility>

#include "engine/recommended_sampling.h"
#include "io/sha256.h"
#include "models/hf_folder.h"
#include "models/registry.h"
#include "text/chat_template.h"

namespace minke::server {
namespace fs = std::filesystem;

Result<std::shared_ptr<const ModelFacts>> read_facts(const std::string& path,
                                                     const std::string& chat_template) {
  MINKE_ASSIGN(const GgufFile file, open_checkpoint(path));
  auto facts = std::make_shared<ModelFacts>();
  MINKE_ASSIGN(facts->info, model_info(file));
  if (!chat_template.empty()) facts->info.chat_template = chat_template;
  MINKE_ASSIGN(RecommendedSampling sampling, recommended_sampling(file));
  facts->sampling = std::move(sampling.options);
  facts->sampling_source = std::move(sampling.source);
  const Result<ChatTemplate> chat = facts->info.chat_template.empty()
                                        ? ChatTemplate::builtin_chatml()
                                        : ChatTemplate::parse(facts->info.chat_template);
  if (chat) {
    const ChatTemplateTraits& traits = chat->traits();
    facts->thinks = traits.knows_thinking;
    facts->can_choose_thinking = traits.has_thinking_switch || traits.knows_thinking;
    facts->takes_tools =
        traits.tool_format != ToolFormat::kNone && (traits.takes_tools || traits.repairs_tools);
  }
  std::error_code error;
  facts->file_bytes = fs::is_directory(path, error)
                          ? static_cast<int64_t>(facts->info.tensor_bytes)
                          : static_cast<int64_t>(fs::file_size(path, error));
  const auto written = fs::last_write_time(path, error);
  if (!error) {
    facts->modified_at_s = std::chrono::duration_cast<std::chrono::seconds>(
                               std::chrono::file_clock::to_sys(written).time_since_epoch())
                               .count();
  }
  Sha256 digest;
  const std::string version = fmt::format("{} {} {} {}", facts->info.name, facts->file_bytes,
                                          facts->modified_at_s, facts->info.chat_template);
  digest.update(std::as_bytes(std::span(version)));
  facts->digest = digest.finish_hex();
  return facts;
}

namespace {

// Facts by file, read again when the file is another.
class FactsCache {
 public:
  std::shared_ptr<const ModelFacts> get(const std::string& path, const std::string& chat_template) {
    if (path.empty()) return nullptr;
    std::error_code error;
    const auto written = fs::last_write_time(path, error).time_since_epoch().count();
    {
      const std::lock_guard lock(mutex_);
      const auto found = known_.find(path);
      if (found != known_.end() && found->second.first == written) return found->second.second;
    }
    Result<std::shared_ptr<const ModelFacts>> facts = read_facts(path, chat_template);
    const std::lock_guard lock(mutex_);
    const std::shared_ptr<const ModelFacts> known = facts ? *facts : nullptr;
    known_[path] = {written, known};
    return known;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::pair<int64_t, std::shared_ptr<const ModelFacts>>> known_;
};

}  // namespace

std::shared_ptr<const ModelFacts> known_facts(const std::string& path,
                                              const std::string& chat_template) {
  static FactsCache cache;
  return cache.get(path, chat_template);
}

uint64_t bytes_to_run(const ModelFacts& facts) {
  constexpr uint64_t kWorkingMemory = uint64_t{128} << 20;
  constexpr uint64_t kContextMemory = uint64_t{384} << 20;
  const auto context = static_cast<uint64_t>(std::max<int64_t>(facts.info.context, 1));
  const uint64_t token_bytes = std::max<uint64_t>(facts.info.kv_token_bytes, 1);
  const uint64_t context_bytes =
      context > kContextMemory / token_bytes ? kContextMemory : context * token_bytes;
  return facts.info.tensor_bytes + kWorkingMemory + context_bytes;
}

}  // namespace minke::server
