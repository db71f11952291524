// Interleaving rows into groups and reading one back: any bytes, every format.
#include "backend/cpu/layout.h"

#include <gmock/gmock.h>

#include "backend/cpu/kernels/testing.h"

namespace moraine::cpu {
namespace {

using testing::Random;

const DType kFormats[] = {DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ4_0,
                          DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,   DType::kQ8_0,
                          DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,   DType::kQ5_K,
                          DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};

TEST(Layout, ExtractGivesBackEveryRow) {
  Random random(1);
  for (const DType t : kFormats) {
    SCOPED_TRACE(info(t).name);
    const Layout* layout = find_layout(t);
    ASSERT_NE(layout, nullptr);
    for (const int n_blocks : {1, 2, 5}) {
      const size_t row_bytes = n_blocks * info(t).block_bytes;
      const std::vector<uint8_t> file = random.bytes(8 * row_bytes);
      const uint8_t* rows[8];
      for (int r = 0; r < 8; ++r) rows[r] = file.data() + r * row_bytes;
      std::vector<uint8_t> group(8 * row_bytes), row(row_bytes);
      layout->interleave(rows, n_blocks, group.data());
      for (int r = 0; r < 8; ++r) {
        layout->extract(group.data(), n_blocks, r, row.data());
        EXPECT_EQ(0, std::memcmp(row.data(), rows[r], row_bytes)) << "row " << r;
      }
    }
  }
}

TEST(Layout, NullRowsAreZero) {
  Random random(2);
  for (const DType t : kFormats) {
    SCOPED_TRACE(info(t).name);
    const size_t row_bytes = info(t).block_bytes;
    const std::vector<uint8_t> file = random.bytes(row_bytes);
    const uint8_t* rows[8] = {nullptr, nullptr, nullptr, file.data()};
    std::vector<uint8_t> group(8 * row_bytes, 0xff), row(row_bytes);
    find_layout(t)->interleave(rows, 1, group.data());
    find_layout(t)->extract(group.data(), 1, 3, row.data());
    EXPECT_EQ(row, file);
    find_layout(t)->extract(group.data(), 1, 7, row.data());
    EXPECT_THAT(row, ::testing::Each(0));
  }
}

TEST(Layout, FormatsWithoutMatmulHaveNone) { EXPECT_EQ(find_layout(DType::kI32), nullptr); }

}  // namespace
}  // namespace moraine::cpu
