// For the tests of this room: a model on its Ops, and its logits for a list of tokens under every
// way of cutting the work.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "models/hf_folder.h"
#include "models/registry.h"
#include "ops/cpu_ops.h"

namespace minke {

// The path of a real model, or "" where $MINKE_TEST_MODELS has none of that name.
inline std::string real_model(const std::string& name) {
  const char* folder = std::getenv("MINKE_TEST_MODELS");
  if (folder == nullptr) return "";
  const std::string path = std::string(folder) + "/" + name;
  return std::filesystem::exists(path) ? path : "";
}

// A file of this process alone: two runs of the tests may share a machine.
inline std::string temporary_file(const std::string& name) {
  return testing::TempDir() + "minke-" + std::to_string(getpid()) + "-" + name;
}

class ForwardModel {
 public:
  ForwardModel(const std::string& path, const Kernels& kernels, int threads,
               KvDtype dtype = KvDtype::kBF16, LoadOptions load = {})
      : ForwardModel(path, std::make_unique<CpuOps>(kernels, threads), dtype, 0, load) {}
  // With `slots`, experts come from the file, through a cache of so many.
  ForwardModel(const std::string& path, std::unique_ptr<Ops> ops, KvDtype dtype = KvDtype::kBF16,
               int64_t slots = 0, LoadOptions load = {})
      : ops_(std::move(ops)) {
    auto file = open_checkpoint(path);
    EXPECT_TRUE(file.has_value()) << (file ? "" : file.error().message);
    file_ = std::make_unique<GgufFile>(*std::move(file));
    if (slots > 0) {
      const auto size = packed_size(*file_, load);
      EXPECT_TRUE(size.has_value());
      experts_ = *ExpertStore::create(
          {.slots = slots, .slot_bytes = size->expert_bytes, .piece_bytes = size->piece_bytes});
      load.experts = experts_.get();
    }
    auto model = load_model(*file_, *ops_, {}, load);
    EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message);
    model_ = *std::move(model);
    auto kv = KvStore::create(model_->kv_spec(dtype), 40, ops_->memory());
    EXPECT_TRUE(kv.has_value());
    kv_ = *std::move(kv);
  }

  int64_t vocab() const { return model_->config().vocab_size; }
  KvStore& kv() { return kv_; }
  ExpertStore* experts() { return experts_.get(); }
  Model& model() { return *model_; }
  Ops& ops() { return *ops_; }

  // One pass over several sequences, each with its tokens, first position and pages. Logits of all
  // rows.
  struct Part {
    std::vector<int32_t> tokens;
    int64_t first_position = 0;
    std::vector<int32_t> pages;
  };
  std::vector<float> step(const std::vector<Part>& parts) {
    Batch batch;
    for (const Part& part : parts) {
      const auto rows = static_cast<int64_t>(part.tokens.size());
      batch.sequences.push_back({.first_row = static_cast<int64_t>(batch.tokens.size()),
                                 .row_count = rows,
                                 .first_position = part.first_position,
                                 .pages = part.pages});
      for (int64_t i = 0; i < rows; ++i) {
        batch.logit_rows.push_back(static_cast<int32_t>(batch.tokens.size()));
        batch.tokens.push_back(part.tokens[static_cast<size_t>(i)]);
        batch.positions.push_back(static_cast<int32_t>(part.first_position + i));
      }
    }
    const Tensor logits = ops_->run_step(batch, [&] { return model_->forward(*ops_, batch, kv_); });
    const auto values = ops_->read(logits);
    EXPECT_TRUE(values.has_value()) << (values ? "" : values.error().message);
    if (!values) return {};
    return {values->begin(), values->end()};
  }

  // The tokens in pieces of `chunk`.
  std::vector<float> in_chunks(const std::vector<int32_t>& tokens, size_t chunk,
                               std::vector<int32_t> pages) {
    std::vector<float> all;
    for (size_t at = 0; at < tokens.size(); at += chunk) {
      const size_t end = std::min(tokens.size(), at + chunk);
      const std::vector<float> logits = step({{.tokens = {tokens.begin() + static_cast<long>(at),
                                                          tokens.begin() + static_cast<long>(end)},
                                               .first_position = static_cast<int64_t>(at),
                                               .pages = pages}});
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }

 private:
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<GgufFile> file_;
  std::unique_ptr<ExpertStore> experts_;
  std::unique_ptr<Model> model_;
  KvStore kv_;
};

inline std::vector<int32_t> some_tokens(size_t count, int64_t vocab, int32_t salt) {
  std::vector<int32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<int32_t>((static_cast<int64_t>(i) * 7919 + salt * 104729 + 17) % vocab);
  }
  return tokens;
}

inline void expect_same(const std::vector<float>& got, const std::vector<float>& want,
                        const std::string& what) {
  ASSERT_EQ(got.size(), want.size()) << what;
  if (std::memcmp(got.data(), want.data(), want.size() * sizeof(float)) == 0) return;
  size_t first = 0;
  while (std::bit_cast<uint32_t>(got[first]) == std::bit_cast<uint32_t>(want[first])) ++first;
  ADD_FAILURE() << what << ": first at " << first << ": got " << got[first] << ", want "
                << want[first];
}

}  // namespace minke
