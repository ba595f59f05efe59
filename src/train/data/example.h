// What a record of a data set becomes: tokens, and which of them are to be learnt.
#pragma once

#include <cstdint>
#include <vector>

namespace minke {

struct TokenSequence {
  std::vector<int32_t> tokens;
  std::vector<bool> is_target;  // [tokens]; the first token is never one
};

struct Example {
  // One, but for conversations whose history reads otherwise in a later turn than it did when it
  // was answered (templates that strip old thinking): then one for each reading.
  std::vector<TokenSequence> sequences;
  // A text, which may be cut anywhere; what follows a prompt makes no sense without it.
  bool is_text = false;
};

}  // namespace minke
