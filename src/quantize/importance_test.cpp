#include "quantize/importance.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "io/gguf_writer.h"
#include "models/forward_testing.h"
#include "quantize/calibrate.h"
#include "quantize/input_collector.h"

namespace minke {
namespace {

TEST(Importance, WhatIsWrittenComesBackAsMeans) {
  const std::string path = temporary_file("imatrix.gguf");
  const std::map<std::string, InputSums> sums = {
      {"blk.0.attn_q.weight", {.in_dim = 2, .squares = {8.0F, 2.0F}, .counts = {4}}},
      {"blk.0.ffn_up_exps.weight",
       {.in_dim = 2, .squares = {3.0F, 6.0F, 0.0F, 0.0F}, .counts = {3, 0}}}};
  ASSERT_TRUE(write_importance(path, sums, {"text.txt", 7, 512}).has_value());
  const auto read = ImportanceMatrix::open(path);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->entries(), 2);
  EXPECT_EQ(read->windows(), 7);
  EXPECT_EQ(read->dataset(), "text.txt");
  EXPECT_EQ(*read->means("blk.0.attn_q.weight", {5, 2}), (std::vector<float>{2.0F, 0.5F}));
  EXPECT_EQ(*read->means("blk.0.ffn_up_exps.weight", {2, 5, 2}),
            (std::vector<float>{1.0F, 2.0F, 0.0F, 0.0F}));
  EXPECT_TRUE(read->means("blk.1.attn_q.weight", {5, 2})->empty());
  const auto wrong = read->means("blk.0.attn_q.weight", {5, 4});
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().message.find("another model"), std::string::npos);
  std::filesystem::remove(path);
}

TEST(Importance, OneCountMayServeAStack) {
  const std::string path = temporary_file("imatrix.gguf");
  {
    auto writer = GgufWriter::create(path);
    writer->set_text("general.type", "imatrix");
    writer->add_tensor("a.weight.in_sum2", QuantType::kF32, {2, 2});
    writer->add_tensor("a.weight.counts", QuantType::kF32, {1, 1});
    const std::vector<float> sums = {2.0F, 4.0F, 6.0F, 8.0F}, counts = {2.0F};
    ASSERT_TRUE(writer->begin_data().has_value());
    ASSERT_TRUE(writer->write(std::as_bytes(std::span(sums))).has_value());
    ASSERT_TRUE(writer->write(std::as_bytes(std::span(counts))).has_value());
    ASSERT_TRUE(writer->finish().has_value());
  }
  const auto read = ImportanceMatrix::open(path);
  EXPECT_EQ(*read->means("a.weight", {2, 9, 2}), (std::vector<float>{1.0F, 2.0F, 3.0F, 4.0F}));
  std::filesystem::remove(path);
}

TEST(Importance, WhatIsNoneIsRefused) {
  const std::string path = temporary_file("imatrix.gguf");
  const auto message = [&] {
    const auto read = ImportanceMatrix::open(path);
    return read ? std::string("none") : read.error().message;
  };
  std::ofstream(path) << "text";
  EXPECT_NE(message().find("GGUF"), std::string::npos) << message();
  ASSERT_TRUE(write_importance(path, {}, {}).has_value());
  EXPECT_NE(message().find("has no sums"), std::string::npos) << message();
  const std::map<std::string, InputSums> sums = {
      {"a.weight", {.in_dim = 2, .squares = {NAN, 2.0F}, .counts = {4}}}};
  ASSERT_TRUE(write_importance(path, sums, {}).has_value());
  const auto read = ImportanceMatrix::open(path);
  ASSERT_TRUE(read.has_value());
  EXPECT_FALSE(read->means("a.weight", {1, 2}).has_value());
  std::filesystem::remove(path);
}

// A model measures the same whatever its kind, and its logits stay as they were.
TEST(InputCollector, SeesEveryMatrixAndChangesNothing) {
  for (const char* name : {"qwen2", "qwen3moe", "deepseek-v3", "deepseek-v2-lite"}) {
    const std::string path = std::string(MINKE_SOURCE_DIR) + "/tests/golden/tiny/" + name + ".gguf";
    auto file = GgufFile::open(path);
    ASSERT_TRUE(file.has_value());
    const auto ops = CpuOps::create(2);
    const auto model = load_model(*file, **ops, {});
    ASSERT_TRUE(model.has_value());
    auto kv = KvStore::create((*model)->kv_spec(KvDtype::kBF16), 1);
    Batch batch;
    const std::vector<int32_t> pages = {0};
    batch.tokens = some_tokens(20, (*model)->config().vocab_size, 1);
    for (int32_t i = 0; i < 20; ++i) batch.positions.push_back(i);
    batch.sequences.push_back({.row_count = 20, .pages = pages});
    batch.logit_rows = {3, 19};
    const Tensor plain = (*model)->forward(**ops, batch, *kv);
    const std::vector<float> want(plain.values().begin(), plain.values().end());
    InputCollector collector(**ops);
    const Tensor measured = (*model)->forward(collector, batch, *kv);
    expect_same({measured.values().begin(), measured.values().end()}, want, name);

    const int64_t used = (*model)->config().mixture.route.used;
    (*model)->visit([&](Weight& weight) {
      if (!weight.is_matrix() || !weight.multiplied ||
          weight.name.ends_with("ffn_gate_inp.weight")) {
        return;
      }
      ASSERT_TRUE(collector.sums().contains(weight.name)) << name << " " << weight.name;
      const InputSums& sums = collector.sums().at(weight.name);
      EXPECT_EQ(sums.in_dim, weight.in_dim());
      EXPECT_EQ(std::ssize(sums.counts), weight.matrices());
      int64_t count = 0;
      for (const int64_t one : sums.counts) count += one;
      const bool heads =
          weight.name.find("_b.weight") != std::string::npos && weight.shape.rank() == 3;
      const bool output = weight.name == "output.weight" || weight.name == "token_embd.weight";
      const bool experts = weight.name.find("_exps") != std::string::npos;
      const int64_t rows = output ? 2 : heads ? 20 * weight.matrices() : experts ? 20 * used : 20;
      EXPECT_EQ(count, rows) << name << " " << weight.name;
    });
  }
}

// Of a mixture by hand: rows go to experts, and the way back sees what SwiGLU made of them.
TEST(InputCollector, ExpertsHaveSumsOfTheirOwn) {
  constexpr int64_t kExperts = 4, kDim = 32, kWidth = 16, kRows = 5;
  const auto ops = CpuOps::create(1);
  const auto stack = [&](const char* name, int64_t out_dim, int64_t in_dim) {
    Weight w = {.name = name, .shape = {kExperts, out_dim, in_dim}};
    const auto count = static_cast<size_t>(kExperts * out_dim * in_dim);
    w.storage = *Buffer::allocate(count * sizeof(float), name);
    w.rows = w.storage.data();
    for (size_t i = 0; i < count; ++i) {
      w.mutable_f32()[i] = std::sin(static_cast<float>(i) * 0.7F + static_cast<float>(out_dim));
    }
    return w;
  };
  Weight gate = stack("gate", kWidth, kDim), up = stack("up", kWidth, kDim),
         down = stack("down", kDim, kWidth);
  const std::vector<float> gate_rows(gate.f32(), gate.f32() + gate.shape.count());
  const std::vector<float> up_rows(up.f32(), up.f32() + up.shape.count());
  for (Weight* w : {&gate, &up, &down}) ASSERT_TRUE((*ops)->prepare(*w, true).has_value());
  Tensor x = (*ops)->empty({kRows, kDim});
  Tensor logits = (*ops)->empty({kRows, kExperts});
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t i = 0; i < kDim; ++i) {
      x.row(row)[i] = std::cos(static_cast<float>(row * 37 + i));
    }
    for (int64_t e = 0; e < kExperts; ++e) logits.row(row)[e] = 0.0F;
    logits.row(row)[row % 3] = 5.0F;  // experts 0, 1, 2, 0, 1; none goes to 3
  }
  InputCollector collector(**ops);
  const Weight none;
  (void)collector.mixture(x, logits, none, {.experts = kExperts, .used = 1}, gate, up, down);
  EXPECT_EQ(collector.sums().at("gate").counts, (std::vector<int64_t>{2, 2, 1, 0}));
  EXPECT_EQ(collector.sums().at("down").counts, (std::vector<int64_t>{2, 2, 1, 0}));
  std::vector<double> want_in(kExperts * kDim), want_hidden(kExperts * kWidth);
  for (int64_t row = 0; row < kRows; ++row) {
    const int64_t e = row % 3;
    const auto times = [&](const std::vector<float>& w, int64_t out) {
      double sum = 0;
      for (int64_t i = 0; i < kDim; ++i) {
        sum += static_cast<double>(w[static_cast<size_t>((e * kWidth + out) * kDim + i)]) *
               static_cast<double>(x.row(row)[i]);
      }
      return sum;
    };
    for (int64_t i = 0; i < kDim; ++i) {
      want_in[static_cast<size_t>(e * kDim + i)] += std::pow(static_cast<double>(x.row(row)[i]), 2);
    }
    for (int64_t out = 0; out < kWidth; ++out) {
      const double g = times(gate_rows, out);
      want_hidden[static_cast<size_t>(e * kWidth + out)] +=
          std::pow(g / (1 + std::exp(-g)) * times(up_rows, out), 2);
    }
  }
  for (size_t i = 0; i < want_in.size(); ++i) {
    EXPECT_NEAR(collector.sums().at("up").squares[i], want_in[i], 1e-4) << i;
  }
  for (size_t i = 0; i < want_hidden.size(); ++i) {
    EXPECT_NEAR(collector.sums().at("down").squares[i], want_hidden[i],
                1e-3 + want_hidden[i] * 1e-3)
        << i;
  }
}

}  // namespace
}  // namespace minke
