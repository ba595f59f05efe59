// Counts of what was served, in the text form that Prometheus reads. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "server/chat/chat_service.h"
#include "server/http/server.h"

namespace minke::server {

class Metrics {
 public:
  void count_request(const std::string& route, int status, double seconds);
  std::string text(const http::ServerStats& http, const ServiceStats& service,
                   const std::vector<ModelStatus>& models) const;

 private:
  // Upper bounds of the histogram of request times, in seconds.
  static constexpr std::array kBounds = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0};
  struct Times {
    std::array<uint64_t, kBounds.size() + 1> counts{};
    double sum = 0;
    uint64_t all = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  std::map<std::string, Times> times_;
};

// Memory of this process that is in RAM, in bytes; 0 where the system does not say.
uint64_t resident_bytes();

}  // namespace minke::server
