#include "server/system_routes.h"

namespace minke::server {

Routes system_routes(const SystemSources& sources) {
  const Shape health =
      Shape::object({required("status", Shape::choice({"ok", "ending"})),
                     required("requests_running", Shape::integer(0, int64_t{1} << 40)),
                     required("requests_waiting", Shape::integer(0, int64_t{1} << 40)),
                     required("models_loaded", Shape::array(Shape::string(), 1000))})
          .named("Health");
  return {
      {.method = "GET",
       .path = "/health",
       .id = "health",
       .summary = "Whether the server answers, and how much it has to do",
       .tag = "System",
       .access = Access::kOpen,
       .runs_on = RunsOn::kServerThread,
       .answers = {{.description = "It does", .shape = health}},
       .handle = [health_of = sources.health](
                     const std::shared_ptr<Call>& call) { call->respond(health_of()); }},
      {.method = "GET",
       .path = "/metrics",
       .id = "metrics",
       .summary = "Counts for Prometheus",
       .tag = "System",
       .answers = {{.description = "Prometheus's text format",
                    .media_type = "text/plain",
                    .shape = Shape::string()}},
       .handle =
           [text_of = sources.metrics](const std::shared_ptr<Call>& call) {
             call->respond(
                 http::text_response(200, "text/plain; version=0.0.4; charset=utf-8", text_of()));
           }},
      {.method = "GET",
       .path = "/openapi.json",
       .id = "openapi",
       .summary = "This description",
       .tag = "System",
       .access = Access::kOpen,
       .answers = {{.description = "OpenAPI 3.1", .shape = Shape::map()}},
       .handle =
           [text_of = sources.openapi](const std::shared_ptr<Call>& call) {
             call->respond(http::text_response(200, "application/json", text_of()));
           }},
  };
}

}  // namespace minke::server
