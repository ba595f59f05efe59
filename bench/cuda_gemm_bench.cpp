// cuda_gemm_bench [--quick]: checks and times minke's matrix products on the GPU, beside NVIDIA's
// where libcublas.so.13 can be loaded. One line for each kernel and shape:
//
//   check   against the product by its definition in fp32: |out - reference| / |reference| over the
//           whole matrix, and the largest error over the largest value; the output was NaN before
//   bits    rows of the product with 1, 7 and 64 rows are the bits of the product with all, and the
//           kernels for one format agree ("same"), or how many 16-bit pieces differ
//   time    the middle of three rounds; ours and theirs in turn, each warm, with inputs in turn
//   from
//           sets that are larger than the L2 cache together
//
// Exits with 1 where a check fails.
#include <cuda.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/memory.h"
#include "cublas.h"
#include "gemm_check.cuh"
#include "kernels/cuda/driver.h"
#include "kernels/cuda/gemm.h"

namespace minke::bench {
namespace {

constexpr double kPeakBf16 = 989e12;
constexpr double kPeakFp8 = 1979e12;
constexpr size_t kCacheBytes = size_t{64} << 20;
constexpr int kRounds = 3;

struct Shape {
  int64_t m, n, k;
  bool timed;
};

struct Settings {
  double seconds_a_round = 0.25;
  double reference_operations_max = 4e12;  // products that are checked
};

// Memory that one product works on.
struct Set {
  Buffer a, b, out, a_scales, b_scales;
};

class Bench {
 public:
  Bench(CudaDevice& device, Cublas* cublas, Settings settings)
      : device_(device), cublas_(cublas), settings_(settings) {}

  // All kernels of one format (they agree on value_bytes) on one shape.
  Status run(const std::vector<GemmKernel>& kernels, const Shape& shape) {
    MINKE_TRY(prepare(kernels, shape));
    Buffer first_f32;  // the result of the first kernel for each type of output
    Buffer first_bf16;
    for (const GemmKernel& kernel : kernels) {
      MINKE_TRY(clear_outputs());
      Buffer& first = kernel.out_bytes == 4 ? first_f32 : first_bf16;
      MINKE_TRY(check(kernel, shape, first));
      if (shape.timed) MINKE_TRY(time(kernel, shape));
      fmt::print("{}\n", line_);
      std::fflush(stdout);
    }
    return {};
  }
  bool failed() const { return failed_; }

 private:
  static double operations(const Shape& shape) {
    return 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) *
           static_cast<double>(shape.k);
  }

  Result<Buffer> allocate(int64_t bytes, const char* purpose) {
    return Buffer::allocate(static_cast<size_t>(bytes), purpose, device_.memory());
  }

  template <typename Arguments>
  void launch(const char* kernel, CudaGrid grid, Arguments arguments) {
    void* const pointers[] = {&arguments};
    device_.launch(device_.kernel(kernel), {.grid = grid, .threads = 256, .overlaps = false},
                   pointers);
  }
  void fill(const char* kernel, const Buffer& out, int64_t count, uint32_t seed, float scale) {
    launch(kernel, {.x = 1024},
           FillArguments{.out = out.data(), .count = count, .seed = seed, .scale = scale});
  }

  Status prepare(const std::vector<GemmKernel>& kernels, const Shape& s) {
    const int value_bytes = kernels.front().value_bytes;
    int64_t out_bytes = 0;
    for (const GemmKernel& kernel : kernels) {
      CHECK_EQ(kernel.value_bytes, value_bytes);
      out_bytes = std::max<int64_t>(out_bytes, s.m * s.n * kernel.out_bytes);
    }
    const int64_t a_bytes = s.m * s.k * value_bytes;
    const int64_t b_bytes = s.n * s.k * value_bytes;
    const auto set_bytes = static_cast<size_t>(a_bytes + b_bytes);
    const size_t count = s.timed ? std::clamp<size_t>(3 * kCacheBytes / set_bytes + 1, 2, 8) : 1;
    sets_.clear();
    for (uint32_t i = 0; i < count; ++i) {
      Set set;
      MINKE_ASSIGN(set.a, allocate(a_bytes, "a"));
      MINKE_ASSIGN(set.b, allocate(b_bytes, "b"));
      MINKE_ASSIGN(set.out, allocate(out_bytes, "out"));
      const int64_t a_scales = (s.k + 127) / 128 * s.m;
      // As much as cublasLt may read, which wants rows of these in fours.
      const int64_t b_scales = (s.k / 128 + 4) * (s.n / 128 + 4);
      MINKE_ASSIGN(set.a_scales, allocate((a_scales + 1024) * 4, "scales of a"));
      MINKE_ASSIGN(set.b_scales, allocate(b_scales * 4, "scales of b"));
      if (value_bytes == 2) {
        fill("fill_bf16", set.a, s.m * s.k, 4 * i, 1.0F);
        fill("fill_bf16", set.b, s.n * s.k, 4 * i + 1, 1.0F);
      } else {
        fill("fill_e4m3", set.a, s.m * s.k, 4 * i, 150.0F);
        fill("fill_e4m3", set.b, s.n * s.k, 4 * i + 1, 150.0F);
        fill("fill_scales", set.a_scales, a_scales, 4 * i + 2, 1.0F / 150.0F);
        fill("fill_scales", set.b_scales, b_scales, 4 * i + 3, 1.0F / 150.0F);
      }
      sets_.push_back(std::move(set));
    }
    checked_ = operations(s) <= settings_.reference_operations_max;
    reference_ = {};
    if (checked_) {
      MINKE_ASSIGN(reference_, allocate(s.m * s.n * 4, "the reference"));
      launch(value_bytes == 2 ? "reference_bf16" : "reference_fp8",
             {.x = static_cast<uint32_t>((s.n + 15) / 16),
              .y = static_cast<uint32_t>((s.m + 15) / 16)},
             ReferenceArguments{.a = sets_[0].a.data(),
                                .b = sets_[0].b.data(),
                                .out = reinterpret_cast<float*>(reference_.data()),
                                .m = s.m,
                                .n = s.n,
                                .k = s.k,
                                .a_scales = floats(sets_[0].a_scales),
                                .b_scales = floats(sets_[0].b_scales)});
    }
    MINKE_ASSIGN(difference_, allocate(sizeof(Difference), "the difference"));
    return device_.wait();
  }

  static const float* floats(const Buffer& buffer) {
    return reinterpret_cast<const float*>(buffer.data());
  }

  GemmProblem problem(const Set& set, const Shape& s) const {
    return {.a = set.a.data(),
            .b = set.b.data(),
            .out = set.out.data(),
            .m = s.m,
            .n = s.n,
            .k = s.k,
            .a_scales = floats(set.a_scales),
            .a_scales_pitch = s.m,
            .b_scales = floats(set.b_scales)};
  }

  Status clear_outputs() {
    for (const Set& set : sets_) {
      fill("fill_nan", set.out, static_cast<int64_t>(set.out.size()) / 2, 0, 0.0F);
    }
    return device_.wait();
  }

  Result<Difference> compare(const char* kernel, const std::byte* out, const std::byte* reference,
                             int64_t count) {
    Difference result;
    device_.memory().clear(difference_.data(), sizeof(Difference));
    launch(kernel, {.x = 1024},
           CompareArguments{.out = out,
                            .reference = reference,
                            .count = count,
                            .difference = reinterpret_cast<Difference*>(difference_.data())});
    device_.download(&result, difference_.data(), sizeof(Difference));
    MINKE_TRY(device_.wait());
    return result;
  }

  // Leaves the result in the first set, and a copy in `first` unless that has one already, with
  // which the result is compared then.
  Status check(const GemmKernel& kernel, const Shape& s, Buffer& first) {
    line_.clear();
    fmt::print("{:<28} {:>5} {:>5} {:>5}", kernel.name, s.m, s.n, s.k);
    std::fflush(stdout);  // so that a kernel that does not end is known by name
    const Set& set = sets_[0];
    MINKE_ASSIGN(const GemmPlan plan, GemmPlan::make(device_, kernel, problem(set, s)));
    plan.run(device_);
    if (Status done = device_.wait(); !done) {
      return fail(
          fmt::format("{} [{}, {}, {}]: {}", kernel.name, s.m, s.n, s.k, done.error().message));
    }
    if (checked_) {
      MINKE_ASSIGN(const Difference d,
                   compare(kernel.out_bytes == 4 ? "compare_f32" : "compare_bf16", set.out.data(),
                           reference_.data(), s.m * s.n));
      const double relative = std::sqrt(d.error_squares / d.reference_squares);
      const double limit = kernel.out_bytes == 2 ? 3e-3 : kernel.value_bytes == 2 ? 1e-4 : 1e-3;
      const bool good = d.not_numbers == 0 && relative < limit;
      line_ += fmt::format("  {:8.1e} {:8.1e} {:>5}", relative,
                           static_cast<double>(d.error_max / d.reference_max),
                           d.not_numbers != 0 ? fmt::format("{} NaN", d.not_numbers)
                           : good             ? "good"
                                              : "BAD");
      failed_ = failed_ || !good;
    } else {
      line_ += fmt::format("  {:>23}", "unchecked");
    }
    MINKE_ASSIGN(const unsigned long long unequal, check_bits(kernel, s, first));
    line_ += unequal == 0 ? "   same" : fmt::format(" {:>6}", unequal);
    failed_ = failed_ || unequal != 0;
    return {};
  }

  Result<unsigned long long> check_bits(const GemmKernel& kernel, const Shape& s, Buffer& first) {
    unsigned long long unequal = 0;
    const int64_t row_pieces = s.n * kernel.out_bytes / 2;
    const Set& set = sets_[0];
    if (first.data() == nullptr) {
      MINKE_ASSIGN(first, allocate(s.m * row_pieces * 2, "a result"));
      device_.memory().copy(first.data(), set.out.data(), first.size());
    } else {
      MINKE_ASSIGN(const Difference d,
                   compare("compare_bits", set.out.data(), first.data(), s.m * row_pieces));
      unequal += d.unequal;
    }
    for (const int64_t rows : {1, 7, 64}) {
      if (rows >= s.m) continue;
      MINKE_ASSIGN(const Buffer few, allocate(rows * row_pieces * 2, "some rows"));
      fill("fill_nan", few, rows * row_pieces, 0, 0.0F);
      GemmProblem part = problem(set, s);
      part.out = few.data();
      part.m = rows;
      MINKE_ASSIGN(const GemmPlan plan, GemmPlan::make(device_, kernel, part));
      plan.run(device_);
      MINKE_ASSIGN(const Difference d,
                   compare("compare_bits", few.data(), set.out.data(), rows * row_pieces));
      unequal += d.unequal;
    }
    return unequal;
  }

  Status time(const GemmKernel& kernel, const Shape& s) {
    std::vector<GemmPlan> plans;
    std::vector<GemmProblem> problems;
    for (const Set& set : sets_) {
      problems.push_back(problem(set, s));
      MINKE_ASSIGN(plans.emplace_back(), GemmPlan::make(device_, kernel, problems.back()));
    }
    const double peak = kernel.value_bytes == 2 ? kPeakBf16 : kPeakFp8;
    const int count =
        std::max(20, static_cast<int>(settings_.seconds_a_round * 0.7 * peak / operations(s)));
    std::array<double, kRounds> ours{};
    std::array<double, kRounds> theirs{};
    // fp8 has a peer only where out is bf16.
    Cublas* peer = kernel.value_bytes == 2 || kernel.out_bytes == 2 ? cublas_ : nullptr;
    std::string why_not;
    for (size_t round = 0; round < kRounds; ++round) {
      const auto run_ours = [&](int times) {
        for (int i = 0; i < times; ++i) plans[static_cast<size_t>(i) % plans.size()].run(device_);
      };
      run_ours(5);
      device_.mark(0);
      run_ours(count);
      device_.mark(1);
      MINKE_ASSIGN(const double seconds, device_.seconds_between_marks());
      ours[round] = seconds / count;
      if (peer == nullptr) continue;
      Status done;
      const auto run_theirs = [&](int times) {
        for (int i = 0; done && i < times; ++i) {
          done = peer->multiply(kernel, problems[static_cast<size_t>(i) % problems.size()]);
        }
      };
      run_theirs(5);
      peer->mark(0);
      run_theirs(count);
      peer->mark(1);
      if (!done) {
        why_not = done.error().message;
        peer = nullptr;
        continue;
      }
      MINKE_ASSIGN(const double their_seconds, peer->seconds_between_marks());
      theirs[round] = their_seconds / count;
    }
    const auto [low, high] = std::minmax_element(ours.begin(), ours.end());
    const double spread = *high / *low - 1.0;
    const double rate = operations(s) / middle(ours);
    line_ += fmt::format("  {:>8.1f} {:>7.0f} {:>5.1f}% {:>5.1f}%", middle(ours) * 1e6, rate / 1e12,
                         spread * 100.0, rate / peak * 100.0);
    if (peer != nullptr) {
      const double their_rate = operations(s) / middle(theirs);
      line_ += fmt::format("  {:>7.0f} {:>6.1f}%", their_rate / 1e12, rate / their_rate * 100.0);
    } else if (!why_not.empty()) {
      line_ += "  " + why_not;
    }
    return {};
  }

  static double middle(std::array<double, kRounds> values) {
    std::sort(values.begin(), values.end());
    return values[kRounds / 2];
  }

  CudaDevice& device_;
  Cublas* cublas_;
  Settings settings_;
  std::vector<Set> sets_;
  Buffer reference_;
  Buffer difference_;
  bool checked_ = false;
  bool failed_ = false;
  std::string line_;
};

// How many clusters of a kernel the GPU can hold at one time: half its multiprocessors, one hopes.
int clusters_at_one_time(CudaDevice& device, const GemmKernel& kernel) {
  const auto ask = reinterpret_cast<decltype(&cuOccupancyMaxActiveClusters)>(
      device.driver_function("cuOccupancyMaxActiveClusters"));
  const auto shared_bytes = static_cast<uint32_t>(kernel.tile.shared_bytes);
  CUlaunchAttribute attribute{};
  attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attribute.value.clusterDim = {cuda::kGemmCluster, 1, 1};
  const CUlaunchConfig config = {.gridDimX = cuda::kGemmCluster,
                                 .gridDimY = 1,
                                 .gridDimZ = 1,
                                 .blockDimX = cuda::kGemmThreads,
                                 .blockDimY = 1,
                                 .blockDimZ = 1,
                                 .sharedMemBytes = shared_bytes,
                                 .hStream = nullptr,
                                 .attrs = &attribute,
                                 .numAttrs = 1};
  int count = 0;
  const CudaKernel found = device.kernel(kernel.name, shared_bytes);
  if (ask == nullptr || ask(&count, static_cast<CUfunction>(found.function), &config) != 0)
    return -1;
  return count;
}

Result<bool> run(bool quick) {
  MINKE_ASSIGN(const std::shared_ptr<CudaDevice> device, CudaDevice::open());
  const CudaInfo& info = device->info();
  fmt::print("{}, {} multiprocessors, driver {}, {} clusters at one time\n", info.name,
             info.multiprocessors, info.driver_version,
             clusters_at_one_time(*device, kGemmBf16ToBf16));
  Result<std::unique_ptr<Cublas>> cublas = Cublas::load(*device);
  if (!cublas) fmt::print("without cuBLAS: {}\n", cublas.error().message);
  Settings settings;
  if (quick) settings = {.seconds_a_round = 0.06, .reference_operations_max = 4e11};
  Bench bench(*device, cublas ? cublas->get() : nullptr, settings);

  fmt::print(
      "{:<28} {:>5} {:>5} {:>5}  {:>8} {:>8} {:>5} {:>6}  {:>8} {:>7} {:>6} {:>6}  {:>7} {:>7}\n",
      "kernel", "m", "n", "k", "relative", "largest", "check", "bits", "us", "TFLOP/s", "spread",
      "peak", "cuBLAS", "ratio");
  const std::vector<GemmKernel> bf16 = {kGemmBf16ToBf16, kGemmBf16ToF32};
  const std::vector<GemmKernel> fp8 = {
      kGemmFp8ToF32,
      kGemmFp8ToBf16,
  };
  for (const Shape& shape : std::vector<Shape>{{1, 8, 8, false},
                                               {128, 256, 64, false},
                                               {200, 264, 200, false},
                                               {777, 1000, 1032, false},
                                               {4096, 4096, 4096, true},
                                               {8192, 8192, 8192, true}}) {
    MINKE_TRY(bench.run(bf16, shape));
  }
  for (const Shape& shape : std::vector<Shape>{{1, 8, 128, false},
                                               {256, 128, 128, false},
                                               {129, 264, 384, false},
                                               {777, 1000, 1024, false},
                                               {4096, 7168, 2048, true},
                                               {4096, 4096, 7168, true},
                                               {4096, 2112, 7168, true},
                                               {4096, 24576, 1536, true},
                                               {8192, 8192, 8192, true}}) {
    MINKE_TRY(bench.run(fp8, shape));
  }
  fmt::print("{}\n", bench.failed() ? "A CHECK FAILED" : "all checks good");
  return !bench.failed();
}

}  // namespace
}  // namespace minke::bench

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::strcmp(argv[1], "--quick") == 0;
  if (argc > 2 || (argc == 2 && !quick)) {
    fmt::print(stderr, "usage: cuda_gemm_bench [--quick]\n");
    return 2;
  }
  const minke::Result<bool> good = minke::bench::run(quick);
  if (!good) fmt::print(stderr, "{}\n", good.error().message);
  return good && *good ? 0 : 1;
}
