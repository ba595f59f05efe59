// What stands for the GPU in a build without a CUDA compiler.
#include "kernels/cuda/driver.h"

namespace minke {
namespace {

std::unexpected<Error> absent() {
  return fail(
      "this minke was built without its GPU kernels; `./run --cuda` fetches the compiler and "
      "builds them, and the processor works without (--device cpu)");
}

}  // namespace

Result<CudaInfo> CudaDevice::probe() { return absent(); }
Result<std::shared_ptr<CudaDevice>> CudaDevice::open() { return absent(); }

}  // namespace minke
