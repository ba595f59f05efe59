// From a rendered conversation to tokens. Control tokens are recognised only where the template
// wrote them, never in what people or tools said; between them the text is tokenised as one piece,
// across the borders of segments, so that the tokens are those of the usual whole-text reading.
//
// A conversation that goes on keeps the tokens that it had: a model does not always write the
// tokens that a tokenizer would choose for the same text, and reading the text anew would differ
// from what the cache holds. A ChatTimeline remembers text and tokens of a conversation so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace minke {

// The text that a sequence of tokens stands for, and the places where the one can be cut when the
// other is: behind control tokens, and at the end of an answer. Plain value.
struct ChatTimeline {
  struct Cut {
    size_t bytes = 0;   // of text before it
    size_t tokens = 0;  // of tokens before it
  };
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<Cut> cuts;  // ascending
};

// The tokens of `chat`. Where it begins as `before` does, with the tokens of `before`.
ChatTimeline chat_timeline(const Tokenizer& tokenizer, const RenderedChat& chat,
                           const ChatTimeline& before);

// The model has answered: `tokens` as sampled. An answer with control tokens in it (but for the one
// that ends it, which is left out) has no text of its own and is not added; `markers` are those
// that have, because a template writes them into history.
void add_answer(const Tokenizer& tokenizer, std::span<const int32_t> tokens,
                std::span<const std::string_view> markers, ChatTimeline& timeline);

}  // namespace minke
