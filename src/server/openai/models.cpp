// GET /v1/models and /v1/models/{model}: what may be asked, and what each can do.

#include <fmt/chrono.h>

#include <chrono>
#include <filesystem>
#include <system_error>

#include "server/openai/openai.h"

namespace minke::server {
namespace {

// "2026-03-01T08:00:00Z".
std::string utc_time(int64_t unix_s) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

// Also of a file that cannot be read as a model.
int64_t modified_at_s(const ModelStatus& status) {
  if (status.facts) return status.facts->modified_at_s;
  std::error_code error;
  const auto written = std::filesystem::last_write_time(status.path, error);
  if (error) return 0;
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::file_clock::to_sys(written).time_since_epoch())
      .count();
}

Value model_value(const ModelStatus& status) {
  Value::Object out = {
      {"id", status.name},
      {"object", "model"},
      {"created", modified_at_s(status)},
      {"owned_by", "minke"},
      {"state", model_state_name(status.state)},
      // The words of Anthropic's clients, who ask at the same place.
      {"type", "model"},
      {"display_name", status.name},
      {"created_at", utc_time(modified_at_s(status))},
  };
  if (!status.base.empty()) out.emplace_back("parent", status.base);
  if (status.facts) {
    const int64_t context =
        status.context_tokens > 0 ? status.context_tokens : status.facts->info.context;
    Value::Array abilities = {Value("completion"), Value("chat")};
    if (status.facts->takes_tools) abilities.emplace_back("tools");
    if (status.facts->thinks) abilities.emplace_back("thinking");
    // Clients look for the context under different names.
    out.emplace_back("context_length", context);
    out.emplace_back("max_model_len", context);
    out.emplace_back("capabilities", Value(std::move(abilities)));
    out.emplace_back("quantization", status.facts->info.quantisation);
    out.emplace_back("parameters", status.facts->info.parameters);
  }
  return Value(std::move(out));
}

Shape model_shape() {
  return Shape::object({required("id", Shape::string()),
                        required("object", Shape::choice({"model"})),
                        required("created", Shape::integer(0, int64_t{1} << 40)),
                        required("owned_by", Shape::string()), optional("parent", Shape::string()),
                        optional("context_length", Shape::integer(0, int64_t{1} << 40)),
                        optional("capabilities", Shape::array(Shape::string(), 32))})
      .named("Model");
}

}  // namespace

Routes openai_model_routes(Services& services) {
  return {
      {.method = "GET",
       .path = "/v1/models",
       .id = "listModels",
       .summary = "The models that can be asked",
       .tag = "OpenAI",
       .answers = {{.description = "Those whose files are here",
                    .shape = Shape::object({required("object", Shape::choice({"list"})),
                                            required("data", Shape::array(model_shape(), 100'000))})
                                 .named("ModelList")}},
       .handle =
           [&services](const std::shared_ptr<Call>& call) {
             Value::Array data;
             for (const ModelStatus& one : services.models.list()) {
               if (!one.path.empty()) data.push_back(model_value(one));
             }
             const Value first = data.empty() ? Value() : *data.front().find("id");
             const Value last = data.empty() ? Value() : *data.back().find("id");
             call->respond(Value(Value::Object{{"object", "list"},
                                               {"data", Value(std::move(data))},
                                               {"has_more", false},
                                               {"first_id", first},
                                               {"last_id", last}}));
           }},
      {.method = "GET",
       .path = "/v1/models/{model...}",
       .id = "retrieveModel",
       .summary = "One model",
       .tag = "OpenAI",
       .answers = {{.description = "The model", .shape = model_shape()},
                   {.status = 404, .description = "There is no such model"}},
       .handle =
           [&services](const std::shared_ptr<Call>& call) {
             const auto name = services.models.resolve(call->path.front());
             if (!name) return call->fail(name.error());
             const auto status = services.models.status(*name);
             if (!status) return call->fail(status.error());
             call->respond(model_value(*status));
           }},
  };
}

}  // namespace minke::server
