#include "engine/pace.h"

#include <gtest/gtest.h>

namespace moraine::engine {
namespace {

constexpr double kStall = 0.5;
constexpr int32_t kMaxRows = 2048;

TEST(Pace, TheFirstSliceMeasures) {
  Pace pace(kStall, kMaxRows);
  EXPECT_EQ(pace.slice_rows(false), Pace::kMinSlice);
  pace.measured(16, 16, false, 0.016);
  EXPECT_DOUBLE_EQ(pace.seconds_per_row(), 0.001);
  EXPECT_EQ(pace.slice_rows(false), 500);
  EXPECT_EQ(pace.slice_rows(true), 250);
}

TEST(Pace, ASliceIsNeverEmptyNorLargerThanAStep) {
  Pace slow(kStall, kMaxRows), fast(kStall, kMaxRows), narrow(kStall, 8);
  slow.measured(16, 16, false, 160);
  EXPECT_EQ(slow.slice_rows(true), Pace::kMinSlice);
  fast.measured(16, 16, false, 1e-6);
  EXPECT_EQ(fast.slice_rows(true), kMaxRows);
  EXPECT_EQ(narrow.slice_rows(false), 8);
  narrow.measured(8, 8, false, 160);
  EXPECT_EQ(narrow.slice_rows(true), 8);
}

// A machine where a row of a prompt takes 1 ms and a step of a stream 20, run as the engine does.
TEST(Pace, StreamsHaveTheirShareOfTheTimeAndNoLongPause) {
  constexpr double kRow = 0.001, kDecode = 0.020;
  Pace pace(kStall, kMaxRows);
  for (int i = 0; i < 10; ++i) pace.measured(1, 0, false, kDecode);
  double streams = 0, all = 0, longest = 0;
  int64_t n_rows = 0;
  for (int step = 0; step < 2000; ++step) {
    const int32_t prefill = pace.streams_go_alone() ? 0 : pace.slice_rows(true);
    const double seconds = kDecode + prefill * kRow;
    pace.measured(1 + prefill, prefill, false, seconds);
    streams += kDecode, all += seconds, longest = std::max(longest, seconds), n_rows += prefill;
  }
  // Theirs, and on average half a step more for each slice.
  EXPECT_GE(streams / all, Pace::kDecodeShare);
  EXPECT_LE(streams / all, Pace::kDecodeShare + 0.03);
  EXPECT_LE(longest, kStall / 2 + kDecode + 0.01);
  EXPECT_NEAR(static_cast<double>(n_rows) * kRow, all - streams, 0.01);
}

TEST(Pace, WhatWasOwedIsForgottenWhereNobodyWaits) {
  Pace pace(kStall, kMaxRows);
  pace.measured(1, 0, false, 0.02);
  pace.measured(257, 256, false, 0.276);
  EXPECT_TRUE(pace.streams_go_alone());
  pace.nobody_waits();
  EXPECT_FALSE(pace.streams_go_alone());
}

// Steps with drafts say nothing of a plain one.
TEST(Pace, DraftsDoNotCountAsPlainSteps) {
  Pace pace(kStall, kMaxRows);
  pace.measured(1, 0, false, 0.02);
  for (int i = 0; i < 50; ++i) pace.measured(17, 0, true, 0.2);
  pace.measured(257, 256, false, 0.276);
  EXPECT_DOUBLE_EQ(pace.seconds_per_row(), 0.001);
}

}  // namespace
}  // namespace moraine::engine
