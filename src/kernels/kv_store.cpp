#include "kernels/kv_store.h"

#include "core/check.h"
#include "kernels/kv_page.h"

namespace minke {

const char* kv_dtype_name(KvDtype dtype) {
  switch (dtype) {
    case KvDtype::kBF16:
      return "bf16";
    case KvDtype::kQ8:
      return "q8";
  }
  return "?";
}

size_t KvSpec::head_page_bytes() const {
  const int64_t wide = shared_values > 0 ? head_dim : 2 * head_dim;
  const auto values = static_cast<size_t>(wide * kKvPageTokens);
  if (dtype == KvDtype::kBF16) return values * sizeof(uint16_t);
  const int64_t steps_of_token = kv_groups(head_dim) + 1;
  return values + static_cast<size_t>(steps_of_token * kKvPageTokens) * sizeof(uint16_t);
}

size_t KvSpec::page_bytes() const {
  return static_cast<size_t>(layers * kv_heads) * head_page_bytes();
}

Result<KvStore> KvStore::create(const KvSpec& spec, int32_t pages, MemorySpace& space) {
  CHECK_GE(pages, 0);
  CHECK_EQ(spec.head_dim % 2, 0);
  CHECK(spec.shared_values == 0 || spec.dtype == KvDtype::kBF16);
  CHECK(spec.shared_values <= spec.head_dim && spec.shared_values % 2 == 0);
  KvStore store;
  store.spec_ = spec;
  store.pages_ = pages;
  MINKE_ASSIGN(store.buffer_, Buffer::allocate(spec.page_bytes() * static_cast<size_t>(pages),
                                               "the cache of keys and values", space));
  return store;
}

// Page by page: memory is taken as it is first written, and a short conversation then takes its few
// pages, where an order by layers would take 2 MiB for each layer of the model.
std::byte* KvStore::head_page(int64_t layer, int32_t page, int64_t kv_head) const {
  CHECK(page >= 0 && page < pages_);
  const int64_t index = (page * spec_.layers + layer) * spec_.kv_heads + kv_head;
  return buffer_.data() + static_cast<size_t>(index) * spec_.head_page_bytes();
}

void KvStore::clear_page(int32_t page) {
  buffer_.space()->clear(head_page(0, page, 0), spec_.page_bytes());
}

void KvStore::copy_page(int32_t from, int32_t to) {
  buffer_.space()->copy(head_page(0, to, 0), head_page(0, from, 0), spec_.page_bytes());
}

}  // namespace minke
