// The AVX-512 set: needs F, BW, VL, DQ, VNNI and BF16 (Zen 4 and later, Sapphire Rapids and later).
#include "kernels/cpu/avx512/vec.h"

namespace minke {

const Kernels* avx512_kernels() {
  static const Kernels table = {
      .name = "avx512",
      .quantise = avx512::quantise,
      .peak_share = avx512::peak_share,
      .to_bf16 = avx512::to_bf16,
      .linear = {avx512::linear_q4_0, avx512::linear_q4_1, avx512::linear_q5_0, avx512::linear_q8_0,
                 avx512::linear_run8, avx512::linear_q4_k, avx512::linear_q5_k, avx512::linear_q6_k,
                 avx512::linear_super8, avx512::linear_f32, avx512::linear_f16,
                 avx512::linear_bf16},
      .rms_norm = avx512::rms_norm,
      .swiglu = avx512::swiglu,
      .add = avx512::add,
      .rope_adjacent = avx512::rope_adjacent,
      .rope_halves = avx512::rope_halves,
      .store_kv = avx512::store_kv,
      .attention = avx512::attention,
      .attention_runs = avx512::attention_runs,
      .attention_join = avx512::attention_join,
      .gemm_f32 = avx512::gemm_f32,
      .gemm_bf16 = &avx512::gemm_bf16,
      .logits = &avx512::logits,
      .training = &avx512::training,
  };
  const bool usable = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
  return usable ? &table : nullptr;
}

}  // namespace minke
