// minke plot RUN: a training run's curves as an SVG or PNG, or all of it as a page.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/output_file.h"
#include "core/child_process.h"
#include "io/file.h"
#include "train/run/curves.h"
#include "train/run/report.h"

namespace minke::cli {

namespace {

// Pixels of a picture, two for each of its units, by librsvg's program.
Result<std::string> png_of(const std::string& svg) {
  const char* const path = std::getenv("PATH");
  ChildRequest request = {.command = {"rsvg-convert", "--format", "png", "--zoom", "2"},
                          .environment = {fmt::format("PATH={}", path ? path : "/usr/bin:/bin")},
                          .input = svg,
                          .time_ms_max = 60'000,
                          .output_bytes_max = size_t{64} << 20};
  const Result<ChildOutcome> drawn = run_child(request);
  if (!drawn) {
    return fail(
        "a PNG is drawn by rsvg-convert, which is not here: install it (Debian's package "
        "librsvg2-bin), or name a file that ends in .svg");
  }
  if (drawn->exit_status != 0 || !drawn->output.starts_with("\x89PNG")) {
    return fail(fmt::format("rsvg-convert drew no PNG (status {}): {}", drawn->exit_status,
                            drawn->errors.substr(0, 300)));
  }
  return drawn->output;
}

class Plot : public Command {
 public:
  CommandText text() const override {
    return {.name = "plot",
            .summary = "Draw the curves of a training run",
            .description =
                "Reads a run's metrics, also while it goes on, and draws loss, rewards, "
                "what was right and the length of answers over the steps; with --html a whole "
                "report: results before and after each stage, curves, samples, and what it took.",
            .examples = {{"minke plot runs/minke-zero -o curves.svg", "one picture"},
                         {"minke plot runs/minke-zero -o curves.png",
                          "the same in pixels, by rsvg-convert (package librsvg2-bin)"},
                         {"minke plot runs/minke-zero --html", "RUN/report.html"}}};
  }

  void declare(OptionList* options) override {
    options->positional("RUN", ValueKind::kFile, "The run's folder", &folder_).required = true;
    options->file("-o", "The file to write", &out_).default_text =
        "RUN/curves.svg, RUN/report.html";
    options->flag("--html", "A report as one HTML file that needs nothing else", &html_);
    options->flag("--json", "Print {\"path\"}", &json_);
    options->flag("--force", "Write over a file that exists (those in RUN always are)", &force_);
  }

  Status run(Console* console) override {
    const std::filesystem::path extension = std::filesystem::path(out_.value_or("")).extension();
    const bool is_png = extension == ".png" && !html_;
    if (out_ && !is_png && extension != (html_ ? ".html" : ".svg")) {
      return misuse(fmt::format("{}: expected a name that ends in {}", *out_,
                                html_ ? ".html, for a page" : ".svg or .png, for curves"));
    }
    const std::string path = out_.value_or(*folder_ + (html_ ? "/report.html" : "/curves.svg"));
    if (out_) MINKE_TRY(check_output_file(*out_, force_));
    MINKE_ASSIGN(std::string text, html_ ? run_report(*folder_) : draw_curves(*folder_));
    if (is_png) {
      MINKE_ASSIGN(text, png_of(text));
    }
    MINKE_ASSIGN(OutputFile file, OutputFile::create(path));
    MINKE_TRY(file.write(std::as_bytes(std::span(text))));
    MINKE_TRY(file.commit());
    console->out(json_ ? json_line({{"path", path}}) : path + "\n");
    return console->flush();
  }

 private:
  std::optional<std::string> folder_, out_;
  bool html_ = false, force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_plot() { return std::make_unique<Plot>(); }

}  // namespace minke::cli
