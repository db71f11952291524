// The format of plans: what people and models write, and what they get wrong.
#include "epic/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moraine::epic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kGood[] = R"(# Mend the parser

Tests run with `python3 -m unittest`.

```
## Tasks is a heading in here, and not one of ours
```

## Tasks

- [ ] **header**: Read the header
  - Files: src/parser.py, `tests/test_parser.py`
  - Accept: `python3 -m unittest tests.test_parser`

  Read eight bytes.

  - a list: of what to do
  ```
- [ ] not a task
  ```
- [x] body: Read the body: all of it
  - **Files:** src/parser.py
  - **After**: header
  - Accept: make check
)";

std::string with_tasks(const std::string& tasks) { return "# T\n\n## Tasks\n\n" + tasks; }
std::string task(const std::string& id, const std::string& after = "none") {
  return "- [ ] " + id + ": Do it\n  - Files: a\n  - After: " + after + "\n  - Accept: true\n";
}
std::string faults_of(const std::string& text) { return faults_text(parse_plan(text).faults); }

TEST(Plan, IsReadAsItIsWritten) {
  const Parsed p = parse_plan(kGood);
  ASSERT_EQ(faults_text(p.faults), "");
  EXPECT_EQ(p.plan.title, "Mend the parser");
  EXPECT_THAT(p.plan.context, HasSubstr("heading in here"));
  ASSERT_EQ(p.plan.tasks.size(), 2u);
  const Task& header = p.plan.tasks[0];
  EXPECT_EQ(header.id, "header");
  EXPECT_EQ(header.title, "Read the header");
  EXPECT_THAT(header.files, ElementsAre("src/parser.py", "tests/test_parser.py"));
  EXPECT_EQ(header.accept, "python3 -m unittest tests.test_parser");
  EXPECT_EQ(header.details, "Read eight bytes.\n\n- a list: of what to do\n```\n- [ ] not a task\n```\n");
  EXPECT_FALSE(header.done);
  const Task& body = p.plan.tasks[1];
  EXPECT_EQ(body.title, "Read the body: all of it");
  EXPECT_THAT(body.files, ElementsAre("src/parser.py"));
  EXPECT_THAT(body.after, ElementsAre("header"));
  EXPECT_TRUE(body.done);
}

TEST(Plan, TickingChangesOneLetter) {
  const std::string text = kGood, ticked = tick(text, "header");
  ASSERT_EQ(ticked.size(), text.size());
  size_t n = 0;
  for (size_t i = 0; i < text.size(); ++i) n += text[i] != ticked[i];
  EXPECT_EQ(n, 1u);
  EXPECT_TRUE(parse_plan(ticked).plan.find("header")->done);
  EXPECT_EQ(tick(text, "nothing"), text);
}

TEST(Plan, WindowsLineEndsAreNoFault) {
  std::string text;
  for (const char c : with_tasks(task("a"))) text += c == '\n' ? std::string("\r\n") : std::string(1, c);
  EXPECT_EQ(faults_of(text), "");
  EXPECT_TRUE(parse_plan(tick(text, "a")).plan.tasks[0].done);
}

TEST(Plan, FaultsSayWhereAndWhat) {
  EXPECT_THAT(faults_of(""), HasSubstr("no title"));
  EXPECT_THAT(faults_of("# T\n"), HasSubstr("no tasks"));
  EXPECT_THAT(faults_of(with_tasks("- [ ] a: Do\n  - Files: x\n")),
              HasSubstr("line 5: a has no acceptance command"));
  EXPECT_THAT(faults_of(with_tasks("- [ ] a: Do\n  - Accept: true\n")), HasSubstr("names no files"));
  EXPECT_THAT(faults_of(with_tasks("- [ ] Do something\n")), HasSubstr("`- [ ] id: title`"));
  EXPECT_THAT(faults_of(with_tasks(task("a") + task("a"))), HasSubstr("Two tasks are named a"));
  EXPECT_THAT(faults_of(with_tasks(task("a", "b"))), HasSubstr("a comes after b, which is no task"));
  EXPECT_THAT(faults_of(with_tasks(task("a") + "-[ ] b: Do\n")), HasSubstr("line 9: It belongs to no task"));
  EXPECT_THAT(faults_of(with_tasks("- [ ] a: Do\n  - Acept: true\n")), HasSubstr("acept is no field"));
  EXPECT_THAT(
      faults_of(with_tasks("- [ ] a: Do\n  - Files: ../x, /etc/passwd, .git/config\n  - Accept: true\n")),
      HasSubstr("/etc/passwd is no path inside"));
  EXPECT_THAT(faults_of(with_tasks("- [ ] a: Do\n  - Files: x\n  - Accept: true\n  - Accept: false\n")),
              HasSubstr("two acceptance commands"));
  EXPECT_THAT(faults_of(with_tasks(task("a")) + "\n  ```\n"), HasSubstr("not closed"));
  EXPECT_THAT(faults_of(with_tasks(task("a")) + "## Tasks\n"), HasSubstr("two sections"));
  EXPECT_THAT(faults_of(with_tasks(task("a") + "  evil \x1b[2J\n")), HasSubstr("control character"));
  EXPECT_THAT(faults_of(std::string(2 << 20, '#')), HasSubstr("at most"));
}

TEST(Plan, CirclesAreNamed) {
  EXPECT_THAT(faults_of(with_tasks(task("a", "c") + task("b", "a") + task("c", "b"))),
              HasSubstr("wait for each other: a after c after b after a"));
  EXPECT_THAT(faults_of(with_tasks(task("a", "a"))), HasSubstr("a after a"));
}

TEST(Plan, NonsenseOfAnyLengthIsAnsweredWithFewFaults) {
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "- [ ] \n* what\n";
  EXPECT_LE(parse_plan(with_tasks(many)).faults.size(), 20u);
  const std::string text = kGood;
  for (size_t n = 0; n < text.size(); ++n) parse_plan(text.substr(0, n));  // cut anywhere
}

TEST(Plan, Names) {
  EXPECT_EQ(name_from_title("Mend the Parser's  header!"), "mend-the-parser-s-header");
  EXPECT_EQ(name_from_title("Ünïcode"), "n-code");
  EXPECT_EQ(name_from_title("!!!"), "");
  EXPECT_TRUE(is_name(name_from_title(std::string(39, 'a') + " bcd")));
  for (const char* bad : {"", "-a", "a-", "../x", "a b", "A", "a/b"}) EXPECT_FALSE(is_name(bad)) << bad;
}

}  // namespace
}  // namespace moraine::epic
