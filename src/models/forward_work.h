// How many floating-point operations a model's forward pass is, by its shape alone: two for each
// weight that a token is multiplied by, and for each value of a key or value that it attends to.
// Norms, activations and tables count nothing. Pure functions.
#pragma once

#include <cstdint>

#include "models/model.h"

namespace minke {

// The size of passes: they add up.
struct PassSize {
  int64_t rows = 0;        // tokens read
  int64_t keys = 0;        // that these attend to, themselves included: n (n + 1) / 2 of a sequence
  int64_t logit_rows = 0;  // that the output matrix is applied to

  // `count` rows behind `before` rows of their sequence.
  void add_rows(int64_t before, int64_t count) {
    rows += count;
    keys += count * before + count * (count + 1) / 2;
  }
  PassSize& operator+=(const PassSize& other) {
    rows += other.rows;
    keys += other.keys;
    logit_rows += other.logit_rows;
    return *this;
  }
};

struct ForwardWork {
  double row = 0.0;    // operations of a token, in all layers
  double key = 0.0;    // of a key that it attends to, in all layers
  double logit = 0.0;  // of a row of logits
  double of(const PassSize& size) const {
    return row * static_cast<double>(size.rows) + key * static_cast<double>(size.keys) +
           logit * static_cast<double>(size.logit_rows);
  }
};

ForwardWork forward_work(const ModelConfig& config);

}  // namespace minke
