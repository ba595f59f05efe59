#include "train/data/batcher.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/check.h"

namespace minke {
namespace {

// tokens [begin, begin + count) of a sequence; its first token is none to be predicted.
TokenSequence piece_of(const TokenSequence& whole, int64_t begin, int64_t count) {
  TokenSequence piece;
  piece.tokens.assign(whole.tokens.begin() + begin, whole.tokens.begin() + begin + count);
  piece.is_target.assign(whole.is_target.begin() + begin, whole.is_target.begin() + begin + count);
  piece.is_target[0] = false;
  return piece;
}

}  // namespace

Result<Batcher> Batcher::create(std::unique_ptr<DataSource> source, const BatchOptions& options,
                                const DataPosition& start) {
  CHECK(options.context >= 1 && options.rows >= 1);
  if (options.context > options.rows) {
    return misuse(
        fmt::format("a batch of {} tokens holds no sequence of the context's {} tokens; expected a "
                    "batch at least as large",
                    options.rows, options.context));
  }
  Batcher batcher(std::move(source), options);
  batcher.position_ = batcher.source_->position();
  if (start.token == 0) return batcher;
  MINKE_TRY(batcher.fetch());
  // To the piece where the run stopped.
  batcher.position_.token = start.token;
  int64_t left = start.token;
  for (const TokenSequence& sequence : batcher.example_.sequences) {
    const auto size = static_cast<int64_t>(sequence.tokens.size());
    if (left < size) break;
    left -= size;
    ++batcher.sequence_;
  }
  if (batcher.sequence_ == batcher.example_.sequences.size()) {
    return fail(
        fmt::format("example {} of the data ends before token {}, where the run stopped; it "
                    "can only go on with the data that it began with",
                    start.example, start.token));
  }
  batcher.begin_ = left;
  return batcher;
}

Status Batcher::fetch() {
  position_ = source_->position();
  MINKE_ASSIGN(example_, source_->next());
  sequence_ = 0;
  begin_ = 0;
  is_open_ = true;
  return {};
}

void Batcher::finish_sequence() {
  position_.token += static_cast<int64_t>(example_.sequences[sequence_].tokens.size()) - begin_;
  begin_ = 0;
  ++sequence_;
  if (sequence_ < example_.sequences.size()) return;
  is_open_ = false;
  position_ = source_->position();
}

bool Batcher::take_piece(int64_t room, DataBatch& batch) {
  const TokenSequence& whole = example_.sequences[sequence_];
  const int64_t rows_left = static_cast<int64_t>(whole.tokens.size()) - 1 - begin_;
  int64_t rows = std::min(rows_left, options_.context);
  // What follows a prompt makes no sense in pieces: it has one, and its end is lost.
  if (example_.is_text) rows = std::min(rows, room);
  TokenSequence piece = rows < 1 ? TokenSequence() : piece_of(whole, begin_, rows + 1);
  const auto targets = std::ranges::count(piece.is_target, true);
  if (targets > 0 && rows > room) return false;
  if (targets > 0) {
    batch.rows += rows;
    batch.targets += targets;
    batch.sequences.push_back(std::move(piece));
    if (!example_.is_text && rows < rows_left) ++batch.cut;
  } else {
    ++batch.left_out;
  }
  if (example_.is_text && rows < rows_left) {
    begin_ += rows;
    position_.token += rows;
  } else {
    finish_sequence();
  }
  return true;
}

Result<DataBatch> Batcher::next() {
  DataBatch batch;
  int64_t idle = 0;  // examples in a row that brought nothing
  while (batch.rows < options_.rows) {
    if (!is_open_) {
      if (idle > source_->examples_per_epoch()) {
        return fail("a whole epoch of the data has nothing that could be learnt");
      }
      MINKE_TRY(fetch());
      ++idle;
    }
    const size_t before = batch.sequences.size();
    if (!take_piece(options_.rows - batch.rows, batch)) break;
    if (batch.sequences.size() > before) idle = 0;
  }
  batch.next = position_;
  return batch;
}

}  // namespace minke
