// A run as one page for people: what was right before and after each stage, curves, samples, and
// what it took. It needs nothing else, and light and dark are both good to look at.
#pragma once

#include <string>

#include "core/result.h"

namespace minke {

// The page of the run in `folder`, which may still go on. Whatever models write is text in it.
Result<std::string> run_report(const std::string& folder);
// The same into `folder`/report.html, whole or not at all. Returns its path.
Result<std::string> write_run_report(const std::string& folder);

}  // namespace minke
