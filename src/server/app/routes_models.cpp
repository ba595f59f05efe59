// Models, the state of everything, and the stream of what happens.
#include <chrono>

#include "core/version.h"
#include "server/app/handling.h"
#include "server/chat/effort.h"
#include "server/metrics.h"

namespace minke::server {
namespace {

template <typename Number>
Value number(Number value) {
  return Value(static_cast<int64_t>(value));
}
Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

Value progress_value(const ModelProgress& progress) {
  return Value(Value::Object{
      {"phase", progress.phase},
      {"done", progress.done},
      {"total", progress.total},
      {"rate", progress.rate},
      {"seconds_left", progress.seconds_left < 0 ? Value() : Value(progress.seconds_left)}});
}

Value sampling_value(const SamplingOptions& sampling) {
  return Value(Value::Object{{"temperature", sampling.temperature},
                             {"top_p", sampling.top_p},
                             {"top_k", sampling.top_k},
                             {"min_p", sampling.min_p},
                             {"repeat_penalty", sampling.repeat_penalty},
                             {"presence_penalty", sampling.presence_penalty},
                             {"frequency_penalty", sampling.frequency_penalty}});
}

Value report_value(const MemoryReport& memory) {
  return Value(Value::Object{{"weights", number(memory.weights)},
                             {"kv_cache", number(memory.kv_cache)},
                             {"activations", number(memory.activations)},
                             {"budget", number(memory.budget)},
                             {"kv_cache_tokens", memory.kv_cache_tokens}});
}

// How long a model may think, for people to choose from.
Value efforts_value() {
  Value::Array values;
  for (const Effort& one : efforts()) {
    if (!one.thinks || one.is_synonym) continue;
    values.emplace_back(
        Value::Object{{"name", one.name},
                      {"think_budget", one.think_budget ? Value(*one.think_budget) : Value()}});
  }
  return Value(std::move(values));
}

Value::Array all_models(ModelHost& models, bool loaded_only) {
  Value::Array values;
  for (const ModelStatus& status : models.list())
    if (!loaded_only || status.state == ModelState::kLoaded) values.push_back(model_value(status));
  return values;
}

}  // namespace

Value memory_value(ModelHost& models) {
  return Value(Value::Object{{"budget", number(models.memory_budget())},
                             {"used", number(models.memory_used())},
                             {"process", number(resident_bytes())}});
}

Value model_value(const ModelStatus& status) {
  const ModelFacts* facts = status.facts.get();
  const int64_t context = status.context_tokens > 0 ? status.context_tokens
                          : facts != nullptr        ? facts->info.context
                                                    : 0;
  return Value(Value::Object{
      {"name", status.name},
      {"present", !status.path.empty()},
      {"loaded", status.state == ModelState::kLoaded},
      {"state", model_state_name(status.state)},
      {"progress", status.progress ? progress_value(*status.progress) : Value()},
      {"error", text_or_null(status.error)},
      {"file_bytes", status.bytes},
      {"memory_bytes", status.memory_bytes},
      {"parameters", facts == nullptr ? Value() : Value(facts->info.parameters)},
      {"quantisation", facts == nullptr ? Value() : text_or_null(facts->info.quantisation)},
      {"family", facts == nullptr ? Value() : text_or_null(facts->info.architecture)},
      {"licence", text_or_null(status.licence)},
      {"description", text_or_null(status.description)},
      {"context_tokens", context > 0 ? Value(context) : Value()},
      {"thinks", facts != nullptr && facts->thinks},
      {"can_choose_thinking", facts != nullptr && facts->can_choose_thinking},
      {"takes_tools", facts != nullptr && facts->takes_tools},
      {"sees_images", false},
      {"is_default", status.is_default},
      {"default_settings", facts == nullptr ? Value() : sampling_value(facts->sampling)},
      {"sampling_source", facts == nullptr ? Value() : text_or_null(facts->sampling_source)},
      {"memory", status.memory ? report_value(*status.memory) : Value()}});
}

namespace {

void state(App& app, history::Store& store, const Call& call) {
  const auto folders = store.folders();
  const auto presets = store.presets();
  const auto preferences = store.preferences();
  for (const Error* error :
       {folders ? nullptr : &folders.error(), presets ? nullptr : &presets.error(),
        preferences ? nullptr : &preferences.error()})
    if (error != nullptr) return call.fail(app_error(*error));
  Value default_model;
  for (const ModelStatus& status : app.models().list())
    if (status.is_default) default_model = Value(status.name);
  Value::Array notices;
  for (const std::string& notice : app.history().notices()) notices.emplace_back(notice);
  const history::Limits& limits = history::kLimits;
  call.respond(Value(Value::Object{
      {"version", kVersion},
      {"build", kVersion},
      {"default_model", std::move(default_model)},
      {"models", Value(all_models(app.models(), false))},
      {"folders", array_of(*folders)},
      {"presets", array_of(*presets)},
      {"preferences", *preferences},
      {"memory", memory_value(app.models())},
      {"needs_key", app.options().needs_key},
      {"efforts", efforts_value()},
      {"notices", Value(std::move(notices))},
      {"limits", Value(Value::Object{{"attachment_bytes_max", number(limits.attachment_bytes_max)},
                                     {"message_bytes_max", number(limits.message_bytes_max)}})}}));
}

void system(App& app, const Call& call) {
  const auto up = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - app.begun());
  const LoadSummary load = app.models().load_summary();
  const ServiceStats stats = app.chat().stats();
  const double speed = stats.answer_seconds > 0
                           ? static_cast<double>(stats.answer_tokens) / stats.answer_seconds
                           : 0;
  call.respond(Value(Value::Object{
      {"uptime_ms", number(up.count())},
      {"requests", Value(Value::Object{{"running", load.running}, {"waiting", load.waiting}})},
      {"tokens_per_s", speed},
      {"memory", memory_value(app.models())},
      {"models", Value(all_models(app.models(), true))}}));
}

// Answers with the model as it is now; what becomes of it comes as events.
void respond_model(App& app, const Call& call, const std::string& name,
                   const std::expected<void, ApiError>& done) {
  if (!done) return call.fail(done.error());
  const auto status = app.models().status(name);
  if (!status) return call.fail(status.error());
  call.respond(model_value(*status), 202);
}

void act_on_model(App& app, const Call& call, const std::string& what) {
  ModelHost& models = app.models();
  if (what == "pull") {
    return respond_model(app, call, call.path.front(), models.pull(call.path.front()));
  }
  if (what == "stop") {
    return respond_model(app, call, call.path.front(), models.stop_pull(call.path.front()));
  }
  const auto name = models.resolve(call.path.front());
  if (!name) return call.fail(name.error());
  if (what == "unload") return respond_model(app, call, *name, models.unload(*name));
  models.lease(*name, [](const std::expected<Lease, ApiError>&) {});
  respond_model(app, call, *name, {});
}

Route model_route(App& app, const std::string& what, const std::string& id,
                  const std::string& summary) {
  return {.method = "POST",
          .path = "/app/v1/models/{name}/" + what,
          .id = id,
          .summary = summary,
          .tag = "App",
          .body = Shape::map(),
          .is_body_optional = true,
          .answers = {{.status = 202, .description = "The model", .shape = app_model_shape()},
                      {.status = 404, .description = "There is no such model"}},
          .handle = [&app, what](const CallPtr& call) { act_on_model(app, *call, what); }};
}

}  // namespace

Routes app_model_routes(App& app) {
  Routes routes = {
      {.method = "GET",
       .path = "/app/v1/state",
       .id = "appState",
       .summary = "All that the first paint needs",
       .tag = "App",
       .answers = {{.description = "Models, folders, presets, preferences, memory, limits",
                    .shape = Shape::map()}},
       .handle = on_history(app, [&app](auto& store, auto& call) { state(app, store, call); })},
      {.method = "GET",
       .path = "/app/v1/events",
       .id = "appEvents",
       .summary = "The stream of what happens",
       .tag = "App",
       .answers = {{.description = "Events",
                    .media_type = "text/event-stream",
                    .shape = Shape::string()}},
       .handle = [&app](const CallPtr& call) { app.events().listen(call->responder); }},
      {.method = "GET",
       .path = "/app/v1/system",
       .id = "appSystem",
       .summary = "How much there is to do, and what it takes",
       .tag = "App",
       .answers = {{.description = "For a status page", .shape = Shape::map()}},
       .handle = [&app](const CallPtr& call) { system(app, *call); }},
      model_route(app, "pull", "appPullModel", "Fetch a model, or go on fetching it"),
      model_route(app, "stop", "appStopPull", "Stop fetching a model; what came is kept"),
      model_route(app, "load", "appLoadModel", "Load a model"),
      model_route(app, "unload", "appUnloadModel", "Unload a model"),
      {.method = "DELETE",
       .path = "/app/v1/models/{name}",
       .id = "appDeleteModel",
       .summary = "Delete a model's file",
       .tag = "App",
       .answers = {gone_answer(), {.status = 404, .description = "There is no such model"}},
       .handle = [&app](const CallPtr& call) {
         const auto removed = app.models().remove(call->path.front());
         if (!removed) return call->fail(removed.error());
         no_content(*call);
       }}};
  return routes;
}

}  // namespace minke::server
