// From a branch of the history to what a model is asked. On the history's worker.
#pragma once

#include <vector>

#include "core/result.h"
#include "server/chat/chat_service.h"
#include "server/history/store.h"

namespace minke::server {

// A branch as a model is told it. A whole summary stands for everything above it; one that was not
// made whole stands for nothing.
struct Told {
  std::string summary;  // empty: there is none
  std::vector<ChatTurn> turns;
};
bool is_whole_summary(const history::Message& message);
// The text of attached files comes before the message that has them. Reads the files' texts.
Result<Told> read_branch(history::Store& store, const std::vector<history::Message>& branch);
// Asks for what comes next, under effective settings.
Ask make_ask(Told told, const Value& settings);
// What an answer that is to go on has.
BegunAnswer begun_answer(const history::Message& message);
// Settings as a message keeps them: a long system prompt is the conversation's.
Value without_system(const Value& settings);

}  // namespace minke::server
