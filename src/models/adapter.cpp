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

// The tensor's values times `scale`, into a half of that shape.
Status take(const GgufFile& file, const GgufTensor& tensor, float scale, Weight& half) {
  if (tensor.shape != half.shape) {
    return fail(fmt::format("{}: tensor '{}' is {}, expected {}", file.path(), tensor.name,
                            tensor.shape.str(), half.shape.str()));
  }
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

}  // namespace

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
  MINKE_ASSIGN(const std::string_view type, file.text_or("general.type", ""));
  MINKE_ASSIGN(const std::string_view kind, file.text_or("adapter.type", ""));
  if (type != "adapter" || kind != "lora") {
    return fail(fmt::format("{}: this is no LoRA adapter (general.type is '{}', adapter.type '{}')",
                            file.path(), type, kind));
  }
  MINKE_ASSIGN(const std::string_view architecture, file.text("general.architecture"));
  if (architecture != model.config().architecture) {
    return fail(
        fmt::format("{}: the adapter is for a model of architecture '{}', and this one is "
                    "'{}'",
                    file.path(), architecture, model.config().architecture));
  }
  MINKE_ASSIGN(const double alpha, file.number("adapter.lora.alpha"));
  Adapter adapter;
  adapter.architecture_ = architecture;
  std::unordered_map<std::string_view, Weight*> by_name;
  model.visit([&](Weight& weight) { by_name[weight.name] = &weight; });
  for (const GgufTensor& tensor : file.tensors()) {
    if (!tensor.name.ends_with(".lora_a")) {
      const bool is_up = tensor.name.ends_with(".lora_b");
      const std::string partner = fmt::format("{}a", tensor.name.substr(0, tensor.name.size() - 1));
      if (is_up && file.find(partner) != nullptr) continue;
      return fail(fmt::format("{}: tensor '{}' has no partner", file.path(), tensor.name));
    }
    const std::string_view name = tensor.name.substr(0, tensor.name.size() - 7);
    const auto found = by_name.find(name);
    const GgufTensor* up = file.find(fmt::format("{}.lora_b", name));
    if (found == by_name.end() || found->second->shape.rank() != 2 || up == nullptr ||
        tensor.shape.rank() != 2) {
      return fail(fmt::format("{}: tensor '{}' {} is for no matrix of this model", file.path(),
                              tensor.name, tensor.shape.str()));
    }
    const int64_t rank = tensor.shape[0];
    adapter.rank_ = rank;
    MINKE_ASSIGN(Half* const half, adapter.add(*found->second, rank));
    MINKE_TRY(take(file, tensor, 1.0F, *half->down));
    MINKE_TRY(take(file, *up, static_cast<float>(alpha / static_cast<double>(rank)), *half->up));
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
    sum += static_cast<size_t>(half.down->shape.count() + half.up->shape.count()) * sizeof(float);
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
