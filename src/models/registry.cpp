#include "models/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_set>

#include "core/check.h"
#include "io/direct_file.h"
#include "kernels/panels.h"
#include "models/decoder.h"
#include "models/gguf_config.h"
#include "models/hf_names.h"
#include "models/kv_b.h"

namespace minke {
namespace {

struct Architecture {
  const char* name;
  Result<ModelConfig> (*read)(const GgufFile& file);
};

template <RopePairs kPairs, bool kQkNorm = false, bool kMixture = false>
Result<ModelConfig> read_decoder(const GgufFile& file) {
  return read_decoder_config(file, {.pairs = kPairs, .qk_norm = kQkNorm, .mixture = kMixture});
}

constexpr Architecture kArchitectures[] = {
    {"llama", read_decoder<RopePairs::kAdjacent>},
    {"qwen2", read_decoder<RopePairs::kHalves>},
    {"qwen3", read_decoder<RopePairs::kHalves, true>},
    {"qwen3moe", read_decoder<RopePairs::kHalves, true, true>},
    {"deepseek2", read_deepseek_config},
};

// The file's tensor that `weight` is, or that it is a half of (models/kv_b.h), of the shape that
// the configuration implies and with data.
Result<const GgufTensor*> matching_tensor(const GgufFile& file, const LatentConfig& latent,
                                          const Weight& weight) {
  const bool is_half = is_half_of_kv_b(file, weight);
  const std::string name = is_half ? kv_b_name(weight) : weight.name;
  const Shape expected = is_half ? kv_b_shape(latent, weight) : weight.shape;
  const GgufTensor* tensor = file.find(name);
  const std::string known_as = tensor_name_in(file, name);
  if (tensor == nullptr) {
    return fail(fmt::format("{}: tensor '{}' {} is missing; is the download complete?", file.path(),
                            known_as, expected.str()));
  }
  if (tensor->shape != expected) {
    return fail(fmt::format("{}: tensor '{}' is {}, expected {}", file.path(), known_as,
                            tensor->shape.str(), expected.str()));
  }
  if (!tensor->is_whole()) {
    return fail(
        fmt::format("{}: the data of tensor '{}' lies beyond the end of the file; is the "
                    "download complete?",
                    file.path(), known_as));
  }
  return tensor;
}

// As fp32 of our own, from whatever the file has: `blocks` of `type`. Norms and biases always (they
// are small), and all weights for training.
Status decode_weight(const GgufFile& file, QuantType type, const std::byte* blocks,
                     Weight& weight) {
  const auto count = static_cast<size_t>(weight.shape.count());
  if (weight.shape.back() % quant_format(type).block_size != 0) {
    return fail(fmt::format("{}: tensor '{}' {} cannot be {}", file.path(), weight.name,
                            weight.shape.str(), quant_name(type)));
  }
  MINKE_ASSIGN(Buffer storage, Buffer::allocate(count * sizeof(float), weight.name.c_str()));
  auto* values = reinterpret_cast<float*>(storage.data());
  quant_format(type).decode(blocks, values, weight.shape.count());
  weight.storage = std::move(storage);  // `blocks` may lie in the one before
  weight.type = QuantType::kF32;
  weight.rows = weight.storage.data();
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) {
      return fail(fmt::format("{}: tensor '{}' holds {} at {}; the file is damaged", file.path(),
                              tensor_name_in(file, weight.name), values[i], i));
    }
  }
  return {};
}

// Asks the system for tensors before they are packed, so that a file that is not in memory is read
// without pauses.
class ReadAhead {
 public:
  ReadAhead(const GgufFile& file, Model& model, bool without_experts) : file_(file) {
    model.visit([&](Weight& weight) {
      if (without_experts && weight.routed) return;
      if (const GgufTensor* tensor = file.find(weight.name)) order_.push_back(tensor);
    });
  }
  // The first `done` bytes of the tensors, in the order of the visit, are packed.
  void advance(uint64_t done) {
    constexpr uint64_t kAhead = uint64_t{64} << 20;
    for (; next_ < order_.size() && asked_ <= done + kAhead; ++next_) {
      file_.will_need(*order_[next_]);
      asked_ += order_[next_]->bytes;
    }
  }

 private:
  const GgufFile& file_;
  std::vector<const GgufTensor*> order_;
  size_t next_ = 0;
  uint64_t asked_ = 0;
};

// Gives the experts of each layer, which follow one another (gate, up, down), to the store.
Status stream_experts(const GgufFile& file, std::span<Weight* const> stacks, ExpertStore& store) {
  std::vector<std::shared_ptr<const DirectFile>> parts;
  for (const std::string& path : file.paths()) {
    MINKE_ASSIGN(DirectFile part, DirectFile::open(path));
    parts.push_back(std::make_shared<const DirectFile>(std::move(part)));
  }
  const auto source = [&](Weight* weight) {
    const GgufTensor& tensor = *file.find(weight->name);
    const auto& part = parts[static_cast<size_t>(tensor.part)];
    return ExpertStore::Source{
        .weight = weight,
        .read = [part, offset = tensor.offset](uint64_t from, size_t count, auto scratch) {
          return part->read(offset + from, count, scratch);
        }};
  };
  CHECK_EQ(stacks.size() % 3, size_t{0});
  for (size_t i = 0; i < stacks.size(); i += 3) {
    MINKE_TRY(store.add_layer(source(stacks[i]), source(stacks[i + 1]), source(stacks[i + 2])));
  }
  return {};
}

// What some files of deepseek2 have beside what the model reads: a second copy of keys and values,
// and layers that predict further tokens than are asked for.
bool is_left_out(const ModelConfig& config, std::string_view name) {
  if (config.latent.kv_rank == 0) return false;
  if (name.ends_with(".attn_kv_b.weight")) return true;
  int64_t layer = -1;
  if (!name.starts_with("blk.")) return false;
  const std::string_view number = name.substr(4, name.find('.', 4) - 4);
  std::from_chars(number.data(), number.data() + number.size(), layer);
  return layer >= config.layers && layer < config.layers + config.extra_layers;
}

// A tensor that the model would leave out means that the file holds another model than its
// metadata says.
Status check_all_known(const GgufFile& file, Model& model) {
  std::unordered_set<std::string_view> known = {"rope_freqs.weight"};
  model.visit([&](Weight& weight) {
    known.insert(weight.name);
    if (!is_half_of_kv_b(file, weight)) return;
    if (const GgufTensor* source = file.find(kv_b_name(weight))) known.insert(source->name);
  });
  for (const GgufTensor& tensor : file.tensors()) {
    if (!known.contains(tensor.name) && !is_left_out(model.config(), tensor.name)) {
      return fail(fmt::format("{}: tensor '{}' {} has no place in a model of architecture '{}'",
                              file.path(), tensor_name_in(file, tensor.name), tensor.shape.str(),
                              model.config().architecture));
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> known_architectures() {
  std::vector<std::string> names;
  for (const Architecture& architecture : kArchitectures) names.emplace_back(architecture.name);
  return names;
}

Result<ModelConfig> read_config(const GgufFile& file) {
  MINKE_ASSIGN(const std::string_view name, file.text("general.architecture"));
  for (const Architecture& architecture : kArchitectures) {
    if (name == architecture.name) return architecture.read(file);
  }
  return fail(fmt::format("{}: the architecture is '{}'; minke knows {}", file.path(), name,
                          fmt::join(known_architectures(), ", ")));
}

std::unique_ptr<Model> make_model(const ModelConfig& config) {
  return std::make_unique<Decoder>(config);
}

Status check_loadable(const GgufFile& file) {
  MINKE_ASSIGN(const ModelConfig config, read_config(file));
  const std::unique_ptr<Model> model = make_model(config);
  MINKE_TRY(check_all_known(file, *model));
  Status status;
  model->visit([&](Weight& weight) {
    if (!status) return;
    const auto tensor = matching_tensor(file, config.latent, weight);
    if (!tensor) status = std::unexpected(tensor.error());
  });
  return status;
}

Result<PackedSize> packed_size(const GgufFile& file, LoadOptions options) {
  MINKE_ASSIGN(ModelConfig config, read_config(file));
  if (!options.mtp) config.mtp = {};
  const std::unique_ptr<Model> model = make_model(config);
  PackedSize size;
  uint64_t expert_bytes = 0;  // of the layer under way
  Status status;
  model->visit([&](Weight& weight) {
    if (!status) return;
    const auto tensor = matching_tensor(file, config.latent, weight);
    if (!tensor) {
      status = std::unexpected(tensor.error());
      return;
    }
    weight.type = is_half_of_kv_b(file, weight) ? kv_b_type(**tensor, weight) : (*tensor)->type;
    if (!weight.is_matrix() || !weight.multiplied) return;
    const int64_t panels = (weight.out_dim() + kPanelOutputs - 1) / kPanelOutputs;
    const auto bytes = static_cast<uint64_t>(
        panels * panel_bytes_for(panel_format_of(weight.type), weight.in_dim()));
    if (!weight.routed) {
      size.resident += bytes;
      expert_bytes = 0;
      return;
    }
    const Weight* one = &weight;
    size.experts += bytes;
    if (expert_bytes == 0) size.experts_count += weight.matrices();
    expert_bytes += ExpertStore::expert_bytes({&one, 1});
    size.expert_bytes = std::max(size.expert_bytes, expert_bytes);
    size.piece_bytes = std::max(size.piece_bytes, ExpertStore::piece_bytes(weight));
  });
  MINKE_TRY(status);
  return size;
}

Result<std::unique_ptr<Model>> load_model(const GgufFile& file, Ops& ops,
                                          const std::function<bool(double)>& progress,
                                          LoadOptions options) {
  MINKE_ASSIGN(ModelConfig config, read_config(file));
  if (!options.mtp) config.mtp = {};
  if (config.needs_mixtures() && !ops.runs_mixtures()) {
    return fail(
        fmt::format("{}: a model of architecture '{}' does not run on this device; "
                    "--device cpu runs it",
                    file.path(), config.architecture));
  }
  std::unique_ptr<Model> model = make_model(config);
  MINKE_TRY(check_all_known(file, *model));
  ReadAhead read_ahead(file, *model, options.experts != nullptr);
  std::vector<Weight*> streamed;
  uint64_t done = 0;
  Status status;
  model->visit([&](Weight& weight) {
    if (!status) return;
    const auto load = [&]() -> Status {
      MINKE_ASSIGN(const GgufTensor* tensor, matching_tensor(file, config.latent, weight));
      if (is_half_of_kv_b(file, weight)) {
        MINKE_TRY(take_half(*tensor, config.latent, weight));
        done += tensor->bytes / 2;
        if (options.trainable) {
          MINKE_TRY(decode_weight(file, weight.type, weight.rows, weight));
          return ops.prepare(weight, true);
        }
        const Status prepared = ops.prepare(weight, options.keep_rows);
        if (!options.keep_rows) {
          weight.storage = Buffer();
          weight.rows = nullptr;
        }
        if (!prepared) return fail(fmt::format("{}: {}", file.path(), prepared.error().message));
        return {};
      }
      if (options.experts != nullptr && weight.routed) {
        weight.type = tensor->type;
        streamed.push_back(&weight);
        return {};
      }
      if (weight.shape.rank() == 1 || options.trainable) {
        MINKE_ASSIGN(const GgufBytes bytes, GgufFile::bytes_of(*tensor));
        MINKE_TRY(decode_weight(file, tensor->type, bytes.data, weight));
        MINKE_TRY(ops.prepare(weight, true));
      } else {
        weight.type = tensor->type;
        MINKE_ASSIGN(GgufBytes bytes, GgufFile::bytes_of(*tensor));
        weight.rows = bytes.data;
        weight.storage = std::move(bytes.storage);
        const bool made = weight.storage.data() != nullptr;
        read_ahead.advance(done);
        if (!made) {
          weight.was_read = [&](const std::byte* from, size_t count) {
            file.drop_pages(*tensor, from, count);
          };
        }
        const bool keeps_rows = options.keep_rows || model->keeps_rows(weight);
        const Status prepared = ops.prepare(weight, keeps_rows);
        weight.was_read = nullptr;
        if (made && !keeps_rows) {
          weight.storage = Buffer();
          weight.rows = nullptr;
        }
        if (!prepared) {
          return fail(fmt::format("{}: {}", file.path(), prepared.error().message));
        }
        file.drop_pages(*tensor);  // rows that are still read come back when they are touched
      }
      done += tensor->bytes;
      const double fraction =
          static_cast<double>(done) / static_cast<double>(std::max<uint64_t>(file.file_bytes(), 1));
      if (progress && !progress(fraction)) return fail("the loading was stopped");
      return {};
    };
    status = load();
    if (Status intact = file.check_intact(); !intact) status = std::move(intact);
  });
  MINKE_TRY(status);
  if (options.experts != nullptr) MINKE_TRY(stream_experts(file, streamed, *options.experts));
  return model;
}

}  // namespace minke
