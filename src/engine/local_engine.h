// The engine behind include/minke/engine.h, with the doors that minke's own callers (terminal,
// evaluation, trainer, server) use: requests of token ids, scores of given tokens, the tokenizer.
//
// Threads: every function is safe from any thread. Callbacks run on the engine's thread; blocking
// functions called there answer with an error.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/result.h"
#include "engine/answer_text.h"
#include "engine/chat_prompt.h"
#include "engine/loop.h"
#include "minke/engine.h"
#include "models/model.h"
#include "ops/expert_store.h"

namespace minke {

class ChatTemplate;
class Tokenizer;

// One position of a text that was scored: the token there, given all tokens before it.
struct TokenScore {
  int32_t token = 0;
  double logprob = 0;
  std::vector<TokenLogprob> top;  // likeliest first
};

struct ScoreOptions {
  int64_t first = 1;  // first position that is scored; at least 1: position 0 has no context
  int64_t top = 0;    // how many of the likeliest tokens to report at each
  std::string name = "the text";  // what errors call it
  // For evaluations of their own: the logits that predict the token at `position`, in ascending
  // order of positions. Runs on the engine's thread; the span is valid during the call only.
  std::function<void(int64_t position, std::span<const float> logits)> on_logits;
};

// A prompt that is ready to be asked. Plain value.
struct Question {
  ChatTimeline prompt;  // of raw text, its tokens alone
  SamplingOptions sampling;
  AnswerTextOptions reading;  // how the answer is told apart
  uint64_t stream = 0;        // LoopRequest::stream
};

// What is told of a question that was asked, on the engine's thread (the refusal of one, on the
// asker's); none may block, and any but on_done may be empty.
struct AnswerEvents {
  std::function<void(int64_t tokens)> on_read;      // so many of the prompt's are read
  std::function<void(const TokenEvent&)> on_token;  // before the pieces that it completes
  OnPiece on_piece;
  // Once, last, whatever happens. The timeline is the prompt's with the answer behind it.
  std::function<void(Result<Answer>, ChatTimeline)> on_done;
};

class LocalEngine : public Engine {
 public:
  // What Engine::load does, under the type that has the inner doors.
  static Result<std::shared_ptr<LocalEngine>> load(EngineOptions options);

  // Tokens in, tokens out. submit() returns at once; the request's on_done is called exactly once,
  // from the engine's thread, whatever happens (errors in the request included).
  virtual uint64_t submit(LoopRequest request) = 0;
  // Takes effect within half a layer while its prompt is read, else within a step; on_done comes
  // with FinishReason::kCancelled. Unknown ids are ignored: the request may have ended meanwhile.
  virtual void cancel(uint64_t id) = 0;
  // submit() and wait.
  virtual Result<Completion> run(LoopRequest request) = 0;

  // One entry for each position from options.first on. `tokens` may be as long as the context.
  virtual Result<std::vector<TokenScore>> score(std::vector<int32_t> tokens,
                                                const ScoreOptions& options) = 0;

  // What chat_on() asks: template rendered and tokenised on the calling thread, with the tokens of
  // `before` as far as the turns agree with it.
  virtual Result<Question> chat_question(const std::vector<ChatTurn>& turns,
                                         const std::vector<Tool>& tools,
                                         const SamplingOptions& sampling,
                                         const ChatTimeline& before) const = 0;
  // What complete_tokens() asks.
  virtual Result<Question> raw_question(std::vector<int32_t> prompt,
                                        const SamplingOptions& sampling) const = 0;
  // Asks, and returns at once: the id, for cancel().
  virtual uint64_t ask(Question question, AnswerEvents events) = 0;

  // A text as a vector of config().dim numbers; see EmbeddingRequest.
  virtual uint64_t submit(EmbeddingRequest request) = 0;

  // The tokens a chat request reads: template rendered, special tokens of users' text left as text,
  // a beginning-of-sequence token once where the model wants one.
  virtual Result<std::vector<int32_t>> chat_prompt(const std::vector<ChatTurn>& turns) const = 0;
  // Raw text as a model reads it at the start of a sequence (with BOS where the model wants one).
  virtual std::vector<int32_t> text_prompt(std::string_view text, bool parse_special) const = 0;
  // chat() that keeps the tokens of the conversation so far (engine/chat_prompt.h): begins where
  // `timeline` ends, as far as the turns still agree, and leaves it behind the answer.
  virtual Result<Answer> chat_on(const std::vector<ChatTurn>& turns, const std::vector<Tool>& tools,
                                 const SamplingOptions& sampling, const OnPiece& on_piece,
                                 ChatTimeline& timeline, const std::stop_token& cancel = {}) = 0;

  // Reads what the next turn of a conversation will begin with, as far as that is certain, while
  // the engine has nothing else to do: templates that strip thinking from history change the prompt
  // before every turn. `turns` end with the assistant's, and `timeline` with its tokens. The
  // request's id, for cancel(); 0 when there is nothing to read. See ReadAhead.
  virtual uint64_t read_ahead(const std::vector<ChatTurn>& turns, const SamplingOptions& sampling,
                              const ChatTimeline& timeline) = 0;

  virtual const Tokenizer& tokenizer() const = 0;
  virtual const ChatTemplate* chat_template() const = 0;  // nullptr: the file has none
  // Whether the model may think before it answers a chat, as its template has it.
  virtual bool knows_thinking() const = 0;
  virtual const ModelConfig& config() const = 0;
  // The GPU that the model runs on; empty on the processor.
  virtual std::string_view device_name() const = 0;
  // The model that guesses ahead: of its own, or a second one; look-up is always there.
  virtual DraftKind draft_kind() const = 0;
  virtual LoopStats stats() const = 0;
  // What went wrong and was survived (a damaged file of prompts), for a log: each is told once,
  // soon after it happened.
  virtual std::vector<std::string> take_notices() = 0;
  // An error where the model's file is not what it was (cut short under the engine): nothing that
  // it says from then on can be trusted, and it has to be loaded anew.
  virtual Status check_file() const = 0;
  // Of the cache of experts; nothing where all weights are in memory.
  virtual std::optional<ExpertStats> expert_stats() const = 0;
};

// What a conversation has the engine read ahead: at most one request, which ends with the object.
// `engine` outlives it.
class ReadAhead {
 public:
  explicit ReadAhead(LocalEngine& engine) : engine_(engine) {}
  ~ReadAhead() { end(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  void begin(const std::vector<ChatTurn>& turns, const SamplingOptions& sampling,
             const ChatTimeline& timeline) {
    end();
    id_ = engine_.read_ahead(turns, sampling, timeline);
  }
  void end() {
    if (id_ != 0) engine_.cancel(std::exchange(id_, 0));
  }

 private:
  LocalEngine& engine_;
  uint64_t id_ = 0;
};

}  // namespace minke
