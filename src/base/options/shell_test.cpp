#include "base/options/shell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace moraine::options {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Fixture {
  int n = 0;
  bool on = false;
  Table table;
  Program program{"tool",
                  "1.0",
                  "does things",
                  {{"go", "FILE", "it's the way: go", ".first\nsecond", 1},
                   {"stop", "", "end", "", 2},
                   {"go far", "", "further", "", 2}}};
  Fixture() {
    table.section("Main", 1);
    table.add("-n, --number N", integer(n, 0, 9), "how many - or 'none'").standard("1");
    table.add("-ab, --both", toggle(on), "both").off("--no-both");
    table.add("--later", any_switch(), "later").planned("to come");
  }
};

TEST(Shell, BashOffersWhatACommandTakes) {
  Fixture f;
  const std::string text = bash_completion(f.table, f.program);
  EXPECT_THAT(text, HasSubstr("go\\ *) options='-n --number -ab --both --no-both' ;;"));
  EXPECT_THAT(text, HasSubstr("stop\\ *) options='' ;;"));
  EXPECT_LT(text.find("go\\ far) options="), text.find("go\\ *) options="));
  EXPECT_THAT(text, HasSubstr("compgen -W 'go stop help"));
  EXPECT_THAT(text, HasSubstr("complete -o filenames -F _tool tool"));
  EXPECT_THAT(text, Not(HasSubstr("--later")));
}

TEST(Shell, ZshQuotesDescriptions) {
  Fixture f;
  const std::string text = zsh_completion(f.table, f.program);
  EXPECT_THAT(text, HasSubstr("#compdef tool\n"));
  EXPECT_THAT(text, HasSubstr("'go:it'\\''s the way: go'"));
  EXPECT_THAT(text, HasSubstr("'--number:how many - or '\\''none'\\'''"));
}

TEST(Shell, FishKnowsOneDashFromTwo) {
  Fixture f;
  EXPECT_THAT(fish_completion(f.table, f.program),
              HasSubstr("-n '__fish_seen_subcommand_from go' -o ab -l both -l no-both -d 'both'"));
  EXPECT_THAT(fish_completion(f.table, f.program), HasSubstr(" -s n -l number -r -d "));
}

TEST(Shell, TheManPageIsNotTakenForRequests) {
  Fixture f;
  const std::string text = man_page(f.table, f.program);
  EXPECT_THAT(text, HasSubstr(".TH TOOL 1"));
  EXPECT_THAT(text, HasSubstr("\n\\&.first\nsecond\n"));
  EXPECT_THAT(text, HasSubstr(".B \\-n, \\-\\-number \\fIN\\fR\nhow many \\- or 'none'; default: 1 (go)\n"));
  EXPECT_THAT(text, Not(HasSubstr("later")));
}

}  // namespace
}  // namespace moraine::options
