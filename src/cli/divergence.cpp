#include "cli/divergence.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/check.h"
#include "io/partial_file.h"

namespace minke::cli {

Result<LogitRows> LogitRows::create(int64_t vocabulary, int64_t rows_max) {
  const char* folder = std::getenv("TMPDIR");
  std::string path = folder != nullptr && *folder != 0 ? folder : "/tmp";
  MINKE_TRY(check_disk_space(path, vocabulary * rows_max * static_cast<int64_t>(sizeof(float))));
  path += "/minke-logits-XXXXXX";
  const int descriptor = mkstemp(path.data());
  if (descriptor < 0) return fail(fmt::format("cannot create {}: {}", path, std::strerror(errno)));
  unlink(path.c_str());
  return LogitRows(descriptor, vocabulary);
}

LogitRows::LogitRows(LogitRows&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), buffer_(std::move(other.buffer_)) {}

LogitRows::~LogitRows() {
  if (descriptor_ >= 0) close(descriptor_);
}

Status LogitRows::put(int64_t row, std::span<const float> logits) {
  CHECK_EQ(logits.size(), buffer_.size());
  const auto bytes = std::as_bytes(logits);
  const int64_t at = row * std::ssize(bytes);
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t wrote = pwrite(descriptor_, bytes.data() + done, bytes.size() - done,
                                 at + static_cast<int64_t>(done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      return fail(
          fmt::format("cannot write to a temporary file: {}; TMPDIR names the folder for "
                      "those",
                      std::strerror(errno)));
    }
    done += static_cast<size_t>(wrote);
  }
  return {};
}

Result<std::span<const float>> LogitRows::get(int64_t row) {
  const auto bytes = std::as_writable_bytes(std::span(buffer_));
  const int64_t at = row * std::ssize(bytes);
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got = pread(descriptor_, bytes.data() + done, bytes.size() - done,
                              at + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return fail(fmt::format("cannot read a temporary file: {}", std::strerror(errno)));
    }
    done += static_cast<size_t>(got);
  }
  return std::span<const float>(buffer_);
}

void DivergenceTally::add(std::span<const float> reference, std::span<const float> logits) {
  CHECK_EQ(reference.size(), logits.size());
  const auto best = std::ranges::max_element(reference);
  const auto best_here = std::ranges::max_element(logits);
  agreed_ += best - reference.begin() == best_here - logits.begin() ? 1 : 0;
  // sum of p (log p - log q), with both logarithms relative to their largest logit.
  double p_sum = 0, q_sum = 0, weighted = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double p = static_cast<double>(reference[i]) - static_cast<double>(*best);
    const double q = static_cast<double>(logits[i]) - static_cast<double>(*best_here);
    const double weight = std::exp(p);
    p_sum += weight;
    q_sum += std::exp(q);
    weighted += weight * (p - q);
  }
  // Rounding must not make it negative.
  values_.push_back(std::max(0.0, weighted / p_sum + std::log(q_sum) - std::log(p_sum)));
}

double DivergenceTally::mean() const {
  double sum = 0;
  for (const double value : values_) sum += value;
  return sum / static_cast<double>(values_.size());
}

double DivergenceTally::standard_error() const {
  if (values_.size() < 2) return 0;
  const double middle = mean();
  double squares = 0;
  for (const double value : values_) squares += (value - middle) * (value - middle);
  const auto n = static_cast<double>(values_.size());
  return std::sqrt(squares / (n * (n - 1)));
}

double DivergenceTally::quantile(double share) const {
  CHECK(!values_.empty());
  std::vector<double> sorted = values_;
  std::ranges::sort(sorted);
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::min(sorted.size(), std::max<size_t>(rank, 1)) - 1];
}

double DivergenceTally::top1_agreement() const {
  return static_cast<double>(agreed_) / static_cast<double>(values_.size());
}

}  // namespace minke::cli
