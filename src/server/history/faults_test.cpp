// What becomes of the history when its file or its disk is at fault: a sentence each time, nothing
// acknowledged lost, and nothing of anybody else's touched.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "server/history/testing.h"

namespace minke::history {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_bytes(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::string> names_in(const fs::path& folder, const std::string& part) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.find(part) != std::string::npos) names.push_back(name);
  }
  return names;
}

class FaultsTest : public StoreTest {
 protected:
  // Enough for many pages.
  void fill() {
    for (int i = 0; i < 10; ++i) {
      const std::string id = conversation();
      Message last = say(id, std::string(5000, 'a') + std::to_string(i));
      say(id, "second", last.id);
    }
    store_.reset();
  }
};

TEST_F(FaultsTest, ADamagedFileIsSetAsideAndSaidSo) {
  fill();
  std::string bytes = bytes_of(folder_.file());
  ASSERT_GT(bytes.size(), 20'000);
  for (size_t at = 4096; at < bytes.size(); ++at) bytes[at] = static_cast<char>(at * 7);
  write_bytes(folder_.file(), bytes);
  open();
  ASSERT_THAT(store_->notices(), SizeIs(1));
  EXPECT_THAT(store_->notices()[0], HasSubstr("was damaged"));
  const auto aside = names_in(folder_.path(), "-damaged-");
  ASSERT_THAT(aside, SizeIs(1));
  EXPECT_THAT(store_->notices()[0], HasSubstr(aside[0]));
  EXPECT_EQ(bytes_of(folder_.path() / aside[0]), bytes);
  EXPECT_THAT(value_of(store_->conversations({})).conversations, IsEmpty());
  say(conversation(), "a new beginning");
  open();
  EXPECT_THAT(store_->notices(), IsEmpty());
  EXPECT_THAT(value_of(store_->conversations({})).conversations, SizeIs(1));
}

TEST_F(FaultsTest, AFileThatIsNoDatabaseIsSetAside) {
  store_.reset();
  write_bytes(folder_.file(), std::string(10'000, 'x'));
  open();
  EXPECT_THAT(store_->notices(), SizeIs(1));
  EXPECT_THAT(names_in(folder_.path(), "-damaged-"), SizeIs(1));
}

// What was never a history may be anything that its owner needs: a slip of the command line.
TEST_F(FaultsTest, AFileOfAnotherKindIsRefusedAndLeftAlone) {
  const std::string letter = "{\"not\": \"ours\"}";
  for (const std::string& bytes : {letter, std::string("x"), std::string(10'000, 'y')}) {
    const auto path = folder_.file("letter.json");
    write_bytes(path, bytes);
    const auto opened = Store::open({.path = path});
    ASSERT_FALSE(opened.has_value());
    EXPECT_THAT(opened.error().message, HasSubstr("give the history another name"));
    EXPECT_EQ(bytes_of(path), bytes);
    EXPECT_THAT(names_in(folder_.path(), "letter"), SizeIs(1)) << "nothing is left beside it";
  }
}

TEST_F(FaultsTest, ATruncatedFileIsSetAside) {
  fill();
  fs::resize_file(folder_.file(), fs::file_size(folder_.file()) / 2 / 4096 * 4096);
  open();
  EXPECT_THAT(store_->notices(), SizeIs(1));
}

TEST_F(FaultsTest, AnEmptyFileIsANewHistory) {
  store_.reset();
  for (const char* name : {"history.db", "history.db-wal", "history.db-shm"})
    fs::remove(folder_.file(name));
  write_bytes(folder_.file(), "");
  open();
  EXPECT_THAT(store_->notices(), IsEmpty());
}

TEST_F(FaultsTest, DamageThatIsMetOnTheWayIsFoundAtTheNextStart) {
  const std::string id = conversation();
  say(id, std::string(40'000, 'a'));
  store_.reset();
  // The pages of the long text point to the next one with their first four bytes.
  std::string bytes = bytes_of(folder_.file());
  const size_t page = bytes.find(std::string(4092, 'a'), 4096) / 4096 * 4096;
  ASSERT_LT(page, bytes.size());
  bytes.replace(page, 4, "\x7F\x7F\x7F\x7F");
  write_bytes(folder_.file(), bytes);
  // Too large to be looked over at every start.
  const auto start = [&] {
    return value_of(Store::open({.path = folder_.file(), .check_bytes_max = 0}));
  };
  auto store = start();
  EXPECT_THAT(store->notices(), IsEmpty());
  const auto messages = store->messages(id);
  ASSERT_FALSE(messages.has_value());
  EXPECT_THAT(messages.error().message, HasSubstr("is damaged"));
  store.reset();
  store = start();
  EXPECT_THAT(store->notices(), SizeIs(1));
  EXPECT_THAT(names_in(folder_.path(), "-damaged-"), SizeIs(1));
  store.reset();
  store = start();
  EXPECT_THAT(store->notices(), IsEmpty());
}

TEST_F(FaultsTest, AFileOfANewerVersionIsRefusedAndLeftAlone) {
  store_.reset();
  {
    auto database = value_of(Database::open(folder_.file(), {}));
    expect_ok(database->script("PRAGMA user_version = 99"));
  }
  const std::string before = bytes_of(folder_.file());
  const auto opened = Store::open({.path = folder_.file()});
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().message, HasSubstr("was written by a newer minke (version 99"));
  EXPECT_EQ(bytes_of(folder_.file()), before);
}

TEST_F(FaultsTest, AnSqliteFileOfSomebodyElseIsRefusedAndLeftAlone) {
  const fs::path other = folder_.file("other.db");
  {
    auto database = value_of(Database::open(other, {}));
    expect_ok(database->script("CREATE TABLE things(a); INSERT INTO things VALUES (1)"));
  }
  const std::string before = bytes_of(other);
  const auto opened = Store::open({.path = other});
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().message, HasSubstr("no history of minke's"));
  EXPECT_EQ(bytes_of(other), before);
}

TEST_F(FaultsTest, AHistoryWithATriggerOfSomebodyElseIsRefused) {
  store_.reset();
  {
    auto database = value_of(Database::open(folder_.file(), {}));
    expect_ok(database->script(
        "CREATE TRIGGER spy AFTER INSERT ON messages BEGIN DELETE FROM folders; END"));
  }
  const auto opened = Store::open({.path = folder_.file()});
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().message, HasSubstr("no history of minke's"));
}

TEST_F(FaultsTest, TwoServersCannotHaveOneHistory) {
  const auto second = Store::open({.path = folder_.file()});
  ASSERT_FALSE(second.has_value());
  EXPECT_THAT(second.error().message, HasSubstr("in use by another minke"));
}

TEST_F(FaultsTest, AFolderThatCannotBeMadeIsNamed) {
  write_bytes(folder_.file("plain"), "x");
  const auto opened = Store::open({.path = folder_.path() / "plain" / "history.db"});
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().message, HasSubstr("plain"));
}

// Runs in a child with a file system of its own in `folder`; its exit status is the verdict.
template <typename Body>
void with_small_disk(const fs::path& folder, const Body& body) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const uid_t user = getuid();
    if (unshare(CLONE_NEWNS) != 0) {
      if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(77);
      write_bytes("/proc/self/uid_map", "0 " + std::to_string(user) + " 1");
    }
    if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) _exit(77);
    if (mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=1m") != 0) _exit(77);
    body();
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this user may not mount a disk for itself";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Disk, ThatIsFullFailsASaveAndLosesNothing) {
  TestFolder folder;
  with_small_disk(folder.path(), [&] {
    const fs::path path = folder.file();
    auto store = value_of(Store::open({.path = path}));
    const std::string id = value_of(store->create_conversation({})).id;
    std::vector<std::string> kept;
    std::string sentence;
    for (int i = 0; i < 1000 && sentence.empty(); ++i) {
      const auto added =
          store->add_message({.conversation_id = id, .content = std::string(20'000, 'x')});
      if (added) {
        kept.push_back(added->id);
      } else {
        sentence = added.error().message;
      }
    }
    EXPECT_THAT(sentence, HasSubstr("make room"));
    EXPECT_GT(kept.size(), 3);
    // Reading goes on; and so does writing once there is room.
    EXPECT_EQ(value_of(store->messages(id)).size(), kept.size());
    store.reset();
    EXPECT_EQ(mount("none", folder.path().c_str(), nullptr, MS_REMOUNT, "size=8m"), 0);
    store = value_of(Store::open({.path = path}));
    EXPECT_THAT(store->notices(), IsEmpty());
    EXPECT_EQ(value_of(store->messages(id)).size(), kept.size());
    value_of(store->add_message({.conversation_id = id, .content = "there is room again"}));
  });
}

TEST(Disk, ThatBecomesReadOnlyFailsASaveAndAStart) {
  TestFolder folder;
  with_small_disk(folder.path(), [&] {
    const fs::path path = folder.file();
    auto store = value_of(Store::open({.path = path}));
    const std::string id = value_of(store->create_conversation({})).id;
    value_of(store->add_message({.conversation_id = id, .content = "kept"}));
    store.reset();
    EXPECT_EQ(mount("none", folder.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
    const auto again = Store::open({.path = path});
    EXPECT_FALSE(again.has_value());
    EXPECT_THAT(again.error().message, HasSubstr(path.string()));
  });
}

}  // namespace
}  // namespace minke::history
