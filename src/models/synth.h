// Models of random weights in the exact shapes of real ones: for benchmarks and for tests. The
// files are whole: metadata, a byte-level tokenizer that loads (256 bytes, some merges, ChatML's
// markers and made-up words up to the vocabulary's size), and weights scaled so that activations
// stay near 1. What such a model writes is noise.
//
// The same spec gives the same bytes on every machine. Memory is bounded by a few pools of encoded
// blocks, from which the tensors are drawn at random: quantising billions of values would take
// minutes and teach nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.h"
#include "models/model_shape.h"

namespace minke {

std::span<const ModelShape> synth_shapes();

// The tensors of a file of that shape, in its order.
std::vector<std::pair<std::string, Shape>> shape_tensors(const ModelShape& shape);

// "Q4_K_M" and every format by its own name. Q4_K_M is llama.cpp's mixture: Q6_K for the output
// and for half of the attn_v and ffn_down matrices, Q4_K for the rest. A matrix whose rows are no
// multiple of 256 takes the 32-value format nearest in size instead, as llama.cpp does.
std::vector<std::string> synth_quants();

struct SynthSpec {
  std::string shape;
  std::string quant;
  uint64_t seed = 1;
  int64_t layers = 0;  // 0: as many as the shape's; else without an MTP layer
};

// Writes the file to `path`. `progress`, when not empty, is called with a fraction from 0 to 1, and
// stops the writing by returning false: nothing is left of it then.
// An unknown shape or quantisation is misuse; the message lists those that exist. So are more
// layers than the shape has.
Status write_synth(const SynthSpec& spec, const std::string& path,
                   const std::function<bool(double)>& progress = {});

}  // namespace minke
