// A model as the one who answers an evaluation's questions.
#pragma once

#include "engine/local_engine.h"
#include "eval/evaluation.h"

namespace minke {

// Asks a chat of one turn with these settings, the seed aside. Many may be under way: the engine
// runs them together. `engine` outlives the function and its answers.
Ask model_ask(LocalEngine& engine, SamplingOptions sampling);

// An answer's thinking and what follows it, also of a model whose template knows no thinking and
// that writes the tags <think> and </think> as text.
EvalAnswer eval_answer(Answer answer);

}  // namespace minke
