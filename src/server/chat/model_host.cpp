#include "server/chat/model_host.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <span>
#include <utility>

#include "core/check.h"
#include "core/system_limits.h"
#include "engine/recommended_sampling.h"
#include "io/download.h"
#include "io/model_cache.h"
#include "io/sha256.h"
#include "models/hf_folder.h"
#include "models/registry.h"
#include "server/chat/timeline_file.h"
#include "text/chat_template.h"

namespace minke::server {
namespace fs = std::filesystem;

struct ModelHost::Entry {
  std::string name;
  std::string path;  // empty: absent
  std::optional<CatalogueEntry> catalogue;
  ModelState state = ModelState::kAbsent;
  std::optional<ModelProgress> progress;
  std::string error;
  std::unique_ptr<LoadedModel> model;
  MemoryReport memory;
  int64_t leases = 0;
  bool unload_wanted = false;
  Clock::time_point last_used;
  std::chrono::seconds idle_time{0};
  std::vector<OnLease> waiters;  // for it to be loaded
};

struct ModelHost::Fetch final : public PullObserver {
  Fetch(ModelHost& owner, CatalogueEntry what) : host(owner), entry(std::move(what)) {}

  void say(const std::string&) override {}
  bool stop_wanted() override { return is_stopped; }
  void progress(const PullProgress& now) override {
    {
      const std::lock_guard lock(host.mutex_);
      Entry* one = host.find(entry.name);
      if (one == nullptr) return;
      one->progress = ModelProgress{.phase = std::string(now.phase),
                                    .done = now.bytes_done,
                                    .total = now.bytes_total,
                                    .rate = now.bytes_per_s,
                                    .seconds_left = now.seconds_left};
    }
    host.changed(entry.name);
  }

  ModelHost& host;
  const CatalogueEntry entry;
  std::atomic<bool> is_stopped = false;
};

namespace {

uint64_t bytes_of(const MemoryReport& memory) {
  return memory.weights + memory.kv_cache + memory.activations + memory.expert_cache;
}

// `chat_template`: instead of the model's own; empty: that.
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

FactsCache& facts_cache() {
  static FactsCache cache;
  return cache;
}

}  // namespace

const char* model_state_name(ModelState state) {
  switch (state) {
    case ModelState::kAbsent:
      return "absent";
    case ModelState::kPulling:
      return "pulling";
    case ModelState::kPresent:
      return "present";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kLoaded:
      return "loaded";
    case ModelState::kFailed:
      return "failed";
  }
  return "";
}

void LoadedModel::note_ahead(uint64_t id) {
  constexpr size_t kAheadMax = 8;
  if (id == 0) return;
  uint64_t oldest = 0;
  {
    const std::lock_guard lock(mutex_);
    ahead_.push_back(id);
    if (ahead_.size() <= kAheadMax) return;
    oldest = ahead_.front();
    ahead_.pop_front();
  }
  engine->cancel(oldest);
}

ModelHost::ModelHost(HostOptions options, boost::asio::thread_pool& workers)
    : options_(std::move(options)), workers_(workers) {
  const auto available = static_cast<uint64_t>(available_memory_bytes());
  budget_ = options_.memory_bytes > 0 ? options_.memory_bytes : available - available / 8;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, path] : options_.files) {
      auto entry = std::make_unique<Entry>();
      entry->name = name;
      entry->path = path;
      entry->state = ModelState::kPresent;
      entries_[name] = std::move(entry);
    }
  }
  scan();
  worker_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

ModelHost::~ModelHost() {
  {
    const std::lock_guard lock(mutex_);
    for (auto& [name, fetch] : fetches_) fetch->is_stopped = true;
  }
  fetchers_.clear();
  worker_.request_stop();
  wake_.notify_all();
  worker_.join();
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return leases_ == 0; });
}

void ModelHost::wait_unused(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, time, [this] { return leases_ == 0; });
}

std::shared_ptr<void> ModelHost::on_change(OnChange callback) {
  auto kept = std::make_shared<OnChange>(std::move(callback));
  const std::lock_guard lock(mutex_);
  on_change_.push_back(kept);
  return kept;
}

// What was pulled, also by another process meanwhile, and what could be.
void ModelHost::scan() {
  const Result<fs::path> folder = models_dir();
  if (!folder) return;
  const Result<std::vector<ListedModel>> listed = list_models(*folder);
  if (!listed) return;
  const std::lock_guard lock(mutex_);
  for (const ListedModel& one : *listed) {
    std::unique_ptr<Entry>& entry = entries_[one.entry.name];
    if (!entry) {
      entry = std::make_unique<Entry>();
      entry->name = one.entry.name;
    }
    entry->catalogue = one.entry;
    if (entry->state == ModelState::kAbsent || entry->state == ModelState::kPresent) {
      entry->path = one.pulled ? one.path : "";
      entry->state = one.pulled ? ModelState::kPresent : ModelState::kAbsent;
    }
  }
}

ModelHost::Entry* ModelHost::find(std::string_view name) {
  const auto found = entries_.find(std::string(name));
  return found == entries_.end() ? nullptr : found->second.get();
}

const ModelHost::Entry* ModelHost::find(std::string_view name) const {
  const auto found = entries_.find(std::string(name));
  return found == entries_.end() ? nullptr : found->second.get();
}

std::expected<std::string, ApiError> ModelHost::resolve(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  if (name.empty()) return options_.default_model;
  if (find(name) != nullptr) return std::string(name);
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  std::vector<std::string> here, all;
  for (const auto& [known, entry] : entries_) {
    if (known == name) return known;
    if (!entry->path.empty()) all.push_back(known);
    if (!name.empty() && known.starts_with(name) && !entry->path.empty()) here.push_back(known);
  }
  if (here.size() == 1) return here.front();
  if (std::ranges::find(here, options_.default_model) != here.end()) return options_.default_model;
  ApiError error =
      not_found(fmt::format("the model '{}' is not here; there {}", name,
                            all.empty() ? std::string("is none: fetch one with `minke pull`")
                                        : fmt::format("is '{}'", fmt::join(all, "', '"))),
                "model_not_found");
  error.param = "model";
  return std::unexpected(std::move(error));
}

std::expected<ModelHost::Entry*, ApiError> ModelHost::find_or_error(std::string_view name) {
  Entry* entry = find(name);
  if (entry != nullptr) return entry;
  ApiError error =
      not_found(fmt::format("there is no model of the name '{}'", name), "model_not_found");
  error.param = "model";
  return std::unexpected(std::move(error));
}

void ModelHost::lease(std::string_view wanted, OnLease on_lease) {
  const auto answer = [&](std::expected<Lease, ApiError> result) {
    boost::asio::post(workers_, [on_lease = std::move(on_lease), result = std::move(result)] {
      on_lease(result);
    });
  };
  const std::expected<std::string, ApiError> name = resolve(wanted);
  if (!name) return answer(std::unexpected(name.error()));
  std::unique_lock lock(mutex_);
  const std::expected<Entry*, ApiError> found = find_or_error(*name);
  if (!found) {
    lock.unlock();
    return answer(std::unexpected(found.error()));
  }
  Entry& entry = **found;
  if (entry.path.empty()) {
    lock.unlock();
    return answer(std::unexpected(
        not_found(fmt::format("the model '{}' is known but not here: fetch it with `minke pull "
                              "{}`",
                              *name, *name),
                  "model_not_found")));
  }
  if (entry.model && !entry.unload_wanted) {
    Lease lease = lease_of(entry);
    lock.unlock();
    return answer(std::move(lease));
  }
  entry.waiters.push_back(std::move(on_lease));
  if (entry.state != ModelState::kLoading) {
    entry.state = ModelState::kLoading;
    entry.error.clear();
    to_load_.push_back(entry.name);
    wake_.notify_all();
    lock.unlock();
    changed(*name);
  }
}

Lease ModelHost::loaded(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(std::string(name));
  if (found == entries_.end() || !found->second->model || found->second->unload_wanted) return {};
  return lease_of(*found->second);
}

// mutex_ is held.
Lease ModelHost::lease_of(Entry& entry, bool is_use) {
  ++entry.leases;
  ++leases_;
  if (is_use) entry.last_used = Clock::now();
  return {entry.model.get(), [this, &entry, is_use](LoadedModel*) {
            const std::lock_guard lock(mutex_);
            --leases_;
            --entry.leases;
            if (is_use) entry.last_used = Clock::now();
            wake_.notify_all();
          }};
}

ModelStatus ModelHost::status_of(const Entry& entry) const {
  ModelStatus status{.name = entry.name,
                     .path = entry.path,
                     .state = entry.state,
                     .progress = entry.progress,
                     .error = entry.error,
                     .is_default = entry.name == options_.default_model};
  if (entry.catalogue) {
    status.licence = entry.catalogue->licence;
    status.description = entry.catalogue->description;
    status.bytes = entry.catalogue->bytes;
    status.memory_bytes = entry.catalogue->memory_bytes;
  }
  if (entry.model) {
    status.memory = entry.memory;
    status.context_tokens = entry.model->engine->context_tokens();
    status.running = entry.model->queue.running();
    status.waiting = entry.model->queue.waiting();
    if (entry.idle_time.count() >= 0) {
      const auto left = std::chrono::duration_cast<std::chrono::seconds>(
          entry.last_used + entry.idle_time - Clock::now());
      status.unloads_in_s = std::max<int64_t>(0, left.count());
    }
  }
  return status;
}

std::vector<ModelStatus> ModelHost::list() {
  std::vector<ModelStatus> all;
  scan();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, entry] : entries_) all.push_back(status_of(*entry));
  }
  for (ModelStatus& one : all) {
    one.facts = facts_cache().get(one.path, options_.engine.chat_template);
    if (one.facts) one.bytes = one.facts->file_bytes;
  }
  return all;
}

std::expected<ModelStatus, ApiError> ModelHost::status(std::string_view name) {
  ModelStatus status;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = find_or_error(name);
    if (!entry) return std::unexpected(entry.error());
    status = status_of(**entry);
  }
  status.facts = facts_cache().get(status.path, options_.engine.chat_template);
  if (status.facts) status.bytes = status.facts->file_bytes;
  return status;
}

void ModelHost::changed(const std::string& name) {
  std::vector<std::shared_ptr<OnChange>> told;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(on_change_, [](const auto& one) { return one.expired(); });
    for (const auto& one : on_change_) {
      if (auto alive = one.lock()) told.push_back(std::move(alive));
    }
  }
  if (told.empty()) return;
  if (const auto now = status(name)) {
    for (const auto& one : told) (*one)(*now);
  }
}

uint64_t ModelHost::used_bytes() const {
  uint64_t used = 0;
  for (const auto& [name, entry] : entries_) {
    if (entry->model) used += bytes_of(entry->memory);
  }
  return used;
}

uint64_t ModelHost::memory_used() const {
  const std::lock_guard lock(mutex_);
  return used_bytes();
}

LoadSummary ModelHost::load_summary() const {
  LoadSummary summary;
  const std::lock_guard lock(mutex_);
  for (const auto& [name, entry] : entries_) {
    if (!entry->model) continue;
    summary.loaded.push_back(name);
    summary.running += entry->model->queue.running();
    summary.waiting += entry->model->queue.waiting();
  }
  return summary;
}

void ModelHost::keep(std::string_view name, std::chrono::seconds time) {
  const std::lock_guard lock(mutex_);
  if (Entry* entry = find(name)) {
    entry->idle_time = time;
    entry->last_used = Clock::now();
    wake_.notify_all();
  }
}

std::expected<void, ApiError> ModelHost::unload(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto entry = find_or_error(name);
  if (!entry) return std::unexpected(entry.error());
  if ((*entry)->model) (*entry)->unload_wanted = true;
  wake_.notify_all();
  return {};
}

// Loads what is asked for and unloads what is not.
void ModelHost::work(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::string next;
    {
      std::unique_lock lock(mutex_);
      const auto has_unload = [this] {
        return std::ranges::any_of(entries_, [](const auto& one) {
          return one.second->unload_wanted && one.second->leases == 0;
        });
      };
      wake_.wait_for(lock, stop, std::chrono::seconds(1),
                     [&] { return !to_load_.empty() || has_unload(); });
      if (!to_load_.empty()) {
        next = std::move(to_load_.front());
        to_load_.pop_front();
      }
    }
    unload_idle();
    save_timelines();
    if (!next.empty() && !stop.stop_requested()) load(next);
  }
  save_timelines();
  // Whoever still waits is told.
  std::vector<OnLease> waiters;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [name, entry] : entries_)
      std::ranges::move(entry->waiters, std::back_inserter(waiters));
  }
  for (const OnLease& waiter : waiters) {
    waiter(std::unexpected(
        ApiError{.status = 503, .message = "the server is ending", .type = "server_error"}));
  }
}

// The model is to be destroyed by the caller, without the lock. mutex_ is held.
std::unique_ptr<LoadedModel> ModelHost::take_out(Entry& entry) {
  CHECK_EQ(entry.leases, 0);
  entry.unload_wanted = false;
  entry.memory = {};
  entry.state = ModelState::kPresent;
  if (!entry.waiters.empty()) {
    // Somebody has asked for it since it was to go: it comes back.
    entry.state = ModelState::kLoading;
    to_load_.push_back(entry.name);
  }
  return std::move(entry.model);
}

void ModelHost::unload_idle() {
  std::vector<std::unique_ptr<LoadedModel>> going;
  std::vector<std::string> names;
  {
    const std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    for (auto& [name, entry] : entries_) {
      if (!entry->model || entry->leases > 0) continue;
      const bool is_old =
          entry->idle_time.count() >= 0 && now - entry->last_used > entry->idle_time;
      if (!entry->unload_wanted && !is_old) continue;
      going.push_back(take_out(*entry));
      names.push_back(name);
    }
  }
  going.clear();
  for (const std::string& name : names) changed(name);
}

// What has changed of the conversations' tokens, so that a server that is killed loses little.
void ModelHost::save_timelines() {
  std::vector<Lease> loaded;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [name, entry] : entries_) {
      if (entry->model && !entry->model->timeline_file.empty()) {
        loaded.push_back(lease_of(*entry, /*is_use=*/false));
      }
    }
  }
  for (const Lease& model : loaded) {
    if (model->timelines.take_changed()) {
      // A cache: where it cannot be written there is none.
      (void)store_timelines(model->timelines, model->timeline_file);
    }
  }
}

// Unloads what nobody uses, longest unused first, until so much is free. False: it is not.
bool ModelHost::make_room(uint64_t bytes, const std::string& but) {
  for (;;) {
    std::unique_ptr<LoadedModel> going;
    std::string name;
    {
      const std::lock_guard lock(mutex_);
      if (used_bytes() + bytes <= budget_) return true;
      Entry* oldest = nullptr;
      for (auto& [other, entry] : entries_) {
        if (!entry->model || entry->leases > 0 || other == but) continue;
        if (oldest == nullptr || entry->last_used < oldest->last_used) oldest = entry.get();
      }
      if (oldest == nullptr) return false;
      name = oldest->name;
      going = take_out(*oldest);
    }
    going.reset();
    changed(name);
  }
}

std::expected<std::unique_ptr<LoadedModel>, ApiError> ModelHost::load_engine(
    const std::string& name, const std::string& path) {
  const auto failed = [&](const std::string& why, int status) {
    return std::unexpected(ApiError{.status = status,
                                    .message = fmt::format("{} cannot be loaded: {}", name, why),
                                    .type = "server_error",
                                    .code = "model_not_loaded"});
  };
  Result<std::shared_ptr<const ModelFacts>> facts = read_facts(path, options_.engine.chat_template);
  if (!facts) return failed(facts.error().message, 500);
  EngineOptions options = options_.engine;
  options.model = path;
  options.batch_sequences_max = options_.limits.running_max;
  // As much for the cache as a quarter of the budget holds: many conversations share it.
  const uint64_t token_bytes = options.kv == KvFormat::kQ8 ? (*facts)->info.kv_token_bytes_q8
                                                           : (*facts)->info.kv_token_bytes;
  if (options.cache_tokens == 0 && token_bytes > 0) {
    options.cache_tokens = static_cast<int64_t>(budget_ / 4 / token_bytes);
  }
  std::string timeline_file;
  if (!options_.cache_folder.empty()) {
    const std::string stem = options_.cache_folder + "/" + (*facts)->digest.substr(0, 32);
    options.page_file = stem + ".kv";
    options.page_file_bytes = options_.cache_file_bytes;
    timeline_file = stem + ".turns";
  }
  auto last_told = Clock::now();
  options.progress = [&](std::string_view what, double fraction) {
    {
      const std::lock_guard lock(mutex_);
      if (Entry* entry = find(name)) {
        constexpr int64_t kParts = 1000;
        entry->progress = ModelProgress{.phase = std::string(what),
                                        .done = static_cast<int64_t>(fraction * kParts),
                                        .total = kParts};
      }
    }
    if (Clock::now() - last_told < std::chrono::milliseconds(100)) return;
    last_told = Clock::now();
    changed(name);
  };
  // Room for the weights at least, then for as much of a context as there is.
  constexpr uint64_t kWorkingMemory = uint64_t{512} << 20;
  make_room((*facts)->info.tensor_bytes + kWorkingMemory, name);
  for (bool is_last_try = false;; is_last_try = true) {
    {
      const std::lock_guard lock(mutex_);
      options.memory_bytes = budget_ - std::min(budget_ - 1, used_bytes());
    }
    Result<std::shared_ptr<LocalEngine>> engine = LocalEngine::load(options);
    if (engine) {
      auto model = std::make_unique<LoadedModel>(name, *std::move(engine), *std::move(facts),
                                                 options_.limits, options_.timeline_bytes);
      model->timeline_file = timeline_file;
      if (!timeline_file.empty()) load_timelines(model->timelines, timeline_file);
      return model;
    }
    if (is_last_try || memory_used() == 0) return failed(engine.error().message, 503);
    make_room(budget_, name);
  }
}

void ModelHost::load(const std::string& name) {
  std::string path;
  {
    const std::lock_guard lock(mutex_);
    const Entry* entry = find(name);
    // One that is to go and is still being used is loaded when it has gone (unload_idle).
    if (entry == nullptr || entry->model) return;
    path = entry->path;
  }
  changed(name);
  auto model = load_engine(name, path);
  std::vector<OnLease> waiters;
  std::vector<std::expected<Lease, ApiError>> results;
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = *find(name);
    entry.progress.reset();
    waiters.swap(entry.waiters);
    if (model) {
      entry.memory = (*model)->engine->memory();
      entry.model = *std::move(model);
      entry.state = ModelState::kLoaded;
      entry.idle_time = options_.idle_time;
      entry.last_used = Clock::now();
      for (size_t i = 0; i < waiters.size(); ++i) results.emplace_back(lease_of(entry));
    } else {
      entry.state = ModelState::kFailed;
      entry.error = model.error().message;
      results.assign(waiters.size(), std::unexpected(model.error()));
    }
  }
  for (size_t i = 0; i < waiters.size(); ++i) {
    boost::asio::post(workers_, [waiter = std::move(waiters[i]), result = std::move(results[i])] {
      waiter(result);
    });
  }
  results.clear();
  changed(name);
}

std::expected<void, ApiError> ModelHost::pull(const std::string& name) {
  const Result<CatalogueEntry> what = find_pullable(name);
  if (!what) {
    return std::unexpected(
        ApiError{.status = 404, .message = what.error().message, .code = "model_not_found"});
  }
  const auto job = std::make_shared<Fetch>(*this, *what);
  {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<Entry>& entry = entries_[what->name];
    if (!entry) {
      entry = std::make_unique<Entry>();
      entry->name = what->name;
      entry->catalogue = *what;
    }
    if (!entry->path.empty() || fetches_.contains(what->name)) return {};
    entry->state = ModelState::kPulling;
    entry->error.clear();
    fetches_[what->name] = job;
    fetchers_.emplace_back([this, job] { fetch(job); });
  }
  changed(what->name);
  return {};
}

void ModelHost::fetch(const std::shared_ptr<Fetch>& job) {
  PullOptions options;
  const Result<PulledModel> pulled = pull_model(job->entry, options, *job);
  {
    const std::lock_guard lock(mutex_);
    fetches_.erase(job->entry.name);
    Entry& entry = *find(job->entry.name);
    entry.progress.reset();
    if (pulled) {
      entry.path = pulled->path;
      entry.state = ModelState::kPresent;
    } else {
      entry.state = job->is_stopped ? ModelState::kAbsent : ModelState::kFailed;
      entry.error = job->is_stopped ? "" : pulled.error().message;
    }
  }
  changed(job->entry.name);
}

std::expected<void, ApiError> ModelHost::stop_pull(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = fetches_.find(std::string(name));
  if (found == fetches_.end()) {
    return std::unexpected(not_found(fmt::format("'{}' is not being fetched", name)));
  }
  found->second->is_stopped = true;
  return {};
}

std::expected<void, ApiError> ModelHost::remove(std::string_view name) {
  {
    const std::lock_guard lock(mutex_);
    const auto entry = find_or_error(name);
    if (!entry) return std::unexpected(entry.error());
    if ((*entry)->leases > 0 || (*entry)->model) {
      return std::unexpected(
          ApiError{.status = 409, .message = fmt::format("'{}' is loaded: unload it first", name)});
    }
    if (!(*entry)->catalogue) {
      return std::unexpected(ApiError{
          .status = 403,
          .message = fmt::format("'{}' is a file of yours, not one that was pulled: it is not "
                                 "deleted from here",
                                 name)});
    }
  }
  const Result<fs::path> folder = models_dir();
  if (!folder) return std::unexpected(server_error(folder.error().message));
  const Result<RemovedModel> removed = remove_model(*folder, name);
  if (!removed) return std::unexpected(server_error(removed.error().message));
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = *find(name);
    entry.path.clear();
    entry.state = ModelState::kAbsent;
    entry.error.clear();
  }
  changed(std::string(name));
  return {};
}

}  // namespace minke::server
