#include "quantize/quantize.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>

#include "io/gguf_writer.h"
#include "models/hf_folder.h"
#include "models/synth.h"

namespace minke {
namespace {
namespace fs = std::filesystem;

std::string read_all(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class QuantizeTest : public testing::Test {
 protected:
  QuantizeTest() : folder_(testing::TempDir() + "minke-quantize-" + std::to_string(getpid())) {
    fs::create_directories(folder_);
  }
  ~QuantizeTest() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string synth(const std::string& shape, const std::string& quant) const {
    const std::string out = path(shape + quant + ".gguf");
    EXPECT_TRUE(write_synth({.shape = shape, .quant = quant}, out).has_value());
    return out;
  }
  static GgufFile open(const std::string& at) {
    auto file = open_checkpoint(at);
    EXPECT_TRUE(file.has_value()) << (file ? "" : file.error().message);
    return *std::move(file);
  }
  static QuantizeRequest request(std::string_view recipe) {
    return {.recipe = *Recipe::parse(recipe)};
  }
  static QuantizePlan plan(const GgufFile& from, const QuantizeRequest& how) {
    auto made = plan_quantize(from, how);
    EXPECT_TRUE(made.has_value()) << (made ? "" : made.error().message);
    return *std::move(made);
  }
  // Stops when `stop_after` calls of progress have come.
  static Result<QuantizeEnd> store(const std::string& from, std::string_view recipe,
                                   const std::string& out, int threads = 2,
                                   int stop_after = std::numeric_limits<int>::max(),
                                   uint64_t* resumed = nullptr) {
    const GgufFile file = open(from);
    ThreadPool pool(threads);
    int calls = 0;
    return quantize(file, plan(file, request(recipe)), nullptr, out, pool,
                    [&](const QuantizeProgress& at) {
                      if (resumed != nullptr) *resumed = at.resumed;
                      return ++calls < stop_after;
                    });
  }

  fs::path folder_;
};

TEST_F(QuantizeTest, TheSameBytesForAnyNumberOfThreads) {
  const std::string from = synth("tiny-deepseek-v3", "F16");
  for (const char* type : {"Q4_K_M", "MOE_Q2_K", "IQ4_XS", "MXFP4"}) {
    ASSERT_TRUE(store(from, type, path("one.gguf"), 1).has_value());
    ASSERT_TRUE(store(from, type, path("three.gguf"), 3).has_value());
    EXPECT_EQ(read_all(path("one.gguf")), read_all(path("three.gguf"))) << type;
  }
}

TEST_F(QuantizeTest, AStoppedRunGoesOnAndGivesTheSameBytes) {
  const std::string from = synth("tiny-qwen2", "F16");
  ASSERT_TRUE(store(from, "Q4_K_M", path("whole.gguf")).has_value());
  uint64_t resumed_before = 0;
  for (const int stop_after : {1, 5, 9}) {
    const auto end = store(from, "Q4_K_M", path("out.gguf"), 2, stop_after);
    ASSERT_TRUE(end.has_value());
    EXPECT_EQ(*end, QuantizeEnd::kStopped);
    EXPECT_FALSE(fs::exists(path("out.gguf")));
    EXPECT_TRUE(fs::exists(path("out.gguf.partial")));
  }
  ASSERT_TRUE(store(from, "Q4_K_M", path("out.gguf"), 2, 1000, &resumed_before).has_value());
  EXPECT_GT(resumed_before, 0u);
  EXPECT_EQ(read_all(path("out.gguf")), read_all(path("whole.gguf")));
  EXPECT_FALSE(fs::exists(path("out.gguf.partial")));
  EXPECT_FALSE(fs::exists(path("out.gguf.partial.state")));
}

TEST_F(QuantizeTest, WhatWasWrittenBehindTheLastCheckpointIsWrittenAgain) {
  const std::string from = synth("tiny-qwen2", "F16");
  ASSERT_TRUE(store(from, "Q5_0", path("whole.gguf")).has_value());
  ASSERT_TRUE(store(from, "Q5_0", path("out.gguf"), 2, 4).has_value());
  // As a crash would leave it: noise where nothing was promised.
  std::ofstream(path("out.gguf.partial"), std::ios::app | std::ios::binary)
      << std::string(5000, 'x');
  ASSERT_TRUE(store(from, "Q5_0", path("out.gguf")).has_value());
  EXPECT_EQ(read_all(path("out.gguf")), read_all(path("whole.gguf")));
}

TEST_F(QuantizeTest, OtherOptionsOrAnotherInputBeginAnew) {
  const std::string from = synth("tiny-qwen2", "F16");
  uint64_t resumed = 1;
  ASSERT_TRUE(store(from, "Q4_0", path("out.gguf"), 2, 6).has_value());
  ASSERT_TRUE(store(from, "Q4_1", path("out.gguf"), 2, 6, &resumed).has_value());
  EXPECT_EQ(resumed, 0u);
  ASSERT_TRUE(store(from, "Q4_1", path("out.gguf"), 2, 2, &resumed).has_value());
  EXPECT_GT(resumed, 0u);
  // The same name and size, but written again.
  fs::last_write_time(from, fs::last_write_time(from) + std::chrono::seconds(7));
  ASSERT_TRUE(store(from, "Q4_1", path("out.gguf"), 2, 1000, &resumed).has_value());
  EXPECT_EQ(resumed, 0u);
  ASSERT_TRUE(store(from, "Q4_1", path("whole.gguf")).has_value());
  EXPECT_EQ(read_all(path("out.gguf")), read_all(path("whole.gguf")));
}

TEST_F(QuantizeTest, AStateThatPromisesMoreThanThereIsCountsForNothing) {
  const std::string from = synth("tiny-qwen2", "F16");
  ASSERT_TRUE(store(from, "Q4_0", path("out.gguf"), 2, 6).has_value());
  fs::resize_file(path("out.gguf.partial"), 100);
  uint64_t resumed = 1;
  ASSERT_TRUE(store(from, "Q4_0", path("out.gguf"), 2, 1000, &resumed).has_value());
  EXPECT_EQ(resumed, 0u);
}

// Whatever the name under which it would be: by itself, by a link, as a part, in a folder.
TEST_F(QuantizeTest, WhatIsReadIsNotWrittenOver) {
  const std::string from = synth("tiny-qwen2", "F16");
  const std::string before = read_all(from);
  for (const std::string end : {"", ".partial", ".partial.state", ".partial.state.partial"}) {
    for (const bool symbolic : {false, true}) {
      const std::string link = path("out.gguf" + end);
      symbolic ? fs::create_symlink(from, link) : fs::create_hard_link(from, link);
      for (const std::string& in : {from, link}) {
        const auto stored = store(in, "Q4_0", path("out.gguf"));
        ASSERT_FALSE(stored.has_value()) << link;
        EXPECT_EQ(stored.error().message,
                  link + " cannot be both IN and OUT" + end + "; choose another name");
      }
      EXPECT_EQ(read_all(from), before);
      fs::remove(link);
      EXPECT_TRUE(store(from, "Q4_0", path("out.gguf"), 2, 1).has_value()) << "without the link";
      for (const char* left : {"out.gguf.partial", "out.gguf.partial.state"})
        fs::remove(path(left));
    }
  }
}

TEST_F(QuantizeTest, NoPartOrFileOfAFolderOrMatrixIsWrittenOver) {
  const auto message = [&](const GgufFile& from, const ImportanceMatrix* importance,
                           const std::string& out) {
    const Status checked = check_output_names(from, importance, out);
    return checked ? std::string() : checked.error().message;
  };
  for (const uint64_t part : {0, 1}) {
    auto writer = GgufWriter::create(path(fmt::format("m-0000{}-of-00002.gguf", part + 1)));
    writer->set_value("split.no", {GgufType::kUint16, part});
    writer->set_value("split.count", {GgufType::kUint16, uint64_t{2}});
    writer->set_int32("split.tensors.count", 2);
    writer->add_tensor("t" + std::to_string(part), QuantType::kF32, {1});
    const float value = 1;
    ASSERT_TRUE(writer->begin_data().has_value());
    ASSERT_TRUE(writer->write(std::as_bytes(std::span(&value, 1))).has_value());
    ASSERT_TRUE(writer->finish().has_value());
  }
  const GgufFile split = open(path("m-00001-of-00002.gguf"));
  fs::create_hard_link(path("m-00002-of-00002.gguf"), path("s.gguf.partial"));
  EXPECT_NE(message(split, nullptr, path("s.gguf")).find("both IN and OUT.partial"),
            std::string::npos);
  EXPECT_EQ(message(split, nullptr, path("other.gguf")), "");

  const std::map<std::string, InputSums> sums = {
      {"t0", {.in_dim = 1, .squares = {2.0F}, .counts = {4}}}};
  ASSERT_TRUE(write_importance(path("m.imatrix.partial"), sums, {}).has_value());
  const auto importance = ImportanceMatrix::open(path("m.imatrix.partial"));
  ASSERT_TRUE(importance.has_value());
  EXPECT_NE(message(split, &*importance, path("m.imatrix"))
                .find("both the importance matrix and OUT.partial"),
            std::string::npos);
  EXPECT_EQ(message(split, &*importance, path("other.gguf")), "");

  const fs::path folder = path("llama");
  fs::copy(std::string(MINKE_SOURCE_DIR) + "/tests/golden/hf/llama", folder);
  fs::rename(folder / "model.safetensors", path("blob.partial"));
  fs::create_symlink(path("blob.partial"), folder / "model.safetensors");
  const GgufFile model = open(folder);
  EXPECT_NE(message(model, nullptr, path("blob")).find("both IN and OUT.partial"),
            std::string::npos);
  EXPECT_NE(message(model, nullptr, folder / "config.json").find("both IN and OUT;"),
            std::string::npos);
  EXPECT_EQ(message(model, nullptr, folder / "out.gguf"), "");
}

TEST_F(QuantizeTest, InTheFolderThatIsReadARunGoesOnToo) {
  const fs::path folder = path("llama");
  fs::copy(std::string(MINKE_SOURCE_DIR) + "/tests/golden/hf/llama", folder);
  uint64_t resumed = 0;
  ASSERT_TRUE(store(folder, "Q4_0", folder / "out.gguf", 2, 3).has_value());
  ASSERT_TRUE(store(folder, "Q4_0", folder / "out.gguf", 2, 1000, &resumed).has_value());
  EXPECT_GT(resumed, 0u);
}

TEST_F(QuantizeTest, AFileOfSomebodyElseIsLeftAlone) {
  const std::string from = synth("tiny-qwen2", "F16");
  const auto refused = [&](const char* name) {
    std::ofstream(path(name)) << "mine";
    const auto end = store(from, "Q4_0", path("out.gguf"));
    ASSERT_FALSE(end.has_value());
    EXPECT_NE(end.error().message.find(path(name) + " is there, and not from an earlier run"),
              std::string::npos)
        << end.error().message;
    EXPECT_EQ(read_all(path(name)), "mine");
    EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 2);
    fs::remove(path(name));
  };
  refused("out.gguf.partial");
  refused("out.gguf.partial.state");
}

// Without this the command could not be given again after a crash in the first seconds.
TEST_F(QuantizeTest, ARunThatIsKilledAtOnceHasAState) {
  const std::string from = synth("tiny-qwen2", "F16");
  const GgufFile file = open(from);
  ThreadPool pool(2);
  const auto copy_once = [&](const QuantizeProgress&) {
    for (const char* end : {".partial", ".partial.state"}) {
      fs::copy_file(path("out.gguf") + end, path("copy.gguf") + end,
                    fs::copy_options::overwrite_existing);
    }
    return true;
  };
  ASSERT_TRUE(
      quantize(file, plan(file, request("Q4_0")), nullptr, path("out.gguf"), pool, copy_once)
          .has_value());
  ASSERT_TRUE(store(from, "Q4_0", path("copy.gguf")).has_value());
  EXPECT_EQ(read_all(path("copy.gguf")), read_all(path("out.gguf")));
}

TEST_F(QuantizeTest, AFaultLeavesWhatIsSafelyOnTheDisk) {
  const std::string from = synth("tiny-qwen2", "F16");
  ASSERT_TRUE(store(from, "Q4_0", path("whole.gguf")).has_value());
  ASSERT_TRUE(store(from, "Q4_0", path("out.gguf"), 2, 4).has_value());
  // The file is damaged where the run has not been yet, and mended.
  const uint64_t offset = open(from).find("output.weight")->offset;
  const auto written = fs::last_write_time(from);
  const std::string sound = read_all(from).substr(offset, 2);
  const auto poke = [&](const std::string& bytes) {
    std::fstream(from, std::ios::in | std::ios::out | std::ios::binary)
        .seekp(static_cast<int64_t>(offset))
        .write(bytes.data(), 2);
    fs::last_write_time(from, written);
  };
  poke("\x01\x7e");
  const auto end = store(from, "Q4_0", path("out.gguf"));
  ASSERT_FALSE(end.has_value());
  EXPECT_NE(end.error().message.find("'output.weight' holds a number that is not finite"),
            std::string::npos)
      << end.error().message;
  EXPECT_NE(end.error().message.find("out.gguf.partial is kept, and the same command goes on"),
            std::string::npos)
      << end.error().message;
  poke(sound);
  uint64_t resumed = 0;
  ASSERT_TRUE(store(from, "Q4_0", path("out.gguf"), 2, 1000, &resumed).has_value());
  EXPECT_GT(resumed, 0u);
  EXPECT_EQ(read_all(path("out.gguf")), read_all(path("whole.gguf")));
}

TEST_F(QuantizeTest, AFullDiskCostsNoOtherCommandItsWork) {
  const std::string from = synth("tiny-qwen2", "F16");
  const GgufFile file = open(from);
  ThreadPool pool(2);
  const auto huge = [&](uint64_t bytes) {
    QuantizePlan how = plan(file, request("Q4_1"));
    how.bytes_total = bytes;
    return quantize(file, how, nullptr, path("out.gguf"), pool,
                    [](const QuantizeProgress&) { return false; });
  };
  // Nothing was there: nothing is left.
  EXPECT_FALSE(huge(uint64_t{1} << 60).has_value());
  EXPECT_FALSE(fs::exists(path("out.gguf.partial")));
  ASSERT_TRUE(store(from, "Q4_0", path("out.gguf"), 2, 6).has_value());
  const std::string partial = read_all(path("out.gguf.partial"));
  EXPECT_FALSE(huge(uint64_t{1} << 60).has_value());
  EXPECT_EQ(read_all(path("out.gguf.partial")), partial);
  uint64_t resumed = 0;
  ASSERT_TRUE(store(from, "Q4_0", path("out.gguf"), 2, 1, &resumed).has_value());
  EXPECT_GT(resumed, 0u);
  // What an earlier run has taken is room for this one: a file with a hole, larger than the disk.
  constexpr uint64_t kLarge = uint64_t{1} << 43;
  EXPECT_FALSE(huge(kLarge).has_value());
  fs::resize_file(path("out.gguf.partial"), kLarge);
  const auto begun = huge(kLarge);
  EXPECT_TRUE(begun.has_value()) << begun.error().message;
}

TEST_F(QuantizeTest, AnImportanceMatrixIsCheckedBeforeAnythingIsWritten) {
  const GgufFile file = open(synth("tiny-qwen2", "F16"));
  const auto planned = [&](int64_t width, float square) {
    const std::map<std::string, InputSums> sums = {
        {"output.weight",
         {.in_dim = width,
          .squares = std::vector<float>(static_cast<size_t>(width), square),
          .counts = {4}}}};
    EXPECT_TRUE(write_importance(path("imatrix"), sums, {}).has_value());
    const auto importance = ImportanceMatrix::open(path("imatrix"));
    QuantizeRequest how = request("Q4_0");
    how.importance = &*importance;
    return plan_quantize(file, how);
  };
  const int64_t width = file.find("output.weight")->shape.back();
  const auto other_model = planned(width + 1, 1.0F);
  ASSERT_FALSE(other_model.has_value());
  EXPECT_NE(other_model.error().message.find("another model"), std::string::npos);
  const auto no_square = planned(width, -1.0F);
  ASSERT_FALSE(no_square.has_value());
  EXPECT_NE(no_square.error().message.find("at least 0"), std::string::npos);
  const auto good = planned(width, 1.0F);
  ASSERT_TRUE(good.has_value());
  for (const PlannedTensor& tensor : good->tensors) {
    EXPECT_EQ(tensor.unmeasured, tensor.type == QuantType::kQ4_0) << tensor.source->name;
  }
}

TEST_F(QuantizeTest, TwoAtOnceAreToldApart) {
  const std::string from = synth("tiny-qwen2", "F16");
  const GgufFile file = open(from);
  ThreadPool pool(1);
  Result<QuantizeEnd> second = QuantizeEnd::kFinished;
  const auto first = quantize(file, plan(file, request("Q4_0")), nullptr, path("out.gguf"), pool,
                              [&](const QuantizeProgress&) {
                                second = store(from, "Q4_0", path("out.gguf"));
                                return false;
                              });
  ASSERT_TRUE(first.has_value());
  ASSERT_FALSE(second.has_value());
  EXPECT_NE(second.error().message.find("written by another process"), std::string::npos);
}

TEST_F(QuantizeTest, ANumberThatIsNotFiniteEndsItAndLeavesNothing) {
  const std::string from = path("nan.gguf");
  {
    auto writer = GgufWriter::create(from);
    ASSERT_TRUE(writer.has_value());
    writer->set_text("general.architecture", "llama");
    writer->set_uint32("llama.block_count", 1);
    writer->add_tensor("blk.0.ffn_up.weight", QuantType::kF32, {4, 32});
    std::vector<float> values(128, 1.0F);
    values[70] = std::numeric_limits<float>::quiet_NaN();
    ASSERT_TRUE(writer->begin_data().has_value());
    ASSERT_TRUE(writer->write(std::as_bytes(std::span(values))).has_value());
    ASSERT_TRUE(writer->finish().has_value());
  }
  const auto end = store(from, "Q4_0", path("out.gguf"));
  ASSERT_FALSE(end.has_value());
  EXPECT_NE(end.error().message.find("'blk.0.ffn_up.weight'"), std::string::npos);
  EXPECT_NE(end.error().message.find("row 2 at 6"), std::string::npos) << end.error().message;
  for (const char* left : {"out.gguf", "out.gguf.partial", "out.gguf.partial.state"}) {
    EXPECT_FALSE(fs::exists(path(left))) << left;
  }
}

TEST_F(QuantizeTest, NumbersThatF16CannotHoldAreRefused) {
  const std::string from = path("large.gguf");
  auto writer = GgufWriter::create(from);
  writer->set_text("general.architecture", "llama");
  writer->set_uint32("llama.block_count", 1);
  writer->add_tensor("blk.0.ffn_up.weight", QuantType::kF32, {1, 32});
  const std::vector<float> values(32, 1e5F);
  ASSERT_TRUE(writer->begin_data().has_value());
  ASSERT_TRUE(writer->write(std::as_bytes(std::span(values))).has_value());
  ASSERT_TRUE(writer->finish().has_value());
  const auto end = store(from, "F16", path("out.gguf"));
  ASSERT_FALSE(end.has_value());
  EXPECT_NE(end.error().message.find("BF16 holds them"), std::string::npos);
  EXPECT_TRUE(store(from, "BF16", path("out.gguf")).has_value());
}

TEST_F(QuantizeTest, EveryTensorAndKeyIsKept) {
  const std::string from = path("nextn.gguf");
  auto writer = GgufWriter::create(from);
  writer->set_text("general.architecture", "deepseek2");
  writer->set_uint32("deepseek2.block_count", 2);
  writer->set_uint32("deepseek2.nextn_predict_layers", 1);
  writer->set_uint32("general.file_type", 1);
  writer->set_text("somebody.else", "kept");
  writer->set_int32s("some.numbers", std::vector<int32_t>{1, -2, 3});
  const std::vector<float> values(64 * 64, 0.5F);
  writer->add_tensor("blk.0.attn_q.weight", QuantType::kF32, {64, 64});
  writer->add_tensor("blk.1.nextn.eh_proj.weight", QuantType::kF32, {32, 128});
  writer->add_tensor("blk.1.nextn.enorm.weight", QuantType::kF32, {64});
  ASSERT_TRUE(writer->begin_data().has_value());
  for (const size_t count : {4096u, 4096u, 64u}) {
    ASSERT_TRUE(writer->write(std::as_bytes(std::span(values).first(count))).has_value());
  }
  ASSERT_TRUE(writer->finish().has_value());
  ASSERT_TRUE(store(from, "Q8_0", path("out.gguf")).has_value());
  const GgufFile out = open(path("out.gguf"));
  EXPECT_EQ(*out.integer("deepseek2.nextn_predict_layers"), 1);
  EXPECT_EQ(*out.text("somebody.else"), "kept");
  EXPECT_EQ(*out.integers("some.numbers"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(*out.integer("general.file_type"), 7);
  EXPECT_EQ(*out.integer("general.quantization_version"), 2);
  ASSERT_EQ(out.tensors().size(), 3u);
  EXPECT_EQ(out.find("blk.1.nextn.eh_proj.weight")->type, QuantType::kQ8_0);
  EXPECT_EQ(out.find("blk.1.nextn.enorm.weight")->type, QuantType::kF32);
}

TEST_F(QuantizeTest, OverridesWinAndTheFirstThatFitsCounts) {
  const GgufFile from = open(synth("tiny-qwen2", "F16"));
  QuantizeRequest how = request("Q4_0");
  how.overrides = {*TensorOverride::parse("blk.0.ffn_*.weight=Q8_0"),
                   *TensorOverride::parse("*ffn_down.weight=q6_k")};
  const QuantizePlan made = plan(from, how);
  const auto type = [&](std::string_view name) {
    for (const PlannedTensor& tensor : made.tensors) {
      if (tensor.source->name == name) return tensor.type;
    }
    return QuantType::kF32;
  };
  EXPECT_EQ(type("blk.0.ffn_down.weight"), QuantType::kQ8_0);
  EXPECT_EQ(type("blk.1.ffn_down.weight"), QuantType::kQ6_K);
  EXPECT_EQ(type("blk.1.ffn_up.weight"), QuantType::kQ4_0);
  const auto message = [&](const char* text) {
    QuantizeRequest one = request("Q4_0");
    const auto parsed = TensorOverride::parse(text);
    if (!parsed) return parsed.error().message;
    one.overrides = {*parsed};
    const auto planned = plan_quantize(from, one);
    return planned ? std::string() : planned.error().message;
  };
  EXPECT_NE(message("blk.9.*=Q8_0").find("no matrix"), std::string::npos);
  EXPECT_NE(message("blk.0.attn_norm.weight=F16").find("no matrix"), std::string::npos);
  EXPECT_NE(message("ffn=Q7").find("PATTERN=TYPE"), std::string::npos);
  EXPECT_NE(message("=Q8_0").find("PATTERN=TYPE"), std::string::npos);
  EXPECT_NE(message("Q8_0").find("PATTERN=TYPE"), std::string::npos);
}

TEST_F(QuantizeTest, ARecipeForExpertsWantsExperts) {
  const GgufFile from = open(synth("tiny-qwen2", "F16"));
  const auto planned = plan_quantize(from, request("MOE_Q2_K"));
  ASSERT_FALSE(planned.has_value());
  EXPECT_NE(planned.error().message.find("has no experts"), std::string::npos);
}

TEST_F(QuantizeTest, PureIsOneFormatEverywhere) {
  const GgufFile from = open(synth("tiny-qwen3moe", "F16"));
  QuantizeRequest how = request("Q4_0");
  how.pure = true;
  for (const PlannedTensor& tensor : plan(from, how).tensors) {
    const bool matrix = is_quantisable(tensor.source->name, tensor.source->shape);
    EXPECT_EQ(tensor.type, matrix ? QuantType::kQ4_0 : QuantType::kF32) << tensor.source->name;
  }
}

// Stacks, permuted rows and FP8 are made in slices of any length, with the same bytes.
TEST_F(QuantizeTest, RowsOfAFolderAreTheSameOneByOne) {
  for (const char* name : {"llama", "qwen3moe", "deepseek-v3-fp8"}) {
    const GgufFile file = open(std::string(MINKE_SOURCE_DIR) + "/tests/golden/hf/" + name);
    int made = 0;
    for (const GgufTensor& tensor : file.tensors()) {
      if (!tensor.make) continue;
      ++made;
      std::vector<std::byte> whole(tensor.bytes), pieces(tensor.bytes);
      ASSERT_TRUE(tensor.make(0, whole).has_value());
      const auto rows = static_cast<size_t>(tensor.shape.rows());
      const size_t row = tensor.bytes / rows;
      for (size_t at = 0, step = 1; at < rows; at += step, step = step % 7 + 1) {
        step = std::min(step, rows - at);
        ASSERT_TRUE(
            tensor.make(static_cast<int64_t>(at), std::span(pieces).subspan(at * row, step * row)));
      }
      EXPECT_EQ(whole, pieces) << name << " " << tensor.name;
    }
    EXPECT_GT(made, 0) << name;
  }
}

}  // namespace
}  // namespace minke
