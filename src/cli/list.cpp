// minke list: the models on this machine, and those that can be pulled.

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/text_util.h"
#include "io/catalogue.h"
#include "io/model_cache.h"

namespace minke::cli {

namespace {

class List : public Command {
 public:
  CommandText text() const override {
    return {.name = "list",
            .summary = "List the models on this machine and those that can be pulled",
            .description =
                "Lists the pulled models and the catalogue, with what each takes of "
                "the disk and of memory. Any other GGUF file is used by its path.",
            .examples = {{"minke list", "everything, as a table"},
                         {"minke list --names", "the names alone, pulled ones first"},
                         {"minke list --json", "the same for programs"}}};
  }

  void declare(OptionList* options) override {
    options->flag("--names", "Print the names alone, pulled models first", &names_);
    options->flag("--json", "Print JSON", &json_);
  }

  Status run(Console* console) override {
    if (names_ && json_) return misuse("--names and --json are two forms of one list: choose one");
    MINKE_ASSIGN(const std::filesystem::path folder, models_dir());
    MINKE_ASSIGN(std::vector<ListedModel> models, list_models(folder));
    std::ranges::stable_partition(models, [](const ListedModel& m) { return m.pulled; });
    if (names_) {
      for (const ListedModel& model : models) console->out(model.entry.name + "\n");
    } else if (json_) {
      console->out(json_line(as_json(models, folder)));
    } else {
      print_table(models, folder, console);
    }
    return {};
  }

 private:
  static void print_table(const std::vector<ListedModel>& models,
                          const std::filesystem::path& folder, Console* console) {
    const Style& style = console->out_style();
    int name_width = 5;
    for (const ListedModel& model : models) {
      name_width = std::max(name_width, text_width(model.entry.name));
    }
    const auto print_group = [&](bool pulled, std::string_view title) {
      if (std::ranges::none_of(models, [&](const auto& m) { return m.pulled == pulled; })) return;
      console->out(
          fmt::format("{}{}{}\n", style.bold, wrapped(title, console->width(), 0), style.reset));
      console->out(fmt::format("  {}{:<{}}  {:>7}  {:>7}{}\n", style.dim, "NAME", name_width,
                               "DISK", "MEMORY", style.reset));
      for (const ListedModel& model : models) {
        if (model.pulled == pulled) print_row(model, name_width, console);
      }
    };
    print_group(true, fmt::format("On this machine ({})", folder.string()));
    if (std::ranges::any_of(models, [](const auto& m) { return m.pulled; })) console->out("\n");
    print_group(false, "To be had with minke pull NAME");
    const std::string_view also =
        "Also: owner/repo:file.gguf from Hugging Face, and any GGUF file by its path.";
    console->out(
        fmt::format("\n{}{}{}\n", style.dim, wrapped(also, console->width(), 0), style.reset));
  }

  static void print_row(const ListedModel& model, int name_width, Console* console) {
    const CatalogueEntry& entry = model.entry;
    std::string words = fmt::format("{} ({})", entry.description, entry.licence);
    if (!model.pulled && model.bytes_on_disk > 0) {
      words += fmt::format("; {} are here already", human_bytes(model.bytes_on_disk));
    }
    const int indent = 2 + name_width + 2 + 7 + 2 + 7 + 2;
    const int room = console->width() - indent;
    words = room >= 30 ? wrapped(words, console->width(), indent)
                       : fmt::format("\n      {}", wrapped(words, console->width(), 6));
    console->out(fmt::format("  {:<{}}  {:>7}  {:>7}  {}\n", entry.name, name_width,
                             human_bytes(model.pulled ? model.bytes_on_disk : entry.bytes),
                             entry.memory_bytes > 0 ? human_bytes(entry.memory_bytes) : "", words));
  }

  static nlohmann::ordered_json as_json(const std::vector<ListedModel>& models,
                                        const std::filesystem::path& folder) {
    using Json = nlohmann::ordered_json;
    Json out = {{"folder", folder.string()}, {"models", Json::array()}};
    for (const ListedModel& model : models) {
      const CatalogueEntry& entry = model.entry;
      const auto known = [](int64_t bytes) { return bytes > 0 ? Json(bytes) : Json(); };
      const auto stated = [](const std::string& s) { return s.empty() ? Json() : Json(s); };
      out["models"].push_back({{"name", entry.name},
                               {"pulled", model.pulled},
                               {"path", stated(model.path)},
                               {"bytes", known(entry.bytes)},
                               {"bytes_on_disk", model.bytes_on_disk},
                               {"memory_bytes", known(entry.memory_bytes)},
                               {"sha256", stated(entry.sha256)},
                               {"licence", stated(entry.licence)},
                               {"description", stated(entry.description)}});
    }
    return out;
  }

  bool names_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_list() { return std::make_unique<List>(); }

}  // namespace minke::cli
