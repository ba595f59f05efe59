// A tokenizer for models that reckon: every number from 0 to 999 is one token, and so are the words
// that it is given; any other text is bytes. With the marks of R1's template: <｜User｜>,
// <｜Assistant｜>, <think> and </think>.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

namespace minke {

// `words` as they stand in texts, with the space before them where there is one (" with").
TokenizerSpec number_tokenizer(std::span<const std::string> words);

// R1's template for it: the answer begins inside the thinking.
std::string_view number_chat_template();

}  // namespace minke
