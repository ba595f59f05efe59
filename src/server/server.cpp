#include "server/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "core/version.h"
#include "server/anthropic/anthropic.h"
#include "server/api/openapi.h"
#include "server/app/app.h"
#include "server/app_files/static_routes.h"
#include "server/metrics.h"
#include "server/ollama/ollama.h"
#include "server/openai/openai.h"
#include "server/system_routes.h"

namespace minke::server {
namespace {

constexpr size_t kWorkers = 4;
constexpr std::chrono::seconds kGrace{10};

Routes all_routes(Services& services, const SystemSources& sources, App* app) {
  Routes routes;
  const auto add = [&](Routes more) { std::ranges::move(more, std::back_inserter(routes)); };
  add(openai_chat_routes(services));
  add(openai_completion_routes(services));
  add(openai_response_routes(services));
  add(openai_model_routes(services));
  add(openai_embedding_routes(services));
  add(anthropic_routes(services));
  add(ollama_chat_routes(services));
  add(ollama_embed_routes(services));
  add(ollama_model_routes(services));
  add(system_routes(sources));
  if (app != nullptr) add(app_routes(*app));
  add(static_routes());
  return routes;
}

class ServeAppImpl final : public ServeApp {
 public:
  explicit ServeAppImpl(ServeOptions options)
      : options_(std::move(options)),
        log_(options_.log),
        workers_(kWorkers),
        models_(with_notices(options_.models), workers_),
        chat_(options_.service, models_, workers_),
        services_{.chat = chat_, .models = models_, .log = log_} {
    model_notes_ = models_.on_change([this](const ModelStatus& status) { note_model(status); });
  }

  ~ServeAppImpl() override {
    chat_.cancel_all();
    std::unique_ptr<App> app;
    {
      const std::lock_guard lock(mutex_);
      app = std::move(app_);
    }
    app.reset();  // its answers end, on the workers too
    // What ends now still has work for the workers: they go when it is done.
    constexpr std::chrono::seconds kEndTime(10);
    models_.stop_loading();
    models_.wait_unused(kEndTime);
    workers_.join();
  }

  Status open() {
    if (!options_.history.empty()) {
      MINKE_ASSIGN(std::unique_ptr<App> app,
                   App::open({.history = options_.history,
                              .needs_key = !options_.gate.api_keys.empty(),
                              .runs = options_.runs},
                             chat_, models_));
      {
        const std::lock_guard lock(mutex_);
        app_ = std::move(app);
      }
      for (const std::string& notice : app_->history().notices())
        log_.warn("history", {{"notice", notice}});
    }
    router_.emplace(all_routes(services_, sources(), app_.get()), options_.gate, workers_,
                    [this](const RequestRecord& record) { note(record); });
    MINKE_ASSIGN(http_, http::Server::listen(options_.http, *router_));
    return {};
  }

  void run() override {
    if (options_.loads_default) {
      models_.lease(options_.models.default_model, [](const std::expected<Lease, ApiError>&) {});
    }
    http_->run();
  }
  void stop() override {
    is_ending_ = true;
    http_->stop(kGrace);
  }
  uint16_t port() const override { return http_->port(); }

 private:
  HostOptions with_notices(HostOptions models) {
    models.on_notice = [this](const std::string& model, const std::string& notice) {
      log_.warn("prompt_cache", {{"model", model}, {"notice", notice}});
    };
    return models;
  }

  SystemSources sources() {
    return {
        .health = [this] { return health(); },
        .metrics = [this] { return metrics_.text(http_->stats(), chat_.stats(), models_.list()); },
        .openapi = [this] { return to_json(openapi(router_->routes(), kVersion)); }};
  }

  Value health() const {
    const LoadSummary load = models_.load_summary();
    Value::Array loaded(load.loaded.begin(), load.loaded.end());
    return Value(Value::Object{{"status", is_ending_ ? "ending" : "ok"},
                               {"requests_running", load.running},
                               {"requests_waiting", load.waiting},
                               {"models_loaded", Value(std::move(loaded))}});
  }

  void note(const RequestRecord& record) {
    // The app's files are one route: their names change with every build.
    const std::string route = record.route == nullptr    ? "none"
                              : record.route->id.empty() ? "files"
                                                         : record.route->path;
    metrics_.count_request(route, record.status, record.seconds);
    if (!log_.tells_requests()) return;
    log_.info("request", {{"id", record.request.id},
                          {"method", record.request.method},
                          {"path", record.request.path},
                          {"status", int64_t{record.status}},
                          {"ms", std::round(record.seconds * 1e4) / 10},
                          {"bytes", static_cast<int64_t>(record.bytes)},
                          {"from", record.request.remote}});
  }

  void note_model(const ModelStatus& status) {
    const std::string state = model_state_name(status.state);
    {
      const std::lock_guard lock(mutex_);
      if (app_) app_->note_model(status);
      std::string& told = told_states_[status.name];
      if (told == state) return;
      told = state;
    }
    if (status.state == ModelState::kFailed) {
      log_.warn("model", {{"name", status.name}, {"state", state}, {"why", status.error}});
    } else {
      log_.info("model", {{"name", status.name}, {"state", state}});
    }
  }

  const ServeOptions options_;
  Log log_;
  Metrics metrics_;
  std::mutex mutex_;
  std::map<std::string, std::string> told_states_;  // of models
  boost::asio::thread_pool workers_;
  ModelHost models_;
  ChatService chat_;
  Services services_;
  std::unique_ptr<App> app_;
  std::optional<Router> router_;
  std::unique_ptr<http::Server> http_;
  std::atomic<bool> is_ending_ = false;
  std::shared_ptr<void> model_notes_;
};

}  // namespace

Result<std::unique_ptr<ServeApp>> ServeApp::create(ServeOptions options) {
  auto app = std::make_unique<ServeAppImpl>(std::move(options));
  MINKE_TRY(app->open());
  return app;
}

}  // namespace minke::server
