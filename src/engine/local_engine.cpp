#include "engine/local_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/answer_form.h"
#include "engine/answer_text.h"
#include "engine/chat_prompt.h"
#include "engine/engine_parts.h"
#include "engine/session.h"
#include "engine/think_budget.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace minke {
namespace {

// Tokens that are worth reading before they are asked for; the next turn's markers alone are not.
constexpr int64_t kReadAheadMin = 16;

// Tools in the form in which templates take them: OpenAI's.
Result<Value> tool_descriptions(const std::vector<Tool>& tools) {
  if (tools.empty()) return Value();
  Value::Array all;
  for (const Tool& tool : tools) {
    constexpr std::string_view kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    constexpr size_t kNameBytesMax = 64;
    if (tool.name.empty() || tool.name.size() > kNameBytesMax ||
        tool.name.find_first_not_of(kAllowed) != std::string::npos) {
      return misuse(
          fmt::format("a tool's name must be 1 to {} of letters, digits, '_', '-' and "
                      "'.', got '{}'",
                      kNameBytesMax, tool.name));
    }
    Value parameters(Value::Object{{"type", "object"}, {"properties", Value(Value::Object{})}});
    if (!tool.parameters.empty()) {
      Result<Value> given = parse_json(tool.parameters);
      if (!given || given->as_object() == nullptr) {
        return misuse(fmt::format("the parameters of the tool '{}' must be a JSON object{}",
                                  tool.name, given ? "" : ": " + given.error().message));
      }
      parameters = *std::move(given);
    }
    Value::Object function = {{"name", tool.name},
                              {"description", tool.description},
                              {"parameters", std::move(parameters)}};
    all.emplace_back(Value::Object{{"type", "function"}, {"function", Value(std::move(function))}});
  }
  return Value(std::move(all));
}

class LocalEngineImpl final : public LocalEngine {
 public:
  explicit LocalEngineImpl(EngineParts parts)
      : parts_(std::move(parts)), forms_(*parts_.tokenizer, thinking_style()) {
    // The text of an answer is taken apart only for models that know what thinking is: to others
    // the tag is text like any other.
    splits_thinking_ = parts_.tokenizer->find("<think>").has_value();
    splits_thinking_ |= knows_thinking();
  }

  uint64_t submit(LoopRequest request) override { return parts_.loop->submit(std::move(request)); }
  uint64_t submit(EmbeddingRequest request) override {
    return parts_.loop->submit(std::move(request));
  }
  void cancel(uint64_t id) override { parts_.loop->cancel(id); }
  Result<Completion> run(LoopRequest request) override {
    return parts_.loop->run(std::move(request));
  }

  std::unique_ptr<Session> new_session(SessionOptions options) override {
    return make_session(std::static_pointer_cast<LocalEngine>(shared_from_this()),
                        std::move(options));
  }
  Result<Answer> chat(const std::vector<ChatTurn>& turns, const SamplingOptions& sampling,
                      const OnPiece& on_piece, const std::stop_token& cancel) override {
    return chat_with_tools(turns, {}, sampling, on_piece, cancel);
  }
  Result<Answer> chat_with_tools(const std::vector<ChatTurn>& turns, const std::vector<Tool>& tools,
                                 const SamplingOptions& sampling, const OnPiece& on_piece,
                                 const std::stop_token& cancel) override {
    ChatTimeline timeline;
    return chat_on(turns, tools, sampling, on_piece, timeline, cancel);
  }
  Result<Answer> chat_on(const std::vector<ChatTurn>& turns, const std::vector<Tool>& tools,
                         const SamplingOptions& sampling, const OnPiece& on_piece,
                         ChatTimeline& timeline, const std::stop_token& cancel) override;
  Result<Answer> complete(std::string_view prompt, const SamplingOptions& sampling,
                          const OnPiece& on_piece, const std::stop_token& cancel) override {
    return complete_tokens(text_prompt(prompt, false), sampling, on_piece, cancel);
  }
  Result<Answer> complete_tokens(const std::vector<int32_t>& prompt,
                                 const SamplingOptions& sampling, const OnPiece& on_piece,
                                 const std::stop_token& cancel) override {
    MINKE_ASSIGN(Question question, raw_question(prompt, sampling));
    ChatTimeline timeline;
    return ask_and_wait(std::move(question), on_piece, timeline, cancel);
  }
  Result<Question> chat_question(const std::vector<ChatTurn>& turns, const std::vector<Tool>& tools,
                                 const SamplingOptions& sampling,
                                 const ChatTimeline& before) const override;
  Result<Question> raw_question(std::vector<int32_t> prompt,
                                const SamplingOptions& sampling) const override {
    MINKE_TRY(check_sampling(sampling));
    const bool is_inside =
        sampling.think_budget >= 0 && ends_inside_thinking(detokenize(prompt), thinking_style());
    return Question{.prompt = {.text = {}, .tokens = std::move(prompt), .cuts = {}},
                    .sampling = sampling,
                    .reading = {.starts_inside = is_inside}};
  }
  uint64_t ask(Question question, AnswerEvents events) override;
  uint64_t read_ahead(const std::vector<ChatTurn>& turns, const SamplingOptions& sampling,
                      const ChatTimeline& timeline) override;
  Result<std::vector<TokenScore>> score(std::vector<int32_t> tokens,
                                        const ScoreOptions& options) override;

  Result<std::vector<int32_t>> chat_prompt(const std::vector<ChatTurn>& turns) const override {
    MINKE_ASSIGN(const RenderedChat chat, render(turns, {}, std::nullopt));
    return chat_timeline(*parts_.tokenizer, chat, {}).tokens;
  }
  std::vector<int32_t> text_prompt(std::string_view text, bool parse_special) const override {
    return parts_.tokenizer->encode_with_bos(
        text, parse_special ? SpecialText::kParse : SpecialText::kAsText);
  }
  std::vector<int32_t> tokenize(std::string_view text, bool parse_special) const override {
    return parts_.tokenizer->encode(text,
                                    parse_special ? SpecialText::kParse : SpecialText::kAsText);
  }
  std::string detokenize(const std::vector<int32_t>& tokens) const override {
    return parts_.tokenizer->decode(tokens);
  }
  int64_t context_tokens() const override { return parts_.plan.context_tokens; }
  std::string model_name() const override { return parts_.model->config().name; }
  SamplingOptions default_sampling() const override { return parts_.sampling; }
  MemoryReport memory() const override { return parts_.memory; }
  const Tokenizer& tokenizer() const override { return *parts_.tokenizer; }
  const ChatTemplate* chat_template() const override {
    return parts_.chat_template && !parts_.chat_template->is_builtin() ? &*parts_.chat_template
                                                                       : nullptr;
  }
  bool knows_thinking() const override {
    return parts_.chat_template && parts_.chat_template->traits().knows_thinking;
  }
  std::string_view device_name() const override { return parts_.device_name; }
  const ModelConfig& config() const override { return parts_.model->config(); }
  DraftKind draft_kind() const override {
    if (parts_.draft.model) return DraftKind::kModel;
    return config().mtp.present ? DraftKind::kMtp : DraftKind::kNone;
  }
  LoopStats stats() const override { return parts_.loop->stats(); }
  std::vector<std::string> take_notices() override { return parts_.loop->take_notices(); }
  Status check_file() const override { return parts_.file->check_intact(); }
  std::optional<ExpertStats> expert_stats() const override {
    return parts_.experts ? std::optional(parts_.experts->stats()) : std::nullopt;
  }

 private:
  Result<RenderedChat> render(const std::vector<ChatTurn>& turns, const std::vector<Tool>& tools,
                              std::optional<bool> think) const;
  ToolFormat tool_format(const std::vector<ChatTurn>& turns, const std::vector<Tool>& tools) const;
  ThinkingStyle thinking_style() const {
    return parts_.chat_template ? parts_.chat_template->traits().thinking : ThinkingStyle();
  }
  struct Answering;
  Result<std::shared_ptr<Answering>> prepare(Question question, AnswerEvents events);
  LoopRequest request_of(const std::shared_ptr<Answering>& answering) const;
  Result<Answer> ask_and_wait(Question question, const OnPiece& on_piece, ChatTimeline& timeline,
                              const std::stop_token& cancel);
  Result<std::optional<FormedAnswer>> formed_answer(const Question& question,
                                                    const AnswerTextOptions& text_options);

  EngineParts parts_;
  FormCache forms_;
  bool splits_thinking_ = false;
};

// How calls are written that this answer may have.
ToolFormat LocalEngineImpl::tool_format(const std::vector<ChatTurn>& turns,
                                        const std::vector<Tool>& tools) const {
  const bool has_calls =
      std::ranges::any_of(turns, [](const ChatTurn& turn) { return !turn.tool_calls.empty(); });
  if (!parts_.chat_template || (tools.empty() && !has_calls)) return ToolFormat::kNone;
  return parts_.chat_template->traits().tool_format;
}

// The tools of which an answer may be a call without any markers. A JSON answer that was asked for
// is that, whatever it looks like.
std::vector<std::string> bare_tools(ToolFormat format, const std::vector<Tool>& tools,
                                    const AnswerForm& form) {
  std::vector<std::string> names;
  const bool is_json =
      form.kind == AnswerForm::Kind::kJsonObject || form.kind == AnswerForm::Kind::kJsonSchema;
  if (format != ToolFormat::kHermes || is_json) return names;
  for (const Tool& tool : tools) names.push_back(tool.name);
  return names;
}

Result<RenderedChat> LocalEngineImpl::render(const std::vector<ChatTurn>& turns,
                                             const std::vector<Tool>& tools,
                                             std::optional<bool> think) const {
  if (!parts_.chat_template) return std::unexpected(parts_.chat_template.error());
  if (turns.empty()) return misuse("the conversation is empty: there is nothing to answer");
  const ChatTemplate& chat_template = *parts_.chat_template;
  if (think.value_or(false) && !knows_thinking()) {
    return misuse(fmt::format("{} cannot be made to think: its chat template knows no thinking",
                              model_name()));
  }
  const ChatTemplateTraits& traits = chat_template.traits();
  if (!tools.empty() &&
      (traits.tool_format == ToolFormat::kNone || (!traits.takes_tools && !traits.repairs_tools))) {
    return misuse(
        fmt::format("{} cannot be given tools: its chat template knows none, or writes calls in a "
                    "way that is not known here",
                    model_name()));
  }
  ChatRequest request;
  request.enable_thinking = think;
  MINKE_ASSIGN(request.tools, tool_descriptions(tools));
  std::string unplaced;  // system text for which the template has no place
  for (const ChatTurn& turn : turns) {
    if (turn.role == "system" && !chat_template.traits().takes_system) {
      unplaced += turn.content + "\n\n";
      continue;
    }
    ChatMessage message{.role = turn.role,
                        .content = turn.content,
                        .reasoning = turn.reasoning,
                        .tool_calls = turn.tool_calls,
                        .tool_call_id = turn.tool_call_id};
    if (turn.role == "user") message.content = std::exchange(unplaced, {}) + message.content;
    request.messages.push_back(std::move(message));
  }
  const Tokenizer& tokenizer = *parts_.tokenizer;
  if (tokenizer.bos()) request.bos_token = tokenizer.piece(*tokenizer.bos(), true);
  if (tokenizer.eos()) request.eos_token = tokenizer.piece(*tokenizer.eos(), true);
  Result<RenderedChat> chat = chat_template.render_for_answer(request);
  if (!chat) return without_template(parts_.options.model, std::move(chat).error());
  return chat;
}

// An answer under way: what its tokens mean, and whom to tell. Made by whoever asks, then the
// loop's thread's own.
struct LocalEngineImpl::Answering {
  Answering(const Tokenizer& tokenizer, Question asked, std::optional<FormedAnswer> form,
            AnswerEvents told)
      : question(std::move(asked)),
        events(std::move(told)),
        formed(std::move(form)),
        budget(tokenizer, question.sampling.think_budget, question.reading.style,
               question.reading.starts_inside, question.reading.thinks_first),
        text(tokenizer, question.reading, events.on_piece) {}

  Result<Answer> answer(Completion completion) const;

  Question question;
  AnswerEvents events;
  std::optional<FormedAnswer> formed;
  ThinkBudget budget;
  AnswerText text;
};

Result<Answer> LocalEngineImpl::Answering::answer(Completion completion) const {
  completion.usage.reasoning_tokens = text.reasoning_tokens();
  if (completion.finish == FinishReason::kEndOfTurn && !text.calls().empty()) {
    completion.finish = FinishReason::kToolCalls;
  }
  return Answer{.reasoning = text.reasoning(),
                .content = text.content(),
                .tool_calls = text.calls(),
                .tokens = std::move(completion.tokens),
                .logprobs = std::move(completion.logprobs),
                .top = std::move(completion.top),
                .finish = completion.finish,
                .thinking_was_closed = budget.has_closed(),
                .seed = completion.seed,
                .usage = completion.usage};
}

Result<std::shared_ptr<LocalEngineImpl::Answering>> LocalEngineImpl::prepare(Question question,
                                                                             AnswerEvents events) {
  MINKE_TRY(check_sampling(question.sampling));
  AnswerTextOptions& reading = question.reading;
  reading.stop = question.sampling.stop;
  reading.style = thinking_style();
  reading.thinks_first = question.sampling.form.kind != AnswerForm::Kind::kAny;
  MINKE_ASSIGN(std::optional<FormedAnswer> formed, formed_answer(question, reading));
  return std::make_shared<Answering>(*parts_.tokenizer, std::move(question), std::move(formed),
                                     std::move(events));
}

// What the loop is asked for an answer: it keeps the answering alive, and tells its end.
LoopRequest LocalEngineImpl::request_of(const std::shared_ptr<Answering>& answering) const {
  LoopRequest request;
  request.prompt = answering->question.prompt.tokens;
  request.sampling = answering->question.sampling;
  request.stream = answering->question.stream;
  request.on_token = [answering](const TokenEvent& event) {
    if (answering->events.on_token) {
      TokenEvent told = event;
      told.is_thinking = answering->text.is_thinking();
      answering->events.on_token(told);
    }
    answering->budget.take(event.token);
    if (answering->formed) answering->formed->take(event.token);
    return answering->text.take(event);
  };
  if (answering->events.on_read) {
    request.on_read = [answering](int64_t tokens) { answering->events.on_read(tokens); };
  }
  if (answering->formed) {
    request.allowed_tokens = [answering] { return answering->formed->allowed(); };
  }
  if (answering->question.sampling.think_budget >= 0) {
    request.forced_token = [answering] { return answering->budget.forced(); };
  }
  request.on_done = [this, answering](Result<Completion> completion) {
    answering->text.finish();
    ChatTimeline timeline = std::move(answering->question.prompt);
    if (!completion) {
      answering->events.on_done(std::unexpected(std::move(completion).error()),
                                std::move(timeline));
      return;
    }
    add_answer(*parts_.tokenizer, completion->tokens,
               tool_markers(answering->question.reading.tools), timeline);
    answering->events.on_done(answering->answer(*std::move(completion)), std::move(timeline));
  };
  return request;
}

uint64_t LocalEngineImpl::ask(Question question, AnswerEvents events) {
  const auto on_done = events.on_done;
  ChatTimeline prompt = question.prompt;
  Result<std::shared_ptr<Answering>> answering = prepare(std::move(question), std::move(events));
  if (!answering) {
    on_done(std::unexpected(std::move(answering).error()), std::move(prompt));
    return 0;
  }
  return submit(request_of(*answering));
}

// On an error and on the engine's own thread, which cannot wait, `timeline` is left as it is.
Result<Answer> LocalEngineImpl::ask_and_wait(Question question, const OnPiece& on_piece,
                                             ChatTimeline& timeline,
                                             const std::stop_token& cancel) {
  Result<Answer> given = fail("the engine was closed before it answered");
  AnswerEvents events;
  events.on_piece = on_piece;
  events.on_done = [&given, &timeline](Result<Answer> answer, ChatTimeline behind) {
    if (answer) timeline = std::move(behind);
    given = std::move(answer);
  };
  MINKE_ASSIGN(const std::shared_ptr<Answering> answering,
               prepare(std::move(question), std::move(events)));
  MINKE_TRY(parts_.loop->run(request_of(answering), cancel));
  return given;
}

// Whether a prompt has closed the thinking already, as DeepSeek V3.1's does by default.
bool ends_behind_thinking(std::string_view prompt, const ThinkingStyle& style) {
  while (!prompt.empty() && (prompt.back() == '\n' || prompt.back() == ' '))
    prompt.remove_suffix(1);
  return prompt.ends_with(style.close);
}

// What holds the answer to its form; nothing where any will do.
Result<std::optional<FormedAnswer>> LocalEngineImpl::formed_answer(
    const Question& question, const AnswerTextOptions& text_options) {
  const SamplingOptions& sampling = question.sampling;
  if (sampling.form.kind == AnswerForm::Kind::kAny) return std::nullopt;
  MINKE_ASSIGN(std::shared_ptr<CompiledForm> form, forms_.compile(sampling.form));
  using Start = FormedAnswer::Start;
  Start start = Start::kContent;
  if (text_options.starts_inside) {
    start = Start::kThinking;
  } else if (text_options.split_thinking && sampling.think.value_or(true) &&
             !ends_behind_thinking(question.prompt.text, text_options.style)) {
    start = Start::kMayThink;
  }
  return FormedAnswer(*parts_.tokenizer, std::move(form), text_options.style, start);
}

Result<Question> LocalEngineImpl::chat_question(const std::vector<ChatTurn>& turns,
                                                const std::vector<Tool>& tools,
                                                const SamplingOptions& sampling,
                                                const ChatTimeline& before) const {
  MINKE_TRY(check_sampling(sampling));
  MINKE_ASSIGN(const RenderedChat chat, render(turns, tools, sampling.think));
  Question question = {.prompt = chat_timeline(*parts_.tokenizer, chat, before),
                       .sampling = sampling,
                       .reading = {.split_thinking = splits_thinking_,
                                   .starts_inside = chat.ends_inside_thinking,
                                   .style = {},
                                   .tools = tool_format(turns, tools),
                                   .stop = {}}};
  question.reading.bare_tools = bare_tools(question.reading.tools, tools, sampling.form);
  if (sampling.form.kind == AnswerForm::Kind::kToolCall) {
    MINKE_ASSIGN(question.sampling.form,
                 tool_call_form(question.reading.tools, tools, sampling.form.text));
  }
  if (question.prompt.tokens.empty()) {
    return without_template(
        parts_.options.model,
        {.message = "its chat template makes an empty prompt of the conversation"});
  }
  return question;
}

Result<Answer> LocalEngineImpl::chat_on(const std::vector<ChatTurn>& turns,
                                        const std::vector<Tool>& tools,
                                        const SamplingOptions& sampling, const OnPiece& on_piece,
                                        ChatTimeline& timeline, const std::stop_token& cancel) {
  MINKE_ASSIGN(Question question, chat_question(turns, tools, sampling, timeline));
  return ask_and_wait(std::move(question), on_piece, timeline, cancel);
}

uint64_t LocalEngineImpl::read_ahead(const std::vector<ChatTurn>& turns,
                                     const SamplingOptions& sampling,
                                     const ChatTimeline& timeline) {
  // Certain is what two next turns have in common that begin with different characters.
  std::vector<std::vector<int32_t>> prompts;
  for (const char* word : {"1", "a"}) {
    std::vector<ChatTurn> next = turns;
    next.push_back({.role = "user", .content = word, .reasoning = {}});
    const Result<RenderedChat> chat = render(next, {}, sampling.think);
    if (!chat) return 0;
    prompts.push_back(chat_timeline(*parts_.tokenizer, *chat, timeline).tokens);
  }
  const auto differ = std::ranges::mismatch(prompts[0], prompts[1]).in1;
  std::vector<int32_t> certain(prompts[0].begin(), differ);
  const auto known = std::ranges::mismatch(certain, timeline.tokens).in1 - certain.begin();
  if (std::ssize(certain) - known < kReadAheadMin || std::ssize(certain) > context_tokens()) {
    return 0;
  }
  LoopRequest request;
  request.prompt = std::move(certain);
  request.sampling.tokens_max = 0;
  request.is_ahead = true;
  return submit(std::move(request));
}

Result<std::vector<TokenScore>> LocalEngineImpl::score(std::vector<int32_t> tokens,
                                                       const ScoreOptions& options) {
  const int64_t size = std::ssize(tokens);
  if (options.first < 1) {
    return misuse(
        fmt::format("the first position scored must be at least 1, got {}: nothing comes "
                    "before position 0",
                    options.first));
  }
  std::vector<TokenScore> scores;
  if (size <= options.first) return scores;
  if (size - 1 > context_tokens()) {
    return std::unexpected(parts_.loop->too_long(options.name, size, true));
  }
  for (const int32_t token : tokens) {
    if (token >= 0 && token < config().vocab_size) continue;
    return misuse(fmt::format("token {} is not in the vocabulary, which has {} tokens", token,
                              config().vocab_size));
  }
  Sampler sampler;
  Status status;
  LoopRequest request;
  request.prompt.assign(tokens.begin(), tokens.end() - 1);  // nothing is asked behind the last one
  request.logits_from = options.first;
  request.sampling.tokens_max = 0;
  request.on_logits = [&](int64_t position, std::span<const float> logits) {
    if (!status) return;
    if (options.on_logits) options.on_logits(position, logits);
    const Result<double> log_sum = sampler.log_sum_exp(logits);
    if (!log_sum) {
      status = std::unexpected(log_sum.error());
      return;
    }
    const int32_t token = tokens[static_cast<size_t>(position)];
    scores.push_back({.token = token,
                      .logprob = Sampler::logprob(logits, *log_sum, token),
                      .top = sampler.top(logits, *log_sum, options.top)});
  };
  const Result<Completion> done = parts_.loop->run(std::move(request));
  if (!done) return std::unexpected(done.error());
  MINKE_TRY(status);
  if (done->finish == FinishReason::kCancelled) return fail("the engine was closed while scoring");
  CHECK_EQ(std::ssize(scores), size - options.first);
  return scores;
}

}  // namespace

Result<std::shared_ptr<LocalEngine>> LocalEngine::load(EngineOptions options) {
  MINKE_ASSIGN(EngineParts parts, load_engine_parts(std::move(options)));
  return std::make_shared<LocalEngineImpl>(std::move(parts));
}

Result<std::shared_ptr<Engine>> Engine::load(EngineOptions options) {
  MINKE_ASSIGN(std::shared_ptr<LocalEngine> engine, LocalEngine::load(std::move(options)));
  return engine;
}

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kEndOfTurn:
      return "end of turn";
    case FinishReason::kToolCalls:
      return "tool calls";
    case FinishReason::kStopString:
      return "stop string";
    case FinishReason::kTokensMax:
      return "token limit";
    case FinishReason::kContextFull:
      return "context full";
    case FinishReason::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

}  // namespace minke
