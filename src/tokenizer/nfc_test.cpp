#include "tokenizer/nfc.h"

#include <gtest/gtest.h>

namespace moraine {
namespace {

TEST(Nfc, ComposesAndOrders) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("\u212b"), "\u00c5");                // a singleton
  EXPECT_EQ(to_nfc("\u1112\u1161\u11ab"), "\ud55c");    // Hangul
  EXPECT_EQ(to_nfc("q\u0307\u0323"), "q\u0323\u0307");  // by combining class
  EXPECT_EQ(to_nfc("a\u0302\u0323"), "\u1ead");         // ordered, then composed twice
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");          // never recomposed
  EXPECT_EQ(to_nfc("plain \u6f22\u5b57 \U0001F600"), "plain \u6f22\u5b57 \U0001F600");
  EXPECT_EQ(to_nfc(std::string_view("a\0b\u0301", 5)), std::string_view("a\0b\u0301", 5));
  EXPECT_EQ(to_nfc(""), "");
}

// One million marks whose order must be turned round; neighbour exchanges would take hours.
TEST(Nfc, LongRunsOfMarksStaySortable) {
  std::string marks = "x", above, below;
  for (int i = 0; i < 500'000; ++i) {
    marks += "\u0301\u0323";
    above += "\u0301";
    below += "\u0323";
  }
  const std::string normal = to_nfc(marks);
  EXPECT_EQ(normal, "x" + below + above);
  EXPECT_EQ(to_nfc(normal), normal);
}

}  // namespace
}  // namespace moraine
