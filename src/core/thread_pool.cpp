#include "core/thread_pool.h"

#include <sched.h>

#include <algorithm>

#include "core/check.h"
#include "core/processor.h"
#include "core/system_limits.h"

namespace minke {
namespace {

// 50 to 250 us of spinning, as long as the processor makes a pause: longer than any gap inside a
// decode step, short enough that an idle chat costs nothing.
constexpr int kSpins = 20000;
// With more threads than processors who spins takes the place of who works.
constexpr int kSpinsCrowded = 20;

}  // namespace

FlushDenormals::FlushDenormals() : saved_(float_control()) {
  set_float_control(with_denormals_as_zero(saved_));
}
FlushDenormals::~FlushDenormals() { set_float_control(saved_); }

struct ThreadPool::Shared {
  // Each on its own cache line: workers poll `generation` while others write `pending`.
  alignas(64) std::atomic<uint64_t> generation{0};
  alignas(64) std::atomic<int> pending{0};
  alignas(64) std::atomic<int> sleepers{0};
  std::mutex mutex;
  std::condition_variable wake;
  const FunctionRef<void(int)>* job = nullptr;
  bool stop = false;
};

ThreadPool::ThreadPool(int threads)
    : threads_(threads > 0 ? threads : available_processors()),
      spins_(threads_ > available_processors() ? kSpinsCrowded : kSpins),
      shared_(new Shared) {
  for (int worker = 1; worker < threads_; ++worker) {
    workers_.emplace_back([this, worker] { work(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(shared_->mutex);
    shared_->stop = true;
    shared_->generation.fetch_add(1, std::memory_order_seq_cst);
  }
  shared_->wake.notify_all();
  workers_.clear();
}

void ThreadPool::work(int worker) {
  const FlushDenormals flush;
  uint64_t seen = 0;
  while (true) {
    int spins = 0;
    while (shared_->generation.load(std::memory_order_acquire) == seen) {
      if (++spins < spins_) {
        pause_briefly();
        continue;
      }
      std::unique_lock lock(shared_->mutex);
      shared_->sleepers.fetch_add(1, std::memory_order_seq_cst);
      shared_->wake.wait(
          lock, [&] { return shared_->generation.load(std::memory_order_seq_cst) != seen; });
      shared_->sleepers.fetch_sub(1, std::memory_order_seq_cst);
    }
    ++seen;
    if (shared_->stop) return;
    (*shared_->job)(worker);
    shared_->pending.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::parallel(FunctionRef<void(int)> job) {
  const FlushDenormals flush;
  if (threads_ == 1) {
    job(0);
    return;
  }
  CHECK_EQ(shared_->pending.load(std::memory_order_relaxed), 0);
  shared_->job = &job;
  shared_->pending.store(threads_ - 1, std::memory_order_relaxed);
  shared_->generation.fetch_add(1, std::memory_order_seq_cst);
  if (shared_->sleepers.load(std::memory_order_seq_cst) > 0) {
    std::lock_guard lock(shared_->mutex);
    shared_->wake.notify_all();
  }
  job(0);
  for (int spins = 0; shared_->pending.load(std::memory_order_acquire) != 0;) {
    // More threads than processors: let the others have ours.
    if (++spins < spins_)
      pause_briefly();
    else
      std::this_thread::yield();
  }
}

void ThreadPool::parallel_for(int64_t count, int64_t grain,
                              FunctionRef<void(int64_t, int64_t)> job) {
  if (count <= 0) return;
  if (threads_ == 1 || count <= grain) {
    const FlushDenormals flush;
    job(0, count);
    return;
  }
  // About four runs a worker: a worker that the system held up loses a quarter of its share only.
  const int64_t run = std::max(grain, (count + threads_ * 4 - 1) / (threads_ * 4));
  std::atomic<int64_t> next{0};
  parallel([&](int) {
    while (true) {
      const int64_t begin = next.fetch_add(run, std::memory_order_relaxed);
      if (begin >= count) return;
      job(begin, std::min(count, begin + run));
    }
  });
}

void ThreadPool::parallel_each(int64_t count, FunctionRef<void(int64_t)> job) {
  if (count <= 0) return;
  if (threads_ == 1 || count == 1) {
    const FlushDenormals flush;
    for (int64_t index = 0; index < count; ++index) job(index);
    return;
  }
  std::atomic<int64_t> next{0};
  parallel([&](int) {
    for (int64_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;) job(index);
  });
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int count = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = std::max(1, CPU_COUNT(&set));
  const int quota = cgroup_processors();
  return quota > 0 ? std::min(count, quota) : count;
}

}  // namespace minke
