// What the tests of training data share: a folder, a small tokenizer, and a template.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"
#include "text/tokenizer_toy.h"
#include "train/data/data_source.h"

namespace minke::testing {

class DataFolder {
 public:
  DataFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "minke-data-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  DataFolder(const DataFolder&) = delete;
  DataFolder& operator=(const DataFolder&) = delete;
  ~DataFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
    return path(name);
  }

 private:
  std::string path_;
};

// The 256 bytes, then <|end|> (256, which ends everything), <think> and </think> (257 and 258), and
// <|im_start|>, <|im_end|> (259, 260).
inline std::unique_ptr<Tokenizer> byte_tokenizer() {
  TokenizerSpec spec = toy_bpe({});
  spec.tokens.insert(spec.tokens.end(), {"</think>", "<|im_start|>", "<|im_end|>"});
  spec.types.insert(spec.types.end(), {4, 3, 3});
  spec.eos = 256;
  auto made = Tokenizer::create(std::move(spec));
  EXPECT_TRUE(made) << made.error().message;
  return *std::move(made);
}

// A sequence as a person reads it: what is to be learnt in [brackets].
inline std::string shown(const Tokenizer& tokenizer, const TokenSequence& sequence) {
  std::string text;
  bool inside = false;
  EXPECT_EQ(sequence.tokens.size(), sequence.is_target.size());
  for (size_t i = 0; i < sequence.tokens.size(); ++i) {
    if (sequence.is_target[i] != inside) text += inside ? "]" : "[";
    inside = sequence.is_target[i];
    text += tokenizer.piece(sequence.tokens[i], true);
  }
  return text + (inside ? "]" : "");
}

}  // namespace minke::testing
