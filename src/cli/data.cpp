// minke data list | pull NAME: the public data sets that recipes and evaluations use.

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/pull_reporter.h"
#include "cli/text_util.h"
#include "io/catalogue.h"
#include "io/data_catalogue.h"

namespace minke::cli {

namespace {

class Data : public Command {
 public:
  CommandText text() const override {
    return {.name = "data",
            .summary = "List and fetch the public data sets that recipes and evaluations use",
            .description =
                "Data sets are known by name, with address, size, SHA-256 and licence. Files of "
                "the folder that MINKE_DATA names are used as they are; others are fetched once, "
                "into $XDG_CACHE_HOME/minke/data. Recipes whose tasks are generated need none.",
            .examples = {{"minke data list", "what there is, and what is here"},
                         {"minke data pull gsm8k", "fetch one, checked by its SHA-256"},
                         {"MINKE_DATA=~/data minke data list", "with files of one's own"}}};
  }

  void declare(OptionList* options) override {
    Option& action =
        options->choice("ACTION", "list, or pull with a NAME", {"list", "pull"}, &action_);
    action.value_name.clear();
    action.required = true;
    options->positional("NAME", ValueKind::kText, "The data set, for pull", &name_);
    options->flag("--json", "Print JSON", &json_);
  }

  Status run(Console* console) override {
    if (*action_ == "list") {
      if (name_) return misuse("data list takes no NAME");
      return list(console);
    }
    if (!name_) return misuse("data pull wants the NAME of a data set: see minke data list");
    return pull(console);
  }

 private:
  Status list(Console* console) const {
    if (json_) {
      console->out(json_line(as_json()));
      return {};
    }
    size_t width = 4;
    for (const DataSet& set : data_catalogue()) width = std::max(width, set.name.size());
    const Style& style = console->out_style();
    console->out(fmt::format("{}{:<{}}  {:>8}  HERE  {}{}\n", style.dim, "NAME", width, "BYTES",
                             "WHAT", style.reset));
    for (const DataSet& set : data_catalogue()) {
      int64_t bytes = 0;
      for (const DataSetFile& file : set.files) bytes += file.bytes;
      const int indent = static_cast<int>(width) + 18;
      console->out(fmt::format(
          "{:<{}}  {:>8}  {:<4}  {}\n", set.name, width, human_bytes(bytes),
          is_here(set) ? "yes" : "",
          wrapped(fmt::format("{} ({})", set.description, set.licence), console->width(), indent)));
    }
    return {};
  }

  static bool is_here(const DataSet& set) {
    return std::ranges::all_of(set.files, [&](const DataSetFile& file) {
      return data_set_file(set.name, file.file).has_value();
    });
  }

  static nlohmann::ordered_json as_json() {
    using Json = nlohmann::ordered_json;
    Json sets = Json::array();
    for (const DataSet& set : data_catalogue()) {
      Json files = Json::array();
      for (const DataSetFile& file : set.files) {
        const auto path = data_set_file(set.name, file.file);
        files.push_back({{"file", file.file},
                         {"address", file.address.empty() ? Json() : Json(file.address)},
                         {"bytes", file.bytes},
                         {"sha256", file.sha256},
                         {"path", path ? Json(*path) : Json()}});
      }
      sets.push_back({{"name", set.name},
                      {"licence", set.licence},
                      {"description", set.description},
                      {"files", files}});
    }
    return {{"data_sets", sets}};
  }

  Status pull(Console* console) const {
    MINKE_ASSIGN(const DataSet* set, find_data_set(*name_));
    PullReporter reporter(console);
    const InterruptGuard guard;
    const auto paths = pull_data_set(*set, {}, reporter);
    reporter.finish();
    if (!paths && InterruptGuard::interrupted()) return fail(std::string(kInterrupted));
    if (!paths) return std::unexpected(paths.error());
    if (json_) {
      console->out(json_line({{"name", set->name}, {"paths", *paths}}));
      return {};
    }
    for (const std::string& path : *paths) console->out(path + "\n");
    return {};
  }

  std::optional<std::string> action_, name_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_data() { return std::make_unique<Data>(); }

}  // namespace minke::cli
