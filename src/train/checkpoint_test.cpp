// Checkpoints survive what happens to a run: kills, full disks, damage; and give back every bit.
//
// MINKE_KILL_ROUNDS sets how often the writer is killed (200).
#include "train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

namespace minke {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class TestFolder {
 public:
  TestFolder() {
    std::string name = (fs::temp_directory_path() / "minke-checkpoint-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  ~TestFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

CheckpointWriter open_writer(const fs::path& run, int keep = 2) {
  auto writer = CheckpointWriter::open(run, keep);
  if (!writer) {
    ADD_FAILURE() << writer.error().message;
    std::abort();
  }
  return *std::move(writer);
}

// A checkpoint whose every value follows from its step.
Status save_step(CheckpointWriter& writer, int64_t step, size_t values = 300) {
  const std::vector<float> weights(values, static_cast<float>(step));
  const std::vector<uint16_t> bits(8, static_cast<uint16_t>(step));
  const SafetensorView model[] = {
      SafetensorView::f32("blk.0.weight", {static_cast<int64_t>(values) / 3, 3}, weights),
      SafetensorView::bf16("blk.1.weight", {2, 2, 2}, bits)};
  const SafetensorView optimizer[] = {
      SafetensorView::f32("blk.0.weight.first", {static_cast<int64_t>(values)}, weights)};
  return writer.save(model, optimizer,
                     {.step = step,
                      .data = {.epoch = 1, .example = step * 10, .token = 2},
                      .counters = {{"dropout", UINT64_MAX - static_cast<uint64_t>(step)}},
                      .notes = {{"loss", 0.1}, {"step", step}}});
}

void save_or_fail(CheckpointWriter& writer, int64_t step) {
  const Status saved = save_step(writer, step);
  EXPECT_TRUE(saved) << saved.error().message;
}

std::optional<Checkpoint> load(const fs::path& run) {
  auto loaded = load_latest_checkpoint(run);
  if (!loaded) {
    ADD_FAILURE() << loaded.error().message;
    return std::nullopt;
  }
  return *std::move(loaded);
}

void expect_step(const Checkpoint& checkpoint, int64_t step) {
  EXPECT_EQ(checkpoint.state.step, step);
  EXPECT_EQ(checkpoint.state.data, (DataPosition{.epoch = 1, .example = step * 10, .token = 2}));
  EXPECT_EQ(checkpoint.state.counters.at("dropout"), UINT64_MAX - static_cast<uint64_t>(step));
  EXPECT_EQ(checkpoint.state.notes["step"].get<int64_t>(), step);
  EXPECT_EQ(checkpoint.state.notes["loss"].get<double>(), 0.1);
  std::vector<float> values(300);
  const Status copied = copy_tensor(checkpoint.weights, "blk.0.weight", {100, 3}, values);
  ASSERT_TRUE(copied) << copied.error().message;
  EXPECT_THAT(values, testing::Each(static_cast<float>(step)));
  ASSERT_TRUE(copy_tensor(checkpoint.optimizer, "blk.0.weight.first", {300}, values));
  EXPECT_THAT(values, testing::Each(static_cast<float>(step)));
  const Safetensor* bf16 = checkpoint.weights.find("blk.1.weight");
  ASSERT_NE(bf16, nullptr);
  EXPECT_EQ(bf16->type, SafetensorType::kBF16);
  EXPECT_EQ(bf16->shape, (Shape{2, 2, 2}));
  uint16_t bits = 0;
  std::memcpy(&bits, bf16->data + 14, sizeof bits);
  EXPECT_EQ(bits, static_cast<uint16_t>(step));
}

std::vector<std::string> names_in(const fs::path& run) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

TEST(Checkpoint, GivesBackWhatWasSaved) {
  TestFolder run;
  EXPECT_FALSE(load(run.path()).has_value());
  CheckpointWriter writer = open_writer(run.path());
  EXPECT_FALSE(load(run.path()).has_value());
  for (const int64_t step : {5, 1'000'000, 2'000'000}) save_or_fail(writer, step);
  const auto checkpoint = load(run.path());
  ASSERT_TRUE(checkpoint.has_value());
  expect_step(*checkpoint, 2'000'000);
  EXPECT_THAT(checkpoint->warnings, IsEmpty());
  EXPECT_THAT(names_in(run.path()), ElementsAre("lock", "step-1000000", "step-2000000"));
}

TEST(Checkpoint, NotANumberAndNegativeZeroKeepTheirBits) {
  TestFolder run;
  const uint32_t bits[] = {0x7fc12345u, 0x80000000u, 0xff800000u, 1u};
  float values[4];
  std::memcpy(values, bits, sizeof bits);
  CheckpointWriter writer = open_writer(run.path());
  const SafetensorView tensor[] = {SafetensorView::f32("a \"name\"\n", {4}, values)};
  ASSERT_TRUE(writer.save(tensor, {}, {.step = 1}));
  float loaded[4];
  ASSERT_TRUE(copy_tensor(load(run.path())->weights, "a \"name\"\n", {4}, loaded));
  EXPECT_EQ(std::memcmp(loaded, bits, sizeof bits), 0);
}

TEST(Checkpoint, EveryDamagedFileLeadsBackToTheOneBefore) {
  for (const char* name :
       {"weights.safetensors", "optimizer.safetensors", "state.json", "manifest.json"}) {
    for (const char* damage : {"flip", "cut", "gone"}) {
      SCOPED_TRACE(std::string(name) + " " + damage);
      TestFolder run;
      CheckpointWriter writer = open_writer(run.path());
      save_or_fail(writer, 1);
      save_or_fail(writer, 2);
      const fs::path file = run.path() / "checkpoints/step-000002" / name;
      if (damage == std::string("gone")) {
        fs::remove(file);
      } else if (damage == std::string("cut")) {
        fs::resize_file(file, fs::file_size(file) - 10);
      } else {
        std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
        stream.seekp(static_cast<std::streamoff>(fs::file_size(file) / 2));
        stream.put('\x01');
      }
      const auto checkpoint = load(run.path());
      ASSERT_TRUE(checkpoint.has_value());
      expect_step(*checkpoint, 1);
      ASSERT_THAT(checkpoint->warnings, SizeIs(1));
      EXPECT_THAT(checkpoint->warnings[0], HasSubstr("the checkpoint of step 2 cannot be used: "));
      EXPECT_THAT(checkpoint->warnings[0], HasSubstr(file.string()));
      // The run goes on from there, and its next checkpoint takes the place of the damaged one.
      save_or_fail(writer, 2);
      expect_step(*load(run.path()), 2);
      fs::remove(run.path() / "checkpoints/step-000001/manifest.json");
      fs::remove(run.path() / "checkpoints/step-000002/manifest.json");
      const auto none = load_latest_checkpoint(run.path());
      ASSERT_FALSE(none);
      EXPECT_THAT(none.error().message, HasSubstr("none of 2 checkpoints is whole"));
    }
  }
}

TEST(Checkpoint, GoingBackTakesLaterOnesAway) {
  TestFolder run;
  CheckpointWriter writer = open_writer(run.path());
  save_or_fail(writer, 10);
  save_or_fail(writer, 20);
  save_or_fail(writer, 15);
  expect_step(*load(run.path()), 15);
  EXPECT_THAT(names_in(run.path()), ElementsAre("lock", "step-000010", "step-000015"));
}

TEST(Checkpoint, ATensorOfAnotherFormIsRefused) {
  TestFolder run;
  CheckpointWriter writer = open_writer(run.path());
  save_or_fail(writer, 1);
  const auto checkpoint = load(run.path());
  std::vector<float> values(300);
  const auto error_of = [&](const char* name, const Shape& shape) {
    const auto room = std::span(values).first(static_cast<size_t>(shape.count()));
    const Status copied = copy_tensor(checkpoint->weights, name, shape, room);
    return copied ? "no error" : copied.error().message;
  };
  EXPECT_EQ(error_of("nothing", {3}), "the checkpoint has no tensor 'nothing'");
  EXPECT_EQ(error_of("blk.0.weight", {3, 100}),
            "the checkpoint's tensor 'blk.0.weight' is fp32 [100, 3], expected fp32 [3, 100]");
  EXPECT_EQ(error_of("blk.1.weight", {2, 2, 2}),
            "the checkpoint's tensor 'blk.1.weight' is of another type, [2, 2, 2], expected fp32 "
            "[2, 2, 2]");
}

TEST(Checkpoint, OnlyOneProcessTrainsIntoAFolder) {
  TestFolder run;
  {
    CheckpointWriter writer = open_writer(run.path());
    const auto second = CheckpointWriter::open(run.path(), 2);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().message, HasSubstr("another minke trains into this folder"));
  }
  EXPECT_TRUE(CheckpointWriter::open(run.path(), 2));
}

// What a kill between the manifest and the rename leaves is finished; what is less is cleared away.
TEST(Checkpoint, OpeningFinishesWhatWasWholeAndClearsTheRest) {
  TestFolder run;
  {
    CheckpointWriter writer = open_writer(run.path(), 3);
    for (const int64_t step : {1, 2, 3}) save_or_fail(writer, step);
  }
  const fs::path folder = run.path() / "checkpoints";
  fs::rename(folder / "step-000003", folder / "step-000003.writing");
  fs::create_directory(folder / "step-000004.writing");
  std::ofstream(folder / "step-000004.writing/weights.safetensors.partial") << "half";
  fs::remove(folder / "step-000001/manifest.json");
  CheckpointWriter writer = open_writer(run.path(), 3);
  expect_step(*load(run.path()), 3);
  EXPECT_THAT(names_in(run.path()), ElementsAre("lock", "step-000002", "step-000003"));
}

// Saves for ever and tells each acknowledged step. Never returns.
[[noreturn]] void save_for_ever(const fs::path& run, int pipe) {
  auto latest = load_latest_checkpoint(run);
  if (!latest) _exit(1);
  auto writer = CheckpointWriter::open(run, 2);
  if (!writer) _exit(2);
  latest = load_latest_checkpoint(run);
  if (!latest) _exit(1);
  for (int64_t step = *latest ? (*latest)->state.step + 1 : 1;; ++step) {
    // Some of them again, as a run does that is told to save at its end.
    for (int times = step % 3 == 0 ? 2 : 1; times > 0; --times) {
      if (!save_step(*writer, step)) _exit(3);
    }
    if (write(pipe, &step, sizeof step) != sizeof step) _exit(4);
  }
}

TEST(Checkpoint, AKillAtAnyMomentLeavesTheNewestWholeOne) {
  const char* rounds_text = std::getenv("MINKE_KILL_ROUNDS");
  const int rounds = rounds_text == nullptr ? 200 : std::atoi(rounds_text);
  TestFolder run;
  uint32_t random = 12345;
  int64_t acknowledged = 0;
  for (int round = 0; round < rounds && !HasFailure(); ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      save_for_ever(run.path(), ends[1]);
    }
    close(ends[1]);
    random = random * 1664525U + 1013904223U;
    // Some die while they open, others in their second or third checkpoint.
    int64_t step = 0;
    for (uint32_t left = (random >> 16U) % 3; left > 0; --left) {
      if (read(ends[0], &step, sizeof step) == sizeof step) acknowledged = step;
    }
    std::this_thread::sleep_for(std::chrono::microseconds((random >> 8U) % 20'000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer failed with " << WEXITSTATUS(status);
    while (read(ends[0], &step, sizeof step) == sizeof step) acknowledged = step;
    close(ends[0]);
    CheckpointWriter writer = open_writer(run.path());
    const auto checkpoint = load(run.path());
    if (acknowledged == 0 && !checkpoint) continue;
    ASSERT_TRUE(checkpoint.has_value()) << "round " << round;
    EXPECT_GE(checkpoint->state.step, acknowledged);
    expect_step(*checkpoint, checkpoint->state.step);
    EXPECT_THAT(checkpoint->warnings, IsEmpty());
  }
  EXPECT_GT(acknowledged, rounds / 2);
}

TEST(Checkpoint, AFullDiskCostsOneSentenceAndNothingElse) {
  TestFolder run;
  CheckpointWriter writer = open_writer(run.path());
  save_or_fail(writer, 1);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {50'000, 50'000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(77);
    const Status saved = save_step(writer, 2, 30'000);
    const std::string why = saved ? "saved" : saved.error().message;
    const bool told = why.starts_with(
                          "the checkpoint of step 2 was not saved, and those before "
                          "it are as they were: cannot write ") &&
                      why.contains("weights.safetensors.partial beyond byte 50000");
    if (!told) std::fprintf(stderr, "%s\n", why.c_str());
    _exit(told ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  expect_step(*load(run.path()), 1);
  EXPECT_THAT(names_in(run.path()), ElementsAre("lock", "step-000001"));
  save_or_fail(writer, 2);
  expect_step(*load(run.path()), 2);
}

}  // namespace
}  // namespace minke
