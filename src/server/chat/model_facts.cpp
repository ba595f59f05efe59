#include "server/chat/model_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <span>
#include <tuple>
#include <utility>

#include "engine/recommended_sampling.h"
#include "io/sha256.h"
#include "models/adapter.h"
#include "models/hf_folder.h"
#include "models/registry.h"
#include "text/chat_template.h"

namespace minke::server {
namespace fs = std::filesystem;

namespace {

// 0: it cannot be told.
int64_t modified_at_s(const std::string& path) {
  std::error_code error;
  const auto written = fs::last_write_time(path, error);
  if (error) return 0;
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::file_clock::to_sys(written).time_since_epoch())
      .count();
}

// What an adapter adds to what the weights' file says.
Status add_adapter(const std::string& path, const GgufFile& base, ModelFacts& facts) {
  MINKE_ASSIGN(const GgufFile file, GgufFile::open(path));
  MINKE_TRY(Adapter::check(file, base));
  MINKE_ASSIGN(const std::string_view own,
               file.text_or("tokenizer.chat_template", std::string_view()));
  if (!own.empty()) facts.info.chat_template = own;
  for (const GgufTensor& tensor : file.tensors()) {
    // As they are and as they are multiplied (Adapter::bytes).
    facts.adapter_bytes += 2 * static_cast<uint64_t>(tensor.shape.count()) * sizeof(float);
  }
  std::error_code error;
  facts.file_bytes += static_cast<int64_t>(fs::file_size(path, error));
  facts.modified_at_s = std::max(facts.modified_at_s, modified_at_s(path));
  return {};
}

}  // namespace

Result<std::shared_ptr<const ModelFacts>> read_facts(const ModelSource& source) {
  MINKE_ASSIGN(const GgufFile file, open_checkpoint(source.path));
  auto facts = std::make_shared<ModelFacts>();
  MINKE_ASSIGN(facts->info, model_info(file));
  std::error_code error;
  facts->file_bytes = fs::is_directory(source.path, error)
                          ? static_cast<int64_t>(facts->info.tensor_bytes)
                          : static_cast<int64_t>(fs::file_size(source.path, error));
  facts->modified_at_s = modified_at_s(source.path);
  if (!source.adapter.empty()) MINKE_TRY(add_adapter(source.adapter, file, *facts));
  if (!source.chat_template.empty()) facts->info.chat_template = source.chat_template;
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
  Sha256 digest;
  std::string version = fmt::format("{} {} {} {}", facts->info.name, facts->file_bytes,
                                    facts->modified_at_s, facts->info.chat_template);
  // Two adapters of a run differ in nothing but their place and time.
  if (!source.adapter.empty()) {
    version += fmt::format(" {} {}", fs::absolute(source.adapter, error).string(),
                           modified_at_s(source.adapter));
  }
  digest.update(std::as_bytes(std::span(version)));
  facts->digest = digest.finish_hex();
  return facts;
}

namespace {

// Facts by files, read again when a file is another.
class FactsCache {
 public:
  std::shared_ptr<const ModelFacts> get(const ModelSource& source) {
    if (source.path.empty()) return nullptr;
    const Key key(source.path, source.adapter, source.chat_template);
    const Written written(written_at(source.path), written_at(source.adapter));
    {
      const std::lock_guard lock(mutex_);
      const auto found = known_.find(key);
      if (found != known_.end() && found->second.first == written) return found->second.second;
    }
    Result<std::shared_ptr<const ModelFacts>> facts = read_facts(source);
    const std::lock_guard lock(mutex_);
    const std::shared_ptr<const ModelFacts> known = facts ? *facts : nullptr;
    known_[key] = {written, known};
    return known;
  }

 private:
  using Key = std::tuple<std::string, std::string, std::string>;
  using Written = std::pair<int64_t, int64_t>;
  static int64_t written_at(const std::string& path) {
    std::error_code error;
    return fs::last_write_time(path, error).time_since_epoch().count();
  }

  std::mutex mutex_;
  std::map<Key, std::pair<Written, std::shared_ptr<const ModelFacts>>> known_;
};

}  // namespace

std::shared_ptr<const ModelFacts> known_facts(const ModelSource& source) {
  static FactsCache cache;
  return cache.get(source);
}

uint64_t bytes_to_run(const ModelFacts& facts) {
  constexpr uint64_t kWorkingMemory = uint64_t{128} << 20;
  constexpr uint64_t kContextMemory = uint64_t{384} << 20;
  const auto context = static_cast<uint64_t>(std::max<int64_t>(facts.info.context, 1));
  const uint64_t token_bytes = std::max<uint64_t>(facts.info.kv_token_bytes, 1);
  const uint64_t context_bytes =
      context > kContextMemory / token_bytes ? kContextMemory : context * token_bytes;
  return facts.info.tensor_bytes + facts.adapter_bytes + kWorkingMemory + context_bytes;
}

}  // namespace minke::server
