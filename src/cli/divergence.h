// How far one model's predictions are from another's: the Kullback-Leibler divergence at each token
// of a text, from rows of logits of the one that were put aside.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/result.h"

namespace minke::cli {

// Rows of logits in a file without a name, in $TMPDIR or /tmp, which goes with this object. One
// thread at a time.
class LogitRows {
 public:
  // Room for `rows_max` rows; fails where the disk has less.
  static Result<LogitRows> create(int64_t vocabulary, int64_t rows_max);
  LogitRows(LogitRows&& other) noexcept;
  LogitRows& operator=(LogitRows&&) = delete;
  ~LogitRows();

  Status put(int64_t row, std::span<const float> logits);
  // Valid until the next call.
  Result<std::span<const float>> get(int64_t row);

 private:
  LogitRows(int descriptor, int64_t vocabulary)
      : descriptor_(descriptor), buffer_(static_cast<size_t>(vocabulary)) {}
  int descriptor_;
  std::vector<float> buffer_;
};

// Divergences of a model from a reference over many tokens, in nats.
class DivergenceTally {
 public:
  // The two rows of logits for one token.
  void add(std::span<const float> reference, std::span<const float> logits);

  double mean() const;
  double standard_error() const;  // of the mean
  // The smallest value that `share` of all do not exceed.
  double quantile(double share) const;
  double top1_agreement() const;  // share of the tokens at which both find the same one likeliest

 private:
  std::vector<double> values_;
  int64_t agreed_ = 0;
};

}  // namespace minke::cli
