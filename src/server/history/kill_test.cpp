// kill -9 at any moment loses nothing that was acknowledged: a child writes as a server does and
// tells each acknowledgement through a pipe, dies at a random moment, and what it told must all be
// there.
//
// MINKE_KILL_ROUNDS sets how often (25).
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <limits>
#include <map>
#include <thread>

#include "server/history/testing.h"

namespace minke::history {
namespace {

// One line for each acknowledgement: what, of which message, and a text.
void tell(int pipe, const std::string& line) {
  // Lines are shorter than PIPE_BUF: whole or not at all.
  if (write(pipe, line.data(), line.size()) != static_cast<ssize_t>(line.size())) _exit(3);
}

// Never returns. What fails ends it with a status of its own.
[[noreturn]] void write_for_ever(const std::filesystem::path& path, int pipe) {
  auto opened = Store::open({.path = path});
  if (!opened) _exit(1);
  Store& store = **opened;
  tell(pipe, "opened\n");
  for (int turn = 0;; ++turn) {
    auto conversation = store.create_conversation({});
    if (!conversation) _exit(2);
    const std::string text = "question " + std::to_string(turn);
    auto question = store.add_message({.conversation_id = conversation->id, .content = text});
    if (!question) _exit(2);
    tell(pipe, "message " + question->id + " " + text + "\n");
    auto answer = store.add_message({.conversation_id = conversation->id,
                                     .parent_id = question->id,
                                     .role = Role::kAssistant,
                                     .status = MessageStatus::kRunning});
    if (!answer) _exit(2);
    std::string content;
    for (int piece = 0; piece < 5; ++piece) {
      const std::string grown = "piece-" + std::to_string(piece) + ";";
      const Growth growth{.message_id = answer->id, .text = grown};
      if (!store.grow(std::span(&growth, 1))) _exit(2);
      content += grown;
      tell(pipe, "grown " + answer->id + " " + content + "\n");
    }
    if (!store.finish({.message_id = answer->id, .content = content + "end"})) _exit(2);
    tell(pipe, "message " + answer->id + " " + content + "end\n");
    if (turn % 3 == 2) {
      if (!store.delete_message(answer->id)) _exit(2);
      tell(pipe, "gone " + answer->id + " -\n");
    }
  }
}

// What was acknowledged last, by message.
struct Acknowledged {
  std::string what;
  std::string text;
};

// Reads on until there are so many lines, or to the end.
void read_lines(int pipe, std::string& all, int64_t lines) {
  char buffer[4096];
  while (std::count(all.begin(), all.end(), '\n') < lines) {
    const ssize_t got = read(pipe, buffer, sizeof buffer);
    if (got <= 0) return;
    all.append(buffer, static_cast<size_t>(got));
  }
}

std::map<std::string, Acknowledged> acknowledged_in(const std::string& all) {
  std::map<std::string, Acknowledged> told;
  size_t at = 0;
  for (size_t end = 0; (end = all.find('\n', at)) != std::string::npos; at = end + 1) {
    const std::string line = all.substr(at, end - at);
    if (line == "opened") continue;
    const size_t id = line.find(' ') + 1;
    const size_t text = line.find(' ', id) + 1;
    told[line.substr(id, text - 1 - id)] = {.what = line.substr(0, id - 1),
                                            .text = line.substr(text)};
  }
  return told;
}

void expect_kept(Store& store, const std::map<std::string, Acknowledged>& told) {
  for (const auto& [id, acknowledged] : told) {
    const auto message = value_of(store.message(id));
    if (acknowledged.what == "gone") {
      EXPECT_FALSE(message.has_value()) << id;
      continue;
    }
    // What the child was killed between doing and telling may be there or not; a deletion likewise.
    if (!message) {
      EXPECT_TRUE(acknowledged.what == "message" && acknowledged.text.ends_with("end")) << id;
      continue;
    }
    EXPECT_TRUE(message->content.starts_with(acknowledged.text))
        << "told " << acknowledged.text << ", found " << message->content;
    EXPECT_NE(message->status, MessageStatus::kRunning);
  }
}

TEST(Kill, LosesNothingThatWasAcknowledged) {
  const char* rounds_text = std::getenv("MINKE_KILL_ROUNDS");
  const int rounds = rounds_text == nullptr ? 25 : std::atoi(rounds_text);
  TestFolder folder;
  size_t messages = 0;
  uint32_t random = 12345;
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      write_for_ever(folder.file(), ends[1]);
    }
    close(ends[1]);
    random = random * 1664525U + 1013904223U;
    // Some die while they open; the others have said something, more or less.
    std::string all;
    read_lines(ends[0], all, random >> 16U & 31U);
    std::this_thread::sleep_for(std::chrono::microseconds((random >> 8U) % 5'000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer failed with " << WEXITSTATUS(status);
    read_lines(ends[0], all, std::numeric_limits<int64_t>::max());
    const auto told = acknowledged_in(all);
    close(ends[0]);
    messages += told.size();

    auto opened = Store::open({.path = folder.file()});
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    EXPECT_TRUE((*opened)->notices().empty()) << (*opened)->notices().front();
    expect_kept(**opened, told);
    if (HasFailure()) return;
  }
  EXPECT_GT(messages, static_cast<size_t>(rounds));
}

}  // namespace
}  // namespace minke::history
