#include "tokenizer/utf8.h"

#include <gtest/gtest.h>

#include "tokenizer/byte_chars.h"

namespace moraine::utf8 {
namespace {

TEST(Utf8, EveryCodePointSurvives) {
  for (uint32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append(text, c);
    const Sequence s = next(text);
    ASSERT_EQ(s.kind, Kind::kValid) << c;
    ASSERT_EQ(s.code_point, c);
    ASSERT_EQ(s.size, text.size());
    for (size_t n = 1; n < text.size(); ++n)
      ASSERT_EQ(next(std::string_view(text).substr(0, n)).kind, Kind::kIncomplete) << c;
  }
}

TEST(Utf8, RefusesWhatIsNotUtf8) {
  struct Case {
    std::string_view text;
    Kind kind;
    size_t size;
  };
  const Case cases[] = {
      {"\x80", Kind::kInvalid, 1},
      {"\xC0\xAF", Kind::kInvalid, 1},
      {"\xC1\x81", Kind::kInvalid, 1},
      {"\xE0\x80\x80", Kind::kInvalid, 1},
      {"\xED\xA0\x80", Kind::kInvalid, 1},
      {"\xF0\x8F\xBF\xBF", Kind::kInvalid, 1},
      {"\xF4\x90\x80\x80", Kind::kInvalid, 1},
      {"\xF5", Kind::kInvalid, 1},
      {"\xFF", Kind::kInvalid, 1},
      {"\xE2\x82X", Kind::kInvalid, 2},
      {"\xF0\x9F\x98X", Kind::kInvalid, 3},
      {"\xC3(", Kind::kInvalid, 1},
      {"\xC3", Kind::kIncomplete, 1},
      {"\xE2\x82", Kind::kIncomplete, 2},
      {"\xF0\x9F\x98", Kind::kIncomplete, 3},
  };
  for (const Case& c : cases) {
    const Sequence s = next(c.text);
    EXPECT_EQ(s.kind, c.kind) << ::testing::PrintToString(c.text);
    EXPECT_EQ(s.size, c.size) << ::testing::PrintToString(c.text);
  }
}

TEST(Utf8, ValidPrefixEndsAtTheFirstBrokenByte) {
  const std::string good = "plain ascii of some length, é, 漢字, 😀 and so on";
  EXPECT_EQ(valid_prefix(good), good.size());
  for (size_t i = 0; i <= good.size(); ++i) {
    if (i < good.size() && (good[i] & 0xC0) == 0x80) continue;
    const std::string broken = good.substr(0, i) + "\xFF" + good.substr(i);
    EXPECT_EQ(valid_prefix(broken), i);
  }
  EXPECT_TRUE(is_ascii("0123456789"));
  EXPECT_FALSE(is_ascii("01234567é"));
  EXPECT_FALSE(is_ascii("é012345678"));
}

TEST(ByteChars, SpellEveryByteAndReadItBack) {
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    std::string spelled, bytes;
    append_byte_chars(spelled, {&byte, 1});
    append_spelled_bytes(bytes, spelled);
    EXPECT_EQ(bytes, std::string(1, byte));
    EXPECT_EQ(valid_prefix(spelled), spelled.size());
  }
  std::string spelled;
  append_byte_chars(spelled, " the\n");
  EXPECT_EQ(spelled, "ĠtheĊ");
  std::string foreign;
  append_spelled_bytes(foreign, "漢\xFFĠ");
  EXPECT_EQ(foreign, "漢\xFF ");
}

}  // namespace
}  // namespace moraine::utf8
