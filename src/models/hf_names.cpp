#include "models/hf_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>

namespace minke {
namespace {

struct NamePair {
  std::string_view hf;
  std::string_view gguf;
};
constexpr NamePair kModelNames[] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                    {"model.norm.weight", "output_norm.weight"},
                                    {"lm_head.weight", "output.weight"}};
constexpr NamePair kBlockNames[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.k_proj.weight", "attn_k.weight"},
    {"self_attn.v_proj.weight", "attn_v.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"self_attn.q_proj.bias", "attn_q.bias"},
    {"self_attn.k_proj.bias", "attn_k.bias"},
    {"self_attn.v_proj.bias", "attn_v.bias"},
    {"self_attn.o_proj.bias", "attn_output.bias"},
    {"self_attn.q_norm.weight", "attn_q_norm.weight"},
    {"self_attn.k_norm.weight", "attn_k_norm.weight"},
    {"self_attn.q_a_proj.weight", "attn_q_a.weight"},
    {"self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight"},
    {"self_attn.q_b_proj.weight", "attn_q_b.weight"},
    {"self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"},
    {"self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight"},
    {"self_attn.kv_b_proj.weight", "attn_kv_b.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"mlp.gate.weight", "ffn_gate_inp.weight"},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    {"mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight"},
    {"mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight"},
    {"mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight"},
};
// Of layers that predict further tokens, besides. Embedding and head are the model's own, by the
// checkpoint's description (README_WEIGHTS.md of DeepSeek V3); the copies of them are left out.
constexpr NamePair kMtpNames[] = {
    {"eh_proj.weight", "nextn.eh_proj.weight"},
    {"enorm.weight", "nextn.enorm.weight"},
    {"hnorm.weight", "nextn.hnorm.weight"},
    {"embed_tokens.weight", ""},
    {"shared_head.norm.weight", "nextn.shared_head_norm.weight"},
    {"shared_head.head.weight", ""},
};
constexpr NamePair kExpertNames[] = {{"gate_proj.weight", "ffn_gate_exps.weight"},
                                     {"up_proj.weight", "ffn_up_exps.weight"},
                                     {"down_proj.weight", "ffn_down_exps.weight"}};

// The whole number at the start of `text`, up to a dot, which is taken away with it; -1: there is
// none.
int64_t take_number(std::string_view& text) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data() + text.size() || *end != '.') return -1;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return value;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::optional<HfName> read_hf_name(std::string_view name) {
  const auto* of_model = std::ranges::find(kModelNames, name, &NamePair::hf);
  if (of_model != std::end(kModelNames)) return HfName{.gguf = std::string(of_model->gguf)};
  HfName made;
  if (!take_prefix(name, "model.layers.")) return std::nullopt;
  made.layer = take_number(name);
  if (made.layer < 0) return std::nullopt;
  const auto of_layer = [&](std::string_view part) {
    made.gguf = part.empty() ? std::string() : fmt::format("blk.{}.{}", made.layer, part);
    return made;
  };
  if (take_prefix(name, "mlp.experts.")) {
    made.expert = take_number(name);
    const auto* known = std::ranges::find(kExpertNames, name, &NamePair::hf);
    if (made.expert < 0 || known == std::end(kExpertNames)) return std::nullopt;
    return of_layer(known->gguf);
  }
  const auto* of_block = std::ranges::find(kBlockNames, name, &NamePair::hf);
  if (of_block != std::end(kBlockNames)) return of_layer(of_block->gguf);
  const auto* extra = std::ranges::find(kMtpNames, name, &NamePair::hf);
  if (extra == std::end(kMtpNames)) return std::nullopt;
  made.of_mtp = true;
  return of_layer(extra->gguf);
}

std::string hf_tensor_name(std::string_view gguf, int64_t expert) {
  const auto* of_model = std::ranges::find(kModelNames, gguf, &NamePair::gguf);
  if (of_model != std::end(kModelNames)) return std::string(of_model->hf);
  std::string_view part = gguf;
  const int64_t layer = take_prefix(part, "blk.") ? take_number(part) : -1;
  if (layer < 0) return std::string(gguf);
  for (const NamePair& one : kExpertNames) {
    if (part != one.gguf) continue;
    return fmt::format("model.layers.{}.mlp.experts.{}.{}", layer,
                       expert < 0 ? "*" : std::to_string(expert), one.hf);
  }
  for (const std::span<const NamePair> names :
       {std::span<const NamePair>(kBlockNames), std::span<const NamePair>(kMtpNames)}) {
    const auto known = std::ranges::find(names, part, &NamePair::gguf);
    if (known != names.end()) return fmt::format("model.layers.{}.{}", layer, known->hf);
  }
  return std::string(gguf);
}

std::string tensor_name_in(const GgufFile& file, std::string_view gguf) {
  return file.is_assembled() ? hf_tensor_name(gguf) : std::string(gguf);
}

}  // namespace minke
