// Examples without end from files of training data: shuffled by a seed, epoch after epoch,
// tokenised ahead of the consumer on threads of its own.
//
// Which examples come, and in which order, is a pure function of files, options, tokenizer and
// position; the number of threads changes nothing. At most `ahead` examples wait. One consumer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/result.h"
#include "train/data/data_position.h"
#include "train/data/example.h"
#include "train/data/example_reader.h"

namespace minke {

struct DataOptions {
  std::vector<std::string> files;  // data/text_file.h says which
  ExampleForm form;
  bool shuffled = true;  // else in the files' order
  uint64_t seed = 0;
  int64_t text_block_bytes = 16'384;  // plain texts are cut into examples of about this size
  int threads = 1;
  int64_t ahead = 64;  // examples
};

class DataSource {
 public:
  // The first example is that of `start` (whose token does not matter here). Tokenizer and template
  // outlive the source; `chat_template` may be null. Fails when a file cannot be read or when there
  // is nothing in them.
  static Result<std::unique_ptr<DataSource>> open(DataOptions options, const Tokenizer& tokenizer,
                                                  const ChatTemplate* chat_template,
                                                  const DataPosition& start = {});
  ~DataSource();

  int64_t examples_per_epoch() const;
  // Where the example that next() will give stands.
  DataPosition position() const;
  // Fails with "file:line: ..." at a record that is no example; after that, ever again.
  Result<Example> next();

 private:
  struct Impl;
  explicit DataSource(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace minke
