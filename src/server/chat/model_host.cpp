#include "server/chat/model_host.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <utility>

#include "core/check.h"
#include "core/system_limits.h"
#include "engine/memory_budget.h"
#include "io/download.h"
#include "io/model_cache.h"
#include "server/chat/model_faults.h"
#include "server/chat/timeline_file.h"

namespace minke::server {
namespace fs = std::filesystem;

struct ModelHost::Entry {
  std::string name;
  std::string path;           // empty: absent
  std::string adapter, base;  // as in ServedModel
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
  Clock::time_point wanted_since;
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

constexpr int kRetryAfterS = 5;  // where a model is to be loaded first

}  // namespace

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
    for (const ServedModel& one : options_.served) {
      auto entry = std::make_unique<Entry>();
      entry->name = one.name;
      entry->path = one.path;
      entry->adapter = one.adapter;
      entry->base = one.base;
      entry->state = ModelState::kPresent;
      entries_[one.name] = std::move(entry);
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
  stop_loading();
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return leases_ == 0; });
}

void ModelHost::stop_loading() {
  worker_.request_stop();
  wake_.notify_all();
  if (worker_.joinable()) worker_.join();
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
  const TurnLimits& limits = options_.limits;
  if (std::ssize(entry.waiters) >= limits.running_max + limits.waiting_max) {
    lock.unlock();
    return answer(std::unexpected(
        ApiError{.status = 429,
                 .message = fmt::format("{} requests wait for {} to be loaded, which is as many as "
                                        "are taken: try again",
                                        limits.running_max + limits.waiting_max, *name),
                 .type = "rate_limit_error",
                 .code = "queue_full",
                 .retry_after_s = kRetryAfterS}));
  }
  if (entry.waiters.empty()) entry.wanted_since = Clock::now();
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
            if (is_use) {
              entry.last_used = Clock::now();
              if (entry.leases == 0) has_new_room_ = true;
            }
            wake_.notify_all();
          }};
}

ModelStatus ModelHost::status_of(const Entry& entry) const {
  ModelStatus status{.name = entry.name,
                     .path = entry.path,
                     .base = entry.base,
                     .state = entry.state,
                     .progress = entry.progress,
                     .error = entry.error,
                     .is_default = entry.name == options_.default_model};
  if (!entry.base.empty()) status.description = fmt::format("{} with an adapter", entry.base);
  if (entry.catalogue) {
    status.licence = entry.catalogue->licence;
    status.description = entry.catalogue->description;
    status.bytes = entry.catalogue->bytes;
    status.memory_bytes = entry.catalogue->memory_bytes;
  }
  if (entry.model) {
    status.memory = entry.memory;
    status.memory_bytes = static_cast<int64_t>(bytes_of(entry.memory));
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
  std::vector<ModelSource> sources;
  scan();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, entry] : entries_) {
      all.push_back(status_of(*entry));
      sources.push_back(source_of(*entry));
    }
  }
  for (size_t i = 0; i < all.size(); ++i) add_facts(all[i], sources[i]);
  return all;
}

std::expected<ModelStatus, ApiError> ModelHost::status(std::string_view name) {
  ModelStatus status;
  ModelSource source;
  {
    const std::lock_guard lock(mutex_);
    const auto entry = find_or_error(name);
    if (!entry) return std::unexpected(entry.error());
    status = status_of(**entry);
    source = source_of(**entry);
  }
  add_facts(status, source);
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
    summary.waiting += std::ssize(entry->waiters);
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
    std::vector<std::string> now;
    {
      std::unique_lock lock(mutex_);
      const auto has_unload = [this] {
        return std::ranges::any_of(entries_, [](const auto& one) {
          return one.second->unload_wanted && one.second->leases == 0;
        });
      };
      wake_.wait_for(lock, stop, std::chrono::seconds(1), [&] {
        return !to_load_.empty() || has_unload() || (has_new_room_ && !without_room_.empty());
      });
      // Who has waited for room is first.
      now.swap(without_room_);
      has_new_room_ = false;
      if (!to_load_.empty()) {
        now.push_back(std::move(to_load_.front()));
        to_load_.pop_front();
      }
    }
    unload_idle();
    save_timelines();
    tell_notices();
    for (const std::string& name : now) {
      if (!stop.stop_requested()) load(name);
    }
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
  has_new_room_ = true;
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

// For the host itself: they count as unused.
std::vector<Lease> ModelHost::loaded_models() {
  std::vector<Lease> loaded;
  const std::lock_guard lock(mutex_);
  for (auto& [name, entry] : entries_) {
    if (entry->model) loaded.push_back(lease_of(*entry, /*is_use=*/false));
  }
  return loaded;
}

void ModelHost::tell_notices() {
  if (!options_.on_notice) return;
  for (const Lease& model : loaded_models()) {
    for (const std::string& notice : model->engine->take_notices()) {
      options_.on_notice(model->name, notice);
    }
  }
}

// What has changed of the conversations' tokens, so that a server that is killed loses little.
void ModelHost::save_timelines() {
  for (const Lease& model : loaded_models()) {
    if (!model->timeline_file.empty() && model->timelines.take_changed()) {
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

// Told about ten times a second.
std::function<void(std::string_view, double)> ModelHost::progress_of(const std::string& name) {
  return [this, name, last_told = Clock::now()](std::string_view what, double fraction) mutable {
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
}

// mutex_ is held.
ModelSource ModelHost::source_of(const Entry& entry) const {
  return {
      .path = entry.path, .adapter = entry.adapter, .chat_template = options_.engine.chat_template};
}

EngineOptions ModelHost::options_for(const std::string& name, const ModelSource& source,
                                     const ModelFacts& facts) {
  EngineOptions options = options_.engine;
  options.model = source.path;
  options.adapter = source.adapter;
  options.batch_sequences_max = options_.limits.running_max;
  options.progress = progress_of(name);
  const uint64_t token_bytes =
      options.kv == KvFormat::kQ8 ? facts.info.kv_token_bytes_q8 : facts.info.kv_token_bytes;
  if (options.cache_tokens == 0 && token_bytes > 0) {
    // Many conversations share the cache: a quarter of what is free, so that there is room for
    // other models whatever comes, and no more than all that may run at once can fill.
    uint64_t free = 0;
    {
      const std::lock_guard lock(mutex_);
      free =
          budget_ - std::min(budget_, used_bytes() + facts.info.tensor_bytes + facts.adapter_bytes);
    }
    constexpr int64_t kContextMax = int64_t{1} << 40;
    const int64_t context = std::min(
        options.context_tokens > 0 ? options.context_tokens : facts.info.context, kContextMax);
    const auto quarter = static_cast<int64_t>(free / 4 / token_bytes);
    options.cache_tokens =
        std::max<int64_t>(1, std::min(quarter, context * options_.limits.running_max));
  }
  if (!options_.cache_folder.empty()) {
    options.page_file = fmt::format("{}/{}.kv", options_.cache_folder, facts.digest.substr(0, 32));
    options.page_file_bytes = options_.cache_file_bytes;
  }
  return options;
}

// Others are being asked, and there is no room beside them.
ModelHost::LoadFault ModelHost::no_room(const std::string& name, uint64_t bytes) const {
  RoomFault fault{.model = name, .wanted = bytes, .budget = budget_, .retry_after_s = kRetryAfterS};
  ModelSource source;
  {
    const std::lock_guard lock(mutex_);
    if (const Entry* entry = find(name)) source = source_of(*entry);
    fault.held = used_bytes();
    for (const auto& [other, entry] : entries_) {
      if (entry->model && entry->leases > 0) fault.holders.push_back(other);
    }
  }
  return {.error = no_room_error(fault, known_facts(source).get()), .lacks_room = true};
}

ModelHost::Loading ModelHost::load_engine(const std::string& name, const ModelSource& source) {
  const auto failed = [&](const std::string& why, int status) {
    return std::unexpected(
        LoadFault{.error = {.status = status,
                            .message = fmt::format("{} cannot be loaded: {}", name, why),
                            .type = "server_error",
                            .code = "model_not_loaded"}});
  };
  std::shared_ptr<const ModelFacts> facts = known_facts(source);
  if (!facts) {
    const auto why = read_facts(source);
    if (!why) return failed(why.error().message, 500);
    facts = *why;
  }
  const uint64_t wanted = bytes_to_run(*facts);
  // One whose weights no budget of this size holds is told so by the engine, whoever is busy.
  const bool is_hopeless = facts->info.tensor_bytes - facts->info.expert_bytes > budget_;
  if (!is_hopeless && !make_room(wanted, name) && memory_used() > 0) {
    return std::unexpected(no_room(name, wanted));
  }
  for (bool is_last_try = false;; is_last_try = true) {
    EngineOptions options = options_for(name, source, *facts);
    const uint64_t used = is_hopeless ? 0 : memory_used();
    options.memory_bytes = budget_ - std::min(budget_ - 1, used);
    Result<std::shared_ptr<LocalEngine>> engine = LocalEngine::load(options);
    if (engine) {
      auto model = std::make_unique<LoadedModel>(name, *std::move(engine), facts, options_.limits,
                                                 options_.timeline_bytes);
      if (!options.page_file.empty()) {
        model->timeline_file = fs::path(options.page_file).replace_extension(".turns").string();
        const Status read = load_timelines(model->timelines, model->timeline_file);
        if (!read && options_.on_notice) options_.on_notice(name, read.error().message);
      }
      return model;
    }
    // Where twice its size is free, it is not for lack of memory.
    const bool may_lack_room = used > 0 && options.memory_bytes < 2 * wanted;
    if (!may_lack_room) return failed(engine.error().message, 503);
    if (is_last_try) return std::unexpected(no_room(name, wanted));
    make_room(budget_, name);
  }
}

// Has it tried again when somebody has given back some room. False: it has waited long enough.
bool ModelHost::wait_for_room(const std::string& name) {
  constexpr std::chrono::seconds kPatience(5);
  const auto now = Clock::now();
  {
    const std::lock_guard lock(mutex_);
    Entry& entry = *find(name);
    if (now - entry.wanted_since >= options_.waiting_time_max) return false;
    without_room_.push_back(name);
    entry.progress = ModelProgress{.phase = "waiting for memory", .done = 0, .total = 1};
    const auto is_going = [](const auto& one) {
      return one.second->model && one.second->unload_wanted;
    };
    if (now - entry.wanted_since >= kPatience && std::ranges::none_of(entries_, is_going)) {
      // The one that was asked longest ago takes no new requests: they wait until it is back.
      Entry* oldest = nullptr;
      for (auto& [other, one] : entries_) {
        if (one->model && (oldest == nullptr || one->last_used < oldest->last_used)) {
          oldest = one.get();
        }
      }
      if (oldest != nullptr) oldest->unload_wanted = true;
    }
  }
  changed(name);
  return true;
}

void ModelHost::load(const std::string& name) {
  ModelSource source;
  {
    const std::lock_guard lock(mutex_);
    const Entry* entry = find(name);
    // One that is to go and is still being used is loaded when it has gone (unload_idle).
    if (entry == nullptr || entry->model) return;
    source = source_of(*entry);
  }
  changed(name);
  Loading model = load_engine(name, source);
  if (!model && model.error().lacks_room && wait_for_room(name)) return;
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
      entry.error = model.error().error.message;
      results.assign(waiters.size(), std::unexpected(model.error().error));
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
    for (const auto& [other, one] : entries_) {
      if (other == name || !is_same_file(one->path, (*entry)->path)) continue;
      return std::unexpected(in_use_error(name, other));
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
