#include "engine/local_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <utility>

#include "core/system_limits.h"
#include "engine/answer_form.h"
#include "engine/answer_text.h"
#include "engine/chat_prompt.h"
#include "engine/draft_loading.h"
#include "engine/memory_budget.h"
#include "engine/model_drafter.h"
#include "engine/model_fingerprint.h"
#include "engine/model_runner.h"
#include "engine/mtp_drafter.h"
#include "engine/recommended_sampling.h"
#include "engine/session.h"
#include "engine/think_budget.h"
#include "io/gguf.h"
#include "models/gguf_tokenizer.h"
#include "models/hf_folder.h"
#include "models/registry.h"
#include "ops/cpu_ops.h"
#include "ops/cuda_ops.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace minke {
namespace {

constexpr int64_t kPrefillChunkMax = 16'384;
constexpr int64_t kSequencesMax = 1024;
constexpr int kThreadsMax = 1024;
constexpr int64_t kLogitRowsMax = 64;
constexpr int64_t kDraftTokensMax = 32;

// Tokens that are worth reading before they are asked for; the next turn's markers alone are not.
constexpr int64_t kReadAheadMin = 16;

Status check_options(const EngineOptions& options) {
  const auto range = [](const char* name, int64_t value, int64_t low, int64_t high) -> Status {
    if (value >= low && value <= high) return {};
    return misuse(fmt::format("{} must be in [{}, {}], got {}", name, low, high, value));
  };
  MINKE_TRY(range("threads (--threads)", options.threads, 0, kThreadsMax));
  MINKE_TRY(range("prefill_chunk (--prefill-chunk)", options.prefill_chunk, 1, kPrefillChunkMax));
  MINKE_TRY(range("batch_sequences_max", options.batch_sequences_max, 1, kSequencesMax));
  MINKE_TRY(range("draft_tokens (--draft-tokens)", options.draft_tokens, -1, kDraftTokensMax));
  if (options.device == Device::kCuda && options.kv == KvFormat::kQ8) {
    return misuse("the GPU keeps its cache in bf16 only: leave out --kv q8, or take --device cpu");
  }
  if (options.context_tokens < 0) {
    return misuse(
        fmt::format("the context (--ctx) must be at least 1 token, or 0 for the model's "
                    "own, got {}",
                    options.context_tokens));
  }
  return {};
}

// A fault of a model's chat template, with the way out.
std::unexpected<Error> without_template(const std::string& model, Error fault) {
  fault.message =
      fmt::format("{}: {} (`minke run --raw` does without a template)", model, fault.message);
  return std::unexpected(std::move(fault));
}

// A latent is small and kept in bf16 only (check_model).
KvDtype kv_dtype(const EngineOptions& options, const ModelConfig& config) {
  return options.kv == KvFormat::kQ8 && config.latent.kv_rank == 0 ? KvDtype::kQ8 : KvDtype::kBF16;
}

uint64_t page_bytes(const EngineOptions& options, const ModelConfig& config) {
  return make_model(config)->kv_spec(kv_dtype(options, config)).page_bytes() +
         MtpDrafter::page_bytes(config);
}

// What a step of `rows` rows holds at its widest place, and its logits. An estimate: a
// prompt's rows are counted once for each of the widest tensors that live together.
uint64_t activation_bytes(const ModelConfig& config, const EngineOptions& options) {
  const int64_t heads = config.head_dim * (config.heads + 2 * config.kv_heads);
  const MixtureConfig& m = config.mixture;
  const int64_t mixture = m.route.used * (2 * config.dim + 4 * m.expert_dim);
  const int64_t row_floats = 6 * config.dim + std::max(3 * config.ffn_dim, mixture) + 3 * heads;
  const int64_t rows = options.prefill_chunk + options.batch_sequences_max;
  const int64_t logit_rows = std::max(kLogitRowsMax, options.batch_sequences_max);
  constexpr uint64_t kTables = uint64_t{48} << 20;  // tokenizer, scratch of samplers, threads
  return static_cast<uint64_t>(rows * row_floats + logit_rows * config.vocab_size) * sizeof(float) +
         kTables;
}

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

// All that an engine is made of, in the order in which it is built.
struct Parts {
  EngineOptions options;
  std::unique_ptr<GgufFile> file;
  std::unique_ptr<Tokenizer> tokenizer;
  Result<ChatTemplate> chat_template = ChatTemplate::builtin_chatml();
  SamplingOptions sampling;
  MemoryPlan plan;
  MemoryReport memory;
  std::unique_ptr<Ops> ops;
  std::string device_name;
  std::unique_ptr<ExpertStore> experts;  // only where they do not all fit
  std::unique_ptr<Model> model;
  DraftParts draft;
  std::unique_ptr<Loop> loop;  // last, so that its thread ends first
};

class LocalEngineImpl final : public LocalEngine {
 public:
  explicit LocalEngineImpl(Parts parts)
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
  Result<std::optional<FormedAnswer>> formed_answer(const SamplingOptions& sampling,
                                                    const AnswerTextOptions& text_options);

  Parts parts_;
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
  MINKE_ASSIGN(std::optional<FormedAnswer> formed, formed_answer(question.sampling, reading));
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
    if (answering->events.on_token) answering->events.on_token(event);
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

// What holds the answer to its form; nothing where any will do.
Result<std::optional<FormedAnswer>> LocalEngineImpl::formed_answer(
    const SamplingOptions& sampling, const AnswerTextOptions& text_options) {
  if (sampling.form.kind == AnswerForm::Kind::kAny) return std::nullopt;
  MINKE_ASSIGN(std::shared_ptr<CompiledForm> form, forms_.compile(sampling.form));
  using Start = FormedAnswer::Start;
  Start start = Start::kContent;
  if (text_options.starts_inside) {
    start = Start::kThinking;
  } else if (text_options.split_thinking && sampling.think.value_or(true)) {
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

// What the file says of text: tokenizer, chat template, sampling.
Status read_text_side(Parts& parts, const ModelConfig& config) {
  MINKE_ASSIGN(parts.tokenizer, load_tokenizer(*parts.file));
  if (parts.tokenizer->vocab_size() > config.vocab_size) {
    return fail(
        fmt::format("{}: the tokenizer has {} tokens and the model {}: they do not belong "
                    "together",
                    parts.options.model, parts.tokenizer->vocab_size(), config.vocab_size));
  }
  // A template that does not parse spoils chats, and only them.
  MINKE_ASSIGN(const std::string_view source,
               parts.file->text_or("tokenizer.chat_template", std::string_view()));
  const std::string& given = parts.options.chat_template;
  if (!given.empty() || !source.empty()) {
    parts.chat_template = ChatTemplate::parse(given.empty() ? std::string(source) : given);
  }
  if (!parts.chat_template) {
    parts.chat_template =
        without_template(parts.options.model, std::move(parts.chat_template).error());
  }
  MINKE_ASSIGN(RecommendedSampling sampling, recommended_sampling(*parts.file));
  parts.sampling = std::move(sampling.options);
  return {};
}

// What this model cannot do of what was asked for.
Status check_model(const EngineOptions& options, const ModelConfig& config) {
  if (options.kv == KvFormat::kQ8 && config.latent.kv_rank > 0) {
    return misuse(
        fmt::format("a model of architecture '{}' keeps one small latent a token, in bf16 "
                    "only: leave out --kv q8",
                    config.architecture));
  }
  return {};
}

// What is to lie in memory. Where all weights do not fit and some are experts, those that the plan
// has no room for stay in the file, if they may.
Status plan(Parts& parts, const ModelConfig& config, const PackedSize& size, uint64_t available,
            bool may_stream = false) {
  uint64_t pages = page_bytes(parts.options, config);
  uint64_t activations = activation_bytes(config, parts.options);
  if (const DraftParts& draft = parts.draft; draft.file != nullptr) {
    pages += page_bytes(parts.options, draft.config);
    activations = std::max(activations, activation_bytes(draft.config, parts.options));
  }
  MemoryDemand demand = {.budget = parts.options.memory_bytes,
                         .available = available,
                         .weights = size.all(),
                         .activations = activations,
                         .kv_page_bytes = pages,
                         .context_tokens = parts.options.context_tokens,
                         .context_max = config.context_max,
                         .cache_tokens = parts.options.cache_tokens};
  parts.memory = {};
  Result<MemoryPlan> whole = plan_memory(demand);
  // Safetensors hold experts in another form, and a GPU has no file.
  const bool streams =
      may_stream && size.experts > 0 && !parts.file->is_assembled() && parts.device_name.empty();
  if (!whole && streams && whole.error().kind == ErrorKind::kFailure) {
    demand.weights = size.resident;
    demand.activations += ExpertStore::scratch_bytes(size.piece_bytes);
    const StreamDemand partly = {.fixed = demand,
                                 .expert_bytes = size.expert_bytes,
                                 .experts_least = 2 * config.mixture.route.used,
                                 .experts_count = size.experts_count};
    MINKE_ASSIGN(const StreamPlan plan, plan_streaming(partly));
    whole = plan.memory;
    parts.memory = {.expert_cache = static_cast<uint64_t>(plan.experts) * size.expert_bytes,
                    .experts_cached = plan.experts,
                    .experts = size.experts_count};
  }
  MINKE_ASSIGN(parts.plan, std::move(whole));
  parts.memory.budget = parts.plan.budget;
  parts.memory.weights = demand.weights;
  parts.memory.kv_cache = pages * static_cast<uint64_t>(parts.plan.kv_pages);
  parts.memory.activations = demand.activations;
  parts.memory.kv_cache_tokens = int64_t{parts.plan.kv_pages} * kKvPageTokens;
  parts.memory.kv_token_bytes = pages / kKvPageTokens;
  return {};
}

// The Ops that the options ask for; returns the memory that is free where it computes.
Result<uint64_t> open_device(Parts& parts, const ModelConfig& config) {
  const EngineOptions& options = parts.options;
  // `auto` takes the processor for what the GPU lacks; when the GPU was asked for, load_model()
  // says what that is.
  const bool wanted = options.device == Device::kCuda ||
                      (options.device == Device::kAuto && !config.needs_mixtures());
  if (wanted && options.kv == KvFormat::kBf16) {
    Result<std::unique_ptr<CudaOps>> cuda = CudaOps::create(options.threads);
    if (cuda) {
      CudaDevice& device = (*cuda)->device();
      parts.device_name = device.info().name;
      MINKE_ASSIGN(const size_t available, device.free_memory());
      parts.ops = *std::move(cuda);
      return available;
    }
    if (options.device == Device::kCuda) return std::unexpected(std::move(cuda).error());
  }
  MINKE_ASSIGN(parts.ops, CpuOps::create(options.threads));
  return static_cast<uint64_t>(available_memory_bytes());
}

// Where the draft model computes, and the memory that its weights will take.
Result<uint64_t> open_draft_device(Parts& parts) {
  DraftParts& draft = parts.draft;
  if (draft.file == nullptr) return uint64_t{0};
  draft.ops = parts.ops.get();
  if (!parts.device_name.empty()) {
    MINKE_ASSIGN(draft.own_ops, CudaOps::create(parts.options.threads));
    draft.ops = draft.own_ops.get();
  }
  MINKE_ASSIGN(const PackedSize size, packed_size(*draft.file));
  return size.all();
}

// The memory that everything takes, weights of a draft model included. Where not all fits, the
// model's layer that predicts further is what goes first; where that does not do, experts stay in
// the file.
Result<PackedSize> plan_weights(Parts& parts, ModelConfig& config, uint64_t draft_weights,
                                uint64_t available) {
  MINKE_ASSIGN(PackedSize size, packed_size(*parts.file, {.mtp = config.mtp.present}));
  size.resident += draft_weights;
  if (config.mtp.present && !plan(parts, config, size, available)) {
    ModelConfig without = config;
    without.mtp = {};
    MINKE_ASSIGN(PackedSize smaller, packed_size(*parts.file));
    smaller.resident += draft_weights;
    if (plan(parts, without, smaller, available)) {
      config.mtp = {};
      return smaller;
    }
  }
  MINKE_TRY(plan(parts, config, size, available, /*may_stream=*/true));
  return size;
}

// Packs the weights for `parts.ops` and plans the memory. Stops soon after `is_given_up`.
Status load_weights(Parts& parts, ModelConfig& config, const std::atomic<bool>& is_given_up) {
  const EngineOptions& options = parts.options;
  MINKE_TRY(check_model(options, config));
  MINKE_ASSIGN(const uint64_t available, open_device(parts, config));
  MINKE_ASSIGN(const uint64_t draft_weights, open_draft_device(parts));
  MINKE_ASSIGN(const PackedSize size, plan_weights(parts, config, draft_weights, available));
  if (parts.memory.expert_cache > 0) {
    MINKE_ASSIGN(parts.experts, ExpertStore::create({.slots = parts.memory.experts_cached,
                                                     .slot_bytes = size.expert_bytes,
                                                     .piece_bytes = size.piece_bytes}));
  }
  const double share = 1.0 - static_cast<double>(draft_weights) / static_cast<double>(size.all());
  const auto progress = [&](double fraction) {
    if (options.progress) options.progress("loading the model", share * fraction);
    return !is_given_up;
  };
  MINKE_ASSIGN(parts.model,
               load_model(*parts.file, *parts.ops, progress,
                          {.mtp = config.mtp.present, .experts = parts.experts.get()}));
  PackedSize taken = {.resident = parts.model->weight_bytes()};
  if (DraftParts& draft = parts.draft; draft.file != nullptr) {
    const auto rest = [&](double fraction) {
      if (options.progress) {
        options.progress("loading the draft model", share + (1 - share) * fraction);
      }
      return !is_given_up;
    };
    MINKE_ASSIGN(draft.model, load_model(*draft.file, *draft.ops, rest));
    taken.resident += draft.model->weight_bytes();
  }
  if (options.progress) options.progress("loading the model", 1.0);
  if (parts.experts) return {};
  // Again with what the weights really took.
  return plan(parts, config, taken, available);
}

// What guesses for the model besides its own layer; null: nothing.
Result<std::unique_ptr<DraftModel>> make_drafter(Parts& parts) {
  DraftParts& draft = parts.draft;
  if (draft.model == nullptr) return nullptr;
  MINKE_ASSIGN(KvStore kv,
               KvStore::create(draft.model->kv_spec(kv_dtype(parts.options, draft.config)),
                               parts.plan.kv_pages, draft.ops->memory()));
  const auto bytes = [](Model& model) { return static_cast<double>(model.weight_bytes()); };
  return std::make_unique<ModelDrafter>(
      *draft.ops, *draft.model, std::move(kv),
      ModelDrafter::Guessed{.vocab_size = parts.model->config().vocab_size,
                            .cost = bytes(*draft.model) / bytes(*parts.model)});
}

// Where pages outlive the process; null where they do not, or where another process has the file:
// an engine does without.
Result<std::unique_ptr<PageFile>> open_page_file(const Parts& parts, const ModelConfig& config) {
  const EngineOptions& options = parts.options;
  if (options.page_file.empty() || !parts.device_name.empty()) return nullptr;
  const KvSpec spec = parts.model->kv_spec(kv_dtype(options, config));
  MINKE_ASSIGN(const std::string fingerprint, model_fingerprint(options.model, spec));
  Result<std::unique_ptr<PageFile>> file = PageFile::open({.path = options.page_file,
                                                           .fingerprint = fingerprint,
                                                           .page_bytes = spec.page_bytes(),
                                                           .bytes_max = options.page_file_bytes});
  if (!file) return nullptr;
  return file;
}

Status load_parts(Parts& parts) {
  EngineOptions& options = parts.options;
  MINKE_TRY(check_options(options));
  MINKE_ASSIGN(GgufFile file, open_checkpoint(options.model));
  parts.file = std::make_unique<GgufFile>(std::move(file));
  MINKE_ASSIGN(ModelConfig config, read_config(*parts.file));
  if (!options.draft_model.empty()) {
    MINKE_ASSIGN(parts.draft, open_draft(options.draft_model, *parts.file));
  }
  if (!options.mtp || parts.draft.file != nullptr) config.mtp = {};
  // The vocabulary's tables take a tenth of a second of one processor: beside the weights, whose
  // packing waits for memory. A fault in them ends the loading, and is the one that is told.
  std::atomic<bool> is_given_up = false;
  std::future<Status> text_side = std::async(std::launch::async, [&] {
    Status status = read_text_side(parts, config);
    is_given_up = !status;
    return status;
  });
  const Status weights = load_weights(parts, config, is_given_up);
  MINKE_TRY(text_side.get());
  MINKE_TRY(weights);
  MINKE_ASSIGN(KvStore kv, KvStore::create(parts.model->kv_spec(kv_dtype(options, config)),
                                           parts.plan.kv_pages, parts.ops->memory()));
  MINKE_ASSIGN(std::unique_ptr<DraftModel> drafter, make_drafter(parts));

  LoopOptions loop;
  loop.scheduler.prefill_chunk = options.prefill_chunk;
  loop.scheduler.prefill_chunk_shared =
      std::min(options.prefill_chunk, loop.scheduler.prefill_chunk_shared);
  loop.scheduler.sequences_max = options.batch_sequences_max;
  loop.scheduler.logit_rows_max = kLogitRowsMax;
  loop.scheduler.draft_tokens = options.draft_tokens;
  loop.context_tokens = parts.plan.context_tokens;
  loop.context_max = config.context_max;
  loop.vocab_size = config.vocab_size;
  for (int32_t token = 0; token < parts.tokenizer->vocab_size(); ++token) {
    if (parts.tokenizer->is_end_of_generation(token)) loop.end_tokens.push_back(token);
  }
  MINKE_ASSIGN(std::unique_ptr<PageFile> page_file, open_page_file(parts, config));
  parts.loop =
      std::make_unique<Loop>(std::move(loop), parts.plan.kv_pages,
                             std::make_unique<ModelRunner>(
                                 *parts.ops, *parts.model, std::move(kv),
                                 [&file = *parts.file, experts = parts.experts.get()]() -> Status {
                                   if (experts != nullptr) {
                                     if (auto fault = experts->take_fault())
                                       return std::unexpected(*std::move(fault));
                                   }
                                   return file.check_intact();
                                 },
                                 std::move(drafter)),
                             std::move(page_file));
  return {};
}

}  // namespace

Result<std::shared_ptr<LocalEngine>> LocalEngine::load(EngineOptions options) {
  Parts parts;
  parts.options = std::move(options);
  const Status loaded = load_parts(parts);
  // Zeros in place of what is gone may have led to any other complaint.
  if (parts.file) MINKE_TRY(parts.file->check_intact());
  if (parts.draft.file) MINKE_TRY(parts.draft.file->check_intact());
  MINKE_TRY(loaded);
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
