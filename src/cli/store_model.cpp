#include "cli/store_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/json_text.h"
#include "cli/output_file.h"
#include "cli/text_util.h"
#include "core/thread_pool.h"
#include "io/catalogue.h"
#include "models/hf_folder.h"
#include "models/registry.h"
#include "quantize/quantize.h"

namespace minke::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Fallback {
  QuantType wanted;
  QuantType type;
  int64_t width;
  auto operator<=>(const Fallback&) const = default;
};

std::map<Fallback, int64_t> fallbacks(const QuantizePlan& plan) {
  std::map<Fallback, int64_t> counts;
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.type == tensor.wanted) continue;
    ++counts[{tensor.wanted, tensor.type, tensor.source->shape.back()}];
  }
  return counts;
}

std::string facts(const QuantizePlan& plan) {
  return fmt::format("{}, {} parameters, {:.2f} bits each",
                     human_bytes(static_cast<int64_t>(plan.bytes_total)),
                     with_commas(plan.parameters), plan.bits_per_weight());
}

Json facts_json(const std::string& path, const QuantizePlan& plan) {
  Json types = Json::object();
  for (const PlannedTensor& tensor : plan.tensors) {
    Json& bytes = types[quant_name(tensor.type)];
    bytes = (bytes.is_null() ? 0 : bytes.get<uint64_t>()) + tensor.bytes;
  }
  Json fallback = Json::array();
  for (const auto& [one, count] : fallbacks(plan)) {
    fallback.push_back({{"wanted", quant_name(one.wanted)},
                        {"type", quant_name(one.type)},
                        {"width", one.width},
                        {"tensors", count}});
  }
  return {{"path", path},
          {"bytes", plan.bytes_total},
          {"parameters", plan.parameters},
          {"bits_per_weight", plan.bits_per_weight()},
          {"bytes_by_type", types},
          {"fallbacks", fallback}};
}

void show_plan(const StoreRequest& request, const QuantizePlan& plan, Console* console) {
  if (request.json) {
    Json tensors = Json::array();
    for (const PlannedTensor& tensor : plan.tensors) {
      tensors.push_back({{"name", tensor.source->name},
                         {"from", quant_name(tensor.source->type)},
                         {"type", quant_name(tensor.type)},
                         {"bytes", tensor.bytes}});
    }
    Json all = facts_json(request.out, plan);
    all["tensors"] = std::move(tensors);
    console->out(json_line(all));
    return;
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    console->out(fmt::format("{:<36} {:<22} {:>6} -> {:<6} {:>9}\n",
                             printable(tensor.source->name, 80), tensor.source->shape.str(),
                             quant_name(tensor.source->type), quant_name(tensor.type),
                             human_bytes(static_cast<int64_t>(tensor.bytes))));
  }
  console->out(facts(plan) + "\n");
}

void note_losses(const QuantizePlan& plan, Console* console) {
  for (const auto& [one, count] : fallbacks(plan)) {
    console->note(fmt::format("({} tensor{} {} instead of {}: rows of {} are no multiple of {})\n",
                              with_commas(count), count == 1 ? " is" : "s are",
                              quant_name(one.type), quant_name(one.wanted), with_commas(one.width),
                              quant_format(one.wanted).block_size));
  }
  const auto unmeasured = std::ranges::count_if(plan.tensors, &PlannedTensor::unmeasured);
  if (unmeasured > 0) {
    const PlannedTensor& first = *std::ranges::find_if(plan.tensors, &PlannedTensor::unmeasured);
    console->note(
        fmt::format("({} quantised without importance, {}{}: the importance matrix has none)\n",
                    unmeasured == 1 ? "1 tensor is" : with_commas(unmeasured) + " tensors are",
                    unmeasured == 1 ? "" : "the first ", printable(first.source->name, 80)));
  }
  if (plan.requantised > 0) {
    console->note(
        fmt::format("({} tensors were quantised before, and lose once more: the original "
                    "makes a better file)\n",
                    with_commas(plan.requantised)));
  }
}

Status write_planned(const StoreRequest& request, const GgufFile& from, const QuantizePlan& plan,
                     Console* console) {
  ThreadPool threads(request.threads);
  const InterruptGuard guard;
  ProgressBar bar(console);
  bool first = true;
  const auto progress = [&](const QuantizeProgress& at) {
    if (first && at.resumed > 0) {
      console->note(fmt::format("(going on behind the {} of an earlier run)\n",
                                human_bytes(static_cast<int64_t>(at.resumed))));
    }
    first = false;
    bar.update("writing", static_cast<double>(at.done) / static_cast<double>(at.total),
               fmt::format("of {}", human_bytes(static_cast<int64_t>(at.total))));
    return !InterruptGuard::interrupted();
  };
  const Result<QuantizeEnd> end =
      quantize(from, plan, request.how.importance, request.out, threads, progress);
  bar.finish();
  if (!end) return std::unexpected(end.error());
  if (*end == QuantizeEnd::kFinished) return {};
  console->note(
      fmt::format("(stopped; the same command goes on from here, or remove {0}.partial "
                  "and {0}.partial.state)\n",
                  printable(request.out, 400)));
  return fail(std::string(kInterrupted));
}

}  // namespace

Status store_model(const StoreRequest& request, Console* console) {
  if (!request.only_show) MINKE_TRY(check_output_file(request.out, request.force));
  MINKE_ASSIGN(const GgufFile from, open_checkpoint(request.from));
  MINKE_TRY(check_output_names(from, request.how.importance, request.out));
  MINKE_TRY(check_loadable(from));  // no file that nothing could load
  MINKE_ASSIGN(const QuantizePlan plan, plan_quantize(from, request.how));
  note_losses(plan, console);
  if (request.only_show) {
    show_plan(request, plan, console);
    return {};
  }
  MINKE_TRY(write_planned(request, from, plan, console));
  if (request.json) {
    console->out(json_line(facts_json(request.out, plan)));
  } else {
    console->out(fmt::format("{}: {}\n", printable(request.out, 400), facts(plan)));
  }
  return {};
}

}  // namespace minke::cli
