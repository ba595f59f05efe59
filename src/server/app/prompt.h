// From a branch of the history to what a model is asked. On the history's worker.
#pragma once

#include <vector>

#include "core/result.h"
#include "server/chat/chat_service.h"
#include "server/history/store.h"

namespace minke::server {

// The turns of a branch under effective settings. A summary stands for everything above it; the
// text of attached files comes before the message that has them. Reads the files' texts.
Result<Ask> make_ask(history::Store& store, const std::vector<history::Message>& branch,
                     const Value& settings);
// Asks for a summary of the turns, in place of an answer.
void ask_for_summary(Ask& ask);
// What an answer that is to go on has.
BegunAnswer begun_answer(const history::Message& message);
// Settings as a message keeps them: a long system prompt is the conversation's.
Value without_system(const Value& settings);

}  // namespace minke::server
