// Frequencies and magnitudes of rope against numbers of the published code (transformers 5.23,
// modeling_rope_utils.py).
#include "plan/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>

namespace moraine::plan {
namespace {

RopeParams rope(int32_t n_rot, float base) {
  RopeParams p;
  p.n_rot = n_rot;
  p.freq_base = base;
  return p;
}

void expect_frequencies(const RopeParams& p, std::span<const float> expected) {
  const std::vector<float> freq = rope_frequencies(p, nullptr);
  ASSERT_EQ(freq.size(), expected.size());
  for (size_t i = 0; i < freq.size(); ++i)
    EXPECT_NEAR(freq[i], expected[i], 3e-7 * expected[i]) << "pair " << i;
}

TEST(Yarn, RampBetweenFastAndSlowPairs) {
  RopeParams p = rope(16, 10000.0f);
  p.freq_scale = 1.0f / 4;
  p.yarn_original_context = 256;
  expect_frequencies(p, std::vector<float>{1, 0.25693506f, 0.0625f, 0.0138349654f, 0.00249999994f,
                                           0.000790569466f, 0.000250000012f, 7.90569466e-05f});
}

TEST(Yarn, BoundsOfTheFile) {
  RopeParams p = rope(16, 10000.0f);
  p.freq_scale = 1.0f / 8;
  p.yarn_original_context = 64;
  p.yarn_beta_fast = 4;
  p.yarn_beta_slow = 0.5f;
  expect_frequencies(p, std::vector<float>{1, 0.223994657f, 0.0416666642f, 0.00395284733f, 0.00124999997f,
                                           0.000395284733f, 0.000125000006f, 3.95284733e-05f});
}

// Both bounds fall together: the first pair is kept, all others are scaled.
TEST(Yarn, NoRampWithinTheHead) {
  RopeParams p = rope(16, 10000.0f);
  p.freq_scale = 1.0f / 2;
  p.yarn_original_context = 4;
  expect_frequencies(p, std::vector<float>{1, 0.158113882f, 0.0500000007f, 0.0158113893f, 0.00499999989f,
                                           0.00158113893f, 0.000500000024f, 0.000158113893f});
}

TEST(Yarn, ContextAndBaseOfRealModels) {
  RopeParams p = rope(32, 1e6f);
  p.freq_scale = 1.0f / 4;
  p.yarn_original_context = 32768;
  expect_frequencies(p, std::vector<float>{1, 0.421696514f, 0.177827939f, 0.0749894157f, 0.0316227786f,
                                           0.0133352149f, 0.00477990136f, 0.00165996165f, 0.000549999997f,
                                           0.000168678584f, 4.44569851e-05f, 1.87473561e-05f, 7.90569356e-06f,
                                           3.33380353e-06f, 1.40585337e-06f, 5.92843435e-07f});
}

// Without the ramp every pair is scaled: yarn is then linear scaling.
TEST(Yarn, WithoutExtrapolationIsLinear) {
  RopeParams linear = rope(64, 10000.0f), yarn = linear;
  linear.freq_scale = yarn.freq_scale = 1.0f / 8;
  yarn.yarn_original_context = 512;
  yarn.yarn_ext_factor = 0;
  expect_frequencies(yarn, rope_frequencies(linear, nullptr));
}

TEST(RopeRow, MagnitudeScalesCosAndSin) {
  RopeParams p = rope(8, 10000.0f);
  p.magnitude = 1.25f;
  const std::vector<float> freq = rope_frequencies(p, nullptr);
  float cos[4], sin[4];
  fill_rope_row(p, freq, 7, cos, sin);
  for (int i = 0; i < 4; ++i) {
    EXPECT_FLOAT_EQ(cos[i], static_cast<float>(1.25 * std::cos(7.0f * freq[i])));
    EXPECT_FLOAT_EQ(sin[i], static_cast<float>(1.25 * std::sin(7.0f * freq[i])));
  }
}

TEST(RopeRow, TemperatureGrowsWithWholeContexts) {
  RopeParams p = rope(8, 10000.0f);
  p.temperature_scale = 0.1f;
  p.temperature_length = 64;
  const std::vector<float> freq = rope_frequencies(p, nullptr);
  for (const auto& [position, expected] :
       {std::pair{0, 1.0}, {63, 1.0}, {64, 1 + 0.1 * std::log(2)}, {200, 1 + 0.1 * std::log(4)}}) {
    float cos[4], sin[4];
    fill_rope_row(p, freq, position, cos, sin);
    EXPECT_NEAR(std::hypot(cos[0], sin[0]), expected, 1e-6) << "position " << position;
  }
}

TEST(SameAngles, ButForTheKindEveryParameterCounts) {
  const RopeParams a = rope(64, 10000.0f);
  RopeParams b = a;
  b.kind = RopeKind::kAdjacent;
  EXPECT_TRUE(same_angles(a, b));
  b.temperature_scale = 0.1f;
  EXPECT_FALSE(same_angles(a, b));
  b = a;
  b.yarn_original_context = 4096;
  EXPECT_FALSE(same_angles(a, b));
}

}  // namespace
}  // namespace moraine::plan
