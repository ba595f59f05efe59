// CudaOps: products, which wait until their results are needed, and the int8 form of their inputs.
#include <algorithm>
#include <string>
#include <utility>

#include "core/check.h"
#include "kernels/activation.h"
#include "ops/cuda_ops_parts.h"

namespace minke {
namespace {

using cuda::kTileRows;

constexpr int64_t kTilesFewMax = 4;  // tiles of eight rows that a panel's weights serve at once

// The end of the names of the kernels for a format: "_Q4_K".
std::string kernel_suffix(int32_t format) {
  constexpr const char* kNames[] = {"_Q4_0", "_Q4_1", "_Q5_0", "_Q8_0",  "_Run8",
                                    "_Q4_K", "_Q5_K", "_Q6_K", "_Super8"};
  static_assert(std::size(kNames) == static_cast<size_t>(PanelFormat::kF32));
  return kNames[format];
}

}  // namespace

Tensor CudaOps::linear(const Tensor& x, const Weight& w, const Weight& bias) {
  CHECK(w.packed != nullptr);
  CHECK_EQ(x.dim(), w.in_dim());
  settle(x);
  if (!put_off_.products.empty() &&
      (put_off_.x.storage() != x.storage() ||
       put_off_.products.size() == static_cast<size_t>(cuda::kMatricesMax))) {
    launch_products();
  }
  put_off_.x = x;
  const Tensor out = empty({x.rows(), w.out_dim()});
  put_off_.products.push_back({out, &w, &bias});
  return out;
}

void CudaOps::settle(const Tensor& x) {
  for (const PutOff::Product& product : put_off_.products) {
    if (product.out.storage() != x.storage()) continue;
    launch_products();
    return;
  }
  if (!x.storage()->derived) return;
  Node& at = node(x);
  if (at.waits == Node::Waits::kNothing) return;
  settle(at.a);
  if (at.waits == Node::Waits::kSum) {
    settle(at.b);
    const cuda::GatherArguments arguments = {
        .x = at.a.f32(), .b = at.b.f32(), .out = x.f32(), .rows = x.rows(), .dim = x.dim()};
    launch("gather_rows", {cuda_blocks(x.dim(), 1024), unsigned_of(x.rows())}, 256, 0,
           {argument(arguments)});
  } else {
    const cuda::RopeArguments arguments = rope_arguments(at.a, at.positions, *at.rope, x);
    launch("rope_rows", {unsigned_of(arguments.heads), unsigned_of(arguments.rows)}, 64, 0,
           {argument(arguments)});
  }
  at.settled();
}

// What has been put off: a launch for each format among the weights, one for all floats.
void CudaOps::launch_products() {
  PutOff work = std::exchange(put_off_, {});
  const auto kind = [](const PutOff::Product& product) {
    return std::min(static_cast<const Matrix&>(*product.w->packed).format, PanelFormat::kF32);
  };
  std::ranges::stable_sort(work.products, {}, kind);
  for (auto begin = work.products.begin(); begin != work.products.end();) {
    const auto end = std::find_if(begin, work.products.end(), [&](const PutOff::Product& other) {
      return kind(other) != kind(*begin);
    });
    if (is_quantised(kind(*begin))) {
      launch_quantised(work.x, {begin, end});
    } else {
      launch_float(work.x, {begin, end});
    }
    begin = end;
  }
}

cuda::LinearArguments CudaOps::arguments_of(const Tensor& x,
                                            std::span<const PutOff::Product> products) {
  cuda::LinearArguments arguments;
  arguments.rows = x.rows();
  arguments.dim = x.dim();
  arguments.x = x.f32();
  for (const PutOff::Product& product : products) {
    const auto& matrix = static_cast<const Matrix&>(*product.w->packed);
    cuda::MatrixShare& share = arguments.matrices[arguments.matrix_count++];
    share.panels = matrix.data.data();
    share.panel_bytes = matrix.panel_bytes;
    share.format = static_cast<int32_t>(matrix.format);
    share.panel_count = static_cast<int32_t>(matrix.panel_count);
    share.out_dim = product.w->out_dim();
    share.out = product.out.f32();
    if (product.bias->present()) {
      CHECK_EQ(product.bias->shape[0], share.out_dim);
      share.bias = on_device(*product.bias);
    }
  }
  return arguments;
}

void CudaOps::launch_quantised(const Tensor& x, std::span<const PutOff::Product> products) {
  cuda::LinearArguments arguments = arguments_of(x, products);
  arguments.quant = quantised(x);
  const std::string format = kernel_suffix(arguments.matrices[0].format);
  const int64_t groups = groups_of(x.dim());
  const int64_t tiles = cuda::tiles_of(x.rows());
  uint32_t panels = 0;
  uint32_t panel_blocks = 0;
  int64_t bytes_most = 0;
  for (int m = 0; m < arguments.matrix_count; ++m) {
    const cuda::MatrixShare& share = arguments.matrices[m];
    panels += unsigned_of(share.panel_count);
    panel_blocks += cuda_blocks(share.panel_count, 8);
    bytes_most = std::max(bytes_most, group_bytes(static_cast<PanelFormat>(share.format), 8));
  }
  if (tiles <= kTilesFewMax) {
    const int64_t at_once = tiles == 1 ? 1 : tiles == 2 ? 2 : 4;
    const int64_t chunks = (groups + 15) / 16;
    const int64_t warps = std::max((groups + chunks - 1) / chunks, 4 * at_once);
    const auto shared = unsigned_of(warps * 2 * 2 * at_once * 136 * 4);
    launch("linear_few_" + std::to_string(at_once) + format, {panels}, unsigned_of(warps * 32),
           shared, {argument(arguments)});
    return;
  }
  // Blocks of 128 rows, or of 64 where those would not fill the GPU.
  const bool whole = panel_blocks * cuda_blocks(x.rows(), 128) >=
                     static_cast<uint32_t>(device_->info().multiprocessors);
  const int64_t block_tiles = whole ? 16 : 8;
  const auto stage_bytes = static_cast<int32_t>(
      block_tiles * static_cast<int64_t>(sizeof(cuda::QuantTile)) + 8 * bytes_most);
  const int32_t stages = std::min<int32_t>(4, static_cast<int32_t>(kCudaSharedMax) / stage_bytes);
  launch((whole ? "linear_many" : "linear_half") + format,
         {panel_blocks, cuda_blocks(x.rows(), block_tiles * kTileRows)}, 512,
         static_cast<uint32_t>(stage_bytes * stages),
         {argument(arguments), argument(stage_bytes), argument(stages)});
  launch_rest(x, arguments, panels);
}

// What int8 left over of peaked rows, where there are too many rows to look for them in passing.
void CudaOps::launch_rest(const Tensor& x, cuda::LinearArguments arguments, uint32_t panels) {
  Node& at = node(x);
  const std::string format = kernel_suffix(arguments.matrices[0].format);
  const int64_t groups = groups_of(x.dim());
  const int64_t tiles = cuda::tiles_of(x.rows());
  const bool fresh = at.peaked_tiles.empty();
  if (fresh) {
    at.peaked_tiles = bytes(static_cast<size_t>(groups * tiles) * sizeof(cuda::QuantTile));
    at.peaked_rows = bytes(static_cast<size_t>(4 * (x.rows() + 4) + tiles));
  }
  const cuda::QuantRows gathered = {
      .tiles = reinterpret_cast<cuda::QuantTile*>(at.peaked_tiles.storage()->data),
      .rest = nullptr,
      .tiles_per_group = static_cast<int32_t>(tiles)};
  auto* count = reinterpret_cast<int32_t*>(at.peaked_rows.storage()->data);
  int32_t* list = count + 4;
  auto* masks = reinterpret_cast<uint8_t*>(list + x.rows());
  if (fresh) {
    const cuda::QuantiseArguments quantise = {
        .x = x.f32(), .quant = arguments.quant, .rows = x.rows(), .dim = x.dim()};
    launch(
        "list_peaked", {1}, 1024, 0,
        {argument(quantise), argument(gathered), argument(count), argument(list), argument(masks)});
  }
  arguments.quant = gathered;
  const int64_t chunks = (groups + 15) / 16;
  const int64_t warps = std::max<int64_t>((groups + chunks - 1) / chunks, 4);
  launch("linear_rest" + format, {panels}, unsigned_of(warps * 32),
         unsigned_of(warps * 2 * 2 * 136 * 4),
         {argument(arguments), argument(count), argument(list)});
}

void CudaOps::launch_float(const Tensor& x, std::span<const PutOff::Product> products) {
  const cuda::LinearArguments arguments = arguments_of(x, products);
  uint32_t outputs = 0;
  for (int m = 0; m < arguments.matrix_count; ++m) {
    outputs += cuda_blocks(arguments.matrices[m].out_dim, 128);
  }
  launch("linear_float", {outputs, cuda_blocks(x.rows(), 8)}, 128, 0, {argument(arguments)});
}

cuda::QuantRows CudaOps::quant_of_output(const Tensor& out) {
  if (!quantises_ || out.dim() % cuda::kRunValues != 0) return {};
  Node& at = node(out);
  const int64_t tiles = cuda::tiles_of(out.rows());
  if (at.tiles.empty()) {
    const size_t size = static_cast<size_t>(groups_of(out.dim()) * tiles) * sizeof(cuda::QuantTile);
    at.tiles = bytes(size);
    at.rest = bytes(size);
  }
  return {.tiles = reinterpret_cast<cuda::QuantTile*>(at.tiles.storage()->data),
          .rest = reinterpret_cast<cuda::QuantTile*>(at.rest.storage()->data),
          .tiles_per_group = static_cast<int32_t>(tiles)};
}

cuda::QuantRows CudaOps::quantised(const Tensor& x) {
  const bool known = !node(x).tiles.empty();
  const cuda::QuantRows quant = quant_of_output(x);
  CHECK(quant.tiles != nullptr);
  if (!known) {
    const cuda::QuantiseArguments arguments = {
        .x = x.f32(), .quant = quant, .rows = x.rows(), .dim = x.dim()};
    if (x.rows() > kTileRows) {
      launch("quantise_tiles",
             {unsigned_of(groups_of(x.dim())), unsigned_of(cuda::tiles_of(x.rows()))}, 256, 0,
             {argument(arguments)});
    } else {
      launch("quantise_rows", {cuda_blocks(groups_of(x.dim()), 4), unsigned_of(x.rows())}, 128, 0,
             {argument(arguments)});
    }
  }
  return quant;
}

}  // namespace minke
