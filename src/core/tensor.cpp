#include "core/tensor.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace minke {

size_t dtype_bytes(Dtype dtype) { return dtype == Dtype::kF32 || dtype == Dtype::kI32 ? 4 : 2; }

const char* dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return "F32";
    case Dtype::kF16:
      return "F16";
    case Dtype::kBF16:
      return "BF16";
    case Dtype::kI32:
      return "I32";
  }
  return "?";
}

Shape::Shape(std::initializer_list<int64_t> dims) {
  CHECK_LE(dims.size(), static_cast<size_t>(kRankMax));
  for (int64_t dim : dims) {
    CHECK_GE(dim, 0);
    dims_[static_cast<size_t>(rank_++)] = dim;
  }
}

int64_t Shape::count() const {
  if (rank_ == 0) return 0;
  int64_t product = 1;
  for (int axis = 0; axis < rank_; ++axis) product *= dims_[static_cast<size_t>(axis)];
  return product;
}

std::string Shape::str() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(dims_[static_cast<size_t>(axis)]);
  }
  return text + "]";
}

StoragePool::~StoragePool() { CHECK_EQ(live_, size_t{0}); }

TensorStorage* StoragePool::acquire(size_t bytes) {
  // In steps of an eighth: a product has a row more for each peaked row of its input, so sizes that
  // differ by little come in turn, and each would get a block of its own.
  const size_t step = std::max<size_t>(std::bit_floor(bytes) / 8, 64);
  const size_t wanted = std::max((bytes + step - 1) / step * step, step);
  // The smallest free block that is large enough, unless it is more than a quarter larger: a small
  // tensor must not hold a large block.
  size_t best = free_.size();
  for (size_t i = 0; i < free_.size(); ++i) {
    const size_t size = free_[i]->bytes;
    if (size >= wanted && size <= wanted + wanted / 4 + 4096 &&
        (best == free_.size() || size < free_[best]->bytes)) {
      best = i;
      if (size == wanted) break;
    }
  }
  ++live_;
  if (best < free_.size()) {
    Block* block = free_[best].release();
    free_[best] = std::move(free_.back());
    free_.pop_back();
    return block;
  }
  auto block = std::make_unique<Block>();
  block->buffer = Buffer::allocate_or_die(wanted, "activations", space_);
  block->data = block->buffer.data();
  block->bytes = wanted;
  block->pool = this;
  held_bytes_ += wanted;
  return block.release();
}

void StoragePool::release(TensorStorage* storage) {
  storage->derived.reset();
  CHECK_GT(live_, size_t{0});
  --live_;
  free_.emplace_back(static_cast<Block*>(storage));
}

void StoragePool::trim() {
  for (const auto& block : free_) held_bytes_ -= block->bytes;
  free_.clear();
}

Tensor::Tensor(TensorStorage* storage, Shape shape, Dtype dtype)
    : storage_(storage), shape_(shape), dtype_(dtype) {
  CHECK_LE(static_cast<size_t>(shape.count()) * dtype_bytes(dtype), storage->bytes);
  ++storage_->references;
}

Tensor::Tensor(const Tensor& other)
    : storage_(other.storage_), shape_(other.shape_), dtype_(other.dtype_) {
  if (storage_) ++storage_->references;
}

Tensor::Tensor(Tensor&& other) noexcept
    : storage_(std::exchange(other.storage_, nullptr)),
      shape_(other.shape_),
      dtype_(other.dtype_) {}

Tensor& Tensor::operator=(Tensor other) noexcept {
  std::swap(storage_, other.storage_);
  shape_ = other.shape_;
  dtype_ = other.dtype_;
  return *this;
}

Tensor::~Tensor() {
  if (storage_ && --storage_->references == 0) storage_->pool->release(storage_);
}

Tensor Tensor::reshaped(Shape other) const {
  CHECK_EQ(shape_.count(), other.count());
  Tensor view = *this;
  view.shape_ = other;
  return view;
}

Tensor Tensor::first_rows(int64_t count) const {
  CHECK_EQ(shape_.rank(), 2);
  CHECK(count >= 0 && count <= shape_[0]);
  Tensor view = *this;
  view.shape_ = {count, shape_[1]};
  return view;
}

}  // namespace minke
