// Passes of training over many values: back through SwiGLU and attention's softmax, and the
// optimiser's step.
//
// One definition for all instruction sets (cpu/training_lanes.h): 16 lanes, each operation rounded
// alone, compiled once for each set; sums are of 16 lanes, then of these, ascending. exp is that of
// kernels/logits.h: zero below e^-32. Pure functions, safe from any thread.
#pragma once

#include <cstdint>

namespace minke {

// One query's scores, and what attention's forward with a bf16 cache made of them: exponentials
// relative to their page's maximum (64 keys), rounded to bf16 where they multiply values.
struct SoftmaxRow {
  float* scores = nullptr;    // [stride], before the scale; overwritten
  float* gradient = nullptr;  // [stride], by what multiplies the values; becomes that by scores
  float* rounded = nullptr;   // [stride], out: what multiplies the values
  int64_t keys = 0;           // that the query sees: from here on, results are zero
  int64_t stride = 0;         // a multiple of 16
  float scale = 0.0F;
};

// Of each weight w with gradient g (times `factor`), the running means m of g and v of g²:
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g²,
//   w = keep w - rate m / (sqrt(correction v) + epsilon)
struct AdamwStep {
  float factor = 1.0F;
  float beta1 = 0.0F;
  float beta2 = 0.0F;
  float rate = 0.0F;
  float correction = 1.0F;
  float epsilon = 0.0F;
  float keep = 1.0F;
};

struct TrainingKernels {
  // From the gradient of silu(gate) * up to those of gate and up; they may take the places of
  // these.
  void (*swiglu_backward)(const float* dy, const float* gate, const float* up, float* dgate,
                          float* dup, int64_t count);
  void (*softmax_backward)(const SoftmaxRow& row);
  void (*adamw)(const AdamwStep& step, const float* gradient, float* mean, float* square, float* w,
                int64_t count);
};

// For the instruction set that runs everything else (kernels.h).
const TrainingKernels& training_kernels();

// With the instructions that every processor has.
extern const TrainingKernels training_kernels_reference;

}  // namespace minke
