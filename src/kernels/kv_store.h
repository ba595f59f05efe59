// The memory of the KV cache: pages of kKvPageTokens tokens, each page holding that many tokens of
// every layer. Which sequence owns which page is the engine's business (engine/kv_pool.h); here are
// only bytes. The layout inside a page: kernels/kv_page.h. Owned by the
// engine thread; kernels write a page only for the sequence whose tokens they compute.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/memory.h"
#include "core/result.h"

namespace minke {

// Also the length of a split in attention's definition (docs/numerics.md): a page is a split.
inline constexpr int64_t kKvPageTokens = 64;

enum class KvDtype : uint8_t { kBF16, kQ8 };
const char* kv_dtype_name(KvDtype dtype);

struct KvSpec {
  int64_t layers = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  KvDtype dtype = KvDtype::kBF16;
  // 0: values lie beside the keys, and are as wide. More: a value is the first so many numbers of
  // its key (the latents of DeepSeek's attention); BF16 only.
  int64_t shared_values = 0;

  int64_t value_dim() const { return shared_values > 0 ? shared_values : head_dim; }
  size_t head_page_bytes() const;  // K and V of one head, one layer, one page
  size_t page_bytes() const;       // all heads of all layers
  size_t token_bytes() const { return page_bytes() / kKvPageTokens; }
};

class KvStore {
 public:
  KvStore() = default;
  // In `space`: the Ops' own (Ops::memory).
  static Result<KvStore> create(const KvSpec& spec, int32_t pages,
                                MemorySpace& space = host_memory());

  const KvSpec& spec() const { return spec_; }
  int32_t pages() const { return pages_; }
  size_t bytes() const { return buffer_.size(); }

  // K and V of one head of one layer of one page: spec().head_page_bytes() bytes.
  std::byte* head_page(int64_t layer, int32_t page, int64_t kv_head) const;

  // A page that a new sequence takes over must hold no NaN: attention multiplies masked values by
  // zero.
  void clear_page(int32_t page);
  // For a prefix that ends inside a page: the second sequence continues in a copy.
  void copy_page(int32_t from, int32_t to);

 private:
  KvSpec spec_;
  int32_t pages_ = 0;
  Buffer buffer_;
};

}  // namespace minke
