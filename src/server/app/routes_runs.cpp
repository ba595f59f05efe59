// Trainings that run on this machine, for the app's page of them.

#include <string>

#include "server/app/app.h"
#include "server/app/training_runs.h"

namespace minke::server {
namespace {

constexpr int64_t kAnyBytes = int64_t{1} << 50;

void list(const App& app, const Call& call) {
  Value::Array runs;
  for (const TrainingRun& run : training_runs(app.options().runs)) {
    runs.push_back(Value(Value::Object{{"name", run.name},
                                       {"running", run.is_running},
                                       {"metrics_bytes", run.metrics_bytes},
                                       {"updated_at_ms", run.updated_at_ms}}));
  }
  call.respond(Value(
      Value::Object{{"folder", app.options().runs.string()}, {"runs", Value(std::move(runs))}}));
}

void metrics(const App& app, const Call& call) {
  const std::string* from = call.request->parameter("from");
  auto found = training_metrics(app.options().runs, call.path.front(),
                                from == nullptr ? 0 : std::stoll(*from));
  if (!found) return call.fail(found.error());
  call.respond(Value(Value::Object{
      {"from", found->from}, {"next", found->next}, {"lines", Value(std::move(found->lines))}}));
}

}  // namespace

Routes app_run_routes(App& app) {
  const Shape bytes = Shape::integer(0, kAnyBytes);
  const Shape run =
      Shape::object({required("name", Shape::string()), required("running", Shape::boolean()),
                     required("metrics_bytes", bytes),
                     required("updated_at_ms", Shape::integer(0, kAnyBytes))})
          .named("AppRun");
  return {
      {.method = "GET",
       .path = "/app/v1/runs",
       .id = "appListRuns",
       .summary = "Trainings of this machine, the latest first",
       .tag = "App",
       .answers = {{.description = "Those in the folder of serve's --runs",
                    .shape = Shape::object({required("folder", Shape::string()),
                                            required("runs", Shape::array(run, 1000))})}},
       .handle = [&app](const std::shared_ptr<Call>& call) { list(app, *call); }},
      {.method = "GET",
       .path = "/app/v1/runs/{name}/metrics",
       .id = "appRunMetrics",
       .summary = "A training's metrics from a place in their file on, about a megabyte a time",
       .tag = "App",
       .query = {{.name = "from", .shape = bytes, .description = "The `next` of the last time"}},
       .answers = {{.description = "Lines as the training wrote them",
                    .shape =
                        Shape::object({required("from", bytes), required("next", bytes),
                                       required("lines", Shape::array(Shape::map(), 1'000'000))})},
                   {.status = 404, .description = "There is no such training"}},
       .handle = [&app](const std::shared_ptr<Call>& call) { metrics(app, *call); }}};
}

}  // namespace minke::server
