#include "speculation/ngram_index.h"

#include <gtest/gtest.h>

#include <random>

namespace moraine::speculation {
namespace {

NgramIndex index_of(std::initializer_list<TokenId> tokens) {
  NgramIndex index;
  for (const TokenId t : tokens) index.append(t);
  return index;
}

TEST(NgramIndex, FindsWhatFollowed) {
  const NgramIndex index = index_of({1, 2, 3, 4, 5, 9, 1, 2, 3});
  const auto m = index.find();
  EXPECT_EQ(m.length, 3);
  ASSERT_EQ(m.next.size(), 6u);
  EXPECT_EQ(m.next[0], 4);
}

TEST(NgramIndex, PrefersTheLongestMatchThenTheLatest) {
  EXPECT_EQ(index_of({7, 1, 2, 3, 4, 1, 2, 3, 5, 7, 1, 2, 3}).find().next[0], 4);
  EXPECT_EQ(index_of({8, 1, 2, 3, 4, 9, 1, 2, 3, 5, 7, 1, 2, 3}).find().next[0], 5);
}

TEST(NgramIndex, NothingWhereNothingMatches) {
  EXPECT_EQ(index_of({}).find().length, 0);
  EXPECT_EQ(index_of({1, 2}).find().length, 0);
  EXPECT_EQ(index_of({1, 2, 3, 4, 5}).find().length, 0);
  EXPECT_EQ(index_of({1, 2, 3}).find().length, 0);  // itself is no match
}

TEST(NgramIndex, OfAnotherSequence) {
  const NgramIndex index = index_of({1, 2, 3, 4});
  const TokenId context[] = {5, 2, 3, 1, 2, 3};
  EXPECT_EQ(index.find(context).next[0], 4);
  const TokenId end[] = {2, 3, 4};
  EXPECT_EQ(index.find(end).length, 0);  // known, but nothing follows
}

// Against looking everywhere.
TEST(NgramIndex, AgreesWithASlowSearch) {
  std::mt19937 random(1);
  NgramIndex index;
  std::vector<TokenId> tokens;
  for (int i = 0; i < 400; ++i) {
    tokens.push_back(static_cast<TokenId>(random() % 3));
    index.append(tokens.back());
    int best = 0;
    for (int at = i - 1; at >= 0 && at >= i - 25; --at) {  // within what a chain looks at
      int n = 0;
      while (n <= at && n < NgramIndex::kLongest && tokens[at - n] == tokens[i - n]) ++n;
      best = std::max(best, n);
    }
    if (best >= NgramIndex::kShortest) {
      EXPECT_GE(index.find().length, best) << i;
    }
    const auto m = index.find();
    if (m.length == 0) continue;
    const auto at = static_cast<int>(m.next.data() - index.tokens().data()) - 1;
    for (int n = 0; n < m.length; ++n) ASSERT_EQ(tokens[at - n], tokens[i - n]);
  }
}

}  // namespace
}  // namespace moraine::speculation
