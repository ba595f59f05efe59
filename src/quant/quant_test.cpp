#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "core/float_bits.h"
#include "core/random.h"
#include "gtest/gtest.h"
#include "quant/blocks.h"
#include "quant/format.h"
#include "quant/search.h"

namespace minke {
namespace {

std::vector<float> normal_values(int64_t count, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i + 1 < values.size(); i += 2) {
    const auto pair = normal_pair(seed, 0, i);
    values[i] = static_cast<float>(pair[0]);
    values[i + 1] = static_cast<float>(pair[1]);
  }
  return values;
}

std::vector<float> through(const QuantFormat& format, const std::vector<float>& values,
                           const float* importance = nullptr) {
  const auto count = static_cast<int64_t>(values.size());
  // The byte after the end must stay as it was.
  std::vector<uint8_t> blocks(row_bytes(format.type, count) + 1, 0xa5);
  format.encode(values.data(), blocks.data(), count, importance);
  EXPECT_EQ(blocks.back(), 0xa5) << format.name;
  std::vector<float> back(values.size() + 1, 12345.0f);
  format.decode(blocks.data(), back.data(), count);
  EXPECT_EQ(back.back(), 12345.0f) << format.name;
  back.pop_back();
  return back;
}

double relative_rms(const std::vector<float>& got, const std::vector<float>& want) {
  double error = 0.0, size = 0.0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double rest = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    error += rest * rest;
    size += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  return std::sqrt(error / size);
}

uint8_t hex_digit(char c) { return static_cast<uint8_t>(c <= '9' ? c - '0' : c - 'a' + 10); }

TEST(QuantFormat, DecodesAsTheReferencePackageBitForBit) {
  std::ifstream file(std::string(MINKE_SOURCE_DIR) + "/tests/golden/quant_golden.txt");
  ASSERT_TRUE(file.is_open());
  std::string name, hex_blocks, hex_values;
  int64_t count = 0;
  int cases = 0;
  while (file >> name >> count >> hex_blocks >> hex_values) {
    const QuantFormat* format = find_quant_format(name);
    ASSERT_NE(format, nullptr) << name;
    std::vector<uint8_t> blocks(hex_blocks.size() / 2);
    for (size_t i = 0; i < blocks.size(); ++i) {
      blocks[i] = static_cast<uint8_t>(hex_digit(hex_blocks[2 * i]) * 16 +
                                       hex_digit(hex_blocks[2 * i + 1]));
    }
    ASSERT_EQ(blocks.size(), row_bytes(format->type, count)) << name;
    std::vector<float> values(static_cast<size_t>(count));
    format->decode(blocks.data(), values.data(), count);
    for (size_t i = 0; i < values.size(); ++i) {
      uint32_t want = 0;
      for (size_t digit = 0; digit < 8; ++digit) {
        want = want * 16 + hex_digit(hex_values[8 * i + digit]);
      }
      ASSERT_EQ(std::bit_cast<uint32_t>(values[i]), want)
          << name << " value " << i << ": got " << values[i] << ", want "
          << std::bit_cast<float>(want);
    }
    ++cases;
  }
  EXPECT_EQ(cases, 16);  // all but F32
}

TEST(QuantFormat, TableIsFoundByNumberAndByName) {
  EXPECT_EQ(quant_formats().size(), 17u);
  for (const QuantFormat& format : quant_formats()) {
    EXPECT_EQ(find_quant_format(static_cast<uint32_t>(format.type)), &format);
    EXPECT_EQ(find_quant_format(std::string_view(format.name)), &format);
    EXPECT_EQ(ggml_type_name(static_cast<uint32_t>(format.type)), format.name);
    EXPECT_NE(supported_quant_names().find(format.name), std::string::npos);
    EXPECT_EQ(row_bytes(format.type, 3 * format.block_size), 3 * format.block_bytes);
  }
  EXPECT_EQ(find_quant_format("q4_k"), &quant_format(QuantType::kQ4_K));
  EXPECT_EQ(find_quant_format("Q4_K_M"), nullptr);
  EXPECT_EQ(find_quant_format(16u), nullptr);
  EXPECT_EQ(ggml_type_name(16), "IQ2_XXS");
  EXPECT_EQ(ggml_type_name(4000000000u), "");
}

// Relative rms error on normal values. The bounds lie 2 to 3% over what the encoders reach, so a
// search that gets worse is noticed.
struct ErrorBound {
  QuantType type;
  double rms_max;
};

class QuantError : public testing::TestWithParam<ErrorBound> {};

TEST_P(QuantError, NormalValuesComeBackWithinTheBound) {
  const QuantFormat& format = quant_format(GetParam().type);
  const auto values = normal_values(64 * 256, 7);
  const double error = relative_rms(through(format, values), values);
  EXPECT_LE(error, GetParam().rms_max) << format.name;
  EXPECT_GE(error, GetParam().rms_max * 0.9) << format.name << ": tighten the bound";
}

INSTANTIATE_TEST_SUITE_P(
    Formats, QuantError,
    testing::Values(ErrorBound{QuantType::kF16, 0.000215}, ErrorBound{QuantType::kBF16, 0.0017},
                    ErrorBound{QuantType::kQ4_0, 0.084}, ErrorBound{QuantType::kQ4_1, 0.0721},
                    ErrorBound{QuantType::kQ5_0, 0.0414}, ErrorBound{QuantType::kQ5_1, 0.0345},
                    ErrorBound{QuantType::kQ8_0, 0.0055}, ErrorBound{QuantType::kQ2_K, 0.274},
                    ErrorBound{QuantType::kQ3_K, 0.149}, ErrorBound{QuantType::kQ4_K, 0.0724},
                    ErrorBound{QuantType::kQ5_K, 0.0354}, ErrorBound{QuantType::kQ6_K, 0.0177},
                    ErrorBound{QuantType::kQ8_K, 0.00725}, ErrorBound{QuantType::kIQ4_NL, 0.0756},
                    ErrorBound{QuantType::kIQ4_XS, 0.076}, ErrorBound{QuantType::kMXFP4, 0.1145}),
    [](const auto& bound) { return quant_format(bound.param.type).name; });

class EveryFormat : public testing::TestWithParam<QuantType> {
 protected:
  const QuantFormat& format() const { return quant_format(GetParam()); }
};

TEST_P(EveryFormat, ZerosComeBackAsZeros) {
  for (const float value : through(format(), std::vector<float>(512, 0.0f))) {
    ASSERT_EQ(value, 0.0f);
  }
  for (const float value : through(format(), std::vector<float>(512, -0.0f))) {
    ASSERT_EQ(value, 0.0f);
  }
}

TEST_P(EveryFormat, OneOutlierKeepsItsSize) {
  for (const float sign : {-1.0f, 1.0f}) {
    std::vector<float> values(256, 0.0f);
    values[37] = sign * 100.0f;
    const auto back = through(format(), values);
    EXPECT_NEAR(back[37], values[37], 5.0f);
    EXPECT_NEAR(back[36], 0.0f, 5.0f);
  }
}

TEST_P(EveryFormat, ConstantRowsComeBack) {
  for (const float constant : {0.5f, -0.5f}) {
    for (const float value : through(format(), std::vector<float>(256, constant))) {
      ASSERT_NEAR(value, constant, 0.02f);
    }
  }
}

TEST_P(EveryFormat, TinyAndHugeValuesStayFinite) {
  for (const float scale : {1e-38f, 1e-30f, 1e-20f, 1e-12f, 1e-8f, 6e-8f, 1e-6f, 1e4f, 6e4f}) {
    auto values = normal_values(256, 3);
    for (float& value : values) value *= scale;
    if (GetParam() == QuantType::kF16 && scale > 1e4f) continue;  // overflows to infinity
    const auto back = through(format(), values);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_TRUE(std::isfinite(back[i])) << scale;
      ASSERT_LE(std::fabs(back[i]), 8.0f * scale + 1e-6f) << scale;
    }
  }
}

TEST_P(EveryFormat, NanAndInfinityFollowTheHeader) {
  auto values = normal_values(256, 5);
  values[3] = std::numeric_limits<float>::quiet_NaN();
  values[40] = std::numeric_limits<float>::infinity();
  values[200] = -std::numeric_limits<float>::infinity();
  const auto back = through(format(), values);
  if (!format().quantised) {
    EXPECT_TRUE(std::isnan(back[3]));
    EXPECT_EQ(back[40], values[40]);
    EXPECT_EQ(back[200], values[200]);
    return;
  }
  for (const float value : back) ASSERT_TRUE(std::isfinite(value));
  EXPECT_NEAR(back[40], 65504.0f, 4000.0f);
  EXPECT_NEAR(back[200], -65504.0f, 4000.0f);
}

TEST_P(EveryFormat, BadImportanceIsHarmless) {
  const auto values = normal_values(512, 9);
  std::vector<float> importance(512, 0.0f);
  const auto plain = through(format(), values);
  EXPECT_EQ(through(format(), values, importance.data()), plain);  // all zero: nothing measured
  importance.assign(512, std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(through(format(), values, importance.data()), plain);
  importance.assign(512, 1.0f);
  importance[7] = std::numeric_limits<float>::infinity();
  importance[8] = -1.0f;
  for (const float value : through(format(), values, importance.data())) {
    ASSERT_TRUE(std::isfinite(value));
  }
}

TEST_P(EveryFormat, EncodingWhatWasDecodedIsStable) {
  const auto once = through(format(), normal_values(1024, 11));
  const double again = relative_rms(through(format(), once), once);
  EXPECT_LE(again, format().quantised ? 0.03 : 0.0) << format().name;
}

TEST_P(EveryFormat, RandomBitsDecodeWithoutTouchingTheirNeighbours) {
  const auto count = 4 * format().block_size;
  std::vector<uint8_t> blocks(row_bytes(GetParam(), count));
  for (uint64_t round = 0; round < 50; ++round) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      blocks[i] = static_cast<uint8_t>(philox(round, 1, i)[0]);
    }
    std::vector<float> values(static_cast<size_t>(count) + 1, 77.0f);
    format().decode(blocks.data(), values.data(), count);
    ASSERT_EQ(values.back(), 77.0f);
  }
}

TEST_P(EveryFormat, BadScalesAreFound) {
  // Whatever bits a block has: it is reported exactly when it decodes to something not finite,
  // unless its levels under a bad scale are all zero.
  const int64_t size = format().block_size;
  std::vector<uint8_t> blocks(3 * format().block_bytes);
  std::vector<float> values(static_cast<size_t>(3 * size));
  int bad_blocks = 0;
  for (uint64_t round = 0; round < 400; ++round) {
    // All bytes but those of the middle block are ordinary.
    const auto plain = normal_values(3 * 256, round);
    format().encode(plain.data(), blocks.data(), 3 * size, nullptr);
    EXPECT_EQ(find_non_finite(GetParam(), blocks.data(), 3 * size), -1);
    for (size_t i = 0; i < format().block_bytes; ++i) {
      // Ones are likely, so that exponents of all ones are.
      const auto random = philox(round, 2, i);
      blocks[format().block_bytes + i] = static_cast<uint8_t>(random[0] | random[1] | random[2]);
    }
    format().decode(blocks.data(), values.data(), 3 * size);
    bool finite = true;
    for (const float value : values) finite = finite && std::isfinite(value);
    const int64_t found = find_non_finite(GetParam(), blocks.data(), 3 * size);
    if (finite) {
      ASSERT_EQ(found, -1) << round;
    } else {
      ASSERT_EQ(found, size) << round;
      ++bad_blocks;
    }
  }
  EXPECT_GT(bad_blocks, 5);
}

std::vector<QuantType> all_types() {
  std::vector<QuantType> types;
  for (const QuantFormat& format : quant_formats()) types.push_back(format.type);
  return types;
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat, testing::ValuesIn(all_types()),
                         [](const auto& type) { return quant_format(type.param).name; });

TEST(QuantEncode, ImportanceMovesTheErrorAway) {
  const auto values = normal_values(64 * 256, 13);
  std::vector<float> importance(values.size(), 0.01f);
  for (size_t i = 0; i < importance.size(); i += 8) importance[i] = 1.0f;
  for (const QuantType type : {QuantType::kQ4_0, QuantType::kQ4_1, QuantType::kQ2_K,
                               QuantType::kQ3_K, QuantType::kQ4_K, QuantType::kIQ4_XS}) {
    const QuantFormat& format = quant_format(type);
    const auto plain = through(format, values);
    const auto steered = through(format, values, importance.data());
    std::vector<float> want, plain_part, steered_part;
    for (size_t i = 0; i < values.size(); i += 8) {
      want.push_back(values[i]);
      plain_part.push_back(plain[i]);
      steered_part.push_back(steered[i]);
    }
    EXPECT_LT(relative_rms(steered_part, want), 0.9 * relative_rms(plain_part, want))
        << format.name;
  }
}

// The same values, alone and among such as are far larger: alone the larger half of them matters
// more, among the others all of them matter alike.
TEST(QuantEncode, WhatStandsOutInItsRowMattersMore) {
  constexpr size_t kCount = 512;
  for (const QuantType type : {QuantType::kQ4_0, QuantType::kQ4_1, QuantType::kQ5_0,
                               QuantType::kQ3_K, QuantType::kQ4_K, QuantType::kIQ4_NL}) {
    const QuantFormat& format = quant_format(type);
    double large_alone = 0.0, large_among = 0.0, all_alone = 0.0, all_among = 0.0;
    for (uint64_t seed = 0; seed < 40; ++seed) {
      auto values = normal_values(2 * kCount, seed);
      for (size_t i = kCount; i < values.size(); ++i) values[i] *= 1e-4f;
      const auto alone = through(format, values);
      for (size_t i = kCount; i < values.size(); ++i) values[i] *= 1e8f;
      const auto among = through(format, values);
      for (size_t i = 0; i < kCount; ++i) {
        const double x = static_cast<double>(values[i]);
        const double one = std::pow(static_cast<double>(alone[i]) - x, 2);
        const double other = std::pow(static_cast<double>(among[i]) - x, 2);
        all_alone += one;
        all_among += other;
        if (std::fabs(x) < 1.0) continue;
        large_alone += one;
        large_among += other;
      }
    }
    EXPECT_LT(large_alone, large_among) << format.name;
    EXPECT_GT(all_alone, all_among) << format.name;
  }
}

TEST(QuantBlocks, PackedScalesComeBack) {
  uint8_t packed[12] = {};
  for (int g = 0; g < 8; ++g) {
    pack_k4_scale(packed, g, {static_cast<uint8_t>(63 - 7 * g), static_cast<uint8_t>(9 * g)});
  }
  for (int g = 0; g < 8; ++g) {
    EXPECT_EQ(unpack_k4_scale(packed, g).scale, 63 - 7 * g);
    EXPECT_EQ(unpack_k4_scale(packed, g).min, 9 * g);
  }
  std::memset(packed, 0, sizeof packed);
  for (int g = 0; g < 16; ++g) pack_q3_k_scale(packed, g, (g * 37 + 5) % 64);
  for (int g = 0; g < 16; ++g) EXPECT_EQ(unpack_q3_k_scale(packed, g), (g * 37 + 5) % 64);
}

TEST(QuantSearch, Iq4LevelsAreTheNearest) {
  for (int step = -1100; step <= 1100; ++step) {
    const float value = static_cast<float>(step) / 8.0f;
    const float got = std::fabs(Iq4Levels::value(Iq4Levels::nearest(value)) - value);
    float best = std::numeric_limits<float>::infinity();
    for (int level = 0; level < 16; ++level) {
      best = std::min(best, std::fabs(Iq4Levels::value(level) - value));
    }
    ASSERT_EQ(got, best) << value;
  }
}

TEST(QuantSearch, NearestIntegerTiesToEven) {
  EXPECT_EQ(nearest_int(2.5f), 2);
  EXPECT_EQ(nearest_int(3.5f), 4);
  EXPECT_EQ(nearest_int(-2.5f), -2);
  EXPECT_EQ(nearest_int(-127.49f), -127);
}

}  // namespace
}  // namespace minke
