// What is read out of answers, and that prompts hold what they must and no more than fits.
#include "epic/prompt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "epic/planner.h"

namespace moraine::epic {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kPlan[] =
    "# T\n\n## Tasks\n\n- [ ] a: Do\n  - Files: x\n  - Accept: true\n\n  ```\n  code\n  ```\n";

TEST(Prompt, ThePlanIsFoundInAnAnswer) {
  const std::string plan = kPlan;
  EXPECT_EQ(plan_in("Here it is:\n<epic>\n" + plan + "</epic>\nGood luck."), plan);
  EXPECT_EQ(plan_in("The form was <epic>...</epic>. Mine:\n<epic>\n" + plan + "</epic>"), plan);
  EXPECT_EQ(plan_in(plan), plan);
  EXPECT_EQ(plan_in("Sure!\n\n```markdown\n" + plan + "```\n"), plan);
  EXPECT_EQ(plan_in("no plan"), "no plan\n");
  EXPECT_EQ(plan_in(""), "\n");
}

TEST(Prompt, ATaskIsToldWithItsPlanAndItsPast) {
  Plan plan = parse_plan(kPlan).plan;
  plan.context = "Build with make.\n";
  plan.tasks.push_back(plan.tasks[0]);
  plan.tasks[1].id = "earlier", plan.tasks[1].done = true;
  const std::string first = task_prompt(plan, plan.tasks[0], "");
  for (const char* part : {"Task a: Do", "Files: x", "    true", "Build with make.", "- earlier: Do"})
    EXPECT_THAT(first, HasSubstr(part));
  EXPECT_THAT(first, Not(HasSubstr("What happened")));
  EXPECT_THAT(task_prompt(plan, plan.tasks[0], "it broke"), HasSubstr("it broke"));
}

TEST(Prompt, ItFitsIntoAnArgument) {
  Plan plan = parse_plan(kPlan).plan;
  plan.context = plan.tasks[0].details = std::string(300'000, 'x');
  std::string feedback;
  for (int i = 1; i < 100; ++i)
    feedback += feedback_text(i, "ended", "make", "ended with code 1", std::string(60'000, 'y'));
  const std::string prompt = task_prompt(plan, plan.tasks[0], feedback);
  EXPECT_LT(prompt.size(), 128u << 10);
  EXPECT_THAT(prompt, HasSubstr("Attempt 99"));
}

TEST(Planner, AsksAgainWithTheFaults) {
  std::vector<std::string> prompts;
  int told = 0;
  const auto ask = [&](const std::string& prompt) -> std::string {
    prompts.push_back(prompt);
    return prompts.size() < 3 ? "# T\n\n## Tasks\n" : kPlan;
  };
  const PlanningResult r = make_plan("mend it", "", 3, ask, [&](const auto&) { ++told; });
  EXPECT_TRUE(r.parsed.faults.empty());
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_EQ(told, 2);
  EXPECT_THAT(prompts[0], HasSubstr("mend it"));
  EXPECT_THAT(prompts[1], HasSubstr("no tasks"));
}

TEST(Planner, GivesUpAfterSoMany) {
  int asked = 0;
  const PlanningResult r = make_plan("x", "", 2, [&](const std::string&) { return ++asked, "nonsense"; }, {});
  EXPECT_EQ(asked, 3);
  EXPECT_FALSE(r.parsed.faults.empty());
}

TEST(Prompt, TheFormThatPlannersAreShownIsAPlan) {
  const std::string prompt = planning_prompt("x", "");
  const size_t begin = prompt.find("<epic>");
  const Parsed p = parse_plan(plan_in(prompt.substr(begin, prompt.find("</epic>") + 7 - begin)));
  EXPECT_EQ(faults_text(p.faults), "");
  EXPECT_EQ(p.plan.tasks.size(), 2u);
}

}  // namespace
}  // namespace moraine::epic
