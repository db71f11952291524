// Every format against golden files of the Python package gguf (testdata/make_golden.py), value by
// value and byte by byte; and properties that hold for hostile input.
#include "quant/format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "quant/half.h"
#include "quant/layout.h"

namespace moraine::quant {
namespace {

const DType kAll[] = {DType::kF32,  DType::kF16,    DType::kBF16,   DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                      DType::kQ5_1, DType::kQ8_0,   DType::kQ2_K,   DType::kQ3_K, DType::kQ4_K, DType::kQ5_K,
                      DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4};

std::string name_of(const testing::TestParamInfo<DType>& p) { return info(p.param).name; }

std::vector<uint8_t> read_golden(const std::string& name) {
  const char* root = std::getenv("MORAINE_SOURCE_DIR");
  const std::string path = std::string(root != nullptr ? root : ".") + "/src/quant/testdata/" + name;
  std::ifstream in(path, std::ios::binary);
  if (!in) ADD_FAILURE() << "cannot read " << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

// A golden file holds n blocks and their values; n follows from its size.
size_t golden_blocks(const std::vector<uint8_t>& file, DType t) {
  const size_t one = info(t).block_bytes + sizeof(float) * info(t).block_len;
  EXPECT_GT(file.size(), 0u);
  EXPECT_EQ(file.size() % one, 0u);
  return file.size() / one;
}

class UnpackGolden : public testing::TestWithParam<DType> {};

TEST_P(UnpackGolden, EqualsGgufBitForBit) {
  const DTypeInfo& type = info(GetParam());
  const std::vector<uint8_t> file = read_golden(std::string(type.name) + ".unpack");
  const size_t n = golden_blocks(file, GetParam());
  std::vector<float> expected(n * type.block_len), got(n * type.block_len, -1.0f);
  std::memcpy(expected.data(), file.data() + n * type.block_bytes, expected.size() * sizeof(float));
  find(GetParam())->unpack_blocks(file.data(), n, got.data());
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(expected[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << "value " << i;
    } else {
      ASSERT_EQ(float_bits(got[i]), float_bits(expected[i]))
          << "value " << i << ": " << got[i] << " not " << expected[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, UnpackGolden,
                         testing::Values(DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                         DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K, DType::kQ4_K,
                                         DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS,
                                         DType::kMXFP4),
                         name_of);

class PackGolden : public testing::TestWithParam<DType> {};

TEST_P(PackGolden, EqualsGgufByteForByte) {
  const DTypeInfo& type = info(GetParam());
  const std::vector<uint8_t> file = read_golden(std::string(type.name) + ".pack");
  const size_t n = golden_blocks(file, GetParam());
  std::vector<float> values(n * type.block_len);
  std::memcpy(values.data(), file.data(), values.size() * sizeof(float));
  const uint8_t* expected = file.data() + values.size() * sizeof(float);
  std::vector<uint8_t> got(n * type.block_bytes, 0xcd);
  find(GetParam())->pack_blocks(values.data(), n, got.data());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(static_cast<int>(got[i]), static_cast<int>(expected[i]))
        << "block " << i / type.block_bytes << ", byte " << i % type.block_bytes;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, PackGolden,
                         testing::Values(DType::kF16, DType::kBF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,
                                         DType::kQ5_1, DType::kQ8_0, DType::kMXFP4),
                         name_of);

TEST(Registry, FindsWhatItHoldsAndNothingElse) {
  for (DType t : kAll) {
    ASSERT_NE(find(t), nullptr) << info(t).name;
    EXPECT_EQ(find(t)->dtype, t);
    EXPECT_NE(find(t)->unpack_blocks, nullptr);
    EXPECT_NE(find(t)->pack_blocks, nullptr);
  }
  EXPECT_EQ(find(DType::kI32), nullptr);
  EXPECT_EQ(find(DType::kI8), nullptr);
  EXPECT_EQ(find(DType::kIQ2_XXS), nullptr);
}

TEST(Layout, SizesAgreeWithTheTypeTable) {
  const auto expect = [](DType t, uint32_t len, uint32_t bytes) {
    EXPECT_EQ(info(t).block_len, len) << info(t).name;
    EXPECT_EQ(info(t).block_bytes, bytes) << info(t).name;
  };
  expect(DType::kQ4_0, q4_0::kBlockLen, q4_0::kBlockBytes);
  expect(DType::kQ4_1, q4_1::kBlockLen, q4_1::kBlockBytes);
  expect(DType::kQ5_0, q5_0::kBlockLen, q5_0::kBlockBytes);
  expect(DType::kQ5_1, q5_1::kBlockLen, q5_1::kBlockBytes);
  expect(DType::kQ8_0, q8_0::kBlockLen, q8_0::kBlockBytes);
  expect(DType::kQ2_K, q2_k::kBlockLen, q2_k::kBlockBytes);
  expect(DType::kQ3_K, q3_k::kBlockLen, q3_k::kBlockBytes);
  expect(DType::kQ4_K, q4_k::kBlockLen, q4_k::kBlockBytes);
  expect(DType::kQ5_K, q5_k::kBlockLen, q5_k::kBlockBytes);
  expect(DType::kQ6_K, q6_k::kBlockLen, q6_k::kBlockBytes);
  expect(DType::kIQ4_NL, iq4_nl::kBlockLen, iq4_nl::kBlockBytes);
  expect(DType::kIQ4_XS, iq4_xs::kBlockLen, iq4_xs::kBlockBytes);
  expect(DType::kMXFP4, mxfp4::kBlockLen, mxfp4::kBlockBytes);
}

TEST(Layout, ScalesAndMinsThereAndBack) {
  for (int i = 0; i < 8; ++i) {
    for (int v = 0; v < 64; ++v) {
      uint8_t scales[8], mins[8], packed[12], scales2[8], mins2[8];
      for (int k = 0; k < 8; ++k) {
        scales[k] = static_cast<uint8_t>(k == i ? v : 63 - v);
        mins[k] = static_cast<uint8_t>(k == i ? 63 - v : v);
      }
      encode_scales_mins(scales, mins, packed);
      decode_scales_mins(packed, scales2, mins2);
      ASSERT_EQ(std::memcmp(scales, scales2, 8), 0);
      ASSERT_EQ(std::memcmp(mins, mins2, 8), 0);
    }
  }
}

}  // namespace
}  // namespace moraine::quant
