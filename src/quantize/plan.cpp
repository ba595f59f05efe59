#include "quantize/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "io/gguf_writer.h"

namespace minke {
namespace {

// Whether `text` fits `pattern`, in which * stands for any characters and ? for one.
bool fits(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0;
  size_t star = pattern.npos, resume = 0;  // the last *, and what it began to stand for
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<RecipeModel> recipe_model(const GgufFile& from, bool measured) {
  MINKE_ASSIGN(const std::string_view architecture, from.text("general.architecture"));
  const auto key = [&](std::string_view name) { return fmt::format("{}.{}", architecture, name); };
  RecipeModel model = {.tied = from.find("output.weight") == nullptr, .measured = measured};
  MINKE_ASSIGN(model.layers, from.integer(key("block_count")));
  model.dense_layers = model.layers;
  for (const GgufTensor& tensor : from.tensors()) {
    if (tensor_part(tensor.name) != TensorPart::kExpert) continue;
    model.dense_layers = std::min(model.dense_layers, tensor_layer(tensor.name));
  }
  // Some files have one number a layer; then nothing is assumed.
  const auto heads = from.integer_or(key("attention.head_count"), 1);
  const auto kv_heads = from.integer_or(key("attention.head_count_kv"), heads ? *heads : 1);
  if (heads && kv_heads && *kv_heads > 0) model.queries_per_key = *heads / *kv_heads;
  return model;
}

// Of the recipe, before anything is known of the width.
QuantType wanted_type(const QuantizeRequest& request, const RecipeModel& model,
                      const GgufTensor& tensor) {
  if (request.recipe.copies() || !is_quantisable(tensor.name, tensor.shape)) return tensor.type;
  return request.pure ? request.recipe.base() : request.recipe.choose(tensor.name, model);
}

// The override that counts for a tensor; the end where none does.
auto override_of(const std::vector<TensorOverride>& overrides, const GgufTensor& tensor) {
  return std::ranges::find_if(overrides, [&](const TensorOverride& one) {
    return tensor.shape.rank() >= 2 && fits(one.pattern, tensor.name);
  });
}

Status check_overrides(const GgufFile& from, const std::vector<TensorOverride>& overrides) {
  for (const TensorOverride& one : overrides) {
    if (std::ranges::none_of(from.tensors(), [&](const GgufTensor& tensor) {
          return tensor.shape.rank() >= 2 && fits(one.pattern, tensor.name);
        })) {
      return misuse(fmt::format("no matrix of {} fits '{}'; `minke show --tensors` lists them",
                                from.path(), one.pattern));
    }
  }
  return {};
}

// Whether importance changes what is stored. Eight bits are rounded to the nearest whatever it
// says.
bool heeds_importance(const PlannedTensor& tensor) {
  return quant_format(tensor.type).quantised && tensor.type != tensor.source->type &&
         tensor.type != QuantType::kQ8_0 && tensor.type != QuantType::kQ8_K;
}

// All that the run will ask of the matrix is asked here once, so that no fault waits for hours.
Status check_importance(const ImportanceMatrix& importance, std::vector<PlannedTensor>& tensors) {
  for (PlannedTensor& tensor : tensors) {
    MINKE_ASSIGN(const std::vector<float> means,
                 importance.means(tensor.source->name, tensor.source->shape));
    tensor.unmeasured = means.empty() && heeds_importance(tensor);
  }
  return {};
}

void write_keys(const GgufFile& from, const QuantizeRequest& request, bool quantised,
                GgufWriter& writer) {
  const Recipe& recipe = request.recipe;
  const bool new_type = !recipe.copies() && recipe.file_type() >= 0;
  for (const GgufEntry& entry : from.metadata()) {
    if (entry.key.starts_with("split.") || entry.key.starts_with("quantize.imatrix.")) continue;
    if (entry.key == "general.file_type" && !recipe.copies()) continue;
    if (entry.key == "general.quantization_version" && quantised) continue;
    writer.set_value(entry.key, entry.value);
  }
  if (new_type) writer.set_uint32("general.file_type", static_cast<uint32_t>(recipe.file_type()));
  if (quantised) writer.set_uint32("general.quantization_version", 2);
  if (const ImportanceMatrix* importance = request.importance) {
    writer.set_text("quantize.imatrix.file", importance->path());
    if (!importance->dataset().empty()) {
      writer.set_text("quantize.imatrix.dataset", importance->dataset());
    }
    writer.set_int32("quantize.imatrix.entries_count", static_cast<int32_t>(importance->entries()));
    writer.set_int32("quantize.imatrix.chunks_count", static_cast<int32_t>(importance->windows()));
  }
}

}  // namespace

Result<TensorOverride> TensorOverride::parse(std::string_view text) {
  const size_t equals = text.rfind('=');
  const std::string_view type = equals == text.npos ? "" : text.substr(equals + 1);
  const QuantFormat* format = find_quant_format(type);
  if (equals == 0 || format == nullptr) {
    return misuse(
        fmt::format("'{}' is no PATTERN=TYPE, as in 'blk.*.ffn_down.weight=Q6_K'; types "
                    "are {}",
                    text.substr(0, 100), supported_quant_names()));
  }
  return TensorOverride{std::string(text.substr(0, equals)), format->type};
}

Result<QuantizePlan> plan_quantize(const GgufFile& from, const QuantizeRequest& request) {
  MINKE_ASSIGN(const RecipeModel model, recipe_model(from, request.importance != nullptr));
  if (request.recipe.needs_experts() && model.dense_layers == model.layers) {
    return fail(
        fmt::format("{}: has no experts, which {} is for; Q4_K_M and the like are for "
                    "models without",
                    from.path(), request.recipe.name()));
  }
  MINKE_TRY(check_overrides(from, request.overrides));
  QuantizePlan plan;
  for (const GgufTensor& tensor : from.tensors()) {
    if (!tensor.is_whole()) {
      return fail(
          fmt::format("{}: the data of tensor '{}' lies beyond the end of the file; is the "
                      "download complete?",
                      from.path(), tensor.name));
    }
    PlannedTensor planned = {.source = &tensor, .wanted = wanted_type(request, model, tensor)};
    const auto chosen = override_of(request.overrides, tensor);
    if (chosen != request.overrides.end()) {
      planned.wanted = chosen->type;
      const QuantFormat& format = quant_format(chosen->type);
      if (tensor.shape.back() % format.block_size != 0) {
        return misuse(fmt::format("tensor '{}' {} cannot be {}: its rows are no multiple of {}",
                                  tensor.name, tensor.shape.str(), format.name, format.block_size));
      }
    }
    planned.type = fitting_type(planned.wanted, tensor.shape.back());
    if (planned.type != tensor.type && quant_format(tensor.type).quantised) ++plan.requantised;
    planned.bytes =
        row_bytes(planned.type, tensor.shape.back()) * static_cast<uint64_t>(tensor.shape.rows());
    plan.parameters += tensor.shape.count();
    plan.tensors.push_back(planned);
  }
  if (request.importance != nullptr) {
    MINKE_TRY(check_importance(*request.importance, plan.tensors));
  }
  const bool quantised = std::ranges::any_of(
      plan.tensors, [](const PlannedTensor& t) { return quant_format(t.type).quantised; });
  GgufWriter writer = GgufWriter::without_file();
  write_keys(from, request, quantised, writer);
  for (const PlannedTensor& tensor : plan.tensors) {
    writer.add_tensor(tensor.source->name, tensor.type, tensor.source->shape);
  }
  plan.header = writer.header();
  plan.bytes_total = writer.bytes_total();
  for (size_t i = 0; i < plan.tensors.size(); ++i) {
    plan.tensors[i].offset = writer.data_offset(i);
  }
  return plan;
}

}  // namespace minke
