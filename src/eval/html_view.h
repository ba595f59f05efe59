// An evaluation as one page that needs nothing else: the figures, and every sample to be read.
#pragma once

#include <span>
#include <string>

#include "eval/evaluation.h"

namespace minke {

struct HtmlHeading {
  std::string model, task;
  std::string settings;  // "4 samples each, temperature 0.6, top-p 0.95, seed 0"
};

// Whatever models write is text there, never markup.
std::string html_view(const HtmlHeading& heading, const EvalSummary& summary,
                      std::span<const EvalSample> samples);

}  // namespace minke
