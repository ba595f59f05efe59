// The thread that owns the history. Whoever wants something of it posts a job; jobs run one after
// another, in their order. Any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "server/history/store.h"

namespace minke::server {

class HistoryWorker {
 public:
  using Job = std::function<void(history::Store&)>;

  // `every_second` runs about once a second between jobs, and once more at the end.
  HistoryWorker(std::unique_ptr<history::Store> store, Job every_second);
  HistoryWorker(const HistoryWorker&) = delete;
  HistoryWorker& operator=(const HistoryWorker&) = delete;
  ~HistoryWorker();  // what was posted is done first

  void post(Job job);
  // The paths and sentences of the store that do not change.
  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::string>& notices() const { return notices_; }

 private:
  void work(const std::stop_token& stop);

  const std::unique_ptr<history::Store> store_;
  const Job every_second_;
  const std::filesystem::path path_;
  const std::vector<std::string> notices_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Job> jobs_;
  std::jthread thread_;  // last
};

}  // namespace minke::server
