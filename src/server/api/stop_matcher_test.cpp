#include "server/api/stop_matcher.h"

#include <gtest/gtest.h>

namespace moraine::server {
namespace {

// Feeds `pieces` and gives all that came out, with '|' where the matcher stopped.
std::string feed(std::vector<std::string> stops, const std::vector<std::string>& pieces) {
  StopMatcher matcher(std::move(stops));
  std::string out;
  for (const std::string& piece : pieces) {
    if (matcher.push(piece, out)) return out + "|" + matcher.matched();
  }
  return out + matcher.flush();
}

TEST(StopMatcher, WithoutStopsTextPasses) { EXPECT_EQ(feed({}, {"a", "b"}), "ab"); }

TEST(StopMatcher, EmptyStopsAreNone) { EXPECT_EQ(feed({""}, {"a", "b"}), "ab"); }

TEST(StopMatcher, CutsAtTheStop) { EXPECT_EQ(feed({"\n"}, {"one\ntwo"}), "one|\n"); }

TEST(StopMatcher, FindsAStopOverManyPieces) {
  EXPECT_EQ(feed({"</end>"}, {"text <", "/e", "nd", "> more"}), "text |</end>");
}

TEST(StopMatcher, HoldsOnlyWhatMayBecomeAStop) {
  StopMatcher matcher({"abc"});
  std::string out;
  EXPECT_FALSE(matcher.push("xab", out));
  EXPECT_EQ(out, "x");
  EXPECT_FALSE(matcher.push("d", out));
  EXPECT_EQ(out, "xabd");
}

TEST(StopMatcher, FlushGivesWhatWasHeld) { EXPECT_EQ(feed({"abc"}, {"xab"}), "xab"); }

// After "aab", the second 'a' may begin the stop: plain restart at a mismatch would miss it.
TEST(StopMatcher, FindsAStopThatBeginsWithinAFailedOne) {
  EXPECT_EQ(feed({"aab"}, {"aaab"}), "a|aab");
  EXPECT_EQ(feed({"abac"}, {"ababac"}), "ab|abac");
}

TEST(StopMatcher, TheFirstToBeCompleteWins) {
  EXPECT_EQ(feed({"long stop", "st"}, {"a long stop"}), "a long |st");
}

TEST(StopMatcher, OfTwoThatEndTogetherTheLongerWins) {
  EXPECT_EQ(feed({"b", "ab"}, {"ab"}), "|ab");
  EXPECT_EQ(feed({"ab", "b"}, {"ab"}), "|ab");
}

TEST(StopMatcher, NeverSplitsACharacter) {
  StopMatcher matcher({"\u00e9\u00e8"});  // two characters that share their first byte
  std::string out;
  EXPECT_FALSE(matcher.push("\u00e9", out));
  EXPECT_EQ(out, "");
  EXPECT_FALSE(matcher.push("x", out));
  EXPECT_EQ(out, "\u00e9x");
}

// Every way of cutting a text into two pieces gives the same answer.
TEST(StopMatcher, PiecesDoNotMatter) {
  const std::string text = "the end, the END, the end. done";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(feed({"end.", "END?"}, {text.substr(0, cut), text.substr(cut)}), "the end, the END, the |end.")
        << cut;
  }
}

}  // namespace
}  // namespace moraine::server
