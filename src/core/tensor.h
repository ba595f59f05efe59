// A Tensor is a share of some memory, with a shape and a dtype. Rows are contiguous, the last
// dimension innermost. The memory goes back to its pool with the last Tensor that names it: an
// inference step keeps only what is still in use, and a tape keeps what it has recorded.
//
// One thread owns a pool and all tensors made from it: the counts are not atomic. Kernels on other
// threads see bare pointers only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/memory.h"

namespace minke {

enum class Dtype : uint8_t { kF32, kF16, kBF16, kI32 };

size_t dtype_bytes(Dtype dtype);
const char* dtype_name(Dtype dtype);

// Up to four dimensions, outermost first. A default Shape has rank 0 and no elements.
class Shape {
 public:
  static constexpr int kRankMax = 4;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const {
    CHECK(axis >= 0 && axis < rank_);
    return dims_[static_cast<size_t>(axis)];
  }
  int64_t back() const { return (*this)[rank_ - 1]; }
  int64_t count() const;  // product of the dimensions, 0 for rank 0
  // Product of all dimensions but the last: how many rows of back() elements.
  int64_t rows() const { return back() == 0 ? 0 : count() / back(); }
  bool operator==(const Shape& other) const = default;
  std::string str() const;  // "[7, 2048]"

 private:
  std::array<int64_t, kRankMax> dims_{};
  int rank_ = 0;
};

// The memory behind a Tensor: counted by its Tensors, handed back to its pool with the last one.
// `derived` is for what an Ops computes from the contents and wants to find again (a quantised
// copy): it goes when the storage goes.
struct TensorStorage {
  std::byte* data = nullptr;
  size_t bytes = 0;
  uint32_t references = 0;
  class StoragePool* pool = nullptr;
  std::shared_ptr<void> derived;
};

// Recycles the activations of a step: a freed block serves the next tensor of about its size, so
// that from the second step on no memory is mapped. Owned and used by one thread, and must outlive
// the tensors made from it.
class StoragePool {
 public:
  explicit StoragePool(MemorySpace& space = host_memory()) : space_(space) {}
  ~StoragePool();
  StoragePool(const StoragePool&) = delete;
  StoragePool& operator=(const StoragePool&) = delete;

  TensorStorage* acquire(size_t bytes);  // contents are whatever was there before
  void release(TensorStorage* storage);
  // Gives free blocks back to the system (after a long prompt, before a long idle time).
  void trim();
  size_t held_bytes() const { return held_bytes_; }

 private:
  struct Block : TensorStorage {
    Buffer buffer;
  };
  MemorySpace& space_;
  std::vector<std::unique_ptr<Block>> free_;
  size_t live_ = 0;
  size_t held_bytes_ = 0;
};

class Tensor {
 public:
  Tensor() = default;
  // Takes a share of `storage`, which must hold the shape's bytes.
  Tensor(TensorStorage* storage, Shape shape, Dtype dtype);
  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(Tensor other) noexcept;
  ~Tensor();

  bool empty() const { return storage_ == nullptr; }
  const Shape& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }
  int64_t rows() const { return shape_.rows(); }
  int64_t dim() const { return shape_.back(); }
  TensorStorage* storage() const { return storage_; }
  float* f32() const {
    CHECK(dtype_ == Dtype::kF32 && storage_ != nullptr);
    return reinterpret_cast<float*>(storage_->data);
  }
  float* row(int64_t index) const { return f32() + index * dim(); }
  std::span<float> values() const { return {f32(), static_cast<size_t>(shape_.count())}; }
  // The same memory under another shape of equal count.
  Tensor reshaped(Shape other) const;
  // The first `count` rows of a rank-2 tensor, in the same memory.
  Tensor first_rows(int64_t count) const;

 private:
  TensorStorage* storage_ = nullptr;
  Shape shape_;
  Dtype dtype_ = Dtype::kF32;
};

}  // namespace minke
