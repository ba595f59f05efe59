// Batches of about as many tokens as wanted, packed from a DataSource's examples in their order:
// sequences stay apart, what is longer than the context is cut, nothing is padded. A pure function
// of the examples and the position, so that a run that stopped goes on with the very next batch.
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/result.h"
#include "train/data/data_source.h"

namespace minke {

struct BatchOptions {
  // Rows of a forward pass: a sequence of n tokens has n - 1, its last token being only a target.
  int64_t rows = 2048;     // a batch has at most so many
  int64_t context = 1024;  // a sequence has at most so many; not more than `rows`
};

struct DataBatch {
  std::vector<TokenSequence> sequences;  // each with a target
  int64_t rows = 0;
  int64_t targets = 0;
  int64_t cut = 0;       // answers whose end did not fit
  int64_t left_out = 0;  // sequences of which nothing is to be learnt, or nothing that fits
  DataPosition next;     // what a checkpoint behind this batch keeps
};

class Batcher {
 public:
  // Goes on at `start`, which is where the source stands but for the token.
  static Result<Batcher> create(std::unique_ptr<DataSource> source, const BatchOptions& options,
                                const DataPosition& start = {});

  // Texts are cut where the batch is full, so that theirs are full to the last row; other sequences
  // wait for the next batch when they do not fit.
  Result<DataBatch> next();
  const DataSource& source() const { return *source_; }

 private:
  Batcher(std::unique_ptr<DataSource> source, const BatchOptions& options)
      : source_(std::move(source)), options_(options) {}
  Status fetch();
  void finish_sequence();
  // The next piece of at most `room` rows, where there is one; moves on behind it.
  bool take_piece(int64_t room, DataBatch& batch);

  std::unique_ptr<DataSource> source_;
  BatchOptions options_;
  Example example_;        // of which the pieces are
  DataPosition position_;  // of its next piece; token counts over all sequences
  size_t sequence_ = 0;    // the next piece's
  int64_t begin_ = 0;      // in that sequence
  bool is_open_ = false;   // whether example_ holds anything still
};

}  // namespace minke
