#include "cli/prompt.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/command.h"
#include "cli/text_util.h"

namespace minke::cli {

namespace {

constexpr size_t kPromptFileBytesMax = size_t{8} << 20;
constexpr size_t kStdinTextBytesMax = size_t{64} << 20;
constexpr size_t kInputBytesMax = size_t{1} << 30;

Result<std::string> read_descriptor(int descriptor, const std::string& name, size_t bytes_max) {
  std::string out;
  std::array<char, 65536> piece;
  while (true) {
    const ssize_t got = read(descriptor, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) {
      if (InterruptGuard::interrupted()) return fail(std::string(kInterrupted));
      continue;
    }
    if (got < 0) return fail(fmt::format("{} cannot be read: {}", name, std::strerror(errno)));
    if (got == 0) return out;
    if (out.size() + static_cast<size_t>(got) > bytes_max) {
      return fail(
          fmt::format("{} is longer than {}; give a shorter text", name, binary_bytes(bytes_max)));
    }
    out.append(piece.data(), static_cast<size_t>(got));
  }
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// A fence that no run of backticks in the text can close.
std::string fence_for(std::string_view text) {
  size_t longest = 2;
  for (size_t at = 0; at < text.size();) {
    const size_t run = std::min(text.find_first_not_of('`', at), text.size()) - at;
    longest = std::max(longest, run);
    at += std::max<size_t>(1, run);
  }
  return std::string(longest + 1, '`');
}

std::string fenced_file(const std::string& name, const std::string& text) {
  const std::string fence = fence_for(text);
  return fmt::format("{}:\n{}\n{}{}{}\n", name, fence, text, text.ends_with('\n') ? "" : "\n",
                     fence);
}

// Whether a word after @ can hardly mean anything but a file: it has a slash, or ends as files'
// names do. "@alice" and "@3.5" are words like any other.
bool looks_like_file(std::string_view word) {
  if (word.find('/') != std::string_view::npos) return true;
  const size_t dot = word.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return false;
  const std::string_view extension = word.substr(dot + 1);
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  constexpr size_t kExtensionMax = 5;
  return !extension.empty() && extension.size() <= kExtensionMax && is_letter(extension[0]) &&
         std::ranges::all_of(extension, [&](char c) { return is_letter(c) || is_digit(c); });
}

}  // namespace

Result<std::string> read_file_bytes(const std::string& path, size_t bytes_max) {
  // O_NONBLOCK: opening a pipe that nobody writes to must not wait.
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    return fail(fmt::format("{} cannot be opened: {}", printable(path, 400), std::strerror(errno)));
  }
  struct stat status{};
  Result<std::string> out =
      fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)
          ? read_descriptor(descriptor, printable(path, 400), bytes_max)
          : fail(fmt::format("{} is not a file (a folder, a device?); give the path of a text file",
                             printable(path, 400)));
  close(descriptor);
  return out;
}

Result<std::string> with_files(std::string_view prompt,
                               const std::function<void(const std::string&)>& note) {
  std::string out;
  for (size_t at = 0; at < prompt.size();) {
    const bool word_start = at == 0 || is_space(prompt[at - 1]);
    if (!word_start || prompt[at] != '@') {
      out += prompt[at++];
      continue;
    }
    size_t end = at;
    while (end < prompt.size() && !is_space(prompt[end])) ++end;
    // "look at @a.txt, please" means a.txt.
    std::string path(prompt.substr(at + 1, end - at - 1));
    std::error_code ignored;
    while (!path.empty() && !std::filesystem::exists(path, ignored) &&
           std::string_view(",.;:!?)]}\"'").find(path.back()) != std::string_view::npos) {
      path.pop_back();
      --end;
    }
    if (path.empty() || !std::filesystem::is_regular_file(path, ignored)) {
      if (looks_like_file(path)) {
        note(fmt::format("@{} names no file and is sent as it stands", printable(path)));
      }
      out += prompt[at++];
      continue;
    }
    MINKE_ASSIGN(const std::string text, read_file_bytes(path, kPromptFileBytesMax));
    if (!is_utf8(text) || text.find('\0') != std::string::npos) {
      return misuse(
          fmt::format("@{} is not a text file (UTF-8); leave it out, or write the name "
                      "without the @",
                      printable(path)));
    }
    if (!out.empty() && out.back() != '\n') out += '\n';
    out += fenced_file(path, text);
    at = end;
    while (at < prompt.size() && is_space(prompt[at])) ++at;
  }
  return out;
}

Result<std::string> read_stdin_text() {
  MINKE_ASSIGN(std::string text, read_descriptor(STDIN_FILENO, "stdin", kStdinTextBytesMax));
  if (!is_utf8(text)) {
    return misuse("stdin is not UTF-8 text; convert it first, e.g. with iconv -t UTF-8");
  }
  return text;
}

std::string input_name(const std::optional<std::string>& path) {
  return !path || *path == "-" ? "stdin" : printable(*path, 400);
}

Result<std::string> read_input_bytes(const std::optional<std::string>& path) {
  if (!path || *path == "-") return read_descriptor(STDIN_FILENO, "stdin", kInputBytesMax);
  const std::string name = input_name(path);
  const int descriptor = open(path->c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return fail(fmt::format("{} cannot be opened: {}", name, std::strerror(errno)));
  }
  struct stat status{};
  Result<std::string> out =
      fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)
          ? fail(fmt::format("{} is a folder; give the path of a text file", name))
          : read_descriptor(descriptor, name, kInputBytesMax);
  close(descriptor);
  return out;
}

bool stdin_was_given() {
  struct stat status{};
  return fstat(STDIN_FILENO, &status) == 0 && (S_ISREG(status.st_mode) || S_ISFIFO(status.st_mode));
}

}  // namespace minke::cli
