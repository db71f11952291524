#include "sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace moraine::sampling {
namespace {

SamplingParams plain() {  // no filter at all
  SamplingParams p;
  p.temperature = 1.0f;
  p.top_k = 0;
  p.top_p = 1.0f;
  p.min_p = 0.0f;
  return p;
}

std::vector<float> ramp(int n) {
  std::vector<float> l;
  for (int i = 0; i < n; ++i) l.push_back(static_cast<float>(i) * 0.5f);
  return l;
}

std::set<TokenId> reachable(SamplingParams p, const std::vector<float>& logits, int draws = 3000) {
  Sampler s(std::move(p), 0, {});
  std::set<TokenId> seen;
  for (int i = 0; i < draws; ++i) seen.insert(s.sample(logits, i));
  return seen;
}

TEST(Sampler, GreedyTakesTheHighestAndTheLowestIdOfEquals) {
  SamplingParams p;
  p.temperature = 0;
  Sampler s(p, 0, {});
  EXPECT_EQ(s.sample(std::vector<float>{1, 3, 2, 3}, 0), 1);
  EXPECT_EQ(s.sample(std::vector<float>{NAN, -5, NAN}, 0), 1);
}

TEST(Sampler, FrequenciesFollowTheSoftmax) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f};
  SamplingParams p = plain();
  p.temperature = 0.7f;
  Sampler s(p, 0, {});
  double z = 0;
  for (float l : logits) z += std::exp(l / 0.7);
  std::map<TokenId, int> count;
  const int n = 40000;
  for (int i = 0; i < n; ++i) ++count[s.sample(logits, i)];
  for (int t = 0; t < 4; ++t) {
    const double expected = std::exp(logits[t] / 0.7) / z;
    EXPECT_NEAR(count[t] / double(n), expected, 4 * std::sqrt(expected * (1 - expected) / n) + 1e-4) << t;
  }
}

TEST(Sampler, ADrawIsAFunctionOfItsKeyAlone) {
  const auto logits = ramp(50);
  SamplingParams p = plain();
  p.temperature = 5;
  p.seed = 42;
  Sampler a(p, 0, {}), b(p, 0, {}), other_choice(p, 1, {});
  p.seed = 43;
  Sampler other_seed(p, 0, {});
  for (int i = 0; i < 100; ++i) a.sample(logits, i);  // what was drawn before does not matter
  int same_choice = 0, same_seed = 0;
  for (int i = 200; i < 300; ++i) {
    const TokenId t = a.sample(logits, i);
    EXPECT_EQ(t, b.sample(logits, i));
    same_choice += t == other_choice.sample(logits, i);
    same_seed += t == other_seed.sample(logits, i);
  }
  EXPECT_LT(same_choice, 40);
  EXPECT_LT(same_seed, 40);
}

TEST(Sampler, TopK) {
  SamplingParams p = plain();
  p.temperature = 100;
  p.top_k = 3;
  EXPECT_EQ(reachable(p, ramp(20)), (std::set<TokenId>{17, 18, 19}));
  EXPECT_EQ(reachable(p, std::vector<float>(10, 1.0f)), (std::set<TokenId>{0, 1, 2}));  // equals: lower ids
}

// The size of a real vocabulary, which is looked through block by block: few different values, so that
// equals stand in many blocks; NaN and -inf among them.
TEST(Sampler, ALargeVocabularyIsOrderedAsASmallOne) {
  std::vector<float> logits;
  uint64_t random = 1;
  for (int i = 0; i < 151'936; ++i) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    const auto v = static_cast<int>(random >> 54);  // 0 to 1023
    logits.push_back(v < 8 ? NAN : v < 16 ? -INFINITY : 0.001f * static_cast<float>(std::min(v, 1000)));
  }
  std::vector<TokenId> order;
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] > -INFINITY) order.push_back(static_cast<TokenId>(i));
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return logits[a] > logits[b]; });
  SamplingParams p = plain();
  p.temperature = 0;
  EXPECT_EQ(Sampler(p, 0, {}).sample(logits, 0), order[0]);
  p.temperature = 1;
  p.top_k = 10;
  EXPECT_EQ(reachable(p, logits), std::set<TokenId>(order.begin(), order.begin() + 10));
  logits[order[0]] = NAN;  // the next ones move up
  logits[151'935] = 5;     // in the last block, which is not a whole one
  p.temperature = 0;
  EXPECT_EQ(Sampler(p, 0, {}).sample(logits, 0), 151'935);
  p.temperature = 1;
  p.top_k = 1;
  EXPECT_EQ(reachable(p, logits, 3), std::set<TokenId>{151'935});
}

TEST(Sampler, TopP) {
  SamplingParams p = plain();
  p.top_p = 0.9f;
  // probabilities 0.5, 0.3, 0.15, 0.05: the first three are needed to reach 0.9
  const std::vector<float> l = {std::log(0.15f), std::log(0.5f), std::log(0.05f), std::log(0.3f)};
  EXPECT_EQ(reachable(p, l), (std::set<TokenId>{0, 1, 3}));
  p.top_p = 0;
  EXPECT_EQ(reachable(p, l), (std::set<TokenId>{1}));
}

TEST(Sampler, MinP) {
  SamplingParams p = plain();
  p.temperature = 3;
  p.min_p = 0.25f;  // of the highest probability, before temperature
  const std::vector<float> l = {std::log(0.15f), std::log(0.5f), std::log(0.05f), std::log(0.3f)};
  EXPECT_EQ(reachable(p, l), (std::set<TokenId>{0, 1, 3}));
}

TEST(Sampler, TypicalDropsTheLeastTypical) {
  SamplingParams p = plain();
  p.typical_p = 0.5f;
  const std::vector<float> l = {std::log(0.4f), std::log(0.3f), std::log(0.2f), std::log(0.1f)};
  const auto seen = reachable(p, l);
  EXPECT_FALSE(seen.contains(3));
  EXPECT_FALSE(seen.empty());
}

TEST(Sampler, Penalties) {
  SamplingParams p;
  p.temperature = 0;
  p.repeat_penalty = 2;
  Sampler s(p, 0, {});
  const std::vector<float> l = {3.0f, 2.0f, -1.0f};
  s.accept(0);
  EXPECT_EQ(s.sample(l, 0), 1);  // 3/2 < 2
  p.repeat_penalty = 1;
  p.frequency_penalty = 0.6f;
  p.repeat_last_n = 3;
  Sampler f(p, 0, {});
  f.accept(0);
  EXPECT_EQ(f.sample(l, 0), 0);  // 2.4
  f.accept(0);
  EXPECT_EQ(f.sample(l, 0), 1);             // 1.8
  for (int i = 0; i < 3; ++i) f.accept(2);  // the window has moved on
  EXPECT_EQ(f.sample(l, 0), 0);
}

TEST(Sampler, BiasBansAndIgnoreEos) {
  SamplingParams p = plain();
  p.logit_bias = {{2, -std::numeric_limits<float>::infinity()}, {0, 100.0f}, {99, 1.0f}, {-1, 1.0f}};
  EXPECT_EQ(reachable(p, {0, 0, 5}), (std::set<TokenId>{0}));
  SamplingParams e = plain();
  e.ignore_eos = true;
  const TokenId eos[] = {1};
  Sampler s(e, 0, eos);
  for (int i = 0; i < 200; ++i)
    EXPECT_EQ(s.sample(std::vector<float>{0, 50, -std::numeric_limits<float>::infinity()}, i), 0);
}

TEST(Sampler, SenselessParametersAreHarmless) {
  SamplingParams p = plain();
  p.temperature = NAN;
  p.repeat_penalty = 0;
  p.top_p = NAN;
  p.min_p = NAN;
  p.min_keep = -5;
  Sampler s(p, 0, {});
  s.accept(0);
  const TokenId t = s.sample(ramp(5), 0);
  EXPECT_GE(t, 0);
  EXPECT_LT(t, 5);
}

TEST(Sampler, InfiniteParametersAreHarmless) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  SamplingParams p;
  p.temperature = 0;
  p.logit_bias = {{0, kInfinity}, {0, -kInfinity}};
  EXPECT_EQ(Sampler(p, 0, {}).sample(ramp(5), 0), 4);
  p.logit_bias.clear();
  p.repeat_penalty = kInfinity;
  Sampler s(p, 0, {});
  s.accept(0);
  EXPECT_EQ(s.sample(ramp(5), 0), 4);  // 0 * infinity
}

TEST(Sampler, OnlyAllowedTokensAreDrawn) {
  std::vector<uint32_t> allowed(3);  // of 80 tokens
  for (TokenId t : {3, 40, 70}) allowed[t / 32] |= 1u << t % 32;
  SamplingParams p = plain();
  p.temperature = 5;
  std::set<TokenId> seen;
  Sampler s(p, 0, {});
  for (int64_t at = 0; at < 300; ++at) seen.insert(s.sample(std::vector<float>(80, 0.0f), at, allowed));
  EXPECT_EQ(seen, (std::set<TokenId>{3, 40, 70}));
  p.temperature = 0;
  EXPECT_EQ(Sampler(p, 0, {}).sample(ramp(80), 0, allowed), 70);
}

// Filters count what is left, not what is forbidden: otherwise the best forbidden tokens would take their
// place.
TEST(Sampler, WhatIsForbiddenTakesNoPlaceInTopK) {
  const std::vector<uint32_t> allowed = {0b111};
  SamplingParams p = plain();
  p.top_k = 2;
  std::set<TokenId> seen;
  Sampler s(p, 0, {});
  for (int64_t at = 0; at < 200; ++at) seen.insert(s.sample(ramp(20), at, allowed));
  EXPECT_EQ(seen, (std::set<TokenId>{1, 2}));
}

// A constraint that forbids nothing of what would be drawn changes no draw.
TEST(Sampler, DrawsStayThoseOfTheirPosition) {
  const std::vector<float> logits = ramp(20);
  const std::vector<uint32_t> all = {0xFFFFFu};
  Sampler s(plain(), 0, {});
  for (int64_t at = 0; at < 100; ++at) {
    const TokenId free = s.sample(logits, at);
    EXPECT_EQ(s.sample(logits, at, all), free);
    EXPECT_EQ(s.sample(logits, at, std::vector<uint32_t>{1u << free | 1u}), free);
  }
}

TEST(Sampler, NothingLeftIsNoToken) {
  const std::vector<uint32_t> none = {0}, last = {1u << 4};
  SamplingParams p = plain();
  for (float temperature : {0.0f, 1.0f}) {
    p.temperature = temperature;
    p.logit_bias.clear();
    EXPECT_EQ(Sampler(p, 0, {}).sample(ramp(5), 0, none), -1);
    EXPECT_EQ(Sampler(p, 0, {}).sample(ramp(5), 0, last), 4);
    p.ignore_eos = true;
    EXPECT_EQ(Sampler(p, 0, std::vector<TokenId>{4}).sample(ramp(5), 0, last), -1);
    // Words that are missing allow nothing.
    EXPECT_EQ(Sampler(p, 0, {}).sample(ramp(64), 0, last), 4);
  }
}

TEST(LogProbs, TopAreSortedAndNormalised) {
  const std::vector<float> l = {std::log(0.1f), std::log(0.6f), std::log(0.3f)};
  const auto top = top_log_probs(l, 2);
  ASSERT_EQ(top.size(), 2u);
  EXPECT_EQ(top[0].first, 1);
  EXPECT_NEAR(top[0].second, std::log(0.6), 1e-6);
  EXPECT_EQ(top[1].first, 2);
  EXPECT_NEAR(log_sum_exp(l), 0.0, 1e-6);
  EXPECT_EQ(top_log_probs(l, 10).size(), 3u);
}

}  // namespace
}  // namespace moraine::sampling
