// Routed experts of a model that is larger than memory: a bounded cache of them, filled from the
// model's file as routers choose.
//
// A slot holds one expert, its three matrices as the panels that kernels read. A few threads read
// from the file, a piece (some panels) at a time, all pieces that a layer lacks at once. They do
// nothing but read: what came waits in a buffer until the thread that asked has nothing to compute,
// and is packed by the threads that compute. A reader that packs takes their processors in the
// middle of a product, for which all others then wait. The slot used longest ago is the next to be
// given away. What is computed does not depend on what was in the cache.
//
// One thread at a time asks (request, take, release, expect): the one that uses the Ops. stats()
// and take_fault() are for any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "core/memory.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "kernels/panels.h"
#include "quant/weight.h"

namespace minke {

class ExpertStore;

// What stands for the panels of a stack whose experts come and go. The three stacks of a mixture
// have the same store and layer.
class StreamedStack final : public PackedWeight {
 public:
  StreamedStack(ExpertStore* store, int32_t layer) : store_(store), layer_(layer) {}
  ExpertStore& store() const { return *store_; }
  int32_t layer() const { return layer_; }
  size_t bytes() const override { return 0; }  // the store's

 private:
  ExpertStore* store_;
  int32_t layer_;
};

struct ExpertStats {
  uint64_t used = 0;      // experts that routers asked for
  uint64_t hits = 0;      // of those, in memory already
  uint64_t foreseen = 0;  // of those, read or being read on a guess
  uint64_t guessed = 0;   // experts that were read on a guess
  uint64_t bytes_read = 0;
  double reading_seconds = 0;  // with a read under way
  double waiting_seconds = 0;  // with nothing to compute before a read ends
};

// The size of a cache: what its owner knows before it exists.
struct ExpertStoreOptions {
  int64_t slots = 0;
  uint64_t slot_bytes = 0;  // ExpertStore::expert_bytes of the largest
  size_t piece_bytes = 0;   // ExpertStore::piece_bytes of the stack with the largest
};

class ExpertStore {
 public:
  // Reads bytes [from, from + count) of a stack's rows into `scratch`, which is aligned to 4096 and
  // has room for 8 KiB more; returns where in it they are. From any thread.
  using ReadRows = std::function<Result<const std::byte*>(uint64_t from, size_t count,
                                                          std::span<std::byte> scratch)>;
  struct Source {
    Weight* weight = nullptr;  // a stack [experts, out_dim, in_dim] with its type; needs no rows
    ReadRows read;
  };

  // Fails when memory is short.
  static Result<std::unique_ptr<ExpertStore>> create(const ExpertStoreOptions& options);
  ~ExpertStore();
  ExpertStore(const ExpertStore&) = delete;
  ExpertStore& operator=(const ExpertStore&) = delete;

  // Takes over a layer's experts, before the first request: their weights get a StreamedStack.
  // Fails when a type does not fit its rows.
  Status add_layer(Source gate, Source up, Source down);

  // Bytes that an expert takes in a slot, of stacks of these types and shapes.
  static uint64_t expert_bytes(std::span<const Weight* const> stacks);
  // Bytes of rows that a thread reads at once: whole panels, near kPieceBytes, of one expert.
  static size_t piece_bytes(const Weight& stack);
  static constexpr size_t kPieceBytes = size_t{1} << 20;
  static constexpr int kReaders = 8;
  // Pieces that were read or are being read, and not packed yet. Guesses leave kReaders of them to
  // what is certain.
  static constexpr int kBuffers = 3 * kReaders;
  // What reading takes beside the slots.
  static uint64_t scratch_bytes(size_t piece_bytes);

  // Begins a use of `experts` (ascending, each once) of a layer. What is in memory stays there
  // until it is released; what is not is read, as slots become free.
  void request(int32_t layer, std::span<const int32_t> experts);
  struct Ready {
    size_t index = 0;          // in the request
    PackedMatrix matrices[3];  // gate, up, down; valid until release()
  };
  // Those of the request that are ready and were not taken before: waits for one, and packs with
  // `pool` meanwhile. None: all were taken. Fails when one could not be read; the request is over
  // then, and so is each one until take_fault().
  Result<std::vector<Ready>> take(ThreadPool& pool);
  // What was taken is not used any more.
  void release();
  // What will probably be requested next, the surest first: read while the disk has nothing better
  // to do, from the next request on. Replaces what was expected before. A wrong guess costs its
  // slot until the layer's own request, no more.
  void expect(int32_t layer, std::span<const int32_t> experts);

  // The first fault since the last call.
  std::optional<Error> take_fault();
  ExpertStats stats() const;
  int64_t slots() const { return static_cast<int64_t>(slots_.size()); }

 private:
  struct Stack {
    ReadRows read;
    QuantType type = QuantType::kF32;
    int64_t out_dim = 0, in_dim = 0;  // of one expert's matrix
    uint64_t slot_offset = 0;         // of its panels
    int64_t panels_a_piece = 0;
    std::string name;
  };
  struct Layer {
    Stack stacks[3];
    std::vector<int32_t> slots;  // by expert: where it is, or -1
  };
  struct Slot {
    int32_t layer = -1, expert = -1;  // none: free
    int32_t pieces_left = 0;          // to be read and packed
    bool failed = false;              // a piece could not be read, or is not wanted any more
    bool pinned = false;              // of the request under way
    bool ahead = false;               // read on a guess that has not come true yet
    std::list<int32_t>::iterator place;
  };
  struct Piece {
    int32_t slot = 0;
    int stack = 0;
    int64_t begin = 0, end = 0;  // panels
  };
  // A piece that was read and waits to be packed.
  struct Arrived {
    Piece piece;
    int buffer = 0;
    const std::byte* rows = nullptr;  // in the buffer
  };
  struct Wanted {
    int32_t expert = 0;
    int32_t slot = -1;  // none yet
    bool taken = false;
  };

  explicit ExpertStore(const ExpertStoreOptions& options);
  PackedMatrix matrix_of(int32_t slot, int stack) const;
  Slot& slot_at(int32_t index) { return slots_[static_cast<size_t>(index)]; }
  std::span<std::byte> buffer(int index) const;
  size_t bytes_of(const Piece& piece) const;  // while its slot has pieces left
  void read_pieces();
  Result<const std::byte*> read_piece(const Piece& piece, std::span<std::byte> scratch) const;
  // All below with mutex_ held.
  bool can_read();
  void note_reading(int change);
  void pack_arrived(std::unique_lock<std::mutex>& lock, ThreadPool& pool);
  void finish_piece(const Piece& piece, Status status);
  void give_up(int32_t slot);
  void forget(Slot& slot);
  void fill();
  void guess();
  void give(int32_t slot, int32_t layer, int32_t expert, std::deque<Piece>& pieces);
  int32_t free_slot();
  void end_request();

  const ExpertStoreOptions options_;
  Buffer memory_;
  Buffer scratch_;  // kBuffers of them
  std::vector<Layer> layers_;

  mutable std::mutex mutex_;  // of all below
  std::condition_variable work_, ready_;
  std::vector<Slot> slots_;
  std::list<int32_t> order_;  // slots, the one used longest ago first
  std::deque<Piece> pieces_,
      pieces_ahead_;  // to be read; the second when there is none of the first
  std::vector<Arrived> arrived_;
  std::vector<int> free_buffers_;
  int64_t pieces_left_ = 0;  // all of these, and those that are being read
  int32_t layer_ = 0;        // of the request
  std::vector<Wanted> wanted_;
  size_t next_wanted_ = 0;  // before it every expert has a slot
  // Guesses: those that are read now, and those that follow once the next request is under way.
  int32_t layer_ahead_ = -1;
  std::deque<int32_t> expected_;      // not begun
  std::vector<int32_t> slots_ahead_;  // begun
  int32_t next_layer_ = -1;           // none: -1
  std::vector<int32_t> next_expected_;
  std::optional<Error> fault_;
  ExpertStats stats_;
  int reading_ = 0;
  std::chrono::steady_clock::time_point reading_since_;
  bool stop_ = false;
  std::vector<std::jthread> readers_;  // last: they use all of the above
};

}  // namespace minke
