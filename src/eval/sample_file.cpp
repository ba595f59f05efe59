#include "eval/sample_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "text/utf8_stream.h"

namespace minke {

namespace {

Value::Object object_of(const EvalSample& sample) {
  return {{"problem", sample.problem},
          {"sample", sample.sample},
          {"correct", sample.correct},
          {"well_formed", sample.well_formed},
          {"thinking_closed", sample.thinking_closed},
          {"truncated", sample.truncated},
          {"tokens", sample.tokens},
          {"why", make_valid_utf8(sample.why)},
          {"prompt", make_valid_utf8(sample.prompt)},
          {"expected", make_valid_utf8(sample.expected)},
          {"thinking", make_valid_utf8(sample.thinking)},
          {"answer", make_valid_utf8(sample.answer)}};
}

// Nothing where a member is missing or of another kind.
std::optional<EvalSample> sample_of(const Value& value) {
  EvalSample sample;
  const std::pair<std::string_view, std::string*> texts[] = {
      {"problem", &sample.problem},   {"why", &sample.why},           {"prompt", &sample.prompt},
      {"expected", &sample.expected}, {"thinking", &sample.thinking}, {"answer", &sample.answer}};
  for (const auto& [name, text] : texts) {
    const Value* const member = value.find(name);
    if (!member || !member->as_string()) return std::nullopt;
    *text = *member->as_string();
  }
  const std::pair<std::string_view, bool*> flags[] = {{"correct", &sample.correct},
                                                      {"well_formed", &sample.well_formed},
                                                      {"thinking_closed", &sample.thinking_closed},
                                                      {"truncated", &sample.truncated}};
  for (const auto& [name, flag] : flags) {
    const Value* const member = value.find(name);
    if (!member || !member->as_bool()) return std::nullopt;
    *flag = *member->as_bool();
  }
  const std::pair<std::string_view, int64_t*> numbers[] = {{"sample", &sample.sample},
                                                           {"tokens", &sample.tokens}};
  for (const auto& [name, number] : numbers) {
    const Value* const member = value.find(name);
    if (!member || !member->as_int()) return std::nullopt;
    *number = *member->as_int();
  }
  return sample;
}

std::string system_error(const std::string& path) {
  return fmt::format("{}: {}", path, std::strerror(errno));
}

Result<std::string> read_all(const std::string& path, int descriptor) {
  std::string text;
  std::string buffer(size_t{1} << 20, '\0');
  for (;;) {
    const ssize_t got = read(descriptor, buffer.data(), buffer.size());
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error(path));
    text.append(buffer, 0, static_cast<size_t>(got));
  }
}

}  // namespace

SampleFile::SampleFile(SampleFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      samples_(std::move(other.samples_)) {}

SampleFile::~SampleFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

Result<SampleFile> SampleFile::open(const std::string& path, const Value::Object& heading) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor < 0) return fail(system_error(path));
  SampleFile file(path, descriptor);
  struct stat about = {};
  if (fstat(descriptor, &about) != 0) return fail(system_error(path));
  if (!S_ISREG(about.st_mode)) return fail(fmt::format("{}: is no regular file", path));
  MINKE_ASSIGN(std::string text, read_all(path, descriptor));
  const size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
  // A first line that is not ours is no left-over of a killed run.
  constexpr std::string_view kBegin = "{\"eval\":";
  if (!text.starts_with(kBegin) && !kBegin.starts_with(text)) {
    return fail(fmt::format("{}: is no file of samples; name another with --out", path));
  }
  text.resize(whole);
  if (ftruncate(descriptor, static_cast<off_t>(whole)) != 0) return fail(system_error(path));
  if (text.empty()) {
    MINKE_TRY(file.write_line(heading));
  } else {
    MINKE_TRY(file.read_back(text, heading));
  }
  return file;
}

Status SampleFile::read_back(const std::string& text, const Value::Object& heading) {
  size_t at = 0;
  for (int64_t number = 1; at < text.size(); ++number) {
    const size_t end = text.find('\n', at);
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    if (number == 1) {
      const std::string wanted = to_json(heading);
      if (line == wanted) continue;
      return fail(
          fmt::format("{}: holds samples of {}, and not of {}; name another file with --out, "
                      "or remove it",
                      path_, line.substr(0, 500), wanted));
    }
    const auto value = parse_json(line);
    auto sample = value ? sample_of(*value) : std::nullopt;
    if (!sample) return fail(fmt::format("{}:{}: is no sample", path_, number));
    samples_.push_back(*std::move(sample));
  }
  return {};
}

Status SampleFile::write_line(const Value::Object& line) {
  const std::string text = to_json(line) + "\n";
  for (size_t at = 0; at < text.size();) {
    const ssize_t put = ::write(descriptor_, text.data() + at, text.size() - at);
    if (put < 0 && errno != EINTR) return fail(system_error(path_));
    if (put > 0) at += static_cast<size_t>(put);
  }
  return {};
}

Status SampleFile::add(EvalSample sample) {
  MINKE_TRY(write_line(object_of(sample)));
  samples_.push_back(std::move(sample));
  return {};
}

}  // namespace minke
