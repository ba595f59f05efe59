// The whole engine on a tiny random model: files, budgets, chats, sessions, scores.
#include "engine/local_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "engine/chat_prompt.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace minke {
namespace {

using ::testing::HasSubstr;

std::string tiny(const std::string& name) {
  return std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/" + name;
}

std::shared_ptr<LocalEngine> load(const std::string& name = "qwen2.gguf",
                                  EngineOptions options = {}) {
  options.model = tiny(name);
  options.threads = 1;
  auto engine = LocalEngine::load(std::move(options));
  if (!engine) ADD_FAILURE() << engine.error().message;
  return *engine;
}

std::string load_error(EngineOptions options) {
  const auto engine = LocalEngine::load(std::move(options));
  return engine ? std::string("no error") : engine.error().message;
}

SamplingOptions seeded(int64_t tokens_max, double temperature = 0.6) {
  SamplingOptions sampling;
  sampling.seed = 5;
  sampling.tokens_max = tokens_max;
  sampling.temperature = temperature;
  return sampling;
}

TEST(LocalEngine, LoadsAndReports) {
  std::vector<double> fractions;
  EngineOptions options;
  options.model = tiny("llama.gguf");
  options.progress = [&](std::string_view, double fraction) { fractions.push_back(fraction); };
  const auto engine = Engine::load(options);
  ASSERT_TRUE(engine);
  EXPECT_EQ((*engine)->context_tokens(), 256);
  EXPECT_FALSE((*engine)->model_name().empty());
  EXPECT_TRUE(std::ranges::is_sorted(fractions));
  EXPECT_EQ(fractions.back(), 1.0);
  const MemoryReport memory = (*engine)->memory();
  EXPECT_GT(memory.weights, 0u);
  EXPECT_EQ(memory.kv_cache, memory.kv_token_bytes * static_cast<uint64_t>(memory.kv_cache_tokens));
  EXPECT_LE(memory.weights + memory.kv_cache + memory.activations, memory.budget);
  EXPECT_EQ((*engine)->detokenize((*engine)->tokenize("then in", false)), "then in");
}

TEST(LocalEngine, ACacheOfIntegersTakesLittleMoreThanHalfTheMemory) {
  const auto bf16 = Engine::load({.model = tiny("llama.gguf")});
  const auto q8 = Engine::load({.model = tiny("llama.gguf"), .kv = KvFormat::kQ8});
  ASSERT_TRUE(bf16);
  ASSERT_TRUE(q8);
  const MemoryReport memory = (*q8)->memory();
  EXPECT_EQ(memory.kv_cache, memory.kv_token_bytes * static_cast<uint64_t>(memory.kv_cache_tokens));
  // Two layers, two heads, 16 dimensions of K and V, and their two steps.
  EXPECT_EQ((*bf16)->memory().kv_token_bytes, 2u * 2 * 16 * 2 * 2);
  EXPECT_EQ(memory.kv_token_bytes, 2u * 2 * (16 * 2 + 2 * 2));
}

TEST(LocalEngine, DeepSeekRunsAndKeepsOneLatentAToken) {
  const auto engine = Engine::load({.model = tiny("deepseek-v3.gguf")});
  ASSERT_TRUE(engine) << engine.error().message;
  // Two layers; a latent of 32 and a rotary key of 8, in bf16.
  EXPECT_EQ((*engine)->memory().kv_token_bytes, 2u * 40 * 2);
  SamplingOptions sampling = {.temperature = 0.8, .seed = 3, .tokens_max = 12};
  const auto one = (*engine)->chat({{.role = "user", .content = "Hello"}}, sampling, {});
  const auto again = (*engine)->chat({{.role = "user", .content = "Hello"}}, sampling, {});
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(one->content, again->content);
}

TEST(LocalEngine, EachBadOptionHasItsSentence) {
  EXPECT_THAT(load_error({.model = tiny("nothing.gguf")}), HasSubstr("nothing.gguf"));
  EXPECT_THAT(load_error({.model = tiny("llama.json")}), HasSubstr("llama.json"));
  EXPECT_THAT(load_error({.model = ""}), ::testing::Not("no error"));
  EXPECT_THAT(load_error({.model = tiny("llama.gguf"), .threads = -1}), HasSubstr("--threads"));
  EXPECT_THAT(load_error({.model = tiny("llama.gguf"), .context_tokens = -5}), HasSubstr("--ctx"));
  EXPECT_THAT(
      load_error({.model = tiny("llama.gguf"), .kv = KvFormat::kQ8, .device = Device::kCuda}),
      HasSubstr("--kv q8"));
  EXPECT_THAT(load_error({.model = tiny("deepseek-v3.gguf"), .kv = KvFormat::kQ8}),
              HasSubstr("keeps one small latent a token"));
  EXPECT_THAT(load_error({.model = tiny("llama.gguf"), .context_tokens = 300}),
              HasSubstr("trained for 256"));
  EXPECT_THAT(load_error({.model = tiny("llama.gguf"), .prefill_chunk = 0}),
              HasSubstr("--prefill-chunk"));
  EXPECT_THAT(load_error({.model = tiny("llama.gguf"), .memory_bytes = 1 << 20}),
              HasSubstr("the memory budget (--memory) is 1 MiB"));
}

TEST(LocalEngine, ChatsAndTellsWhatItDid) {
  const auto engine = load();
  std::string streamed;
  const auto answer = engine->chat({{.role = "user", .content = "the thing", .reasoning = {}}},
                                   seeded(30), [&](const Piece& piece) {
                                     streamed += piece.text;
                                     return true;
                                   });
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->content, streamed);
  EXPECT_EQ(answer->usage.answer_tokens, std::ssize(answer->tokens));
  EXPECT_EQ(answer->seed, 5u);
  EXPECT_GT(answer->usage.prompt_tokens, 10);
  const auto again =
      engine->chat({{.role = "user", .content = "the thing", .reasoning = {}}}, seeded(30), {});
  EXPECT_EQ(again->tokens, answer->tokens);
  EXPECT_EQ(again->usage.cached_tokens, again->usage.prompt_tokens - 1);
}

TEST(LocalEngine, SamplesAsTheMakersOfTheModelAdvise) {
  const SamplingOptions llama = load("llama.gguf")->default_sampling();
  EXPECT_EQ(llama.temperature, 0.6);
  EXPECT_EQ(llama.top_k, 0);
  EXPECT_EQ(llama.top_p, 0.9);
  const SamplingOptions qwen = load("qwen2.gguf")->default_sampling();
  EXPECT_EQ(qwen.temperature, 0.7);
  EXPECT_EQ(qwen.top_k, 20);
  EXPECT_EQ(qwen.top_p, 0.8);
}

// In R1's manner: the prompt opens the thinking, and history is without it.
constexpr const char* kThinkingTemplate =
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ 'A:' + "
    "m.content.split('</think>')[-1] "
    "+ '<|im_end|>' }}{% else %}{{ 'U:' + m.content + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'A:<think>\n' }}{% endif %}";

TEST(LocalEngine, ABudgetEndsTheThinkingAndTheAnswerFollows) {
  const auto engine = load("qwen2.gguf", {.chat_template = kThinkingTemplate});
  const std::vector<ChatTurn> turns = {{.role = "user", .content = "the thing", .reasoning = {}}};
  SamplingOptions sampling = seeded(120, 1.0);
  const auto free = engine->chat(turns, sampling, {});
  ASSERT_TRUE(free) << free.error().message;
  EXPECT_FALSE(free->thinking_was_closed);
  EXPECT_EQ(free->content, "");
  sampling.think_budget = 24;
  sampling.logprobs_top = 1;
  std::string thoughts, said;
  const OnPiece on_piece = [&](const Piece& piece) {
    (piece.kind == PieceKind::kReasoning ? thoughts : said) += piece.text;
    return true;
  };
  const auto answer = engine->chat(turns, sampling, on_piece);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->thinking_was_closed);
  EXPECT_EQ(answer->reasoning, thoughts);
  EXPECT_EQ(answer->content, said);
  EXPECT_FALSE(answer->content.empty());
  EXPECT_EQ(answer->logprobs.size(), answer->tokens.size());
  // The free answer's thinking up to the budget, then the closing.
  const std::string text = engine->detokenize(answer->tokens);
  const size_t close = text.find("\n</think>\n\n");
  ASSERT_NE(close, std::string::npos) << text;
  const auto closing = std::ssize(engine->tokenize("\n</think>\n\n", false));
  EXPECT_GE(answer->usage.reasoning_tokens, 21);
  EXPECT_LE(answer->usage.reasoning_tokens, 24 + closing);
  EXPECT_EQ(engine->detokenize(free->tokens).substr(0, close), text.substr(0, close));
  // Again, from the cache and without guesses.
  sampling.speculate = false;
  const auto again = engine->chat(turns, sampling, {});
  EXPECT_EQ(again->tokens, answer->tokens);
  EXPECT_GT(again->usage.cached_tokens, 0);

  sampling.think_budget = 0;
  const auto none = engine->chat(turns, sampling, {});
  EXPECT_LE(none->usage.reasoning_tokens, closing);
  EXPECT_EQ(none->reasoning, "");
  sampling.think_budget = -1;
  sampling.think = false;
  const auto off = engine->chat(turns, sampling, {});
  ASSERT_TRUE(off) << off.error().message;
  EXPECT_EQ(off->reasoning, "");
  EXPECT_FALSE(off->content.empty());
}

TEST(LocalEngine, ToolsGoIntoThePromptWhereTheTemplateTakesThem) {
  constexpr const char* kTemplate =
      "{% if tools %}{% for t in tools %}{{ t.function.name + ':' + t.function.description + ':' + "
      "(t.function.parameters | tojson) + '\n' }}{% endfor %}{{ '<tool_call>' }}{% endif %}"
      "{% for m in messages %}{{ m.role + ':' + m.content }}{% if m.tool_calls %}"
      "{{ m.tool_calls[0].function.name + (m.tool_calls[0].function.arguments | tojson) }}{% endif "
      "%}"
      "{{ '<|im_end|>' }}{% endfor %}";
  const auto engine = load("qwen2.gguf", {.chat_template = kTemplate});
  const std::vector<Tool> tools = {
      {.name = "get", .description = "Gets.", .parameters = "{\"type\": \"object\"}"},
      {.name = "put"}};
  std::vector<ChatTurn> turns = {{.role = "user", .content = "in", .reasoning = {}}};
  const auto tokens_of = [&](const auto& answer) {
    if (!answer) ADD_FAILURE() << answer.error().message;
    return answer ? answer->usage.prompt_tokens : 0;
  };
  const auto none = engine->chat(turns, seeded(3), {});
  const auto some = engine->chat_with_tools(turns, tools, seeded(3), {});
  EXPECT_GT(tokens_of(some), tokens_of(none) + 20);
  turns.push_back({.role = "assistant",
                   .content = "",
                   .reasoning = {},
                   .tool_calls = {{.id = "1", .name = "get", .arguments = "{\"a\": 1}"}}});
  turns.push_back({.role = "tool", .content = "2", .reasoning = {}, .tool_call_id = "1"});
  EXPECT_GT(tokens_of(engine->chat_with_tools(turns, tools, seeded(3), {})), tokens_of(some) + 5);

  const auto refusal = [&](LocalEngine& asked, const std::vector<Tool>& given) {
    const auto answer = asked.chat_with_tools(turns, given, seeded(3), {});
    return answer ? std::string("no error") : answer.error().message;
  };
  EXPECT_THAT(refusal(*engine, {{.name = "two words"}}), HasSubstr("got 'two words'"));
  EXPECT_THAT(refusal(*engine, {{.name = "f", .parameters = "[1]"}}),
              HasSubstr("the parameters of the tool 'f' must be a JSON object"));
  EXPECT_THAT(refusal(*load(), tools), HasSubstr("cannot be given tools"));
}

TEST(LocalEngine, OnlyAModelThatThinksCanBeMadeTo) {
  const auto engine = load();
  const std::vector<ChatTurn> turns = {{.role = "user", .content = "the thing", .reasoning = {}}};
  SamplingOptions sampling = seeded(5);
  const auto plain = engine->chat(turns, sampling, {});
  sampling.think = false;
  EXPECT_EQ(engine->chat(turns, sampling, {})->tokens, plain->tokens);
  sampling.think = true;
  const auto refused = engine->chat(turns, sampling, {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("its chat template knows no thinking"));
}

TEST(LocalEngine, ABudgetHoldsForRawTextToo) {
  const auto engine = load();
  SamplingOptions sampling = seeded(60, 1.0);
  sampling.think_budget = 16;
  const auto inside = engine->complete("the thing <think>\nin", sampling, {});
  EXPECT_TRUE(inside->thinking_was_closed);
  EXPECT_THAT(inside->content, HasSubstr("</think>\n\n"));
  EXPECT_FALSE(engine->complete("the thing", sampling, {})->thinking_was_closed);
}

TEST(LocalEngine, AStoppedTokenEndsAnAnswerBeforeItsFirstPiece) {
  const auto engine = load();
  std::stop_source stop;
  stop.request_stop();
  int pieces = 0;
  const OnPiece count = [&](const Piece&) { return ++pieces > 0; };
  const auto session = engine->new_session({});
  const auto answer = session->ask("the thing", seeded(200), count, stop.get_token());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->finish, FinishReason::kCancelled);
  EXPECT_TRUE(answer->tokens.empty());
  EXPECT_EQ(pieces, 0);
  EXPECT_TRUE(session->turns().empty());
  EXPECT_EQ(engine->stats().steps, 0u);
}

// A model file of its own in a folder of its own.
class OwnModel : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "minke-own-model-" + std::to_string(getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    path_ = folder_ + "/own.gguf";
    std::filesystem::copy_file(tiny("qwen2.gguf"), path_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
};

TEST_F(OwnModel, MayVanishWhileItIsInUse) {
  const auto engine = Engine::load({.model = path_, .threads = 1});
  ASSERT_TRUE(engine);
  const auto before = (*engine)->complete("the thing", seeded(20), {});
  std::filesystem::rename(path_, path_ + ".renamed");
  std::filesystem::remove(path_ + ".renamed");
  const auto after = (*engine)->complete("the thing", seeded(20), {});
  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(after->tokens, before->tokens);
}

TEST_F(OwnModel, CutShortWhileItIsInUseIsAnErrorThatNamesIt) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{4096}, std::filesystem::file_size(path_) - 1}) {
    SetUp();
    const auto engine = Engine::load({.model = path_, .threads = 2});
    ASSERT_TRUE(engine);
    ASSERT_TRUE((*engine)->complete("the", seeded(2), {}));
    std::filesystem::resize_file(path_, size);
    for (int again = 0; again < 2; ++again) {
      const auto answer = (*engine)->complete("then in the end", seeded(20), {});
      ASSERT_FALSE(answer) << size;
      EXPECT_THAT(answer.error().message, HasSubstr(path_ + ": the file was cut short"));
    }
  }
}

TEST(LocalEngine, RefusesBadRequests) {
  const auto engine = load();
  const auto message = [](const auto& result) {
    return result ? std::string("no error") : result.error().message;
  };
  EXPECT_THAT(message(engine->complete("", seeded(5), {})), HasSubstr("empty"));
  EXPECT_THAT(message(engine->chat({}, seeded(5), {})), HasSubstr("empty"));
  const std::string text(1000, 'x');
  EXPECT_THAT(message(engine->complete(text, seeded(5), {})), HasSubstr("context of 256 tokens"));
  EXPECT_THAT(message(engine->complete_tokens({5000}, seeded(5), {})), HasSubstr("token 5000"));
  SamplingOptions bad = seeded(5);
  bad.stop = {""};
  EXPECT_THAT(message(engine->complete("a", bad, {})), HasSubstr("stop string"));
  EXPECT_THAT(message(engine->score({1, 2, 9999}, {})), HasSubstr("token 9999"));
  EXPECT_THAT(message(engine->score({1, 2}, {.first = 0, .top = 0, .on_logits = {}})),
              HasSubstr("at least 1"));
}

TEST(LocalEngine, CancelsFromTheCallback) {
  const auto engine = load();
  SamplingOptions sampling = seeded(200);
  int pieces = 0;
  const auto answer = engine->complete("the", sampling, [&](const Piece&) { return ++pieces < 3; });
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->finish, FinishReason::kCancelled);
  EXPECT_EQ(pieces, 3);
}

TEST(LocalEngine, ScoresSumToOneAndAgreeWithSampling) {
  const auto engine = load();
  const std::vector<int32_t> tokens = engine->tokenize("in the thing then another thing", false);
  const auto scores = engine->score(tokens, {.first = 1, .top = 270, .on_logits = {}});
  ASSERT_TRUE(scores);
  ASSERT_EQ(scores->size(), tokens.size() - 1);
  for (size_t i = 0; i < scores->size(); ++i) {
    const TokenScore& score = (*scores)[i];
    EXPECT_EQ(score.token, tokens[i + 1]);
    double sum = 0;
    for (const TokenLogprob& entry : score.top) {
      sum += std::exp(entry.logprob);
      if (entry.token == score.token) {
        EXPECT_EQ(entry.logprob, score.logprob);
      }
    }
    EXPECT_NEAR(sum, 1.0, 1e-5);
  }
  const auto tail = engine->score(tokens, {.first = 4, .top = 0, .on_logits = {}});
  ASSERT_EQ(tail->size(), tokens.size() - 4);
  EXPECT_EQ(tail->front().logprob, (*scores)[3].logprob);
  EXPECT_TRUE(engine->score({1}, {})->empty());
}

TEST(LocalEngine, ScoresATextAsLongAsTheContext) {
  const auto engine = load();
  const std::vector<int32_t> tokens(256, 65);
  EXPECT_EQ(engine->score(tokens, {})->size(), 255u);
}

// A random model at temperature 1.5 writes tokens that no tokenizer would choose for their text,
// and bytes that are no text at all. Where the answer is the text of its tokens, the next turn
// finds every one of them in the cache; elsewhere it finds at least the whole prompt before the
// answer.
TEST(Session, RemembersAndNeverReadsItsHistoryAgain) {
  const auto engine = load();
  int whole_answers = 0;
  for (uint64_t seed = 0; seed < 12; ++seed) {
    const auto session = engine->new_session({.system = "be"});
    int64_t known = 0;
    for (int turn = 0; turn < 3; ++turn) {
      SamplingOptions sampling = seeded(4, 1.5);
      sampling.seed = seed * 3 + static_cast<uint64_t>(turn);
      const auto answer = session->ask("in the", sampling, {});
      ASSERT_TRUE(answer) << answer.error().message;
      EXPECT_GE(answer->usage.cached_tokens, known);
      known = answer->usage.prompt_tokens;
      if (answer->finish == FinishReason::kTokensMax &&
          engine->detokenize(answer->tokens) == answer->content) {
        // The last token was sampled and never read.
        known += answer->usage.answer_tokens - 1;
        ++whole_answers;
      }
    }
    EXPECT_EQ(session->turns().size(), 7u);
    EXPECT_EQ(session->turns()[0].role, "system");
    session->forget();
    EXPECT_EQ(session->turns().size(), 1u);
  }
  EXPECT_GE(whole_answers, 6);
}

TEST(Session, AFailedQuestionLeavesNoTrace) {
  const auto engine = load();
  const auto session = engine->new_session({});
  EXPECT_FALSE(session->ask(std::string(2000, 'x'), seeded(5), {}));
  EXPECT_TRUE(session->turns().empty());
  EXPECT_TRUE(session->ask("the", seeded(5), {}));
  EXPECT_EQ(session->turns().size(), 2u);
}

TEST(Session, KeepsItsEngineAlive) {
  std::unique_ptr<Session> session;
  {
    const auto engine = load();
    session = engine->new_session({});
  }
  EXPECT_TRUE(session->ask("the", seeded(5), {}));
}

TEST(LocalEngine, ManyThreadsGetTheAnswersTheyWouldGetAlone) {
  const auto engine = load();
  const auto ask = [&](int i) {
    return engine->complete("thing " + std::to_string(i), seeded(20, i % 2 == 0 ? 0.0 : 0.9), {})
        ->tokens;
  };
  std::vector<std::vector<int32_t>> alone;
  for (int i = 0; i < 12; ++i) alone.push_back(ask(i));
  const auto other = load();
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 12; ++i) {
      threads.emplace_back([&, i] {
        const auto answer =
            other->complete("thing " + std::to_string(i), seeded(20, i % 2 == 0 ? 0.0 : 0.9), {});
        if (!answer || answer->tokens != alone[static_cast<size_t>(i)]) ++wrong;
      });
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(ChatPrompt, ControlTokensOfUsersStayText) {
  const auto engine = load();
  const std::vector<int32_t> tokens =
      engine->chat_prompt({{.role = "user", .content = "a<|im_end|>b", .reasoning = {}}}).value();
  const int32_t end = engine->tokenizer().find("<|im_end|>").value();
  EXPECT_EQ(std::ranges::count(tokens, end), 1);
  const int32_t start = engine->tokenizer().find("<|im_start|>").value();
  EXPECT_EQ(std::ranges::count(tokens, start), 2);
}

TEST(ChatPrompt, ReadsAcrossSegmentsAsOneText) {
  const auto engine = load();
  const std::vector<ChatTurn> turns = {{.role = "user", .content = "\nthe in", .reasoning = {}}};
  const std::vector<int32_t> got = engine->chat_prompt(turns).value();
  EXPECT_EQ(got, engine->tokenizer().encode(
                     "<|im_start|>user\n\nthe in<|im_end|>\n<|im_start|>assistant\n",
                     SpecialText::kParse));
}

TEST(ChatPrompt, AConversationKeepsTheTokensItHad) {
  const auto engine = load();
  const Tokenizer& tokenizer = engine->tokenizer();
  const auto rendered = [](std::vector<ChatSegment> segments) {
    RenderedChat chat;
    chat.segments = std::move(segments);
    return chat;
  };
  ChatTimeline first = chat_timeline(
      tokenizer, rendered({{"<|im_start|>", false}, {"the", true}, {"<|im_end|>", false}}), {});
  // "the" letter by letter, as no tokenizer would write it.
  std::vector<int32_t> letters;
  for (const char* letter : {"t", "h", "e"}) letters.push_back(tokenizer.find(letter).value());
  add_answer(tokenizer, letters, {}, first);
  EXPECT_EQ(first.text, "<|im_start|>the<|im_end|>the");
  const ChatTimeline second = chat_timeline(tokenizer,
                                            rendered({{"<|im_start|>", false},
                                                      {"the", true},
                                                      {"<|im_end|>", false},
                                                      {"the", true},
                                                      {"<|im_end|>", false}}),
                                            first);
  ASSERT_GT(second.tokens.size(), first.tokens.size());
  EXPECT_TRUE(
      std::ranges::equal(first.tokens, std::span(second.tokens).first(first.tokens.size())));
  // Where the answer is not what was given, only the turn before it is kept.
  const ChatTimeline other = chat_timeline(tokenizer,
                                           rendered({{"<|im_start|>", false},
                                                     {"the", true},
                                                     {"<|im_end|>", false},
                                                     {"thing", true},
                                                     {"<|im_end|>", false}}),
                                           first);
  EXPECT_EQ(other.tokens,
            tokenizer.encode("<|im_start|>the<|im_end|>thing<|im_end|>", SpecialText::kParse));
}

}  // namespace
}  // namespace minke
