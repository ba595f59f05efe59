// The models in Ollama's words: tags, show, ps, version, delete, and what is not done here.

#include <fmt/format.h>

#include <array>
#include <optional>
#include <utility>

#include "core/version.h"
#include "server/ollama/ollama.h"

namespace minke::server {
namespace {

// Clients compare it with the release that first had what they need. It is that of Ollama whose API
// this follows; what answers is said beside it.
constexpr const char* kApiVersion = "0.30.0";

// "134.52M", "1.5B": as Ollama writes counts.
std::string short_count(int64_t count) {
  struct Unit {
    double size;
    const char* name;
  };
  constexpr std::array<Unit, 4> kUnits = {{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}}};
  const auto number = static_cast<double>(count);
  for (const Unit& unit : kUnits) {
    if (number < unit.size) continue;
    const double share = number / unit.size;
    return fmt::format("{:.{}f}{}", share, share >= 100 ? 0 : share >= 10 ? 1 : 2, unit.name);
  }
  return fmt::format("{}", count);
}

std::string modified_at(const ModelStatus& status) {
  const int64_t seconds = status.facts ? status.facts->modified_at_s : 0;
  return ollama_time(std::chrono::system_clock::time_point(std::chrono::seconds(seconds)));
}

Value details(const ModelStatus& status) {
  const ModelFacts& facts = *status.facts;
  return Value(Value::Object{
      {"parent_model", status.base},
      {"format", "gguf"},
      {"family", facts.info.architecture},
      {"families", Value(Value::Array{Value(facts.info.architecture)})},
      {"parameter_size", short_count(facts.info.parameters)},
      {"quantization_level", facts.info.quantisation},
  });
}

int64_t context_of(const ModelStatus& status) {
  return status.context_tokens > 0 ? status.context_tokens : status.facts->info.context;
}

Value tag(const ModelStatus& status) {
  return Value(Value::Object{{"name", status.name},
                             {"model", status.name},
                             {"modified_at", modified_at(status)},
                             {"size", status.bytes},
                             {"digest", status.facts->digest},
                             {"details", details(status)}});
}

Value running(const ModelStatus& status) {
  // Of one that stays as long as it can: as far off as Ollama says it.
  constexpr std::chrono::hours kForever(24 * 365 * 100);
  const auto stays = status.unloads_in_s >= 0
                         ? std::chrono::seconds(status.unloads_in_s)
                         : std::chrono::duration_cast<std::chrono::seconds>(kForever);
  Value out = tag(status);
  Value::Object& members = *out.as_object();
  for (auto& [name, value] : members) {
    if (name == "size") value = status.memory_bytes;
  }
  members.emplace_back("size_vram", int64_t{0});
  members.emplace_back("expires_at", ollama_time(std::chrono::system_clock::now() + stays));
  members.emplace_back("context_length", context_of(status));
  return out;
}

std::string parameters_text(const SamplingOptions& sampling) {
  return fmt::format("temperature {}\ntop_k {}\ntop_p {}\nmin_p {}\nrepeat_penalty {}",
                     sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p,
                     sampling.repeat_penalty);
}

Value model_information(const ModelStatus& status) {
  const ModelInfo& info = status.facts->info;
  const auto key = [&](const char* name) { return fmt::format("{}.{}", info.architecture, name); };
  return Value(Value::Object{
      {"general.architecture", info.architecture},
      {"general.basename", info.name},
      {"general.parameter_count", info.parameters},
      {key("context_length"), context_of(status)},
      {key("embedding_length"), info.dim},
      {key("block_count"), info.layers},
      {key("feed_forward_length"), info.ffn_dim},
      {key("attention.head_count"), info.heads},
      {key("attention.head_count_kv"), info.kv_heads},
      {key("vocab_size"), info.vocabulary},
  });
}

Value shown(const ModelStatus& status) {
  const ModelFacts& facts = *status.facts;
  Value::Array abilities = {Value("completion")};
  if (facts.takes_tools) abilities.emplace_back("tools");
  if (facts.thinks) abilities.emplace_back("thinking");
  return Value(Value::Object{
      {"license", status.licence},
      {"modelfile", fmt::format("# minke has no Modelfiles.\nFROM {}\n", status.name)},
      {"parameters", parameters_text(facts.sampling)},
      {"template", facts.info.chat_template},
      {"details", details(status)},
      {"model_info", model_information(status)},
      {"capabilities", Value(std::move(abilities))},
      {"modified_at", modified_at(status)},
  });
}

Shape details_shape() {
  return Shape::object({required("format", Shape::string()), required("family", Shape::string()),
                        required("parameter_size", Shape::string()),
                        required("quantization_level", Shape::string())})
      .named("OllamaDetails");
}

Shape tag_shape() {
  return Shape::object({required("name", Shape::string()), required("model", Shape::string()),
                        required("modified_at", Shape::string()),
                        required("size", Shape::integer(0, int64_t{1} << 52)),
                        required("digest", Shape::string()), required("details", details_shape())})
      .named("OllamaTag");
}

Shape list_shape() {
  return Shape::object({required("models", Shape::array(tag_shape(), 100'000))});
}

void show(Services& services, const std::shared_ptr<Call>& call) {
  const auto named = read_ollama_name(call->body);
  if (!named) return call->fail(named.error());
  const auto name = services.models.resolve(*named);
  if (!name) return call->fail(name.error());
  const auto status = services.models.status(*name);
  if (!status) return call->fail(status.error());
  if (!status->facts) {
    return call->fail(
        not_found(fmt::format("the file of '{}' is not here, or cannot be read: fetch "
                              "it with /api/pull",
                              *name),
                  "model_not_found"));
  }
  call->respond(shown(*status));
}

// By its whole name: a beginning may mean another one tomorrow.
void remove(Services& services, const std::shared_ptr<Call>& call) {
  const auto named = read_ollama_name(call->body);
  if (!named) return call->fail(named.error());
  constexpr std::string_view kLatest = ":latest";
  std::string name = *named;
  if (!services.models.status(name) && name.ends_with(kLatest)) {
    name.resize(name.size() - kLatest.size());
  }
  const auto status = services.models.status(name);
  if (!status || status->path.empty()) {
    return call->fail(
        not_found(fmt::format("the model '{}' is not here", *named), "model_not_found"));
  }
  const auto removed = services.models.remove(name);
  if (!removed) return call->fail(removed.error());
  call->respond(Value(Value::Object{}));
}

// What the makers of models do with Ollama, and is done with files here.
Route refusing_route(const char* path, const char* id, const char* summary, std::string why) {
  return {.method = "POST",
          .path = path,
          .id = id,
          .summary = summary,
          .tag = "Ollama",
          .body = Shape::map(),
          .is_body_optional = true,
          .answers = {{.status = 400, .description = "Always: it is not supported"}},
          .handle = [why = std::move(why)](const std::shared_ptr<Call>& call) {
            call->fail(bad_request(why));
          }};
}

struct ListName {
  const char* path;
  const char* id;
  const char* summary;
};

// The models that `entry` has something to say of.
Route list_route(Services& services, const ListName& name,
                 std::optional<Value> (*entry)(const ModelStatus&)) {
  return {.method = "GET",
          .path = name.path,
          .id = name.id,
          .summary = name.summary,
          .tag = "Ollama",
          .answers = {{.description = "The models", .shape = list_shape()}},
          .handle = [&services, entry](const std::shared_ptr<Call>& call) {
            Value::Array all;
            for (const ModelStatus& one : services.models.list()) {
              if (auto value = entry(one)) all.push_back(*std::move(value));
            }
            call->respond(Value(Value::Object{{"models", Value(std::move(all))}}));
          }};
}

}  // namespace

Routes ollama_model_routes(Services& services) {
  const Shape name_shape = Shape::object(ollama_name_members()).named("OllamaName");
  Routes routes = {
      list_route(services, {"/api/tags", "ollamaTags", "The models whose files are here"},
                 [](const ModelStatus& one) {
                   return one.facts ? std::optional(tag(one)) : std::nullopt;
                 }),
      list_route(services, {"/api/ps", "ollamaPs", "The models that are loaded"},
                 [](const ModelStatus& one) {
                   return one.facts && one.memory ? std::optional(running(one)) : std::nullopt;
                 }),
      {.method = "POST",
       .path = "/api/show",
       .id = "ollamaShow",
       .summary = "What a model is and can do",
       .tag = "Ollama",
       .body = name_shape,
       .answers = {{.description = "The model",
                    .shape = Shape::object(
                        {required("details", details_shape()), required("model_info", Shape::map()),
                         required("capabilities", Shape::array(Shape::string(), 32))})}},
       .handle = [&services](const std::shared_ptr<Call>& call) { show(services, call); }},
      {.method = "GET",
       .path = "/api/version",
       .id = "ollamaVersion",
       .summary = "The version of the API, and minke's",
       .tag = "Ollama",
       .runs_on = RunsOn::kServerThread,
       .answers = {{.description = "The versions",
                    .shape = Shape::object({required("version", Shape::string()),
                                            required("minke", Shape::string())})}},
       .handle =
           [](const std::shared_ptr<Call>& call) {
             call->respond(Value(Value::Object{{"version", kApiVersion}, {"minke", kVersion}}));
           }},
      {.method = "DELETE",
       .path = "/api/delete",
       .id = "ollamaDelete",
       .summary = "Delete the file of a model that was pulled",
       .tag = "Ollama",
       .body = name_shape,
       .answers = {{.description = "It is gone", .shape = Shape::map()}},
       .handle = [&services](const std::shared_ptr<Call>& call) { remove(services, call); }},
      refusing_route("/api/copy", "ollamaCopy", "Not supported",
                     "copy is not supported: a model has the name of its file"),
      refusing_route("/api/create", "ollamaCreate", "Not supported",
                     "create is not supported: there are no Modelfiles; serve any GGUF file with "
                     "`minke serve FILE`, or make one with `minke convert`"),
      refusing_route("/api/push", "ollamaPush", "Not supported",
                     "push is not supported: nothing is sent from here"),
  };
  routes.push_back(ollama_pull_route(services));
  return routes;
}

}  // namespace minke::server
