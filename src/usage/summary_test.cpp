// Adding up: what overlaps is one time, and what a name means as a time.
#include "usage/summary.h"

#include <gtest/gtest.h>
#include <moraine/error.h>

#include "usage/testing.h"

namespace moraine::usage {
namespace {

constexpr int64_t kNoon = 1'763'899'200'000;

TEST(Summary, WhatOverlapsIsCountedOnce) {
  Summary s(By::kModel);
  s.add(record(kNoon + 1000, 1000, "a"));  // 0 to 1000
  s.add(record(kNoon + 600, 500, "b"));    // 100 to 600
  s.add(record(kNoon + 1500, 1000, "a"));  // 500 to 1500
  s.add(record(kNoon + 3000, 1000, "a"));  // 2000 to 3000
  EXPECT_EQ(s.total().busy_ms, 2500);
  const auto rows = s.rows();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].key, "a");
  EXPECT_EQ(rows[0].n_requests, 3);
  EXPECT_EQ(rows[0].busy_ms, 2500);
  EXPECT_EQ(rows[1].busy_ms, 500);
  EXPECT_EQ(s.total().n_cached, 3600);
  EXPECT_EQ(rows[0].tokens(), 3150);
}

TEST(Summary, GroupsByDayEpicAndTask) {
  Record r = record(kNoon, 1);
  r.epic = "mend", r.task = "one";
  for (const auto& [by, key] : {std::pair{By::kEpic, std::string("mend")},
                                {By::kTask, std::string("mend/one")},
                                {By::kClient, std::string("opencode")},
                                {By::kDay, local_day(kNoon)}}) {
    Summary s(by);
    s.add(r);
    EXPECT_EQ(s.rows().at(0).key, key);
  }
  Summary s(By::kTask);
  s.add(record(kNoon, 1));
  EXPECT_EQ(s.rows().at(0).key, "");
}

TEST(Summary, TimesBack) {
  EXPECT_EQ(parse_since("7d", kNoon), kNoon - 7 * 86'400'000ll);
  EXPECT_EQ(parse_since("90m", kNoon), kNoon - 5'400'000);
  EXPECT_EQ(local_day(parse_since("2026-11-01", kNoon)), "2026-11-01");
  for (const char* bad : {"", "d", "7", "7x", "-7d", "2026-13-01", "2026-02-31", "yesterday", "99999999999d"})
    EXPECT_THROW(parse_since(bad, kNoon), Error) << bad;
}

}  // namespace
}  // namespace moraine::usage
