#include "base/xxh64.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

namespace moraine {
namespace {

uint64_t of(const std::string& s, uint64_t seed = 0) { return Xxh64::of(std::as_bytes(std::span(s)), seed); }

// Sums that the published implementation gives (python-xxhash's documentation and tests).
TEST(Xxh64, KnownSums) {
  EXPECT_EQ(of(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(of("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(of("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(of("xxhash"), 0x32DD38952C4BC720u);
  EXPECT_EQ(of("xxhash", 20141025), 0xB559B98D844E0635u);
  EXPECT_EQ(of("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

TEST(Xxh64, PiecesMakeNoDifference) {
  std::vector<std::byte> bytes(200);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37);
  for (size_t n = 0; n <= bytes.size(); ++n) {
    const std::span all = std::span(bytes).first(n);
    const uint64_t whole = Xxh64::of(all, 5);
    for (const size_t piece : {1u, 7u, 31u, 32u, 33u, 100u}) {
      Xxh64 x(5);
      for (size_t at = 0; at < n; at += piece) x.add(all.subspan(at, std::min(piece, n - at)));
      EXPECT_EQ(x.sum(), whole) << n << " by " << piece;
    }
    if (n == 0) continue;
    bytes[n / 2] ^= std::byte{4};
    EXPECT_NE(Xxh64::of(all, 5), whole);
    bytes[n / 2] ^= std::byte{4};
  }
}

}  // namespace
}  // namespace moraine
