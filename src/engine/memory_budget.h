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
  int64_t cache_tokens = 0;    // EngineOptions'
};

struct MemoryPlan {
  uint64_t budget = 0;
  int64_t context_tokens = 0;
  int32_t kv_pages = 0;
};

// Refuses with a sentence that says what is needed, what there is, and which option changes it.
Result<MemoryPlan> plan_memory(const MemoryDemand& demand);

// Of a mixture whose experts do not fit: `weights` are those that every token uses, and a cache of
// experts takes what context and activations leave.
struct StreamDemand {
  MemoryDemand fixed;
  uint64_t expert_bytes = 0;  // of one
  int64_t experts_least = 0;  // that the cache must hold
  int64_t experts_count = 0;  // all there are
};

struct StreamPlan {
  MemoryPlan memory;
  int64_t experts = 0;  // that the cache holds
};

// Likewise; the refusal names the least budget that works.
Result<StreamPlan> plan_streaming(const StreamDemand& demand);

// What to do about a text for which a context of `context` tokens has no room, of a model that was
// trained for `context_max`: "shorten it, or ...".
std::string context_way_out(int64_t context, int64_t context_max);

// "1.04 GiB", "120 MiB".
std::string bytes_text(uint64_t bytes);

}  // namespace minke
