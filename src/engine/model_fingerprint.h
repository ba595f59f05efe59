// What tells the keys and values of one model from those of another: for files that hold them.
// Plain function, any thread.
#pragma once

#include <string>

#include "core/result.h"
#include "kernels/kv_store.h"

namespace minke {

// Of a checkpoint's files as they lie on the disk (names, sizes, times, samples of their bytes) and
// its adapter's, where `adapter` is not empty; of the layout of a page, and of the definition of
// the numbers in it. Hexadecimal.
Result<std::string> model_fingerprint(const std::string& path, const std::string& adapter,
                                      const KvSpec& spec);

}  // namespace minke
