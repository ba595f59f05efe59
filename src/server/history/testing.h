// What the history's tests share: a folder that goes away, a store in it with a clock that is set,
// and short ways to say things.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "server/history/store.h"

namespace minke::history {

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "minke-history-XXXXXX").string();
    const char* made = mkdtemp(name.data());
    EXPECT_NE(made, nullptr);
    path_ = name;
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const std::string& name = "history.db") const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// The value, or the test fails with the error's sentence (and a value of nothing goes on).
template <typename T>
T value_of(Result<T> result) {
  if (!result) {
    ADD_FAILURE() << result.error().message;
    return T();
  }
  return *std::move(result);
}
inline void expect_ok(const Status& status) {
  EXPECT_TRUE(status.has_value()) << status.error().message;
}

class StoreTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void open() {
    store_.reset();
    auto opened = Store::open({.path = folder_.file(), .now_ms = [this] { return now_ms_; }});
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    store_ = *std::move(opened);
  }

  std::string conversation(const std::string& title = "") {
    return value_of(store_->create_conversation({.title = title})).id;
  }
  Message say(const std::string& conversation_id, const std::string& content,
              std::optional<std::string> parent_id = std::nullopt) {
    return value_of(store_->add_message({.conversation_id = conversation_id,
                                         .parent_id = std::move(parent_id),
                                         .content = content}));
  }
  Message start_answer(const std::string& conversation_id, const std::string& parent_id) {
    return value_of(store_->add_message({.conversation_id = conversation_id,
                                         .parent_id = parent_id,
                                         .role = Role::kAssistant,
                                         .status = MessageStatus::kRunning,
                                         .model = "toy",
                                         .generation_id = new_id()}));
  }

  TestFolder folder_;
  int64_t now_ms_ = 1'800'000'000'000;
  std::unique_ptr<Store> store_;
};

}  // namespace minke::history
