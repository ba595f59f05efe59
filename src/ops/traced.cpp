#include "ops/traced.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

namespace minke {
namespace {

// "blk.17.ffn_up.weight" becomes "blk.*.ffn_up.weight".
std::string without_layer(std::string_view name) {
  std::string result;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool digit = name[i] >= '0' && name[i] <= '9';
    const bool starts_part = i > 0 && (name[i - 1] == '.' || result.back() == '*');
    if (!digit || !starts_part) {
      result += name[i];
    } else if (result.back() != '*') {
      result += '*';
    }
  }
  return result;
}

}  // namespace

template <typename Call>
auto Traced::timed(std::string_view op, const Call& call) {
  const auto begin = std::chrono::steady_clock::now();
  auto result = call();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  auto found = totals_.find(op);
  if (found == totals_.end()) found = totals_.emplace(op, Total{}).first;
  ++found->second.calls;
  found->second.seconds += taken.count();
  return result;
}

std::string Traced::table() const {
  std::vector<std::pair<std::string, Total>> lines(totals_.begin(), totals_.end());
  std::ranges::stable_sort(
      lines, [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double all = 0.0;
  for (const auto& [op, total] : lines) all += total.seconds;
  std::string text;
  for (const auto& [op, total] : lines) {
    fmt::format_to(std::back_inserter(text), "{:<40} {:>8} {:>10.3f} ms {:>5.1f}%\n", op,
                   total.calls, total.seconds * 1e3, all > 0.0 ? 100.0 * total.seconds / all : 0.0);
  }
  return text;
}

Status Traced::prepare(Weight& weight, bool keep_rows) {
  return timed("prepare", [&] { return inner_.prepare(weight, keep_rows); });
}

Tensor Traced::embed(std::span<const int32_t> tokens, const Weight& table) {
  return timed("embed", [&] { return inner_.embed(tokens, table); });
}

Tensor Traced::linear(const Tensor& x, const Weight& w, const Weight& bias) {
  return timed("linear " + without_layer(w.name), [&] { return inner_.linear(x, w, bias); });
}

Tensor Traced::rms_norm(const Tensor& x, const Weight& w, float epsilon) {
  return timed("rms_norm", [&] { return inner_.rms_norm(x, w, epsilon); });
}

Tensor Traced::rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) {
  return timed("rope", [&] { return inner_.rope(x, positions, spec); });
}

Tensor Traced::attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                         KvStore& kv, int64_t layer, const AttentionSpec& spec) {
  return timed("attention", [&] { return inner_.attention(q, k, v, batch, kv, layer, spec); });
}

Tensor Traced::swiglu(const Tensor& gate, const Tensor& up) {
  return timed("swiglu", [&] { return inner_.swiglu(gate, up); });
}

Tensor Traced::add(const Tensor& a, const Tensor& b) {
  return timed("add", [&] { return inner_.add(a, b); });
}

Tensor Traced::gather_rows(const Tensor& x, std::span<const int32_t> indices) {
  return timed("gather_rows", [&] { return inner_.gather_rows(x, indices); });
}

Tensor Traced::slice(const Tensor& x, int64_t begin, int64_t count) {
  return timed("slice", [&] { return inner_.slice(x, begin, count); });
}

Tensor Traced::concat(const Tensor& a, const Tensor& b) {
  return timed("concat", [&] { return inner_.concat(a, b); });
}

Tensor Traced::linear_by_heads(const Tensor& x, const Weight& w) {
  return timed("linear_by_heads " + without_layer(w.name),
               [&] { return inner_.linear_by_heads(x, w); });
}

Tensor Traced::mixture(const Tensor& x, const Tensor& logits, const Weight& bias,
                       const RouteSpec& spec, const Weight& gate, const Weight& up,
                       const Weight& down) {
  return timed("mixture", [&] { return inner_.mixture(x, logits, bias, spec, gate, up, down); });
}

}  // namespace minke
