// Any bytes as a line of training data: an example whose targets and tokens belong together, or a
// sentence about what is wrong.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "core/check.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tokenizer_toy.h"
#include "train/data/example_reader.h"

namespace {

using namespace minke;

std::unique_ptr<Tokenizer> make_tokenizer() {
  TokenizerSpec spec = testing::toy_bpe({});
  spec.tokens.insert(spec.tokens.end(), {"</think>", "<|im_start|>", "<|im_end|>"});
  spec.types.insert(spec.types.end(), {4, 3, 3});
  spec.eos = 256;
  return *Tokenizer::create(std::move(spec));
}

void check(const Result<Example>& example, const Tokenizer& tokenizer) {
  if (!example) {
    CHECK(!example.error().message.empty());
    return;
  }
  for (const TokenSequence& sequence : example->sequences) {
    CHECK_EQ(sequence.tokens.size(), sequence.is_target.size());
    for (const int32_t token : sequence.tokens) {
      CHECK_GE(token, 0);
      CHECK_LT(token, tokenizer.vocab_size());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer();
  static const ChatTemplate chat_template = ChatTemplate::builtin_chatml();
  static const ExampleReader reader(*tokenizer, &chat_template, {});
  static const ExampleReader chat(*tokenizer, &chat_template, {.prompts_are_chat = true});
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  check(reader.read_json(line), *tokenizer);
  check(chat.read_json(line), *tokenizer);
  return 0;
}
