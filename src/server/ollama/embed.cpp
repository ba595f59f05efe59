// POST /api/embed, and the older /api/embeddings: texts as vectors.

#include <fmt/format.h>

#include <utility>

#include "server/ollama/ollama.h"

namespace minke::server {
namespace {

constexpr size_t kTextsMax = 2048;

Value vector_value(const std::vector<float>& vector) {
  return Value(Value::Array(vector.begin(), vector.end()));
}

std::vector<EmbedInput> read_texts(const Value& input) {
  std::vector<EmbedInput> texts;
  if (const std::string* one = input.as_string()) {
    texts.push_back({.text = *one});
  } else {
    for (const Value& text : *input.as_array()) texts.push_back({.text = *text.as_string()});
  }
  return texts;
}

void embed(Services& services, const std::shared_ptr<Call>& call) {
  const std::string model = text_member(call->body, "model");
  std::vector<EmbedInput> texts = read_texts(*call->body.find("input"));
  if (texts.empty()) return call->fail(bad_request("input has no text", "input"));
  embed_for(services.chat, call, {.model = model, .client = {}, .input = std::move(texts)},
            [call, model](std::expected<EmbeddedTexts, ApiError> result) {
              if (!result) return call->fail(result.error());
              const auto time = std::chrono::steady_clock::now() - call->request->received;
              Value::Array vectors;
              for (const std::vector<float>& one : result->vectors) {
                vectors.push_back(vector_value(one));
              }
              call->respond(Value(Value::Object{
                  {"model", model},
                  {"embeddings", Value(std::move(vectors))},
                  {"total_duration",
                   int64_t{std::chrono::duration_cast<std::chrono::nanoseconds>(time).count()}},
                  {"load_duration", int64_t{0}},
                  {"prompt_eval_count", result->tokens}}));
            });
}

void embed_one(Services& services, const std::shared_ptr<Call>& call) {
  embed_for(
      services.chat, call,
      {.model = text_member(call->body, "model"),
       .client = {},
       .input = {{.text = text_member(call->body, "prompt")}}},
      [call](std::expected<EmbeddedTexts, ApiError> result) {
        if (!result) return call->fail(result.error());
        call->respond(Value(Value::Object{{"embedding", vector_value(result->vectors.front())}}));
      });
}

}  // namespace

Routes ollama_embed_routes(Services& services) {
  const Shape name = Shape::string().at_least(1).at_most(500);
  const Shape vector = Shape::array(Shape::number(), 1'000'000);
  return {
      {.method = "POST",
       .path = "/api/embed",
       .id = "ollamaEmbed",
       .summary = "Texts as vectors",
       .tag = "Ollama",
       .body = Shape::object(
                   {required("model", name, "A name of /api/tags"),
                    required("input", Shape::one_of({Shape::string(),
                                                     Shape::array(Shape::string(), kTextsMax)}))})
                   .named("OllamaEmbedRequest"),
       .body_bytes_max = kChatBody,
       .answers = {{.description = "A vector of length one for each",
                    .shape =
                        Shape::object({required("model", Shape::string()),
                                       required("embeddings", Shape::array(vector, kTextsMax))})}},
       .handle = [&services](const std::shared_ptr<Call>& call) { embed(services, call); }},
      {.method = "POST",
       .path = "/api/embeddings",
       .id = "ollamaEmbeddings",
       .summary = "A text as a vector, in an older shape",
       .tag = "Ollama",
       .body = Shape::object({required("model", name), required("prompt", Shape::string())})
                   .named("OllamaEmbeddingsRequest"),
       .body_bytes_max = kChatBody,
       .answers = {{.description = "The vector",
                    .shape = Shape::object({required("embedding", vector)})}},
       .handle = [&services](const std::shared_ptr<Call>& call) { embed_one(services, call); }},
  };
}

}  // namespace minke::server
