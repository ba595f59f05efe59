// Carries pages between the pool and the file that outlives it: what is on the disk comes back at
// the start, latest used first and as far as half the pool; what becomes a full page is written
// when there is time. The engine's thread alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/kv_pool.h"
#include "engine/page_file.h"

namespace minke {

class StepRunner;

class PageKeeper {
 public:
  // `pool` and `runner` outlive the keeper.
  PageKeeper(std::unique_ptr<PageFile> file, KvPool& pool, StepRunner& runner);

  void restore();
  // What was wrong with the file since it was asked last, for people; empty: nothing. It costs no
  // more than time: what is lost is read anew.
  std::string take_notice();
  // Writes some pages; false when there is nothing to write, or the disk does not take any more.
  bool keep_some();
  void keep_all();

 private:
  KvNode* bring(const PageFile::Page& page, const std::unordered_map<PageKey, KvNode*>& restored);
  bool keep(KvNode& node);
  bool is_taken(const Status& status);

  std::unique_ptr<PageFile> file_;
  KvPool& pool_;
  StepRunner& runner_;
  std::vector<std::byte> page_;
  uint64_t stamp_base_ = 0;  // uses in this life come after those of earlier ones
  uint64_t kept_ = 0;
  bool is_broken_ = false;  // the disk refused
  std::string refusal_;     // as it said it, until it is told
  int64_t pages_told_ = 0;  // of PageFile::damage
  bool is_file_told_ = false;
};

}  // namespace minke
