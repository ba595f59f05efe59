#include "train/model_file.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "io/gguf_writer.h"
#include "models/gguf_tokenizer.h"
#include "models/registry.h"
#include "models/synth.h"
#include "quant/format.h"
#include "train/init.h"

namespace minke {
namespace {

QuantType type_in_file(const Weight& weight, QuantType type) {
  if (weight.shape.rank() == 1) return QuantType::kF32;
  return weight.in_dim() % quant_format(type).block_size == 0 ? type : QuantType::kF16;
}

Status write_weights(GgufWriter& writer, Model& model, const Masters& masters, QuantType type) {
  model.visit([&](Weight& weight) {
    writer.add_tensor(weight.name, type_in_file(weight, type), weight.shape);
  });
  MINKE_TRY(writer.begin_data());
  Status status;
  model.visit([&](Weight& weight) {
    if (!status) return;
    const QuantType own = type_in_file(weight, type);
    std::vector<std::byte> blocks(row_bytes(own, weight.shape.count()));
    quant_format(own).encode(masters.values(weight).data(), blocks.data(), weight.shape.count(),
                             nullptr);
    status = writer.write(blocks);
  });
  MINKE_TRY(status);
  return writer.finish();
}

Result<TrainableModel> load(const std::string& path, Ops& ops, LoadOptions options) {
  TrainableModel loaded;
  MINKE_ASSIGN(GgufFile file, GgufFile::open(path));
  loaded.file = std::make_unique<GgufFile>(std::move(file));
  MINKE_ASSIGN(loaded.model, load_model(*loaded.file, ops, {}, options));
  return loaded;
}

}  // namespace

Result<TrainableModel> load_trainable(const std::string& path, Ops& ops) {
  return load(path, ops, {.mtp = true, .trainable = true});
}

Result<TrainableModel> load_trainable_bf16(const std::string& path, Ops& ops, ThreadPool& pool) {
  MINKE_ASSIGN(TrainableModel loaded, load_trainable(path, ops));
  MINKE_TRY(loaded.masters.begin(*loaded.model, ops, pool));
  return loaded;
}

Result<TrainableModel> load_frozen(const std::string& path, Ops& ops) {
  return load(path, ops, {.keep_rows = true});
}

Status save_model(const TrainableModel& trained, QuantType type, const std::string& name,
                  const std::string& path, const std::string& chat_template) {
  constexpr std::string_view kTemplate = "tokenizer.chat_template";
  MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(path));
  for (const GgufEntry& entry : trained.file->metadata()) {
    const bool named = entry.key == "general.name" && !name.empty();
    if (entry.key == "general.file_type") continue;  // of the formats that it had
    if (entry.key == kTemplate && !chat_template.empty()) continue;
    if (named) {
      writer.set_text(entry.key, name);
    } else {
      writer.set_value(entry.key, entry.value);
    }
  }
  if (!chat_template.empty()) writer.set_text(kTemplate, chat_template);
  return write_weights(writer, *trained.model, trained.masters, type);
}

Status write_new_model(const NewModel& made, Ops& ops, const std::string& path) {
  GgufWriter metadata = GgufWriter::without_file();
  const auto describe = [&](GgufWriter& writer) {
    write_shape(writer, made.shape, made.name);
    write_tokenizer_spec(made.tokenizer, made.chat_template, writer);
  };
  describe(metadata);
  for (const auto& [name, shape] : shape_tensors(made.shape)) {
    metadata.add_tensor(name, QuantType::kF32, shape);
  }
  const std::vector<std::byte> header = metadata.header();
  MINKE_ASSIGN(const GgufFile file,
               GgufFile::parse(header, made.name, {.allow_truncated_data = true}));
  MINKE_ASSIGN(const ModelConfig config, read_config(file));
  MINKE_ASSIGN(const std::unique_ptr<Model> model, make_initialised_model(config, made.seed, ops));
  MINKE_ASSIGN(GgufWriter writer, GgufWriter::create(path));
  describe(writer);
  return write_weights(writer, *model, {}, QuantType::kF32);
}

}  // namespace minke
