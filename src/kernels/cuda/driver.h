// A CUDA GPU through the driver alone: libcuda.so.1 is loaded when it is first asked for, so that
// one binary runs on machines with and without it. Kernels are machine code for sm_90a that the
// build embeds (kernels/cuda/images.h); nothing of the CUDA runtime is linked.
//
// A CudaDevice is one GPU with one stream, on which everything runs in order. It is owned and used
// by one thread (the engine's). Faults of the world (no driver, one too old, memory short, a GPU
// that was lost) are Results; after a failed launch or copy the device is `lost()` and every later
// call says so.
//
// Absence is a twin: where the build has no CUDA compiler, no_cuda.cpp answers open() with how to
// get one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/memory.h"
#include "core/result.h"

namespace minke {

struct CudaInfo {
  std::string name;       // "NVIDIA H200"
  int compute_major = 0;  // 9
  int compute_minor = 0;  // 0
  int multiprocessors = 0;
  size_t memory_bytes = 0;
  size_t free_bytes = 0;
  int driver_version = 0;  // 13000 is 13.0
};

struct CudaGrid {
  uint32_t x = 1;
  uint32_t y = 1;
  uint32_t z = 1;
};

struct CudaLaunch {
  CudaGrid grid;
  uint32_t threads = 128;
  uint32_t shared_bytes = 0;  // dynamic
  uint32_t cluster = 1;       // blocks along x that form a cluster
  // May begin while the kernel before it still runs: it waits for it by griddepcontrol.wait.
  bool overlaps = true;
};

// A kernel of the embedded images; valid as long as its device.
struct CudaKernel {
  void* function = nullptr;
};

// A recorded run of launches; see CudaDevice::record.
class CudaGraph {
 public:
  virtual ~CudaGraph() = default;
};

// Host memory that the GPU copies from and to without a detour. Any thread may write and read it
// while no copy is under way.
class PinnedBuffer {
 public:
  virtual ~PinnedBuffer() = default;
  virtual std::byte* data() const = 0;
  virtual size_t size() const = 0;
};

class CudaDevice {
 public:
  // The first GPU of compute capability 9.0. Says what is missing otherwise.
  static Result<std::shared_ptr<CudaDevice>> open();
  // What open() would find, without taking memory on it.
  static Result<CudaInfo> probe();

  virtual ~CudaDevice() = default;
  virtual const CudaInfo& info() const = 0;
  virtual Result<size_t> free_memory() const = 0;

  // Memory on the GPU. Addresses are the GPU's: the host must not follow them. MemorySpace's calls
  // are ordered with the launches.
  virtual MemorySpace& memory() = 0;
  virtual Result<std::unique_ptr<PinnedBuffer>> pinned(size_t bytes) = 0;

  // The kernel that an image exports under this name (extern "C"). A CHECK when there is none: the
  // images are ours. `shared_bytes_max`: the most dynamic shared memory it will be launched with.
  virtual CudaKernel kernel(const char* name, uint32_t shared_bytes_max = 0) = 0;
  // `arguments` points at one value for each parameter of the kernel. Errors surface at the next
  // wait().
  virtual void launch(CudaKernel kernel, const CudaLaunch& launch,
                      std::span<void* const> arguments) = 0;
  // Ordered with launches; `from` and `to` on the host must stay until wait().
  virtual void upload(std::byte* to, const void* from, size_t bytes) = 0;
  virtual void download(void* to, const std::byte* from, size_t bytes) = 0;
  // Until all that was asked for is done. The first fault since the last wait().
  virtual Status wait() = 0;
  virtual bool lost() const = 0;

  // Launches, copies and fills made by `work` are recorded instead of run; replay() runs them all
  // with one call. Memory that they name must stay.
  virtual Result<std::unique_ptr<CudaGraph>> record(const std::function<void()>& work) = 0;
  virtual void replay(const CudaGraph& graph) = 0;

  // Seconds between marks on the GPU's own clock, for benchmarks.
  virtual void mark(int which) = 0;  // 0 or 1
  virtual Result<double> seconds_between_marks() = 0;
  // The address of a driver function, for what only one caller needs (tensor maps).
  virtual void* driver_function(const char* name) = 0;
};

}  // namespace minke
