// Types, display and escaping of values.
#include "gguf/value.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace moraine::gguf {
namespace {

TEST(Value, TypesFollowTheFormatsNumbers) {
  EXPECT_EQ(Value(uint8_t{1}).type(), ValueType::kU8);
  EXPECT_EQ(Value(1).type(), ValueType::kI32);
  EXPECT_EQ(Value(1.0f).type(), ValueType::kF32);
  EXPECT_EQ(Value(true).type(), ValueType::kBool);
  EXPECT_EQ(Value("x").type(), ValueType::kString);
  EXPECT_EQ(Value(1.0).type(), ValueType::kF64);
  EXPECT_EQ(Value(std::vector<int64_t>{}).type(), ValueType::kArray);
  EXPECT_EQ(type_name(Value(std::vector<int64_t>{})), "array of i64");
  EXPECT_EQ(type_name(Value(std::vector<bool>{})), "array of bool");
  EXPECT_EQ(type_name(Value(StringArray{})), "array of string");
  EXPECT_EQ(type_name(Value(uint16_t{1})), "u16");
}

TEST(Value, DisplaysOnOneShortLine) {
  EXPECT_EQ(to_display_string(Value(uint8_t{65})), "65");
  EXPECT_EQ(to_display_string(Value(int8_t{-5})), "-5");
  EXPECT_EQ(to_display_string(Value(1e-5f)), "1e-05");
  EXPECT_EQ(to_display_string(Value(false)), "false");
  EXPECT_EQ(to_display_string(Value("a \"b\"\n")), R"("a \"b\"\n")");
  EXPECT_EQ(to_display_string(Value(std::vector<bool>{true, false})), "[true, false]");
  EXPECT_EQ(to_display_string(Value(std::vector<int32_t>{1, 2, 3, 4}), 2), "[1, 2, ... 4 in all]");
  EXPECT_EQ(to_display_string(Value(std::vector<int32_t>{1, 2}), 0), "[... 2 in all]");
  EXPECT_EQ(to_display_string(Value(StringArray{"a", "b"})), R"(["a", "b"])");
  EXPECT_EQ(to_display_string(Value(StringArray{})), "[]");
  const std::string longest = to_display_string(Value(std::string(1 << 20, 'x')));
  EXPECT_LT(longest.size(), 200u);
  EXPECT_NE(longest.find("(1048576 bytes)"), std::string::npos);
}

TEST(Value, EscapesWhatATerminalMustNotSee) {
  EXPECT_EQ(escape_text("plain, naïve, 日本, \xF0\x9F\x98\x80"), "plain, naïve, 日本, \xF0\x9F\x98\x80");
  EXPECT_EQ(escape_text("\x1b[31m\x7f"), "\\x1b[31m\\x7f");
  EXPECT_EQ(escape_text(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(escape_text("a\\b\t\r\n"), "a\\\\b\\t\\r\\n");
  EXPECT_EQ(escape_text("\xC2\x9B"), "\\u009b");                       // C1 control: CSI
  EXPECT_EQ(escape_text("\xE2\x80\xAE"), "\\u202e");                   // right-to-left override
  EXPECT_EQ(escape_text("\xFF\xC0\x80"), "\\xff\\xc0\\x80");           // never UTF-8
  EXPECT_EQ(escape_text("\xE0\x80\x80"), "\\xe0\\x80\\x80");           // overlong
  EXPECT_EQ(escape_text("\xED\xA0\x80"), "\\xed\\xa0\\x80");           // a surrogate
  EXPECT_EQ(escape_text("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  EXPECT_EQ(escape_text("\xE6\x97"), "\\xe6\\x97");                    // cut short
  EXPECT_EQ(escape_text("abcdef", 3), "abc...");
  EXPECT_EQ(escape_text("ab日", 4), "ab...");  // never half a character
  EXPECT_EQ(escape_text(""), "");
}

TEST(StringArray, KeepsBytesAndOrder) {
  StringArray a;
  EXPECT_TRUE(a.empty());
  a.push_back("");
  a.push_back(std::string_view("\0\xFF", 2));
  a.push_back("x");
  ASSERT_EQ(a.size(), 3u);
  EXPECT_EQ(a[0], "");
  EXPECT_EQ(a[1], std::string_view("\0\xFF", 2));
  EXPECT_EQ(a[2], "x");
  std::vector<std::string_view> seen(a.begin(), a.end());
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[2], "x");
  EXPECT_FALSE((StringArray{"ab", "c"}) == (StringArray{"a", "bc"}));
}

}  // namespace
}  // namespace moraine::gguf
