#include "server/chat/model_status.h"

namespace minke::server {

const char* model_state_name(ModelState state) {
  switch (state) {
    case ModelState::kAbsent:
      return "absent";
    case ModelState::kPulling:
      return "pulling";
    case ModelState::kPresent:
      return "present";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kLoaded:
      return "loaded";
    case ModelState::kFailed:
      return "failed";
  }
  return "";
}

void add_facts(ModelStatus& status, const ModelSource& source) {
  status.facts = known_facts(source);
  if (!status.facts) return;
  status.bytes = status.facts->file_bytes;
  if (status.memory_bytes == 0) {
    status.memory_bytes = static_cast<int64_t>(bytes_to_run(*status.facts));
  }
}

}  // namespace minke::server
