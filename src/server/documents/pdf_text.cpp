#include "server/documents/pdf_text.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <utility>

#include "text/unicode.h"

namespace minke::documents {
namespace {

using Clock = std::chrono::steady_clock;

class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int number() const { return number_; }
  void set(int number) { number_ = number; }
  void close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }

 private:
  int number_;
};

// A child that reads from and writes to sockets of ours; killed and waited for at the end.
class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() { end(); }

  Status start(const Limits& limits) {
    int input[2];
    int output[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input) != 0) return trouble();
    input_.set(input[0]);
    const Descriptor child_input(input[1]);
    if (pipe2(output, O_CLOEXEC) != 0) return trouble();
    output_.set(output[0]);
    const Descriptor child_output(output[1]);
    fcntl(input_.number(), F_SETFL, O_NONBLOCK);
    fcntl(output_.number(), F_SETFL, O_NONBLOCK);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, child_input.number(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, child_output.number(), STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    char program[] = "pdftotext";
    char quiet[] = "-q";
    char encoding[] = "-enc";
    char utf8[] = "UTF-8";
    char no_breaks[] = "-nopgbrk";
    char standard[] = "-";
    char* arguments[] = {program, quiet, encoding, utf8, no_breaks, standard, standard, nullptr};
    char language[] = "LC_ALL=C.UTF-8";
    char* environment[] = {language, nullptr};
    const int error =
        posix_spawnp(&process_, program, &actions, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) process_ = -1;
    if (error == ENOENT) {
      return fail(
          "PDFs are read by pdftotext, which is not installed: install poppler-utils, or "
          "attach the text");
    }
    if (error != 0) {
      return fail(fmt::format("pdftotext cannot be started: {}", std::strerror(error)));
    }
    return confine(limits);
  }

  int input() const { return input_.number(); }
  int output() const { return output_.number(); }
  void close_input() { input_.close(); }

  // The exit status, or -1 for a child that was killed.
  int end() {
    if (process_ < 0) return -1;
    input_.close();
    output_.close();
    kill(process_, SIGKILL);
    return wait();
  }
  // Of one that has closed its output, and so is about to leave.
  int wait() {
    int status = 0;
    while (waitpid(process_, &status, 0) < 0 && errno == EINTR) {
    }
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  static Status trouble() {
    return fail(fmt::format("no pipe to pdftotext: {}", std::strerror(errno)));
  }

  // Before the child gets its first byte of the file.
  Status confine(const Limits& limits) const {
    const auto seconds = static_cast<rlim_t>(limits.seconds_max);
    const std::pair<__rlimit_resource, rlim_t> bounds[] = {{RLIMIT_AS, limits.memory_bytes_max},
                                                           {RLIMIT_CPU, seconds},
                                                           {RLIMIT_FSIZE, 0},
                                                           {RLIMIT_CORE, 0},
                                                           {RLIMIT_NOFILE, 64}};
    for (const auto& [resource, most] : bounds) {
      const rlimit limit{.rlim_cur = most, .rlim_max = most};
      if (prlimit(process_, resource, &limit, nullptr) != 0)
        return fail(fmt::format("pdftotext cannot be confined: {}", std::strerror(errno)));
    }
    return {};
  }

  pid_t process_ = -1;
  Descriptor input_;
  Descriptor output_;
};

// Sends the file and receives its text, until the child has said all, or enough, or time is up.
class Exchange {
 public:
  Exchange(Child& child, std::string_view bytes, const Limits& limits)
      : child_(child),
        left_(bytes),
        limits_(limits),
        end_(Clock::now() + std::chrono::seconds(limits.seconds_max)) {}

  enum class Outcome { kDone, kEnough, kTimeUp };

  Outcome run(std::string& text) {
    while (true) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end_ - Clock::now()).count();
      if (left <= 0) return Outcome::kTimeUp;
      pollfd waiting[2] = {{.fd = child_.output(), .events = POLLIN},
                           {.fd = child_.input(), .events = POLLOUT}};
      poll(waiting, child_.input() < 0 ? 1 : 2, static_cast<int>(left));
      if (waiting[1].revents != 0 && child_.input() >= 0) send_some();
      if (waiting[0].revents == 0) continue;
      if (!receive_some(text)) return Outcome::kDone;
      if (text.size() > limits_.text_bytes_max) return Outcome::kEnough;
    }
  }

 private:
  void send_some() {
    const ssize_t sent =
        ::send(child_.input(), left_.data(), std::min(left_.size(), size_t{1} << 16), MSG_NOSIGNAL);
    if (sent > 0) left_.remove_prefix(static_cast<size_t>(sent));
    const bool is_closed = sent < 0 && errno != EAGAIN && errno != EINTR;
    if (is_closed || left_.empty()) child_.close_input();
  }

  // False at the end.
  bool receive_some(std::string& text) {
    char buffer[1 << 16];
    const ssize_t got = ::read(child_.output(), buffer, sizeof buffer);
    if (got > 0) text.append(buffer, static_cast<size_t>(got));
    return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
  }

  Child& child_;
  std::string_view left_;
  const Limits& limits_;
  Clock::time_point end_;
};

// Bytes that are no UTF-8 become U+FFFD; the program promises UTF-8, the file does not.
std::string valid(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Glyph glyph = decode_utf8(text, at);
    if (glyph.code == kStrayByte) {
      out += "\xEF\xBF\xBD";
    } else if (glyph.code != 0) {
      out += text.substr(at, glyph.length);
    }
    at += glyph.length;
  }
  return out;
}

}  // namespace

Result<PdfText> pdf_text(std::string_view bytes, const Limits& limits) {
  Child child;
  MINKE_TRY(child.start(limits));
  std::string text;
  const Exchange::Outcome outcome = Exchange(child, bytes, limits).run(text);
  if (outcome == Exchange::Outcome::kTimeUp) {
    return misuse(fmt::format("this PDF could not be read within {} seconds: attach its text",
                              limits.seconds_max));
  }
  const bool enough = outcome == Exchange::Outcome::kEnough;
  const int status = enough ? child.end() : child.wait();
  if (!enough && status != 0) {
    return misuse(
        "this PDF is damaged, protected by a password, or too large to be read: attach "
        "its text");
  }
  if (text.find_first_not_of(" \t\r\n\f") == std::string::npos) {
    return misuse("this PDF has no text in it (it may be a scan): attach its text");
  }
  return PdfText{.text = valid(text), .truncated = enough};
}

}  // namespace minke::documents
