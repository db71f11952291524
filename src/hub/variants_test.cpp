#include "hub/variants.h"

#include <gtest/gtest.h>

namespace moraine::hub {
namespace {

RemoteFile file(const char* path, uint64_t size) { return {path, size, std::string(64, 'a'), false}; }

TEST(Variants, OneForEachQuantisation) {
  Repository r;
  r.files = {file("BF16/x-BF16-00001-of-00002.gguf", 60),
             file("BF16/x-BF16-00002-of-00002.gguf", 50),
             file("mmproj-F16.gguf", 3),
             file("x-Q4_K_M.gguf", 30),
             file("x-UD-Q2_K_XL.gguf", 15),
             file("lost-Q8_0-00001-of-00002.gguf", 9)};
  const auto v = variants_of(r);
  ASSERT_EQ(v.size(), 3u);
  EXPECT_EQ(v[0].name, "UD-Q2_K_XL");
  EXPECT_EQ(v[2].name, "BF16");
  EXPECT_EQ(v[2].size_bytes, 110u);
  ASSERT_EQ(v[2].files.size(), 2u);
  EXPECT_EQ(v[2].files[1].size_bytes, 50u);
  EXPECT_EQ(default_variant(v)->name, "Q4_K_M");
  EXPECT_EQ(find_variant(v, "q4_k_m")->name, "Q4_K_M");
  EXPECT_EQ(find_variant(v, "Q2_K_XL")->name, "UD-Q2_K_XL");
  EXPECT_EQ(find_variant(v, "x-Q4_K_M.gguf")->name, "Q4_K_M");
  EXPECT_EQ(find_variant(v, "Q8_0"), nullptr) << "half a set is none";
  EXPECT_EQ(default_variant({}), nullptr);
}

TEST(Variants, FilesThatShareAQuantisationGoByTheirNames) {
  Repository r;
  r.files = {file("small-Q8_0.gguf", 1), file("large-Q8_0.gguf", 2), file("plain.gguf", 3)};
  const auto v = variants_of(r);
  ASSERT_EQ(v.size(), 3u);
  EXPECT_EQ(v[0].name, "small-Q8_0.gguf");
  EXPECT_EQ(v[2].name, "plain.gguf");
}

}  // namespace
}  // namespace moraine::hub
