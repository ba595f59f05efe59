#include "models/synth.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "io/gguf.h"
#include "models/gguf_tokenizer.h"
#include "models/registry.h"
#include "ops/cpu_ops.h"
#include "text/tokenizer.h"

namespace minke {
namespace {

using testing::HasSubstr;

const ModelShape& find_shape(const std::string& name) {
  return *std::ranges::find(synth_shapes(), name, &ModelShape::name);
}

class Synth : public testing::Test {
 protected:
  Synth() {
    std::string pattern = testing::TempDir() + "minke_synth_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~Synth() override { std::filesystem::remove_all(folder_); }

  std::string write(const SynthSpec& spec, const std::string& name = "model.gguf") {
    const std::string path = folder_ + "/" + name;
    const Status status = write_synth(spec, path);
    EXPECT_TRUE(status) << status.error().message;
    return path;
  }
  static std::string contents(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::string folder_;
};

TEST_F(Synth, EveryQuantisationOfTheTinyShapesMakesSense) {
  for (const std::string shape : {"tiny-llama", "tiny-qwen2", "tiny-qwen3", "tiny-qwen3moe",
                                  "tiny-deepseek-v2", "tiny-deepseek-v3"}) {
    for (const std::string& quant : synth_quants()) {
      const auto file = GgufFile::open(write({shape, quant}));
      ASSERT_TRUE(file) << file.error().message;
      const auto config = read_config(*file);
      ASSERT_TRUE(config) << config.error().message;
      EXPECT_EQ(config->vocab_size, 512);
      EXPECT_EQ(config->tied_embeddings, find_shape(shape).tied_embeddings);
      EXPECT_EQ(config->qkv_bias, shape == "tiny-qwen2");
      EXPECT_EQ(config->qk_norm, find_shape(shape).qk_norm);
      EXPECT_EQ(config->mixture.route.groups_used, find_shape(shape).mixture.route.groups_used);
      EXPECT_EQ(config->latent.q_rank, find_shape(shape).latent.q_rank);
      const auto model = make_model(*config);
      size_t weights = 0;
      model->visit([&](Weight& weight) {
        ++weights;
        const GgufTensor* tensor = file->find(weight.name);
        ASSERT_NE(tensor, nullptr) << weight.name;
        EXPECT_EQ(tensor->shape, weight.shape) << weight.name;
        // A router is never quantised, and some rows are too short for blocks of 256.
        const bool fits =
            tensor->shape.back() % find_quant_format(quant_name(tensor->type))->block_size == 0;
        EXPECT_TRUE(fits) << weight.name;
        if (quant != "Q4_K_M" && weight.is_matrix() && !weight.name.contains("gate_inp") &&
            tensor->shape.back() % find_quant_format(quant)->block_size == 0) {
          EXPECT_EQ(quant_name(tensor->type), quant) << weight.name;
        }
      });
      EXPECT_EQ(weights, file->tensors().size());
    }
  }
}

TEST_F(Synth, ValuesHaveTheDeviationThatKeepsActivationsNearOne) {
  const auto file = GgufFile::open(write({"tiny-qwen2", "Q4_K_M"}));
  ASSERT_TRUE(file);
  for (const GgufTensor& tensor : file->tensors()) {
    std::vector<float> values(static_cast<size_t>(tensor.shape.count()));
    quant_format(tensor.type).decode(tensor.data, values.data(), tensor.shape.count());
    double sum = 0.0, squares = 0.0;
    for (const float value : values) {
      sum += static_cast<double>(value);
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const auto count = static_cast<double>(values.size());
    const double mean = sum / count;
    const double deviation = std::sqrt(squares / count - mean * mean);
    if (tensor.shape.rank() >= 2) {
      EXPECT_NEAR(deviation * std::sqrt(static_cast<double>(tensor.shape.back())), 1.0, 0.05)
          << tensor.name;
      EXPECT_NEAR(mean, 0.0, 0.01) << tensor.name;
    } else if (tensor.name.ends_with("norm.weight")) {
      EXPECT_NEAR(mean, 1.0, 0.03) << tensor.name;
      EXPECT_NEAR(deviation, 0.1, 0.03) << tensor.name;
    } else {
      EXPECT_NEAR(deviation, 0.2, 0.05) << tensor.name;
    }
  }
}

TEST_F(Synth, BlocksVary) {
  const auto file = GgufFile::open(write({"tiny-llama", "Q8_0"}));
  ASSERT_TRUE(file);
  const GgufTensor* tensor = file->find("blk.0.ffn_gate.weight");
  ASSERT_NE(tensor, nullptr);
  std::set<std::string> rows;
  const size_t bytes = row_bytes(tensor->type, tensor->shape.back());
  for (size_t row = 0; row < static_cast<size_t>(tensor->shape.rows()); ++row) {
    rows.emplace(reinterpret_cast<const char*>(tensor->data + row * bytes), bytes);
  }
  EXPECT_EQ(rows.size(), static_cast<size_t>(tensor->shape.rows()));
}

TEST_F(Synth, TheSeedDecidesEveryByte) {
  const std::string first = contents(write({"tiny-llama", "Q4_K", 1}, "a.gguf"));
  const std::string again = contents(write({"tiny-llama", "Q4_K", 1}, "b.gguf"));
  const std::string other = contents(write({"tiny-llama", "Q4_K", 2}, "c.gguf"));
  EXPECT_TRUE(first == again);
  EXPECT_FALSE(first == other);
}

TEST_F(Synth, MixtureIsThatOfLlamaCpp) {
  const auto file = GgufFile::open(write({"smollm2-135m", "Q4_K_M"}));
  ASSERT_TRUE(file);
  // Rows of 576 cannot be in the K formats; rows of 1536 can.
  EXPECT_EQ(file->find("token_embd.weight")->type, QuantType::kQ8_0);
  EXPECT_EQ(file->find("blk.0.attn_q.weight")->type, QuantType::kQ5_0);
  std::vector<int> q6_layers;
  for (int layer = 0; layer < 30; ++layer) {
    const std::string name = "blk." + std::to_string(layer) + ".ffn_down.weight";
    const QuantType type = file->find(name)->type;
    EXPECT_TRUE(type == QuantType::kQ6_K || type == QuantType::kQ4_K) << layer;
    if (type == QuantType::kQ6_K) q6_layers.push_back(layer);
  }
  EXPECT_THAT(q6_layers, testing::ElementsAre(0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 26, 27, 28, 29));
}

TEST_F(Synth, TheTokenizerLoadsAndGoesThereAndBack) {
  const auto file = GgufFile::open(write({"tiny-qwen2", "Q4_0"}));
  ASSERT_TRUE(file);
  const auto tokenizer = load_tokenizer(*file);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->vocab_size(), 512);
  const std::string text = "The whale sings.\n\tDas Übel: 3.14 \xf0\x9f\x90\x8b";
  const auto ids = (*tokenizer)->encode(text, SpecialText::kAsText);
  EXPECT_LT(ids.size(), text.size());  // merges are used
  EXPECT_EQ((*tokenizer)->decode(ids), text);
  const auto marked = (*tokenizer)->encode("<|im_end|>", SpecialText::kParse);
  ASSERT_EQ(marked.size(), 1u);
  EXPECT_TRUE((*tokenizer)->is_end_of_generation(marked[0]));
  EXPECT_THAT(std::string(file->text("tokenizer.chat_template").value()),
              HasSubstr("<|im_start|>assistant"));
}

TEST_F(Synth, ADamagedScaleIsFoundWhenTheModelIsLoaded) {
  // A matrix that is packed, and a table of embeddings that is only read by rows.
  for (const std::string name : {"blk.1.ffn_up.weight", "token_embd.weight"}) {
    const std::string path = write({"tiny-qwen2", "Q4_K"});
    uint64_t offset = 0;
    {
      const auto file = GgufFile::open(path);
      ASSERT_TRUE(file);
      const GgufTensor* tensor = file->find(name);
      ASSERT_NE(tensor, nullptr);
      offset = tensor->offset + 300 * row_bytes(tensor->type, tensor->shape.back());
    }
    std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(offset));
    out.write("\xff\x7f", 2);  // an fp16 NaN as the scale of a block of row 300
    out.close();
    const auto file = GgufFile::open(path);
    ASSERT_TRUE(file) << file.error().message;
    CpuOps ops(reference_kernels(), 2);
    const auto model = load_model(*file, ops, {});
    ASSERT_FALSE(model) << name;
    EXPECT_THAT(model.error().message, HasSubstr("'" + name + "'"));
    EXPECT_THAT(model.error().message, HasSubstr("row 300"));
  }
}

// A number of bytes in /proc/self/status.
int64_t own_memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  std::string word;
  int64_t kib = 0;
  while (status >> word && word != key) status.ignore(1000, '\n');
  status >> kib;
  return kib * 1024;
}

TEST_F(Synth, NoWeightIsInMemoryTwiceWhileAModelIsLoaded) {
  // 144 MB, of which 30 MB are an embedding table that is packed and still read by rows.
  const auto file = GgufFile::open(write({"smollm2-135m", "Q8_0"}));
  ASSERT_TRUE(file) << file.error().message;
  const uint64_t packed = packed_size(*file).value().all();
  CpuOps ops(reference_kernels(), 2);
  const int64_t before = own_memory("VmRSS:");
  std::ofstream("/proc/self/clear_refs") << 5;  // VmHWM begins anew
  const auto model = load_model(*file, ops, {});
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_LT(own_memory("VmHWM:") - before, static_cast<int64_t>(packed) + (24 << 20));
}

TEST_F(Synth, LoadingEndsWhereTheCallerSaysSo) {
  const auto file = GgufFile::open(write({"tiny-llama", "Q8_0"}));
  ASSERT_TRUE(file) << file.error().message;
  CpuOps ops(reference_kernels(), 2);
  int calls = 0;
  const auto model = load_model(*file, ops, [&](double) { return ++calls < 3; });
  EXPECT_FALSE(model);
  EXPECT_EQ(calls, 3);
}

TEST_F(Synth, UnknownNamesAreMisuseAndListWhatExists) {
  const Status shape = write_synth({"gpt-5", "Q4_K_M"}, folder_ + "/x.gguf");
  ASSERT_FALSE(shape);
  EXPECT_EQ(shape.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(shape.error().message, HasSubstr("r1-distill-qwen-1.5b"));
  const Status quant = write_synth({"tiny-llama", "Q7"}, folder_ + "/x.gguf");
  ASSERT_FALSE(quant);
  EXPECT_EQ(quant.error().kind, ErrorKind::kUsage);
  EXPECT_THAT(quant.error().message, HasSubstr("Q4_K_M"));
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(Synth, ProgressRisesToOne) {
  double last = 0.0;
  const Status status = write_synth({"tiny-llama", "F16"}, folder_ + "/x.gguf", [&](double share) {
    EXPECT_GE(share, last);
    last = share;
    return true;
  });
  ASSERT_TRUE(status);
  EXPECT_EQ(last, 1.0);
}

TEST_F(Synth, StopsWhenItIsToldToAndLeavesNothing) {
  const Status status = write_synth({"tiny-llama", "F16"}, folder_ + "/x.gguf",
                                    [](double share) { return share < 0.5; });
  ASSERT_FALSE(status);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace minke
