#include "quantize/recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

namespace minke {
namespace {

// In which layers a rule's other format is taken.
enum class Where : uint8_t {
  kNowhere,
  kFirstTwo,
  kFirstFour,
  kFirstEighth,
  kFirstSixteenth,
  kFirstEighthIfMeasured,
  kFirstEighthUnlessMeasured,
  kEnds,     // the first and the last eighth, and every third between
  kGrouped,  // everywhere, in models with at least four queries a key: values are small there
};

struct Rule {
  QuantType plain;
  Where where = Where::kNowhere;
  QuantType other = plain;
};

bool applies(Where where, int64_t layer, const RecipeModel& model) {
  const int64_t eighth = model.layers / 8;
  switch (where) {
    case Where::kNowhere:
      return false;
    case Where::kFirstTwo:
      return layer < 2;
    case Where::kFirstFour:
      return layer < 4;
    case Where::kFirstEighth:
      return layer < eighth;
    case Where::kFirstSixteenth:
      return layer < model.layers / 16;
    case Where::kFirstEighthIfMeasured:
      return model.measured && layer < eighth;
    case Where::kFirstEighthUnlessMeasured:
      return !model.measured && layer < eighth;
    case Where::kEnds:
      return layer < eighth || layer >= 7 * model.layers / 8 || (layer - eighth) % 3 == 2;
    case Where::kGrouped:
      return model.queries_per_key >= 4;
  }
  return false;
}

enum class Style : uint8_t { kCopy, kPlain, kExperts };

}  // namespace

struct RecipeSpec {
  const char* name;
  Style style;
  int64_t file_type;
  QuantType base;
  Rule value;
  Rule attention_output;
  Rule down;  // of kExperts: of the routed experts
};

namespace {

using enum QuantType;

constexpr RecipeSpec plain(const char* name, int64_t file_type, QuantType base) {
  return {name, Style::kPlain, file_type, base, {base}, {base}, {base}};
}
constexpr RecipeSpec experts(const char* name, int64_t file_type, QuantType base, QuantType down) {
  return {
      name, Style::kExperts, file_type, base, {kQ8_0}, {kQ6_K}, {base, Where::kFirstEighth, down}};
}

constexpr RecipeSpec kCopySpec = {"COPY", Style::kCopy, -1, kF32, {kF32}, {kF32}, {kF32}};

constexpr std::array kSpecs = {
    kCopySpec,
    plain("F32", 0, kF32),
    plain("F16", 1, kF16),
    plain("BF16", 32, kBF16),
    plain("Q8_0", 7, kQ8_0),
    plain("Q6_K", 18, kQ6_K),
    RecipeSpec{"Q5_K_M",
               Style::kPlain,
               17,
               kQ5_K,
               {kQ5_K, Where::kEnds, kQ6_K},
               {kQ5_K},
               {kQ5_K, Where::kEnds, kQ6_K}},
    plain("Q5_K_S", 16, kQ5_K),
    plain("Q5_1", 9, kQ5_1),
    RecipeSpec{"Q5_0",
               Style::kPlain,
               8,
               kQ5_0,
               {kQ5_0},
               {kQ5_0},
               {kQ5_0, Where::kFirstEighthIfMeasured, kQ5_1}},
    RecipeSpec{"Q4_K_M",
               Style::kPlain,
               15,
               kQ4_K,
               {kQ4_K, Where::kEnds, kQ6_K},
               {kQ4_K},
               {kQ4_K, Where::kEnds, kQ6_K}},
    RecipeSpec{"Q4_K_S",
               Style::kPlain,
               14,
               kQ4_K,
               {kQ4_K, Where::kFirstFour, kQ5_K},
               {kQ4_K},
               {kQ4_K, Where::kFirstEighth, kQ5_K}},
    plain("Q4_1", 3, kQ4_1),
    RecipeSpec{"Q4_0",
               Style::kPlain,
               2,
               kQ4_0,
               {kQ4_0},
               {kQ4_0},
               {kQ4_0, Where::kFirstEighthIfMeasured, kQ4_1}},
    RecipeSpec{"IQ4_NL",
               Style::kPlain,
               25,
               kIQ4_NL,
               {kIQ4_NL, Where::kGrouped, kQ5_K},
               {kIQ4_NL},
               {kIQ4_NL, Where::kFirstEighthUnlessMeasured, kQ5_K}},
    RecipeSpec{"IQ4_XS",
               Style::kPlain,
               30,
               kIQ4_XS,
               {kIQ4_XS, Where::kGrouped, kQ5_K},
               {kIQ4_XS},
               {kIQ4_XS, Where::kFirstEighthUnlessMeasured, kQ5_K}},
    plain("MXFP4", 38, kMXFP4),
    RecipeSpec{"Q3_K_L", Style::kPlain, 13, kQ3_K, {kQ5_K}, {kQ5_K}, {kQ5_K}},
    RecipeSpec{"Q3_K_M",
               Style::kPlain,
               12,
               kQ3_K,
               {kQ4_K, Where::kFirstTwo, kQ5_K},
               {kQ4_K},
               {kQ4_K, Where::kFirstSixteenth, kQ5_K}},
    plain("Q3_K_S", 11, kQ3_K),
    RecipeSpec{"Q2_K", Style::kPlain, 10, kQ2_K, {kQ3_K, Where::kGrouped, kQ4_K}, {kQ3_K}, {kQ3_K}},
    RecipeSpec{"Q2_K_S",
               Style::kPlain,
               21,
               kQ2_K,
               {kQ2_K, Where::kGrouped, kQ4_K},
               {kQ2_K},
               {kQ2_K, Where::kFirstEighth, kQ4_K}},
    plain("Q8_K", -1, kQ8_K),
    experts("MOE_Q4_K", 15, kQ4_K, kQ6_K),
    experts("MOE_Q3_K", 12, kQ3_K, kQ4_K),
    experts("MOE_Q2_K", 10, kQ2_K, kQ3_K),
};

// Names that stand for another.
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
    {"Q3_K", "Q3_K_M"}, {"Q4_K", "Q4_K_M"}, {"Q5_K", "Q5_K_M"}};

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

}  // namespace

TensorPart tensor_part(std::string_view tensor) {
  if (tensor == "output.weight") return TensorPart::kOutput;
  if (tensor == "token_embd.weight") return TensorPart::kEmbedding;
  const auto has = [&](std::string_view part) { return tensor.find(part) != tensor.npos; };
  if (has(".nextn.shared_head_head")) return TensorPart::kOutput;
  if (has(".nextn.embed_tokens")) return TensorPart::kEmbedding;
  if (has("attn_v.weight") || has("attn_kv_b.weight")) return TensorPart::kAttentionValue;
  if (has("attn_output.weight")) return TensorPart::kAttentionOutput;
  if (has("attn_q.weight") || has("attn_q_b.weight")) return TensorPart::kAttentionLarge;
  if (has(".attn_") || has(".nextn.")) return TensorPart::kAttentionSmall;
  if (has("ffn_down_exps")) return TensorPart::kExpertDown;
  if (has("_exps.")) return TensorPart::kExpert;
  return has("ffn_down") ? TensorPart::kDown : TensorPart::kOther;
}

int64_t tensor_layer(std::string_view tensor) {
  constexpr std::string_view kStart = "blk.";
  int64_t layer = 0;
  if (tensor.starts_with(kStart)) {
    std::from_chars(tensor.data() + kStart.size(), tensor.data() + tensor.size(), layer);
  }
  return layer;
}

Result<Recipe> Recipe::parse(std::string_view name) {
  std::string wanted = upper(name);
  for (const auto& [alias, target] : kAliases) {
    if (wanted == alias) wanted = target;
  }
  const auto* found = std::ranges::find(kSpecs, wanted, &RecipeSpec::name);
  if (found == kSpecs.end()) {
    return misuse(fmt::format("there is no type '{}' to store a model in; there are {}",
                              name.substr(0, 40), fmt::join(names(), ", ")));
  }
  return Recipe(*found);
}

Recipe Recipe::copy() { return Recipe(kSpecs.front()); }

std::vector<std::string> Recipe::names() {
  std::vector<std::string> names;
  for (const RecipeSpec& spec : kSpecs) names.emplace_back(spec.name);
  return names;
}

std::string_view Recipe::name() const { return spec_->name; }
bool Recipe::copies() const { return spec_->style == Style::kCopy; }
bool Recipe::needs_experts() const { return spec_->style == Style::kExperts; }
int64_t Recipe::file_type() const { return spec_->file_type; }
QuantType Recipe::base() const { return spec_->base; }

QuantType Recipe::choose(std::string_view tensor, const RecipeModel& model) const {
  const int64_t layer = tensor_layer(tensor);
  const auto by = [&](const Rule& rule, int64_t at) {
    return applies(rule.where, at, model) ? rule.other : rule.plain;
  };
  const TensorPart part = tensor_part(tensor);
  const bool output = part == TensorPart::kOutput || (part == TensorPart::kEmbedding && model.tied);
  if (spec_->style == Style::kExperts) {
    if (part == TensorPart::kExpert) return spec_->base;
    // An eighth of the blocks that have experts.
    if (part == TensorPart::kExpertDown) return by(spec_->down, layer - model.dense_layers);
    const bool small = part == TensorPart::kAttentionSmall || part == TensorPart::kAttentionValue;
    return small ? kQ8_0 : kQ6_K;
  }
  if (output) {
    const bool fine = !quant_format(spec_->base).quantised || spec_->base == kQ8_0;
    return fine || spec_->base == kQ8_K ? spec_->base : kQ6_K;
  }
  switch (part) {
    case TensorPart::kAttentionValue:
      return by(spec_->value, layer);
    case TensorPart::kAttentionOutput:
      return by(spec_->attention_output, layer);
    case TensorPart::kDown:
    case TensorPart::kExpertDown:
      return by(spec_->down, layer);
    default:
      return spec_->base;
  }
}

bool is_quantisable(std::string_view tensor, const Shape& shape) {
  return shape.rank() >= 2 && tensor.ends_with(".weight") && !tensor.ends_with("_norm.weight") &&
         !tensor.ends_with("ffn_gate_inp.weight");
}

QuantType fitting_type(QuantType wanted, int64_t in_dim) {
  if (in_dim % quant_format(wanted).block_size == 0) return wanted;
  const QuantType narrow = [&] {
    switch (wanted) {
      case kQ2_K:
      case kQ3_K:
        return kQ4_0;
      case kQ4_K:
        return kQ5_0;
      case kQ5_K:
        return kQ5_1;
      case kQ6_K:
      case kQ8_K:
        return kQ8_0;
      case kIQ4_XS:
        return kIQ4_NL;
      default:
        return wanted;
    }
  }();
  return in_dim % quant_format(narrow).block_size == 0 ? narrow : kF16;
}

}  // namespace minke
