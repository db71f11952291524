#include "bench_speculation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "speculation_tasks.h"

namespace moraine::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Tokens = std::vector<TokenId>;

// A further row costs `slope` single steps of 10 ms.
StepCosts costs(double slope, int32_t most = 17) {
  StepCosts c;
  for (int32_t n = 1; n <= most; ++n) c.set(n, 0.010 * (1 + slope * (n - 1)));
  return c;
}

TEST(StepCosts, FillGapsByALineAndNeverFall) {
  StepCosts c;
  c.set(1, 0.010);
  c.set(4, 0.009);  // noise
  c.set(8, 0.018);
  EXPECT_DOUBLE_EQ(c.at(1), 0.010);
  EXPECT_DOUBLE_EQ(c.at(4), 0.010);
  EXPECT_DOUBLE_EQ(c.at(6), 0.014);
  EXPECT_DOUBLE_EQ(c.at(16), 0.036);  // in proportion
  for (int32_t n = 1; n < 20; ++n) EXPECT_LE(c.at(n), c.at(n + 1)) << n;
}

TEST(HeldLengths, CountsWhatTheTextBeforeWouldHaveDraftedRightly) {
  const Tokens prompt = {1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3};
  // 4 5 6 7 follow 1 2 3 as before; then another token, after which nothing is known.
  EXPECT_THAT(held_lengths(prompt, Tokens{4, 5, 6, 7, 8, 8}, 16), ElementsAre(4, 3, 2, 1, 0, 0));
  EXPECT_THAT(held_lengths(prompt, Tokens{4, 5, 6, 7, 8, 8}, 2), ElementsAre(2, 2, 2, 1, 0, 0));
}

TEST(HeldLengths, ARepetitionGoesOnWithItself) {
  const Tokens prompt = {5, 5, 5, 5};
  EXPECT_THAT(held_lengths(prompt, Tokens{5, 5, 5, 6}, 16), ElementsAre(3, 2, 1, 0));
}

TEST(Bound, NothingToDraftIsPlainDecoding) {
  EXPECT_DOUBLE_EQ(least_seconds(std::vector<int32_t>(20, 0), costs(0.1)), 0.2);
}

TEST(Bound, FreeRowsTakeWholeDrafts) {
  // 17 tokens a step, all right: 34 tokens in two steps.
  std::vector<int32_t> held(34);
  for (int i = 0; i < 34; ++i) held[i] = std::min(16, 34 - i);
  EXPECT_DOUBLE_EQ(least_seconds(held, costs(0)), 0.020);
}

TEST(Bound, LongDraftsAreNotWorthDearRows) {
  std::vector<int32_t> held(100);
  for (int i = 0; i < 100; ++i) held[i] = std::min(16, 100 - i);
  EXPECT_NEAR(least_seconds(held, costs(1.0)), 1.0, 1e-9);  // a row costs a step: no gain at all
  EXPECT_LT(least_seconds(held, costs(0.2)), 0.45);
  // The best fixed length is no better than the best choice of each.
  for (int k = 0; k <= 16; ++k) {
    double seconds = 0;
    for (int i = 0; i < 100; i += std::min(k, held[i]) + 1)
      seconds += costs(0.2).at(1 + std::min(k, held[i]));
    EXPECT_LE(least_seconds(held, costs(0.2)), seconds + 1e-12) << k;
  }
}

TEST(ScriptedDrafter, IsRightAsOftenAsItIsSet) {
  Tokens truth(4010);
  std::iota(truth.begin(), truth.end(), 100);
  ScriptedDrafter d;
  d.set_truth(truth, 10);
  for (const double p : {0.0, 0.3, 0.9, 1.0}) {
    d.set(p, 8);
    int right = 0;
    for (size_t at = 11; at < 4010; ++at) {
      Tokens draft;
      d.draft(std::span(truth).first(at), 1, draft);
      ASSERT_EQ(draft.size(), 1u);
      EXPECT_EQ(draft[0] == truth[at], d.is_right(at));
      right += draft[0] == truth[at];
    }
    EXPECT_NEAR(right / 3999.0, p, 0.03) << p;
  }
}

TEST(ScriptedDrafter, EveryLengthMeetsTheSameLuck) {
  const Tokens truth = {1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17};
  ScriptedDrafter d;
  d.set_truth(truth, 3);
  d.set(0.5, 7);
  Tokens whole;
  d.draft(std::span(truth).first(4), 16, whole);
  ASSERT_EQ(whole.size(), 7u);
  for (size_t i = 0; i < whole.size(); ++i) {
    Tokens one;
    d.draft(std::span(truth).first(4 + i), 1, one);
    EXPECT_EQ(one, Tokens{whole[i]});
  }
  Tokens none;
  d.draft(std::span(truth).first(3), 16, none);  // the first token belongs to the prompt
  d.draft(truth, 16, none);                      // and nothing follows the end
  d.set(0.5, 0);
  d.draft(std::span(truth).first(5), 16, none);
  EXPECT_TRUE(none.empty());
}

TEST(SpeculationResults, MediansAndShares) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(median({}), 0);
  TaskResult t;
  t.off_seconds = {2, 4, 6}, t.on_seconds = {1, 1, 6};
  EXPECT_THAT(t.ratios(), ElementsAre(2, 4, 1));
  EXPECT_EQ(t.ratio(), 2);
  AcceptanceResult a;
  a.lengths = {0, 4, 8};
  a.seconds = {{10, 10, 10}, {5, 5, 6}, {7, 7, 7}};
  a.controller_seconds = {5, 10, 6};
  EXPECT_EQ(a.best(), 1u);
  EXPECT_EQ(a.share(), 1);
}

TEST(SpeculationResults, ReportTellsWhatWasMeasured) {
  SpeculationReport r;
  r.info.size_label = "135M";
  r.max_draft = 16, r.n_tokens = 256, r.rounds = 3;
  TaskResult t;
  t.name = "copy", t.n_generated = 100, t.hash = 0xabc, t.bound = 2.5;
  t.off_seconds = {1, 1, 1}, t.on_seconds = {0.5, 0.5, 0.4};
  t.n_drafted = 90, t.n_accepted = 60;
  t.drafters = {{"request", 80, 60}, {"history", 10, 0}, {"model", 0, 0}};
  r.tasks.push_back(t);
  const std::string text = speculation_report(r);
  EXPECT_THAT(text, HasSubstr("| copy | 100 | 100.0 | 200.0 | 2.00x (2.00-2.50) | 90, 67% |"));
  EXPECT_THAT(text, HasSubstr("request 60/80, history 0/10 | 2.50x | 80% |"));
  EXPECT_THAT(speculation_json(r), HasSubstr(R"("hash": "0000000000000abc")"));
}

TEST(SpeculationTasks, AQuestionAndHowItsAnswerBegins) {
  const SpeculationTask with = parse_speculation_task("x", "Say a.\n---\na\n");
  EXPECT_EQ(with.question, "Say a.");
  EXPECT_EQ(with.opening, "a\n");
  const SpeculationTask without = parse_speculation_task("x", "Say a.\n");
  EXPECT_EQ(without.question, "Say a.");
  EXPECT_EQ(without.opening, "");
  ASSERT_EQ(speculation_tasks().size(), 4u);
  EXPECT_EQ(speculation_tasks().front().name, "copy");
  for (const SpeculationTask& t : speculation_tasks()) EXPECT_GT(t.question.size(), 20u) << t.name;
}

}  // namespace
}  // namespace moraine::app
