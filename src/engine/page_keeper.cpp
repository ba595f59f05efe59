#include "engine/page_keeper.h"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "engine/loop.h"

namespace minke {
namespace {

constexpr size_t kBytesAtOnce = size_t{8} << 20;

}  // namespace

PageKeeper::PageKeeper(std::unique_ptr<PageFile> file, KvPool& pool, StepRunner& runner)
    : file_(std::move(file)),
      pool_(pool),
      runner_(runner),
      page_(runner.page_bytes()),
      stamp_base_(file_->last_stamp()) {}

void PageKeeper::restore() {
  std::vector<PageFile::Page> pages = file_->pages();
  std::unordered_map<PageKey, const PageFile::Page*> by_key;
  for (const PageFile::Page& page : pages) by_key[page.key] = &page;
  // The latest ones with all that stands before them, as many as there is room for.
  std::vector<const PageFile::Page*> latest;
  for (const PageFile::Page& page : pages) latest.push_back(&page);
  std::ranges::sort(latest, std::ranges::greater(), &PageFile::Page::stamp);
  const auto room = static_cast<size_t>(pool_.free_pages() / 2);
  std::unordered_set<PageKey> wanted;
  for (const PageFile::Page* page : latest) {
    std::vector<PageKey> path;
    for (PageKey key = page->key; key != kNoPage && !wanted.contains(key);
         key = by_key.at(key)->parent) {
      path.push_back(key);
    }
    if (wanted.size() + path.size() > room) continue;
    wanted.insert(path.begin(), path.end());
  }
  // Oldest first, so that the pool's order of use is what it was; parents before their children.
  std::unordered_map<PageKey, KvNode*> restored;
  for (const PageFile::Page* page : std::views::reverse(latest)) {
    if (!wanted.contains(page->key)) continue;
    std::vector<const PageFile::Page*> path;
    for (PageKey key = page->key; key != kNoPage && !restored.contains(key);) {
      path.push_back(by_key.at(key));
      key = path.back()->parent;
    }
    for (const PageFile::Page* one : std::views::reverse(path))
      restored[one->key] = bring(*one, restored);
  }
}

// nullptr: it, or what stands before it, cannot be had.
KvNode* PageKeeper::bring(const PageFile::Page& page,
                          const std::unordered_map<PageKey, KvNode*>& restored) {
  KvNode* parent = page.parent == kNoPage ? nullptr : restored.at(page.parent);
  if (page.parent != kNoPage && parent == nullptr) return nullptr;
  if (!file_->read(page.key, page_)) return nullptr;
  KvNode* node = pool_.restore(parent, page.tokens);
  if (node == nullptr) return nullptr;
  runner_.write_page(node->page, page_);
  node->key = page.key;
  node->kept_use = node->last_used;
  return node;
}

std::string PageKeeper::take_notice() {
  if (!refusal_.empty()) return std::exchange(refusal_, {});
  const PageFile::Damage& damage = file_->damage();
  if (damage.whole_file && !std::exchange(is_file_told_, true)) {
    return fmt::format("{}: the file was damaged, and is begun anew: prompts are read again",
                       file_->path());
  }
  const int64_t pages = damage.pages - std::exchange(pages_told_, damage.pages);
  if (pages == 0) return {};
  return fmt::format("{}: {} damaged: what {} of prompts is read again", file_->path(),
                     pages == 1 ? "a page was" : fmt::format("{} pages were", pages),
                     pages == 1 ? "it held" : "they held");
}

// False when the disk refused.
bool PageKeeper::keep(KvNode& node) {
  const PageKey parent = node.parent->key;
  if (node.key == kNoPage) {
    node.key = page_key(parent, std::span(node.tokens));
  }
  const uint64_t stamp = stamp_base_ + node.last_used;
  if (file_->has(node.key)) {
    node.kept_use = node.last_used;
    return is_taken(file_->touch(node.key, stamp));
  }
  runner_.read_page(node.page, page_);
  const Result<bool> written = file_->write(
      {.key = node.key, .parent = parent, .stamp = stamp, .tokens = node.tokens}, page_);
  if (!written) return is_taken(std::unexpected(written.error()));
  node.kept_use = node.last_used;
  if (*written) ++kept_;
  return true;
}

bool PageKeeper::is_taken(const Status& status) {
  if (!status) refusal_ = status.error().message + "; prompts are not kept on the disk any more";
  return status.has_value();
}

bool PageKeeper::keep_some() {
  if (is_broken_ || page_.empty()) return false;
  const uint64_t before = kept_;
  size_t budget = std::max<size_t>(1, kBytesAtOnce / page_.size());
  bool is_unfinished = false;
  pool_.visit_full([&](KvNode& node) {
    if (node.kept_use == node.last_used) return true;
    if (budget == 0) {
      is_unfinished = true;
      return false;
    }
    const uint64_t written = kept_;
    if (!keep(node)) is_broken_ = true;
    if (kept_ != written) --budget;
    return !is_broken_;
  });
  return is_unfinished && !is_broken_ && kept_ != before;
}

void PageKeeper::keep_all() {
  while (keep_some()) {
  }
}

}  // namespace minke
