#include "eval/model_ask.h"

#include <string>
#include <utility>
#include <vector>

#include "tasks/final_answer.h"

namespace minke {

EvalAnswer eval_answer(Answer answer) {
  constexpr std::string_view kOpen = "<think>", kClose = "</think>";
  EvalAnswer result = {.thinking = std::move(answer.reasoning),
                       .answer = std::move(answer.content),
                       .truncated = answer.finish == FinishReason::kTokensMax ||
                                    answer.finish == FinishReason::kContextFull,
                       .tokens = answer.usage.answer_tokens};
  const std::string_view text = trimmed(result.answer);
  const size_t close = result.answer.find(kClose);
  if (result.thinking.empty() && close != std::string::npos) {
    const std::string_view before = trimmed(std::string_view(result.answer).substr(0, close));
    result.thinking = before.starts_with(kOpen) ? before.substr(kOpen.size()) : before;
    result.answer = trimmed(std::string_view(result.answer).substr(close + kClose.size()));
  } else if (result.thinking.empty() && text.starts_with(kOpen)) {
    result.thinking = text.substr(kOpen.size());
    result.answer.clear();
  }
  result.thinking_closed = result.thinking.empty() || !trimmed(result.answer).empty();
  return result;
}

Ask model_ask(LocalEngine& engine, SamplingOptions sampling) {
  return [&engine, sampling = std::move(sampling)](const Problem& problem, uint64_t seed,
                                                   OnAnswer done) {
    SamplingOptions own = sampling;
    own.seed = seed;
    const std::vector<ChatTurn> turns = {{.role = "user", .content = problem.prompt}};
    Result<Question> question = engine.chat_question(turns, {}, own, {});
    if (!question) return done(std::unexpected(std::move(question).error()));
    engine.ask(*std::move(question),
               {.on_done = [done = std::move(done)](Result<Answer> answer, const ChatTimeline&) {
                 if (!answer) return done(std::unexpected(std::move(answer).error()));
                 done(eval_answer(*std::move(answer)));
               }});
  };
}

}  // namespace minke
