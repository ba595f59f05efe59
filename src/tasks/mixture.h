// Several tasks as one, each with its share of the problems.
#pragma once

#include <memory>
#include <vector>

#include "tasks/task.h"

namespace minke {

struct MixturePart {
  std::shared_ptr<const Task> task;
  double weight = 1.0;  // of drawing from it
};

// An endless task: which part the index-th problem is of, and which of the part's, is a function of
// the index. Within one round through a part's finite problems none comes twice. Checks and
// solutions are those of the part that a problem came from. There is at least one part, and the
// weights' sum is above 0.
std::shared_ptr<const Task> mix_tasks(std::vector<MixturePart> parts);

}  // namespace minke
