#include "models/synth.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <utility>

#include "core/random.h"
#include "io/gguf_writer.h"
#include "models/rope_scaling.h"
#include "models/synth_tokenizer.h"
#include "quant/format.h"

namespace minke {
namespace {

constexpr MixtureConfig kV3Mixture = {.route = {.experts = 256,
                                                .used = 8,
                                                .groups = 8,
                                                .groups_used = 4,
                                                .score = ExpertScore::kSigmoid,
                                                .normalise = true,
                                                .scale = 2.5F},
                                      .expert_dim = 2048,
                                      .shared = 1,
                                      .dense_layers = 3,
                                      .has_bias = true};

constexpr ModelShape kShapes[] = {
    {"r1-distill-qwen-1.5b", "1.78 billion parameters, 1.1 GB in Q4_K_M", "qwen2",
     "deepseek-r1-qwen", 28, 1536, 12, 2, 128, 8960, 151936, 131072, 1e4F, 1e-6F, false, true,
     false, false},
    {"qwen2.5-coder-1.5b", "the same with its own rotary base and pre-tokenizer", "qwen2", "qwen2",
     28, 1536, 12, 2, 128, 8960, 151936, 32768, 1e6F, 1e-6F, false, true, false, false},
    {"r1-distill-qwen-7b", "7.6 billion parameters, 4.7 GB in Q4_K_M", "qwen2", "deepseek-r1-qwen",
     28, 3584, 28, 4, 128, 18944, 152064, 131072, 1e4F, 1e-6F, false, true, false, false},
    {"r1-distill-llama-8b", "8.0 billion parameters, 4.9 GB in Q4_K_M", "llama", "llama-bpe", 32,
     4096, 32, 8, 128, 14336, 128256, 131072, 5e5F, 1e-5F, false, false, false, true},
    {"smollm2-135m", "135 million parameters, 145 MB in Q8_0", "llama", "smollm", 30, 576, 9, 3, 64,
     1536, 49152, 8192, 1e5F, 1e-5F, true, false, false, false},
    {"tiny-llama", "1.3 million parameters, for tests", "llama", "smollm", 2, 256, 4, 2, 64, 512,
     512, 2048, 1e4F, 1e-5F, true, false, false, false},
    {"tiny-qwen2", "1.4 million parameters, for tests", "qwen2", "qwen2", 2, 256, 4, 2, 64, 512,
     512, 2048, 1e6F, 1e-6F, false, true, false, false},
    {"r1-0528-qwen3-8b", "8.2 billion parameters, 5.0 GB in Q4_K_M", "qwen3", "qwen2", 36, 4096, 32,
     8, 128, 12288, 151936, 131072, 1e6F, 1e-6F, false, false, true, false},
    {"tiny-qwen3", "1.5 million parameters, for tests", "qwen3", "qwen2", 2, 256, 4, 2, 96, 512,
     512, 2048, 1e6F, 1e-6F, true, false, true, false},
    {"qwen3-30b-a3b", "30.5 billion parameters, 18.6 GB in Q4_K_M", "qwen3moe", "qwen2", 48, 2048,
     32, 4, 128, 6144, 151936, 40960, 1e6F, 1e-6F, false, false, true, false,
     MixtureConfig{.route = {.experts = 128, .used = 8, .normalise = true}, .expert_dim = 768}},
    {"deepseek-v2-lite",
     "15.7 billion parameters, 8.9 GB in Q4_0",
     "deepseek2",
     "deepseek-llm",
     27,
     2048,
     16,
     1,
     576,
     10944,
     102400,
     163840,
     1e4F,
     1e-6F,
     false,
     false,
     false,
     false,
     MixtureConfig{
         .route = {.experts = 64, .used = 6}, .expert_dim = 1408, .shared = 2, .dense_layers = 1},
     LatentConfig{.kv_rank = 512, .nope_dim = 128, .rope_dim = 64, .value_dim = 128},
     40.0F,
     0.707F},
    {"deepseek-v3",
     "683 billion parameters with its MTP layer (R1 is the same), 384 GB in Q4_0",
     "deepseek2",
     "deepseek-v3",
     61,
     7168,
     128,
     1,
     576,
     18432,
     129280,
     163840,
     1e4F,
     1e-6F,
     false,
     false,
     false,
     false,
     kV3Mixture,
     LatentConfig{
         .q_rank = 1536, .kv_rank = 512, .nope_dim = 128, .rope_dim = 64, .value_dim = 128},
     40.0F,
     1.0F,
     true},
    {"tiny-qwen3moe", "2.1 million parameters, for tests", "qwen3moe", "qwen2", 2, 256, 4, 2, 64,
     512, 512, 2048, 1e6F, 1e-6F, true, false, true, false,
     MixtureConfig{.route = {.experts = 8, .used = 2, .normalise = true}, .expert_dim = 128}},
    {"tiny-deepseek-v2",
     "2.9 million parameters, for tests",
     "deepseek2",
     "deepseek-llm",
     3,
     256,
     4,
     1,
     160,
     512,
     512,
     16384,
     1e4F,
     1e-6F,
     false,
     false,
     false,
     false,
     MixtureConfig{
         .route = {.experts = 8, .used = 3}, .expert_dim = 96, .shared = 2, .dense_layers = 1},
     LatentConfig{.kv_rank = 128, .nope_dim = 64, .rope_dim = 32, .value_dim = 64},
     4.0F,
     0.707F},
    {"tiny-deepseek-v3",
     "4.2 million parameters, for tests",
     "deepseek2",
     "deepseek-v3",
     3,
     256,
     4,
     1,
     160,
     512,
     512,
     16384,
     1e4F,
     1e-6F,
     false,
     false,
     false,
     false,
     MixtureConfig{.route = {.experts = 16,
                             .used = 3,
                             .groups = 4,
                             .groups_used = 2,
                             .score = ExpertScore::kSigmoid,
                             .normalise = true,
                             .scale = 2.5F},
                   .expert_dim = 64,
                   .shared = 1,
                   .dense_layers = 1,
                   .has_bias = true},
     LatentConfig{.q_rank = 96, .kv_rank = 128, .nope_dim = 64, .rope_dim = 32, .value_dim = 64},
     4.0F,
     1.0F,
     true},
};

// The standard deviation of a matrix is 1/sqrt(inputs): inputs near 1 give outputs near 1.
struct TensorPlan {
  std::string name;
  QuantType type;
  Shape shape;
  float mean;
  float deviation;
};

// What a matrix with rows of `in_dim` values is stored as when `wanted` does not divide them.
QuantType fitting_type(QuantType wanted, int64_t in_dim) {
  if (in_dim % quant_format(wanted).block_size == 0) return wanted;
  switch (wanted) {
    case QuantType::kQ4_K:
      return QuantType::kQ5_0;
    case QuantType::kQ5_K:
      return QuantType::kQ5_1;
    case QuantType::kQ6_K:
    case QuantType::kQ8_K:
      return QuantType::kQ8_0;
    default:
      return QuantType::kIQ4_NL;
  }
}

// Which type each matrix of the model gets.
class Recipe {
 public:
  static Result<Recipe> parse(std::string_view name) {
    if (name == "Q4_K_M" || name == "q4_k_m") return Recipe(QuantType::kQ4_K, true);
    const QuantFormat* format = find_quant_format(name);
    if (format != nullptr) return Recipe(format->type, false);
    return misuse(fmt::format("there is no quantisation '{}' to make; there are {}", name,
                              fmt::join(synth_quants(), ", ")));
  }

  QuantType embedding(bool is_output_too) const { return is_output_too ? output() : base_; }
  QuantType output() const { return mixed_ ? QuantType::kQ6_K : base_; }
  QuantType matrix() const { return base_; }
  // attn_v and ffn_down: the first and the last eighth of the layers and every third between.
  QuantType sensitive(int64_t layer, int64_t layers) const {
    const int64_t eighth = layers / 8;
    const bool more = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
    return mixed_ && more ? QuantType::kQ6_K : base_;
  }

 private:
  Recipe(QuantType base, bool mixed) : base_(base), mixed_(mixed) {}
  QuantType base_;
  bool mixed_;
};

class Plan {
 public:
  Plan(const ModelShape& shape, const Recipe& recipe) {
    matrix("token_embd.weight", recipe.embedding(shape.tied_embeddings), shape.vocab_size,
           shape.dim);
    if (shape.llama3_rope) vector("rope_freqs.weight", shape.head_dim / 2, 1.0F, 0.0F);
    for (layer_ = 0; layer_ < shape.layers; ++layer_) block(shape, recipe);
    if (shape.mtp) {
      block(shape, recipe);
      vector(name("nextn.enorm.weight"), shape.dim, 1.0F, 0.1F);
      vector(name("nextn.hnorm.weight"), shape.dim, 1.0F, 0.1F);
      matrix(name("nextn.eh_proj.weight"), recipe.matrix(), shape.dim, 2 * shape.dim);
      vector(name("nextn.shared_head_norm.weight"), shape.dim, 1.0F, 0.1F);
    }
    vector("output_norm.weight", shape.dim, 1.0F, 0.1F);
    if (!shape.tied_embeddings) {
      matrix("output.weight", recipe.output(), shape.vocab_size, shape.dim);
    }
  }

  const std::vector<TensorPlan>& tensors() const { return tensors_; }

 private:
  std::string name(std::string_view part) const { return fmt::format("blk.{}.{}", layer_, part); }

  void block(const ModelShape& shape, const Recipe& recipe) {
    vector(name("attn_norm.weight"), shape.dim, 1.0F, 0.1F);
    if (shape.latent.kv_rank > 0) {
      latent_attention(shape, recipe);
    } else {
      attention(shape, recipe);
    }
    vector(name("ffn_norm.weight"), shape.dim, 1.0F, 0.1F);
    if (shape.mixture.route.experts > 0 && layer_ >= shape.mixture.dense_layers) {
      mixture(shape, recipe);
    } else {
      network(shape, recipe, "", shape.ffn_dim);
    }
  }

  void attention(const ModelShape& shape, const Recipe& recipe) {
    const int64_t q_dim = shape.heads * shape.head_dim;
    const int64_t kv_dim = shape.kv_heads * shape.head_dim;
    matrix(name("attn_q.weight"), recipe.matrix(), q_dim, shape.dim);
    matrix(name("attn_k.weight"), recipe.matrix(), kv_dim, shape.dim);
    matrix(name("attn_v.weight"), recipe.sensitive(layer_, shape.layers), kv_dim, shape.dim);
    if (shape.qkv_bias) {
      vector(name("attn_q.bias"), q_dim, 0.0F, 0.2F);
      vector(name("attn_k.bias"), kv_dim, 0.0F, 0.2F);
      vector(name("attn_v.bias"), kv_dim, 0.0F, 0.2F);
    }
    if (shape.qk_norm) {
      vector(name("attn_q_norm.weight"), shape.head_dim, 1.0F, 0.1F);
      vector(name("attn_k_norm.weight"), shape.head_dim, 1.0F, 0.1F);
    }
    matrix(name("attn_output.weight"), recipe.matrix(), shape.dim, q_dim);
  }

  void latent_attention(const ModelShape& shape, const Recipe& recipe) {
    const LatentConfig& a = shape.latent;
    const int64_t q_dim = shape.heads * (a.nope_dim + a.rope_dim);
    if (a.q_rank > 0) {
      matrix(name("attn_q_a.weight"), recipe.matrix(), a.q_rank, shape.dim);
      vector(name("attn_q_a_norm.weight"), a.q_rank, 1.0F, 0.1F);
      matrix(name("attn_q_b.weight"), recipe.matrix(), q_dim, a.q_rank);
    } else {
      matrix(name("attn_q.weight"), recipe.matrix(), q_dim, shape.dim);
    }
    matrix(name("attn_kv_a_mqa.weight"), recipe.matrix(), a.kv_rank + a.rope_dim, shape.dim);
    vector(name("attn_kv_a_norm.weight"), a.kv_rank, 1.0F, 0.1F);
    stack(name("attn_k_b.weight"), recipe.matrix(), shape.heads, a.kv_rank, a.nope_dim);
    stack(name("attn_v_b.weight"), recipe.matrix(), shape.heads, a.value_dim, a.kv_rank);
    matrix(name("attn_output.weight"), recipe.matrix(), shape.dim, shape.heads * a.value_dim);
  }

  void network(const ModelShape& shape, const Recipe& recipe, std::string_view suffix,
               int64_t width) {
    const auto part = [&](std::string_view which) {
      return name(fmt::format("ffn_{}{}.weight", which, suffix));
    };
    matrix(part("gate"), recipe.matrix(), width, shape.dim);
    matrix(part("up"), recipe.matrix(), width, shape.dim);
    matrix(part("down"), recipe.sensitive(layer_, shape.layers), shape.dim, width);
  }

  void mixture(const ModelShape& shape, const Recipe& recipe) {
    const MixtureConfig& m = shape.mixture;
    const int64_t experts = m.route.experts;
    matrix(name("ffn_gate_inp.weight"), QuantType::kF32, experts, shape.dim);
    if (m.has_bias) vector(name("exp_probs_b.bias"), experts, 0.2F, 0.05F);
    if (m.shared > 0) network(shape, recipe, "_shexp", m.shared * m.expert_dim);
    stack(name("ffn_gate_exps.weight"), recipe.matrix(), experts, m.expert_dim, shape.dim);
    stack(name("ffn_up_exps.weight"), recipe.matrix(), experts, m.expert_dim, shape.dim);
    stack(name("ffn_down_exps.weight"), recipe.sensitive(layer_, shape.layers), experts, shape.dim,
          m.expert_dim);
  }

  void stack(std::string name, QuantType wanted, int64_t count, int64_t out_dim, int64_t in_dim) {
    tensors_.push_back({std::move(name), fitting_type(wanted, in_dim),
                        Shape{count, out_dim, in_dim}, 0.0F,
                        1.0F / std::sqrt(static_cast<float>(in_dim))});
  }
  void matrix(std::string name, QuantType wanted, int64_t out_dim, int64_t in_dim) {
    tensors_.push_back({std::move(name), fitting_type(wanted, in_dim), Shape{out_dim, in_dim}, 0.0F,
                        1.0F / std::sqrt(static_cast<float>(in_dim))});
  }
  void vector(std::string name, int64_t dim, float mean, float deviation) {
    tensors_.push_back({std::move(name), QuantType::kF32, Shape{dim}, mean, deviation});
  }

  int64_t layer_ = 0;
  std::vector<TensorPlan> tensors_;
};

// `count` normal values: a pure function of seed, stream and position.
std::vector<float> normal_values(uint64_t seed, uint64_t stream, int64_t count, float mean,
                                 float deviation) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); i += 2) {
    const auto pair = normal_pair(seed, stream, i);
    values[i] = mean + deviation * static_cast<float>(pair[0]);
    if (i + 1 < values.size()) values[i + 1] = mean + deviation * static_cast<float>(pair[1]);
  }
  return values;
}

// Encoded random blocks to draw matrices from. A unit is 64 or 256 consecutive values, so that
// every row of a matrix is a whole number of blocks whatever unit it starts in.
class Pools {
 public:
  explicit Pools(uint64_t seed) : seed_(seed) {}

  // Fills `out`, whose size is a whole number of units, with units drawn at random.
  void draw(const TensorPlan& tensor, uint64_t stream, uint64_t first_unit,
            std::span<std::byte> out) {
    const std::vector<std::byte>& pool = pool_of(tensor);
    const size_t bytes = unit_bytes(tensor.type);
    const auto count = static_cast<uint32_t>(pool.size() / bytes);
    std::array<uint32_t, 4> random{};
    for (size_t unit = 0; unit * bytes < out.size(); ++unit) {
      const uint64_t at = first_unit + unit;
      if (unit == 0 || at % 4 == 0) random = philox(seed_, stream, at / 4);
      const size_t from = random[at % 4] % count;
      std::copy_n(pool.data() + from * bytes, bytes, out.data() + unit * bytes);
    }
  }

  static size_t unit_bytes(QuantType type) {
    return row_bytes(type, std::max<int64_t>(64, quant_format(type).block_size));
  }

 private:
  static constexpr int64_t kPoolValues = 1 << 17;

  const std::vector<std::byte>& pool_of(const TensorPlan& tensor) {
    const auto key = std::pair(tensor.type, tensor.deviation);
    std::vector<std::byte>& pool = pools_[key];
    if (!pool.empty()) return pool;
    // The same values for every pool of a file; only format and scale differ.
    const auto values = normal_values(seed_, ~uint64_t{0}, kPoolValues, 0.0F, tensor.deviation);
    pool.resize(row_bytes(tensor.type, kPoolValues));
    quant_format(tensor.type).encode(values.data(), pool.data(), kPoolValues, nullptr);
    return pool;
  }

  uint64_t seed_;
  std::map<std::pair<QuantType, float>, std::vector<std::byte>> pools_;
};

void write_metadata(GgufWriter& writer, const ModelShape& shape, const SynthSpec& spec) {
  write_shape(writer, shape, fmt::format("{} (random weights, seed {})", shape.name, spec.seed));
  write_synth_tokenizer(writer, shape.pre_tokenizer, shape.vocab_size);
}

// The small fp32 tensors: norms, biases, rotary factors.
Status write_vector(GgufWriter& writer, const ModelShape& shape, const TensorPlan& tensor,
                    uint64_t seed, uint64_t stream) {
  const std::vector<float> values =
      tensor.name == "rope_freqs.weight"
          ? llama3_factors(static_cast<double>(shape.rope_base), shape.head_dim, {})
          : normal_values(seed, stream, tensor.shape.count(), tensor.mean, tensor.deviation);
  return writer.write(std::as_bytes(std::span(values)));
}

Status write_matrix(GgufWriter& writer, Pools& pools, const TensorPlan& tensor, uint64_t stream) {
  constexpr uint64_t kUnitsAtOnce = 8192;
  const size_t unit_bytes = Pools::unit_bytes(tensor.type);
  const uint64_t units = row_bytes(tensor.type, tensor.shape.count()) / unit_bytes;
  std::vector<std::byte> buffer;
  for (uint64_t first = 0; first < units; first += kUnitsAtOnce) {
    buffer.resize(std::min(kUnitsAtOnce, units - first) * unit_bytes);
    pools.draw(tensor, stream, first, buffer);
    MINKE_TRY(writer.write(buffer));
  }
  return {};
}

}  // namespace

std::span<const ModelShape> synth_shapes() { return kShapes; }

std::vector<std::pair<std::string, Shape>> shape_tensors(const ModelShape& shape) {
  std::vector<std::pair<std::string, Shape>> tensors;
  const Plan plan(shape, *Recipe::parse("F32"));
  for (const TensorPlan& tensor : plan.tensors()) {
    tensors.emplace_back(tensor.name, tensor.shape);
  }
  return tensors;
}

std::vector<std::string> synth_quants() {
  std::vector<std::string> names = {"Q4_K_M"};
  for (const QuantFormat& format : quant_formats()) names.emplace_back(format.name);
  return names;
}

Status write_synth(const SynthSpec& spec, const std::string& path,
                   const std::function<bool(double)>& progress) {
  const auto* known_shape = std::ranges::find(kShapes, spec.shape, &ModelShape::name);
  if (known_shape == std::end(kShapes)) {
    std::vector<std::string> names;
    for (const ModelShape& known : kShapes) names.emplace_back(known.name);
    return misuse(fmt::format("there is no shape '{}' to make; there are {}", spec.shape,
                              fmt::join(names, ", ")));
  }
  MINKE_ASSIGN(const Recipe recipe, Recipe::parse(spec.quant));
  ModelShape shape = *known_shape;
  if (spec.layers != 0) {
    // A mixture's first layers have no experts: with them alone it would be another model.
    const int64_t least = shape.mixture.route.experts > 0 ? shape.mixture.dense_layers + 1 : 1;
    if (spec.layers < least || spec.layers > shape.layers) {
      return misuse(fmt::format("{} layers of {} were asked for, which has {}: give {} to {}",
                                spec.layers, shape.name, shape.layers, least, shape.layers));
    }
    shape.layers = spec.layers;
    shape.mtp = false;
  }
  const Plan plan(shape, recipe);

  MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(path));
  write_metadata(writer, shape, spec);
  for (const TensorPlan& tensor : plan.tensors()) {
    writer.add_tensor(tensor.name, tensor.type, tensor.shape);
  }
  MINKE_TRY(writer.begin_data());
  Pools pools(spec.seed);
  uint64_t written = 0;
  uint64_t stream = 0;
  for (const TensorPlan& tensor : plan.tensors()) {
    ++stream;
    if (tensor.shape.rank() == 1) {
      MINKE_TRY(write_vector(writer, shape, tensor, spec.seed, stream));
    } else {
      MINKE_TRY(write_matrix(writer, pools, tensor, stream));
    }
    written += row_bytes(tensor.type, tensor.shape.count());
    const double share = static_cast<double>(written) / static_cast<double>(writer.bytes_total());
    if (progress && !progress(share)) return fail("the writing was stopped");
  }
  MINKE_TRY(writer.finish());
  if (progress) progress(1.0);
  return {};
}

}  // namespace minke
