// What packing and the cache of keys and values take of the machine's memory, as the system counts
// it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "kernels/kv_store.h"
#include "kernels/panels.h"

namespace minke {
namespace {

constexpr int64_t kMiB = 1 << 20;

int64_t resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string key;
  int64_t kib = 0;
  while (status >> key && key != "VmRSS:") status.ignore(1000, '\n');
  status >> kib;
  return kib * 1024;
}

TEST(Memory, PiecesOfAnArenaShareMappingsAndLiveOnWithoutIt) {
  std::vector<Buffer> pieces;
  {
    Arena arena;
    for (size_t i = 0; i < 100; ++i) {
      pieces.push_back(arena.take(300'001, "a test's piece").value());
      std::byte* data = pieces.back().data();
      EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0U);
      EXPECT_EQ(data[300'000], std::byte{0});
      std::fill(data, data + 300'001, static_cast<std::byte>(i));
    }
    pieces.push_back(arena.take(300 << 20, "a piece larger than any block").value());
    pieces.back().data()[(300 << 20) - 1] = std::byte{1};
  }
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(pieces[i].data()[0], static_cast<std::byte>(i));
    EXPECT_EQ(pieces[i].data()[300'000], static_cast<std::byte>(i));
  }
}

TEST(Memory, ManyMatricesTakeLittleMoreThanTheirBytes) {
  // 2.05 MiB of panels each: alone in a mapping, each would take 4 MiB.
  constexpr int64_t kRows = 1'050;
  constexpr int64_t kDim = 512;
  const std::vector<float> rows(static_cast<size_t>(kRows * kDim), 1.0F);
  Weight weight{.name = "w", .shape = {kRows, kDim}, .type = QuantType::kF32};
  weight.rows = reinterpret_cast<const std::byte*>(rows.data());
  ThreadPool pool(2);
  Arena arena;
  std::vector<std::shared_ptr<PackedMatrix>> packed;
  const int64_t before = resident_bytes();
  int64_t bytes = 0;
  for (int i = 0; i < 40; ++i) {
    packed.push_back(PackedMatrix::pack(weight, pool, arena).value());
    bytes += static_cast<int64_t>(packed.back()->bytes());
  }
  EXPECT_LT(resident_bytes() - before, bytes + 16 * kMiB);
}

TEST(Memory, EveryRowIsGivenBackOnceItHasBeenPacked) {
  constexpr int64_t kRows = 5'003;
  constexpr int64_t kDim = 1024;
  const std::vector<float> rows(static_cast<size_t>(kRows * kDim), 0.5F);
  Weight weight{.name = "w", .shape = {kRows, kDim}, .type = QuantType::kF32};
  weight.rows = reinterpret_cast<const std::byte*>(rows.data());
  std::vector<std::atomic<int>> times(kRows);
  std::atomic<size_t> largest = 0;
  weight.was_read = [&](const std::byte* from, size_t bytes) {
    const auto first = static_cast<size_t>(from - weight.rows) / (kDim * sizeof(float));
    for (size_t row = 0; row < bytes / (kDim * sizeof(float)); ++row) ++times[first + row];
    for (size_t known = largest; bytes > known && !largest.compare_exchange_weak(known, bytes);) {
    }
  };
  ThreadPool pool(3);
  Arena arena;
  ASSERT_TRUE(PackedMatrix::pack(weight, pool, arena));
  for (int64_t row = 0; row < kRows; ++row) {
    ASSERT_EQ(times[static_cast<size_t>(row)], 1) << "row " << row;
  }
  EXPECT_LE(largest, static_cast<size_t>(4 * kMiB));
}

TEST(Memory, ActivationsOfAlmostTheSameSizeShareOneBlock) {
  StoragePool pool;
  const auto use = [&](int64_t rows) {
    const Shape shape = {rows, 8960};
    const Tensor tensor(pool.acquire(static_cast<size_t>(shape.count()) * 4), shape, Dtype::kF32);
  };
  use(439);
  const size_t held = pool.held_bytes();
  for (const int64_t rows : {440, 439, 443, 438}) use(rows);
  EXPECT_EQ(pool.held_bytes(), held);
  use(1);  // and a small one holds no large block
  EXPECT_LT(pool.held_bytes() - held, size_t{1} << 16);
}

TEST(Memory, AShortConversationTakesItsPagesAndNotMore) {
  const KvSpec spec{.layers = 28, .kv_heads = 2, .head_dim = 128};
  KvStore kv = KvStore::create(spec, 1000).value();
  const int64_t before = resident_bytes();
  kv.clear_page(0);
  kv.clear_page(1);
  kv.copy_page(1, 2);
  for (int64_t layer = 0; layer < spec.layers; ++layer) {
    *kv.head_page(layer, 1, 1) = std::byte{1};
  }
  EXPECT_LT(resident_bytes() - before, 3 * static_cast<int64_t>(spec.page_bytes()) + 6 * kMiB);
}

}  // namespace
}  // namespace minke
