// The searches that encoders share: which scale, and which integers, make the weighted squared
// error of a group of values small.
//
// Everything works on one block at a time. `x` are the values, `w` their weights (at least 0).
// Candidates are tried in a fixed order and only a strictly better one replaces the best, so the
// same input gives the same block everywhere.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/check.h"
#include "core/float_bits.h"
#include "quant/blocks.h"

namespace minke {

// Nearest integer, ties to even, for |value| below 2^22.
inline int nearest_int(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value + 12582912.0f);  // 1.5 * 2^23
  return static_cast<int>(bits & 0x007fffffu) - 0x00400000;
}

// Four floats at a time: every machine has that, and sums of four lanes are the same everywhere.
using Lanes [[gnu::vector_size(16)]] = float;

inline Lanes load_lanes(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
inline float sum_lanes(Lanes v) { return (v[0] + v[1]) + (v[2] + v[3]); }

// nearest_int of each lane, clamped to low..high before, as floats.
inline Lanes round_lanes(Lanes v, float low, float high) {
  const Lanes lows = {low, low, low, low};
  const Lanes highs = {high, high, high, high};
  v = v < lows ? lows : v;
  v = v > highs ? highs : v;
  return (v + 12582912.0f) - 12582912.0f;
}

// The whole numbers Lo..Hi as levels.
template <int Lo, int Hi>
struct UniformLevels {
  static constexpr float kExtreme = static_cast<float>(Hi > -Lo ? Hi : -Lo);
  static constexpr float kStep = 0.1f;  // of the scale search, in levels
  static int nearest(float value) {
    return nearest_int(std::clamp(value, static_cast<float>(Lo), static_cast<float>(Hi)));
  }
  static float value(int level) { return static_cast<float>(level); }
  // value(nearest(lane)) of each lane.
  static Lanes values(Lanes v) {
    return round_lanes(v, static_cast<float>(Lo), static_cast<float>(Hi));
  }
};

// The nearest of kIq4Values for the values [i, i + 1) / 2 - 128: the midpoints between neighbours
// are multiples of one half, so each such half belongs to one level.
extern const std::array<float, 512> kIq4Nearest;

// The sixteen values of IQ4_NL and IQ4_XS; a level is an index into kIq4Values.
struct Iq4Levels {
  static constexpr float kExtreme = 127.0f;
  static constexpr float kStep = 1.0f;
  static int nearest(float value);
  static float value(int level) {
    return static_cast<float>(kIq4Values[static_cast<size_t>(level)]);
  }
  static Lanes values(Lanes v) {
    const Lanes doubled = 2.0f * v;
    const Lanes nearest_whole = round_lanes(doubled, -256.0f, 255.0f);
    const Lanes at = nearest_whole + 256.0f;
    const auto up = nearest_whole > doubled;  // -1 where rounding went above the floor
    Lanes out;
    for (int lane = 0; lane < 4; ++lane) {
      const int half = std::max(static_cast<int>(at[lane]) + up[lane], 0);
      out[lane] = kIq4Nearest[static_cast<size_t>(half)];
    }
    return out;
  }
};

// A value as encoders take it: NaN is 0, and what lies outside fp16's range becomes its largest
// value, so that no scale can overflow.
inline float clean_value(float value) {
  constexpr float kHalfMax = 65504.0f;
  return std::isnan(value) ? 0.0f : std::clamp(value, -kHalfMax, kHalfMax);
}

// A block's clean values and the weights of their errors.
template <int Count>
struct CleanBlock {
  std::array<float, Count> x;
  std::array<float, Count> w;
  float magnitude_max = 0.0f;

  // Below half of fp16's smallest number nothing survives.
  bool zero() const { return magnitude_max < 0x1p-26f; }
};

// The values of one call of an encoder: a row of a matrix, as far as weights are concerned. The
// weight of an error grows with its value's size, measured by the row's (what stands out in a row
// matters most to it), and with the square root of the importance that was measured of its column.
// Both are found, not derived: docs/log.md has what else was tried.
class CleanRow {
 public:
  CleanRow(const float* in, int64_t count, const float* importance)
      : in_(in), importance_(importance) {
    double squares = 0.0;
    for (int64_t i = 0; i < count; ++i) {
      const auto value = static_cast<double>(clean_value(in[i]));
      squares += value * value;
    }
    mean_square_ = count > 0 ? static_cast<float>(squares / static_cast<double>(count)) : 0.0f;
  }

  template <int Count>
  CleanBlock<Count> block(int64_t start) const {
    CleanBlock<Count> out;
    const float* importance = importance_ == nullptr ? nullptr : importance_ + start;
    float importance_max = 0.0f;
    for (size_t i = 0; importance != nullptr && i < Count; ++i) {
      if (std::isfinite(importance[i])) importance_max = std::max(importance_max, importance[i]);
    }
    for (size_t i = 0; i < Count; ++i) {
      const float value = clean_value(in_[start + static_cast<int64_t>(i)]);
      out.x[i] = value;
      out.magnitude_max = std::max(out.magnitude_max, std::fabs(value));
      // Without a usable measure all columns of a block matter equally. NaN counts as 0.
      float share = 1.0f;
      if (importance_max > 0.0f) {
        share = importance[i] > 0.0f ? std::min(importance[i] / importance_max, 1.0f) : 0.0f;
      }
      out.w[i] = std::sqrt((mean_square_ + value * value) * share);
    }
    return out;
  }

 private:
  const float* in_;
  const float* importance_;
  float mean_square_ = 0.0f;
};

// The scale s that lets s * levels come closest to x: the extreme value is put near the extreme
// level, with either sign, the nearest levels are taken and s solved by least squares. `count` is a
// multiple of 4.
template <typename Levels>
float fit_scale(const float* x, const float* w, int count) {
  float extreme = 0.0f;
  for (int i = 0; i < count; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (std::fabs(extreme) < 0x1p-40f) return 0.0f;

  float best_gain = 0.0f;  // how much of the weighted sum of squares the levels explain
  float best_scale = 0.0f;
  const auto attempt = [&](float inverse) {
    Lanes xvs{}, vvs{};
    for (int i = 0; i < count; i += 4) {
      const Lanes from = load_lanes(x + i);
      const Lanes v = Levels::values(from * inverse);
      const Lanes wv = load_lanes(w + i) * v;
      xvs += wv * from;
      vvs += wv * v;
    }
    const float xv = sum_lanes(xvs);
    const float vv = sum_lanes(vvs);
    if (vv <= 0.0f) return;
    const float gain = xv * xv / vv;
    if (gain > best_gain) {
      best_gain = gain;
      best_scale = xv / vv;
    }
  };
  constexpr int kSteps = 9;
  for (const float sign : {-1.0f, 1.0f}) {
    for (int step = -kSteps; step <= kSteps; ++step) {
      attempt(sign * (Levels::kExtreme + Levels::kStep * static_cast<float>(step)) / extreme);
    }
  }
  for (int round = 0; round < 2 && best_scale != 0.0f; ++round) attempt(1.0f / best_scale);
  return best_scale;
}

struct AffineFit {
  float scale = 0.0f;
  float offset = 0.0f;  // value = scale * level + offset
};

// As fit_scale for the levels 0..level_max with an offset; the K formats can store an offset of at
// most 0 only.
AffineFit fit_affine(const float* x, const float* w, int count, int level_max,
                     bool offset_positive);

// A scale as it is stored, never infinite: least squares may overshoot what fp16 holds.
inline half_bits to_half(float value) { return f32_to_f16(std::clamp(value, -65504.0f, 65504.0f)); }
// A scale as it will be read back.
inline float through_half(float value) { return f16_to_f32(to_half(value)); }

// For multiplying instead of dividing; a scale of zero has only zeros under it.
inline float inverse_of(float step) { return step == 0.0f ? 0.0f : 1.0f / step; }

// Sixteen groups of 16 or eight of 32 whose integer scales share one fp16 scale.
template <int Groups>
struct SymmetricSuper {
  half_bits d = 0;
  std::array<int, Groups> scales{};
  std::array<int, 256> levels{};
};

template <typename Levels, typename ScaleLevels, int Groups>
class SymmetricSearch {
 public:
  static constexpr int kSize = 256 / Groups;

  static SymmetricSuper<Groups> run(const CleanBlock<256>& block) {
    SymmetricSuper<Groups> best;
    best.levels.fill(Levels::nearest(0.0f));
    if (block.zero()) return best;
    std::array<float, Groups> scales;
    std::array<float, Groups> weights;
    for (int g = 0; g < Groups; ++g) {
      const float* x = block.x.data() + g * kSize;
      const float* w = block.w.data() + g * kSize;
      const auto at = static_cast<size_t>(g);
      scales[at] = fit_scale<Levels>(x, w, kSize);
      weights[at] = 0.0f;
      for (int i = 0; i < kSize && scales[at] != 0.0f; ++i) {
        const float v = Levels::value(Levels::nearest(x[i] / scales[at]));
        weights[at] += w[i] * v * v;
      }
    }
    float d = through_half(fit_scale<ScaleLevels>(scales.data(), weights.data(), Groups));
    float best_error = std::numeric_limits<float>::infinity();
    for (int round = 0; round < 3 && d != 0.0f; ++round) {
      SymmetricSuper<Groups> next;
      next.d = to_half(d);
      float error = 0.0f;
      for (int g = 0; g < Groups; ++g) error += choose_group(block, d, scales, g, next);
      if (!(error < best_error)) break;
      best_error = error;
      best = next;
      d = through_half(solve_scale(block, next, d));
    }
    return best;
  }

 private:
  // The best integer scale near the wanted one, and the levels under it; returns the error.
  static float choose_group(const CleanBlock<256>& block, float d,
                            const std::array<float, Groups>& wanted, int g,
                            SymmetricSuper<Groups>& out) {
    const auto at = static_cast<size_t>(g);
    const int middle = ScaleLevels::nearest(wanted[at] / d);
    float best_error = std::numeric_limits<float>::infinity();
    for (const int nudge : {0, -1, 1}) {
      const int scale = ScaleLevels::nearest(static_cast<float>(middle + nudge));
      const float error = error_under(block, g, d * static_cast<float>(scale));
      if (error < best_error) {
        best_error = error;
        out.scales[at] = scale;
      }
    }
    const float step = d * static_cast<float>(out.scales[at]);
    const float inverse = inverse_of(step);
    for (size_t i = at * kSize; i < (at + 1) * kSize; ++i) {
      out.levels[i] = Levels::nearest(block.x[i] * inverse);
    }
    return best_error;
  }

  static float error_under(const CleanBlock<256>& block, int g, float step) {
    const float inverse = inverse_of(step);
    Lanes errors{};
    for (int i = g * kSize; i < (g + 1) * kSize; i += 4) {
      const Lanes x = load_lanes(block.x.data() + i);
      const Lanes rest = step * Levels::values(x * inverse) - x;
      errors += load_lanes(block.w.data() + i) * rest * rest;
    }
    return sum_lanes(errors);
  }

  // The shared scale that suits the chosen integers best.
  static float solve_scale(const CleanBlock<256>& block, const SymmetricSuper<Groups>& chosen,
                           float d) {
    float xv = 0.0f;
    float vv = 0.0f;
    for (size_t i = 0; i < 256; ++i) {
      const float v =
          static_cast<float>(chosen.scales[i / kSize]) * Levels::value(chosen.levels[i]);
      xv += block.w[i] * block.x[i] * v;
      vv += block.w[i] * v * v;
    }
    return vv > 0.0f ? xv / vv : d;
  }
};

// The K formats with minima: value = d * scale * level - dmin * min.
template <int Groups>
struct AffineSuper {
  half_bits d = 0;
  half_bits dmin = 0;
  std::array<int, Groups> scales{};
  std::array<int, Groups> mins{};
  std::array<int, 256> levels{};
};

template <int Groups, int LevelMax, int ScaleMax>
class AffineSearch {
 public:
  static constexpr int kSize = 256 / Groups;
  using ScaleLevels = UniformLevels<0, ScaleMax>;

  static AffineSuper<Groups> run(const CleanBlock<256>& block) {
    AffineSuper<Groups> best;
    if (block.zero()) return best;
    Wanted wanted;
    std::array<float, Groups> weights;
    for (int g = 0; g < Groups; ++g) {
      const auto at = static_cast<size_t>(g);
      const AffineFit fit = fit_affine(block.x.data() + g * kSize, block.w.data() + g * kSize,
                                       kSize, LevelMax, false);
      wanted.scales[at] = fit.scale;
      wanted.mins[at] = -fit.offset;
      weights[at] = 0.0f;
      for (int i = 0; i < kSize; ++i) weights[at] += block.w[static_cast<size_t>(g * kSize + i)];
    }
    float d = through_half(fit_scale<ScaleLevels>(wanted.scales.data(), weights.data(), Groups));
    float dmin = through_half(fit_scale<ScaleLevels>(wanted.mins.data(), weights.data(), Groups));
    float best_error = std::numeric_limits<float>::infinity();
    for (int round = 0; round < 3; ++round) {
      AffineSuper<Groups> next;
      next.d = to_half(d);
      next.dmin = to_half(dmin);
      float error = 0.0f;
      for (int g = 0; g < Groups; ++g) error += choose_group(block, d, dmin, wanted, g, next);
      if (!(error < best_error)) break;
      best_error = error;
      best = next;
      solve_scales(block, next, d, dmin);
      d = through_half(d);
      dmin = through_half(dmin);
    }
    return best;
  }

 private:
  struct Wanted {
    std::array<float, Groups> scales;
    std::array<float, Groups> mins;
  };

  static float choose_group(const CleanBlock<256>& block, float d, float dmin, const Wanted& wanted,
                            int g, AffineSuper<Groups>& out) {
    const auto at = static_cast<size_t>(g);
    const int scale_middle = d == 0.0f ? 0 : ScaleLevels::nearest(wanted.scales[at] / d);
    const int min_middle = dmin == 0.0f ? 0 : ScaleLevels::nearest(wanted.mins[at] / dmin);
    float best_error = std::numeric_limits<float>::infinity();
    for (const int scale_nudge : {0, -1, 1}) {
      for (const int min_nudge : {0, -1, 1}) {
        const int scale = std::clamp(scale_middle + scale_nudge, 0, ScaleMax);
        const int min = std::clamp(min_middle + min_nudge, 0, ScaleMax);
        const float error =
            error_under(block, g, d * static_cast<float>(scale), dmin * static_cast<float>(min));
        if (error < best_error) {
          best_error = error;
          out.scales[at] = scale;
          out.mins[at] = min;
        }
      }
    }
    const float inverse = inverse_of(d * static_cast<float>(out.scales[at]));
    const float min = dmin * static_cast<float>(out.mins[at]);
    for (size_t i = at * kSize; i < (at + 1) * kSize; ++i) {
      out.levels[i] = UniformLevels<0, LevelMax>::nearest((block.x[i] + min) * inverse);
    }
    return best_error;
  }

  static float error_under(const CleanBlock<256>& block, int g, float step, float min) {
    const float inverse = inverse_of(step);
    Lanes errors{};
    for (int i = g * kSize; i < (g + 1) * kSize; i += 4) {
      const Lanes x = load_lanes(block.x.data() + i);
      const Lanes levels = UniformLevels<0, LevelMax>::values((x + min) * inverse);
      const Lanes rest = step * levels - min - x;
      errors += load_lanes(block.w.data() + i) * rest * rest;
    }
    return sum_lanes(errors);
  }

  // The two shared scales that suit the chosen integers best (two normal equations).
  static void solve_scales(const CleanBlock<256>& block, const AffineSuper<Groups>& chosen,
                           float& d, float& dmin) {
    double aa = 0.0, ab = 0.0, bb = 0.0, ax = 0.0, bx = 0.0;
    for (size_t i = 0; i < 256; ++i) {
      const double a = static_cast<double>(chosen.scales[i / kSize]) * chosen.levels[i];
      const double b = -static_cast<double>(chosen.mins[i / kSize]);
      const double w = static_cast<double>(block.w[i]);
      const double x = static_cast<double>(block.x[i]);
      aa += w * a * a;
      ab += w * a * b;
      bb += w * b * b;
      ax += w * a * x;
      bx += w * b * x;
    }
    const double determinant = aa * bb - ab * ab;
    if (determinant > 1e-9 * aa * bb) {
      const double next_d = (ax * bb - bx * ab) / determinant;
      const double next_dmin = (bx * aa - ax * ab) / determinant;
      if (next_d > 0.0 && next_dmin >= 0.0) {
        d = static_cast<float>(next_d);
        dmin = static_cast<float>(next_dmin);
        return;
      }
    }
    if (aa > 0.0 && bb == 0.0 && ax > 0.0) d = static_cast<float>(ax / aa);
  }
};

}  // namespace minke
