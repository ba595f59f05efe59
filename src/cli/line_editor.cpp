#include "cli/line_editor.h"

#include <fcntl.h>
#include <histedit.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <filesystem>
#include <string_view>

#include "cli/text_util.h"

namespace minke::cli {

namespace {

constexpr int kHistoryLines = 1000;

std::atomic<bool> g_resized{false};
std::atomic<bool> g_stopping{false};

void on_resize(int) { g_resized = true; }
void on_stop(int) { g_stopping = true; }

// Handles a signal for as long as it lives. No SA_RESTART: a read from the terminal must come back.
class SignalHandler {
 public:
  SignalHandler(int number, void (*handler)(int)) : number_(number) {
    struct sigaction action{};
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, &before_);
  }
  ~SignalHandler() { sigaction(number_, &before_, nullptr); }
  SignalHandler(const SignalHandler&) = delete;
  SignalHandler& operator=(const SignalHandler&) = delete;

 private:
  int number_;
  struct sigaction before_{};
};

// The terminal has laid the line out anew for its new width: from there back to its beginning.
void redraw_resized(EditLine* line) {
  constexpr int kPromptColumns = 2;
  winsize size{};
  const LineInfo* info = el_line(line);
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && info != nullptr) {
    const std::string_view before(info->buffer, static_cast<size_t>(info->cursor - info->buffer));
    const int rows = (kPromptColumns + text_width(before)) / size.ws_col;
    if (rows > 0) std::fprintf(stderr, "\033[%dA", rows);
    std::fputs("\r\033[J", stderr);
  }
  el_resize(line);
  el_set(line, EL_REFRESH);
}

// Ctrl-Z: the shell gets the terminal as it was, and what was typed is shown again afterwards.
void stop_and_go_on(EditLine* line) {
  el_set(line, EL_PREP_TERM, 0);
  std::fputs("\033[0m\n", stderr);
  {
    const SignalHandler usual(SIGTSTP, SIG_DFL);
    raise(SIGTSTP);
  }
  el_set(line, EL_PREP_TERM, 1);
  el_set(line, EL_REFRESH);
}

// Reads one character for libedit; its own way of doing so does not hear of a resized window.
int read_character(EditLine* line, wchar_t* out) {
  std::string bytes;
  while (true) {
    char byte = 0;
    const ssize_t count = read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR && !InterruptGuard::interrupted()) {
      if (g_stopping.exchange(false)) stop_and_go_on(line);
      if (g_resized.exchange(false)) redraw_resized(line);
      continue;
    }
    if (count <= 0) return static_cast<int>(count);
    bytes += byte;
    std::mbstate_t state{};
    const size_t length = std::mbrtowc(out, bytes.data(), bytes.size(), &state);
    if (length == static_cast<size_t>(-2) && bytes.size() < 4) continue;  // there is more to come
    if (length != static_cast<size_t>(-1) && length != static_cast<size_t>(-2)) return 1;
    bytes.clear();  // not UTF-8: nothing that could be shown
  }
}

char* prompt_of(EditLine* line) {
  void* data = nullptr;
  el_get(line, EL_CLIENTDATA, &data);
  return static_cast<std::string*>(data)->data();
}

}  // namespace

struct LineEditor::Editor {
  EditLine* line = nullptr;
  History* history = nullptr;
  HistEvent event{};
  std::string prompt;
  SignalHandler resize{SIGWINCH, on_resize};

  Editor() { TerminalGuard::remember(); }
  ~Editor() {
    if (history != nullptr) history_end(history);
    if (line != nullptr) el_end(line);
  }
};

LineEditor::LineEditor(Console* console, std::string history_path)
    : console_(console), history_path_(std::move(history_path)) {
  if (!console->stdin_is_terminal() || !console->can_redraw()) return;
  editor_ = std::make_unique<Editor>();
  editor_->line = el_init("minke", stdin, stderr, stderr);
  editor_->history = history_init();
  if (editor_->line == nullptr || editor_->history == nullptr) {
    editor_.reset();
    return;
  }
  EditLine* line = editor_->line;
  el_set(line, EL_CLIENTDATA, &editor_->prompt);
  el_set(line, EL_PROMPT_ESC, prompt_of, '\1');
  el_set(line, EL_GETCFN, read_character);
  el_set(line, EL_EDITOR, "emacs");
  history(editor_->history, &editor_->event, H_SETSIZE, kHistoryLines);
  history(editor_->history, &editor_->event, H_SETUNIQUE, 1);
  el_set(line, EL_HIST, history, editor_->history);
  // Ctrl-R searches; the arrows with Ctrl go by words; Home, End and Delete do what they say.
  el_set(line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(line, EL_BIND, "\033[1;5C", "em-next-word", nullptr);
  el_set(line, EL_BIND, "\033[1;5D", "ed-prev-word", nullptr);
  el_set(line, EL_BIND, "\033[H", "ed-move-to-beg", nullptr);
  el_set(line, EL_BIND, "\033[F", "ed-move-to-end", nullptr);
  el_set(line, EL_BIND, "\033[3~", "ed-delete-next-char", nullptr);
  if (!history_path_.empty()) {
    history(editor_->history, &editor_->event, H_LOAD, history_path_.c_str());
  }
}

LineEditor::~LineEditor() = default;

LineEditor::Outcome LineEditor::read_line(const std::string& prompt, std::string* line) {
  line->clear();
  if (editor_ == nullptr) return read_plain(prompt, line);
  editor_->prompt = prompt;
  InterruptGuard::clear();
  if (g_resized.exchange(false)) el_resize(editor_->line);
  int length = 0;
  const char* text = nullptr;
  {
    const SignalHandler stop(SIGTSTP, on_stop);
    text = el_gets(editor_->line, &length);
  }
  // libedit keeps the end of the prompt's colour for the next character; there may be none.
  console_->err(console_->err_style().reset);
  if (text == nullptr || length <= 0) {
    if (InterruptGuard::interrupted()) {
      InterruptGuard::clear();
      el_reset(editor_->line);
      console_->err("^C\n");
      return Outcome::kCtrlC;
    }
    console_->err("\n");
    return Outcome::kEnd;
  }
  line->assign(text, static_cast<size_t>(length));
  if (line->ends_with('\n')) line->pop_back();
  return Outcome::kLine;
}

LineEditor::Outcome LineEditor::read_plain(const std::string& prompt, std::string* line) {
  if (console_->stdin_is_terminal()) console_->err(prompt);
  for (int c = 0; (c = std::getc(stdin)) != EOF;) {
    if (c == '\n') return Outcome::kLine;
    *line += static_cast<char>(c);
  }
  if (InterruptGuard::interrupted()) {
    InterruptGuard::clear();
    std::clearerr(stdin);
    return Outcome::kCtrlC;
  }
  return line->empty() ? Outcome::kEnd : Outcome::kLine;
}

bool LineEditor::more_is_pending() const {
  if (editor_ == nullptr) return false;
  // A paste arrives in one go; a person's next line does not come within this time.
  pollfd descriptor{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  return poll(&descriptor, 1, 15) == 1 && (descriptor.revents & POLLIN) != 0;
}

void LineEditor::remember(const std::string& line) {
  if (editor_ == nullptr || line.empty()) return;
  history(editor_->history, &editor_->event, H_ENTER, line.c_str());
  if (history_path_.empty()) return;
  // Conversations are private: the folder and the file are for their owner alone.
  std::error_code ignored;
  const std::filesystem::path folder = std::filesystem::path(history_path_).parent_path();
  std::filesystem::create_directories(folder, ignored);
  const int descriptor = open(history_path_.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  if (descriptor < 0) return;
  close(descriptor);
  history(editor_->history, &editor_->event, H_SAVE, history_path_.c_str());
}

std::string default_history_path() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && state[0] == '/') return std::string(state) + "/minke/history";
  const char* home = std::getenv("HOME");
  if (home != nullptr && home[0] == '/') return std::string(home) + "/.local/state/minke/history";
  return "";
}

}  // namespace minke::cli
