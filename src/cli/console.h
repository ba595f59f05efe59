// Where a verb's words go: answers and JSON to stdout, everything about them to stderr. Knows
// whether each is a terminal, how wide it is and whether it may be coloured (NO_COLOR, TERM=dumb).
//
// One Console a process, made by main and used by the main thread; progress bars may be driven from
// another thread while the main thread waits.
#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>

#include "core/result.h"

namespace minke::cli {

struct Style {
  std::string dim, bold, red, green, blue, cyan, reset;  // empty where colour is not wanted
};

class Console {
 public:
  Console();

  bool stdin_is_terminal() const { return stdin_is_terminal_; }
  bool stdout_is_terminal() const { return stdout_is_terminal_; }
  bool stderr_is_terminal() const { return stderr_is_terminal_; }
  // A terminal that can move its cursor: TERM is set and not "dumb".
  bool can_redraw() const { return stderr_is_terminal_ && capable_; }
  bool can_wrap() const { return stdout_is_terminal_ && capable_; }
  const Style& out_style() const { return out_style_; }
  const Style& err_style() const { return err_style_; }
  int width() const;  // of the terminal now; 80 where there is none

  // Whole lines or pieces of them; flush() makes them seen and reports a full disk.
  void out(std::string_view text);
  void err(std::string_view text);
  // Whole lines on stderr, broken between words where a terminal is narrower.
  void say(std::string_view lines);
  // Whole lines on stderr in the dim style, broken between words where a terminal is narrower.
  void note(std::string_view lines);
  Status flush();

  // A line on stderr that starts with "minke: ", red where colours are, broken as those of a note;
  // never interleaved with a progress bar's leftovers.
  void error(std::string_view message);

 private:
  std::string fitted(std::string_view lines) const;

  bool stdin_is_terminal_, stdout_is_terminal_, stderr_is_terminal_, capable_;
  bool failed_ = false;
  Style out_style_, err_style_;
};

// A line on stderr that is redrawn: what, a bar, the share, a rate and the time left. Appears only
// where the console can redraw, and only once the work has taken 0.3 s; erased by finish().
class ProgressBar {
 public:
  explicit ProgressBar(Console* console);
  ~ProgressBar() { finish(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // `fraction` in [0, 1]; `detail` (may be empty) stands at the end, e.g. "1.1 of 4.7 GB".
  void update(std::string_view what, double fraction, std::string_view detail = "");
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  Console* console_;
  std::string what_;
  Clock::time_point started_ = Clock::now();
  Clock::time_point drawn_{};
  bool visible_ = false;
};

// Leaves the terminal as it was found whichever way the process ends: by Ctrl-C, another signal or
// a crash. main makes one before anything else; whoever changes the terminal says so first.
class TerminalGuard {
 public:
  TerminalGuard();
  TerminalGuard(const TerminalGuard&) = delete;
  TerminalGuard& operator=(const TerminalGuard&) = delete;

  // The settings of stdin's terminal, now and when the process ends. False where it is none.
  static bool remember();
  // Safe in signal handlers.
  static void restore();
};

// Ctrl-C while an instance lives: sets a flag instead of ending the process. When nothing has taken
// the flag for a second, one more Ctrl-C ends the process with status 130; those that come sooner
// are of an impatient hand and say nothing new.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  static bool interrupted();
  static void clear();
};

// Turns the echo of the keyboard off while an answer is being written, so that type-ahead does not
// break into it. Does nothing when stdin is no terminal.
class EchoGuard {
 public:
  EchoGuard();
  ~EchoGuard();
  EchoGuard(const EchoGuard&) = delete;
  EchoGuard& operator=(const EchoGuard&) = delete;

 private:
  bool active_ = false;
};

}  // namespace minke::cli
