#include "server/history/import.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>

#include "server/history/base64.h"
#include "server/history/export.h"
#include "server/history/json_slices.h"
#include "server/history/testing.h"

namespace minke::history {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class ImportTest : public StoreTest {
 protected:
  ImportReport import(const std::string& json) {
    auto begun = Import::begin(json);
    if (!begun) {
      ADD_FAILURE() << begun.error().message;
      return {};
    }
    while (!begun->is_done()) {
      const Status status = begun->step(*store_);
      if (!status) {
        ADD_FAILURE() << status.error().message;
        break;
      }
    }
    return begun->report();
  }

  std::string refusal(const std::string& json) {
    const auto begun = Import::begin(json);
    if (begun) return "taken";
    EXPECT_EQ(begun.error().kind, ErrorKind::kUsage);
    return begun.error().message;
  }

  std::string exported(std::optional<std::string> id = std::nullopt) {
    std::string all;
    auto begun = Export::begin(*store_, std::move(id));
    while (begun) {
      const auto chunk = value_of(begun->next(*store_));
      if (!chunk) return all;
      all += *chunk;
    }
    ADD_FAILURE() << begun.error().message;
    return all;
  }

  // "depth role: content" of each message, and its thinking in brackets.
  std::vector<std::string> tree(const std::string& id) {
    std::vector<std::string> lines;
    std::map<std::string, int> depths;
    for (const Message& message : value_of(store_->messages(id))) {
      const int depth = message.parent_id ? depths.at(*message.parent_id) + 1 : 0;
      depths[message.id] = depth;
      std::string line = fmt::format("{} {}: ", depth, name_of(message.role));
      for (const ThinkingSegment& segment : message.thinking)
        line += fmt::format("[{}, {} ms] ", segment.text, segment.ms.value_or(-1));
      lines.push_back(line + message.content);
    }
    return lines;
  }

  std::string only_id() {
    const auto ids = value_of(store_->conversation_ids());
    EXPECT_THAT(ids, SizeIs(1));
    return ids.empty() ? "" : ids[0];
  }
};

// In the manner of ChatGPT's export: a hidden root, a system message, thoughts and their recap,
// code for a tool and what came of it, a regenerated answer, an image.
constexpr const char* kChatGpt = R"json([{
  "title": "Primes", "create_time": 1700000000.5, "update_time": 1700000100.25,
  "conversation_id": "6f1c-0001", "current_node": "final-b", "is_archived": false, "is_starred": true,
  "mapping": {
    "root": {"id": "root", "message": null, "parent": null, "children": ["sys"]},
    "sys": {"id": "sys", "parent": "root", "children": ["u1"], "message": {"id": "sys",
      "author": {"role": "system"}, "content": {"content_type": "text", "parts": [""]},
      "metadata": {"is_visually_hidden_from_conversation": true}}},
    "u1": {"id": "u1", "parent": "sys", "children": ["think", "other"], "message": {"id": "u1",
      "author": {"role": "user"}, "create_time": 1700000001.0,
      "content": {"content_type": "multimodal_text",
        "parts": [{"content_type": "image_asset_pointer", "asset_pointer": "file-service://x"},
                  "How many primes below 100?"]}}},
    "think": {"id": "think", "parent": "u1", "children": ["recap"], "message": {"id": "think",
      "author": {"role": "assistant"}, "create_time": 1700000002.0,
      "content": {"content_type": "thoughts",
        "thoughts": [{"summary": "Counting", "content": "Let me count."}]}}},
    "recap": {"id": "recap", "parent": "think", "children": ["code"], "message": {"id": "recap",
      "author": {"role": "assistant"}, "create_time": 1700000003.0,
      "content": {"content_type": "reasoning_recap", "content": "Thought for 12 seconds"},
      "metadata": {"finished_duration_sec": 12}}},
    "code": {"id": "code", "parent": "recap", "children": ["out"], "message": {"id": "code",
      "author": {"role": "assistant"}, "create_time": 1700000004.0, "recipient": "python",
      "content": {"content_type": "code", "language": "python", "text": "print(25)"},
      "metadata": {"model_slug": "o3"}}},
    "out": {"id": "out", "parent": "code", "children": ["web"], "message": {"id": "out",
      "author": {"role": "tool", "name": "python"}, "create_time": 1700000005.0,
      "content": {"content_type": "execution_output", "text": "25\n"}}},
    "web": {"id": "web", "parent": "out", "children": ["final-a", "final-b"], "message": {"id": "web",
      "author": {"role": "tool", "name": "browser"}, "create_time": 1700000006.0,
      "content": {"content_type": "tether_browsing_display", "result": "secret page"}}},
    "final-a": {"id": "final-a", "parent": "web", "children": [], "message": {"id": "final-a",
      "author": {"role": "assistant"}, "create_time": 1700000007.0,
      "content": {"content_type": "text", "parts": ["There are 25."]}}},
    "final-b": {"id": "final-b", "parent": "web", "children": [], "message": {"id": "final-b",
      "author": {"role": "assistant"}, "create_time": 1700000008.0,
      "content": {"content_type": "text", "parts": ["Twenty-five."]}, "metadata": {"model_slug": "o3"}}},
    "other": {"id": "other", "parent": "u1", "children": [], "message": {"id": "other",
      "author": {"role": "assistant"}, "create_time": 1700000009.0,
      "content": {"content_type": "text", "parts": ["25"]}}}
  }}])json";

TEST_F(ImportTest, ChatGptsTreesBecomeOurs) {
  const ImportReport report = import(kChatGpt);
  EXPECT_EQ(report.format, ImportFormat::kChatGpt);
  EXPECT_EQ(report.conversations, 1);
  EXPECT_EQ(report.messages, 5);
  ASSERT_THAT(report.skipped, SizeIs(2));
  EXPECT_EQ(report.skipped[0].title, "Primes");
  EXPECT_EQ(report.skipped[0].why, "left out: 1 × image");
  EXPECT_EQ(report.skipped[1].why, "left out: 1 × result of a tool");
  const std::string id = only_id();
  EXPECT_THAT(tree(id), ElementsAre("0 user: [image]\n\nHow many primes below 100?",
                                    "1 assistant: [Counting\n\nLet me count., 12000 ms] "
                                    "```python\nprint(25)\n```\n\n```\n25\n```",
                                    "2 assistant: There are 25.", "2 assistant: Twenty-five.",
                                    "1 assistant: 25"));
  const auto conversation = value_of(store_->conversation(id));
  EXPECT_EQ(conversation->title, "Primes");
  EXPECT_TRUE(conversation->pinned);
  EXPECT_EQ(conversation->created_at_ms, 1'700'000'000'500);
  EXPECT_EQ(conversation->updated_at_ms, 1'700'000'100'250);
  const auto leaf = value_of(store_->message(conversation->leaf_id.value_or("")));
  EXPECT_EQ(leaf->content, "Twenty-five.");
  EXPECT_EQ(leaf->model, "o3");
  EXPECT_NE(leaf->id, "final-b");
}

TEST_F(ImportTest, TheSameFileAgainBringsNothingTwice) {
  import(kChatGpt);
  const ImportReport again = import(kChatGpt);
  EXPECT_EQ(again.conversations, 0);
  ASSERT_THAT(again.skipped, SizeIs(1));
  EXPECT_EQ(again.skipped[0].why, "it is here already");
  value_of(store_->delete_conversation(only_id()));
  EXPECT_EQ(import(kChatGpt).conversations, 1);
}

TEST_F(ImportTest, AChainThatEndsInThoughtIsAnAnswerWithoutText) {
  import(R"([{"title":"t","mapping":{
    "a":{"parent":null,"message":{"author":{"role":"user"},"content":{"content_type":"text","parts":["q"]}}},
    "b":{"parent":"a","message":{"author":{"role":"assistant"},"content":{"content_type":"thoughts",
      "thoughts":[{"summary":"","content":"hm"}]}}}}}])");
  EXPECT_THAT(tree(only_id()), ElementsAre("0 user: q", "1 assistant: [hm, 0 ms] "));
}

// In the manner of Open WebUI's export.
constexpr const char* kOpenWebUi = R"json([{
  "id": "aa-11", "user_id": "u", "title": "Fruit", "created_at": 1710000000, "updated_at": 1710000500,
  "archived": true, "pinned": false, "chat": {"title": "Fruit", "models": ["r1"], "system": "Be brief.",
    "history": {"currentId": "m4", "messages": {
      "m1": {"id": "m1", "parentId": null, "childrenIds": ["m2", "m3"], "role": "user",
        "content": "Is a tomato fruit?", "timestamp": 1710000001,
        "files": [{"type": "file", "name": "notes.txt", "file": {"data": {"content": "Tomatoes."}}},
                  {"type": "image", "url": "data:image/png;base64,AAAA"}]},
      "m2": {"id": "m2", "parentId": "m1", "childrenIds": [], "role": "assistant", "model": "r1",
        "content": "<details type=\"reasoning\" done=\"true\" duration=\"3\">\n<summary>Thought for 3 seconds</summary>\n> Botany says\n> yes.\n</details>\nYes, it is.",
        "timestamp": 1710000002, "done": true},
      "m3": {"id": "m3", "parentId": "m1", "childrenIds": ["m4"], "role": "assistant", "model": "v3",
        "content": "<details type=\"reasoning\" done=\"true\" duration=\"1\">\n<summary>x</summary>\n&gt; a &lt;b&gt; &amp;amp;\n</details>\n<details type=\"tool_calls\" id=\"1\">\n<summary>s</summary>\n</details>\nIt <details>is</details>.",
        "timestamp": 1710000003},
      "m4": {"id": "m4", "parentId": "m3", "childrenIds": [], "role": "assistant", "content": "",
        "error": {"content": "no memory"}, "timestamp": 1710000004}
    }}}}])json";

TEST_F(ImportTest, OpenWebUisTreesBecomeOurs) {
  const ImportReport report = import(kOpenWebUi);
  EXPECT_EQ(report.format, ImportFormat::kOpenWebUi);
  EXPECT_EQ(report.messages, 4);
  ASSERT_THAT(report.skipped, SizeIs(2));
  EXPECT_EQ(report.skipped[0].why, "left out: 1 × image");
  EXPECT_EQ(report.skipped[1].why, "left out: 1 × use of a tool");
  const std::string id = only_id();
  EXPECT_THAT(tree(id), ElementsAre("0 user: Is a tomato fruit?",
                                    "1 assistant: [Botany says\nyes., 3000 ms] Yes, it is.",
                                    "1 assistant: [a <b> &amp;, 1000 ms] It <details>is</details>.",
                                    "2 assistant: "));
  const auto messages = value_of(store_->messages(id));
  ASSERT_THAT(messages[0].attachments, SizeIs(1));
  EXPECT_EQ(messages[0].attachments[0].name, "notes.txt");
  EXPECT_EQ(value_of(store_->attachment_content(messages[0].attachments[0].id))->text, "Tomatoes.");
  EXPECT_EQ(messages[3].status, MessageStatus::kFailed);
  EXPECT_EQ(messages[3].error, "no memory");
  const auto conversation = value_of(store_->conversation(id));
  EXPECT_TRUE(conversation->archived);
  EXPECT_EQ(to_json(conversation->settings), R"({"system":"Be brief."})");
  EXPECT_EQ(conversation->leaf_id, messages[3].id);
}

TEST_F(ImportTest, OldAndSingleChatsOfOpenWebUiAreTakenToo) {
  import(R"({"title":"alone","messages":[],"history":{"currentId":"1","messages":{
      "1":{"id":"1","parentId":null,"role":"user","content":"hi"}}}})");
  import(R"([{"id":"2","chat":{"title":"list","messages":[{"role":"user","content":"a"},
      {"role":"assistant","content":"b"}]}}])");
  const auto ids = value_of(store_->conversation_ids());
  ASSERT_THAT(ids, SizeIs(2));
  EXPECT_THAT(tree(ids[0]), ElementsAre("0 user: hi"));
  EXPECT_THAT(tree(ids[1]), ElementsAre("0 user: a", "1 assistant: b"));
}

// In the manner of llama.cpp's page: a root that says nothing, thinking beside the content, files
// as texts; in older versions ids are numbers.
constexpr const char* kLlamaCpp = R"json([
  {"conv": {"id": "c-1", "lastModified": 1720000009000, "currNode": "m3", "name": "Krill"},
   "messages": [
    {"convId": "c-1", "id": "m0", "type": "root", "timestamp": 1720000000000, "role": "system",
     "content": "", "parent": null, "children": ["s"]},
    {"convId": "c-1", "id": "s", "type": "text", "timestamp": 1720000000001, "role": "system",
     "content": "Be brief.", "parent": "m0", "children": ["m1"]},
    {"convId": "c-1", "id": "m1", "type": "text", "timestamp": 1720000001000, "role": "user",
     "content": "What do whales eat?", "parent": "s", "children": ["m2", "m3"],
     "extra": [{"type": "TEXT", "name": "diet.txt", "content": "Krill."},
               {"type": "imageFile", "name": "w.png", "base64Url": "data:x"}]},
    {"convId": "c-1", "id": "m2", "type": "text", "timestamp": 1720000002000, "role": "assistant",
     "content": "Fish.", "parent": "m1", "children": []},
    {"convId": "c-1", "id": "m3", "type": "text", "timestamp": 1720000003000, "role": "assistant",
     "content": "Krill.", "thinking": "The file says so.", "model": "r1", "parent": "m1",
     "children": []}]},
  {"conv": {"id": "c-2", "lastModified": 1720000000000, "currNode": 2, "name": "Old"},
   "messages": [
    {"id": 1, "type": "text", "timestamp": 1, "role": "user", "content": "a", "parent": 0},
    {"id": 2, "type": "text", "timestamp": 2, "role": "assistant", "content": "b", "parent": 1}]}
])json";

TEST_F(ImportTest, LlamaCppsTreesBecomeOurs) {
  const ImportReport report = import(kLlamaCpp);
  EXPECT_EQ(name_of(report.format), "llama.cpp");
  EXPECT_EQ(report.conversations, 2);
  EXPECT_EQ(report.messages, 5);
  ASSERT_THAT(report.skipped, SizeIs(1));
  EXPECT_EQ(report.skipped[0].why, "left out: 1 × image");
  const auto ids = value_of(store_->conversation_ids());
  ASSERT_THAT(ids, SizeIs(2));
  EXPECT_THAT(tree(ids[0]), ElementsAre("0 user: What do whales eat?", "1 assistant: Fish.",
                                        "1 assistant: [The file says so., 0 ms] Krill."));
  EXPECT_THAT(tree(ids[1]), ElementsAre("0 user: a", "1 assistant: b"));
  const auto conversation = value_of(store_->conversation(ids[0]));
  const auto messages = value_of(store_->messages(ids[0]));
  EXPECT_EQ(conversation->title, "Krill");
  EXPECT_EQ(conversation->updated_at_ms, 1720000009000);
  EXPECT_EQ(conversation->leaf_id, messages[2].id);
  EXPECT_EQ(to_json(conversation->settings), R"({"system":"Be brief."})");
  EXPECT_EQ(messages[2].model, "r1");
  ASSERT_THAT(messages[0].attachments, SizeIs(1));
  EXPECT_EQ(value_of(store_->attachment_content(messages[0].attachments[0].id))->text, "Krill.");
  EXPECT_THAT(import(kLlamaCpp).skipped, SizeIs(2));  // they are here already
}

TEST_F(ImportTest, OneChatOfLlamaCppIsTakenToo) {
  import(R"({"conv":{"id":"c","name":"alone"},"messages":[
      {"id":"1","role":"user","type":"text","content":"hi","parent":null}]})");
  EXPECT_THAT(tree(only_id()), ElementsAre("0 user: hi"));
}

TEST_F(ImportTest, WhatMinkeExportsComesBackTheSame) {
  const Folder folder = value_of(store_->create_folder("Sea"));
  value_of(store_->create_preset("Calm", value_of(parse_json(R"({"temperature":0.5})"))));
  const std::string id =
      value_of(store_->create_conversation(
                   {.title = "Whales \"🐋\"",
                    .folder_id = folder.id,
                    .settings = value_of(parse_json(R"({"system":"brief","think":true})"))}))
          .id;
  value_of(store_->change_conversation(id, {.pinned = true}));
  const Attachment file = value_of(store_->add_attachment(
      {.name = "a.txt", .media_type = "text/plain", .bytes = "Whales.", .text = "Whales."}));
  const Message question = value_of(store_->add_message(
      {.conversation_id = id, .content = "q\n\t\"\\", .attachment_ids = {file.id}}));
  const Message answer = start_answer(id, question.id);
  value_of(store_->finish({.message_id = answer.id,
                           .content = "a",
                           .thinking = {{.text = "hm", .started_at_ms = now_ms_, .ms = 7}},
                           .finish_reason = "stop",
                           .usage = Usage{.prompt_tokens = 3, .answer_tokens = 2}}));
  say(id, "edited");
  value_of(store_->change_conversation(id, {.leaf_id = answer.id}));
  const std::string running = conversation("runs");
  start_answer(running, say(running, "q").id);
  const std::string text = exported();
  EXPECT_TRUE(parse_json(text).has_value());

  // Here already; then into an empty history.
  EXPECT_EQ(import(text).conversations, 0);
  store_.reset();
  std::filesystem::remove(folder_.file());
  std::filesystem::remove(folder_.file("history.db-wal"));
  open();
  const ImportReport report = import(text);
  EXPECT_EQ(report.format, ImportFormat::kMinke);
  EXPECT_EQ(report.conversations, 2);
  EXPECT_THAT(report.skipped, IsEmpty());
  EXPECT_EQ(value_of(store_->presets())[0].name, "Calm");
  const auto ids = value_of(store_->conversation_ids());
  EXPECT_NE(ids[0], id);
  EXPECT_THAT(tree(ids[0]),
              ElementsAre("0 user: q\n\t\"\\", "1 assistant: [hm, 7 ms] a", "0 user: edited"));
  const auto kept = value_of(store_->conversation(ids[0]));
  EXPECT_EQ(kept->title, "Whales \"🐋\"");
  EXPECT_TRUE(kept->pinned);
  EXPECT_EQ(kept->folder_id, value_of(store_->folders())[0].id);
  EXPECT_EQ(to_json(kept->settings), R"({"system":"brief","think":true})");
  const auto messages = value_of(store_->messages(ids[0]));
  EXPECT_EQ(kept->leaf_id, messages[1].id);
  EXPECT_EQ(messages[1].usage, (Usage{.prompt_tokens = 3, .answer_tokens = 2}));
  ASSERT_THAT(messages[0].attachments, SizeIs(1));
  EXPECT_EQ(value_of(store_->attachment_content(messages[0].attachments[0].id))->bytes, "Whales.");
  EXPECT_EQ(value_of(store_->messages(ids[1]))[1].status, MessageStatus::kInterrupted);
  EXPECT_EQ(import(text).conversations, 0);

  EXPECT_FALSE(Export::begin(*store_, "nobody").has_value());
  EXPECT_THAT(exported(ids[1]), HasSubstr("\"runs\""));
}

TEST_F(ImportTest, WhatIsNoHistoryIsRefusedWithTheWayOut) {
  for (const char* text :
       {"", "   ", "hello", "[]", "{}", "[1,2]", "[[]]", "\"x\"", "12", "[{}]", "{\"a\":1}",
        "[{\"mapping\":", "{\"format\":\"other\",\"conversations\":[]}", "{\"a\":", "[,]"}) {
    EXPECT_THAT(refusal(text), HasSubstr("conversations.json")) << text;
  }
  EXPECT_THAT(refusal("PK\x03\x04"), HasSubstr("unpack"));
  EXPECT_THAT(refusal("SQLite format 3"), HasSubstr("backup"));
  EXPECT_THAT(refusal(R"({"format":"minke-history","version":2,"conversations":[]})"),
              HasSubstr("update minke"));
  EXPECT_THAT(refusal(std::string(300, '[') + std::string(300, ']')), HasSubstr("nesting"));
  const auto too_large = Import::begin(std::string(100, ' '), {.bytes_max = 10});
  ASSERT_FALSE(too_large.has_value());
  EXPECT_THAT(too_large.error().message, HasSubstr("at most 10"));
}

std::string minke_file(const std::string& messages) {
  return R"({"format":"minke-history","version":1,"conversations":[{"title":"good","messages":[
      {"id":"1","parent_id":null,"role":"user","status":"complete","kind":"message","content":"x"}]},
      {"title":"bad","messages":)" +
         messages + "}]}";
}

TEST_F(ImportTest, AConversationThatIsWrongIsLeftOutWholeAndTheOthersTaken) {
  const auto message = [](const char* id, const char* parent, const char* more = "") {
    return fmt::format(R"({{"id":"{}","parent_id":{},"role":"user","status":"complete",
        "kind":"message","content":"x"{}}})",
                       id, parent, more);
  };
  const std::pair<std::string, const char*> wrong[] = {
      {"[" + message("1", "null") + "," + message("1", "null") + "]", "two messages have the id 1"},
      {"[" + message("1", "\"2\"") + "," + message("2", "\"1\"") + "]", "before the one"},
      {"[" + message("1", "\"1\"") + "]", "before the one"},
      {"[" + message("1", "\"gone\"") + "]", "before the one"},
      {"[" + message("1", "7") + "]", "before the one"},
      {"[" + message("", "null") + "]", "no id"},
      {"[" + message("1", "null", R"(,"settings":{"top_k":-1})") + "]", "top_k"},
      {R"([{"id":"1","role":"god","status":"complete","kind":"message"}])", "unknown role"},
      {"[]", "no messages"},
      {"7", "no messages"},
      {"[" + message("1", "null", R"(,"n":1e999)") + "]", "JSON"},
      {"[" + message("1", "null", ",\"s\":\"\xFF\"") + "]", "UTF-8"}};
  for (const auto& [messages, why] : wrong) {
    const ImportReport report = import(minke_file(messages));
    EXPECT_EQ(report.conversations, 1) << messages;
    ASSERT_THAT(report.skipped, SizeIs(1)) << messages;
    EXPECT_THAT(report.skipped[0].why, HasSubstr(why));
    const auto page = value_of(store_->conversations({}));
    ASSERT_THAT(page.conversations, SizeIs(1));
    EXPECT_EQ(page.conversations[0].title, "good");
    value_of(store_->delete_conversation(page.conversations[0].id));
  }
}

TEST_F(ImportTest, CirclesAndMissingParentsOfOthersFormatsDoNoHarm) {
  const auto node = [](const char* id, const char* parent) {
    return fmt::format(
        R"("{}":{{"parent":"{}","message":{{"author":{{"role":"user"}},
        "content":{{"content_type":"text","parts":["{}"]}}}}}})",
        id, parent, id);
  };
  const ImportReport report =
      import(R"([{"title":"t","current_node":"b","mapping":{)" + node("a", "missing") + "," +
             node("b", "c") + "," + node("c", "b") + "," + node("d", "d") + "}}]");
  EXPECT_EQ(report.conversations, 1);
  EXPECT_THAT(tree(only_id()), ElementsAre("0 user: a"));
  ASSERT_THAT(report.skipped, SizeIs(1));
  EXPECT_THAT(report.skipped[0].why, HasSubstr("3 × message that goes round in a circle"));
  const ImportReport circle = import(R"([{"title":"t","mapping":{)" + node("b", "b") + "}}]");
  EXPECT_EQ(circle.conversations, 0);
  EXPECT_THAT(circle.skipped[0].why, HasSubstr("no messages"));
}

TEST_F(ImportTest, LongChainsAndWideTreesTakeLinearTime) {
  std::string chain = R"([{"title":"chain","mapping":{"0":{"parent":null})";
  std::string wide = R"([{"title":"wide","mapping":{"0":{"parent":null,"message":{"author":{"role":
      "assistant"},"content":{"content_type":"thoughts","thoughts":[{"content":")" +
                     std::string(100'000, 't') + R"("}]}}})";
  for (int i = 1; i < 20'000; ++i) {
    chain += fmt::format(R"(,"{}":{{"parent":"{}","message":{{"author":{{"role":"{}"}},"content":
        {{"content_type":"text","parts":["x"]}}}}}})",
                         i, i - 1, i % 2 == 0 ? "user" : "assistant");
    wide +=
        fmt::format(R"(,"{}":{{"parent":"0","message":{{"author":{{"role":"assistant"}},"content":
        {{"content_type":"text","parts":["x"]}}}}}})",
                    i);
  }
  EXPECT_EQ(import(chain + "}}]").messages, 19'999);
  EXPECT_EQ(import(wide + "}}]").messages, 19'999);
  std::string tags;
  for (int i = 0; i < 100'000; ++i) tags += R"(<details type=\"x\">)";
  import(R"([{"chat":{"messages":[{"role":"assistant","content":")" + tags + R"(</details>"}]}}])");
}

TEST_F(ImportTest, WhatIsTooMuchIsLeftOutWithTheFigure) {
  const std::string huge(kLimits.message_bytes_max + 1, 'x');
  const ImportReport report = import(
      R"([{"title":"t","chat":{"messages":[{"role":"user","content":")" + huge + R"("}]}}])");
  EXPECT_EQ(report.conversations, 0);
  EXPECT_THAT(report.skipped[0].why, HasSubstr("4194305 bytes"));
  auto begun = Import::begin(kChatGpt, {.conversation_values_max = 10});
  ASSERT_TRUE(begun.has_value());
  expect_ok(begun->step(*store_));
  EXPECT_THAT(begun->report().skipped[0].why, HasSubstr("more than 10 values"));
}

TEST(JsonSlices, AreThePartsOfADocument) {
  const auto texts = [](std::string_view json) {
    std::vector<std::string> parts;
    for (const JsonSlice& slice : value_of(json_slices(json)))
      parts.push_back(slice.key + "=" + std::string(slice.text));
    return parts;
  };
  EXPECT_THAT(texts(R"( [1, "a]\"", {"b":[2,3]} ,[]] )"),
              ElementsAre("=1", "=\"a]\\\"\"", "={\"b\":[2,3]} ", "=[]"));
  EXPECT_THAT(texts(R"({"a\u0041" : {"x":"}"}, "b":[1,2]})"),
              ElementsAre("aA={\"x\":\"}\"}", "b=[1,2]"));
  EXPECT_THAT(texts("[]"), IsEmpty());
  EXPECT_EQ(value_of(json_slices("[[1,2,[3]]]"))[0].values, 5);
  for (const char* wrong : {"", "[", "{", "[1", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{a:1}",
                            "[]x", "[\"", "[\"\\", "[}", "[1}", "{\"a\":1]"})
    EXPECT_FALSE(json_slices(wrong).has_value()) << wrong;
  EXPECT_FALSE(json_slices("[1,2,3]", {.slices_max = 2}).has_value());
  EXPECT_FALSE(json_slices("[[[]]]", {.depth_max = 1}).has_value());
}

TEST(Base64, GoesThereAndBack) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
    bytes += static_cast<char>(i * 37);
  }
  EXPECT_EQ(to_base64("Man"), "TWFu");
  EXPECT_EQ(to_base64("Ma"), "TWE=");
  EXPECT_EQ(to_base64("M"), "TQ==");
  for (const char* wrong : {"A", "AA", "AAA", "A===", "====", "AA=A", "AAA*", "AA==AAAA"})
    EXPECT_EQ(from_base64(wrong), std::nullopt) << wrong;
}

}  // namespace
}  // namespace minke::history
