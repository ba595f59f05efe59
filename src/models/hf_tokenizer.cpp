#include "models/hf_tokenizer.h"

#include <fmt/format.h>

#include <filesystem>

#include "io/json_file.h"
#include "io/mmap.h"
#include "text/pre_tokenizer.h"

namespace minke {
namespace {

using Json = nlohmann::json;

constexpr int64_t kTokensMost = 4'000'000;

const Json& member(const Json& object, const char* key) {
  static const Json nothing;
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() ? *found : nothing;
}

// A list; empty when there is none.
Result<const Json*> list_of(const std::string& path, const Json& object, const char* key) {
  const Json& list = member(object, key);
  if (list.is_null() || list.is_array()) return &list;
  return fail(fmt::format("{}: '{}' is {}, expected a list", path, key, list.dump().substr(0, 60)));
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : std::string();
}

// Everything that the pre-tokenizer splits by, and whether it splits digits one by one.
struct Splits {
  std::string patterns;
  bool digits = false;
  bool byte_level = false;
};

void collect_splits(const Json& step, Splits& out) {
  const std::string type = text_of(member(step, "type"));
  if (type == "Sequence") {
    for (const Json& part : member(step, "pretokenizers")) collect_splits(part, out);
  } else if (type == "Split") {
    out.patterns += text_of(member(member(step, "pattern"), "Regex")) + "\n";
  } else if (type == "Digits") {
    out.digits = member(step, "individual_digits") == true;
  } else if (type == "ByteLevel") {
    out.byte_level = true;
  }
}

// GGUF's name for a pre-tokenizer, known by what is peculiar in its expressions.
std::string pre_tokenizer_name(const Splits& splits) {
  const auto has = [&](std::string_view part) { return splits.patterns.contains(part); };
  const bool chinese = has("\u4e00-\u9fa5") || has("\u4e00-");
  if (has("\\p{N}{1,3}")) return chinese ? "deepseek-v3" : "llama-bpe";
  if (chinese && has("\\s?\\p{L}+")) return "deepseek-coder";
  if (chinese && has("A-Za-z\u00b5")) return "deepseek-llm";
  if (has("[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|")) return "qwen2";
  if (splits.patterns.empty() && splits.byte_level) return splits.digits ? "smollm" : "gpt-2";
  return "";
}

// Text goes into NFC first or stays as it is.
Result<bool> normalizes_nfc(const std::string& path, const Json& step) {
  if (step.is_null()) return false;
  const std::string type = text_of(member(step, "type"));
  if (type == "NFC") return true;
  if (type != "Sequence") {
    return fail(fmt::format("{}: a 'normalizer' is {}, expected none or NFC", path,
                            step.dump().substr(0, 100)));
  }
  MINKE_ASSIGN(const Json* parts, list_of(path, step, "normalizers"));
  bool any = false;
  for (const Json& part : *parts) {
    MINKE_ASSIGN(const bool one, normalizes_nfc(path, part));
    any |= one;
  }
  return any;
}

Status place(const std::string& path, const std::string& token, const Json& id, TokenType type,
             TokenizerSpec& spec) {
  const int64_t at = id.is_number_integer() ? id.get<int64_t>() : -1;
  if (at < 0 || at >= kTokensMost) {
    return fail(fmt::format("{}: token '{}' has the id {}, expected a whole number below {}", path,
                            token.substr(0, 60), id.dump().substr(0, 30), kTokensMost));
  }
  const auto index = static_cast<size_t>(at);
  if (index >= spec.tokens.size()) {
    spec.tokens.resize(index + 1);
    spec.types.resize(index + 1, static_cast<int32_t>(TokenType::kUnused));
  }
  const bool taken = spec.types[index] != static_cast<int32_t>(TokenType::kUnused);
  if (taken && spec.tokens[index] != token) {  // special ones are often in both lists
    return fail(fmt::format("{}: the tokens '{}' and '{}' both have the id {}, expected one", path,
                            spec.tokens[index].substr(0, 60), token.substr(0, 60), at));
  }
  spec.tokens[index] = token;
  spec.types[index] = static_cast<int32_t>(type);
  return {};
}

Status read_vocabulary(const std::string& path, const Json& json, TokenizerSpec& spec) {
  const Json& model = member(json, "model");
  const Json& vocabulary = member(model, "vocab");
  if (text_of(member(model, "type")) != "BPE") {
    return fail(fmt::format("{}: the tokenizer is of type '{}', expected byte-pair encoding (BPE)",
                            path, text_of(member(model, "type"))));
  }
  if (!vocabulary.is_object()) {
    return fail(fmt::format("{}: 'model' has {} 'vocab', expected an object of tokens and ids",
                            path, vocabulary.is_null() ? "no" : "a malformed"));
  }
  for (const auto& [token, id] : vocabulary.items()) {
    MINKE_TRY(place(path, token, id, TokenType::kNormal, spec));
  }
  MINKE_ASSIGN(const Json* added_tokens, list_of(path, json, "added_tokens"));
  for (const Json& added : *added_tokens) {
    const bool special = member(added, "special") == true;
    MINKE_TRY(place(path, text_of(member(added, "content")), member(added, "id"),
                    special ? TokenType::kControl : TokenType::kUserDefined, spec));
  }
  MINKE_ASSIGN(const Json* merges, list_of(path, model, "merges"));
  for (const Json& merge : *merges) {
    // "left right", or since 2024 ["left", "right"].
    if (merge.is_string()) {
      spec.merges.push_back(merge.get<std::string>());
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      spec.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    } else {
      return fail(
          fmt::format("{}: a merge is {}, expected two tokens", path, merge.dump().substr(0, 60)));
    }
  }
  return {};
}

std::optional<int32_t> id_of(const TokenizerSpec& spec, const Json& token) {
  // A string, or an object that holds it.
  const std::string name = token.is_object() ? text_of(member(token, "content")) : text_of(token);
  if (name.empty()) return {};
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.tokens[id] == name) return static_cast<int32_t>(id);
  }
  return {};
}

Result<Json> optional_json(const std::string& path) {
  if (!std::filesystem::exists(path)) return Json::object();
  return read_json_object(path);
}

}  // namespace

Result<TokenizerSpec> read_hf_tokenizer(const std::string& folder, int64_t vocab_size) {
  const std::string path = folder + "/tokenizer.json";
  MINKE_ASSIGN(const Json json, read_json_object(path));
  MINKE_ASSIGN(const Json config, optional_json(folder + "/tokenizer_config.json"));
  TokenizerSpec spec;
  spec.model = "gpt2";
  Splits splits;
  collect_splits(member(json, "pre_tokenizer"), splits);
  spec.pre = pre_tokenizer_name(splits);
  if (spec.pre.empty()) {
    return fail(fmt::format("{}: the pre-tokenizer is none that minke knows (it splits by {})",
                            path,
                            splits.patterns.empty() ? "nothing" : splits.patterns.substr(0, 100)));
  }
  MINKE_ASSIGN(const PreTokenizer* pre, find_pre_tokenizer(spec.pre));
  MINKE_ASSIGN(const bool nfc, normalizes_nfc(path, member(json, "normalizer")));
  if (nfc != pre->normalizes_nfc) spec.nfc = nfc;
  MINKE_TRY(read_vocabulary(path, json, spec));
  if (vocab_size > 0 && static_cast<int64_t>(spec.tokens.size()) > vocab_size) {
    return fail(fmt::format("{}: has {} tokens, and the model an output of {}", path,
                            spec.tokens.size(), vocab_size));
  }
  const size_t known = spec.tokens.size();
  spec.tokens.resize(std::max(known, static_cast<size_t>(vocab_size)));
  spec.types.resize(spec.tokens.size(), static_cast<int32_t>(TokenType::kUnused));
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.tokens[id].empty()) spec.tokens[id] = fmt::format("[PAD{}]", id);
  }
  spec.bos = id_of(spec, member(config, "bos_token"));
  spec.eos = id_of(spec, member(config, "eos_token"));
  spec.pad = id_of(spec, member(config, "pad_token"));
  if (member(config, "add_bos_token").is_boolean()) spec.add_bos = member(config, "add_bos_token");
  if (member(config, "add_eos_token").is_boolean()) spec.add_eos = member(config, "add_eos_token");
  return spec;
}

Result<std::string> read_hf_chat_template(const std::string& folder) {
  const std::string path = folder + "/chat_template.jinja";
  if (std::filesystem::exists(path)) {
    MINKE_ASSIGN(const MappedFile file, MappedFile::open(path));
    constexpr size_t kBytesMost = 1U << 20;
    if (file.bytes().size() > kBytesMost) {
      return fail(fmt::format("{}: has {} bytes, expected at most {}", path, file.bytes().size(),
                              kBytesMost));
    }
    return std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  }
  MINKE_ASSIGN(const Json config, optional_json(folder + "/tokenizer_config.json"));
  const Json& chat_template = member(config, "chat_template");
  if (!chat_template.is_array()) return text_of(chat_template);
  // Several by name: the one for conversations is called "default".
  for (const Json& named : chat_template) {
    if (text_of(member(named, "name")) == "default") return text_of(member(named, "template"));
  }
  return std::string();
}

}  // namespace minke
