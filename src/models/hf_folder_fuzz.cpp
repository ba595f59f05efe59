// Any text as the JSON files of a Hugging Face folder: config.json, tokenizer.json,
// tokenizer_config.json and generation_config.json, with a line "%%" between them. The weights are
// always the same few tensors. Whatever opens must be a model's configuration or a fault, and its
// tokenizer must encode.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "core/check.h"
#include "models/gguf_tokenizer.h"
#include "models/hf_folder.h"
#include "models/registry.h"

using namespace minke;

namespace {

constexpr const char* kFiles[] = {"config.json", "tokenizer.json", "tokenizer_config.json",
                                  "generation_config.json"};

void write(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary)
      .write(text.data(), static_cast<std::streamsize>(text.size()));
}

// A folder of this process, with the weights in it; gone when the process ends.
struct Folder {
  std::string path;
  Folder() {
    const char* base = std::filesystem::is_directory("/dev/shm") ? "/dev/shm" : "/tmp";
    path = std::string(base) + "/minke-fuzz-" + std::to_string(getpid());
    std::filesystem::create_directories(path);
    std::string header = R"({"__metadata__":{"format":"pt"})";
    int offset = 0;
    const auto add = [&](const std::string& name, int rows) {
      const int end = offset + 16 * rows;
      header += ",\"" + name + R"(":{"dtype":"F32","shape":[)" + std::to_string(rows) +
                R"(,4],"data_offsets":[)" + std::to_string(offset) + "," + std::to_string(end) +
                "]}";
      offset = end;
    };
    add("model.embed_tokens.weight", 27);  // the corpus's vocab_size
    for (const char* name :
         {"model.norm", "lm_head", "model.layers.0.input_layernorm",
          "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.kv_b_proj",
          "model.layers.0.mlp.gate", "model.layers.0.mlp.experts.0.gate_proj",
          "model.layers.0.mlp.experts.1.gate_proj"}) {
      add(std::string(name) + ".weight", 4);
    }
    for (const char* layer : {"0", "1"}) {
      add("model.layers." + std::string(layer) + ".mlp.gate.e_score_correction_bias", 4);
    }
    header += "}";
    std::string file;
    for (size_t i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i));
    write(path + "/model.safetensors",
          file + header + std::string(static_cast<size_t>(offset), '\0'));
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Folder folder;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (const char* name : kFiles) {
    const size_t end = rest.find("\n%%\n");
    write(folder.path + "/" + name, rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 4);
  }
  const auto file = open_hf_folder(folder.path);
  if (!file) {
    CHECK(!file.error().message.empty());
    return 0;
  }
  (void)check_loadable(*file);
  const auto tokenizer = load_tokenizer(*file);
  if (tokenizer) {
    for (const int32_t id : (*tokenizer)->encode("a text 12", SpecialText::kParse)) {
      CHECK(id >= 0 && id < (*tokenizer)->vocab_size());
    }
  }
  return 0;
}
