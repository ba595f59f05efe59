// What convert and quantize share: a model is planned, shown, stored, and what came of it is said.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cli/console.h"
#include "core/result.h"
#include "quantize/plan.h"

namespace minke::cli {

struct StoreRequest {
  std::string from;  // a GGUF file or a folder
  std::string out;
  QuantizeRequest how;
  int threads = 0;
  bool force = false;
  bool json = false;
  bool only_show = false;  // the plan, tensor by tensor; nothing is written
};

// With a bar. Ctrl-C leaves what there is for the next run, and says so.
Status store_model(const StoreRequest& request, Console* console);

}  // namespace minke::cli
