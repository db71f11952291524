// Scenarios: how they are read, and which reply a prompt gets.
#include "scenario.h"

#include <gtest/gtest.h>
#include <moraine/error.h>

namespace moraine::scripted {
namespace {

constexpr char kText[] =
    "# A comment\n\n"
    ">>> mend when tool: FAILED\nMend it.\n\n<tool_call>\n</tool_call>\n\n"
    ">>> greet when user: hello\nHi.\n"
    ">>> title when system: titles\nT\n";

TEST(Scenario, RepliesAreLetterForLetter) {
  const std::vector<Rule> rules = parse_scenario(kText);
  ASSERT_EQ(rules.size(), 3u);
  EXPECT_EQ(rules[0].reply, "Mend it.\n\n<tool_call>\n</tool_call>");
  EXPECT_EQ(rules[1].name, "greet");
  EXPECT_EQ(rules[1].reply, "Hi.");
}

TEST(Scenario, TheFirstRuleThatFitsIsTaken) {
  const std::vector<Rule> rules = parse_scenario(kText);
  EXPECT_EQ(choose(rules, {.system = "you write titles", .user = {"say hello"}, .tool = {}}), &rules[1]);
  EXPECT_EQ(choose(rules, {.system = "", .user = {"hello"}, .tool = {"ok", "2 FAILED"}}), &rules[0]);
  EXPECT_EQ(choose(rules, {.system = "", .user = {"FAILED"}, .tool = {"hello"}}), nullptr);
}

TEST(Scenario, MistakesAreNamedByLine) {
  for (const char* wrong : {"text\n", ">>> tool\nx\n", ">>> x when model: x\n", ">>> when user: x\n"})
    EXPECT_THROW(parse_scenario(wrong), Error) << wrong;
}

}  // namespace
}  // namespace moraine::scripted
