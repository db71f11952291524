// Edits of files that people wrote: what is not named stays letter for letter.
#include "agents/jsonc.h"

#include <gtest/gtest.h>
#include <moraine/error.h>

namespace moraine::agents::jsonc {
namespace {

TEST(Jsonc, ReadsCommentsTrailingCommasAndEscapes) {
  const Value v = parse(
      "\xEF\xBB\xBF// head\n{ \"a\": [1, -2.5e3, /* x */ null,], \"b\\u00e4\": \"\\ud83d\\ude00\\n\", }\n");
  EXPECT_EQ(v.find(Path{"a", size_t{1}})->text, "-2.5e3");
  EXPECT_EQ(v.string_at({"bä"}), "😀\n");
  EXPECT_EQ(v.find(Path{"a", size_t{3}}), nullptr);
  EXPECT_EQ(v.find(Path{"a", "b"}), nullptr);
}

TEST(Jsonc, TheLastOfSeveralMembersCounts) {
  EXPECT_EQ(set("{\"a\": 1, \"a\": 2}", {"a"}, "3"), "{\"a\": 1, \"a\": 3}");
}

TEST(Jsonc, NamesTheLineOfWhatItCannotRead) {
  for (const char* bad :
       {"{", "{\"a\"}", "{\"a\": }", "{\"a\": 1 \"b\": 2}", "[1", "{} {}", "{a: 1}", "{\"a\": \"x\n\"}",
        "/* never closed", "{\"a\": \"\\q\"}", "{\"a\": \"\\u12", "{\"a\": tru}", "nul", "{,}", "\""}) {
    EXPECT_THROW(parse(bad), Error) << bad;
  }
  try {
    parse("{\n  \"a\": 1\n  \"b\": 2\n}");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "Line 3, column 3: a comma or } is expected here.");
  }
  EXPECT_THROW(parse(std::string(100, '[')), Error);
  EXPECT_THROW(parse(std::string(kMaxBytes + 1, ' ')), Error);
}

TEST(Jsonc, ReplacesAValueAlone) {
  EXPECT_EQ(set("{ // why\n\t\"a\" : 1 , // one\n\t\"b\":2,\n}", {"a"}, "true"),
            "{ // why\n\t\"a\" : true , // one\n\t\"b\":2,\n}");
  const std::string same = "{\"a\": {\"b\":   [1,2,]}}";
  EXPECT_EQ(set(same, {"a"}, "{\"b\": [1, 2]}"), same);
  EXPECT_EQ(set("{\"a\": \"x y\"}", {"a"}, "\"xy\""), "{\"a\": \"xy\"}");  // spaces in texts count
}

TEST(Jsonc, AddsMembersInTheFilesOwnManner) {
  EXPECT_EQ(set("{\n    \"a\": 1 // one\n}\n", {"b", "c"}, "2"),
            "{\n    \"a\": 1, // one\n    \"b\": {\n        \"c\": 2\n    }\n}\n");
  EXPECT_EQ(set("{\n  \"a\": 1,\n  // the end\n}\n", {"b"}, "2"),
            "{\n  \"a\": 1,\n  \"b\": 2,\n  // the end\n}\n");
  EXPECT_EQ(set("{\r\n\t\"a\": 1\r\n}", {"b"}, "2"), "{\r\n\t\"a\": 1,\r\n\t\"b\": 2\r\n}");
  EXPECT_EQ(set("{\"a\": 1}", {"b", "c"}, "2"), "{\"a\": 1, \"b\": {\"c\": 2}}");
  EXPECT_EQ(set("{\n  \"a\": {}\n}", {"a", "b"}, "2"), "{\n  \"a\": {\n    \"b\": 2\n  }\n}");
  EXPECT_EQ(set("{\n  \"a\": { \"x\": 1 }\n}", {"a", "b"}, "2"), "{\n  \"a\": { \"x\": 1, \"b\": 2 }\n}");
  EXPECT_EQ(set("{\n  // nothing yet\n}", {"b"}, "2"), "{\n  // nothing yet\n  \"b\": 2\n}");
  EXPECT_EQ(set("{\n  \"a\": 1 /* x */\n  , // odd\n}", {"b"}, "2"),
            "{\n  \"a\": 1 /* x */\n  , // odd\n  \"b\": 2,\n}");
}

TEST(Jsonc, MakesAnEmptyFileAnObject) {
  EXPECT_EQ(set("", {"a"}, "1"), "{\n  \"a\": 1\n}\n");
  EXPECT_EQ(set("// mine\n", {"a"}, "1"), "// mine\n{\n  \"a\": 1\n}\n");
}

TEST(Jsonc, AddsElementsAtTheEndOfLists) {
  EXPECT_EQ(set("{\"a\": [1, 2]}", {"a", size_t{2}}, "3"), "{\"a\": [1, 2, 3]}");
  EXPECT_EQ(set("{}", {"a", size_t{0}, "b"}, "3"), "{\n  \"a\": [\n    {\n      \"b\": 3\n    }\n  ]\n}");
  EXPECT_THROW(set("{\"a\": [1]}", {"a", size_t{2}}, "3"), Error);
  EXPECT_THROW(set("{\"a\": 1}", {"a", "b"}, "3"), Error);
  EXPECT_THROW(set("[]", {"a"}, "3"), Error);
}

TEST(Jsonc, RemovesWithTheLineAndTheComma) {
  EXPECT_EQ(without("{\n  \"a\": 1,\n  \"b\": 2\n}", {"b"}), "{\n  \"a\": 1\n}");
  EXPECT_EQ(without("{\n  \"a\": 1,\n  \"b\": 2,\n}", {"b"}), "{\n  \"a\": 1,\n}");
  EXPECT_EQ(without("{\n  \"a\": 1, // one\n  \"b\": 2\n}", {"a"}), "{\n  // one\n  \"b\": 2\n}");
  EXPECT_EQ(without("{\"a\": 1, \"b\": 2}", {"a"}), "{\"b\": 2}");
  EXPECT_EQ(without("{\"a\": 1, \"b\": 2}", {"b"}), "{\"a\": 1}");
  EXPECT_EQ(without("{\"a\": [1, 2, 3]}", {"a", size_t{1}}), "{\"a\": [1, 3]}");
  EXPECT_EQ(without("{\"a\": 1}", {"b", "c"}), "{\"a\": 1}");
}

TEST(Jsonc, RemovingUndoesSetting) {
  for (const char* text :
       {"{\n  \"a\": 1\n}\n", "{\"a\": 1}", "{\n  \"a\": 1, // x\n}", "{\n  \"a\": {\"b\": 1},\n}"})
    EXPECT_EQ(without(set(text, {"new"}, "\"x\""), {"new"}), text);
}

}  // namespace
}  // namespace moraine::agents::jsonc
