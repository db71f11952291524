#include "speculation/history.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace moraine::speculation {
namespace {

std::vector<TokenId> range(TokenId first, int n) {
  std::vector<TokenId> v(n);
  std::iota(v.begin(), v.end(), first);
  return v;
}

TEST(History, DraftsFromEarlierOutputsOfItsScopeAlone) {
  History h;
  h.add(1, range(10, 20));
  EXPECT_EQ(h.find(1, range(12, 4)).next[0], 16);
  EXPECT_EQ(h.find(2, range(12, 4)).length, 0);
}

TEST(History, DoesNotDraftAcrossOutputs) {
  History h;
  h.add(1, range(10, 5));
  h.add(1, range(50, 5));
  EXPECT_EQ(h.find(1, range(11, 3)).next.size(), 1u);
  EXPECT_EQ(h.find(1, range(12, 3)).length, 0);
}

TEST(History, ForgetsTheOldestOutputsAndScopes) {
  History h(64, 2);
  for (int i = 0; i < 10; ++i) h.add(1, range(100 * i, 20));
  EXPECT_EQ(h.find(1, range(0, 5)).length, 0);
  EXPECT_GT(h.find(1, range(900, 5)).length, 0);
  h.add(2, range(0, 20));
  h.add(1, range(5000, 5));
  h.add(3, range(0, 20));
  EXPECT_EQ(h.find(2, range(0, 5)).length, 0);
  EXPECT_GT(h.find(1, range(5000, 3)).length, 0);
  h.add(1, range(0, 1000));  // longer than there is room
  EXPECT_GT(h.find(1, range(990, 5)).length, 0);
}

}  // namespace
}  // namespace moraine::speculation
