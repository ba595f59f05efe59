// The frequencies of rotary position embeddings, with the ways of stretching them to longer
// contexts: linear (kaiokendev), YaRN (Peng et al., 2023) and Llama 3's factors. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ops/ops.h"

namespace minke {

struct YarnScaling {
  double factor = 1.0;
  double original_context = 0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double attention_factor = 1.0;  // multiplies the 0.1 ln(factor) + 1 of the paper
};

// base^(-2i / rotary_dim) for each pair i.
std::vector<float> rope_frequencies(double base, int64_t rotary_dim);
void scale_linear(RopeSpec& spec, double factor);
void scale_yarn(RopeSpec& spec, double base, const YarnScaling& scaling);
// What Llama 3.1 and later divide each frequency by, when a context of `original` tokens is
// stretched by `factor`: waves that turn `high` times in it or more often stay, those that turn
// `low` times or less are stretched whole, and between the two it is a blend.
struct Llama3Scaling {
  double factor = 8.0;
  double low = 1.0;
  double high = 4.0;
  double original = 8192.0;
};
std::vector<float> llama3_factors(double base, int64_t rotary_dim, const Llama3Scaling& scaling);
// Divides each frequency by its factor (the file's rope_freqs tensor), as Llama 3.1 and later do.
void scale_by_factors(RopeSpec& spec, std::span<const float> factors);

}  // namespace minke
