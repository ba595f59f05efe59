#include "cli/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "cli/option.h"
#include "cli/text_util.h"

namespace minke::cli {

namespace {

constexpr size_t kErrorLineMax = 4000;  // characters

std::atomic<int64_t> g_interrupted_ms{0};  // when; 0: not, or taken
struct sigaction g_previous_action;
termios g_terminal;
std::atomic<bool> g_terminal_known{false};

int64_t monotonic_ms() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000 + 1;
}

void on_interrupt(int) {
  constexpr int64_t kUnheardMs = 1000;
  const int64_t now_ms = monotonic_ms();
  int64_t first_ms = 0;
  // The first is taken by the answer under way.
  if (g_interrupted_ms.compare_exchange_strong(first_ms, now_ms)) return;
  if (now_ms - first_ms < kUnheardMs) return;
  TerminalGuard::restore();
  _exit(130);
}

// The handler was taken away when it was called: the second signal has its usual effect.
void on_fatal_signal(int number) {
  TerminalGuard::restore();
  raise(number);
}

Style coloured() {
  return {.dim = "\033[2m",
          .bold = "\033[1m",
          .red = "\033[31m",
          .green = "\033[32m",
          .blue = "\033[34m",
          .cyan = "\033[36m",
          .reset = "\033[0m"};
}

}  // namespace

Console::Console()
    : stdin_is_terminal_(isatty(STDIN_FILENO) == 1),
      stdout_is_terminal_(isatty(STDOUT_FILENO) == 1),
      stderr_is_terminal_(isatty(STDERR_FILENO) == 1) {
  const char* term = std::getenv("TERM");
  capable_ = term != nullptr && *term != '\0' && std::strcmp(term, "dumb") != 0;
  const char* no_color = std::getenv("NO_COLOR");
  const bool colour = capable_ && (no_color == nullptr || *no_color == '\0');
  if (colour && stdout_is_terminal_) out_style_ = coloured();
  if (colour && stderr_is_terminal_) err_style_ = coloured();
}

int Console::width() const {
  winsize size{};
  const int descriptor = stdout_is_terminal_ ? STDOUT_FILENO : STDERR_FILENO;
  if (ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return std::max<int>(20, size.ws_col);
  }
  const char* columns = std::getenv("COLUMNS");
  const std::optional<int64_t> stated = columns != nullptr ? parse_integer(columns) : std::nullopt;
  return stated && *stated >= 20 && *stated <= 1000 ? static_cast<int>(*stated) : 80;
}

void Console::out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) failed_ = true;
}

void Console::err(std::string_view text) {
  // What was said on stdout before comes first when both are the same terminal.
  if (std::fflush(stdout) != 0) failed_ = true;
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

// Where stderr is no terminal, a line is for programs and stays one.
std::string Console::fitted(std::string_view lines) const {
  return stderr_is_terminal_ ? wrapped_lines(lines, width()) : std::string(lines);
}

void Console::note(std::string_view lines) {
  err(fmt::format("{}{}{}", err_style_.dim, fitted(lines), err_style_.reset));
}

Status Console::flush() {
  if (std::fflush(stdout) != 0) failed_ = true;
  if (failed_) return fail("stdout could not be written (is the disk full?)");
  return {};
}

void Console::say(std::string_view lines) { err(fitted(lines)); }

void Console::error(std::string_view message) {
  static constexpr std::string_view kName = "minke:";
  // Names out of files and words out of templates must not steer the terminal, nor end the line.
  const std::string line = fmt::format("{} {}\n", kName, printable(message, kErrorLineMax));
  err(fmt::format("{}{}{}{}", err_style_.red, kName, err_style_.reset,
                  fitted(line).substr(kName.size())));
}

ProgressBar::ProgressBar(Console* console) : console_(console) {}

void ProgressBar::update(std::string_view what, double fraction, std::string_view detail) {
  if (!console_->can_redraw()) return;
  const Clock::time_point now = Clock::now();
  if (what != what_) {
    what_ = what;
    if (!visible_) started_ = now;
  }
  const double elapsed_s = std::chrono::duration<double>(now - started_).count();
  if (elapsed_s < 0.3) return;
  if (visible_ && fraction < 1 && now - drawn_ < std::chrono::milliseconds(80)) return;
  drawn_ = now;
  visible_ = true;
  fraction = std::clamp(fraction, 0.0, 1.0);
  std::string tail = fmt::format(" {:3.0f}%", fraction * 100);
  if (!detail.empty()) tail += fmt::format("  {}", detail);
  if (fraction > 0.02 && elapsed_s > 1) {
    tail += fmt::format("  {} left", duration(std::round(elapsed_s / fraction - elapsed_s)));
  }
  const int room = console_->width() - 1 - text_width(what) - 1 - text_width(tail);
  std::string bar;
  if (room >= 8) {
    const int cells = std::min(room, 30);
    const int full = static_cast<int>(std::lround(fraction * cells));
    for (int i = 0; i < cells; ++i) bar += i < full ? "█" : "░";
  }
  const Style& style = console_->err_style();
  console_->err(fmt::format("\r\033[K{} {}{}{}{}", what, style.cyan, bar, style.reset, tail));
}

void ProgressBar::finish() {
  if (visible_) console_->err("\r\033[K");
  visible_ = false;
}

TerminalGuard::TerminalGuard() {
  struct sigaction action{};
  action.sa_handler = on_fatal_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  for (const int number :
       {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
    struct sigaction before{};
    sigaction(number, nullptr, &before);
    if (before.sa_handler == SIG_DFL) sigaction(number, &action, nullptr);
  }
}

bool TerminalGuard::remember() {
  if (g_terminal_known) return true;
  if (isatty(STDIN_FILENO) != 1 || tcgetattr(STDIN_FILENO, &g_terminal) != 0) return false;
  g_terminal_known = true;
  return true;
}

void TerminalGuard::restore() {
  // In the background the terminal is someone else's.
  if (!g_terminal_known || tcgetpgrp(STDIN_FILENO) != getpgrp()) return;
  tcsetattr(STDIN_FILENO, TCSANOW, &g_terminal);
  // An answer may have stopped in the middle of a dim line.
  static constexpr char kPlainLine[] = "\033[0m\n";
  const char* term = std::getenv("TERM");
  const bool capable = term != nullptr && std::strcmp(term, "dumb") != 0;
  const size_t skipped = capable ? 0 : sizeof(kPlainLine) - 2;
  if (write(STDERR_FILENO, kPlainLine + skipped, sizeof(kPlainLine) - 1 - skipped) < 0) return;
}

InterruptGuard::InterruptGuard() {
  g_interrupted_ms = 0;
  struct sigaction action{};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  // No SA_RESTART: a read from the terminal must come back.
  sigaction(SIGINT, &action, &g_previous_action);
}

InterruptGuard::~InterruptGuard() { sigaction(SIGINT, &g_previous_action, nullptr); }

bool InterruptGuard::interrupted() { return g_interrupted_ms != 0; }
void InterruptGuard::clear() { g_interrupted_ms = 0; }

EchoGuard::EchoGuard() {
  if (!TerminalGuard::remember()) return;
  termios quiet = g_terminal;
  quiet.c_lflag &= static_cast<tcflag_t>(~(ECHO | ECHONL));
  active_ = tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet) == 0;
}

EchoGuard::~EchoGuard() {
  if (active_) tcsetattr(STDIN_FILENO, TCSADRAIN, &g_terminal);
}

}  // namespace minke::cli
