#include "server/history/store.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <set>

#include "server/history/testing.h"

namespace minke::history {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> titles(const std::vector<Conversation>& conversations) {
  std::vector<std::string> titles;
  for (const Conversation& conversation : conversations) titles.push_back(conversation.title);
  return titles;
}

std::vector<std::string> contents(const std::vector<Message>& messages) {
  std::vector<std::string> contents;
  for (const Message& message : messages) contents.push_back(message.content);
  return contents;
}

TEST(Id, HasTwentyTwoUrlSafeCharactersAndNeverComesTwice) {
  std::set<std::string> ids;
  for (int i = 0; i < 10'000; ++i) {
    const std::string id = new_id();
    EXPECT_TRUE(is_id(id)) << id;
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 10'000);
  EXPECT_FALSE(is_id("short"));
  EXPECT_FALSE(is_id("AAAAAAAAAAAAAAAAAAAAA/"));
}

TEST(Settings, ThatAreInRangeAreTakenAndOthersRefusedByName) {
  const auto check = [](const char* json) { return check_settings(value_of(parse_json(json))); };
  expect_ok(check(R"({})"));
  expect_ok(check(R"({"model":"m","system":"be brief","temperature":0.5,"top_p":1,"top_k":40,
      "min_p":0.05,"repeat_penalty":1.1,"presence_penalty":-2,"frequency_penalty":2,"seed":-7,
      "tokens_max":100,"think":true,"think_budget":0,"stop":["a","b"]})"));
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"temperature":3.5})", "temperature must be a number in [0, 2], got 3.5"},
      {R"({"temperature":"hot"})", "temperature must be"},
      {R"({"top_k":1.5})", "top_k must be a whole number"},
      {R"({"tokens_max":0})", "tokens_max must be"},
      {R"({"think":"yes"})", "think must be true or false"},
      {R"({"stop":"a"})", "stop must be a list"},
      {R"({"stop":[""]})", "stop must be a list"},
      {R"({"model":7})", "model must be a text"},
      {R"({"colour":"red"})", "\"colour\" is no setting"},
      {R"([])", "settings must be an object"}};
  for (const auto& [json, sentence] : wrong) {
    const Status status = check(json);
    ASSERT_FALSE(status.has_value()) << json;
    EXPECT_THAT(status.error().message, HasSubstr(sentence));
    EXPECT_EQ(status.error().kind, ErrorKind::kUsage);
  }
}

TEST(Settings, OfAMessageStandBeforeThoseOfItsConversation) {
  const Value merged =
      merged_settings(value_of(parse_json(R"({"top_k":1,"system":"a","seed":null})")),
                      value_of(parse_json(R"({"system":"b","top_k":null,"think":false})")));
  EXPECT_EQ(merged, value_of(parse_json(R"({"system":"b","think":false,"top_k":1})")));
}

TEST_F(StoreTest, ATreeComesBackAsItWasBuilt) {
  const std::string id = conversation();
  const Message question = say(id, "What is a whale?");
  Message answer = start_answer(id, question.id);
  value_of(store_->finish({.message_id = answer.id, .content = "A mammal."}));
  const Message other = start_answer(id, question.id);
  value_of(store_->finish({.message_id = other.id, .content = "A big mammal."}));
  const Message edited = say(id, "What is a minke?");
  const Message next = say(id, "Why?", answer.id);

  open();
  const auto messages = value_of(store_->messages(id));
  EXPECT_THAT(contents(messages), ElementsAre("What is a whale?", "A mammal.", "A big mammal.",
                                              "What is a minke?", "Why?"));
  EXPECT_EQ(messages[1].parent_id, question.id);
  EXPECT_EQ(messages[1].model, "toy");
  EXPECT_EQ(messages[2].parent_id, question.id);
  EXPECT_EQ(messages[3].parent_id, std::nullopt);
  EXPECT_THAT(contents(value_of(store_->branch(next.id))),
              ElementsAre("What is a whale?", "A mammal.", "Why?"));
  const auto kept = value_of(store_->conversation(id));
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->leaf_id, next.id);
  EXPECT_EQ(kept->message_count, 5);
  EXPECT_EQ(kept->title, "What is a whale?");
  EXPECT_FALSE(kept->title_is_own);
  EXPECT_THAT(value_of(store_->branch("AAAAAAAAAAAAAAAAAAAAAA")), IsEmpty());
}

TEST_F(StoreTest, ATitleIsTheFirstWordsOfTheFirstMessageUntilItHasItsOwn) {
  const std::string id = conversation();
  std::string content = "  Many\n\n words:\t";
  for (int i = 0; i < 100; ++i) content += "鯨";
  say(id, content);
  std::string expected = "Many words: ";
  for (int i = 0; i < 48; ++i) expected += "鯨";
  EXPECT_EQ(value_of(store_->conversation(id))->title, expected + "…");
  const auto named = value_of(store_->change_conversation(id, {.title = "Whales"}));
  EXPECT_EQ(named->title, "Whales");
  EXPECT_TRUE(named->title_is_own);
  say(id, "more");
  EXPECT_EQ(value_of(store_->conversation(id))->title, "Whales");
  EXPECT_EQ(value_of(store_->change_conversation(id, {.title = ""}))->title, expected + "…");
}

TEST_F(StoreTest, AConversationThatBeginsWithAFileAloneIsCalledLikeIt) {
  const std::string id = conversation();
  const auto file = value_of(store_->add_attachment(
      {.name = "tides of 1904.txt", .media_type = "text/plain", .bytes = "x"}));
  value_of(store_->add_message({.conversation_id = id, .attachment_ids = {file.id}}));
  EXPECT_EQ(value_of(store_->conversation(id))->title, "tides of 1904.txt");
}

TEST_F(StoreTest, ARunningAnswerGrowsAndEndsWhole) {
  const std::string id = conversation();
  const Message question = say(id, "q");
  const Message answer = start_answer(id, question.id);
  const int64_t begun = now_ms_;
  expect_ok(store_->grow(std::vector<Growth>{
      {.message_id = answer.id,
       .thinking = {{.segment = 0, .started_at_ms = begun, .text = "Let me "}}}}));
  expect_ok(store_->grow(std::vector<Growth>{
      {.message_id = answer.id,
       .thinking = {{.segment = 0, .started_at_ms = begun, .ms = 1500, .text = "think."}},
       .text = "Wha"}}));
  expect_ok(store_->grow(std::vector<Growth>{{.message_id = answer.id, .text = "les"}}));
  auto running = value_of(store_->message(answer.id));
  EXPECT_EQ(running->status, MessageStatus::kRunning);
  EXPECT_EQ(running->content, "Whales");
  EXPECT_EQ(running->generation_id, answer.generation_id);
  EXPECT_THAT(running->thinking, ElementsAre(ThinkingSegment{
                                     .text = "Let me think.", .started_at_ms = begun, .ms = 1500}));
  EXPECT_THAT(value_of(store_->running_below(question.id)), testing::SizeIs(1));

  now_ms_ += 5000;
  const Usage usage{.prompt_tokens = 10, .cached_tokens = 4, .answer_tokens = 7, .answer_ms = 90};
  const auto ended = value_of(
      store_->finish({.message_id = answer.id,
                      .content = "Whales are mammals.",
                      .thinking = {{.text = "Let me think.", .started_at_ms = begun, .ms = 1500}},
                      .thinking_closed = true,
                      .finish_reason = "stop",
                      .usage = usage}));
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->status, MessageStatus::kComplete);
  EXPECT_EQ(ended->content, "Whales are mammals.");
  EXPECT_EQ(ended->generation_id, std::nullopt);
  EXPECT_EQ(ended->finished_at_ms, now_ms_);
  EXPECT_EQ(ended->usage, usage);
  EXPECT_TRUE(ended->thinking_closed);
  EXPECT_EQ(value_of(store_->conversation(id))->updated_at_ms, now_ms_);
  EXPECT_THAT(value_of(store_->running_below(question.id)), IsEmpty());
}

TEST_F(StoreTest, WhatRanWhenTheServerEndedIsInterruptedWithWhatWasSaved) {
  const std::string id = conversation();
  const Message question = say(id, "q");
  const Message answer = start_answer(id, question.id);
  now_ms_ += 1000;
  expect_ok(store_->grow(std::vector<Growth>{
      {.message_id = answer.id,
       .thinking = {{.segment = 0, .started_at_ms = 1'800'000'000'200, .ms = 300, .text = "a"},
                    {.segment = 1, .started_at_ms = 1'800'000'000'600, .text = "b"}},
       .text = "one "}}));
  expect_ok(store_->grow(std::vector<Growth>{
      {.message_id = answer.id,
       .thinking = {{.segment = 1, .started_at_ms = 1'800'000'000'600, .text = "c"}},
       .text = "two"}}));
  now_ms_ += 60'000;
  open();
  const auto kept = value_of(store_->message(answer.id));
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->status, MessageStatus::kInterrupted);
  EXPECT_EQ(kept->content, "one two");
  EXPECT_EQ(kept->generation_id, std::nullopt);
  EXPECT_EQ(kept->finished_at_ms, 1'800'000'001'000);
  EXPECT_THAT(
      kept->thinking,
      ElementsAre(ThinkingSegment{.text = "a", .started_at_ms = 1'800'000'000'200, .ms = 300},
                  ThinkingSegment{.text = "bc", .started_at_ms = 1'800'000'000'600, .ms = 400}));

  // And goes on in the same message.
  const auto resumed = value_of(store_->resume(answer.id, new_id()));
  ASSERT_TRUE(resumed.has_value());
  EXPECT_EQ(resumed->status, MessageStatus::kRunning);
  expect_ok(store_->grow(std::vector<Growth>{{.message_id = answer.id, .text = " three"}}));
  EXPECT_EQ(value_of(store_->message(answer.id))->content, "one two three");
  open();
  EXPECT_EQ(value_of(store_->message(answer.id))->content, "one two three");
  EXPECT_EQ(value_of(store_->search("two three", 10)).size(), 1);
}

TEST_F(StoreTest, OnlyAnAnswerThatDoesNotRunGoesOn) {
  const std::string id = conversation();
  const Message question = say(id, "q");
  const Message answer = start_answer(id, question.id);
  EXPECT_FALSE(value_of(store_->resume(question.id, new_id())).has_value());
  EXPECT_FALSE(value_of(store_->resume(answer.id, new_id())).has_value());
  EXPECT_FALSE(value_of(store_->resume("nobody", new_id())).has_value());
}

TEST_F(StoreTest, WhatIsDeletedWhileItRunsStaysDeleted) {
  const std::string id = conversation();
  const Message question = say(id, "q");
  const Message answer = start_answer(id, question.id);
  EXPECT_TRUE(value_of(store_->delete_message(question.id)));
  expect_ok(store_->grow(std::vector<Growth>{{.message_id = answer.id, .text = "late"}}));
  EXPECT_FALSE(value_of(store_->finish({.message_id = answer.id})).has_value());
  EXPECT_THAT(value_of(store_->messages(id)), IsEmpty());
  EXPECT_EQ(value_of(store_->conversation(id))->message_count, 0);
}

TEST_F(StoreTest, AMessageIsDeletedWithAllBelowItHoweverLongTheChat) {
  // A root with two children, the second the first of a long chain.
  ImportedConversation long_chat;
  for (size_t i = 0; i < 3'000; ++i) {
    ImportedMessage message;
    if (i > 0) message.parent = i < 3 ? 0 : i - 1;
    message.message.content = i == 0 ? "root" : i == 1 ? "kept" : "x";
    long_chat.messages.push_back(std::move(message));
  }
  value_of(store_->insert(std::vector{long_chat, long_chat}));
  const auto ids = value_of(store_->conversation_ids());
  const std::vector<Message> messages = value_of(store_->messages(ids[0]));
  ASSERT_EQ(messages.size(), 3'000);
  EXPECT_EQ(value_of(store_->branch(messages.back().id)).size(), 2'999);
  EXPECT_TRUE(value_of(store_->delete_message(messages[2].id)));
  EXPECT_FALSE(value_of(store_->delete_message(messages[2].id)));
  EXPECT_THAT(contents(value_of(store_->messages(ids[0]))), ElementsAre("root", "kept"));
  EXPECT_EQ(value_of(store_->conversation(ids[0]))->leaf_id, messages[0].id);
  EXPECT_EQ(value_of(store_->conversation(ids[0]))->message_count, 2);

  EXPECT_TRUE(value_of(store_->delete_conversation(ids[1])));
  EXPECT_FALSE(value_of(store_->delete_conversation(ids[1])));
  EXPECT_THAT(value_of(store_->messages(ids[1])), IsEmpty());
  EXPECT_EQ(value_of(store_->search("root", 10)).size(), 1);
}

// A summary is taken back: what was said since stays.
TEST_F(StoreTest, AMessageAloneIsDeletedAndWhatWasBelowMovesUp) {
  const std::string id = conversation();
  const Message first = say(id, "first");
  const Message summary = say(id, "summary", first.id);
  const Message later = say(id, "later", summary.id);
  EXPECT_TRUE(value_of(store_->delete_message(summary.id, /*keeps_below=*/true)));
  EXPECT_THAT(contents(value_of(store_->messages(id))), ElementsAre("first", "later"));
  EXPECT_EQ(value_of(store_->branch(later.id)).front().id, first.id);
  EXPECT_EQ(value_of(store_->conversation(id))->leaf_id, later.id);
}

TEST_F(StoreTest, ConversationsComePinnedFirstThenTheLatestInPages) {
  std::vector<std::string> ids;
  for (int i = 0; i < 7; ++i) {
    now_ms_ += i == 4 ? 0 : 10;  // two of one time
    ids.push_back(conversation("c" + std::to_string(i)));
  }
  value_of(store_->change_conversation(ids[2], {.pinned = true}));
  value_of(store_->change_conversation(ids[5], {.archived = true}));
  const auto first = value_of(store_->conversations({.limit = 3}));
  EXPECT_THAT(titles(first.conversations), ElementsAre("c2", "c6", "c4"));
  ASSERT_TRUE(first.next.has_value());
  const auto second = value_of(store_->conversations({.before = first.next, .limit = 3}));
  EXPECT_THAT(titles(second.conversations), ElementsAre("c3", "c1", "c0"));
  EXPECT_EQ(second.next, std::nullopt);
  EXPECT_THAT(titles(value_of(store_->conversations({.archived = true})).conversations),
              ElementsAre("c5"));
  for (const char* cursor : {"", "x", "1", "1.2", "1.2.x", "1.2.3.4", "99999999999999999999.1.1"}) {
    const auto page = store_->conversations({.before = cursor});
    ASSERT_FALSE(page.has_value()) << cursor;
    EXPECT_EQ(page.error().kind, ErrorKind::kUsage);
  }
}

TEST_F(StoreTest, AFolderThatGoesLeavesItsConversations) {
  const Folder folder = value_of(store_->create_folder("Sea"));
  const Folder other = value_of(store_->create_folder("Land"));
  EXPECT_EQ(other.position, 1);
  const auto inside =
      value_of(store_->create_conversation({.title = "in", .folder_id = folder.id}));
  conversation("out");
  EXPECT_THAT(titles(value_of(store_->conversations({.folder_id = folder.id})).conversations),
              ElementsAre("in"));
  EXPECT_EQ(value_of(store_->change_folder(folder.id, "Ocean", 5))->name, "Ocean");
  EXPECT_EQ(value_of(store_->folders())[1].name, "Ocean");
  EXPECT_TRUE(value_of(store_->delete_folder(folder.id)));
  EXPECT_EQ(value_of(store_->conversation(inside.id))->folder_id, std::nullopt);
  EXPECT_FALSE(store_->conversations({.folder_id = folder.id}).has_value());
  EXPECT_FALSE(store_->create_folder("").has_value());
}

TEST_F(StoreTest, PresetsAndPreferencesAreKept) {
  const Value settings = value_of(parse_json(R"({"temperature":0.7})"));
  const Preset preset = value_of(store_->create_preset("Calm", settings));
  EXPECT_FALSE(
      store_->create_preset("Wild", value_of(parse_json(R"({"temperature":9})"))).has_value());
  value_of(store_->change_preset(preset.id, "Calmer", std::nullopt, 3));
  const Value preferences = value_of(parse_json(R"({"theme":"dark","n":[1,2.5,null]})"));
  expect_ok(store_->set_preferences(preferences));
  open();
  const auto presets = value_of(store_->presets());
  ASSERT_EQ(presets.size(), 1);
  EXPECT_EQ(presets[0].name, "Calmer");
  EXPECT_EQ(presets[0].settings, settings);
  EXPECT_EQ(value_of(store_->preferences()), preferences);
  EXPECT_FALSE(store_->set_preferences(Value("text")).has_value());
  EXPECT_FALSE(store_->set_preferences(Value::Object{{"a", std::string(70'000, 'x')}}).has_value());
  EXPECT_EQ(value_of(store_->preferences()), preferences);
  EXPECT_TRUE(value_of(store_->delete_preset(preset.id)));
  EXPECT_FALSE(value_of(store_->delete_preset(preset.id)));
}

TEST_F(StoreTest, AttachmentsGoWithTheLastMessageThatHasThem) {
  const std::string id = conversation();
  const std::string bytes("PDF\0bytes", 9);
  const Attachment file = value_of(store_->add_attachment({.name = "a.pdf",
                                                           .media_type = "application/pdf",
                                                           .kind = AttachmentKind::kPdf,
                                                           .bytes = bytes,
                                                           .text = "Wörter"}));
  EXPECT_EQ(file.chars, 6);
  EXPECT_EQ(file.bytes, 9);
  const auto ask = [&](std::vector<std::string> attachments) {
    return store_->add_message(
        {.conversation_id = id, .content = "q", .attachment_ids = std::move(attachments)});
  };
  const Message first = value_of(ask({file.id}));
  const Message edited = value_of(ask({file.id}));
  EXPECT_THAT(first.attachments, ElementsAre(file));
  const auto content = value_of(store_->attachment_content(file.id));
  EXPECT_EQ(content->bytes, bytes);
  EXPECT_EQ(content->text, "Wörter");
  value_of(store_->delete_message(first.id));
  EXPECT_TRUE(value_of(store_->attachment_content(file.id)).has_value());
  value_of(store_->delete_message(edited.id));
  EXPECT_FALSE(value_of(store_->attachment_content(file.id)).has_value());
  const auto unknown = ask({file.id});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().kind, ErrorKind::kUsage);

  // One that was never used is given a day.
  const Attachment unused = value_of(store_->add_attachment({.name = "b.txt", .text = "b"}));
  now_ms_ += int64_t{23} * 3600 * 1000;
  open();
  EXPECT_TRUE(value_of(store_->attachment_content(unused.id)).has_value());
  now_ms_ += int64_t{2} * 3600 * 1000;
  open();
  EXPECT_FALSE(value_of(store_->attachment_content(unused.id)).has_value());
}

TEST_F(StoreTest, WhatDoesNotFitIsRefusedAndNothingChanges) {
  const std::string id = conversation();
  const std::string elsewhere = conversation();
  const Message foreign = say(elsewhere, "theirs");
  const NewMessage wrong[] = {
      {.conversation_id = "AAAAAAAAAAAAAAAAAAAAAA", .content = "x"},
      {.conversation_id = id, .parent_id = foreign.id, .content = "x"},
      {.conversation_id = id, .content = std::string(kLimits.message_bytes_max + 1, 'x')},
      {.conversation_id = id, .content = "\xFF"},
      {.conversation_id = id, .content = "x", .settings = Value::Object{{"top_k", "many"}}},
      {.conversation_id = id, .content = "x", .attachment_ids = {"none"}}};
  for (const NewMessage& message : wrong) {
    const auto added = store_->add_message(message);
    ASSERT_FALSE(added.has_value());
    EXPECT_EQ(added.error().kind, ErrorKind::kUsage) << added.error().message;
  }
  EXPECT_THAT(value_of(store_->messages(id)), IsEmpty());
  EXPECT_FALSE(store_->change_conversation(id, {.leaf_id = foreign.id}).has_value());
  EXPECT_FALSE(store_->change_conversation(id, {.title = std::string(600, 'x')}).has_value());
  EXPECT_FALSE(value_of(store_->change_conversation("nobody", {.pinned = true})).has_value());
}

TEST_F(StoreTest, TextsComeBackByteForByte) {
  const std::string id = conversation();
  const std::string texts[] = {std::string("nul \0 inside", 12), "", "'; DROP TABLE messages; --",
                               "🐋 עברית 鯨\r\n\t", std::string(kLimits.message_bytes_max, 'x')};
  std::vector<std::string> ids;
  for (const std::string& text : texts) ids.push_back(say(id, text).id);
  open();
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(value_of(store_->message(ids[i]))->content, texts[i]);
  for (const std::string& message : ids) EXPECT_TRUE(value_of(store_->delete_message(message)));
  // The search index has followed, or this would find it damaged.
  auto database = value_of(Database::open(folder_.file(), {.create = false}));
  expect_ok(database->script(
      "INSERT INTO message_search(message_search, rank) VALUES ('integrity-check', 1)"));
}

TEST_F(StoreTest, TheFileIsItsOwnersAlone) {
  say(conversation(), "secret");
  for (const char* name : {"history.db", "history.db-wal", "history.db-shm"}) {
    struct stat status{};
    ASSERT_EQ(stat(folder_.file(name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << name;
  }
}

TEST_F(StoreTest, ABackupIsOneConsistentFileWhileWritingGoesOn) {
  const std::string id = conversation("kept");
  const Message question = say(id, "in the backup");
  const std::string gone = conversation("gone");
  say(gone, "a deleted secret");
  value_of(store_->delete_conversation(gone));
  const auto target = folder_.file("backup.db");
  expect_ok(write_backup(store_->path(), target));
  say(id, "after the backup", question.id);
  EXPECT_FALSE(write_backup(store_->path(), target).has_value());
  store_.reset();

  auto copy = value_of(Store::open({.path = target}));
  EXPECT_THAT(contents(value_of(copy->messages(id))), ElementsAre("in the backup"));
  EXPECT_EQ(value_of(copy->search("backup", 10)).size(), 1);
  EXPECT_THAT(copy->notices(), IsEmpty());
}

}  // namespace
}  // namespace minke::history
