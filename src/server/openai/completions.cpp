// POST /v1/completions: a text goes on, without a template. OpenAI's older API, which completion in
// editors and programs that measure models still speak.

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "server/api/sse.h"
#include "server/openai/openai.h"
#include "text/unicode.h"
#include "text/utf8_stream.h"

namespace minke::server {
namespace {

constexpr size_t kPromptsMax = 256;
constexpr size_t kAnswersMax = 256;  // to all prompts together
constexpr int64_t kAnswersEachMax = 16;
constexpr size_t kPromptTokensMax = size_t{1} << 24;
constexpr int64_t kTokensMax = int64_t{1} << 30;
constexpr int64_t kTokensMaxUnsaid = 16;  // as OpenAI's API has it

struct CompletionAsk {
  std::vector<Ask> asks;  // one a prompt
  int64_t count = 1;      // answers to each
  bool streams = false;
  bool includes_usage = false;
  bool echoes = false;
  bool wants_logprobs = false;
};

Shape request_shape() {
  const Shape token = Shape::integer(0, (int64_t{1} << 31) - 1);
  const Shape tokens = Shape::array(token, kPromptTokensMax);
  std::vector<Member> members = {
      optional("model", Shape::string().at_most(500), "A name of /v1/models; else the default"),
      required("prompt",
               Shape::one_of({Shape::string(), tokens, Shape::array(Shape::string(), kPromptsMax),
                              Shape::array(tokens, kPromptsMax)}),
               "A text, its tokens, or several of either"),
      optional("suffix", Shape::string(), "Refused unless empty"),
      optional("stream", Shape::boolean()),
      optional("stream_options", Shape::object({optional("include_usage", Shape::boolean())})),
      optional("n", Shape::integer(1, kAnswersEachMax), "Answers to each prompt"),
      optional("best_of", Shape::integer(1, kAnswersEachMax), "Refused unless it is n"),
      optional("max_tokens", Shape::integer(0, kTokensMax), "16 if left out"),
      optional("logprobs", Shape::integer(0, 20)),
      optional("echo", Shape::boolean(), "The prompt before its answer; not with logprobs"),
  };
  for (Member& one : sampling_members()) members.push_back(std::move(one));
  return Shape::object(std::move(members)).named("CompletionRequest");
}

std::vector<int32_t> read_tokens(const Value& value) {
  std::vector<int32_t> tokens;
  for (const Value& one : *value.as_array())
    tokens.push_back(static_cast<int32_t>(*integer_of(one)));
  return tokens;
}

// Each prompt as an Ask with nothing else in it.
std::vector<Ask> read_prompts(const Value& prompt) {
  std::vector<Ask> asks;
  const auto add_text = [&](const Value& text) {
    asks.push_back({.prompt_param = "prompt", .raw_text = *text.as_string()});
  };
  const auto add_tokens = [&](const Value& tokens) {
    asks.push_back({.prompt_param = "prompt", .raw_tokens = read_tokens(tokens)});
  };
  const Value::Array* all = prompt.as_array();
  if (all == nullptr) {
    add_text(prompt);
  } else if (!all->empty() && all->front().as_string() != nullptr) {
    for (const Value& one : *all) add_text(one);
  } else if (!all->empty() && all->front().as_array() != nullptr) {
    for (const Value& one : *all) add_tokens(one);
  } else {
    add_tokens(prompt);
  }
  return asks;
}

std::expected<CompletionAsk, ApiError> read_request(const Call& call) {
  const Value& body = call.body;
  const auto refused = [](std::string message, std::string param) {
    return std::unexpected(bad_request(std::move(message), std::move(param)));
  };
  CompletionAsk out;
  out.asks = read_prompts(*body.find("prompt"));
  out.count = maybe_integer(body, "n").value_or(1);
  const size_t answers = out.asks.size() * static_cast<size_t>(out.count);
  if (answers > kAnswersMax) {
    return refused(fmt::format("{} prompts with {} answers each are {} answers, and at most {} are "
                               "given to one request",
                               out.asks.size(), out.count, answers, kAnswersMax),
                   "n");
  }
  if (maybe_integer(body, "best_of").value_or(out.count) != out.count) {
    return refused("best_of must be n: every answer that is made is given", "best_of");
  }
  if (!text_member(body, "suffix").empty()) {
    return refused(
        "suffix is not supported: write the tokens with which the model fills a gap into the "
        "prompt",
        "suffix");
  }
  auto sampling = read_sampling(body);
  if (!sampling) return std::unexpected(sampling.error());
  sampling->tokens_max = maybe_integer(body, "max_tokens").value_or(kTokensMaxUnsaid);
  sampling->logprobs_top = maybe_integer(body, "logprobs");
  out.wants_logprobs = sampling->logprobs_top.has_value();
  out.echoes = maybe_bool(body, "echo").value_or(false);
  if (out.echoes && out.wants_logprobs) {
    return refused("echo together with logprobs is not supported: the prompt is not scored",
                   "echo");
  }
  for (Ask& ask : out.asks) {
    ask.model = text_member(body, "model");
    ask.client = call.client;
    ask.sampling = *sampling;
    ask.count = out.count;
    ask.request_count = static_cast<int64_t>(answers);
  }
  out.streams = maybe_bool(body, "stream").value_or(false);
  if (const Value* options = member(body, "stream_options")) {
    out.includes_usage = maybe_bool(*options, "include_usage").value_or(false);
  }
  return out;
}

// The logprobs of one answer in the shape of the older API: a list for each kind of thing.
class LogprobLists {
 public:
  void add(const LocalEngine& engine, const TokenLogprob& chosen,
           const std::vector<TokenLogprob>& top) {
    const std::string text = token_text(engine, chosen.token);
    Value::Object others;
    const auto add_one = [&](const TokenLogprob& one) {
      const std::string name = token_text(engine, one.token);
      if (std::ranges::find(others, name, &Value::Member::first) != others.end()) return;
      others.emplace_back(name, std::max(one.logprob, kLeast));
    };
    for (const TokenLogprob& one : top) add_one(one);
    add_one(chosen);
    tokens_.emplace_back(text);
    logprobs_.emplace_back(std::max(chosen.logprob, kLeast));
    tops_.emplace_back(std::move(others));
    offsets_.emplace_back(offset_);
    offset_ += std::ranges::count_if(
        text, [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
  }
  // What was added since the last time; null: nothing.
  Value take() {
    if (tokens_.empty()) return {};
    return Value(Value::Object{{"tokens", Value(std::exchange(tokens_, {}))},
                               {"token_logprobs", Value(std::exchange(logprobs_, {}))},
                               {"top_logprobs", Value(std::exchange(tops_, {}))},
                               {"text_offset", Value(std::exchange(offsets_, {}))}});
  }

 private:
  static constexpr double kLeast = -9999;
  Value::Array tokens_, logprobs_, tops_, offsets_;
  int64_t offset_ = 0;  // in characters
};

// All answers of one request. Each prompt is a question of its own, whose sink hands on to this.
class Completions : public std::enable_shared_from_this<Completions> {
 public:
  Completions(std::shared_ptr<Call> call, const CompletionAsk& asked)
      : call_(std::move(call)),
        asked_(asked),
        stream_(call_->responder),
        id_(fresh_id("cmpl-")),
        created_(unix_time_s()),
        answers_(asked.asks.size() * static_cast<size_t>(asked.count)),
        parts_(answers_.size()),
        read_(asked.asks.size()) {}

  void ask(ChatService& service) {
    for (size_t prompt = 0; prompt < asked_.asks.size(); ++prompt) {
      const auto asking = service.ask(asked_.asks[prompt],
                                      std::make_shared<PromptSink>(shared_from_this(), prompt));
      const std::lock_guard lock(mutex_);
      askings_.push_back(asking);
      if (is_over_) break;
    }
    call_->responder->on_gone([weak = weak_from_this()] {
      if (const auto alive = weak.lock()) alive->cancel();
    });
    bool is_over = false;
    {
      const std::lock_guard lock(mutex_);
      is_over = is_over_;
    }
    if (is_over) cancel();
  }

 private:
  class PromptSink final : public AnswerSink {
   public:
    PromptSink(std::shared_ptr<Completions> all, size_t prompt)
        : all_(std::move(all)), prompt_(prompt) {}
    void on_refused(const ApiError& error) override { all_->end_with(error); }
    void on_prepared(const Prepared& prepared) override { all_->prepared(prompt_, prepared); }
    void on_token(int64_t index, const TokenEvent& event) override {
      all_->token(place(index), event);
    }
    void on_piece(int64_t index, const Piece& piece) override { all_->piece(place(index), piece); }
    void on_answer(int64_t index, std::expected<Answer, ApiError> answer) override {
      all_->answered(place(index), std::move(answer));
    }

   private:
    size_t place(int64_t index) const {
      return prompt_ * static_cast<size_t>(all_->asked_.count) + static_cast<size_t>(index);
    }
    const std::shared_ptr<Completions> all_;
    const size_t prompt_;
  };

  void cancel() {
    std::vector<std::weak_ptr<Asking>> askings;
    {
      const std::lock_guard lock(mutex_);
      askings.swap(askings_);
    }
    for (const auto& one : askings) {
      if (const auto alive = one.lock()) alive->cancel();
    }
  }

  // One prompt that cannot be answered is the end of all.
  void end_with(const ApiError& error) {
    {
      const std::lock_guard lock(mutex_);
      if (std::exchange(is_over_, true)) return;
      if (has_begun_) {
        stream_.send(error_response(error, Dialect::kOpenAi).body);
        stream_.end();
      } else {
        call_->fail(error);
      }
    }
    cancel();
  }

  void prepared(size_t prompt, const Prepared& prepared) {
    const std::lock_guard lock(mutex_);
    engine_ = prepared.model->engine.get();
    model_ = prepared.model->name;
    read_[prompt].prompt_tokens = prepared.prompt_tokens;
    if (asked_.echoes) {
      const Ask& ask = asked_.asks[prompt];
      const std::string text = ask.raw_text ? *ask.raw_text : engine_->detokenize(*ask.raw_tokens);
      for (int64_t i = 0; i < asked_.count; ++i) {
        parts_[prompt * static_cast<size_t>(asked_.count) + static_cast<size_t>(i)].before =
            is_valid_utf8(text) ? text : make_valid_utf8(text);
      }
    }
    if (!asked_.streams || is_over_) return;
    if (!std::exchange(has_begun_, true)) stream_.begin();
    if (!asked_.echoes) return;
    for (int64_t i = 0; i < asked_.count; ++i) {
      const size_t place = prompt * static_cast<size_t>(asked_.count) + static_cast<size_t>(i);
      chunk(place, parts_[place].before);
    }
  }

  void token(size_t place, const TokenEvent& event) {
    if (!asked_.wants_logprobs || event.logprob == nullptr || event.ends_turn) return;
    const std::lock_guard lock(mutex_);
    parts_[place].logprobs.add(*engine_, *event.logprob, *event.top);
  }

  void piece(size_t place, const Piece& piece) {
    if (!asked_.streams) return;
    const std::lock_guard lock(mutex_);
    if (!is_over_) chunk(place, std::string(piece.text));
  }

  void answered(size_t place, std::expected<Answer, ApiError> answer) {
    if (!answer) return end_with(answer.error());
    const std::lock_guard lock(mutex_);
    if (is_over_) return;
    Usage& read = read_[place / static_cast<size_t>(asked_.count)];
    add_answer(read, answer->usage);
    if (asked_.streams) chunk(place, "", openai_finish_reason(answer->finish));
    answers_[place] = *std::move(answer);
    if (++done_ < answers_.size()) return;
    is_over_ = true;
    if (asked_.streams) {
      end_stream();
    } else {
      respond();
    }
  }

  Value frame(Value::Array choices) const {
    return Value(Value::Object{{"id", id_},
                               {"object", "text_completion"},
                               {"created", created_},
                               {"model", model_},
                               {"system_fingerprint", "minke"},
                               {"choices", Value(std::move(choices))}});
  }

  Value choice(size_t place, std::string text, Value finish) {
    return Value(Value::Object{{"text", std::move(text)},
                               {"index", static_cast<int64_t>(place)},
                               {"logprobs", parts_[place].logprobs.take()},
                               {"finish_reason", std::move(finish)}});
  }

  void chunk(size_t place, std::string text, Value finish = Value()) {
    Value all = frame({choice(place, std::move(text), std::move(finish))});
    if (asked_.includes_usage) all.as_object()->emplace_back("usage", Value());
    stream_.send(to_json(all));
  }

  Usage total_usage() const {
    Usage total;
    for (const Usage& one : read_) {
      const int64_t prompt = total.prompt_tokens + one.prompt_tokens;
      const int64_t cached = total.cached_tokens + one.cached_tokens;
      add_answer(total, one);
      total.prompt_tokens = prompt;
      total.cached_tokens = cached;
    }
    return total;
  }

  void end_stream() {
    if (asked_.includes_usage) {
      Value all = frame({});
      all.as_object()->emplace_back("usage", openai_usage(total_usage()));
      stream_.send(to_json(all));
    }
    stream_.send("[DONE]");
    stream_.end();
  }

  void respond() {
    Value::Array choices;
    for (size_t place = 0; place < answers_.size(); ++place) {
      choices.push_back(choice(place, parts_[place].before + answers_[place].content,
                               openai_finish_reason(answers_[place].finish)));
    }
    Value all = frame(std::move(choices));
    all.as_object()->emplace_back("usage", openai_usage(total_usage()));
    call_->respond(all);
  }

  struct Part {
    std::string before;  // the prompt, where it is echoed
    LogprobLists logprobs;
  };

  const std::shared_ptr<Call> call_;
  const CompletionAsk asked_;
  EventStream stream_;
  const std::string id_;
  const int64_t created_;

  std::mutex mutex_;  // for what follows
  const LocalEngine* engine_ = nullptr;
  std::string model_;
  std::vector<std::weak_ptr<Asking>> askings_;
  std::vector<Answer> answers_;
  std::vector<Part> parts_;
  std::vector<Usage> read_;  // a prompt
  size_t done_ = 0;
  bool has_begun_ = false;
  bool is_over_ = false;
};

}  // namespace

Routes openai_completion_routes(Services& services) {
  const Shape choice = Shape::object({
      required("text", Shape::string()),
      required("index", Shape::integer(0, static_cast<int64_t>(kAnswersMax))),
      required("logprobs", Shape::map().nullable()),
      required("finish_reason", Shape::choice({"stop", "length"})),
  });
  const Shape completion =
      Shape::object({
                        required("id", Shape::string()),
                        required("object", Shape::choice({"text_completion"})),
                        required("created", Shape::integer(0, int64_t{1} << 40)),
                        required("model", Shape::string()),
                        required("choices", Shape::array(choice, kAnswersMax)),
                        required("usage", usage_shape()),
                    })
          .named("Completion");
  return {{
      .method = "POST",
      .path = "/v1/completions",
      .id = "createCompletion",
      .summary = "Continue a text",
      .description = "No template is applied. With `stream`, the answers come as server-sent "
                     "events, and `[DONE]` at the end.",
      .tag = "OpenAI",
      .body = request_shape(),
      .body_bytes_max = kChatBody,
      .answers = {{.status = 200, .description = "The answers", .shape = completion},
                  {.status = 200,
                   .description = "The answers as they come",
                   .media_type = "text/event-stream",
                   .shape = Shape::any()}},
      .handle =
          [&services](const std::shared_ptr<Call>& call) {
            std::expected<CompletionAsk, ApiError> asked = read_request(*call);
            if (!asked) return call->fail(asked.error());
            std::make_shared<Completions>(call, *asked)->ask(services.chat);
          },
  }};
}

}  // namespace minke::server
