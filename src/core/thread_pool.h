// One pool of threads for the kernels. parallel() runs a function once on every worker, the caller
// being worker 0, and returns when all have finished. Workers spin for a short while between two
// calls (a decode step is a few hundred of them) and then sleep. Every worker, and the caller for
// the length of a call, computes with denormals as zero (docs/numerics.md).
//
// One thread at a time may call parallel(); calls do not nest.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/function_ref.h"

namespace minke {

// Denormals as zero, in and out, for the calling thread while the guard lives.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  uint64_t saved_;
};

class ThreadPool {
 public:
  // `threads` counts the caller; 0 means one for each processor this process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // job(worker), worker in [0, threads()).
  void parallel(FunctionRef<void(int)> job);

  // Splits [0, count) into runs of at least `grain` and calls job(begin, end) on them, handed out
  // as workers become free. Runs on the caller alone when one run is all there is.
  void parallel_for(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> job);

  // job(index) for each index in [0, count), handed out one by one, in order, as workers become
  // free: for pieces of work that are few, long and uneven.
  void parallel_each(int64_t count, FunctionRef<void(int64_t)> job);

 private:
  struct Shared;
  void work(int worker);

  int threads_;
  int spins_;  // of a waiting thread, before it sleeps or lets others run
  std::unique_ptr<Shared> shared_;
  std::vector<std::jthread> workers_;
};

// How many processors this process may run on (affinity and cgroup quota respected), at least 1.
int available_processors();

}  // namespace minke
