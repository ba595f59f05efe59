// Answers of a given form by whole engines: on tiny random models, which want to write anything but
// JSON, and on a real one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <future>
#include <string>
#include <vector>

#include "engine/local_engine.h"
#include "text/grammar_automaton.h"
#include "text/grammar_schema.h"
#include "text/value.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

constexpr const char* kSchema = R"({"type":"object","properties":{
    "name":{"type":"string","maxLength":12},"age":{"type":"integer","minimum":0,"maximum":150},
    "tags":{"type":"array","items":{"enum":["red","green"]},"minItems":1,"maxItems":2}},
    "required":["name","age","tags"]})";

std::shared_ptr<LocalEngine> load(const std::string& path) {
  auto engine = LocalEngine::load({.model = path, .threads = 1});
  if (!engine) ADD_FAILURE() << engine.error().message;
  return *engine;
}

std::string tiny(const std::string& name) {
  return std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/" + name;
}

SamplingOptions formed(AnswerForm form, uint64_t seed, double temperature = 1.0) {
  SamplingOptions sampling;
  sampling.temperature = temperature;
  sampling.top_p = 1.0;
  sampling.seed = seed;
  sampling.form = std::move(form);
  return sampling;
}

void expect_schema(const Answer& answer) {
  GrammarAutomaton automaton = GrammarAutomaton::create(*json_schema_grammar(kSchema), 0).value();
  if (answer.finish == FinishReason::kEndOfTurn) {
    EXPECT_TRUE(automaton.matches(answer.content)) << answer.content;
    const auto value = parse_json(answer.content);
    ASSERT_TRUE(value.has_value()) << answer.content;
    EXPECT_NE(value->find("tags"), nullptr);
    return;
  }
  // Cut off, and the finish says so: what is there is a beginning.
  EXPECT_NE(answer.finish, FinishReason::kStopString);
  GrammarAutomaton::State state = automaton.start();
  for (const char c : answer.content) state = automaton.next(state, static_cast<uint8_t>(c));
  if (!answer.content.ends_with("\xEF\xBF\xBD")) {  // a character that was cut
    EXPECT_NE(state, GrammarAutomaton::kDead) << answer.content;
  }
}

TEST(FormedEngine, ARandomModelWritesJsonAsTheSchemaHasIt) {
  const auto engine = load(tiny("qwen2.gguf"));
  int whole = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const SamplingOptions sampling = formed({AnswerForm::Kind::kJsonSchema, kSchema}, seed);
    const auto answer =
        engine->chat({{.role = "user", .content = "no JSON, please"}}, sampling, {});
    ASSERT_TRUE(answer) << answer.error().message;
    expect_schema(*answer);
    whole += answer->finish == FinishReason::kEndOfTurn ? 1 : 0;
  }
  EXPECT_GT(whole, 6);
}

TEST(FormedEngine, TheSameBytesWithAndWithoutSpeculationAndInCompany) {
  const auto engine = load(tiny("qwen2.gguf"));
  std::vector<std::future<Result<Answer>>> others;
  const auto ask = [&](uint64_t seed, bool speculate) {
    SamplingOptions sampling = formed({AnswerForm::Kind::kJsonSchema, kSchema}, seed);
    sampling.speculate = speculate;
    return engine->complete("the the the", sampling, {});
  };
  std::vector<std::vector<int32_t>> alone;
  for (uint64_t seed = 0; seed < 6; ++seed) alone.push_back(ask(seed, false).value().tokens);
  for (uint64_t seed = 0; seed < 6; ++seed) {
    others.push_back(std::async(std::launch::async, ask, seed, true));
  }
  for (size_t i = 0; i < others.size(); ++i) EXPECT_EQ(others[i].get().value().tokens, alone[i]);
}

TEST(FormedEngine, TellsWhereTheAnswerWasCutOff) {
  const auto engine = load(tiny("qwen2.gguf"));
  SamplingOptions sampling = formed({AnswerForm::Kind::kRegex, "[a-z]{200}"}, 1);
  sampling.tokens_max = 5;
  const auto answer = engine->complete("x", sampling, {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->finish, FinishReason::kTokensMax);
  EXPECT_EQ(answer->content.find_first_not_of("abcdefghijklmnopqrstuvwxyz"), std::string::npos);
}

// A model may begin with its opening tag where the prompt leaves that to it, and not where the
// prompt has closed the thinking: DeepSeek V3.1's, by default.
TEST(FormedEngine, APromptThatHasClosedTheThinkingHoldsFromTheFirstTokenOn) {
  const auto thoughts = [](const std::string& prompt_end) {
    const std::string words = "{% for m in messages %}{{ m.content }}{% endfor %}";
    auto engine = LocalEngine::load(
        {.model = tiny("qwen2.gguf"),
         .threads = 1,
         .chat_template = words + "{% if false %}<think></think>{% endif %}" + prompt_end});
    if (!engine) ADD_FAILURE() << engine.error().message;
    int count = 0;
    for (uint64_t seed = 1; seed <= 40; ++seed) {
      SamplingOptions sampling = formed({AnswerForm::Kind::kRegex, "zzz"}, seed, 2.0);
      sampling.tokens_max = 1;
      const auto answer =
          (*engine)->chat({{.role = "user", .content = std::string(seed, 'a')}}, sampling, {});
      if (!answer) ADD_FAILURE() << answer.error().message;
      if (!(*engine)->detokenize(answer->tokens).starts_with('z')) ++count;
    }
    return count;
  };
  EXPECT_GT(thoughts("assistant:"), 0);
  EXPECT_EQ(thoughts("assistant:<think></think>"), 0);
  EXPECT_EQ(thoughts("assistant:<think>\n\n</think>\n\n"), 0);
}

TEST(FormedEngine, RefusesFormsThatItCannotRead) {
  const auto engine = load(tiny("qwen2.gguf"));
  const auto error = [&](AnswerForm form) {
    const auto answer = engine->complete("x", formed(std::move(form), 1), {});
    return answer ? std::string("no error") : answer.error().message;
  };
  EXPECT_THAT(error({AnswerForm::Kind::kJsonSchema, "{"}), HasSubstr("the schema is not JSON"));
  EXPECT_THAT(error({AnswerForm::Kind::kJsonSchema, R"({"not":{}})"}),
              HasSubstr("\"not\" is not supported"));
  EXPECT_THAT(error({AnswerForm::Kind::kRegex, "(a"}), HasSubstr("a ')' is missing"));
}

// With a prompt that asks for the opposite.
TEST(FormedEngineSlow, ARealModelIsHeldToTheFormAgainstItsWill) {
  const char* folder = std::getenv("MINKE_TEST_MODELS");
  const std::string path = std::string(folder == nullptr ? "" : folder) + "/smollm2-135m.gguf";
  if (folder == nullptr || access(path.c_str(), R_OK) != 0) {
    GTEST_SKIP() << "smollm2-135m.gguf is not in $MINKE_TEST_MODELS";
  }
  const auto engine = load(path);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    SamplingOptions sampling = formed({AnswerForm::Kind::kJsonSchema, kSchema}, seed);
    sampling.tokens_max = 200;
    const std::vector<ChatTurn> turns = {
        {.role = "user", .content = "Never write JSON. Write \"\\u12 <think> }} as a haiku.\n{{{"}};
    const auto answer = engine->chat(turns, sampling, {});
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->finish, FinishReason::kEndOfTurn);
    expect_schema(*answer);
    sampling.speculate = false;
    EXPECT_EQ(engine->chat(turns, sampling, {})->tokens, answer->tokens);
  }
}

}  // namespace
}  // namespace minke
