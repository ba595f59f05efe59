// The objects of docs/app-api.md, as the OpenAPI file describes them and requests are checked.
#include "server/app/app.h"

namespace minke::server {
namespace {

constexpr int64_t kCountMax = int64_t{1} << 30;
constexpr int64_t kBytesMax = int64_t{1} << 62;

Shape time_shape() { return Shape::integer(0, kBytesMax); }
Shape count_shape() { return Shape::integer(0, kBytesMax); }
Shape id_shape() { return Shape::string(); }

}  // namespace

Shape settings_shape() {
  return Shape::object({
                           optional("model", Shape::string().at_most(256)),
                           optional("system", Shape::string().at_most(size_t{1} << 20)),
                           optional("temperature", Shape::number(0, 2)),
                           optional("top_p", Shape::number(0, 1)),
                           optional("top_k", Shape::integer(0, kCountMax)),
                           optional("min_p", Shape::number(0, 1)),
                           optional("repeat_penalty", Shape::number(0, 2)),
                           optional("presence_penalty", Shape::number(-2, 2)),
                           optional("frequency_penalty", Shape::number(-2, 2)),
                           optional("seed", Shape::integer(-kBytesMax, kBytesMax)),
                           optional("tokens_max", Shape::integer(1, kCountMax)),
                           optional("think", Shape::boolean()),
                           optional("think_budget", Shape::integer(0, kCountMax)),
                           optional("stop", Shape::array(Shape::string().at_least(1), 16)),
                       })
      .named("AppSettings");
}

Shape attachment_shape() {
  return Shape::object({required("id", id_shape()), required("name", Shape::string()),
                        required("media_type", Shape::string()), required("bytes", count_shape()),
                        required("kind", Shape::choice({"text", "pdf", "image"})),
                        required("chars", count_shape()), required("truncated", Shape::boolean())})
      .named("AppAttachment");
}

Shape message_shape() {
  const Shape segment =
      Shape::object({required("text", Shape::string()), required("started_at_ms", time_shape()),
                     required("ms", count_shape().nullable())});
  return Shape::object(
             {required("id", id_shape()), required("conversation_id", id_shape()),
              required("parent_id", id_shape().nullable()),
              required("role", Shape::choice({"user", "assistant"})),
              required("status",
                       Shape::choice({"complete", "running", "stopped", "failed", "interrupted"})),
              required("content", Shape::string()),
              required("thinking", Shape::array(segment, 100'000)),
              required("thinking_closed", Shape::boolean()),
              required("generation_id", id_shape().nullable()),
              required("error", Shape::string().nullable()),
              required("model", Shape::string().nullable()), required("settings", settings_shape()),
              required("finish_reason", Shape::string().nullable()),
              required("usage", Shape::map().nullable()),
              required("attachments", Shape::array(attachment_shape(), 100)),
              required("created_at_ms", time_shape()),
              required("finished_at_ms", time_shape().nullable()),
              required("kind", Shape::choice({"message", "summary"}))})
      .named("AppMessage");
}

Shape conversation_shape() {
  return Shape::object(
             {required("id", id_shape()), required("title", Shape::string()),
              required("title_is_own", Shape::boolean()),
              required("folder_id", id_shape().nullable()), required("pinned", Shape::boolean()),
              required("archived", Shape::boolean()), required("settings", settings_shape()),
              required("leaf_id", id_shape().nullable()), required("created_at_ms", time_shape()),
              required("updated_at_ms", time_shape()), required("message_count", count_shape())})
      .named("AppConversation");
}

Shape folder_shape() {
  return Shape::object({required("id", id_shape()), required("name", Shape::string()),
                        required("position", Shape::integer(-kBytesMax, kBytesMax))})
      .named("AppFolder");
}

Shape preset_shape() {
  return Shape::object({required("id", id_shape()), required("name", Shape::string()),
                        required("settings", settings_shape()),
                        required("position", Shape::integer(-kBytesMax, kBytesMax))})
      .named("AppPreset");
}

Shape app_model_shape() {
  return Shape::object({required("name", Shape::string()), required("present", Shape::boolean()),
                        required("loaded", Shape::boolean()),
                        required("state", Shape::choice({"absent", "pulling", "present", "loading",
                                                         "loaded", "failed"})),
                        required("progress", Shape::map().nullable()),
                        required("error", Shape::string().nullable()),
                        required("file_bytes", count_shape()),
                        required("memory_bytes", count_shape()),
                        required("context_tokens", count_shape().nullable()),
                        required("is_default", Shape::boolean())})
      .named("AppModel");
}

}  // namespace minke::server
