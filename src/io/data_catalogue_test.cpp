// Data sets by name: which file is taken, and that nothing wrong gets a file's name.
#include "io/data_catalogue.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <thread>

#include "io/sha256.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class Silent : public PullObserver {
 public:
  void say(const std::string&) override {}
  void progress(const PullProgress&) override {}
  bool stop_wanted() override { return false; }
};

// Answers every request on this machine with the same bytes, until it goes.
class OneAnswer {
 public:
  OneAnswer(int status, std::string body) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(socket_, generic, size), 0);
    EXPECT_EQ(listen(socket_, 8), 0);
    EXPECT_EQ(getsockname(socket_, generic, &size), 0);
    port_ = ntohs(address.sin_port);
    const std::string answer =
        fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", status,
                    body.size()) +
        body;
    thread_ = std::thread([this, answer] {
      while (true) {
        const int client = accept(socket_, nullptr, nullptr);
        if (client < 0) return;
        char request[4096];
        if (read(client, request, sizeof request) > 0) {
          [[maybe_unused]] const auto sent = write(client, answer.data(), answer.size());
        }
        close(client);
      }
    });
  }
  ~OneAnswer() {
    shutdown(socket_, SHUT_RDWR);
    thread_.join();
    close(socket_);
  }
  std::string address(const std::string& path) const {
    return fmt::format("http://127.0.0.1:{}/{}", port_, path);
  }

 private:
  int socket_;
  int port_ = 0;
  std::thread thread_;
};

std::string sha256_of(const std::string& text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.finish_hex();
}

class DataCatalogueTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "minke-data-sets-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    setenv("XDG_CACHE_HOME", folder_.c_str(), 1);
    unsetenv("MINKE_DATA");
  }
  void TearDown() override {
    unsetenv("XDG_CACHE_HOME");
    unsetenv("MINKE_DATA");
    fs::remove_all(folder_);
  }
  static DataSet set_of(const std::string& address, const std::string& text) {
    return {
        .name = "toy",
        .licence = "none",
        .description = "",
        .files = {{"text/toy.txt", address, static_cast<int64_t>(text.size()), sha256_of(text)}}};
  }
  static std::string error_of(const DataSet& set) {
    Silent observer;
    const auto pulled = pull_data_set(set, {}, observer);
    return pulled ? "no error" : pulled.error().message;
  }
  static std::string read(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path folder_;
};

TEST_F(DataCatalogueTest, EveryFileIsKnownExactlyAndOnce) {
  std::set<std::string> files;
  for (const DataSet& set : data_catalogue()) {
    EXPECT_FALSE(set.files.empty() || set.licence.empty() || set.description.empty()) << set.name;
    for (const DataSetFile& file : set.files) {
      EXPECT_TRUE(files.insert(file.file).second) << file.file;
      EXPECT_TRUE(is_sha256_hex(file.sha256)) << file.file;
      EXPECT_GT(file.bytes, 0);
      EXPECT_TRUE(file.address.empty() || file.address.starts_with("https://")) << file.file;
    }
  }
  EXPECT_EQ((*find_data_set("gsm8k"))->files.size(), 2u);
  EXPECT_THAT(find_data_set("gsm8").error().message, HasSubstr("did you mean gsm8k"));
}

TEST_F(DataCatalogueTest, MinkeDataComesFirstAndThenTheCache) {
  const auto found = [] { return data_set_file("names", "text/names.txt"); };
  EXPECT_THAT(found().error().message, HasSubstr("minke data pull names"));
  const fs::path cached = folder_ / "minke/data/text/names.txt";
  fs::create_directories(cached.parent_path());
  std::ofstream(cached) << "a";
  EXPECT_EQ(*found(), cached.string());
  const fs::path own = folder_ / "own/text/names.txt";
  setenv("MINKE_DATA", (folder_ / "own").c_str(), 1);
  EXPECT_EQ(*found(), cached.string());
  fs::create_directories(own.parent_path());
  std::ofstream(own) << "b";
  EXPECT_EQ(*found(), own.string());
}

TEST_F(DataCatalogueTest, PullsOnceAndChecks) {
  const std::string text = "to be or not to be\n";
  const fs::path target = folder_ / "minke/data/text/toy.txt";
  DataSet set;
  {
    const OneAnswer server(200, text);
    set = set_of(server.address("toy.txt"), text);
    EXPECT_EQ(error_of(set), "no error");
    EXPECT_EQ(read(target), text);
  }
  EXPECT_EQ(error_of(set), "no error") << "it is there, and no server is needed";
  fs::remove(target);
  EXPECT_THAT(error_of(set), HasSubstr("check the network"));
}

TEST_F(DataCatalogueTest, WhatIsPackedThereIsUnpackedHere) {
  const std::string text(5000, 'a');
  const fs::path packed = folder_ / "packed.gz";
  gzFile file = gzopen(packed.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  const OneAnswer server(200, read(packed));
  EXPECT_EQ(error_of(set_of(server.address("toy.txt.gz"), text)), "no error");
  EXPECT_EQ(read(folder_ / "minke/data/text/toy.txt"), text);
  EXPECT_THAT(error_of({.name = "", .files = {{"x.txt", server.address("x.gz"), 6000, "-"}}}),
              HasSubstr("does not unpack to the 6000 bytes"));
}

TEST_F(DataCatalogueTest, WhatIsWrongIsThrownAway) {
  const std::string text = "right";
  {
    const OneAnswer server(200, "wrong");
    EXPECT_THAT(error_of(set_of(server.address("toy.txt"), text)), HasSubstr("expected 5 and"));
  }
  {
    const OneAnswer server(200, "longer than right");
    EXPECT_THAT(error_of(set_of(server.address("toy.txt"), text)), HasSubstr("sends more than"));
  }
  {
    const OneAnswer server(404, "no");
    EXPECT_THAT(error_of(set_of(server.address("toy.txt"), text)), HasSubstr("answers 404"));
  }
  EXPECT_THAT(error_of(set_of("http://example.com/x", text)), HasSubstr("is no https address"));
  EXPECT_THAT(error_of(set_of("", text)), HasSubstr("put it into the folder that MINKE_DATA"));
  EXPECT_FALSE(fs::exists(folder_ / "minke/data/text/toy.txt"));
}

}  // namespace
}  // namespace minke
