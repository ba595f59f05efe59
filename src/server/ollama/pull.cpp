// POST /api/pull: fetches a model, and says how far it is.

#include <fmt/format.h>

#include <mutex>
#include <utility>

#include "io/model_cache.h"
#include "server/ollama/ollama.h"

namespace minke::server {
namespace {

// One client that follows a fetch. The fetch is the server's: it goes on when the client goes.
class PullWatch : public std::enable_shared_from_this<PullWatch> {
 public:
  PullWatch(Services& services, std::shared_ptr<Call> call, std::string name, bool streams)
      : services_(services),
        call_(std::move(call)),
        name_(std::move(name)),
        streams_(streams),
        stream_(call_->responder) {}

  void begin() {
    {
      const std::lock_guard lock(mutex_);
      watch_ = services_.models.on_change([self = shared_from_this()](const ModelStatus& now) {
        if (now.name == self->name_) self->tell(now);
      });
    }
    call_->responder->on_gone([weak = weak_from_this()] {
      if (const auto alive = weak.lock()) alive->let_go();
    });
    const auto pulled = services_.models.pull(name_);
    if (!pulled) {
      call_->fail(pulled.error());
      return let_go();
    }
    // Also where nothing changes any more because the file is here.
    if (const auto now = services_.models.status(name_)) tell(*now);
  }

 private:
  void tell(const ModelStatus& now) {
    {
      const std::lock_guard lock(mutex_);
      if (is_over_) return;
      if (streams_ && !has_begun_) {
        has_begun_ = true;
        stream_.begin(Value(Value::Object{{"status", "pulling manifest"}}));
        stream_.send(Value(Value::Object{{"status", "pulling manifest"}}));
      }
      if (now.state == ModelState::kPulling) {
        if (now.progress) tell_progress(*now.progress);
        return;
      }
      is_over_ = true;
      if (now.path.empty()) {
        end_with({.status = 500,
                  .message = now.error.empty() ? fmt::format("fetching '{}' was stopped", name_)
                                               : now.error,
                  .type = "server_error"});
      } else if (streams_) {
        stream_.send(Value(Value::Object{{"status", "success"}}));
        stream_.end();
      } else {
        call_->respond(Value(Value::Object{{"status", "success"}}));
      }
    }
    let_go();
  }

  // mutex_ is held, in both.
  void tell_progress(const ModelProgress& progress) {
    if (!streams_) return;
    Value::Object line = {{"status", progress.phase}};
    if (progress.total > 0) {
      // Clients draw a bar for each digest, and cut it to twelve characters.
      line.emplace_back("digest", fmt::format("sha256:{:-<64}", name_.substr(0, 64)));
      line.emplace_back("total", progress.total);
      line.emplace_back("completed", progress.done);
    }
    stream_.send(Value(std::move(line)));
  }
  void end_with(const ApiError& error) {
    if (!streams_) return call_->fail(error);
    stream_.send(Value(Value::Object{{"error", error.message}}));
    stream_.end();
  }

  void let_go() {
    std::shared_ptr<void> watch;
    const std::lock_guard lock(mutex_);
    is_over_ = true;
    watch.swap(watch_);
  }

  Services& services_;
  const std::shared_ptr<Call> call_;
  const std::string name_;
  const bool streams_;

  std::mutex mutex_;  // for what follows
  LineStream stream_;
  bool has_begun_ = false;
  bool is_over_ = false;
  std::shared_ptr<void> watch_;
};

void pull(Services& services, const std::shared_ptr<Call>& call) {
  const auto named = read_ollama_name(call->body);
  if (!named) return call->fail(named.error());
  std::string name = *named;
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest)) name.resize(name.size() - kLatest.size());
  const Result<CatalogueEntry> entry = find_pullable(name);
  if (!entry) {
    return call->fail({.status = 404, .message = entry.error().message, .code = "model_not_found"});
  }
  std::make_shared<PullWatch>(services, call, entry->name,
                              maybe_bool(call->body, "stream").value_or(true))
      ->begin();
}

}  // namespace

Route ollama_pull_route(Services& services) {
  std::vector<Member> members = ollama_name_members();
  members.push_back(optional("stream", Shape::boolean(), "Unless false"));
  return {.method = "POST",
          .path = "/api/pull",
          .id = "ollamaPull",
          .summary = "Fetch a model",
          .description =
              "A name that `minke list` knows, or owner/repo:file of Hugging Face. It goes "
              "on when the client goes; asking again follows it.",
          .tag = "Ollama",
          .body = Shape::object(std::move(members)).named("OllamaPull"),
          .answers = {{.status = 200,
                       .description = "It is here",
                       .shape = Shape::object({required("status", Shape::string())})},
                      {.status = 200,
                       .description = "How far it is, a JSON value a line",
                       .media_type = "application/x-ndjson",
                       .shape = Shape::string()}},
          .handle = [&services](const std::shared_ptr<Call>& call) { pull(services, call); }};
}

}  // namespace minke::server
