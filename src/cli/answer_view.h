// Shows an answer while it grows: content on stdout, reasoning on stderr (dim, with its duration,
// or folded into one line), broken at words where stdout is a terminal. What a model writes can
// never steer the terminal: control characters are left out there.
//
// Used by the main thread; LiveAnswer carries the pieces over from the engine's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "cli/console.h"
#include "core/result.h"
#include "minke/engine.h"

namespace minke::cli {

// Breaks lines at spaces as text arrives, taking back a word that turns out not to fit. Leaves
// fenced code alone.
class WordWrapper {
 public:
  explicit WordWrapper(int width) : width_(width) {}
  void set_width(int width) { width_ = width; }
  // What to write to the terminal for this text.
  std::string feed(std::string_view text);
  int column() const { return column_; }

 private:
  void end_line();
  void put(std::string_view character, std::string* out);

  int width_;
  int column_ = 0;
  int word_columns_ = 0;
  std::string word_;        // since the last space of this line
  std::string line_start_;  // the first few characters, to notice ```
  bool fenced_ = false;
};

class AnswerView {
 public:
  struct Settings {
    bool fold_thinking = false;
    bool quiet = false;  // nothing is shown (the answer becomes JSON)
  };
  AnswerView(Console* console, Settings settings);

  // Calls of tools are not for people.
  void piece(PieceKind kind, std::string_view text);
  // Called about ten times a second: draws how long reading or thinking takes.
  void tick();
  // Ends the line; nothing of a status line is left.
  void end();

 private:
  using Clock = std::chrono::steady_clock;
  void content(std::string_view text);
  void reasoning(std::string_view text);
  void end_reasoning();
  void status(std::string_view text);
  void clear_status();
  double seconds_since(Clock::time_point start) const;

  Console* console_;
  Settings settings_;
  Clock::time_point started_ = Clock::now();
  Clock::time_point thinking_started_{};
  bool thinking_ = false, any_content_ = false, status_shown_ = false;
  bool ends_with_newline_ = true;
  WordWrapper out_, err_;
};

// Runs `ask` on a thread of its own and shows what it yields: all that becomes part of the answer.
// Ctrl-C stops the token that is given to `ask`.
using Ask = std::function<Result<Answer>(const OnPiece&, const std::stop_token& cancel)>;
Result<Answer> show_answer(const Ask& ask, AnswerView* view);

// "42 tokens, 35.1 tokens/s, first after 0.20 s, ...".
std::string statistics(const Usage& usage);

}  // namespace minke::cli
