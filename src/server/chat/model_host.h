// The models of a server: which there are, which are loaded, and the one memory budget that they
// share. A model is loaded when somebody asks for it, and goes again when another needs its room or
// when nobody has asked for a while. One that is being asked stays; who asks for another for which
// there is no room then waits, as long as requests may. So that he does not wait for ever for a
// model that is always asked, that is given no new requests after a few seconds, and comes back
// after his.
//
// Any thread. Callbacks come on the workers' pool. Loading and unloading happen one at a time, on a
// thread of the host's own; fetching on another.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <expected>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "engine/local_engine.h"
#include "server/api/route.h"
#include "server/chat/model_facts.h"
#include "server/chat/model_status.h"
#include "server/chat/timelines.h"
#include "server/chat/turn_queue.h"

namespace minke::server {

// A loaded model with what belongs to it.
struct LoadedModel {
  LoadedModel(std::string model_name, std::shared_ptr<LocalEngine> loaded,
              std::shared_ptr<const ModelFacts> known, const TurnLimits& limits,
              size_t timeline_bytes)
      : name(std::move(model_name)),
        engine(std::move(loaded)),
        facts(std::move(known)),
        queue(limits),
        timelines(timeline_bytes) {}

  const std::string name;
  const std::shared_ptr<LocalEngine> engine;
  const std::shared_ptr<const ModelFacts> facts;
  TurnQueue queue;
  Timelines timelines;
  std::string timeline_file;  // where they outlive the process; empty: nowhere

  // A request that reads ahead (LocalEngine::read_ahead; 0: none). Those of the last few
  // conversations go on, older ones end.
  void note_ahead(uint64_t id);

 private:
  std::mutex mutex_;
  std::deque<uint64_t> ahead_;
};
// Keeps the model in memory while it is held. May be let go of on any thread, the engine's too.
using Lease = std::shared_ptr<LoadedModel>;

// A model that is no pulled one, or not as it was pulled.
struct ServedModel {
  std::string name;
  std::string path;
  std::string adapter = {};  // of low rank, over the weights; empty: none
  std::string base = {};     // the name of what the adapter is over, where that is another
};

struct HostOptions {
  std::vector<ServedModel> served;  // beside the pulled ones, and before those of their names
  std::string default_model;        // a name
  EngineOptions engine;             // how models are loaded
  uint64_t memory_bytes = 0;        // for all models together; 0: from what is free at the start
  TurnLimits limits;
  std::chrono::seconds idle_time = std::chrono::minutes(30);  // negative: never unloads
  // For the room to load a model in.
  std::chrono::milliseconds waiting_time_max = std::chrono::minutes(10);
  size_t timeline_bytes = size_t{32} << 20;  // a model
  // Where what models have read outlives the server, a file a model; empty: nowhere.
  std::string cache_folder;
  uint64_t cache_file_bytes = uint64_t{4} << 30;
  // What went wrong with a model's cache and was survived, for a log. On the host's thread; may be
  // empty.
  std::function<void(const std::string& model, const std::string& notice)> on_notice;
};

// What the models have to do at the moment: cheap to ask.
struct LoadSummary {
  std::vector<std::string> loaded;
  int64_t running = 0;
  int64_t waiting = 0;  // for a turn, or for their model
};

class ModelHost {
 public:
  ModelHost(HostOptions options, boost::asio::thread_pool& workers);
  // Waits until leases are back: whoever holds one must let go first.
  ~ModelHost();
  ModelHost(const ModelHost&) = delete;
  ModelHost& operator=(const ModelHost&) = delete;

  // The model as a request names it: by its name, an unambiguous beginning of it, or with Ollama's
  // ":latest" behind; never a path. Empty: the default.
  std::expected<std::string, ApiError> resolve(std::string_view name) const;

  using OnLease = std::function<void(std::expected<Lease, ApiError>)>;
  // `wanted` as for resolve(). Loads it if need be. `on_lease` comes once.
  void lease(std::string_view wanted, OnLease on_lease);
  // The lease if it is loaded now.
  Lease loaded(std::string_view name);

  std::vector<ModelStatus> list();
  std::expected<ModelStatus, ApiError> status(std::string_view name);

  // How long it stays without a request from now on; negative: until its room is needed.
  void keep(std::string_view name, std::chrono::seconds time);
  std::expected<void, ApiError> unload(std::string_view name);
  // Begins, or goes on with, fetching; `hub names` too. Progress comes by on_change.
  std::expected<void, ApiError> pull(const std::string& name);
  std::expected<void, ApiError> stop_pull(std::string_view name);
  std::expected<void, ApiError> remove(std::string_view name);

  // Called for each change of a model, about ten times a second while one goes on, on any thread
  // and by several at once; it must not block. Until what is returned is let go of.
  using OnChange = std::function<void(const ModelStatus&)>;
  [[nodiscard]] std::shared_ptr<void> on_change(OnChange callback);

  // Ends loading, once a load under way is done, and tells who waits for one. What it posts to the
  // workers comes before this returns: they go afterwards.
  void stop_loading();
  // Waits until nobody holds a lease, or so long.
  void wait_unused(std::chrono::milliseconds time);
  uint64_t memory_budget() const { return budget_; }
  uint64_t memory_used() const;
  LoadSummary load_summary() const;

 private:
  struct Entry;
  struct Fetch;
  using Clock = std::chrono::steady_clock;

  void scan();  // the folder of pulled models
  Entry* find(std::string_view name);
  const Entry* find(std::string_view name) const;
  std::expected<Entry*, ApiError> find_or_error(std::string_view name);
  ModelStatus status_of(const Entry& entry) const;
  void changed(const std::string& name);
  void work(const std::stop_token& stop);
  void load(const std::string& name);
  struct LoadFault {
    ApiError error;
    bool lacks_room = false;  // others hold it, and will give it back
  };
  using Loading = std::expected<std::unique_ptr<LoadedModel>, LoadFault>;
  Loading load_engine(const std::string& name, const ModelSource& source);
  EngineOptions options_for(const std::string& name, const ModelSource& source,
                            const ModelFacts& facts);
  ModelSource source_of(const Entry& entry) const;
  std::function<void(std::string_view, double)> progress_of(const std::string& name);
  bool wait_for_room(const std::string& name);
  LoadFault no_room(const std::string& name, uint64_t bytes) const;
  bool make_room(uint64_t bytes, const std::string& but);
  std::unique_ptr<LoadedModel> take_out(Entry& entry);
  void unload_idle();
  std::vector<Lease> loaded_models();
  void save_timelines();
  void tell_notices();
  // `is_use`: it counts as one of those after which the model stays for a while.
  Lease lease_of(Entry& entry, bool is_use = true);
  uint64_t used_bytes() const;  // mutex_ is held
  void fetch(const std::shared_ptr<Fetch>& job);

  const HostOptions options_;
  boost::asio::thread_pool& workers_;
  uint64_t budget_ = 0;

  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<OnChange>> on_change_;
  std::condition_variable_any wake_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
  std::deque<std::string> to_load_;
  std::vector<std::string> without_room_;  // to be loaded when others have given some back
  bool has_new_room_ = false;              // some have
  int64_t leases_ = 0;
  std::map<std::string, std::shared_ptr<Fetch>> fetches_;
  std::vector<std::jthread> fetchers_;
  std::jthread worker_;  // last
};

}  // namespace minke::server
