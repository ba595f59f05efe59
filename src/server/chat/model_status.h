// What there is to tell of one model of a server at a moment. Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "minke/engine.h"
#include "server/chat/model_facts.h"

namespace minke::server {

enum class ModelState : uint8_t { kAbsent, kPulling, kPresent, kLoading, kLoaded, kFailed };
const char* model_state_name(ModelState state);

struct ModelProgress {
  std::string phase;
  int64_t done = 0;
  int64_t total = 0;
  double rate = 0;           // per second; 0: not known
  double seconds_left = -1;  // negative: not known
};

struct ModelStatus {
  std::string name;
  std::string path;       // empty: absent
  std::string base = {};  // of one with an adapter of its own: the name of what is below it
  ModelState state = ModelState::kAbsent;
  std::optional<ModelProgress> progress = {};
  std::string error = {};
  std::string licence = {};
  std::string description = {};
  int64_t bytes = 0;         // of the file, or what it will have
  int64_t memory_bytes = 0;  // what a loaded one may take; of others about, to run them
  bool is_default = false;
  std::shared_ptr<const ModelFacts> facts = {};  // null: absent, or not readable
  std::optional<MemoryReport> memory = {};       // of a loaded one
  int64_t context_tokens = 0;                    // likewise
  int64_t running = 0, waiting = 0;
  int64_t unloads_in_s = -1;  // negative: when its room is needed
};

// Adds what the files say, and by that what it takes to run a model that is not loaded.
void add_facts(ModelStatus& status, const ModelSource& source);

}  // namespace minke::server
