#include "models/adapter.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "core/check.h"
#include "core/random.h"
#include "io/gguf_writer.h"

namespace minke {
namespace {

Result<std::unique_ptr<Weight>> matrix(std::string name, int64_t out_dim, int64_t in_dim) {
  auto weight = std::make_unique<Weight>();
  weight->name = std::move(name);
  weight->shape = {out_dim, in_dim};
  const auto bytes = static_cast<size_t>(out_dim * in_dim) * sizeof(float);
  MINKE_ASSIGN(weight->storage, Buffer::allocate(bytes, weight->name.c_str()));
  std::memset(weight->storage.data(), 0, bytes);
  weight->rows = weight->storage.data();
  return weight;
}

Status check_shape(const GgufFile& file, const GgufTensor& tensor, const Shape& expected) {
  if (tensor.shape == expected) return {};
  return fail(fmt::format("{}: tensor '{}' is {}, expected {}", file.path(), tensor.name,
                          tensor.shape.str(), expected.str()));
}

// The tensor's values times `scale`, into a half of its shape.
Status take(const GgufFile& file, const GgufTensor& tensor, float scale, Weight& half) {
  if (!tensor.is_whole()) {
    return fail(fmt::format("{}: the data of tensor '{}' lies beyond the end of the file",
                            file.path(), tensor.name));
  }
  MINKE_ASSIGN(const GgufBytes bytes, GgufFile::bytes_of(tensor));
  float* values = half.mutable_f32();
  quant_format(tensor.type).decode(bytes.data, values, half.shape.count());
  for (int64_t i = 0; i < half.shape.count(); ++i) {
    values[i] *= scale;
    if (!std::isfinite(values[i])) {
      return fail(fmt::format("{}: tensor '{}' holds {} at {}; the file is damaged", file.path(),
                              tensor.name, values[i], i));
    }
  }
  return {};
}

// Fails when the file is no adapter, or one for another architecture.
Status check_kind(const GgufFile& file, std::string_view model_architecture) {
  MINKE_ASSIGN(const std::string_view type, file.text_or("general.type", ""));
  MINKE_ASSIGN(const std::string_view kind, file.text_or("adapter.type", ""));
  if (type != "adapter" || kind != "lora") {
    return fail(fmt::format("{}: this is no LoRA adapter (general.type is '{}', adapter.type '{}')",
                            file.path(), type, kind));
  }
  MINKE_ASSIGN(const std::string_view architecture, file.text("general.architecture"));
  if (architecture == model_architecture) return {};
  return fail(
      fmt::format("{}: the adapter is for a model of architecture '{}', and this one is "
                  "'{}'",
                  file.path(), architecture, model_architecture));
}

struct TensorPair {
  std::string_view weight;  // whose name they bear
  const GgufTensor* down;   // [rank, in_dim]
  const GgufTensor* up;     // [out_dim, rank]
};

// Fails when a tensor is half of no pair, or no matrix.
Result<std::vector<TensorPair>> tensor_pairs(const GgufFile& file) {
  std::vector<TensorPair> pairs;
  for (const GgufTensor& tensor : file.tensors()) {
    const bool is_down = tensor.name.ends_with(".lora_a");
    const std::string partner =
        fmt::format("{}{}", tensor.name.substr(0, tensor.name.size() - 1), is_down ? "b" : "a");
    const GgufTensor* const other = file.find(partner);
    if ((!is_down && !tensor.name.ends_with(".lora_b")) || other == nullptr) {
      return fail(fmt::format("{}: tensor '{}' has no partner", file.path(), tensor.name));
    }
    if (tensor.shape.rank() != 2) {
      return fail(fmt::format("{}: tensor '{}' {} is for no matrix of this model", file.path(),
                              tensor.name, tensor.shape.str()));
    }
    const std::string_view weight = tensor.name.substr(0, tensor.name.size() - 7);
    if (is_down) pairs.push_back({.weight = weight, .down = &tensor, .up = other});
  }
  return pairs;
}

}  // namespace

Status Adapter::check(const GgufFile& file, const GgufFile& model) {
  MINKE_ASSIGN(const std::string_view architecture, model.text("general.architecture"));
  MINKE_TRY(check_kind(file, architecture));
  MINKE_ASSIGN(const std::vector<TensorPair> pairs, tensor_pairs(file));
  for (const TensorPair& pair : pairs) {
    // A model may go by other tensors than its file has: what is missing is told when it is loaded.
    const GgufTensor* const weight = model.find(pair.weight);
    if (weight == nullptr) continue;
    const Shape changed = {pair.up->shape[0], pair.down->shape[1]};
    if (weight->shape != changed) {
      return fail(
          fmt::format("{}: the adapter is for a '{}' of {}, and that of {} is {}: it "
                      "belongs to another model",
                      file.path(), pair.weight, changed.str(), model.path(), weight->shape.str()));
    }
  }
  return {};
}

Result<Adapter::Half*> Adapter::add(const Weight& weight, int64_t rank) {
  Half half;
  MINKE_ASSIGN(half.down, matrix(weight.name + ".lora_a", rank, weight.in_dim()));
  MINKE_ASSIGN(half.up, matrix(weight.name + ".lora_b", weight.out_dim(), rank));
  halves_.push_back(std::move(half));
  pairs_[&weight] = {.down = halves_.back().down.get(), .up = halves_.back().up.get()};
  return &halves_.back();
}

Result<Adapter> Adapter::create(Model& model, int64_t rank,
                                const std::function<bool(const Weight&)>& adapts, uint64_t seed,
                                Ops& ops) {
  Adapter adapter;
  adapter.architecture_ = model.config().architecture;
  adapter.rank_ = rank;
  Status status;
  uint64_t stream = 0;
  model.visit([&](Weight& weight) {
    if (!status || weight.shape.rank() != 2 || !adapts(weight)) return;
    const auto half = adapter.add(weight, rank);
    if (!half) {
      status = std::unexpected(half.error());
      return;
    }
    Weight& down = *(*half)->down;
    const double deviation = 1.0 / std::sqrt(static_cast<double>(weight.in_dim()));
    float* values = down.mutable_f32();
    for (int64_t i = 0; i < down.shape.count(); ++i) {
      const auto pair = normal_pair(seed, stream, static_cast<uint64_t>(i / 2));
      values[i] = static_cast<float>(pair[static_cast<size_t>(i % 2)] * deviation);
    }
    ++stream;
    status = ops.prepare(down, /*keep_rows=*/true);
    if (status) status = ops.prepare(*(*half)->up, /*keep_rows=*/true);
  });
  MINKE_TRY(status);
  if (adapter.halves_.empty()) return misuse("the adapter is for no matrix of this model");
  return adapter;
}

Result<Adapter> Adapter::read(const GgufFile& file, Model& model, Ops& ops) {
  MINKE_TRY(check_kind(file, model.config().architecture));
  MINKE_ASSIGN(const std::vector<TensorPair> pairs, tensor_pairs(file));
  MINKE_ASSIGN(const double alpha, file.number("adapter.lora.alpha"));
  Adapter adapter;
  adapter.architecture_ = model.config().architecture;
  std::unordered_map<std::string_view, Weight*> by_name;
  model.visit([&](Weight& weight) { by_name[weight.name] = &weight; });
  for (const TensorPair& pair : pairs) {
    const auto found = by_name.find(pair.weight);
    if (found == by_name.end() || found->second->shape.rank() != 2) {
      return fail(fmt::format("{}: tensor '{}' {} is for no matrix of this model", file.path(),
                              pair.down->name, pair.down->shape.str()));
    }
    const Weight& weight = *found->second;
    const int64_t rank = pair.down->shape[0];
    // Before there is memory for it: the shapes are the file's word.
    MINKE_TRY(check_shape(file, *pair.down, {rank, weight.in_dim()}));
    MINKE_TRY(check_shape(file, *pair.up, {weight.out_dim(), rank}));
    adapter.rank_ = rank;
    MINKE_ASSIGN(Half* const half, adapter.add(weight, rank));
    MINKE_TRY(take(file, *pair.down, 1.0F, *half->down));
    MINKE_TRY(
        take(file, *pair.up, static_cast<float>(alpha / static_cast<double>(rank)), *half->up));
    MINKE_TRY(ops.prepare(*half->down, /*keep_rows=*/true));
    MINKE_TRY(ops.prepare(*half->up, /*keep_rows=*/true));
  }
  return adapter;
}

Status Adapter::write(const std::string& path, const std::string& base,
                      const std::string& chat_template, QuantType type) const {
  CHECK_EQ(quant_format(type).block_size, 1);
  MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(path));
  writer.set_text("general.architecture", architecture_);
  writer.set_text("general.type", "adapter");
  writer.set_text("general.name", base + " adapter");
  writer.set_text("adapter.type", "lora");
  if (!chat_template.empty()) writer.set_text("tokenizer.chat_template", chat_template);
  // The scale is in the matrices.
  writer.set_float32("adapter.lora.alpha", static_cast<float>(rank_));
  for (const Half& half : halves_) {
    writer.add_tensor(half.down->name, type, half.down->shape);
    writer.add_tensor(half.up->name, type, half.up->shape);
  }
  MINKE_TRY(writer.begin_data());
  for (const Half& half : halves_) {
    for (const Weight* weight : {half.down.get(), half.up.get()}) {
      std::vector<std::byte> values(row_bytes(type, weight->shape.count()));
      quant_format(type).encode(weight->f32(), values.data(), weight->shape.count(), nullptr);
      MINKE_TRY(writer.write(values));
    }
  }
  return writer.finish();
}

size_t Adapter::bytes() const {
  size_t sum = 0;
  for (const Half& half : halves_) {
    for (const Weight* weight : {half.down.get(), half.up.get()}) {
      sum += weight->storage.size();
      if (weight->packed) sum += weight->packed->bytes();
    }
  }
  return sum;
}

void Adapter::visit(const std::function<void(Weight&)>& visitor) {
  for (Half& half : halves_) {
    visitor(*half.down);
    visitor(*half.up);
  }
}

std::vector<Weight*> Adapter::weights() {
  std::vector<Weight*> all;
  visit([&](Weight& weight) { all.push_back(&weight); });
  return all;
}

}  // namespace minke
