#include "ops/shadow.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <utility>

namespace minke {

std::string Departure::str() const {
  return fmt::format("step {}, op {}, {}: first at [{}, {}]: got {}, want {}; {} of {} differ",
                     step, call, op, row, column, got, want, differing, count);
}

void Shadow::begin_step() {
  ++step_;
  call_ = 0;
  inner_.begin_step();
  trusted_.begin_step();
}

Tensor Shadow::copy(const Tensor& tensor) {
  if (tensor.empty()) return {};
  Tensor same = trusted_.empty(tensor.shape());
  std::memcpy(same.f32(), tensor.f32(), tensor.values().size_bytes());
  return same;
}

Tensor Shadow::compare(std::string op, Tensor got, const Tensor& want) {
  CHECK(got.shape() == want.shape());
  const int64_t call = call_++;
  if (departure_) return got;
  const int64_t count = got.shape().count();
  if (std::memcmp(got.f32(), want.f32(), got.values().size_bytes()) == 0) return got;
  Departure departure = {.step = step_, .call = call, .op = std::move(op), .count = count};
  for (int64_t i = 0; i < count; ++i) {
    const float ours = got.f32()[i];
    const float theirs = want.f32()[i];
    if (std::bit_cast<uint32_t>(ours) == std::bit_cast<uint32_t>(theirs)) continue;
    if (departure.differing++ > 0) continue;
    departure.row = i / got.dim();
    departure.column = i % got.dim();
    departure.got = ours;
    departure.want = theirs;
  }
  departure_ = std::move(departure);
  return got;
}

Tensor Shadow::embed(std::span<const int32_t> tokens, const Weight& table) {
  return compare("embed " + table.name, inner_.embed(tokens, table), trusted_.embed(tokens, table));
}

Tensor Shadow::linear(const Tensor& x, const Weight& w, const Weight& bias) {
  return compare("linear " + w.name, inner_.linear(x, w, bias), trusted_.linear(copy(x), w, bias));
}

Tensor Shadow::rms_norm(const Tensor& x, const Weight& w, float epsilon) {
  return compare("rms_norm " + w.name, inner_.rms_norm(x, w, epsilon),
                 trusted_.rms_norm(copy(x), w, epsilon));
}

Tensor Shadow::rope(const Tensor& x, std::span<const int32_t> positions, const RopeSpec& spec) {
  return compare("rope", inner_.rope(x, positions, spec), trusted_.rope(copy(x), positions, spec));
}

Tensor Shadow::attention(const Tensor& q, const Tensor& k, const Tensor& v, const Batch& batch,
                         KvStore& kv, int64_t layer, const AttentionSpec& spec) {
  // The fast one first: the trusted one then writes the cache again, so that a fault in what the
  // fast one stored shows in this op and not in a later step.
  Tensor got = inner_.attention(q, k, v, batch, kv, layer, spec);
  const Tensor want = trusted_.attention(copy(q), copy(k), copy(v), batch, kv, layer, spec);
  return compare(fmt::format("attention of layer {}", layer), std::move(got), want);
}

Tensor Shadow::swiglu(const Tensor& gate, const Tensor& up) {
  return compare("swiglu", inner_.swiglu(gate, up), trusted_.swiglu(copy(gate), copy(up)));
}

Tensor Shadow::add(const Tensor& a, const Tensor& b) {
  return compare("add", inner_.add(a, b), trusted_.add(copy(a), copy(b)));
}

Tensor Shadow::gather_rows(const Tensor& x, std::span<const int32_t> indices) {
  return compare("gather_rows", inner_.gather_rows(x, indices),
                 trusted_.gather_rows(copy(x), indices));
}

Tensor Shadow::slice(const Tensor& x, int64_t begin, int64_t count) {
  return compare("slice", inner_.slice(x, begin, count), trusted_.slice(copy(x), begin, count));
}

Tensor Shadow::concat(const Tensor& a, const Tensor& b) {
  return compare("concat", inner_.concat(a, b), trusted_.concat(copy(a), copy(b)));
}

Tensor Shadow::linear_by_heads(const Tensor& x, const Weight& w) {
  return compare("linear_by_heads " + w.name, inner_.linear_by_heads(x, w),
                 trusted_.linear_by_heads(copy(x), w));
}

Tensor Shadow::mixture(const Tensor& x, const Tensor& logits, const Weight& bias,
                       const RouteSpec& spec, const Weight& gate, const Weight& up,
                       const Weight& down) {
  return compare("mixture " + gate.name, inner_.mixture(x, logits, bias, spec, gate, up, down),
                 trusted_.mixture(copy(x), copy(logits), bias, spec, gate, up, down));
}

}  // namespace minke
