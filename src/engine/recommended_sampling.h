// How the tokens of a model are best chosen, by the header of its file: what the file says itself
// (general.sampling.*), else what the makers of its family advise. docs/cli.md has the table.
#pragma once

#include <string>

#include "core/result.h"
#include "io/gguf.h"
#include "minke/engine.h"

namespace minke {

struct RecommendedSampling {
  SamplingOptions options;  // check_sampling() takes them
  std::string source;       // why these, for people
};
Result<RecommendedSampling> recommended_sampling(const GgufFile& file);

}  // namespace minke
