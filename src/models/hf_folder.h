// A Hugging Face checkpoint, read as the GGUF file that a converter would make of it: a folder with
// config.json, tokenizer.json and safetensors, and what else is there of generation_config.json,
// tokenizer_config.json and chat_template.jinja. Nothing is converted beforehand: weights that lie
// in the folder as GGUF has them are read in place, others (stacks of experts, FP8 with scales for
// blocks of 128 x 128, llama's queries and keys) are made when they are asked for. Hostile, like
// all files: faults name the file, the key or tensor, and what was expected.
#pragma once

#include <string>

#include "io/gguf.h"

namespace minke {

Result<GgufFile> open_hf_folder(const std::string& folder);

// Whether some of its weights are FP8, which are BF16 in the file above.
Result<bool> has_fp8_weights(const std::string& folder);

// A GGUF file, or a folder as above: whatever `path` is.
Result<GgufFile> open_checkpoint(const std::string& path, GgufOptions options = {});

}  // namespace minke
