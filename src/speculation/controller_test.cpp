#include "speculation/controller.h"

#include <gtest/gtest.h>

namespace moraine::speculation {
namespace {

constexpr Source kSource = Source::kRequest;
constexpr int32_t kMatch = 8;

// Costs as of a machine where a further row costs `slope` single steps.
Controller with_costs(double slope) {
  Controller c(33);
  for (int rows = 1; rows <= 33; ++rows) c.measured(rows, 0.01 * (1 + slope * (rows - 1)));
  return c;
}

void hold(Controller& c, double share, int trials = 200) {
  for (int i = 0; i < trials; ++i) c.outcome(kSource, kMatch, 1, (i * 7919 % 100) < share * 100 ? 1 : 0);
}

TEST(Controller, DraftsLongWhereRowsAreCheapAndDraftsHold) {
  Controller c = with_costs(0.02);
  hold(c, 1.0);
  EXPECT_GE(c.choose(kSource, kMatch, 16, 0), 14);
  EXPECT_EQ(c.choose(kSource, kMatch, 5, 0), 5);
}

TEST(Controller, RunsPlainWhereARowCostsAStep) {
  Controller c = with_costs(1.0);
  hold(c, 0.9);
  int probes = 0;
  for (int i = 0; i < 1000; ++i) {
    const int32_t n = c.choose(kSource, kMatch, 16, 0);
    if (n > 0) ++probes, c.outcome(kSource, kMatch, n, 0);
  }
  EXPECT_LE(probes, 20);
  EXPECT_GE(probes, 2);
}

TEST(Controller, FollowsAcceptance) {
  Controller c = with_costs(0.2);
  hold(c, 0.95);
  const int32_t good = c.choose(kSource, kMatch, 16, 0);
  hold(c, 0.6);
  const int32_t fair = c.choose(kSource, kMatch, 16, 0);
  EXPECT_GT(good, fair);
  EXPECT_GT(fair, 0);
  hold(c, 0.05);
  c.choose(kSource, kMatch, 16, 0);  // perhaps a probe
  EXPECT_EQ(c.choose(kSource, kMatch, 16, 0), 0);
}

TEST(Controller, ChoosesTheBestLengthOfAll) {
  Controller c = with_costs(0.15);
  hold(c, 0.8);
  const double p = c.acceptance(kSource, kMatch);
  const int32_t chosen = c.choose(kSource, kMatch, 16, 0);
  const auto rate = [&](int32_t k) {
    double tokens = 1, q = 1;
    for (int i = 0; i < k; ++i) tokens += q *= p;
    return tokens / (1 + 0.15 * k);
  };
  for (int k = 0; k <= 16; ++k) EXPECT_GE(rate(chosen), rate(k) * 0.9999) << k;
}

TEST(Controller, CostsNeverFallWithRowsAndFillGaps) {
  Controller c(33);
  EXPECT_EQ(c.cost(4), 0);
  c.measured(1, 0.010);
  EXPECT_GT(c.cost(4), 0.010);
  c.measured(8, 0.008);  // noise
  EXPECT_GE(c.cost(8), c.cost(1));
  c.measured(16, 0.026);
  for (int rows = 1; rows < 33; ++rows) EXPECT_LE(c.cost(rows), c.cost(rows + 1)) << rows;
  EXPECT_NEAR(c.cost(12), 0.018, 0.002);
}

}  // namespace
}  // namespace moraine::speculation
