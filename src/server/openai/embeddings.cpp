// POST /v1/embeddings: texts as vectors.

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "server/history/base64.h"
#include "server/openai/openai.h"

namespace minke::server {
namespace {

constexpr size_t kTextsMax = 2048;
constexpr size_t kTokensMax = 1 << 20;

// The first numbers of a vector, of length one again.
void shorten(std::vector<float>& vector, size_t dimensions) {
  if (dimensions >= vector.size()) return;
  vector.resize(dimensions);
  double squares = 0;
  for (const float one : vector) squares += double{one} * one;
  const auto scale = static_cast<float>(1 / std::sqrt(std::max(squares, 1e-30)));
  for (float& one : vector) one *= scale;
}

Value vector_value(const std::vector<float>& vector, bool as_base64) {
  if (as_base64) {
    std::string bytes(vector.size() * sizeof(float), '\0');
    std::memcpy(bytes.data(), vector.data(), bytes.size());
    return Value(history::to_base64(bytes));
  }
  Value::Array numbers;
  numbers.reserve(vector.size());
  for (const float one : vector) numbers.emplace_back(double{one});
  return Value(std::move(numbers));
}

// A text, texts, tokens, or lists of tokens.
std::vector<EmbedInput> read_input(const Value& input) {
  std::vector<EmbedInput> out;
  const auto tokens_of = [](const Value::Array& numbers) {
    EmbedInput one;
    one.tokens.emplace();
    for (const Value& number : numbers) {
      one.tokens->push_back(static_cast<int32_t>(number.as_int() ? *number.as_int() : -1));
    }
    return one;
  };
  if (const std::string* text = input.as_string()) {
    out.push_back({.text = *text});
    return out;
  }
  const Value::Array& all = *input.as_array();
  if (!all.empty() && all.front().as_array() == nullptr && all.front().as_string() == nullptr) {
    out.push_back(tokens_of(all));
    return out;
  }
  for (const Value& one : all) {
    if (const std::string* text = one.as_string()) out.push_back({.text = *text});
    if (const Value::Array* numbers = one.as_array()) out.push_back(tokens_of(*numbers));
  }
  return out;
}

void handle(Services& services, const std::shared_ptr<Call>& call) {
  const Value& body = call->body;
  std::vector<EmbedInput> input = read_input(*body.find("input"));
  if (input.empty() || input.size() > kTextsMax) {
    return call->fail(bad_request(
        fmt::format("input has {} texts; 1 to {} are taken", input.size(), kTextsMax), "input"));
  }
  const bool as_base64 = text_member(body, "encoding_format") == "base64";
  const std::optional<int64_t> dimensions = maybe_integer(body, "dimensions");
  embed_for(
      services.chat, call,
      {.model = text_member(body, "model"), .client = {}, .input = std::move(input)},
      [call, as_base64, dimensions](std::expected<EmbeddedTexts, ApiError> result) {
        if (!result) return call->fail(result.error());
        const int64_t own = std::ssize(result->vectors.front());
        if (dimensions > own) {
          return call->fail(bad_request(
              fmt::format("dimensions is {}, and the model's vectors have {}", *dimensions, own),
              "dimensions"));
        }
        Value::Array data;
        for (size_t i = 0; i < result->vectors.size(); ++i) {
          if (dimensions) shorten(result->vectors[i], static_cast<size_t>(*dimensions));
          data.emplace_back(
              Value::Object{{"object", "embedding"},
                            {"index", static_cast<int64_t>(i)},
                            {"embedding", vector_value(result->vectors[i], as_base64)}});
        }
        call->respond(Value(
            Value::Object{{"object", "list"},
                          {"data", Value(std::move(data))},
                          {"model", result->model},
                          {"usage", Value(Value::Object{{"prompt_tokens", result->tokens},
                                                        {"total_tokens", result->tokens}})}}));
      });
}

}  // namespace

Routes openai_embedding_routes(Services& services) {
  const Shape tokens = Shape::array(Shape::integer(0, int64_t{1} << 31), kTokensMax);
  const Shape input = Shape::one_of({Shape::string(), Shape::array(Shape::string(), kTextsMax),
                                     tokens, Shape::array(tokens, kTextsMax)});
  const Shape vector = Shape::one_of({Shape::array(Shape::number(), kTokensMax), Shape::string()});
  return {{
      .method = "POST",
      .path = "/v1/embeddings",
      .id = "createEmbedding",
      .summary = "Texts as vectors",
      .description = "The mean of the states of a text's tokens, of length one. A chat model's "
                     "states say less about likeness than those of a model made for it.",
      .tag = "OpenAI",
      .body = Shape::object({
                                optional("model", Shape::string().at_most(500)),
                                required("input", input),
                                optional("encoding_format", Shape::choice({"float", "base64"})),
                                optional("dimensions", Shape::integer(1, 1 << 20)),
                                optional("user", Shape::string()),
                            })
                  .named("EmbeddingRequest"),
      .body_bytes_max = kChatBody,
      .answers = {{.description = "A vector for each text",
                   .shape =
                       Shape::object(
                           {
                               required("object", Shape::choice({"list"})),
                               required("data", Shape::array(Shape::object({
                                                                 required("index", Shape::integer(
                                                                                       0, 1 << 20)),
                                                                 required("embedding", vector),
                                                             }),
                                                             kTextsMax)),
                               required("model", Shape::string()),
                           })
                           .named("EmbeddingList")}},
      .handle = [&services](const std::shared_ptr<Call>& call) { handle(services, call); },
  }};
}

}  // namespace minke::server
