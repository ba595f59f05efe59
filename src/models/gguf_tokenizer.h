// The tokenizer of a GGUF file.
#pragma once

#include <memory>
#include <string>

#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "text/tokenizer.h"

namespace minke {

// What the file's tokenizer.ggml.* keys say, copied; fails when one is missing or of a wrong kind.
// Whether it makes sense is for Tokenizer::create to find out.
Result<TokenizerSpec> read_tokenizer_spec(const GgufFile& file);

// The tokenizer does not refer to the file, which may be closed.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const GgufFile& file);

// Sets the tokenizer.ggml.* keys that read_tokenizer_spec() reads, and the chat template, where
// there is one. For byte-level tokenizers ("gpt2"), which have no scores.
void write_tokenizer_spec(const TokenizerSpec& spec, const std::string& chat_template,
                          GgufWriter& writer);

}  // namespace minke
