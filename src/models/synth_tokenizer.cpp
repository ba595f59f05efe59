#include "models/synth_tokenizer.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <unordered_set>
#include <vector>

#include "core/check.h"
#include "text/bpe.h"

namespace minke {
namespace {

constexpr int32_t kNormal = 1;
constexpr int32_t kControl = 3;

// Merges of common English, best first, in GPT-2's spelling ("Ġ" is a space). Each joins two
// tokens that exist by then.
constexpr const char* kMerges[] = {
    "Ġ t", "Ġ a",  "h e",  "i n",  "r e",  "o n", "Ġt he", "e r",  "Ġ s", "a t", "Ġ w",   "Ġ o",
    "e n", "Ġ c",  "i t",  "i s",  "a n",  "o r", "e s",   "Ġ b",  "e d", "Ġ f", "in g",  "Ġ p",
    "o u", "Ġa n", "a l",  "a r",  "Ġt o", "Ġ m", "Ġo f",  "Ġ in", "Ġ d", "Ġ h", "Ġan d", "i c",
    "a s", "l e",  "Ġt h", "i on", "o m",  "l l", "en t",  "Ġ n",  "Ġ l", "s t", "Ġ re",  "v e",
    "Ġ e", "r o",  "l y",  "Ġb e", "Ġ g",  "Ġ T", "c t",   "Ġ S",  "i d", "o t", "Ġ I",   "u t",
    "e t", "Ġ A",  "Ġ is", "Ġ on", "i m",  "a m", "o w",   "a y",  "a d", "s e",
};

// Words that no merge makes: they fill the vocabulary to the shape's size, and the model may
// write them.
std::string made_up_word(uint64_t index) {
  constexpr std::string_view kConsonants = "bdfgklmnprstvz";
  constexpr std::string_view kVowels = "aeiou";
  std::string word = index % 3 == 0 ? "" : "Ġ";
  uint64_t rest = index;
  for (int syllable = 0; syllable < 2 || rest > 0; ++syllable) {
    word += kConsonants[rest % kConsonants.size()];
    rest /= kConsonants.size();
    word += kVowels[rest % kVowels.size()];
    rest /= kVowels.size();
  }
  return word;
}

constexpr std::string_view kChatMl =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'<|im_start|>assistant\\n' }}{% endif %}";

}  // namespace

void write_synth_tokenizer(GgufWriter& writer, std::string_view pre_tokenizer, int64_t vocab_size) {
  constexpr std::array<std::string_view, 3> kSpecial = {"<|endoftext|>", "<|im_start|>",
                                                        "<|im_end|>"};
  CHECK_GE(vocab_size, 512);
  const auto size = static_cast<size_t>(vocab_size);
  std::vector<std::string> tokens;
  std::vector<std::string> merges;
  std::unordered_set<std::string> seen;
  const auto add = [&](std::string token) {
    if (seen.insert(token).second) tokens.push_back(std::move(token));
  };
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    add(gpt2_text_of_bytes({&c, 1}));
  }
  for (const std::string_view merge : kMerges) {
    const size_t space = merge.find(' ');
    const std::string left(merge.substr(0, space)), right(merge.substr(space + 1));
    CHECK(seen.contains(left) && seen.contains(right));
    merges.emplace_back(merge);
    add(left + right);
  }
  for (uint64_t index = 0; tokens.size() + kSpecial.size() < size; ++index)
    add(made_up_word(index));
  std::vector<int32_t> types(tokens.size(), kNormal);
  const auto first_special = static_cast<uint32_t>(tokens.size());
  for (const std::string_view special : kSpecial) {
    tokens.emplace_back(special);
    types.push_back(kControl);
  }

  writer.set_text("tokenizer.ggml.model", "gpt2");
  writer.set_text("tokenizer.ggml.pre", pre_tokenizer);
  writer.set_texts("tokenizer.ggml.tokens", tokens);
  writer.set_int32s("tokenizer.ggml.token_type", types);
  writer.set_texts("tokenizer.ggml.merges", merges);
  writer.set_uint32("tokenizer.ggml.bos_token_id", first_special);
  writer.set_uint32("tokenizer.ggml.eos_token_id", first_special + 2);
  writer.set_uint32("tokenizer.ggml.padding_token_id", first_special);
  writer.set_boolean("tokenizer.ggml.add_bos_token", false);
  writer.set_text("tokenizer.chat_template", kChatMl);
}

}  // namespace minke
