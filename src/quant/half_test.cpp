#include "quant/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace moraine::quant {
namespace {

// From the definition, in doubles.
double half_value(uint16_t h) {
  const int exponent = h >> 10 & 0x1f, mantissa = h & 0x3ff;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryFiniteHalfIsItsValue) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    if ((h & 0x7c00) == 0x7c00) continue;
    const float x = half_to_float(static_cast<uint16_t>(h));
    ASSERT_EQ(static_cast<double>(x), half_value(static_cast<uint16_t>(h))) << std::hex << h;
    ASSERT_EQ(std::signbit(x), (h & 0x8000) != 0) << std::hex << h;
    ASSERT_EQ(float_to_half(x), h);
  }
}

TEST(Half, InfinitiesAndNans) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(half_to_float(0x7c00), infinity);
  EXPECT_EQ(half_to_float(0xfc00), -infinity);
  EXPECT_EQ(float_to_half(infinity), 0x7c00);
  EXPECT_EQ(float_to_half(-infinity), 0xfc00);
  for (uint32_t h = 0x7c01; h < 0x8000; ++h) {
    ASSERT_EQ(float_bits(half_to_float(static_cast<uint16_t>(h))), 0x7fc00000u | (h & 0x3ff) << 13);
    ASSERT_EQ(float_to_half(half_to_float(static_cast<uint16_t>(h))), h | 0x200);
  }
  EXPECT_EQ(float_to_half(float_from_bits(0x7f800001)), 0x7e00);  // signalling, payload all cut off
  EXPECT_EQ(float_to_half(float_from_bits(0xffc00000)), 0xfe00);
}

// Between two neighbouring halves: up to the middle goes down, beyond goes up, the middle to even.
TEST(Half, RoundsToNearestEven) {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const double below = half_value(static_cast<uint16_t>(h)),
                 above = half_value(static_cast<uint16_t>(h + 1));
    const float middle = static_cast<float>((below + above) / 2);  // exact: one bit more than a half
    ASSERT_EQ(static_cast<double>(middle), (below + above) / 2);
    ASSERT_EQ(float_to_half(middle), (h & 1) == 0 ? h : h + 1) << std::hex << h;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 0.0f)), h) << std::hex << h;
    ASSERT_EQ(float_to_half(std::nextafter(middle, 1e9f)), h + 1) << std::hex << h;
    ASSERT_EQ(float_to_half(-middle), 0x8000 | ((h & 1) == 0 ? h : h + 1)) << std::hex << h;
  }
}

TEST(Half, OverflowsToInfinityFrom65520) {
  EXPECT_EQ(float_to_half(65504.0f), 0x7bff);
  EXPECT_EQ(float_to_half(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(float_to_half(-65520.0f), 0xfc00);
}

TEST(Half, UnderflowsToSignedZero) {
  EXPECT_EQ(float_to_half(0x1p-25f), 0x0000);  // a tie, to even
  EXPECT_EQ(float_to_half(std::nextafter(0x1p-25f, 1.0f)), 0x0001);
  EXPECT_EQ(float_to_half(-0x1p-30f), 0x8000);
  EXPECT_EQ(float_to_half(std::numeric_limits<float>::denorm_min()), 0x0000);
}

TEST(BFloat16, EveryValueThereAndBack) {
  for (uint32_t b = 0; b < 0x10000; ++b) {
    const float x = bf16_to_float(static_cast<uint16_t>(b));
    ASSERT_EQ(float_bits(x), b << 16);
    ASSERT_EQ(float_to_bf16(x), std::isnan(x) ? (b | 0x40) : b);
  }
}

TEST(BFloat16, RoundsToNearestEven) {
  for (uint32_t b = 0; b < 0x7f80; ++b) {
    const uint32_t middle = b << 16 | 0x8000;
    ASSERT_EQ(float_to_bf16(float_from_bits(middle)), (b & 1) == 0 ? b : b + 1);
    ASSERT_EQ(float_to_bf16(float_from_bits(middle - 1)), b);
    ASSERT_EQ(float_to_bf16(float_from_bits(middle + 1)), b + 1);
  }
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
  EXPECT_EQ(float_to_bf16(float_from_bits(0x7f800001)), 0x7fc0);
}

}  // namespace
}  // namespace moraine::quant
