#include "server/app/history_worker.h"

#include <chrono>
#include <utility>

namespace minke::server {

HistoryWorker::HistoryWorker(std::unique_ptr<history::Store> store, Job every_second)
    : store_(std::move(store)),
      every_second_(std::move(every_second)),
      path_(store_->path()),
      notices_(store_->notices()),
      thread_([this](const std::stop_token& stop) { work(stop); }) {}

HistoryWorker::~HistoryWorker() {
  thread_.request_stop();
  thread_.join();
}

void HistoryWorker::post(Job job) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  wake_.notify_one();
}

void HistoryWorker::work(const std::stop_token& stop) {
  using Clock = std::chrono::steady_clock;
  auto next = Clock::now() + std::chrono::seconds(1);
  while (true) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_until(lock, stop, next, [this] { return !jobs_.empty(); });
      if (!jobs_.empty()) {
        job = std::move(jobs_.front());
        jobs_.pop_front();
      } else if (stop.stop_requested()) {
        break;
      }
    }
    if (job) job(*store_);
    if (Clock::now() < next) continue;
    every_second_(*store_);
    next = Clock::now() + std::chrono::seconds(1);
  }
  every_second_(*store_);
}

}  // namespace minke::server
