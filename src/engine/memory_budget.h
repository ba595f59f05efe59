// What memory there is, and how it is divided: weights, activations, and the rest for the cache of
// keys and values, which decides how long a context can be. Plain functions, safe from any thread.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.h"

namespace minke {

struct MemoryDemand {
  uint64_t budget = 0;  // as asked for; 0: from what is available
  uint64_t available = 0;
  uint64_t weights = 0;
  uint64_t activations = 0;
  uint64_t kv_page_bytes = 0;
  int64_t context_tokens = 0;  // as asked for; 0: as long as the model's, as far as memory allows
  int64_t context_max = 0;     // the model's
};

struct MemoryPlan {
  uint64_t budget = 0;
  int64_t context_tokens = 0;
  int32_t kv_pages = 0;
};

// Refuses with a sentence that says what is needed, what there is, and which option changes it.
Result<MemoryPlan> plan_memory(const MemoryDemand& demand);

// "1.04 GiB", "120 MiB".
std::string bytes_text(uint64_t bytes);

}  // namespace minke
