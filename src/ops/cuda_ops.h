// Ops on a GPU: the kernels of kernels/cuda, with the bits of the processor's (docs/numerics.md).
//
// Calls are put off until a result is needed, so that what belongs together is one launch: a sum
// and the norm after it, the products that read the same rows, the turning of q and k and the
// storing of k and v. What is put off is remembered beside the tensor's storage (Node).
//
// Decode steps are recorded: the second step of the same make-up (rows, lengths rounded up) becomes
// a graph, and from then on such a step is one upload, one graph and one download. Everything that
// differs between such steps lies in memory that the graph reads: embeddings, positions, pages.
//
// Tensors hold addresses of the GPU; the host must not follow them: read() copies. Weights are the
// processor's panels, copied. One thread uses it, as any Ops; load and use may be on different
// ones.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/cuda/arguments.h"
#include "kernels/cuda/driver.h"
#include "ops/ops.h"

namespace minke {

class CudaOps final : public Ops {
 public:
  // `threads`: of the host, for packing and for rows of the embedding table.
  static Result<std::unique_ptr<CudaOps>> create(int threads);
  CudaOps(std::shared_ptr<CudaDevice> device, int threads);
  ~CudaOps() override;

  CudaDevice& device() { return *device_; }

  void begin_step() override;
  Tensor run_step(const Batch& batch, FunctionRef<Tensor()> forward) override;
  MemorySpace& memory() override { return device_->memory(); }
  Result<std::span<float>> read(const Tensor& x) override;

  Tensor empty(Shape shape) override;
  Status prepare(Weight& weight, bool keep_rows) override;
  Tensor embed(std::span<const int32_t> tokens, const Weight& table) override;
  Tensor linear(const Tensor& x, const Weight& w, const Weight& bias) override;
  Tensor rms_norm(const Tensor& x, const Weight& w, float epsilon) override;
  Tensor rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) override;
  Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                   KvStore& kv, int64_t layer, const AttentionSpec& spec) override;
  Tensor swiglu(const Tensor& gate, const Tensor& up) override;
  Tensor add(const Tensor& a, const Tensor& b) override;
  Tensor gather_rows(const Tensor& x, std::span<const int32_t> indices) override;

 private:
  struct Node;        // what is known of a tensor beside its values
  struct Matrix;      // a weight on the GPU: panels, or a vector as it is
  struct Recorded;    // a make-up of steps, and its graph
  struct RopeTable;   // sines and cosines of a RopeSpec on the GPU
  struct StepInputs;  // a batch's integers on the GPU
  struct PutOff {     // products of one input that have not been launched
    Tensor x;
    struct Product {
      Tensor out;
      const Weight* w;
      const Weight* bias;
    };
    std::vector<Product> products;
  };

  static Node& node(const Tensor& x);
  Tensor bytes(size_t count);
  void launch(const std::string& kernel, CudaGrid grid, uint32_t threads, uint32_t shared_bytes,
              std::initializer_list<const void*> arguments);

  // Launches whatever x waits for.
  void settle(const Tensor& x);
  void launch_products();
  void launch_quantised(const Tensor& x, std::span<const PutOff::Product> products);
  void launch_rest(const Tensor& x, cuda::LinearArguments arguments, uint32_t panels);
  void launch_float(const Tensor& x, std::span<const PutOff::Product> products);
  cuda::LinearArguments arguments_of(const Tensor& x, std::span<const PutOff::Product> products);
  // The int8 form that a kernel leaves beside its output, if the model has use for it.
  cuda::QuantRows quant_of_output(const Tensor& out);
  cuda::QuantRows quantised(const Tensor& x);

  Status prepare_vector(Weight& weight);
  const float* on_device(const Weight& vector);
  const int32_t* on_device(std::span<const int32_t> values);
  cuda::RopeArguments rope_arguments(const Tensor& x, const int32_t* positions,
                                     const RopeSpec& spec, const Tensor& out);
  RopeTable& rope_table(const RopeSpec& spec, int64_t positions);
  const cuda::BatchLayout& layout_of(const Batch& batch);
  void stage_batch(const Batch& batch);
  void stage_embeddings(std::span<const int32_t> tokens, const Weight& table, std::byte* to);
  void store_kv(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                const cuda::KvLayer& kv);
  void wait_for_staging();

  std::shared_ptr<CudaDevice> device_;
  ThreadPool threads_;
  bool quantises_ = false;  // some weight is quantised
  struct KnownKernel {
    CudaKernel kernel;
    uint32_t shared_bytes_max = 0;  // it may be launched with
  };
  std::map<std::string, KnownKernel, std::less<>> kernels_;

  StoragePool storage_;
  StoragePool* pool_ = &storage_;  // of this step
  std::map<const RopeSpec*, std::unique_ptr<RopeTable>> rope_tables_;

  std::unique_ptr<StepInputs> inputs_;
  std::vector<std::pair<std::span<const int32_t>, Tensor>> uploaded_;  // this step
  std::map<std::vector<int32_t>, std::unique_ptr<Recorded>> recorded_;
  Recorded* current_ = nullptr;
  uint64_t step_count_ = 0;
  PutOff put_off_;

  std::unique_ptr<PinnedBuffer> staging_;  // embeddings of the step
  std::unique_ptr<PinnedBuffer> read_back_;
  bool staged_ = false;  // the GPU may still be reading what was staged
  Status fault_;
};

}  // namespace minke
