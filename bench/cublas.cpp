#include "cublas.h"

#include <cuda.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <tuple>
#include <type_traits>
#include <utility>

namespace minke::bench {
namespace {

// Of cublas_api.h, cublasLt.h and library_types.h, version 13.
constexpr int kNoTranspose = 0;
constexpr int kTranspose = 1;
constexpr int kFloat = 0;
constexpr int kBf16 = 14;
constexpr int kE4m3 = 28;
constexpr int kComputeFloat = 68;
constexpr int kDefaultAlgorithm = -1;
constexpr int kDescTransposeA = 3;
constexpr int kDescTransposeB = 4;
constexpr int kDescScalePointerA = 17;
constexpr int kDescScalePointerB = 18;
constexpr int kDescScaleModeA = 31;
constexpr int kDescScaleModeB = 32;
constexpr int kScale128 = 4;
constexpr int kScale128x128 = 5;
constexpr int kPreferenceWorkspace = 1;
constexpr size_t kWorkspaceBytes = size_t{64} << 20;

struct Heuristic {
  uint64_t algorithm[8];
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
};

struct Functions {
  int (*cublasCreate_v2)(void**);
  int (*cublasGemmEx)(void*, int, int, int, int, int, const void*, const void*, int, int,
                      const void*, int, int, const void*, void*, int, int, int, int);
  int (*cublasSetWorkspace_v2)(void*, void*, size_t);
  int (*cublasLtCreate)(void**);
  int (*cublasLtMatmulDescCreate)(void**, int, int);
  int (*cublasLtMatmulDescSetAttribute)(void*, int, const void*, size_t);
  int (*cublasLtMatrixLayoutCreate)(void**, int, uint64_t, uint64_t, int64_t);
  int (*cublasLtMatmulPreferenceCreate)(void**);
  int (*cublasLtMatmulPreferenceSetAttribute)(void*, int, const void*, size_t);
  int (*cublasLtMatmulAlgoGetHeuristic)(void*, void*, void*, void*, void*, void*, void*, int,
                                        Heuristic*, int*);
  int (*cublasLtMatmul)(void*, void*, const void*, const void*, void*, const void*, void*,
                        const void*, void*, void*, void*, void*, const uint64_t*, void*, size_t,
                        void*);
  decltype(&::cuEventCreate) cuEventCreate;
  decltype(&::cuEventRecord) cuEventRecord;
  decltype(&::cuEventSynchronize) cuEventSynchronize;
  decltype(&::cuEventElapsedTime) cuEventElapsedTime;
};

template <typename Function>
bool find(Function& function, void* at) {
  function = reinterpret_cast<Function>(at);
  return function != nullptr;
}

Status ok(int code, const char* doing) {
  if (code == 0) return {};
  return fail(fmt::format("{} failed with code {}", doing, code));
}

// A problem as cublasLt wants it described; made once for each shape.
struct LtPlan {
  void* description = nullptr;
  void* weights = nullptr;
  void* values = nullptr;
  void* out = nullptr;
  Heuristic found{};
};

class Library final : public Cublas {
 public:
  explicit Library(CudaDevice& device) : device_(device) {}

  Status start() {
    void* lt = dlopen("libcublasLt.so.13", RTLD_NOW | RTLD_GLOBAL);
    void* blas = dlopen("libcublas.so.13", RTLD_NOW | RTLD_LOCAL);
    if (lt == nullptr || blas == nullptr) return fail("libcublas.so.13 cannot be loaded");
    bool all = true;
#define FIND(library, name) all = find(f_.name, dlsym(library, #name)) && all
    FIND(blas, cublasCreate_v2);
    FIND(blas, cublasGemmEx);
    FIND(blas, cublasSetWorkspace_v2);
    FIND(lt, cublasLtCreate);
    FIND(lt, cublasLtMatmulDescCreate);
    FIND(lt, cublasLtMatmulDescSetAttribute);
    FIND(lt, cublasLtMatrixLayoutCreate);
    FIND(lt, cublasLtMatmulPreferenceCreate);
    FIND(lt, cublasLtMatmulPreferenceSetAttribute);
    FIND(lt, cublasLtMatmulAlgoGetHeuristic);
    FIND(lt, cublasLtMatmul);
#undef FIND
    all = find(f_.cuEventCreate, device_.driver_function("cuEventCreate")) && all;
    all = find(f_.cuEventRecord, device_.driver_function("cuEventRecord")) && all;
    all = find(f_.cuEventSynchronize, device_.driver_function("cuEventSynchronize")) && all;
    all = find(f_.cuEventElapsedTime, device_.driver_function("cuEventElapsedTime")) && all;
    if (!all) return fail("libcublas.so.13 lacks a function");
    MINKE_TRY(ok(f_.cublasCreate_v2(&handle_), "cublasCreate"));
    MINKE_TRY(ok(f_.cublasLtCreate(&lt_handle_), "cublasLtCreate"));
    MINKE_ASSIGN(workspace_,
                 Buffer::allocate(kWorkspaceBytes, "cuBLAS's workspace", device_.memory()));
    MINKE_TRY(device_.wait());
    MINKE_TRY(ok(f_.cublasSetWorkspace_v2(handle_, workspace_.data(), kWorkspaceBytes),
                 "cublasSetWorkspace"));
    for (CUevent& event : marks_) {
      MINKE_TRY(ok(f_.cuEventCreate(&event, CU_EVENT_DEFAULT), "cuEventCreate"));
    }
    return {};
  }

  Status multiply(const GemmKernel& kernel, const GemmProblem& p) override {
    return kernel.value_bytes == 2 ? multiply_bf16(kernel, p) : multiply_fp8(p);
  }

  void mark(int which) override { f_.cuEventRecord(marks_[static_cast<size_t>(which)], nullptr); }
  Result<double> seconds_between_marks() override {
    float milliseconds = 0;
    MINKE_TRY(ok(f_.cuEventSynchronize(marks_[1]), "cuEventSynchronize"));
    MINKE_TRY(ok(f_.cuEventElapsedTime(&milliseconds, marks_[0], marks_[1]), "cuEventElapsedTime"));
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  // Its matrices have their columns one after the other: out^T = b a^T.
  Status multiply_bf16(const GemmKernel& kernel, const GemmProblem& p) {
    const int m = static_cast<int>(p.m);
    const int n = static_cast<int>(p.n);
    const int k = static_cast<int>(p.k);
    return ok(f_.cublasGemmEx(handle_, kTranspose, kNoTranspose, n, m, k, &kOne, p.b, kBf16, k, p.a,
                              kBf16, k, &kZero, p.out, kernel.out_bytes == 4 ? kFloat : kBf16, n,
                              kComputeFloat, kDefaultAlgorithm),
              "cublasGemmEx");
  }

  Status multiply_fp8(const GemmProblem& p) {
    LtPlan& plan = plans_[{p.m, p.n, p.k}];
    if (plan.description == nullptr) {
      if (Status made = describe(p, plan); !made) {
        plan = {};
        return made;
      }
    }
    MINKE_TRY(set(plan.description, kDescScalePointerA, p.b_scales));
    MINKE_TRY(set(plan.description, kDescScalePointerB, p.a_scales));
    return ok(f_.cublasLtMatmul(lt_handle_, plan.description, &kOne, p.b, plan.weights, p.a,
                                plan.values, &kZero, p.out, plan.out, p.out, plan.out,
                                plan.found.algorithm, workspace_.data(), kWorkspaceBytes, nullptr),
              "cublasLtMatmul");
  }

  Status describe(const GemmProblem& p, LtPlan& plan) {
    const auto m = static_cast<uint64_t>(p.m);
    const auto n = static_cast<uint64_t>(p.n);
    const auto k = static_cast<uint64_t>(p.k);
    MINKE_TRY(ok(f_.cublasLtMatmulDescCreate(&plan.description, kComputeFloat, kFloat), "Desc"));
    MINKE_TRY(set(plan.description, kDescTransposeA, kTranspose));
    MINKE_TRY(set(plan.description, kDescTransposeB, kNoTranspose));
    MINKE_TRY(set(plan.description, kDescScaleModeA, kScale128x128));
    MINKE_TRY(set(plan.description, kDescScaleModeB, kScale128));
    MINKE_TRY(set(plan.description, kDescScalePointerA, p.b_scales));
    MINKE_TRY(set(plan.description, kDescScalePointerB, p.a_scales));
    MINKE_TRY(ok(f_.cublasLtMatrixLayoutCreate(&plan.weights, kE4m3, k, n, p.k), "Layout"));
    MINKE_TRY(ok(f_.cublasLtMatrixLayoutCreate(&plan.values, kE4m3, k, m, p.k), "Layout"));
    MINKE_TRY(ok(f_.cublasLtMatrixLayoutCreate(&plan.out, kBf16, n, m, p.n), "Layout"));
    void* preference = nullptr;
    MINKE_TRY(ok(f_.cublasLtMatmulPreferenceCreate(&preference), "Preference"));
    MINKE_TRY(ok(f_.cublasLtMatmulPreferenceSetAttribute(preference, kPreferenceWorkspace,
                                                         &kWorkspaceBytes, sizeof(size_t)),
                 "Preference"));
    int count = 0;
    MINKE_TRY(ok(
        f_.cublasLtMatmulAlgoGetHeuristic(lt_handle_, plan.description, plan.weights, plan.values,
                                          plan.out, plan.out, preference, 1, &plan.found, &count),
        "cublasLtMatmulAlgoGetHeuristic"));
    if (count == 0) return fail("cublasLt has no algorithm for scales in blocks");
    return {};
  }

  template <typename T>
  Status set(void* description, int attribute, const T& value) {
    return ok(f_.cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof(value)),
              "cublasLtMatmulDescSetAttribute");
  }

  static constexpr float kOne = 1.0F;
  static constexpr float kZero = 0.0F;
  CudaDevice& device_;
  Functions f_{};
  void* handle_ = nullptr;
  void* lt_handle_ = nullptr;
  Buffer workspace_;
  std::array<CUevent, 2> marks_{};
  std::map<std::tuple<int64_t, int64_t, int64_t>, LtPlan> plans_;
};

}  // namespace

Result<std::unique_ptr<Cublas>> Cublas::load(CudaDevice& device) {
  auto library = std::make_unique<Library>(device);
  MINKE_TRY(library->start());
  return library;
}

}  // namespace minke::bench
