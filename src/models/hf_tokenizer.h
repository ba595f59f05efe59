// The tokenizer of a Hugging Face folder: tokenizer.json, with tokenizer_config.json for what it
// adds. Byte-level byte-pair encoding only, which is what the models that minke runs have. The
// files are hostile: sizes, ids and kinds are checked, and every fault names the file.
#pragma once

#include <string>

#include "text/tokenizer.h"

namespace minke {

// `vocab_size`: what the model's output has; ids without a token are filled up to it. 0: as the
// file.
Result<TokenizerSpec> read_hf_tokenizer(const std::string& folder, int64_t vocab_size = 0);

// The chat template: chat_template.jinja, or what tokenizer_config.json has; empty when there is
// none.
Result<std::string> read_hf_chat_template(const std::string& folder);

}  // namespace minke
