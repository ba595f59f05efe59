// The samples of an evaluation on disk: JSONL, a first line that says what was asked, then a line a
// sample, written as it comes, so that an evaluation that was stopped goes on where it was.
//
// One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.h"
#include "text/value.h"

namespace minke {

struct EvalSample {
  std::string problem;  // its id
  int64_t sample = 0;   // the how-manieth of the problem's
  std::string prompt, expected;
  std::string thinking, answer;
  bool thinking_closed = true;
  bool truncated = false;
  bool well_formed = false;
  bool correct = false;
  std::string why;
  int64_t tokens = 0;
};

class SampleFile {
 public:
  // Opens the file or begins it. `heading` is what was asked; a file that begins with another one
  // is an error that names both. What a killed run left half-written is cut off.
  static Result<SampleFile> open(const std::string& path, const Value::Object& heading);
  SampleFile(SampleFile&& other) noexcept;
  SampleFile& operator=(SampleFile&&) = delete;
  SampleFile(const SampleFile&) = delete;
  SampleFile& operator=(const SampleFile&) = delete;
  ~SampleFile();

  // Those that were there, and those that were added.
  const std::vector<EvalSample>& samples() const { return samples_; }
  // The line is with the system when this returns.
  Status add(EvalSample sample);

 private:
  SampleFile(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  Status write_line(const Value::Object& line);
  Status read_back(const std::string& text, const Value::Object& heading);

  std::string path_;
  int descriptor_;
  std::vector<EvalSample> samples_;
};

}  // namespace minke
