// minke synth SHAPE QUANT OUT: a model of random weights in the shape of a real one.

#include "models/synth.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/output_file.h"

namespace minke::cli {

namespace {

class Synth : public Command {
 public:
  CommandText text() const override {
    std::string shapes;
    for (const ModelShape& shape : synth_shapes()) {
      shapes += fmt::format("{}{} ({})", shapes.empty() ? "" : ", ", shape.name, shape.about);
    }
    return {.name = "synth",
            .summary = "Write a model of random weights, to measure with",
            .description =
                fmt::format("Writes a GGUF file in the exact shape of a real model, with random "
                            "weights: it runs at the speed of the real one and writes noise. The "
                            "same command writes the same bytes everywhere. Shapes: {}.",
                            shapes),
            .examples = {
                {"minke synth smollm2-135m Q8_0 noise.gguf", "a small one"},
                {fmt::format("minke synth {} Q4_K_M r1.gguf --seed 2", synth_shapes().front().name),
                 "another with other weights"}}};
  }

  void declare(OptionList* options) override {
    std::vector<std::string> shapes;
    for (const ModelShape& shape : synth_shapes()) shapes.emplace_back(shape.name);
    Option& shape = options->choice("SHAPE", "The model whose shape it takes", shapes, &shape_);
    shape.value_name.clear();
    shape.required = true;
    std::string quants;
    for (const std::string& name : synth_quants()) quants += (quants.empty() ? "" : ", ") + name;
    Option& quant = options->choice("QUANT", "One of " + quants, synth_quants(), &quant_);
    quant.value_name.clear();
    quant.required = true;
    options->positional("OUT", ValueKind::kFile, "The file to write", &out_).required = true;
    options->unsigned_integer("--seed", "Other weights", &seed_).default_text = "1";
    options
        ->integer("--layers", "So many layers, the first of the model's, and no MTP layer",
                  {1, 1000}, &layers_)
        .default_text = "all";
    options->flag("--force", "Write over a file that exists", &force_);
    options->flag("--json", "Print {\"path\", \"bytes\", \"parameters\"}", &json_);
  }

  Status run(Console* console) override {
    MINKE_TRY(check_output_file(*out_, force_));
    return write_model(*out_, json_, console, [&](const auto& progress) {
      return write_synth({.shape = *shape_,
                          .quant = *quant_,
                          .seed = seed_.value_or(1),
                          .layers = layers_.value_or(0)},
                         *out_, progress);
    });
  }

 private:
  std::optional<std::string> shape_, quant_, out_;
  std::optional<uint64_t> seed_;
  std::optional<int64_t> layers_;
  bool force_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_synth() { return std::make_unique<Synth>(); }

}  // namespace minke::cli
