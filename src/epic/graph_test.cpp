// Which task is next, and which will never be.
#include "epic/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace moraine::epic {
namespace {

using ::testing::ElementsAre;

Plan plan_of(const std::vector<std::pair<std::string, std::vector<std::string>>>& tasks) {
  Plan plan;
  for (const auto& [id, after] : tasks) {
    Task t;
    t.id = id;
    t.after = after;
    plan.tasks.push_back(t);
  }
  return plan;
}

TEST(Graph, DependenciesComeBeforeTheFilesOrder) {
  const Plan plan = plan_of({{"a", {"c"}}, {"b", {}}, {"c", {}}});
  std::map<std::string, Standing> is;
  const auto standing = [&](const Task& t) { return is[t.id]; };
  std::string order;
  while (const Task* t = next_task(plan, standing)) {
    order += t->id;
    is[t->id] = Standing::kDone;
  }
  EXPECT_EQ(order, "bca");
}

TEST(Graph, WhatWaitsForAFailedOneIsBlocked) {
  const Plan plan = plan_of({{"a", {}}, {"b", {"a"}}, {"c", {"b"}}, {"d", {}}});
  const auto standing = [](const Task& t) { return t.id == "a" ? Standing::kFailed : Standing::kOpen; };
  EXPECT_EQ(next_task(plan, standing)->id, "d");
  EXPECT_THAT(blocked_tasks(plan, standing), ElementsAre("b", "c"));
}

TEST(Graph, FindsCircles) {
  EXPECT_TRUE(find_cycle(plan_of({{"a", {}}, {"b", {"a"}}, {"c", {"a", "b"}}})).empty());
  EXPECT_THAT(find_cycle(plan_of({{"x", {"a"}}, {"a", {"b"}}, {"b", {"a"}}})), ElementsAre("a", "b", "a"));
}

}  // namespace
}  // namespace moraine::epic
