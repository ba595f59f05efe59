#include "server/app/app.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "server/app/prompt.h"
#include "server/app/summariser.h"

namespace minke::server {

Result<std::unique_ptr<App>> App::open(AppOptions options, ChatService& chat, ModelHost& models) {
  MINKE_ASSIGN(auto store, history::Store::open({.path = options.history}));
  std::unique_ptr<App> app(new App(std::move(options), chat, models));
  app->worker_ = std::make_unique<HistoryWorker>(
      std::move(store), [raw = app.get()](history::Store& kept) { raw->every_second(kept); });
  return app;
}

App::App(AppOptions options, ChatService& chat, ModelHost& models)
    : options_(std::move(options)), chat_(chat), models_(models) {}

App::~App() {
  // Answers hold on to the app until their end is kept.
  for (auto still = running(); !still.empty(); still = running()) {
    for (const auto& generation : still) generation->stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  worker_.reset();
}

std::shared_ptr<Generation> App::generation(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = generations_.find(id);
  return found == generations_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Generation>> App::running() const {
  std::vector<std::shared_ptr<Generation>> running;
  const std::lock_guard lock(mutex_);
  for (const auto& [id, generation] : generations_)
    if (!generation->is_over()) running.push_back(generation);
  return running;
}

void App::stop_all_of(const std::string& conversation_id) const {
  for (const auto& generation : running())
    if (generation->conversation_id() == conversation_id) generation->stop();
}

void App::note_model(const ModelStatus& status) {
  if (!events_.has_listeners()) return;
  events_.tell("models", model_value(status));
  events_.tell("memory", memory_value(models_));
}

void App::tell_conversation(history::Store& store, const std::string& id) {
  const auto conversation = store.conversation(id);
  if (conversation && *conversation)
    events_.tell("conversation", history::to_value(**conversation));
}

void App::tell_shelves(history::Store& store, bool folders) {
  Value::Array all;
  if (folders) {
    if (const auto kept = store.folders())
      for (const history::Folder& folder : *kept) all.push_back(history::to_value(folder));
  } else if (const auto kept = store.presets()) {
    for (const history::Preset& preset : *kept) all.push_back(history::to_value(preset));
  }
  const char* name = folders ? "folders" : "presets";
  events_.tell(name, Value(Value::Object{{name, Value(std::move(all))}}));
}

void App::tell_message(const history::Message& message) {
  events_.tell("message",
               Value(Value::Object{{"conversation_id", message.conversation_id},
                                   {"message_id", message.id},
                                   {"status", std::string(history::name_of(message.status))}}));
}

std::expected<std::vector<history::Message>, ApiError> App::branch(
    history::Store& store, const std::string& conversation_id,
    const std::optional<std::string>& leaf_id) {
  if (!leaf_id) return {};
  auto read = store.branch(*leaf_id);
  if (!read) return std::unexpected(app_error(read.error()));
  if (read->empty() || read->back().conversation_id != conversation_id)
    return std::unexpected(not_found("there is no such message in this conversation"));
  return *std::move(read);
}

std::expected<history::Message, ApiError> App::answer(history::Store& store,
                                                      const AnswerRequest& request) {
  const auto conversation = store.conversation(request.conversation_id);
  if (!conversation) return std::unexpected(app_error(conversation.error()));
  if (!*conversation) return std::unexpected(not_found("there is no such conversation"));
  const Value settings = history::merged_settings((*conversation)->settings, request.settings);
  const auto model = models_.resolve(text_member(settings, "model"));
  if (!model) return std::unexpected(model.error());
  const auto above = branch(store, request.conversation_id, request.parent_id);
  if (!above) return std::unexpected(above.error());
  auto told = read_branch(store, *above);
  if (!told) return std::unexpected(app_error(told.error()));
  const bool is_summary = request.kind == history::MessageKind::kSummary;
  if (is_summary && told->turns.empty())
    return std::unexpected(bad_request("there is nothing to summarise", "leaf_id"));
  Ask ask = make_ask(*told, settings);
  ask.model = *model;
  ask.client = request.client;
  if (ask.sampling.seed) *ask.sampling.seed += static_cast<uint64_t>(request.number);
  const auto message = store.add_message({.conversation_id = request.conversation_id,
                                          .parent_id = request.parent_id,
                                          .role = history::Role::kAssistant,
                                          .kind = request.kind,
                                          .status = history::MessageStatus::kRunning,
                                          .settings = without_system(settings),
                                          .model = *model,
                                          .generation_id = history::new_id()});
  if (!message) return std::unexpected(app_error(message.error()));
  start(store, *message, [&](std::shared_ptr<AnswerSink> sink) -> std::shared_ptr<Asking> {
    if (!is_summary) return chat_.ask(std::move(ask), std::move(sink));
    return Summariser::begin(chat_, std::move(ask), *std::move(told), std::move(sink));
  });
  return *message;
}

std::expected<history::Message, ApiError> App::go_on(history::Store& store,
                                                     const std::string& message_id,
                                                     const std::string& client) {
  const auto before = store.message(message_id);
  if (!before) return std::unexpected(app_error(before.error()));
  if (!*before) return std::unexpected(not_found("there is no such message"));
  const history::Message& begun = **before;
  if (begun.role != history::Role::kAssistant || begun.status == history::MessageStatus::kRunning)
    return std::unexpected(
        bad_request("message_id must be an answer that does not run", "message_id"));
  if (begun.kind == history::MessageKind::kSummary)
    return std::unexpected(
        bad_request("message_id must be an answer: a summary is made anew", "message_id"));
  const auto conversation = store.conversation(begun.conversation_id);
  if (!conversation) return std::unexpected(app_error(conversation.error()));
  Value settings = history::merged_settings((*conversation)->settings, begun.settings);
  if (begun.model)
    settings = history::merged_settings(settings, Value::Object{{"model", *begun.model}});
  const auto model = models_.resolve(text_member(settings, "model"));
  if (!model) return std::unexpected(model.error());
  const auto above = branch(store, begun.conversation_id, begun.parent_id);
  if (!above) return std::unexpected(above.error());
  auto told = read_branch(store, *above);
  if (!told) return std::unexpected(app_error(told.error()));
  Ask ask = make_ask(*std::move(told), settings);
  ask.model = *model;
  ask.client = client;
  ask.begun = begun_answer(begun);
  const auto message = store.resume(message_id, history::new_id());
  if (!message) return std::unexpected(app_error(message.error()));
  if (!*message) return std::unexpected(bad_request("the answer runs already", "message_id"));
  start(store, **message, [&](std::shared_ptr<AnswerSink> sink) {
    return chat_.ask(std::move(ask), std::move(sink));
  });
  return **message;
}

// The message is kept as running before anything else happens.
void App::start(history::Store& store, const history::Message& message, const Begin& begin) {
  const auto generation = std::make_shared<Generation>(
      message, [this](const std::shared_ptr<Generation>& ended, history::FinishedAnswer finished) {
        worker_->post([this, ended, finished = std::move(finished)](history::Store& kept) {
          finish(kept, ended, finished);
        });
      });
  {
    const std::lock_guard lock(mutex_);
    generations_[generation->id()] = generation;
  }
  tell_message(message);
  tell_conversation(store, message.conversation_id);
  generation->follow(begin(generation));
}

// The end is kept before it is told. Where the disk will not have it, it is told all the same and
// tried again each second.
void App::finish(history::Store& store, const std::shared_ptr<Generation>& generation,
                 const history::FinishedAnswer& finished) {
  const auto kept = store.finish(finished);
  history::Message message = generation->message();
  if (!kept) {
    if (!generation->is_over()) {
      unsaved_.emplace_back(generation, finished);
      message.error = kept.error().message;
      message.generation_id = std::nullopt;
      generation->end(message);
    }
    return;
  }
  if (*kept) message = **kept;
  message.generation_id = std::nullopt;
  generation->end(message);
  tell_message(message);
  tell_conversation(store, message.conversation_id);
}

void App::save_growth(history::Store& store) {
  std::vector<history::Growth> growths;
  std::vector<std::shared_ptr<Generation>> grown;
  for (const auto& generation : running()) {
    auto growth = generation->growth();
    if (!growth) continue;
    growths.push_back(*std::move(growth));
    grown.push_back(generation);
  }
  // What fails is tried again with what has come by then.
  if (growths.empty() || !store.grow(growths)) return;
  for (size_t i = 0; i < grown.size(); ++i) grown[i]->saved(growths[i]);
}

void App::every_second(history::Store& store) {
  save_growth(store);
  std::erase_if(unsaved_, [&](const auto& one) { return store.finish(one.second).has_value(); });
  // Late comers are told the whole of an answer for a while; then the message has it all.
  constexpr std::chrono::minutes kKeep(5);
  const auto now = std::chrono::steady_clock::now();
  const std::lock_guard lock(mutex_);
  std::erase_if(generations_, [&](const auto& one) {
    return one.second->is_over() && now - one.second->ended_at() > kKeep;
  });
}

ApiError app_error(const Error& error) {
  if (error.kind != ErrorKind::kUsage) return server_error(error.message);
  // Sentences about a member begin with its name.
  const size_t end = error.message.find(" must ");
  const bool is_name = end != std::string::npos &&
                       error.message.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == end;
  return bad_request(error.message, is_name ? error.message.substr(0, end) : "");
}

Routes app_routes(App& app) {
  Routes routes;
  for (Routes some : {app_conversation_routes(app), app_message_routes(app), app_shelf_routes(app),
                      app_file_routes(app), app_model_routes(app), app_run_routes(app)})
    std::ranges::move(some, std::back_inserter(routes));
  return routes;
}

}  // namespace minke::server
