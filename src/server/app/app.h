// The chat app's side of the server: its history, its running answers, and what its pages are told.
// docs/app-api.md is the contract; the routes lie in routes_*.cpp.
//
// Any thread. Handlers post what they want of the history to its worker, and answer from there.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/result.h"
#include "server/api/route.h"
#include "server/app/event_hub.h"
#include "server/app/generation.h"
#include "server/app/history_worker.h"
#include "server/app/repeats.h"
#include "server/chat/chat_service.h"
#include "server/chat/model_host.h"

namespace minke::server {

struct AppOptions {
  std::filesystem::path history;  // the SQLite file
  bool needs_key = false;
  std::filesystem::path runs = {};  // where `minke train` keeps its runs
};

// What a message of the app is asked with.
struct AnswerRequest {
  std::string conversation_id;
  std::optional<std::string> parent_id;
  Value settings = Value(Value::Object{});  // of the request
  std::string client;                       // for fair turns
  history::MessageKind kind = history::MessageKind::kMessage;
  int64_t number = 0;  // of several to one parent
};

class App {
 public:
  // Opens the history. `chat` and `models` outlive the app.
  static Result<std::unique_ptr<App>> open(AppOptions options, ChatService& chat,
                                           ModelHost& models);
  App(const App&) = delete;
  App& operator=(const App&) = delete;
  ~App();  // ends what runs, and keeps what it had

  const AppOptions& options() const { return options_; }
  std::chrono::steady_clock::time_point begun() const { return begun_; }
  ChatService& chat() { return chat_; }
  ModelHost& models() { return models_; }
  HistoryWorker& history() { return *worker_; }
  EventHub& events() { return events_; }
  Repeats& repeats() { return repeats_; }

  std::shared_ptr<Generation> generation(const std::string& id) const;
  // Stops the answers that run in a conversation.
  void stop_all_of(const std::string& conversation_id) const;
  // A model has changed: pages are told.
  void note_model(const ModelStatus& status);
  void tell_conversation(history::Store& store, const std::string& id);
  void tell_shelves(history::Store& store, bool folders);

  // On the history's worker. The new message, whose answer runs.
  std::expected<history::Message, ApiError> answer(history::Store& store,
                                                   const AnswerRequest& request);
  // Goes on with an answer in its own message.
  std::expected<history::Message, ApiError> go_on(history::Store& store,
                                                  const std::string& message_id,
                                                  const std::string& client);
  // The branch that ends in a message; empty where there is none yet.
  static std::expected<std::vector<history::Message>, ApiError> branch(
      history::Store& store, const std::string& conversation_id,
      const std::optional<std::string>& leaf_id);

 private:
  App(AppOptions options, ChatService& chat, ModelHost& models);

  void every_second(history::Store& store);
  void save_growth(history::Store& store);
  using Begin = std::function<std::shared_ptr<Asking>(std::shared_ptr<AnswerSink> sink)>;
  void start(history::Store& store, const history::Message& message, const Begin& begin);
  void finish(history::Store& store, const std::shared_ptr<Generation>& generation,
              const history::FinishedAnswer& finished);
  std::vector<std::shared_ptr<Generation>> running() const;
  void tell_message(const history::Message& message);

  const AppOptions options_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  ChatService& chat_;
  ModelHost& models_;
  EventHub events_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Generation>> generations_;  // by their id
  // On the worker: ends that could not be saved yet (a full disk).
  std::vector<std::pair<std::shared_ptr<Generation>, history::FinishedAnswer>> unsaved_;
  Repeats repeats_;                        // the worker's
  std::unique_ptr<HistoryWorker> worker_;  // last: its jobs use the rest
};

Routes app_conversation_routes(App& app);
Routes app_message_routes(App& app);
Routes app_shelf_routes(App& app);
Routes app_file_routes(App& app);
Routes app_model_routes(App& app);
Routes app_run_routes(App& app);
Routes app_routes(App& app);  // all of them

// The history's faults as clients see them.
ApiError app_error(const Error& error);
Value model_value(const ModelStatus& status);
Value memory_value(ModelHost& models);

// Objects of docs/app-api.md, for descriptions.
Shape settings_shape();
Shape message_shape();
Shape conversation_shape();
Shape attachment_shape();
Shape folder_shape();
Shape preset_shape();
Shape app_model_shape();

}  // namespace minke::server
