// minke plot RUN: a training run's curves as an SVG.
#include <fmt/format.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/output_file.h"
#include "io/file.h"
#include "train/run/curves.h"
#include "train/run/report.h"

namespace minke::cli {

namespace {

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
    if (out_) {
      const std::string extension = html_ ? ".html" : ".svg";
      if (std::filesystem::path(*out_).extension() != extension) {
        return misuse(
            fmt::format("{}: curves are drawn as SVG, and with --html as a page: expected "
                        "a name that ends in {}",
                        *out_, extension));
      }
    }
    const std::string path = out_.value_or(*folder_ + (html_ ? "/report.html" : "/curves.svg"));
    if (out_) MINKE_TRY(check_output_file(*out_, force_));
    MINKE_ASSIGN(const std::string text, html_ ? run_report(*folder_) : draw_curves(*folder_));
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
