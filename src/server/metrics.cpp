#include "server/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace minke::server {
namespace {

// Names of routes and models as label values.
std::string label(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

class Page {
 public:
  void family(const char* name, const char* type, const char* help) {
    text_ += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  template <typename Number>
  void value(const std::string& name, Number number) {
    text_ += fmt::format("{} {}\n", name, number);
  }
  template <typename Number>
  void single(const char* name, const char* type, const char* help, Number number) {
    family(name, type, help);
    value(name, number);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0, resident = 0;
  if (!(file >> all >> resident)) return 0;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void Metrics::count_request(const std::string& route, int status, double seconds) {
  const std::lock_guard lock(mutex_);
  ++requests_[{route, status}];
  Times& times = times_[route];
  const auto place = std::ranges::lower_bound(kBounds, seconds) - kBounds.begin();
  ++times.counts[static_cast<size_t>(place)];
  times.sum += seconds;
  ++times.all;
}

std::string Metrics::text(const http::ServerStats& http, const ServiceStats& service,
                          const std::vector<ModelStatus>& models) const {
  Page page;
  {
    const std::lock_guard lock(mutex_);
    page.family("minke_http_requests_total", "counter", "Requests that were answered");
    for (const auto& [key, count] : requests_) {
      page.value(fmt::format("minke_http_requests_total{{route=\"{}\",status=\"{}\"}}",
                             label(key.first), key.second),
                 count);
    }
    page.family("minke_http_request_seconds", "histogram",
                "Time from a request's first byte to the last of its answer");
    for (const auto& [route, times] : times_) {
      uint64_t below = 0;
      for (size_t i = 0; i <= kBounds.size(); ++i) {
        below += times.counts[i];
        const std::string bound = i < kBounds.size() ? fmt::format("{}", kBounds[i]) : "+Inf";
        page.value(fmt::format("minke_http_request_seconds_bucket{{route=\"{}\",le=\"{}\"}}",
                               label(route), bound),
                   below);
      }
      page.value(fmt::format("minke_http_request_seconds_sum{{route=\"{}\"}}", label(route)),
                 times.sum);
      page.value(fmt::format("minke_http_request_seconds_count{{route=\"{}\"}}", label(route)),
                 times.all);
    }
  }
  page.single("minke_http_connections", "gauge", "Connections that are open", http.connections);
  page.single("minke_http_exchanges", "gauge", "Requests under way", http.exchanges);
  page.single("minke_http_connections_refused_total", "counter", "Connections beyond the limit",
              http.connections_refused);
  page.family("minke_answers_total", "counter", "Requests for answers, by how they ended");
  const auto ended = [&](const char* how, uint64_t count) {
    page.value(fmt::format("minke_answers_total{{end=\"{}\"}}", how), count);
  };
  ended("answered", service.answered);
  ended("cancelled", service.cancelled);
  ended("refused", service.refused);
  ended("failed", service.failed);
  page.single("minke_prompt_tokens_total", "counter", "Tokens of prompts", service.prompt_tokens);
  page.single("minke_prompt_tokens_cached_total", "counter", "Of those, found in the cache",
              service.cached_tokens);
  page.single("minke_answer_tokens_total", "counter", "Tokens of answers", service.answer_tokens);
  page.single("minke_reasoning_tokens_total", "counter", "Of those, thinking",
              service.reasoning_tokens);
  const auto of_loaded = [&](const char* name, const char* help, auto&& number) {
    page.family(name, "gauge", help);
    for (const ModelStatus& one : models) {
      if (one.state != ModelState::kLoaded) continue;
      page.value(fmt::format("{}{{model=\"{}\"}}", name, label(one.name)), number(one));
    }
  };
  of_loaded("minke_requests_running", "Requests that the model answers now",
            [](const ModelStatus& one) { return one.running; });
  of_loaded("minke_requests_waiting", "Requests that wait for their turn",
            [](const ModelStatus& one) { return one.waiting; });
  of_loaded("minke_model_memory_bytes", "Weights, cache and working memory of the model",
            [](const ModelStatus& one) {
              return one.memory ? one.memory->weights + one.memory->kv_cache +
                                      one.memory->activations + one.memory->expert_cache
                                : uint64_t{0};
            });
  page.single("process_resident_memory_bytes", "gauge", "Memory of the process in RAM",
              resident_bytes());
  return page.take();
}

}  // namespace minke::server
