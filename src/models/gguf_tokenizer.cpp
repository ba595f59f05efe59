#include "models/gguf_tokenizer.h"

#include <fmt/format.h>

#include <limits>
#include <string>
#include <utility>

namespace minke {
namespace {

Result<std::optional<int32_t>> read_id(const GgufFile& file, std::string_view name) {
  const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
  if (!file.has(key)) return std::optional<int32_t>();
  MINKE_ASSIGN(const int64_t id, file.integer(key));
  // Converters write "none" as -1, in a field without a sign.
  if (id == -1 || id == std::numeric_limits<uint32_t>::max()) return std::optional<int32_t>();
  if (id < 0 || id > std::numeric_limits<int32_t>::max()) {
    return fail(fmt::format("{}: {} is {}, which is no token id", file.path(), key, id));
  }
  return std::optional<int32_t>(static_cast<int32_t>(id));
}

Result<std::optional<bool>> read_flag(const GgufFile& file, std::string_view key) {
  if (!file.has(key)) return std::optional<bool>();
  MINKE_ASSIGN(const bool value, file.boolean(key));
  return std::optional<bool>(value);
}

Result<std::vector<std::string>> read_strings(const GgufFile& file, std::string_view key) {
  MINKE_ASSIGN(const auto views, file.strings(key));
  return std::vector<std::string>(views.begin(), views.end());
}

}  // namespace

Result<TokenizerSpec> read_tokenizer_spec(const GgufFile& file) {
  TokenizerSpec spec;
  MINKE_ASSIGN(spec.model, file.text("tokenizer.ggml.model"));
  MINKE_ASSIGN(spec.pre, file.text_or("tokenizer.ggml.pre", ""));
  MINKE_ASSIGN(spec.tokens, read_strings(file, "tokenizer.ggml.tokens"));
  if (file.has("tokenizer.ggml.scores")) {
    MINKE_ASSIGN(spec.scores, file.floats("tokenizer.ggml.scores"));
  }
  if (file.has("tokenizer.ggml.token_type")) {
    MINKE_ASSIGN(const auto types, file.integers("tokenizer.ggml.token_type"));
    spec.types.reserve(types.size());
    // An absurd type stays absurd, so that create() can name it.
    for (const int64_t type : types)
      spec.types.push_back(type < 0 || type > 1000 ? -1 : static_cast<int32_t>(type));
  }
  if (spec.model == "gpt2" || file.has("tokenizer.ggml.merges")) {
    MINKE_ASSIGN(spec.merges, read_strings(file, "tokenizer.ggml.merges"));
  }
  MINKE_ASSIGN(spec.bos, read_id(file, "bos"));
  MINKE_ASSIGN(spec.eos, read_id(file, "eos"));
  MINKE_ASSIGN(spec.eot, read_id(file, "eot"));
  MINKE_ASSIGN(spec.eom, read_id(file, "eom"));
  MINKE_ASSIGN(spec.unk, read_id(file, "unknown"));
  MINKE_ASSIGN(spec.pad, read_id(file, "padding"));
  MINKE_ASSIGN(spec.add_bos, read_flag(file, "tokenizer.ggml.add_bos_token"));
  MINKE_ASSIGN(spec.add_eos, read_flag(file, "tokenizer.ggml.add_eos_token"));
  MINKE_ASSIGN(spec.add_space_prefix, read_flag(file, "tokenizer.ggml.add_space_prefix"));
  MINKE_ASSIGN(spec.nfc, read_flag(file, "tokenizer.minke.nfc"));  // minke convert's own key
  return spec;
}

void write_tokenizer_spec(const TokenizerSpec& spec, const std::string& chat_template,
                          GgufWriter& writer) {
  writer.set_text("tokenizer.ggml.model", spec.model);
  writer.set_text("tokenizer.ggml.pre", spec.pre);
  writer.set_texts("tokenizer.ggml.tokens", spec.tokens);
  writer.set_int32s("tokenizer.ggml.token_type", spec.types);
  writer.set_texts("tokenizer.ggml.merges", spec.merges);
  const auto set_id = [&](const char* key, std::optional<int32_t> id) {
    if (id) writer.set_uint32(key, static_cast<uint32_t>(*id));
  };
  set_id("tokenizer.ggml.bos_token_id", spec.bos);
  set_id("tokenizer.ggml.eos_token_id", spec.eos);
  set_id("tokenizer.ggml.eot_token_id", spec.eot);
  set_id("tokenizer.ggml.padding_token_id", spec.pad);
  if (spec.add_bos) writer.set_boolean("tokenizer.ggml.add_bos_token", *spec.add_bos);
  if (spec.add_eos) writer.set_boolean("tokenizer.ggml.add_eos_token", *spec.add_eos);
  if (spec.nfc) writer.set_boolean("tokenizer.minke.nfc", *spec.nfc);
  if (!chat_template.empty()) writer.set_text("tokenizer.chat_template", chat_template);
}

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const GgufFile& file) {
  MINKE_ASSIGN(TokenizerSpec spec, read_tokenizer_spec(file));
  auto tokenizer = Tokenizer::create(std::move(spec));
  if (!tokenizer) return fail(fmt::format("{}: {}", file.path(), tokenizer.error().message));
  return tokenizer;
}

}  // namespace minke
