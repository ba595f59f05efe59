// What becomes of a record: which tokens, and which of them are learnt.
#include "train/data/example_reader.h"

#include <gmock/gmock.h>

#include "train/data/testing.h"

namespace minke {
namespace {

using testing::byte_tokenizer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::shown;

ChatTemplate chatml() { return ChatTemplate::builtin_chatml(); }

class ExampleReaderTest : public ::testing::Test {
 protected:
  std::vector<std::string> read(const std::string& line, const ChatTemplate* chat_template,
                                ExampleForm form = {}) const {
    const ExampleReader reader(*tokenizer_, chat_template, std::move(form));
    const auto example = reader.read_json(line);
    if (!example) return {"error: " + example.error().message};
    std::vector<std::string> sequences;
    for (const TokenSequence& one : example->sequences)
      sequences.push_back(shown(*tokenizer_, one));
    return sequences;
  }
  std::string error_of(const std::string& line) const {
    const ChatTemplate chat_template = chatml();
    return read(line, &chat_template).front();
  }

  std::unique_ptr<Tokenizer> tokenizer_ = byte_tokenizer();
};

TEST_F(ExampleReaderTest, TextIsLearntWithItsEnd) {
  EXPECT_THAT(read(R"({"text": "abc"})", nullptr), ElementsAre("a[bc<|end|>]"));
  EXPECT_THAT(read(R"({"story": "<|end|>"})", nullptr, {.text_key = "story"}),
              ElementsAre("<[|end|><|end|>]"));
}

TEST_F(ExampleReaderTest, OfACompletionThePromptIsNotLearnt) {
  EXPECT_THAT(read(R"({"prompt": "1+1=", "completion": "2"})", nullptr),
              ElementsAre("1+1=[2<|end|>]"));
  EXPECT_THAT(read(R"({"question": "q", "answer": "a"})", nullptr,
                   {.prompt_key = "question", .completion_key = "answer"}),
              ElementsAre("q[a<|end|>]"));
  EXPECT_THAT(read(R"({"prompt": "", "completion": "ab"})", nullptr), ElementsAre("a[b<|end|>]"));
}

TEST_F(ExampleReaderTest, PromptsMayBeChat) {
  const ChatTemplate chat_template = chatml();
  EXPECT_THAT(
      read(R"({"prompt": "q", "completion": "a"})", &chat_template, {.prompts_are_chat = true}),
      ElementsAre("<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>]"));
}

TEST_F(ExampleReaderTest, OnlyTheAssistantIsLearntInEachTurn) {
  const ChatTemplate chat_template = chatml();
  EXPECT_THAT(read(R"({"messages": [{"role": "system", "content": "s"},
      {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"},
      {"role": "user", "content": "r"}, {"role": "assistant", "content": "b"}]})",
                   &chat_template),
              ElementsAre("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
                          "<|im_start|>assistant\n[a<|im_end|>]\n<|im_start|>user\nr<|im_end|>\n"
                          "<|im_start|>assistant\n[b<|im_end|>]"));
}

TEST_F(ExampleReaderTest, WhatPeopleSayIsNeverAControlToken) {
  const ChatTemplate chat_template = chatml();
  const ExampleReader reader(*tokenizer_, &chat_template, {});
  const auto example = reader.read_json(R"({"messages": [{"role": "user", "content": "<|im_end|>"},
      {"role": "assistant", "content": "<|im_end|>"}]})");
  ASSERT_TRUE(example) << example.error().message;
  EXPECT_EQ(std::ranges::count(example->sequences[0].tokens, 260), 2);
}

// A model whose template knows nothing of thinking is taught the tags as well.
TEST_F(ExampleReaderTest, ThinkingIsLearntWhereverTheDataHasIt) {
  const ChatTemplate chat_template = chatml();
  const char* expected =
      "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
      "[<think>\nhm\n</think>\n\na<|im_end|>]";
  for (const char* answer : {R"({"role": "assistant", "content": "a", "reasoning": "hm"})",
                             R"({"role": "assistant", "content": "a", "reasoning_content": "hm"})",
                             R"({"role": "assistant", "content": "<think>\nhm\n</think>\n\na"})",
                             R"({"role": "assistant", "content": "<think>hm</think>a"})"}) {
    EXPECT_THAT(
        read(std::string(R"({"messages": [{"role": "user", "content": "q"}, )") + answer + "]}",
             &chat_template),
        ElementsAre(expected));
  }
}

// R1's way: the prompt opens the thinking, and history has none. What was thought in the first turn
// is learnt there, and the second turn is read as it will be when the model is used.
TEST_F(ExampleReaderTest, ATemplateThatStripsThinkingMakesASequenceOfEachTurn) {
  const auto chat_template = ChatTemplate::parse(
      "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>A' + "
      "m.content.split('</think>')[-1] + '<|im_end|>' }}{% else %}{{ '<|im_start|>U' + m.content + "
      "'<|im_end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ "
      "'<|im_start|>A<think>\\n' }}{% endif %}");
  ASSERT_TRUE(chat_template) << chat_template.error().message;
  EXPECT_THAT(
      read(R"({"messages": [{"role": "user", "content": "q"},
      {"role": "assistant", "content": "a", "reasoning": "hm"},
      {"role": "user", "content": "r"},
      {"role": "assistant", "content": "b", "reasoning": "so"}]})",
           &*chat_template),
      ElementsAre("<|im_start|>Uq<|im_end|><|im_start|>A<think>\n[hm\n</think>\n\na<|im_end|>]",
                  "<|im_start|>Uq<|im_end|><|im_start|>Aa<|im_end|><|im_start|>Ur<|im_end|>"
                  "<|im_start|>A<think>\n[so\n</think>\n\nb<|im_end|>]"));
  // Without thinking the prompt closes it, as it does for a request that wants none.
  EXPECT_THAT(read(R"({"messages": [{"role": "user", "content": "q"},
      {"role": "assistant", "content": "a"}]})",
                   &*chat_template),
              ElementsAre("<|im_start|>Uq<|im_end|><|im_start|>A<think>\n\n</think>\n\n"
                          "[a<|im_end|>]"));
}

TEST_F(ExampleReaderTest, EachFaultHasItsSentence) {
  EXPECT_THAT(error_of("{"), HasSubstr("is no JSON: "));
  EXPECT_EQ(error_of("[1]"), "error: is a list, expected an object");
  EXPECT_EQ(error_of("{}"),
            "error: has none of \"messages\", \"prompt\" with \"completion\", and \"text\"");
  EXPECT_EQ(error_of(R"({"text": 3})"), "error: \"text\" is a number, expected a text");
  EXPECT_EQ(error_of(R"({"prompt": "a"})"), "error: has no \"completion\"");
  EXPECT_EQ(error_of(R"({"messages": "a"})"), "error: \"messages\" is a text, expected a list");
  EXPECT_EQ(error_of(R"({"messages": []})"), "error: has no message of the assistant's to learn");
  EXPECT_EQ(error_of(R"({"messages": [1]})"), "error: messages[0] is a number, expected an object");
  EXPECT_EQ(error_of(R"({"messages": [{"role": "user"}]})"),
            "error: messages[0]: has no \"content\"");
  EXPECT_EQ(error_of(R"({"messages": [{"role": "assistant", "content": "a"}]})"),
            "error: messages[0] is the assistant's, expected what it answers");
  EXPECT_EQ(error_of(R"({"messages": [{"role": "user", "content": "a"},
      {"role": "assistant", "content": "a", "tool_calls": [1]}]})"),
            "error: messages[1]: \"tool_calls\" of an assistant cannot be learnt yet");
  EXPECT_EQ(read(R"({"messages": []})", nullptr).front(),
            "error: is a conversation, and the model has no chat template");
}

}  // namespace
}  // namespace minke
