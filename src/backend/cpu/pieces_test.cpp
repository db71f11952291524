#include "backend/cpu/pieces.h"

#include <gtest/gtest.h>

#include <vector>

namespace moraine::cpu {
namespace {

TEST(Pieces, EveryUnitOnceInOrder) {
  for (const int64_t n : {0, 1, 2, 3, 7, 16, 63, 72, 129, 1000, 18992})
    for (const int threads : {1, 2, 3, 16, 200})
      for (const int64_t least : {1, 2, 5, 64})
        for (const int64_t most : {1, 8, 64, 100000}) {
          SCOPED_TRACE(testing::Message()
                       << n << " units, " << threads << " threads, " << least << ".." << most);
          const Pieces pieces(n, least, most, threads);
          int64_t at = 0;
          for (int32_t i = 0; i < pieces.count(); ++i) {
            ASSERT_EQ(pieces[i].begin, at);
            ASSERT_GT(pieces[i].end, at);
            if (i + 1 < pieces.count()) {
              ASSERT_EQ((pieces[i].end - at) % 2, 0);
            }
            at = pieces[i].end;
          }
          ASSERT_EQ(at, n);
        }
}

TEST(Pieces, NoneIsLongerThanAllowedNorTheFirstShorterThanALaterOne) {
  const Pieces pieces(18992, 2, 64, 2);
  for (int32_t i = 0; i < pieces.count(); ++i) {
    EXPECT_LE(pieces[i].end - pieces[i].begin, 64);
    if (i > 0) {
      EXPECT_LE(pieces[i].end - pieces[i].begin, pieces[i - 1].end - pieces[i - 1].begin);
    }
  }
}

// What one thread may still be busy with when the others find nothing left: a small part of its share.
TEST(Pieces, TheLastPiecesAreShort) {
  for (const int threads : {2, 4, 16}) {
    const Pieces pieces(4096, 1, 100000, threads);
    for (int32_t i = pieces.count() - threads; i < pieces.count(); ++i)
      EXPECT_LE(pieces[i].end - pieces[i].begin, 4096 / threads / 16);
    EXPECT_LE(pieces.count(), 8 * threads);  // a claim costs as much as some kilobytes of weights
    EXPECT_EQ(pieces[0].end, 4096 / threads / 2);
  }
}

}  // namespace
}  // namespace moraine::cpu
