#include "server/api/openapi.h"

#include <fmt/format.h>

#include <algorithm>

namespace minke::server {
namespace {

// "{model...}" is "{model}" to OpenAPI, which has no word for "the rest of the path".
std::string plain_path(std::string path) {
  for (size_t at = path.find("..."); at != std::string::npos; at = path.find("...")) {
    path.erase(at, 3);
  }
  return path;
}

Value::Array parameters_of(const Route& route) {
  Value::Array parameters;
  const std::string path = plain_path(route.path);
  for (size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
    const std::string name = path.substr(at + 1, path.find('}', at) - at - 1);
    parameters.emplace_back(Value::Object{
        {"name", name},
        {"in", "path"},
        {"required", true},
        {"schema", Shape::string().at_least(1).schema()},
    });
  }
  for (const QueryParameter& one : route.query) {
    parameters.emplace_back(Value::Object{
        {"name", one.name},
        {"in", "query"},
        {"required", one.is_required},
        {"description", one.description},
        {"schema", one.shape.schema()},
    });
  }
  return parameters;
}

Value error_shape_reference(Dialect dialect) {
  switch (dialect) {
    case Dialect::kOpenAi:
      return Value(Value::Object{{"$ref", "#/components/schemas/Error"}});
    case Dialect::kOllama:
      return Value(Value::Object{{"$ref", "#/components/schemas/OllamaError"}});
    case Dialect::kAnthropic:
      return Value(Value::Object{{"$ref", "#/components/schemas/AnthropicError"}});
  }
  return {};
}

Value content(const std::string& media_type, Value schema) {
  return Value(Value::Object{{media_type, Value(Value::Object{{"schema", std::move(schema)}})}});
}

Value answers_of(const Route& route) {
  Value::Object out;
  for (const RouteAnswer& answer : route.answers) {
    const std::string status = fmt::format("{}", answer.status);
    Value schema = answer.status >= 400 ? error_shape_reference(dialect_of(route.path))
                                        : answer.shape.schema();
    const auto known =
        std::ranges::find(out, status, [](const Value::Member& one) { return one.first; });
    if (known != out.end()) {
      // The same status in another form.
      Value* media = nullptr;
      for (auto& [name, value] : *known->second.as_object()) {
        if (name == "content") media = &value;
      }
      media->as_object()->emplace_back(answer.media_type,
                                       Value(Value::Object{{"schema", std::move(schema)}}));
      continue;
    }
    Value::Object one = {{"description", answer.description}};
    if (answer.status != 204) {
      one.emplace_back("content", content(answer.media_type, std::move(schema)));
    }
    out.emplace_back(status, Value(std::move(one)));
  }
  out.emplace_back(
      "default",
      Value(Value::Object{{"description", "What went wrong"},
                          {"content", content("application/json",
                                              error_shape_reference(dialect_of(route.path)))}}));
  return Value(std::move(out));
}

Value operation_of(const Route& route) {
  Value::Object out = {{"operationId", route.id}, {"summary", route.summary}};
  if (!route.description.empty()) out.emplace_back("description", route.description);
  out.emplace_back("tags", Value(Value::Array{Value(route.tag)}));
  if (route.access == Access::kOpen) out.emplace_back("security", Value(Value::Array{}));
  Value::Array parameters = parameters_of(route);
  if (!parameters.empty()) out.emplace_back("parameters", Value(std::move(parameters)));
  if (route.body) {
    out.emplace_back(
        "requestBody",
        Value(Value::Object{{"required", !route.is_body_optional},
                            {"content", content("application/json", route.body->schema())}}));
  } else if (route.takes_bytes) {
    out.emplace_back("requestBody",
                     Value(Value::Object{{"required", true},
                                         {"content", content("application/octet-stream",
                                                             Value(Value::Object{}))}}));
  }
  out.emplace_back("responses", answers_of(route));
  return Value(std::move(out));
}

Value error_schemas() {
  const Shape error =
      Shape::object({required("error", Shape::object({
                                           required("message", Shape::string()),
                                           required("type", Shape::string()),
                                           required("param", Shape::string().nullable()),
                                           required("code", Shape::string().nullable()),
                                       }))});
  const Shape ollama = Shape::object({required("error", Shape::string())});
  const Shape anthropic =
      Shape::object({required("type", Shape::choice({"error"})),
                     required("error", Shape::object({required("type", Shape::string()),
                                                      required("message", Shape::string())}))});
  return Value(Value::Object{{"Error", error.definition()},
                             {"OllamaError", ollama.definition()},
                             {"AnthropicError", anthropic.definition()}});
}

}  // namespace

Value openapi(const Routes& routes, const std::string& version) {
  Value::Object paths;
  std::vector<const Shape*> named;
  for (const Route& route : routes) {
    if (route.id.empty()) continue;  // files
    const std::string method = http::lower_case(route.method);
    const std::string path = plain_path(route.path);
    auto place = std::ranges::find(paths, path, [](const Value::Member& one) { return one.first; });
    if (place == paths.end()) {
      paths.emplace_back(path, Value(Value::Object{}));
      place = std::prev(paths.end());
    }
    place->second.as_object()->emplace_back(method, operation_of(route));
    if (route.body) collect_named(*route.body, named);
    for (const RouteAnswer& answer : route.answers) collect_named(answer.shape, named);
  }
  Value schemas = error_schemas();
  for (const Shape* shape : named) {
    schemas.as_object()->emplace_back(shape->name(), shape->definition());
  }
  Value::Object key = {{"type", "http"}, {"scheme", "bearer"}};
  return Value(Value::Object{
      {"openapi", "3.1.0"},
      {"info", Value(Value::Object{{"title", "minke"},
                                   {"version", version},
                                   {"description",
                                    "Reasoning models on a computer you own, in the "
                                    "dialects that clients already speak."}})},
      {"servers", Value(Value::Array{Value(Value::Object{{"url", "/"}})})},
      {"paths", Value(std::move(paths))},
      {"components", Value(Value::Object{{"schemas", std::move(schemas)},
                                         {"securitySchemes",
                                          Value(Value::Object{{"key", Value(std::move(key))}})}})},
      {"security", Value(Value::Array{Value(Value::Object{}),
                                      Value(Value::Object{{"key", Value(Value::Array{})}})})},
  });
}

}  // namespace minke::server
