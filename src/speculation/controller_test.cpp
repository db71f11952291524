#include "speculation/controller.h"

#include <gtest/gtest.h>

#include <algorithm>

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

Offer offer(int32_t available, int32_t match = kMatch) { return {kSource, match, available}; }

// A draft model whose tokens take `token` single steps each.
Offer model(int32_t available, double token) { return {Source::kModel, 0, available, 0, 0.01 * token}; }

void hold_model(Controller& c, double share, double sure = 1, int trials = 400) {
  for (int i = 0; i < trials; ++i) {
    c.outcome(Source::kModel, 0, 1, (i * 7919 % 100) < share * 100 ? 1 : 0);
    c.drafted_by_model(1, (i * 6007 % 100) < sure * 100 ? 1 : 0);
  }
}

// A uniform number from 0 to 1, always the same ones.
double uniform(uint64_t i) {
  i = (i + 1) * 0x9e3779b97f4a7c15u;
  i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9u;
  return static_cast<double>((i ^ (i >> 27)) * 0x94d049bb133111ebu >> 11) * 0x1p-53;
}

// Steps of a text whose drafted tokens hold with probability p, on a machine where a further row costs
// `slope` single steps, where each time is off by up to a fifth and one in fifty steps is interrupted. Tokens
// a single step's time.
double run(Controller& c, double p, double slope, int steps, uint64_t seed) {
  double tokens = 0, seconds = 0;
  uint64_t draws = seed << 32;
  for (int i = 0; i < steps; ++i) {
    auto choice = c.best(offer(16, 0), {});
    if (choice.length == 0) choice = c.probe(offer(16, 0), {});
    const double right = 0.01 * (1 + slope * choice.length);
    const double noise = 0.8 + 0.4 * uniform(draws++);
    const double interruption = uniform(draws++) < 0.02 ? 8 : 1;
    c.measured(1 + choice.length, right * noise * interruption);
    int held = 0;
    while (held < choice.length && uniform(draws++) < p) ++held;
    if (choice.length > 0) c.outcome(kSource, 0, choice.length, held);
    tokens += 1 + held, seconds += right;
  }
  return tokens * 0.01 / seconds;
}

TEST(Controller, IsNearTheBestFixedLengthInSpiteOfNoise) {
  for (const double slope : {0.03, 0.1, 0.25, 0.6})
    for (const double p : {0.0, 0.3, 0.6, 0.9, 1.0}) {
      double best = 0;
      for (const int k : {0, 1, 2, 4, 8, 16}) {
        double tokens = 1, q = 1;
        for (int i = 0; i < k; ++i) tokens += q *= p;
        best = std::max(best, tokens / (1 + slope * k));
      }
      Controller c(17);
      run(c, p, slope, 300, 1);
      EXPECT_GT(run(c, p, slope, 3000, 2), 0.95 * best) << "slope " << slope << ", holds " << p;
      // And soon again when the text changes.
      run(c, 1 - p, slope, 1000, 3);
      run(c, p, slope, 600, 4);
      EXPECT_GT(run(c, p, slope, 3000, 5), 0.94 * best) << "again, slope " << slope << ", holds " << p;
    }
}

TEST(Controller, AnAnswerOfAnotherKindLosesLittle) {
  for (const double slope : {0.03, 0.1, 0.25}) {
    Controller c(17);
    run(c, 0.95, slope, 1000, 8);  // a file is copied
    c.text_ended();
    EXPECT_GT(run(c, 0, slope, 300, 9), 0.95) << slope;
    c.text_ended();
    double most = 0;  // with the best fixed length
    for (int k = 0; k <= 16; ++k) {
      double tokens = 1, q = 1;
      for (int i = 0; i < k; ++i) tokens += q *= 0.95;
      most = std::max(most, tokens / (1 + slope * k));
    }
    EXPECT_GT(run(c, 0.95, slope, 100, 10), 0.8 * most) << slope;
  }
}

TEST(Controller, ShortAnswersLoseLittleToLearning) {
  // From nothing, drafts that never hold: what a new server's first answer of 300 tokens sees.
  for (const double slope : {0.03, 0.1, 0.25, 0.6, 1.0}) {
    Controller c(17);
    EXPECT_GT(run(c, 0, slope, 300, 7), 0.97) << slope;
  }
}

TEST(Controller, DraftsLongWhereRowsAreCheapAndDraftsHold) {
  Controller c = with_costs(0.02);
  hold(c, 1.0);
  EXPECT_GE(c.best(offer(16), {}).length, 14);
  EXPECT_EQ(c.best(offer(5), {}).length, 5);
  EXPECT_GT(c.best(offer(5), {}).gain, 4);
}

TEST(Controller, RunsPlainWhereARowCostsAStepAndProbesLittle) {
  Controller c = with_costs(1.0);
  hold(c, 0.9);
  int probes = 0;
  double spent = 0, total = 0;
  for (int i = 0; i < 5000; ++i) {
    EXPECT_EQ(c.best(offer(16), {}).length, 0);
    const auto choice = c.probe(offer(16), {});
    c.measured(1 + choice.length, 0.01 * (1 + choice.length));
    total += 0.01 * (1 + choice.length), spent += 0.01 * choice.length;
    if (choice.length == 0) continue;
    EXPECT_TRUE(choice.is_probe);
    ++probes;
    c.outcome(kSource, kMatch, choice.length, 0);
  }
  EXPECT_GE(probes, 2);
  EXPECT_LE(probes, 30);  // they fail: each interval is twice the last, up to 256
  EXPECT_LE(spent, 0.02 * total + 0.02);
}

// However many kinds of offers there are, all their probes together keep within their share.
TEST(Controller, ProbesOfAllKindsShareTwoPercent) {
  Controller c = with_costs(0.5);
  constexpr int kMatches[] = {3, 5, 8, 30};
  int probes = 0;
  for (int i = 0; i < 2000; ++i) {
    int32_t rows = 1;
    for (const int match : kMatches) {
      if (c.best(offer(1, match), {}).length > 0) continue;
      const auto choice = c.probe(offer(1, match), {});
      if (choice.length == 0) continue;
      ++probes, rows = 2;
      c.outcome(kSource, match, 1, i % 3 == 0);  // now and then they hold: intervals stay short
      break;
    }
    c.measured(rows, rows == 1 ? 0.01 : 0.015);
  }
  EXPECT_LE(probes, 2 + 40);
  EXPECT_GE(probes, 10);
}

TEST(Controller, FollowsAcceptance) {
  Controller c = with_costs(0.2);
  hold(c, 0.95);
  const int32_t good = c.best(offer(16), {}).length;
  hold(c, 0.6);
  const int32_t fair = c.best(offer(16), {}).length;
  EXPECT_GT(good, fair);
  EXPECT_GT(fair, 0);
  hold(c, 0.05);
  EXPECT_EQ(c.best(offer(16), {}).length, 0);
}

TEST(Controller, ChoosesTheBestLengthOfAll) {
  Controller c = with_costs(0.15);
  hold(c, 0.8);
  const double p = c.acceptance(kSource, kMatch);
  const int32_t chosen = c.best(offer(16), {}).length;
  const auto rate = [&](int32_t k) {
    double tokens = 1, q = 1;
    for (int i = 0; i < k; ++i) tokens += q *= p;
    return tokens / (1 + 0.15 * k);
  };
  for (int k = 0; k <= 16; ++k) EXPECT_GE(rate(chosen), rate(k) * 0.9999) << k;
  EXPECT_NEAR(c.best(offer(16), {}).gain, rate(chosen), 0.01);
}

// What a draft gains one sequence, all others of the step wait for.
TEST(Controller, CountsWhatOthersLose) {
  Controller c = with_costs(0.2);
  hold(c, 0.6);
  EXPECT_GT(c.best(offer(16), {}).length, 0);
  EXPECT_LT(c.best(offer(16), {7, 7}).gain, c.best(offer(16), {}).gain);
}

TEST(Controller, AModelsOwnTimeCounts) {
  Controller c = with_costs(0.1);
  hold_model(c, 0.8);
  const auto free = c.best(model(16, 0), {}), cheap = c.best(model(16, 0.1), {}),
             dear = c.best(model(16, 0.4), {});
  EXPECT_GT(free.length, cheap.length);
  EXPECT_GT(cheap.length, dear.length);
  EXPECT_GT(cheap.gain, 1.03);
  EXPECT_EQ(c.best(model(16, 0.9), {}).length, 0);
  EXPECT_LT(c.gain(model(16, 0.9), {}), 1);
  EXPECT_LT(c.most_gain(model(16, 1.2), {}), 1);  // not even if all held
  // The best of all lengths, by the formula of docs/speculation.md.
  const double p = c.acceptance(Source::kModel, 0);
  double best = 0;
  for (int k = 1; k <= 16; ++k) {
    double tokens = 1, q = 1;
    for (int i = 0; i < k; ++i) tokens += q *= p;
    best = std::max(best, tokens / (1 + 0.1 * k + 0.1 * k));
  }
  EXPECT_NEAR(cheap.gain, best, 0.1);  // it was nearly always sure
}

TEST(Controller, WhatAModelMustReadFirstCounts) {
  Controller c = with_costs(0.1);
  hold_model(c, 0.8);
  Offer o = model(16, 0.1);
  const double before = c.best(o, {}).gain;
  o.begin_seconds = 0.01;
  EXPECT_LT(c.best(o, {}).gain, before);
  o.begin_seconds = 0.1;
  EXPECT_EQ(c.best(o, {}).length, 0);
  o.once_seconds = 10;
  EXPECT_EQ(c.probe(o, {}).length, 0);  // ten seconds for a probe
}

TEST(Controller, AModelThatIsRarelySureIsAskedForLess) {
  Controller sure = with_costs(0.1), unsure = with_costs(0.1);
  hold_model(sure, 0.8, 1.0);
  hold_model(unsure, 0.8, 0.4);
  EXPECT_GT(sure.best(model(16, 0.1), {}).gain, unsure.best(model(16, 0.1), {}).gain);
  for (int i = 0; i < 400; ++i) unsure.drafted_by_model(4, 0);
  EXPECT_EQ(unsure.best(model(16, 0.1), {}).length, 0);
}

// Those who are drafted for together share the model's time.
TEST(Controller, SharingMakesAModelCheaper) {
  Controller c = with_costs(0.02);
  hold_model(c, 0.8);
  Offer alone = model(4, 0.5), shared = model(4, 0.5);
  shared.sharers = 4;
  EXPECT_GT(c.gain(shared, {3, 3}), c.gain(alone, {3, 3}));
}

TEST(Controller, ShorterDraftsThanTheLeastAreNotUsed) {
  Controller c(33, 4);
  for (int rows = 1; rows <= 33; ++rows) c.measured(rows, 0.01 * (1 + 0.02 * (rows - 1)));
  hold(c, 1.0);
  EXPECT_EQ(c.best(offer(3), {}).length, 0);
  EXPECT_GE(c.best(offer(16), {}).length, 4);
}

TEST(Controller, CostsNeverFallWithRowsAndFillGaps) {
  Controller c(33);
  EXPECT_EQ(c.cost(4), 0);
  c.measured(1, 0.010);
  EXPECT_GT(c.cost(4), 0.010);
  c.measured(8, 0.008);  // noise
  EXPECT_GE(c.cost(8), c.cost(1));
  for (int i = 0; i < 20; ++i) c.measured(1, 0.010), c.measured(8, 0.010), c.measured(16, 0.026);
  for (int rows = 1; rows < 33; ++rows) EXPECT_LE(c.cost(rows), c.cost(rows + 1)) << rows;
  EXPECT_NEAR(c.cost(12), 0.018, 0.002);
}

}  // namespace
}  // namespace moraine::speculation
