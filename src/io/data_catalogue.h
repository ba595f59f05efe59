// The public data sets that minke knows by name, and where their files are: in the folder that
// MINKE_DATA names, else in the cache ($XDG_CACHE_HOME/minke/data), where pull_data_set() puts
// them. Size and SHA-256 of every file are written here; nothing else gets a file's name. Any
// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "io/download.h"

namespace minke {

struct DataSetFile {
  std::string file;     // "math/gsm8k_test.jsonl", in either folder
  std::string address;  // a .gz of a file that is none is unpacked; empty: there is none
  int64_t bytes = 0;
  std::string sha256;
};

struct DataSet {
  std::string name;
  std::string licence;
  std::string description;
  std::vector<DataSetFile> files;
};

std::span<const DataSet> data_catalogue();
// Fails with the names that were meant, perhaps.
Result<const DataSet*> find_data_set(std::string_view name);

// Where pulled data sets are kept. Creates nothing.
Result<std::filesystem::path> data_sets_dir();

// The path of a file of a data set; fails with the command that fetches it.
Result<std::string> data_set_file(std::string_view name, std::string_view file);

struct DataPull {
  std::filesystem::path folder;  // empty: data_sets_dir()
};
// The paths of the set's files, fetched where they are neither in MINKE_DATA nor in the folder.
Result<std::vector<std::string>> pull_data_set(const DataSet& set, const DataPull& options,
                                               PullObserver& observer);

}  // namespace minke
