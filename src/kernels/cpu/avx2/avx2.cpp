// The AVX2 set: needs AVX2, FMA and F16C (Haswell and later, Zen and later).
#include "kernels/cpu/avx2/vec.h"

namespace minke {

const Kernels* avx2_kernels() {
  static const Kernels table = {
      .name = "avx2",
      .quantise = avx2::quantise,
      .peak_share = avx2::peak_share,
      .to_bf16 = avx2::to_bf16,
      .linear = {avx2::linear_q4_0, avx2::linear_q4_1, avx2::linear_q5_0, avx2::linear_q8_0,
                 avx2::linear_run8, avx2::linear_q4_k, avx2::linear_q5_k, avx2::linear_q6_k,
                 avx2::linear_super8, avx2::linear_f32, avx2::linear_f16, avx2::linear_bf16},
      .rms_norm = avx2::rms_norm,
      .swiglu = avx2::swiglu,
      .add = avx2::add,
      .rope_adjacent = avx2::rope_adjacent,
      .rope_halves = avx2::rope_halves,
      .store_kv = avx2::store_kv,
      .attention = avx2::attention,
      .attention_runs = avx2::attention_runs,
      .attention_join = avx2::attention_join,
      .gemm_f32 = avx2::gemm_f32,
      .gemm_bf16 = &avx2::gemm_bf16,
      .logits = &avx2::logits,
      .training = &avx2::training,
  };
  const bool usable = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("f16c");
  return usable ? &table : nullptr;
}

}  // namespace minke
