// The typed getters: conversions that hold, and the words of those that are refused.
#include "gguf/metadata.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "gguf/testing.h"

namespace moraine::gguf {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Metadata sample() {
  Metadata m("m.gguf");
  m.add("u8", uint8_t{200}, 24);
  m.add("i32", int32_t{-1}, 48);
  m.add("u64", uint64_t{1} << 40);
  m.add("f32", 0.5f);
  m.add("f64", 0.25);
  m.add("huge", 1e300);
  m.add("nan", std::nanf(""));
  m.add("bool", true);
  m.add("text", "hello");
  m.add("ints", std::vector<int16_t>{1, -2});
  m.add("floats", std::vector<float>{1, -std::numeric_limits<float>::infinity()});
  m.add("strings", StringArray{"a", "b"});
  return m;
}

TEST(Metadata, IntegersOfAnyTypeAreReadWhereTheyFit) {
  const Metadata m = sample();
  EXPECT_EQ(m.get_u32("u8"), 200u);
  EXPECT_EQ(m.get_i32("u8"), 200);
  EXPECT_EQ(m.get_u64("u8"), 200u);
  EXPECT_EQ(m.get_i32("i32"), -1);
  EXPECT_EQ(m.get_u64("u64"), uint64_t{1} << 40);
  EXPECT_EQ(m.get<int64_t>("u64"), int64_t{1} << 40);
  EXPECT_THAT(
      error_of([&] { m.get_u32("i32"); }),
      HasSubstr("corrupt_file: m.gguf: the metadata key 'i32' (at byte 48) is -1, which does not fit u32."));
  EXPECT_THAT(error_of([&] { m.get_u32("u64"); }),
              HasSubstr("'u64' is 1099511627776, which does not fit u32"));
}

TEST(Metadata, OtherTypesAreNotConvertedInSilence) {
  const Metadata m = sample();
  EXPECT_EQ(m.get_f32("f32"), 0.5f);
  EXPECT_EQ(m.get_f32("f64"), 0.25f);
  EXPECT_EQ(m.get<double>("f32"), 0.5);
  EXPECT_EQ(m.get_bool("bool"), true);
  EXPECT_EQ(m.get_string("text"), "hello");
  EXPECT_THAT(error_of([&] { m.get_u32("text"); }),
              HasSubstr("'text' has type string, expected an unsigned integer"));
  EXPECT_THAT(error_of([&] { m.get_u32("bool"); }), HasSubstr("'bool' has type bool"));
  EXPECT_THAT(error_of([&] { m.get_u32("f32"); }), HasSubstr("'f32' has type f32"));
  EXPECT_THAT(error_of([&] { m.get_bool("u8"); }), HasSubstr("'u8' (at byte 24) has type u8, expected bool"));
  EXPECT_THAT(error_of([&] { m.get_f32("u8"); }), HasSubstr("has type u8, expected f32 or f64"));
  EXPECT_THAT(error_of([&] { m.get_string("u8"); }), HasSubstr("has type u8, expected string"));
  EXPECT_THAT(error_of([&] { m.get_u32("ints"); }), HasSubstr("has type array of i16"));
}

TEST(Metadata, FloatsMustBeFinite) {
  const Metadata m = sample();
  EXPECT_THAT(error_of([&] { m.get_f32("nan"); }), HasSubstr("'nan' is nan, but must be a finite number"));
  EXPECT_THAT(error_of([&] { m.get_f32("huge"); }), HasSubstr("'huge' is 1e+300, which does not fit f32"));
  EXPECT_EQ(m.get<double>("huge"), 1e300);
}

TEST(Metadata, MissingKeys) {
  const Metadata m = sample();
  EXPECT_FALSE(m.contains("none"));
  EXPECT_EQ(m.find("none"), nullptr);
  EXPECT_EQ(m.find<uint32_t>("none"), std::nullopt);
  EXPECT_EQ(m.find_strings("none"), nullptr);
  EXPECT_EQ(m.find_numbers<float>("none"), std::nullopt);
  EXPECT_EQ(m.get_u32("none", 7), 7u);
  EXPECT_EQ(m.get_string("none", "x"), "x");
  EXPECT_EQ(m.get_bool("none", true), true);
  for (const std::string& error :
       {error_of([&] { m.get_u32("none"); }), error_of([&] { m.get_strings("none"); }),
        error_of([&] { m.get_numbers<float>("none"); }), error_of([&] { m.get_span<float>("none"); }),
        error_of([&] { m.get_u32_each("none", 2); })})
    EXPECT_THAT(error, HasSubstr("corrupt_file: m.gguf: the metadata key 'none' is missing"));
  // A fallback is for a missing key, not for a wrong one.
  EXPECT_THAT(error_of([&] { m.get_u32("text", 7); }), HasSubstr("has type string"));
}

TEST(Metadata, Arrays) {
  const Metadata m = sample();
  EXPECT_THAT(m.get_numbers<int32_t>("ints"), ElementsAre(1, -2));
  EXPECT_THAT(m.get_span<int16_t>("ints"), ElementsAre(1, -2));
  EXPECT_THAT(m.get_numbers<float>("floats"), ElementsAre(1, -std::numeric_limits<float>::infinity()));
  EXPECT_THAT(m.get_strings("strings"), ElementsAre("a", "b"));
  EXPECT_THAT(error_of([&] { m.get_numbers<uint32_t>("ints"); }),
              HasSubstr("element 1 = -2, which does not fit u32"));
  EXPECT_THAT(error_of([&] { m.get_numbers<uint32_t>("strings"); }), HasSubstr("has type array of string"));
  EXPECT_THAT(error_of([&] { m.get_numbers<uint32_t>("u8"); }), HasSubstr("has type u8, expected an array"));
  EXPECT_THAT(error_of([&] { m.get_span<int32_t>("ints"); }),
              HasSubstr("has type array of i16, expected array of i32"));
  EXPECT_THAT(error_of([&] { m.get_strings("ints"); }),
              HasSubstr("has type array of i16, expected array of string"));
}

TEST(Metadata, AScalarStandsForEveryLayer) {
  const Metadata m = sample();
  EXPECT_THAT(m.get_u32_each("u8", 3), ElementsAre(200, 200, 200));
  Metadata a("m.gguf");
  a.add("heads", std::vector<int32_t>{4, 0});
  EXPECT_THAT(a.get_u32_each("heads", 2), ElementsAre(4, 0));
  EXPECT_THAT(error_of([&] { a.get_u32_each("heads", 3); }),
              HasSubstr("has 2 elements, expected one for each of 3"));
}

TEST(Metadata, ErrorsOfOthersNameKeyAndPlace) {
  EXPECT_EQ(error_of([] { sample().throw_bad("u8", "is 200, but must be at most 100"); }),
            "corrupt_file: m.gguf: the metadata key 'u8' (at byte 24) is 200, but must be at most 100.");
}

TEST(Metadata, AKeyIsThereOnce) {
  Metadata m = sample();
  EXPECT_THAT(error_of([&] { m.add("u8", 1); }),
              HasSubstr("invalid_argument: m.gguf: the metadata key 'u8' is given twice"));
  EXPECT_EQ(m.entries().size(), 12u);
}

}  // namespace
}  // namespace moraine::gguf
