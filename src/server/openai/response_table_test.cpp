#include <gtest/gtest.h>

#include "server/openai/responses.h"

namespace minke::server {
namespace {

ResponseTable::Kept kept(const std::string& key, const std::string& text) {
  return {.key = key,
          .response = Value(Value::Object{{"id", text}}),
          .input = {},
          .turns = {{.role = "user", .content = text, .reasoning = {}}},
          .asking = {}};
}

TEST(ResponseTable, OthersKeysSeeNothing) {
  ResponseTable table(10, 1 << 20);
  table.keep("resp_1", kept("anna", "hers"));
  EXPECT_EQ(table.find("resp_1", "anna")->turns.front().content, "hers");
  EXPECT_FALSE(table.find("resp_1", "bert"));
  EXPECT_FALSE(table.remove("resp_1", ""));
  EXPECT_TRUE(table.remove("resp_1", "anna"));
  EXPECT_FALSE(table.find("resp_1", "anna"));
}

TEST(ResponseTable, TheLeastRecentlyUsedMakeRoom) {
  ResponseTable table(2, 1 << 20);
  table.keep("a", kept("", "1"));
  table.keep("b", kept("", "2"));
  EXPECT_TRUE(table.find("a", ""));
  table.keep("c", kept("", "3"));
  EXPECT_TRUE(table.find("a", ""));
  EXPECT_FALSE(table.find("b", ""));
}

TEST(ResponseTable, HoldsNoMoreBytesThanItMay) {
  constexpr size_t kBytesMax = 4096;
  ResponseTable table(100, kBytesMax);
  for (const char* id : {"a", "b", "c", "d"}) table.keep(id, kept("", std::string(800, 'x')));
  EXPECT_FALSE(table.find("a", ""));
  EXPECT_TRUE(table.find("d", ""));
  table.keep("e", kept("", std::string(2 * kBytesMax, 'x')));
  EXPECT_FALSE(table.find("e", ""));
  EXPECT_TRUE(table.find("d", "")) << "what is too large itself pushes nothing out";
}

// Its client may delete a response while it is being answered: it stays deleted.
TEST(ResponseTable, WhatWasDeletedDoesNotComeBack) {
  ResponseTable table(10, 1 << 20);
  table.keep("a", kept("", "begun"));
  table.update("a", kept("", "done"));
  EXPECT_EQ(table.find("a", "")->turns.front().content, "done");
  EXPECT_TRUE(table.remove("a", ""));
  table.update("a", kept("", "done again"));
  EXPECT_FALSE(table.find("a", ""));
}

TEST(ResponseTable, ItemsAreFoundAsLongAsTheirResponse) {
  ResponseTable table(1, 1 << 20);
  ResponseTable::Kept with_item = kept("anna", "a");
  with_item.response = Value(Value::Object{
      {"output", Value(Value::Array{Value(Value::Object{{"id", "msg_1"}, {"type", "message"}})})}});
  table.keep("a", with_item);
  EXPECT_EQ(*table.find_item("msg_1", "anna")->find("type"), Value("message"));
  EXPECT_FALSE(table.find_item("msg_1", "bert"));
  table.keep("b", kept("anna", "b"));
  EXPECT_FALSE(table.find_item("msg_1", "anna"));
}

}  // namespace
}  // namespace minke::server
