#include "cli/answer_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "cli/text_util.h"

namespace minke::cli {

namespace {

struct HeldPiece {
  PieceKind kind;
  std::string text;
};

}  // namespace

void WordWrapper::end_line() {
  if (line_start_.starts_with("```")) fenced_ = !fenced_;
  line_start_.clear();
  word_.clear();
  word_columns_ = 0;
  column_ = 0;
}

void WordWrapper::put(std::string_view character, std::string* out) {
  const int columns = character_width(character);
  const bool space = character == " ";
  // The last column stays free: a terminal that has filled it is between two lines, and going back
  // from there differs from one to the next.
  if (column_ + columns > width_ - 1 && !fenced_) {
    if (space) {
      *out += '\n';
      word_.clear();
      word_columns_ = column_ = 0;
      return;
    }
    if (word_columns_ > 0 && word_columns_ < column_) {
      *out += fmt::format("\033[{}D\033[K\n{}", word_columns_, word_);
      column_ = word_columns_;
    } else {
      *out += '\n';
      word_.clear();
      word_columns_ = column_ = 0;
    }
  }
  *out += character;
  column_ += columns;
  if (space) {
    word_.clear();
    word_columns_ = 0;
  } else {
    word_ += character;
    word_columns_ += columns;
  }
}

std::string WordWrapper::feed(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = std::max<size_t>(1, utf8_length(text));
    const std::string_view character = text.substr(0, length);
    text.remove_prefix(length);
    const auto first = static_cast<unsigned char>(character[0]);
    if (first == '\n') {
      out += '\n';
      end_line();
      continue;
    }
    if (line_start_.size() < 8) line_start_ += character;
    if (first == '\t') {
      for (int to = 8 - column_ % 8; to > 0; --to) put(" ", &out);
    } else if (first >= 0x20 && first != 0x7f &&
               !(first == 0xc2 && length == 2 && static_cast<unsigned char>(character[1]) < 0xa0)) {
      put(character, &out);
    }
  }
  return out;
}

AnswerView::AnswerView(Console* console, Settings settings)
    : console_(console), settings_(settings), out_(console->width()), err_(console->width()) {}

double AnswerView::seconds_since(Clock::time_point start) const {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void AnswerView::status(std::string_view text) {
  if (!console_->can_redraw()) return;
  const Style& style = console_->err_style();
  console_->err(fmt::format("\r\033[K{}{}{}", style.dim, text, style.reset));
  status_shown_ = true;
}

void AnswerView::clear_status() {
  if (status_shown_) console_->err("\r\033[K");
  status_shown_ = false;
}

void AnswerView::tick() {
  if (settings_.quiet || any_content_) return;
  if (!thinking_) {
    const double waited_s = seconds_since(started_);
    if (waited_s > 0.5) status(fmt::format("reading the prompt… {}", duration(waited_s)));
  } else if (settings_.fold_thinking) {
    status(fmt::format("thinking… {}", duration(seconds_since(thinking_started_))));
  }
}

void AnswerView::piece(PieceKind kind, std::string_view text) {
  if (settings_.quiet || text.empty() || kind == PieceKind::kToolCall) return;
  if (kind == PieceKind::kReasoning) {
    reasoning(text);
  } else {
    content(text);
  }
}

void AnswerView::reasoning(std::string_view text) {
  if (!thinking_) {
    clear_status();
    thinking_ = true;
    thinking_started_ = Clock::now();
    if (!settings_.fold_thinking) console_->err(console_->err_style().dim);
  }
  if (settings_.fold_thinking) return;
  console_->err(console_->can_redraw() ? err_.feed(text) : std::string(text));
  ends_with_newline_ = text.back() == '\n';
}

void AnswerView::end_reasoning() {
  if (!thinking_) return;
  thinking_ = false;
  clear_status();
  const Style& style = console_->err_style();
  const std::string words =
      fmt::format("thought for {}", duration(seconds_since(thinking_started_)));
  if (settings_.fold_thinking) {
    console_->note(words + "\n\n");
  } else {
    console_->err(fmt::format("{}[{}]{}\n\n", ends_with_newline_ ? "" : "\n", words, style.reset));
  }
  ends_with_newline_ = true;
}

void AnswerView::content(std::string_view text) {
  if (!any_content_) {
    end_reasoning();
    clear_status();
    any_content_ = true;
  }
  out_.set_width(console_->width());
  console_->out(console_->can_wrap() ? out_.feed(text) : std::string(text));
  // A full disk is reported when the verb ends.
  (void)console_->flush();
  ends_with_newline_ = text.back() == '\n';
}

void AnswerView::end() {
  if (settings_.quiet) return;
  end_reasoning();
  clear_status();
  if (!ends_with_newline_) console_->out("\n");
  (void)console_->flush();
}

Result<Answer> show_answer(const Ask& ask, AnswerView* view) {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<HeldPiece> held;
  std::optional<Result<Answer>> result;
  std::stop_source stop;
  std::jthread asker([&] {
    Result<Answer> answer = ask(
        [&](const Piece& piece) {
          const std::lock_guard lock(mutex);
          held.push_back({piece.kind, std::string(piece.text)});
          changed.notify_one();
          return true;
        },
        stop.get_token());
    const std::lock_guard lock(mutex);
    result = std::move(answer);
    changed.notify_one();
  });
  while (true) {
    std::vector<HeldPiece> pieces;
    bool done = false;
    {
      std::unique_lock lock(mutex);
      changed.wait_for(lock, std::chrono::milliseconds(100),
                       [&] { return !held.empty() || result.has_value(); });
      pieces.swap(held);
      done = result.has_value();
    }
    if (InterruptGuard::interrupted()) stop.request_stop();
    // What came before Ctrl-C took effect belongs to the answer, and is shown.
    for (const HeldPiece& piece : pieces) view->piece(piece.kind, piece.text);
    if (done) break;
    if (pieces.empty()) view->tick();
  }
  asker.join();
  return *std::move(result);
}

std::string statistics(const Usage& usage) {
  std::string out = fmt::format("{} tokens", with_commas(usage.answer_tokens));
  if (usage.answer_tokens > 1 && usage.answer_seconds > 0) {
    out += fmt::format(", {:.1f} tokens/s",
                       static_cast<double>(usage.answer_tokens - 1) / usage.answer_seconds);
  }
  out += fmt::format("; prompt of {}", with_commas(usage.prompt_tokens));
  if (usage.cached_tokens > 0) {
    out += fmt::format(" ({} remembered)", with_commas(usage.cached_tokens));
  }
  out += fmt::format(", first token after {}", duration(usage.prompt_seconds));
  if (usage.drafted_tokens > 0) {
    out += fmt::format("; {} of {} guesses right", with_commas(usage.accepted_tokens),
                       with_commas(usage.drafted_tokens));
  }
  return out;
}

}  // namespace minke::cli
