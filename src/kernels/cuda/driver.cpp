#include "kernels/cuda/driver.h"

#include <cuda.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <string_view>

#include "core/check.h"
#include "kernels/cuda/images.h"

namespace minke {
namespace {

constexpr int kDriverVersionMin = 13000;

// The driver's functions that we call, under the names that cuda.h maps them to (cuMemAlloc is
// cuMemAlloc_v2 and so on).
// clang-format off
#define MINKE_CUDA_FUNCTIONS(X)                                                                   \
  X(cuInit) X(cuDriverGetVersion) X(cuGetErrorName) X(cuGetErrorString) X(cuDeviceGetCount)       \
  X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceGetAttribute) X(cuDeviceTotalMem)                   \
  X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease) X(cuCtxSetCurrent) X(cuMemGetInfo)     \
  X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamSynchronize) X(cuMemAlloc) X(cuMemFree)          \
  X(cuMemsetD8Async) X(cuMemcpyDtoDAsync) X(cuMemcpyHtoDAsync) X(cuMemcpyDtoHAsync)               \
  X(cuMemHostAlloc) X(cuMemFreeHost) X(cuModuleLoadData) X(cuModuleUnload)                        \
  X(cuModuleGetFunction) X(cuFuncSetAttribute) X(cuLaunchKernelEx) X(cuStreamBeginCapture)        \
  X(cuStreamEndCapture) X(cuGraphInstantiateWithFlags) X(cuGraphDestroy) X(cuGraphExecDestroy)    \
  X(cuGraphLaunch) X(cuEventCreate) X(cuEventRecord) X(cuEventSynchronize) X(cuEventElapsedTime)  \
  X(cuEventDestroy)
// clang-format on

struct Driver {
  void* library = nullptr;
#define X(name) decltype(&::name) name = nullptr;
  MINKE_CUDA_FUNCTIONS(X)
#undef X
};

#define MINKE_TEXT_INNER(name) #name
#define MINKE_TEXT(name) MINKE_TEXT_INNER(name)

Result<Driver> load_driver() {
  Driver driver;
  driver.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver.library == nullptr) {
    return fail(
        "no NVIDIA driver: libcuda.so.1 cannot be loaded; install the driver of your GPU, "
        "or use the processor (--device cpu)");
  }
  const char* missing = nullptr;
  const auto find = [&](auto& function, const char* name) {
    function =
        reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(driver.library, name));
    if (function == nullptr && missing == nullptr) missing = name;
  };
#define X(name) find(driver.name, MINKE_TEXT(name));
  MINKE_CUDA_FUNCTIONS(X)
#undef X
  int version = 0;
  if (driver.cuDriverGetVersion != nullptr) driver.cuDriverGetVersion(&version);
  if (version < kDriverVersionMin || missing != nullptr) {
    return fail(fmt::format(
        "the NVIDIA driver is for CUDA {}.{}{}{}; minke needs one for CUDA {}.{} (580) or newer: "
        "update it, or use the processor (--device cpu)",
        version / 1000, version % 1000 / 10, missing != nullptr ? " and lacks " : "",
        missing != nullptr ? missing : "", kDriverVersionMin / 1000,
        kDriverVersionMin % 1000 / 10));
  }
  return driver;
}

std::string error_text(const Driver& driver, CUresult code) {
  const char* name = nullptr;
  const char* text = nullptr;
  driver.cuGetErrorName(code, &name);
  driver.cuGetErrorString(code, &text);
  return fmt::format("{} ({})", text != nullptr ? text : "unknown error",
                     name != nullptr ? name : std::to_string(static_cast<int>(code)));
}

Result<std::pair<CUdevice, CudaInfo>> find_device(const Driver& driver) {
  if (const CUresult code = driver.cuInit(0); code != CUDA_SUCCESS) {
    return fail(
        fmt::format("the NVIDIA driver does not start: {}; is a GPU plugged in and free? "
                    "The processor works all the same (--device cpu)",
                    error_text(driver, code)));
  }
  int count = 0;
  driver.cuDeviceGetCount(&count);
  std::string found;
  for (int index = 0; index < count; ++index) {
    CUdevice device = 0;
    if (driver.cuDeviceGet(&device, index) != CUDA_SUCCESS) continue;
    CudaInfo info;
    std::array<char, 256> name{};
    driver.cuDeviceGetName(name.data(), static_cast<int>(name.size()), device);
    info.name = name.data();
    const auto attribute = [&](CUdevice_attribute which) {
      int value = 0;
      driver.cuDeviceGetAttribute(&value, which, device);
      return value;
    };
    info.compute_major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    info.compute_minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    info.multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    driver.cuDeviceTotalMem(&info.memory_bytes, device);
    driver.cuDriverGetVersion(&info.driver_version);
    if (info.compute_major == 9 && info.compute_minor == 0) return std::pair{device, info};
    found += fmt::format("{}{} (compute capability {}.{})", found.empty() ? "" : ", ", info.name,
                         info.compute_major, info.compute_minor);
  }
  return fail(
      fmt::format("minke's GPU kernels are for compute capability 9.0 (H100, H200); here "
                  "{}: use the processor (--device cpu)",
                  found.empty() ? "the driver shows no GPU" : "is " + found));
}

class Graph final : public CudaGraph {
 public:
  Graph(const Driver& driver, CUgraphExec exec) : driver_(driver), exec_(exec) {}
  ~Graph() override { driver_.cuGraphExecDestroy(exec_); }
  CUgraphExec exec() const { return exec_; }

 private:
  const Driver& driver_;
  CUgraphExec exec_;
};

class Pinned final : public PinnedBuffer {
 public:
  Pinned(const Driver& driver, std::byte* data, size_t size)
      : driver_(driver), data_(data), size_(size) {}
  ~Pinned() override { driver_.cuMemFreeHost(data_); }
  std::byte* data() const override { return data_; }
  size_t size() const override { return size_; }

 private:
  const Driver& driver_;
  std::byte* data_;
  size_t size_;
};

CUdeviceptr address(const std::byte* at) { return reinterpret_cast<CUdeviceptr>(at); }

class Device final : public CudaDevice, private MemorySpace {
 public:
  Device(Driver driver, CUdevice device, CudaInfo info)
      : driver_(driver), device_(device), info_(std::move(info)) {}

  ~Device() override {
    if (context_ == nullptr) return;
    driver_.cuCtxSetCurrent(context_);
    driver_.cuStreamSynchronize(stream_);
    for (const CUevent event : marks_) driver_.cuEventDestroy(event);
    for (const CUmodule module : modules_) driver_.cuModuleUnload(module);
    driver_.cuStreamDestroy(stream_);
    driver_.cuDevicePrimaryCtxRelease(device_);
  }

  Status start() {
    MINKE_TRY(ok(driver_.cuDevicePrimaryCtxRetain(&context_, device_), "taking the GPU"));
    MINKE_TRY(ok(driver_.cuCtxSetCurrent(context_), "taking the GPU"));
    MINKE_TRY(ok(driver_.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), "making a stream"));
    for (CUevent& event : marks_) {
      MINKE_TRY(ok(driver_.cuEventCreate(&event, CU_EVENT_DEFAULT), "making an event"));
    }
    for (const std::span<const std::byte> image : cuda_images()) {
      CUmodule module = nullptr;
      MINKE_TRY(ok(driver_.cuModuleLoadData(&module, image.data()), "loading minke's kernels"));
      modules_.push_back(module);
    }
    MINKE_ASSIGN(info_.free_bytes, free_memory());
    return {};
  }

  const CudaInfo& info() const override { return info_; }

  Result<size_t> free_memory() const override {
    size_t free_bytes = 0;
    size_t total = 0;
    bind();
    MINKE_TRY(ok(driver_.cuMemGetInfo(&free_bytes, &total), "asking for free memory"));
    return free_bytes;
  }

  MemorySpace& memory() override { return *this; }

  Result<std::unique_ptr<PinnedBuffer>> pinned(size_t bytes) override {
    bind();
    void* data = nullptr;
    MINKE_TRY(
        ok(driver_.cuMemHostAlloc(&data, std::max<size_t>(bytes, 1), 0), "pinning host memory"));
    return std::make_unique<Pinned>(driver_, static_cast<std::byte*>(data), bytes);
  }

  CudaKernel kernel(const char* name, uint32_t shared_bytes_max) override {
    bind();
    const auto known = kernels_.find(name);
    CUfunction function = known == kernels_.end() ? nullptr : known->second;
    for (size_t i = 0; function == nullptr && i < modules_.size(); ++i) {
      if (driver_.cuModuleGetFunction(&function, modules_[i], name) != CUDA_SUCCESS) {
        function = nullptr;
      }
    }
    if (function == nullptr) check_failed(__FILE__, __LINE__, "a kernel of this name", name);
    kernels_[name] = function;
    if (shared_bytes_max > 48 * 1024) {
      note(driver_.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                      static_cast<int>(shared_bytes_max)),
           name);
    }
    return {function};
  }

  void launch(CudaKernel kernel, const CudaLaunch& launch,
              std::span<void* const> arguments) override {
    bind();
    std::array<CUlaunchAttribute, 2> attributes{};
    unsigned count = 0;
    if (launch.overlaps) {
      attributes[count].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
      attributes[count++].value.programmaticStreamSerializationAllowed = 1;
    }
    if (launch.cluster > 1) {
      attributes[count].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
      attributes[count++].value.clusterDim = {launch.cluster, 1, 1};
    }
    const CUlaunchConfig config = {.gridDimX = launch.grid.x,
                                   .gridDimY = launch.grid.y,
                                   .gridDimZ = launch.grid.z,
                                   .blockDimX = launch.threads,
                                   .blockDimY = 1,
                                   .blockDimZ = 1,
                                   .sharedMemBytes = launch.shared_bytes,
                                   .hStream = stream_,
                                   .attrs = attributes.data(),
                                   .numAttrs = count};
    note(driver_.cuLaunchKernelEx(&config, static_cast<CUfunction>(kernel.function),
                                  const_cast<void**>(arguments.data()), nullptr),
         "starting a kernel");
  }

  void upload(std::byte* to, const void* from, size_t bytes) override {
    bind();
    note(driver_.cuMemcpyHtoDAsync(address(to), from, bytes, stream_), "copying to the GPU");
  }
  void download(void* to, const std::byte* from, size_t bytes) override {
    bind();
    note(driver_.cuMemcpyDtoHAsync(to, address(from), bytes, stream_), "copying from the GPU");
  }

  Status wait() override {
    bind();
    note(driver_.cuStreamSynchronize(stream_), "waiting for the GPU");
    if (!fault_.empty()) return fail(fault_);
    return {};
  }
  bool lost() const override { return !fault_.empty(); }

  Result<std::unique_ptr<CudaGraph>> record(const std::function<void()>& work) override {
    bind();
    MINKE_TRY(ok(driver_.cuStreamBeginCapture(stream_, CU_STREAM_CAPTURE_MODE_RELAXED),
                 "recording a step"));
    work();
    CUgraph graph = nullptr;
    MINKE_TRY(ok(driver_.cuStreamEndCapture(stream_, &graph), "recording a step"));
    CUgraphExec exec = nullptr;
    const CUresult code = driver_.cuGraphInstantiateWithFlags(&exec, graph, 0);
    driver_.cuGraphDestroy(graph);
    MINKE_TRY(ok(code, "recording a step"));
    return std::make_unique<Graph>(driver_, exec);
  }
  void replay(const CudaGraph& graph) override {
    bind();
    note(driver_.cuGraphLaunch(static_cast<const Graph&>(graph).exec(), stream_),
         "starting a recorded step");
  }

  void mark(int which) override {
    bind();
    note(driver_.cuEventRecord(marks_[static_cast<size_t>(which)], stream_), "marking time");
  }
  Result<double> seconds_between_marks() override {
    MINKE_TRY(wait());
    float milliseconds = 0;
    MINKE_TRY(ok(driver_.cuEventElapsedTime(&milliseconds, marks_[0], marks_[1]), "reading time"));
    return static_cast<double>(milliseconds) * 1e-3;
  }
  void* driver_function(const char* name) override { return dlsym(driver_.library, name); }

 private:
  // MemorySpace
  Result<std::byte*> allocate(size_t bytes, const char* purpose) override {
    bind();
    CUdeviceptr at = 0;
    const CUresult code = driver_.cuMemAlloc(&at, bytes);
    if (code == CUDA_ERROR_OUT_OF_MEMORY) {
      const Result<size_t> left = free_memory();
      return fail(
          fmt::format("{} has no {:.1f} MiB for {}: {:.1f} MiB are free; use a smaller "
                      "context (--ctx), or the processor (--device cpu)",
                      info_.name, static_cast<double>(bytes) / 1048576.0, purpose,
                      static_cast<double>(left.value_or(0)) / 1048576.0));
    }
    MINKE_TRY(ok(code, purpose));
    auto* memory = reinterpret_cast<std::byte*>(at);
    clear(memory, bytes);
    return memory;
  }
  void release(std::byte* at, size_t) override {
    bind();
    driver_.cuMemFree(address(at));
  }
  void clear(std::byte* at, size_t bytes) override {
    bind();
    note(driver_.cuMemsetD8Async(address(at), 0, bytes, stream_), "clearing memory");
  }
  void copy(std::byte* to, const std::byte* from, size_t bytes) override {
    bind();
    note(driver_.cuMemcpyDtoDAsync(address(to), address(from), bytes, stream_), "copying memory");
  }

  // The context belongs to a thread; a model may be loaded by one and run by another.
  void bind() const { driver_.cuCtxSetCurrent(context_); }
  Status ok(CUresult code, const char* doing) const {
    if (code == CUDA_SUCCESS) return {};
    return fail(fmt::format("{}: {}: {}", info_.name, doing, error_text(driver_, code)));
  }
  void note(CUresult code, const char* doing) {
    if (code != CUDA_SUCCESS && fault_.empty()) {
      fault_ = fmt::format("the GPU failed while {}: {}: {}", doing, info_.name,
                           error_text(driver_, code));
    }
  }

  Driver driver_;
  CUdevice device_;
  CudaInfo info_;
  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
  std::array<CUevent, 2> marks_{};
  std::vector<CUmodule> modules_;
  std::map<std::string, CUfunction, std::less<>> kernels_;
  std::string fault_;
};

}  // namespace

Result<CudaInfo> CudaDevice::probe() {
  MINKE_ASSIGN(const Driver driver, load_driver());
  MINKE_ASSIGN(auto found, find_device(driver));
  return found.second;
}

Result<std::shared_ptr<CudaDevice>> CudaDevice::open() {
  MINKE_ASSIGN(const Driver driver, load_driver());
  MINKE_ASSIGN(auto found, find_device(driver));
  auto device = std::make_shared<Device>(driver, found.first, std::move(found.second));
  MINKE_TRY(device->start());
  return device;
}

}  // namespace minke
