#include "ops/expert_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <utility>

#include "core/check.h"
#include "core/thread_pool.h"

namespace minke {
namespace {

using Clock = std::chrono::steady_clock;

// What buffers have beyond a piece, for borders of disk blocks, at least.
constexpr size_t kScratchSpare = 8192;
constexpr size_t kScratchAlign = 4096;
size_t scratch_of(size_t piece_bytes) {
  return (piece_bytes + kScratchSpare + kScratchAlign - 1) / kScratchAlign * kScratchAlign;
}

double seconds_since(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

size_t panel_rows_bytes(QuantType type, int64_t in_dim) {
  return kPanelOutputs * row_bytes(type, in_dim);
}

// Of one expert's matrix in `stack`.
int64_t panels_of(const Weight& stack) {
  return stack.out_dim() / stack.matrices() / kPanelOutputs;
}
int64_t panels_a_piece(const Weight& stack) {
  const size_t panel = panel_rows_bytes(stack.type, stack.in_dim());
  return std::clamp<int64_t>(static_cast<int64_t>(ExpertStore::kPieceBytes / panel), 1,
                             panels_of(stack));
}

}  // namespace

uint64_t ExpertStore::expert_bytes(std::span<const Weight* const> stacks) {
  uint64_t bytes = 0;
  for (const Weight* stack : stacks) {
    const int64_t panels = stack->out_dim() / stack->matrices() / kPanelOutputs;
    bytes += static_cast<uint64_t>(panels *
                                   panel_bytes_for(panel_format_of(stack->type), stack->in_dim()));
  }
  return (bytes + 63) / 64 * 64;
}

size_t ExpertStore::piece_bytes(const Weight& stack) {
  return static_cast<size_t>(panels_a_piece(stack)) * panel_rows_bytes(stack.type, stack.in_dim());
}

uint64_t ExpertStore::scratch_bytes(size_t piece_bytes) {
  return kBuffers * scratch_of(piece_bytes);
}

Result<std::unique_ptr<ExpertStore>> ExpertStore::create(const ExpertStoreOptions& options) {
  CHECK_GE(options.slots, 1);
  std::unique_ptr<ExpertStore> store(new ExpertStore(options));
  MINKE_ASSIGN(store->memory_,
               Buffer::allocate(static_cast<uint64_t>(options.slots) * options.slot_bytes,
                                "the cache of experts"));
  MINKE_ASSIGN(store->scratch_,
               Buffer::allocate(scratch_bytes(options.piece_bytes), "reading experts"));
  for (int i = 0; i < kReaders; ++i) {
    store->readers_.emplace_back([raw = store.get()] { raw->read_pieces(); });
  }
  return store;
}

ExpertStore::ExpertStore(const ExpertStoreOptions& options)
    : options_(options), slots_(static_cast<size_t>(options.slots)) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].place = order_.insert(order_.end(), static_cast<int32_t>(i));
  }
  for (int i = 0; i < kBuffers; ++i) free_buffers_.push_back(i);
}

ExpertStore::~ExpertStore() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
}

Status ExpertStore::add_layer(Source gate, Source up, Source down) {
  Layer layer;
  const auto index = static_cast<int32_t>(layers_.size());
  uint64_t offset = 0;
  int at = 0;
  for (Source* source : {&gate, &up, &down}) {
    Weight& weight = *source->weight;
    const int64_t experts = weight.matrices();
    Stack& stack = layer.stacks[at++];
    stack = {.read = std::move(source->read),
             .type = weight.type,
             .out_dim = weight.out_dim() / experts,
             .in_dim = weight.in_dim(),
             .slot_offset = offset,
             .panels_a_piece = 1,
             .name = weight.name};
    if (stack.in_dim % quant_format(weight.type).block_size != 0 ||
        stack.out_dim % kPanelOutputs != 0) {
      return fail(fmt::format("tensor '{}' {} as {} cannot be read expert by expert", weight.name,
                              weight.shape.str(), quant_name(weight.type)));
    }
    stack.panels_a_piece = panels_a_piece(weight);
    CHECK_LE(piece_bytes(weight), options_.piece_bytes);
    const Weight* one = &weight;
    offset += expert_bytes({&one, 1});
    layer.slots.assign(static_cast<size_t>(experts), -1);
    weight.packed = std::make_shared<StreamedStack>(this, index);
  }
  CHECK_LE(offset, options_.slot_bytes);
  layers_.push_back(std::move(layer));
  return {};
}

PackedMatrix ExpertStore::matrix_of(int32_t slot, int stack) const {
  const Slot& held = slots_[static_cast<size_t>(slot)];
  const Stack& what = layers_[static_cast<size_t>(held.layer)].stacks[stack];
  return PackedMatrix::over(
      what.type, what.out_dim, what.in_dim,
      memory_.data() + static_cast<uint64_t>(slot) * options_.slot_bytes + what.slot_offset);
}

void ExpertStore::request(int32_t layer, std::span<const int32_t> experts) {
  const std::lock_guard lock(mutex_);
  CHECK(wanted_.empty());
  layer_ = layer;
  next_wanted_ = 0;
  const std::vector<int32_t>& known = layers_[static_cast<size_t>(layer)].slots;
  // What is here first, so that it is not given away for what is not.
  for (const int32_t expert : experts) {
    const int32_t index = known[static_cast<size_t>(expert)];
    wanted_.push_back({.expert = expert, .slot = index});
    if (index < 0) continue;
    Slot& slot = slot_at(index);
    ++(slot.ahead ? stats_.foreseen : stats_.hits);
    slot.ahead = false;
    slot.pinned = true;
    order_.splice(order_.end(), order_, slot.place);
  }
  stats_.used += experts.size();
  if (layer == layer_ahead_) {
    expected_.clear();
    // Guesses that were wrong are not read to their end, and are the first to be given away. The
    // right ones are certain now.
    for (const int32_t index : slots_ahead_) {
      Slot& slot = slot_at(index);
      if (!slot.ahead) continue;
      order_.splice(order_.begin(), order_, slot.place);
      slot.ahead = false;
      if (slot.pieces_left > 0) give_up(index);
    }
    slots_ahead_.clear();
    std::ranges::copy(pieces_ahead_, std::back_inserter(pieces_));
    pieces_ahead_.clear();
  }
  if (next_layer_ >= 0) {
    for (const int32_t index : slots_ahead_) slot_at(index).ahead = false;
    slots_ahead_.clear();
    layer_ahead_ = std::exchange(next_layer_, -1);
    expected_.assign(next_expected_.begin(), next_expected_.end());
  }
  fill();
}

int32_t ExpertStore::free_slot() {
  for (const int32_t index : order_) {
    const Slot& slot = slots_[static_cast<size_t>(index)];
    if (!slot.pinned && slot.pieces_left == 0) return index;
  }
  return -1;
}

void ExpertStore::give(int32_t index, int32_t layer, int32_t expert, std::deque<Piece>& pieces) {
  Slot& slot = slot_at(index);
  if (slot.layer >= 0) {
    layers_[static_cast<size_t>(slot.layer)].slots[static_cast<size_t>(slot.expert)] = -1;
  }
  slot.layer = layer;
  slot.expert = expert;
  slot.failed = false;
  slot.ahead = false;
  order_.splice(order_.end(), order_, slot.place);
  Layer& of = layers_[static_cast<size_t>(layer)];
  of.slots[static_cast<size_t>(expert)] = index;
  for (int s = 0; s < 3; ++s) {
    const Stack& stack = of.stacks[s];
    const int64_t panels = stack.out_dim / kPanelOutputs;
    for (int64_t begin = 0; begin < panels; begin += stack.panels_a_piece) {
      pieces.push_back({index, s, begin, std::min(panels, begin + stack.panels_a_piece)});
      ++slot.pieces_left;
      ++pieces_left_;
    }
  }
}

// Gives slots to experts of the request that have none, as far as there are any.
void ExpertStore::fill() {
  if (fault_) return;
  for (; next_wanted_ < wanted_.size(); ++next_wanted_) {
    Wanted& wanted = wanted_[next_wanted_];
    if (wanted.taken || wanted.slot >= 0) continue;
    const int32_t index = free_slot();
    if (index < 0) break;
    give(index, layer_, wanted.expert, pieces_);
    slot_at(index).pinned = true;
    wanted.slot = index;
  }
  work_.notify_all();
}

// Begins to read the next expert that is expected. Half of the slots at most go to guesses, and
// only when the request has what it wants.
void ExpertStore::guess() {
  while (!expected_.empty() && !fault_ && next_wanted_ == wanted_.size() &&
         2 * slots_ahead_.size() < slots_.size()) {
    const int32_t expert = expected_.front();
    expected_.pop_front();
    const Layer& layer = layers_[static_cast<size_t>(layer_ahead_)];
    if (layer.slots[static_cast<size_t>(expert)] >= 0) continue;
    const int32_t index = free_slot();
    if (index < 0) return;
    give(index, layer_ahead_, expert, pieces_ahead_);
    slot_at(index).ahead = true;
    slots_ahead_.push_back(index);
    ++stats_.guessed;
    return;
  }
}

void ExpertStore::expect(int32_t layer, std::span<const int32_t> experts) {
  const std::lock_guard lock(mutex_);
  next_layer_ = layer;
  next_expected_.assign(experts.begin(), experts.end());
}

Result<std::vector<ExpertStore::Ready>> ExpertStore::take(ThreadPool& pool) {
  std::unique_lock lock(mutex_);
  const Clock::time_point since = Clock::now();
  std::vector<Ready> ready;
  while (!fault_) {
    bool any_left = false;
    for (size_t i = 0; i < wanted_.size(); ++i) {
      Wanted& wanted = wanted_[i];
      any_left |= !wanted.taken;
      if (wanted.taken || wanted.slot < 0) continue;
      if (slots_[static_cast<size_t>(wanted.slot)].pieces_left > 0) continue;
      wanted.taken = true;
      Ready& one = ready.emplace_back();
      one.index = i;
      for (int s = 0; s < 3; ++s) one.matrices[s] = matrix_of(wanted.slot, s);
    }
    if (!ready.empty()) break;
    if (!any_left) {
      end_request();
      break;
    }
    if (arrived_.empty())
      ready_.wait(lock);
    else
      pack_arrived(lock, pool);
  }
  if (fault_) {  // nobody is to meet what is half read
    for (int32_t index = 0; index < slots(); ++index) {
      if (slot_at(index).pieces_left > 0) give_up(index);
    }
    ready_.wait(lock, [&] { return pieces_left_ == 0; });
  }
  stats_.waiting_seconds += seconds_since(since);
  if (!fault_) return ready;
  end_request();
  return std::unexpected(*fault_);
}

// Packs what the request waits for, as far as it has come; where nothing of it has, one piece of
// what may be wanted next.
void ExpertStore::pack_arrived(std::unique_lock<std::mutex>& lock, ThreadPool& pool) {
  const auto guesses = std::ranges::stable_partition(
      arrived_, [&](const Arrived& one) { return slot_at(one.piece.slot).pinned; });
  const auto until = guesses.begin() == arrived_.begin() ? guesses.begin() + 1 : guesses.begin();
  const std::vector<Arrived> batch(arrived_.begin(), until);
  arrived_.erase(arrived_.begin(), until);
  lock.unlock();
  // Every thread gets a run of each piece, so that a single one is packed by all; a small one is
  // done before another thread would have begun.
  constexpr size_t kSharedBytes = size_t{256} << 10;
  const int64_t runs = bytes_of(batch.front().piece) < kSharedBytes ? 1 : pool.threads();
  std::vector<std::atomic<bool>> damaged(batch.size());
  pool.parallel_each(std::ssize(batch) * runs, [&](int64_t run) {
    const auto at = static_cast<size_t>(run / runs);
    const Piece& piece = batch[at].piece;
    const Slot& slot = slots_[static_cast<size_t>(piece.slot)];
    const Stack& stack = layers_[static_cast<size_t>(slot.layer)].stacks[piece.stack];
    const int64_t panels = piece.end - piece.begin;
    const int64_t begin = panels * (run % runs) / runs;
    const int64_t end = panels * (run % runs + 1) / runs;
    if (begin == end) return;
    const std::byte* rows =
        batch[at].rows + static_cast<size_t>(begin) * panel_rows_bytes(stack.type, stack.in_dim);
    if (find_non_finite(stack.type, rows, (end - begin) * kPanelOutputs * stack.in_dim) >= 0) {
      damaged[at] = true;
      return;
    }
    matrix_of(piece.slot, piece.stack)
        .pack_panels(stack.type, rows, piece.begin + begin, piece.begin + end);
  });
  lock.lock();
  for (size_t i = 0; i < batch.size(); ++i) {
    const Piece& piece = batch[i].piece;
    const Slot& slot = slot_at(piece.slot);
    free_buffers_.push_back(batch[i].buffer);
    Status status;
    if (damaged[i]) {
      status = fail(fmt::format(
          "tensor '{}' holds an infinite or NaN weight in expert {}; the file is damaged",
          layers_[static_cast<size_t>(slot.layer)].stacks[piece.stack].name, slot.expert));
    }
    finish_piece(piece, std::move(status));
  }
  work_.notify_all();
}

void ExpertStore::release() {
  const std::lock_guard lock(mutex_);
  for (Wanted& wanted : wanted_) {
    if (!wanted.taken || wanted.slot < 0) continue;
    slots_[static_cast<size_t>(wanted.slot)].pinned = false;
    wanted.slot = -1;  // from now on it may be another's
  }
  fill();
}

void ExpertStore::end_request() {
  for (const Wanted& wanted : wanted_) {
    if (wanted.slot >= 0) slots_[static_cast<size_t>(wanted.slot)].pinned = false;
  }
  wanted_.clear();
  next_wanted_ = 0;
}

std::span<std::byte> ExpertStore::buffer(int index) const {
  const size_t bytes = scratch_of(options_.piece_bytes);
  return {scratch_.data() + static_cast<size_t>(index) * bytes, bytes};
}

// Whether there is something to read and a buffer to read it into.
bool ExpertStore::can_read() {
  if (free_buffers_.empty()) return false;
  if (!pieces_.empty()) return true;
  if (std::ssize(free_buffers_) <= kReaders) return false;
  if (pieces_ahead_.empty()) guess();
  return !pieces_ahead_.empty();
}

// A reader's whole life.
void ExpertStore::read_pieces() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stop_ || can_read(); });
    if (stop_) return;
    std::deque<Piece>& from = pieces_.empty() ? pieces_ahead_ : pieces_;
    Arrived one = {.piece = from.front(), .buffer = free_buffers_.back()};
    from.pop_front();
    free_buffers_.pop_back();
    note_reading(1);
    lock.unlock();
    const Result<const std::byte*> rows = read_piece(one.piece, buffer(one.buffer));
    lock.lock();
    note_reading(-1);
    const Slot& slot = slot_at(one.piece.slot);
    if (rows) stats_.bytes_read += bytes_of(one.piece);
    if (rows && !slot.failed) {
      one.rows = *rows;
      arrived_.push_back(one);
    } else {
      free_buffers_.push_back(one.buffer);
      finish_piece(one.piece, rows ? Status() : std::unexpected(rows.error()));
    }
    ready_.notify_one();
  }
}

void ExpertStore::note_reading(int change) {
  if (reading_ == 0) reading_since_ = Clock::now();
  reading_ += change;
  if (reading_ == 0) stats_.reading_seconds += seconds_since(reading_since_);
}

// Without the mutex: the slot cannot change hands meanwhile, as it has pieces left.
Result<const std::byte*> ExpertStore::read_piece(const Piece& piece,
                                                 std::span<std::byte> scratch) const {
  const Slot& slot = slots_[static_cast<size_t>(piece.slot)];
  const Stack& stack = layers_[static_cast<size_t>(slot.layer)].stacks[piece.stack];
  const size_t panel = panel_rows_bytes(stack.type, stack.in_dim);
  const auto first = static_cast<uint64_t>(slot.expert * (stack.out_dim / kPanelOutputs));
  return stack.read((first + static_cast<uint64_t>(piece.begin)) * panel, bytes_of(piece), scratch);
}

size_t ExpertStore::bytes_of(const Piece& piece) const {
  const Slot& slot = slots_[static_cast<size_t>(piece.slot)];
  const Stack& stack = layers_[static_cast<size_t>(slot.layer)].stacks[piece.stack];
  return static_cast<size_t>(piece.end - piece.begin) * panel_rows_bytes(stack.type, stack.in_dim);
}

void ExpertStore::finish_piece(const Piece& piece, Status status) {
  Slot& slot = slot_at(piece.slot);
  if (!status) {
    slot.failed = true;
    if (!fault_) fault_ = std::move(status).error();
  }
  --pieces_left_;
  if (--slot.pieces_left > 0) return;
  if (slot.failed) forget(slot);
  fill();
}

// What is still missing of a slot's expert is neither read nor packed.
void ExpertStore::give_up(int32_t index) {
  Slot& slot = slot_at(index);
  const auto is_of_it = [&](const Piece& piece) { return piece.slot == index; };
  auto dropped = static_cast<int64_t>(std::erase_if(pieces_, is_of_it));
  dropped += static_cast<int64_t>(std::erase_if(pieces_ahead_, is_of_it));
  dropped += static_cast<int64_t>(std::erase_if(arrived_, [&](const Arrived& one) {
    if (!is_of_it(one.piece)) return false;
    free_buffers_.push_back(one.buffer);
    return true;
  }));
  slot.failed = true;
  layers_[static_cast<size_t>(slot.layer)].slots[static_cast<size_t>(slot.expert)] = -1;
  pieces_left_ -= dropped;
  slot.pieces_left -= static_cast<int32_t>(dropped);
  if (slot.pieces_left == 0) forget(slot);
}

// A slot whose pieces did not all come is nobody's.
void ExpertStore::forget(Slot& slot) {
  int32_t& known = layers_[static_cast<size_t>(slot.layer)].slots[static_cast<size_t>(slot.expert)];
  if (known == static_cast<int32_t>(&slot - slots_.data())) known = -1;
  slot.layer = slot.expert = -1;
}

std::optional<Error> ExpertStore::take_fault() {
  const std::lock_guard lock(mutex_);
  return std::exchange(fault_, std::nullopt);
}

ExpertStats ExpertStore::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace minke
