// Ends a model's thinking when it has used up its tokens, with the closing that the model itself
// would have written. What it forces is a function of the answer's tokens so far and of nothing
// else, so that an answer with a budget is as reproducible as one without.
//
// Where the thinking ends inside of the closing tag, that is finished.
//
// The graceful moment: behind a line, or behind a sentence, within the last eighth of the budget
// (at most 32 tokens of it); when none comes, at the budget.
//
// One answer, one object. For one thread at a time (the loop's).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/think_parser.h"
#include "text/tokenizer.h"

namespace minke {

class ThinkBudget {
 public:
  // At most `tokens_max` tokens of thinking in all, the closing not counted; negative: no bound.
  // `starts_inside`: the prompt ended inside the thinking. `thinks_first`: from the first content
  // on, tags are text (AnswerTextOptions). `tokenizer` outlives the object.
  ThinkBudget(const Tokenizer& tokenizer, int64_t tokens_max, ThinkingStyle style,
              bool starts_inside, bool thinks_first);

  // The answer's tokens, in order: those that were forced, too.
  void take(int32_t token);
  // What the next token has to be, if there is a say in it.
  std::optional<int32_t> forced() const;
  // Some thinking was closed here, and not by the model.
  bool has_closed() const { return has_closed_; }

 private:
  bool is_graceful() const;
  std::string closing_text() const;
  void close_if_spent();

  const Tokenizer& tokenizer_;
  const int64_t tokens_max_;
  const ThinkingStyle style_;
  ThinkParser parser_;
  int64_t spent_ = 0;
  std::string tail_;              // the last bytes of the thinking
  std::vector<int32_t> closing_;  // being forced; empty: nothing is
  size_t next_ = 0;               // of closing_
  bool has_closed_ = false;
};

// Whether a text ends inside thinking that it opened.
bool ends_inside_thinking(std::string_view text, const ThinkingStyle& style);

}  // namespace minke
