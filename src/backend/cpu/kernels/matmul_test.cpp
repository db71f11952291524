// Matmul kernels: every instruction set gives the scalar kernel's bits, for any number of rows and
// groups; the scalar kernel agrees with a double-precision product of the unpacked values.
#include "backend/cpu/kernels/testing.h"
#include "backend/cpu/layout.h"
#include "quant/format.h"

namespace moraine::cpu {
namespace {

using testing::Guarded;
using testing::Random;

// The most a problem has of activation rows and of groups of weight rows.
struct Extent {
  int rows = 130, groups = 5;
};

// Weights of one format in file order and in groups, and activations quantised for it.
struct Problem {
  DType type;
  int k;
  uint32_t width;  // of an activation block; 0: float
  const int max_rows, max_groups;
  std::vector<uint8_t> file;  // [8 * max_groups] rows
  Guarded<uint8_t, 32> groups;
  int64_t group_bytes;
  int64_t x_stride, q_stride, d_stride, s_stride;
  Guarded<float> x;  // [max_rows][x_stride], and so on; no padding after the last row
  Guarded<int8_t> q;
  Guarded<float> d;
  Guarded<int16_t> sums;

  Problem(DType t, int n_blocks, Extent most = {})
      : type(t),
        k(n_blocks * static_cast<int>(info(t).block_len)),
        max_rows(most.rows),
        max_groups(most.groups) {
    if (!info(t).quantized) k = n_blocks * 32 + n_blocks % 3;
    const Layout& layout = *find_layout(t);
    width = layout.scale_width;
    x_stride = k + 3;
    q_stride = k + 5;
    d_stride = width ? k / width + 1 : 0;
    s_stride = k / 16 + 3;
    file.resize(8 * max_groups * row_bytes());
    x = Guarded<float>((max_rows - 1) * x_stride + k);
    if (width) {
      q = Guarded<int8_t>((max_rows - 1) * q_stride + k);
      d = Guarded<float>((max_rows - 1) * d_stride + k / width);
      sums = Guarded<int16_t>((max_rows - 1) * s_stride + k / 16);
    }
  }

  int64_t row_bytes() const { return static_cast<int64_t>(dtype_bytes(type, k)); }
  int blocks_of_row() const { return k / static_cast<int>(info(type).block_len); }

  void interleave() {
    groups = Guarded<uint8_t, 32>(file.size());
    group_bytes = 8 * row_bytes();
    for (int g = 0; g < max_groups; ++g) {
      const uint8_t* rows[8];
      for (int r = 0; r < 8; ++r) rows[r] = file.data() + (8 * g + r) * row_bytes();
      find_layout(type)->interleave(rows, blocks_of_row(), groups.data() + g * group_bytes);
    }
  }

  void random_weights(Random& random) {
    const std::vector<float> w = random.normals(size_t{8} * max_groups * k, 0.1f);
    quant::find(type)->pack_blocks(w.data(), w.size() / info(type).block_len, file.data());
    interleave();
  }

  // Every bit of the quants and integer scales random or, with a fill, the same; the float scales sane.
  void any_weights(Random& random, int fill = -1) {
    const int bytes = static_cast<int>(info(type).block_bytes);
    for (size_t b = 0; b < file.size(); b += bytes) {
      for (int i = 0; i < bytes; ++i) file[b + i] = fill < 0 ? random.byte() : static_cast<uint8_t>(fill);
      if (type == DType::kMXFP4) {  // 2^-8 to 2^3
        file[b] = static_cast<uint8_t>(random.integer(119, 130));
        continue;
      }
      for (const int at : halves()) {  // about 2^-8 to 2^3, either sign
        file[b + at] = random.byte();
        file[b + at + 1] = static_cast<uint8_t>((random.integer(0, 1) << 7) | random.integer(0x1c, 0x47));
      }
    }
    interleave();
  }

  // Where a block of the file has its half scales.
  std::vector<int> halves() const {
    switch (type) {
      case DType::kQ2_K:
        return {80, 82};
      case DType::kQ3_K:
        return {108};
      case DType::kQ6_K:
        return {208};
      case DType::kQ4_1:
      case DType::kQ5_1:
      case DType::kQ4_K:
      case DType::kQ5_K:
        return {0, 2};
      default:
        return {0};
    }
  }

  void random_activations(Random& random) {
    for (float& v : x) v = random.normal();
    if (width == 0) return;
    const QuantizeFn quantize = width == 32 ? scalar_kernels().quantize32 : scalar_kernels().quantize256;
    for (int m = 0; m < max_rows; ++m)
      quantize(&x[m * x_stride], k, &q[m * q_stride], &d[m * d_stride], &sums[m * s_stride]);
  }

  // All quants at the ends of their range: the largest sums there are. Row 0: all high, row 1: all low.
  void extreme_activations(Random& random) {
    for (float& v : d) v = 0.01f;
    for (int m = 0; m < max_rows; ++m)
      for (int s = 0; s < k / 16; ++s) {
        int sum = 0;
        for (int i = 0; i < 16; ++i) {
          const bool high = m == 0 || (m > 1 && random.integer(0, 1));
          sum += q[m * q_stride + 16 * s + i] = high ? 127 : -127;
        }
        sums[m * s_stride + s] = static_cast<int16_t>(sum);
      }
  }

  // y: [n_rows][y_stride] from row m0 and group g0, anything else left alone.
  void run(const Kernels& kernels, int m0, int n_rows, int g0, int n_groups, float* y, int64_t y_stride) {
    MatmulArgs a = {};
    a.w = groups.data() + g0 * group_bytes;
    a.group_bytes = group_bytes;
    a.n_groups = n_groups;
    a.k = k;
    a.n_rows = n_rows;
    a.x = {q.data() + m0 * q_stride,
           d.data() + m0 * d_stride,
           sums.data() + m0 * s_stride,
           q_stride,
           d_stride,
           s_stride};
    a.xf = x.data() + m0 * x_stride;
    a.xf_stride = x_stride;
    a.y = y;
    a.y_stride = y_stride;
    kernels.matmul[static_cast<int>(type)](a);
  }

  // Each vector kernel against the scalar one: all numbers of rows and groups, at any place.
  void compare_isas() {
    std::vector<int> groups;
    for (int n = 1; n <= max_groups; n += testing::kEmulated ? 2 : 1) groups.push_back(n);
    compare_isas({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 24, 29, 33, max_rows}, groups);
  }

  // The same for some numbers of rows and of groups.
  void compare_isas(const std::vector<int>& rows, const std::vector<int>& groups_of_rows) {
    const int n_out = 8 * max_groups;
    std::vector<float> expected(max_rows * n_out);
    run(scalar_kernels(), 0, max_rows, 0, max_groups, expected.data(), n_out);
    FOR_EACH_VECTOR_ISA(kernels) {
      for (const int n_rows : rows)
        for (const int n_groups : groups_of_rows) {
          const int m0 = max_rows - n_rows, g0 = max_groups - n_groups;  // up to the arrays' ends
          const int64_t y_stride = 8 * n_groups + n_groups;
          const float untouched = 12345.0f;
          Guarded<float> y((n_rows - 1) * y_stride + 8 * n_groups + 1, untouched);
          run(*kernels, m0, n_rows, g0, n_groups, y.data() + 1, y_stride);
          ASSERT_EQ(y[0], untouched);
          for (int m = 0; m < n_rows; ++m) {
            const float* row = y.data() + 1 + m * y_stride;
            ASSERT_TRUE(testing::same(row, &expected[(m0 + m) * n_out + 8 * g0], 8 * n_groups))
                << kernels->isa << ": row " << m << " of " << n_rows << ", " << n_groups << " groups";
            for (int i = 8 * n_groups; m + 1 < n_rows && i < y_stride; ++i) ASSERT_EQ(row[i], untouched);
          }
        }
    }
  }

  // The scalar kernel against doubles: each rounding is at most 2^-24 of the absolute terms' sum.
  void compare_with_doubles() {
    constexpr int kRows = 3;
    const int n_out = 8 * max_groups;
    std::vector<float> y(kRows * n_out), w(k);
    run(scalar_kernels(), 0, kRows, 0, max_groups, y.data(), n_out);
    for (int n = 0; n < n_out; ++n) {
      quant::find(type)->unpack_blocks(&file[n * row_bytes()], blocks_of_row(), w.data());
      for (int m = 0; m < kRows; ++m) {
        double dot = 0, magnitude = 0;
        for (int i = 0; i < k; ++i) {
          const double xi =
              width ? double{d[m * d_stride + i / width]} * q[m * q_stride + i] : double{x[m * x_stride + i]};
          dot += w[i] * xi;
          magnitude += std::fabs(w[i] * xi);
        }
        // A quantised block is w = d u - min: its two terms may each be larger than their difference.
        const double operations = width ? 64.0 : k;
        EXPECT_NEAR(y[m * n_out + n], dot, magnitude * operations * 0x1p-23)
            << "row " << m << " output " << n;
      }
    }
  }
};

class Matmul : public ::testing::TestWithParam<DType> {};
class MatmulOfBlocks : public Matmul {};

TEST_P(Matmul, SameBitsAsScalar) {
  Random random(1);
  for (const int n_blocks : {1, 2, 3, 9, 18}) {
    if (testing::kEmulated && n_blocks > 9) break;
    SCOPED_TRACE(n_blocks);
    Problem p(GetParam(), n_blocks);
    p.random_weights(random);
    p.random_activations(random);
    p.compare_isas();
  }
}

TEST_P(MatmulOfBlocks, SameBitsAsScalarForAnyWeights) {
  Random random(2);
  for (const int n_blocks : {1, 9}) {
    Problem p(GetParam(), n_blocks);
    p.any_weights(random);
    p.random_activations(random);
    p.compare_isas();
  }
}

// More than kernels take at a time: of values, groups and rows.
TEST_P(MatmulOfBlocks, SameBitsAsScalarPiecewise) {
  Random random(5);
  const int n_blocks = info(GetParam()).block_len == 32 ? 55 : 9;
  Problem p(GetParam(), n_blocks, {.rows = 141, .groups = 19});
  p.any_weights(random);
  p.random_activations(random);
  p.compare_isas({8, 10, 16, 64, 137, 141}, {testing::kEmulated ? 18 : 17, 19});
}

TEST_P(MatmulOfBlocks, NoOverflowAtTheEndsOfTheRange) {
  Random random(3);
  for (const int fill : {0xff, 0x00, 0x80, 0x7f, 0xf0, 0x0f}) {
    SCOPED_TRACE(fill);
    Problem p(GetParam(), 3);
    p.any_weights(random, fill);
    p.extreme_activations(random);
    p.compare_isas();
  }
}

TEST_P(Matmul, ScalarAgreesWithDoubles) {
  Random random(4);
  for (const int n_blocks : {1, 7}) {
    Problem p(GetParam(), n_blocks);
    p.random_weights(random);
    p.random_activations(random);
    p.compare_with_doubles();
  }
}

std::string format_name(const ::testing::TestParamInfo<DType>& param) { return info(param.param).name; }

INSTANTIATE_TEST_SUITE_P(Floats, Matmul, ::testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         format_name);

const auto kBlockFormats = ::testing::Values(
    DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,
    DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4);
INSTANTIATE_TEST_SUITE_P(Blocks, Matmul, kBlockFormats, format_name);
INSTANTIATE_TEST_SUITE_P(Blocks, MatmulOfBlocks, kBlockFormats, format_name);

TEST(MatmulTables, EveryIsaHasTheScalarFormats) {
  FOR_EACH_VECTOR_ISA(kernels)
  for (int t = 0; t < kNumTypes; ++t)
    EXPECT_EQ(kernels->matmul[t] != nullptr, scalar_kernels().matmul[t] != nullptr)
        << kernels->isa << " " << t;
}

}  // namespace
}  // namespace moraine::cpu
