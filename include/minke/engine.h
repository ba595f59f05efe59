// minke's public C++ API: an Engine is a loaded model with its cache of keys and values and its
// scheduler; a Session is one conversation on it. This header (with result.h and tool.h) is all
// that a program includes; examples/chat.cpp is one.
//
//   auto engine = minke::Engine::load({.model = "model.gguf"});
//   auto session = (*engine)->new_session({.system = "Be brief."});
//   auto answer = session->ask("Hello", (*engine)->default_sampling(),
//                              [](const minke::Piece& p) { std::cout << p.text; return true; });
//
// Threads: an Engine may be used from any number of threads at once; all requests are batched into
// common forward passes. A Session is for one thread at a time. Callbacks run on the engine's own
// thread and must not block, nor call the engine's blocking functions (those answer with an error
// there); one that returns false ends its request.
// Ownership: sessions keep their engine alive. The last reference must not go inside a callback.
// Errors: everything the world can cause comes back as an Error in std::expected; nothing throws.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "minke/result.h"
#include "minke/tool.h"

namespace minke {

// Where the model runs. kAuto: on a GPU that minke's kernels are for, where the build has them and
// there is one, else on the processor. The answers are the same, bit for bit.
enum class Device : uint8_t { kAuto, kCpu, kCuda };

// In what the cache keeps keys and values: bf16, or eight-bit integers with common steps, which
// take about half the memory and are half as much to read for every token of an answer; on the
// processor only, so that kAuto takes it.
enum class KvFormat : uint8_t { kBf16, kQ8 };

// Who guesses ahead, where speculation is on: whatever pays most, or one kind alone. Look-up
// repeats earlier text; a model is the draft model that the engine was loaded with, else the layer
// that the model has for it (multi-token prediction).
enum class SpeculateWith : uint8_t { kAny, kLookup, kModel };

struct EngineOptions {
  std::string model;           // path of a GGUF file
  std::string draft_model;     // path of a smaller one of the same vocabulary; empty: none
  std::string adapter;         // path of a LoRA adapter of the model, in GGUF; empty: none
  bool mtp = true;             // load the model's layer that predicts further, if there is one
  int64_t draft_tokens = -1;   // so many guesses by a model at every step; -1: as many as pay
  int threads = 0;             // 0: one for each processor
  int64_t context_tokens = 0;  // longest sequence; 0: the model's own, as far as memory allows
  // Budget for weights, cache and activations; 0: from what is free. Experts of a mixture that do
  // not fit are read from the file as they are needed: the same answers, later.
  uint64_t memory_bytes = 0;
  // Tokens that the cache of keys and values holds at most, all sequences and cached prefixes
  // together, as far as memory allows; 0: twice the longest sequence, and a little.
  int64_t cache_tokens = 0;
  // A file in which what was read outlives the process: whoever begins with the same tokens after
  // a restart finds them in the cache. Of this model alone; empty: none. On the processor only.
  std::string page_file;
  uint64_t page_file_bytes = uint64_t{4} << 30;  // what it may grow to
  KvFormat kv = KvFormat::kBf16;
  int64_t prefill_chunk = 512;       // prompt tokens a forward pass takes at most
  int64_t batch_sequences_max = 64;  // sequences that run together; more requests wait
  Device device = Device::kAuto;
  std::string chat_template;  // text of one (Jinja), to use instead of the model's; empty: its own
  // What happens while loading, 0 to 1, for a progress bar. May be empty.
  std::function<void(std::string_view what, double fraction)> progress;
};

// What the content of an answer has to be: any text, a JSON object, a value for which a JSON schema
// holds (draft 2020-12; src/text/grammar_schema.h says which keywords and in what form), or a text
// that a regular expression matches as a whole (src/text/grammar_regex.h). It holds from the end of
// the thinking on, and the turn can end only where the content is complete; tokens_max and the
// context may cut it off, which the finish reason tells.
struct AnswerForm {
  enum class Kind : uint8_t { kAny, kJsonObject, kJsonSchema, kRegex, kToolCall };
  Kind kind = Kind::kAny;
  // The schema, or the expression. kToolCall, which is for chat_with_tools() only: the names of the
  // tools of which one has to be called, with commas between them.
  std::string text;
  friend bool operator==(const AnswerForm&, const AnswerForm&) = default;
};

// How tokens are chosen. The order of the stages: penalties, temperature, top_k, top_p, min_p, then
// one draw. Engine::default_sampling() is this struct with what suits the model: what its file
// recommends, else what the makers of its family do.
struct SamplingOptions {
  double temperature = 0.6;  // 0: the most likely token, the lowest id of equals
  int64_t top_k = 0;         // 0: off
  double top_p = 0.95;       // 1: off
  double min_p = 0.0;        // 0: off
  double repeat_penalty = 1.0;
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  int64_t repeat_window = 64;  // tokens the penalties look back on; -1: all, prompt included
  // The same seed gives the same answer, whatever else runs. Without one, each request draws its
  // own, and the answer says which.
  std::optional<uint64_t> seed;
  int64_t tokens_max = -1;  // -1: until the context is full
  // Whether the model thinks before it answers a chat. Unset: as its template has it. True is an
  // error for a model that knows no thinking; false is none.
  std::optional<bool> think;
  // Thinking is closed, as the model itself would close it, after at most so many tokens (a little
  // earlier where a line or a sentence ends), and the answer follows; -1: when the model likes. The
  // closing is part of the answer and not counted.
  int64_t think_budget = -1;
  AnswerForm form;  // what the content has to be
  // Added to the scores of tokens before anything else, each in [-100, 100]; at -100 a token does
  // not come, at 100 hardly another does.
  std::vector<std::pair<int32_t, double>> logit_bias;
  std::vector<std::string> stop;  // ends the content (not the reasoning); never part of it
  int64_t logprobs_top = -1;      // -1: none; n: the chosen token's and the n likeliest
  bool speculate = true;          // guess ahead; never changes a bit of the answer
  SpeculateWith speculate_with = SpeculateWith::kAny;
};

// Natural logarithms of the model's own probabilities: before penalties, temperature and cuts.
struct TokenLogprob {
  int32_t token = 0;
  double logprob = 0;
};

enum class PieceKind : uint8_t { kReasoning, kContent, kToolCall };

// A piece of an answer as it grows: whole UTF-8 characters, or a whole call of a tool.
struct Piece {
  PieceKind kind = PieceKind::kContent;
  std::string_view text;           // of a call: its arguments
  const ToolCall* call = nullptr;  // kToolCall
};

enum class FinishReason : uint8_t {
  kEndOfTurn,
  kToolCalls,  // the turn ended with calls of tools
  kStopString,
  kTokensMax,
  kContextFull,
  kCancelled
};
const char* finish_reason_name(FinishReason reason);  // "end of turn", "stop string", ...

struct Usage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  // of the prompt, found in the cache
  int64_t answer_tokens = 0;
  int64_t reasoning_tokens = 0;
  int64_t drafted_tokens = 0;   // by speculation
  int64_t accepted_tokens = 0;  // of those
  double prompt_seconds = 0;    // from submission to the first token
  double answer_seconds = 0;    // from the first token to the last
};

struct Answer {
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> tool_calls;
  std::vector<int32_t> tokens;                 // with the token that ended the turn, if one did
  std::vector<TokenLogprob> logprobs;          // one a token, when asked for
  std::vector<std::vector<TokenLogprob>> top;  // likewise, likeliest first
  FinishReason finish = FinishReason::kEndOfTurn;
  bool thinking_was_closed = false;  // by SamplingOptions::think_budget
  uint64_t seed = 0;
  Usage usage;
};

// Called for each piece; return false to end the answer there. May be empty. To end it also while
// the prompt is read, stop the `cancel` token that each asking function takes: it takes effect
// within half a layer of the model.
using OnPiece = std::function<bool(const Piece&)>;

struct ChatTurn {
  std::string role;  // "system", "user", "assistant", "tool"
  std::string content;
  std::string reasoning;  // of an assistant's turn; templates decide whether the model sees it
  std::vector<ToolCall> tool_calls = {};  // of an assistant's turn
  std::string tool_call_id = {};          // of a tool's turn, whose content is what the call gave
};

// How the memory budget is spent. All of it in bytes.
struct MemoryReport {
  uint64_t budget = 0;
  uint64_t weights = 0;
  uint64_t kv_cache = 0;  // reserved; a page costs memory from its first use on
  uint64_t activations = 0;
  int64_t kv_cache_tokens = 0;  // what kv_cache holds, all sequences and cached prefixes together
  uint64_t kv_token_bytes = 0;
  // Of a mixture of experts that is larger than the budget: `weights` are those that every token
  // uses, and this is the cache of the others, which are read from the file as they are needed.
  uint64_t expert_cache = 0;   // 0: all weights are in memory
  int64_t experts_cached = 0;  // that the cache holds
  int64_t experts = 0;         // of so many, in all layers
};

class Session;

class Engine : public std::enable_shared_from_this<Engine> {
 public:
  static Result<std::shared_ptr<Engine>> load(EngineOptions options);
  virtual ~Engine() = default;

  struct SessionOptions {
    std::string system;
  };
  virtual std::unique_ptr<Session> new_session(SessionOptions options) = 0;

  // Continues the turns with one answer of the assistant, through the model's chat template.
  virtual Result<Answer> chat(const std::vector<ChatTurn>& turns, const SamplingOptions& sampling,
                              const OnPiece& on_piece, const std::stop_token& cancel = {}) = 0;
  // The same with tools that the model may call: Answer::tool_calls, and text that looked like a
  // call and was none stays content. The caller's next turns are then the assistant's with its
  // calls, and one "tool" for each of them. An error where the model's template knows no tools.
  virtual Result<Answer> chat_with_tools(const std::vector<ChatTurn>& turns,
                                         const std::vector<Tool>& tools,
                                         const SamplingOptions& sampling, const OnPiece& on_piece,
                                         const std::stop_token& cancel = {}) = 0;
  // Continues raw text, no template.
  virtual Result<Answer> complete(std::string_view prompt, const SamplingOptions& sampling,
                                  const OnPiece& on_piece, const std::stop_token& cancel = {}) = 0;
  virtual Result<Answer> complete_tokens(const std::vector<int32_t>& prompt,
                                         const SamplingOptions& sampling, const OnPiece& on_piece,
                                         const std::stop_token& cancel = {}) = 0;

  virtual std::vector<int32_t> tokenize(std::string_view text, bool parse_special) const = 0;
  virtual std::string detokenize(const std::vector<int32_t>& tokens) const = 0;
  virtual int64_t context_tokens() const = 0;
  virtual std::string model_name() const = 0;
  virtual SamplingOptions default_sampling() const = 0;
  virtual MemoryReport memory() const = 0;
};

// One conversation: remembers its turns; the cache remembers what the model has read.
class Session {
 public:
  virtual ~Session() = default;
  // On an error, and when cancelled before any text came, the turns are as they were.
  virtual Result<Answer> ask(std::string_view prompt, const SamplingOptions& sampling,
                             const OnPiece& on_piece, const std::stop_token& cancel = {}) = 0;
  virtual const std::vector<ChatTurn>& turns() const = 0;
  virtual void forget() = 0;  // back to the system prompt
};

}  // namespace minke
