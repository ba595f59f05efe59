#include "server/chat/chat_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <utility>

#include "engine/memory_budget.h"
#include "server/api/route.h"
#include "text/chat_template.h"

namespace minke::server {
namespace {

// Templates of some models take no "developer": it is OpenAI's newer word for "system".
std::vector<ChatTurn> plain_roles(std::vector<ChatTurn> turns) {
  for (ChatTurn& turn : turns) {
    if (turn.role == "developer") turn.role = "system";
    if (turn.role == "function") turn.role = "tool";
  }
  // Instructions at the head are one text, however many messages they came in.
  while (turns.size() > 1 && turns[0].role == "system" && turns[1].role == "system") {
    turns[0].content += "\n\n" + turns[1].content;
    turns.erase(turns.begin() + 1);
  }
  return turns;
}

// An answer that has to be a call of a tool has the form of one.
std::expected<void, ApiError> force_call(const Ask& ask, SamplingOptions& sampling) {
  const bool is_forced = ask.tool_choice.kind == ToolChoice::Kind::kRequired ||
                         ask.tool_choice.kind == ToolChoice::Kind::kNamed;
  if (!is_forced) return {};
  if (sampling.form.kind != AnswerForm::Kind::kAny) {
    return std::unexpected(bad_request(
        "a tool has to be called (tool_choice), and response_format wants another answer: leave "
        "one of them out",
        "tool_choice"));
  }
  std::string names = ask.tool_choice.name;
  if (ask.tool_choice.kind == ToolChoice::Kind::kRequired) {
    for (const Tool& tool : ask.tools) names += (names.empty() ? "" : ",") + tool.name;
  }
  if (names.empty() || ask.tools.empty()) {
    return std::unexpected(
        bad_request("a tool has to be called, and there are no tools", "tool_choice"));
  }
  if (ask.tool_choice.kind == ToolChoice::Kind::kNamed &&
      std::ranges::find(ask.tools, names, &Tool::name) == ask.tools.end()) {
    return std::unexpected(bad_request(
        fmt::format("the tool '{}', which has to be called, is not among those given", names),
        "tool_choice"));
  }
  sampling.form = {.kind = AnswerForm::Kind::kToolCall, .text = std::move(names)};
  return {};
}

// `context_max`: the model's; 0: the request itself wanted no more of it.
ApiError too_long(int64_t tokens, int64_t context, int64_t context_max, const std::string& param) {
  ApiError error = bad_request(
      context_max == 0
          ? fmt::format("the prompt has {} tokens, and the context of {} tokens that the request "
                        "allows has no room for it and an answer: shorten it, or allow more",
                        tokens, context)
          : fmt::format("the prompt has {} tokens, and the model's context of {} tokens has no "
                        "room for it and an answer: {}",
                        tokens, context, context_way_out(context, context_max)),
      param);
  error.code = "context_length_exceeded";
  return error;
}

// The prompt has to leave room in the context, and the answer to stay in it.
std::expected<void, ApiError> fit(const Ask& ask, const LocalEngine& engine, Question& question) {
  int64_t context = engine.context_tokens();
  const int64_t tokens = std::ssize(question.prompt.tokens);
  const bool wished = ask.context_max > 0 && ask.context_max < context;
  if (wished) context = ask.context_max;
  if (tokens >= context) {
    return std::unexpected(
        too_long(tokens, context, wished ? 0 : engine.config().context_max, ask.prompt_param));
  }
  if (wished) {
    int64_t& tokens_max = question.sampling.tokens_max;
    tokens_max = tokens_max < 0 ? context - tokens : std::min(tokens_max, context - tokens);
  }
  return {};
}

// What the engine would refuse without saying which member of the request it was.
std::expected<void, ApiError> check_tokens(const Ask& ask, const std::vector<int32_t>& prompt,
                                           const LocalEngine& engine) {
  const int64_t vocabulary = engine.config().vocab_size;
  const auto is_unknown = [&](int32_t token) { return token < 0 || token >= vocabulary; };
  const auto refuse = [&](const char* param, int32_t token) {
    return std::unexpected(
        bad_request(fmt::format("{} names the token {}, which is not in the model's vocabulary of "
                                "{}",
                                param, token, vocabulary),
                    param));
  };
  for (const auto& [token, bias] : ask.sampling.logit_bias) {
    if (is_unknown(token)) return refuse("logit_bias", token);
  }
  const bool is_raw = ask.raw_tokens || ask.raw_text;
  if (is_raw && prompt.empty()) {
    return std::unexpected(
        bad_request("prompt is empty, and the model has no token to begin a text with", "prompt"));
  }
  const auto unknown = std::ranges::find_if(prompt, is_unknown);
  if (unknown != prompt.end()) return refuse("prompt", *unknown);
  return {};
}

// Puts what an answer already has behind the question's prompt.
void go_on(const BegunAnswer& begun, const LocalEngine& engine, Question& question) {
  const ChatTemplate* chat_template = engine.chat_template();
  const ThinkingStyle style =
      chat_template == nullptr ? ThinkingStyle() : chat_template->traits().thinking;
  std::vector<int32_t>& tokens = question.prompt.tokens;
  const auto add = [&](const std::string& text, bool is_tag) {
    const std::vector<int32_t> more = engine.tokenize(text, is_tag);
    tokens.insert(tokens.end(), more.begin(), more.end());
  };
  bool is_inside = question.reading.starts_inside;
  if (question.reading.split_thinking && !begun.reasoning.empty()) {
    if (!is_inside) add(style.opening(), true);
    add(begun.reasoning, false);
    is_inside = true;
  }
  if (!begun.content.empty()) {
    if (is_inside) add(style.closing(), true);
    add(begun.content, false);
    is_inside = false;
  }
  question.reading.starts_inside = is_inside;
  // Its text is no longer that of its tokens.
  question.prompt.text.clear();
  question.prompt.cuts.clear();
}

}  // namespace

SamplingOptions SamplingWish::over(const SamplingOptions& defaults) const {
  SamplingOptions out = defaults;
  if (temperature) out.temperature = *temperature;
  if (top_p) out.top_p = *top_p;
  if (min_p) out.min_p = *min_p;
  if (top_k) out.top_k = *top_k;
  if (repeat_penalty) out.repeat_penalty = *repeat_penalty;
  if (presence_penalty) out.presence_penalty = *presence_penalty;
  if (frequency_penalty) out.frequency_penalty = *frequency_penalty;
  if (repeat_window) out.repeat_window = *repeat_window;
  if (tokens_max) out.tokens_max = *tokens_max;
  if (think_budget) out.think_budget = *think_budget;
  if (logprobs_top) out.logprobs_top = *logprobs_top;
  if (seed) out.seed = seed;
  if (think) out.think = think;
  out.stop = stop;
  out.logit_bias = logit_bias;
  out.form = form;
  out.speculate = speculate;
  return out;
}

SamplingWish SamplingWish::read(const Value& object) {
  SamplingWish wish;
  wish.temperature = maybe_number(object, "temperature");
  wish.top_p = maybe_number(object, "top_p");
  wish.min_p = maybe_number(object, "min_p");
  wish.top_k = maybe_integer(object, "top_k");
  wish.repeat_penalty = maybe_number(object, "repeat_penalty");
  wish.presence_penalty = maybe_number(object, "presence_penalty");
  wish.frequency_penalty = maybe_number(object, "frequency_penalty");
  if (const auto seed = maybe_integer(object, "seed")) wish.seed = static_cast<uint64_t>(*seed);
  if (const Value* stop = member(object, "stop")) {
    if (const std::string* one = stop->as_string()) wish.stop.push_back(*one);
    if (const Value::Array* all = stop->as_array()) {
      for (const Value& one : *all) {
        if (const std::string* text = one.as_string()) wish.stop.push_back(*text);
      }
    }
  }
  return wish;
}

ApiError engine_error(const Error& error) {
  return error.kind == ErrorKind::kUsage ? bad_request(error.message) : server_error(error.message);
}

std::vector<ChatTurn> folded_turns(const std::vector<ChatTurn>& turns) {
  std::vector<ChatTurn> out;
  std::string pending;  // system text that waits for the next thing a user says
  for (const ChatTurn& turn : turns) {
    if (turn.role == "system" && !out.empty()) {
      pending += turn.content + "\n\n";
      continue;
    }
    ChatTurn next = turn;
    if (turn.role == "user") next.content = std::exchange(pending, {}) + turn.content;
    const bool continues = !out.empty() && out.back().role == turn.role &&
                           (turn.role == "user" || turn.role == "assistant") &&
                           out.back().tool_calls.empty() && turn.tool_calls.empty();
    if (continues) {
      out.back().content += "\n\n" + next.content;
    } else {
      out.push_back(std::move(next));
    }
  }
  if (!pending.empty()) {
    pending.resize(pending.size() - 2);
    if (!out.empty() && out.back().role == "user") {
      out.back().content += "\n\n" + pending;
    } else {
      out.push_back({.role = "user", .content = std::move(pending), .reasoning = {}});
    }
  }
  return out;
}

// One request from beginning to end. Kept alive by what calls it next: the host, the queue, the
// engine.
class ChatService::AskingImpl final : public Watched,
                                      public std::enable_shared_from_this<AskingImpl> {
 public:
  AskingImpl(ChatService& service, Ask what, std::shared_ptr<AnswerSink> sink)
      : service_(service),
        ask_(std::move(what)),
        sink_(std::move(sink)),
        began_(Clock::now()),
        parts_(static_cast<size_t>(ask_.count)) {}

  void begin() {
    service_.models_.lease(ask_.model,
                           [self = shared_from_this()](std::expected<Lease, ApiError> lease) {
                             if (!lease) return self->refuse(lease.error());
                             self->prepare(*std::move(lease));
                           });
  }

  // The question that is asked; also for counting.
  static std::expected<Question, ApiError> question(const Ask& ask, LoadedModel& model);

  void cancel() override { stop(std::nullopt); }

  void check_time(Clock::time_point now) override;

 private:
  enum class Phase : uint8_t { kWaiting, kAsked, kOver };
  struct Part {
    Phase phase = Phase::kWaiting;
    TurnQueue::Ticket ticket = 0;
    uint64_t engine_id = 0;
    bool has_turn = false;  // its turn came before anybody was told that there will be answers
    std::optional<Question> question;
  };

  void refuse(const ApiError& error);
  void prepare(Lease lease);
  void take_turn(int64_t index);
  void start(int64_t index);
  AnswerEvents events(int64_t index);
  void answered(int64_t index, Result<Answer> answer, ChatTimeline timeline);
  void end_part(int64_t index, std::expected<Answer, ApiError> answer);
  void stop(std::optional<ApiError> error);
  void remember(LoadedModel& model, const Answer& answer, ChatTimeline timeline) const;
  Part& part(int64_t index) { return parts_[static_cast<size_t>(index)]; }

  ChatService& service_;
  const Ask ask_;
  const std::shared_ptr<AnswerSink> sink_;
  const Clock::time_point began_;

  std::mutex mutex_;  // for what follows
  Lease lease_;
  std::vector<Part> parts_;
  std::atomic<bool> is_told_ = false;  // on_prepared has been called
  bool is_cancelled_ = false;
  std::optional<ApiError> end_error_;  // instead of answers that were cut
};

std::expected<Question, ApiError> ChatService::AskingImpl::question(const Ask& ask,
                                                                    LoadedModel& model) {
  LocalEngine& engine = *model.engine;
  SamplingOptions sampling = ask.sampling.over(engine.default_sampling());
  if (auto status = force_call(ask, sampling); !status) return std::unexpected(status.error());
  Result<Question> question = fail("nothing was asked");
  if (ask.raw_tokens || ask.raw_text) {
    std::vector<int32_t> tokens =
        ask.raw_tokens ? *ask.raw_tokens : engine.text_prompt(*ask.raw_text, false);
    question = engine.raw_question(std::move(tokens), sampling);
  } else {
    const std::vector<ChatTurn> turns = plain_roles(ask.turns);
    const std::vector<Tool> none;
    const std::vector<Tool>& tools =
        ask.tool_choice.kind == ToolChoice::Kind::kNone ? none : ask.tools;
    const ChatTimeline known = model.timelines.find(turns);
    question = engine.chat_question(turns, tools, sampling, known);
    if (!question) {
      // Many templates refuse what clients send: system text in the middle, users twice in a row.
      Result<Question> folded = engine.chat_question(folded_turns(turns), tools, sampling, known);
      if (folded) question = std::move(folded);
    }
  }
  if (!question) {
    ApiError error = engine_error(question.error());
    // The engine calls it as its file does; who asks, by the name that is served.
    const std::string own = engine.model_name();
    if (!own.empty() && error.message.starts_with(own)) {
      error.message.replace(0, own.size(), model.name);
    }
    const bool has_tools = !ask.tools.empty() && ask.tool_choice.kind != ToolChoice::Kind::kNone;
    if (has_tools && !model.facts->takes_tools) error.param = "tools";
    return std::unexpected(std::move(error));
  }
  if (auto status = check_tokens(ask, question->prompt.tokens, engine); !status) {
    return std::unexpected(status.error());
  }
  if (ask.begun) go_on(*ask.begun, engine, *question);
  return *std::move(question);
}

void ChatService::AskingImpl::refuse(const ApiError& error) {
  {
    const std::lock_guard lock(mutex_);
    for (Part& one : parts_) one.phase = Phase::kOver;
    lease_.reset();
  }
  {
    const std::lock_guard lock(service_.mutex_);
    ++service_.stats_.refused;
  }
  sink_->on_refused(error);
}

void ChatService::AskingImpl::prepare(Lease lease) {
  std::expected<Question, ApiError> asked = question(ask_, *lease);
  if (!asked) return refuse(asked.error());
  if (auto fits = fit(ask_, *lease->engine, *asked); !fits) return refuse(fits.error());
  const int64_t answers = std::max(ask_.count, ask_.request_count);
  if (answers > lease->queue.places()) {
    return refuse(never_fits(lease->queue, answers, answers > ask_.count ? "prompt" : "n"));
  }
  const Prepared prepared{.model = lease,
                          .prompt_tokens = std::ssize(asked->prompt.tokens),
                          .context_tokens = lease->engine->context_tokens(),
                          .starts_thinking = asked->reading.starts_inside};
  std::vector<TurnQueue::Entry> entries;
  {
    const std::lock_guard lock(mutex_);
    lease_ = lease;
    for (int64_t index = 0; index < ask_.count; ++index) {
      part(index).question = *asked;
      part(index).question->stream = static_cast<uint64_t>(index);
      entries.push_back({.client = ask_.client,
                         .tokens = prepared.prompt_tokens,
                         .start = [self = shared_from_this(), index] { self->take_turn(index); },
                         .on_moved =
                             [self = shared_from_this(), index](int64_t position) {
                               if (self->is_told_) self->sink_->on_waiting(index, position);
                             }});
    }
  }
  std::vector<TurnQueue::Ticket> tickets;
  if (!lease->queue.enter(std::move(entries), tickets)) {
    return refuse(queue_full(lease->queue));
  }
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < parts_.size(); ++i) parts_[i].ticket = tickets[i];
  }
  sink_->on_prepared(prepared);
  std::vector<int64_t> ready;
  bool is_cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    is_told_ = true;
    is_cancelled = is_cancelled_;
    for (int64_t index = 0; index < ask_.count; ++index) {
      if (part(index).has_turn) ready.push_back(index);
    }
  }
  if (is_cancelled) return stop(std::nullopt);
  for (const int64_t index : ready) start(index);
}

// Its turn has come. Whoever made room has other things to do: a worker goes on.
void ChatService::AskingImpl::take_turn(int64_t index) {
  {
    const std::lock_guard lock(mutex_);
    part(index).has_turn = true;
    if (!is_told_) return;
  }
  boost::asio::post(service_.workers_, [self = shared_from_this(), index] { self->start(index); });
}

AnswerEvents ChatService::AskingImpl::events(int64_t index) {
  AnswerEvents events;
  events.on_read = [this, index](int64_t tokens) { sink_->on_reading(index, tokens); };
  events.on_token = [this, index](const TokenEvent& event) { sink_->on_token(index, event); };
  events.on_piece = [this, index](const Piece& piece) {
    sink_->on_piece(index, piece);
    return true;
  };
  events.on_done = [self = shared_from_this(), index](Result<Answer> answer,
                                                      ChatTimeline timeline) {
    self->answered(index, std::move(answer), std::move(timeline));
  };
  return events;
}

void ChatService::AskingImpl::start(int64_t index) {
  std::optional<Question> question;
  Lease lease;
  {
    const std::lock_guard lock(mutex_);
    if (part(index).phase != Phase::kWaiting) return;
    part(index).phase = Phase::kAsked;
    question.swap(part(index).question);
    lease = lease_;
  }
  const uint64_t id = lease->engine->ask(*std::move(question), events(index));
  bool is_cancelled = false;
  {
    const std::lock_guard lock(mutex_);
    part(index).engine_id = id;
    is_cancelled = is_cancelled_;
  }
  if (is_cancelled) lease->engine->cancel(id);
}

// On the engine's thread.
void ChatService::AskingImpl::answered(int64_t index, Result<Answer> answer,
                                       ChatTimeline timeline) {
  std::optional<ApiError> error;
  Lease lease;
  {
    const std::lock_guard lock(mutex_);
    error = end_error_;
    lease = lease_;
  }
  if (error) return end_part(index, std::unexpected(*error));
  if (!answer) {
    // Whoever asks next has it loaded anew, or is told what is wrong with the file.
    if (!lease->engine->check_file()) (void)service_.models_.unload(lease->name);
    return end_part(index, std::unexpected(engine_error(answer.error())));
  }
  const bool is_whole =
      answer->finish != FinishReason::kCancelled && answer->finish != FinishReason::kStopString;
  if (is_whole && !ask_.turns.empty() && ask_.count == 1 && !ask_.begun) {
    boost::asio::post(service_.workers_, [self = shared_from_this(), lease, answer = *answer,
                                          timeline = std::move(timeline)]() mutable {
      self->remember(*lease, answer, std::move(timeline));
    });
  }
  end_part(index, *std::move(answer));
}

// Keeps the conversation's tokens, and has the engine read what the next turn will begin with.
void ChatService::AskingImpl::remember(LoadedModel& model, const Answer& answer,
                                       ChatTimeline timeline) const {
  std::vector<ChatTurn> turns = plain_roles(ask_.turns);
  turns.push_back({.role = "assistant",
                   .content = answer.content,
                   .reasoning = answer.reasoning,
                   .tool_calls = answer.tool_calls});
  if (ask_.tools.empty() && answer.tool_calls.empty()) {
    model.note_ahead(model.engine->read_ahead(
        turns, ask_.sampling.over(model.engine->default_sampling()), timeline));
  }
  model.timelines.keep(turns, std::move(timeline));
}

// The answer is told when its slot is free again.
void ChatService::AskingImpl::end_part(int64_t index, std::expected<Answer, ApiError> answer) {
  Lease lease;
  TurnQueue::Ticket ticket = 0;
  {
    const std::lock_guard lock(mutex_);
    if (part(index).phase == Phase::kOver) return;
    part(index).phase = Phase::kOver;
    part(index).question.reset();
    ticket = part(index).ticket;
    lease = lease_;
    const auto is_over = [](const Part& one) { return one.phase == Phase::kOver; };
    if (std::ranges::all_of(parts_, is_over)) lease_.reset();
  }
  lease->queue.leave(ticket);
  service_.note(answer);
  sink_->on_answer(index, std::move(answer));
}

void ChatService::AskingImpl::stop(std::optional<ApiError> error) {
  std::vector<uint64_t> asked;
  std::vector<int64_t> waiting;
  Lease lease;
  {
    const std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    if (error) end_error_ = error;
    if (!is_told_) return;  // prepare() sees to it
    lease = lease_;
    for (int64_t index = 0; index < ask_.count; ++index) {
      if (part(index).phase == Phase::kWaiting) waiting.push_back(index);
      if (part(index).phase == Phase::kAsked && part(index).engine_id != 0) {
        asked.push_back(part(index).engine_id);
      }
    }
    error = end_error_;
  }
  for (const uint64_t id : asked) lease->engine->cancel(id);
  for (const int64_t index : waiting) {
    if (error) {
      end_part(index, std::unexpected(*error));
    } else {
      Answer nothing;
      nothing.finish = FinishReason::kCancelled;
      end_part(index, std::move(nothing));
    }
  }
}

void ChatService::AskingImpl::check_time(Clock::time_point now) {
  bool is_waiting = false;
  {
    const std::lock_guard lock(mutex_);
    if (std::ranges::all_of(parts_, [](const Part& one) { return one.phase == Phase::kOver; })) {
      return;
    }
    is_waiting =
        std::ranges::any_of(parts_, [](const Part& one) { return one.phase == Phase::kWaiting; });
  }
  const auto time = now - began_;
  if (is_waiting && time > service_.options_.waiting_time_max) stop(timed_out(time));
}

ChatService::ChatService(ServiceOptions options, ModelHost& models,
                         boost::asio::thread_pool& workers)
    : options_(options), models_(models), workers_(workers) {
  clock_ = std::jthread([this](const std::stop_token& stop) { keep_time(stop); });
}

ChatService::~ChatService() = default;

std::shared_ptr<Asking> ChatService::ask(Ask what, std::shared_ptr<AnswerSink> sink) {
  auto asking = std::make_shared<AskingImpl>(*this, std::move(what), std::move(sink));
  watch(asking);
  asking->begin();
  return asking;
}

void ChatService::watch(const std::shared_ptr<Watched>& begun) {
  const std::lock_guard lock(mutex_);
  ++stats_.asked;
  watched_.push_back(begun);
}

ApiError ChatService::queue_full(const TurnQueue& queue) {
  return {.status = 429,
          .message = fmt::format("{} requests are running and {} are waiting, which is as many as "
                                 "are taken: try again",
                                 queue.running(), queue.waiting()),
          .type = "rate_limit_error",
          .code = "queue_full",
          .retry_after_s = queue.retry_after_s()};
}

ApiError ChatService::never_fits(const TurnQueue& queue, int64_t answers, std::string param) {
  return bad_request(
      fmt::format("{} answers were asked for at once, and this server has {} places for those that "
                  "run and wait (serve --parallel and --queue): ask for fewer",
                  answers, queue.places()),
      std::move(param));
}

ApiError ChatService::timed_out(Clock::duration time) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time).count();
  return {.status = 503,
          .message = fmt::format(
              "the request's turn did not come within {} seconds (--wait): try again", seconds),
          .type = "server_error",
          .code = "timeout",
          .retry_after_s = 1};
}

ApiError ChatService::cancelled() {
  return {.status = 503, .message = "the request was cancelled", .type = "server_error"};
}

void ChatService::count(Ask what,
                        std::function<void(std::expected<Counted, ApiError>)> on_counted) {
  const std::string name = what.model;  // moved below
  models_.lease(name, [what = std::move(what), on_counted = std::move(on_counted)](
                          const std::expected<Lease, ApiError>& lease) {
    if (!lease) return on_counted(std::unexpected(lease.error()));
    const int64_t context = (*lease)->engine->context_tokens();
    const std::expected<Question, ApiError> question = AskingImpl::question(what, **lease);
    if (!question) return on_counted(std::unexpected(question.error()));
    on_counted(Counted{.tokens = std::ssize(question->prompt.tokens), .context_tokens = context});
  });
}

std::shared_ptr<Asking> ask_for(ChatService& service, const std::shared_ptr<Call>& call, Ask what,
                                std::shared_ptr<AnswerSink> sink) {
  std::shared_ptr<Asking> asking = service.ask(std::move(what), std::move(sink));
  call->responder->on_gone([weak = std::weak_ptr(asking)] {
    if (const auto alive = weak.lock()) alive->cancel();
  });
  return asking;
}

// The answer's text ends where the stop string began; its tokens go on to the end of that.
std::string stop_string_of(const Answer& answer, const std::vector<std::string>& stops,
                           const Engine& engine) {
  if (answer.finish != FinishReason::kStopString) return {};
  if (stops.size() == 1) return stops.front();
  constexpr size_t kTail = 200;
  const std::string text = engine.detokenize(answer.tokens);
  const std::string before =
      answer.content.substr(answer.content.size() - std::min(kTail, answer.content.size()));
  std::string found;
  for (const std::string& stop : stops) {
    if (stop.size() > found.size() && text.find(before + stop) != std::string::npos) found = stop;
  }
  return found;
}

ServiceStats ChatService::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void ChatService::note(const std::expected<Answer, ApiError>& answer) {
  const std::lock_guard lock(mutex_);
  if (!answer) {
    ++stats_.failed;
    return;
  }
  ++(answer->finish == FinishReason::kCancelled ? stats_.cancelled : stats_.answered);
  const Usage& usage = answer->usage;
  stats_.prompt_tokens += static_cast<uint64_t>(usage.prompt_tokens);
  stats_.cached_tokens += static_cast<uint64_t>(usage.cached_tokens);
  stats_.answer_tokens += static_cast<uint64_t>(usage.answer_tokens);
  stats_.reasoning_tokens += static_cast<uint64_t>(usage.reasoning_tokens);
  stats_.prompt_seconds += usage.prompt_seconds;
  stats_.answer_seconds += usage.answer_seconds;
}

std::vector<std::shared_ptr<ChatService::Watched>> ChatService::under_way() {
  std::vector<std::shared_ptr<Watched>> all;
  const std::lock_guard lock(mutex_);
  std::erase_if(watched_, [](const auto& one) { return one.expired(); });
  for (const auto& one : watched_) {
    if (auto asking = one.lock()) all.push_back(std::move(asking));
  }
  return all;
}

void ChatService::cancel_all() {
  for (const auto& asking : under_way()) asking->cancel();
}

// Looks twice a second for requests whose time is up.
void ChatService::keep_time(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, stop, std::chrono::milliseconds(500), [] { return false; });
    }
    const auto now = Clock::now();
    for (const auto& asking : under_way()) asking->check_time(now);
  }
}

}  // namespace minke::server
