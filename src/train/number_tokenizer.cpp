#include "train/number_tokenizer.h"

#include <fmt/format.h>

#include <cstdint>
#include <unordered_set>
#include <utility>
#include <vector>

#include "text/bpe.h"

namespace minke {
namespace {

constexpr int32_t kNormal = static_cast<int32_t>(TokenType::kNormal);
constexpr int32_t kControl = static_cast<int32_t>(TokenType::kControl);
constexpr int32_t kUserDefined = static_cast<int32_t>(TokenType::kUserDefined);

class Vocabulary {
 public:
  void add(const std::string& token) {
    if (seen_.insert(token).second) spec_.tokens.push_back(token);
  }
  void merge(const std::string& left, const std::string& right) {
    if (!merges_.insert(left + " " + right).second) return;
    spec_.merges.push_back(left + " " + right);
    add(left + right);
  }
  TokenizerSpec take() { return std::move(spec_); }

 private:
  TokenizerSpec spec_;
  std::unordered_set<std::string> seen_, merges_;
};

}  // namespace

TokenizerSpec number_tokenizer(std::span<const std::string> words) {
  Vocabulary vocabulary;
  for (int byte = 0; byte < 256; ++byte) {
    const auto character = static_cast<char>(byte);
    vocabulary.add(gpt2_text_of_bytes({&character, 1}));
  }
  // Every way to put a number together, so that the order in which a text's pairs are merged does
  // not matter.
  for (int number = 0; number < 100; ++number) {
    const std::string text = fmt::format("{:02}", number);
    vocabulary.merge(text.substr(0, 1), text.substr(1));
  }
  for (int number = 0; number < 1000; ++number) {
    const std::string text = fmt::format("{:03}", number);
    vocabulary.merge(text.substr(0, 2), text.substr(2));
    vocabulary.merge(text.substr(0, 1), text.substr(1));
  }
  for (const std::string& word : words) {
    std::string sofar;
    for (const char byte : word) {
      const std::string next = gpt2_text_of_bytes({&byte, 1});
      if (!sofar.empty()) vocabulary.merge(sofar, next);
      sofar += next;
    }
  }
  TokenizerSpec spec = vocabulary.take();
  spec.model = "gpt2";
  spec.pre = "deepseek-v3";
  spec.types.assign(spec.tokens.size(), kNormal);
  const auto special = [&](const char* token, int32_t type) {
    spec.tokens.emplace_back(token);
    spec.types.push_back(type);
    return static_cast<int32_t>(spec.tokens.size() - 1);
  };
  spec.bos = special("<｜begin▁of▁sentence｜>", kControl);
  spec.eos = special("<｜end▁of▁sentence｜>", kControl);
  spec.pad = spec.eos;
  special("<｜User｜>", kControl);
  special("<｜Assistant｜>", kControl);
  special("<think>", kUserDefined);
  special("</think>", kUserDefined);
  spec.add_bos = false;  // the template writes it
  return spec;
}

std::string_view number_chat_template() {
  return "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
         "{{ '<｜Assistant｜>' + (message['content'].split('</think>') | last) + eos_token }}"
         "{% else %}{{ '<｜User｜>' + message['content'] }}{% endif %}{% endfor %}"
         "{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}";
}

}  // namespace minke
