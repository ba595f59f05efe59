// A run's curves, drawn from its metrics as one SVG.
#pragma once

#include <string>

#include "core/result.h"

namespace minke {

// `folder` holds a run's metrics.jsonl. Each panel has one measure over the run's steps: the loss,
// rewards, what was right on unseen problems, the length of answers, entropy, speed; those that the
// run has. Lines of the file that are no metrics are passed over.
Result<std::string> draw_curves(const std::string& folder);

}  // namespace minke
